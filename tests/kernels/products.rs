//! Products with weights: gemv, gemm, shrink and expand.

use engine::gpu::gemm::{self, Gemm};
use engine::gpu::gemv::{self, Gemv};
use engine::gpu::hlora_expand::{self, Epilogue, Expand, Sequence};
use engine::gpu::hlora_gate::{self, Gate};
use engine::gpu::hlora_shrink::{self, Shrink};
use engine::gpu::packer::{Formats, LowRankTensors, Packer};
use engine::gpu::rmsnorm;
use engine::gpu::weights::{Cut, FrozenSite, LowRank, Matrix};
use engine::gpu::{Format, Gpu, Tuning};
use engine::model::config::LlmConfig;
use engine::model::decoder::Site;
use engine::model::random::Random;

use super::{assert_close, cut, gpus, magnitudes, normal, padded};
use crate::support::tiny_model;

/// A matrix on the GPU, and the weights that it stands for.
fn matrix(
    gpu: &Gpu,
    random: &mut Random,
    [rows, k]: [usize; 2],
    format: Format,
    cut: Cut,
) -> (Matrix, Vec<f32>) {
    let values = normal(random, rows * k);
    let config = LlmConfig::open(&tiny_model().join("llm")).unwrap();
    let packer = Packer {
        gpu,
        formats: Formats::of(format),
        config: &config,
        vocabulary: (0, 0),
    };
    let of = |range: std::ops::Range<usize>| values[range.start * k..range.end * k].to_vec();
    let matrix = packer.matrix([rows, k], format, cut, None, &of).unwrap();
    let meant = format.unpack(&format.pack(&values, k));
    let stride = meant.len() / rows;
    (matrix, super::cut(&meant, stride, k))
}

fn low_rank(
    gpu: &Gpu,
    random: &mut Random,
    [d_out, d_in]: [usize; 2],
    [rank, experts]: [usize; 2],
    plugin_q8: bool,
    matrix: &Matrix,
) -> (LowRank, LowRankTensors) {
    let config = LlmConfig::open(&tiny_model().join("llm")).unwrap();
    let packer = Packer {
        gpu,
        formats: Formats {
            plugin_q8,
            ..Formats::of(Format::F16)
        },
        config: &config,
        vocabulary: (0, 0),
    };
    let format = if plugin_q8 { Format::Q8 } else { Format::F16 };
    let rounded = |format: Format, values: Vec<f32>, k: usize| {
        let meant = format.unpack(&format.pack(&values, k));
        let stride = meant.len() * k / values.len();
        cut(&meant, stride, k)
    };
    let tensors = LowRankTensors {
        rank,
        experts,
        a: rounded(format, normal(random, rank * d_in), d_in),
        router: rounded(Format::F16, normal(random, experts * d_in), d_in),
        b: rounded(format, normal(random, d_out * rank), rank),
    };
    let site = Site {
        name: "test",
        d_out,
        d_in,
        bias: false,
    };
    let frozen = FrozenSite {
        name: "test",
        matrix: matrix.clone(),
    };
    (packer.low_rank(&tensors, &site, &frozen).unwrap(), tensors)
}

#[test]
fn gemv_multiplies_any_rows_by_any_columns_in_every_format() {
    let mut random = Random(1);
    for (gpu, (rows, k, columns)) in
        gpus().zip([(1, 1, 1), (7, 65, 3), (65, 7, 8), (33, 300, 2), (8, 96, 5)])
    {
        for format in Format::ALL {
            let (matrix, w) = matrix(gpu, &mut random, [rows, k], format, Cut::Rows);
            let x = normal(&mut random, columns * k);
            let on_gpu = gpu.floats("x", &padded(&x, k)).unwrap();
            let y = gpu.zeros("y", 4 * (columns * rows) as u64).unwrap();
            let product = Gemv {
                shard: &matrix.shards[0],
                from: 0,
                rows: rows as u32,
                row0: 0,
                y_stride: rows as u32,
                columns: columns as u32,
                add: false,
            };
            let _ = gpu.submit(&[product.dispatch(gpu, &on_gpu, &y).unwrap()]);
            let got = gpu.read_floats(&y, columns * rows).unwrap();
            let bounds = gemv::reference(&magnitudes(&w), &magnitudes(&x), k);
            let place = format!("{format:?} {rows} x {k}, {columns} columns");
            assert_close(&got, &gemv::reference(&w, &x, k), &bounds, &place);
        }
    }
}

