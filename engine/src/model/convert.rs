//! Raw downloads to a model directory: `model.toml`, safetensors with only the tensors that are needed, and the SHA-256
//! of every file. Pickles, optimizer states and wrappers' prefixes stay behind.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest, Sha256};

use super::checkpoint::{Checkpoint, DType, canonical_name};
use super::error::ModelError;
use super::manifest::{Manifest, ModelLayout, Parts};
use super::vqgan::weights_file;
use crate::hex::hex;

/// What the raw files cannot say.
#[derive(Clone, Debug, Default)]
pub struct ConvertOptions {
    /// Name shown to the user; the folder's if absent.
    pub name: Option<String>,
    /// `M3`, `L14`, `XL32`.
    pub variant: Option<String>,
    /// Licence of the weights.
    pub licence: Option<String>,
    /// Random weights: every surface says so.
    pub untrained: bool,
}

type Progress<'a> = &'a mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>;

/// Builds a model directory in `out` from the raw layout (or another model directory) in `raw`. `out` appears only when
/// it is complete: a stopped or failed conversion leaves nothing.
///
/// # Errors
/// What [`ModelLayout::open`] and [`Checkpoint::open`] report; `out` exists already or cannot be written.
pub fn convert(
    raw: &Path,
    out: &Path,
    options: &ConvertOptions,
    on_progress: Progress<'_>,
) -> Result<Manifest, ModelError> {
    if out.exists() {
        return Err(ModelError::OutputExists {
            path: out.to_owned(),
        });
    }
    let mut name = out.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let _ = fs::remove_dir_all(&partial);
    let result = write_parts(raw, &partial, options, on_progress).and_then(|manifest| {
        fs::rename(&partial, out)
            .map_err(ModelError::io(out))
            .map(|()| manifest)
    });
    if result.is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    result
}

fn write_parts(
    raw: &Path,
    out: &Path,
    options: &ConvertOptions,
    on_progress: Progress<'_>,
) -> Result<Manifest, ModelError> {
    let layout = ModelLayout::open(raw)?;
    let mut manifest = layout.manifest.clone();
    if let Some(name) = &options.name {
        manifest.name.clone_from(name);
    }
    if let Some(variant) = &options.variant {
        manifest.variant.clone_from(variant);
    }
    if let Some(licence) = &options.licence {
        manifest.licence.clone_from(licence);
    }
    manifest.trained = manifest.trained && !options.untrained;
    let parts = manifest.parts.clone();
    manifest.parts = Parts {
        llm: "llm".into(),
        clip: "clip".into(),
        vqgan: parts.vqgan.is_some().then(|| "vqgan".into()),
    };

    let total = 2 + manifest.plugins.len() + usize::from(parts.vqgan.is_some());
    let mut done = 0;
    let mut begin = |what: &str| {
        let flow = on_progress(what, done, total);
        done += 1;
        if flow.is_break() {
            Err(ModelError::Stopped)
        } else {
            Ok(())
        }
    };

    begin("language model")?;
    let llm = out.join("llm");
    copy_small_files(&raw.join(&parts.llm), &llm)?;
    // Names stay as Hugging Face wrote them; shards become one file, in the type they were stored.
    write_safetensors(
        &llm.join("model.safetensors"),
        &[Checkpoint::open(&raw.join(&parts.llm))?],
        |_| true,
    )?;

    begin("vision tower")?;
    let clip = out.join("clip");
    copy_small_files(&raw.join(&parts.clip), &clip)?;
    let vision = |name: &str| !name.starts_with("text_model.") && name != "logit_scale";
    write_safetensors(
        &clip.join("model.safetensors"),
        &[Checkpoint::open(&raw.join(&parts.clip))?],
        vision,
    )?;

    for plugin in &mut manifest.plugins {
        begin(&format!("plug-in {}", plugin.name))?;
        let mut sources = vec![Checkpoint::open(&raw.join(&plugin.file))?];
        if let Some(fusion) = plugin.fusion.take() {
            sources.push(Checkpoint::open(&raw.join(fusion))?);
        }
        plugin.file = Path::new("plugins").join(format!("{}.safetensors", plugin.name));
        write_safetensors(&out.join(&plugin.file), &sources, |_| true)?;
    }
    if let Some(folder) = &parts.vqgan {
        begin("image decoder")?;
        let folder = raw.join(folder);
        let vqgan = out.join("vqgan");
        copy_small_files(&folder, &vqgan)?;
        let needed = |name: &str| !name.starts_with("loss.") && !name.starts_with("model_ema.");
        write_safetensors(
            &vqgan.join("model.safetensors"),
            &[Checkpoint::open(&weights_file(&folder))?],
            needed,
        )?;
    }
    manifest.sha256 = hashes(out, &|_| None)?;
    let text = toml::to_string(&manifest).map_err(|error| ModelError::Invalid {
        what: format!("the manifest cannot be written: {error}"),
    })?;
    let path = out.join("model.toml");
    fs::write(&path, text).map_err(ModelError::io(&path))?;
    Ok(manifest)
}

