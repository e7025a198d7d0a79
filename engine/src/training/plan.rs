//! What a run will take of the memory, before anything is loaded: a refusal with numbers instead of a machine that stands still.

use serde::Serialize;

use super::error::TrainError;
use super::stage::{StageConfig, Trainable};
use crate::imaging::memory::available;
use crate::model::config::{ClipConfig, LlmConfig};
use crate::model::decoder::Sites;
use crate::model::loader::Precision;
use crate::model::manifest::{ModelLayout, PlugInEntry};
use crate::task::Task;

/// Bytes by what they are for. The first three are counted from sizes; the work of a sequence is an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryPlan {
    /// Weights that stay as they are, in the type that they are held in.
    pub frozen: u64,
    /// Weights that are trained, in f32.
    pub trained: u64,
    /// Their gradients and the two moments of AdamW.
    pub optimizer: u64,
    /// What one step keeps for its backward pass, over all workers.
    pub activations: u64,
}

impl MemoryPlan {
    /// Of a run. `precision` is the type of the frozen base.
    ///
    /// # Errors
    /// A model whose configuration cannot be read.
    pub fn new(config: &StageConfig, precision: Precision) -> Result<Self, TrainError> {
        let layout = ModelLayout::open(&config.model)?;
        let llm = LlmConfig::open(&config.model.join(&layout.manifest.parts.llm))?;
        let clip = ClipConfig::open(&config.model.join(&layout.manifest.parts.clip))?;
        let trainable = config.trainable();
        let tables = 2 * (llm.vocab_size * llm.hidden_size) as u64;
        let layers = llm.num_hidden_layers
            * Sites::new(&llm)
                .iter()
                .map(|site| site.d_out * site.d_in)
                .sum::<usize>();
        let block =
            4 * clip.hidden_size * clip.hidden_size + 2 * clip.hidden_size * clip.intermediate_size;
        let blocks = clip.num_hidden_layers + config.extra_blocks;
        let still = config.frozen_blocks.min(blocks);
        let (layers, block) = (layers as u64, block as u64);
        let (mut trained, mut frozen) = (0, 0);
        let mut count = |weights: u64, moves: bool, bytes: u64| {
            if moves {
                trained += weights;
            } else {
                frozen += weights * bytes;
            }
        };
        let base_bytes = match precision {
            Precision::F32 => 4,
            Precision::F16 => 2,
        };
        count(layers, trainable.base, base_bytes);
        count(still as u64 * block, false, 4);
        count((blocks - still) as u64 * block, trainable.vision, 4);
        count(tables, trainable.embeddings, base_bytes);
        for plugin in &layout.manifest.plugins {
            let named = config.data.iter().any(|entry| entry.plugin == plugin.name);
            let adapter = clip.hidden_size * llm.hidden_size + llm.hidden_size * llm.hidden_size;
            count(adapter as u64, named && trainable.adapter, 4);
            count(
                plugin_weights(plugin, &llm),
                named && moves(trainable, plugin),
                4,
            );
        }
        Ok(Self {
            frozen,
            trained: 4 * trained,
            optimizer: 3 * 4 * trained,
            activations: activations(config, &llm) * config.workers.min(config.batch) as u64,
        })
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.frozen + self.trained + self.optimizer + self.activations
    }

    /// Refuses a run that does not fit into what is free; where the system does not say, every run may try.
    ///
    /// # Errors
    /// [`TrainError::TooLarge`].
    pub fn check(&self) -> Result<(), TrainError> {
        match available() {
            Some(free) if self.total() > free => Err(TrainError::TooLarge { plan: *self, free }),
            _ => Ok(()),
        }
    }
}

fn moves(trainable: Trainable, plugin: &PlugInEntry) -> bool {
    let answers = plugin
        .capabilities
        .iter()
        .any(|capability| capability.task == Task::Comprehend);
    if answers {
        trainable.comprehension_plugin
    } else {
        trainable.generation_plugin
    }
}

/// A, B and the router at every site.
fn plugin_weights(plugin: &PlugInEntry, llm: &LlmConfig) -> u64 {
    let of = |d_out: usize, d_in: usize| plugin.rank * (d_in + d_out) + plugin.experts * d_in;
    let layer: usize = Sites::new(llm)
        .iter()
        .map(|site| of(site.d_out, site.d_in))
        .sum();
    (layer * llm.num_hidden_layers) as u64
}

/// Bytes that one sequence keeps: per token and layer about 12 rows of the hidden width and 6 of the MLP's, and of every head
/// three times the lower triangle of the scores.
fn activations(config: &StageConfig, llm: &LlmConfig) -> u64 {
    let tokens = config.max_tokens.min(llm.max_position_embeddings) as u64;
    let rows = tokens * (12 * llm.hidden_size + 6 * llm.intermediate_size) as u64;
    let scores = 3 * llm.num_attention_heads as u64 * tokens * tokens / 2;
    let head = 3 * tokens * llm.vocab_size as u64;
    4 * (llm.num_hidden_layers as u64 * (rows + scores) + head)
}
