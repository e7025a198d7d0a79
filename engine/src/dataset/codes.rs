//! The VQ codes of target pictures, computed once and written into the answers: then a record is VL-Health's own form, and
//! learning from it needs no image encoder.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::error::DatasetError;
use super::record::{Record, codes_text};
use super::records::Records;
use crate::error::Error;
use crate::model::{HealthGpt, ModelError};

/// The records with the codes of this model's image encoder in place of their target pictures, or beside them if
/// `keep_targets`. Every picture is encoded once. `on_record` gets records done and in all, and may stop the work.
///
/// # Errors
/// A model without an image encoder, a picture that cannot be read, or a stop.
pub fn with_codes(
    model: &HealthGpt,
    records: Records,
    keep_targets: bool,
    on_record: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<Record>, Error> {
    let mut known: BTreeMap<PathBuf, String> = BTreeMap::new();
    let folder = records.folder.clone();
    let count = records.records.len();
    let mut result = Vec::with_capacity(count);
    for (done, mut record) in records.records.into_iter().enumerate() {
        if on_record(done, count).is_break() {
            return Err(Error::Stopped);
        }
        let target = record.target_image.clone();
        if let (Some(target), Some(answer)) = (target, record.conversations.last_mut()) {
            let path = folder.join(&target);
            answer.value = match known.get(&path) {
                Some(codes) => codes.clone(),
                None => {
                    let image = image::open(&path).map_err(|error| DatasetError::Read {
                        why: error.to_string(),
                        path: path.clone(),
                    })?;
                    let lacking = || ModelError::NoCapability {
                        model: model.layout.manifest.name.clone(),
                        task: "codes of pictures (it has no image encoder)".to_owned(),
                    };
                    let codes = model.image_codes(&image.to_rgb8())?.ok_or_else(lacking)?;
                    let text = codes_text(&codes);
                    let _ = known.insert(path, text.clone());
                    text
                }
            };
            if !keep_targets {
                record.target_image = None;
            }
        }
        result.push(record);
    }
    Ok(result)
}
