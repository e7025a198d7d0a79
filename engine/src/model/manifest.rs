//! What a model folder holds: `model.toml`, or the raw downloads (`llm/ clip/ hlora/ vqgan/`) recognised as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, TensorLedger};
use super::error::ModelError;
use super::prompt::Template;
use crate::dataset::pairs::bright_level;
use crate::hex::sha256_hex;
use crate::imaging::{Modality, ViewDescriptor, VoiFunction, Volume, Window};
use crate::task::{Capability, Task};

/// `model.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this schema: 1.
    pub format: u32,
    /// Name shown to the user.
    pub name: String,
    /// `M3`, `L14`, `XL32`, `nano`.
    pub variant: String,
    /// False for random weights.
    pub trained: bool,
    /// What a user must know before believing it, in its author's words; shown wherever an untrained model is announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caution: Option<String>,
    /// Licence of the weights.
    pub licence: String,
    /// Prompt template.
    pub template: Template,
    /// The grey levels that it was trained on; absent where it takes any window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<InputWindows>,
    /// Tasks whose pictures get the code nearest to the expected one in place of the likeliest, and the temperature of that
    /// expectation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expected_codes: BTreeMap<Task, f32>,
    /// Folders, relative to `model.toml`.
    pub parts: Parts,
    /// Plug-ins.
    #[serde(rename = "plugin")]
    pub plugins: Vec<PlugInEntry>,
    /// Part file to its SHA-256 in hex.
    #[serde(default)]
    pub sha256: BTreeMap<String, String>,
}

/// Folders of a model, relative to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parts {
    /// Language model and tokenizer.
    pub llm: PathBuf,
    /// CLIP.
    pub clip: PathBuf,
    /// VQGAN; absent for comprehension only.
    pub vqgan: Option<PathBuf>,
}

/// How a model that was trained on one window sees slices, whatever window is on screen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputWindows {
    /// Centre and width of CT, in HU.
    pub ct: Option<[f32; 2]>,
    /// MR is divided by this percentile of its voxels above a tenth of their mean.
    pub mr_percentile: Option<f64>,
}

impl InputWindows {
    /// The view that the model gets instead of the one on screen.
    pub fn view(&self, volume: &Volume, view: ViewDescriptor) -> ViewDescriptor {
        let window = match volume.modality {
            Modality::Ct => self.ct.map(|[center, width]| (center, width)),
            Modality::Mr => self.mr_percentile.map(|percentile| {
                let top = bright_level(volume, percentile / 100.0);
                (top / 2.0, top)
            }),
            Modality::Unknown | Modality::Other(_) => None,
        };
        let Some((center, width)) = window else {
            return view;
        };
        ViewDescriptor {
            window: Window {
                function: VoiFunction::LinearExact,
                ..Window::linear(center, width)
            },
            invert: false,
            ..view
        }
    }
}

/// One plug-in of the manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlugInEntry {
    /// Name shown to the user.
    pub name: String,
    /// H-LoRA tensors and projector, relative to the folder.
    pub file: PathBuf,
    /// Embeddings and head that replace the base's, relative to the folder.
    pub fusion: Option<PathBuf>,
    /// Not in the weights: by the reference's scripts twice the merged rank.
    pub alpha: f64,
    /// All experts together.
    pub rank: usize,
    /// Experts.
    pub experts: usize,
    /// Which layers.
    pub kind: PlugInKind,
    /// Index into CLIP's hidden states: -2 or 1.
    pub vit_hidden_state: i64,
    /// What it was trained for.
    pub capabilities: Vec<Capability>,
}

/// Which low-rank layers a plug-in holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlugInKind {
    /// Router and merged experts.
    HLora,
    /// Plain.
    Lora,
    /// Router and separate experts.
    MoeLora,
}

/// A model folder and what it holds.
#[derive(Clone, Debug)]
pub struct ModelLayout {
    /// The folder.
    pub dir: PathBuf,
    /// Its manifest, read or made up for raw downloads.
    pub manifest: Manifest,
}

