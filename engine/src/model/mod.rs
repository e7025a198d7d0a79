//! HealthGPT itself: weights, tokenizer, CLIP, decoder with H-LoRA plug-ins, VQGAN.
//!
//! The files are in the order of the pipeline: [`checkpoint`] and [`manifest`] read what the user has,
//! [`preprocess`], [`clip`] and [`projector`] make the picture's features, [`prompt`] and [`tokenizer`] the ids,
//! [`decoder`] with [`plugin`] the text or the codes, [`vqgan`] the image (`lockstep` those of several slices at once). [`HealthGpt`] runs them.

pub mod adapter;
pub mod checkpoint;
pub mod clip;
pub mod config;
pub mod convert;
pub mod decoder;
pub mod drafts;
mod error;
pub mod expected_code;
pub(crate) mod fused;
mod generate;
mod healthgpt;
mod image_codes;
pub mod initializer;
mod kv_cache;
pub mod layers;
pub mod llm;
mod llm_source;
pub mod loader;
mod lockstep;
pub mod manifest;
mod packed_file;
pub mod plugin;
pub mod preprocess;
pub mod projector;
pub mod prompt;
pub mod quality;
pub mod random;
pub mod random_model;
mod sampler;
pub mod tokenizer;
pub mod verify;
pub mod vqgan;

pub use drafts::Drafting;
pub use error::{ModelError, first_names};
pub use generate::{GenerateInput, GeneratedImage};
pub use healthgpt::{Answer, AnswerEnd, AskInput, HealthGpt, LlmChoice};
pub use kv_cache::KvCache;
pub use sampler::{Sampler, Sampling, argmax};
