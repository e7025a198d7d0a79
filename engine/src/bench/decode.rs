//! Decoding of whole models: tokens per second, several sequences together, prompts, dispatches, host time and memory.

use std::time::Instant;

use super::hlora::plugin_format;
use super::synthetic::{Size, synthetic_plan};
use super::{Bench, Stopwatch, memory_mib, peak_memory_mib};
use crate::gpu::packer::Formats;
use crate::gpu::plan::{Choosing, Column, PromptRow};
use crate::gpu::{Dispatch, Format, GpuError, Plan};
use crate::model::Sampling;

/// Layers of M3.
const M3_LAYERS: usize = 32;

fn choosing(size: &Size) -> Choosing {
    Choosing {
        tokens: 0..size.vocabulary as u32,
        sampling: Sampling::default(),
    }
}

fn prompt(rows: usize) -> Vec<PromptRow> {
    (0..rows)
        .map(|i| PromptRow::Token(i as u32 % 100))
        .collect()
}

/// Seconds per step of `columns` sequences at once, the least of several submissions.
fn step_seconds(
    plan: &mut Plan,
    size: &Size,
    plugin: Option<usize>,
    columns: u32,
    steps: u32,
    rounds: usize,
) -> Result<f64, GpuError> {
    let choosing = choosing(size);
    let mut least = f64::MAX;
    for round in 0..=rounds {
        let states: Vec<Column> = (0..columns)
            .map(|slot| Column {
                token: 5,
                position: 64,
                slot,
                step: 0,
            })
            .collect();
        plan.begin(&states);
        let started = Stopwatch::start(&plan.gpu);
        let ticket = plan.submit(plugin, None, columns, &choosing, 0..steps)?;
        let _ = plan.collect(ticket)?;
        if round > 0 {
            least = least.min(started.seconds() / f64::from(steps));
        }
    }
    Ok(least)
}

/// Everything about decoding.
pub fn decoding(bench: &mut Bench<'_>) -> Result<(), GpuError> {
    let (size, steps, rounds) = if bench.options.quick {
        (Size::QUICK, 8, 3)
    } else {
        (Size::TINY, 4, 6)
    };
    let shape = format!("{} wide, {} blocks", size.hidden, size.layers);
    for format in Format::ALL {
        let formats = Formats::of(format);
        let gpu = crate::gpu::SharedGpu::clone(&bench.gpu);
        let mut plan = synthetic_plan(&gpu, size, formats, &[(64, 4)], 1152, 8)?;
        let head = size.vocabulary * formats.head.row_bytes(size.hidden);
        let linear = size.linear_weights() / size.hidden * format.row_bytes(size.hidden);
        let floor = (head + linear) as f64 / bench.bandwidth;
        let plain = step_seconds(&mut plan, &size, None, 1, steps, rounds)?;
        let plugged = step_seconds(&mut plan, &size, Some(0), 1, steps, rounds)?;
        let name = |what: &str| format!("{what}, {shape}, {}", format.name());
        let note = format!(
            "{:.1} % of the speed its bytes allow",
            100.0 * floor / plain
        );
        bench
            .report
            .add("decode", name("no plug-in"), 1.0 / plain, "tokens/s", note);
        let added = size.plugin_bytes(64, 4, plugin_format(&formats)) as f64;
        let bytes = 1.0 + added / (head + linear) as f64;
        let note = format!(
            "{:.3}x the time of no plug-in; {bytes:.3}x by its bytes",
            plugged / plain
        );
        bench.report.add(
            "decode",
            name("plug-in of rank 64"),
            1.0 / plugged,
            "tokens/s",
            note,
        );
        for columns in [2, 4, 8] {
            let together = step_seconds(&mut plan, &size, Some(0), columns, steps, rounds)?;
            let speed = f64::from(columns) / together;
            let note = format!("{:.2}x one sequence", speed * plugged);
            bench.report.add(
                "slices together",
                name(&format!("{columns} sequences")),
                speed,
                "tokens/s",
                note,
            );
        }
        let rows = prompt(64);
        let mut least = f64::MAX;
        for _ in 0..2 {
            let started = Stopwatch::start(&gpu);
            let last = plan.prefill(Some(0), 0, 0, &rows)?;
            let _ = plan.logits(Some(0), last, 1, 0..1)?;
            least = least.min(started.seconds());
        }
        bench
            .report
            .add("prompt", name("64 tokens"), 64.0 / least, "tokens/s", "");
        if format == Format::Q8 {
            host(bench, &mut plan, &size)?;
        }
        by_kernel(bench, &mut plan, &size, &name("a token's time"))?;
    }
    if let Some(peak) = peak_memory_mib() {
        bench
            .report
            .add("memory", "most this process held", peak, "MiB", "");
    }
    Ok(())
}

