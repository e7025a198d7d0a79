//! The open series: which slice, in which grey levels, how large.

use std::sync::Arc;

use engine::imaging::{CT_PRESETS, Modality, Plane, SeriesInfo, ViewDescriptor, Volume, Window};
use image::RgbImage;

use super::chat::{Evidence, PictureRef};
use super::orientation::Orientation;
use crate::strings::words;
use engine::session::Source;

/// What is open.
#[derive(Clone, Debug, Default)]
pub enum Viewer {
    /// Nothing.
    #[default]
    Empty,
    /// A series on its way.
    Loading(Box<SeriesInfo>),
    /// A series that could not be read, and why.
    Failed(Box<SeriesInfo>, String),
    /// A series.
    Open(Box<OpenSeries>),
}

impl Viewer {
    /// The open series.
    pub fn open(&self) -> Option<&OpenSeries> {
        match self {
            Self::Open(open) => Some(open),
            _ => None,
        }
    }

    /// The open series, to change its view.
    pub fn open_mut(&mut self) -> Option<&mut OpenSeries> {
        match self {
            Self::Open(open) => Some(open),
            _ => None,
        }
    }

    /// The open volume, to change its view.
    pub fn volume_mut(&mut self) -> Option<&mut VolumeView> {
        match self.open_mut() {
            Some(OpenSeries {
                content: Content::Volume(view),
                ..
            }) => Some(view),
            _ => None,
        }
    }

    /// The id of the series that is open, on its way, or failed.
    pub fn series_id(&self) -> Option<&str> {
        match self {
            Self::Empty => None,
            Self::Loading(series) | Self::Failed(series, _) => Some(&series.id),
            Self::Open(open) => Some(&open.series.id),
        }
    }
}

/// A series in memory and how it is looked at.
#[derive(Clone, Debug)]
pub struct OpenSeries {
    /// As the scan found it.
    pub series: SeriesInfo,
    /// Its voxels or pixels.
    pub content: Content,
    /// How large and where.
    pub camera: Camera,
    /// How it is turned on screen.
    pub orientation: Orientation,
    /// Slices that are shown one after the other.
    pub cine: Cine,
}

/// Slices shown one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cine {
    /// Under way.
    pub playing: bool,
    /// Slices a second.
    pub fps: f32,
}

impl Cine {
    /// The fewest and the most slices a second.
    pub const RATES: [f32; 2] = [1.0, 60.0];
}

impl Default for Cine {
    fn default() -> Self {
        Self {
            playing: false,
            fps: 10.0,
        }
    }
}

impl OpenSeries {
    /// The picture on screen, as evidence for a question.
    pub fn evidence(&self) -> Evidence {
        let view = match &self.content {
            Content::Volume(view) => Some(view.descriptor()),
            Content::Picture(_) => None,
        };
        let source = match &self.content {
            Content::Volume(view) => Source::Slice {
                volume: Arc::clone(&view.volume),
                view: view.descriptor(),
            },
            Content::Picture(image) => Source::Picture(Arc::clone(image)),
        };
        Evidence {
            picture: PictureRef {
                series: self.series.id.clone(),
                series_words: self.series.description.clone(),
                view,
            },
            source,
        }
    }

    /// The modality that tasks are checked against.
    pub fn modality(&self) -> &Modality {
        match &self.content {
            Content::Volume(view) => &view.volume.modality,
            Content::Picture(_) => &self.series.modality,
        }
    }
}

/// Voxels or pixels.
#[derive(Clone, Debug)]
pub enum Content {
    /// Grey voxels in patient space.
    Volume(VolumeView),
    /// A plain picture.
    Picture(Arc<RgbImage>),
}

/// How large the picture is and where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// 1 fits the view.
    pub zoom: f32,
    /// From the middle of the view to the middle of the picture, in points.
    pub pan: [f32; 2],
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            zoom: 1.0,
            pan: [0.0; 2],
        }
    }
}

impl Camera {
    /// Enlarges by `factor`; the point `about` (from the middle of the view) stays where it is.
    pub fn zoom_about(&mut self, factor: f32, about: [f32; 2]) {
        let zoom = (self.zoom * factor).clamp(0.1, 64.0);
        let factor = zoom / self.zoom;
        self.zoom = zoom;
        for (pan, about) in self.pan.iter_mut().zip(about) {
            *pan = about - (about - *pan) * factor;
        }
    }
}

/// A volume and the slice of it that is shown.
#[derive(Clone, Debug)]
pub struct VolumeView {
    /// The voxels.
    pub volume: Arc<Volume>,
    /// The plane looked at.
    pub plane: Plane,
    /// The slice shown in each plane, as in [`Plane::ALL`].
    indices: [usize; 3],
    /// Grey levels.
    pub window: Window,
    /// Black and white exchanged.
    pub invert: bool,
    /// From the percentiles of all samples.
    automatic: Window,
}

impl VolumeView {
    /// The middle slice of the plane it was acquired in, with the file's window or the automatic one.
    pub fn new(volume: Arc<Volume>) -> Self {
        let automatic = volume.automatic_window();
        let first = volume.windows.first();
        Self {
            plane: volume.acquired_plane(),
            indices: Plane::ALL.map(|plane| volume.slice_count(plane) / 2),
            window: first.map_or(automatic, |named| named.window),
            invert: false,
            automatic,
            volume,
        }
    }

