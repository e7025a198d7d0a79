//! `train.toml`: what a VQGAN is trained on, how large it is and how its run goes.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::TrainError;
use crate::hex::sha256_hex;
use crate::model::config::VqganConfig;

/// `train.toml` of an autoencoder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderConfig {
    /// `vqgan`.
    pub stage: String,
    /// Folder of training subjects.
    pub train: PathBuf,
    /// Folder of validation subjects.
    pub val: PathBuf,
    /// Where checkpoints, the log and the result go.
    pub out: PathBuf,
    /// Sizes, as in `model.yaml`.
    pub model: ModelSizes,
    /// Does every code see its own patch alone ([`super::patchwise`])?
    #[serde(default, skip_serializing_if = "is_false")]
    pub patchwise: bool,
    /// Folder of a trained VQGAN of these sizes whose decoder this one begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder_from: Option<PathBuf>,
    /// Steps in all.
    pub steps: u64,
    /// Pictures in a step.
    pub batch: usize,
    /// Threads that they are shared out to; their number changes no result.
    pub workers: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps of linear warm-up; a cosine to a tenth follows.
    pub warmup: u64,
    /// How codes are learned.
    pub quantizer: Quantizer,
    /// Weight of the edge term.
    pub edge_weight: f64,
    /// Weight of `1 - SSIM`.
    pub ssim_weight: f64,
    /// Seed of weights, order and noise.
    pub seed: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between validations.
    pub validate_every: u64,
    /// Validation slices looked at.
    pub validate_slices: usize,
}

/// How codes are learned. Either way the result is a GumbelVQ.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Quantizer {
    /// Drawn by Gumbel softmax, as taming-transformers.
    Gumbel {
        /// Lowest temperature of the softmax.
        min_temperature: f64,
        /// Share of the run after which codes are one-hot.
        hard_from: f64,
        /// Weight of the KL term.
        kl_weight: f64,
    },
    /// The nearest code; codes follow the latents they stand for by moving averages.
    Nearest {
        /// Of the averages, in a step.
        decay: f64,
        /// Weight of the commitment term.
        commitment_weight: f64,
        /// Share of the run before which latents pass as they are: codes then begin at latents that mean something.
        quantize_from: f64,
    },
    /// The codes of a trained VQGAN stay as they are and its decoder alone goes on: pictures get better, and what was encoded or
    /// trained on its codes stays valid.
    Frozen {
        /// Folder of that VQGAN, with `model.safetensors`.
        vqgan: PathBuf,
    },
}

/// Sizes of a VQGAN.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSizes {
    /// Side of the image.
    pub resolution: usize,
    /// Groups of every norm. With as many groups as channels a norm takes every channel's brightness away: leave some in each.
    #[serde(default = "taming_groups")]
    pub num_groups: usize,
    /// Base width, a multiple of the groups.
    pub ch: usize,
    /// Width of each level over the base.
    pub ch_mult: Vec<usize>,
    /// Blocks per level.
    pub num_res_blocks: usize,
    /// Resolutions with attention.
    pub attn_resolutions: Vec<usize>,
    /// Channels of the latents.
    pub z_channels: usize,
    /// Width of a code.
    pub embed_dim: usize,
    /// Codes.
    pub n_embed: usize,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn taming_groups() -> usize {
    32
}

/// A configuration as it is written.
///
/// # Errors
/// [`TrainError::Config`].
pub fn read_config<T: DeserializeOwned>(path: &Path) -> Result<T, TrainError> {
    let text = fs::read_to_string(path).map_err(|error| wrong(path, error.to_string()))?;
    toml::from_str(&text).map_err(|error| wrong(path, error.message().to_owned()))
}

/// What is wrong with a configuration.
pub fn wrong(path: &Path, what: String) -> TrainError {
    TrainError::Config {
        what,
        path: path.to_owned(),
    }
}

