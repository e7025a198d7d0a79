//! The header of the file that the slice on screen is from, and what is searched in it.

use engine::imaging::Axes;
use engine::imaging::tags::Field;
use engine::session::Command;

use super::viewport::Content;
use super::{Dialog, JobKind, State};
use crate::action::Effect;

/// Which header is shown.
#[derive(Clone, Debug, Default)]
pub struct Tags {
    /// What is being searched.
    pub search: String,
    /// The header, or why there is none.
    pub header: Header,
    /// What was asked for last: series and slice of the file.
    wanted: Option<(String, usize)>,
}

/// A header.
#[derive(Clone, Debug, Default)]
pub enum Header {
    /// None was asked for.
    #[default]
    Empty,
    /// On its way.
    Loading,
    /// Its fields.
    Read(Vec<Field>),
    /// It could not be read, and why.
    Failed(String),
}

impl Tags {
    /// The fields that hold what is searched, and how many there are in all.
    pub fn found(&self) -> (Vec<&Field>, usize) {
        let Header::Read(fields) = &self.header else {
            return (Vec::new(), 0);
        };
        let wanted = self.search.trim().to_lowercase();
        let found = fields.iter().filter(|field| field.matches(&wanted));
        (found.collect(), fields.len())
    }

    /// The header of a slice is here.
    pub(super) fn arrived(&mut self, id: &str, slice: usize, fields: Vec<Field>) {
        if self.asked_for(id, slice) {
            self.header = Header::Read(fields);
        }
    }

    /// It could not be read.
    pub(super) fn failed(&mut self, why: String) {
        self.header = Header::Failed(why);
    }

    fn asked_for(&self, id: &str, slice: usize) -> bool {
        let wanted = self.wanted.as_ref();
        wanted.is_some_and(|(series, k)| series == id && *k == slice)
    }
}

impl State {
    /// Asks for the header of the file on screen, if it is to be shown and is not here. One at a time.
    pub(super) fn refresh_tags(&mut self) -> Option<Effect> {
        if self.dialog != Some(Dialog::Tags) {
            return None;
        }
        let Some(open) = self.viewer.open() else {
            self.tags.header = Header::Empty;
            self.tags.wanted = None;
            return None;
        };
        let slice = match &open.content {
            Content::Volume(view)
                if view.plane == view.volume.acquired_plane() && view.axes == Axes::Acquired =>
            {
                let [_, _, k] = view.volume.voxel_at(view.plane, view.index(), 0, 0);
                k
            }
            Content::Frames(frames) => frames.index(),
            Content::Volume(_) => 0,
        };
        let mut jobs = self.jobs.values();
        let busy = jobs.any(|job| job.kind == JobKind::ReadHeader);
        if busy || self.tags.asked_for(&open.series.id, slice) {
            return None;
        }
        let series = Box::new(open.series.clone());
        self.tags.wanted = Some((series.id.clone(), slice));
        if !matches!(self.tags.header, Header::Read(_)) {
            self.tags.header = Header::Loading;
        }
        Some(Effect::Send {
            command: Command::ReadHeader { series, slice },
            kind: JobKind::ReadHeader,
        })
    }
}
