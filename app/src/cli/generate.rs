//! `workbench generate`: slices or pictures to generated ones, which carry their mark and their history. Several slices are made in
//! lockstep where that saves time.

use std::path::{Path, PathBuf};

use engine::imaging::Generated;
use engine::session::{GenerateRequest, Source};
use serde_json::{Value, json};

use super::args::{GenerateArgs, Global};
use super::console::{Console, NOTICE};
use super::failure::Failure;
use super::headless::Headless;
use super::study::Picture;
use super::{assets, study};

/// Makes the pictures and writes them, with their history beside them.
///
/// # Errors
/// The study, the model or a file cannot be used, or the model cannot do the task.
pub fn run(args: &GenerateArgs, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut engine = Headless::start(global.device)?;
    let model = engine.begin_model(match &global.model {
        Some(dir) => dir.clone(),
        None => assets::model()?,
    });
    let pictures = match args.view.slices.len() {
        0 | 1 => vec![study::open_one(
            &mut engine,
            &args.studies,
            &args.view,
            console,
        )?],
        _ => study::open(&mut engine, &args.studies, &args.view, console)?,
    };
    let model = engine.model(model, console)?;
    model
        .capability(args.task)
        .map_err(|why| Failure::work("no-capability", why))?;
    let request = |picture: &Picture| GenerateRequest {
        source: picture.source.clone(),
        task: args.task,
        instruction: args.instruction.clone(),
        sampling: args.sampling.sampling(),
        faithful: args.faithful,
        draft: args.drafts,
    };
    let mut requests: Vec<GenerateRequest> = pictures.iter().map(request).collect();
    let made = match (requests.len(), requests.pop()) {
        (1, Some(only)) => vec![engine.generate(only, console)?],
        (_, last) => {
            requests.extend(last);
            engine.generate_several(requests, console)?
        }
    };
    console.say_worth(&model)?;
    let mut written = Vec::new();
    for (place, (picture, generated)) in (1..).zip(pictures.iter().zip(&made)) {
        let out = match pictures.len() {
            1 => args.out.clone(),
            _ => numbered(&args.out, picture, place),
        };
        written.push(write(&out, picture, generated, console)?);
    }
    let about = json!({
        "model": *model,
        "untrained_test_model": !model.trained,
        "device": engine.device(),
        "notice": NOTICE,
    });
    // One picture is the object itself, as it was before there could be several.
    let mut whole = match written.len() {
        1 => written.pop().unwrap_or_default(),
        _ => json!({ "pictures": written }),
    };
    if let (Value::Object(whole), Value::Object(about)) = (&mut whole, about) {
        whole.extend(about);
    }
    console.print_json(&whole)
}

/// `FILE.png` to `FILE-012.png` for slice 12; plain pictures are numbered in their order.
fn numbered(out: &Path, picture: &Picture, place: usize) -> PathBuf {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    let slice = match &picture.source {
        Source::Slice { view, .. } => view.index + 1,
        Source::Picture(_) => place,
    };
    out.with_file_name(format!("{stem}-{slice:03}.png"))
}

/// Writes a picture and says what it is.
fn write(
    out: &Path,
    picture: &Picture,
    generated: &Generated,
    console: &mut Console<'_>,
) -> Result<Value, Failure> {
    let side_car = generated.save_png(out)?;
    let provenance = &generated.provenance;
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
        out.display(),
    ))?;
    if let Some(drafts) = &provenance.drafts {
        console.say(&format!(
            "{:.0} % of {} drafted codes were right: {:.1} codes a forward pass",
            100.0 * drafts.share(),
            drafts.drafted,
            drafts.codes_per_check(),
        ));
    }
    Ok(json!({
        "out": out,
        "side_car": side_car,
        "width": width,
        "height": height,
        "looks_like_a_copy": generated.looks_like_a_copy(),
        "input": picture.evidence()?,
        "provenance": provenance,
    }))
}
