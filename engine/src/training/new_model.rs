//! A model of one's own before its first step: a tokenizer learned from the records' words, sizes, random weights, and the
//! trained VQGAN, in the layout of a real HealthGPT model.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::TrainError;
use super::look_back;
use super::model_dir::write_manifest;
use super::params::{save_module, write_f32};
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
use crate::model::prompt::{PromptPiece, Template, pieces};
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
    /// Records whose questions and answers the tokenizer learns.
    pub records: Vec<PathBuf>,
    /// Pieces of words that the tokenizer learns beyond single characters.
    pub merges: usize,
    /// Seed of the weights.
    pub seed: u64,
    /// Does the first layer begin by looking at the patch under each code? Needs as many patches as codes.
    #[serde(default)]
    pub look_back: bool,
    /// The grey levels that the records' pictures have.
    pub windows: Option<InputWindows>,
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
        let wrong = |what: String| TrainError::Config {
            what,
            path: path.to_owned(),
        };
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let mut config: Self =
            toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
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
    let vocabulary = Vocabulary::learn(&words, config.merges);
    let llm = new.join("llm");
    text(llm.join("tokenizer.json"), &vocabulary.tokenizer_json())?;
    text(
        llm.join("tokenizer_config.json"),
        &vocabulary.tokenizer_config(),
    )?;
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
        licence: config.licence.clone(),
        template: Template::Phi3Instruct,
        windows: config.windows,
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
    let distances = distances(config, &tokenizer, &clip_config, codes_of(new)?)?;
    if config.look_back {
        decoder = look_back::decoder(decoder, &params, &llm_config, &distances);
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
        if config.look_back {
            plugin = look_back::plugin(plugin, &params, llm_config.hidden_size);
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

/// How far back the patch under the next code is, for each task that makes a picture of one, in its own instruction.
fn distances(
    config: &NewModelConfig,
    tokenizer: &Tokenizer,
    clip: &ClipConfig,
    codes: usize,
) -> Result<Vec<usize>, TrainError> {
    let grid = clip.image_size / clip.patch_size;
    if config.look_back && grid * grid != codes {
        return Err(TrainError::Config {
            what: format!(
                "look_back needs as many patches as codes; there are {} and {codes}",
                grid * grid
            ),
            path: config.out.clone(),
        });
    }
    let entries = config.plugins.iter();
    let mut tasks: Vec<Task> = entries
        .flat_map(|plugin| plugin.capabilities.iter().map(|capability| capability.task))
        .filter(|task| task.generates())
        .collect();
    tasks.dedup();
    let of = |task: Task| {
        let text = Template::Phi3Instruct.text(&[], task.instruction(), 1, true);
        let after = pieces(tokenizer, &text)
            .into_iter()
            .skip_while(|piece| !matches!(piece, PromptPiece::Image(_)))
            .map(|piece| match piece {
                PromptPiece::Ids(ids) => ids.len(),
                PromptPiece::Image(_) => 0,
            });
        // The token before a code has it as its target.
        codes + after.sum::<usize>() - 1
    };
    Ok(tasks.into_iter().map(of).collect())
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

/// Counts words as the tokenizer will cut them: after a space, which belongs to the word.
fn count_words(text: &str, words: &mut BTreeMap<String, usize>) {
    for line in text.split('\n') {
        for (i, word) in line.split(' ').enumerate() {
            let word = if i == 0 {
                word.to_owned()
            } else {
                format!("\u{2581}{word}")
            };
            if !word.is_empty() && !word.contains('<') {
                *words.entry(word).or_default() += 1;
            }
        }
    }
}

/// Pieces and merges of a Llama tokenizer, and Phi-3's added tokens behind them.
struct Vocabulary {
    /// In the order of their ids.
    pieces: Vec<String>,
    merges: Vec<(String, String)>,
}

/// Phi-3's added tokens in the order of their ids, and whether they eat white space to their right.
const ADDED: [(&str, bool); 11] = [
    ("<|endoftext|>", false),
    ("<|assistant|>", true),
    ("<|placeholder1|>", true),
    ("<|placeholder2|>", true),
    ("<|placeholder3|>", true),
    ("<|placeholder4|>", true),
    ("<|system|>", true),
    ("<|end|>", true),
    ("<|placeholder5|>", true),
    ("<|placeholder6|>", true),
    ("<|user|>", true),
];

impl Vocabulary {
    /// Byte-pair encoding (Sennrich et al. 2016): the most frequent pair becomes a piece, ties by their text.
    fn learn(words: &BTreeMap<String, usize>, merges: usize) -> Self {
        let mut pieces: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
        pieces.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
        let mut cut: Vec<(Vec<String>, usize)> = words
            .iter()
            .map(|(word, count)| (word.chars().map(String::from).collect(), *count))
            .collect();
        let mut letters: Vec<String> = cut.iter().flat_map(|(word, _)| word.clone()).collect();
        letters.extend((' '..='~').map(|c| c.to_string()));
        letters.push("\u{2581}".to_owned());
        letters.retain(|letter| letter != " ");
        letters.sort();
        letters.dedup();
        pieces.extend(letters);
        let mut made = Vec::new();
        while made.len() < merges {
            let mut pairs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
            for (word, count) in &cut {
                for pair in word.windows(2) {
                    if let [a, b] = pair {
                        *pairs.entry((a, b)).or_default() += count;
                    }
                }
            }
            let best = pairs
                .into_iter()
                .max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)));
            let Some(((a, b), _)) = best.filter(|(_, count)| *count > 1) else {
                break;
            };
            let (a, b) = (a.to_owned(), b.to_owned());
            let piece = format!("{a}{b}");
            for (word, _) in &mut cut {
                let mut i = 0;
                while i + 1 < word.len() {
                    if word[i] == a && word[i + 1] == b {
                        word[i] = piece.clone();
                        let _ = word.remove(i + 1);
                    }
                    i += 1;
                }
            }
            pieces.push(piece);
            made.push((a, b));
        }
        Self {
            pieces,
            merges: made,
        }
    }

    fn id_of_added(&self, name: &str) -> usize {
        let place = ADDED.iter().position(|(added, _)| *added == name);
        self.pieces.len() + place.unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.pieces.len() + ADDED.len()
    }

    /// `<|endoftext|>`, `<|assistant|>` and `<|end|>`, as Phi-3 has them.
    fn stops(&self) -> Vec<usize> {
        ["<|endoftext|>", "<|assistant|>", "<|end|>"]
            .map(|name| self.id_of_added(name))
            .to_vec()
    }

    /// Id and entry of every added token.
    fn added(&self) -> Vec<(usize, Value)> {
        let entry = |name: &str, rstrip: bool, special: bool| {
            json!({"content": name, "lstrip": false, "rstrip": rstrip, "normalized": false,
                   "single_word": false, "special": special})
        };
        let first = [
            ("<unk>", false, true),
            ("<s>", false, true),
            ("</s>", true, false),
        ];
        first
            .iter()
            .enumerate()
            .map(|(id, (name, rstrip, special))| (id, entry(name, *rstrip, *special)))
            .chain(
                ADDED
                    .iter()
                    .enumerate()
                    .map(|(i, (name, rstrip))| (self.pieces.len() + i, entry(name, *rstrip, true))),
            )
            .collect()
    }

    fn tokenizer_json(&self) -> Value {
        let vocab: serde_json::Map<String, Value> = self
            .pieces
            .iter()
            .enumerate()
            .map(|(id, piece)| (piece.clone(), json!(id)))
            .collect();
        let merges: Vec<String> = self
            .merges
            .iter()
            .map(|(a, b)| format!("{a} {b}"))
            .collect();
        let added: Vec<Value> = self
            .added()
            .into_iter()
            .map(|(id, mut entry)| {
                entry["id"] = json!(id);
                entry
            })
            .collect();
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "\u{2581}"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"}]},
            "pre_tokenizer": null, "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
            "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
                      "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true,
                      "vocab": vocab, "merges": merges},
        })
    }

    fn tokenizer_config(&self) -> Value {
        let decoder: serde_json::Map<String, Value> = self
            .added()
            .into_iter()
            .map(|(id, entry)| (id.to_string(), entry))
            .collect();
        json!({
            "add_bos_token": false, "add_eos_token": false, "bos_token": "<s>", "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>", "unk_token": "<unk>", "legacy": false, "tokenizer_class": "LlamaTokenizer",
            "clean_up_tokenization_spaces": false, "added_tokens_decoder": decoder,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_pair_becomes_a_piece_first() {
        let mut words = BTreeMap::new();
        count_words("<image>\nthe leg the knee", &mut words);
        assert_eq!(words.get("\u{2581}the"), Some(&1));
        let vocabulary = Vocabulary::learn(&words, 3);
        assert_eq!(
            vocabulary.merges.first(),
            Some(&("h".to_owned(), "e".to_owned()))
        );
        assert_eq!(
            vocabulary.pieces.len(),
            259 + 95 + 2,
            "one more pair would occur once only"
        );
        assert_eq!(vocabulary.stops()[2] - vocabulary.stops()[0], 7);
    }
}