/// Configurations, tokenizers and licences; never weights or their index.
fn copy_small_files(from: &Path, to: &Path) -> Result<(), ModelError> {
    fs::create_dir_all(to).map_err(ModelError::io(to))?;
    for entry in fs::read_dir(from).map_err(ModelError::io(from))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kept = [".json", ".yaml", ".txt", ".model", ".md"]
            .iter()
            .any(|end| name.ends_with(end))
            || name.to_uppercase().starts_with("LICENSE");
        if kept && !name.ends_with(".index.json") && entry.path().is_file() {
            let target = to.join(&name);
            let _ = fs::copy(entry.path(), &target).map_err(ModelError::io(&target))?;
        }
    }
    Ok(())
}

/// One safetensors file with the tensors of `sources` under their own names without wrappers; a later source wins.
fn write_safetensors(
    path: &Path,
    sources: &[Checkpoint],
    needed: impl Fn(&str) -> bool,
) -> Result<(), ModelError> {
    let mut tensors = BTreeMap::new();
    for source in sources {
        for name in source.names() {
            let short = canonical_name(name);
            if let Some(raw) = source.tensor(name).filter(|_| needed(short)) {
                let _ = tensors.insert(short.to_owned(), raw);
            }
        }
    }
    let failed = |error: safetensors::SafeTensorError| ModelError::Io {
        source: std::io::Error::other(error.to_string()),
        path: path.to_owned(),
    };
    let views: Vec<(&String, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, raw)| {
            Ok((
                name,
                TensorView::new(stored(raw.dtype), raw.shape.clone(), &raw.bytes)?,
            ))
        })
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ModelError::io(folder))?;
    }
    safetensors::serialize_to_file(views, None, path).map_err(failed)
}

fn stored(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

/// SHA-256 of every file of a model directory but `model.toml` itself, by its path in the directory. A file whose hash `known`
/// gives is not read.
///
/// # Errors
/// A file that cannot be read.
pub fn hashes(
    dir: &Path,
    known: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, ModelError> {
    let mut hashes = BTreeMap::new();
    for entry in walkdir::WalkDir::new(dir)
        .sort_by_file_name()
        .into_iter()
        .flatten()
    {
        let Ok(inside) = entry.path().strip_prefix(dir) else {
            continue;
        };
        let name = inside.to_string_lossy().replace('\\', "/");
        if entry.file_type().is_file() && name != "model.toml" {
            let hash = match known(&name) {
                Some(hash) => hash,
                None => file_sha256(entry.path())?,
            };
            let _ = hashes.insert(name, hash);
        }
    }
    Ok(hashes)
}

/// SHA-256 of a file in hex.
///
/// # Errors
/// [`ModelError::Io`].
pub fn file_sha256(path: &Path) -> Result<String, ModelError> {
    let mut file = fs::File::open(path).map_err(ModelError::io(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(ModelError::io(path))?;
        match buffer.get(..read) {
            Some(bytes) if read > 0 => hash.update(bytes),
            _ => break,
        }
    }
    Ok(hex(&hash.finalize()))
}
