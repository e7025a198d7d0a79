//! A configuration file to the run that it describes.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::average::{AverageConfig, average};
use super::config::{AutoencoderConfig, read_config, wrong};
use super::error::TrainError;
use super::new_model::NewModelConfig;
use super::stage::StageConfig;
use super::step::TrainStep;
use super::{autoencoder, language, new_model};

/// What a configuration asks for.
#[derive(Clone, Debug)]
pub enum Job {
    /// `stage = "vqgan"`: an autoencoder from paired volumes.
    Vqgan(AutoencoderConfig),
    /// `stage = "new"`: a model directory with random weights and a tokenizer of its own.
    New(NewModelConfig),
    /// `stage = "average"`: the mean of several models.
    Average(AverageConfig),
    /// `stage = "vision"`, `"base"`, `"alignment"`, `"heterogeneous"`, `"instruction"` or `"mixed"`.
    Language(StageConfig),
}

impl Job {
    /// Reads a configuration; its `stage` says which kind it is.
    ///
    /// # Errors
    /// [`TrainError::Config`].
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let table: toml::Table = read_config(path)?;
        match table.get("stage").and_then(toml::Value::as_str) {
            Some("vqgan") => AutoencoderConfig::open(path).map(Self::Vqgan),
            Some("new") => NewModelConfig::open(path).map(Self::New),
            Some("average") => AverageConfig::open(path).map(Self::Average),
            Some(_) => StageConfig::open(path).map(Self::Language),
            None => Err(wrong(
                path,
                "there is no stage; it is vqgan, new, vision, base, alignment, heterogeneous, instruction, decoder, mixed or average".to_owned(),
            )),
        }
    }

    /// Where results go.
    pub fn out(&self) -> &PathBuf {
        match self {
            Self::Vqgan(config) => &config.out,
            Self::New(config) => &config.out,
            Self::Average(config) => &config.out,
            Self::Language(config) => &config.out,
        }
    }

    /// Runs it, or goes on with it. `on_step` gets every step and may stop the run after a checkpoint.
    ///
    /// # Errors
    /// What the run reports; the last good checkpoint stays.
    pub fn run(
        &self,
        device: &Device,
        on_step: &mut dyn FnMut(&TrainStep) -> ControlFlow<()>,
    ) -> Result<(), TrainError> {
        match self {
            Self::Vqgan(config) => autoencoder::train(config, device, on_step).map(|_| ()),
            Self::New(config) => new_model::create(config, device),
            Self::Average(config) => average(config),
            Self::Language(config) => language::train(config, device, on_step).map(|_| ()),
        }
    }
}
