//! How good a model's pictures are, on paired volumes of subjects it has not seen.
//!
//! SSIM (x 100), PSNR (dB), MSE and MAE (grey levels) on 8-bit pictures of 256 x 256, mean over slices, with a 95 % interval
//! from 1000 bootstrap samples of *subjects*: slices of one subject are not independent. Beside them stands what copying the
//! input would score.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::Serialize;

use crate::error::Error;
use crate::imaging::generated::{MARK, write_png};
use crate::imaging::{metrics, watermark::burn_in};
use crate::model::preprocess::{Filter, pillow_resize};
use crate::model::random::Random;
use crate::model::{HealthGpt, ModelError, Sampling};
use crate::task::Task;
use crate::training::pairs::{Pair, SIDE, load_pairs, rgb};

/// What to evaluate.
#[derive(Clone, Debug)]
pub struct PairEval {
    /// Folder with `SUBJECT/ct.nii.gz` and `SUBJECT/mr_t1.nii.gz`.
    pub pairs: PathBuf,
    /// A task that makes images.
    pub task: Task,
    /// Every n-th usable slice of each subject.
    pub every: usize,
    /// Where pictures are written, marked: input, result and target side by side.
    pub save_images: Option<PathBuf>,
}

/// The four numbers of one picture, or their means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Structural similarity x 100.
    pub ssim: f64,
    /// Peak signal-to-noise ratio in dB.
    pub psnr: f64,
    /// Mean squared error in squared grey levels.
    pub mse: f64,
    /// Mean absolute error in grey levels.
    pub mae: f64,
}

/// One slice.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The subject's folder name.
    pub subject: String,
    /// The slice, from 1.
    pub slice: usize,
    /// The model's picture against the target.
    #[serde(flatten)]
    pub scores: Scores,
    /// The input against the target.
    pub copy: Scores,
    /// Seconds it took.
    pub secs: f64,
}

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Mean over slices.
    pub mean: f64,
    /// 2.5th percentile.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Mean over slices, x 100.
    pub ssim: f64,
    /// Mean over slices, dB.
    pub psnr: f64,
    /// Mean over slices.
    pub mse: f64,
    /// Mean over slices.
    pub mae: f64,
    /// Slices.
    pub n: usize,
    /// Subjects.
    pub subjects: usize,
    /// By name: `ssim`, `psnr`, `mse`, `mae`.
    pub intervals: std::collections::BTreeMap<&'static str, Interval>,
    /// What copying the input scores.
    pub copy: Scores,
    /// Grey range, mask and size of every number.
    pub definition: &'static str,
}

/// Rows in the order of subjects and slices, and their summary.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The task.
    pub task: Task,
    /// One per slice.
    pub rows: Vec<Row>,
    /// Over all rows.
    pub summary: Summary,
}

