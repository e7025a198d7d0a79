//! A model's answers against true ones: questions made of volumes or read from records, and what is said to them.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::accuracy::{AnswerSummary, summarise};
use super::answers::judge;
use super::pictures::Opened;
use super::share::{Flow, shared};
use super::stated::statements;
use super::{Evaluation, Source, done_before};
use crate::dataset::facts::Scanner;
use crate::dataset::from_pairs::picture_questions;
use crate::dataset::pairs::{SIDE, Subject, rgb, subject_folders};
use crate::dataset::shown::shown;
use crate::dataset::words::{description, item_random};
use crate::dataset::{AnswerType, Record, RecordTask, Records};
use crate::error::Error;
use crate::imaging::Plane;
use crate::model::{AnswerEnd, AskInput, HealthGpt, ModelError, Sampling};
use crate::task::Task;

/// An answer is cut after so many tokens.
const MAX_NEW_TOKENS: usize = 96;

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
    let todo: Vec<&Item> = items
        .iter()
        .filter(|item| !done.contains(&item.id))
        .collect();
    let mut opened = Opened::default();
    let mut asked = items.len() - todo.len();
    for chunk in todo.chunks(eval.workers.max(1)) {
        if on_item(asked, items.len()).is_break() {
            return Err(Error::Stopped);
        }
        let mut opening = Vec::new();
        for item in chunk {
            let images = match &item.picture {
                Picture::None => Vec::new(),
                Picture::Levels(levels) => vec![rgb(levels)],
                Picture::File(path) => vec![opened.get(path)?],
            };
            opening.push((*item, images));
        }
        let results = shared(
            &opening,
            &mut || on_item(asked, items.len()),
            &|(item, images), flow| ask(model, item, images, flow),
        )?;
        for row in results {
            if let Some(journal) = &mut journal {
                journal.add(&row)?;
            }
            rows.push(row);
        }
        asked += chunk.len();
    }
    if eval.task == RecordTask::Describe {
        let judged: Vec<AnswerRow> = rows.iter().flat_map(statements).collect();
        rows.extend(judged);
    }
    let summary = summarise(&rows).ok_or_else(|| eval.nothing())?;
    Ok((rows, summary))
}

fn ask(
    model: &HealthGpt,
    item: &Item,
    images: &[RgbImage],
    flow: Flow<'_>,
) -> Result<AnswerRow, ModelError> {
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
    let answer = model.answer(&input, &mut |_| flow())?;
    if answer.end == AnswerEnd::Stopped {
        return Err(ModelError::Stopped);
    }
    let said = answer.text.trim().to_owned();
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
    let mut names = super::Names::default();
    let item = |(number, record): (usize, &Record)| Item {
        id: names.of(number, record),
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
