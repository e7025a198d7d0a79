//! Rows times columns, on all cores.

use std::ops::Range;

use half::f16;
use pulp::NullaryFnOnce;
use rayon::prelude::*;

use super::columns::{Columns, GROUP};
use super::lanes::{Lanes, Portable, Simd, dot, finite};
use super::rows::Rows;
use crate::gpu::Format;
use crate::gpu::pack::BLOCK;

/// Rows of one task. Their bytes stay in the second-level cache while all columns go by.
const TASK: usize = 64;

/// Rows that are multiplied together.
const TILE: usize = 2;

/// The products of some rows with all columns: `[rows, columns]`.
pub fn products(simd: Simd, rows: &Rows, range: Range<usize>, columns: &Columns) -> Vec<f32> {
    let mut out = vec![0.0; range.len() * columns.count];
    each_task(&mut out, columns.count, &|first, out| {
        add_products(simd, rows, range.start + first, columns, out);
    });
    out
}

/// Calls `work` with the first row of each task and its part of `out` `[rows, columns]`, on all cores.
pub(super) fn each_task(
    out: &mut [f32],
    columns: usize,
    work: &(dyn Fn(usize, &mut [f32]) + Sync),
) {
    let columns = columns.max(1);
    let threads = rayon::current_num_threads();
    let rows = (out.len() / columns / (4 * threads)).clamp(8, TASK);
    let tasks = out.par_chunks_mut(rows * columns).enumerate();
    tasks.for_each(|(i, out)| work(i * rows, out));
}

/// Adds the products of the rows from `from` on with all columns to `out` `[rows, columns]`.
pub fn add_products(simd: Simd, rows: &Rows, from: usize, columns: &Columns, out: &mut [f32]) {
    match simd {
        Simd::Portable => Multiply {
            lanes: Portable,
            rows,
            from,
            columns,
            out,
        }
        .call(),
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2(v3) => v3.vectorize(Multiply {
            lanes: v3,
            rows,
            from,
            columns,
            out,
        }),
    }
}

struct Multiply<'a, L> {
    lanes: L,
    rows: &'a Rows,
    from: usize,
    columns: &'a Columns,
    out: &'a mut [f32],
}

impl<L: Lanes> NullaryFnOnce for Multiply<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let one = self.columns.count == 1;
        match self.rows.format {
            Format::F16 => self.halves(),
            Format::Q8 if one => self.levels::<Q8, BLOCK, 1>(),
            Format::Q8 => self.levels::<Q8, BLOCK, GROUP>(),
            Format::Q4 if one => self.levels::<Q4, { BLOCK / 2 }, 1>(),
            Format::Q4 => self.levels::<Q4, { BLOCK / 2 }, GROUP>(),
        }
    }
}

/// How the bytes of a block become its weights.
trait Unpack<const B: usize> {
    /// Are inputs read in the order of halves?
    const HALVES: bool;
    fn unpack<L: Lanes>(lanes: L, bytes: &[u8; B]) -> L::Weights;
}

struct Q8;

impl Unpack<BLOCK> for Q8 {
    const HALVES: bool = false;

    #[inline(always)]
    fn unpack<L: Lanes>(lanes: L, bytes: &[u8; BLOCK]) -> L::Weights {
        lanes.q8(bytes)
    }
}

struct Q4;

impl Unpack<{ BLOCK / 2 }> for Q4 {
    const HALVES: bool = true;

    #[inline(always)]
    fn unpack<L: Lanes>(lanes: L, bytes: &[u8; BLOCK / 2]) -> L::Weights {
        lanes.q4(bytes)
    }
}

