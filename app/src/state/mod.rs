//! What the window shows, as plain data. Events go in by [`State::apply`], wishes by [`State::perform`]; nothing here
//! reads a file, draws, or waits.

mod apply;
mod arrange;
mod chat;
mod closing;
mod frames_view;
mod kept;
mod measurements;
mod memory;
mod orientation;
mod pair;
mod perform;
mod preferences;
mod ready;
mod results;
mod session;
mod tags;
mod training;
mod viewer;
mod viewport;
mod volume_view;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use engine::imaging::{SeriesInfo, SkippedFile};
use engine::session::{JobId, ModelInfo, Progress};
use engine::{DeviceInfo, Task};
use image::RgbImage;

use crate::keys::Keymap;
use crate::settings::Settings;
use crate::strings::{Strings, words};

pub use chat::{Chat, Draft, Evidence, PictureRef, Reply, Turn};
pub use frames_view::FramesView;
pub use kept::{Kept, SliceMm};
pub use measurements::{
    Book, Gesture, HistogramOf, Measure, Measurement, Measurements, SliceRef, Tool,
};
pub use memory::MemoryUse;
pub use orientation::{Orientation, Turn as ViewTurn};
pub use results::{CompareMode, Comparison, Results};
pub use session::{KeptReply, KeptTurn, KeptView, Layout, Left, Session};
pub use tags::{Header, Tags};
pub use training::{End, Training};
pub use viewer::{Link, Links, Viewer};
pub use viewport::{Camera, Cine, Content, LastView, LoadingSeries, OpenSeries, Viewport};
pub use volume_view::{Finest, Preset, VolumeView, decimals, plane_words, window_words};

/// Everything the window shows.
#[derive(Debug, Default)]
pub struct State {
    /// Where tensors live.
    pub device: DeviceState,
    /// The model in memory.
    pub model: ModelState,
    /// Work under way.
    pub jobs: BTreeMap<JobId, Job>,
    /// Studies and series found.
    pub library: Library,
    /// What the middle shows.
    pub stage: Stage,
    /// The open series.
    pub viewer: Viewer,
    /// How series were last looked at, by id.
    pub last_views: BTreeMap<String, LastView>,
    /// Questions and answers.
    pub chat: Chat,
    /// Generated images.
    pub results: Results,
    /// A message that waits to be read.
    pub notice: Option<Notice>,
    /// What is measured, and the tool in hand.
    pub measurements: Measurements,
    /// The header of the file on screen.
    pub tags: Tags,
    /// The training run.
    pub training: Training,
    /// The dialog that is open.
    pub dialog: Option<Dialog>,
    /// What the user set.
    pub settings: Settings,
    /// Where the settings are kept, in words; nothing where they are not.
    pub settings_place: Option<String>,
    /// Adapters of this computer, once the settings were opened.
    pub adapters: Vec<engine::device::AdapterInfo>,
    /// Which keys do what.
    pub keymap: Keymap,
    /// The command that gets the next key.
    pub listening: Option<String>,
    /// Counts the times that the panels went back to their first widths.
    pub layouts: u32,
    /// Why the last key was refused.
    pub key_refused: Option<String>,
    /// Memory of the program, in MiB, as it was measured last.
    pub memory_mib: Option<f64>,
    /// Files and folders opened in this session, in order.
    pub studies: Vec<PathBuf>,
    /// The folder of the model that was asked for last.
    pub model_dir: Option<PathBuf>,
    /// What the last run left, until the user says what is to be done with it.
    pub left: Option<Left>,
    /// Viewports that the first volume is to be shown in, as at the end of the last run.
    pub viewports_at_start: Option<usize>,
    /// Where the series of a restored session go, once they are found.
    pub restoring: Option<Layout>,
    /// Where the series of the last run were, to be there again if the first scan finds them all.
    pub layout_at_start: Option<Layout>,
}

/// Where tensors live.
#[derive(Clone, Debug, Default)]
pub enum DeviceState {
    /// Being found out.
    #[default]
    Choosing,
    /// Chosen.
    Ready(DeviceInfo),
    /// There is none.
    Failed(String),
}

/// The model in memory.
#[derive(Clone, Debug, Default)]
pub enum ModelState {
    /// None yet.
    #[default]
    Empty,
    /// On its way.
    Loading,
    /// Ready for questions.
    Ready(Arc<ModelInfo>),
    /// It could not be loaded, and why.
    Failed(String),
}

