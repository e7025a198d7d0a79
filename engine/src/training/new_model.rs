//! A model of one's own before its first step: a tokenizer learned from the records' words, sizes, random weights, and the
//! trained VQGAN, in the layout of a real HealthGPT model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::{read_config, wrong};
use super::error::TrainError;
use super::look_back::LookBack;
use super::model_dir::write_manifest;
use super::params::{save_module, write_f32};
use super::vocabulary::{Vocabulary, count_words, instruction};
use crate::dataset::{OnBad, Records};
use crate::model::checkpoint::{Checkpoint, canonical_name};
use crate::model::clip::ClipVision;
use crate::model::config::{ClipConfig, LlmConfig, VqganConfig};
use crate::model::convert::hashes;
use crate::model::decoder::Decoder;
use crate::model::initializer::Initializer;
use crate::model::loader::{Loader, Precision, Source};
use crate::model::manifest::{InputWindows, Manifest, Parts, PlugInEntry, PlugInKind};
use crate::model::plugin::PlugIn;
use crate::model::prompt::Template;
use crate::model::tokenizer::Tokenizer;
use crate::task::{Capability, Task};

/// `train.toml` of a new model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewModelConfig {
    /// `new`.
    pub stage: String,
    /// The model directory to make.
    pub out: PathBuf,
    /// Folder of a trained VQGAN (`model.yaml`, `model.safetensors`).
    pub vqgan: PathBuf,
    /// Name shown to the user.
    pub name: String,
    /// Licence of the weights.
    pub licence: String,
    /// What a user must know before believing it.
    #[serde(default)]
    pub caution: Option<String>,
    /// Records whose questions and answers the tokenizer learns.
    pub records: Vec<PathBuf>,
    /// Pieces of words that the tokenizer learns beyond single characters.
    pub merges: usize,
    /// Seed of the weights.
    pub seed: u64,
    /// Heads of the first layer that begin by looking at the patch under each code; the next head begins with the words, and the
    /// others as noise. Needs as many patches as codes; 0 is none.
    #[serde(default)]
    pub look_back: usize,
    /// The grey levels that the records' pictures have.
    pub windows: Option<InputWindows>,
    /// As in `model.toml`: tasks whose pictures get the code nearest to the expected one.
    #[serde(default)]
    pub expected_codes: BTreeMap<Task, f32>,
    /// Sizes of the vision tower.
    pub clip: ClipSizes,
    /// Sizes of the language model.
    pub llm: LlmSizes,
    /// Plug-ins.
    #[serde(rename = "plugin")]
    pub plugins: Vec<PlugInSizes>,
}

/// Sizes of a vision tower.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of CLIP's config.json")]
pub struct ClipSizes {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub image_size: usize,
    pub patch_size: usize,
}

/// Sizes of a Phi-3 decoder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are those of Phi-3's config.json")]
pub struct LlmSizes {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub max_position_embeddings: usize,
    pub rope_theta: f64,
}

/// A plug-in to begin.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlugInSizes {
    /// Name shown to the user.
    pub name: String,
    /// Which layers.
    pub kind: PlugInKind,
    /// All experts together.
    pub rank: usize,
    /// Experts.
    pub experts: usize,
    /// Twice the rank in every script of the reference.
    pub alpha: f64,
    /// Index into CLIP's hidden states: -2 (abstract) or 1 (concrete).
    pub vit_hidden_state: i64,
    /// What it will be trained for.
    pub capabilities: Vec<Capability>,
}

impl NewModelConfig {
    /// Reads a configuration; its paths are relative to the file.
    ///
    /// # Errors
    /// [`TrainError::Config`].
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let mut config: Self = read_config(path)?;
        let base = path.parent().unwrap_or(Path::new("."));
        config.out = base.join(&config.out);
        config.vqgan = base.join(&config.vqgan);
        for records in &mut config.records {
            *records = base.join(&*records);
        }
        Ok(config)
    }
}

