//! A model's answers against true ones, beside what the most frequent answer would score.
//!
//! The majority answer is that of the same kind of question (topic, type, yes or no), taken from the very answers that are
//! evaluated: it is the best that one could do without looking at the picture.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::answers::judge;
use super::interval::{Interval, interval};
use super::pictures::Opened;
use super::{Evaluation, Source, done_before};
use crate::dataset::facts::Scanner;
use crate::dataset::from_pairs::picture_questions;
use crate::dataset::pairs::{SIDE, Subject, rgb, subject_folders};
use crate::dataset::shown::shown;
use crate::dataset::words::{description, item_random};
use crate::dataset::{AnswerType, Record, RecordTask, Records};
use crate::error::Error;
use crate::imaging::Plane;
use crate::model::{AskInput, HealthGpt, Sampling};
use crate::task::Task;

/// An answer is cut after so many tokens.
const MAX_NEW_TOKENS: usize = 96;

/// What the numbers are.
const DEFINITION: &str = "accuracies in percent, case, punctuation and articles ignored; closed: the true answer alone or first; choice: the true choice and no \
     other; open: exact, with recall and F1 of words; majority: what the most frequent answer to the same kind of question scores; \
     95 % intervals by 1000 bootstrap samples of subjects";

/// One question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerRow {
    /// Names the item.
    pub id: String,
    /// Whose picture it is.
    pub subject: String,
    /// How the picture was made.
    pub modality: String,
    /// What is asked about.
    pub topic: String,
    /// How answers are compared.
    pub answer_type: AnswerType,
    /// The question.
    pub question: String,
    /// The true answer.
    pub truth: String,
    /// What the model said.
    pub said: String,
    /// It is right by the rule of its type.
    pub correct: bool,
    /// Share of the true answer's words that were said.
    pub recall: f64,
    /// With precision.
    pub f1: f64,
    /// Seconds it took.
    pub secs: f64,
}

/// Right answers of a set of rows, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// Questions.
    pub n: usize,
    /// Right answers.
    #[serde(flatten)]
    pub accuracy: Interval,
    /// What the majority answer scores.
    pub majority: f64,
    /// Difference of the two, on the same questions.
    pub above_majority: Interval,
}

/// Free answers, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Open {
    /// Exact answers.
    #[serde(flatten)]
    pub exact: Accuracy,
    /// Words of the true answer that were said.
    pub recall: Interval,
    /// With precision.
    pub f1: Interval,
}

/// A set of rows by the type of their answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Part {
    /// All of them; open ones count when they are exact.
    pub all: Accuracy,
    /// Closed questions.
    pub closed: Option<Accuracy>,
    /// Multiple choice.
    pub choice: Option<Accuracy>,
    /// Free answers.
    pub open: Option<Open>,
}

/// Over all rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnswerSummary {
    /// Questions.
    pub n: usize,
    /// Subjects.
    pub subjects: usize,
    /// All questions.
    #[serde(flatten)]
    pub total: Part,
    /// By the modality of the picture.
    pub by_modality: BTreeMap<String, Part>,
    /// By what is asked about.
    pub by_topic: BTreeMap<String, Part>,
    /// What the numbers are.
    pub definition: &'static str,
}

struct Item {
    id: String,
    subject: String,
    modality: String,
    topic: String,
    answer_type: AnswerType,
    choices: Vec<String>,
    /// Question and true answer; the ones before are given.
    turns: Vec<(String, String)>,
    picture: Picture,
}

enum Picture {
    None,
    Levels(Arc<Vec<u8>>),
    File(PathBuf),
}

