//! Where a step's records come from: files of records, by their weights, one question or all about a picture at once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::TrainError;
use super::stage::{DataEntry, StageConfig};
use super::validation::response;
use crate::dataset::words::Topic;
use crate::dataset::{OnBad, Record, Records};
use crate::model::HealthGpt;
use crate::model::random::Random;

/// Records of one file and the plug-in that they train.
pub(super) struct Source {
    pub records: Records,
    /// Records that answer, by their picture.
    pub of_picture: BTreeMap<PathBuf, Vec<usize>>,
    /// Records that are drawn, in groups that are drawn equally often.
    groups: Vec<Vec<usize>>,
    pub plugin: usize,
    pub weight: f64,
}

/// Topics whose answers stay true however a picture is turned, mirrored and zoomed.
const MOVABLE: [Topic; 4] = [
    Topic::Modality,
    Topic::Plane,
    Topic::BodyPart,
    Topic::Lesion,
];

pub(super) fn movable(record: &Record) -> bool {
    let generates = record.task.is_some_and(|task| task.generates());
    let topic = record.topic.as_deref();
    generates || topic.is_some_and(|topic| MOVABLE.iter().any(|known| known.name() == topic))
}

impl Source {
    /// A record to learn.
    pub fn draw(&self, random: &mut Random) -> usize {
        // Without a topic to balance, what a seed draws is what it always drew.
        let group = match self.groups.as_slice() {
            [only] => Some(only),
            groups => groups.get(random.below(groups.len())),
        };
        let drawn = group.and_then(|group| group.get(random.below(group.len())));
        drawn.copied().unwrap_or_default()
    }

    /// A record that answers, then others about the same picture, in all up to `together`; only those that may be `moved`, if it is.
    pub fn about_same_picture(
        &self,
        record: usize,
        together: usize,
        moved: bool,
    ) -> impl Iterator<Item = &Record> {
        let image = self.records.records.get(record);
        let image = image.and_then(|record| record.image.as_ref());
        let of = image.and_then(|image| self.of_picture.get(image));
        let others = of.into_iter().flatten().copied();
        std::iter::once(record)
            .chain(others.filter(move |other| *other != record))
            .filter_map(|i| self.records.records.get(i))
            .filter(move |record| !moved || movable(record))
            .take(together)
    }

    /// A record that answers, among up to `together` others about the same picture in any order; only those that may be `moved`, if
    /// it is.
    pub fn conversation(
        &self,
        record: &Record,
        together: usize,
        moved: bool,
        random: &mut Random,
    ) -> Record {
        let mut record = record.clone();
        let of = record
            .image
            .as_ref()
            .and_then(|image| self.of_picture.get(image));
        let Some(of) = of.filter(|of| together > 1 && of.len() > 1) else {
            return record;
        };
        let mut chosen = of.clone();
        chosen.retain(|i| !moved || self.records.records.get(*i).is_some_and(movable));
        for i in (1..chosen.len()).rev() {
            chosen.swap(i, random.below(i + 1));
        }
        chosen.truncate(together);
        let others = chosen.iter().filter_map(|i| self.records.records.get(*i));
        record.conversations = others
            .flat_map(|other| other.conversations.clone())
            .collect();
        record
    }
}

/// The records of a configuration's entries.
pub(super) fn sources(
    config: &StageConfig,
    model: &HealthGpt,
    entries: &[DataEntry],
) -> Result<Vec<Source>, TrainError> {
    let on_bad = if config.skip_bad {
        OnBad::Skip
    } else {
        OnBad::Refuse
    };
    let plugins = &model.plugins;
    let source = |entry: &DataEntry| {
        let plugin = plugins
            .iter()
            .position(|plugin| plugin.entry.name == entry.plugin);
        let plugin = plugin.ok_or_else(|| TrainError::NoPlugIn {
            name: entry.plugin.clone(),
            known: plugins
                .iter()
                .map(|plugin| plugin.entry.name.clone())
                .collect(),
        })?;
        let records = Records::read(&entry.records, on_bad)?;
        if records.records.is_empty() {
            return Err(TrainError::Record {
                what: "the file holds no records".to_owned(),
                path: entry.records.clone(),
            });
        }
        let mut of_picture: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
        for (i, record) in records.records.iter().enumerate() {
            if let (Some(image), Some(false)) = (&record.image, record.task.map(|t| t.generates()))
            {
                of_picture.entry(image.clone()).or_default().push(i);
            }
        }
        let mut groups = match &entry.balance {
            Some(topic) => balanced(&records.records, &of_picture, topic),
            None => vec![(0..records.records.len()).collect()],
        };
        let none = |what: &str, name: &Option<String>| TrainError::Record {
            what: format!(
                "no record has the {what} {:?}, which the data entry names",
                name.as_deref().unwrap_or_default()
            ),
            path: entry.records.clone(),
        };
        if groups.is_empty() {
            return Err(none("topic", &entry.balance));
        }
        if entry.modality.is_some() {
            only_of(&entry.modality, &records.records, &mut groups);
        }
        if groups.is_empty() {
            return Err(none("modality", &entry.modality));
        }
        Ok(Source {
            records,
            of_picture,
            groups,
            plugin,
            weight: entry.weight,
        })
    };
    entries.iter().map(source).collect()
}

