//! `workbench gallery`: pictures of the window with the sample study, drawn without a display.

use std::fs;
use std::time::{Duration, Instant};

use engine::DeviceChoice;
use engine::imaging::{ColourMap, Modality, Plane, Projection, Slab, SliceAt, Window};
use engine::session::Engine;

use super::args::GalleryArgs;
use super::assets;
use super::console::Console;
use super::failure::Failure;
use crate::action::{Action, Effect};
use crate::app::desk_ui;
use crate::offscreen::Offscreen;
use crate::pictures::Pictures;
use crate::settings::Change;
use crate::state::{CompareMode, Dialog, Measure, SliceRef, State, Tool};
use crate::strings::Language;
use crate::theme::ThemeName;

/// The size of the window.
const SIZE: [u32; 2] = [1600, 1000];

/// A series takes no longer to load.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes one PNG for each scene.
///
/// # Errors
/// The sample study cannot be read, nothing can draw, or a file cannot be written.
pub fn run(args: &GalleryArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    fs::create_dir_all(&args.out)?;
    let studies = if args.studies.is_empty() {
        vec![assets::sample_study()?]
    } else {
        args.studies.clone()
    };
    let mut desk = Desk::new()?;
    desk.perform(Action::OpenPaths(studies));
    desk.settle()?;
    let ids: Vec<String> = desk
        .state
        .library
        .series
        .iter()
        .map(|series| series.id.clone())
        .collect();
    let mut written = Vec::new();
    let mut shoot = |desk: &mut Desk, name: &str| -> Result<(), Failure> {
        desk.settle()?;
        let path = args.out.join(format!("{name}.png"));
        let picture = desk.draw()?;
        picture
            .save(&path)
            .map_err(|error| failed(&error.to_string()))?;
        written.push(path.display().to_string());
        Ok(())
    };
    desk.perform(Action::SetWindow(Window::linear(40.0, 400.0)));
    shoot(&mut desk, "slice")?;
    desk.perform(Action::ShowPlanes);
    desk.perform(Action::StepSlices(1));
    shoot(&mut desk, "planes")?;
    desk.perform(Action::SetViewports(4));
    desk.perform(Action::Activate(3));
    desk.perform(Action::SetSlab(Some(Slab {
        projection: Projection::Maximum,
        mm: 50.0,
    })));
    desk.perform(Action::SetPlane(Plane::Coronal));
    shoot(&mut desk, "four-viewports")?;
    desk.perform(Action::SetViewports(1));
    desk.perform(Action::SetSlab(None));
    desk.perform(Action::SetPlane(Plane::Axial));
    desk.perform(Action::SetColours(ColourMap::Inferno));
    shoot(&mut desk, "colours")?;
    desk.perform(Action::SetColours(ColourMap::Grey));
    let shown = desk.state.viewer.series_id().map(str::to_owned);
    if let Some(other) = ids.iter().find(|id| Some(id.as_str()) != shown.as_deref()) {
        desk.perform(Action::ShowBeside(other.clone()));
        shoot(&mut desk, "side-by-side")?;
        for (name, mode) in [
            ("swipe", CompareMode::Swipe(0.5)),
            ("blend", CompareMode::Blend(0.5)),
            ("difference", CompareMode::Difference),
        ] {
            desk.perform(Action::CompareSeries(mode));
            shoot(&mut desk, name)?;
        }
        desk.perform(Action::SetViewports(1));
    }
    if let Some(id) = shown {
        desk.perform(Action::ShowSeries(id));
        desk.settle()?;
    }
    for (name, scene) in practice() {
        for action in scene(&desk.state) {
            desk.perform(action);
        }
        shoot(&mut desk, name)?;
    }
    console.print(&format!("{}\n", written.join("\n")))?;
    console.print_json(&serde_json::json!(written))
}

