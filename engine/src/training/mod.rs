//! Training on the model's own modules: what is trained here is what runs there.
//!
//! [`autoencoder`] trains a VQGAN on pictures that [`pairs`] makes of paired volumes, as [`config`] says, with [`ssim`] as a loss
//! and [`codebook`] as one way to learn codes; [`patchwise`] keeps its encoder local. [`language`] trains the rest on records, drawn by `source`: [`stage`] says what a stage changes,
//! [`examples`] makes sequences of records, [`learner`] is what is differentiated, [`vision`] trains a tower
//! alone, [`validation`] decodes freely, [`new_model`]
//! begins a model of one's own and [`model_dir`] writes the result. [`params`] moves parameters (AdamW, gradient clipping) and
//! writes them under the checkpoint's names; [`checkpoint`] saves a step so that a resumed run gives the same weights as an
//! uninterrupted one; [`experiment`] runs the paper's comparisons, [`job`] tells the kinds of runs apart, [`workers`] shares a step out
//! among threads, [`plan`] says before a run what it takes.

pub mod augment;
pub mod autoencoder;
pub mod average;
pub mod checkpoint;
mod code_rows;
pub mod codebook;
pub mod config;
mod error;
pub mod examples;
pub mod experiment;
pub mod job;
pub mod language;
pub mod learner;
mod look_back;
pub mod model_dir;
pub mod new_model;
pub mod params;
pub mod patchwise;
pub mod picture;
pub mod plan;
mod soft_codes;
mod source;
pub mod ssim;
pub mod stage;
pub mod step;
pub mod validation;
pub mod vision;
mod vocabulary;
pub mod workers;

pub use crate::dataset::pairs;
pub use error::TrainError;
