//! Training on the model's own modules: what is trained here is what runs there.
//!
//! [`pairs`] makes pictures of paired volumes; [`autoencoder`] trains a VQGAN on them as
//! [`config`] says, with [`ssim`] as a loss and [`codebook`] as one way to learn codes; [`params`] moves parameters (AdamW,
//! gradient clipping) and writes them under the checkpoint's names; [`checkpoint`] saves a step so that a resumed run
//! gives the same weights as an uninterrupted one.

pub mod autoencoder;
pub mod checkpoint;
pub mod codebook;
pub mod config;
mod error;
pub mod pairs;
pub mod params;
pub mod ssim;

pub use error::TrainError;