/// Leaves the records of one modality.
fn only_of(modality: &Option<String>, records: &[Record], groups: &mut Vec<Vec<usize>>) {
    let is_of = |i: &usize| records.get(*i).is_some_and(|r| r.modality == *modality);
    for group in groups.iter_mut() {
        group.retain(is_of);
    }
    groups.retain(|group| !group.is_empty());
}

/// Records of the pictures that have one answer to a topic, for each of its answers.
fn balanced(
    records: &[Record],
    of_picture: &BTreeMap<PathBuf, Vec<usize>>,
    topic: &str,
) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for of in of_picture.values() {
        let about = of.iter().filter_map(|i| records.get(*i));
        let mut about = about.filter(|record| record.topic.as_deref() == Some(topic));
        if let Some(answer) = about.next().map(response) {
            groups.entry(answer).or_default().extend_from_slice(of);
        }
    }
    // Beside other answers "no" says little about the picture: which is left open.
    let says_little = |answer: &str| ["yes", "no"].contains(&answer);
    if !groups.keys().all(|answer| says_little(answer)) {
        groups.retain(|answer, _| !says_little(answer));
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Message, RecordTask, Speaker};

    fn asked(picture: &str, topic: &str, answer: &str) -> Record {
        let message = |from, value: &str| Message {
            from,
            value: value.to_owned(),
        };
        Record {
            image: Some(picture.into()),
            task: Some(RecordTask::Vqa),
            topic: Some(topic.to_owned()),
            conversations: vec![message(Speaker::Human, "?"), message(Speaker::Gpt, answer)],
            ..Record::default()
        }
    }

    fn source(records: Vec<Record>) -> Source {
        let mut of_picture: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
        for (i, record) in records.iter().enumerate() {
            let image = record.image.clone().unwrap();
            of_picture.entry(image).or_default().push(i);
        }
        Source {
            groups: balanced(&records, &of_picture, "plane"),
            records: Records {
                records,
                ..Records::default()
            },
            of_picture,
            plugin: 0,
            weight: 1.0,
        }
    }

    #[test]
    fn a_rare_answer_is_drawn_as_often_as_a_frequent_one() {
        let mut records: Vec<Record> = (0..9)
            .map(|i| asked(&format!("{i}"), "plane", "axial"))
            .collect();
        records.push(asked("9", "plane", "coronal"));
        records.push(asked("9", "modality", "CT"));
        records.push(asked("10", "plane", "no"));
        let source = source(records);
        assert_eq!(source.groups.len(), 2);
        let mut random = Random(3);
        let drawn: Vec<usize> = (0..1000).map(|_| source.draw(&mut random)).collect();
        let rare = drawn.iter().filter(|i| [9, 10].contains(*i)).count();
        assert!((420..580).contains(&rare), "{rare}");
        assert!(!drawn.contains(&11), "\"no\" names no plane");
    }

    #[test]
    fn records_of_one_modality_can_be_drawn_alone() {
        let of = |picture: &str, plane: &str, modality: &str| Record {
            modality: Some(modality.to_owned()),
            ..asked(picture, "plane", plane)
        };
        let mut source = source(vec![
            of("0", "axial", "CT"),
            of("1", "axial", "MR"),
            of("2", "coronal", "CT"),
            of("3", "coronal", "MR"),
            of("4", "sagittal", "CT"),
        ]);
        let records = &source.records.records;
        only_of(&Some("MR".to_owned()), records, &mut source.groups);
        assert_eq!(source.groups, [vec![1], vec![3]]);
        only_of(&Some("PET".to_owned()), records, &mut source.groups);
        assert!(source.groups.is_empty());
    }

    #[test]
    fn yes_and_no_are_drawn_equally_often_where_nothing_else_is_answered() {
        let answers = ["yes", "yes", "no", "yes", "yes"];
        let records = answers.iter().enumerate();
        let records = records.map(|(i, answer)| asked(&format!("{i}"), "plane", answer));
        let source = source(records.collect());
        let mut random = Random(3);
        let drawn = (0..1000).filter(|_| source.draw(&mut random) == 2).count();
        assert!((420..580).contains(&drawn), "{drawn}");
    }

    #[test]
    fn a_picture_that_is_mirrored_is_not_asked_where_its_lesion_is() {
        let source = source(vec![
            asked("0", "plane", "axial"),
            asked("0", "lesion place", "left"),
            asked("0", "lesion size", "5 to 10 cm"),
            asked("0", "lesion", "yes"),
        ]);
        let record = &source.records.records[0];
        let turns = |moved| {
            let made = source.conversation(record, 6, moved, &mut Random(1));
            made.conversations.len() / 2
        };
        assert_eq!((turns(false), turns(true)), (4, 2));
        assert_eq!(source.about_same_picture(0, 6, true).count(), 2);
    }
}
