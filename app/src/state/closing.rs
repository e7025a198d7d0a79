//! Closing a study: its series leave the list, the viewports and the session. Measurements, answers and generated images
//! stay.

use std::path::PathBuf;

use engine::imaging::SeriesInfo;

use super::results::CompareMode;
use super::viewport::Viewport;
use super::{Library, State};
use crate::action::Effect;

impl State {
    /// Closes a study, by the hash that its series share.
    pub(super) fn close_study(&mut self, study: &str) -> Vec<Effect> {
        let all = std::mem::take(&mut self.library.series).into_iter();
        let (closed, left): (Vec<SeriesInfo>, Vec<_>) = all.partition(|s| s.study == study);
        self.library.series = left;
        let of_it = |id: &str| closed.iter().any(|series| series.has_volume(id));
        self.forget_paths(&closed);
        self.library.thumbnails.retain(|id, _| !of_it(id));
        self.last_views.retain(|id, _| !of_it(id));
        self.chat.tray.retain(|item| !of_it(&item.picture.series));
        let under_mouse = self.measurements.gesture.as_ref();
        if under_mouse.is_some_and(|gesture| of_it(&gesture.series)) {
            self.measurements.gesture = None;
        }
        let viewer = &mut self.viewer;
        for viewport in &mut viewer.viewports {
            if viewport.series_id().is_some_and(of_it) {
                *viewport = Viewport::Empty;
            }
        }
        let empty = |viewport: &Viewport| matches!(viewport, Viewport::Empty);
        if viewer.viewports.iter().all(empty) {
            viewer.set_count(1);
            viewer.crosshair = None;
        }
        if viewer.pair().is_none() {
            viewer.compare = CompareMode::SideBySide;
        }
        if self.library.series.is_empty() {
            self.library = Library {
                path_draft: std::mem::take(&mut self.library.path_draft),
                ..Library::default()
            };
        }
        self.with_loads_stopped(None)
    }

    /// Takes the files and folders out of the session that held nothing but these series.
    fn forget_paths(&mut self, closed: &[SeriesInfo]) {
        let left = &self.library.series;
        let in_it = |path: &PathBuf, series: &[SeriesInfo]| {
            let mut files = series.iter().flat_map(|series| &series.files);
            files.any(|file| std::path::absolute(file).is_ok_and(|file| file.starts_with(path)))
        };
        self.studies
            .retain(|path| !in_it(path, closed) || in_it(path, left));
    }
}
