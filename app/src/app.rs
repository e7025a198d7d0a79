//! The running window: engine events in, state drawn, effects carried out.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eframe::wgpu::{AdapterInfo, DeviceType};
use egui::{Context, Ui};
use engine::session::{Command, Engine};
use engine::{DeviceChoice, Error};

use crate::action::{Action, Effect};
use crate::autosave::Autosave;
use crate::crash;
use crate::desktop::{Desktop, place_of};
use crate::dialogs::{Chosen, Dialogs};
use crate::keeper::{Report, Wish};
use crate::pictures::Pictures;
use crate::plan::{PlanRun, ScreenshotPlan};
use crate::settings::Settings;
use crate::state::{JobKind, Left, Notice, State};
use crate::strings::{fill, speak, words};
use crate::{theme, view};

/// A burst of events (tokens) repaints the window this often at most.
const REPAINT_PAUSE: Duration = Duration::from_millis(33);
/// The same where the CPU draws the window (80 ms of CPU for a frame of 1600 x 1000 under lavapipe), so that drawing
/// leaves the cores to the model.
const REPAINT_PAUSE_ON_CPU: Duration = Duration::from_millis(400);

/// With what the window opens.
#[derive(Clone, Debug, Default)]
pub struct WindowStart {
    /// Where the model runs.
    pub device: DeviceChoice,
    /// Files and folders to open.
    pub studies: Vec<PathBuf>,
    /// What to open where nothing else is.
    pub sample: Vec<PathBuf>,
    /// A window that is open already may take the files instead.
    pub shared: bool,
    /// The model folder to load.
    pub model: Option<PathBuf>,
    /// A scripted run that ends with a screenshot.
    pub plan: Option<ScreenshotPlan>,
}

/// Opens the window and returns when it is closed.
///
/// # Errors
/// The system gives no window or no way to draw in it; or a scripted run failed.
pub fn run_window(mut start: WindowStart) -> eframe::Result<()> {
    let Some(desktop) = Desktop::open(&start) else {
        return Ok(()); // the window that is open took the files
    };
    start.studies = desktop.studies(&start);
    let options = eframe::NativeOptions {
        viewport: desktop.viewport(),
        // Noise in the grey levels has no place over a scan.
        dithering: false,
        ..eframe::NativeOptions::default()
    };
    let outcome = Arc::new(Mutex::new(Ok(())));
    let shared = Arc::clone(&outcome);
    eframe::run_native(
        words().program,
        options,
        Box::new(move |creation| {
            let app = WorkbenchApp::new(creation, start, desktop, shared)?;
            Ok(Box::new(app))
        }),
    )?;
    let outcome = outcome.lock().map_or(Ok(()), |outcome| outcome.clone());
    outcome.map_err(|why: String| eframe::Error::AppCreation(why.into()))
}

/// The application.
pub struct WorkbenchApp {
    desktop: Desktop,
    ctx: Context,
    state: State,
    pictures: Pictures,
    engine: Engine,
    dialogs: Dialogs,
    autosave: Autosave,
    plan: Option<PlanRun>,
}

impl WorkbenchApp {
    fn new(
        creation: &eframe::CreationContext<'_>,
        start: WindowStart,
        desktop: Desktop,
        outcome: Arc<Mutex<Result<(), String>>>,
    ) -> Result<Self, Error> {
        let ctx = &creation.egui_ctx;
        theme::install(ctx);
        let render = creation.wgpu_render_state.as_ref();
        let adapter = render.map(|render| render.adapter.get_info());
        let by_cpu = |info: &AdapterInfo| info.device_type == DeviceType::Cpu;
        let drawn_by_cpu = adapter.as_ref().is_some_and(by_cpu);
        if let Some(info) = adapter {
            crash::uses(format!(
                "{} ({:?}, {})",
                info.name, info.backend, info.driver_info
            ));
        }
        let pause = if drawn_by_cpu {
            REPAINT_PAUSE_ON_CPU
        } else {
            REPAINT_PAUSE
        };
        let engine = Engine::start(start.device, waker(ctx.clone(), pause))?;
        desktop.opened(ctx);
        let mut state = State::with_settings(desktop.settings.clone(), desktop.place.clone());
        if let Some(note) = &desktop.note {
            state.notice = Some(Notice::Failed(note.clone()));
        }
        state.left = desktop.left.clone();
        let notice = state.notice.clone();
        let mut app = Self {
            desktop,
            ctx: ctx.clone(),
            state,
            pictures: Pictures::new(
                creation
                    .wgpu_render_state
                    .as_ref()
                    .map(|render| render.target_format),
            ),
            engine,
            dialogs: Dialogs::new(ctx.clone()),
            autosave: Autosave::default(),
            plan: start.plan.map(|plan| PlanRun::new(plan, outcome)),
        };
        if !start.studies.is_empty() {
            app.perform(ctx, Action::OpenPaths(start.studies));
        }
        if let Some(dir) = start.model {
            app.perform(ctx, Action::LoadModel(dir));
        }
        app.state.notice = notice;
        Ok(app)
    }

