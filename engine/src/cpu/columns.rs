//! What rows are multiplied with: the inputs of one token or of many, rounded to 16-bit levels.
//!
//! Why 16 bits and not the usual 8: the products cost the same instructions, and the rounding disappears (a level is 2^-15 of the
//! largest input of its block) instead of moving every output by about half a percent.

use pulp::NullaryFnOnce;

use super::lanes::Simd;
use crate::gpu::Format;
use crate::gpu::pack::BLOCK;

/// Columns that are multiplied together when there are more than one.
pub const GROUP: usize = 2;

/// The largest level: what 127 times it, added up over a block, still fits into 31 bits.
const LEVELS: f32 = 32767.0;

/// Inputs of one or many tokens. Their blocks lie as the kernels read them: `[group][block][column of the group][32]`.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Tokens.
    pub count: usize,
    /// Inputs of one token.
    pub k: usize,
    /// `[count, k]`, for rows in f16.
    pub values: Vec<f32>,
    /// In the order of q8's weights.
    natural: Vec<[i16; BLOCK]>,
    /// In the order in which q4's bytes give up their halves: all low halves, then all high ones.
    halves: Vec<[i16; BLOCK]>,
    /// What a level stands for, beside each block.
    scales: Vec<f32>,
}

/// What [`Columns`] are needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orders {
    /// Some rows are q8.
    pub natural: bool,
    /// Some rows are q4.
    pub halves: bool,
}

impl Orders {
    /// What rows in this format need.
    pub fn of(format: Option<Format>) -> Self {
        Self {
            natural: format == Some(Format::Q8),
            halves: format == Some(Format::Q4),
        }
    }

    /// What rows in any of these formats need.
    pub fn of_all(formats: impl Iterator<Item = Format>) -> Self {
        formats.fold(Self::of(None), |all, format| Self {
            natural: all.natural || format == Format::Q8,
            halves: all.halves || format == Format::Q4,
        })
    }
}

impl Columns {
    /// Rounds `values` `[tokens, k]` in the orders that are needed.
    pub fn new(simd: Simd, values: Vec<f32>, k: usize, orders: Orders) -> Self {
        let count = values.len() / k.max(1);
        let mut columns = Self {
            count,
            k,
            values,
            natural: Vec::new(),
            halves: Vec::new(),
            scales: Vec::new(),
        };
        if orders.natural || orders.halves {
            simd.run(Round {
                columns: &mut columns,
                orders,
            });
        }
        columns
    }

    /// Columns of a group.
    pub fn together(&self) -> usize {
        if self.count == 1 { 1 } else { GROUP }
    }

    /// Groups; the last may have columns of zeros at its end.
    pub fn groups(&self) -> usize {
        self.count.div_ceil(self.together())
    }

    fn blocks(&self) -> usize {
        self.k.div_ceil(BLOCK)
    }

    /// Levels and scales of a group, by block.
    #[inline(always)]
    pub(super) fn group<const C: usize>(
        &self,
        index: usize,
        halves: bool,
    ) -> (&[[[i16; BLOCK]; C]], &[[f32; C]]) {
        let blocks = self.blocks() * C;
        let range = index * blocks..(index + 1) * blocks;
        let levels = if halves { &self.halves } else { &self.natural };
        let levels = levels.get(range.clone()).unwrap_or_default();
        let scales = self.scales.get(range).unwrap_or_default();
        (levels.as_chunks::<C>().0, scales.as_chunks::<C>().0)
    }
}

struct Round<'a> {
    columns: &'a mut Columns,
    orders: Orders,
}

impl NullaryFnOnce for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { columns, orders } = self;
        let (blocks, together) = (columns.blocks(), columns.together());
        let all = columns.groups() * together * blocks;
        columns.scales = vec![0.0; all];
        if orders.natural {
            columns.natural = vec![[0; BLOCK]; all];
        }
        if orders.halves {
            columns.halves = vec![[0; BLOCK]; all];
        }
        for (column, values) in columns.values.chunks(columns.k.max(1)).enumerate() {
            let first = column / together * together * blocks + column % together;
            for (b, part) in values.chunks(BLOCK).enumerate() {
                let mut block = [0.0; BLOCK];
                for (to, from) in block.iter_mut().zip(part) {
                    *to = *from;
                }
                let at = first + b * together;
                let (levels, scale) = rounded(&block);
                if let Some(to) = columns.scales.get_mut(at) {
                    *to = scale;
                }
                if let Some(to) = columns.natural.get_mut(at) {
                    *to = levels;
                }
                if let Some(to) = columns.halves.get_mut(at) {
                    *to = halved(&levels);
                }
            }
        }
    }
}

/// Levels of a block, and what one stands for.
#[inline(always)]
fn rounded(block: &[f32; BLOCK]) -> ([i16; BLOCK], f32) {
    /// 1.5 * 2^23: a float of up to 2^22 added to it is rounded to a whole number, which its low bits then are.
    const ROUNDER: f32 = 12_582_912.0;
    let largest = block
        .iter()
        .fold(0.0f32, |a, x| if x.abs() > a { x.abs() } else { a });
    if largest < f32::MIN_POSITIVE * LEVELS {
        return ([0; BLOCK], 0.0);
    }
    let inverse = LEVELS / largest;
    let levels = block.map(|x| (x * inverse + ROUNDER).to_bits() as i16);
    (levels, largest / LEVELS)
}

/// Of each 8: the first 4 to the first half of the block, the last 4 to its second.
#[inline(always)]
fn halved(levels: &[i16; BLOCK]) -> [i16; BLOCK] {
    let mut halves = [0; BLOCK];
    for (u, unit) in levels.as_chunks::<8>().0.iter().enumerate() {
        for (i, level) in unit.iter().enumerate() {
            let at = i / 4 * 16 + 4 * u + i % 4;
            if let Some(to) = halves.get_mut(at) {
                *to = *level;
            }
        }
    }
    halves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_32767th_of_the_largest_and_signs_stay() {
        let mut block = [0.0; BLOCK];
        block[3] = -2.0;
        block[4] = 1.0;
        block[5] = 1e-6;
        let (levels, scale) = rounded(&block);
        assert_eq!((levels[3], levels[4], levels[5]), (-32767, 16384, 0));
        assert_eq!(scale, 2.0 / 32767.0);
    }

    #[test]
    fn a_block_of_zeros_and_of_numbers_too_small_to_divide_is_zero() {
        assert_eq!(rounded(&[0.0; BLOCK]), ([0; BLOCK], 0.0));
        assert_eq!(rounded(&[1e-40; BLOCK]), ([0; BLOCK], 0.0));
    }

    #[test]
    fn three_columns_are_two_groups_and_the_rest_is_zero() {
        let values: Vec<f32> = (1..=3 * 40).map(|i| i as f32).collect();
        let orders = Orders {
            natural: true,
            halves: true,
        };
        let columns = Columns::new(Simd::Portable, values, 40, orders);
        assert_eq!((columns.groups(), columns.together()), (2, 2));
        let (levels, scales) = columns.group::<2>(1, false);
        // Column 2, second block: 113 to 120, then padding.
        assert_eq!(levels[1][0][7], 32767);
        assert_eq!(levels[1][0][8], 0);
        assert_eq!(scales[1], [120.0 / 32767.0, 0.0]);
        let (halves, _) = columns.group::<2>(1, true);
        assert_eq!(halves[1][0][16 + 3], 32767);
    }
}
