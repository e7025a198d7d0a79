//! Where the first layer of a new base looks: at the patch that a code lies on.
//!
//! With as many patches as codes, the patch under the next code is always the same number of positions back, for a task's own
//! instruction. From random weights attention is spread over a thousand patches, each with a thousandth of the gradient, and a
//! small model needs thousands of steps to find that out (measured: SSIM 10.7 after 300 steps of 4). Here each head of layer 0
//! begins with its largest score at one task's distance, and everything is trained from there.
//!
//! A score of rotary attention is a sum over frequencies of `A_f^2 cos(theta_f (m - n) - phi_f)`, `m` and `n` being the
//! positions of query and key (Su et al. 2021, equation 16), so `phi_f = theta_f d` has its peak at the distance `d`. The constant
//! that query and key need, which have no bias, is dimension 0 of every embedding.

use burn::module::Module;

use super::learner::{values, with_values};
use crate::model::config::LlmConfig;
use crate::model::decoder::Decoder;
use crate::model::loader::NamedParam;
use crate::model::plugin::PlugIn;

/// Dimension 0 of word and code embeddings, whose other dimensions are about 0.02.
const WORD: f32 = 0.4;
/// Dimension 0 of a projected patch, whose other dimensions are about 1.
const PATCH: f32 = 20.0;
/// Entry of a query or key in its column of dimension 0: with a normed constant of about 11 a frequency adds about 2 to the score.
const AMPLITUDE: f32 = 0.33;
/// What is left of the noise in the same rows.
const NOISE: f32 = 0.3;

/// The base with its first layer looking back; head `h` by `distances[h % distances.len()]`.
pub fn decoder(
    decoder: Decoder,
    params: &[NamedParam],
    config: &LlmConfig,
    distances: &[usize],
) -> Decoder {
    let (hidden, size) = (config.hidden_size, config.head_dim);
    let half = size / 2;
    let queries = config.num_attention_heads * size;
    edited(decoder, params, &|name, mut values| {
        match name {
            "embed_tokens.weight" => constant_column(&mut values, hidden, WORD),
            "layers.0.self_attn.qkv_proj.weight" => {
                let rows = queries + config.num_key_value_heads * size;
                for (row, weights) in values.chunks_exact_mut(hidden).take(rows).enumerate() {
                    let (head, i) = (row % queries / size, row % size);
                    let distance = distances.get(head % distances.len().max(1))?;
                    let f = (i % half) as f32 / half as f32;
                    let angle = *distance as f32 * (config.rope_theta as f32).powf(-f);
                    weights.iter_mut().for_each(|weight| *weight *= NOISE);
                    *weights.first_mut()? = AMPLITUDE
                        * match (row < queries, i < half) {
                            (true, true) => 1.0,
                            (true, false) => 0.0,
                            (false, true) => angle.cos(),
                            (false, false) => angle.sin(),
                        };
                }
            }
            _ => return None,
        }
        Some(values)
    })
}

/// A plug-in whose patches, and own word embeddings, carry the constant.
pub fn plugin(plugin: PlugIn, params: &[NamedParam], hidden: usize) -> PlugIn {
    edited(plugin, params, &|name, mut values| {
        match name {
            "embed_tokens.weight" => constant_column(&mut values, hidden, WORD),
            "mm_projector.2.weight" => {
                let inputs = values.len() / hidden;
                values
                    .iter_mut()
                    .take(inputs)
                    .for_each(|weight| *weight = 0.0);
            }
            "mm_projector.2.bias" => *values.first_mut()? = PATCH,
            _ => return None,
        }
        Some(values)
    })
}

fn constant_column(values: &mut [f32], width: usize, value: f32) {
    for row in values.chunks_exact_mut(width) {
        row[0] = value;
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
