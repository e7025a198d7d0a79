//! What the first layer of a new base attends to: the patch that a code lies on, and the words of the instruction.
//!
//! With as many patches as codes, and instructions of one length in tokens ([`super::vocabulary`]), the patch under the next
//! code is always the same number of positions back. From random weights attention is spread over a thousand patches, each with
//! a thousandth of the gradient, and a small model needs thousands of steps to find that out (measured: SSIM 10.7 after 300 steps
//! of 4). Here the first heads of layer 0 begin with their largest score at that distance, the next one with the words, wherever
//! they are: it tells every code which task it is made for. The other heads begin as noise, and everything is trained from there.
//!
//! A score of rotary attention is a sum over frequencies of `A_f^2 cos(theta_f (m - n) - phi_f)`, `m` and `n` being the
//! positions of query and key (Su et al. 2021, equation 16), so `phi_f = theta_f d` has its peak at the distance `d`, and the
//! lowest frequencies alone hardly know distances. The constants that query and key need, which have no bias, are dimension 0 of
//! every embedding and dimension 1 of words.

use burn::module::Module;

use super::learner::{values, with_values};
use crate::model::config::LlmConfig;
use crate::model::decoder::Decoder;
use crate::model::loader::NamedParam;
use crate::model::plugin::PlugIn;

/// Dimension 0 of code embeddings, whose other dimensions are about 0.02.
const CODE: f32 = 0.4;
/// Words are so many times as large: behind the first layer, whose output is about 0.5, a word is still itself.
const WORDS: f32 = 20.0;
/// Dimension 0 of a projected patch, whose other dimensions are about 1.
const PATCH: f32 = 20.0;
/// Entry of a query or key in the column of a constant: with a normed constant of about 11 a frequency adds about 2 to the score.
const AMPLITUDE: f32 = 0.33;
/// What is left of the noise in the same rows.
const NOISE: f32 = 0.3;
/// Frequencies of the head that finds words.
const LOWEST: usize = 4;

/// What layer 0 begins with.
#[derive(Clone, Copy, Debug)]
pub struct LookBack {
    /// Heads that look at the patch; the next one finds words.
    pub heads: usize,
    /// How many positions back it is.
    pub distance: usize,
    /// Rows of the tables that are words, before those of codes.
    pub words: usize,
}

impl LookBack {
    /// The base, beginning so.
    pub fn decoder(&self, decoder: Decoder, params: &[NamedParam], config: &LlmConfig) -> Decoder {
        let (hidden, size) = (config.hidden_size, config.head_dim);
        let half = size / 2;
        let queries = config.num_attention_heads * size;
        edited(decoder, params, &|name, mut values| {
            match name {
                "embed_tokens.weight" => self.constants(&mut values, hidden),
                "layers.0.self_attn.qkv_proj.weight" => {
                    let rows = queries + config.num_key_value_heads * size;
                    for (row, weights) in values.chunks_exact_mut(hidden).take(rows).enumerate() {
                        let (head, i) = (row % queries / size, row % size);
                        let (query, f) = (row < queries, i % half);
                        let angle = self.distance as f32
                            * (config.rope_theta as f32).powf(-(f as f32) / half as f32);
                        let (column, entry) = match (query, i < half) {
                            _ if head > self.heads => continue,
                            (query, true) if head == self.heads && f + LOWEST >= half => {
                                (usize::from(!query), 1.0)
                            }
                            _ if head == self.heads => (0, 0.0),
                            (true, true) => (0, 1.0),
                            (true, false) => (0, 0.0),
                            (false, true) => (0, angle.cos()),
                            (false, false) => (0, angle.sin()),
                        };
                        weights.iter_mut().for_each(|weight| *weight *= NOISE);
                        weights[..2].fill(0.0);
                        *weights.get_mut(column)? = AMPLITUDE * entry;
                    }
                }
                _ => return None,
            }
            Some(values)
        })
    }

