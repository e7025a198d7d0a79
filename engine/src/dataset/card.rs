//! A dataset card: what is in a set of records, counted by subject, modality, task, topic and answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::atomic::write_atomically;
use super::error::DatasetError;
use super::record::Record;

/// Answers listed for each topic.
const ANSWERS_SHOWN: usize = 20;

/// Counts of a set of records.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Card {
    /// What the set is called.
    pub title: String,
    /// Where it comes from, its licence, how it was made: a paragraph each.
    pub about: Vec<String>,
    /// What a user must know.
    pub warnings: Vec<String>,
    /// Records.
    pub records: usize,
    /// Different pictures, inputs and targets together.
    pub pictures: usize,
    /// Different subjects.
    pub subjects: usize,
    /// Records by the side of the split, where there is one.
    pub by_split: BTreeMap<String, usize>,
    /// Records by subject; empty where no record names one.
    pub by_subject: BTreeMap<String, usize>,
    /// Records by modality.
    pub by_modality: BTreeMap<String, usize>,
    /// Records by task.
    pub by_task: BTreeMap<String, usize>,
    /// Records by the type of their answer.
    pub by_answer_type: BTreeMap<String, usize>,
    /// For each topic, how often each answer is the true one.
    pub answers: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Card {
    /// Counts the records of each side of a split.
    pub fn of(title: &str, splits: &[(&str, &[Record])]) -> Self {
        let mut card = Self {
            title: title.to_owned(),
            ..Self::default()
        };
        let mut pictures = BTreeSet::new();
        let add = |counts: &mut BTreeMap<String, usize>, key: &str| {
            *counts.entry(key.to_owned()).or_default() += 1;
        };
        for (split, records) in splits {
            for record in *records {
                card.records += 1;
                add(&mut card.by_split, split);
                pictures.extend(record.image.iter().chain(&record.target_image).cloned());
                if let Some(subject) = &record.subject {
                    add(&mut card.by_subject, subject);
                }
                let modality = record.modality.as_deref().unwrap_or("not said");
                add(&mut card.by_modality, modality);
                let task = record.task.map_or("not said", |task| task.name());
                add(&mut card.by_task, task);
                if let Some(kind) = record.answer_type {
                    add(
                        &mut card.by_answer_type,
                        &format!("{kind:?}").to_lowercase(),
                    );
                }
                let short = record.answer_type.is_some()
                    && record.task != Some(super::RecordTask::Describe);
                if let Some((topic, (_, answer))) = record
                    .topic
                    .as_ref()
                    .zip(record.exchanges().pop())
                    .filter(|_| short)
                {
                    add(card.answers.entry(topic.clone()).or_default(), answer);
                }
            }
        }
        card.pictures = pictures.len();
        card.subjects = card.by_subject.len();
        card
    }

    /// For people.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n", self.title);
        for paragraph in &self.about {
            let _ = writeln!(text, "{paragraph}\n");
        }
        let _ = writeln!(
            text,
            "{} records about {} pictures of {} subjects.\n",
            self.records, self.pictures, self.subjects
        );
        if !self.warnings.is_empty() {
            text.push_str("## Warnings\n\n");
            for warning in &self.warnings {
                let _ = writeln!(text, "- {warning}");
            }
            text.push('\n');
        }
        for (heading, counts) in [
            ("side of the split", &self.by_split),
            ("task", &self.by_task),
            ("modality", &self.by_modality),
            ("answer type", &self.by_answer_type),
            ("subject", &self.by_subject),
        ] {
            if !counts.is_empty() {
                table(&mut text, heading, counts, usize::MAX);
            }
        }
        for (topic, answers) in &self.answers {
            table(
                &mut text,
                &format!("answer: {topic}"),
                answers,
                ANSWERS_SHOWN,
            );
        }
        text.trim_end().to_owned() + "\n"
    }

    /// Writes `NAME.md` and `NAME.json`.
    ///
    /// # Errors
    /// [`DatasetError::Write`].
    pub fn write(&self, folder: &Path, name: &str) -> Result<(), DatasetError> {
        let path = folder.join(format!("{name}.json"));
        let json = serde_json::to_string_pretty(self).map_err(|error| DatasetError::Write {
            why: error.to_string(),
            path: path.clone(),
        })?;
        write_atomically(&path, (json + "\n").as_bytes())?;
        write_atomically(
            &folder.join(format!("{name}.md")),
            self.markdown().as_bytes(),
        )
    }
}

/// A table of counts, most frequent first, with the share of each.
fn table(text: &mut String, heading: &str, counts: &BTreeMap<String, usize>, most: usize) {
    let total: usize = counts.values().sum();
    let mut rows: Vec<(&String, usize)> = counts.iter().map(|(key, count)| (key, *count)).collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let _ = writeln!(text, "| {heading} | records | share |\n|---|---|---|");
    for (key, count) in rows.iter().take(most) {
        let share = 100.0 * *count as f64 / total.max(1) as f64;
        let key = key.replace('|', "\\|").replace('\n', " ");
        let _ = writeln!(text, "| {key} | {count} | {share:.1} % |");
    }
    if rows.len() > most {
        let rest: usize = rows.iter().skip(most).map(|(_, count)| count).sum();
        let _ = writeln!(text, "| {} others | {rest} | |", rows.len() - most);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{AnswerType, RecordTask};

    #[test]
    fn a_card_counts_by_subject_modality_task_and_answer() {
        let record = |subject: &str, answer: &str| Record {
            subject: Some(subject.to_owned()),
            modality: Some("CT".to_owned()),
            task: Some(RecordTask::Vqa),
            topic: Some("plane".to_owned()),
            answer_type: Some(AnswerType::Closed),
            ..Record::about(format!("{subject}.png"), "Which plane?", answer)
        };
        let train = [
            record("A", "axial"),
            record("A", "axial"),
            record("B", "coronal"),
        ];
        let card = Card::of(
            "Test",
            &[("train", &train), ("val", &[record("C", "axial")])],
        );
        assert_eq!((card.records, card.pictures, card.subjects), (4, 3, 3));
        assert_eq!(card.answers["plane"]["axial"], 3);
        assert_eq!(card.by_split["val"], 1);
        let text = card.markdown();
        assert!(text.contains("| axial | 3 | 75.0 % |"), "{text}");
        assert!(text.contains("| vqa | 4 | 100.0 % |"), "{text}");
    }
}
