//! Frames in colour, which of them is shown, and what they are measured on.

use std::sync::Arc;

use engine::imaging::{Affine, Frames, Scale, Volume, Voxels};
use image::RgbImage;

/// Frames in colour and the one that is shown.
#[derive(Clone, Debug)]
pub struct FramesView {
    frames: Arc<Frames>,
    index: usize,
    sheet: Arc<Volume>,
}

impl FramesView {
    /// The first frame.
    pub fn new(frames: Arc<Frames>) -> Self {
        let sheet = Arc::new(sheet_of(&frames));
        Self {
            frames,
            index: 0,
            sheet,
        }
    }

    /// A volume without samples whose slices are the frames: lengths and angles on them are measured as on slices.
    pub fn sheet(&self) -> &Arc<Volume> {
        &self.sheet
    }

    /// The frame shown, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.frames.count()
    }

    /// Shows a frame; past the end it stays at the end.
    pub fn set_index(&mut self, index: usize) {
        self.index = index.min(self.count().saturating_sub(1));
    }

    /// All of them.
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// The frame shown.
    pub fn picture(&self) -> &Arc<RgbImage> {
        self.frames.at(self.index)
    }

    /// Bytes of all of them in memory.
    pub fn bytes(&self) -> u64 {
        let each = self.frames.iter();
        each.map(|picture| picture.as_raw().len() as u64).sum()
    }

    /// Are they the same in memory?
    pub fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.frames, &other.frames)
    }

    /// Is this picture in memory one of them?
    pub fn holds(&self, picture: &Arc<RgbImage>) -> bool {
        self.frames.iter().any(|frame| Arc::ptr_eq(frame, picture))
    }
}

fn sheet_of(frames: &Frames) -> Volume {
    let first = frames.at(0);
    let size = [first.width(), first.height()].map(|length| length as usize);
    let [across, along] = frames.spacing_mm.unwrap_or([1.0; 2]);
    let steps = [[across, 0.0, 0.0], [0.0, along, 0.0], [0.0, 0.0, 1.0]];
    Volume {
        calibrated: false,
        scale: match frames.spacing_mm {
            Some(_) => Scale::Patient,
            None => Scale::Unknown,
        },
        ..Volume::new(
            [size[0], size[1], frames.count()],
            Voxels::U8(Vec::new()),
            Affine::from_steps(steps, [0.0; 3]),
        )
    }
}
