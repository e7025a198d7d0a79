//! The language model: the Phi-3 architecture (M3, L14) and Qwen2 (XL32), with a plug-in beside every linear layer
//! except `lm_head`.
//!
//! This is the *twin*: the readable meaning of the inference kernels, the CPU path, and what training differentiates.
//! The base is shared; a [`PlugIn`] is passed to every call, so two tasks share no state by accident.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use super::adapter::Dropout;
use super::config::{Architecture, LlmConfig};
use super::fused::{self, Visible, swish};
use super::kv_cache::{KvCache, LayerCache};
use super::layers::{Linear, RmsNorm, matmul_rows};
use super::loader::Loader;
use super::plugin::PlugIn;

/// The base model.
#[derive(Module, Debug)]
pub struct Decoder {
    /// `[vocabulary, hidden]`.
    pub embed_tokens: Param<Tensor<2>>,
    /// The blocks.
    pub layers: Vec<DecoderLayer>,
    /// Before the head.
    pub norm: RmsNorm,
    /// `[vocabulary, hidden]`.
    pub lm_head: Param<Tensor<2>>,
    /// Sizes.
    #[module(skip)]
    pub config: LlmConfig,
}

/// One block.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    /// Before attention.
    pub input_layernorm: RmsNorm,
    /// `qkv_proj` (phi3), or `q_proj`, `k_proj`, `v_proj` (qwen2), in this order.
    pub qkv: Vec<Linear>,
    /// Output of attention.
    pub o_proj: Linear,
    /// Before the MLP.
    pub post_attention_layernorm: RmsNorm,
    /// `gate_up_proj` (phi3), or `gate_proj`, `up_proj` (qwen2).
    pub gate_up: Vec<Linear>,
    /// Back to the residual stream.
    pub down_proj: Linear,
}

/// What happened inside one forward pass, for comparison with a reference.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// States that take the place of a layer's own input, by layer: to see what one layer does to a known input.
    pub given: Vec<Tensor<3>>,
    /// `llm.hidden.{i}`: the input, then every block's output; the last one is normed (transformers' convention).
    pub hidden: Vec<Tensor<3>>,
    /// Routing weights by site (`layers.0.self_attn.qkv_proj`).
    pub route: BTreeMap<String, Tensor<3>>,
    /// What the plug-in added, by site.
    pub delta: BTreeMap<String, Tensor<3>>,
}

/// One linear layer of a block: where a plug-in sits.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// As in the checkpoint, without the layer: `self_attn.qkv_proj`.
    pub name: &'static str,
    /// Rows of the weight.
    pub d_out: usize,
    /// Columns of the weight.
    pub d_in: usize,
    /// Has it a bias?
    pub bias: bool,
}

/// The linear layers of one block, by their use.
#[derive(Clone, Debug)]
pub struct Sites {
    /// Rows of q, k and v together: one site (phi3) or three (qwen2).
    pub qkv: Vec<Site>,
    /// Output of attention.
    pub o_proj: Site,
    /// Rows of gate and up together: one site (phi3) or two (qwen2).
    pub gate_up: Vec<Site>,
    /// Back to the residual stream.
    pub down_proj: Site,
}

