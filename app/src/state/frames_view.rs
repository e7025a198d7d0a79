//! Frames in colour, and which of them is shown.

use std::sync::Arc;

use engine::imaging::Frames;
use image::RgbImage;

/// Frames in colour and the one that is shown.
#[derive(Clone, Debug)]
pub struct FramesView {
    frames: Arc<Frames>,
    index: usize,
}

impl FramesView {
    /// The first frame.
    pub fn new(frames: Arc<Frames>) -> Self {
        Self { frames, index: 0 }
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
