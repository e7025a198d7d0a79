//! HealthGPT itself: weights, tokenizer, CLIP, decoder with H-LoRA plug-ins, VQGAN.

mod error;
mod sampler;

pub use error::ModelError;
pub use sampler::Sampling;