/// Runs the model on every pair. `on_slice` gets slices done and in all and may stop the run.
///
/// # Errors
/// Unreadable pairs, a model without the task, a folder that cannot be written, or a stop.
pub fn evaluate(
    model: &HealthGpt,
    eval: &PairEval,
    on_slice: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Report, Error> {
    let _ = model.plugin_for(eval.task)?;
    if !eval.task.generates() {
        let what = "pairs of volumes evaluate tasks that make images".to_owned();
        return Err(ModelError::Invalid { what }.into());
    }
    let pairs = load_pairs(&eval.pairs, &mut |_, _| on_slice(0, 0))?;
    let mut of_subject = 0;
    let mut chosen: Vec<&Pair> = Vec::new();
    for (i, pair) in pairs.iter().enumerate() {
        let same = i > 0
            && pairs
                .get(i - 1)
                .is_some_and(|last| last.subject == pair.subject);
        of_subject = if same { of_subject + 1 } else { 0 };
        if of_subject % eval.every.max(1) == 0 {
            chosen.push(pair);
        }
    }
    let mut rows = Vec::new();
    for (done, pair) in chosen.iter().enumerate() {
        if on_slice(done, chosen.len()).is_break() {
            return Err(Error::Stopped);
        }
        let (input, target) = input_and_target(pair, eval.task);
        let go_on = &mut |_: usize, _: usize| on_slice(done, chosen.len());
        let made = model.generate(
            &input,
            eval.task,
            eval.task.instruction(),
            &Sampling::default(),
            false,
            go_on,
        )?;
        let output = grey(&enlarged(made.unmarked()));
        rows.push(Row {
            subject: pair.subject.clone(),
            slice: pair.slice + 1,
            scores: scores(&output, &target),
            copy: scores(&grey(&enlarged(&input)), &target),
            secs: made.secs,
        });
        if let Some(folder) = &eval.save_images {
            save(folder, pair, &enlarged(&input), &output, &target)?;
        }
    }
    let summary = summarise(&rows);
    Ok(Report {
        task: eval.task,
        rows,
        summary,
    })
}

/// The picture the model gets and the grey levels it should make.
fn input_and_target(pair: &Pair, task: Task) -> (RgbImage, Vec<f64>) {
    let levels = |levels: &[u8]| levels.iter().map(|level| f64::from(*level)).collect();
    match task {
        Task::Ct2Mri => (rgb(&pair.ct), levels(&pair.mr)),
        Task::Mri2Ct => (rgb(&pair.mr), levels(&pair.ct)),
        Task::Sr4 => {
            let side = SIDE as u32 / 4;
            (
                pillow_resize(&rgb(&pair.mr), side, side, Filter::Bicubic),
                levels(&pair.mr),
            )
        }
        Task::Reconstruct | Task::Comprehend => (rgb(&pair.mr), levels(&pair.mr)),
    }
}

fn enlarged(image: &RgbImage) -> RgbImage {
    let side = SIDE as u32;
    if image.dimensions() == (side, side) {
        image.clone()
    } else {
        pillow_resize(image, side, side, Filter::Bicubic)
    }
}

/// Mean of the channels, rounded to whole levels: the pictures are 8 bit.
fn grey(image: &RgbImage) -> Vec<f64> {
    metrics::grey(image).into_iter().map(f64::round).collect()
}

fn scores(a: &[f64], b: &[f64]) -> Scores {
    Scores {
        ssim: 100.0 * metrics::ssim(a, b, SIDE),
        // Equal pictures would make every mean infinite; 100 dB is below one level in the whole picture.
        psnr: metrics::psnr(a, b).min(100.0),
        mse: metrics::mse(a, b),
        mae: metrics::mae(a, b),
    }
}

/// Takes one number of a picture.
type Field = fn(&Scores) -> f64;

const FIELDS: [(&str, Field); 4] = [
    ("ssim", |s| s.ssim),
    ("psnr", |s| s.psnr),
    ("mse", |s| s.mse),
    ("mae", |s| s.mae),
];

fn mean(rows: &[&Scores], of: Field) -> f64 {
    rows.iter().map(|row| of(row)).sum::<f64>() / rows.len().max(1) as f64
}

fn summarise(rows: &[Row]) -> Summary {
    let all: Vec<&Scores> = rows.iter().map(|row| &row.scores).collect();
    let copies: Vec<&Scores> = rows.iter().map(|row| &row.copy).collect();
    let mut subjects: Vec<&str> = rows.iter().map(|row| row.subject.as_str()).collect();
    subjects.dedup();
    let mut random = Random(20);
    let samples: Vec<Vec<&Scores>> = (0..1000)
        .map(|_| {
            let drawn =
                (0..subjects.len()).map(|_| subjects.get(random.below(subjects.len())).copied());
            drawn
                .flatten()
                .flat_map(|subject| {
                    rows.iter()
                        .filter(move |row| row.subject == subject)
                        .map(|row| &row.scores)
                })
                .collect()
        })
        .collect();
    let interval = |of: Field| {
        let mut means: Vec<f64> = samples.iter().map(|sample| mean(sample, of)).collect();
        means.sort_by(f64::total_cmp);
        let at = |share: f64| {
            means
                .get((share * (means.len() - 1) as f64).round() as usize)
                .copied()
                .unwrap_or(0.0)
        };
        Interval {
            mean: mean(&all, of),
            low: at(0.025),
            high: at(0.975),
        }
    };
    let of = |rows: &[&Scores]| Scores {
        ssim: mean(rows, |s| s.ssim),
        psnr: mean(rows, |s| s.psnr),
        mse: mean(rows, |s| s.mse),
        mae: mean(rows, |s| s.mae),
    };
    let total = of(&all);
    Summary {
        ssim: total.ssim,
        psnr: total.psnr,
        mse: total.mse,
        mae: total.mae,
        n: rows.len(),
        subjects: subjects.len(),
        intervals: FIELDS
            .iter()
            .map(|(name, field)| (*name, interval(*field)))
            .collect(),
        copy: of(&copies),
        definition: "8-bit grey levels 0 to 255, 256 x 256, no mask; CT window 40/400 HU, MR by its 99.5th percentile; \
                     SSIM with an 11-tap Gaussian of sigma 1.5, valid region, x 100; means over slices, intervals by \
                     bootstrap over subjects",
    }
}

/// Input, result and target side by side; the result carries its mark.
fn save(
    folder: &Path,
    pair: &Pair,
    input: &RgbImage,
    output: &[f64],
    target: &[f64],
) -> Result<(), Error> {
    let picture = |levels: &[f64]| {
        rgb(&levels
            .iter()
            .map(|level| level.clamp(0.0, 255.0) as u8)
            .collect::<Vec<u8>>())
    };
    let marked = burn_in(&picture(output), MARK, "result");
    let side = SIDE as u32;
    let mut sheet = RgbImage::new(3 * side, side);
    for (i, image) in [input, &marked, &picture(target)].into_iter().enumerate() {
        image::imageops::replace(&mut sheet, image, i64::from(side) * i as i64, 0);
    }
    fs::create_dir_all(folder).map_err(|error| crate::imaging::ImagingError::Write {
        why: error.to_string(),
        path: folder.to_owned(),
    })?;
    let path = folder.join(format!("{}_{:03}.png", pair.subject, pair.slice + 1));
    Ok(write_png(&path, &sheet, &[("Comment", MARK)])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(subject: &str, ssim: f64) -> Row {
        let scores = Scores {
            ssim,
            psnr: 10.0,
            mse: 1.0,
            mae: 1.0,
        };
        Row {
            subject: subject.to_owned(),
            slice: 1,
            scores,
            copy: Scores::default(),
            secs: 0.0,
        }
    }

    #[test]
    fn the_interval_is_drawn_over_subjects_and_not_over_slices() {
        // Within a subject all slices agree: between two subjects only 50, 60 and their mixture are possible.
        let mut rows: Vec<Row> = (0..50).map(|_| row("A", 50.0)).collect();
        rows.extend((0..50).map(|_| row("B", 60.0)));
        let summary = summarise(&rows);
        let ssim = summary.intervals["ssim"];
        assert_eq!((ssim.mean, ssim.low, ssim.high), (55.0, 50.0, 60.0));
        assert_eq!((summary.n, summary.subjects), (100, 2));
    }
}
