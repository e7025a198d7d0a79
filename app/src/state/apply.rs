//! The engine's events, into the state.

use std::sync::Arc;

use engine::Error;
use engine::imaging::{Loaded, Modality, SeriesInfo, ViewDescriptor, Volume, render};
use engine::session::{Command, Event, EventKind, JobId};
use image::RgbImage;
use image::imageops::thumbnail;

use super::chat::Reply;
use super::frames_view::FramesView;
use super::results::Comparison;
use super::viewport::{Content, LoadingSeries, OpenSeries, Viewport};
use super::volume_view::VolumeView;
use super::{DeviceState, End, JobKind, ModelState, Notice, Stage, State};
use crate::action::Effect;
use crate::errors::error_words;
use crate::strings::{fill, words};

/// Longer side of a thumbnail, in pixels.
const THUMBNAIL_SIDE: u32 = 96;

/// Series that get a small picture without being opened, at most.
const MOST_THUMBNAILS: usize = 100;

impl State {
    /// Takes an event in; the result is what follows from it.
    pub fn apply(&mut self, event: Event) -> Vec<Effect> {
        let Event { job, kind } = event;
        let ended = kind.ends_job();
        let mut effects = Vec::new();
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
                self.list(&series);
                match self.lay_out_of(job) {
                    Some(opened) => {
                        effects = opened;
                        None
                    }
                    None => self.show_first(&series),
                }
            }
            EventKind::FirstFound { series, volume } => {
                if let [only @ Viewport::Empty] = self.viewer.viewports.as_mut_slice() {
                    *only = Viewport::Loading(Box::new(LoadingSeries {
                        series: *series,
                        plane: None,
                        first: Some(volume),
                        kept: None,
                    }));
                }
                None
            }
            EventKind::FirstSlice { id, volume } => {
                for viewport in &mut self.viewer.viewports {
                    if let Viewport::Loading(loading) = viewport
                        && loading.series.id == id
                    {
                        loading.first = Some(Arc::clone(&volume));
                    }
                }
                None
            }
            EventKind::Thumbnail { id, picture } => {
                let thumbnails = &mut self.library.thumbnails;
                thumbnails.insert(id, Arc::new(picture_thumbnail(&picture)));
                None
            }
            EventKind::ThumbnailsDone => None,
            EventKind::SeriesLoaded { id, loaded } => {
                self.series_loaded(&id, loaded);
                self.draw_thumbnails()
            }
            EventKind::Header { id, slice, fields } => {
                self.tags.arrived(&id, slice, fields);
                None
            }
            EventKind::ModelLoaded(info) => {
                self.model = ModelState::Ready(info);
                None
            }
            EventKind::GpuLost { reason, model } => {
                self.notice = Some(Notice::Failed(fill(words().gpu_lost, &[&reason])));
                if model {
                    self.model = ModelState::Loading;
                }
                None
            }
            EventKind::ModelGone(error) => {
                self.model = ModelState::Failed(error_words(&error));
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
            // The window asks for one at a time.
            EventKind::GeneratedSeveral(_) => None,
            EventKind::TrainStep(step) => {
                self.training.stepped(step);
                None
            }
            EventKind::Trained { out, finished } => {
                let end = if finished {
                    End::Finished(out)
                } else {
                    End::Paused(out)
                };
                self.training.ended(end);
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
        effects.extend(effect);
        effects
    }

    /// Adds what a scan found to the library.
    fn list(&mut self, found: &[SeriesInfo]) {
        for series in found {
            match self.library.series.iter_mut().find(|s| s.id == series.id) {
                Some(known) => *known = series.clone(),
                None => self.library.series.push(series.clone()),
            }
        }
    }

    /// Opens the first CT series that a scan found, else its first.
    fn show_first(&mut self, found: &[SeriesInfo]) -> Option<Effect> {
        let ct = found.iter().find(|series| series.modality == Modality::Ct);
        let first = ct.or(found.first())?;
        self.show_series(&first.id)
    }

    /// What a restored session had open, if this job looked for it; or what the last run ended with, if it is found again.
    fn lay_out_of(&mut self, job: JobId) -> Option<Vec<Effect>> {
        match self.jobs.get(&job)?.kind {
            JobKind::Restore => self.lay_out(),
            JobKind::Scan => self.lay_out_again(),
            _ => None,
        }
    }

    /// Begins to load a series, instead of one that is on its way.
    pub(super) fn show_series(&mut self, id: &str) -> Option<Effect> {
        let series = self.library.find_volume(id)?;
        Some(self.begin(series))
    }

    /// Shows another volume of the file that is open, as the one before was looked at.
    pub(super) fn show_volume(&mut self, number: usize) -> Vec<Effect> {
        let Some(open) = self.viewer.open() else {
            return Vec::new();
        };
        let series = open.series.volume(number);
        if series.id == open.series.id {
            return Vec::new();
        }
        let _ = self.last_views.insert(series.id.clone(), open.view());
        let effect = self.begin(series);
        self.with_loads_stopped(Some(effect))
    }

    fn begin(&mut self, series: SeriesInfo) -> Effect {
        self.remember_views();
        self.stage = Stage::Slice;
        // All viewports of the series that is left show the new one, each in its plane.
        let left = self.viewer.series_id().map(str::to_owned);
        let active = self.viewer.active;
        for (number, viewport) in self.viewer.viewports.iter_mut().enumerate() {
            let with_it = left.is_some() && viewport.series_id() == left.as_deref();
            if number == active || with_it {
                let plane = viewport.volume().map(|view| view.plane);
                *viewport = Viewport::Loading(Box::new(LoadingSeries {
                    series: series.clone(),
                    plane,
                    first: None,
                    kept: None,
                }));
            }
        }
        if let [Viewport::Loading(only)] = self.viewer.viewports.as_mut_slice() {
            only.plane = None;
        }
        self.viewer.crosshair = None;
        load(series)
    }

    /// Keeps how the series on screen are looked at.
    fn remember_views(&mut self) {
        for viewport in self.viewer.viewports.iter().rev() {
            if let Some(open) = viewport.open() {
                let _ = self.last_views.insert(open.series.id.clone(), open.view());
            }
        }
    }

    /// Shows a series in the viewport beside the active one.
    pub(super) fn show_beside(&mut self, id: &str) -> Vec<Effect> {
        let Some(series) = self.library.find(id).cloned() else {
            return Vec::new();
        };
        self.stage = Stage::Slice;
        let plane = self.viewer.viewport().volume().map(|view| view.plane);
        // The active series on the left, the other one on the right.
        let keep = std::mem::take(self.viewer.viewport_mut());
        let beside = Viewport::Loading(Box::new(LoadingSeries {
            series: series.clone(),
            plane,
            first: None,
            kept: None,
        }));
        let known = self.viewer.viewports.iter().find_map(|viewport| {
            let open = viewport.open()?;
            (open.series.id == id).then(|| open.content.clone())
        });
        self.viewer.viewports = vec![keep, beside];
        self.viewer.active = 0;
        self.viewer.maximised = false;
        if let Some(content) = known {
            self.fill(id, &content);
            return self.with_loads_stopped(None);
        }
        self.with_loads_stopped(Some(load(series)))
    }

    fn series_loaded(&mut self, id: &str, loaded: Loaded) {
        if !self
            .viewer
            .viewports
            .iter()
            .any(|viewport| viewport.waits_for(id))
        {
            return; // another one was chosen meanwhile
        }
        let (content, small) = match loaded {
            Loaded::Volume(volume) => {
                let view = VolumeView::new(volume);
                let small = slice_thumbnail(&view.volume, &view.descriptor());
                (Content::Volume(view), small)
            }
            Loaded::Frames(frames) => {
                let small = Some(picture_thumbnail(frames.at(frames.count() / 2)));
                (Content::Frames(FramesView::new(frames)), small)
            }
        };
        if let Some(small) = small {
            let thumbnails = &mut self.library.thumbnails;
            thumbnails.insert(id.to_owned(), Arc::new(small));
        }
        self.fill(id, &content);
        self.lay_out_at_start();
    }

    /// Puts a series into the viewports that wait for it.
    fn fill(&mut self, id: &str, content: &Content) {
        let last = self.last_views.get(id).copied();
        let place = self.viewer.crosshair;
        let shares_space = |view: &VolumeView| {
            let others = self.viewer.viewports.iter().filter_map(Viewport::volume);
            others
                .into_iter()
                .any(|other| view.volume.shares_space_with(&other.volume))
        };
        let beside = match content {
            Content::Volume(view) => place.filter(|_| shares_space(view)),
            Content::Frames(_) => None,
        };
        for viewport in &mut self.viewer.viewports {
            let Viewport::Loading(loading) = viewport else {
                continue;
            };
            if loading.series.id != id {
                continue;
            }
            let mut open = OpenSeries::new(loading.series.clone(), content.clone());
            if let Some(kept) = &loading.kept {
                kept.show(&mut open);
            } else if let Some(last) = last {
                open.show(last);
            }
            if let (Content::Volume(view), None) = (&mut open.content, &loading.kept) {
                if let Some(plane) = loading
                    .plane
                    .filter(|plane| view.check_plane(*plane).is_ok())
                {
                    view.plane = plane;
                }
                if let Some(place) = beside {
                    view.go_to(place);
                }
            }
            *viewport = Viewport::Open(Box::new(open));
        }
    }

    /// Small pictures of the series that have none yet, once nothing else is being read.
    fn draw_thumbnails(&mut self) -> Option<Effect> {
        let reads = |job: &super::Job| {
            matches!(
                job.kind,
                JobKind::Thumbnails | JobKind::Scan | JobKind::Restore
            )
        };
        if self.jobs.values().any(reads) {
            return None;
        }
        let missing: Vec<SeriesInfo> = self
            .library
            .series
            .iter()
            .filter(|series| !self.library.thumbnails.contains_key(&series.id))
            .take(MOST_THUMBNAILS)
            .cloned()
            .collect();
        (!missing.is_empty()).then_some(Effect::Send {
            command: Command::Thumbnails { series: missing },
            kind: JobKind::Thumbnails,
        })
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
        let why = error_words(error);
        if job == JobId(0) {
            self.device = DeviceState::Failed(why);
            return;
        }
        let stopped = matches!(error, Error::Stopped);
        let restores = |job: &super::Job| job.kind == JobKind::Restore;
        if self.jobs.get(&job).is_some_and(restores) {
            self.restoring = None;
        }
        match self.jobs.get(&job).map(|job| job.kind.clone()) {
            Some(JobKind::Scan | JobKind::Restore) if stopped => {
                self.forget_found();
                self.notice = Some(Notice::Done(words().scan_stopped.to_owned()));
            }
            Some(JobKind::Scan | JobKind::Restore) => {
                self.forget_found();
                self.notice = Some(Notice::Failed(why));
            }
            Some(JobKind::LoadSeries(id)) => {
                for viewport in &mut self.viewer.viewports {
                    if let Viewport::Loading(loading) = viewport
                        && loading.series.id == id
                    {
                        let series = Box::new(loading.series.clone());
                        *viewport = Viewport::Failed(series, why.clone());
                    }
                }
            }
            Some(JobKind::ReadHeader) => self.tags.failed(why),
            Some(JobKind::Train) => self.training.ended(End::Failed(why)),
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
            Some(JobKind::Generate { .. } | JobKind::Thumbnails) | None => {}
        }
    }
}

pub(super) fn load(series: SeriesInfo) -> Effect {
    let kind = JobKind::LoadSeries(series.id.clone());
    Effect::Send {
        command: Command::LoadSeries {
            series: Box::new(series),
        },
        kind,
    }
}

impl State {
    /// Empties viewports that show a file of a scan that did not come to an end.
    fn forget_found(&mut self) {
        for viewport in &mut self.viewer.viewports {
            if let Viewport::Loading(loading) = viewport
                && self.library.find(&loading.series.id).is_none()
            {
                *viewport = Viewport::Empty;
            }
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
