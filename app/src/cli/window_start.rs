//! Stands in for the window's own types until the window is merged.

use std::path::PathBuf;

use engine::{DeviceChoice, Task};

/// What the window opens with.
#[derive(Clone, Debug)]
pub struct WindowStart {
    /// Where the model runs.
    pub device: DeviceChoice,
    /// Files and folders to open.
    pub studies: Vec<PathBuf>,
    /// The model to load.
    pub model: Option<PathBuf>,
    /// Play this, write a picture and close.
    pub plan: Option<ScreenshotPlan>,
}

/// A run of the window that ends with a picture of it.
#[derive(Clone, Debug)]
pub struct ScreenshotPlan {
    /// Questions to ask.
    pub questions: Vec<String>,
    /// Then make this image.
    pub task: Option<Task>,
    /// Write the picture here.
    pub out: PathBuf,
    /// Give up after so long.
    pub timeout_secs: u64,
}
