//! One record in VL-Health's JSON form: a picture and a conversation about it, with optional keys of ours.
//!
//! ```json
//! {"image": "images/a.png", "conversations": [
//!   {"from": "human", "value": "<image>\nWhich imaging modality is this?"}, {"from": "gpt", "value": "CT"}],
//!  "task": "vqa", "subject": "A", "modality": "CT", "answer_type": "closed"}
//! ```
//!
//! For a task that makes a picture, the answer holds the VQ codes (`<start_index><idx_5>...<end_index>`), or `target_image`
//! names the picture whose codes are the answer. Paths are relative to the folder of the file. Unknown keys are left alone.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::task::Task;

/// Stands in a question where the picture is.
pub const IMAGE: &str = "<image>";
/// Begins the codes of a picture.
pub const START: &str = "<start_index>";
/// Ends them.
pub const END: &str = "<end_index>";

/// A picture and a conversation about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Unique in its file, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The picture; absent for a question without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<PathBuf>,
    /// Question, answer, question, answer...
    pub conversations: Vec<Message>,
    /// Whose picture it is: splits and intervals go by subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<RecordTask>,
    /// `CT`, `MR`, or as the collection calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<String>,
    /// What the question is about: `modality`, `lesion size`...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// How answers are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_type: Option<AnswerType>,
    /// What a multiple-choice question offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// The picture whose VQ codes are the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_image: Option<PathBuf>,
    /// The lesion's outline, white inside, on a picture like `image`: what teaches a vision tower where to look. No answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lesion_mask: Option<PathBuf>,
    /// The picture is never mirrored while training: left and right of a sagittal slice are front and back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sided: bool,
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub from: Speaker,
    /// What is said.
    pub value: String,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The user.
    Human,
    /// The model.
    Gpt,
}

/// What a record is for: the words of `--task`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordTask {
    /// A short answer to a question about a picture.
    Vqa,
    /// A sentence or two about a picture.
    Describe,
    /// CT slice to an MRI-like slice.
    Ct2Mri,
    /// MRI slice to a CT-like slice.
    Mri2Ct,
    /// Four times the resolution.
    Sr4,
    /// A picture to itself through VQ codes.
    Reconstruct,
    /// A report to a picture.
    Report2Image,
}

impl RecordTask {
    /// Every task of records.
    pub const ALL: [Self; 7] = [
        Self::Describe,
        Self::Vqa,
        Self::Ct2Mri,
        Self::Mri2Ct,
        Self::Sr4,
        Self::Reconstruct,
        Self::Report2Image,
    ];

    /// Its word in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vqa => "vqa",
            Self::Describe => "describe",
            Self::Ct2Mri => "ct2mri",
            Self::Mri2Ct => "mri2ct",
            Self::Sr4 => "sr4",
            Self::Reconstruct => "reconstruct",
            Self::Report2Image => "report2image",
        }
    }

    /// Is the answer a picture?
    pub fn generates(self) -> bool {
        !matches!(self, Self::Vqa | Self::Describe)
    }

    /// The task of a model that serves it; `None` for a picture from a report, which no model of ours makes.
    pub fn model_task(self) -> Option<Task> {
        match self {
            Self::Vqa | Self::Describe => Some(Task::Comprehend),
            Self::Ct2Mri => Some(Task::Ct2Mri),
            Self::Mri2Ct => Some(Task::Mri2Ct),
            Self::Sr4 => Some(Task::Sr4),
            Self::Reconstruct => Some(Task::Reconstruct),
            Self::Report2Image => None,
        }
    }
}

impl std::fmt::Display for RecordTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for RecordTask {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|task| task.name() == word)
            .ok_or_else(|| format!("'{word}' is not a task; known tasks are {known}"))
    }
}

/// How an answer is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerType {
    /// Few answers are possible: it is right or wrong.
    Closed,
    /// Free words: exact match, token recall and F1.
    Open,
    /// One of the choices given.
    Choice,
}

impl Record {
    /// A question about a picture, with its answer.
    pub fn about(image: impl Into<PathBuf>, question: &str, answer: impl Into<String>) -> Self {
        let human = Message {
            from: Speaker::Human,
            value: format!("{IMAGE}\n{question}"),
        };
        let gpt = Message {
            from: Speaker::Gpt,
            value: answer.into(),
        };
        Self {
            image: Some(image.into()),
            conversations: vec![human, gpt],
            ..Self::default()
        }
    }

