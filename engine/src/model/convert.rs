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
use super::packed_file::{Packing, write_packed};
use super::vqgan::weights_file;
use crate::gpu::Format;
use crate::gpu::packer::Formats;
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
    /// Packs the language model for the kernels; as it is stored if absent.
    pub format: Option<Format>,
    /// The format of plug-ins, f16 or q8; what goes with the base's if absent.
    pub plugin_format: Option<Format>,
}

impl ConvertOptions {
    /// The base's and the plug-ins' packing, where anything is packed.
    fn packing(&self) -> Option<[Packing; 2]> {
        let base = self.format.or(self.plugin_format.map(|_| Format::F16))?;
        let formats = Formats::of(base);
        let own = if formats.plugin_q8 {
            Format::Q8
        } else {
            Format::F16
        };
        Some([
            Packing::Base(base, formats.head),
            Packing::PlugIn(self.plugin_format.unwrap_or(own), formats.head),
        ])
    }
}

/// Marks a folder that a conversion is at work on, with what it converts and how.
const SIGNATURE: &str = "conversion.txt";

fn signature(raw: &Path, options: &ConvertOptions) -> String {
    format!(
        "{} {options:?} {}",
        raw.display(),
        env!("CARGO_PKG_VERSION")
    )
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
    // A packed conversion that was interrupted is gone on with; what another one left is no use.
    let resumable = options.packing().is_some();
    let sign = signature(raw, options);
    let goes_on = resumable && fs::read_to_string(partial.join(SIGNATURE)).is_ok_and(|s| s == sign);
    if !goes_on {
        let _ = fs::remove_dir_all(&partial);
    }
    if resumable {
        fs::create_dir_all(&partial).map_err(ModelError::io(&partial))?;
        let path = partial.join(SIGNATURE);
        fs::write(&path, &sign).map_err(ModelError::io(&path))?;
    }
    let result = write_parts(raw, &partial, options, on_progress).and_then(|manifest| {
        fs::rename(&partial, out)
            .map_err(ModelError::io(out))
            .map(|()| manifest)
    });
    let interrupted = matches!(result, Err(ModelError::Stopped)) && resumable;
    if result.is_err() && !interrupted {
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
    let mut begin =
        |what: &str, on_progress: &mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>| {
            let flow = on_progress(what, done, total);
            done += 1;
            if flow.is_break() {
                Err(ModelError::Stopped)
            } else {
                Ok(())
            }
        };

    begin("language model", on_progress)?;
    let llm = out.join("llm");
    copy_small_files(&raw.join(&parts.llm), &llm)?;
    // Names stay as Hugging Face wrote them; shards become one file, in the type they were stored unless they are packed.
    let sources = [Checkpoint::open(&raw.join(&parts.llm))?];
    let path = llm.join("model.safetensors");
    let packing = options.packing();
    match packing {
        None => write_safetensors(&path, &sources, |_| true)?,
        Some(_) if path.is_file() => {}
        Some([base, _]) => write_packed(&path, &sources, base, &mut |done, of| {
            on_progress(&format!("language model, tensor {done} of {of}"), 0, total)
        })?,
    }

    begin("vision tower", on_progress)?;
    let clip = out.join("clip");
    copy_small_files(&raw.join(&parts.clip), &clip)?;
    let vision = |name: &str| !name.starts_with("text_model.") && name != "logit_scale";
    write_safetensors(
        &clip.join("model.safetensors"),
        &[Checkpoint::open(&raw.join(&parts.clip))?],
        vision,
    )?;

    for plugin in &mut manifest.plugins {
        begin(&format!("plug-in {}", plugin.name), on_progress)?;
        let mut sources = vec![Checkpoint::open(&raw.join(&plugin.file))?];
        if let Some(fusion) = plugin.fusion.take() {
            sources.push(Checkpoint::open(&raw.join(fusion))?);
        }
        plugin.file = Path::new("plugins").join(format!("{}.safetensors", plugin.name));
        let path = out.join(&plugin.file);
        match packing {
            None => write_safetensors(&path, &sources, |_| true)?,
            Some(_) if path.is_file() => {}
            Some([_, packing]) => {
                write_packed(&path, &sources, packing, &mut |_, _| {
                    ControlFlow::Continue(())
                })?;
            }
        }
    }
    if let Some(folder) = &parts.vqgan {
        begin("image decoder", on_progress)?;
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
    let _ = fs::remove_file(out.join(SIGNATURE));
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