/// Makes the directory; an existing one is left alone.
///
/// # Errors
/// Records or a VQGAN that cannot be read, sizes that do not fit, or a folder that cannot be written.
pub fn create(config: &NewModelConfig, device: &Device) -> Result<(), TrainError> {
    if config.out.join("model.toml").exists() {
        return Ok(());
    }
    let new = config.out.with_extension("new");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| TrainError::Checkpoint {
            why: error.to_string(),
            path,
        }
    };
    let _ = fs::remove_dir_all(&new);
    for part in ["llm", "clip", "vqgan", "plugins"] {
        let folder = new.join(part);
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
    }
    for name in ["model.yaml", "model.safetensors"] {
        let from = config.vqgan.join(name);
        let _ = fs::copy(&from, new.join("vqgan").join(name)).map_err(failed(&from))?;
    }
    let text = |path: PathBuf, value: &Value| {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        fs::write(&path, text).map_err(failed(&path))
    };
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    for path in &config.records {
        for record in Records::read(path, OnBad::Refuse)?.records {
            for message in record.conversations {
                count_words(&message.value, &mut words);
            }
        }
    }
    let mut vocabulary = Vocabulary::learn(&words, config.merges);
    let llm = new.join("llm");
    let tasks = picture_tasks(config);
    loop {
        text(
            llm.join("tokenizer_config.json"),
            &vocabulary.tokenizer_config(),
        )?;
        text(llm.join("tokenizer.json"), &vocabulary.tokenizer_json())?;
        if config.look_back == 0 || !vocabulary.level(&Tokenizer::open(&llm, 0)?, &tasks) {
            break;
        }
    }
    text(llm.join("config.json"), &llm_json(&config.llm, &vocabulary))?;
    text(
        llm.join("generation_config.json"),
        &json!({"eos_token_id": vocabulary.stops()}),
    )?;
    let clip = new.join("clip");
    text(clip.join("config.json"), &clip_json(&config.clip))?;
    text(
        clip.join("preprocessor_config.json"),
        &preprocessor_json(config.clip.image_size),
    )?;

    write_weights(config, device, &new)?;
    let mut manifest = manifest(config);
    manifest.sha256 = hashes(&new, &|_| None)?;
    write_manifest(&manifest, &new)?;
    fs::rename(&new, &config.out).map_err(failed(&config.out))
}

fn manifest(config: &NewModelConfig) -> Manifest {
    let plugin = |plugin: &PlugInSizes| PlugInEntry {
        name: plugin.name.clone(),
        file: PathBuf::from("plugins").join(format!("{}.safetensors", plugin.name)),
        fusion: None,
        alpha: plugin.alpha,
        rank: plugin.rank,
        experts: plugin.experts,
        kind: plugin.kind,
        vit_hidden_state: plugin.vit_hidden_state,
        capabilities: plugin.capabilities.clone(),
    };
    Manifest {
        format: 1,
        name: config.name.clone(),
        variant: "nano".to_owned(),
        trained: false,
        caution: config.caution.clone(),
        licence: config.licence.clone(),
        template: Template::Phi3Instruct,
        windows: config.windows,
        expected_codes: config.expected_codes.clone(),
        parts: Parts {
            llm: "llm".into(),
            clip: "clip".into(),
            vqgan: Some("vqgan".into()),
        },
        plugins: config.plugins.iter().map(plugin).collect(),
        sha256: BTreeMap::new(),
    }
}

