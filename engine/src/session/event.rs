//! What the engine reports: plain data, each event with the job it belongs to.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;

use super::command::JobId;
use crate::device::DeviceInfo;
use crate::error::Error;
use crate::imaging::tags::Field;
use crate::imaging::{Generated, Loaded, SeriesInfo, SkippedFile, Volume};
use crate::model::Answer;
use crate::task::{Capability, Task};
use crate::training::step::TrainStep;

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
    /// A scan is complete: its series, and the files that are not shown with the reason of each.
    ScanDone {
        /// Series found.
        series: Vec<SeriesInfo>,
        /// Files that were left out.
        skipped: Vec<SkippedFile>,
    },
    /// An image to look at while a scan goes on.
    FirstFound {
        /// The file by itself; the scan will find its whole series.
        series: Box<SeriesInfo>,
        /// Its slice.
        volume: Arc<Volume>,
    },
    /// One slice of a series that is still being read.
    FirstSlice {
        /// The series' id.
        id: String,
        /// The middle slice, as a volume of its own.
        volume: Arc<Volume>,
    },
    /// The picture of the middle slice of a series that was not opened.
    Thumbnail {
        /// The series' id.
        id: String,
        /// In its first window, in its own size.
        picture: Arc<RgbImage>,
    },
    /// All thumbnails that were asked for are drawn.
    ThumbnailsDone,
    /// A series is in memory.
    SeriesLoaded {
        /// Its id.
        id: String,
        /// Its voxels or pixels.
        loaded: Loaded,
    },
    /// The header of a file of a series was read.
    Header {
        /// The series' id.
        id: String,
        /// The slice it was read for.
        slice: usize,
        /// Its fields.
        fields: Vec<Field>,
    },
    /// The GPU was lost, and what was in its memory; another device and the model on it follow.
    GpuLost {
        /// The driver's words.
        reason: String,
        /// A model was in memory, and is loaded again.
        model: bool,
    },
    /// The model could not be loaded again after that.
    ModelGone(Arc<Error>),
    /// A model is in memory.
    ModelLoaded(Arc<ModelInfo>),
    /// A piece of the answer: always whole characters.
    Text(String),
    /// An answer is complete (or was stopped: the text so far stands).
    Answered(Answer),
    /// An image is ready.
    Generated(Arc<Generated>),
    /// Several images are ready, in the order in which they were asked for.
    GeneratedSeveral(Vec<Arc<Generated>>),
    /// Training did a step.
    TrainStep(TrainStep),
    /// Training ended, or paused after a checkpoint.
    Trained {
        /// Where the log, the checkpoint and the result are.
        out: PathBuf,
        /// The configuration's last step is done.
        finished: bool,
    },
    /// The job ended without a result.
    Failed(Arc<Error>),
}

impl EventKind {
    /// Is this the last event of its job?
    pub fn ends_job(&self) -> bool {
        !matches!(
            self,
            Self::Device(_)
                | Self::Progress(_)
                | Self::FirstFound { .. }
                | Self::FirstSlice { .. }
                | Self::Thumbnail { .. }
                | Self::Text(_)
                | Self::TrainStep(_)
                | Self::GpuLost { .. }
                | Self::ModelGone(_)
        )
    }
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
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ModelInfo {
    /// Its name in the manifest.
    pub name: String,
    /// `M3`, `L14`, `XL32`, `nano`...
    pub variant: String,
    /// False for random weights: every surface must say "untrained test model".
    pub trained: bool,
    /// What a user must know before believing it, as its manifest says.
    pub caution: Option<String>,
    /// What its plug-ins declare.
    pub capabilities: Vec<Capability>,
    /// Licence of the weights.
    pub licence: String,
    /// Longest prompt and answer together, in tokens.
    pub context_tokens: usize,
    /// Tokens of one picture.
    pub image_tokens: usize,
    /// Side of a generated picture, in pixels; `None` if it makes none.
    pub generated_side: Option<usize>,
    /// Tensors of the files that this program does not use, and other notes of the loader.
    pub notes: Vec<String>,
    /// Seconds it took to load.
    pub load_secs: f64,
    /// What it takes: of the GPU, all that its driver gave this program for it; on the CPU, what the program grew by while
    /// it was loaded. `None` where the system does not say.
    pub memory_mib: Option<f64>,
}

impl ModelInfo {
    /// The capability for `task`, or why there is none, in words for a disabled button.
    ///
    /// # Errors
    /// The reason.
    pub fn capability(&self, task: Task) -> Result<&Capability, String> {
        self.capabilities
            .iter()
            .find(|capability| capability.task == task)
            .ok_or_else(|| format!("the loaded model ({}) has no plug-in for {task}", self.name))
    }
}