    /// The slice shown, from 0.
    pub fn index(&self) -> usize {
        let [axial, coronal, sagittal] = self.indices;
        match self.plane {
            Plane::Axial => axial,
            Plane::Coronal => coronal,
            Plane::Sagittal => sagittal,
        }
    }

    /// Slices along the plane looked at.
    pub fn count(&self) -> usize {
        self.volume.slice_count(self.plane)
    }

    /// Shows a slice; past the ends it stays at the end.
    pub fn set_index(&mut self, index: usize) {
        let index = index.min(self.count().saturating_sub(1));
        let [axial, coronal, sagittal] = &mut self.indices;
        *match self.plane {
            Plane::Axial => axial,
            Plane::Coronal => coronal,
            Plane::Sagittal => sagittal,
        } = index;
    }

    /// What is looked at: enough to draw it again.
    pub fn descriptor(&self) -> ViewDescriptor {
        ViewDescriptor {
            plane: self.plane,
            index: self.index(),
            window: self.window,
            invert: self.invert,
        }
    }

    /// Shows exactly this.
    pub fn show(&mut self, view: ViewDescriptor) {
        self.plane = view.plane;
        self.set_index(view.index);
        self.window = view.window;
        self.invert = view.invert;
    }

    /// Goes back to the first window.
    pub fn reset_window(&mut self) {
        let first = self.volume.windows.first();
        self.window = first.map_or(self.automatic, |named| named.window);
        self.invert = false;
    }

    /// Why a plane cannot be looked at.
    ///
    /// # Errors
    /// The reason, for a disabled button.
    pub fn check_plane(&self, plane: Plane) -> Result<(), &'static str> {
        if self.volume.slice_size(plane).contains(&1) {
            Err("the series is a single slice, so there is no other plane to cut")
        } else {
            Ok(())
        }
    }

    /// The windows on offer: automatic, the file's own, then those of CT. The first ten have number keys.
    pub fn presets(&self) -> Vec<Preset> {
        let automatic = Preset {
            key: Some(0),
            name: "Automatic".to_owned(),
            window: self.automatic,
        };
        let own = self.volume.windows.iter().enumerate();
        let own = own.map(|(i, named)| Preset {
            key: [Some(1), Some(2)].get(i).copied().flatten(),
            name: if named.name.is_empty() {
                format!("File {}", i + 1)
            } else {
                named.name.clone()
            },
            window: named.window,
        });
        let ct = CT_PRESETS.iter().zip(3..);
        let ct =
            ct.filter(|_| self.volume.modality == Modality::Ct)
                .map(|((name, window), key)| Preset {
                    key: Some(key),
                    name: (*name).to_owned(),
                    window: *window,
                });
        std::iter::once(automatic).chain(own).chain(ct).collect()
    }
}

/// A window on offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// Its number key.
    pub key: Option<u8>,
    /// Its name in the menu.
    pub name: String,
    /// The window.
    pub window: Window,
}

/// What a plane is called within a sentence.
pub fn plane_words(plane: Plane) -> &'static str {
    match plane {
        Plane::Axial => words().plane_axial,
        Plane::Coronal => words().plane_coronal,
        Plane::Sagittal => words().plane_sagittal,
    }
}

/// `C 40 W 400`.
pub fn window_words(window: Window) -> String {
    let number = |x: f32| {
        if x.abs() >= 10.0 || x.fract() == 0.0 {
            format!("{x:.0}")
        } else {
            format!("{x:.2}")
        }
    };
    format!("C {} W {}", number(window.center), number(window.width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_under_the_pointer_stays_when_zooming() {
        let mut camera = Camera {
            zoom: 1.5,
            pan: [20.0, -10.0],
        };
        let about = [80.0, 40.0];
        // Where the pointer is in the picture, in units of the fitted picture.
        let at =
            |camera: &Camera| [0, 1].map(|axis| (about[axis] - camera.pan[axis]) / camera.zoom);
        let before = at(&camera);
        camera.zoom_about(2.0, about);
        let after = at(&camera);
        assert_eq!(camera.zoom, 3.0);
        assert!((before[0] - after[0]).abs() < 1e-4 && (before[1] - after[1]).abs() < 1e-4);
    }

    #[test]
    fn zoom_has_limits() {
        let mut camera = Camera::default();
        camera.zoom_about(1e9, [0.0; 2]);
        assert_eq!(camera.zoom, 64.0);
        camera.zoom_about(1e-9, [0.0; 2]);
        assert_eq!(camera.zoom, 0.1);
    }

    #[test]
    fn a_window_is_said_in_few_digits() {
        let window = |center, width| window_words(Window::linear(center, width));
        assert_eq!(window(40.0, 400.0), "C 40 W 400");
        assert_eq!(window(-445.5, 1109.0), "C -446 W 1109");
        assert_eq!(window(0.25, 0.5), "C 0.25 W 0.50");
    }
}
