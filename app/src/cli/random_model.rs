//! `workbench random-model`: a folder with random weights in the size of a released model.

use std::ops::ControlFlow;

use engine::model::random_model::write_random;
use serde_json::json;

use super::args::RandomModelArgs;
use super::assets;
use super::console::{Console, UNTRAINED};
use super::failure::Failure;
use super::worker;

/// Writes the folder.
///
/// # Errors
/// It exists or cannot be written.
pub fn run(args: &RandomModelArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let (out, shape, like) = (args.out_dir.clone(), args.shape, assets::model()?);
    let manifest = worker::run("writing", console, move |reporter| {
        let mut on_progress = |stage: &str, done, of| {
            reporter.report(stage, done, of);
            ControlFlow::Continue(())
        };
        Ok(write_random(&out, shape, &like, &mut on_progress)?)
    })?;
    console.print(&format!(
        "[{UNTRAINED}]\n{} in {}\n",
        manifest.name,
        args.out_dir.display()
    ))?;
    console.print_json(
        &json!({ "out": args.out_dir, "manifest": manifest, "untrained_test_model": true }),
    )
}
