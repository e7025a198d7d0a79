//! What a caller asks of the engine: plain data, no tensors.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;

use crate::imaging::{SeriesInfo, ViewDescriptor, Volume};
use crate::model::{Drafting, Sampling};
use crate::task::Task;

/// One piece of work. Every event it causes carries the same number, so that a token of a stopped answer cannot
/// land under a new question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// What the model looks at.
#[derive(Clone, Debug)]
pub enum Source {
    /// One slice of a volume, windowed and oriented as the descriptor says: the picture on screen.
    Slice {
        /// The volume.
        volume: Arc<Volume>,
        /// Plane, index and window.
        view: ViewDescriptor,
    },
    /// A plain picture that was never a volume.
    Picture(Arc<RgbImage>),
}

/// One finished exchange of the chat, given again with a follow-up question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What the user asked.
    pub question: String,
    /// What the model answered.
    pub answer: String,
}

/// A question.
#[derive(Clone, Debug)]
pub struct AskRequest {
    /// The pictures the question is about: none, one, or (untrained in HealthGPT) several.
    pub sources: Vec<Source>,
    /// Earlier exchanges about the same pictures, oldest first.
    pub history: Vec<Turn>,
    /// The question. Empty or blank is refused.
    pub question: String,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The answer is cut after so many tokens.
    pub max_new_tokens: usize,
}

/// A picture to make.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    /// The picture to start from.
    pub source: Source,
    /// What to make of it.
    pub task: Task,
    /// The instruction text; `None` takes the task's own from `assets/tasks.toml`.
    pub instruction: Option<String>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Decode as the reference does, without holding the model to the grammar of an image.
    pub faithful: bool,
    /// Draft codes and check several at a time, where that changes no code.
    pub draft: Drafting,
}

/// A command to the engine.
#[derive(Clone, Debug)]
pub enum Command {
    /// Find the studies in these files and folders (headers only).
    Scan {
        /// Files or folders.
        paths: Vec<PathBuf>,
    },
    /// Read one series into a volume.
    LoadSeries {
        /// As a scan found it.
        series: Box<SeriesInfo>,
    },
    /// Read the header of one file of a series.
    ReadHeader {
        /// As a scan found it.
        series: Box<SeriesInfo>,
        /// The slice, from 0, that the file holds.
        slice: usize,
    },
    /// Draw the middle slice of each of these series; a stop or a later command ends it early.
    Thumbnails {
        /// As a scan found them.
        series: Vec<SeriesInfo>,
    },
    /// Load the model in this folder, replacing the one in memory.
    LoadModel {
        /// A model directory, or the raw `llm/ clip/ hlora/ vqgan/` layout.
        dir: PathBuf,
    },
    /// Answer a question.
    Ask(Box<AskRequest>),
    /// Make an image.
    Generate(Box<GenerateRequest>),
    /// Make an image of each of several pictures, in lockstep where that saves time.
    GenerateSeveral(Vec<GenerateRequest>),
    /// Train as a configuration says, or go on from its last checkpoint. A stop pauses it: it ends after a checkpoint.
    Train {
        /// `train.toml`.
        config: PathBuf,
    },
}
