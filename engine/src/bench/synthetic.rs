//! Models with random weights in any size: what is measured does not depend on what the weights say.

use std::ops::ControlFlow;

use super::hlora::plugin_bytes;
use crate::gpu::cache::{Cache, KvFormat};
use crate::gpu::packer::{Formats, Packer};
use crate::gpu::{Format, GpuError, Plan, SharedGpu};
use crate::model::config::{Architecture, LlmConfig};
use crate::model::initializer::Initializer;
use crate::model::loader::{Loader, Precision, Source};
use crate::model::manifest::{PlugInEntry, PlugInKind};

/// Sizes of a model of the Phi-3 kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Blocks.
    pub layers: usize,
    /// Width of the MLP.
    pub inner: usize,
    /// Heads, of q as of k and v.
    pub heads: usize,
    /// Rows of the vocabulary.
    pub vocabulary: usize,
}

impl Size {
    /// What llama.cpp was measured with: 42 million weights in the blocks.
    pub const TINY: Self = Self {
        hidden: 1024,
        layers: 4,
        inner: 2048,
        heads: 16,
        vocabulary: 2048,
    };
    /// Quick.
    pub const QUICK: Self = Self {
        hidden: 256,
        layers: 2,
        inner: 512,
        heads: 4,
        vocabulary: 512,
    };

    /// As a configuration.
    pub fn config(&self) -> LlmConfig {
        LlmConfig {
            architecture: Architecture::Phi3,
            vocab_size: self.vocabulary,
            hidden_size: self.hidden,
            intermediate_size: self.inner,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.heads,
            head_dim: self.hidden / self.heads,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            sliding_window: None,
            max_position_embeddings: 4096,
            tie_word_embeddings: false,
        }
    }

    /// Weights of the linear layers.
    pub fn linear_weights(&self) -> usize {
        self.layers * self.hidden * (4 * self.hidden + 3 * self.inner)
    }

    /// Bytes of a plug-in at every site of every layer.
    pub fn plugin_bytes(&self, rank: usize, experts: usize, format: Format) -> usize {
        let sites = [
            [3 * self.hidden, self.hidden],
            [self.hidden, self.hidden],
            [2 * self.inner, self.hidden],
            [self.hidden, self.inner],
        ];
        let layer = sites.map(|site| plugin_bytes(site, format, rank, experts));
        self.layers * layer.iter().sum::<usize>()
    }
}

/// Rows and columns of M3's matrices, or of smaller ones.
pub fn product_shapes(quick: bool) -> &'static [(&'static str, usize, usize)] {
    if quick {
        &[("qkv", 768, 256), ("down", 256, 1024)]
    } else {
        &[
            ("qkv", 9216, 3072),
            ("o", 3072, 3072),
            ("gate_up", 16_384, 3072),
            ("down", 3072, 8192),
        ]
    }
}

/// A plug-in's entry with this merged rank.
pub fn entry(rank: usize, experts: usize) -> PlugInEntry {
    PlugInEntry {
        name: "bench".to_owned(),
        file: "none".into(),
        fusion: None,
        alpha: 2.0 * rank as f64,
        rank,
        experts,
        kind: PlugInKind::HLora,
        vit_hidden_state: -2,
        capabilities: Vec::new(),
    }
}

/// A model with random weights, and one plug-in for each (merged rank, experts).
///
/// # Errors
/// [`GpuError::NoRoom`].
pub fn synthetic_plan(
    gpu: &SharedGpu,
    size: Size,
    formats: Formats,
    plugins: &[(usize, usize)],
    capacity: u32,
    slots: u32,
) -> Result<Plan, GpuError> {
    let config = size.config();
    let mut initializer = Initializer::new(1);
    let mut go_on = || ControlFlow::Continue(());
    let mut loader = Loader {
        source: Source::Random(&mut initializer),
        device: &gpu.burn,
        precision: Precision::F32,
        on_tensor: &mut go_on,
        stopped: false,
        made: Vec::new(),
    };
    let packer = Packer {
        gpu,
        formats,
        config: &config,
        vocabulary: (size.vocabulary, 0),
    };
    let weights = packer.weights(&mut loader)?;
    let plugins = plugins
        .iter()
        .map(|(rank, experts)| packer.plugin(&mut loader, &entry(*rank, *experts), &weights))
        .collect::<Result<_, _>>()?;
    let cache = Cache {
        kv_heads: config.num_key_value_heads as u32,
        head_dim: config.head_dim as u32,
        capacity,
        slots,
        format: KvFormat::F16,
    };
    Plan::new(SharedGpu::clone(gpu), config, weights, plugins, cache)
}
