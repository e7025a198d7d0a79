//! `workbench train`: a configuration to weights, from the last checkpoint if there is one.

use std::ops::ControlFlow;

use engine::device::choose;
use engine::training::autoencoder::{TrainStep, train};
use engine::training::config::AutoencoderConfig;
use engine::{DeviceChoice, Error};
use serde_json::json;

use super::args::{Global, TrainArgs};
use super::console::Console;
use super::failure::Failure;
use super::worker;

/// Trains until the configuration's last step, or for a number of steps.
///
/// # Errors
/// What [`train`] reports; the last good checkpoint stays.
pub fn run(args: &TrainArgs, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
    let config = AutoencoderConfig::open(&args.config).map_err(Error::from)?;
    // Training on a software rasteriser would take days: only a real GPU is better than the CPU.
    let choice = global.device;
    let out = config.out.clone();
    let stop_after = args.stop_after;
    let (device_name, last) = worker::run("reading pairs", console, move |reporter| {
        let (device, info) = choose(choice).map_err(Error::NoAdapter)?;
        let mut last: Option<TrainStep> = None;
        let mut here = 0;
        let _ = train(&config, &device, &mut |step| {
            here += 1;
            if let Some([ct, mr]) = step.val_ssim {
                tracing::info!(
                    step = step.step,
                    loss = step.loss,
                    ssim_ct = ct,
                    ssim_mr = mr,
                    "validated"
                );
            }
            let stage = format!("loss {:.4}, step", step.loss);
            reporter.report(&stage, step.step as usize, step.of as usize);
            last = Some(TrainStep {
                val_ssim: step.val_ssim.or(last.and_then(|last| last.val_ssim)),
                ..*step
            });
            if stop_after.is_some_and(|limit| here >= limit) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .map_err(Error::from)?;
        Ok((info.name, last))
    })?;
    let summary = match last {
        None => "nothing was left to train\n".to_owned(),
        Some(step) => {
            let ssim = step.val_ssim.map_or(String::new(), |[ct, mr]| {
                format!("; validation reconstruction SSIM {ct:.1} (CT), {mr:.1} (MR)")
            });
            format!(
                "step {} of {}: loss {:.4}, L1 {:.4}, {:.0} s in all{ssim}\n",
                step.step, step.of, step.loss, step.l1, step.elapsed_secs
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
