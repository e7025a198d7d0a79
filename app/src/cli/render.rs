//! `workbench render`: the picture of a slice, pixel for pixel what the model gets.

use engine::imaging::{picture_hash, write_png};

use super::args::RenderArgs;
use super::console::Console;
use super::failure::Failure;
use super::headless::Headless;
use super::study;

/// Writes the picture.
///
/// # Errors
/// The study cannot be read, there is no such slice, or the file cannot be written.
pub fn run(args: &RenderArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut engine = Headless::start_for_files()?;
    let picture = study::open_one(&mut engine, &args.studies, &args.view, console)?;
    let pixels = picture.pixels()?;
    write_png(&args.out, &pixels, &[])?;
    console.print(&format!(
        "{} x {}, sha256 of the pixels {}: {}\n",
        pixels.width(),
        pixels.height(),
        picture_hash(&pixels),
        args.out.display(),
    ))?;
    let mut value = picture.evidence()?;
    value["out"] = serde_json::json!(args.out);
    console.print_json(&value)
}