/// Where a token's time goes: the dispatches of each kernel alone, as often as a token has them.
fn by_kernel(
    bench: &mut Bench<'_>,
    plan: &mut Plan,
    size: &Size,
    name: &str,
) -> Result<(), GpuError> {
    plan.begin(&[Column {
        token: 5,
        position: 64,
        ..Column::default()
    }]);
    let all = plan.dispatches(Some(0), &choosing(size))?;
    let mut stems: Vec<&str> = Vec::new();
    for dispatch in &all {
        if !stems.contains(&dispatch.stem) {
            stems.push(dispatch.stem);
        }
    }
    let of = |stem: &&str| -> Vec<Dispatch> {
        let own = all.iter().filter(|dispatch| dispatch.stem == *stem);
        own.cloned().collect()
    };
    let lists: Vec<Vec<Dispatch>> = stems.iter().map(of).collect();
    let seconds = bench.seconds(&lists, 4)?;
    let sum: f64 = seconds.iter().sum();
    for ((stem, list), seconds) in stems.iter().zip(&lists).zip(seconds) {
        let share = 100.0 * seconds / sum;
        let note = format!("{} dispatches, {share:.0} % of the kernels", list.len());
        bench.report.add(
            "where a token's time goes",
            format!("{name}, {stem}"),
            1e3 * seconds,
            "ms",
            note,
        );
    }
    Ok(())
}

/// What the host does for a token, and what it keeps.
fn host(bench: &mut Bench<'_>, plan: &mut Plan, size: &Size) -> Result<(), GpuError> {
    let choosing = choosing(size);
    let all = plan.dispatches(Some(0), &choosing)?.len();
    let fixed = {
        let body = plan.dispatches_of_body(Some(0))?;
        let embedding = 1;
        (body - embedding) / size.layers
    };
    let rest = all - fixed * size.layers;
    let note = format!(
        "{fixed} in a block and {rest} besides: {} for M3",
        fixed * M3_LAYERS + rest
    );
    bench
        .report
        .add("host", "dispatches of one token", all as f64, "", note);
    let tickets = 20;
    let mut least = f64::MAX;
    for _ in 0..tickets {
        plan.begin(&[Column::default()]);
        let started = Instant::now();
        let ticket = plan.submit(Some(0), None, 1, &choosing, 0..1)?;
        least = least.min(started.elapsed().as_secs_f64());
        let _ = plan.collect(ticket)?;
    }
    let note = format!("{:.1} us a dispatch", 1e6 * least / all as f64);
    bench.report.add(
        "host",
        "recording and submitting one token",
        1e3 * least,
        "ms",
        note,
    );
    bench
        .report
        .add("host", "read back for one token", 4.0, "B", "");
    // Flat memory: as many tokens as an image has. The first time, a driver in software touches the pages of keys and values, which
    // were reserved and not yet taken; the second time nothing may be added.
    let tokens: u32 = if bench.options.quick { 128 } else { 1000 };
    let mut held = vec![memory_mib()];
    for _ in 0..2 {
        plan.begin(&[Column::default()]);
        let mut step = 0;
        while step < tokens {
            let steps = step..(step + 8).min(tokens);
            step = steps.end;
            let ticket = plan.submit(Some(0), None, 1, &choosing, steps)?;
            let _ = plan.collect(ticket)?;
        }
        held.push(memory_mib());
    }
    if let [Some(before), Some(first), Some(second)] = held[..] {
        let name = format!("growth over {tokens} tokens");
        let note = format!("{:.0} MiB the first time", first - before);
        bench
            .report
            .add("memory", name, second - first, "MiB", note);
    }
    Ok(())
}
