//! Rows of a matrix in one format.

use half::f16;

use crate::gpu::Format;
use crate::gpu::pack::{BLOCK, Packed};
use crate::model::checkpoint::{DType, HeldBytes, HeldTensor};

/// Rows of a matrix, where the file has them or in memory. Rows of q8 and q4 are padded to whole blocks, f16 is not.
#[derive(Clone, Debug)]
pub struct Rows {
    /// How they are stored.
    pub format: Format,
    /// How many.
    pub count: usize,
    /// Weights of one.
    pub k: usize,
    words: HeldBytes,
    scales: HeldBytes,
}

/// Rows unpacked at a time while they are packed anew.
const CHUNK: usize = 256;

impl Rows {
    /// Rows in a format: as they are where the files hold them so, packed row by row otherwise. Without a wish they keep the
    /// format of the files, and f16 where that is none.
    pub fn new(tensor: &HeldTensor, wanted: Option<Format>) -> Self {
        let count = tensor.shape.first().copied().unwrap_or(0);
        let k = tensor.shape.get(1).copied().unwrap_or(0);
        let stored = match tensor.format {
            None if tensor.dtype == DType::F16 => Some(Format::F16),
            packed => packed,
        };
        let format = wanted.or(stored).unwrap_or(Format::F16);
        if stored == Some(format) {
            return Self {
                format,
                count,
                k,
                words: tensor.bytes.clone(),
                scales: tensor.scales.clone(),
            };
        }
        let raw = tensor.raw();
        let chunks = (0..count).step_by(CHUNK);
        Self::packed(
            chunks.map(|from| raw.rows_f32(from..(from + CHUNK).min(count))),
            k,
            format,
        )
    }

    /// Rows of numbers, several at a time.
    pub fn packed(values: impl Iterator<Item = Vec<f32>>, k: usize, format: Format) -> Self {
        let (mut words, mut scales) = (Vec::new(), Vec::new());
        let mut count = 0;
        for values in values {
            count += values.len() / k.max(1);
            if format == Format::F16 {
                words.extend(values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()));
            } else {
                let Packed {
                    words: units,
                    scales: of_blocks,
                } = format.pack(&values, k);
                words.extend(units.iter().flat_map(|word| word.to_le_bytes()));
                scales.extend(of_blocks.iter().flat_map(|scale| scale.to_le_bytes()));
            }
        }
        Self {
            format,
            count,
            k,
            words: HeldBytes::Owned(words.into()),
            scales: HeldBytes::Owned(scales.into()),
        }
    }

    /// No rows, in the place of a tensor that was not found (the reader's ledger says so).
    pub fn missing(k: usize) -> Self {
        Self::packed(std::iter::empty(), k, Format::F16)
    }

    /// The first rows only.
    pub fn first(mut self, count: usize) -> Self {
        self.count = self.count.min(count);
        self
    }

    /// Blocks of 32 weights of a row.
    pub fn blocks(&self) -> usize {
        self.k.div_ceil(BLOCK)
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> u64 {
        (self.count * (self.row_words() + self.row_scales())) as u64
    }

    fn row_words(&self) -> usize {
        match self.format {
            Format::F16 => 2 * self.k,
            Format::Q8 => BLOCK * self.blocks(),
            Format::Q4 => BLOCK / 2 * self.blocks(),
        }
    }

    fn row_scales(&self) -> usize {
        match self.format {
            Format::F16 => 0,
            _ => 2 * self.blocks(),
        }
    }

    /// Words and scales of one row; nothing past the last.
    #[inline(always)]
    pub fn row(&self, index: usize) -> (&[u8], &[u8]) {
        let part = |row: usize| index * row..(index + 1) * row;
        let words = self.words.bytes().get(part(self.row_words()));
        let scales = self.scales.bytes().get(part(self.row_scales()));
        (words.unwrap_or_default(), scales.unwrap_or_default())
    }

    /// Reads a byte of every page, so that the first token does not wait for the disk.
    pub fn touch(&self) {
        for bytes in [self.words.bytes(), self.scales.bytes()] {
            let pages = bytes.iter().step_by(4096);
            let _ = std::hint::black_box(pages.map(|byte| u64::from(*byte)).sum::<u64>());
        }
    }
}
