//! What the window keeps on this machine and how starts find each other: settings, measurements, the one window.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use egui::{Context, ViewportBuilder, ViewportCommand};

use crate::app::WindowStart;
use crate::crash;
#[cfg(unix)]
use crate::instance::{self, Instance, Start};
use crate::keeper::{Keeper, Report, Wish};
use crate::recovery::SessionFile;
use crate::settings::{Settings, WindowPlace};
use crate::state::{Layout, Left};
use crate::store::Store;
use crate::strings::{fill, speak, words};

/// The window's size on its first start, in points.
const FIRST_SIZE: [f32; 2] = [1600.0, 1000.0];

/// Below this size the panels have no room.
const LEAST_SIZE: [f32; 2] = [960.0, 640.0];

/// The user's files and the place where starts meet. A scripted run has none of them.
#[derive(Debug, Default)]
pub struct Desktop {
    /// As they were when the window began.
    pub settings: Settings,
    /// What the user should know of the settings file.
    pub note: Option<String>,
    /// Where the settings are, in words.
    pub place: Option<String>,
    /// What the last run left.
    pub left: Option<Left>,
    /// Where its viewports were, if it ended properly.
    pub layout: Option<Layout>,
    keeper: Option<Keeper>,
    #[cfg(unix)]
    instance: Option<Instance>,
    window: OpenWindow,
}

impl Desktop {
    /// Reads the settings and looks for a window that is open. Nothing when that one took the files over.
    pub fn open(start: &WindowStart) -> Option<Self> {
        let mut desktop = Self::default();
        if start.plan.is_some() {
            return Some(desktop);
        }
        if !desktop.first_window(start) {
            return None;
        }
        if let Some(store) = Store::of_user() {
            let read = store.settings();
            desktop.settings = read.value;
            speak(desktop.settings.language);
            desktop.note = read
                .set_aside
                .map(|name| fill(words().settings_damaged, &[&name]));
            desktop.place = Some(store.settings_path().display().to_string());
            desktop.layout = store.layout().value;
            let session = desktop.take_place(&store);
            crash::watch(store.crashes());
            let window = desktop.window.clone();
            let wake = move || window.repaint_after(Duration::ZERO);
            desktop.keeper = Some(Keeper::start(store, session, wake));
        }
        Some(desktop)
    }

    /// Finds a place for the session, and what the last run left: in that place, and of reports.
    fn take_place(&mut self, store: &Store) -> Option<SessionFile> {
        let place = match SessionFile::take(&store.sessions()) {
            Ok(place) => Some(place),
            Err(error) => {
                tracing::warn!("this session cannot be restored after a crash: {error}");
                None
            }
        };
        let mut left = Left::default();
        if let Some(read) = place.as_ref().map(SessionFile::left) {
            if let Some(name) = read.set_aside {
                self.note = Some(fill(words().session_damaged, &[&name]));
            }
            if let Some(mut session) = read.value {
                let before = session.studies.len();
                session.studies.retain(|path| path.exists());
                left.gone = before - session.studies.len();
                left.session = Some(Box::new(session));
            }
        }
        let report = crash::untold(&store.crashes());
        left.report = report.map(|path| path.display().to_string());
        let something = left.session.is_some() || left.report.is_some();
        self.left = something.then_some(left);
        place
    }

    /// Is this the window that later starts find? False when another window took the files.
    #[cfg(unix)]
    fn first_window(&mut self, start: &WindowStart) -> bool {
        let Some(socket) = instance::socket_path().filter(|_| start.shared) else {
            return true;
        };
        let window = self.window.clone();
        let wake = move || window.repaint_after(Duration::ZERO);
        match instance::start(&socket, &start.studies, wake) {
            Start::First(instance) => self.instance = Some(instance),
            Start::Handed => return false,
            Start::Alone => {}
        }
        true
    }

    #[cfg(not(unix))]
    fn first_window(&mut self, _start: &WindowStart) -> bool {
        true
    }

