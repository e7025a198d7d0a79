//! The buffers between two dispatches, allocated once.

use super::cache::{Cache, rotations};
use super::pack::units;
use super::plan::COLUMNS;
use super::sample::RING;
use super::weights::{PluginWeights, Weights};
use super::{Gpu, GpuError};
use crate::model::config::LlmConfig;

/// Work between two dispatches.
#[derive(Clone, Debug)]
pub(super) struct Activations {
    /// Residual stream `[COLUMNS, padded hidden]`.
    pub(super) x: wgpu::Buffer,
    /// Normed input of a site.
    pub(super) h: wgpu::Buffer,
    /// `[COLUMNS, heads * head_dim]`.
    pub(super) q: wgpu::Buffer,
    /// Output of attention.
    pub(super) attended: wgpu::Buffer,
    /// Output of SwiGLU.
    pub(super) inner: wgpu::Buffer,
    /// q, k and v, or gate and up, where no epilogue takes them.
    pub(super) wide: wgpu::Buffer,
    /// Low-rank products.
    pub(super) z: wgpu::Buffer,
    /// Routed low-rank states, padded `[tokens, padded rank]`: only for many tokens.
    pub(super) gates: wgpu::Buffer,
    /// Shares of attention.
    pub(super) part: wgpu::Buffer,
    /// `[COLUMNS, vocabulary]`.
    pub(super) logits: wgpu::Buffer,
    /// Image features of a prompt.
    pub(super) features: wgpu::Buffer,
    /// What the columns are.
    pub(super) columns: wgpu::Buffer,
    /// Tokens chosen.
    pub(super) ring: wgpu::Buffer,
    /// Cosine and sine by position.
    pub(super) rope: wgpu::Buffer,
    /// Bound where a kernel wants a buffer it does not write.
    pub(super) scratch: wgpu::Buffer,
}
impl Activations {
    /// All of them, empty.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub(super) fn new(
        gpu: &Gpu,
        config: &LlmConfig,
        weights: &Weights,
        plugins: &[PluginWeights],
        cache: &Cache,
        splits: u32,
    ) -> Result<Self, GpuError> {
        let most = COLUMNS.max(gpu.tuning.prefill_tokens);
        let columns = u64::from(most);
        let rows = |name: &str, width: usize| gpu.zeros(name, columns * 4 * width as u64);
        let hidden = 8 * units(config.hidden_size);
        let q = config.num_attention_heads * config.head_dim;
        let kv = config.num_key_value_heads * config.head_dim;
        let z = plugins
            .iter()
            .flat_map(|plugin| &plugin.layers)
            .flat_map(|layer| layer.values())
            .map(|low_rank| (low_rank.rank + low_rank.experts) as usize)
            .max()
            .unwrap_or(1);
        let rank = plugins
            .iter()
            .flat_map(|plugin| &plugin.layers)
            .flat_map(|layer| layer.values())
            .map(|low_rank| low_rank.rank as usize)
            .max()
            .unwrap_or(1);
        let part = config.num_attention_heads * splits as usize * (config.head_dim + 2);
        let vocabulary = plugins
            .iter()
            .filter_map(|plugin| plugin.head.as_ref())
            .map(|head| head.rows)
            .fold(weights.head.rows, usize::max);
        Ok(Self {
            x: rows("residual stream", hidden)?,
            h: rows("normed states", hidden)?,
            q: rows("queries", q)?,
            attended: rows("attention", 8 * units(q))?,
            inner: rows("MLP", 8 * units(config.intermediate_size))?,
            wide: rows(
                "projections",
                (q + 2 * kv).max(2 * config.intermediate_size),
            )?,
            z: rows("low-rank products", z)?,
            gates: rows("low-rank products", 8 * units(rank))?,
            part: gpu.zeros("attention shares", u64::from(COLUMNS) * 4 * part as u64)?,
            logits: gpu.zeros("logits", u64::from(COLUMNS) * 4 * vocabulary as u64)?,
            features: gpu.zeros("image features", 4 * hidden as u64)?,
            columns: gpu.zeros("columns", columns * 16)?,
            ring: gpu.zeros("tokens", u64::from(RING * COLUMNS) * 4)?,
            rope: gpu.floats("rotations", &rotations(config, cache.capacity))?,
            scratch: gpu.zeros("nothing", 16)?,
        })
    }
}
