//! Sizes, read from the user's own files: `config.json`, `generation_config.json`, `preprocessor_config.json` and
//! `model.yaml`. Keys that Hugging Face leaves out when they equal its defaults take those defaults here.

use std::path::Path;

use serde_json::Value;

use super::error::ModelError;

/// Which decoder a `config.json` describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Fused `qkv_proj` and `gate_up_proj`.
    Phi3,
    /// Separate projections, biases on q, k and v.
    Qwen2,
}

/// Sizes of the language model.
#[derive(Clone, Debug)]
pub struct LlmConfig {
    /// Which decoder.
    pub architecture: Architecture,
    /// Rows of the embedding table on disk.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Of every RMS norm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Keys visible besides the query's own; `None` is all.
    pub sliding_window: Option<usize>,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Is the head the embedding table?
    pub tie_word_embeddings: bool,
}

/// What ends an answer, and the model's own penalty.
#[derive(Clone, Debug)]
pub struct GenerationConfig {
    /// Stop ids.
    pub eos_token_ids: Vec<u32>,
    /// 1 is none. Acts in greedy decoding too, as in the reference.
    pub repetition_penalty: f32,
}

/// Sizes of CLIP's vision tower.
#[derive(Clone, Debug)]
pub struct ClipConfig {
    /// Width.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// Side of the picture in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Of every layer norm.
    pub layer_norm_eps: f64,
}

/// How a picture becomes CLIP's input.
#[derive(Clone, Debug)]
pub struct PreprocessorConfig {
    /// Side after resizing and cropping.
    pub size: usize,
    /// Times every 8-bit value.
    pub rescale_factor: f64,
    /// Subtracted per channel.
    pub image_mean: [f32; 3],
    /// Divided by per channel.
    pub image_std: [f32; 3],
}

/// Sizes of the VQGAN.
#[derive(Clone, Debug)]
pub struct VqganConfig {
    /// Width of a code.
    pub embed_dim: usize,
    /// Codes.
    pub n_embed: usize,
    /// Channels of the latents.
    pub z_channels: usize,
    /// Side of the image.
    pub resolution: usize,
    /// Channels in.
    pub in_channels: usize,
    /// Channels out.
    pub out_ch: usize,
    /// Base width.
    pub ch: usize,
    /// Width of each level over the base.
    pub ch_mult: Vec<usize>,
    /// Blocks per level.
    pub num_res_blocks: usize,
    /// Resolutions with attention.
    pub attn_resolutions: Vec<usize>,
    /// Groups of every norm: taming's `num_groups`, 32 where the file has none.
    pub norm_groups: usize,
}

fn json(path: &Path) -> Result<Value, ModelError> {
    let text = std::fs::read_to_string(path).map_err(ModelError::io(path))?;
    serde_json::from_str(&text).map_err(|error| ModelError::damaged(path, error.to_string()))
}

fn size(value: &Value, key: &str, default: usize) -> usize {
    value
        .get(key)
        .and_then(Value::as_u64)
        .map_or(default, |n| n as usize)
}

fn float(value: &Value, key: &str, default: f64) -> f64 {
    value.get(key).and_then(Value::as_f64).unwrap_or(default)
}

fn checked(path: &Path, fits: bool, what: &str) -> Result<(), ModelError> {
    if fits {
        Ok(())
    } else {
        Err(ModelError::damaged(path, what))
    }
}

