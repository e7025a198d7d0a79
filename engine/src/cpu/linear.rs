//! A frozen linear layer with what a plug-in adds to it.

use super::columns::{Columns, Orders};
use super::lanes::Simd;
use super::product::{add_products, each_task, products};
use super::rows::Rows;

/// A frozen linear layer.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// `[d_out, d_in]`.
    pub rows: Rows,
    /// `[d_out]`.
    pub bias: Option<Vec<f32>>,
}

/// What a plug-in adds beside one linear layer: `scale * sum_e gate_e B_e A_e x`. Experts that are merged along the rank
/// (H-LoRA) are one A and one B; experts of their own (MoE-LoRA) are one each.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// `[experts, d_in]`; none for plain LoRA.
    pub router: Option<Rows>,
    /// `[rank, d_in]`.
    pub a: Vec<Rows>,
    /// `[d_out, rank]`.
    pub b: Vec<Rows>,
    /// `alpha / rank` of one expert.
    pub scale: f32,
}

impl Frozen {
    /// The layer's output for every column, transposed: `[d_out, columns]`.
    pub fn forward(&self, simd: Simd, low_rank: Option<&LowRank>, x: &Columns) -> Vec<f32> {
        let count = x.count;
        let inner = low_rank.map_or_else(Vec::new, |low_rank| low_rank.shrink(simd, x));
        let mut out = vec![0.0; self.rows.count * count];
        each_task(&mut out, count, &|first, out| {
            if let Some(bias) = &self.bias {
                for (out, bias) in out.chunks_mut(count).zip(bias.iter().skip(first)) {
                    out.fill(*bias);
                }
            }
            add_products(simd, &self.rows, first, x, out);
            for (b, z) in low_rank
                .iter()
                .flat_map(|low_rank| low_rank.b.iter().zip(&inner))
            {
                add_products(simd, b, first, z, out);
            }
        });
        out
    }
}

impl LowRank {
    /// `scale * gate * A x` for every expert or all together, as the columns of B.
    fn shrink(&self, simd: Simd, x: &Columns) -> Vec<Columns> {
        let gates = self.router.as_ref().map(|router| {
            let mut gates = products(simd, router, 0..router.count, x);
            softmax_columns(&mut gates, x.count);
            gates
        });
        let parts = self.a.iter().enumerate().map(|(part, a)| {
            let mut z = products(simd, a, 0..a.count, x); // [rank, columns]
            let experts = self.router.as_ref().map_or(1, |router| router.count);
            let own = (a.count * self.a.len() / experts.max(1)).max(1);
            for (row, z) in z.chunks_mut(x.count).enumerate() {
                let expert = (part * a.count + row) / own;
                let gates = gates
                    .as_ref()
                    .and_then(|gates| gates.chunks(x.count).nth(expert));
                for (column, z) in z.iter_mut().enumerate() {
                    let gate = gates.map_or(1.0, |gates| gates.get(column).copied().unwrap_or(0.0));
                    *z = *z * self.scale * gate;
                }
            }
            let format = self.b.get(part).map(|b| b.format);
            let orders = Orders::of(format);
            Columns::new(simd, transposed(&z, x.count), a.count, orders)
        });
        parts.collect()
    }
}

/// Softmax down every column of `[rows, columns]`.
fn softmax_columns(values: &mut [f32], columns: usize) {
    for column in 0..columns {
        let own = |values: &[f32]| {
            values
                .iter()
                .skip(column)
                .step_by(columns)
                .copied()
                .collect::<Vec<f32>>()
        };
        let largest = own(values).into_iter().fold(f32::NEG_INFINITY, f32::max);
        for value in values.iter_mut().skip(column).step_by(columns) {
            *value = (*value - largest).exp();
        }
        let sum: f32 = own(values).into_iter().sum();
        for value in values.iter_mut().skip(column).step_by(columns) {
            *value /= sum;
        }
    }
}

/// `[rows, columns]` as `[columns, rows]`.
pub(super) fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    use rayon::prelude::*;

    /// Columns that are filled while a stretch of every row is in the cache.
    const TILE: usize = 16;
    if columns == 1 {
        return values.to_vec();
    }
    let rows = values.len() / columns.max(1);
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut((rows * TILE).max(1))
        .enumerate()
        .for_each(|(tile, out)| {
            for (row, values) in values.chunks(columns).enumerate() {
                let values = values.iter().skip(tile * TILE);
                for (to, value) in out.iter_mut().skip(row).step_by(rows).zip(values) {
                    *to = *value;
                }
            }
        });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_changes_nothing() {
        let values: Vec<f32> = (0..3 * 37).map(|i| i as f32).collect();
        let once = transposed(&values, 37);
        assert_eq!(once[..4], [0.0, 37.0, 74.0, 1.0]);
        assert_eq!(transposed(&once, 3), values);
    }

    #[test]
    fn softmax_goes_down_each_column() {
        let mut values = vec![0.0, 5.0, 0.0, 5.0 + 3.0f32.ln()];
        softmax_columns(&mut values, 2);
        let want = [0.5, 0.25, 0.5, 0.75];
        assert!(
            values.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6),
            "{values:?}"
        );
    }
}
