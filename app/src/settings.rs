//! What a user sets once and finds again: language, colours, size, keys, recent files, the window's place.
//!
//! Plain data; the file is `store`'s. A field that an older file lacks has its default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::DeviceChoice;
use engine::device::AdapterInfo;
use serde::{Deserialize, Serialize};

use crate::keys::Keymap;
use crate::state::{Links, Viewer};
use crate::strings::Language;
use crate::theme::ThemeName;

/// Recent paths that are remembered.
const RECENT: usize = 12;

/// All settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The language of the window.
    pub language: Language,
    /// Its colours.
    pub theme: ThemeName,
    /// The size of everything but the scans: 75 to 200.
    pub scale_percent: u16,
    /// Remember what was opened. Paths only.
    pub remember_recent: bool,
    /// A start without files opens what was opened last.
    pub reopen_last: bool,
    /// Keep the session while it runs, so that it can go on after a crash.
    pub recover: bool,
    /// What was opened, the latest first: the files and folders of one opening together.
    pub recent: Vec<Vec<PathBuf>>,
    /// Keys that differ from the defaults: what they do, and their names.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Where models run from the next start on.
    pub runs_on: RunsOn,
    /// The panels.
    pub panels: Panels,
    /// Where the window was.
    pub window: Option<WindowPlace>,
}

/// Where models run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunsOn {
    /// A real GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An adapter, by its name; where it is not there, as [`Self::Auto`].
    Adapter(String),
}

impl RunsOn {
    /// The same for the engine, among the adapters that are there.
    pub fn choice(&self, adapters: &dyn Fn() -> Vec<AdapterInfo>) -> DeviceChoice {
        match self {
            Self::Auto => DeviceChoice::Auto,
            Self::Cpu => DeviceChoice::Cpu,
            Self::Adapter(name) => {
                let place = adapters().iter().position(|adapter| adapter.name == *name);
                let place = place.and_then(|place| u8::try_from(place).ok());
                place.map_or(DeviceChoice::Auto, DeviceChoice::Adapter)
            }
        }
    }
}

/// The panels around the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Panels {
    /// Width of the left one, in points.
    pub library: Option<f32>,
    /// Width of the right one, in points.
    pub assistant: Option<f32>,
    /// The list of measurements was closed.
    pub measurements_closed: bool,
    /// Viewports of one volume that were beside each other: 1 to 4.
    pub viewports: Option<u8>,
    /// The lines of the crosshair were off.
    pub crosshair_off: bool,
    /// The words in the corners were off.
    pub corners_off: bool,
    /// What carried over between series.
    pub links: Links,
}

/// Where a window is and how large, in points at 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowPlace {
    /// Width and height of the content.
    pub size: [f32; 2],
    /// Upper left corner, where the system says.
    pub position: Option<[f32; 2]>,
    /// It filled the screen.
    #[serde(default)]
    pub maximized: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: Language::default(),
            theme: ThemeName::default(),
            scale_percent: 100,
            remember_recent: true,
            reopen_last: true,
            recover: true,
            recent: Vec::new(),
            keys: BTreeMap::new(),
            runs_on: RunsOn::default(),
            panels: Panels::default(),
            window: None,
        }
    }
}

/// A change of the settings. `State::perform` makes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Another language.
    Language(Language),
    /// Other colours.
    Theme(ThemeName),
    /// Another size.
    Scale(u16),
    /// Remember what is opened, or forget it and stop.
    RememberRecent(bool),
    /// Open what was opened last at the start.
    ReopenLast(bool),
    /// Keep the session while it runs, or delete what is kept of it and stop.
    Recover(bool),
    /// Run models elsewhere from the next start on.
    RunsOn(RunsOn),
    /// Forget what was opened.
    ClearRecent,
    /// All defaults; what was opened stays.
    Reset,
}

impl Settings {
    /// The sizes on offer.
    pub const SCALES: [u16; 6] = [75, 100, 125, 150, 175, 200];

    /// With every number in its range, and no more recent paths than are kept.
    #[must_use]
    pub fn sound(mut self) -> Self {
        self.scale_percent = self.scale_percent.clamp(75, 200);
        self.recent.retain(|paths| !paths.is_empty());
        self.recent.truncate(RECENT);
        let width = |width: f32| width.is_finite() && (100.0..4000.0).contains(&width);
        self.panels.library = self.panels.library.filter(|w| width(*w));
        self.panels.assistant = self.panels.assistant.filter(|w| width(*w));
        let most = Viewer::MOST as u8;
        self.panels.viewports = self
            .panels
            .viewports
            .filter(|count| (1..=most).contains(count));
        self.window = self.window.filter(|place| {
            let large = |len: &f32| len.is_finite() && (200.0..20_000.0).contains(len);
            let near = |at: &f32| at.is_finite() && at.abs() < 30_000.0;
            place.size.iter().all(large) && place.position.iter().flatten().all(near)
        });
        self
    }

