//! What the engine reports: plain data, each event with the job it belongs to.

use std::sync::Arc;

use super::command::JobId;
use crate::error::Error;
use crate::imaging::{Generated, SeriesInfo, SkippedFile, Volume};
use crate::task::{Capability, Task};

/// Something happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// The job it belongs to; `JobId(0)` is the engine itself.
    pub job: JobId,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum EventKind {
    /// The device was chosen (first event of every session).
    Device(DeviceInfo),
    /// Long work moved on. Later reports replace earlier ones.
    Progress(Progress),
    /// A scan found these series so far (each report holds all of them).
    SeriesFound(Vec<SeriesInfo>),
    /// A scan is complete; these files are not shown, with the reason of each.
    ScanDone {
        /// Files that were left out.
        skipped: Vec<SkippedFile>,
    },
    /// A series is in memory.
    VolumeLoaded(Arc<Volume>),
    /// A model is in memory.
    ModelLoaded(Arc<ModelInfo>),
    /// A piece of the answer: always whole characters.
    Text(String),
    /// An answer is complete (or was stopped: the text so far stands).
    Answered(AnswerStats),
    /// An image is ready.
    Generated(Arc<Generated>),
    /// The job ended without a result.
    Failed(Arc<Error>),
}

/// Where tensors live, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// `CPU (burn-flex)` or the adapter's name.
    pub name: String,
    /// `cpu` or `gpu`.
    pub kind: &'static str,
    /// Why this one: `no GPU with a driver was found`.
    pub reason: String,
}

/// How far long work is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, as the interface shows it: `reading headers`.
    pub stage: String,
    /// Steps done.
    pub done: u64,
    /// Steps in all; 0 is unknown.
    pub of: u64,
}

/// What a loaded model is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    /// Its name in the manifest.
    pub name: String,
    /// `M3`, `L14`, `XL32`, `nano`...
    pub variant: String,
    /// False for random weights: every surface must say "untrained test model".
    pub trained: bool,
    /// What its plug-ins declare.
    pub capabilities: Vec<Capability>,
    /// Licence of the weights.
    pub licence: String,
    /// Longest prompt and answer together, in tokens.
    pub context_tokens: usize,
    /// Tensors of the files that this program does not use, and other notes of the loader.
    pub notes: Vec<String>,
    /// Seconds it took to load.
    pub load_secs: f64,
}

impl ModelInfo {
    /// The capability for `task`, or why there is none, in words for a disabled button.
    pub fn capability(&self, task: Task) -> Result<&Capability, String> {
        self.capabilities
            .iter()
            .find(|capability| capability.task == task)
            .ok_or_else(|| format!("the loaded model ({}) has no plug-in for {task}", self.name))
    }
}

/// Numbers about one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerStats {
    /// Tokens of the prompt, image features included.
    pub prompt_tokens: usize,
    /// Tokens generated, the stop token not counted.
    pub new_tokens: usize,
    /// From the request to the first token.
    pub first_token_secs: f64,
    /// Generated tokens per second after the first.
    pub tokens_per_sec: f64,
    /// How it ended.
    pub end: AnswerEnd,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerEnd {
    /// The model ended it.
    Complete,
    /// The token limit cut it.
    Limit,
    /// The user stopped it.
    Stopped,
}