impl Sites {
    /// The sites of the architecture.
    pub fn new(config: &LlmConfig) -> Self {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let q = config.num_attention_heads * config.head_dim;
        let kv = config.num_key_value_heads * config.head_dim;
        let site = |name, d_out, d_in, bias| Site {
            name,
            d_out,
            d_in,
            bias,
        };
        let (qkv, gate_up) = match config.architecture {
            Architecture::Phi3 => (
                vec![site("self_attn.qkv_proj", q + 2 * kv, hidden, false)],
                vec![site("mlp.gate_up_proj", 2 * inner, hidden, false)],
            ),
            Architecture::Qwen2 => (
                vec![
                    site("self_attn.q_proj", q, hidden, true),
                    site("self_attn.k_proj", kv, hidden, true),
                    site("self_attn.v_proj", kv, hidden, true),
                ],
                vec![
                    site("mlp.gate_proj", inner, hidden, false),
                    site("mlp.up_proj", inner, hidden, false),
                ],
            ),
        };
        Self {
            qkv,
            o_proj: site("self_attn.o_proj", hidden, q, false),
            gate_up,
            down_proj: site("mlp.down_proj", hidden, inner, false),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Site> {
        self.qkv
            .iter()
            .chain([&self.o_proj])
            .chain(&self.gate_up)
            .chain([&self.down_proj])
    }
}

impl Decoder {
    /// Reads the base model. `vocabulary` is the number of rows on disk; the rows of the image vocabulary are added
    /// by [`super::plugin::resize_rows`].
    pub fn load(loader: &mut Loader<'_>, config: &LlmConfig) -> Self {
        let (hidden, eps) = (config.hidden_size, config.rms_norm_eps);
        let embed_tokens = loader.matrix("embed_tokens.weight", config.vocab_size, hidden);
        let layers = (0..config.num_hidden_layers)
            .map(|i| DecoderLayer::load(loader, i, config))
            .collect();
        let norm = loader.rms_norm("norm", hidden, eps);
        let lm_head = if config.tie_word_embeddings {
            embed_tokens.clone()
        } else {
            loader.matrix("lm_head.weight", config.vocab_size, hidden)
        };
        Self {
            embed_tokens,
            layers,
            norm,
            lm_head,
            config: config.clone(),
        }
    }

    /// Rows of the embedding table the plug-in uses (its own, or the base's). Shapes: result `[1, ids, hidden]`.
    pub fn embed(&self, plugin: &PlugIn, ids: &[u32], device: &Device) -> Tensor<3> {
        let table = plugin
            .embed_tokens
            .as_ref()
            .unwrap_or(&self.embed_tokens)
            .val();
        let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
        let count = ids.len();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), device);
        let rows = table.select(0, ids);
        let rows = rows.cast(burn::tensor::DType::F32);
        rows.unsqueeze()
    }

    /// Runs `x` through every block, appending keys and values to the cache; the result is normed.
    /// Shapes: `x` `[batch, tokens, hidden]` in and out. Positions continue the cache.
    pub fn forward(
        &self,
        plugin: &PlugIn,
        x: Tensor<3>,
        cache: &mut KvCache,
        mut trace: Option<&mut Trace>,
    ) -> Tensor<3> {
        let [_, tokens, _] = x.dims();
        let device = x.device();
        let start = cache.len;
        let rotation = Rotation::new(&self.config, start..start + tokens, &device);
        let blocks = Blocks::new(start, tokens, self.config.sliding_window, &device);
        let sites = Sites::new(&self.config);
        let mut x = x;
        for (i, layer) in self.layers.iter().enumerate() {
            if let Some(trace) = trace.as_deref_mut() {
                trace.hidden.push(x.clone());
                if let Some(given) = trace.given.get(i) {
                    x = given.clone();
                }
            }
            let run = LayerRun {
                index: i,
                plugin,
                config: &self.config,
                sites: &sites,
                rotation: &rotation,
                blocks: &blocks,
                dropout: None,
            };
            let Some(layer_cache) = cache.layers.get_mut(i) else {
                break;
            };
            x = layer.forward(x, &run, Some((layer_cache, start)), trace.as_deref_mut());
        }
        cache.len += tokens;
        let x = self.norm.forward(x);
        if let Some(trace) = trace {
            trace.hidden.push(x.clone());
        }
        x
    }

