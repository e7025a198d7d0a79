//! Kernels without weights of their own: norms, activations, gathering.

use engine::gpu::embed_gather::{self, FEATURE};
use engine::gpu::group_norm_silu::GroupNorm;
use engine::gpu::hlora_gate::Gate;
use engine::gpu::packer::{Formats, Packer};
use engine::gpu::rmsnorm::{self, RmsNorm};
use engine::gpu::weights::Cut;
use engine::gpu::{Format, Tuning, hlora_gate, swiglu};
use engine::model::config::LlmConfig;
use engine::model::random::Random;

use super::{assert_close, cut, gpus, normal, padded};
use crate::support::tiny_model;

fn bounds(want: &[f64]) -> Vec<f64> {
    want.iter().map(|x| 10.0 * x.abs()).collect()
}

#[test]
fn rmsnorm_divides_by_the_root_of_the_mean_square() {
    let mut random = Random(9);
    for (gpu, (width, columns, first)) in
        gpus().zip([(1, 1, 0), (7, 3, 1), (65, 2, 4), (300, 1, 0)])
    {
        let x = normal(&mut random, (first + columns) * width);
        let gamma = normal(&mut random, width);
        let on_gpu = gpu.floats("x", &padded(&x, width)).unwrap();
        let gammas = gpu.floats("gamma", &padded(&gamma, width)).unwrap();
        let stride = padded(&gamma, width).len();
        let h = gpu.zeros("h", 4 * (columns * stride) as u64).unwrap();
        let norm = RmsNorm {
            width,
            eps: 1e-5,
            first: first as u32,
            columns: columns as u32,
        };
        let _ = gpu.submit(&[norm.dispatch(gpu, &on_gpu, &gammas, &h).unwrap()]);
        let got = gpu.read_floats(&h, columns * stride).unwrap();
        let want = rmsnorm::reference(&x[first * width..], &gamma, 1e-5);
        assert_close(
            &cut(&got, stride, width),
            &want,
            &bounds(&want),
            &format!("width {width}"),
        );
    }
}

#[test]
fn swiglu_multiplies_up_by_the_activated_gate() {
    let mut random = Random(10);
    for (gpu, (width, columns)) in gpus().zip([(1, 1), (7, 3), (65, 2), (200, 5)]) {
        let x = normal(&mut random, columns * 2 * width);
        let on_gpu = gpu.floats("x", &x).unwrap();
        let y = gpu.zeros("y", 4 * (columns * width) as u64).unwrap();
        let sizes = [width as u32, width as u32, columns as u32];
        let _ = gpu.submit(&[swiglu::dispatch(gpu, sizes, &on_gpu, &y).unwrap()]);
        let got = gpu.read_floats(&y, columns * width).unwrap();
        let want = swiglu::reference(&x, width);
        assert_close(&got, &want, &bounds(&want), &format!("width {width}"));
    }
}

#[test]
fn gates_are_the_experts_shares_and_nothing_past_the_rank() {
    let mut random = Random(11);
    for (gpu, (rank, experts, tokens)) in
        gpus().zip([(1, 1, 1), (8, 4, 7), (20, 5, 65), (64, 32, 2)])
    {
        let z = normal(&mut random, tokens * (rank + experts));
        let on_gpu = gpu.floats("z", &z).unwrap();
        let stride = padded(&vec![0.0; rank], rank).len();
        let g = gpu.floats("g", &vec![5.0; tokens * stride]).unwrap();
        let _ = gpu.submit(&[Gate::whole(rank as u32, experts as u32, tokens as u32)
            .dispatch(gpu, &on_gpu, &g)
            .unwrap()]);
        let got = gpu.read_floats(&g, tokens * stride).unwrap();
        let want = hlora_gate::reference(&z, rank, experts);
        let place = format!("rank {rank}, {experts} experts");
        assert_close(&cut(&got, stride, rank), &want, &bounds(&want), &place);
        assert!(
            got.chunks(stride)
                .all(|row| row[rank..].iter().all(|x| *x == 0.0))
        );
    }
}

#[test]
fn embeddings_come_from_their_shard_and_pictures_from_their_features() {
    let mut random = Random(12);
    let config = LlmConfig::open(&tiny_model().join("llm")).unwrap();
    for gpu in gpus().take(3) {
        let (rows, width) = (50, 40);
        // Numbers that f16 holds exactly.
        let table: Vec<f32> = (0..rows * width).map(|i| (i % 1000) as f32 / 8.0).collect();
        let small = gpu.tuned(Tuning {
            shard_bytes: 2048,
            ..gpu.tuning
        });
        let packer = Packer {
            gpu: &small,
            formats: Formats::of(Format::F16),
            config: &config,
            vocabulary: (0, 0),
        };
        let of =
            |range: std::ops::Range<usize>| table[range.start * width..range.end * width].to_vec();
        let matrix = packer
            .matrix([rows, width], Format::F16, Cut::Rows, None, &of)
            .unwrap();
        assert!(matrix.shards.len() > 1);
        let features = normal(&mut random, 3 * width);
        let tokens = [49, FEATURE | 2, 0, 16, 15, FEATURE, 17];
        let columns: Vec<u32> = tokens.iter().flat_map(|token| [*token, 0, 0, 0]).collect();
        let columns = gpu.words("columns", &columns).unwrap();
        let on_gpu = gpu.floats("features", &padded(&features, width)).unwrap();
        let stride = padded(&features, width).len() / 3;
        let x = gpu.zeros("x", 4 * (tokens.len() * stride) as u64).unwrap();
        for shard in &matrix.shards {
            let buffers = [&columns, &on_gpu, &x];
            let gather = embed_gather::dispatch(gpu, shard, buffers, tokens.len() as u32).unwrap();
            let _ = gpu.submit(&[gather]);
        }
        let got = gpu.read_floats(&x, tokens.len() * stride).unwrap();
        let want = embed_gather::reference(&table, &features, &tokens, width);
        assert_eq!(cut(&got, stride, width), want);
    }
}

#[test]
fn group_norm_takes_mean_and_variance_over_each_group() {
    let mut random = Random(13);
    for gpu in gpus().take(3) {
        for (groups, channels, pixels, silu) in
            [(1, 1, 7, false), (4, 3, 65, true), (32, 2, 9, true)]
        {
            let sizes = GroupNorm {
                groups,
                channels,
                pixels,
                eps: 1e-6,
                silu,
            };
            let all = (groups * channels) as usize;
            // A large mean shows cancellation, if there were any.
            let x: Vec<f32> = normal(&mut random, all * pixels as usize)
                .iter()
                .map(|x| x + 100.0)
                .collect();
            let (gamma, beta) = (normal(&mut random, all), normal(&mut random, all));
            let on_gpu = gpu.floats("x", &x).unwrap();
            let affine = [
                &gpu.floats("gamma", &gamma).unwrap(),
                &gpu.floats("beta", &beta).unwrap(),
            ];
            let y = gpu.zeros("y", 4 * x.len() as u64).unwrap();
            let _ = gpu.submit(&[sizes.dispatch(gpu, &on_gpu, affine, &y).unwrap()]);
            let got = gpu.read_floats(&y, x.len()).unwrap();
            let want = sizes.reference(&x, &gamma, &beta);
            // x has 24 bits for 100: 6e-6 of its deviation are lost before the kernel starts.
            let bounds = vec![5.0; want.len()];
            assert_close(
                &got,
                &want,
                &bounds,
                &format!("{groups} groups of {channels} x {pixels}"),
            );
        }
    }
}
