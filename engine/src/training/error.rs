//! How training fails, in sentences that say what to do.

use std::path::PathBuf;

use super::plan::MemoryPlan;
use crate::dataset::DatasetError;
use crate::imaging::ImagingError;
use crate::model::ModelError;

/// What went wrong with a training run. The last good checkpoint stays.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A scan could not be read.
    #[error(transparent)]
    Imaging(#[from] ImagingError),
    /// A model could not be read or written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The configuration makes no sense.
    #[error("the training configuration makes no sense: {what}: {}", path.display())]
    Config {
        /// What.
        what: String,
        /// The file.
        path: PathBuf,
    },
    /// A file of records could not be used.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A record could not become an example.
    #[error("a record cannot be trained on ({what}): {}", path.display())]
    Record {
        /// What.
        what: String,
        /// Its picture.
        path: PathBuf,
    },
    /// The sequence is too long.
    #[error(
        "a record makes a sequence of {tokens} tokens, but max_tokens is {limit}; raise it, or leave the record out"
    )]
    TooLong {
        /// Tokens of the sequence.
        tokens: usize,
        /// The configuration's limit.
        limit: usize,
    },
    /// The model has no such plug-in.
    #[error("the model has no plug-in named '{name}'; it has {}", known.join(", "))]
    NoPlugIn {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The run does not fit into the memory.
    #[error(
        "training needs about {} MiB ({} frozen weights, {} trained ones, {} gradients and moments, {} for a step), but {} MiB are free; use fewer workers, a smaller rank or max_tokens, or a frozen base in half precision",
        mib(plan.total()), mib(plan.frozen), mib(plan.trained), mib(plan.optimizer), mib(plan.activations), mib(*free)
    )]
    TooLarge {
        /// What it needs.
        plan: MemoryPlan,
        /// Bytes that are free.
        free: u64,
    },
    /// The system gives no thread.
    #[error("no thread could be started ({why}); use fewer workers, or close other programs")]
    NoThread {
        /// Why.
        why: String,
    },
    /// The loss is no number.
    #[error(
        "the loss is not a number at step {step}; lower the learning rate and resume from the last checkpoint"
    )]
    NotANumber {
        /// The step.
        step: u64,
    },
    /// The checkpoint belongs to another configuration.
    #[error("the checkpoint was made with another configuration; start in a new folder: {}", path.display())]
    OtherConfig {
        /// The folder.
        path: PathBuf,
    },
    /// A file could not be written or read.
    #[error("cannot write or read a checkpoint ({why}); free some space, then resume: {}", path.display())]
    Checkpoint {
        /// Why.
        why: String,
        /// The file.
        path: PathBuf,
    },
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

impl TrainError {
    /// A short machine-readable name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Imaging(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::Config { .. } => "train-config",
            Self::Dataset(error) => error.kind(),
            Self::Record { .. } => "train-record",
            Self::TooLong { .. } => "train-too-long",
            Self::NoPlugIn { .. } => "train-no-plug-in",
            Self::TooLarge { .. } => "train-too-large",
            Self::NoThread { .. } => "train-no-thread",
            Self::NotANumber { .. } => "train-not-a-number",
            Self::OtherConfig { .. } => "train-other-config",
            Self::Checkpoint { .. } => "train-checkpoint",
        }
    }
}
