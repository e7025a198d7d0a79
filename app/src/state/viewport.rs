//! One viewport: a series on its way or open, how large it is drawn and how it is turned.

use std::sync::Arc;

use engine::imaging::{Modality, Plane, SeriesInfo, ViewDescriptor, Volume};
use engine::session::Source;
use serde::{Deserialize, Serialize};

use super::chat::{Evidence, PictureRef};
use super::frames_view::FramesView;
use super::orientation::Orientation;
use super::session::KeptView;
use super::volume_view::VolumeView;

/// What a viewport shows.
#[derive(Clone, Debug, Default)]
pub enum Viewport {
    /// Nothing.
    #[default]
    Empty,
    /// A series on its way.
    Loading(Box<LoadingSeries>),
    /// A series that could not be read, and why.
    Failed(Box<SeriesInfo>, String),
    /// A series.
    Open(Box<OpenSeries>),
}

/// A series on its way.
#[derive(Clone, Debug)]
pub struct LoadingSeries {
    /// As the scan found it.
    pub series: SeriesInfo,
    /// The plane to show it in, if not the one it was acquired in.
    pub plane: Option<Plane>,
    /// Its middle slice, once there.
    pub first: Option<Arc<Volume>>,
    /// As it was looked at in a session that is restored.
    pub kept: Option<Box<KeptView>>,
}

impl Viewport {
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

    /// The open volume.
    pub fn volume(&self) -> Option<&VolumeView> {
        match &self.open()?.content {
            Content::Volume(view) => Some(view),
            Content::Frames(_) => None,
        }
    }

    /// The open volume, to change its view.
    pub fn volume_mut(&mut self) -> Option<&mut VolumeView> {
        match &mut self.open_mut()?.content {
            Content::Volume(view) => Some(view),
            Content::Frames(_) => None,
        }
    }

    /// The series that is open, on its way, or failed.
    pub fn series(&self) -> Option<&SeriesInfo> {
        match self {
            Self::Empty => None,
            Self::Loading(loading) => Some(&loading.series),
            Self::Failed(series, _) => Some(series),
            Self::Open(open) => Some(&open.series),
        }
    }

    /// Its id.
    pub fn series_id(&self) -> Option<&str> {
        self.series().map(|series| series.id.as_str())
    }

    /// Does it wait for this series?
    pub fn waits_for(&self, id: &str) -> bool {
        matches!(self, Self::Loading(loading) if loading.series.id == id)
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

/// How a series was last looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LastView {
    /// A slice of its volume.
    Slice(ViewDescriptor),
    /// A frame in colour, from 0.
    Frame(usize),
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
    /// A series as it is looked at first.
    pub fn new(series: SeriesInfo, content: Content) -> Self {
        let mut cine = Cine::default();
        if let Some(fps) = series.fps {
            cine.fps = fps.clamp(Cine::RATES[0], Cine::RATES[1]);
        }
        Self {
            series,
            content,
            camera: Camera::default(),
            orientation: Orientation::default(),
            cine,
        }
    }

    /// The slice or frame shown, from 0.
    pub fn index(&self) -> usize {
        match &self.content {
            Content::Volume(view) => view.index(),
            Content::Frames(frames) => frames.index(),
        }
    }

    /// Slices along the plane looked at, or frames.
    pub fn count(&self) -> usize {
        match &self.content {
            Content::Volume(view) => view.count(),
            Content::Frames(frames) => frames.count(),
        }
    }

    /// Shows a slice or frame; past the ends it stays at the end.
    pub fn set_index(&mut self, index: usize) {
        match &mut self.content {
            Content::Volume(view) => view.set_index(index),
            Content::Frames(frames) => frames.set_index(index),
        }
    }

    /// What lengths and angles are measured on: the volume, or the frames as one without samples.
    pub fn measured(&self) -> &Arc<Volume> {
        match &self.content {
            Content::Volume(view) => &view.volume,
            Content::Frames(frames) => frames.sheet(),
        }
    }

    /// How it is looked at.
    pub fn view(&self) -> LastView {
        match &self.content {
            Content::Volume(view) => LastView::Slice(view.descriptor()),
            Content::Frames(frames) => LastView::Frame(frames.index()),
        }
    }

    /// Looks at it so, if that is of its kind.
    pub fn show(&mut self, view: LastView) {
        match (&mut self.content, view) {
            (Content::Volume(shown), LastView::Slice(view)) => shown.show(view),
            (Content::Frames(shown), LastView::Frame(index)) => shown.set_index(index),
            (Content::Volume(_), LastView::Frame(_)) | (Content::Frames(_), LastView::Slice(_)) => {
            }
        }
    }

    /// The picture on screen, as evidence for a question.
    pub fn evidence(&self) -> Evidence {
        let (view, frame) = match &self.content {
            Content::Volume(view) => (Some(view.descriptor()), None),
            Content::Frames(frames) if frames.count() > 1 => (None, Some(frames.index())),
            Content::Frames(_) => (None, None),
        };
        let source = match &self.content {
            Content::Volume(view) => Source::Slice {
                volume: Arc::clone(&view.volume),
                view: view.descriptor(),
            },
            Content::Frames(frames) => Source::Picture(Arc::clone(frames.picture())),
        };
        Evidence {
            picture: PictureRef {
                series: self.series.id.clone(),
                series_words: self.series.description.clone(),
                view,
                frame,
            },
            source,
        }
    }

    /// The modality that tasks are checked against.
    pub fn modality(&self) -> &Modality {
        match &self.content {
            Content::Volume(view) => &view.volume.modality,
            Content::Frames(_) => &self.series.modality,
        }
    }
}

/// Voxels or pixels.
#[derive(Clone, Debug)]
pub enum Content {
    /// Grey voxels in patient space.
    Volume(VolumeView),
    /// Frames in colour; a plain picture is one.
    Frames(FramesView),
}

/// How large the picture is and where.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The same with numbers in their range.
    #[must_use]
    pub fn sound(self) -> Self {
        let finite = self.zoom.is_finite() && self.pan.iter().all(|x| x.abs() < 1e5);
        if finite {
            Self {
                zoom: self.zoom.clamp(0.1, 64.0),
                ..self
            }
        } else {
            Self::default()
        }
    }

    /// For a view in which 1 fits `1 / ratio` times as large: the same lengths on screen, as far as the zoom has no end.
    #[must_use]
    pub fn scaled(self, ratio: f32) -> Self {
        let wanted = self.zoom * ratio;
        let zoom = wanted.clamp(0.1, 64.0);
        Self {
            zoom,
            pan: self.pan.map(|points| points * zoom / wanted),
        }
    }

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
}
