//! The *slow* tokenizers of the reference, exactly (specification section 7): Llama's for Phi-3, GPT-2's for Phi-4,
//! Qwen2's. BPE itself is the `tokenizers` crate's; what surrounds it is ours, because the fast rules of
//! `tokenizer.json` give other ids.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;
use tokenizers::SplitDelimiterBehavior;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::{
    Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use super::error::ModelError;

/// SentencePiece's stand-in for a space.
const MARK: char = '\u{2581}';

/// Qwen2's own pre-tokenising rule.
const QWEN_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How text outside added tokens is cut before BPE.
enum Rule {
    /// The whole segment, spaces as U+2581, byte fallback.
    Llama,
    /// GPT-2's regex, bytes as characters. *Not* the rule of phi-4's tokenizer.json.
    Gpt2(ByteLevel),
    /// Qwen's regex, bytes as characters.
    Qwen(Box<Split>, ByteLevel),
}

/// A token that is matched as a whole.
#[derive(Clone, Debug)]
struct Added {
    id: u32,
    lstrip: bool,
    rstrip: bool,
    /// In `all_special_tokens`: bos, eos, unk, pad and the image tokens; not the role tokens.
    special: bool,
}

/// Text to ids and back.
pub struct Tokenizer {
    bpe: BPE,
    rule: Rule,
    added: HashMap<String, Added>,
    /// Added tokens by first byte, longest first.
    by_first: BTreeMap<u8, Vec<String>>,
    text_of: HashMap<u32, String>,
    bos: Option<u32>,
    add_bos: bool,
    base_len: usize,
    /// First id and number of the image codes.
    codes: Option<(u32, usize)>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and `tokenizer_config.json` and appends the image tokens (`<start_index>`, `<idx_k>`,
    /// `<end_index>`, `<pixel_newline>`), unless the tokenizer has special tokens of its own (Qwen), as the reference.
    ///
    /// # Errors
    /// Missing or damaged files.
    pub fn open(folder: &Path, codes: usize) -> Result<Self, ModelError> {
        let read = |name: &str| -> Result<Value, ModelError> {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).map_err(ModelError::io(&path))?;
            serde_json::from_str(&text)
                .map_err(|error| ModelError::damaged(&path, error.to_string()))
        };
        let path = folder.join("tokenizer.json");
        let fast = read("tokenizer.json")?;
        let config = read("tokenizer_config.json")?;
        let model = fast.get("model").cloned().unwrap_or(Value::Null);
        let vocab = model.get("vocab").and_then(Value::as_object);
        let vocab = vocab.ok_or_else(|| ModelError::damaged(&path, "no vocabulary"))?;
        let mut text_of: HashMap<u32, String> = vocab
            .iter()
            .filter_map(|(text, id)| id.as_u64().map(|id| (id as u32, text.clone())))
            .collect();
        // From text: the crate borrows strings, which a `Value` cannot lend.
        let bpe: BPE = serde_json::from_str(&model.to_string())
            .map_err(|error| ModelError::damaged(&path, error.to_string()))?;

        let class = config
            .get("tokenizer_class")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let rule = match class {
            "GPT2Tokenizer" | "GPT2TokenizerFast" => Rule::Gpt2(ByteLevel::new(false, true, true)),
            "Qwen2Tokenizer" | "Qwen2TokenizerFast" => {
                let pattern = SplitPattern::Regex(QWEN_PATTERN.to_owned());
                let split = Split::new(pattern, SplitDelimiterBehavior::Removed, true)
                    .map_err(|error| ModelError::damaged(&path, error.to_string()))?;
                Rule::Qwen(Box::new(split), ByteLevel::new(false, true, false))
            }
            "LlamaTokenizer" | "LlamaTokenizerFast" => Rule::Llama,
            other => {
                return Err(ModelError::damaged(
                    &path,
                    format!("tokenizer_class '{other}' is not known"),
                ));
            }
        };

        let named: Vec<&str> = ["bos_token", "eos_token", "unk_token", "pad_token"]
            .iter()
            .filter_map(|key| config.get(key))
            .filter_map(|token| token.as_str().or_else(|| token.get("content")?.as_str()))
            .collect();
        let extra = config
            .get("additional_special_tokens")
            .and_then(Value::as_array);
        let extra: Vec<&str> = extra
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut added = HashMap::new();
        let flag =
            |entry: &Value, key: &str| entry.get(key).and_then(Value::as_bool).unwrap_or(false);
        let listed = config
            .get("added_tokens_decoder")
            .and_then(Value::as_object);
        let from_config = listed
            .into_iter()
            .flatten()
            .filter_map(|(id, entry)| Some((id.parse().ok()?, entry)));
        let from_fast = fast
            .get("added_tokens")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let from_fast =
            from_fast.filter_map(|entry| Some((entry.get("id")?.as_u64()? as u32, entry)));
        // tokenizer_config.json is what the slow tokenizer reads; it comes last and wins.
        for (id, entry) in from_fast.chain(from_config) {
            let Some(content) = entry.get("content").and_then(Value::as_str) else {
                continue;
            };
            let special = named.contains(&content) || extra.contains(&content);
            let token = Added {
                id,
                lstrip: flag(entry, "lstrip"),
                rstrip: flag(entry, "rstrip"),
                special,
            };
            let _ = text_of.insert(id, content.to_owned());
            let _ = added.insert(content.to_owned(), token);
        }
        let base_len = text_of.keys().max().map_or(0, |id| *id as usize + 1);
        let mut tokenizer = Self {
            bpe,
            rule,
            bos: config
                .get("bos_token")
                .and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()))
                .and_then(|name| added.get(name))
                .map(|token| token.id),
            added,
            by_first: BTreeMap::new(),
            text_of,
            add_bos: config
                .get("add_bos_token")
                .and_then(Value::as_bool)
                .unwrap_or(class.starts_with("Llama")),
            base_len,
            codes: None,
        };
        if extra.is_empty() {
            tokenizer.add_image_tokens(codes);
        }
        for name in tokenizer.added.keys() {
            if let Some(first) = name.as_bytes().first() {
                tokenizer
                    .by_first
                    .entry(*first)
                    .or_default()
                    .push(name.clone());
            }
        }
        for names in tokenizer.by_first.values_mut() {
            names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        }
        Ok(tokenizer)
    }

    fn add_image_tokens(&mut self, codes: usize) {
        let names = std::iter::once("<start_index>".to_owned())
            .chain((0..codes).map(|k| format!("<idx_{k}>")))
            .chain(["<end_index>".to_owned(), "<pixel_newline>".to_owned()]);
        for (k, name) in names.enumerate() {
            let id = (self.base_len + k) as u32;
            let _ = self.text_of.insert(id, name.clone());
            let _ = self.added.insert(
                name,
                Added {
                    id,
                    lstrip: false,
                    rstrip: false,
                    special: true,
                },
            );
        }
        self.codes = Some((self.base_len as u32 + 1, codes));
    }

    /// Entries before the image tokens were added: rows of the checkpoint that are kept.
    pub fn base_len(&self) -> usize {
        self.base_len
    }

    /// Rows added for images.
    pub fn added_rows(&self) -> usize {
        self.codes.map_or(0, |(_, codes)| codes + 3)
    }

    /// `<start_index>`.
    pub fn start_index(&self) -> Option<u32> {
        self.codes.map(|(first, _)| first - 1)
    }

    /// `<end_index>`.
    pub fn end_index(&self) -> Option<u32> {
        self.codes.map(|(first, codes)| first + codes as u32)
    }

    /// The image code of an id.
    pub fn code_of(&self, id: u32) -> Option<u32> {
        let (first, codes) = self.codes?;
        id.checked_sub(first)
            .filter(|code| (*code as usize) < codes)
    }

    /// Beginning of sequence.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Contents of the added tokens that are not image codes.
    pub fn added_names(&self) -> impl Iterator<Item = &str> {
        self.added
            .iter()
            .filter(|(_, token)| self.code_of(token.id).is_none())
            .map(|(name, _)| name.as_str())
    }

    /// Ids of a chunk of text, as the slow tokenizer gives them.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        if self.add_bos {
            ids.extend(self.bos);
        }
        if text.is_empty() {
            return ids;
        }
        let llama = matches!(self.rule, Rule::Llama);
        let text = if llama {
            format!("{MARK}{}", text.replace(MARK, " "))
        } else {
            text.to_owned()
        };
        let mut tokens = Vec::new();
        for part in self.split(&text) {
            match part {
                Part::Added(token) => tokens.push(token.id),
                Part::Text(text) => self.encode_segment(&text, &mut tokens),
            }
        }
        // A lone mark before a special token is dropped; role tokens are not special, so their mark stays.
        let lone = tokens
            .first()
            .and_then(|id| self.text_of.get(id))
            .is_some_and(|text| text.chars().eq([MARK]));
        let before_special = tokens
            .get(1)
            .and_then(|id| self.text_of.get(id))
            .and_then(|text| self.added.get(text))
            .is_some_and(|token| token.special);
        ids.extend(
            tokens
                .into_iter()
                .skip(usize::from(llama && lone && before_special)),
        );
        ids
    }

    /// Cuts at added tokens (longest match), then lets them strip white space beside them.
    fn split(&self, text: &str) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut from = 0;
        let mut at = 0;
        let bytes = text.as_bytes();
        while let Some(first) = bytes.get(at) {
            let rest = text.get(at..);
            let name = self
                .by_first
                .get(first)
                .zip(rest)
                .and_then(|(names, rest)| {
                    names.iter().find(|name| rest.starts_with(name.as_str()))
                });
            let Some((name, token)) = name.and_then(|name| Some((name, self.added.get(name)?)))
            else {
                at += 1;
                continue;
            };
            if let Some(before) = text.get(from..at).filter(|before| !before.is_empty()) {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Added(token.clone()));
            at += name.len();
            from = at;
        }
        if let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
            parts.push(Part::Text(rest.to_owned()));
        }
        for i in 0..parts.len() {
            let (before, from_here) = parts.split_at_mut(i);
            let Some((Part::Added(token), after)) = from_here.split_first_mut() else {
                continue;
            };
            if let (true, Some(Part::Text(text))) = (token.rstrip, after.first_mut()) {
                *text = text.trim_start().to_owned();
            }
            if let (true, Some(Part::Text(text))) = (token.lstrip, before.last_mut()) {
                *text = text.trim_end().to_owned();
            }
        }
        parts
    }

    fn encode_segment(&self, text: &str, ids: &mut Vec<u32>) {
        let mut bpe = |word: &str| {
            if let Ok(tokens) = self.bpe.tokenize(word) {
                ids.extend(tokens.into_iter().map(|token| token.id));
            }
        };
        let mut words = PreTokenizedString::from(text);
        let cut = match &self.rule {
            Rule::Llama => return bpe(&text.replace(' ', "\u{2581}")),
            Rule::Gpt2(bytes) => bytes.pre_tokenize(&mut words),
            Rule::Qwen(split, bytes) => split
                .pre_tokenize(&mut words)
                .and_then(|()| bytes.pre_tokenize(&mut words)),
        };
        if cut.is_ok() {
            for (word, _, _) in words.get_splits(OffsetReferential::Original, OffsetType::Byte) {
                bpe(word);
            }
        }
    }

    /// Bytes of an id as text shows them; nothing for added tokens.
    fn bytes_of(&self, id: u32) -> Vec<u8> {
        let Some(text) = self
            .text_of
            .get(&id)
            .filter(|text| !self.added.contains_key(*text))
        else {
            return Vec::new();
        };
        if matches!(self.rule, Rule::Llama) {
            let hex = text
                .strip_prefix("<0x")
                .and_then(|rest| rest.strip_suffix('>'));
            return match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                Some(byte) => vec![byte],
                None => text.replace(MARK, " ").into_bytes(),
            };
        }
        text.chars().filter_map(byte_of_char).collect()
    }

    /// Readable text of ids; added tokens are left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| self.bytes_of(*id)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

