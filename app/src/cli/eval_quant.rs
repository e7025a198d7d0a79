//! `workbench eval-quant`: what rounding a model's weights costs.

use std::ops::ControlFlow;

use engine::device::choose;
use engine::model::quality::eval_quant;
use engine::model::{HealthGpt, LlmChoice};
use engine::{DeviceChoice, Error};
use serde_json::json;

use super::args::{EvalQuantArgs, Global};
use super::assets;
use super::console::{Console, UNTRAINED};
use super::failure::Failure;
use super::worker;

/// Runs the model as it is and rounded, and prints how they agree.
///
/// # Errors
/// The model does not load or answers no questions.
pub fn run(
    args: &EvalQuantArgs,
    global: &Global,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let dir = match &global.model {
        Some(dir) => dir.clone(),
        None => assets::model()?,
    };
    let (format, steps) = (args.format, args.steps as usize);
    let (quality, trained) = worker::run("loading", console, move |reporter| {
        // The twin on the CPU: a device choice would only change the time.
        let (device, _) = choose(DeviceChoice::Cpu).map_err(Error::NoAdapter)?;
        let mut on_load = |stage: &str, done, of| {
            reporter.report(stage, done, of);
            ControlFlow::Continue(())
        };
        let mut model = HealthGpt::load_as(&dir, &device, LlmChoice::Twin(None), &mut on_load)?;
        let mut on_question = |done, of| {
            reporter.report("questions", done, of);
            ControlFlow::Continue(())
        };
        let quality = eval_quant(&mut model, format, steps, &mut on_question)?;
        Ok((quality, model.layout.manifest.trained))
    })?;
    if !trained {
        console.print(&format!("[{UNTRAINED}]\n"))?;
    }
    console.print(&format!(
        "{} against unrounded weights, {} steps\n\
         same token           {:.1} %\n\
         where it is clear    {:.1} % (the first choice leads by more than 0.05)\n\
         logits differ by     {:.4} (root mean square; the logits' own is {:.3}), {:.3} at most\n\
         divergence           {:.5} nats\n",
        format.name(),
        quality.steps,
        quality.agreement_percent,
        quality.clear_agreement_percent,
        quality.logit_rms,
        quality.logits_rms,
        quality.logit_max,
        quality.divergence_nats,
    ))?;
    console.print_json(&json!({
        "format": format,
        "quality": quality,
        "untrained_test_model": !trained,
    }))
}
