//! One to four viewports, what links them, and which of them the user is at.
//!
//! A change in one viewport carries over to the others in [`Viewer::scrolled`], [`Viewer::windowed`] and
//! [`Viewer::moved`]: viewports of one volume always follow the crosshair, those of another only while they are linked.

use std::sync::Arc;

use engine::imaging::{Axes, Plane, Projection, Slab};
use serde::{Deserialize, Serialize};

use super::orientation::Orientation;
use super::results::CompareMode;
use super::viewport::{Content, OpenSeries, Viewport};
use super::volume_view::VolumeView;

/// The thickness of the projection that the fourth viewport begins with.
const FOURTH_SLAB_MM: f32 = 20.0;

/// The viewports.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// One to four.
    pub viewports: Vec<Viewport>,
    /// The one that keys, tools and questions are about.
    pub active: usize,
    /// Only the active one is drawn.
    pub maximised: bool,
    /// What carries over between series.
    pub links: Links,
    /// The place in the patient that all viewports of its volume show, LPS mm.
    pub crosshair: Option<[f64; 3]>,
    /// Its lines are drawn.
    pub crosshair_visible: bool,
    /// The words in the corners are drawn.
    pub corners_visible: bool,
    /// How the first two viewports are to be compared, when two series are open.
    pub compare: CompareMode,
    /// Width and height of each viewport's picture area while all are on screen, in points, once it was drawn.
    pub areas: Vec<Option<[f32; 2]>>,
}

/// What carries over from one series to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// The slice.
    pub scroll: bool,
    /// Zoom, place and orientation.
    pub zoom: bool,
    /// The window, between series of one modality.
    pub window: bool,
}

/// One of [`Links`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// [`Links::scroll`].
    Scroll,
    /// [`Links::zoom`].
    Zoom,
    /// [`Links::window`].
    Window,
}

impl Link {
    /// In the order shown.
    pub const ALL: [Self; 3] = [Self::Scroll, Self::Zoom, Self::Window];
}

impl Links {
    /// Is it on?
    pub fn get(self, link: Link) -> bool {
        match link {
            Link::Scroll => self.scroll,
            Link::Zoom => self.zoom,
            Link::Window => self.window,
        }
    }

    /// The same with one of them changed.
    pub fn toggled(mut self, link: Link) -> Self {
        let which = match link {
            Link::Scroll => &mut self.scroll,
            Link::Zoom => &mut self.zoom,
            Link::Window => &mut self.window,
        };
        *which = !*which;
        self
    }
}

impl Default for Links {
    fn default() -> Self {
        Self {
            scroll: true,
            zoom: true,
            window: true,
        }
    }
}

impl Default for Viewer {
    fn default() -> Self {
        Self {
            viewports: vec![Viewport::Empty],
            active: 0,
            maximised: false,
            links: Links::default(),
            crosshair: None,
            crosshair_visible: true,
            corners_visible: true,
            compare: CompareMode::SideBySide,
            areas: Vec::new(),
        }
    }
}

impl Viewer {
    /// The most viewports there are.
    pub const MOST: usize = 4;

    /// The active viewport.
    pub fn viewport(&self) -> &Viewport {
        const EMPTY: &Viewport = &Viewport::Empty;
        self.viewports.get(self.active).unwrap_or(EMPTY)
    }

    /// The active viewport, to change it.
    pub fn viewport_mut(&mut self) -> &mut Viewport {
        if self.viewports.is_empty() {
            self.viewports.push(Viewport::Empty);
        }
        self.active = self.active.min(self.viewports.len() - 1);
        &mut self.viewports[self.active]
    }

    /// The open series of the active viewport.
    pub fn open(&self) -> Option<&OpenSeries> {
        self.viewport().open()
    }

    /// The open series of the active viewport, to change its view.
    pub fn open_mut(&mut self) -> Option<&mut OpenSeries> {
        self.viewport_mut().open_mut()
    }

    /// The open volume of the active viewport, to change its view.
    pub fn volume_mut(&mut self) -> Option<&mut VolumeView> {
        self.viewport_mut().volume_mut()
    }

    /// The id of the series that the active viewport shows or waits for.
    pub fn series_id(&self) -> Option<&str> {
        self.viewport().series_id()
    }

    /// The viewport whose slice, zoom and orientation are on screen where the active one is.
    pub fn scene(&self) -> usize {
        if self.overlaid() { 0 } else { self.active }
    }

