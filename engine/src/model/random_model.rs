//! A model folder with random weights in the size of a released model: what memory and speed a computer has for it, without its
//! weights. Everything is written tensor by tensor.
//!
//! The vision tower, the tokenizer's pieces and the image decoder's description are those of another (small) model; the
//! vocabulary has the released number of rows.

use std::fs;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use half::f16;
use serde_json::{Value, json};

use super::config::{ClipConfig, LlmConfig};
use super::decoder::Sites;
use super::error::ModelError;
use super::manifest::{Manifest, ModelLayout, Parts, PlugInKind};
use super::packed_file::header;
use super::prompt::Template;
use super::random::Random;

/// A released size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// HealthGPT-M3: Phi-3-mini.
    M3,
    /// HealthGPT-L14: phi-4.
    L14,
}

impl Shape {
    /// `m3`, `l14`.
    pub fn name(self) -> &'static str {
        match self {
            Self::M3 => "m3",
            Self::L14 => "l14",
        }
    }

    /// Keys of `config.json`.
    fn sizes(self) -> Vec<(&'static str, Value)> {
        let ([hidden, inner, layers, heads, kv, rows], theta) = match self {
            Self::M3 => ([3072, 8192, 32, 32, 32, 32_064], 10_000.0),
            Self::L14 => ([5120, 17_920, 40, 40, 10, 100_352], 250_000.0),
        };
        vec![
            ("hidden_size", json!(hidden)),
            ("intermediate_size", json!(inner)),
            ("num_hidden_layers", json!(layers)),
            ("num_attention_heads", json!(heads)),
            ("num_key_value_heads", json!(kv)),
            ("vocab_size", json!(rows)),
            ("rope_theta", json!(theta)),
            ("max_position_embeddings", json!(4096)),
        ]
    }

    /// Tokens before the image tokens, and the comprehension plug-in's merged rank.
    fn vocabulary_and_rank(self) -> (usize, usize) {
        match self {
            Self::M3 => (32_011, 64),
            Self::L14 => (100_352, 32),
        }
    }
}

impl std::str::FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::M3, Self::L14]
            .into_iter()
            .find(|shape| shape.name() == text)
            .ok_or_else(|| format!("'{text}' is not m3 or l14"))
    }
}

/// Writes the folder `out`, taking what has no weights from the model in `like`.
///
/// # Errors
/// `out` exists or cannot be written, `like` is no model of the Phi-3 kind, or a stop.
pub fn write_random(
    out: &Path,
    shape: Shape,
    like: &Path,
    on_progress: &mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>,
) -> Result<Manifest, ModelError> {
    if out.exists() {
        return Err(ModelError::OutputExists {
            path: out.to_owned(),
        });
    }
    let layout = ModelLayout::open(like)?;
    let parts = &layout.manifest.parts;
    let (llm, clip) = (out.join("llm"), out.join("clip"));
    let result = (|| {
        copy_folder(&like.join(&parts.llm), &llm, true)?;
        copy_folder(&like.join(&parts.clip), &clip, false)?;
        let (tokens, rank) = shape.vocabulary_and_rank();
        edit(&llm.join("config.json"), |config| {
            for (key, value) in shape.sizes() {
                config[key] = value;
            }
            config["head_dim"] = Value::Null;
            config["original_max_position_embeddings"] = json!(4096);
        })?;
        edit(&llm.join("tokenizer.json"), |tokenizer| {
            tokenizer["model"]["vocab"]["<the last token>"] = json!(tokens - 1);
        })?;
        let vqgan = out.join("vqgan");
        fs::create_dir_all(&vqgan).map_err(ModelError::io(&vqgan))?;
        let from = like.join(parts.vqgan.clone().unwrap_or_else(|| "vqgan".into()));
        let yaml = fs::read_to_string(from.join("model.yaml")).map_err(ModelError::io(&from))?;
        let codes = yaml.lines().map(|line| match line.split_once("n_embed:") {
            Some((indent, _)) => format!("{indent}n_embed: 8192\n"),
            None => format!("{line}\n"),
        });
        let path = vqgan.join("model.yaml");
        fs::write(&path, codes.collect::<String>()).map_err(ModelError::io(&path))?;

        let config = config_of(&llm)?;
        let mut random = Random(1);
        let tensors = base_tensors(&config);
        let stage = "random language model";
        write_tensors(
            &llm.join("model.safetensors"),
            &tensors,
            &mut random,
            &mut |done, of| on_progress(stage, done, of),
        )?;
        let width = ClipConfig::open(&clip)?.hidden_size;
        let file = Path::new("plugins").join("comprehension.safetensors");
        let tensors = plugin_tensors(&config, rank, 4, width);
        write_tensors(&out.join(&file), &tensors, &mut random, &mut |done, of| {
            on_progress("random plug-in", done, of)
        })?;
        let mut plugins = layout.manifest.plugins.clone();
        plugins.truncate(1);
        for plugin in &mut plugins {
            plugin.file.clone_from(&file);
            plugin.fusion = None;
            (plugin.rank, plugin.experts, plugin.alpha) = (rank, 4, 2.0 * rank as f64);
            plugin.kind = PlugInKind::HLora;
        }
        let manifest = Manifest {
            name: format!("random-{}", shape.name()),
            variant: shape.name().to_owned(),
            trained: false,
            caution: None,
            licence: "CC0-1.0 (random weights)".to_owned(),
            template: Template::Phi3Instruct,
            parts: Parts {
                llm: "llm".into(),
                clip: "clip".into(),
                vqgan: None,
            },
            plugins,
            sha256: std::collections::BTreeMap::new(),
            ..layout.manifest.clone()
        };
        let text = toml::to_string(&manifest).map_err(|error| ModelError::Invalid {
            what: format!("the manifest cannot be written: {error}"),
        })?;
        let path = out.join("model.toml");
        fs::write(&path, text).map_err(ModelError::io(&path))?;
        Ok(manifest)
    })();
    if result.is_err() {
        let _ = fs::remove_dir_all(out);
    }
    result
}

