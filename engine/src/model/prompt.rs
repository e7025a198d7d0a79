//! The prompt templates of the reference (specification section 6), and their ids with places for pictures.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::config::{Architecture, LlmConfig};
use super::tokenizer::Tokenizer;

/// Stands for one picture in a prompt's text.
const IMAGE: &str = "<image>";

/// A prompt template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// M3.
    Phi3Instruct,
    /// L14. Its system prompt really is the reference's.
    Phi4Instruct,
    /// XL32.
    #[serde(rename = "qwen_2")]
    Qwen2,
}

/// A run of ids, or one picture's features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptPiece {
    /// Ordinary tokens.
    Ids(Vec<u32>),
    /// The picture of this index.
    Image(usize),
}

impl Template {
    /// The template of raw downloads: by architecture, and by tokenizer where phi3 and phi4 share one.
    pub fn guess(config: &LlmConfig, llm: &Path) -> Self {
        let gpt2 = std::fs::read_to_string(llm.join("tokenizer_config.json"))
            .is_ok_and(|text| text.contains("GPT2Tokenizer"));
        match config.architecture {
            Architecture::Qwen2 => Self::Qwen2,
            Architecture::Phi3 if gpt2 => Self::Phi4Instruct,
            Architecture::Phi3 => Self::Phi3Instruct,
        }
    }

    /// What ends an answer.
    pub fn end(self) -> &'static str {
        match self {
            Self::Phi3Instruct => "<|end|>",
            Self::Phi4Instruct | Self::Qwen2 => "<|im_end|>",
        }
    }

    /// The prompt's text. `history` holds earlier questions and answers; the pictures belong to the first question.
    /// With `generate`, `<start_index>` follows the assistant's header.
    pub fn text(
        self,
        history: &[(&str, &str)],
        question: &str,
        images: usize,
        generate: bool,
    ) -> String {
        let pictures = format!("{IMAGE}\n").repeat(images);
        let mut users: Vec<String> = history
            .iter()
            .map(|(question, _)| (*question).to_owned())
            .collect();
        users.push(question.to_owned());
        if let Some(first) = users.first_mut() {
            first.insert_str(0, &pictures);
        }
        // (system, before a user's text, between it and the answer, after the answer)
        let (system, user, assistant, end) = match self {
            Self::Phi3Instruct => (
                "<|system|>\nYou are a helpful AI assistant.<|end|>",
                "\n<|user|>\n",
                "<|end|>\n<|assistant|>\n",
                "<|end|>",
            ),
            Self::Phi4Instruct => (
                "<|im_start|>system<|im_sep|>\nYou are a medieval knight and must provide explanations to modern people.<|im_end|>",
                "\n<|im_start|>user<|im_sep|>\n",
                "<|im_end|>\n<|im_start|>assistant<|im_sep|>\n",
                "<|im_end|>",
            ),
            Self::Qwen2 => (
                "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n",
                "<|im_start|>user\n",
                "<|im_end|>\n<|im_start|>assistant\n",
                "<|im_end|>\n",
            ),
        };
        let mut text = system.to_owned();
        for (i, question) in users.iter().enumerate() {
            text.push_str(user);
            text.push_str(question);
            text.push_str(assistant);
            if let Some((_, answer)) = history.get(i) {
                text.push_str(answer);
                text.push_str(end);
            }
        }
        if generate {
            text.push_str("<start_index>");
        }
        text
    }
}

/// A user's text with control tokens made harmless: `<image>` and every added token get a space after their first
/// character. The reference would obey them; a question must not be able to end its own turn.
pub fn neutral(tokenizer: &Tokenizer, text: &str) -> String {
    let mut text = text.replace(IMAGE, "< image>");
    for name in tokenizer.added_names() {
        if name.len() > 2 && text.contains(name) {
            let mut harmless = name.to_owned();
            harmless.insert(name.chars().next().map_or(0, char::len_utf8), ' ');
            text = text.replace(name, &harmless);
        }
    }
    text
}

/// Ids of a prompt: split on `<image>`, every chunk tokenised on its own. Where chunk 0 begins with BOS, the first id
/// of every later chunk (its own BOS) is dropped.
pub fn pieces(tokenizer: &Tokenizer, text: &str) -> Vec<PromptPiece> {
    let mut out = Vec::new();
    let mut bos = false;
    for (i, chunk) in text.split(IMAGE).enumerate() {
        let mut ids = tokenizer.encode(chunk);
        if i == 0 {
            bos = ids.first().is_some_and(|id| Some(*id) == tokenizer.bos());
        } else {
            out.push(PromptPiece::Image(i - 1));
            if bos && !ids.is_empty() {
                let _ = ids.remove(0);
            }
        }
        out.push(PromptPiece::Ids(ids));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_turn_is_the_reference_s_string() {
        assert_eq!(
            Template::Phi3Instruct.text(&[], "Q", 1, true),
            "<|system|>\nYou are a helpful AI assistant.<|end|>\n<|user|>\n<image>\nQ<|end|>\n<|assistant|>\n<start_index>"
        );
        assert_eq!(
            Template::Phi4Instruct.text(&[], "Q", 0, false),
            "<|im_start|>system<|im_sep|>\nYou are a medieval knight and must provide explanations to modern people.<|im_end|>\n<|im_start|>user<|im_sep|>\nQ<|im_end|>\n<|im_start|>assistant<|im_sep|>\n"
        );
        assert_eq!(
            Template::Qwen2.text(&[], "Q", 0, false),
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn a_follow_up_appends_pairs_and_keeps_the_picture_in_the_first() {
        let text = Template::Phi3Instruct.text(&[("Q1", "A1")], "Q2", 1, false);
        assert!(text.ends_with(
            "<|user|>\n<image>\nQ1<|end|>\n<|assistant|>\nA1<|end|>\n<|user|>\nQ2<|end|>\n<|assistant|>\n"
        ));
    }
}