    /// A whole sequence without a cache, as training runs it: normed states of the last `keep` tokens only. Positions ascend, and
    /// may leave some out.
    /// Shapes: `x` `[batch, tokens, hidden]`, `positions` `[tokens]`, result `[batch, keep, hidden]`.
    pub fn forward_sequence(
        &self,
        plugin: &PlugIn,
        x: Tensor<3>,
        positions: &[usize],
        keep: usize,
        dropout: Option<&Dropout>,
    ) -> Tensor<3> {
        let [_, tokens, _] = x.dims();
        let device = x.device();
        let rotation = Rotation::new(&self.config, positions.iter().copied(), &device);
        let blocks = Blocks::new(0, tokens, self.config.sliding_window, &device);
        let sites = Sites::new(&self.config);
        let mut x = x;
        for (i, layer) in self.layers.iter().enumerate() {
            let run = LayerRun {
                index: i,
                plugin,
                config: &self.config,
                sites: &sites,
                rotation: &rotation,
                blocks: &blocks,
                dropout,
            };
            x = layer.forward(x, &run, None, None);
        }
        self.norm.forward(x.narrow(1, tokens - keep, keep))
    }

    /// Logits of normed states. Shapes: `[batch, tokens, hidden]` to `[batch, tokens, vocabulary]`.
    pub fn logits(&self, plugin: &PlugIn, x: Tensor<3>) -> Tensor<3> {
        matmul_rows(x, plugin.lm_head.as_ref().unwrap_or(&self.lm_head).val())
    }
}

/// What one layer needs beside its input.
struct LayerRun<'a> {
    index: usize,
    plugin: &'a PlugIn,
    config: &'a LlmConfig,
    sites: &'a Sites,
    rotation: &'a Rotation,
    blocks: &'a Blocks,
    dropout: Option<&'a Dropout>,
}

impl LayerRun<'_> {
    /// The frozen layer plus what the plug-in adds at this site.
    fn site(
        &self,
        name: &str,
        linear: &Linear,
        x: Tensor<3>,
        trace: Option<&mut Trace>,
    ) -> Tensor<3> {
        let y = linear.forward(x.clone());
        let Some(adapter) = self.plugin.adapter(self.index, name) else {
            return y;
        };
        let added = adapter.forward(x, self.dropout);
        if let Some(trace) = trace {
            let site = format!("layers.{}.{name}", self.index);
            if let Some(route) = &added.route {
                let _ = trace.route.insert(site.clone(), route.clone());
            }
            let _ = trace.delta.insert(site, added.delta.clone());
        }
        y + added.delta
    }
}

impl DecoderLayer {
    fn load(loader: &mut Loader<'_>, index: usize, config: &LlmConfig) -> Self {
        let (hidden, eps) = (config.hidden_size, config.rms_norm_eps);
        let name = format!("layers.{index}");
        let mut linear = |site: &Site| {
            loader.linear(
                &format!("{name}.{}", site.name),
                site.d_out,
                site.d_in,
                site.bias,
            )
        };
        let sites = Sites::new(config);
        let qkv = sites.qkv.iter().map(&mut linear).collect();
        let o_proj = linear(&sites.o_proj);
        let gate_up = sites.gate_up.iter().map(&mut linear).collect();
        let down_proj = linear(&sites.down_proj);
        Self {
            input_layernorm: loader.rms_norm(&format!("{name}.input_layernorm"), hidden, eps),
            qkv,
            o_proj,
            post_attention_layernorm: loader.rms_norm(
                &format!("{name}.post_attention_layernorm"),
                hidden,
                eps,
            ),
            gate_up,
            down_proj,
        }
    }

    fn forward(
        &self,
        x: Tensor<3>,
        run: &LayerRun<'_>,
        cache: Option<(&mut LayerCache, usize)>,
        mut trace: Option<&mut Trace>,
    ) -> Tensor<3> {
        let h = self.input_layernorm.forward(x.clone());
        let parts = self
            .qkv
            .iter()
            .zip(&run.sites.qkv)
            .map(|(linear, site)| run.site(site.name, linear, h.clone(), trace.as_deref_mut()))
            .collect();
        let attended = attention(joined(parts), run, cache);
        let x = x + run.site(
            "self_attn.o_proj",
            &self.o_proj,
            attended,
            trace.as_deref_mut(),
        );

        let h = self.post_attention_layernorm.forward(x.clone());
        let parts = self
            .gate_up
            .iter()
            .zip(&run.sites.gate_up)
            .map(|(linear, site)| run.site(site.name, linear, h.clone(), trace.as_deref_mut()))
            .collect();
        let gate_up = joined(parts);
        let inner = run.config.intermediate_size;
        let gate = gate_up.clone().narrow(2, 0, inner);
        let up = gate_up.narrow(2, inner, inner);
        x + run.site(
            "mlp.down_proj",
            &self.down_proj,
            up * swish(gate, 1.0),
            trace,
        )
    }
}

