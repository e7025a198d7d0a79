//! A checkpoint: named tensors in files, in every container that users have: safetensors (one file or shards),
//! torch zip files and legacy torch files. Files are memory-mapped; only tensors that are asked for are touched, and
//! nothing in a pickle is executed.

mod held;
mod ledger;
mod legacy;
mod pickle;
mod torch;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::{bf16, f16};
use memmap2::Mmap;

use super::error::ModelError;
use crate::gpu::Format;
use crate::gpu::pack::Packed;

pub use held::{HeldBytes, HeldTensor};
pub use ledger::{LoadReport, TensorLedger, canonical_name};
pub use pickle::rows as pickled_rows;

/// Element types of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// IEEE half.
    F16,
    /// bfloat16.
    BF16,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// 16-bit integer.
    I16,
    /// 8-bit integer.
    I8,
    /// 8-bit unsigned integer.
    U8,
    /// One byte per flag.
    Bool,
}

impl DType {
    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }
}

/// Where a tensor lies.
#[derive(Clone, Debug)]
struct Entry {
    file: usize,
    /// First byte of element 0 in the file.
    offset: usize,
    dtype: DType,
    shape: Vec<usize>,
    /// In elements; `None` is contiguous.
    stride: Option<Vec<usize>>,
}

/// Named tensors of one or more files.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<Arc<Mmap>>,
    entries: BTreeMap<String, Entry>,
}

/// One tensor's elements, row-major.
#[derive(Clone, Debug)]
pub struct RawTensor<'a> {
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Little-endian elements; none where the tensor is packed.
    pub bytes: Cow<'a, [u8]>,
    /// Rows in a format of the kernels instead.
    pub packed: Option<PackedRows<'a>>,
}

/// Rows as `workbench convert --format` stores them.
#[derive(Clone, Debug)]
pub struct PackedRows<'a> {
    /// How they are packed.
    pub format: Format,
    /// Little-endian words of their units.
    pub words: Cow<'a, [u8]>,
    /// Little-endian f16 scales.
    pub scales: Cow<'a, [u8]>,
}

impl PackedRows<'_> {
    /// Some rows of `k` weights.
    pub fn rows(&self, rows: Range<usize>, k: usize) -> Packed {
        let units = crate::gpu::pack::units(k);
        let words = 4 * units * self.format.words_per_unit();
        let scales = units / 4 * 2;
        let part = |bytes: &[u8], row: usize| -> Vec<u8> {
            let end = (rows.end * row).min(bytes.len());
            bytes
                .get(rows.start * row..end)
                .unwrap_or_default()
                .to_vec()
        };
        Packed {
            words: each(&part(&self.words, words), u32::from_le_bytes),
            scales: each(&part(&self.scales, scales), f16::from_le_bytes),
        }
    }
}