    /// A plug-in whose patches, and own word embeddings, carry the constants.
    pub fn plugin(&self, plugin: PlugIn, params: &[NamedParam], hidden: usize) -> PlugIn {
        edited(plugin, params, &|name, mut values| {
            match name {
                "embed_tokens.weight" => self.constants(&mut values, hidden),
                "mm_projector.2.weight" => {
                    let inputs = values.len() / hidden;
                    let constants = values.iter_mut().take(2 * inputs);
                    constants.for_each(|weight| *weight = 0.0);
                }
                "mm_projector.2.bias" => *values.first_mut()? = PATCH,
                _ => return None,
            }
            Some(values)
        })
    }

    fn constants(&self, table: &mut [f32], hidden: usize) {
        for (id, row) in table.chunks_exact_mut(hidden).enumerate() {
            let word = id < self.words;
            row[0] = CODE;
            row[1] = if word { CODE } else { 0.0 };
            if word {
                row.iter_mut().for_each(|value| *value *= WORDS);
            }
        }
    }
}

/// New values of a parameter by its name and former ones, if it changes.
type Edit<'a> = dyn Fn(&str, Vec<f32>) -> Option<Vec<f32>> + 'a;

/// A module with the parameters that `edit` returns put in place of their former values.
fn edited<M: Module>(module: M, params: &[NamedParam], edit: &Edit<'_>) -> M {
    let former = values(&module);
    let names = params.iter().map(|param| (param.id, param.name.clone()));
    let new = |name: &str| {
        let param = params.iter().find(|param| param.name == name)?;
        edit(name, former.get(&param.id)?.clone())
    };
    with_values(module, &names.collect(), &new)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use burn::tensor::Device;

    use super::*;
    use crate::bench::synthetic::Size;
    use crate::model::initializer::Initializer;
    use crate::model::loader::{Loader, Precision, Source};

    #[test]
    fn a_head_s_score_is_largest_at_its_distance_and_the_next_one_s_at_words() {
        let config = Size::QUICK.config();
        let mut loader = Loader {
            source: Source::Random(&mut Initializer::new(2)),
            device: &Device::flex(),
            precision: Precision::F32,
            on_tensor: &mut || ControlFlow::Continue(()),
            stopped: false,
            made: Vec::new(),
        };
        let noise = Decoder::load(&mut loader, &config);
        let begin = LookBack {
            heads: 1,
            distance: 1030,
            words: 100,
        };
        let base = begin.decoder(noise, &loader.made, &config);
        let weight = base.layers[0].qkv[0].weight.val().into_data();
        // What the constants alone make of a row.
        let column = |at: usize| -> Vec<f32> {
            let values = weight.iter::<f32>().skip(at);
            values.step_by(config.hidden_size).collect()
        };
        let (size, half) = (config.head_dim, config.head_dim / 2);
        let keys = config.num_attention_heads * size;
        // The score of a key whose constant is in a column, so far back.
        let score = |head: usize, key: usize, back: usize| -> f32 {
            let (rows, others) = (column(0), column(key));
            let (q, k) = (&rows[head * size..], &others[keys + head * size..]);
            let of = |f: usize| {
                let angle = (config.rope_theta as f32).powf(-(f as f32) / half as f32);
                let (sin, cos) = (back as f32 * angle).sin_cos();
                // The query, turned by its distance from the key.
                let turned = [
                    q[f] * cos - q[f + half] * sin,
                    q[f + half] * cos + q[f] * sin,
                ];
                turned[0] * k[f] + turned[1] * k[f + half]
            };
            (0..half).map(of).sum()
        };
        let best = (0..1100)
            .step_by(5)
            .max_by(|a, b| score(0, 0, *a).total_cmp(&score(0, 0, *b)));
        assert_eq!(best, Some(1030), "a patch");
        for back in [0, 400, 1050] {
            let (word, other) = (score(1, 1, back), score(1, 0, back));
            assert!(word > 0.2 && other.abs() < 1e-6, "{back}: {word} {other}");
        }
    }
}
