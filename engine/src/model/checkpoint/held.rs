//! Tensors that are used where the file has them: mapped, and read by the page when they are first needed.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

use super::{Checkpoint, DType, PackedRows, RawTensor, TensorLedger};
use crate::gpu::Format;

/// Bytes that outlive the checkpoint they are of.
#[derive(Clone, Debug)]
pub enum HeldBytes {
    /// A stretch of a mapped file.
    Mapped(Arc<Mmap>, Range<usize>),
    /// In memory.
    Owned(Arc<[u8]>),
}

impl HeldBytes {
    /// None.
    pub fn none() -> Self {
        Self::Owned(Arc::from([]))
    }

    /// All of them.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map, range) => map.get(range.clone()).unwrap_or_default(),
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A tensor that outlives the checkpoint it is of.
#[derive(Clone, Debug)]
pub struct HeldTensor {
    /// Element type, where the tensor is not packed.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// How rows are packed, if they are.
    pub format: Option<Format>,
    /// Little-endian elements, or the words of packed units.
    pub bytes: HeldBytes,
    /// Little-endian f16 scales of packed rows; else none.
    pub scales: HeldBytes,
}

impl HeldTensor {
    /// A tensor that is in no file.
    pub fn of_f32(values: &[f32], shape: &[usize]) -> Self {
        let raw = RawTensor::of_f32(values, shape);
        Self {
            dtype: raw.dtype,
            shape: raw.shape,
            format: None,
            bytes: HeldBytes::Owned(raw.bytes.into_owned().into()),
            scales: HeldBytes::none(),
        }
    }

    /// The same tensor as readers of numbers take it.
    pub fn raw(&self) -> RawTensor<'_> {
        let packed = self.format.map(|format| PackedRows {
            format,
            words: Cow::Borrowed(self.bytes.bytes()),
            scales: Cow::Borrowed(self.scales.bytes()),
        });
        let bytes = match packed {
            Some(_) => Cow::Borrowed(&[][..]),
            None => Cow::Borrowed(self.bytes.bytes()),
        };
        RawTensor {
            dtype: self.dtype,
            shape: self.shape.clone(),
            bytes,
            packed,
        }
    }
}

impl Checkpoint {
    fn held_bytes(&self, name: &str) -> Option<HeldBytes> {
        let entry = self.entries.get(name)?;
        if entry.stride.is_some() {
            let bytes = self.tensor(name)?.bytes.into_owned();
            return Some(HeldBytes::Owned(bytes.into()));
        }
        let map = self.files.get(entry.file)?;
        let len = entry.shape.iter().product::<usize>() * entry.dtype.size();
        let range = entry.offset..entry.offset + len;
        Some(HeldBytes::Mapped(Arc::clone(map), range))
    }

    /// As [`Self::tensor`], to be kept.
    fn held(&self, name: &str) -> Option<HeldTensor> {
        let (dtype, shape) = self.info(name)?;
        Some(HeldTensor {
            dtype,
            shape: shape.to_vec(),
            format: None,
            bytes: self.held_bytes(name)?,
            scales: HeldBytes::none(),
        })
    }

    /// As [`Self::packed_tensor`], to be kept.
    fn held_packed(&self, name: &str, k: usize) -> Option<HeldTensor> {
        let shape = self.packed_tensor(name, k)?.shape;
        let format = self.packed_format(name)?;
        Some(HeldTensor {
            dtype: DType::F16,
            shape,
            format: Some(format),
            bytes: self.held_bytes(&format!("{name}.{}", format.name()))?,
            scales: self.held_bytes(&format!("{name}.scales"))?,
        })
    }
}

impl TensorLedger {
    /// As [`Self::take`], for a reader that keeps the tensor where it is.
    pub fn hold(&mut self, name: &str, shape: &[usize]) -> Option<HeldTensor> {
        let _ = self.take(name, shape)?;
        if let Some((source, stored)) = self.names.get(name) {
            return self.sources.get(*source)?.held(stored);
        }
        let k = shape.get(1).copied().unwrap_or(0);
        let mut sources = self.sources.iter().rev();
        sources.find_map(|source| source.held_packed(name, k))
    }
}