impl Checkpoint {
    /// Opens a file, or a Hugging Face folder.
    ///
    /// # Errors
    /// [`ModelError::Io`], [`ModelError::Damaged`], or [`ModelError::MissingParts`] naming missing shards.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        if path.is_dir() {
            Self::open_folder(path)
        } else {
            Self::open_file(path)
        }
    }

    fn open_folder(folder: &Path) -> Result<Self, ModelError> {
        for name in [
            "model.safetensors.index.json",
            "pytorch_model.bin.index.json",
        ] {
            let index = folder.join(name);
            if index.is_file() {
                return Self::open_shards(folder, &index);
            }
        }
        for name in ["model.safetensors", "pytorch_model.bin"] {
            let file = folder.join(name);
            if file.is_file() {
                return Self::open_file(&file);
            }
        }
        Err(ModelError::MissingParts {
            missing: vec!["model.safetensors or pytorch_model.bin".to_owned()],
            path: folder.to_owned(),
        })
    }

    fn open_shards(folder: &Path, index: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(index).map_err(ModelError::io(index))?;
        let json: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| ModelError::damaged(index, error.to_string()))?;
        let mut shards: Vec<String> = json
            .get("weight_map")
            .and_then(|map| map.as_object())
            .ok_or_else(|| ModelError::damaged(index, "no weight_map"))?
            .values()
            .filter_map(|file| file.as_str().map(str::to_owned))
            .collect();
        shards.sort();
        shards.dedup();
        if let Some(escaping) = shards.iter().find(|shard| shard.contains(['/', '\\'])) {
            return Err(ModelError::damaged(
                index,
                format!("shard name '{escaping}' is not a plain file name"),
            ));
        }
        let missing: Vec<String> = shards
            .iter()
            .filter(|shard| !folder.join(shard).is_file())
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Err(ModelError::MissingParts {
                missing,
                path: folder.to_owned(),
            });
        }
        let mut whole = Self {
            path: folder.to_owned(),
            files: Vec::new(),
            entries: BTreeMap::new(),
        };
        for shard in shards {
            let part = Self::open_file(&folder.join(shard))?;
            let base = whole.files.len();
            whole.files.extend(part.files);
            whole
                .entries
                .extend(part.entries.into_iter().map(|(name, entry)| {
                    (
                        name,
                        Entry {
                            file: entry.file + base,
                            ..entry
                        },
                    )
                }));
        }
        Ok(whole)
    }

    fn open_file(path: &Path) -> Result<Self, ModelError> {
        let map = map_file(path)?;
        let entries = if path
            .extension()
            .is_some_and(|extension| extension == "safetensors")
        {
            safetensors_entries(path, &map)?
        } else if map.starts_with(b"PK\x03\x04") {
            torch::zip_entries(path, &map)?
        } else {
            legacy::entries(path, &map)?
        };
        // Every element must lie inside the file before anyone reads one.
        for (name, entry) in &entries {
            let last = last_element(entry)
                .and_then(|last| last.checked_mul(entry.dtype.size()))
                .and_then(|bytes| bytes.checked_add(entry.offset));
            if last.is_none_or(|end| end > map.len()) {
                return Err(ModelError::damaged(
                    path,
                    format!("tensor {name} reaches past the end of the file"),
                ));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            files: vec![Arc::new(map)],
            entries,
        })
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names as stored.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Type and shape of a tensor.
    pub fn info(&self, name: &str) -> Option<(DType, &[usize])> {
        self.entries
            .get(name)
            .map(|entry| (entry.dtype, entry.shape.as_slice()))
    }

    /// The elements of a tensor.
    pub fn tensor(&self, name: &str) -> Option<RawTensor<'_>> {
        let entry = self.entries.get(name)?;
        let map = self.files.get(entry.file)?;
        let count: usize = entry.shape.iter().product();
        let size = entry.dtype.size();
        let bytes = match &entry.stride {
            None => Cow::Borrowed(map.get(entry.offset..entry.offset + count * size)?),
            Some(stride) => {
                let mut out = Vec::with_capacity(count * size);
                for index in 0..count {
                    let mut rest = index;
                    let mut at = 0;
                    for (dim, step) in entry.shape.iter().zip(stride).rev() {
                        at += rest % dim * step;
                        rest /= dim;
                    }
                    let from = entry.offset + at * size;
                    out.extend_from_slice(map.get(from..from + size)?);
                }
                Cow::Owned(out)
            }
        };
        Some(RawTensor {
            dtype: entry.dtype,
            shape: entry.shape.clone(),
            bytes,
            packed: None,
        })
    }

    /// A matrix of `k` columns that `workbench convert --format` packed.
    pub fn packed_tensor(&self, name: &str, k: usize) -> Option<RawTensor<'_>> {
        let format = self.packed_format(name)?;
        let words = self.tensor(&format!("{name}.{}", format.name()))?;
        let scales = self.tensor(&format!("{name}.scales"))?;
        let rows = words.shape.first().copied()?;
        let whole = |bytes: &[u8]| bytes.len();
        let fits = whole(&words.bytes) + whole(&scales.bytes) == rows * format.row_bytes(k);
        fits.then(|| RawTensor {
            dtype: DType::F16,
            shape: vec![rows, k],
            bytes: Cow::Borrowed(&[]),
            packed: Some(PackedRows {
                format,
                words: words.bytes,
                scales: scales.bytes,
            }),
        })
    }

    /// In which format a matrix is packed, if it is.
    pub fn packed_format(&self, name: &str) -> Option<Format> {
        [Format::Q8, Format::Q4].into_iter().find(|format| {
            self.entries
                .contains_key(&format!("{name}.{}", format.name()))
        })
    }
}

/// One past the last element reached, in elements.
fn last_element(entry: &Entry) -> Option<usize> {
    if entry.shape.contains(&0) {
        return Some(0);
    }
    match &entry.stride {
        None => entry
            .shape
            .iter()
            .try_fold(1usize, |product, dim| product.checked_mul(*dim)),
        Some(stride) => entry
            .shape
            .iter()
            .zip(stride)
            .try_fold(1usize, |sum, (dim, step)| {
                (dim - 1)
                    .checked_mul(*step)
                    .and_then(|part| sum.checked_add(part))
            }),
    }
}

