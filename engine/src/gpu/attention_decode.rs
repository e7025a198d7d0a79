//! Launches `attention_decode.wgsl`: shares of keys for each query head, joined by `attention_combine`.

use super::cache::Cache;
use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "attention_decode",
    first: "",
    source: include_str!("../../../shaders/attention_decode.wgsl"),
    reduces: true,
    weights: false,
    bindings: &[
        (0, Access::Uniform),
        (1, Access::Read),
        (2, Access::Read),
        (3, Access::Read),
        (4, Access::Write),
    ],
};

/// Sizes of attention.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Where keys and values are.
    pub cache: &'a Cache,
    /// Query heads.
    pub heads: u32,
    /// Keys visible besides the query's own.
    pub window: Option<u32>,
    /// Shares of the keys.
    pub splits: u32,
    /// Columns.
    pub columns: u32,
}

/// Keys in a share, at least: fewer are not worth a workgroup.
const LEAST: u32 = 32;

impl Attention<'_> {
    /// With `q` `[columns, heads * head_dim]`, a layer's cache and `part` `[columns, heads, splits, head_dim + 2]`.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatch(
        &self,
        gpu: &Gpu,
        q: &wgpu::Buffer,
        kv: &wgpu::Buffer,
        columns: &wgpu::Buffer,
        part: &wgpu::Buffer,
    ) -> Result<Dispatch, GpuError> {
        let cache = self.cache;
        let sizes = gpu.sizes(&[
            self.heads,
            cache.kv_heads,
            cache.capacity,
            cache.values(),
            cache.scales(),
            self.window.unwrap_or(u32::MAX),
            LEAST,
            (f64::from(cache.head_dim).powf(-0.5) as f32).to_bits(),
        ])?;
        let constants = [
            ("WG", f64::from(gpu.tuning.lanes)),
            ("PARTIALS", f64::from(gpu.tuning.lanes)),
            ("HEAD_DIM", f64::from(cache.head_dim)),
            ("KV", f64::from(cache.format as u8)),
        ];
        let buffers = [(0, &sizes), (1, q), (2, kv), (3, columns), (4, part)];
        let groups = [self.heads, self.splits, self.columns];
        Ok(gpu.dispatch(&SHADER, NO_WEIGHTS, &constants, &buffers, groups))
    }
}

/// Attention of one query over `keys` and `values` `[keys, head_dim]`, all of them visible. Used by tests only.
pub fn reference(q: &[f32], keys: &[f32], values: &[f32]) -> Vec<f64> {
    let scale = (q.len() as f64).powf(-0.5);
    let scores: Vec<f64> = super::gemv::reference(keys, q, q.len())
        .into_iter()
        .map(|score| score * scale)
        .collect();
    let top = scores.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut y = vec![0.0; q.len()];
    for (weight, value) in weights.iter().zip(values.chunks(q.len())) {
        for (y, value) in y.iter_mut().zip(value) {
            *y += weight / total * f64::from(*value);
        }
    }
    y
}
