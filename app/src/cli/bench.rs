//! `workbench bench`: what the kernels do on this adapter, or packed rows on the CPU, next to what it could do.

use engine::bench::{BenchOptions, BenchReport, CPU_PARTS, bench, bench_cpu};
use engine::device::{NoAdapter, choose, kernels_on};
use engine::{DeviceChoice, Error, ModelError};
use serde_json::json;

use super::args::{BenchArgs, Global};
use super::console::Console;
use super::failure::Failure;
use super::worker;

/// Measures and prints one table. Any adapter is measured, a software rasteriser too; its name stands above the table. With
/// `--device cpu` it is the language model without a GPU.
///
/// # Errors
/// No adapter, no room on it, or a lost device.
pub fn run(args: &BenchArgs, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
    let options = BenchOptions {
        quick: args.quick,
        parts: args.parts.clone(),
    };
    let adapter = match global.device {
        DeviceChoice::Adapter(place) => DeviceChoice::Adapter(place),
        _ => DeviceChoice::Gpu,
    };
    let on_cpu = global.device == DeviceChoice::Cpu;
    let elsewhere = |part: &&String| on_cpu && !CPU_PARTS.contains(&part.as_str());
    if let Some(part) = options.parts.iter().find(elsewhere) {
        return Err(Failure::usage(format!(
            "the part {part} measures GPU kernels; leave out --device cpu"
        )));
    }
    let report = worker::run("measuring", console, move |reporter| {
        if on_cpu {
            let mut on_stage = |stage: &str, done, of| {
                reporter.report(stage, done, of);
                std::ops::ControlFlow::Continue(())
            };
            return Ok(bench_cpu(&options, &mut on_stage));
        }
        let (device, info) = choose(adapter).map_err(Error::NoAdapter)?;
        let gpu = kernels_on(&device).ok_or(Error::NoAdapter(NoAdapter(info.name)))?;
        let mut on_stage = |stage: &str, done, of| {
            reporter.report(stage, done, of);
            std::ops::ControlFlow::Continue(())
        };
        Ok(bench(gpu, options, &mut on_stage).map_err(ModelError::Gpu)?)
    })?;
    console.print(&table(&report))?;
    console.print_json(&json!(report))
}

fn table(report: &BenchReport) -> String {
    let mut text = format!(
        "{} ({}, {})\n",
        report.adapter,
        report.kind,
        report.driver.trim()
    );
    let width = report
        .measurements
        .iter()
        .map(|m| m.name.chars().count())
        .max();
    let width = width.unwrap_or(0);
    let mut section = "";
    for line in &report.measurements {
        if line.section != section {
            section = line.section;
            text.push_str(&format!("\n{section}\n"));
        }
        let value = if line.value.abs() >= 100.0 {
            format!("{:.0}", line.value)
        } else {
            format!("{:.3}", line.value)
        };
        let row = format!(
            "  {:width$}  {value:>9} {:<10}  {}",
            line.name, line.unit, line.note
        );
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}