fn write_weights(config: &NewModelConfig, device: &Device, new: &Path) -> Result<(), TrainError> {
    let (llm, clip) = (new.join("llm"), new.join("clip"));
    let llm_config = LlmConfig::open(&llm)?;
    let clip_config = ClipConfig::open(&clip)?;
    let codes = VqganConfig::open(&new.join("vqgan"))?.n_embed;
    let tokenizer = Tokenizer::open(&llm, codes)?;
    let mut initializer = Initializer::new(config.seed);
    let mut on_tensor = || ControlFlow::Continue(());
    let mut loader = Loader {
        source: Source::Random(&mut initializer),
        device,
        precision: Precision::F32,
        on_tensor: &mut on_tensor,
        stopped: false,
        made: Vec::new(),
    };
    let tower = ClipVision::load(&mut loader, &clip_config);
    let params = std::mem::take(&mut loader.made);
    save_module(&tower, &params, &clip.join("model.safetensors"))?;
    let mut decoder = Decoder::load(&mut loader, &llm_config);
    let params = std::mem::take(&mut loader.made);
    let begin = look_back(config, &tokenizer, &clip_config, codes_of(new)?)?;
    if let Some(begin) = begin {
        decoder = begin.decoder(decoder, &params, &llm_config);
    }
    save_module(&decoder, &params, &llm.join("model.safetensors"))?;
    let vocabulary = tokenizer.base_len() + tokenizer.added_rows();
    for entry in manifest(config).plugins {
        let hidden = clip_config.hidden_size;
        let plugin = PlugIn::load(&mut loader, &entry, &llm_config, hidden, vocabulary);
        let mut params = std::mem::take(&mut loader.made);
        let mut plugin = plugin;
        // Rows of the image tokens differ from the first step on: the mean row would make all codes the same.
        plugin.embed_tokens =
            Some(loader.matrix("embed_tokens.weight", vocabulary, llm_config.hidden_size));
        plugin.lm_head = Some(loader.matrix("lm_head.weight", vocabulary, llm_config.hidden_size));
        params.extend(std::mem::take(&mut loader.made));
        if let Some(begin) = begin {
            plugin = begin.plugin(plugin, &params, llm_config.hidden_size);
        }
        save_module(&plugin, &params, &new.join(&entry.file))?;
    }
    Ok(())
}

/// Codes of a picture.
fn codes_of(new: &Path) -> Result<usize, TrainError> {
    let side = VqganConfig::open(&new.join("vqgan"))?.latent_side();
    Ok(side * side)
}

/// What the model's plug-ins make pictures for.
fn picture_tasks(config: &NewModelConfig) -> Vec<Task> {
    let entries = config.plugins.iter();
    let mut tasks: Vec<Task> = entries
        .flat_map(|plugin| plugin.capabilities.iter().map(|capability| capability.task))
        .filter(|task| task.generates())
        .collect();
    tasks.dedup();
    tasks
}

/// What the first layer begins with, if the configuration says so.
fn look_back(
    config: &NewModelConfig,
    tokenizer: &Tokenizer,
    clip: &ClipConfig,
    codes: usize,
) -> Result<Option<LookBack>, TrainError> {
    let heads = config.look_back;
    let wrong = |what: String| wrong(&config.out, what);
    if heads == 0 {
        return Ok(None);
    }
    if heads >= config.llm.num_attention_heads {
        return Err(wrong(format!(
            "look_back takes {heads} heads and one more for the words; there are {}",
            config.llm.num_attention_heads
        )));
    }
    let grid = clip.image_size / clip.patch_size;
    if grid * grid != codes {
        return Err(wrong(format!(
            "look_back needs as many patches as codes; there are {} and {codes}",
            grid * grid
        )));
    }
    let tasks = picture_tasks(config).into_iter();
    let after: BTreeSet<usize> = tasks
        .map(|task| instruction(tokenizer, task).len())
        .collect();
    let mut after = after.into_iter();
    let (Some(after), None) = (after.next(), after.next()) else {
        return Err(wrong(
            "look_back needs plug-ins that make pictures, with instructions of one length in tokens"
                .to_owned(),
        ));
    };
    Ok(Some(LookBack {
        heads,
        // The token before a code has it as its target.
        distance: codes + after - 1,
        words: tokenizer.base_len(),
    }))
}