impl AutoencoderConfig {
    /// Reads a configuration; its paths are relative to the file.
    ///
    /// # Errors
    /// [`TrainError::Config`].
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let wrong = |what: String| wrong(path, what);
        let mut config: Self = read_config(path)?;
        let base = path.parent().unwrap_or(Path::new("."));
        for entry in [&mut config.train, &mut config.val, &mut config.out] {
            *entry = base.join(&*entry);
        }
        if let Quantizer::Frozen { vqgan } = &mut config.quantizer {
            *vqgan = base.join(&*vqgan);
        }
        if let Some(vqgan) = &mut config.decoder_from {
            *vqgan = base.join(&*vqgan);
        }
        let model = &config.model;
        let groups = model.num_groups;
        if model.ch == 0 || groups == 0 || !model.ch.is_multiple_of(groups) {
            return Err(wrong(format!(
                "ch is not a multiple of {groups}, which group norm needs"
            )));
        }
        if config.batch == 0 || config.steps == 0 || model.n_embed < 2 || model.ch_mult.is_empty() {
            return Err(wrong(
                "batch, steps, n_embed or ch_mult is too small".to_owned(),
            ));
        }
        let factor = 1 << (model.ch_mult.len() - 1);
        if model.resolution == 0 || !model.resolution.is_multiple_of(factor) {
            return Err(wrong(format!(
                "resolution is not a multiple of {factor}, which {} levels need",
                model.ch_mult.len()
            )));
        }
        let last = model.ch * model.ch_mult.last().copied().unwrap_or(1);
        if config.patchwise && !(last / groups).is_multiple_of(2) {
            return Err(wrong(format!(
                "patchwise needs an even number of channels in each norm group; the encoder's last has {last} in {groups}"
            )));
        }
        Ok(config)
    }

    /// What makes two runs the same run, in hexadecimal.
    pub fn sha256(&self) -> String {
        // Where files lie and how often they are written changes no weight.
        let mut same = self.clone();
        (same.out, same.checkpoint_every, same.validate_slices) = (PathBuf::new(), 0, 0);
        same.workers = 1;
        let text = toml::to_string(&same).unwrap_or_default();
        sha256_hex(text.as_bytes())
    }

    /// The sizes as the model takes them.
    pub fn vqgan(&self) -> VqganConfig {
        let model = &self.model;
        VqganConfig {
            embed_dim: model.embed_dim,
            n_embed: model.n_embed,
            z_channels: model.z_channels,
            resolution: model.resolution,
            in_channels: 3,
            out_ch: 3,
            ch: model.ch,
            ch_mult: model.ch_mult.clone(),
            num_res_blocks: model.num_res_blocks,
            attn_resolutions: model.attn_resolutions.clone(),
            norm_groups: model.num_groups,
        }
    }

    /// `model.yaml` of the result.
    pub fn yaml(&self) -> String {
        let m = &self.model;
        let kl_weight = match self.quantizer {
            Quantizer::Gumbel { kl_weight, .. } => kl_weight,
            Quantizer::Nearest { .. } | Quantizer::Frozen { .. } => 0.0,
        };
        format!(
            "model:\n  target: taming.models.vqgan.GumbelVQ\n  params:\n    kl_weight: {}\n    embed_dim: {}\n    n_embed: {}\n    \
             ddconfig:\n      double_z: false\n      z_channels: {}\n      resolution: {}\n      in_channels: 3\n      out_ch: 3\n      \
             num_groups: {}\n      ch: {}\n      ch_mult: {:?}\n      num_res_blocks: {}\n      attn_resolutions: {:?}\n      dropout: 0.0\n",
            kl_weight,
            m.embed_dim,
            m.n_embed,
            m.z_channels,
            m.resolution,
            m.num_groups,
            m.ch,
            m.ch_mult,
            m.num_res_blocks,
            m.attn_resolutions
        )
    }

    /// Linear warm-up, then a cosine from the highest rate to a tenth of it.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.learning_rate * (step + 1) as f64 / self.warmup as f64;
        }
        let share =
            (step - self.warmup) as f64 / self.steps.saturating_sub(self.warmup).max(1) as f64;
        self.learning_rate * (0.55 + 0.45 * (std::f64::consts::PI * share.min(1.0)).cos())
    }

    /// From 1 to the lowest temperature, exponentially over the first 60 % of the run.
    pub fn temperature(&self, lowest: f64, step: u64) -> f64 {
        let share = (step as f64 / (0.6 * self.steps as f64)).min(1.0);
        lowest.powf(share)
    }
}
