//! Questions, answers and descriptions made of facts: short answers from a small closed vocabulary, every question in several
//! wordings, chosen by a seed.
//!
//! The data say "limb" and nothing finer (thigh, knee, arm are not labelled by subject), so that is the body part.

use serde::{Deserialize, Serialize};

use super::facts::{Extent, Facts, Lesion, Place, Scanner};
use super::record::{AnswerType, RecordTask};
use crate::imaging::Plane;
use crate::model::random::Random;

/// The body part of the pairs.
pub const BODY_PART: &str = "limb";
const YES_NO: [&str; 2] = ["yes", "no"];

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Topic {
    /// CT or MRI.
    #[serde(rename = "modality")]
    Modality,
    /// Axial, coronal or sagittal.
    #[serde(rename = "plane")]
    Plane,
    /// Limb.
    #[serde(rename = "body part")]
    BodyPart,
    /// Whether a lesion is visible.
    #[serde(rename = "lesion")]
    Lesion,
    /// Where it is.
    #[serde(rename = "lesion place")]
    Place,
    /// How large it is.
    #[serde(rename = "lesion size")]
    Size,
}

impl Topic {
    /// In the order in which a reader would ask.
    pub const ALL: [Self; 6] = [
        Self::Modality,
        Self::Plane,
        Self::BodyPart,
        Self::Lesion,
        Self::Place,
        Self::Size,
    ];

    /// As records name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Modality => "modality",
            Self::Plane => "plane",
            Self::BodyPart => "body part",
            Self::Lesion => "lesion",
            Self::Place => "lesion place",
            Self::Size => "lesion size",
        }
    }
}

/// A question with its true answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub topic: Topic,
    /// The question.
    pub text: String,
    /// The answer.
    pub answer: String,
    /// How answers are compared.
    pub answer_type: AnswerType,
    /// What a multiple-choice question offers.
    pub choices: Vec<&'static str>,
}

/// One question for each topic that the facts answer, worded by chance.
pub fn questions(facts: &Facts, random: &mut Random) -> Vec<Question> {
    Topic::ALL
        .into_iter()
        .filter_map(|topic| question(topic, facts, random))
        .collect()
}

/// A question of this topic; `None` where the facts do not answer it.
fn question(topic: Topic, facts: &Facts, random: &mut Random) -> Option<Question> {
    let make = |text: String, answer: &str, answer_type, choices: &[&'static str]| Question {
        topic,
        text,
        answer: answer.to_owned(),
        answer_type,
        choices: choices.to_vec(),
    };
    let closed = |text: &str, answer: &str| make(text.to_owned(), answer, AnswerType::Closed, &[]);
    let yes_no = |text: String, yes: bool| {
        let answer = if yes { "yes" } else { "no" };
        make(text, answer, AnswerType::Closed, &YES_NO)
    };
    Some(match topic {
        Topic::Modality => {
            let answer = facts.scanner.word();
            match random.below(6) {
                0 => closed("Which imaging modality is this?", answer),
                1 => closed("What kind of scan is shown?", answer),
                2 => closed("How was this image made?", answer),
                3 => {
                    let asked = pick(&Scanner::ALL, random).word();
                    yes_no(
                        format!("Is this {} image?", with_article(asked)),
                        asked == answer,
                    )
                }
                _ => {
                    let choices = Scanner::ALL.map(Scanner::word);
                    let text = format!("Is this {} or {}?", choices[0], choices[1]);
                    make(text, answer, AnswerType::Choice, &choices)
                }
            }
        }
        Topic::Plane => {
            let answer = facts.plane.name();
            match random.below(6) {
                0 => closed("Which plane is this slice in?", answer),
                1 => closed("In which plane was the image taken?", answer),
                2 => closed("What is the plane of this image?", answer),
                3 => {
                    let asked = pick(&Plane::ALL, random).name();
                    yes_no(
                        format!("Is this {} slice?", with_article(asked)),
                        asked == answer,
                    )
                }
                _ => {
                    let choices = Plane::ALL.map(Plane::name);
                    let [a, b, c] = choices;
                    let text = format!("Is this slice {a}, {b} or {c}?");
                    make(text, answer, AnswerType::Choice, &choices)
                }
            }
        }
        Topic::BodyPart => match random.below(5) {
            0 => closed("Which part of the body is shown?", BODY_PART),
            1 => closed("Which body part is this?", BODY_PART),
            2 => closed("What region of the body does this image show?", BODY_PART),
            3 => yes_no(format!("Does this image show a {BODY_PART}?"), true),
            _ => {
                let other = pick(&["the brain", "the chest", "the abdomen"], random);
                yes_no(format!("Does this image show {other}?"), false)
            }
        },
        Topic::Lesion => {
            let visible = match facts.lesion {
                Lesion::Visible { .. } => true,
                Lesion::Absent => false,
                Lesion::Unknown | Lesion::Trace => return None,
            };
            let text = pick(
                &[
                    "Is a lesion visible in this slice?",
                    "Is there a tumour in this image?",
                    "Does this slice show a lesion?",
                    "Can a mass be seen here?",
                ],
                random,
            );
            yes_no(text.to_owned(), visible)
        }
        Topic::Place => {
            let Lesion::Visible { place, .. } = facts.lesion else {
                return None;
            };
            let text = pick(
                &[
                    "Where is the lesion?",
                    "Where in the limb is the lesion?",
                    "In which part of the limb does the lesion lie?",
                ],
                random,
            );
            make(
                text.to_owned(),
                place.words(),
                AnswerType::Open,
                &Place::ALL.map(Place::words),
            )
        }
        Topic::Size => {
            let Lesion::Visible { size_mm, .. } = facts.lesion else {
                return None;
            };
            let answer = Extent::of(size_mm).words();
            match random.below(3) {
                0 => closed("How large is the lesion?", answer),
                1 => closed(
                    "What is the largest diameter of the lesion in this slice?",
                    answer,
                ),
                _ => {
                    let choices = Extent::ALL.map(Extent::words);
                    let [a, b, c] = choices;
                    let text = format!("How large is the lesion: {a}, {b} or {c}?");
                    make(text, answer, AnswerType::Choice, &choices)
                }
            }
        }
    })
}