/// What the middle of the window shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The open series.
    #[default]
    Slice,
    /// A result beside its input.
    Compare(usize),
}

/// A dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialog {
    /// The header of the file on screen.
    Tags,
    /// The settings.
    Settings,
    /// What keys and mouse do.
    Keys,
    /// A training run.
    Training,
}

impl Dialog {
    /// Does the slice go on beside it?
    pub fn aside(self) -> bool {
        matches!(self, Self::Tags | Self::Training)
    }
}

/// One piece of work under way.
#[derive(Clone, Debug)]
pub struct Job {
    /// What it is for.
    pub kind: JobKind,
    /// How far it is.
    pub progress: Option<Progress>,
    /// The user wants it stopped.
    pub stopping: bool,
    /// When it was sent.
    pub since: Instant,
}

/// What a job is for.
#[derive(Clone, Debug, PartialEq)]
pub enum JobKind {
    /// Finding series.
    Scan,
    /// Finding the series of a session that is restored.
    Restore,
    /// Reading a series, by its id.
    LoadSeries(String),
    /// Reading the header of a file.
    ReadHeader,
    /// Drawing small pictures of the series that were not opened yet.
    Thumbnails,
    /// Loading a model.
    LoadModel,
    /// Answering the last question.
    Ask,
    /// Training.
    Train,
    /// Making an image.
    Generate {
        /// What is made.
        task: Task,
        /// Of what.
        picture: PictureRef,
    },
}

impl JobKind {
    /// Does it keep the model busy?
    pub fn uses_model(&self) -> bool {
        matches!(
            self,
            Self::LoadModel | Self::Ask | Self::Train | Self::Generate { .. }
        )
    }

    /// What the job line calls it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Scan => words().job_scan,
            Self::Restore => words().job_restore,
            Self::LoadSeries(_) => words().job_series,
            Self::ReadHeader => words().tags_loading,
            Self::Thumbnails => words().job_thumbnails,
            Self::LoadModel => words().job_model,
            Self::Ask => words().job_ask,
            Self::Train => words().job_train,
            Self::Generate { task, .. } => task_words(*task),
        }
    }
}

/// Studies and series found so far.
#[derive(Clone, Debug, Default)]
pub struct Library {
    /// In the order found.
    pub series: Vec<SeriesInfo>,
    /// Files that are not shown.
    pub skipped: Vec<SkippedFile>,
    /// Small pictures of series that were opened, by id.
    pub thumbnails: BTreeMap<String, Arc<RgbImage>>,
    /// A path being typed.
    pub path_draft: String,
}

impl Library {
    /// A series by its id.
    pub fn find(&self, id: &str) -> Option<&SeriesInfo> {
        self.series.iter().find(|series| series.id == id)
    }

    /// A series by its id, or the one of its volumes that has it.
    pub fn find_volume(&self, id: &str) -> Option<SeriesInfo> {
        let series = self.series.iter().find(|series| series.has_volume(id))?;
        let number = id.strip_prefix(&series.id)?.strip_prefix('-');
        let number = number.and_then(|number| number.parse::<usize>().ok());
        Some(series.volume(number.unwrap_or(1).saturating_sub(1)))
    }
}

/// A message that waits to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something worked.
    Done(String),
    /// Something went wrong, and why.
    Failed(String),
}

/// What a task is called.
pub fn task_words(task: Task) -> &'static str {
    let words: &Strings = words();
    match task {
        Task::Comprehend => words.task_ask,
        Task::Reconstruct => words.task_reconstruct,
        Task::Ct2Mri => words.task_ct2mri,
        Task::Mri2Ct => words.task_mri2ct,
        Task::Sr4 => words.task_sr4,
    }
}

impl State {
    /// The job that keeps the model busy.
    pub fn model_job(&self) -> Option<(JobId, &Job)> {
        let mut jobs = self.jobs.iter();
        jobs.find(|(_, job)| job.kind.uses_model())
            .map(|(id, job)| (*id, job))
    }

    /// The engine took a command on as this job.
    pub fn started(&mut self, job: JobId, kind: JobKind) {
        if kind == JobKind::Ask {
            self.chat.job = Some(job);
        }
        if kind == JobKind::Train {
            self.training.job = Some(job);
        }
        self.jobs.insert(
            job,
            Job {
                kind,
                progress: None,
                stopping: false,
                since: Instant::now(),
            },
        );
    }
}
