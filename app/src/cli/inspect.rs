//! `workbench inspect`: what the readers find in files and folders, from the headers. Patients are not named.

use engine::imaging::SeriesInfo;
use serde_json::json;

use super::args::InspectArgs;
use super::console::Console;
use super::failure::Failure;
use super::headless::Headless;

/// Lists series and the files that are not shown, each with its reason.
///
/// # Errors
/// A path cannot be read, or not one image is there.
pub fn run(args: &InspectArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut engine = Headless::start_for_files()?;
    let scan = engine.scan(&args.paths, console)?;
    for (i, series) in scan.series.iter().enumerate() {
        console.print(&line(i + 1, series))?;
        for note in &series.notes {
            console.print(&format!("    {note}\n"))?;
        }
    }
    if !scan.skipped.is_empty() {
        console.print(&format!("files not shown: {}\n", scan.skipped.len()))?;
        for file in &scan.skipped {
            console.print(&format!("    {}\n", file.why))?;
        }
    }
    console.print_json(&json!(scan))
}

fn line(number: usize, series: &SeriesInfo) -> String {
    let [columns, rows, slices] = series.size;
    let spacing = series.spacing_mm.map_or_else(String::new, |[x, y, z]| {
        format!("  {x:.3} x {y:.3} x {z:.3} mm")
    });
    let body_part = series.body_part.as_deref().unwrap_or_default();
    format!(
        "series {number}  {}  {body_part}  {columns} x {rows} x {slices}{spacing}  {}  id {}\n",
        series.modality.code(),
        series.description,
        series.id,
    )
    .replace("    ", "  ")
}
