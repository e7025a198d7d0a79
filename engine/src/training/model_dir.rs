//! A trained model as a model directory: what did not change is copied, what did is written anew, and the manifest has the
//! hash of every file.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::ParamId;

use super::error::TrainError;
use super::learner::Learner;
use super::params::write_f32;
use super::stage::Trainable;
use crate::model::HealthGpt;
use crate::model::config::ClipConfig;
use crate::model::convert::hashes;
use crate::model::loader::NamedParam;
use crate::model::manifest::Manifest;

/// Writes `model` with the learner's values, and those it left out, to `out`, which is replaced when everything is written.
///
/// # Errors
/// [`TrainError::Checkpoint`]; the former directory stays.
pub fn write_model(
    model: &HealthGpt,
    learner: &Learner,
    untouched: &HashMap<ParamId, Vec<f32>>,
    trainable: Trainable,
    out: &Path,
) -> Result<(), TrainError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| TrainError::Checkpoint {
            why: error.to_string(),
            path,
        }
    };
    let new = out.with_extension("new");
    let _ = fs::remove_dir_all(&new);
    copy_tree(&model.layout.dir, &new).map_err(failed(&new))?;
    let mut values = untouched.clone();
    values.extend(super::learner::values(learner));
    let mut manifest = model.layout.manifest.clone();
    manifest.trained = true;

    let llm = new.join(&manifest.parts.llm);
    let clip = new.join(&manifest.parts.clip);
    let vqgan = manifest.parts.vqgan.as_ref().map(|folder| new.join(folder));
    for (folder, part, changed) in [
        (Some(&clip), "vision tower", trainable.vision),
        (Some(&llm), "language model", trainable.base),
        (vqgan.as_ref(), "image decoder", trainable.image_decoder),
    ] {
        let Some(folder) = folder.filter(|_| changed) else {
            continue; // Gigabytes that did not change are not written again.
        };
        remove_weights(folder).map_err(failed(folder))?;
        let mut tensors = named(model, part, &values);
        if part == "language model" {
            tensors.extend(base_tables(learner));
        }
        write_f32(&folder.join("model.safetensors"), &tensors)?;
    }
    let blocks = model.clip_config.num_hidden_layers;
    if ClipConfig::open(&clip)?.num_hidden_layers != blocks {
        write_depth(&clip.join("config.json"), blocks)?;
    }
    write_plugins(model, learner, &values, &mut manifest, &new)?;

    let known = std::mem::take(&mut manifest.sha256);
    manifest.sha256 = hashes_except(&new, &known, &model.layout.dir)?;
    write_manifest(&manifest, &new)?;
    take_place(&new, out).map_err(failed(out))
}

/// A directory that is whole takes the place of `out`, which is gone only then.
///
/// # Errors
/// One of the two cannot be renamed.
pub fn take_place(new: &Path, out: &Path) -> std::io::Result<()> {
    let old = out.with_extension("old");
    let _ = fs::remove_dir_all(&old);
    if out.exists() {
        fs::rename(out, &old)?;
    }
    fs::rename(new, out)?;
    let _ = fs::remove_dir_all(&old);
    Ok(())
}

/// Hashes of a directory; those of files that are links into `dir` are taken from its manifest.
fn hashes_except(
    new: &Path,
    known: &BTreeMap<String, String>,
    dir: &Path,
) -> Result<BTreeMap<String, String>, TrainError> {
    let same = |name: &str| {
        let (Ok(a), Ok(b)) = (fs::metadata(new.join(name)), fs::metadata(dir.join(name))) else {
            return false;
        };
        a.len() > LARGE && a.modified().ok() == b.modified().ok() && a.len() == b.len()
    };
    Ok(hashes(new, &|name| {
        known.get(name).filter(|_| same(name)).cloned()
    })?)
}

/// `model.toml` of a directory.
///
/// # Errors
/// [`TrainError::Checkpoint`].
pub fn write_manifest(manifest: &Manifest, folder: &Path) -> Result<(), TrainError> {
    let path = folder.join("model.toml");
    let failed = |why: String| TrainError::Checkpoint {
        why,
        path: path.clone(),
    };
    let text = toml::to_string(manifest).map_err(|error| failed(error.to_string()))?;
    fs::write(&path, text).map_err(|error| failed(error.to_string()))
}

/// Writes the number of a tower's blocks into its `config.json`.
fn write_depth(path: &Path, blocks: usize) -> Result<(), TrainError> {
    let failed = |why: String| TrainError::Checkpoint {
        why,
        path: path.to_owned(),
    };
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let mut config: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    let whole = config.get("vision_config").is_none();
    let tower = match whole {
        true => Some(&mut config),
        false => config.get_mut("vision_config"),
    };
    // A file may leave out what equals Hugging Face's default.
    if let Some(tower) = tower.and_then(serde_json::Value::as_object_mut) {
        let _ = tower.insert("num_hidden_layers".to_owned(), blocks.into());
    }
    let text = serde_json::to_string_pretty(&config).map_err(|error| failed(error.to_string()))?;
    fs::remove_file(path)
        .and_then(|()| fs::write(path, text + "\n"))
        .map_err(|error| failed(error.to_string()))
}

