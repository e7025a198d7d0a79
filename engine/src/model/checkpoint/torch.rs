//! The torch container since 1.6: a ZIP with `{stem}/data.pkl` and raw little-endian storages `{stem}/data/{key}`.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::path::Path;

use super::{DType, Entry, pickle};
use crate::model::error::ModelError;

/// Largest `data.pkl` that is read: a pickle of names, not of weights.
const MAX_PICKLE: u64 = 256 << 20;

pub(super) fn zip_entries(path: &Path, map: &[u8]) -> Result<BTreeMap<String, Entry>, ModelError> {
    let wrong = |what: String| ModelError::damaged(path, what);
    let mut archive =
        zip::ZipArchive::new(Cursor::new(map)).map_err(|error| wrong(error.to_string()))?;
    let mut pickled = None;
    let mut storages: HashMap<String, (usize, usize)> = HashMap::new();
    for i in 0..archive.len() {
        let mut file = archive
            .by_index(i)
            .map_err(|error| wrong(error.to_string()))?;
        let name = file.name().to_owned();
        let Some((_, inner)) = name.split_once('/') else {
            continue;
        };
        if inner == "data.pkl" {
            if file.size() > MAX_PICKLE {
                return Err(wrong("its table of contents is too large".to_owned()));
            }
            let mut bytes = Vec::new();
            let _ = file
                .read_to_end(&mut bytes)
                .map_err(|error| wrong(error.to_string()))?;
            pickled = Some(bytes);
        } else if inner == "byteorder" {
            let mut order = String::new();
            let _ = file
                .read_to_string(&mut order)
                .map_err(|error| wrong(error.to_string()))?;
            if order.trim() != "little" {
                return Err(wrong(format!(
                    "byte order '{}' is not supported",
                    order.trim()
                )));
            }
        } else if let Some(key) = inner.strip_prefix("data/") {
            if file.compression() != zip::CompressionMethod::Stored {
                return Err(wrong(format!(
                    "storage {key} is compressed, which torch never does"
                )));
            }
            let start = file.data_start() as usize;
            let _ = storages.insert(key.to_owned(), (start, file.size() as usize));
        }
    }
    let pickled = pickled.ok_or_else(|| wrong("no data.pkl inside".to_owned()))?;
    let (root, _) = pickle::read(&pickled).map_err(wrong)?;
    let find = |key: &str| storages.get(key).copied();
    table(path, &root, &find)
}

/// The tensors of a pickled checkpoint with their places in the file. `find` gives a storage's first byte and length.
pub(super) fn table(
    path: &Path,
    root: &pickle::Value,
    find: &dyn Fn(&str) -> Option<(usize, usize)>,
) -> Result<BTreeMap<String, Entry>, ModelError> {
    let wrong = |what: String| ModelError::damaged(path, what);
    let mut entries = BTreeMap::new();
    for (name, tensor) in pickle::tensors(root) {
        let dtype = storage_type(&tensor.storage.kind).ok_or_else(|| {
            wrong(format!(
                "tensor {name} has the unknown type {}",
                tensor.storage.kind
            ))
        })?;
        let (start, len) = find(&tensor.storage.key)
            .ok_or_else(|| wrong(format!("the storage of {name} is missing")))?;
        let size = dtype.size();
        let offset = tensor
            .offset
            .checked_mul(size)
            .filter(|offset| *offset <= len);
        let offset = offset
            .ok_or_else(|| wrong(format!("tensor {name} starts outside its storage")))?
            + start;
        let contiguous = {
            let mut step = 1;
            tensor
                .shape
                .iter()
                .zip(&tensor.stride)
                .rev()
                .all(|(dim, stride)| {
                    let fits = *stride == step || *dim == 1;
                    step = step.saturating_mul(*dim);
                    fits
                })
        };
        let entry = Entry {
            file: 0,
            offset,
            dtype,
            shape: tensor.shape.clone(),
            stride: (!contiguous).then(|| tensor.stride.clone()),
        };
        let reach = super::last_element(&entry).and_then(|n| n.checked_mul(size));
        if reach.is_none_or(|reach| reach > start + len - offset) {
            return Err(wrong(format!("tensor {name} reaches past its storage")));
        }
        let _ = entries.insert(name, entry);
    }
    if entries.is_empty() {
        return Err(wrong("it holds no tensors".to_owned()));
    }
    Ok(entries)
}

fn storage_type(kind: &str) -> Option<DType> {
    Some(match kind.rsplit('.').next()? {
        "DoubleStorage" => DType::F64,
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool,
        _ => return None,
    })
}

/// Bytes per element of a storage of this kind, for the legacy format.
pub(super) fn element_size(kind: &str) -> Option<usize> {
    storage_type(kind).map(DType::size)
}
