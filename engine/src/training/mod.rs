//! Training on the model's own modules: what is trained here is what runs there.
//!
//! [`pairs`] makes pictures of paired volumes; [`autoencoder`] trains a VQGAN on them as
//! [`config`] says; [`params`] moves parameters (AdamW,
//! gradient clipping) and writes them under the checkpoint's names; [`checkpoint`] saves a step so that a resumed run
//! gives the same weights as an uninterrupted one.

pub mod autoencoder;
pub mod checkpoint;
pub mod config;
mod error;
pub mod params;

pub use crate::dataset::pairs;
pub use error::TrainError;