impl ModelLayout {
    /// Recognises a model folder.
    ///
    /// # Errors
    /// A damaged manifest, a path that leaves the folder, or missing parts, all named at once.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let toml_path = dir.join("model.toml");
        let manifest = if toml_path.is_file() {
            let text = std::fs::read_to_string(&toml_path).map_err(ModelError::io(&toml_path))?;
            toml::from_str(&text)
                .map_err(|error| ModelError::damaged(&toml_path, error.message().to_owned()))?
        } else {
            raw_manifest(dir)?
        };
        let layout = Self {
            dir: dir.to_owned(),
            manifest,
        };
        layout.check(&toml_path)?;
        Ok(layout)
    }

    /// SHA-256 of the manifest, which names the SHA-256 of every part: what a provenance record calls the model.
    pub fn identity(&self) -> String {
        let text = toml::to_string(&self.manifest).unwrap_or_default();
        sha256_hex(text.as_bytes())
    }

    /// Compares the files with the manifest's SHA-256, up to `limit` bytes a file (a full-size base takes minutes to
    /// hash; `verify` does it without a limit).
    ///
    /// # Errors
    /// [`ModelError::Changed`], [`ModelError::MissingParts`] or [`ModelError::Io`].
    pub fn check_hashes(&self, limit: u64) -> Result<(), ModelError> {
        for (name, expected) in &self.manifest.sha256 {
            let path = self.dir.join(name);
            let Ok(data) = std::fs::metadata(&path) else {
                return Err(ModelError::MissingParts {
                    missing: vec![name.clone()],
                    path: self.dir.clone(),
                });
            };
            if data.len() <= limit && super::convert::file_sha256(&path)? != *expected {
                return Err(ModelError::Changed { path });
            }
        }
        Ok(())
    }

    fn check(&self, toml_path: &Path) -> Result<(), ModelError> {
        let manifest = &self.manifest;
        if manifest.format != 1 {
            return Err(ModelError::damaged(
                toml_path,
                format!("format {} is not 1", manifest.format),
            ));
        }
        for (task, temperature) in &manifest.expected_codes {
            if !(task.generates() && *temperature > 0.0 && *temperature <= 10.0) {
                return Err(ModelError::damaged(
                    toml_path,
                    format!(
                        "expected_codes has {task} = {temperature}; it gives tasks that make pictures a temperature above 0, up to 10"
                    ),
                ));
            }
        }
        let mut paths: Vec<&Path> = vec![&manifest.parts.llm, &manifest.parts.clip];
        paths.extend(manifest.parts.vqgan.as_deref());
        for plugin in &manifest.plugins {
            paths.push(&plugin.file);
            paths.extend(plugin.fusion.as_deref());
            if plugin.experts == 0 || plugin.rank == 0 || plugin.rank % plugin.experts != 0 {
                return Err(ModelError::Invalid {
                    what: format!(
                        "plug-in {}: rank {} is not a multiple of its {} experts",
                        plugin.name, plugin.rank, plugin.experts
                    ),
                });
            }
        }
        let inside = |path: &Path| {
            path.components()
                .all(|part| matches!(part, std::path::Component::Normal(_)))
        };
        if let Some(path) = paths.iter().find(|path| !inside(path)) {
            return Err(ModelError::damaged(
                toml_path,
                format!("'{}' leaves the model folder", path.display()),
            ));
        }
        let missing: Vec<String> = paths
            .iter()
            .filter(|path| !self.dir.join(path).exists())
            .map(|path| path.display().to_string())
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(ModelError::MissingParts {
                missing,
                path: self.dir.clone(),
            })
        }
    }
}

/// The manifest of raw downloads. Alpha is twice the merged rank, as in every script of the reference; the public
/// generation weights only reconstruct, so nothing else is claimed for them.
fn raw_manifest(dir: &Path) -> Result<Manifest, ModelError> {
    let hlora = dir.join("hlora");
    let mut files: Vec<String> = std::fs::read_dir(&hlora)
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect()
        })
        .unwrap_or_default();
    files.sort();
    let find = |part: &str| {
        let fits = |name: &&String| name.contains(part) && !name.starts_with("legacy");
        files
            .iter()
            .find(fits)
            .map(|name| Path::new("hlora").join(name))
    };
    let mut missing: Vec<String> = ["llm/config.json", "clip/config.json"]
        .iter()
        .filter(|name| !dir.join(name).is_file())
        .map(|name| (*name).to_owned())
        .collect();
    let com = find("com_hlora");
    let generation = find("gen_hlora");
    let fusion = find("fusion_layer");
    if com.is_none() && generation.is_none() {
        missing.push("hlora/com_hlora_weights.bin or hlora/gen_hlora_weights.bin".to_owned());
    }
    if !missing.is_empty() {
        return Err(ModelError::MissingParts {
            missing,
            path: dir.to_owned(),
        });
    }
    let config = super::config::LlmConfig::open(&dir.join("llm"))?;
    let template = Template::guess(&config, &dir.join("llm"));
    let vqgan = dir
        .join("vqgan/last.ckpt")
        .is_file()
        .then(|| PathBuf::from("vqgan"));
    let mut plugins = Vec::new();
    for (name, file, fusion, layer, task) in [
        ("comprehension", com, None, -2, Task::Comprehend),
        ("generation", generation, fusion, 1, Task::Reconstruct),
    ] {
        let Some(file) = file else { continue };
        let (rank, experts) = rank_and_experts(&dir.join(&file))?;
        plugins.push(PlugInEntry {
            name: name.to_owned(),
            file,
            fusion,
            alpha: 2.0 * rank as f64,
            rank,
            experts,
            kind: PlugInKind::HLora,
            vit_hidden_state: layer,
            capabilities: vec![Capability { task, region: None }],
        });
    }
    Ok(Manifest {
        format: 1,
        name: dir.file_name().map_or_else(
            || "model".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        ),
        variant: "raw downloads".to_owned(),
        trained: true,
        caution: None,
        licence: "unknown: see where the weights came from".to_owned(),
        template,
        windows: None,
        expected_codes: BTreeMap::new(),
        parts: Parts {
            llm: "llm".into(),
            clip: "clip".into(),
            vqgan,
        },
        plugins,
        sha256: BTreeMap::new(),
    })
}

/// Merged rank (rows of A) and experts (rows of the router), from the shapes of a plug-in file.
fn rank_and_experts(file: &Path) -> Result<(usize, usize), ModelError> {
    let ledger = TensorLedger::new(vec![Checkpoint::open(file)?]);
    let rows = |part: &str| {
        ["layers.0.self_attn.qkv_proj", "layers.0.self_attn.q_proj"]
            .iter()
            .find_map(|site| ledger.shape(&format!("{site}.{part}.weight")))
            .and_then(|shape| shape.first().copied())
            .ok_or_else(|| {
                ModelError::damaged(file, format!("no {part} of layer 0: it is no H-LoRA file"))
            })
    };
    Ok((rows("lora_A")?, rows("lora_route")?))
}