impl<L: Lanes> Multiply<'_, L> {
    /// Blocks of `B` bytes times groups of `C` columns, `TILE` rows at a time.
    #[inline(always)]
    fn levels<U: Unpack<B>, const B: usize, const C: usize>(mut self) {
        let (from, count) = (self.from, self.columns.count);
        let blocks = self.rows.blocks();
        let mut scales = vec![[[0.0f32; C]; TILE]; blocks];
        let mut last = vec![[[0.0f32; C]; 1]; blocks];
        let out = std::mem::take(&mut self.out);
        for group in 0..self.columns.groups() {
            for (i, out) in out.chunks_mut(TILE * count).enumerate() {
                let row = from + i * TILE;
                if out.len() == TILE * count {
                    self.tile::<U, B, C, TILE>(row, group, &mut scales, out);
                } else {
                    for (j, out) in out.chunks_mut(count).enumerate() {
                        self.tile::<U, B, C, 1>(row + j, group, &mut last, out);
                    }
                }
            }
        }
    }

    /// `R` rows times one group of columns: every load of an input serves all rows, every unpacking of a block all columns.
    #[inline(always)]
    fn tile<U: Unpack<B>, const B: usize, const C: usize, const R: usize>(
        &self,
        row: usize,
        group: usize,
        scales: &mut [[[f32; C]; R]],
        out: &mut [f32],
    ) {
        let (lanes, count) = (self.lanes, self.columns.count);
        let (levels, of_columns) = self.columns.group::<C>(group, U::HALVES);
        let mut words: [&[[u8; B]]; R] = [&[]; R];
        for (r, words) in words.iter_mut().enumerate() {
            let (bytes, of_row) = self.rows.row(row + r);
            *words = bytes.as_chunks::<B>().0;
            let of_row = of_row.as_chunks::<2>().0;
            for ((to, of_row), column) in scales.iter_mut().zip(of_row).zip(of_columns) {
                let of_row = finite(f16::from_le_bytes(*of_row));
                for (to, column) in to[r].iter_mut().zip(column) {
                    *to = of_row * column;
                }
            }
        }
        let blocks = words.iter().map(|words| words.len()).min().unwrap_or(0);
        let words = words.map(|words| words.get(..blocks).unwrap_or_default());
        let mut sums = [[lanes.zero(); C]; R];
        for (b, (levels, scales)) in levels.iter().zip(&*scales).enumerate().take(blocks) {
            let mut weights = [U::unpack(lanes, &words[0][b]); R];
            for (weights, words) in weights.iter_mut().zip(&words).skip(1) {
                *weights = U::unpack(lanes, &words[b]);
            }
            for (c, levels) in levels.iter().enumerate() {
                for ((sums, weights), scales) in sums.iter_mut().zip(&weights).zip(scales) {
                    sums[c] = lanes.add(sums[c], *weights, levels, scales[c]);
                }
            }
        }
        for (out, sums) in out.chunks_mut(count).zip(sums) {
            for (to, sum) in out.iter_mut().skip(group * C).zip(sums) {
                *to += lanes.total(sum);
            }
        }
    }

    /// Rows of f16, as floats.
    #[inline(always)]
    fn halves(self) {
        let Self {
            rows,
            from,
            columns,
            out,
            ..
        } = self;
        let mut row = vec![0.0f32; rows.k];
        for (i, out) in out.chunks_mut(columns.count).enumerate() {
            let (words, _) = rows.row(from + i);
            for (to, half) in row.iter_mut().zip(words.as_chunks::<2>().0) {
                *to = finite(f16::from_le_bytes(*half));
            }
            for (to, column) in out.iter_mut().zip(columns.values.chunks(rows.k.max(1))) {
                *to += dot(&row, column);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::Orders;
    use super::*;
    use crate::model::random::Random;

    /// Every format, odd sizes, one and many columns, an outlier a thousand times as large as the rest, against a plain loop over the
    /// same rounded weights in f64.
    #[test]
    fn products_are_those_of_a_plain_loop_over_the_unpacked_rows() {
        let mut random = Random(3);
        for simd in [Simd::Portable, Simd::detect()] {
            for (format, count, k, tokens) in [
                (Format::Q8, 1, 1, 1),
                (Format::Q8, 70, 33, 1),
                (Format::Q8, 9, 96, 5),
                (Format::Q4, 70, 33, 1),
                (Format::Q4, 130, 256, 1),
                (Format::Q4, 9, 96, 6),
                (Format::F16, 70, 33, 1),
                (Format::F16, 9, 100, 3),
            ] {
                let weights: Vec<f32> = (0..count * k).map(|_| random.normal() as f32).collect();
                let mut x: Vec<f32> = (0..tokens * k).map(|_| random.normal() as f32).collect();
                x[k / 2] = 1000.0;
                let rows = Rows::packed(std::iter::once(weights.clone()), k, format);
                let orders = Orders {
                    natural: true,
                    halves: true,
                };
                let columns = Columns::new(simd, x.clone(), k, orders);
                let got = products(simd, &rows, 0..count, &columns);
                assert_eq!(got.len(), count * tokens);
                let meant = format.unpack(&format.pack(&weights, k));
                let stride = meant.len() / count;
                for row in 0..count {
                    for token in 0..tokens {
                        let (mut sum, mut size, mut levels) = (0.0f64, 0.0f64, 0.0f64);
                        let input = &x[token * k..(token + 1) * k];
                        for i in 0..k {
                            let product =
                                f64::from(meant[row * stride + i]) * f64::from(x[token * k + i]);
                            sum += product;
                            size += product.abs();
                            let block = &input[i / 32 * 32..k.min(i / 32 * 32 + 32)];
                            let largest = block.iter().fold(0.0f32, |a, b| a.max(b.abs()));
                            levels += f64::from(meant[row * stride + i].abs() * largest);
                        }
                        let difference = (f64::from(got[row * tokens + token]) - sum).abs();
                        // Half a level of each input (2^-16 of its block's largest), and f32's own rounding of a sum.
                        assert!(
                            difference <= levels / 65_534.0 + 2e-5 * size + 1e-5,
                            "{simd:?} {format:?} {count}x{k}: {difference} of {size}"
                        );
                    }
                }
            }
        }
    }
}
