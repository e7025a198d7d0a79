//! `workbench dataset`: scans and published collections to records, and what is in them.

pub mod args;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use engine::Error;
use engine::dataset::alignment::{POOR_DICE, Shifts};
use engine::dataset::codes::with_codes;
use engine::dataset::facts::VISIBLE_MM2;
use engine::dataset::from_pairs::{FromPairs, Made, from_pairs};
use engine::dataset::from_volumes::{FromVolumes, from_volumes};
use engine::dataset::import::{Import, import};
use engine::dataset::split::Division;
use engine::dataset::{BadRecord, Card, DatasetError, OnBad, Record, RecordTask, Records, records};
use engine::device::choose;
use engine::model::HealthGpt;
use serde_json::json;

use super::args::Global;
use super::console::Console;
use super::failure::Failure;
use super::{assets, worker};
use args::{
    DatasetArgs, DatasetCardArgs, DatasetCodesArgs, DatasetCommand, DatasetImportArgs,
    DatasetPairsArgs, DatasetVolumesArgs, SplitArgs,
};

/// Makes or checks data.
///
/// # Errors
/// Data that cannot be read, a folder that cannot be written, bad records that are not to be skipped.
pub fn run(args: &DatasetArgs, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
    match &args.command {
        DatasetCommand::Codes(args) => codes(args, global, console),
        DatasetCommand::Pairs(args) => pairs(args, console),
        DatasetCommand::Volumes(args) => volumes(args, console),
        DatasetCommand::Import(args) => collection(args, console),
        DatasetCommand::Card(args) => card(args, console),
    }
}

fn pairs(args: &DatasetPairsArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let shifts = args.alignment.as_deref().map(Shifts::open).transpose();
    let shifted = args.alignment.is_some();
    let what = FromPairs {
        pairs: args.folder.clone(),
        out: args.out.clone(),
        tasks: args.tasks.clone(),
        side: args.size as usize,
        shifts: shifts.map_err(Error::from)?,
        seed: args.split.seed,
        own_words: args.own_words,
        reworded: args.reworded,
        turned: args.turned as usize,
    };
    let made = worker::run("reading pairs", console, move |reporter| {
        Ok(from_pairs(&what, &mut |done, of| {
            reporter.report("subjects", done, of);
            ControlFlow::Continue(())
        })?)
    })?;
    let side = args.size;
    let mut about = vec![format!(
        "Made by `workbench dataset pairs` from paired CT and T1-weighted MR volumes. Pictures: {side} x {side}, 8 bit grey; CT in \
         the window 40/400 HU, MR divided by its 99.5th percentile; each slice on a black centred square, resized by Pillow's \
         bicubic. Axial slices that are mostly air are left out; questions and descriptions are also asked of 12 coronal and 12 \
         sagittal slices of each subject."
    )];
    about.push(format!(
        "Facts are measured on the lesion's outline: a lesion is visible from {VISIBLE_MM2} mm² in the slice on, slices with less are \
         not asked about it; its place is that of its centre relative to the limb's, in the picture's directions; its size is the \
         largest distance between two points of its outline. The body part is \"limb\": the data say nothing finer."
    ));
    if args.turned > 0 {
        let turned = args.turned;
        about.push(format!(
            "For training only, questions are also asked of {turned} coronal and {turned} sagittal slices of each subject turned by \
             up to 30 degrees about its long axis and tilted by up to 12; those that are mostly air are left out."
        ));
    }
    if args.reworded {
        about.push(
            "For training only, half of the questions that can be are asked in more wordings than an evaluation has."
                .to_owned(),
        );
    }
    about.push(
        "Records with a sagittal slice are `sided`: training does not mirror their pictures. `lesion_mask` names a picture of the \
         lesion's outline, which teaches a vision tower where to look; it is no part of a question."
            .to_owned(),
    );
    if shifted {
        about.push(
            "For the conversions MR was moved by whole pixels as the alignment table recommends. Use these records for training \
             only."
                .to_owned(),
        );
    }
    let lowest = made
        .dice
        .iter()
        .map(|(_, dice)| *dice)
        .fold(f64::INFINITY, f64::min);
    about.push(format!(
        "Registration: outline Dice of CT and MR at least {lowest:.3}, warned of below {POOR_DICE}."
    ));
    finish(made, &args.out, about, &args.split, console)
}

