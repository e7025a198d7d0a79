//! Weight formats and how rows are packed for the kernels.
//!
//! A row is padded with zeros to a multiple of 32 weights and cut into units of 8: 16 bytes in f16, 8 in q8, 4 in q4. Scales
//! (one f16 for 32 weights) lie in a buffer of their own, so that a unit is one aligned load.

use half::f16;

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// 16 bits a weight.
    F16,
    /// Blocks of 32 int8 with one f16 scale: 8.5 bits.
    Q8,
    /// Blocks of 32 four-bit numbers with one f16 scale: 4.5 bits.
    Q4,
}

/// Weights that share a scale.
pub const BLOCK: usize = 32;

/// Rows in a format's layout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed {
    /// Units of 8 weights.
    pub words: Vec<u32>,
    /// One for 32 weights; empty for f16. On the GPU two per word ([`pairs`]).
    pub scales: Vec<f16>,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F16, Self::Q8, Self::Q4];

    /// `f16`, `q8`, `q4`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// The part of a shader that reads a unit of this format.
    pub fn shader_text(self) -> &'static str {
        match self {
            Self::F16 => include_str!("../../../shaders/shared/weights_f16.wgsl"),
            Self::Q8 => include_str!("../../../shaders/shared/weights_q8.wgsl"),
            Self::Q4 => include_str!("../../../shaders/shared/weights_q4.wgsl"),
        }
    }

    /// 32-bit words of a unit of 8 weights.
    pub fn words_per_unit(self) -> usize {
        match self {
            Self::F16 => 4,
            Self::Q8 => 2,
            Self::Q4 => 1,
        }
    }

    /// Bytes of a row of `k` weights, scales included.
    pub fn row_bytes(self, k: usize) -> usize {
        let units = units(k);
        let scales = if self == Self::F16 { 0 } else { units / 4 * 2 };
        units * self.words_per_unit() * 4 + scales
    }

    /// Packs whole rows of `k` weights, one after the other.
    pub fn pack(self, values: &[f32], k: usize) -> Packed {
        let mut packed = Packed::default();
        let mut block = [0.0; BLOCK];
        for row in values.chunks(k.max(1)) {
            for part in row.chunks(BLOCK) {
                block.fill(0.0);
                for (to, from) in block.iter_mut().zip(part) {
                    *to = *from;
                }
                self.pack_block(&block, &mut packed);
            }
        }
        packed
    }

    fn pack_block(self, block: &[f32; BLOCK], packed: &mut Packed) {
        let Packed { words, scales } = packed;
        match self {
            Self::F16 => words.extend(pairs(&block.map(f16::from_f32))),
            Self::Q8 => {
                let largest = block.iter().fold(0.0f32, |a, x| a.max(x.abs()));
                let (scale, inverse) = scale(largest / 127.0);
                scales.push(scale);
                let level = |x: &f32| (x * inverse).round().clamp(-127.0, 127.0) as i8 as u8;
                words.extend(
                    block
                        .as_chunks::<4>()
                        .0
                        .iter()
                        .map(|four| u32::from_le_bytes(four.each_ref().map(level))),
                );
            }
            Self::Q4 => {
                // The weight of largest magnitude becomes -8, the one level that has no counterpart.
                let extreme = block
                    .iter()
                    .fold(0.0f32, |a, x| if x.abs() > a.abs() { *x } else { a });
                let (scale, inverse) = scale(extreme / -8.0);
                scales.push(scale);
                let level = |x: f32| ((x * inverse).round() + 8.0).clamp(0.0, 15.0) as u32;
                for [a, b, c, d, e, f, g, h] in block.as_chunks::<8>().0 {
                    let low = [*a, *b, *c, *d];
                    let high = [*e, *f, *g, *h];
                    let mut word = 0;
                    for (i, (low, high)) in low.into_iter().zip(high).enumerate() {
                        word |= (level(low) | level(high) << 4) << (8 * i);
                    }
                    words.push(word);
                }
            }
        }
    }

    /// The weights that packed rows stand for, padding included. Tests and the CPU path use it.
    pub fn unpack(self, packed: &Packed) -> Vec<f32> {
        let scale = |block: usize| packed.scales.get(block).map_or(0.0, |scale| scale.to_f32());
        let mut values = Vec::new();
        for (unit, words) in packed.words.chunks(self.words_per_unit()).enumerate() {
            match self {
                Self::F16 => values.extend(words.iter().flat_map(|word| {
                    [*word as u16, (word >> 16) as u16].map(|bits| f16::from_bits(bits).to_f32())
                })),
                Self::Q8 => values.extend(words.iter().flat_map(|word| {
                    word.to_le_bytes()
                        .map(|level| f32::from(level as i8) * scale(unit / 4))
                })),
                Self::Q4 => {
                    let level = |word: u32, shift: usize| {
                        (f32::from(((word >> shift) & 15) as u8) - 8.0) * scale(unit / 4)
                    };
                    for word in words {
                        values.extend((0..4).map(|i| level(*word, 8 * i)));
                        values.extend((0..4).map(|i| level(*word, 8 * i + 4)));
                    }
                }
            }
        }
        values
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| format!("'{text}' is not f16, q8 or q4"))
    }
}

