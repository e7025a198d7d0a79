//! safetensors written row by row: whole models pass through a few MiB of memory, and a file that was begun is gone on with.
//!
//! A matrix that is packed keeps its name with the format after it: `X.weight.q8` holds the units of 8 weights
//! `[rows, bytes]`, `X.weight.scales` one f16 for 32 weights `[rows, blocks]`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::ops::{ControlFlow, Range};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::checkpoint::{Checkpoint, DType, RawTensor, canonical_name};
use super::error::ModelError;
use crate::gpu::Format;

/// What becomes of the tensors of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// A base: linear layers in the first format, the head in the second; everything else as it is.
    Base(Format, Format),
    /// A plug-in: A and B in this format, and a head that it brings along in the second; the router as it is.
    PlugIn(Format, Format),
}

impl Packing {
    /// The format of a tensor that is to be packed; `None` leaves it as it is.
    fn of(self, name: &str, shape: &[usize]) -> Option<Format> {
        if shape.len() != 2 || !name.ends_with(".weight") {
            return None;
        }
        let format = match self {
            Self::Base(_, head) | Self::PlugIn(_, head) if name == "lm_head.weight" => head,
            Self::Base(linear, _) if name.contains("_proj.") => linear,
            Self::PlugIn(low_rank, _) if name.contains("lora_A") || name.contains("lora_B") => {
                low_rank
            }
            _ => return None,
        };
        Some(format)
    }
}

/// One stretch of the file.
struct Entry {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: Range<usize>,
    /// Where it comes from.
    source: (usize, String),
    part: Part,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    AsItIs,
    Half,
    Words(Format),
    Scales(Format),
}

/// Rows packed at a time.
const CHUNK: usize = 256;

/// Writes the tensors of `sources` (a later one wins) to `path`, which appears when it is whole. A break in `on_tensor`
/// leaves `path` with `.begun` after it; the next call with the same sources goes on from there.
///
/// # Errors
/// [`ModelError::Stopped`], or a file that cannot be written.
pub fn write_packed(
    path: &Path,
    sources: &[Checkpoint],
    packing: Packing,
    on_tensor: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<(), ModelError> {
    let (entries, header) = layout(sources, packing);
    let begun = path.with_extension("safetensors.begun");
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(ModelError::io(folder))?;
    }
    let start = 8 + header.len();
    let whole = |entry: &&Entry, len: usize| start + entry.bytes.end <= len;
    let held = already(&begun, &header).unwrap_or(0);
    let done = entries
        .iter()
        .take_while(|entry| whole(entry, held))
        .count();
    let from = done.checked_sub(1).and_then(|last| entries.get(last));
    let position = from.map_or(start, |entry| start + entry.bytes.end);

    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&begun)
        .map_err(ModelError::io(&begun))?;
    let failed = |error| ModelError::io(&begun)(error);
    let mut file = BufWriter::with_capacity(1 << 20, file);
    if done == 0 {
        file.get_ref().set_len(0).map_err(failed)?;
        file.write_all(&(header.len() as u64).to_le_bytes())
            .map_err(failed)?;
        file.write_all(header.as_bytes()).map_err(failed)?;
    } else {
        file.get_ref().set_len(position as u64).map_err(failed)?;
        let _ = file
            .seek(SeekFrom::Start(position as u64))
            .map_err(failed)?;
    }
    let total = entries.len();
    for (i, entry) in entries.iter().enumerate().skip(done) {
        if on_tensor(i, total).is_break() {
            file.flush().map_err(failed)?;
            return Err(ModelError::Stopped);
        }
        let (source, name) = &entry.source;
        let Some(raw) = sources.get(*source).and_then(|source| source.tensor(name)) else {
            continue;
        };
        write_entry(&mut file, &raw, entry.part).map_err(failed)?;
    }
    file.flush().map_err(failed)?;
    drop(file);
    std::fs::rename(&begun, path).map_err(ModelError::io(path))
}

