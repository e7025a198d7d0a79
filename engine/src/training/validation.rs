//! What a validation looks at, and its scores.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use image::RgbImage;

use super::error::TrainError;
use super::pairs::SIDE;
use crate::dataset::{Record, RecordTask, Records, Speaker};
use crate::eval::pictures::sheet;
use crate::imaging::metrics;
use crate::model::preprocess::{Filter, pillow_resize};
use crate::model::{AskInput, GenerateInput, HealthGpt, Sampling};

/// Begins the names of scores that are a part of others.
const OF_TOPIC: &str = "val topic ";

/// Evenly chosen records of one file.
pub struct ValidationSet {
    records: Records,
    chosen: Vec<usize>,
}

impl ValidationSet {
    /// `items` of the records, from the first to the last.
    pub fn new(records: Records, items: usize) -> Self {
        let count = records.records.len();
        let stride = count.div_ceil(items.max(1)).max(1);
        Self {
            chosen: (stride / 2..count).step_by(stride).collect(),
            records,
        }
    }

    /// The names of its scores.
    pub fn columns(&self) -> Vec<String> {
        let mut columns: Vec<String> = self
            .records
            .records
            .iter()
            .filter_map(|record| Some((record.task?, record.topic.as_deref())))
            .flat_map(|(task, topic)| names(task, topic))
            .collect();
        columns.sort();
        columns.dedup();
        columns
    }
}

fn names(task: RecordTask, topic: Option<&str>) -> Vec<String> {
    if task.generates() {
        return vec![format!("val ssim {task}"), format!("val mae {task}")];
    }
    let topic = topic.map(|topic| format!("{OF_TOPIC}{topic}"));
    [Some(format!("val exact {task}")), topic]
        .into_iter()
        .flatten()
        .collect()
}

/// One number to compare validations by, higher is better: the mean of exact answers and SSIM.
pub fn overall(scores: &BTreeMap<String, f64>) -> f64 {
    let good: Vec<f64> = scores
        .iter()
        .filter(|(name, _)| !name.contains("mae") && !name.starts_with(OF_TOPIC))
        .map(|(_, score)| *score)
        .collect();
    good.iter().sum::<f64>() / good.len().max(1) as f64
}

/// What a validation found.
#[derive(Debug, Default)]
pub struct Found {
    /// By name.
    pub scores: BTreeMap<String, f64>,
    /// The first picture made: input, result and target side by side. The result is marked.
    pub sample: Option<RgbImage>,
}

/// What is validated: it makes pictures and answers, or leaves out what it cannot do.
pub trait Reader {
    /// The picture that a task makes of another.
    ///
    /// # Errors
    /// What the model reports.
    fn picture(
        &self,
        input: &RgbImage,
        task: RecordTask,
        question: &str,
    ) -> Result<Option<RgbImage>, TrainError>;

    /// The answer to a question about pictures.
    ///
    /// # Errors
    /// What the model reports.
    fn answer(
        &self,
        images: &[RgbImage],
        task: RecordTask,
        question: &str,
    ) -> Result<Option<String>, TrainError>;
}

/// By free-running greedy decoding, as the model is used.
impl Reader for HealthGpt {
    fn picture(
        &self,
        input: &RgbImage,
        task: RecordTask,
        question: &str,
    ) -> Result<Option<RgbImage>, TrainError> {
        let Some(task) = task.model_task() else {
            return Ok(None);
        };
        let go_on = &mut |_: usize, _: usize| ControlFlow::Continue(());
        let made = self.generate(&GenerateInput::new(input, task, question), go_on)?;
        Ok(Some(made.unmarked().clone()))
    }

    fn answer(
        &self,
        images: &[RgbImage],
        _: RecordTask,
        question: &str,
    ) -> Result<Option<String>, TrainError> {
        let input = AskInput {
            images,
            history: &[],
            question,
            sampling: &Sampling::default(),
            max_new_tokens: 96,
        };
        let answer = Self::answer(self, &input, &mut |_| ControlFlow::Continue(()))?;
        Ok(Some(answer.text))
    }
}