/// Another wording of a question, for training alone: an evaluation asks as it always did. `None` for questions that name their
/// answers, and of topics whose answers depend on how they are asked.
pub fn reworded(question: &Question, random: &mut Random) -> Option<&'static str> {
    let names_answers = question.topic != Topic::Lesion && !question.choices.is_empty();
    let wordings: &[&str] = match question.topic {
        _ if names_answers => return None,
        Topic::Modality => &[
            "Which modality is this?",
            "What modality is it?",
            "Which modality was used?",
            "What type of scan is this?",
            "Is it a CT or an MRI?",
            "CT or MRI?",
        ],
        Topic::Plane => &[
            "Which plane is this?",
            "What plane is this?",
            "What is the orientation of this slice?",
            "Which orientation is it?",
            "Axial, coronal or sagittal?",
        ],
        Topic::BodyPart => &[
            "What body part is this?",
            "Which part of the body is it?",
            "What part of the body can be seen?",
            "Which region is shown?",
        ],
        Topic::Lesion => &[
            "Is a lesion visible?",
            "Is there a lesion?",
            "Is there a lesion in this slice?",
            "Is there a lesion in this image?",
            "Do you see a lesion?",
            "Can you see a lesion here?",
            "Is there a tumour?",
            "Is a tumour visible?",
            "Does this image show a tumour?",
            "Is there a mass?",
            "Is anything abnormal?",
        ],
        Topic::Place | Topic::Size => return None,
    };
    Some(pick(wordings, random))
}

/// An instruction to describe the picture, and a sentence or two.
pub fn description(facts: &Facts, random: &mut Random) -> (&'static str, String) {
    let instruction = pick(
        &[
            "Describe this image.",
            "Describe this slice.",
            "What does this image show?",
            "What do you see?",
            "Write a short report of this slice.",
            "Summarise what can be seen.",
        ],
        random,
    );
    let (plane, scanner) = (facts.plane.name(), facts.scanner.word());
    let first = match random.below(3) {
        0 => format!("{} {scanner} slice of a {BODY_PART}.", capital(plane)),
        1 => format!(
            "This is {} {scanner} image of a {BODY_PART}.",
            with_article(plane)
        ),
        _ => format!(
            "The image shows a {BODY_PART} in {} {scanner} slice.",
            with_article(plane)
        ),
    };
    let second = match facts.lesion {
        Lesion::Unknown | Lesion::Trace => String::new(),
        Lesion::Absent => pick(
            &[
                " No lesion is visible.",
                " There is no lesion in this slice.",
            ],
            random,
        )
        .to_owned(),
        Lesion::Visible { place, size_mm } => {
            // To 5 mm: the outline of one slice is not more exact.
            let mm = ((size_mm / 5.0).round() * 5.0).max(5.0);
            let place = place.words();
            match random.below(2) {
                0 => format!(
                    " A lesion is visible in the {place} of the {BODY_PART}, about {mm:.0} mm across."
                ),
                _ => format!(
                    " There is a lesion in the {place} of the {BODY_PART}; it measures about {mm:.0} mm."
                ),
            }
        }
    };
    (instruction, first + &second)
}

/// What a model is told to make a picture: the program's own words half of the time, else others that mean the same.
pub fn instruction(task: RecordTask, random: &mut Random) -> &'static str {
    let own = task.model_task().map_or("", |task| task.instruction());
    let others: &[&str] = match task {
        RecordTask::Ct2Mri => &[
            "Convert this CT image to MRI.",
            "Show this CT slice as an MRI.",
            "Make an MRI of this CT image.",
        ],
        RecordTask::Mri2Ct => &[
            "Convert this MRI image to CT.",
            "Show this MRI slice as a CT.",
            "Make a CT of this MRI image.",
        ],
        RecordTask::Sr4 => &[
            "Enhance the resolution of this image.",
            "Make this image sharper.",
            "Show this image in four times the resolution.",
        ],
        RecordTask::Reconstruct => &[
            "Repeat the image.",
            "Show the same image again.",
            "Reproduce this image.",
        ],
        RecordTask::Vqa | RecordTask::Describe | RecordTask::Report2Image => &[],
    };
    if random.uniform() < 0.5 || others.is_empty() {
        own
    } else {
        pick(others, random)
    }
}