impl LlmConfig {
    /// Reads `config.json` of a language model.
    ///
    /// # Errors
    /// Missing or damaged file, an unknown architecture, RoPE scaling, or sizes that cannot be.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let value = json(&path)?;
        let kind = value
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let architecture = match kind {
            "phi3" => Architecture::Phi3,
            "qwen2" => Architecture::Qwen2,
            other => {
                return Err(ModelError::damaged(
                    &path,
                    format!("model_type '{other}' is not phi3 or qwen2"),
                ));
            }
        };
        if value
            .get("rope_scaling")
            .is_some_and(|scaling| !scaling.is_null())
        {
            return Err(ModelError::damaged(
                &path,
                "rope_scaling is not supported; HealthGPT's bases have none",
            ));
        }
        let heads = size(&value, "num_attention_heads", 32);
        let hidden = size(
            &value,
            "hidden_size",
            if kind == "phi3" { 3072 } else { 4096 },
        );
        let windowed = kind == "phi3"
            || value.get("use_sliding_window").and_then(Value::as_bool) == Some(true);
        let config = Self {
            architecture,
            vocab_size: size(
                &value,
                "vocab_size",
                if kind == "phi3" { 32064 } else { 151_936 },
            ),
            hidden_size: hidden,
            intermediate_size: size(
                &value,
                "intermediate_size",
                if kind == "phi3" { 8192 } else { 22_016 },
            ),
            num_hidden_layers: size(&value, "num_hidden_layers", 32),
            num_attention_heads: heads,
            num_key_value_heads: size(&value, "num_key_value_heads", heads),
            head_dim: size(&value, "head_dim", hidden.checked_div(heads).unwrap_or(0)),
            rms_norm_eps: float(
                &value,
                "rms_norm_eps",
                if kind == "phi3" { 1e-5 } else { 1e-6 },
            ),
            rope_theta: float(&value, "rope_theta", 10_000.0),
            sliding_window: windowed
                .then(|| {
                    value
                        .get("sliding_window")
                        .and_then(Value::as_u64)
                        .map(|n| n as usize)
                })
                .flatten(),
            max_position_embeddings: size(&value, "max_position_embeddings", 4096),
            tie_word_embeddings: value
                .get("tie_word_embeddings")
                .and_then(Value::as_bool)
                .unwrap_or(false),
        };
        let kv = config.num_key_value_heads;
        checked(
            &path,
            heads > 0 && kv > 0 && heads.is_multiple_of(kv),
            "the numbers of heads do not fit each other",
        )?;
        checked(
            &path,
            config.head_dim > 0 && config.head_dim.is_multiple_of(2),
            "the head width is odd or zero",
        )?;
        checked(
            &path,
            hidden > 0 && config.vocab_size > 0 && config.num_hidden_layers > 0,
            "a size is zero",
        )?;
        Ok(config)
    }
}

impl GenerationConfig {
    /// Reads `generation_config.json`, or the stop id of `config.json` where there is none.
    ///
    /// # Errors
    /// Damaged files, or no stop id anywhere.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("generation_config.json");
        let path = if path.is_file() {
            path
        } else {
            folder.join("config.json")
        };
        let value = json(&path)?;
        let id = |value: &Value| value.as_u64().map(|id| id as u32);
        let eos_token_ids: Vec<u32> = match value.get("eos_token_id") {
            Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
            Some(single) => id(single).into_iter().collect(),
            None => Vec::new(),
        };
        checked(
            &path,
            !eos_token_ids.is_empty(),
            "no eos_token_id: an answer would never end",
        )?;
        Ok(Self {
            eos_token_ids,
            repetition_penalty: float(&value, "repetition_penalty", 1.0) as f32,
        })
    }
}

impl ClipConfig {
    /// Reads `config.json` of a CLIP folder (the vision part, or all of it).
    ///
    /// # Errors
    /// Missing or damaged file, another activation, or sizes that cannot be.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let whole = json(&path)?;
        let value = whole.get("vision_config").unwrap_or(&whole);
        let act = value
            .get("hidden_act")
            .and_then(Value::as_str)
            .unwrap_or("quick_gelu");
        checked(&path, act == "quick_gelu", "hidden_act is not quick_gelu")?;
        let config = Self {
            hidden_size: size(value, "hidden_size", 768),
            intermediate_size: size(value, "intermediate_size", 3072),
            num_hidden_layers: size(value, "num_hidden_layers", 12),
            num_attention_heads: size(value, "num_attention_heads", 12),
            image_size: size(value, "image_size", 224),
            patch_size: size(value, "patch_size", 32),
            layer_norm_eps: float(value, "layer_norm_eps", 1e-5),
        };
        let heads = config.num_attention_heads;
        checked(
            &path,
            heads > 0 && config.hidden_size.is_multiple_of(heads),
            "hidden_size is not a multiple of the heads",
        )?;
        let patch = config.patch_size;
        checked(
            &path,
            patch > 0 && config.image_size >= patch,
            "patch_size does not fit image_size",
        )?;
        Ok(config)
    }
}