impl RawTensor<'_> {
    /// A tensor that is in no file.
    pub fn of_f32(values: &[f32], shape: &[usize]) -> Self {
        Self {
            dtype: DType::F32,
            shape: shape.to_vec(),
            bytes: Cow::Owned(
                values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            ),
            packed: None,
        }
    }

    /// Some rows of a matrix as 32-bit floats; rows past its end are left out.
    pub fn rows_f32(&self, rows: Range<usize>) -> Vec<f32> {
        if let Some(packed) = &self.packed {
            let k = self.shape.get(1).copied().unwrap_or(0);
            let values = packed.format.unpack(&packed.rows(rows, k));
            let stride = 8 * crate::gpu::pack::units(k);
            let whole = values.chunks(stride.max(1));
            return whole
                .flat_map(|row| row.get(..k).unwrap_or_default().to_vec())
                .collect();
        }
        let row = self.shape.iter().skip(1).product::<usize>() * self.dtype.size();
        let end = (rows.end * row).min(self.bytes.len());
        let bytes = self.bytes.get(rows.start * row..end).unwrap_or_default();
        self.floats(bytes)
    }

    /// As 32-bit floats.
    pub fn to_f32(&self) -> Vec<f32> {
        if self.packed.is_some() {
            return self.rows_f32(0..self.shape.first().copied().unwrap_or(0));
        }
        self.floats(&self.bytes)
    }

    fn floats(&self, bytes: &[u8]) -> Vec<f32> {
        match self.dtype {
            DType::F32 => each(bytes, f32::from_le_bytes),
            DType::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
            DType::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            DType::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            DType::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
            DType::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
            DType::I16 => each(bytes, |b| f32::from(i16::from_le_bytes(b))),
            DType::I8 => each(bytes, |b| f32::from(i8::from_le_bytes(b))),
            DType::U8 | DType::Bool => bytes.iter().map(|b| f32::from(*b)).collect(),
        }
    }

    /// As halves: bf16 is converted, since the CPU multiplies it twenty times slower.
    pub fn to_f16(&self) -> Vec<f16> {
        match self.dtype {
            DType::F16 if self.packed.is_none() => each(&self.bytes, f16::from_le_bytes),
            _ => self.to_f32().into_iter().map(f16::from_f32).collect(),
        }
    }

    /// As 64-bit integers.
    pub fn to_i64(&self) -> Vec<i64> {
        match self.dtype {
            DType::I64 => each(&self.bytes, i64::from_le_bytes),
            _ => self
                .to_f32()
                .into_iter()
                .map(|value| value as i64)
                .collect(),
        }
    }
}

fn each<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|chunk| convert(*chunk))
        .collect()
}

#[expect(
    unsafe_code,
    reason = "memory-mapping is the only way to read 8 GB of weights without copying them"
)]
fn map_file(path: &Path) -> Result<Mmap, ModelError> {
    let file = File::open(path).map_err(ModelError::io(path))?;
    // SAFETY: the map is read-only; a file that another program truncates meanwhile is the user's own model.
    unsafe { Mmap::map(&file) }.map_err(ModelError::io(path))
}

fn safetensors_entries(path: &Path, map: &[u8]) -> Result<BTreeMap<String, Entry>, ModelError> {
    let (header, metadata) = safetensors::SafeTensors::read_metadata(map)
        .map_err(|error| ModelError::damaged(path, error.to_string()))?;
    let start = header + 8;
    metadata
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            use safetensors::Dtype;
            let dtype = match info.dtype {
                Dtype::F64 => DType::F64,
                Dtype::F32 => DType::F32,
                Dtype::F16 => DType::F16,
                Dtype::BF16 => DType::BF16,
                Dtype::I64 => DType::I64,
                Dtype::I32 => DType::I32,
                Dtype::I16 => DType::I16,
                Dtype::I8 => DType::I8,
                Dtype::U8 => DType::U8,
                Dtype::BOOL => DType::Bool,
                other => {
                    return Err(ModelError::damaged(
                        path,
                        format!("tensor {name} has type {other:?}"),
                    ));
                }
            };
            let offset = start + info.data_offsets.0;
            Ok((
                name,
                Entry {
                    file: 0,
                    offset,
                    dtype,
                    shape: info.shape.clone(),
                    stride: None,
                },
            ))
        })
        .collect()
}
