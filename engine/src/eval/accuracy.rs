//! Right answers in percent, beside what the most frequent answer would score.
//!
//! The majority answer is that of the same kind of question (topic, type, yes or no), taken from the very answers that are
//! evaluated: it is the best that one could do without looking at the picture.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::interval::{Interval, interval};
use super::questions::AnswerRow;
use crate::dataset::AnswerType;

/// What the numbers are.
const DEFINITION: &str = "accuracies in percent, case, punctuation and articles ignored; closed: the true answer alone or first; choice: the true choice and no \
     other; open: exact, with recall and F1 of words; majority: what the most frequent answer to the same kind of question scores; \
     95 % intervals by 1000 bootstrap samples of subjects";

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
    /// Right answers in percent, of all questions.
    pub accuracy: f64,
    /// What the majority answers score.
    pub majority_accuracy: f64,
    /// Of closed questions.
    pub closed_accuracy: Option<f64>,
    /// Of multiple choice.
    pub choice_accuracy: Option<f64>,
    /// Of free answers, when they are exact.
    pub open_accuracy: Option<f64>,
    /// Of these four, by their names.
    pub intervals: BTreeMap<&'static str, Interval>,
    /// All questions, with everything that is known of them.
    #[serde(flatten)]
    pub total: Part,
    /// By the modality of the picture.
    pub by_modality: BTreeMap<String, Part>,
    /// By what is asked about.
    pub by_topic: BTreeMap<String, Part>,
    /// What the numbers are.
    pub definition: &'static str,
}

/// Of all rows; `None` without any.
pub(super) fn summarise(rows: &[AnswerRow]) -> Option<AnswerSummary> {
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
    let total = part(&rows, &|_| true)?;
    let open = total.open.map(|open| open.exact);
    let kinds = [
        ("accuracy", Some(total.all)),
        ("closed_accuracy", total.closed),
        ("choice_accuracy", total.choice),
        ("open_accuracy", open),
    ];
    let mean = |accuracy: Option<Accuracy>| accuracy.map(|accuracy| accuracy.accuracy.mean);
    Some(AnswerSummary {
        n: rows.len(),
        subjects: subjects.len(),
        accuracy: total.all.accuracy.mean,
        majority_accuracy: total.all.majority,
        closed_accuracy: mean(total.closed),
        choice_accuracy: mean(total.choice),
        open_accuracy: mean(open),
        intervals: kinds
            .into_iter()
            .filter_map(|(name, accuracy)| Some((name, accuracy?.accuracy)))
            .collect(),
        total,
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
    use crate::eval::answers::judge;

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
        assert_eq!(summary.closed_accuracy, Some(75.0));
        assert_eq!(summary.intervals["choice_accuracy"].mean, 50.0);
    }
}