/// One projection, or several side by side.
fn joined(mut parts: Vec<Tensor<3>>) -> Tensor<3> {
    match parts.len() {
        1 => parts.remove(0),
        _ => Tensor::cat(parts, 2),
    }
}

/// Causal attention with grouped keys and values. `qkv` `[batch, tokens, q + 2 kv]`, result `[batch, tokens, q]`. Keys and values
/// go to the cache, if there is one, at its first free position.
fn attention(
    qkv: Tensor<3>,
    run: &LayerRun<'_>,
    cache: Option<(&mut LayerCache, usize)>,
) -> Tensor<3> {
    let [batch, tokens, _] = qkv.dims();
    let (heads, kv_heads, head_dim) = (
        run.config.num_attention_heads,
        run.config.num_key_value_heads,
        run.config.head_dim,
    );
    let split = |from: usize, heads: usize| {
        qkv.clone()
            .narrow(2, from * head_dim, heads * head_dim)
            .reshape([batch, tokens, heads, head_dim])
            .swap_dims(1, 2) // [batch, heads, tokens, head_dim]
    };
    let scale = (head_dim as f64).powf(-0.5);
    let q = run.rotation.apply(split(0, heads)).mul_scalar(scale);
    let k = run.rotation.apply(split(heads, kv_heads));
    let v = split(heads + kv_heads, kv_heads);
    let (k, v) = match cache {
        Some((cache, start)) => cache.append(k, v, start), // [batch, kv_heads, start + tokens, head_dim]
        None => (k, v),
    };
    let group = heads / kv_heads;
    let mut attended = Vec::with_capacity(run.blocks.blocks.len());
    for block in &run.blocks.blocks {
        let rows = block.to - block.from;
        let part = |x: &Tensor<4>| x.clone().narrow(2, 0, block.keys);
        let q = q.clone().narrow(2, block.from, rows).reshape([
            batch,
            kv_heads,
            group * rows,
            head_dim,
        ]);
        let scores = q
            .matmul(part(&k).transpose())
            .reshape([batch, heads, rows, block.keys]);
        let fused = block
            .visible
            .and_then(|visible| fused::softmax(&scores, visible));
        let hide = |scores: Tensor<4>| match &block.hidden {
            Some(hidden) => scores.mask_fill(
                hidden
                    .clone()
                    .reshape([1, 1, rows, block.keys])
                    .expand([batch, heads, rows, block.keys]),
                f32::MIN,
            ),
            None => scores,
        };
        let weights = fused.unwrap_or_else(|| softmax(hide(scores), 3));
        let weights = weights.reshape([batch, kv_heads, group * rows, block.keys]);
        attended.push(
            weights
                .matmul(part(&v))
                .reshape([batch, heads, rows, head_dim]),
        );
    }
    let attended = match attended.len() {
        1 => attended.remove(0),
        _ => Tensor::cat(attended, 2),
    };
    attended
        .swap_dims(1, 2)
        .reshape([batch, tokens, heads * head_dim])
}

/// Queries in blocks, each with the keys up to its last one: a causal sequence never computes its upper triangle, and no more
/// than one block's scores are in memory.
struct Blocks {
    blocks: Vec<Block>,
}

struct Block {
    /// First query and the one after the last, from the first new token.
    from: usize,
    to: usize,
    /// Keys, from the first of the sequence.
    keys: usize,
    /// `[to - from, keys]`: true where a key is not visible.
    hidden: Option<Tensor<2, Bool>>,
    /// The same in words, where only the future is hidden.
    visible: Option<Visible>,
}

