//! The adapter's own limits, and single products as shares of them.

use std::ops::Range;

use super::synthetic::{Size, product_shapes};
use super::{Bench, Stopwatch};
use crate::gpu::gemm::Gemm;
use crate::gpu::gemv::Gemv;
use crate::gpu::packer::{Formats, Packer};
use crate::gpu::weights::{Cut, Matrix};
use crate::gpu::{Format, Gpu, GpuError, Tuning, fma_peak, tuner};
use crate::model::random::Random;

/// Copy bandwidth and multiply-adds.
pub fn adapter(bench: &mut Bench<'_>) -> Result<(), GpuError> {
    let gpu = &bench.gpu;
    let bytes: u64 = if bench.options.quick {
        8 << 20
    } else {
        64 << 20
    };
    let from = gpu.zeros("a copy", bytes)?;
    let to = gpu.zeros("a copy", bytes)?;
    let mut least = f64::MAX;
    for _ in 0..=bench.rounds() {
        let started = Stopwatch::start(gpu);
        let mut encoder = gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&from, 0, &to, 0, bytes);
        gpu.wait(gpu.queue.submit([encoder.finish()]))?;
        least = least.min(started.seconds());
    }
    bench.bandwidth = 2.0 * bytes as f64 / least;
    let groups = if bench.options.quick { 256 } else { 4096 };
    let y = gpu.zeros("results", u64::from(groups) * 1024)?;
    let (dispatch, operations) = fma_peak::dispatch(gpu, groups, &y)?;
    let seconds = bench.seconds(&[vec![dispatch]], 1)?;
    bench.peak = operations / seconds.first().copied().unwrap_or(f64::MAX);
    let (bandwidth, peak) = (bench.bandwidth / 1e9, bench.peak / 1e9);
    bench
        .report
        .add("adapter", "copy, read and written", bandwidth, "GB/s", "");
    bench
        .report
        .add("adapter", "multiply-adds in f32", peak, "GFLOP/s", "");
    Ok(())
}

/// What the tuner tries on an adapter that it sees for the first time.
pub fn workgroups(bench: &mut Bench<'_>) -> Result<(), GpuError> {
    let tried = tuner::try_all(&bench.gpu)?;
    let own = tried.first().map_or(f64::NAN, |own| own.seconds);
    let best = tuner::best(&tried);
    for one in &tried {
        let tuning = one.tuning;
        let name = format!(
            "{} lanes, {} units in turn, {} groups of rows",
            tuning.lanes, tuning.span, tuning.groups
        );
        let note = match (best == Some(tuning), tuning == bench.gpu.tuning) {
            (true, true) => "in use, and to be kept",
            (true, false) => "faster than what is in use",
            (false, true) => "in use",
            (false, false) => "",
        };
        let ratio = own / one.seconds;
        bench
            .report
            .add("workgroups", name, ratio, "x in use", note);
    }
    let tried = tuner::try_units(&bench.gpu)?;
    let plain = tried.first().map_or(f64::NAN, |plain| plain.seconds);
    let best = tuner::best_units(&tried);
    for one in tried.iter().filter(|one| one.units.is_some()) {
        let name = one
            .units
            .map_or_else(String::new, |units| units.to_string());
        let note = match (one.agrees, best == one.units) {
            (false, _) => "other numbers than the plain kernel's: not used",
            (true, true) => "to be kept",
            (true, false) => "",
        };
        let ratio = plain / one.seconds;
        bench
            .report
            .add("workgroups", name, ratio, "x plain gemm", note);
    }
    Ok(())
}

fn random_matrix(
    bench: &Bench<'_>,
    rows: usize,
    k: usize,
    format: Format,
) -> Result<Matrix, GpuError> {
    let config = Size::QUICK.config();
    let packer = Packer {
        gpu: &bench.gpu,
        formats: Formats::of(format),
        config: &config,
        vocabulary: (0, 0),
    };
    let values = |range: Range<usize>| {
        let mut random = Random(range.start as u64);
        let draws = (0..range.len() * k).map(|_| random.uniform() as f32 - 0.5);
        draws.collect()
    };
    packer.matrix([rows, k], format, Cut::Rows, None, &values)
}

/// Matrices of M3's shapes (or smaller ones) by one column, by eight, and by many tokens.
pub fn products(bench: &mut Bench<'_>) -> Result<(), GpuError> {
    let shapes = product_shapes(bench.options.quick);
    let formats = if bench.options.quick {
        &[Format::F16, Format::Q8, Format::Q4][..]
    } else {
        &Format::ALL[..]
    };
    for (name, rows, k) in shapes {
        for format in formats {
            let matrix = random_matrix(bench, *rows, *k, *format)?;
            let gpu = &bench.gpu;
            let tokens = 64;
            let x = gpu.zeros("x", 4 * (tokens * k) as u64)?;
            let y = gpu.zeros("y", 4 * (tokens * rows) as u64)?;
            let columns = |columns: u32| {
                let shards = matrix.shards.iter().map(|shard| {
                    let product = Gemv {
                        shard,
                        from: 0,
                        rows: shard.rows,
                        row0: shard.row0,
                        y_stride: *rows as u32,
                        columns,
                        add: false,
                    };
                    product.dispatch(gpu, &x, &y)
                });
                shards.collect::<Result<Vec<_>, _>>()
            };
            let many = |gpu: &Gpu| {
                let shards = matrix.shards.iter().map(|shard| {
                    let product = Gemm::frozen(shard, tokens as u32, *rows as u32);
                    product.dispatch(gpu, &x, &x, &y)
                });
                shards.collect::<Result<Vec<_>, _>>()
            };
            // Plainly, and with each of the adapter's matrix units.
            let kinds: Vec<_> = std::iter::once(None)
                .chain(gpu.cooperative.iter().copied().map(Some))
                .collect();
            let gemms = kinds.iter().map(|cooperative| {
                many(&gpu.tuned(Tuning {
                    cooperative: *cooperative,
                    ..gpu.tuning
                }))
            });
            let gemms = gemms.collect::<Result<Vec<_>, _>>()?;
            let seconds = bench.seconds(&[columns(1)?, columns(8)?], 2)?;
            let weights = (rows * k) as f64;
            let bytes = (rows * format.row_bytes(*k)) as f64;
            let shape = format!("{name} {rows} x {k} {}", format.name());
            let (bandwidth, peak) = (bench.bandwidth, bench.peak);
            if let [one, eight] = seconds.as_slice() {
                let share = 100.0 * bytes / one / bandwidth;
                let note = format!("{share:.1} % of the copy bandwidth");
                bench
                    .report
                    .add("gemv", &shape, weights / one / 1e6, "Mweights/s", note);
                let gain = format!("{:.2}x the columns per second of one", 8.0 * one / eight);
                bench.report.add(
                    "gemv, 8 columns",
                    &shape,
                    8.0 * weights / eight / 1e6,
                    "Mweights/s",
                    gain,
                );
            }
            let seconds = bench.seconds(&gemms, 1)?;
            for (cooperative, seconds) in kinds.iter().zip(&seconds) {
                let speed = 2.0 * weights * tokens as f64 / seconds;
                let note = format!("{:.1} % of the multiply-adds", 100.0 * speed / peak);
                let name = match cooperative {
                    None => shape.clone(),
                    Some(units) => format!("{shape}, {units}"),
                };
                bench
                    .report
                    .add("gemm, 64 tokens", name, speed / 1e9, "GFLOP/s", note);
            }
        }
    }
    Ok(())
}
