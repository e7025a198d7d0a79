//! The running window: engine events in, state drawn, effects carried out.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eframe::wgpu::{AdapterInfo, DeviceType};
use egui::{Context, Ui};
use engine::bench::memory_mib;
use engine::session::{Command, Engine};
use engine::{DeviceChoice, Error};

use crate::action::{Action, Effect};
use crate::autosave::Autosave;
use crate::crash;
use crate::desktop::{Desktop, OpenWindow, place_of};
use crate::dialogs::{Chosen, Dialogs};
use crate::keeper::{Report, Wish};
use crate::loss::Loss;
use crate::paint::volumes::Volumes;
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

/// The program's memory is measured so often, while anything happens.
const MEMORY_PERIOD: Duration = Duration::from_secs(1);

/// A window whose GPU is lost is opened again so often; then there is no point.
const MOST_WINDOWS: u32 = 5;

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

/// Opens the window and returns when it is closed. When the GPU that draws it is lost, it is opened again with
/// everything in it: the engine does not notice.
///
/// # Errors
/// The system gives no window or no way to draw in it; or a scripted run failed.
pub fn run_window(mut start: WindowStart) -> eframe::Result<()> {
    let Some(desktop) = Desktop::open(&start) else {
        return Ok(()); // the window that is open took the files
    };
    start.studies = desktop.studies(&start);
    let outcome = Arc::new(Mutex::new(Ok(())));
    let mut viewport = desktop.viewport();
    let mut first = Some((start, desktop, Arc::clone(&outcome)));
    let workbench: Rc<RefCell<Option<Workbench>>> = Rc::default();
    let mut opened = 0;
    loop {
        opened += 1;
        let loss = Arc::new(Loss::default());
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let (workbench, loss) = (Rc::clone(&workbench), Arc::clone(&loss));
            let first = first.take();
            let options = eframe::NativeOptions {
                viewport: viewport.clone(),
                // Noise in the grey levels has no place over a scan.
                dithering: false,
                ..eframe::NativeOptions::default()
            };
            let create = move |creation: &eframe::CreationContext<'_>| -> Created {
                if let Some(render) = &creation.wgpu_render_state {
                    loss.watch(&render.device, &creation.egui_ctx);
                }
                match first {
                    Some((start, desktop, outcome)) => {
                        let new = Workbench::new(creation, start, desktop, outcome)?;
                        *workbench.borrow_mut() = Some(new);
                    }
                    None => {
                        if let Some(workbench) = workbench.borrow_mut().as_mut() {
                            workbench.reopened(creation);
                        }
                    }
                }
                Ok(Box::new(WindowApp { workbench, loss }))
            };
            eframe::run_native(words().program, options, Box::new(create))
        }));
        if ended.is_err()
            && let Some(reason) = loss.reason_after_fault()
        {
            // The event loop was left in the middle and opens no second window. The session is on disk.
            let text = fill(words().window_gpu_lost_for_good, &[&reason]);
            return Err(eframe::Error::AppCreation(text.into()));
        }
        let lost = loss.reason();
        let Some(reason) = lost else {
            ended.unwrap_or_else(|panic| resume_unwind(panic))?;
            break;
        };
        if opened > MOST_WINDOWS || workbench.borrow().is_none() {
            return Err(eframe::Error::AppCreation(reason.into()));
        }
        if let Some(workbench) = workbench.borrow_mut().as_mut() {
            let text = fill(words().window_gpu_lost, &[&reason]);
            workbench.state.notice = Some(Notice::Failed(text));
            workbench.desktop.settings.window = workbench.state.settings.window;
            viewport = workbench.desktop.viewport();
        }
    }
    let outcome = outcome.lock().map_or(Ok(()), |outcome| outcome.clone());
    outcome.map_err(|why: String| eframe::Error::AppCreation(why.into()))
}

/// What eframe wants of a new window.
type Created = Result<Box<dyn eframe::App>, Box<dyn std::error::Error + Send + Sync>>;

/// The window as eframe sees it. What is in it outlives it.
struct WindowApp {
    workbench: Rc<RefCell<Option<Workbench>>>,
    loss: Arc<Loss>,
}

impl eframe::App for WindowApp {
    fn logic(&mut self, ctx: &Context, frame: &mut eframe::Frame) {
        if self.loss.reason().is_some() {
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
            return;
        }
        if let Some(workbench) = self.workbench.borrow_mut().as_mut() {
            workbench.logic(ctx);
            if workbench.plan.as_mut().is_some_and(PlanRun::loses_gpu) {
                if let Some(render) = frame.wgpu_render_state() {
                    render.device.destroy();
                    // The loss is told of now, before this frame is drawn.
                    let _ = render.device.poll(eframe::wgpu::PollType::Poll);
                }
                ctx.request_repaint();
            }
        }
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        // On a device that is lost, anything drawn would be a fault.
        if self.loss.reason().is_none()
            && let Some(workbench) = self.workbench.borrow_mut().as_mut()
        {
            workbench.ui(ui);
        }
    }