    fn perform(&mut self, ctx: &Context, action: Action) {
        for effect in self.state.perform(action) {
            self.carry_out(ctx, effect);
        }
    }

    fn carry_out(&mut self, ctx: &Context, effect: Effect) {
        match effect {
            Effect::Send { command, kind } => self.send(command, kind),
            Effect::Stop(job) => self.engine.stop(job),
            Effect::ChooseFolder => self.dialogs.choose_folder(),
            Effect::ChooseFiles => self.dialogs.choose_files(),
            Effect::ChooseModel => self.dialogs.choose_model(),
            Effect::ChooseTraining => self.dialogs.choose_training(),
            Effect::SavePng(generated) => self.dialogs.save_png(generated),
            Effect::Copy(text) => ctx.copy_text(text),
            Effect::DiscardSession => self.desktop.keep(Wish::NoSession),
            Effect::KeepSettings(settings) => self.desktop.keep(Wish::Settings(settings)),
            Effect::KeepMeasurements(series, kept) => {
                self.desktop.keep(Wish::Measurements(series, kept));
            }
            Effect::RecallMeasurements(series) => self.desktop.keep(Wish::Recall(series)),
        }
    }

    /// What the keeper of the user's files has to say.
    fn hear(&mut self, ctx: &Context, report: Report) {
        match report {
            Report::Recalled {
                series,
                kept,
                set_aside,
            } => {
                if let Some(effect) = self.state.recalled(&series, &kept) {
                    self.carry_out(ctx, effect);
                }
                if let Some(name) = set_aside {
                    let text = fill(words().measurements_damaged, &[&name]);
                    self.state.notice = Some(Notice::Failed(text));
                }
            }
            Report::NotWritten(why) => {
                let text = fill(words().not_written, &[&why]);
                self.state.notice = Some(Notice::Failed(text));
            }
        }
    }

    fn send(&mut self, command: Command, kind: JobKind) {
        let job = self.engine.send(command);
        self.state.started(job, kind);
    }
}

impl eframe::App for WorkbenchApp {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        for event in self.engine.events() {
            for effect in self.state.apply(event) {
                self.carry_out(ctx, effect);
            }
        }
        for report in self.desktop.reports() {
            self.hear(ctx, report);
        }
        for paths in self.desktop.handed_over(ctx) {
            if !paths.is_empty() {
                self.perform(ctx, Action::OpenPaths(paths));
            }
        }
        for chosen in self.dialogs.chosen() {
            match chosen {
                Chosen::Scans(paths) => self.perform(ctx, Action::OpenPaths(paths)),
                Chosen::Model(dir) => self.perform(ctx, Action::LoadModel(dir)),
                Chosen::Training(path) => self.perform(ctx, Action::TrainingChosen(path)),
                Chosen::NoChooser(instead) => {
                    let text = fill(words().no_chooser, &[&instead]);
                    self.state.notice = Some(Notice::Failed(text));
                }
                Chosen::Saved(Ok(name)) => {
                    let text = fill(words().saved_picture, &[&name]);
                    self.state.notice = Some(Notice::Done(text));
                }
                Chosen::Saved(Err(why)) => {
                    let text = fill(words().not_saved, &[&why]);
                    self.state.notice = Some(Notice::Failed(text));
                }
            }
        }
        if let Some(wish) = self.autosave.due(ctx, &self.state, Instant::now()) {
            self.desktop.keep(wish);
        }
        if let Some(mut plan) = self.plan.take() {
            for action in plan.step(ctx, &mut self.state) {
                self.perform(ctx, action);
            }
            self.plan = Some(plan);
        }
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        let effects = desk_ui(ui, &mut self.state, &mut self.pictures);
        let ctx = ui.ctx().clone();
        for effect in effects {
            self.carry_out(&ctx, effect);
        }
    }

    fn clear_color(&self, _visuals: &egui::Visuals) -> [f32; 4] {
        theme::now().panel.to_normalized_gamma_f32()
    }

    fn on_exit(&mut self) {
        let settings = &mut self.state.settings;
        settings.window = place_of(&self.ctx, settings.window);
        if let Some([library, assistant]) = view::panel_widths(&self.ctx) {
            settings.panels.library = Some(library);
            settings.panels.assistant = Some(assistant);
        }
        let settings = Box::new(settings.clone());
        self.desktop.keep(Wish::Settings(settings));
        // A session of the run before that nobody decided on waits for the next start.
        let waits = |left: &Left| left.session.is_some();
        if !self.state.left.as_ref().is_some_and(waits) {
            self.desktop.keep(Wish::NoSession);
        }
    }
}

