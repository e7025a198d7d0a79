//! `workbench generate`: one slice or picture to a generated one, which carries its mark and its history.

use engine::session::GenerateRequest;
use serde_json::json;

use super::args::{GenerateArgs, Global};
use super::console::{Console, NOTICE};
use super::failure::Failure;
use super::headless::Headless;
use super::{assets, study};

/// Makes the picture and writes it, with its history beside it.
///
/// # Errors
/// The study, the model or the file cannot be used, or the model cannot do the task.
pub fn run(args: &GenerateArgs, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut engine = Headless::start(global.device)?;
    let model = engine.begin_model(match &global.model {
        Some(dir) => dir.clone(),
        None => assets::model()?,
    });
    let picture = study::open_one(&mut engine, &args.studies, &args.view, console)?;
    let model = engine.model(model, console)?;
    model
        .capability(args.task)
        .map_err(|why| Failure::work("no-capability", why))?;
    let request = GenerateRequest {
        source: picture.source.clone(),
        task: args.task,
        instruction: args.instruction.clone(),
        sampling: args.sampling.sampling(),
        faithful: args.faithful,
        draft: args.drafts,
    };
    let generated = engine.generate(request, console)?;
    let side_car = generated.save_png(&args.out)?;
    let provenance = &generated.provenance;
    console.say_worth(&model)?;
    if generated.looks_like_a_copy() {
        console.say(&format!(
            "warning: the result is nearly its input (SSIM {:.3}); the model copied instead of converting",
            provenance.similarity_to_input
        ));
    }
    let (width, height) = generated.marked().dimensions();
    console.print(&format!(
        "{width} x {height}, synthetic, in {:.1} s; history in {}: {}\n",
        provenance.elapsed_secs,
        side_car
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default(),
        args.out.display(),
    ))?;
    if let Some(drafts) = &provenance.drafts {
        console.say(&format!(
            "{:.0} % of {} drafted codes were right: {:.1} codes a forward pass",
            100.0 * drafts.share(),
            drafts.drafted,
            drafts.codes_per_check(),
        ));
    }
    console.print_json(&json!({
        "out": args.out,
        "side_car": side_car,
        "width": width,
        "height": height,
        "looks_like_a_copy": generated.looks_like_a_copy(),
        "input": picture.evidence()?,
        "provenance": provenance,
        "model": *model,
        "untrained_test_model": !model.trained,
        "device": engine.device(),
        "notice": NOTICE,
    }))
}