#[test]
fn a_matrix_in_several_buffers_gives_the_same_rows_and_a_range_of_them() {
    let mut random = Random(2);
    let gpu = gpus().next().unwrap();
    let small = gpu.tuned(Tuning {
        shard_bytes: 2048,
        ..gpu.tuning
    });
    let (rows, k) = (100, 40);
    let (matrix, w) = matrix(&small, &mut random, [rows, k], Format::F16, Cut::Rows);
    assert!(matrix.shards.len() > 3);
    let x = normal(&mut random, k);
    let on_gpu = gpu.floats("x", &padded(&x, k)).unwrap();
    let y = gpu.zeros("y", 4 * rows as u64).unwrap();
    for shard in &matrix.shards {
        let product = Gemv {
            shard,
            from: 3,
            rows: shard.rows - 3,
            row0: shard.row0 + 3,
            y_stride: rows as u32,
            columns: 1,
            add: true,
        };
        // Twice, since it adds.
        let product = product.dispatch(gpu, &on_gpu, &y).unwrap();
        let _ = gpu.submit(&[product.clone(), product]);
    }
    let got = gpu.read_floats(&y, rows).unwrap();
    let mut want = gemv::reference(&w, &x, k);
    for shard in &matrix.shards {
        for row in 0..shard.rows as usize {
            let at = shard.row0 as usize + row;
            want[at] = if row < 3 { 0.0 } else { 2.0 * want[at] };
        }
    }
    let bounds = gemv::reference(&magnitudes(&w), &magnitudes(&x), k);
    assert_close(&got, &want, &bounds, "shards");
}

#[test]
fn shrink_norms_its_input_and_multiplies_a_and_router_at_once() {
    let mut random = Random(3);
    for (gpu, (k, [rank, experts], columns, norm, q8)) in gpus().zip([
        (65, [8, 4], 1, true, false),
        (96, [20, 4], 3, true, true),
        (33, [1, 1], 8, false, false),
        (300, [64, 8], 2, false, true),
    ]) {
        let (matrix, _) = matrix(gpu, &mut random, [8, k], Format::F16, Cut::Rows);
        let (low, tensors) = low_rank(gpu, &mut random, [8, k], [rank, experts], q8, &matrix);
        let x = normal(&mut random, columns * k);
        let gamma = normal(&mut random, k);
        let on_gpu = gpu.floats("x", &padded(&x, k)).unwrap();
        let gammas = gpu.floats("gamma", &padded(&gamma, k)).unwrap();
        let rows = rank + experts;
        let z = gpu.zeros("z", 4 * (columns * rows) as u64).unwrap();
        let stride = padded(&gamma, k).len();
        let h = gpu.zeros("h", 4 * (columns * stride) as u64).unwrap();
        let shrink = Shrink {
            low_rank: &low,
            gamma: norm.then_some(&gammas),
            width: k,
            eps: 1e-5,
            columns: columns as u32,
        };
        let _ = gpu.submit(&[shrink.dispatch(gpu, &on_gpu, &z, &h).unwrap()]);
        let place = format!("k {k}, rank {rank}, {columns} columns, norm {norm}, q8 {q8}");
        let input = if norm {
            let want = rmsnorm::reference(&x, &gamma, 1e-5);
            let got = gpu.read_floats(&h, columns * stride).unwrap();
            assert_close(
                &cut(&got, stride, k),
                &want,
                &want.iter().map(|x| x.abs()).collect::<Vec<_>>(),
                &place,
            );
            want.iter().map(|x| *x as f32).collect()
        } else {
            x
        };
        let ar = [tensors.a, tensors.router].concat();
        let got = gpu.read_floats(&z, columns * rows).unwrap();
        let bounds = gemv::reference(&magnitudes(&ar), &magnitudes(&input), k);
        assert_close(
            &got,
            &hlora_shrink::reference(&ar, &input, k),
            &bounds,
            &place,
        );
    }
}