/// The random numbers of one item: they depend on the seed and the item, not on what else is made.
pub fn item_random(seed: u64, parts: &[&str]) -> Random {
    // FNV-1a, a byte 0 after each part.
    let mut hash = 0xCBF2_9CE4_8422_2325_u64 ^ seed;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
    Random(hash)
}

fn pick<T: Copy>(items: &[T], random: &mut Random) -> T {
    items[random.below(items.len())]
}

fn with_article(word: &str) -> String {
    let article = if word.starts_with(['a', 'M']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {word}")
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn facts(lesion: Lesion) -> Facts {
        Facts {
            scanner: Scanner::Mr,
            plane: Plane::Axial,
            lesion,
        }
    }

    #[test]
    fn the_same_item_is_always_worded_the_same_and_another_seed_words_it_otherwise() {
        let facts = facts(Lesion::Absent);
        let texts = |seed| -> Vec<String> {
            (0..20)
                .flat_map(|i: i32| {
                    questions(&facts, &mut item_random(seed, &["A", &i.to_string()]))
                })
                .map(|question| question.text)
                .collect()
        };
        assert_eq!(texts(1), texts(1));
        assert_ne!(texts(1), texts(2));
        let mut distinct = texts(1);
        distinct.sort();
        distinct.dedup();
        assert!(distinct.len() > 12, "{distinct:?}");
    }

    #[test]
    fn another_wording_asks_the_same_and_names_no_answer_that_the_first_did() {
        let there = Lesion::Visible {
            place: Place::UpperLeft,
            size_mm: 62.0,
        };
        let mut reworded_topics = BTreeSet::new();
        for seed in 0..200 {
            let mut random = Random(seed);
            for question in questions(&facts(there), &mut random) {
                let Some(text) = reworded(&question, &mut random) else {
                    continue;
                };
                assert_ne!(text, question.text);
                let yes_or_no = ["yes", "no"].contains(&question.answer.as_str());
                assert_eq!(yes_or_no, question.topic == Topic::Lesion, "{text}");
                let _ = reworded_topics.insert(question.topic);
            }
        }
        let open = [
            Topic::Modality,
            Topic::Plane,
            Topic::BodyPart,
            Topic::Lesion,
        ];
        assert!(reworded_topics.iter().eq(&open), "{reworded_topics:?}");
    }

    #[test]
    fn what_is_not_known_is_not_asked_and_not_described() {
        let topics = |lesion| -> Vec<Topic> {
            questions(&facts(lesion), &mut Random(3))
                .iter()
                .map(|question| question.topic)
                .collect()
        };
        let always = [Topic::Modality, Topic::Plane, Topic::BodyPart];
        assert_eq!(topics(Lesion::Unknown), always);
        assert_eq!(topics(Lesion::Trace), always);
        assert_eq!(topics(Lesion::Absent).len(), 4);
        let there = Lesion::Visible {
            place: Place::UpperLeft,
            size_mm: 62.0,
        };
        assert_eq!(topics(there), Topic::ALL);
        for seed in 0..20 {
            let (_, unknown) = description(&facts(Lesion::Trace), &mut Random(seed));
            assert!(!unknown.contains("lesion"), "{unknown}");
            let (_, text) = description(&facts(there), &mut Random(seed));
            assert!(
                text.contains("upper left") && text.contains("about 60 mm"),
                "{text}"
            );
            assert!(text.contains("xial MRI"), "{text}");
        }
    }

    #[test]
    fn yes_no_questions_about_the_modality_are_answered_truly() {
        for seed in 0..60 {
            for question in questions(&facts(Lesion::Absent), &mut Random(seed)) {
                let expected = match question.text.as_str() {
                    "Is this an MRI image?" | "Is this an axial slice?" => "yes",
                    "Is this a CT image?"
                    | "Is this a coronal slice?"
                    | "Is this a sagittal slice?" => "no",
                    "Does this image show the brain?" => "no",
                    _ => continue,
                };
                assert_eq!(question.answer, expected, "{}", question.text);
            }
        }
    }

    #[test]
    fn half_of_the_instructions_are_the_programs_own() {
        let own = RecordTask::Ct2Mri
            .model_task()
            .map(|task| task.instruction());
        let mut random = Random(1);
        let count = (0..1000)
            .filter(|_| Some(instruction(RecordTask::Ct2Mri, &mut random)) == own)
            .count();
        assert!((430..570).contains(&count), "{count}");
    }
}
