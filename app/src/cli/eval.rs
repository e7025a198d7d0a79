//! `workbench eval`: a model's pictures against true ones, on subjects it has not seen.

use std::ops::ControlFlow;

use engine::Error;
use engine::device::choose;
use engine::eval::{PairEval, evaluate};
use engine::model::HealthGpt;
use serde_json::json;

use super::args::{EvalArgs, Global};
use super::console::{Console, NOTICE, UNTRAINED};
use super::failure::Failure;
use super::{assets, worker};

/// Prints a row per slice and the summary.
///
/// # Errors
/// The model or the pairs cannot be read, or the model lacks the task.
pub fn run(args: &EvalArgs, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
    let dir = match &global.model {
        Some(dir) => dir.clone(),
        None => assets::model()?,
    };
    let choice = global.device;
    let eval = PairEval {
        pairs: args.pairs.clone(),
        task: args.task,
        every: args.every as usize,
        save_images: args.save_images.clone(),
    };
    let (device, manifest, report) = worker::run("loading", console, move |reporter| {
        let (device, info) = choose(choice).map_err(Error::NoAdapter)?;
        let mut go_on = |stage: &str, done: usize, of: usize| {
            reporter.report(stage, done, of);
            ControlFlow::Continue(())
        };
        let model = HealthGpt::load(&dir, &device, &mut go_on)?;
        let report = evaluate(&model, &eval, &mut |done, of| go_on("slices", done, of))?;
        Ok((info, model.layout.manifest, report))
    })?;
    console.say(&format!("device: {}: {}", device.name, device.reason));
    if !manifest.trained {
        console.print(&format!("[{UNTRAINED}]\n"))?;
    }
    console.print("subject     slice    SSIM    PSNR       MSE     MAE\n")?;
    for row in &report.rows {
        let s = &row.scores;
        console.print(&format!(
            "{:<10} {:>6} {:>7.2} {:>7.2} {:>9.1} {:>7.2}\n",
            row.subject, row.slice, s.ssim, s.psnr, s.mse, s.mae
        ))?;
    }
    let summary = &report.summary;
    console.print(&format!(
        "\n{} slices of {} subjects, {}\n",
        summary.n,
        summary.subjects,
        report.task.label()
    ))?;
    for (name, interval) in &summary.intervals {
        console.print(&format!(
            "{name:<5} {:>9.2}  [{:.2}, {:.2}]\n",
            interval.mean, interval.low, interval.high
        ))?;
    }
    let copy = &summary.copy;
    console.print(&format!(
        "copying the input: SSIM {:.2}, PSNR {:.2}, MSE {:.1}, MAE {:.2}\n{}\n",
        copy.ssim, copy.psnr, copy.mse, copy.mae, summary.definition
    ))?;
    console.print_json(&json!({
        "model": manifest.name,
        "untrained_test_model": !manifest.trained,
        "notice": NOTICE,
        "device": device,
        "task": report.task,
        "rows": report.rows,
        "summary": summary,
    }))
}