impl PreprocessorConfig {
    /// Reads `preprocessor_config.json`.
    ///
    /// # Errors
    /// Missing or damaged file, or a resampling other than bicubic.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("preprocessor_config.json");
        let value = json(&path)?;
        let side = |key: &str| {
            let entry = value.get(key)?;
            let number = entry
                .as_u64()
                .or_else(|| entry.get("shortest_edge")?.as_u64());
            number
                .or_else(|| entry.get("height")?.as_u64())
                .map(|n| n as usize)
        };
        let resized = side("size").ok_or_else(|| ModelError::damaged(&path, "no size"))?;
        let cropped = side("crop_size").unwrap_or(resized);
        checked(
            &path,
            cropped == resized && resized > 0,
            "size and crop_size differ, which CLIP-336 never has",
        )?;
        checked(
            &path,
            size(&value, "resample", 3) == 3,
            "resample is not 3 (bicubic)",
        )?;
        let triple = |key: &str, default: [f32; 3]| {
            let Some(list) = value.get(key).and_then(Value::as_array) else {
                return default;
            };
            let mut out = default;
            for (to, from) in out.iter_mut().zip(list) {
                *to = from.as_f64().map_or(*to, |v| v as f32);
            }
            out
        };
        Ok(Self {
            size: resized,
            rescale_factor: float(&value, "rescale_factor", 1.0 / 255.0),
            image_mean: triple("image_mean", [0.481_454_66, 0.457_827_5, 0.408_210_73]),
            image_std: triple("image_std", [0.268_629_54, 0.261_302_6, 0.275_777_1]),
        })
    }
}

impl VqganConfig {
    /// Reads `model.yaml`.
    ///
    /// # Errors
    /// Missing or damaged file, another quantiser than GumbelVQ, or sizes that cannot be.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("model.yaml");
        let text = std::fs::read_to_string(&path).map_err(ModelError::io(&path))?;
        let whole: Value = serde_yaml_ng::from_str(&text)
            .map_err(|error| ModelError::damaged(&path, error.to_string()))?;
        let target = whole
            .pointer("/model/target")
            .and_then(Value::as_str)
            .unwrap_or_default();
        checked(
            &path,
            target.ends_with("GumbelVQ"),
            "the autoencoder is not taming's GumbelVQ",
        )?;
        let missing = || ModelError::damaged(&path, "no model.params.ddconfig");
        let params = whole.pointer("/model/params").ok_or_else(missing)?;
        let dd = params.get("ddconfig").ok_or_else(missing)?;
        let list = |key: &str| -> Vec<usize> {
            let items = dd.get(key).and_then(Value::as_array).into_iter().flatten();
            items
                .filter_map(Value::as_u64)
                .map(|n| n as usize)
                .collect()
        };
        let z_channels = size(dd, "z_channels", 256);
        let config = Self {
            embed_dim: size(params, "embed_dim", 256),
            n_embed: size(params, "n_embed", 8192),
            z_channels,
            resolution: size(dd, "resolution", 256),
            in_channels: size(dd, "in_channels", 3),
            out_ch: size(dd, "out_ch", 3),
            ch: size(dd, "ch", 128),
            ch_mult: list("ch_mult"),
            num_res_blocks: size(dd, "num_res_blocks", 2),
            norm_groups: size(dd, "num_groups", 32),
            attn_resolutions: list("attn_resolutions"),
        };
        let widths = config
            .ch_mult
            .iter()
            .all(|mult| *mult > 0 && (config.ch * mult).is_multiple_of(config.norm_groups));
        checked(
            &path,
            widths && !config.ch_mult.is_empty(),
            "a width is not a multiple of the norms' groups",
        )?;
        checked(
            &path,
            config.latent_side() > 0 && config.n_embed > 0,
            "a size is zero",
        )?;
        Ok(config)
    }

    /// Codes along one side of the image.
    pub fn latent_side(&self) -> usize {
        self.resolution >> (self.ch_mult.len().saturating_sub(1))
    }
}
