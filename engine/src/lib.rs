//! HealthGPT Workbench without the window: scans in; answers and images out.
//!
//! The tour: [`imaging`] reads scans and makes pictures of them; [`model`] is HealthGPT itself (weights, tokenizer,
//! CLIP, decoder with H-LoRA plug-ins, VQGAN); [`gpu`] is its language model as kernels, [`cpu`] the same from packed rows
//! without a GPU, and [`mod@bench`] measures both;
//! [`device`] chooses where it runs and says why; [`task`] names what it can be asked; [`session`] runs both behind commands
//! and events. [`dataset`] makes records of scans and published collections, [`training`] learns from them, [`eval`] scores a
//! model on them. This crate knows no window.

pub mod bench;
pub mod cpu;
pub mod dataset;
pub mod device;
pub mod error;
pub mod eval;
pub mod gpu;
mod hex;
pub mod imaging;
pub mod model;
pub mod session;
pub mod task;
pub mod training;

pub use dataset::DatasetError;
pub use device::{DeviceChoice, DeviceInfo, DeviceReason};
pub use error::{Error, Result};
pub use imaging::ImagingError;
pub use model::ModelError;
pub use session::Engine;
pub use task::{Capability, Task};