/// Gives a plug-in of a model directory new low-rank layers, as its entry describes them; its adapter and tables stay.
///
/// # Errors
/// A model that cannot be read, or a file that cannot be written.
pub fn fresh_plugin(
    dir: &Path,
    entry: &mut PlugInEntry,
    parts: &Parts,
    seed: u64,
) -> Result<(), TrainError> {
    let llm = dir.join(&parts.llm);
    let llm_config = LlmConfig::open(&llm)?;
    let hidden = ClipConfig::open(&dir.join(&parts.clip))?.hidden_size;
    let mut initializer = Initializer::new(seed);
    let mut loader = Loader {
        source: Source::Random(&mut initializer),
        device: &Device::flex(),
        precision: Precision::F32,
        on_tensor: &mut || ControlFlow::Continue(()),
        stopped: false,
        made: Vec::new(),
    };
    let plugin = PlugIn::load(&mut loader, entry, &llm_config, hidden, 0);
    let values = super::learner::values(&plugin);
    let former = dir.join(&entry.file);
    let old = Checkpoint::open(&former)?;
    let found = |wanted: &str| {
        let name = old.names().find(|name| canonical_name(name) == wanted)?;
        old.tensor(name)
    };
    let mut tensors = Vec::new();
    for param in loader.made {
        let adapter = param.name.starts_with("mm_projector.");
        let kept = found(&param.name).filter(|_| adapter);
        let new = match kept {
            Some(kept) => kept.to_f32(),
            None => values.get(&param.id).cloned().unwrap_or_default(),
        };
        tensors.push((param.name, param.shape, new));
    }
    for name in ["embed_tokens.weight", "lm_head.weight"] {
        if let Some(table) = found(name) {
            tensors.push((name.to_owned(), table.shape.clone(), table.to_f32()));
        }
    }
    entry.file = PathBuf::from("plugins").join(format!("{}.safetensors", entry.name));
    let path = dir.join(&entry.file);
    drop(old);
    let _ = fs::remove_file(&former);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| TrainError::Checkpoint {
            why: error.to_string(),
            path: folder.to_owned(),
        })?;
    }
    write_f32(&path, &tensors)
}

fn llm_json(sizes: &LlmSizes, vocabulary: &Vocabulary) -> Value {
    json!({
        "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "hidden_act": "silu",
        "hidden_size": sizes.hidden_size, "intermediate_size": sizes.intermediate_size,
        "num_hidden_layers": sizes.num_hidden_layers, "num_attention_heads": sizes.num_attention_heads,
        "num_key_value_heads": sizes.num_key_value_heads, "rms_norm_eps": 1e-5, "rope_theta": sizes.rope_theta,
        "rope_scaling": null, "sliding_window": null, "max_position_embeddings": sizes.max_position_embeddings,
        "tie_word_embeddings": false, "vocab_size": vocabulary.len(), "bos_token_id": 1,
        "eos_token_id": vocabulary.stops().first(), "pad_token_id": vocabulary.stops().first(),
        "torch_dtype": "float32",
    })
}

fn clip_json(sizes: &ClipSizes) -> Value {
    json!({
        "model_type": "clip",
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_act": "quick_gelu", "hidden_size": sizes.hidden_size,
            "intermediate_size": sizes.intermediate_size, "num_hidden_layers": sizes.num_hidden_layers,
            "num_attention_heads": sizes.num_attention_heads, "image_size": sizes.image_size,
            "patch_size": sizes.patch_size, "layer_norm_eps": 1e-5,
        },
    })
}

/// Black is 0: the padding of a picture that is not square, which has the colour of the mean, is then air.
fn preprocessor_json(side: usize) -> Value {
    json!({
        "crop_size": {"height": side, "width": side}, "do_center_crop": true, "do_convert_rgb": true,
        "do_normalize": true, "do_rescale": true, "do_resize": true,
        "image_processor_type": "CLIPImageProcessor", "image_mean": [0.0, 0.0, 0.0],
        "image_std": [0.5, 0.5, 0.5], "resample": 3,
        "rescale_factor": 1.0 / 255.0, "size": {"shortest_edge": side},
    })
}