/// A name, and what a user does to get there from the scene before.
type Scene = (&'static str, fn(&State) -> Vec<Action>);

/// Measuring, dialogs, colours and languages.
fn practice() -> [Scene; 8] {
    [
        ("measured", measured),
        ("header", |_| vec![Action::Toggle(Dialog::Tags)]),
        ("settings", |_| vec![Action::Toggle(Dialog::Settings)]),
        ("keys", |_| vec![Action::Toggle(Dialog::Keys)]),
        ("light", |_| {
            vec![
                Action::CloseDialog,
                Action::Change(Change::Theme(ThemeName::Light)),
            ]
        }),
        ("light-settings", |_| vec![Action::Toggle(Dialog::Settings)]),
        ("high-contrast", |_| {
            vec![
                Action::CloseDialog,
                Action::Change(Change::Theme(ThemeName::HighContrast)),
            ]
        }),
        ("german", |_| {
            vec![
                Action::Change(Change::Theme(ThemeName::Dark)),
                Action::Change(Change::Language(Language::German)),
            ]
        }),
    ]
}

/// One shape of each kind on the middle slice of the first CT, drawn as the mouse would.
fn measured(state: &State) -> Vec<Action> {
    let all = &state.library.series;
    let ct = all.iter().find(|series| series.modality == Modality::Ct);
    let Some(ct) = ct.or(all.first()) else {
        return Vec::new();
    };
    let [columns, rows, slices] = ct.size;
    let on = SliceRef {
        series: ct.id.clone(),
        at: SliceAt::acquired(Plane::Axial, slices / 2),
    };
    let at = |[x, y]: [f64; 2]| [x * columns as f64, y * rows as f64];
    let mut actions = vec![
        Action::ResetView,
        Action::SetPlane(Plane::Axial),
        Action::SetSlice(slices / 2),
        Action::SetWindow(Window::linear(40.0, 400.0)),
    ];
    for (tool, points) in [
        (Tool::Length, &[[0.18, 0.3], [0.44, 0.16]][..]),
        (Tool::Angle, &[[0.1, 0.9], [0.2, 0.6], [0.4, 0.85]]),
        (Tool::Rectangle, &[[0.62, 0.2], [0.74, 0.32]]),
        (Tool::Ellipse, &[[0.58, 0.5], [0.72, 0.66]]),
    ] {
        actions.push(Action::Measure(Measure::Use(tool)));
        let mut points = points.iter().map(|point| at(*point));
        if let Some(first) = points.next() {
            let begin = Measure::Begin(on.clone(), first);
            actions.push(Action::Measure(begin));
        }
        actions.extend(points.map(|point| Action::Measure(Measure::End(point))));
    }
    actions
}

fn failed(why: &str) -> Failure {
    Failure::work("gallery", why)
}

/// The window, its engine, and what it is drawn on.
struct Desk {
    state: State,
    pictures: Pictures,
    engine: Engine,
    screen: Offscreen,
}

impl Desk {
    fn new() -> Result<Self, Failure> {
        let screen = Offscreen::new(SIZE, true).map_err(|why| failed(&why))?;
        crate::theme::install(&screen.ctx);
        Ok(Self {
            state: State::default(),
            pictures: Pictures::new(Some(screen.format())),
            engine: Engine::start(DeviceChoice::Cpu, || {})?,
            screen,
        })
    }

    fn perform(&mut self, action: Action) {
        for effect in self.state.perform(action) {
            self.carry_out(effect);
        }
    }

    /// Files are read; nothing here asks for a chooser.
    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { command, kind } => {
                let job = self.engine.send(command);
                self.state.started(job, kind);
            }
            Effect::Stop(job) => self.engine.stop(job),
            _ => {}
        }
    }

    /// Waits until nothing is under way.
    fn settle(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while !self.state.jobs.is_empty() {
            if Instant::now() > deadline {
                return Err(failed("the study did not load in time"));
            }
            let Some(event) = self.engine.wait_event(Duration::from_millis(200)) else {
                continue;
            };
            for effect in self.state.apply(event) {
                self.carry_out(effect);
            }
        }
        Ok(())
    }

    /// The window after a few frames, as layout takes more than one.
    fn draw(&mut self) -> Result<image::RgbImage, Failure> {
        let Self {
            state,
            pictures,
            screen,
            ..
        } = self;
        let mut effects = Vec::new();
        for _ in 0..6 {
            screen
                .frame(Vec::new(), |ui| {
                    effects.extend(desk_ui(ui, state, pictures));
                })
                .map_err(|why| failed(&why))?;
        }
        if !effects.is_empty() {
            // A header that is shown has to be read first.
            for effect in effects {
                self.carry_out(effect);
            }
            self.settle()?;
            return self.draw();
        }
        let picture = screen.image().map_err(|why| failed(&why))?;
        Ok(image::DynamicImage::ImageRgba8(picture).into_rgb8())
    }
}
