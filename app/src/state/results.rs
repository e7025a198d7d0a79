//! Generated images of this session, and how one is compared with its input.

use std::sync::Arc;

use engine::Task;
use engine::imaging::Generated;
use serde::{Deserialize, Serialize};

use super::chat::PictureRef;

/// Generated images, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// The images.
    pub items: Vec<Comparison>,
    /// How the shown one is compared.
    pub mode: CompareMode,
    /// Why the last one could not be made.
    pub failed: Option<(Task, String)>,
    /// Numbers handed out so far.
    pub made: u64,
}

/// A generated image and what it was made of.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Counts up; never given twice.
    pub number: u64,
    /// What was made.
    pub task: Task,
    /// Of which picture.
    pub picture: PictureRef,
    /// The image, marked.
    pub generated: Arc<Generated>,
}

/// How two pictures are compared: a result with its input, or two series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum CompareMode {
    /// Next to each other.
    #[default]
    SideBySide,
    /// One over the other, with a curtain at this share of the width.
    Swipe(f32),
    /// One after the other, twice a second.
    Flicker,
    /// The second over the first, as opaque as this.
    Blend(f32),
    /// What is brighter in the first and what in the second.
    Difference,
}
