//! `workbench inspect`: what the readers find in files and folders, from the headers. Patients are not named.

use engine::imaging::{SeriesInfo, inspect_files};
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
    if args.per_file {
        return per_file(args, console);
    }
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

/// One report for each file, refusals among them.
fn per_file(args: &InspectArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let reports = inspect_files(&args.paths, &mut |_, _| {})?;
    for report in &reports {
        let line = match &report.error {
            Some(error) => format!("{}  {}  {}\n", report.kind, error.kind, error.message),
            None => format!("{}  opens  {}\n", report.kind, report.path),
        };
        console.print(&line)?;
    }
    console.print_json(&json!(reports))
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
