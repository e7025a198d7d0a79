//! Rows times columns, on all cores.

use std::ops::Range;

use half::f16;
use pulp::{NullaryFnOnce, cast};
use rayon::prelude::*;

use super::columns::{Columns, GROUP};
use super::lanes::{Lanes, Portable, Simd, finite};
use super::rows::Rows;
use crate::gpu::Format;
use crate::gpu::pack::BLOCK;

/// Rows of one task. Their bytes stay in the second-level cache while all columns go by.
const TASK: usize = 64;

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

// One row at a time, and the scales of its blocks apart from those of the inputs: two rows together, or products of scales laid
// beside each other, make the compiler gather numbers across vectors, which takes three times as long.
impl<L: Lanes> Multiply<'_, L> {
    /// Blocks of `B` bytes times groups of `C` columns: every unpacking of a block serves all columns of a group.
    #[inline(always)]
    fn levels<U: Unpack<B>, const B: usize, const C: usize>(mut self) {
        let (lanes, count) = (self.lanes, self.columns.count);
        let mut of_row = vec![0.0f32; self.rows.blocks()];
        let out = std::mem::take(&mut self.out);
        for group in 0..self.columns.groups() {
            let (levels, of_columns) = self.columns.group::<C>(group, U::HALVES);
            for (i, out) in out.chunks_mut(count).enumerate() {
                let (words, scales) = self.rows.row(self.from + i);
                for (to, scale) in of_row.iter_mut().zip(scales.as_chunks::<2>().0) {
                    *to = finite(f16::from_le_bytes(*scale));
                }
                let mut sums = [lanes.zero(); C];
                let words = words.as_chunks::<B>().0.iter();
                let inputs = levels.iter().zip(of_columns);
                for ((bytes, of_row), (levels, of_columns)) in words.zip(&of_row).zip(inputs) {
                    let weights = U::unpack(lanes, bytes);
                    for ((sum, levels), of_column) in sums.iter_mut().zip(levels).zip(of_columns) {
                        *sum = lanes.add(*sum, weights, levels, *of_row, *of_column);
                    }
                }
                for (to, sum) in out.iter_mut().skip(group * C).zip(sums) {
                    *to += lanes.total(sum);
                }
            }
        }
    }

    /// Rows of f16.
    #[inline(always)]
    fn halves(mut self) {
        let columns = self.columns;
        let k = columns.k.max(1);
        let out = std::mem::take(&mut self.out);
        let four = columns.values.chunks_exact(4 * k);
        let rest = four.remainder().chunks_exact(k);
        let first_of_rest = 4 * four.len();
        for (i, out) in out.chunks_mut(columns.count.max(1)).enumerate() {
            let (words, _) = self.rows.row(self.from + i);
            for (values, out) in four.clone().zip(out.chunks_mut(4)) {
                self.halves_of_row::<4>(words, values, out);
            }
            let out = out.iter_mut().skip(first_of_rest);
            for (values, out) in rest.clone().zip(out) {
                self.halves_of_row::<1>(words, values, std::slice::from_mut(out));
            }
        }
    }

    /// One row times `C` columns.
    #[inline(always)]
    fn halves_of_row<const C: usize>(&self, words: &[u8], values: &[f32], out: &mut [f32]) {
        let (lanes, k) = (self.lanes, self.columns.k.max(1));
        let (pairs, rest) = words.as_chunks::<32>();
        let mut columns: [_; C] = std::array::from_fn(|c| {
            let column = values.get(c * k..(c + 1) * k).unwrap_or_default();
            column.as_chunks::<16>().0.iter()
        });
        // Two sums of each column, so that a product does not wait for the one before it.
        let mut sums = [[lanes.zero(); 2]; C];
        for pair in pairs {
            let weights = cast::<_, [[u8; 16]; 2]>(*pair).map(|bytes| lanes.halves(&bytes));
            for (sums, column) in sums.iter_mut().zip(&mut columns) {
                let Some(x) = column.next() else {
                    break;
                };
                let x: [[f32; 8]; 2] = cast(*x);
                for ((sum, weights), x) in sums.iter_mut().zip(weights).zip(&x) {
                    *sum = lanes.add_halves(*sum, weights, x);
                }
            }
        }
        let whole = 16 * pairs.len();
        for ((to, sums), values) in out.iter_mut().zip(sums).zip(values.chunks_exact(k)) {
            let [a, b] = sums.map(|sum| lanes.total(sum));
            let rest = rest.as_chunks::<2>().0.iter();
            let rest = rest.zip(values.iter().skip(whole));
            let products = rest.map(|(half, x)| finite(f16::from_le_bytes(*half)) * x);
            *to += a + b + products.sum::<f32>();
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
