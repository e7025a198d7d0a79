//! A training run as the window shows it: what it was started from, its curve, and how it ended.

use std::path::PathBuf;
use std::sync::Arc;

use engine::session::{Command, JobId};
use engine::training::step::TrainStep;
use image::RgbImage;

use super::{JobKind, Notice, State};
use crate::action::Effect;
use crate::strings::{fill, words};

/// A run and the configuration that is typed.
#[derive(Clone, Debug, Default)]
pub struct Training {
    /// The path being typed.
    pub config_draft: String,
    /// The run under way.
    pub job: Option<JobId>,
    /// Step and loss of every step seen.
    pub losses: Vec<[f64; 2]>,
    /// The last step, with the scores of the last validation.
    pub last: Option<TrainStep>,
    /// The last sample, its number, and what it shows.
    pub sample: Option<(u64, Arc<RgbImage>)>,
    /// How the last run ended.
    pub end: End,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// It has not.
    #[default]
    Open,
    /// After a checkpoint, from which it goes on.
    Paused(PathBuf),
    /// At its last step.
    Finished(PathBuf),
    /// By an error.
    Failed(String),
}

impl Training {
    /// A step was done.
    pub(super) fn stepped(&mut self, step: TrainStep) {
        // A run that goes on from a checkpoint replaces what came after it.
        self.losses.retain(|[at, _]| *at < step.step as f64);
        self.losses.push([step.step as f64, step.loss]);
        if let Some(sample) = &step.sample {
            self.sample = Some((step.step, Arc::clone(sample)));
        }
        let mut step = step;
        let before = self.last.take().into_iter().flat_map(|last| last.scores);
        for (name, score) in before {
            step.scores.entry(name).or_insert(score);
        }
        self.last = Some(step);
    }

    /// The run ended.
    pub(super) fn ended(&mut self, end: End) {
        self.job = None;
        self.end = end;
    }
}

impl State {
    /// Starts the run that is typed, or goes on with it.
    pub(super) fn train(&mut self) -> Vec<Effect> {
        let path = self.training.config_draft.trim().to_owned();
        if path.is_empty() || self.training.job.is_some() {
            return Vec::new();
        }
        if let Some((_, job)) = self.model_job() {
            let busy = fill(words().training_busy, &[&job.kind.label()]);
            self.notice = Some(Notice::Failed(busy));
            return Vec::new();
        }
        if self.training.end != End::Open && !matches!(self.training.end, End::Paused(_)) {
            self.training.losses.clear();
            self.training.last = None;
            self.training.sample = None;
        }
        self.training.end = End::Open;
        vec![Effect::Send {
            command: Command::Train {
                config: PathBuf::from(path),
            },
            kind: JobKind::Train,
        }]
    }
}