impl Blocks {
    const ROWS: usize = 256;

    fn new(start: usize, tokens: usize, window: Option<usize>, device: &Device) -> Self {
        let blocks = (0..tokens).step_by(Self::ROWS).map(|from| {
            let to = (from + Self::ROWS).min(tokens);
            Block {
                from,
                to,
                keys: start + to,
                hidden: visibility(start + from, to - from, window, device),
                visible: window
                    .is_none_or(|window| start + to <= window + 1)
                    .then_some(Visible::UpTo(start + from + 1)),
            }
        });
        Self {
            blocks: blocks.collect(),
        }
    }
}

/// True where a key is *not* visible: in the future, or more than `window` positions back (`window + 1` keys
/// including itself, as the reference's eager mask has it). `None` when everything is visible.
fn visibility(
    start: usize,
    tokens: usize,
    window: Option<usize>,
    device: &Device,
) -> Option<Tensor<2, Bool>> {
    let keys = start + tokens;
    let windowed = window.is_some_and(|window| keys > window + 1);
    if tokens == 1 && !windowed {
        return None;
    }
    let hidden: Vec<bool> = (0..tokens)
        .flat_map(|row| {
            let query = start + row;
            (0..keys).map(move |key| {
                key > query || window.is_some_and(|window| query - key.min(query) > window)
            })
        })
        .collect();
    Some(Tensor::from_data(
        TensorData::new(hidden, [tokens, keys]),
        device,
    ))
}

/// Rotary position embedding, "half split": the pair of element `i` is `i + head_dim / 2`.
struct Rotation {
    /// `[1, 1, tokens, head_dim]`.
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Rotation {
    /// Angles `position * theta^(-2i / head_dim)` in f32.
    fn new(
        config: &LlmConfig,
        positions: impl ExactSizeIterator<Item = usize>,
        device: &Device,
    ) -> Self {
        let tokens = positions.len();
        let half = config.head_dim / 2;
        let inverse: Vec<f32> = (0..half)
            .map(|i| 1.0 / (config.rope_theta as f32).powf((2 * i) as f32 / config.head_dim as f32))
            .collect();
        let angles: Vec<f32> = positions
            .flat_map(|position| {
                inverse
                    .iter()
                    .chain(&inverse)
                    .map(move |f| position as f32 * f)
            })
            .collect();
        let table = |f: fn(f32) -> f32| {
            let values: Vec<f32> = angles.iter().map(|angle| f(*angle)).collect();
            Tensor::from_data(
                TensorData::new(values, [1, 1, tokens, config.head_dim]),
                device,
            )
        };
        Self {
            cos: table(f32::cos),
            sin: table(f32::sin),
        }
    }

    /// Shapes: `[batch, heads, tokens, head_dim]` in and out.
    fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, _, head_dim] = x.dims();
        let half = head_dim / 2;
        let (first, second) = (
            x.clone().narrow(3, 0, half),
            x.clone().narrow(3, half, half),
        );
        let rotated = Tensor::cat(vec![second.neg(), first], 3);
        x * self.cos.clone() + rotated * self.sin.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_two_shows_three_keys() {
        let hidden = visibility(0, 5, Some(2), &Device::flex()).unwrap();
        let hidden: Vec<bool> = hidden.into_data().iter::<bool>().collect();
        // The last query (4) sees keys 2, 3, 4.
        assert_eq!(&hidden[20..], &[true, true, false, false, false]);
        // The first query sees itself only.
        assert_eq!(&hidden[..5], &[false, true, true, true, true]);
    }

    #[test]
    fn one_token_inside_the_window_needs_no_mask() {
        assert!(visibility(2, 1, Some(2), &Device::flex()).is_none());
        assert!(visibility(3, 1, Some(2), &Device::flex()).is_some());
    }
}