#[test]
fn expand_adds_the_routed_experts_and_ends_as_its_epilogue_says() {
    let mut random = Random(4);
    // The last one's rank takes lanes more than one round.
    let cases = [
        (7, 65, [8, 4], 1, Format::F16, false),
        (66, 33, [20, 4], 3, Format::Q8, true),
        (40, 96, [64, 32], 8, Format::Q4, true),
        (16, 300, [1, 1], 2, Format::Q4, false),
        (24, 40, [300, 4], 2, Format::Q8, true),
    ];
    let on_each = cases
        .iter()
        .flat_map(|case| gpus().take(3).map(move |gpu| (gpu, *case)));
    for (gpu, (rows, k, [rank, experts], columns, format, q8)) in on_each {
        let (matrix, w) = matrix(gpu, &mut random, [rows, k], format, Cut::Rows);
        let (low, tensors) = low_rank(gpu, &mut random, [rows, k], [rank, experts], q8, &matrix);
        let h = normal(&mut random, columns * k);
        let z = normal(&mut random, columns * (rank + experts));
        let want = hlora_expand::reference(&w, &h, &tensors.b, &z, [k, rank, experts]);
        let bounds = hlora_expand::reference(
            &magnitudes(&w),
            &magnitudes(&h),
            &magnitudes(&tensors.b),
            &magnitudes(&z),
            [k, rank, experts],
        );
        let bounds: Vec<f64> = bounds.iter().map(|x| x.abs() + 10.0).collect();
        let start = normal(&mut random, columns * rows);
        let on_gpu = gpu.floats("h", &padded(&h, k)).unwrap();
        let products = gpu.floats("z", &z).unwrap();
        let scratch: Vec<_> = (0..3).map(|_| gpu.zeros("nothing", 256).unwrap()).collect();
        let sequence = Sequence {
            columns: &scratch[0],
            rope: &scratch[1],
            kv: &scratch[2],
        };
        let epilogues = [Epilogue::Store, Epilogue::Add, Epilogue::SwiGlu];
        // gate and up rows are halves of an even number.
        let fitting = epilogues
            .iter()
            .filter(|e| **e != Epilogue::SwiGlu || rows % 2 == 0);
        for epilogue in fitting {
            let y = gpu.floats("y", &start).unwrap();
            let width = if *epilogue == Epilogue::SwiGlu {
                rows / 2
            } else {
                rows
            };
            let expand = Expand {
                shard: &matrix.shards[0],
                index: 0,
                low_rank: Some(&low),
                epilogue: *epilogue,
                y_stride: width as u32,
                row0: 0,
                columns: columns as u32,
            };
            let dispatch = expand
                .dispatch(gpu, &on_gpu, &products, sequence, &y)
                .unwrap();
            let _ = gpu.submit(&[dispatch]);
            let got = gpu.read_floats(&y, columns * width).unwrap();
            let want: Vec<f64> = match epilogue {
                Epilogue::Add => want
                    .iter()
                    .zip(&start)
                    .map(|(y, x)| y + f64::from(*x))
                    .collect(),
                Epilogue::SwiGlu => want
                    .chunks(rows)
                    .flat_map(|y| (0..width).map(|j| y[width + j] * y[j] / (1.0 + (-y[j]).exp())))
                    .collect(),
                _ => want.clone(),
            };
            // A product of two sums: each is off by its own bound times the other.
            let bounds: Vec<f64> = match epilogue {
                Epilogue::SwiGlu => bounds
                    .chunks(rows)
                    .flat_map(|b| (0..width).map(|j| 2.0 * b[j] * b[width + j]))
                    .collect(),
                _ => bounds.clone(),
            };
            let place =
                format!("{format:?} {rows} x {k}, rank {rank}, {columns} columns, {epilogue:?}");
            assert_close(&got, &want, &bounds, &place);
        }
    }
}

