//! How good a model is, on subjects it has not seen: its pictures ([`pictures`], [`scores`]) and its answers ([`questions`],
//! [`answers`], [`accuracy`]), from paired volumes or from a file of records.
//!
//! Every number has a 95 % interval over subjects ([`interval`](mod@interval)) and stands beside what no model is needed for.
//! [`lpips`] only where the user supplies its network. A long evaluation keeps its rows on disk and goes on where it was stopped. [`report`] makes tables in the layout of the
//! HealthGPT paper and [`plot`] a picture of them.

pub mod accuracy;
pub mod answers;
pub mod interval;
mod journal;
pub mod lpips;
pub mod pictures;
pub mod plot;
pub mod questions;
pub mod report;
pub mod scores;
mod share;
mod stated;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dataset::facts::Scanner;
use crate::dataset::{DatasetError, OnBad, Record, RecordTask};
use crate::error::Error;
use crate::hex::sha256_hex;
use crate::model::HealthGpt;
use accuracy::AnswerSummary;
use journal::Journal;
use pictures::{PictureRow, PictureSummary, evaluate_pictures, picture_task};
use questions::{AnswerRow, evaluate_answers};

/// Where the items come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Folder with `SUBJECT/ct.nii.gz`, `SUBJECT/mr_t1.nii.gz` and, for questions about lesions, `SUBJECT/gtv.nii.gz`.
    Pairs(PathBuf),
    /// A file of records.
    Records {
        /// The file.
        file: PathBuf,
        /// What to do about records that cannot be used.
        on_bad: OnBad,
    },
}

/// What to evaluate.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Where the items come from.
    pub source: Source,
    /// What the model is asked to do.
    pub task: RecordTask,
    /// Every n-th usable slice of each subject, or every n-th record.
    pub every: usize,
    /// Which modalities reconstruction and super-resolution start from, for pairs.
    pub scanners: Vec<Scanner>,
    /// Chooses the wordings of questions made of pairs.
    pub seed: u64,
    /// Items that are worked on at once, each in a thread. It changes no result; with one, a stop takes effect at the next token.
    pub workers: usize,
    /// Where pictures are written, marked: input, result and target side by side.
    pub save_images: Option<PathBuf>,
    /// Folder with the network of LPIPS, which only the user can supply.
    pub lpips: Option<PathBuf>,
    /// Where rows are kept, so that a stopped evaluation goes on.
    pub rows: Option<PathBuf>,
}

impl Evaluation {
    /// Of all slices or records, with the program's own seed, keeping nothing on disk.
    pub fn new(source: Source, task: RecordTask) -> Self {
        Self {
            source,
            task,
            every: 1,
            scanners: vec![Scanner::Mr],
            seed: 20,
            workers: 1,
            save_images: None,
            lpips: None,
            rows: None,
        }
    }

    /// The journal, if there is one, and the rows of the run before.
    fn journal<T: DeserializeOwned>(
        &self,
        model: &HealthGpt,
    ) -> Result<(Option<Journal>, Vec<T>), Error> {
        let Some(path) = &self.rows else {
            return Ok((None, Vec::new()));
        };
        let source = match &self.source {
            Source::Pairs(path) | Source::Records { file: path, .. } => path,
        };
        let source = source.canonicalize().unwrap_or_else(|_| source.clone());
        let what = format!(
            "{}\0{}\0{}\0{}\0{:?}\0{}\0{}",
            model.layout.identity(),
            source.display(),
            self.task,
            self.every,
            self.scanners,
            self.seed,
            self.lpips.is_some()
        );
        let (journal, rows) = Journal::open(path, &sha256_hex(what.as_bytes()))?;
        Ok((Some(journal), rows))
    }

    /// Nothing of the source can be evaluated.
    fn nothing(&self) -> Error {
        let (what, path) = match &self.source {
            Source::Pairs(path) => (
                "no slice of these volumes can be evaluated".to_owned(),
                path,
            ),
            Source::Records { file, .. } => (
                format!(
                    "no record of the task {} has what an evaluation needs",
                    self.task
                ),
                file,
            ),
        };
        DatasetError::Nothing {
            what,
            path: path.clone(),
        }
        .into()
    }
}

/// Rows in the order of the items, and their summary.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Of a task that makes pictures.
    Pictures {
        /// One per picture.
        rows: Vec<PictureRow>,
        /// Over all rows.
        summary: Box<PictureSummary>,
    },
    /// Of questions.
    Answers {
        /// One per question.
        rows: Vec<AnswerRow>,
        /// Over all rows.
        summary: Box<AnswerSummary>,
    },
}

/// Runs the model on every item. `on_item` gets items done and in all (0 while the data are read) and may stop the run, whose
/// rows stay on disk.
///
/// # Errors
/// Unreadable data, a model without the task, a folder that cannot be written, or a stop.
pub fn evaluate(
    model: &HealthGpt,
    eval: &Evaluation,
    on_item: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Report, Error> {
    if eval.task.generates() {
        let task = picture_task(eval.task)?;
        let (rows, summary) = evaluate_pictures(model, eval, task, on_item)?;
        let summary = Box::new(summary);
        Ok(Report::Pictures { rows, summary })
    } else {
        let (rows, summary) = evaluate_answers(model, eval, on_item)?;
        let summary = Box::new(summary);
        Ok(Report::Answers { rows, summary })
    }
}

/// The items that an earlier run has done.
fn done_before<T>(rows: &[T], id: impl Fn(&T) -> &String) -> BTreeSet<String> {
    rows.iter().map(|row| id(row).clone()).collect()
}

/// Names for records that are their own, and different where the file repeats one.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    /// Of the record with this number, from 0.
    fn of(&mut self, number: usize, record: &Record) -> String {
        let numbered = format!("record {}", number + 1);
        let name = match &record.id {
            None => numbered,
            Some(id) if self.0.contains(id) => format!("{id} ({numbered})"),
            Some(id) => id.clone(),
        };
        let _ = self.0.insert(name.clone());
        name
    }
}

/// Who a record is about; records that do not say are each on their own.
fn subject_of(record: &Record) -> String {
    let picture = record.image.as_ref().or(record.target_image.as_ref());
    let name = record.subject.clone();
    name.or_else(|| picture.map(|picture| picture.display().to_string()))
        .unwrap_or_default()
}
