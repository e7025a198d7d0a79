//! Which parts of HealthGPT a training stage changes (paper, section 4.4), and its configuration.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::config::{read_config, wrong};
use super::error::TrainError;
use crate::hex::sha256_hex;
use crate::model::config::LlmConfig;
use crate::model::loader::Precision;

/// A stage of the three-stage strategy, what comes before it, and the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before a base of one's own: its vision tower alone, by linear probes ([`super::vision`]).
    Vision,
    /// Before the paper begins: a base of one's own. Vision tower, language model, embeddings and adapters, without plug-ins.
    Base,
    /// Stage 1: the comprehension adapter alone; the generation adapter and its plug-in.
    Alignment,
    /// Stage 2: word embeddings and output head, on mixed data, with every plug-in and adapter frozen.
    Heterogeneous,
    /// Stage 3: plug-ins and adapters.
    Instruction,
    /// After everything: the image decoder alone, on codes that the model writes ([`super::picture`]).
    Decoder,
    /// The comparison: plug-ins, adapters, embeddings and head at once, on mixed data.
    Mixed,
}

/// What is changed of the model; everything else is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trainable {
    /// Vision tower.
    pub vision: bool,
    /// Language model without its embeddings.
    pub base: bool,
    /// Word embeddings and output head.
    pub embeddings: bool,
    /// Adapters (`mm_projector`).
    pub adapter: bool,
    /// LoRA, MoE-LoRA or H-LoRA of plug-ins that make images.
    pub generation_plugin: bool,
    /// The same of plug-ins that answer.
    pub comprehension_plugin: bool,
    /// Codes to pixels.
    pub image_decoder: bool,
}

impl Stage {
    /// What it changes.
    pub fn trainable(self) -> Trainable {
        let none = Trainable {
            vision: false,
            base: false,
            embeddings: false,
            adapter: false,
            generation_plugin: false,
            comprehension_plugin: false,
            image_decoder: false,
        };
        match self {
            Self::Vision => Trainable {
                vision: true,
                ..none
            },
            Self::Base => Trainable {
                vision: true,
                base: true,
                embeddings: true,
                adapter: true,
                ..none
            },
            Self::Alignment => Trainable {
                adapter: true,
                generation_plugin: true,
                ..none
            },
            Self::Heterogeneous => Trainable {
                embeddings: true,
                ..none
            },
            Self::Instruction => Trainable {
                adapter: true,
                generation_plugin: true,
                comprehension_plugin: true,
                ..none
            },
            Self::Decoder => Trainable {
                image_decoder: true,
                ..none
            },
            Self::Mixed => Trainable {
                embeddings: true,
                adapter: true,
                generation_plugin: true,
                comprehension_plugin: true,
                ..none
            },
        }
    }
}

/// How the learning rate goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// The same from the first step to the last.
    Constant,
    /// Linear warm-up, then constant (Table 7).
    WarmUp,
    /// Linear warm-up, then a cosine down to a twentieth.
    Cosine,
}

/// In which type a frozen base is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BasePrecision {
    /// As inference does: f32 up to half a billion weights, then f16.
    #[default]
    Auto,
    /// Four bytes a weight.
    F32,
    /// Two bytes a weight.
    F16,
}

/// Records for one plug-in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataEntry {
    /// A file of records in VL-Health's form.
    pub records: PathBuf,
    /// The plug-in that they train, by its name in the model's manifest.
    pub plugin: String,
    /// How often they are drawn, relative to the others.
    #[serde(default = "one")]
    pub weight: f64,
    /// A topic whose answers are drawn equally often, each with all records of the pictures that have it; pictures without such an
    /// answer are not drawn, nor those where it is yes or no while others have another answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<String>,
    /// Only records of pictures of this modality, `CT` or `MR`, are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<String>,
}

