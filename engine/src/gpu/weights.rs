//! A model's weights on the GPU: frozen matrices in shards below the binding limit, and plug-ins beside them.
//! `packer` makes them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Format;

/// Rows of a matrix in one buffer.
#[derive(Clone, Debug)]
pub struct Shard {
    /// How they are stored.
    pub format: Format,
    /// `[rows, units]`.
    pub weights: wgpu::Buffer,
    /// `[rows, units / 4]`; absent in f16.
    pub scales: Option<wgpu::Buffer>,
    /// `[rows]`.
    pub bias: Option<wgpu::Buffer>,
    /// Where the first row goes in y.
    pub row0: u32,
    /// Rows.
    pub rows: u32,
    /// Units of a row.
    pub units: u32,
}

/// A matrix `[rows, k]`.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// Columns, without padding.
    pub k: usize,
    /// In order.
    pub shards: Vec<Shard>,
}

/// One shard's rows of B.
#[derive(Clone, Debug)]
pub struct LowRankRows {
    /// `[rows, units of rank]`.
    pub rows: wgpu::Buffer,
    /// f16, two per word; unused when the rows are f16.
    pub scales: wgpu::Buffer,
}

/// What a plug-in adds at one site.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// All experts together.
    pub rank: u32,
    /// Experts.
    pub experts: u32,
    /// A and B are q8 instead of f16.
    pub q8: bool,
    /// A (with the scale folded in), then the router in f16.
    pub ar: wgpu::Buffer,
    /// Scales of A; unused when A is f16.
    pub a_scales: wgpu::Buffer,
    /// The same rows as matrices, for many tokens: all of them in f16, or A in q8 and the router in f16.
    pub a_shards: Vec<Shard>,
    /// By shard of the frozen matrix.
    pub b: Vec<LowRankRows>,
}

/// A frozen layer.
#[derive(Clone, Debug)]
pub struct FrozenSite {
    /// As in the checkpoint.
    pub name: &'static str,
    /// Its weight.
    pub matrix: Matrix,
}

/// One block.
#[derive(Clone, Debug)]
pub struct LayerWeights {
    /// `[padded hidden]`.
    pub input_norm: wgpu::Buffer,
    /// One site (phi3) or three (qwen2).
    pub qkv: Vec<FrozenSite>,
    /// Output of attention.
    pub o_proj: FrozenSite,
    /// `[padded hidden]`.
    pub post_norm: wgpu::Buffer,
    /// One site (phi3) or two (qwen2).
    pub gate_up: Vec<FrozenSite>,
    /// Back to the residual stream.
    pub down_proj: FrozenSite,
}

/// The frozen model.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Embedding table, always f16.
    pub embed: Matrix,
    /// Blocks.
    pub layers: Vec<LayerWeights>,
    /// `[padded hidden]`.
    pub norm: wgpu::Buffer,
    /// The head.
    pub head: Matrix,
}

/// A plug-in.
#[derive(Clone, Debug)]
pub struct PluginWeights {
    /// By layer, by site.
    pub layers: Vec<BTreeMap<&'static str, LowRank>>,
    /// Where it replaces the base's.
    pub embed: Option<Matrix>,
    /// Where it replaces the base's.
    pub head: Option<Matrix>,
}

/// How a matrix may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// After any row.
    Rows,
    /// Between heads of so many rows.
    Heads(usize),
    /// Both halves alike: gate and up rows of one shard belong together.
    Halves,
}

impl Cut {
    /// The rows of each shard, with where its first row goes in y.
    pub fn shards(
        self,
        rows: usize,
        row_bytes: usize,
        limit: u64,
    ) -> Vec<(usize, Vec<Range<usize>>)> {
        let (rows, step, parts) = match self {
            Self::Rows => (rows, 8, 1),
            Self::Heads(head) => (rows, head, 1),
            Self::Halves => (rows / 2, 4, 2),
        };
        let fit = limit as usize / (row_bytes * parts).max(1);
        let count = (fit / step * step).max(step);
        (0..rows)
            .step_by(count)
            .map(|from| {
                let end = (from + count).min(rows);
                let ranges = (0..parts).map(|part| part * rows + from..part * rows + end);
                (from, ranges.collect())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_above_the_limit_is_cut_between_rows_heads_or_pairs() {
        // 100 rows of 10 bytes, 300 bytes at most: 24 rows are a multiple of 8 that fits.
        let starts: Vec<usize> = Cut::Rows.shards(100, 10, 300).iter().map(|s| s.0).collect();
        assert_eq!(starts, [0, 24, 48, 72, 96]);
        let heads: Vec<usize> = Cut::Heads(16)
            .shards(96, 10, 400)
            .iter()
            .map(|s| s.0)
            .collect();
        assert_eq!(heads, [0, 32, 64]);
        // Gate rows 0..50 and up rows 50..100: 12 pairs are 240 bytes.
        let halves = Cut::Halves.shards(100, 10, 250);
        assert_eq!(halves[1], (12, vec![12..24, 62..74]));
        assert_eq!(halves.last().unwrap().1, vec![48..50, 98..100]);
    }
}
