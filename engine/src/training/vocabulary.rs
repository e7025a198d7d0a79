//! A tokenizer of one's own: byte-pair encoding learned from the records' words, in the files of a Llama tokenizer with Phi-3's
//! added tokens.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::prompt::{PromptPiece, Template, pieces};
use crate::model::tokenizer::Tokenizer;
use crate::task::Task;

/// The ids between a picture and the first code, in a task's own instruction.
pub fn instruction(tokenizer: &Tokenizer, task: Task) -> Vec<u32> {
    let text = Template::Phi3Instruct.text(&[], task.instruction(), 1, true);
    pieces(tokenizer, &text)
        .into_iter()
        .skip_while(|piece| !matches!(piece, PromptPiece::Image(_)))
        .flat_map(|piece| match piece {
            PromptPiece::Ids(ids) => ids,
            PromptPiece::Image(_) => Vec::new(),
        })
        .collect()
}

/// Counts words as the tokenizer will cut them: after a space, which belongs to the word.
pub fn count_words(text: &str, words: &mut BTreeMap<String, usize>) {
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
pub struct Vocabulary {
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
    pub fn learn(words: &BTreeMap<String, usize>, merges: usize) -> Self {
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

    /// One more piece on the way to instructions of one length in tokens, so that the patch under a code is as far back in every
    /// task; false when they are. It joins two pieces of the longest instruction that stand side by side only there.
    pub fn level(&mut self, tokenizer: &Tokenizer, tasks: &[Task]) -> bool {
        let ids: Vec<Vec<u32>> = tasks
            .iter()
            .map(|task| instruction(tokenizer, *task))
            .collect();
        let shortest = ids.iter().map(Vec::len).min();
        let Some(longest) = ids.iter().max_by_key(|ids| ids.len()) else {
            return false;
        };
        if Some(longest.len()) == shortest {
            return false;
        }
        let times = |pair: &[u32]| -> usize {
            let of = |ids: &Vec<u32>| ids.windows(2).filter(|other| *other == pair).count();
            ids.iter().map(of).sum()
        };
        let learned = |id: &u32| {
            let piece = self.pieces.get(*id as usize)?;
            (!piece.starts_with('<')).then(|| piece.clone())
        };
        let joined = longest.windows(2).find_map(|pair| {
            let [a, b] = pair else { return None };
            Some((learned(a)?, learned(b)?)).filter(|_| times(pair) == 1)
        });
        let Some((a, b)) = joined else {
            return false;
        };
        self.pieces.push(format!("{a}{b}"));
        self.merges.push((a, b));
        true
    }

    fn id_of_added(&self, name: &str) -> usize {
        let place = ADDED.iter().position(|(added, _)| *added == name);
        self.pieces.len() + place.unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.pieces.len() + ADDED.len()
    }

    /// `<|endoftext|>`, `<|assistant|>` and `<|end|>`, as Phi-3 has them.
    pub fn stops(&self) -> Vec<usize> {
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

    pub fn tokenizer_json(&self) -> Value {
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

    pub fn tokenizer_config(&self) -> Value {
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
