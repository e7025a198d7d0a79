//! A model's pictures against true ones, beside what copying the input scores and the best that the model's codes could do.

use std::collections::VecDeque;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::interval::{Interval, interval};
use super::lpips::Lpips;
use super::scores::{DEFINITION, Means, Scores, at_side, levels};
use super::share::shared;
use super::{Evaluation, Source, done_before};
use crate::dataset::facts::Scanner;
use crate::dataset::pairs::{Pair, SIDE, load_pairs, quarter, rgb};
use crate::dataset::{DatasetError, RecordTask, Records};
use crate::error::Error;
use crate::imaging::generated::{MARK, write_png};
use crate::imaging::{ImagingError, watermark::burn_in};
use crate::model::vqgan::to_rgb;
use crate::model::{GenerateInput, GeneratedImage, HealthGpt, ModelError};
use crate::task::Task;

/// Why there is no LPIPS.
const NO_LPIPS: &str = "absent: LPIPS needs a trained network that is not part of the program; --lpips names a folder with it";
/// What LPIPS is of.
const LPIPS: &str = "AlexNet, linear layers of the user's files, x 100, lower is better";

/// One picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureRow {
    /// Names the item.
    pub id: String,
    /// Whose picture it is.
    pub subject: String,
    /// The slice, from 1, where there is one.
    pub slice: Option<usize>,
    /// How the input was made.
    pub modality: String,
    /// The model's picture against the target.
    #[serde(flatten)]
    pub scores: Scores,
    /// The input against the target. For super-resolution that is bicubic enlargement.
    pub copy: Scores,
    /// The target encoded and decoded by the model's VQGAN, against the target: no codes could do much better.
    pub ceiling: Option<Scores>,
    /// LPIPS x 100, where the user supplied its network.
    pub lpips: Option<f64>,
    /// Seconds it took to make.
    pub secs: f64,
}

/// Means over all rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PictureSummary {
    /// The model's.
    #[serde(flatten)]
    pub model: Means,
    /// Pictures.
    pub n: usize,
    /// Subjects.
    pub subjects: usize,
    /// What copying the input scores.
    pub copy: Means,
    /// What bicubic enlargement scores, for super-resolution.
    pub bicubic: Option<Means>,
    /// What the targets' own codes score.
    pub ceiling: Option<Means>,
    /// The model against the copy: differences of the same pictures.
    pub above_copy: Means,
    /// LPIPS x 100, where the user supplied its network.
    pub lpips: Option<Interval>,
    /// What it is of, or why it is absent.
    pub lpips_note: &'static str,
    /// Grey range, mask and size of every number.
    pub definition: &'static str,
}

/// An item before it is opened.
#[derive(Clone, Debug)]
struct Item {
    id: String,
    subject: String,
    slice: Option<usize>,
    modality: String,
    instruction: String,
    pictures: Pictures,
}

#[derive(Clone, Debug)]
enum Pictures {
    /// A slice of a pair: `input` made the input.
    Pair {
        pair: Arc<Pair>,
        input: Scanner,
    },
    Files {
        input: PathBuf,
        target: PathBuf,
    },
}

