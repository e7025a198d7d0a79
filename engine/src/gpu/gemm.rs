//! Launches `gemm.wgsl` or, where the adapter has matrix units, `gemm_cooperative.wgsl`: the frozen layer and the low-rank term for many
//! tokens (a prompt).

use super::kernel::{Access, Shader};
use super::weights::{LowRank, Shard};
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "gemm",
    first: "",
    source: concat!(
        include_str!("../../../shaders/gemm.wgsl"),
        include_str!("../../../shaders/shared/low_rank_rows.wgsl")
    ),
    reduces: false,
    weights: true,
    bindings: BINDINGS,
};

/// Of this kernel and of `gemm_cooperative.wgsl`.
pub(super) const BINDINGS: &[(u32, Access)] = &[
    (0, Access::Uniform),
    (3, Access::Read),
    (4, Access::Read),
    (5, Access::Read),
    (6, Access::Read),
    (7, Access::Read),
    (8, Access::Write),
];

/// Rows and tokens of a tile. NOTE: keep in sync with gemm.wgsl and gemm_cooperative.wgsl.
pub const TILE: u32 = 64;

/// One shard for many tokens.
#[derive(Clone, Copy, Debug)]
pub struct Gemm<'a> {
    /// Rows of the matrix.
    pub shard: &'a Shard,
    /// Which shard it is.
    pub index: usize,
    /// What is added, if a plug-in sits here.
    pub low_rank: Option<&'a LowRank>,
    /// First row used.
    pub from: u32,
    /// Rows used.
    pub rows: u32,
    /// Where they go in y.
    pub row0: u32,
    /// From token to token of y.
    pub y_stride: u32,
    /// Tokens.
    pub tokens: u32,
    /// Add to y.
    pub add: bool,
}

impl<'a> Gemm<'a> {
    /// All rows of a shard and nothing added, into the `[tokens, y_stride]` of its matrix.
    pub fn frozen(shard: &'a Shard, tokens: u32, y_stride: u32) -> Self {
        Self {
            shard,
            index: 0,
            low_rank: None,
            from: 0,
            rows: shard.rows,
            row0: shard.row0,
            y_stride,
            tokens,
            add: false,
        }
    }

    /// With `x` `[tokens, padded k]`, `g` `[tokens, padded rank]` and `y` `[tokens, y_stride]`.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatch(
        &self,
        gpu: &Gpu,
        x: &wgpu::Buffer,
        g: &wgpu::Buffer,
        y: &wgpu::Buffer,
    ) -> Result<Dispatch, GpuError> {
        let shard = self.shard;
        let low_rank = self
            .low_rank
            .and_then(|low_rank| Some((low_rank, low_rank.b.get(self.index)?)));
        let b_units = low_rank.map_or(0, |(low_rank, _)| {
            super::pack::units(low_rank.rank as usize) as u32
        });
        let sizes = gpu.sizes(&[
            self.tokens,
            self.rows,
            shard.units,
            self.row0,
            self.y_stride,
            b_units,
            self.from,
        ])?;
        let flag = |on: bool| f64::from(u8::from(on));
        let mut constants = vec![
            ("HLORA", flag(low_rank.is_some())),
            (
                "PLUGIN_Q8",
                flag(low_rank.is_some_and(|(low_rank, _)| low_rank.q8)),
            ),
            ("ADD", flag(self.add)),
            ("BIAS", flag(shard.bias.is_some())),
        ];
        let (b, b_scales) = low_rank.map_or((&shard.weights, &shard.weights), |(_, b)| {
            (&b.rows, &b.scales)
        });
        let mut buffers = vec![
            (0, &sizes),
            (1, &shard.weights),
            (3, x),
            (4, g),
            (5, b),
            (6, b_scales),
            (7, shard.bias.as_ref().unwrap_or(&shard.weights)),
            (8, y),
        ];
        buffers.extend(shard.scales.as_ref().map(|scales| (2, scales)));
        let groups = [self.rows.div_ceil(TILE), self.tokens.div_ceil(TILE), 1];
        let shader = match gpu.tuning.cooperative {
            Some(cooperative) => {
                constants.push(("WG", f64::from(cooperative.lanes)));
                cooperative.shader()
            }
            None => &SHADER,
        };
        Ok(gpu.dispatch(shader, shard.format, &constants, &buffers, groups))
    }
}

/// The kernel's meaning: `w` `[rows, k]`, `x` `[tokens, k]`, `b` `[rows, rank]`, `g` `[tokens, rank]`, result
/// `[tokens, rows]`. Used by tests only.
pub fn reference(w: &[f32], x: &[f32], b: &[f32], g: &[f32], k: usize, rank: usize) -> Vec<f64> {
    let frozen = super::gemv::reference(w, x, k);
    let added = super::gemv::reference(b, g, rank);
    frozen.iter().zip(added).map(|(a, b)| a + b).collect()
}
