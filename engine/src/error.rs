//! Every way the engine can fail, in sentences a clinician can read.
//!
//! Each area has its own enum ([`ImagingError`], [`ModelError`]); this one joins them, so that a caller has one
//! type to show. A message says what is wrong and what to do; anything about the patient (a path) comes last.

use crate::dataset::DatasetError;
use crate::device::NoAdapter;
use crate::imaging::ImagingError;
use crate::model::ModelError;
use crate::task::Task;
use crate::training::TrainError;

/// The result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or showing a scan failed.
    #[error(transparent)]
    Imaging(ImagingError),
    /// Loading or running a model failed.
    #[error(transparent)]
    Model(ModelError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Data for training or evaluation cannot be read, made or written.
    #[error(transparent)]
    Dataset(DatasetError),
    /// A GPU was asked for and there is none.
    #[error(transparent)]
    NoAdapter(NoAdapter),
    /// The GPU was lost while it worked; the engine has put another device in its place.
    #[error("the GPU stopped answering ({reason}); what was there stays, try again")]
    GpuLost {
        /// The driver's words.
        reason: String,
    },
    /// The series is not what the task starts from.
    #[error("{} starts from {needs}, but this series is {found}; choose another series", task.label())]
    WrongModality {
        /// The task.
        task: Task,
        /// `CT` or `MR`.
        needs: String,
        /// What it is.
        found: String,
    },
    /// A fault of the program.
    #[error("this is a fault of the program ({0}); please report it, your data is untouched")]
    Internal(String),
    /// The user stopped the job.
    #[error("stopped")]
    Stopped,
    /// The request needs a loaded model.
    #[error("no model is loaded; load one first")]
    NoModel,
    /// The engine thread is gone.
    #[error("the engine has stopped; restart the program")]
    EngineGone,
}

// Stops look the same wherever they were noticed.
impl From<ImagingError> for Error {
    fn from(error: ImagingError) -> Self {
        match error {
            ImagingError::Stopped => Self::Stopped,
            other => Self::Imaging(other),
        }
    }
}

impl From<DatasetError> for Error {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::Imaging(ImagingError::Stopped) => Self::Stopped,
            other => Self::Dataset(other),
        }
    }
}

impl From<ModelError> for Error {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Stopped => Self::Stopped,
            other => Self::Model(other),
        }
    }
}

impl Error {
    /// A short machine-readable name of the error, for `--json` output.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Imaging(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::Train(error) => error.kind(),
            Self::Dataset(error) => error.kind(),
            Self::NoAdapter(_) => "no-gpu",
            Self::GpuLost { .. } => "gpu-lost",
            Self::WrongModality { .. } => "wrong-modality",
            Self::Internal(_) => "internal",
            Self::Stopped => "stopped",
            Self::NoModel => "no-model",
            Self::EngineGone => "engine-gone",
        }
    }
}