fn write_entry(file: &mut impl Write, raw: &RawTensor<'_>, part: Part) -> std::io::Result<()> {
    let rows = raw.shape.first().copied().unwrap_or(1);
    let k = raw.shape.get(1).copied().unwrap_or(1);
    if part == Part::AsItIs {
        return file.write_all(&raw.bytes);
    }
    for from in (0..rows).step_by(CHUNK) {
        let values = raw.rows_f32(from..(from + CHUNK).min(rows));
        match part {
            Part::AsItIs => {}
            Part::Half => {
                for value in values {
                    file.write_all(&half::f16::from_f32(value).to_le_bytes())?;
                }
            }
            Part::Words(format) => {
                for word in format.pack(&values, k).words {
                    file.write_all(&word.to_le_bytes())?;
                }
            }
            Part::Scales(format) => {
                for scale in format.pack(&values, k).scales {
                    file.write_all(&scale.to_le_bytes())?;
                }
            }
        }
    }
    Ok(())
}

/// The stretches of the file in order, and its header.
fn layout(sources: &[Checkpoint], packing: Packing) -> (Vec<Entry>, String) {
    let mut tensors: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (i, source) in sources.iter().enumerate() {
        for name in source.names() {
            let _ = tensors.insert(canonical_name(name), (i, name));
        }
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut end = 0;
    let mut add =
        |name: String, dtype, shape: Vec<usize>, bytes: usize, source: (usize, &str), part| {
            entries.push(Entry {
                name,
                dtype,
                shape,
                bytes: end..end + bytes,
                source: (source.0, source.1.to_owned()),
                part,
            });
            end += bytes;
        };
    for (name, source) in tensors {
        let Some((dtype, shape)) = sources.get(source.0).and_then(|file| file.info(source.1))
        else {
            continue;
        };
        let (rows, k) = (
            shape.first().copied().unwrap_or(1),
            shape.get(1).copied().unwrap_or(1),
        );
        match packing.of(name, shape) {
            None => {
                let bytes = shape.iter().product::<usize>() * dtype.size();
                add(
                    name.to_owned(),
                    stored(dtype),
                    shape.to_vec(),
                    bytes,
                    source,
                    Part::AsItIs,
                );
            }
            Some(Format::F16) => {
                add(
                    name.to_owned(),
                    "F16",
                    shape.to_vec(),
                    2 * rows * k,
                    source,
                    Part::Half,
                );
            }
            Some(format) => {
                let blocks = crate::gpu::pack::units(k) / 4;
                let words = format.row_bytes(k) - 2 * blocks;
                let packed = format!("{name}.{}", format.name());
                add(
                    packed,
                    "U8",
                    vec![rows, words],
                    rows * words,
                    source,
                    Part::Words(format),
                );
                let scales = format!("{name}.scales");
                add(
                    scales,
                    "F16",
                    vec![rows, blocks],
                    2 * rows * blocks,
                    source,
                    Part::Scales(format),
                );
            }
        }
    }
    let described = entries.iter().map(|entry| {
        let bytes = entry.bytes.clone();
        (
            entry.name.as_str(),
            entry.dtype,
            entry.shape.as_slice(),
            bytes,
        )
    });
    let header = header(described);
    (entries, header)
}

/// The header of a safetensors file: name, type, shape and bytes of each tensor in order.
pub(super) fn header<'t>(
    tensors: impl Iterator<Item = (&'t str, &'static str, &'t [usize], Range<usize>)>,
) -> String {
    let header: Map<String, Value> = tensors
        .map(|(name, dtype, shape, bytes)| {
            let offsets = [bytes.start, bytes.end];
            let value = json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
            (name.to_owned(), value)
        })
        .collect();
    let mut header = Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    header
}

/// Bytes of a file that was begun with this header.
fn already(begun: &Path, header: &str) -> Option<usize> {
    use std::io::Read;
    let mut file = File::open(begun).ok()?;
    let mut start = vec![0; 8 + header.len()];
    file.read_exact(&mut start).ok()?;
    let (len, text) = start.split_at(8);
    let same = len == (header.len() as u64).to_le_bytes() && text == header.as_bytes();
    same.then(|| file.metadata().ok().map(|data| data.len() as usize))
        .flatten()
}

fn stored(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "F64",
        DType::F32 => "F32",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::I64 => "I64",
        DType::I32 => "I32",
        DType::I16 => "I16",
        DType::I8 => "I8",
        DType::U8 => "U8",
        DType::Bool => "BOOL",
    }
}