    /// Everything is drawn so much larger.
    pub fn scale(&self) -> f32 {
        f32::from(self.scale_percent) / 100.0
    }

    /// The keys, and what of the file means nothing.
    pub fn keymap(&self) -> (Keymap, Vec<String>) {
        Keymap::with_changes(&self.keys)
    }

    /// Remembers what was opened, unless the user does not want that. Paths that are no text are left out.
    pub fn opened(&mut self, paths: &[PathBuf]) {
        let absolute = |path: &PathBuf| std::path::absolute(path).ok();
        let paths: Vec<PathBuf> = paths.iter().filter_map(absolute).collect();
        if !self.remember_recent || paths.is_empty() || paths.iter().any(|p| p.to_str().is_none()) {
            return;
        }
        self.recent.retain(|known| *known != paths);
        self.recent.insert(0, paths);
        self.recent.truncate(RECENT);
    }

    /// Makes a change.
    pub fn change(&mut self, change: Change) {
        match change {
            Change::Language(language) => self.language = language,
            Change::Theme(theme) => self.theme = theme,
            Change::Scale(percent) => self.scale_percent = percent.clamp(75, 200),
            Change::RememberRecent(remember) => {
                self.remember_recent = remember;
                if !remember {
                    self.recent.clear();
                }
            }
            Change::ReopenLast(reopen) => self.reopen_last = reopen,
            Change::Recover(recover) => self.recover = recover,
            Change::RunsOn(runs_on) => self.runs_on = runs_on,
            Change::ClearRecent => self.recent.clear(),
            Change::Reset => {
                *self = Self {
                    recent: std::mem::take(&mut self.recent),
                    ..Self::default()
                };
            }
        }
    }
}

/// What the list of recent files calls an opening: the names of its files and folders.
pub fn recent_words(paths: &[PathBuf]) -> String {
    let name = |path: &Path| {
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        parts
            .get(parts.len().saturating_sub(2)..)
            .unwrap_or_default()
            .join("/")
    };
    match paths {
        [] => String::new(),
        [only] => name(only),
        [first, rest @ ..] => format!("{} + {}", name(first), rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_opened_twice_is_remembered_once_and_first() {
        let mut settings = Settings::default();
        for name in ["/a", "/b", "/a"] {
            settings.opened(&[name.into()]);
        }
        assert_eq!(
            settings.recent,
            [["/a"], ["/b"]].map(|p| p.map(PathBuf::from).to_vec())
        );
        for number in 0..40 {
            settings.opened(&[format!("/n{number}").into()]);
        }
        assert_eq!(settings.recent.len(), RECENT);
        settings.change(Change::RememberRecent(false));
        settings.opened(&["/c".into()]);
        assert!(settings.recent.is_empty());
    }

    #[test]
    fn a_reset_restores_all_defaults_and_keeps_what_was_opened() {
        let mut settings = Settings {
            scale_percent: 150,
            language: Language::German,
            theme: ThemeName::Light,
            ..Settings::default()
        };
        settings.opened(&["/a".into()]);
        let recent = settings.recent.clone();
        settings.change(Change::Reset);
        let expected = Settings {
            recent,
            ..Settings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn numbers_out_of_range_are_put_right() {
        let odd = Settings {
            scale_percent: 900,
            panels: Panels {
                library: Some(f32::NAN),
                assistant: Some(300.0),
                viewports: Some(9),
                ..Panels::default()
            },
            window: Some(WindowPlace {
                size: [0.0, 5.0],
                ..WindowPlace::default()
            }),
            ..Settings::default()
        };
        let sound = odd.sound();
        assert_eq!(sound.scale_percent, 200);
        assert_eq!((sound.panels.library, sound.window), (None, None));
        assert_eq!(sound.panels.viewports, None);
        assert_eq!(sound.panels.assistant, Some(300.0));
    }

    #[test]
    fn an_adapter_is_found_by_its_name_and_one_that_is_gone_is_chosen_for_the_user() {
        let adapters = || {
            ["A (Vulkan)", "B (Vulkan)"].map(|name| AdapterInfo {
                name: name.to_owned(),
                kind: "discrete GPU",
                driver: String::new(),
            })
        };
        let adapters = || adapters().to_vec();
        let choice = |runs_on: RunsOn| runs_on.choice(&adapters);
        let named = |name: &str| RunsOn::Adapter(name.to_owned());
        assert_eq!(choice(named("B (Vulkan)")), DeviceChoice::Adapter(1));
        assert_eq!(choice(named("C (Vulkan)")), DeviceChoice::Auto);
        assert_eq!(choice(RunsOn::Cpu), DeviceChoice::Cpu);
    }

    #[test]
    fn recent_files_are_named_by_their_last_two_parts() {
        assert_eq!(recent_words(&["/data/knee/ct".into()]), "knee/ct");
        assert_eq!(
            recent_words(&["/data/a.nii".into(), "/b".into()]),
            "data/a.nii + 1"
        );
    }
}