/// Runs the model on every picture. `on_item` gets items done and in all, and may stop the run.
///
/// # Errors
/// Data that cannot be read, a model without the task, a folder that cannot be written, or a stop.
pub fn evaluate_pictures(
    model: &HealthGpt,
    eval: &Evaluation,
    task: Task,
    on_item: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<(Vec<PictureRow>, PictureSummary), Error> {
    let _ = model.plugin_for(task)?;
    let lpips = match &eval.lpips {
        Some(folder) => Some(Lpips::open(folder, &model.device)?),
        None => None,
    };
    let items = items(eval, task, on_item)?;
    let (mut journal, mut rows) = eval.journal::<PictureRow>(model)?;
    let done = done_before(&rows, |row| &row.id);
    let todo: Vec<&Item> = items
        .iter()
        .filter(|item| !done.contains(&item.id))
        .collect();
    let mut opened = Opened::default();
    let mut made = items.len() - todo.len();
    // Kernels of our own take several pictures in lockstep, threads of the CPU one each.
    let together = model.together();
    for chunk in todo.chunks(eval.workers.max(together).max(1)) {
        if on_item(made, items.len()).is_break() {
            return Err(Error::Stopped);
        }
        let mut opening = Vec::new();
        for item in chunk {
            opening.push((*item, item.open(task, &mut opened)?));
        }
        let mut flow = || on_item(made, items.len());
        let results = match together > 1 {
            true => {
                let inputs: Vec<GenerateInput<'_>> = opening
                    .iter()
                    .map(|(item, pictures)| {
                        GenerateInput::new(&pictures.0, task, &item.instruction)
                    })
                    .collect();
                let outputs = model.generate_together(&inputs, &mut |_, _| flow())?;
                let each = opening.iter().zip(outputs);
                each.map(|((item, pictures), made)| {
                    scored(model, item, pictures, made, lpips.as_ref())
                })
                .collect::<Result<Vec<_>, ModelError>>()?
            }
            false => shared(&opening, &mut flow, &|(item, pictures), flow| {
                let input = GenerateInput::new(&pictures.0, task, &item.instruction);
                let made = model.generate(&input, &mut |_, _| flow())?;
                scored(model, item, pictures, made, lpips.as_ref())
            })?,
        };
        for ((item, (input, target)), (row, output)) in opening.iter().zip(results) {
            if let Some(folder) = &eval.save_images {
                save(folder, item, &at_side(input), &output, &at_side(target))?;
            }
            if let Some(journal) = &mut journal {
                journal.add(&row)?;
            }
            rows.push(row);
        }
        made += chunk.len();
    }
    let summary = summarise(&rows, task).ok_or_else(|| eval.nothing())?;
    Ok((rows, summary))
}

/// The row of an item and what the model made.
fn scored(
    model: &HealthGpt,
    item: &Item,
    (input, target): &(RgbImage, RgbImage),
    made: GeneratedImage,
    lpips: Option<&Lpips>,
) -> Result<(PictureRow, RgbImage), ModelError> {
    let true_levels = levels(target);
    let row = PictureRow {
        id: item.id.clone(),
        subject: item.subject.clone(),
        slice: item.slice,
        modality: item.modality.clone(),
        scores: Scores::of(&levels(made.unmarked()), &true_levels),
        copy: Scores::of(&levels(input), &true_levels),
        ceiling: reconstruction(model, target)?
            .map(|image| Scores::of(&levels(&image), &true_levels)),
        lpips: lpips.map(|network| network.distance(&at_side(made.unmarked()), &at_side(target))),
        secs: made.secs,
    };
    Ok((row, made.unmarked().clone()))
}

fn summarise(rows: &[PictureRow], task: Task) -> Option<PictureSummary> {
    let means = |of: &dyn Fn(&PictureRow) -> Option<Scores>| {
        let scores: Vec<(&str, Scores)> = rows
            .iter()
            .filter_map(|row| Some((row.subject.as_str(), of(row)?)))
            .collect();
        Means::of(&scores)
    };
    let copy = means(&|row| Some(row.copy))?;
    let lpips = rows
        .iter()
        .filter_map(|row| Some((row.subject.as_str(), row.lpips?)));
    let lpips: Vec<(&str, f64)> = lpips.collect();
    let subjects: std::collections::BTreeSet<&str> =
        rows.iter().map(|row| row.subject.as_str()).collect();
    Some(PictureSummary {
        model: means(&|row| Some(row.scores))?,
        n: rows.len(),
        subjects: subjects.len(),
        copy,
        bicubic: (task == Task::Sr4).then_some(copy),
        ceiling: means(&|row| row.ceiling),
        above_copy: means(&|row| {
            Some(Scores {
                ssim: row.scores.ssim - row.copy.ssim,
                psnr: row.scores.psnr - row.copy.psnr,
                mse: row.scores.mse - row.copy.mse,
                mae: row.scores.mae - row.copy.mae,
            })
        })?,
        lpips_note: if lpips.is_empty() { NO_LPIPS } else { LPIPS },
        lpips: interval(&lpips),
        definition: DEFINITION,
    })
}

/// The picture through the model's own codes; `None` without an image decoder.
fn reconstruction(model: &HealthGpt, target: &RgbImage) -> Result<Option<RgbImage>, ModelError> {
    let (Some((vqgan, _)), Some(codes)) = (&model.vqgan, model.image_codes(target)?) else {
        return Ok(None);
    };
    let latents = vqgan.latents(&codes, &model.device);
    Ok(Some(to_rgb(vqgan.decode(latents))))
}

fn items(
    eval: &Evaluation,
    task: Task,
    on_item: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<Item>, Error> {
    match &eval.source {
        Source::Pairs(folder) => {
            let mut stopped = false;
            let pairs = load_pairs(folder, &mut |_, _| {
                let flow = on_item(0, 0);
                stopped = flow.is_break();
                flow
            })?;
            if stopped {
                return Err(Error::Stopped);
            }
            Ok(pair_items(pairs, task, eval))
        }
        Source::Records { file, on_bad } => {
            let records = Records::read(file, *on_bad)?;
            Ok(record_items(&records, eval))
        }
    }
}

/// Every n-th usable slice of each subject, once for each modality that the task starts from.
fn pair_items(pairs: Vec<Pair>, task: Task, eval: &Evaluation) -> Vec<Item> {
    let inputs: Vec<Scanner> = match task {
        Task::Ct2Mri => vec![Scanner::Ct],
        Task::Mri2Ct => vec![Scanner::Mr],
        _ => eval.scanners.clone(),
    };
    let (mut items, mut subject, mut of_subject) = (Vec::new(), String::new(), 0);
    for pair in pairs {
        if pair.subject != subject {
            (subject, of_subject) = (pair.subject.clone(), 0);
        }
        of_subject += 1;
        if (of_subject - 1) % eval.every.max(1) != 0 {
            continue;
        }
        let pair = Arc::new(pair);
        items.extend(inputs.iter().map(|input| Item {
            id: format!("{}/{}/{}", pair.subject, pair.slice + 1, input.code()),
            subject: pair.subject.clone(),
            slice: Some(pair.slice + 1),
            modality: input.code().to_owned(),
            instruction: task.instruction().to_owned(),
            pictures: Pictures::Pair {
                pair: Arc::clone(&pair),
                input: *input,
            },
        }));
    }
    items
}

/// Every n-th record of the task that has a picture as its target; the words are the record's own.
fn record_items(records: &Records, eval: &Evaluation) -> Vec<Item> {
    let chosen = records
        .records
        .iter()
        .enumerate()
        .filter(|(_, record)| record.task == Some(eval.task));
    let mut names = super::Names::default();
    let item = |(number, record): (usize, &crate::dataset::Record)| {
        let (question, _) = record.exchanges().pop()?;
        Some(Item {
            id: names.of(number, record),
            subject: super::subject_of(record),
            slice: None,
            modality: record.modality.clone().unwrap_or_default(),
            instruction: question,
            pictures: Pictures::Files {
                input: records.path(record.image.as_ref()?),
                target: records.path(record.target_image.as_ref()?),
            },
        })
    };
    chosen.filter_map(item).step_by(eval.every.max(1)).collect()
}

impl Item {
    /// Input and target.
    fn open(&self, task: Task, opened: &mut Opened) -> Result<(RgbImage, RgbImage), Error> {
        match &self.pictures {
            Pictures::Files { input, target } => Ok((opened.get(input)?, opened.get(target)?)),
            Pictures::Pair { pair, input } => {
                let (own, other) = match input {
                    Scanner::Ct => (&pair.ct, &pair.mr),
                    Scanner::Mr => (&pair.mr, &pair.ct),
                };
                Ok(match task {
                    Task::Ct2Mri | Task::Mri2Ct => (rgb(own), rgb(other)),
                    Task::Sr4 => (rgb(&quarter(own, SIDE)), rgb(own)),
                    Task::Reconstruct | Task::Comprehend => (rgb(own), rgb(own)),
                })
            }
        }
    }
}

/// The last pictures that were decoded: records of one picture lie beside each other, and none is decoded twice.
#[derive(Default)]
pub(super) struct Opened(VecDeque<(PathBuf, RgbImage)>);

impl Opened {
    /// The picture in a file.
    pub fn get(&mut self, path: &Path) -> Result<RgbImage, Error> {
        if let Some((_, image)) = self.0.iter().find(|(known, _)| known == path) {
            return Ok(image.clone());
        }
        let image = image::open(path)
            .map_err(|error| DatasetError::Read {
                why: error.to_string(),
                path: path.to_owned(),
            })?
            .to_rgb8();
        self.0.push_back((path.to_owned(), image.clone()));
        if self.0.len() > 8 {
            let _ = self.0.pop_front();
        }
        Ok(image)
    }
}

/// Input, result and target side by side, `SIDE` x `SIDE` each; the result is grey and carries its mark.
pub fn sheet(input: &RgbImage, output: &RgbImage, target: &RgbImage) -> RgbImage {
    let grey: Vec<u8> = levels(output)
        .into_iter()
        .map(|level| level as u8)
        .collect();
    let marked = burn_in(&rgb(&grey), MARK, "result");
    let side = SIDE as u32;
    let mut sheet = RgbImage::new(3 * side, side);
    for (i, image) in [input, &marked, target].into_iter().enumerate() {
        image::imageops::replace(&mut sheet, image, i64::from(side) * i as i64, 0);
    }
    sheet
}

fn save(
    folder: &Path,
    item: &Item,
    input: &RgbImage,
    output: &RgbImage,
    target: &RgbImage,
) -> Result<(), Error> {
    let sheet = sheet(input, output, target);
    fs::create_dir_all(folder).map_err(|error| ImagingError::Write {
        why: error.to_string(),
        path: folder.to_owned(),
    })?;
    let name = match item.slice {
        Some(slice) => format!("{}_{slice:03}_{}", item.subject, item.modality),
        None => item.id.replace(['/', '\\', ' ', ':'], "_"),
    };
    let path = folder.join(format!("{name}.png"));
    Ok(write_png(&path, &sheet, &[("Comment", MARK)])?)
}

/// The model can only be judged on pictures.
pub(super) fn picture_task(task: RecordTask) -> Result<Task, Error> {
    match task.model_task() {
        Some(task) => Ok(task),
        None => Err(ModelError::Invalid {
            what: format!("no model of this program does {task}"),
        }
        .into()),
    }
}
