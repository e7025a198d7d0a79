//! `workbench convert`: raw downloads to a model directory. It converts weights, not pictures.

use std::ops::ControlFlow;

use engine::model::convert::{ConvertOptions, convert};
use serde_json::json;

use super::args::ConvertArgs;
use super::console::{Console, UNTRAINED};
use super::failure::Failure;
use super::worker;

/// Writes the model directory.
///
/// # Errors
/// The raw files are incomplete or damaged, or the directory exists or cannot be written.
pub fn run(args: &ConvertArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let options = ConvertOptions {
        name: args.name.clone(),
        variant: args.variant.clone(),
        licence: args.licence.clone(),
        untrained: args.untrained,
        format: args.format,
        plugin_format: args.plugin_format,
    };
    let (raw, out) = (args.raw_dir.clone(), args.out_dir.clone());
    let manifest = worker::run("reading", console, move |reporter| {
        let manifest = convert(&raw, &out, &options, &mut |stage, done, of| {
            reporter.report(stage, done, of);
            ControlFlow::Continue(())
        })?;
        Ok(manifest)
    })?;
    let capabilities: Vec<String> = manifest
        .plugins
        .iter()
        .flat_map(|plugin| plugin.capabilities.iter().map(ToString::to_string))
        .collect();
    if !manifest.trained {
        console.print(&format!("[{UNTRAINED}]\n"))?;
    }
    console.print(&format!(
        "{} ({}): {}; in {}\n",
        manifest.name,
        manifest.variant,
        capabilities.join(", "),
        args.out_dir.display(),
    ))?;
    console.print_json(&json!({
        "out": args.out_dir,
        "manifest": manifest,
        "untrained_test_model": !manifest.trained,
    }))
}