/// Units of 8 weights of a padded row.
pub fn units(k: usize) -> usize {
    k.div_ceil(BLOCK) * (BLOCK / 8)
}

/// A scale as it is stored, and what to multiply with so that the rounding of the scale is made up for.
fn scale(value: f32) -> (f16, f32) {
    let stored = f16::from_f32(value);
    let inverse = if stored == f16::ZERO {
        0.0
    } else {
        1.0 / stored.to_f32()
    };
    (stored, inverse)
}

/// Two halves per word, the earlier one low.
pub fn pairs(halves: &[f16]) -> Vec<u32> {
    halves
        .chunks(2)
        .map(|pair| {
            let bits = |i: usize| pair.get(i).map_or(0, |half| u32::from(half.to_bits()));
            bits(0) | bits(1) << 16
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q8_stands_for_the_weights_to_half_a_level() {
        let values: Vec<f32> = (0..40).map(|i| (i as f32 - 20.0) / 10.0).collect();
        let back = Format::Q8.unpack(&Format::Q8.pack(&values, 40));
        assert_eq!(back.len(), 64); // one row of 40, padded
        for (i, value) in values.iter().enumerate() {
            // Largest magnitude 2.0 in the first block: a level is 2 / 127.
            assert!(
                (back[i] - value).abs() <= 1.01 / 127.0,
                "{i}: {} {value}",
                back[i]
            );
        }
        assert!(back[40..].iter().all(|x| *x == 0.0));
    }

    #[test]
    fn q4_keeps_the_extreme_and_is_within_half_a_level_inside() {
        let values: Vec<f32> = (0..32).map(|i| i as f32 / 31.0 * 1.5 - 1.0).collect(); // -1.0 to 0.5
        let back = Format::Q4.unpack(&Format::Q4.pack(&values, 32));
        assert_eq!(back[0], -1.0); // level 0 of 16: -8 * 0.125
        for (got, want) in back.iter().zip(&values) {
            assert!((got - want).abs() <= 0.5 * 0.125 + 1e-6, "{got} {want}");
        }
    }

    #[test]
    fn a_block_of_zeros_has_scale_zero_and_stays_zero() {
        for format in Format::ALL {
            let back = format.unpack(&format.pack(&[0.0; 33], 33));
            assert_eq!(back, vec![0.0; 64]);
        }
    }

    #[test]
    fn a_row_takes_the_bits_that_its_format_says() {
        assert_eq!(Format::F16.row_bytes(3072), 6144);
        assert_eq!(Format::Q8.row_bytes(3072), 3264); // 8.5 bits
        assert_eq!(Format::Q4.row_bytes(3072), 1728); // 4.5 bits
    }
}
