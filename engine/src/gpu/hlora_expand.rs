//! Launches `hlora_expand.wgsl` (K2): the frozen layer, the routed low-rank term, and what becomes of the result.

use super::kernel::{Access, Shader};
use super::weights::{LowRank, Shard};
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "hlora_expand",
    first: "",
    source: concat!(
        include_str!("../../../shaders/hlora_expand.wgsl"),
        include_str!("../../../shaders/shared/low_rank_rows.wgsl")
    ),
    reduces: true,
    weights: true,
    bindings: &[
        (0, Access::Uniform),
        (3, Access::Read),
        (4, Access::Read),
        (5, Access::Read),
        (6, Access::Read),
        (7, Access::Read),
        (8, Access::Read),
        (9, Access::Read),
        (10, Access::Write),
        (11, Access::Write),
    ],
};

/// What becomes of y.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogue {
    /// `y[c, row0 + row]`.
    Store,
    /// Added to `y[c, row0 + row]`.
    Add,
    /// Queries rotated to y, keys rotated to the cache, values to the cache.
    Rope(Heads),
    /// `up * silu(gate)`.
    SwiGlu,
}

/// Heads of q, k and v, and their cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Elements of a head: a multiple of 8.
    pub head_dim: u32,
    /// First head of the site among those of q, k and v.
    pub head0: u32,
    /// Of q.
    pub heads: u32,
    /// Of k, and of v.
    pub kv_heads: u32,
    /// Positions in the cache.
    pub capacity: u32,
    /// Where values begin in the cache, in words.
    pub values: u32,
    /// The cache is f32 instead of f16.
    pub kv_f32: bool,
}

/// Buffers of a sequence that the rope epilogue uses; other epilogues are given them too.
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'a> {
    /// What each column is.
    pub columns: &'a wgpu::Buffer,
    /// Cosine and sine by position.
    pub rope: &'a wgpu::Buffer,
    /// The layer's cache.
    pub kv: &'a wgpu::Buffer,
}

/// One shard of a site.
#[derive(Clone, Copy, Debug)]
pub struct Expand<'a> {
    /// Rows of the frozen matrix.
    pub shard: &'a Shard,
    /// Which shard it is.
    pub index: usize,
    /// What is added, if a plug-in sits here.
    pub low_rank: Option<&'a LowRank>,
    /// What becomes of y.
    pub epilogue: Epilogue,
    /// From column to column of y.
    pub y_stride: u32,
    /// Added to the shard's place in y (sites that share one y).
    pub row0: u32,
    /// Columns, 1 to 8.
    pub columns: u32,
}

impl Expand<'_> {
    /// With `h` `[columns, padded k]` and `z` from the shrink.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatch(
        &self,
        gpu: &Gpu,
        h: &wgpu::Buffer,
        z: &wgpu::Buffer,
        sequence: Sequence<'_>,
        y: &wgpu::Buffer,
    ) -> Result<Dispatch, GpuError> {
        let shard = self.shard;
        let low_rank = self
            .low_rank
            .and_then(|low_rank| Some((low_rank, low_rank.b.get(self.index)?)));
        let (rank, experts, b_units, q8) = low_rank.map_or((0, 1, 0, false), |(low_rank, _)| {
            let units = super::pack::units(low_rank.rank as usize) as u32;
            (low_rank.rank, low_rank.experts, units, low_rank.q8)
        });
        let heads = match self.epilogue {
            Epilogue::Rope(heads) => heads,
            _ => Heads {
                head_dim: 8,
                head0: 0,
                heads: 0,
                kv_heads: 0,
                capacity: 0,
                values: 0,
                kv_f32: false,
            },
        };
        let shared = gpu.tuning.groups;
        let (epilogue, groups) = match self.epilogue {
            Epilogue::Store => (0, shard.rows.div_ceil(8)),
            Epilogue::Add => (1, shard.rows.div_ceil(8)),
            Epilogue::Rope(_) => (2, shard.rows / 8),
            Epilogue::SwiGlu => (3, (shard.rows / 2).div_ceil(4)),
        };
        let head0 = match self.epilogue {
            Epilogue::Rope(_) => heads.head0 + shard.row0 / heads.head_dim,
            _ => 0,
        };
        let sizes = gpu.sizes(&[
            shard.rows,
            shard.units,
            self.row0 + shard.row0,
            self.y_stride,
            rank,
            b_units,
            heads.head_dim,
            head0,
            heads.heads,
            heads.kv_heads,
            heads.capacity,
            heads.values,
        ])?;
        // As long as every lane has something to do.
        let b_span = match b_units / gpu.tuning.lanes {
            4.. => gpu.tuning.span,
            2.. => gpu.tuning.span.min(2),
            _ => 1,
        };
        let flag = |on: bool| f64::from(u8::from(on));
        let constants = [
            ("WG", f64::from(gpu.tuning.lanes)),
            (
                "PARTIALS",
                f64::from(8 * shared * self.columns * gpu.tuning.lanes),
            ),
            ("COLS", f64::from(self.columns)),
            ("EPILOGUE", f64::from(epilogue)),
            ("HLORA", flag(low_rank.is_some())),
            ("PLUGIN_Q8", flag(q8)),
            ("BIAS", flag(shard.bias.is_some())),
            ("KV_F32", flag(heads.kv_f32)),
            ("SPAN", f64::from(gpu.tuning.span)),
            ("GROUPS", f64::from(shared)),
            ("B_SPAN", f64::from(b_span)),
            (
                "ROUNDS",
                f64::from(b_units.div_ceil(gpu.tuning.lanes * b_span)),
            ),
            ("ROLLED", flag(gpu.one_subgroup(gpu.tuning.lanes))),
            ("EXPERTS", f64::from(experts)),
            ("PER_EXPERT", f64::from((rank / experts).max(1))),
        ];
        let (b, b_scales) = low_rank.map_or((&shard.weights, &shard.weights), |(_, b)| {
            (&b.rows, &b.scales)
        });
        let mut buffers = vec![
            (0, &sizes),
            (1, &shard.weights),
            (3, h),
            (4, z),
            (5, b),
            (6, b_scales),
            (7, shard.bias.as_ref().unwrap_or(&shard.weights)),
            (8, sequence.columns),
            (9, sequence.rope),
            (10, sequence.kv),
            (11, y),
        ];
        buffers.extend(shard.scales.as_ref().map(|scales| (2, scales)));
        Ok(gpu.dispatch(
            &SHADER,
            shard.format,
            &constants,
            &buffers,
            [groups.div_ceil(shared), 1, 1],
        ))
    }
}

/// The kernel's meaning before the epilogue: `w` `[rows, k]`, `h` `[columns, k]`, `b` `[rows, rank]`,
/// `z` `[columns, rank + experts]`, result `[columns, rows]`. Used by tests only.
pub fn reference(
    w: &[f32],
    h: &[f32],
    b: &[f32],
    z: &[f32],
    [k, rank, experts]: [usize; 3],
) -> Vec<f64> {
    let mut y = super::gemv::reference(w, h, k);
    let gates = super::hlora_gate::reference(z, rank, experts);
    for (y, gates) in y.chunks_mut(w.len() / k).zip(gates.chunks(rank)) {
        for (y, b) in y.iter_mut().zip(b.chunks(rank)) {
            *y += b
                .iter()
                .zip(gates)
                .map(|(b, g)| f64::from(*b) * g)
                .sum::<f64>();
        }
    }
    y
}