    /// The viewports on screen.
    pub fn shown(&self) -> Vec<usize> {
        if self.overlaid() {
            vec![0]
        } else if self.maximised {
            vec![self.active]
        } else {
            (0..self.viewports.len()).collect()
        }
    }

    /// The volume of the scene, to change its slice.
    pub fn scene_volume_mut(&mut self) -> Option<&mut VolumeView> {
        let scene = self.scene();
        self.viewports.get_mut(scene)?.volume_mut()
    }

    /// The series of the scene, to change its camera.
    pub fn scene_mut(&mut self) -> Option<&mut OpenSeries> {
        let scene = self.scene();
        self.viewports.get_mut(scene)?.open_mut()
    }

    /// Shows so many viewports. New ones show the other planes of the active volume, if it has any.
    pub fn set_count(&mut self, count: usize) {
        let count = count.clamp(1, Self::MOST);
        self.maximised = false;
        if count < self.viewports.len() {
            if self.active >= count {
                self.viewports.swap(self.active, count - 1);
                self.active = count - 1;
            }
            self.viewports.truncate(count);
        }
        while self.viewports.len() < count {
            let next = self.next_viewport();
            self.viewports.push(next);
        }
        if self.pair().is_none() {
            self.compare = CompareMode::SideBySide;
        }
    }

    /// The active volume in a plane that is not on screen yet; when all are, its projection through a slab.
    fn next_viewport(&self) -> Viewport {
        let Some(open) = self.open() else {
            return Viewport::Empty;
        };
        let Content::Volume(view) = &open.content else {
            return Viewport::Empty;
        };
        let taken = |plane: Plane| {
            self.viewports.iter().any(|viewport| {
                viewport.series_id() == Some(&open.series.id)
                    && viewport.volume().is_some_and(|other| other.plane == plane)
            })
        };
        let mut view = view.clone();
        let free = Plane::ALL
            .into_iter()
            .find(|plane| !taken(*plane) && view.check_plane(*plane).is_ok());
        match free {
            Some(plane) => {
                view.plane = plane;
                view.slab = None;
            }
            None if self.viewports.len() == 3 && view.volume.size.iter().all(|size| *size > 1) => {
                view.slab = Some(Slab {
                    projection: Projection::Maximum,
                    mm: FOURTH_SLAB_MM,
                });
            }
            None => return Viewport::Empty,
        }
        Viewport::Open(Box::new(OpenSeries {
            content: Content::Volume(view),
            ..OpenSeries::new(open.series.clone(), open.content.clone())
        }))
    }

    /// Axial, coronal and sagittal of the active volume, beside each other.
    pub fn show_planes(&mut self) {
        let Some(view) = self.volume_mut() else {
            return;
        };
        if Plane::ALL
            .into_iter()
            .any(|plane| view.check_plane(plane).is_err())
        {
            return;
        }
        view.plane = Plane::Axial;
        view.slab = None;
        let keep = std::mem::take(self.viewport_mut());
        self.viewports = vec![keep];
        self.active = 0;
        self.set_count(3);
        self.compare = CompareMode::SideBySide;
        // They meet somewhere from the first moment on.
        self.scrolled(0);
        if let Some(place) = self.crosshair {
            self.set_crosshair(place);
        }
    }

    /// The scene shows another slice: the crosshair goes along, and with it the others.
    pub fn scrolled(&mut self, steps: isize) {
        let scene = self.scene();
        let Some(view) = self.viewports.get(scene).and_then(Viewport::volume) else {
            return;
        };
        let view = view.clone();
        let grid = view.grid();
        let [x, y, _] = self
            .crosshair
            .and_then(|place| grid.at(place))
            .or_else(|| grid.at(view.middle_mm()))
            .unwrap_or_default();
        let place = grid.patient_from_grid.apply([x, y, view.index() as f64]);
        self.crosshair = Some(place);
        for (number, viewport) in self.viewports.iter_mut().enumerate() {
            let Some(other) = viewport.volume_mut() else {
                continue;
            };
            let same = Arc::ptr_eq(&other.volume, &view.volume);
            if number == scene || (!same && !self.links.scroll) || other.plane != view.plane {
                continue;
            }
            if view.volume.shares_space_with(&other.volume) {
                if let Some(index) = other.grid().slice_at(place) {
                    other.set_index(index);
                }
            } else {
                other.set_index(other.index().saturating_add_signed(steps));
            }
        }
    }