/// Repaints after an event: at once after a quiet time, else when `pause` is over.
fn waker(ctx: Context, pause: Duration) -> impl Fn() + Send + Sync {
    let last: Mutex<Option<Instant>> = Mutex::default();
    move || {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let since = last.map_or(pause, |last| last.elapsed());
        if since >= pause {
            *last = Some(Instant::now());
            // Not `request_repaint`, which draws two frames.
            ctx.request_repaint_after(Duration::from_millis(1));
        } else {
            ctx.request_repaint_after(pause - since);
        }
    }
}

/// One frame of the window without an engine behind it: draws the state, does what the user asked for, and returns
/// what only the surroundings can do.
pub fn desk_ui(ui: &mut Ui, state: &mut State, pictures: &mut Pictures) -> Vec<Effect> {
    let ctx = ui.ctx().clone();
    dress(&ctx, &state.settings);
    let refreshed = state.refresh();
    pictures.sync(&ctx, state);
    let actions = view::window_ui(ui, state, pictures);
    if !actions.is_empty() {
        ui.ctx().request_repaint();
    }
    let effects = actions.into_iter().map(|action| state.perform(action));
    refreshed.into_iter().chain(effects.flatten()).collect()
}

/// Language, colours and size of this frame.
fn dress(ctx: &Context, settings: &Settings) {
    speak(settings.language);
    theme::wear(ctx, settings.theme);
    if (ctx.zoom_factor() - settings.scale()).abs() > 1e-3 {
        ctx.set_zoom_factor(settings.scale());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_events_draws_at_once_and_then_after_the_pause() {
        let ctx = Context::default();
        let delays = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&delays);
        ctx.set_request_repaint_callback(move |request| {
            seen.lock().unwrap().push(request.delay);
        });
        let wake = waker(ctx.clone(), Duration::from_secs(5));
        let delay_of = || {
            // A frame or two, so that egui waits for nothing more.
            for _ in 0..3 {
                let _ = ctx.run_ui(egui::RawInput::default(), |_| {});
            }
            delays.lock().unwrap().clear();
            wake();
            delays.lock().unwrap().last().copied().unwrap()
        };
        let first = delay_of();
        assert!(first <= Duration::from_millis(1), "{first:?}");
        let second = delay_of();
        assert!(second > Duration::from_secs(3), "{second:?}");
    }
}
/// What draws the window, also named in reports of faults.
fn adapter(creation: &eframe::CreationContext<'_>) -> Option<AdapterInfo> {
    let info = creation.wgpu_render_state.as_ref()?.adapter.get_info();
    let driver = &info.driver_info;
    crash::uses(format!("{} ({:?}, {driver})", info.name, info.backend));
    Some(info)
}

fn pictures(creation: &eframe::CreationContext<'_>) -> Pictures {
    let render = creation.wgpu_render_state.as_ref();
    Pictures::new(render.map(|render| render.target_format)).in_background(&creation.egui_ctx)
}