fn config_of(llm: &Path) -> Result<LlmConfig, ModelError> {
    edit(&llm.join("config.json"), |config| {
        if let Some(keys) = config.as_object_mut() {
            let _ = keys.remove("head_dim");
        }
    })?;
    LlmConfig::open(llm)
}

fn copy_folder(from: &Path, to: &Path, small_only: bool) -> Result<(), ModelError> {
    fs::create_dir_all(to).map_err(ModelError::io(to))?;
    for entry in fs::read_dir(from).map_err(ModelError::io(from))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let weights = name.ends_with(".safetensors") || name.ends_with(".index.json");
        if entry.path().is_file() && !(small_only && weights) {
            let target = to.join(&name);
            let _ = fs::copy(entry.path(), &target).map_err(ModelError::io(&target))?;
        }
    }
    Ok(())
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) -> Result<(), ModelError> {
    let text = fs::read_to_string(path).map_err(ModelError::io(path))?;
    let mut value: Value = serde_json::from_str(&text)
        .map_err(|error| ModelError::damaged(path, error.to_string()))?;
    change(&mut value);
    fs::write(path, value.to_string()).map_err(ModelError::io(path))
}

fn base_tensors(config: &LlmConfig) -> Vec<(String, Vec<usize>)> {
    let hidden = config.hidden_size;
    let table = vec![config.vocab_size, hidden];
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), table.clone()),
        ("lm_head.weight".to_owned(), table),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ];
    for i in 0..config.num_hidden_layers {
        let name = format!("model.layers.{i}");
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            tensors.push((format!("{name}.{norm}.weight"), vec![hidden]));
        }
        for site in Sites::new(config).iter() {
            let weight = format!("{name}.{}.weight", site.name);
            tensors.push((weight, vec![site.d_out, site.d_in]));
        }
    }
    tensors
}

fn plugin_tensors(
    config: &LlmConfig,
    rank: usize,
    experts: usize,
    width: usize,
) -> Vec<(String, Vec<usize>)> {
    let hidden = config.hidden_size;
    let mut tensors = vec![
        ("mm_projector.0.weight".to_owned(), vec![hidden, width]),
        ("mm_projector.0.bias".to_owned(), vec![hidden]),
        ("mm_projector.2.weight".to_owned(), vec![hidden, hidden]),
        ("mm_projector.2.bias".to_owned(), vec![hidden]),
    ];
    for i in 0..config.num_hidden_layers {
        for site in Sites::new(config).iter() {
            let name = format!("layers.{i}.{}", site.name);
            tensors.push((
                format!("{name}.lora_route.weight"),
                vec![experts, site.d_in],
            ));
            tensors.push((format!("{name}.lora_A.weight"), vec![rank, site.d_in]));
            tensors.push((format!("{name}.lora_B.weight"), vec![site.d_out, rank]));
        }
    }
    tensors
}

/// Norms one, biases zero, everything else uniform with the inverse square root of its inputs as deviation; f16.
fn write_tensors(
    path: &Path,
    tensors: &[(String, Vec<usize>)],
    random: &mut Random,
    on_tensor: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<(), ModelError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ModelError::io(folder))?;
    }
    let failed = |error| ModelError::io(path)(error);
    let text = header(tensors.iter().scan(0, |end, (name, shape)| {
        let from = *end;
        *end += 2 * shape.iter().product::<usize>();
        Some((name.as_str(), "F16", shape.as_slice(), from..*end))
    }));
    let file = fs::File::create(path).map_err(failed)?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    file.write_all(&(text.len() as u64).to_le_bytes())
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    for (i, (name, shape)) in tensors.iter().enumerate() {
        if on_tensor(i, tensors.len()).is_break() {
            return Err(ModelError::Stopped);
        }
        let count: usize = shape.iter().product();
        let constant = match shape.len() {
            1 if name.ends_with(".bias") => Some(0.0),
            1 => Some(1.0),
            _ => None,
        };
        // Uniform on (-a, a) has the deviation a / sqrt(3).
        let width = shape.get(1).copied().unwrap_or(1) as f32;
        let scale = 3f32.sqrt() / width.sqrt() / 32_768.0;
        let mut left = count;
        while left > 0 {
            let bits = random.bits();
            for part in 0..left.min(4) {
                let level = f32::from((bits >> (16 * part)) as u16 as i16);
                let value = f16::from_f32(constant.unwrap_or(level * scale));
                file.write_all(&value.to_le_bytes()).map_err(failed)?;
            }
            left -= left.min(4);
        }
    }
    file.flush().map_err(failed)
}
