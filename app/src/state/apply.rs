//! The engine's events, into the state.

use std::sync::Arc;

use engine::Error;
use engine::imaging::{Loaded, Modality, SeriesInfo, ViewDescriptor, Volume, render};
use engine::session::{Command, Event, EventKind, JobId};
use image::RgbImage;
use image::imageops::thumbnail;

use super::chat::Reply;
use super::orientation::Orientation;
use super::results::Comparison;
use super::viewer::{Camera, Cine, Content, OpenSeries, Viewer, VolumeView};
use super::{DeviceState, JobKind, ModelState, Notice, Stage, State};
use crate::action::Effect;
use crate::strings::words;

/// Longer side of a thumbnail, in pixels.
const THUMBNAIL_SIDE: u32 = 96;

impl State {
    /// Takes an event in; the result is what follows from it.
    pub fn apply(&mut self, event: Event) -> Option<Effect> {
        let Event { job, kind } = event;
        let ended = kind.ends_job();
        let effect = match kind {
            EventKind::Device(info) => {
                self.device = DeviceState::Ready(info);
                None
            }
            EventKind::Progress(progress) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.progress = Some(progress);
                }
                None
            }
            EventKind::ScanDone { series, skipped } => {
                self.library.skipped = skipped;
                self.add_series(series)
            }
            EventKind::SeriesLoaded { id, loaded } => {
                self.series_loaded(&id, loaded);
                self.recall(&id)
            }
            EventKind::Header { id, slice, fields } => {
                self.tags.arrived(&id, slice, fields);
                None
            }
            EventKind::ModelLoaded(info) => {
                self.model = ModelState::Ready(info);
                None
            }
            EventKind::Text(text) => {
                self.text_arrived(job, &text);
                None
            }
            EventKind::Answered(answer) => {
                if let Some(reply) = self.reply_of(job) {
                    *reply = Reply::Done(Box::new(answer));
                }
                None
            }
            EventKind::Generated(generated) => {
                if let Some(JobKind::Generate { task, picture }) =
                    self.jobs.get(&job).map(|job| job.kind.clone())
                {
                    self.results.made += 1;
                    self.results.failed = None;
                    self.results.items.push(Comparison {
                        number: self.results.made,
                        task,
                        picture,
                        generated,
                    });
                    self.stage = Stage::Compare(self.results.items.len() - 1);
                }
                None
            }
            EventKind::Failed(error) => {
                self.failed(job, &error);
                None
            }
        };
        if ended {
            self.jobs.remove(&job);
            if self.chat.job == Some(job) {
                self.chat.job = None;
            }
        }
        effect
    }

    /// Adds what a scan found and opens its first CT series, else its first.
    fn add_series(&mut self, found: Vec<SeriesInfo>) -> Option<Effect> {
        let first = found
            .iter()
            .find(|series| series.modality == Modality::Ct)
            .or(found.first())
            .map(|series| series.id.clone());
        for series in found {
            match self.library.series.iter_mut().find(|s| s.id == series.id) {
                Some(known) => *known = series,
                None => self.library.series.push(series),
            }
        }
        self.show_series(&first?)
    }

    /// Begins to load a series, instead of one that is on its way.
    pub(super) fn show_series(&mut self, id: &str) -> Option<Effect> {
        let series = self.library.find(id)?.clone();
        if let Some(left) = self.viewer.open()
            && let Content::Volume(view) = &left.content
        {
            let _ = self
                .last_views
                .insert(left.series.id.clone(), view.descriptor());
        }
        self.stage = Stage::Slice;
        self.viewer = Viewer::Loading(Box::new(series.clone()));
        Some(Effect::Send {
            command: Command::LoadSeries {
                series: Box::new(series),
            },
            kind: JobKind::LoadSeries(id.to_owned()),
        })
    }

    fn series_loaded(&mut self, id: &str, loaded: Loaded) {
        let Viewer::Loading(series) = &self.viewer else {
            return;
        };
        if series.id != id {
            return; // another one was chosen meanwhile
        }
        let series = (**series).clone();
        let (content, small) = match loaded {
            Loaded::Volume(volume) => {
                let mut view = VolumeView::new(volume);
                let small = slice_thumbnail(&view.volume, &view.descriptor());
                if let Some(last) = self.last_views.get(id) {
                    view.show(*last);
                }
                (Content::Volume(view), small)
            }
            Loaded::Picture(image) => {
                let small = Some(picture_thumbnail(&image));
                (Content::Picture(image), small)
            }
        };
        if let Some(small) = small {
            let thumbnails = &mut self.library.thumbnails;
            thumbnails.insert(id.to_owned(), Arc::new(small));
        }
        self.viewer = Viewer::Open(Box::new(OpenSeries {
            series,
            content,
            camera: Camera::default(),
            orientation: Orientation::default(),
            cine: Cine::default(),
        }));
    }

    /// The reply that a job writes, unless its turn was cleared away.
    fn reply_of(&mut self, job: JobId) -> Option<&mut Reply> {
        (self.chat.job == Some(job))
            .then(|| self.chat.turns.last_mut())
            .flatten()
            .map(|turn| &mut turn.reply)
    }

    fn text_arrived(&mut self, job: JobId, text: &str) {
        match self.reply_of(job) {
            Some(Reply::Streaming(so_far)) => so_far.push_str(text),
            Some(reply @ Reply::Waiting) => *reply = Reply::Streaming(text.to_owned()),
            _ => {}
        }
    }

    fn loads_another_model(&self, job: JobId) -> bool {
        let mut jobs = self.jobs.iter();
        jobs.any(|(id, other)| *id != job && other.kind == JobKind::LoadModel)
    }

    fn failed(&mut self, job: JobId, error: &Error) {
        let why = error.to_string();
        if job == JobId(0) {
            self.device = DeviceState::Failed(why);
            return;
        }
        let stopped = matches!(error, Error::Stopped);
        match self.jobs.get(&job).map(|job| job.kind.clone()) {
            Some(JobKind::Scan) if stopped => {
                self.notice = Some(Notice::Done(words().scan_stopped.to_owned()));
            }
            Some(JobKind::Scan) => self.notice = Some(Notice::Failed(why)),
            Some(JobKind::LoadSeries(id)) => {
                if let Viewer::Loading(series) = &self.viewer
                    && series.id == id
                {
                    self.viewer = Viewer::Failed(series.clone(), why);
                }
            }
            Some(JobKind::ReadHeader) => self.tags.failed(why),
            Some(JobKind::LoadModel) if self.loads_another_model(job) => {}
            Some(JobKind::LoadModel) if stopped => self.model = ModelState::Empty,
            Some(JobKind::LoadModel) => self.model = ModelState::Failed(why),
            Some(JobKind::Ask) => {
                if let Some(reply) = self.reply_of(job) {
                    let text = reply.text().to_owned();
                    *reply = if stopped {
                        Reply::Stopped(text)
                    } else {
                        Reply::Failed(text, why)
                    };
                }
            }
            Some(JobKind::Generate { task, .. }) if !stopped => {
                self.results.failed = Some((task, why));
            }
            Some(JobKind::Generate { .. }) | None => {}
        }
    }
}

/// A small picture of a slice.
fn slice_thumbnail(volume: &Volume, view: &ViewDescriptor) -> Option<RgbImage> {
    let picture = render(volume, view).ok()?;
    Some(picture_thumbnail(&picture))
}

/// A small picture of a picture.
fn picture_thumbnail(image: &RgbImage) -> RgbImage {
    let longest = image.width().max(image.height()).max(1);
    let scaled = |len: u32| (len * THUMBNAIL_SIDE / longest).clamp(1, THUMBNAIL_SIDE);
    thumbnail(image, scaled(image.width()), scaled(image.height()))
}
