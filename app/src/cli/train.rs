//! `workbench train`: a configuration to weights, from the last checkpoint if there is one.

use std::ops::ControlFlow;

use engine::device::choose;
use engine::training::job::Job;
use engine::training::step::TrainStep;
use engine::{DeviceChoice, Error};
use serde_json::json;

use super::args::{Global, TrainArgs};
use super::console::Console;
use super::failure::Failure;
use super::worker;

/// Trains until the configuration's last step, or for a number of steps.
///
/// # Errors
/// What [`Job::run`] reports; the last good checkpoint stays.
pub fn run(args: &TrainArgs, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
    let job = Job::open(&args.config).map_err(Error::from)?;
    // Training on a software rasteriser would take days: only a real GPU is better than the CPU.
    let choice = global.device;
    let out = job.out().clone();
    let stop_after = args.stop_after;
    let stepless = matches!(job, Job::New(_) | Job::Average(_));
    let (device_name, last) = worker::run("reading data", console, move |reporter| {
        let (device, info) = choose(choice).map_err(Error::NoAdapter)?;
        let mut last: Option<TrainStep> = None;
        let mut here = 0;
        job.run(&device, &mut |step| {
            here += 1;
            if step.scores.keys().any(|name| name.starts_with("val ")) {
                tracing::info!(step = step.step, loss = step.loss, scores = ?step.scores, "validated");
            }
            let stage = format!("loss {:.4}, step", step.loss);
            reporter.report(&stage, step.step as usize, step.of as usize);
            // The scores of the last validation stand until there are newer ones.
            let mut now = step.clone();
            for (name, score) in last.take().into_iter().flat_map(|last| last.scores) {
                let _ = now.scores.entry(name).or_insert(score);
            }
            last = Some(now);
            if stop_after.is_some_and(|limit| here >= limit) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .map_err(Error::from)?;
        Ok((info.name, last))
    })?;
    let summary = match &last {
        None if stepless => "the model was written\n".to_owned(),
        None => "nothing was left to train\n".to_owned(),
        Some(step) => {
            let scores = step
                .scores
                .iter()
                .map(|(name, score)| format!("; {name} {score:.3}"));
            format!(
                "step {} of {}: loss {:.4}, {:.0} s in all{}\n",
                step.step,
                step.of,
                step.loss,
                step.elapsed_secs,
                scores.collect::<String>()
            )
        }
    };
    if global.device == DeviceChoice::Auto {
        console.say(&format!("device: {device_name}"));
    }
    console.print(&summary)?;
    console.print(&format!(
        "log, checkpoint and result in {}\n",
        out.display()
    ))?;
    console.print_json(&json!({ "out": out, "last": last, "device": device_name }))
}
