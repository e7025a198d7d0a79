//! `workbench gallery`: pictures of the window with the sample study, drawn without a display.

use std::fs;
use std::time::{Duration, Instant};

use engine::DeviceChoice;
use engine::imaging::{ColourMap, Plane, Projection, Slab, Window};
use engine::session::Engine;

use super::args::GalleryArgs;
use super::assets;
use super::console::Console;
use super::failure::Failure;
use crate::action::{Action, Effect};
use crate::app::desk_ui;
use crate::offscreen::Offscreen;
use crate::pictures::Pictures;
use crate::state::{CompareMode, State};

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
    }
    console.print(&format!("{}\n", written.join("\n")))?;
    console.print_json(&serde_json::json!(written))
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
            if let Some(effect) = self.state.apply(event) {
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
        for _ in 0..4 {
            screen
                .frame(Vec::new(), |ui| {
                    let _ = desk_ui(ui, state, pictures);
                })
                .map_err(|why| failed(&why))?;
        }
        let picture = screen.image().map_err(|why| failed(&why))?;
        Ok(image::DynamicImage::ImageRgba8(picture).into_rgb8())
    }
}
