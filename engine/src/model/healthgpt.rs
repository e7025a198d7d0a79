//! A loaded model: a question to an answer, a picture to a picture.
//!
//! Task-gated hard routing: comprehension and generation each select their ViT layer, projector and plug-in, and
//! every call starts from an empty cache.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use image::RgbImage;

use super::clip::{ClipVision, hidden_state_index, pixels_tensor};
use super::config::{ClipConfig, GenerationConfig, LlmConfig, PreprocessorConfig, VqganConfig};
use super::error::ModelError;
use super::llm::{Decoding, Llm, PlugInRef, PromptPart, held};
use super::llm_source::{LlmSource, vocabulary};
use super::loader::{NamedParam, PartReader, Precision};
use super::manifest::{ModelLayout, Parts};
use super::plugin::PlugIn;
use super::preprocess::clip_pixels;
use super::prompt::{PromptPiece, neutral, pieces};
use super::sampler::Sampling;
use super::tokenizer::{StreamDecoder, Tokenizer};
use super::vqgan::{Vqgan, weights_file};
use crate::device::kernels_on;
use crate::gpu::vq_lookup::VqLookup;
use crate::gpu::{Format, GpuError};
use crate::task::Task;

/// Everything of one model, on one device.
pub struct HealthGpt {
    /// The folder and its manifest.
    pub layout: ModelLayout,
    /// Text to ids.
    pub tokenizer: Tokenizer,
    /// Vision tower.
    pub clip: ClipVision,
    /// Its sizes.
    pub clip_config: ClipConfig,
    /// Picture to pixels.
    pub preprocessor: PreprocessorConfig,
    /// Language model.
    pub llm: Llm,
    /// What ends an answer.
    pub generation: GenerationConfig,
    /// In the manifest's order.
    pub plugins: Vec<PlugIn>,
    /// Codes to image; absent in comprehension-only models.
    pub vqgan: Option<(Vqgan, VqganConfig)>,
    /// Where the tensors are.
    pub device: Device,
    /// Tensors of the files that nothing uses.
    pub unused: Vec<String>,
    /// Parameters by part (`vision tower`, `language model`, `plug-in NAME`), under the names that they have in files.
    pub params: Vec<(String, Vec<NamedParam>)>,
    /// The image encoder's last step on a GPU, made when it is first needed.
    pub(super) lookup: OnceLock<VqLookup>,
}

/// A question with its pictures.
#[derive(Clone, Debug)]
pub struct AskInput<'a> {
    /// Pictures, in order.
    pub images: &'a [RgbImage],
    /// Earlier questions and answers, oldest first.
    pub history: &'a [(&'a str, &'a str)],
    /// The question.
    pub question: &'a str,
    /// How tokens are chosen.
    pub sampling: &'a Sampling,
    /// The answer is cut after so many tokens.
    pub max_new_tokens: usize,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerEnd {
    /// The model ended it.
    Complete,
    /// The token limit cut it.
    Limit,
    /// The user stopped it.
    Stopped,
}

/// An answer and how it came about.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Its ids, the stop id included.
    pub ids: Vec<u32>,
    /// Tokens of the prompt, image features included.
    pub prompt_tokens: usize,
    /// From the call to the first token.
    pub first_token_secs: f64,
    /// Tokens per second after the first.
    pub tokens_per_sec: f64,
    /// How it ended.
    pub end: AnswerEnd,
}

impl HealthGpt {
    /// Loads a model folder. `on_progress` gets the part being read and the parts done and in all; it may cancel at
    /// every tensor.
    ///
    /// # Errors
    /// Every missing, damaged or misfitting part, by name.
    pub fn load(
        dir: &Path,
        device: &Device,
        on_progress: &mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>,
    ) -> Result<Self, ModelError> {
        Self::load_as(dir, device, LlmChoice::Auto, on_progress)
    }