    fn clear_color(&self, _visuals: &egui::Visuals) -> [f32; 4] {
        theme::now().panel.to_normalized_gamma_f32()
    }

    fn on_exit(&mut self) {
        self.loss.no_more();
        if let Some(workbench) = self.workbench.borrow_mut().as_mut() {
            workbench.closed(self.loss.reason().is_none());
        }
    }
}

/// The workbench in its window.
struct Workbench {
    desktop: Desktop,
    ctx: Context,
    state: State,
    pictures: Pictures,
    engine: Engine,
    dialogs: Dialogs,
    autosave: Autosave,
    /// When the program's memory was measured last.
    measured: Option<Instant>,
    plan: Option<PlanRun>,
}

impl Workbench {
    fn new(
        creation: &eframe::CreationContext<'_>,
        start: WindowStart,
        desktop: Desktop,
        outcome: Arc<Mutex<Result<(), String>>>,
    ) -> Result<Self, Error> {
        let ctx = &creation.egui_ctx;
        theme::install(ctx);
        let drawn_by_cpu =
            adapter(creation).is_some_and(|info| info.device_type == DeviceType::Cpu);
        let pause = if drawn_by_cpu {
            REPAINT_PAUSE_ON_CPU
        } else {
            REPAINT_PAUSE
        };
        desktop.opened(ctx);
        let choice = match start.device {
            DeviceChoice::Auto => desktop.settings.runs_on.choice(&engine::device::adapters),
            asked => asked,
        };
        let engine = Engine::start(choice, waker(desktop.window(), pause))?;
        let mut state = State::with_settings(desktop.settings.clone(), desktop.place.clone());
        if let Some(note) = &desktop.note {
            state.notice = Some(Notice::Failed(note.clone()));
        }
        state.left = desktop.left.clone();
        state.layout_at_start = desktop.layout.clone();
        let notice = state.notice.clone();
        let mut app = Self {
            desktop,
            ctx: ctx.clone(),
            state,
            pictures: pictures(creation),
            engine,
            dialogs: Dialogs::new(ctx.clone()),
            autosave: Autosave::default(),
            measured: None,
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

    /// The same in another window, drawn by another device. What hangs on the old one is made again.
    fn reopened(&mut self, creation: &eframe::CreationContext<'_>) {
        let ctx = &creation.egui_ctx;
        theme::install(ctx);
        let _ = adapter(creation);
        self.ctx = ctx.clone();
        self.pictures = pictures(creation);
        self.dialogs = Dialogs::new(ctx.clone());
        self.desktop.opened(ctx);
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
            Effect::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
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

impl Workbench {
    fn logic(&mut self, ctx: &Context) {
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
        let measured = self.measured.is_some_and(|at| at.elapsed() < MEMORY_PERIOD);
        if !measured && self.plan.is_none() {
            self.measured = Some(Instant::now());
            self.state.memory_mib = memory_mib();
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

    fn ui(&mut self, ui: &mut Ui) {
        let effects = desk_ui(ui, &mut self.state, &mut self.pictures);
        let ctx = ui.ctx().clone();
        for effect in effects {
            self.carry_out(&ctx, effect);
        }
    }

    /// The window is gone; `for_good` unless it comes back.
    fn closed(&mut self, for_good: bool) {
        self.state.remember_layout();
        let settings = &mut self.state.settings;
        settings.window = place_of(&self.ctx, settings.window);
        if let Some([library, assistant]) = view::panel_widths(&self.ctx) {
            settings.panels.library = Some(library);
            settings.panels.assistant = Some(assistant);
        }
        let settings = Box::new(settings.clone());
        self.desktop.keep(Wish::Settings(settings));
        if !for_good {
            return;
        }
        if let Some(layout) = self.state.layout_to_keep() {
            self.desktop.keep(Wish::Layout(Box::new(layout)));
        }
        // A session of the run before that nobody decided on waits for the next start.
        let waits = |left: &Left| left.session.is_some();
        if !self.state.left.as_ref().is_some_and(waits) {
            self.desktop.keep(Wish::NoSession);
        }
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
    Pictures::new(render.map(|render| render.target_format))
        .in_background(&creation.egui_ctx)
        .on_card(render.and_then(Volumes::on_card))
}

/// Repaints after an event: at once after a quiet time, else when `pause` is over.
fn waker(window: OpenWindow, pause: Duration) -> impl Fn() + Send + Sync {
    let last: Mutex<Option<Instant>> = Mutex::default();
    move || {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let since = last.map_or(pause, |last| last.elapsed());
        if since >= pause {
            *last = Some(Instant::now());
            // Not `request_repaint`, which draws two frames.
            window.repaint_after(Duration::from_millis(1));
        } else {
            window.repaint_after(pause - since);
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
        let window = OpenWindow::default();
        window.set(&ctx);
        let wake = waker(window, Duration::from_secs(5));
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