/// Mean scores by name: SSIM x 100 and MAE in grey levels at 256 x 256, exact answers in percent.
///
/// # Errors
/// A picture that cannot be read, or what the model reports.
pub fn look(model: &dyn Reader, set: &ValidationSet) -> Result<Found, TrainError> {
    let mut sample = None;
    let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    let mut add = |name: String, value: f64| {
        let (sum, count) = sums.entry(name).or_default();
        (*sum, *count) = (*sum + value, *count + 1.0);
    };
    for index in &set.chosen {
        let Some(record) = set.records.records.get(*index) else {
            continue;
        };
        let Some(task) = record.task else { continue };
        if let (true, Some(target)) = (task.generates(), &record.target_image) {
            let Some(made) = picture(model, set, record, task, target)? else {
                continue;
            };
            let (ssim, mae) = made.scores();
            let _ = sample.get_or_insert_with(|| sheet(&made.input, &made.result, &made.target));
            for (name, value) in names(task, None).into_iter().zip([ssim, mae]) {
                add(name, value);
            }
        } else if !task.generates() {
            let Some(exact) = answers_exactly(model, set, record, task)? else {
                continue;
            };
            for name in names(task, record.topic.as_deref()) {
                add(name, if exact { 100.0 } else { 0.0 });
            }
        }
    }
    let mean = |(name, (sum, count)): (String, (f64, f64))| (name, sum / count);
    Ok(Found {
        scores: sums.into_iter().map(mean).collect(),
        sample,
    })
}

fn open(set: &ValidationSet, path: &std::path::Path) -> Result<RgbImage, TrainError> {
    let path = set.records.path(path);
    match image::open(&path) {
        Ok(image) => Ok(image.to_rgb8()),
        Err(error) => Err(TrainError::Record {
            what: format!("the picture cannot be read: {error}"),
            path,
        }),
    }
}

/// The last question without the picture's place.
pub(super) fn question(record: &Record) -> String {
    let asked = record
        .conversations
        .iter()
        .rfind(|message| message.from == Speaker::Human)
        .map_or("", |message| &message.value);
    asked.replace("<image>\n", "").replace("<image>", "")
}

/// The last answer.
pub(super) fn response(record: &Record) -> &str {
    record
        .conversations
        .iter()
        .rfind(|message| message.from == Speaker::Gpt)
        .map_or("", |message| message.value.trim())
}

/// Three pictures of `SIDE` x `SIDE`.
struct Made {
    input: RgbImage,
    result: RgbImage,
    target: RgbImage,
}

impl Made {
    /// SSIM x 100 and MAE.
    fn scores(&self) -> (f64, f64) {
        let levels = |image: &RgbImage| -> Vec<f64> {
            metrics::grey(image).into_iter().map(f64::round).collect()
        };
        let (result, target) = (levels(&self.result), levels(&self.target));
        let ssim = 100.0 * metrics::ssim(&result, &target, SIDE);
        (ssim, metrics::mae(&result, &target))
    }
}

fn picture(
    model: &dyn Reader,
    set: &ValidationSet,
    record: &Record,
    task: RecordTask,
    target: &std::path::Path,
) -> Result<Option<Made>, TrainError> {
    let Some(image) = &record.image else {
        return Ok(None);
    };
    let (input, target) = (open(set, image)?, open(set, target)?);
    let Some(made) = model.picture(&input, task, &question(record))? else {
        return Ok(None);
    };
    let side = SIDE as u32;
    let sized = |image: &RgbImage| pillow_resize(image, side, side, Filter::Bicubic);
    Ok(Some(Made {
        input: sized(&input),
        result: sized(&made),
        target: sized(&target),
    }))
}

fn answers_exactly(
    model: &dyn Reader,
    set: &ValidationSet,
    record: &Record,
    task: RecordTask,
) -> Result<Option<bool>, TrainError> {
    let images: Vec<RgbImage> = match &record.image {
        Some(path) => vec![open(set, path)?],
        None => Vec::new(),
    };
    let answer = model.answer(&images, task, &question(record))?;
    Ok(answer.map(|answer| answer.trim() == response(record)))
}
