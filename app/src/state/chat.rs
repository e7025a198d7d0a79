//! Questions, answers, and the pictures they are about.

use engine::imaging::ViewDescriptor;
use engine::model::{Answer, Sampling};
use engine::session::{self, JobId, Source};
use serde::{Deserialize, Serialize};

use super::volume_view::{plane_words, window_words};
use crate::strings::{fill, words};

/// The conversation.
#[derive(Clone, Debug, Default)]
pub struct Chat {
    /// What is being typed.
    pub draft: Draft,
    /// Pictures put aside for the next question; without any it is about the picture on screen.
    pub tray: Vec<Evidence>,
    /// Oldest first.
    pub turns: Vec<Turn>,
    /// The job that answers the last turn.
    pub job: Option<JobId>,
}

/// What the user edits before asking.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The question.
    pub text: String,
    /// Send the picture on screen with it.
    pub with_picture: bool,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The answer is cut after so many tokens.
    pub max_new_tokens: usize,
    /// The field takes the keyboard in the next frame.
    pub wants_focus: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            text: String::new(),
            with_picture: true,
            sampling: Sampling::default(),
            max_new_tokens: 512,
            wants_focus: false,
        }
    }
}

/// A picture by name: which series, and which view of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureRef {
    /// The series' id.
    pub series: String,
    /// The series' description, for people.
    pub series_words: String,
    /// The view; `None` for a plain picture.
    pub view: Option<ViewDescriptor>,
    /// The frame, from 0, where there are several in colour.
    #[serde(default)]
    pub frame: Option<usize>,
}

impl PictureRef {
    /// `slice 12, axial, C 40 W 400`.
    pub fn words(&self) -> String {
        match (&self.view, self.frame) {
            (Some(view), _) => fill(
                words().slice_picture,
                &[
                    &(view.index + 1),
                    &plane_words(view.plane),
                    &window_words(view.window),
                    &if view.invert {
                        words().inverted_suffix
                    } else {
                        ""
                    },
                ],
            ),
            (None, Some(frame)) => fill(words().frame_picture, &[&(frame + 1), &self.series_words]),
            (None, None) => fill(words().plain_picture, &[&self.series_words]),
        }
    }
}

/// A picture with its voxels or pixels, ready to be sent.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Its name.
    pub picture: PictureRef,
    /// What the engine gets.
    pub source: Source,
}

/// One question and what became of it.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The question.
    pub question: String,
    /// What it was about.
    pub pictures: Vec<PictureRef>,
    /// Earlier turns that were sent with it.
    pub history: usize,
    /// The answer.
    pub reply: Reply,
}

/// What became of a question.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Sent; no token yet.
    Waiting,
    /// The text so far.
    Streaming(String),
    /// Complete, cut at the limit, or stopped with its numbers: see its `end`.
    Done(Box<Answer>),
    /// Stopped before the engine had begun; the text so far.
    Stopped(String),
    /// The text so far, and why it ended.
    Failed(String, String),
}

impl Reply {
    /// The text so far, exactly as the model wrote it (it often begins with a space).
    pub fn text(&self) -> &str {
        match self {
            Self::Waiting => "",
            Self::Streaming(text) | Self::Stopped(text) | Self::Failed(text, _) => text,
            Self::Done(answer) => &answer.text,
        }
    }

    /// Can a follow-up build on it?
    pub fn settled(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Stopped(_)) && !self.text().is_empty()
    }
}

impl Chat {
    /// The turns that a question about these pictures follows: the last ones, as long as they are about the same.
    pub fn history(&self, pictures: &[PictureRef]) -> Vec<session::Turn> {
        let same = self.turns.iter().rev();
        let same = same.take_while(|turn| turn.pictures == pictures);
        let mut history: Vec<session::Turn> = same
            .filter(|turn| turn.reply.settled())
            .map(|turn| session::Turn {
                question: turn.question.clone(),
                answer: turn.reply.text().to_owned(),
            })
            .collect();
        history.reverse();
        history
    }

    /// Tokens of the last finished exchange: prompt and answer together; 0 before the first.
    pub fn tokens_used(&self) -> usize {
        let replies = self.turns.iter().rev().map(|turn| &turn.reply);
        let mut used = replies.filter_map(|reply| match reply {
            Reply::Done(answer) => Some(answer.prompt_tokens + answer.ids.len()),
            _ => None,
        });
        used.next().unwrap_or(0)
    }
}