fn one() -> f64 {
    1.0
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_whole(value: &f64) -> bool {
    *value == 1.0
}

fn one_question() -> usize {
    1
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_none_of_them(blocks: &usize) -> bool {
    *blocks == 0
}

fn is_one(questions: &usize) -> bool {
    *questions == 1
}

fn one_worker() -> usize {
    1
}

/// `train.toml` of a stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// Which stage.
    pub stage: Stage,
    /// The model directory to begin with.
    pub model: PathBuf,
    /// Where checkpoints, the log and the result (`model/`) go.
    pub out: PathBuf,
    /// Seed of order, noise and dropout.
    pub seed: u64,
    /// Steps in all.
    pub steps: u64,
    /// Records in a step: the global batch.
    pub batch: usize,
    /// Learning rate of plug-ins, embeddings and base.
    pub learning_rate: f64,
    /// Learning rate of adapters.
    pub adapter_learning_rate: f64,
    /// Learning rate of a vision tower that is trained; 0 freezes it, which spares a base its tower's backward pass.
    #[serde(default)]
    pub vision_learning_rate: Option<f64>,
    /// Embeddings and so many first blocks of a vision tower that is trained stay as they are: what plug-ins read from there on does
    /// not change.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub frozen_blocks: usize,
    /// Before the first step of stage `vision`: so many blocks more behind the tower's last. They, and those that no plug-in read, begin
    /// by changing nothing. A plug-in that counts its hidden state from the end then reads behind them.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub extra_blocks: usize,
    /// In stage `vision`, beside the answers: weight of the cross-entropy of a probe that tells lesion from the rest under each patch,
    /// where records have a `lesion_mask`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub outline_weight: f64,
    /// In stage `vision`, every patch has to know an answer by itself; else the mean of all patches.
    #[serde(default, skip_serializing_if = "is_false")]
    pub each_patch_answers: bool,
    /// The share of a picture's patches that go through the tower, and through the language model where the picture is asked about,
    /// drawn anew for every picture (PatchDropout, Liu et al. 2022). In stage `vision` a quarter takes a seventh of the time; the last
    /// steps should see all of them, as a user's picture will.
    #[serde(default = "one", skip_serializing_if = "is_whole")]
    pub patch_share: f64,
    /// In stage `vision`, before the first step: added to every other channel of the position embeddings and taken from the rest. The
    /// norm after them leaves a patch's direction alone; beside a constant its brightness counts too.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub position_offset: f64,
    /// Before the first step of stage `vision` or `base`: rows of codes, in probes or in embedding and head, begin where the codebook
    /// is, so that codes that look alike are alike.
    #[serde(default, skip_serializing_if = "is_false")]
    pub begin_at_codebook: bool,
    /// In stage `decoder`: the share of the records whose codes the model writes [default: 0.7]; the others have the target's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_share: Option<f64>,
    /// How the rates go.
    pub schedule: Schedule,
    /// Steps of warm-up.
    pub warmup: u64,
    /// Of AdamW.
    #[serde(default)]
    pub weight_decay: f64,
    /// Dropout of plug-ins.
    #[serde(default)]
    pub dropout: f64,
    /// Largest global norm of the gradients.
    #[serde(default = "one")]
    pub max_norm: f64,
    /// Threads that a step's records are shared out to; their number changes no result.
    #[serde(default = "one_worker")]
    pub workers: usize,
    /// The type of the language model where it is frozen. What is trained is f32.
    #[serde(default)]
    pub base_precision: BasePrecision,
    /// Longest sequence in tokens; a longer record is refused.
    pub max_tokens: usize,
    /// Smallest share of `corruption`.
    #[serde(default)]
    pub corruption_from: f64,
    /// Codes that a picture is made of are replaced by random ones where they are the model's *input*: in each record by a share
    /// drawn from `corruption_from` to this. So the source picture decides, not the neighbour, and free-running decoding does not run away.
    #[serde(default)]
    pub corruption: f64,
    /// Targets of image tokens are spread over codes that look alike: width of the Gaussian over the codebook, in distances of a
    /// code to its nearest neighbour; 0 is the one right code. Wider makes smoother pictures.
    #[serde(default)]
    pub code_kernel: f64,
    /// So many questions about the same picture, in any order, are one conversation: the picture's tokens, most of a sequence, are
    /// computed once for all of their answers.
    #[serde(default = "one_question", skip_serializing_if = "is_one")]
    pub questions_together: usize,
    /// Are pictures moved, turned, mirrored and zoomed (input and target alike; where an answer is about a place or a size,
    /// only moved a little)?
    #[serde(default)]
    pub augment: bool,
    /// Pictures that are asked about become brighter or darker: levels from 0 to 1 to a power from `exp(-this)` to `exp(this)`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tone_jitter: f64,
    /// Leave out records that cannot be used instead of refusing the file.
    #[serde(default)]
    pub skip_bad: bool,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between validations.
    pub validate_every: u64,
    /// Validation records looked at, of each file.
    pub validate_items: usize,
    /// Validations without a better score after which the run ends early; 0 is never.
    #[serde(default)]
    pub patience: u64,
    /// What is trained on.
    pub data: Vec<DataEntry>,
    /// What is validated on, by free-running greedy decoding.
    pub validation: Vec<DataEntry>,
}

impl StageConfig {
    /// Reads a configuration; its paths are relative to the file.
    ///
    /// # Errors
    /// [`TrainError::Config`].
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let wrong = |what: String| wrong(path, what);
        let mut config: Self = read_config(path)?;
        let base = path.parent().unwrap_or(Path::new("."));
        config.model = base.join(&config.model);
        config.out = base.join(&config.out);
        for entry in config.data.iter_mut().chain(&mut config.validation) {
            entry.records = base.join(&entry.records);
            if entry.weight.is_nan() || entry.weight < 0.0 {
                return Err(wrong("a weight of data is negative".to_owned()));
            }
        }
        if config.data.iter().map(|entry| entry.weight).sum::<f64>() <= 0.0 {
            return Err(wrong("there is no data to train on".to_owned()));
        }
        if config.batch == 0 || config.steps == 0 {
            return Err(wrong("batch and steps must be at least 1".to_owned()));
        }
        let trainable = config.trainable();
        let trains_base = trainable.base || trainable.embeddings;
        if trains_base && config.base_precision == BasePrecision::F16 {
            return Err(wrong(
                "a base or embeddings that are trained cannot be held in f16".to_owned(),
            ));
        }
        if !(0.0..1.0).contains(&config.dropout) || !(0.0..=1.0).contains(&config.corruption) {
            return Err(wrong(
                "dropout and corruption are shares below 1".to_owned(),
            ));
        }
        if !(0.0..=config.corruption).contains(&config.corruption_from) {
            return Err(wrong("corruption_from is from 0 to corruption".to_owned()));
        }
        if config.stage == Stage::Vision && !config.trainable().vision {
            return Err(wrong(
                "stage vision trains the tower: its vision_learning_rate cannot be 0".to_owned(),
            ));
        }
        let moves = config.position_offset != 0.0;
        if moves && (config.stage != Stage::Vision || config.frozen_blocks > 0) {
            return Err(wrong(
                "position_offset is for stage vision without frozen_blocks".to_owned(),
            ));
        }
        let for_tower = config.extra_blocks > 0 || config.outline_weight != 0.0;
        if for_tower && config.stage != Stage::Vision {
            return Err(wrong(
                "extra_blocks and outline_weight are for stage vision".to_owned(),
            ));
        }
        if config.patch_share != 1.0 && config.stage == Stage::Decoder {
            return Err(wrong(
                "patch_share is for every stage but decoder".to_owned(),
            ));
        }
        if !(0.01..=1.0).contains(&config.patch_share) {
            return Err(wrong("patch_share is from 0.01 to 1".to_owned()));
        }
        if !(0.0..=100.0).contains(&config.outline_weight)
            || !(0.0..=2.0).contains(&config.tone_jitter)
        {
            return Err(wrong(
                "outline_weight is from 0 to 100, tone_jitter from 0 to 2".to_owned(),
            ));
        }
        if config.begin_at_codebook && !matches!(config.stage, Stage::Vision | Stage::Base) {
            return Err(wrong(
                "begin_at_codebook is for the stages vision and base".to_owned(),
            ));
        }
        if let Some(share) = config.written_share {
            if config.stage != Stage::Decoder {
                return Err(wrong("written_share is for stage decoder".to_owned()));
            }
            if !(0.0..=1.0).contains(&share) {
                return Err(wrong("written_share is from 0 to 1".to_owned()));
            }
        }
        if config.questions_together == 0 {
            return Err(wrong("questions_together is at least 1".to_owned()));
        }
        if !(0.0..=10.0).contains(&config.code_kernel) {
            return Err(wrong("code_kernel is from 0 to 10".to_owned()));
        }
        Ok(config)
    }

    /// What the run changes.
    pub fn trainable(&self) -> Trainable {
        let of = self.stage.trainable();
        let frozen = self.vision_learning_rate == Some(0.0);
        Trainable {
            vision: of.vision && !frozen,
            ..of
        }
    }

    /// The highest learning rate of a parameter, by its name.
    pub fn highest_rate(&self, name: &str) -> f64 {
        if name.contains("/mm_projector.") {
            self.adapter_learning_rate
        } else if name.starts_with("vision tower/") {
            self.vision_learning_rate.unwrap_or(self.learning_rate)
        } else {
            self.learning_rate
        }
    }

    /// What makes two runs the same run, in hexadecimal.
    pub fn sha256(&self) -> String {
        // Where files lie and how often they are written changes no weight.
        let mut same = self.clone();
        (same.out, same.checkpoint_every, same.validate_items) = (PathBuf::new(), 0, 0);
        same.workers = 1;
        let text = toml::to_string(&same).unwrap_or_default();
        sha256_hex(text.as_bytes())
    }

    /// The type of the language model's weights.
    pub fn precision(&self, llm: &LlmConfig, device: &Device) -> Precision {
        let trainable = self.trainable();
        match self.base_precision {
            _ if trainable.base || trainable.embeddings => Precision::F32,
            BasePrecision::Auto => Precision::for_model(llm, device),
            BasePrecision::F32 => Precision::F32,
            BasePrecision::F16 => Precision::F16,
        }
    }

    /// The share of the learning rates at a step.
    pub fn rate(&self, step: u64) -> f64 {
        let warm = if self.schedule == Schedule::Constant || step >= self.warmup {
            1.0
        } else {
            (step + 1) as f64 / self.warmup as f64
        };
        if self.schedule != Schedule::Cosine {
            return warm;
        }
        let after = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let share = (step.saturating_sub(self.warmup) as f64 / after).min(1.0);
        warm * (0.525 + 0.475 * (std::f64::consts::PI * share).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 4.4 and Table 7, read as data.
    #[test]
    fn each_stage_changes_what_the_paper_says() {
        let of = |stage: Stage| {
            let t = stage.trainable();
            [
                t.vision,
                t.base,
                t.embeddings,
                t.adapter,
                t.generation_plugin,
                t.comprehension_plugin,
                t.image_decoder,
            ]
        };
        let named = |parts: [u8; 7]| parts.map(|part| part == 1);
        assert_eq!(of(Stage::Alignment), named([0, 0, 0, 1, 1, 0, 0]));
        assert_eq!(of(Stage::Heterogeneous), named([0, 0, 1, 0, 0, 0, 0]));
        assert_eq!(of(Stage::Instruction), named([0, 0, 0, 1, 1, 1, 0]));
        assert_eq!(of(Stage::Mixed), named([0, 0, 1, 1, 1, 1, 0]));
        assert_eq!(of(Stage::Base), named([1, 1, 1, 1, 0, 0, 0]));
        assert_eq!(of(Stage::Decoder), named([0, 0, 0, 0, 0, 0, 1]));
    }
}
