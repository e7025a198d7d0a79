//! The mean of models that were trained from a common beginning, weight by weight (a "model soup", Wortsman et al. 2022): it often does
//! better on new subjects than any of them, and costs no more than one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::{read_config, wrong};
use super::error::TrainError;
use super::model_dir::{Tensors, copy_tree, take_place, write_manifest};
use super::params::write_f32;
use crate::model::ModelError;
use crate::model::checkpoint::{Checkpoint, DType};
use crate::model::convert::hashes;
use crate::model::manifest::ModelLayout;

/// `stage = "average"`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AverageConfig {
    /// `average`.
    pub stage: String,
    /// Model directories with the same files; what is no weight is the first one's.
    pub models: Vec<PathBuf>,
    /// Where the result goes, as `model/`.
    pub out: PathBuf,
}

impl AverageConfig {
    /// Reads a configuration; its paths are relative to the file.
    ///
    /// # Errors
    /// [`TrainError::Config`].
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let mut config: Self = read_config(path)?;
        let base = path.parent().unwrap_or(Path::new("."));
        config.out = base.join(&config.out);
        for model in &mut config.models {
            *model = base.join(&model);
        }
        if config.models.len() < 2 {
            return Err(wrong(path, "a mean is of at least two models".to_owned()));
        }
        Ok(config)
    }
}

/// Writes the mean. Files that are the same in all models are copied.
///
/// # Errors
/// Models whose tensors or other files differ, weights that are neither f32 nor f16, or a folder that cannot be written.
pub fn average(config: &AverageConfig) -> Result<(), TrainError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| TrainError::Checkpoint {
            why: error.to_string(),
            path,
        }
    };
    let [first, others @ ..] = config.models.as_slice() else {
        return Ok(());
    };
    let out = config.out.join("model");
    let new = config.out.join("model.new");
    let _ = fs::remove_dir_all(&new);
    copy_tree(first, &new).map_err(failed(&new))?;
    let mut manifest = ModelLayout::open(first)?.manifest;
    let files = hashes(&new, &|_| None)?;
    let mut changed = BTreeSet::new();
    for other in others {
        let theirs = hashes(other, &|_| None)?;
        for (name, hash) in &files {
            match theirs.get(name) {
                None => return Err(unlike(other, name)),
                Some(their) if their != hash => drop(changed.insert(name)),
                Some(_) => {}
            }
        }
    }
    for name in changed {
        if !name.ends_with(".safetensors") {
            return Err(unlike(first, name));
        }
        let tensors = mean(&config.models, name)?;
        let file = new.join(name);
        // A link to the first model's file must not be written through.
        fs::remove_file(&file).map_err(failed(&file))?;
        write_f32(&file, &tensors)?;
    }
    manifest.sha256 = hashes(&new, &|_| None)?;
    write_manifest(&manifest, &new)?;
    take_place(&new, &out).map_err(failed(&out))
}

/// The mean of a file's tensors over all models.
fn mean(models: &[PathBuf], name: &str) -> Result<Tensors, TrainError> {
    let opened = models.iter().map(|dir| Checkpoint::open(&dir.join(name)));
    let opened: Vec<Checkpoint> = opened.collect::<Result<_, _>>()?;
    let Some((first, others)) = opened.split_first() else {
        return Ok(Vec::new());
    };
    let share = 1.0 / models.len() as f64;
    let mut tensors = Tensors::new();
    for tensor in first.names() {
        let (Some((kind, shape)), Some(values)) = (first.info(tensor), first.tensor(tensor)) else {
            continue;
        };
        if ![DType::F32, DType::F16].contains(&kind) {
            return Err(unlike(first.path(), tensor));
        }
        let mut sum: Vec<f64> = values.to_f32().into_iter().map(f64::from).collect();
        for other in others {
            let theirs = other.tensor(tensor).filter(|theirs| theirs.shape == shape);
            let Some(theirs) = theirs else {
                return Err(unlike(other.path(), tensor));
            };
            for (sum, value) in sum.iter_mut().zip(theirs.to_f32()) {
                *sum += f64::from(value);
            }
        }
        let values = sum.into_iter().map(|sum| (sum * share) as f32);
        tensors.push((tensor.to_owned(), shape.to_vec(), values.collect()));
    }
    Ok(tensors)
}

fn unlike(path: &Path, name: &str) -> TrainError {
    ModelError::Invalid {
        what: format!(
            "models of a mean must be alike; {name} is not: {}",
            path.display()
        ),
    }
    .into()
}
