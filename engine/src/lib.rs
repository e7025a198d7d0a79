//! HealthGPT Workbench without the window: scans in; answers and images out.
//!
//! The tour: [`imaging`] turns DICOM, NIfTI, PNG and JPEG files into [`imaging::Volume`]s and pictures;
//! [`model`] is HealthGPT itself (weights, tokenizer, CLIP, decoder with H-LoRA plug-ins, VQGAN);
//! [`session`] runs both on their own threads and talks in [`session::Command`]s and [`session::Event`]s,
//! which is all that the window and the command line ever see. This crate knows no window.

pub mod error;
pub mod imaging;
pub mod model;
pub mod session;
pub mod task;

pub use error::{Error, Result};
pub use task::{Capability, Task};