    /// As [`Self::load`], with a choice of where and how the language model is held. CLIP and VQGAN are always f32.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_as(
        dir: &Path,
        device: &Device,
        choice: LlmChoice,
        on_progress: &mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>,
    ) -> Result<Self, ModelError> {
        let layout = ModelLayout::open(dir)?;
        layout.check_hashes(64 << 20)?;
        let Parts { llm, clip, vqgan } = layout.manifest.parts.clone();
        let (llm, clip) = (dir.join(llm), dir.join(clip));
        let llm_config = LlmConfig::open(&llm)?;
        let generation = GenerationConfig::open(&llm)?;
        let clip_config = ClipConfig::open(&clip)?;
        let preprocessor = PreprocessorConfig::open(&clip)?;
        if preprocessor.size != clip_config.image_size {
            return Err(ModelError::Invalid {
                what: format!(
                    "the preprocessor makes {} pixels, CLIP takes {}",
                    preprocessor.size, clip_config.image_size
                ),
            });
        }
        let vqgan = vqgan.map(|folder| dir.join(folder));
        // The image tokens belong to the vocabulary even where the image decoder's weights are absent.
        let yaml_folder = vqgan.clone().unwrap_or_else(|| dir.join("vqgan"));
        let described = vqgan.is_some() || yaml_folder.join("model.yaml").is_file();
        let vqgan_config = described
            .then(|| VqganConfig::open(&yaml_folder))
            .transpose()?;
        // 8192 is what the released models have; a folder without a description says nothing else.
        let codes = vqgan_config.as_ref().map_or(8192, |config| config.n_embed);
        let tokenizer = Tokenizer::open(&llm, codes)?;

        let mut reader = PartReader {
            device,
            on_progress,
            done: 0,
            parts: 2 + layout.manifest.plugins.len() + usize::from(vqgan.is_some()),
            unused: Vec::new(),
            made: Vec::new(),
        };
        let tower = reader.read("vision tower", Precision::F32, &[&clip], |loader| {
            ClipVision::load(loader, &clip_config)
        })?;
        let source = LlmSource {
            dir,
            llm: &llm,
            config: &llm_config,
            vit_hidden: clip_config.hidden_size,
            vocabulary: vocabulary(&tokenizer, llm_config.vocab_size)?,
            plugins: &layout.manifest.plugins,
        };
        let kernels = kernels_on(device);
        let (llm, plugins) = match (choice, kernels) {
            (LlmChoice::Auto, Some(gpu)) => source.best_plan(&mut reader, gpu)?,
            (LlmChoice::Plan(format), Some(gpu)) => source.plan(&mut reader, gpu, format)?,
            (LlmChoice::Plan(_), None) => {
                return Err(ModelError::Gpu(GpuError::Unsupported {
                    what: "there is no GPU in use".to_owned(),
                }));
            }
            (LlmChoice::Auto, None) => source.best_on_cpu(&mut reader)?,
            (LlmChoice::Packed(format), _) => source.packed(&mut reader, Some(format))?,
            (LlmChoice::Twin(precision), _) => source.twin(&mut reader, precision, precision)?,
            (LlmChoice::Training(precision), _) => {
                source.twin(&mut reader, Some(precision), Some(Precision::F32))?
            }
        };
        let autoencoder = match (vqgan, vqgan_config) {
            (Some(folder), Some(config)) => {
                let file = weights_file(&folder);
                let vqgan = reader.read("image decoder", Precision::F32, &[&file], |loader| {
                    Vqgan::load(loader, &config)
                })?;
                Some((vqgan, config))
            }
            _ => None,
        };
        let (unused, params) = (reader.unused, reader.made);
        Ok(Self {
            layout,
            tokenizer,
            clip: tower,
            clip_config,
            preprocessor,
            llm,
            generation,
            plugins,
            vqgan: autoencoder,
            device: device.clone(),
            unused,
            params,
            lookup: OnceLock::new(),
        })
    }

    /// The plug-in for a task.
    ///
    /// # Errors
    /// [`ModelError::NoCapability`].
    pub fn plugin_for(&self, task: Task) -> Result<&PlugIn, ModelError> {
        self.plugin_ref(task).map(|found| found.plugin)
    }

    pub(super) fn plugin_ref(&self, task: Task) -> Result<PlugInRef<'_>, ModelError> {
        let fits = |(_, plugin): &(usize, &PlugIn)| {
            plugin
                .entry
                .capabilities
                .iter()
                .any(|capability| capability.task == task)
        };
        self.plugins
            .iter()
            .enumerate()
            .find(fits)
            .map(|(index, plugin)| PlugInRef { index, plugin })
            .ok_or_else(|| ModelError::NoCapability {
                model: self.layout.manifest.name.clone(),
                task: task.to_string(),
            })
    }

    /// Features of one picture for a plug-in. Result `[1, patches, hidden]`.
    ///
    /// # Errors
    /// The manifest names a hidden state that the tower has not.
    pub fn features(&self, plugin: &PlugIn, image: &RgbImage) -> Result<Tensor<3>, ModelError> {
        let layer = hidden_state_index(
            plugin.entry.vit_hidden_state,
            self.clip_config.num_hidden_layers,
        )?;
        let side = self.preprocessor.size;
        let pixels = pixels_tensor(
            clip_pixels(image, &self.preprocessor),
            [side, side],
            &self.device,
        );
        let state = self.clip.hidden_state(pixels, layer);
        let [_, tokens, _] = state.dims();
        Ok(plugin.mm_projector.forward(state.narrow(1, 1, tokens - 1))) // without the class token
    }

    /// The prompt's tokens and its pictures' features.
    ///
    /// # Errors
    /// As [`Self::features`].
    pub fn prompt_parts(
        &self,
        plugin: &PlugIn,
        prompt: &[PromptPiece],
        images: &[RgbImage],
    ) -> Result<Vec<PromptPart>, ModelError> {
        let mut parts = Vec::new();
        for piece in prompt {
            match piece {
                PromptPiece::Ids(ids) if ids.is_empty() => {}
                PromptPiece::Ids(ids) => parts.push(PromptPart::Ids(ids.clone())),
                PromptPiece::Image(i) => {
                    let image = images.get(*i).ok_or_else(|| ModelError::Invalid {
                        what: "the prompt names more pictures than there are".to_owned(),
                    })?;
                    parts.push(PromptPart::Features(self.features(plugin, image)?));
                }
            }
        }
        Ok(parts)
    }

    /// Rows of the head.
    pub(super) fn vocabulary(&self) -> u32 {
        match &self.llm {
            Llm::Twin(decoder) => decoder.lm_head.dims()[0] as u32,
            Llm::Plan(plan) => held(plan).weights.head.rows as u32,
            Llm::Packed(decoder) => decoder.vocabulary() as u32,
        }
    }

    pub(super) fn check_length(&self, tokens: usize) -> Result<usize, ModelError> {
        let limit = self.llm.config().max_position_embeddings;
        if tokens >= limit {
            Err(ModelError::PromptTooLong { tokens, limit })
        } else {
            Ok(limit - tokens)
        }
    }

    /// Tokens a prompt takes, before anything is computed.
    pub(super) fn prompt_tokens(&self, prompt: &[PromptPiece]) -> usize {
        let grid = self.clip_config.image_size / self.clip_config.patch_size;
        let count = |piece: &PromptPiece| match piece {
            PromptPiece::Ids(ids) => ids.len(),
            PromptPiece::Image(_) => grid * grid,
        };
        prompt.iter().map(count).sum()
    }

    /// Answers a question. `on_text` gets whole characters as they come and may stop the answer; the text so far
    /// stands.
    ///
    /// # Errors
    /// An empty question, a prompt that does not fit, or no comprehension plug-in.
    pub fn answer(
        &self,
        input: &AskInput<'_>,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer, ModelError> {
        let started = Instant::now();
        if input.question.trim().is_empty() {
            return Err(ModelError::EmptyQuestion);
        }
        let plugin = self.plugin_ref(Task::Comprehend)?;
        let question = neutral(&self.tokenizer, input.question);
        let history: Vec<(String, &str)> = input
            .history
            .iter()
            .map(|(q, a)| (neutral(&self.tokenizer, q), *a))
            .collect();
        let history: Vec<(&str, &str)> = history.iter().map(|(q, a)| (q.as_str(), *a)).collect();
        let template = self.layout.manifest.template;
        let text = template.text(&history, &question, input.images.len(), false);
        let prompt = pieces(&self.tokenizer, &text);
        let prompt_tokens = self.prompt_tokens(&prompt);
        let room = self.check_length(prompt_tokens)?.min(input.max_new_tokens);

        let parts = self.prompt_parts(plugin.plugin, &prompt, input.images)?;
        let decoding = Decoding {
            tokens: 0..self.vocabulary(),
            sampling: input.sampling,
            penalty: self.generation.repetition_penalty,
            limit: room,
            image: None,
        };
        let mut stream = StreamDecoder::default();
        let (mut text, mut ids) = (String::new(), Vec::new());
        let mut first_token = None;
        let mut end = AnswerEnd::Limit;
        let _ = self
            .llm
            .decode(plugin, parts, &decoding, &self.device, &mut |id| {
                ids.push(id);
                let _ = first_token.get_or_insert_with(Instant::now);
                if self.generation.eos_token_ids.contains(&id) {
                    end = AnswerEnd::Complete;
                    return ControlFlow::Break(());
                }
                let piece = stream.push(&self.tokenizer, id);
                text.push_str(&piece);
                if on_text(&piece).is_break() {
                    end = AnswerEnd::Stopped;
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })?;
        let rest = stream.finish();
        text.push_str(&rest);
        let _ = on_text(&rest);
        let first = first_token.unwrap_or(started);
        let later = first.elapsed().as_secs_f64();
        Ok(Answer {
            text,
            prompt_tokens,
            first_token_secs: (first - started).as_secs_f64(),
            tokens_per_sec: if later > 0.0 {
                (ids.len().saturating_sub(1)) as f64 / later
            } else {
                0.0
            },
            ids,
            end,
        })
    }
}

/// Where and how the language model is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlmChoice {
    /// Kernels of our own where the device is a GPU; without one, packed files as they are and others as the twin.
    Auto,
    /// burn modules, with matrices in a given type or the one that their size suggests.
    Twin(Option<Precision>),
    /// burn modules with the base in this type and plug-ins, which are trained, in f32.
    Training(Precision),
    /// Kernels of our own.
    Plan(Format),
    /// On the CPU from rows in this format.
    Packed(Format),
}