enum Part {
    Added(Added),
    Text(String),
}

/// The byte behind one of GPT-2's printable stand-ins.
fn byte_of_char(c: char) -> Option<u8> {
    let code = u32::from(c);
    match code {
        33..=126 | 161..=172 | 174..=255 => Some(code as u8),
        256..=288 => Some((code - 256) as u8),       // 0..=32
        289..=322 => Some((code - 289 + 127) as u8), // 127..=160
        323 => Some(173),
        _ => None,
    }
}

/// Ids to text as they come, whole characters only.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    pending: Vec<u8>,
}

impl StreamDecoder {
    /// The text that is complete now.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        self.pending.extend(tokenizer.bytes_of(id));
        let mut out = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(text) => {
                    out.push_str(text);
                    self.pending.clear();
                    return out;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    let skip = error.error_len();
                    out.push_str(&String::from_utf8_lossy(
                        self.pending.get(..valid).unwrap_or_default(),
                    ));
                    // An incomplete character waits for its rest; a broken one becomes U+FFFD.
                    let Some(broken) = skip else {
                        drop(self.pending.drain(..valid));
                        return out;
                    };
                    out.push('\u{FFFD}');
                    drop(self.pending.drain(..valid + broken));
                }
            }
        }
    }

    /// What is left when the answer ends.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stand_ins_cover_every_byte_once() {
        let mut seen: Vec<u8> = (0..=400)
            .filter_map(char::from_u32)
            .filter_map(byte_of_char)
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..=255).collect::<Vec<u8>>());
    }
}