/// Tensors by name, shape and values.
pub(super) type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// The parameters of a part under the names that they have in files; those that have become others are left out.
fn named(model: &HealthGpt, part: &str, values: &HashMap<ParamId, Vec<f32>>) -> Tensors {
    let of = |param: &NamedParam| {
        let values = values.get(&param.id)?.clone();
        Some((param.name.clone(), param.shape.clone(), values))
    };
    model
        .params
        .iter()
        .filter(|(name, _)| name == part)
        .flat_map(|(_, params)| params.iter().filter_map(of))
        .filter(|(name, _, _)| name != "embed_tokens.weight" && name != "lm_head.weight")
        .collect()
}

/// As many rows of the tables as `config.json` says the base has on disk. Rows from the tokenizer's length on are padding there
/// and are made anew when the model is loaded.
fn base_tables(learner: &Learner) -> Tensors {
    let decoder = &learner.decoder;
    let rows = decoder.config.vocab_size;
    let mut tables = vec![("embed_tokens.weight", &decoder.embed_tokens)];
    if !decoder.config.tie_word_embeddings {
        tables.push(("lm_head.weight", &decoder.lm_head));
    }
    tables
        .into_iter()
        .map(|(name, table)| {
            let [_, hidden] = table.dims();
            let mut values: Vec<f32> = table.val().into_data().iter::<f32>().collect();
            values.resize(rows * hidden, 0.0);
            (name.to_owned(), vec![rows, hidden], values)
        })
        .collect()
}

/// Every plug-in in a file of its own; shared tables of the image vocabulary in one (`fusion`), as stage 2 leaves them.
fn write_plugins(
    model: &HealthGpt,
    learner: &Learner,
    values: &HashMap<ParamId, Vec<f32>>,
    manifest: &mut Manifest,
    new: &Path,
) -> Result<(), TrainError> {
    let folder = new.join("plugins");
    fs::create_dir_all(&folder).map_err(|error| TrainError::Checkpoint {
        why: error.to_string(),
        path: folder.clone(),
    })?;
    let mut fused = false;
    for (entry, plugin) in manifest.plugins.iter_mut().zip(&learner.plugins) {
        let former = [Some(entry.file.clone()), entry.fusion.clone()];
        let file = PathBuf::from("plugins").join(format!("{}.safetensors", entry.name));
        let mut tensors = named(model, &format!("plug-in {}", entry.name), values);
        let own = |name: &str, table: &Option<burn::module::Param<burn::tensor::Tensor<2>>>| {
            let table = table.as_ref()?;
            let values = table.val().into_data().iter::<f32>().collect();
            Some((name.to_owned(), table.dims().to_vec(), values))
        };
        tensors.extend(own("embed_tokens.weight", &plugin.embed_tokens));
        tensors.extend(own("lm_head.weight", &plugin.lm_head));
        entry.fusion = None;
        if plugin.embed_tokens.is_none() && model.tokenizer.added_rows() > 0 {
            entry.fusion = Some(PathBuf::from("plugins/fusion.safetensors"));
            fused = true;
        }
        // A link to a file that others use must not be written through.
        for path in former.into_iter().flatten().chain([file.clone()]) {
            let _ = fs::remove_file(new.join(path));
        }
        write_f32(&new.join(&file), &tensors)?;
        entry.file = file;
    }
    if fused {
        let _ = fs::remove_file(folder.join("fusion.safetensors"));
        let decoder = &learner.decoder;
        let tables = [
            ("embed_tokens.weight", &decoder.embed_tokens),
            ("lm_head.weight", &decoder.lm_head),
        ]
        .map(|(name, table)| {
            let values = table.val().into_data().iter::<f32>().collect();
            (name.to_owned(), table.dims().to_vec(), values)
        });
        write_f32(&folder.join("fusion.safetensors"), &tables)?;
    }
    Ok(())
}

/// Files above this size, in bytes, are linked instead of copied.
const LARGE: u64 = 64 << 20;

/// A copy of a model directory, but for expected numbers.
///
/// # Errors
/// A file that cannot be read or written.
pub fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if !entry.file_name().to_string_lossy().starts_with("expected") {
            // Expected numbers belong to the weights they were computed with.
            // A large file gets a second name instead of a second copy; whatever is written anew is removed first.
            let large = entry.metadata()?.len() > LARGE;
            if !large || fs::hard_link(entry.path(), &target).is_err() {
                let _ = fs::copy(entry.path(), &target)?;
            }
        }
    }
    Ok(())
}

fn remove_weights(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let weights = [".safetensors", ".bin", ".ckpt", ".index.json"];
        if weights.iter().any(|end| name.ends_with(end)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