    /// What to open: what was asked for, else what was opened last if it is still there, else the sample.
    pub fn studies(&self, start: &WindowStart) -> Vec<PathBuf> {
        if !start.studies.is_empty() {
            return start.studies.clone();
        }
        // What is opened without being asked for may be what the last run ended of.
        if self
            .left
            .as_ref()
            .is_some_and(|left| left.session.is_some())
        {
            return Vec::new();
        }
        let last = self.settings.recent.first();
        let there = last.filter(|paths| paths.iter().all(|path| path.exists()));
        match there {
            Some(paths) if self.settings.reopen_last => paths.clone(),
            _ => start.sample.clone(),
        }
    }

    /// The window as it was left.
    pub fn viewport(&self) -> ViewportBuilder {
        let place = self.settings.window.unwrap_or(WindowPlace {
            size: FIRST_SIZE,
            ..WindowPlace::default()
        });
        let builder = ViewportBuilder::default()
            .with_title(words().program)
            .with_app_id("healthgpt-workbench")
            .with_min_inner_size(LEAST_SIZE)
            .with_inner_size(place.size)
            .with_maximized(place.maximized);
        match place.position {
            Some(position) => builder.with_position(position),
            None => builder,
        }
    }

    /// The window is there: what comes from now on wakes it.
    pub fn opened(&self, ctx: &Context) {
        self.window.set(ctx);
    }

    /// The window that is woken.
    pub fn window(&self) -> OpenWindow {
        self.window.clone()
    }

    /// Files that later starts handed over, one list for each start. The window comes to the front for them.
    pub fn handed_over(&self, ctx: &Context) -> Vec<Vec<PathBuf>> {
        #[cfg(unix)]
        let received = self.instance.as_ref().map(Instance::received);
        #[cfg(not(unix))]
        let received: Option<Vec<Vec<PathBuf>>> = None;
        let received = received.unwrap_or_default();
        if !received.is_empty() {
            ctx.send_viewport_cmd(ViewportCommand::Minimized(false));
            ctx.send_viewport_cmd(ViewportCommand::Focus);
        }
        received
    }

    /// Writes or reads a file of the user, if this window keeps any.
    pub fn keep(&self, wish: Wish) {
        if let Some(keeper) = &self.keeper {
            keeper.send(wish);
        }
    }

    /// What came of it since the last call.
    pub fn reports(&self) -> Vec<Report> {
        self.keeper
            .as_ref()
            .map(Keeper::reports)
            .unwrap_or_default()
    }
}

/// The window that is open now: threads wake it, also when it was opened again.
#[derive(Clone, Debug, Default)]
pub struct OpenWindow(Arc<Mutex<Option<Context>>>);

impl OpenWindow {
    /// It is this one.
    pub fn set(&self, ctx: &Context) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ctx.clone());
    }

    /// Draws it anew after this time, if there is one.
    pub fn repaint_after(&self, pause: Duration) {
        let window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ctx) = &*window {
            ctx.request_repaint_after(pause);
        }
    }
}

/// Where the window is now, in points at 100 %. A window that fills the screen keeps the size it had before.
pub fn place_of(ctx: &Context, before: Option<WindowPlace>) -> Option<WindowPlace> {
    let scale = ctx.zoom_factor();
    let (inner, outer, maximized) = ctx.input(|input| {
        let viewport = input.viewport();
        (
            viewport.inner_rect,
            viewport.outer_rect,
            viewport.maximized.unwrap_or(false) || viewport.fullscreen.unwrap_or(false),
        )
    });
    if maximized {
        let before = before.unwrap_or(WindowPlace {
            size: FIRST_SIZE,
            ..WindowPlace::default()
        });
        return Some(WindowPlace {
            maximized: true,
            ..before
        });
    }
    // Wayland does not say where a window is, but how large it is.
    let size = inner.map_or(ctx.content_rect().size(), |inner| inner.size());
    Some(WindowPlace {
        size: (size * scale).into(),
        position: outer.map(|outer| (outer.min * scale).into()),
        maximized: false,
    })
}