/// Asks the model every question. `on_item` gets questions done and in all, and may stop the run.
///
/// # Errors
/// Data that cannot be read, a model that answers nothing, or a stop.
pub fn evaluate_answers(
    model: &HealthGpt,
    eval: &Evaluation,
    on_item: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<(Vec<AnswerRow>, AnswerSummary), Error> {
    let _ = model.plugin_for(Task::Comprehend)?;
    let items = match &eval.source {
        Source::Pairs(folder) => {
            let mut items = Vec::new();
            for folder in subject_folders(folder)? {
                if on_item(0, 0).is_break() {
                    return Err(Error::Stopped);
                }
                subject_items(&Subject::open(&folder)?, eval, &mut items)?;
            }
            items
        }
        Source::Records { file, on_bad } => record_items(&Records::read(file, *on_bad)?, eval),
    };
    let (mut journal, mut rows) = eval.journal::<AnswerRow>(model)?;
    let done = done_before(&rows, |row| &row.id);
    let mut opened = Opened::default();
    for (number, item) in items.iter().enumerate() {
        if done.contains(&item.id) {
            continue;
        }
        if on_item(number, items.len()).is_break() {
            return Err(Error::Stopped);
        }
        let images = match &item.picture {
            Picture::None => Vec::new(),
            Picture::Levels(levels) => vec![rgb(levels)],
            Picture::File(path) => vec![opened.get(path)?],
        };
        let mut stopped = false;
        let row = ask(model, item, &images, &mut || {
            let flow = on_item(number, items.len());
            stopped = flow.is_break();
            flow
        })?;
        if stopped {
            return Err(Error::Stopped);
        }
        if let Some(journal) = &mut journal {
            journal.add(&row)?;
        }
        rows.push(row);
    }
    let summary = summarise(&rows).ok_or_else(|| eval.nothing())?;
    Ok((rows, summary))
}

fn ask(
    model: &HealthGpt,
    item: &Item,
    images: &[RgbImage],
    on_text: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<AnswerRow, Error> {
    let started = std::time::Instant::now();
    let (question, truth) = item.turns.last().cloned().unwrap_or_default();
    let history: Vec<(&str, &str)> = item
        .turns
        .iter()
        .take(item.turns.len().saturating_sub(1))
        .map(|(question, answer)| (question.as_str(), answer.as_str()))
        .collect();
    let input = AskInput {
        images,
        history: &history,
        question: &question,
        sampling: &Sampling::default(),
        max_new_tokens: MAX_NEW_TOKENS,
    };
    let said = model
        .answer(&input, &mut |_| on_text())?
        .text
        .trim()
        .to_owned();
    let verdict = judge(&said, &truth, item.answer_type, &item.choices);
    Ok(AnswerRow {
        id: item.id.clone(),
        subject: item.subject.clone(),
        modality: item.modality.clone(),
        topic: item.topic.clone(),
        answer_type: item.answer_type,
        question,
        truth,
        said,
        correct: verdict.correct,
        recall: verdict.recall,
        f1: verdict.f1,
        secs: started.elapsed().as_secs_f64(),
    })
}

/// The questions that `workbench dataset pairs` would write, made of the volumes themselves.
fn subject_items(subject: &Subject, eval: &Evaluation, items: &mut Vec<Item>) -> Result<(), Error> {
    for shown in shown(subject, &Plane::ALL, SIDE, eval.every)? {
        for scanner in Scanner::ALL {
            let name = format!(
                "{}/{}/{}",
                subject.name,
                shown.plane.name(),
                shown.index + 1
            );
            let picture = Arc::new(shown.levels(scanner).to_vec());
            let mut add = |topic: &str, answer_type, choices: Vec<String>, turn| {
                items.push(Item {
                    id: format!("{name}/{}/{topic}", scanner.code()),
                    subject: subject.name.clone(),
                    modality: scanner.code().to_owned(),
                    topic: topic.to_owned(),
                    answer_type,
                    choices,
                    turns: vec![turn],
                    picture: Picture::Levels(Arc::clone(&picture)),
                });
            };
            if eval.task == RecordTask::Describe {
                let id = format!("{name}/{}/describe", scanner.code());
                let mut random = item_random(eval.seed, &[&id]);
                let (question, answer) = description(&shown.facts(scanner), &mut random);
                add(
                    "describe",
                    AnswerType::Open,
                    Vec::new(),
                    (question.to_owned(), answer),
                );
                continue;
            }
            for question in picture_questions(eval.seed, &subject.name, &shown, scanner) {
                let choices = question.choices.iter().map(|choice| (*choice).to_owned());
                add(
                    question.topic.name(),
                    question.answer_type,
                    choices.collect(),
                    (question.text, question.answer),
                );
            }
        }
    }
    Ok(())
}

fn record_items(records: &Records, eval: &Evaluation) -> Vec<Item> {
    let asks = |record: &Record| match record.task {
        Some(task) => task == eval.task,
        None => eval.task == RecordTask::Vqa && !record.generates(),
    };
    let chosen = records
        .records
        .iter()
        .enumerate()
        .filter(|(_, record)| asks(record));
    let item = |(number, record): (usize, &Record)| Item {
        id: record
            .id
            .clone()
            .unwrap_or_else(|| format!("record {}", number + 1)),
        subject: super::subject_of(record),
        modality: record
            .modality
            .clone()
            .unwrap_or_else(|| "not said".to_owned()),
        topic: record
            .topic
            .clone()
            .unwrap_or_else(|| "not said".to_owned()),
        answer_type: record.answer_type.unwrap_or(AnswerType::Open),
        choices: record.choices.clone(),
        turns: record
            .exchanges()
            .into_iter()
            .map(|(question, answer)| (question, answer.to_owned()))
            .collect(),
        picture: match &record.image {
            Some(image) => Picture::File(records.path(image)),
            None => Picture::None,
        },
    };
    chosen.map(item).step_by(eval.every.max(1)).collect()
}

/// `None` without rows.
fn summarise(rows: &[AnswerRow]) -> Option<AnswerSummary> {
    let majority = majority(rows);
    let rows: Vec<(&AnswerRow, bool)> = rows
        .iter()
        .map(|row| (row, majority.get(&kind(row)) == Some(&row.truth.as_str())))
        .collect();
    let by = |of: &dyn Fn(&AnswerRow) -> &str| {
        let names: BTreeSet<&str> = rows.iter().map(|(row, _)| of(row)).collect();
        let parts = names.into_iter().filter_map(|name| {
            let part = part(&rows, &|row| of(row) == name)?;
            Some((name.to_owned(), part))
        });
        parts.collect()
    };
    let subjects: BTreeSet<&str> = rows.iter().map(|(row, _)| row.subject.as_str()).collect();
    Some(AnswerSummary {
        n: rows.len(),
        subjects: subjects.len(),
        total: part(&rows, &|_| true)?,
        by_modality: by(&|row| &row.modality),
        by_topic: by(&|row| &row.topic),
        definition: DEFINITION,
    })
}

/// Questions that could have the same answers.
fn kind(row: &AnswerRow) -> (&str, AnswerType, bool) {
    let yes_no = ["yes", "no"].contains(&row.truth.to_lowercase().as_str());
    (&row.topic, row.answer_type, yes_no)
}

/// The most frequent true answer of each kind; of two equally frequent ones the first of the alphabet.
fn majority(rows: &[AnswerRow]) -> BTreeMap<(&str, AnswerType, bool), &str> {
    let mut counts: BTreeMap<(&str, AnswerType, bool), BTreeMap<&str, usize>> = BTreeMap::new();
    for row in rows {
        *counts
            .entry(kind(row))
            .or_default()
            .entry(&row.truth)
            .or_default() += 1;
    }
    let mut result = BTreeMap::new();
    for (kind, answers) in counts {
        let best = answers.values().max().copied().unwrap_or(0);
        if let Some((answer, _)) = answers.iter().find(|(_, count)| **count == best) {
            let _ = result.insert(kind, *answer);
        }
    }
    result
}

/// `None` if no row is wanted.
fn part(rows: &[(&AnswerRow, bool)], wanted: &dyn Fn(&AnswerRow) -> bool) -> Option<Part> {
    let of_type = |kind: Option<AnswerType>| -> Vec<(&AnswerRow, bool)> {
        rows.iter()
            .filter(|(row, _)| wanted(row) && kind.is_none_or(|kind| row.answer_type == kind))
            .copied()
            .collect()
    };
    let open = of_type(Some(AnswerType::Open));
    Some(Part {
        all: accuracy(&of_type(None))?,
        closed: accuracy(&of_type(Some(AnswerType::Closed))),
        choice: accuracy(&of_type(Some(AnswerType::Choice))),
        open: accuracy(&open)
            .zip(percent(&open, |row| row.recall))
            .zip(percent(&open, |row| row.f1))
            .map(|((exact, recall), f1)| Open { exact, recall, f1 }),
    })
}

fn accuracy(rows: &[(&AnswerRow, bool)]) -> Option<Accuracy> {
    let right = |right: bool| if right { 100.0 } else { 0.0 };
    let differences: Vec<(&str, f64)> = rows
        .iter()
        .map(|(row, majority)| (row.subject.as_str(), right(row.correct) - right(*majority)))
        .collect();
    let majority = rows
        .iter()
        .map(|(_, majority)| right(*majority))
        .sum::<f64>();
    Some(Accuracy {
        n: rows.len(),
        accuracy: percent(rows, |row| if row.correct { 1.0 } else { 0.0 })?,
        majority: majority / rows.len() as f64,
        above_majority: interval(&differences)?,
    })
}

fn percent(rows: &[(&AnswerRow, bool)], of: impl Fn(&AnswerRow) -> f64) -> Option<Interval> {
    let values: Vec<(&str, f64)> = rows
        .iter()
        .map(|(row, _)| (row.subject.as_str(), 100.0 * of(row)))
        .collect();
    interval(&values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(subject: &str, topic: &str, kind: AnswerType, truth: &str, said: &str) -> AnswerRow {
        let verdict = judge(said, truth, kind, &["CT".to_owned(), "MRI".to_owned()]);
        AnswerRow {
            id: String::new(),
            subject: subject.to_owned(),
            modality: if subject == "A" { "CT" } else { "MR" }.to_owned(),
            topic: topic.to_owned(),
            answer_type: kind,
            question: String::new(),
            truth: truth.to_owned(),
            said: said.to_owned(),
            correct: verdict.correct,
            recall: verdict.recall,
            f1: verdict.f1,
            secs: 0.0,
        }
    }

    #[test]
    fn accuracies_stand_beside_what_the_most_frequent_answer_scores() {
        use AnswerType::{Choice, Closed, Open};
        let rows = [
            row("A", "lesion", Closed, "yes", "yes"),
            row("A", "lesion", Closed, "yes", "no"),
            row("B", "lesion", Closed, "yes", "yes"),
            row("B", "lesion", Closed, "no", "no"),
            row("A", "modality", Choice, "CT", "A"),
            row("B", "modality", Choice, "MRI", "CT"),
            row("B", "place", Open, "upper left", "lower left"),
        ];
        let summary = summarise(&rows).unwrap();
        let lesion = summary.by_topic["lesion"].closed.unwrap();
        assert_eq!(
            (lesion.n, lesion.accuracy.mean, lesion.majority),
            (4, 75.0, 75.0)
        );
        assert_eq!(lesion.above_majority.mean, 0.0);
        let modality = summary.by_topic["modality"].choice.unwrap();
        assert_eq!((modality.accuracy.mean, modality.majority), (50.0, 50.0));
        let open = summary.total.open.unwrap();
        assert_eq!(
            (open.exact.accuracy.mean, open.recall.mean, open.f1.mean),
            (0.0, 50.0, 50.0)
        );
        assert!(summary.by_topic["lesion"].open.is_none());
        let ct = summary.by_modality["CT"];
        assert_eq!((ct.all.n, ct.closed.unwrap().accuracy.mean), (3, 50.0));
        assert_eq!((summary.n, summary.subjects), (7, 2));
    }
}
