//! Room for keys and values: sizes, storage format, and the rotations of its positions.

use super::{Gpu, GpuError};
use crate::model::config::LlmConfig;

/// How keys and values are stored. NOTE: keep in sync with `KV` in the shaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvFormat {
    /// 16 bits.
    F16 = 0,
    /// int8 with one f16 scale for a row of a head.
    Q8 = 1,
    /// As computed: to compare with the twin.
    F32 = 2,
}

/// Room for keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Heads of k, and of v.
    pub kv_heads: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// Positions of a sequence.
    pub capacity: u32,
    /// Sequences.
    pub slots: u32,
    /// How they are stored.
    pub format: KvFormat,
}

impl Cache {
    fn rows(&self) -> u32 {
        self.slots * self.kv_heads * self.capacity
    }

    /// Where values begin, in words.
    pub fn values(&self) -> u32 {
        let per_word = match self.format {
            KvFormat::F16 => 2,
            KvFormat::Q8 => 4,
            KvFormat::F32 => 1,
        };
        self.rows() * self.head_dim / per_word
    }

    /// Where scales begin, in words.
    pub fn scales(&self) -> u32 {
        2 * self.values()
    }

    /// Bytes of one layer's cache.
    pub fn bytes(&self) -> u64 {
        let scales = if self.format == KvFormat::Q8 {
            2 * u64::from(self.rows())
        } else {
            0
        };
        4 * (u64::from(self.scales()) + scales)
    }
}
/// Do the kernels cover these sizes?
///
/// # Errors
/// [`GpuError::Unsupported`].
pub fn supported(gpu: &Gpu, config: &LlmConfig, cache: &Cache) -> Result<(), GpuError> {
    let unsupported = |what: String| Err(GpuError::Unsupported { what });
    let head = config.head_dim;
    if !head.is_multiple_of(8) || head > 128 || head / 2 > 8 * gpu.tuning.lanes as usize {
        return unsupported(format!(
            "heads have {head} elements; multiples of 8 up to 128 are possible"
        ));
    }
    let limits = gpu.device.limits();
    let limit = limits
        .max_storage_buffer_binding_size
        .min(limits.max_buffer_size);
    if cache.bytes() > limit {
        return unsupported(format!(
            "{} positions of {} sequences need {} MiB of keys and values per layer, but the GPU binds {} MiB",
            cache.capacity,
            cache.slots,
            cache.bytes() >> 20,
            limit >> 20
        ));
    }
    Ok(())
}
/// Cosine and sine of `position * theta^(-2i / head_dim)`, f32 as the twin computes them: `[positions, head_dim / 2, 2]`.
pub(super) fn rotations(config: &LlmConfig, positions: u32) -> Vec<f32> {
    let half = config.head_dim / 2;
    let inverse: Vec<f32> = (0..half)
        .map(|i| 1.0 / (config.rope_theta as f32).powf((2 * i) as f32 / config.head_dim as f32))
        .collect();
    (0..positions)
        .flat_map(|position| {
            inverse.iter().flat_map(move |f| {
                let angle = position as f32 * f;
                [angle.cos(), angle.sin()]
            })
        })
        .collect()
}