    /// All viewports that share the scene's space show this place.
    pub fn set_crosshair(&mut self, place: [f64; 3]) {
        let scene = self.viewports.get(self.scene());
        let Some(view) = scene.and_then(Viewport::volume).cloned() else {
            return;
        };
        self.crosshair = Some(place);
        for viewport in &mut self.viewports {
            if let Some(other) = viewport.volume_mut() {
                let same = Arc::ptr_eq(&other.volume, &view.volume);
                if same || (self.links.scroll && view.volume.shares_space_with(&other.volume)) {
                    other.go_to(place);
                }
            }
        }
    }

    /// Cuts all viewports of the scene's volume along other axes; each keeps its place.
    pub fn set_axes(&mut self, axes: Axes) {
        let scene = self.viewports.get(self.scene());
        let Some(view) = scene.and_then(Viewport::volume) else {
            return;
        };
        if axes != Axes::Acquired && view.check_patient_axes().is_err() {
            return;
        }
        let volume = Arc::clone(&view.volume);
        let views = self.viewports.iter_mut().filter_map(Viewport::volume_mut);
        for view in views.filter(|view| Arc::ptr_eq(&view.volume, &volume)) {
            view.set_axes(axes);
        }
        self.scrolled(0);
    }

    /// Ends every cine but the scene's: it goes on only where the user is.
    pub fn still_elsewhere(&mut self) {
        let scene = self.scene();
        let others = self.viewports.iter_mut().enumerate();
        for (_, viewport) in others.filter(|(number, _)| *number != scene) {
            if let Some(open) = viewport.open_mut() {
                open.cine.playing = false;
            }
        }
    }

    /// The active viewport has another window.
    pub fn windowed(&mut self) {
        let Some(view) = self.viewport().volume().cloned() else {
            return;
        };
        let table = matches!(view.window.function, engine::imaging::VoiFunction::Table(_));
        for viewport in &mut self.viewports {
            if let Some(other) = viewport.volume_mut() {
                let same = Arc::ptr_eq(&other.volume, &view.volume);
                let alike = other.volume.modality == view.volume.modality && !table;
                if same || (self.links.window && alike) {
                    other.window = view.window;
                    other.invert = view.invert;
                }
            }
        }
    }

    /// The scene is drawn larger, elsewhere or turned.
    pub fn moved(&mut self) {
        let scene = self.scene();
        let Some(open) = self.viewports.get(scene).and_then(Viewport::open) else {
            return;
        };
        let Content::Volume(view) = &open.content else {
            return;
        };
        let (camera, orientation) = (open.camera, open.orientation);
        let plane = view.plane;
        if !self.links.zoom {
            return;
        }
        let view = view.clone();
        for number in 0..self.viewports.len() {
            let viewport = self.viewports.get(number);
            let Some(other) = viewport.and_then(Viewport::volume) else {
                continue;
            };
            if number == scene || other.plane != plane {
                continue;
            }
            // Unless both were drawn, they are taken to be alike.
            let areas = [scene, number].map(|number| self.areas.get(number).copied().flatten());
            let [ours, theirs] = match areas {
                [Some(ours), Some(theirs)] => [ours, theirs],
                _ => [[1000.0; 2]; 2],
            };
            let ratio = fit(ours, &view, orientation) / fit(theirs, other, orientation);
            let other = self.viewports.get_mut(number);
            if let Some(other) = other.and_then(Viewport::open_mut) {
                // One millimetre is as long in both, and both are moved by as many of them.
                other.camera = camera.scaled(ratio);
                other.orientation = orientation;
            }
        }
    }
}

/// Points of the screen for one millimetre where a volume is fitted into an area of this width and height.
fn fit([width, height]: [f32; 2], view: &VolumeView, orientation: Orientation) -> f32 {
    let grid = view.grid();
    let [dx, dy, _] = grid.patient_from_grid.spacing_mm();
    let [across, along] = [grid.size[0] as f64 * dx, grid.size[1] as f64 * dy];
    let [across, along] = if orientation.swaps_sides() {
        [along, across]
    } else {
        [across, along]
    };
    let mm = |length: f64| length.max(1e-3) as f32;
    (width / mm(across)).min(height / mm(along))
}