fn volumes(args: &DatasetVolumesArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let what = FromVolumes {
        paths: args.paths.clone(),
        out: args.out.clone(),
        tasks: args.tasks.clone(),
        side: args.size as usize,
        seed: args.split.seed,
    };
    let made = worker::run("reading", console, move |reporter| {
        Ok(from_volumes(&what, &mut |done, of| {
            reporter.report("series", done, of);
            ControlFlow::Continue(())
        })?)
    })?;
    if made.records.is_empty() {
        return Err(Error::from(DatasetError::Nothing {
            what: "no slice in these files can be used".to_owned(),
            path: args.paths.first().cloned().unwrap_or_default(),
        })
        .into());
    }
    let side = args.size;
    let about = vec![format!(
        "Made by `workbench dataset volumes` from single volumes, in the plane in which they were acquired. Pictures: {side} x {side}, \
         8 bit grey; CT in the window 40/400 HU, anything else divided by its 99.5th percentile. Subjects and series are named by \
         hashes."
    )];
    finish(made, &args.out, about, &args.split, console)
}

/// A file of records for each task.
fn finish(
    made: Made,
    out: &Path,
    about: Vec<String>,
    options: &SplitArgs,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let mut by_task: BTreeMap<RecordTask, Vec<Record>> = BTreeMap::new();
    for record in made.records {
        if let Some(task) = record.task {
            by_task.entry(task).or_default().push(record);
        }
    }
    let files = by_task
        .into_iter()
        .map(|(task, records)| (task.name().to_owned(), records))
        .collect();
    for warning in &made.warnings {
        console.say(&format!("warning: {warning}"));
    }
    let written = Written {
        about,
        warnings: made.warnings,
        skipped: Vec::new(),
    };
    write(files, out, written, options, console)
}

fn collection(args: &DatasetImportArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let what = Import {
        collection: args.collection,
        file: args.file.clone(),
        images: args.images.clone(),
        out: args.out.clone(),
        on_bad: on_bad(args.skip_bad),
        all_languages: args.all_languages,
    };
    let imported = worker::run("reading", console, move |_| Ok(import(&what)?))?;
    say_skipped(&imported.skipped, console);
    let mut warnings = Vec::new();
    if !imported.skipped.is_empty() {
        warnings.push(format!(
            "{} entries cannot be used and were left out",
            imported.skipped.len()
        ));
    }
    if imported.other_languages > 0 {
        warnings.push(format!(
            "{} entries in other languages were left out",
            imported.other_languages
        ));
    }
    let name = args.collection.name();
    let written = Written {
        about: vec![format!(
            "Imported by `workbench dataset import {name}`. The pictures and their licence are the collection's."
        )],
        warnings,
        skipped: imported.skipped,
    };
    write(imported.splits, &args.out, written, &args.split, console)
}

fn card(args: &DatasetCardArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut sets = Vec::new();
    let mut skipped = Vec::new();
    for file in &args.files {
        let read = Records::read(file, on_bad(args.skip_bad)).map_err(Error::from)?;
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        say_skipped(&read.skipped, console);
        skipped.extend(read.skipped);
        sets.push((name, read.records));
    }
    let parts: Vec<(&str, &[Record])> = sets
        .iter()
        .map(|(name, records)| (name.as_str(), records.as_slice()))
        .collect();
    let card = Card::of("Records", &parts);
    console.print(&card.markdown())?;
    console.print_json(&json!({ "card": card, "skipped": skipped }))
}