    /// Questions, without the place of the picture, and their answers.
    pub fn exchanges(&self) -> Vec<(String, &str)> {
        self.conversations
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [question, answer] => Some((spoken(&question.value), answer.value.as_str())),
                _ => None,
            })
            .collect()
    }

    /// Is the answer a picture?
    pub fn generates(&self) -> bool {
        self.task.is_some_and(RecordTask::generates)
            || self.target_image.is_some()
            || self
                .conversations
                .last()
                .is_some_and(|last| last.value.contains(START))
    }

    /// Why this record cannot be used, if it cannot; pictures are looked for in `folder`.
    pub fn fault(&self, folder: &Path) -> Option<String> {
        let turns = &self.conversations;
        if turns.is_empty() {
            return Some("the conversation is empty".to_owned());
        }
        for (i, turn) in turns.iter().enumerate() {
            let speaker = [Speaker::Human, Speaker::Gpt][i % 2];
            if turn.from != speaker {
                return Some("human and gpt must take turns, beginning with human".to_owned());
            }
        }
        if !turns.len().is_multiple_of(2) {
            return Some("the last question has no answer".to_owned());
        }
        let places = |turn: &Message| turn.value.matches(IMAGE).count();
        let first = turns.first().map_or(0, places);
        let all: usize = turns.iter().map(places).sum();
        match (&self.image, first, all) {
            (Some(_), 1, 1) | (None, _, 0) => {}
            (None, ..) => return Some(format!("it has {IMAGE} but no image")),
            (Some(_), ..) => {
                return Some(format!("{IMAGE} must stand once, in the first question"));
            }
        }
        for (question, answer) in self.exchanges() {
            if question.trim().is_empty() {
                return Some("a question is empty".to_owned());
            }
            if answer.trim().is_empty() && self.target_image.is_none() {
                return Some("an answer is empty".to_owned());
            }
        }
        if self.generates() && self.target_image.is_none() && self.target_codes().is_none() {
            return Some(format!(
                "the answer is a picture, but there is neither target_image nor {START}<idx_..>{END}"
            ));
        }
        self.choice_fault().or_else(|| self.picture_fault(folder))
    }

    fn choice_fault(&self) -> Option<String> {
        if self.answer_type != Some(AnswerType::Choice) {
            return None;
        }
        if self.choices.len() < 2 {
            return Some("a multiple-choice question needs at least two choices".to_owned());
        }
        let answer = self.conversations.last()?.value.trim();
        let chosen = self.choices.iter().any(|choice| choice.trim() == answer);
        (!chosen).then(|| "the answer is none of the choices".to_owned())
    }

    fn picture_fault(&self, folder: &Path) -> Option<String> {
        [
            ("image", &self.image),
            ("target_image", &self.target_image),
            ("lesion_mask", &self.lesion_mask),
        ]
        .into_iter()
        .find_map(|(key, path)| {
            let path = path.as_ref()?;
            let there = folder.join(path).is_file();
            (!there).then(|| format!("{key} is not there: {}", path.display()))
        })
    }

    /// The VQ codes in the last answer; `None` if it holds none, or is damaged.
    pub fn target_codes(&self) -> Option<Vec<u32>> {
        codes_in(&self.conversations.last()?.value)
    }
}

/// The question without the place of the picture and the newline that goes with it.
fn spoken(value: &str) -> String {
    let Some((before, after)) = value.split_once(IMAGE) else {
        return value.to_owned();
    };
    let before = before.strip_suffix('\n').unwrap_or(before);
    let after = after.strip_prefix('\n').unwrap_or(after);
    format!("{before}{after}")
}

/// VQ codes as they stand in an answer.
pub fn codes_text(codes: &[u32]) -> String {
    let codes: String = codes.iter().map(|code| format!("<idx_{code}>")).collect();
    format!("{START}{codes}{END}")
}

/// The VQ codes between [`START`] and [`END`]; `None` if there are none, or something else stands between them.
pub fn codes_in(text: &str) -> Option<Vec<u32>> {
    let (_, rest) = text.split_once(START)?;
    let (mut rest, _) = rest.split_once(END)?;
    let mut codes = Vec::new();
    while !rest.is_empty() {
        let (code, tail) = rest.strip_prefix("<idx_")?.split_once('>')?;
        codes.push(code.parse().ok()?);
        rest = tail;
    }
    (!codes.is_empty()).then_some(codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_as_they_print_and_damaged_ones_do_not() {
        let text = codes_text(&[5, 0, 8191]);
        assert_eq!(text, "<start_index><idx_5><idx_0><idx_8191><end_index>");
        assert_eq!(codes_in(&text), Some(vec![5, 0, 8191]));
        for damaged in [
            "<start_index><idx_5>",
            "<start_index><end_index>",
            "<start_index><idx_-5><end_index>",
            "<start_index><idx_5> and <idx_6><end_index>",
        ] {
            assert_eq!(codes_in(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn the_place_of_the_picture_is_no_part_of_the_question() {
        let record = Record::about("a.png", "Which plane?", "axial");
        assert_eq!(
            record.conversations[0].value,
            "<image>\nWhich plane?".to_owned()
        );
        assert_eq!(record.exchanges(), [("Which plane?".to_owned(), "axial")]);
        assert_eq!(spoken("Which plane?\n<image>"), "Which plane?");
    }

    #[test]
    fn a_task_reads_as_it_prints() {
        for task in RecordTask::ALL {
            assert_eq!(task.name().parse(), Ok(task));
            let json = serde_json::to_string(&task).unwrap();
            assert_eq!(json, format!("\"{task}\""));
        }
        assert!(
            "ct2pet"
                .parse::<RecordTask>()
                .unwrap_err()
                .contains("ct2mri")
        );
    }
}
