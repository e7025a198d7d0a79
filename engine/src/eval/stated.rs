//! What a description states: modality, plane, and whether there is a lesion, each judged against what the true description states.

use std::collections::BTreeMap;

use super::questions::AnswerRow;
use crate::dataset::AnswerType;
use crate::imaging::Plane;

/// Words that name a lesion.
const LESIONS: [&str; 6] = ["lesion", "lesions", "mass", "masses", "tumor", "tumour"];
/// Words that deny what follows in the same sentence.
const DENIALS: [&str; 4] = ["no", "not", "without", "neither"];

/// A row for each statement of the true description, after the description's own: the topic says what is stated. What is not stated, or
/// both ways, is wrong.
pub(super) fn statements(row: &AnswerRow) -> Vec<AnswerRow> {
    let said = stated(&row.said);
    let of = |(topic, truth): (&'static str, String)| {
        let said = said.get(topic).cloned().unwrap_or_default();
        let share = if said == truth { 1.0 } else { 0.0 };
        AnswerRow {
            id: format!("{}/{topic}", row.id),
            topic: topic.to_owned(),
            answer_type: AnswerType::Closed,
            correct: said == truth,
            recall: share,
            f1: share,
            truth,
            said,
            secs: 0.0,
            ..row.clone()
        }
    };
    stated(&row.truth).into_iter().map(of).collect()
}

/// Statements of a text, by topic.
fn stated(text: &str) -> BTreeMap<&'static str, String> {
    let mut found: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for sentence in text.split(['.', ';', '!', '?']) {
        let sentence = sentence.to_lowercase();
        let mut denied = false;
        for word in sentence.split(|c: char| !c.is_alphanumeric()) {
            denied |= DENIALS.contains(&word);
            let mut note = |topic, what: &str| {
                let known = found.entry(topic).or_default();
                if !known.iter().any(|other| other == what) {
                    known.push(what.to_owned());
                }
            };
            match word {
                "ct" => note("stated modality", "CT"),
                "mri" | "mr" => note("stated modality", "MRI"),
                _ if LESIONS.contains(&word) => {
                    note("stated lesion", if denied { "no" } else { "yes" });
                }
                _ => {}
            }
            if let Some(plane) = Plane::ALL.into_iter().find(|plane| plane.name() == word) {
                note("stated plane", plane.name());
            }
        }
    }
    let one = |(topic, mut what): (&'static str, Vec<String>)| {
        let only = what.pop().filter(|_| what.is_empty())?;
        Some((topic, only))
    };
    found.into_iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(said: &str, truth: &str) -> AnswerRow {
        AnswerRow {
            id: "A/axial/1/CT/describe".to_owned(),
            subject: "A".to_owned(),
            modality: "CT".to_owned(),
            topic: "describe".to_owned(),
            answer_type: AnswerType::Open,
            question: "Describe this slice.".to_owned(),
            truth: truth.to_owned(),
            said: said.to_owned(),
            correct: false,
            recall: 0.5,
            f1: 0.5,
            secs: 1.0,
        }
    }

    #[test]
    fn each_statement_of_the_true_description_is_judged() {
        let truth = "This is an axial CT image of a limb. There is no lesion in this slice.";
        let judged = |said: &str| -> Vec<(String, bool)> {
            let rows = statements(&row(said, truth)).into_iter();
            rows.map(|row| (row.topic, row.correct)).collect()
        };
        let of = |lesion, modality, plane| {
            let rows = [("lesion", lesion), ("modality", modality), ("plane", plane)];
            rows.map(|(topic, right)| (format!("stated {topic}"), right))
        };
        let right = judged("Axial CT slice of a limb. No lesion is visible.");
        assert_eq!(right, of(true, true, true));
        let wrong = judged("A sagittal MRI; no bone is seen. A lesion is visible, about 50 mm.");
        assert_eq!(wrong, of(false, false, false));
        assert_eq!(judged("CT or MRI of a limb."), of(false, false, false));
    }

    #[test]
    fn what_the_true_description_leaves_open_is_not_judged() {
        let rows = statements(&row(
            "Coronal CT slice with a lesion.",
            "Coronal CT slice of a limb.",
        ));
        let topics: Vec<String> = rows.into_iter().map(|row| row.topic).collect();
        assert_eq!(topics, ["stated modality", "stated plane"]);
    }
}
