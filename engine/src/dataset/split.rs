//! Splits by subject, never by slice: no subject is on both sides.

use std::collections::BTreeSet;

use super::record::Record;
use crate::model::random::Random;

/// Which subjects are held out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    held: BTreeSet<String>,
}

impl Division {
    /// Holds out about `share` of the subjects of all these records, but at least one and not all. A record without a subject
    /// stays with all others of its picture.
    pub fn new<'a>(records: impl IntoIterator<Item = &'a Record>, share: f64, seed: u64) -> Self {
        let subjects: BTreeSet<String> = records.into_iter().map(key).collect();
        let mut subjects: Vec<String> = subjects.into_iter().collect();
        let mut random = Random(seed);
        for last in (1..subjects.len()).rev() {
            subjects.swap(last, random.below(last + 1));
        }
        let count = (share * subjects.len() as f64).round() as usize;
        let most = subjects.len().saturating_sub(1);
        subjects.truncate(count.clamp(1.min(most), most));
        Self {
            held: subjects.into_iter().collect(),
        }
    }

    /// Records to learn from and records to check with.
    pub fn divide(&self, records: Vec<Record>) -> [Vec<Record>; 2] {
        let (val, train) = records
            .into_iter()
            .partition(|record| self.held.contains(&key(record)));
        [train, val]
    }
}

fn key(record: &Record) -> String {
    let picture = record.image.as_ref().or(record.target_image.as_ref());
    match (&record.subject, picture) {
        (Some(subject), _) => subject.clone(),
        (None, Some(picture)) => picture.display().to_string(),
        (None, None) => record.id.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        (0..40)
            .map(|i| Record {
                subject: Some(format!("S{}", i % 10)),
                ..Record::about(format!("{i}.png"), "Q?", "A")
            })
            .collect()
    }

    fn split(records: Vec<Record>, share: f64, seed: u64) -> [Vec<Record>; 2] {
        Division::new(&records, share, seed).divide(records)
    }

    #[test]
    fn no_subject_is_on_both_sides_and_a_seed_repeats_the_split() {
        let [train, val] = split(records(), 0.3, 7);
        assert_eq!((train.len(), val.len()), (28, 12));
        let subjects = |part: &[Record]| part.iter().map(key).collect::<BTreeSet<_>>();
        assert!(subjects(&train).is_disjoint(&subjects(&val)));
        assert_eq!(split(records(), 0.3, 7)[1], val);
        assert_ne!(split(records(), 0.3, 8)[1], val);
    }

    #[test]
    fn each_side_keeps_a_subject_if_there_are_two() {
        assert_eq!(split(records(), 0.0, 1)[1].len(), 4);
        assert_eq!(split(records(), 1.0, 1)[0].len(), 4);
        let one = vec![Record::about("a.png", "Q?", "A")];
        assert_eq!(split(one, 0.5, 1).map(|part| part.len()), [1, 0]);
    }
}
