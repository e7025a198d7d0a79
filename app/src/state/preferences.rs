//! Dialogs, settings and keys: what the user prefers.

use std::path::PathBuf;

use engine::imaging::Plane;

use super::measurements::{Book, Tool};
use super::{Dialog, Notice, State};
use crate::action::{Action, Effect};
use crate::keys::{Keymap, Refused, command};
use crate::settings::{Change, Settings};
use crate::strings::{fill, words};

impl State {
    /// A window with these settings, as the file had them.
    pub fn with_settings(settings: Settings, place: Option<String>) -> Self {
        let mut state = Self {
            settings,
            settings_place: place,
            ..Self::default()
        };
        state.look_as_set();
        state.viewports_at_start = state.settings.panels.viewports.map(usize::from);
        crate::strings::speak(state.settings.language);
        let (keymap, bad) = state.settings.keymap();
        state.keymap = keymap;
        if !bad.is_empty() {
            let text = fill(words().bad_keys, &[&bad.join("; ")]);
            state.notice = Some(Notice::Failed(text));
        }
        state
    }

    /// Brings what the settings hold of viewports and lists to the screen.
    fn look_as_set(&mut self) {
        let panels = self.settings.panels;
        self.measurements.listed = !panels.measurements_closed;
        self.viewer.links = panels.links;
        self.viewer.crosshair_visible = !panels.crosshair_off;
        self.viewer.corners_visible = !panels.corners_off;
    }

    /// Does what was asked of dialogs, settings and keys; the result is what has to be kept.
    pub(super) fn prefer(&mut self, wish: Action) -> Option<Effect> {
        match wish {
            Action::Toggle(dialog) => {
                let closed = self.dialog == Some(dialog);
                self.close_dialog();
                self.dialog = (!closed).then_some(dialog);
                if self.dialog == Some(Dialog::Settings) && self.adapters.is_empty() {
                    self.adapters = engine::device::adapters();
                }
                return None;
            }
            Action::CloseDialog => {
                self.close_dialog();
                return None;
            }
            Action::Listen(name) => {
                self.listening = name;
                self.key_refused = None;
                return None;
            }
            Action::BindKey(name, chord) => {
                self.listening = None;
                let refused = self.keymap.assign(&name, chord).err();
                self.key_refused = refused.map(|refused| match refused {
                    Refused::Taken(by) => {
                        let owner = command(by).map_or("", |owner| (owner.words)(words()));
                        fill(words().key_taken, &[&chord.words(), &owner])
                    }
                    Refused::Fixed => fill(words().key_fixed, &[&chord.words()]),
                });
                if self.key_refused.is_some() {
                    return None;
                }
                self.settings.keys = self.keymap.changes();
            }
            Action::ResetKeys => {
                self.keymap = Keymap::default();
                self.settings.keys.clear();
                self.key_refused = None;
            }
            Action::Change(change) => {
                let reset = change == Change::Reset;
                self.settings.change(change);
                self.keymap = self.settings.keymap().0;
                if reset {
                    self.layouts += 1;
                    self.look_as_set();
                    self.viewer.set_count(1);
                    self.viewports_at_start = None;
                    self.layout_at_start = None;
                }
            }
            _ => return None,
        }
        Some(self.keep_settings())
    }

    /// Puts how the viewports are laid out into the settings, for studies that are new to the next start. One that it
    /// finds again has [`Self::layout_to_keep`].
    pub fn remember_layout(&mut self) {
        let viewer = &self.viewer;
        let first = viewer
            .viewports
            .first()
            .and_then(|viewport| viewport.series_id());
        let one_series = viewer
            .viewports
            .iter()
            .all(|viewport| viewport.series_id() == first);
        let count = u8::try_from(viewer.viewports.len()).unwrap_or(1);
        let panels = &mut self.settings.panels;
        // Where nothing was opened, what was set before still holds.
        if first.is_some() {
            panels.viewports = Some(if one_series { count } else { 1 });
        }
        panels.links = viewer.links;
        panels.crosshair_off = !viewer.crosshair_visible;
        panels.corners_off = !viewer.corners_visible;
    }

    /// Lays the first volume out as the settings have it.
    pub(super) fn lay_out_at_start(&mut self) {
        let Some(view) = self.viewer.viewport().volume() else {
            return;
        };
        let planes = Plane::ALL
            .iter()
            .all(|plane| view.check_plane(*plane).is_ok());
        let Some(count) = self.viewports_at_start.take().filter(|_| planes) else {
            return;
        };
        if self.viewer.viewports.len() > 1 {
            return; // the user was faster
        }
        if count > 2 {
            self.viewer.show_planes();
        }
        self.viewer.set_count(count);
    }

    pub(super) fn keep_settings(&self) -> Effect {
        Effect::KeepSettings(Box::new(self.settings.clone()))
    }

    fn close_dialog(&mut self) {
        self.dialog = None;
        self.listening = None;
        self.key_refused = None;
    }

    /// Closes what lies on top: a dialog, a shape being drawn, a tool. False if there was none of them.
    pub(super) fn put_down(&mut self) -> bool {
        if self.dialog.is_some() {
            self.close_dialog();
            return true;
        }
        if self.measurements.gesture.take().is_some() {
            return true;
        }
        let busy = self.jobs.values().any(|job| job.kind.uses_model());
        let armed = self.measurements.tool != Tool::Window && !busy;
        if armed {
            self.measurements.take_up(Tool::Window);
        }
        armed
    }

    /// Remembers what is opened, if the user wants that.
    pub(super) fn remember_opened(&mut self, paths: &[PathBuf]) -> Option<Effect> {
        let before = self.settings.recent.clone();
        self.settings.opened(paths);
        (self.settings.recent != before).then(|| self.keep_settings())
    }

    /// Asks for what was measured on series in earlier sessions, the first time each is open; what was measured on other
    /// files of a series is looked for among those that are open now.
    fn recall(&mut self) -> Vec<Effect> {
        let viewports = self.viewer.viewports.iter();
        let open = viewports.filter(|viewport| viewport.open().is_some());
        let ids: Vec<String> = open
            .filter_map(|viewport| viewport.series_id().map(str::to_owned))
            .collect();
        let mut effects = Vec::new();
        for id in ids {
            let Some(book) = self.measurements.books.get(&id) else {
                let _ = self.measurements.books.insert(id.clone(), Book::default());
                effects.push(Effect::RecallMeasurements(id));
                continue;
            };
            if self.volume_of(&id).is_some_and(|now| !book.fits(&now)) {
                let kept = book.kept();
                let all = &mut self.measurements;
                (all.selected, all.gesture, all.histogram) = (None, None, None);
                let _ = all.books.remove(&id);
                effects.extend(self.recalled(&id, &kept));
            }
        }
        effects
    }

    /// Brings what follows from the rest up to date before a frame is drawn; the result is what has to be done for it.
    pub fn refresh(&mut self) -> Vec<Effect> {
        self.viewer.still_elsewhere();
        self.viewer.align_second();
        let shown = self.slice_on_screen();
        let shown = shown.as_ref();
        let shown = shown.map(|(slice, volume)| (slice.clone(), &**volume));
        self.measurements.refresh_histogram(shown);
        let mut effects = self.recall();
        effects.extend(self.refresh_tags());
        effects
    }
}
