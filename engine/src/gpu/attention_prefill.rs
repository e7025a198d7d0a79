//! Launches `attention_prefill.wgsl`: causal attention of a prompt's tokens, eight of them sharing the keys they read. Its
//! meaning is `attention_decode::reference`, query by query.

use super::cache::Cache;
use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "attention_prefill",
    first: "",
    source: include_str!("../../../shaders/attention_prefill.wgsl"),
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

/// Sizes of attention over a block of columns at consecutive positions of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct AttentionPrefill<'a> {
    /// Where keys and values are.
    pub cache: &'a Cache,
    /// Query heads.
    pub heads: u32,
    /// Keys visible besides the query's own.
    pub window: Option<u32>,
    /// From column to column of y.
    pub y_stride: u32,
    /// Columns.
    pub columns: u32,
}

impl AttentionPrefill<'_> {
    /// With `q` `[columns, heads * head_dim]`, a layer's cache and `y` `[columns, y_stride]`.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatch(
        &self,
        gpu: &Gpu,
        q: &wgpu::Buffer,
        kv: &wgpu::Buffer,
        columns: &wgpu::Buffer,
        y: &wgpu::Buffer,
    ) -> Result<Dispatch, GpuError> {
        let cache = self.cache;
        let sizes = gpu.sizes(&[
            self.heads,
            cache.kv_heads,
            cache.capacity,
            cache.values(),
            cache.scales(),
            self.window.unwrap_or(u32::MAX),
            self.columns,
            (f64::from(cache.head_dim).powf(-0.5) as f32).to_bits(),
            self.y_stride,
        ])?;
        let lanes = gpu.tuning.lanes;
        let constants = [
            ("WG", f64::from(lanes)),
            ("PARTIALS", f64::from(8 * lanes)),
            ("SCORES", f64::from(8 * lanes)),
            ("QUERY", f64::from(8 * cache.head_dim)),
            ("HEAD_DIM", f64::from(cache.head_dim)),
            ("KV", f64::from(cache.format as u8)),
        ];
        let buffers = [(0, &sizes), (1, q), (2, kv), (3, columns), (4, y)];
        let groups = [self.heads, self.columns.div_ceil(8), 1];
        Ok(gpu.dispatch(&SHADER, NO_WEIGHTS, &constants, &buffers, groups))
    }
}