fn codes(
    args: &DatasetCodesArgs,
    global: &Global,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let dir = match &global.model {
        Some(dir) => dir.clone(),
        None => assets::model()?,
    };
    // Paths are relative to the file: elsewhere they would name nothing.
    if args.file.parent() != args.out.parent() {
        return Err(Failure::usage(
            "the new file must lie in the folder of the old one, because its paths are relative to it",
        ));
    }
    let records = Records::read(&args.file, on_bad(args.skip_bad)).map_err(Error::from)?;
    say_skipped(&records.skipped, console);
    let (choice, keep) = (global.device, args.keep_targets);
    let (records, identity) = worker::run("loading", console, move |reporter| {
        let (device, _) = choose(choice).map_err(Error::NoAdapter)?;
        let mut go_on = |stage: &str, done: usize, of: usize| {
            reporter.report(stage, done, of);
            ControlFlow::Continue(())
        };
        let model = HealthGpt::load(&dir, &device, &mut go_on)?;
        let records = with_codes(&model, records, keep, &mut |done, of| {
            go_on("records", done, of)
        })?;
        Ok((records, model.layout.identity()))
    })?;
    records::write(&args.out, &records).map_err(Error::from)?;
    console.print(&format!(
        "{} records with codes of model {identity} in {}\n",
        records.len(),
        args.out.display()
    ))?;
    console
        .print_json(&json!({ "out": args.out, "records": records.len(), "model_sha256": identity }))
}

/// What is said beside the records.
struct Written {
    about: Vec<String>,
    warnings: Vec<String>,
    skipped: Vec<BadRecord>,
}

/// Writes each set, or its two sides, and the card.
fn write(
    sets: BTreeMap<String, Vec<Record>>,
    out: &Path,
    written: Written,
    options: &SplitArgs,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let mut files: Vec<(PathBuf, usize)> = Vec::new();
    let mut sides: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    let division = options
        .val_share
        .map(|share| Division::new(sets.values().flatten(), f64::from(share), options.seed));
    for (name, set) in sets {
        let parts = match &division {
            None => vec![(name, set)],
            Some(division) => {
                let [train, val] = division.divide(set);
                vec![
                    (format!("{name}.train"), train),
                    (format!("{name}.val"), val),
                ]
            }
        };
        for (name, part) in parts {
            let path = out.join(format!("{name}.json"));
            records::write(&path, &part).map_err(Error::from)?;
            files.push((path, part.len()));
            let side = match options.val_share {
                Some(_) => name.rsplit('.').next().unwrap_or_default(),
                None => "all",
            };
            sides.entry(side.to_owned()).or_default().extend(part);
        }
    }
    let parts: Vec<(&str, &[Record])> = sides
        .iter()
        .map(|(side, records)| (side.as_str(), records.as_slice()))
        .collect();
    let mut card = Card::of("Dataset card", &parts);
    card.about = options.about.iter().cloned().chain(written.about).collect();
    card.warnings = written.warnings;
    card.write(out, "card").map_err(Error::from)?;
    for (path, count) in &files {
        console.print(&format!("{count:>7} records  {}\n", path.display()))?;
    }
    console.print(&format!(
        "{} subjects, {} pictures; counts in {}\n",
        card.subjects,
        card.pictures,
        out.join("card.md").display()
    ))?;
    let files: Vec<_> = files
        .iter()
        .map(|(path, count)| json!({ "path": path, "records": count }))
        .collect();
    console.print_json(&json!({ "files": files, "card": card, "skipped": written.skipped }))
}

fn on_bad(skip: bool) -> OnBad {
    if skip { OnBad::Skip } else { OnBad::Refuse }
}

fn say_skipped(skipped: &[BadRecord], console: &mut Console<'_>) {
    for BadRecord { line, reason } in skipped {
        console.say(&format!("left out: line {line}: {reason}"));
    }
}
