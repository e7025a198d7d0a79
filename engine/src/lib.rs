//! HealthGPT Workbench without the window: pictures in; answers and images out.
//!
//! The tour: [`model`] is HealthGPT itself (weights, tokenizer, CLIP, decoder with H-LoRA plug-ins, VQGAN);
//! [`device`] chooses where it runs and says why; [`task`] names what it can be asked. This crate knows no window.

pub mod device;
pub mod model;
pub mod task;

pub use device::{DeviceChoice, DeviceInfo};
pub use model::ModelError;
pub use task::{Capability, Task};
