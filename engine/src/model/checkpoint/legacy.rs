//! The torch container before 1.6: five pickles (magic, version, system, the checkpoint, storage keys), then every
//! storage as a 64-bit element count and its elements.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::pickle::{self, Value};
use super::{Entry, torch};
use crate::model::error::ModelError;

/// 0x1950a86a20f9469cfc6c, as the pickle reader spells a long that does not fit 64 bits.
const MAGIC: &str = "1950a86a20f9469cfc6c";

pub(super) fn entries(path: &Path, map: &[u8]) -> Result<BTreeMap<String, Entry>, ModelError> {
    let wrong = |what: String| ModelError::damaged(path, what);
    let mut at = 0;
    let mut next = || -> Result<Value, String> {
        let (value, used) = pickle::read(map.get(at..).unwrap_or_default())?;
        at += used;
        Ok(value)
    };
    let magic =
        next().map_err(|_| wrong("it is neither a torch file nor safetensors".to_owned()))?;
    if !matches!(&magic, Value::Str(text) if text.trim_start_matches('0') == MAGIC) {
        return Err(wrong(
            "it is neither a torch file nor safetensors".to_owned(),
        ));
    }
    let _version = next().map_err(wrong)?;
    let _system = next().map_err(wrong)?;
    let root = next().map_err(wrong)?;
    let keys = next().map_err(wrong)?;
    let kinds: HashMap<String, String> = pickle::tensors(&root)
        .into_iter()
        .map(|(_, tensor)| (tensor.storage.key.clone(), tensor.storage.kind.clone()))
        .collect();
    let Value::List(keys) = keys else {
        return Err(wrong("the list of storages is missing".to_owned()));
    };
    let mut storages = HashMap::new();
    for key in keys.borrow().iter() {
        let Value::Str(key) = key else {
            return Err(wrong("a storage has no name".to_owned()));
        };
        let count = map
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_le_bytes)
            .and_then(|count| usize::try_from(count).ok());
        let size = kinds.get(&**key).and_then(|kind| torch::element_size(kind));
        let (Some(count), Some(size)) = (count, size) else {
            return Err(wrong(format!(
                "storage {key} is described in an unknown way"
            )));
        };
        let end = count
            .checked_mul(size)
            .and_then(|bytes| bytes.checked_add(at + 8));
        let end = end
            .filter(|end| *end <= map.len())
            .ok_or_else(|| wrong("the file ends early".to_owned()))?;
        let _ = storages.insert(key.to_string(), (at + 8, count * size));
        at = end;
    }
    torch::table(path, &root, &|key| storages.get(key).copied())
}