#[test]
fn gemm_multiplies_many_tokens_and_takes_the_low_rank_term_along() {
    gemm_on(gpus().next().unwrap(), 1.0);
}

/// Where this adapter has any: that of Mesa 22.3 has none, that of Mesa 26.2 has 8 x 8 of f16.
#[test]
fn matrix_units_give_what_gemm_gives_within_the_rounding_of_their_products() {
    let gpu = gpus().next().unwrap();
    for cooperative in &gpu.cooperative {
        let units = gpu.tuned(Tuning {
            cooperative: Some(*cooperative),
            ..gpu.tuning
        });
        // Both factors are rounded to 11 bits: each product is off by up to 2^-11 twice, which is 98 times 1e-5.
        gemm_on(&units, if cooperative.half { 98.0 } else { 1.0 });
    }
}

/// `factor`: by how much more than f32's rounding a product may be off.
fn gemm_on(gpu: &Gpu, factor: f64) {
    let mut random = Random(5);
    for (tokens, rows, k, [rank, experts], format, q8) in [
        (1, 7, 65, [8, 4], Format::F16, false),
        (65, 66, 33, [20, 4], Format::Q8, true),
        (70, 130, 96, [64, 32], Format::Q4, true),
    ] {
        let (matrix, w) = matrix(gpu, &mut random, [rows, k], format, Cut::Rows);
        let (low, tensors) = low_rank(gpu, &mut random, [rows, k], [rank, experts], q8, &matrix);
        let x = normal(&mut random, tokens * k);
        let z = normal(&mut random, tokens * (rank + experts));
        let gates = hlora_gate::reference(&z, rank, experts);
        let gates: Vec<f32> = gates.iter().map(|x| *x as f32).collect();
        let on_gpu = gpu.floats("x", &padded(&x, k)).unwrap();
        let z_gpu = gpu.floats("z", &z).unwrap();
        let stride = padded(&gates, rank).len() / tokens;
        let g = gpu.zeros("g", 4 * (tokens * stride) as u64).unwrap();
        let y = gpu.zeros("y", 4 * (tokens * rows) as u64).unwrap();
        let whole = Gemm {
            shard: &matrix.shards[0],
            index: 0,
            low_rank: Some(&low),
            from: 0,
            rows: rows as u32,
            row0: 0,
            y_stride: rows as u32,
            tokens: tokens as u32,
            add: false,
        };
        let tail = Gemm {
            from: 5,
            rows: rows as u32 - 5,
            row0: 5,
            add: true,
            ..whole
        };
        let _ = gpu.submit(&[
            Gate::whole(rank as u32, experts as u32, tokens as u32)
                .dispatch(gpu, &z_gpu, &g)
                .unwrap(),
            whole.dispatch(gpu, &on_gpu, &g, &y).unwrap(),
            tail.dispatch(gpu, &on_gpu, &g, &y).unwrap(),
        ]);
        let got = gpu.read_floats(&y, tokens * rows).unwrap();
        let mut want = gemm::reference(&w, &x, &tensors.b, &gates, k, rank);
        for (i, y) in want.iter_mut().enumerate() {
            if i % rows >= 5 {
                *y *= 2.0;
            }
        }
        let bounds = gemm::reference(
            &magnitudes(&w),
            &magnitudes(&x),
            &magnitudes(&tensors.b),
            &magnitudes(&gates),
            k,
            rank,
        );
        let bounds: Vec<f64> = bounds.iter().map(|x| 2.0 * factor * x).collect();
        assert_close(
            &got,
            &want,
            &bounds,
            &format!(
                "{format:?} {tokens} x {rows} x {k}, {:?}",
                gpu.tuning.cooperative
            ),
        );
    }
}
