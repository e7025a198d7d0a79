//! The tolerant loader: names under any wrapper's prefix, and a list of what was missing, misshaped or unused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Checkpoint, RawTensor};
use crate::gpu::Format;
use crate::model::error::ModelError;

/// Prefixes that wrappers put before the model's own names, longest first.
const PREFIXES: [&str; 5] = [
    "base_model.model.model.",
    "base_model.model.",
    "module.model.",
    "module.",
    "model.",
];

/// Tensors that files carry and this program has no use for.
const HARMLESS: [&str; 9] = [
    "position_ids",
    "rotary_emb.inv_freq",
    "text_model.",
    "logit_scale",
    "visual_projection",
    "text_projection",
    "post_layernorm",
    "loss.",
    "model_ema.",
];

/// Checkpoints looked up by canonical name. Where two hold a name, the later one wins, as in the reference.
#[derive(Debug)]
pub struct TensorLedger {
    pub(super) sources: Vec<Checkpoint>,
    /// Canonical name to (source, stored name).
    pub(super) names: BTreeMap<String, (usize, String)>,
    used: BTreeSet<String>,
    missing: Vec<String>,
    misshaped: Vec<String>,
}

/// What loading left over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors of the files that nothing asked for, harmless extras not counted.
    pub unused: Vec<String>,
}

/// The name without wrappers: `base_model.model.model.layers.0...` is `layers.0...`.
pub fn canonical_name(name: &str) -> &str {
    PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

impl TensorLedger {
    /// Looks names up in `sources`.
    pub fn new(sources: Vec<Checkpoint>) -> Self {
        let mut names = BTreeMap::new();
        for (i, source) in sources.iter().enumerate() {
            for name in source.names() {
                let _ = names.insert(canonical_name(name).to_owned(), (i, name.to_owned()));
            }
        }
        Self {
            sources,
            names,
            used: BTreeSet::new(),
            missing: Vec::new(),
            misshaped: Vec::new(),
        }
    }

    /// Is there a tensor of this name?
    pub fn has(&self, name: &str) -> bool {
        self.names.contains_key(name) || self.packed_format(name).is_some()
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        let (source, stored) = self.names.get(name)?;
        self.sources
            .get(*source)?
            .info(stored)
            .map(|(_, shape)| shape)
    }

    /// The tensor, if it is there in this shape; otherwise its name is noted.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Option<RawTensor<'_>> {
        if !self.names.contains_key(name) && self.packed_format(name).is_some() {
            return self.take_packed(name, shape);
        }
        let Some((source, stored)) = self.names.get(name) else {
            self.missing.push(name.to_owned());
            return None;
        };
        let _ = self.used.insert(name.to_owned());
        let tensor = self.sources.get(*source)?.tensor(stored)?;
        if tensor.shape != shape {
            self.misshaped
                .push(format!("{name} {:?} instead of {shape:?}", tensor.shape));
            return None;
        }
        Some(tensor)
    }

    fn packed_format(&self, name: &str) -> Option<Format> {
        let mut sources = self.sources.iter().rev();
        sources.find_map(|source| source.packed_format(name))
    }

    /// A matrix that `workbench convert --format` packed.
    fn take_packed(&mut self, name: &str, shape: &[usize]) -> Option<RawTensor<'_>> {
        let format = self.packed_format(name)?;
        let _ = self.used.insert(format!("{name}.{}", format.name()));
        let _ = self.used.insert(format!("{name}.scales"));
        let k = shape.get(1).copied().unwrap_or(0);
        let mut sources = self.sources.iter().rev();
        let tensor = sources.find_map(|source| source.packed_tensor(name, k));
        match tensor {
            Some(tensor) if tensor.shape == shape => Some(tensor),
            _ => {
                let found = "another size";
                self.misshaped
                    .push(format!("{name} of {found} instead of {shape:?}"));
                None
            }
        }
    }

    /// The report, or one error that names every tensor that did not fit.
    ///
    /// # Errors
    /// [`ModelError::Tensors`].
    pub fn finish(&mut self) -> Result<LoadReport, ModelError> {
        if self.missing.is_empty() && self.misshaped.is_empty() {
            let unused = self
                .names
                .keys()
                .filter(|name| !self.used.contains(*name))
                .filter(|name| !HARMLESS.iter().any(|harmless| name.contains(harmless)))
                .cloned()
                .collect();
            return Ok(LoadReport { unused });
        }
        Err(ModelError::Tensors {
            missing: std::mem::take(&mut self.missing),
            misshaped: std::mem::take(&mut self.misshaped),
            path: self
                .sources
                .first()
                .map_or_else(PathBuf::new, |source| source.path().to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrapper_is_taken_off() {
        for name in [
            "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight",
            "model.layers.0.mlp.down_proj.lora_A.weight",
            "layers.0.mlp.down_proj.lora_A.weight",
        ] {
            assert_eq!(canonical_name(name), "layers.0.mlp.down_proj.lora_A.weight");
        }
        assert_eq!(
            canonical_name("base_model.model.lm_head.weight"),
            "lm_head.weight"
        );
    }
}
