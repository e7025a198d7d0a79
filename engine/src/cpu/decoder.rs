//! The whole decoder: the counterpart of `model::decoder`, which defines the arithmetic.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use super::attention::{LayerCache, Sizes};
use super::awake::awake;
use super::columns::{Columns, Orders};
use super::lanes::{Simd, dot};
use super::linear::{Frozen, LowRank, transposed};
use super::product::products;
use super::rows::Rows;
use crate::gpu::cache::KvFormat;
use crate::gpu::plan::PromptRow;
use crate::model::checkpoint::HeldTensor;
use crate::model::config::LlmConfig;
use crate::model::vqgan::argmax_columns;

/// Tokens of a prompt that go through a layer together: as many as share one reading of the weights.
const PROMPT: usize = 256;

/// A language model with its plug-ins, from packed rows. One sequence runs at a time.
#[derive(Debug)]
pub struct PackedDecoder {
    /// Sizes.
    pub config: LlmConfig,
    /// How keys and values are kept.
    pub cache: KvFormat,
    pub(super) simd: Simd,
    pub(super) orders: Orders,
    pub(super) embed: Embedding,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    pub(super) head: Head,
    pub(super) plugins: Vec<PackedPlugIn>,
    pub(super) held: Mutex<Held>,
}

/// One block.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) input_norm: Vec<f32>,
    pub(super) qkv: Vec<Frozen>,
    pub(super) o_proj: Frozen,
    pub(super) post_norm: Vec<f32>,
    pub(super) gate_up: Vec<Frozen>,
    pub(super) down_proj: Frozen,
}

impl Layer {
    pub(super) fn frozen(&self) -> impl Iterator<Item = &Frozen> {
        let ends = (
            std::iter::once(&self.o_proj),
            std::iter::once(&self.down_proj),
        );
        self.qkv
            .iter()
            .chain(ends.0)
            .chain(&self.gate_up)
            .chain(ends.1)
    }
}

/// The table that tokens are looked up in: rows of a file, then copies of their mean.
#[derive(Debug)]
pub(super) struct Embedding {
    pub(super) table: HeldTensor,
    pub(super) kept: usize,
    pub(super) mean: Vec<f32>,
}

impl Embedding {
    fn row(&self, id: u32) -> Vec<f32> {
        let id = id as usize;
        if id < self.kept {
            self.table.raw().rows_f32(id..id + 1)
        } else {
            self.mean.clone()
        }
    }
}

/// The head: rows of a file, then copies of their mean.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) rows: Rows,
    /// One row, and how often it is there.
    pub(super) mean: Option<(Rows, usize)>,
}

impl Head {
    fn count(&self) -> usize {
        self.rows.count + self.mean.as_ref().map_or(0, |(_, times)| *times)
    }
}

/// What one plug-in adds.
#[derive(Debug)]
pub(super) struct PackedPlugIn {
    /// By layer, by site.
    pub(super) layers: Vec<Vec<LowRank>>,
    pub(super) embed: Option<Embedding>,
    pub(super) head: Option<Head>,
}

/// The sequence whose keys and values are kept.
#[derive(Debug, Default)]
pub(super) struct Held {
    plugin: Option<usize>,
    rows: Vec<PromptRow>,
    layers: Vec<LayerCache>,
}

impl PackedDecoder {
    /// Rows of the vocabulary, those of images included.
    pub fn vocabulary(&self) -> usize {
        self.head.count()
    }

    /// What holds it, for the user.
    pub fn describe(&self) -> String {
        let format = self
            .layers
            .first()
            .map_or("no", |layer| layer.o_proj.rows.format.name());
        let mib = self.bytes() >> 20;
        format!(
            "{format} weights as they are stored ({mib} MiB), multiplied on the CPU by {} threads with {}",
            rayon::current_num_threads(),
            self.simd.name()
        )
    }

    /// Bytes of the frozen layers and the head: what one token reads.
    pub fn bytes(&self) -> u64 {
        let layers = self
            .layers
            .iter()
            .flat_map(Layer::frozen)
            .map(|frozen| frozen.rows.bytes());
        layers.sum::<u64>() + self.head.rows.bytes()
    }

    /// Runs a prompt with room for so many tokens after it. What the sequence before it has in common with it, under the same plug-in,
    /// is not computed again.
    pub fn start(&self, plugin: Option<usize>, rows: &[PromptRow], room: usize) -> Run<'_> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let sizes = Sizes::of(&self.config);
        let common = if held.plugin == plugin && held.layers.len() == self.layers.len() {
            let same = held
                .rows
                .iter()
                .zip(rows)
                .take_while(|(a, b)| a == b)
                .count();
            same.min(rows.len().saturating_sub(1))
        } else {
            0
        };
        if common == 0 {
            let new = |_| LayerCache::new(&sizes, self.cache, rows.len() + room);
            held.layers = (0..self.layers.len()).map(new).collect();
        }
        held.plugin = plugin;
        held.rows.truncate(common);
        let mut run = Run {
            model: self,
            held,
            plugin,
            last: Vec::new(),
            computed: rows.len() - common,
        };
        for part in rows.get(common..).unwrap_or_default().chunks(PROMPT) {
            run.append(part, 1);
        }
        run
    }

    fn plugin(&self, plugin: Option<usize>) -> Option<&PackedPlugIn> {
        self.plugins.get(plugin?)
    }

    fn columns(&self, values: Vec<f32>, k: usize) -> Columns {
        Columns::new(self.simd, values, k, self.orders)
    }

    /// Rows `[tokens, hidden]` through every block.
    fn forward(
        &self,
        plugin: Option<usize>,
        mut x: Vec<f32>,
        start: usize,
        caches: &mut [LayerCache],
    ) -> Vec<f32> {
        let config = &self.config;
        let (hidden, eps) = (config.hidden_size, config.rms_norm_eps);
        let sizes = Sizes::of(config);
        let tokens = x.len() / hidden.max(1);
        let rotation = Rotation::new(config, start, tokens);
        for (i, (layer, cache)) in self.layers.iter().zip(caches).enumerate() {
            let low_ranks = self.plugin(plugin).and_then(|plugin| plugin.layers.get(i));
            let low_rank = |site: usize| low_ranks.and_then(|sites| sites.get(site));
            let run = |frozen: &[Frozen], first: usize, h: &Columns| -> Vec<f32> {
                let parts = frozen.iter().enumerate();
                let mut parts =
                    parts.map(|(j, frozen)| frozen.forward(self.simd, low_rank(first + j), h));
                let joined = parts.next().unwrap_or_default();
                parts.fold(joined, |mut joined, part| {
                    joined.extend(part);
                    joined
                })
            };
            let o_site = layer.qkv.len();
            let gate_site = o_site + 1;
            let down_site = gate_site + layer.gate_up.len();

            let h = self.columns(normed(&x, &layer.input_norm, eps), hidden);
            let mut qkv = transposed(&run(&layer.qkv, 0, &h), tokens);
            rotation.apply(config, &mut qkv);
            let attended = cache.attend(self.simd, &sizes, &qkv, start);
            let width = sizes_q(config);
            let h = self.columns(attended, width);
            let o = run(std::slice::from_ref(&layer.o_proj), o_site, &h);
            add(&mut x, &transposed(&o, tokens));

            let h = self.columns(normed(&x, &layer.post_norm, eps), hidden);
            let gate_up = run(&layer.gate_up, gate_site, &h);
            let inner = transposed(&gated(gate_up), tokens);
            let h = self.columns(inner, config.intermediate_size);
            let down = run(std::slice::from_ref(&layer.down_proj), down_site, &h);
            add(&mut x, &transposed(&down, tokens));
        }
        x
    }
}

/// Width of all query heads.
fn sizes_q(config: &LlmConfig) -> usize {
    config.num_attention_heads * config.head_dim
}

/// One sequence under way. While it is there, no other can begin.
#[derive(Debug)]
pub struct Run<'a> {
    model: &'a PackedDecoder,
    held: MutexGuard<'a, Held>,
    plugin: Option<usize>,
    /// States of the last tokens, normed: `[tokens, hidden]`.
    last: Vec<f32>,
    /// Rows of the prompt that had to be computed.
    pub computed: usize,
}

impl Run<'_> {
    /// Logits of the tokens in a range, after the last token; after each of the tokens that [`Self::choose_after`] ran, `[range, tokens]`.
    pub fn logits(&self, tokens: Range<u32>) -> Vec<f32> {
        let model = self.model;
        let own = model
            .plugin(self.plugin)
            .and_then(|plugin| plugin.head.as_ref());
        let head = own.unwrap_or(&model.head);
        let x = model.columns(self.last.clone(), model.config.hidden_size);
        let (kept, all) = (head.rows.count, head.count());
        let end = (tokens.end as usize).min(all);
        let start = (tokens.start as usize).min(end);
        let mut logits =
            rayon::scope(|_| products(model.simd, &head.rows, start.min(kept)..end.min(kept), &x));
        if let (Some((mean, _)), true) = (&head.mean, end > kept) {
            let mean = products(model.simd, mean, 0..1, &x);
            for _ in start.max(kept)..end {
                logits.extend_from_slice(&mean);
            }
        }
        logits
    }

    /// Goes on with a token.
    pub fn push(&mut self, token: u32) {
        self.append(&[PromptRow::Token(token)], 1);
    }

    /// Goes on with tokens and returns what follows each of them among a range, greedily (the lowest on a tie).
    pub fn choose_after(&mut self, tokens: &[u32], among: Range<u32>) -> Vec<u32> {
        let rows: Vec<PromptRow> = tokens.iter().copied().map(PromptRow::Token).collect();
        self.append(&rows, rows.len());
        let (start, count) = (among.start, among.len());
        let chosen = argmax_columns(&self.logits(among), count, tokens.len());
        chosen.into_iter().map(|row| start + row).collect()
    }

    /// Forgets the last tokens.
    pub fn forget(&mut self, tokens: usize) {
        let kept = self.held.rows.len().saturating_sub(tokens);
        self.held.rows.truncate(kept);
    }

    /// Runs rows and keeps the states of the last ones.
    fn append(&mut self, rows: &[PromptRow], kept: usize) {
        let model = self.model;
        let plugin = self.plugin;
        let own = model
            .plugin(plugin)
            .and_then(|plugin| plugin.embed.as_ref());
        let embed = own.unwrap_or(&model.embed);
        let x = rows.iter().flat_map(|row| match row {
            PromptRow::Token(id) => embed.row(*id),
            PromptRow::Feature(values) => values.clone(),
        });
        let x: Vec<f32> = x.collect();
        let Held {
            rows: before,
            layers,
            ..
        } = &mut *self.held;
        let start = before.len();
        let x = awake(|| model.forward(plugin, x, start, layers));
        before.extend_from_slice(rows);
        let hidden = model.config.hidden_size;
        let from = x.len().checked_sub(kept * hidden);
        let last = from.and_then(|from| x.get(from..));
        self.last = normed(
            last.unwrap_or_default(),
            &model.norm,
            model.config.rms_norm_eps,
        );
    }
}

/// `x / sqrt(mean(x^2) + eps) * weight` for each row.
fn normed(x: &[f32], weight: &[f32], eps: f64) -> Vec<f32> {
    let width = weight.len().max(1);
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(width)
        .zip(x.par_chunks(width))
        .for_each(|(out, x)| {
            let root = (dot(x, x) / width as f32 + eps as f32).sqrt();
            for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                *out = x / root * weight;
            }
        });
    out
}

fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// `up * silu(gate)`, where gates are the first half of the rows and ups the second.
fn gated(mut gate_up: Vec<f32>) -> Vec<f32> {
    let half = gate_up.len() / 2;
    let up = gate_up.split_off(half);
    gate_up
        .par_chunks_mut(4096)
        .zip(up.par_chunks(4096))
        .for_each(|(gate, up)| {
            for (gate, up) in gate.iter_mut().zip(up) {
                *gate = up * (*gate / (1.0 + (-*gate).exp()));
            }
        });
    gate_up
}

/// Rotary position embedding, "half split", and the scale of queries.
struct Rotation {
    /// `[tokens, head_dim / 2]` of cosine and sine.
    turns: Vec<(f32, f32)>,
}

impl Rotation {
    fn new(config: &LlmConfig, start: usize, tokens: usize) -> Self {
        let half = config.head_dim / 2;
        let inverse: Vec<f32> = (0..half)
            .map(|i| 1.0 / (config.rope_theta as f32).powf((2 * i) as f32 / config.head_dim as f32))
            .collect();
        let turns = (start..start + tokens).flat_map(|position| {
            inverse.iter().map(move |f| {
                let angle = position as f32 * f;
                (angle.cos(), angle.sin())
            })
        });
        Self {
            turns: turns.collect(),
        }
    }

    /// Turns queries and keys of `qkv` `[tokens, q + 2 kv]` and scales queries.
    fn apply(&self, config: &LlmConfig, qkv: &mut [f32]) {
        let d = config.head_dim;
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let scale = (d as f64).powf(-0.5) as f32;
        let width = ((heads + 2 * kv_heads) * d).max(1);
        let turns = self.turns.par_chunks((d / 2).max(1));
        qkv.par_chunks_mut(width)
            .zip(turns)
            .for_each(|(row, turns)| {
                for (head, x) in row.chunks_mut(d).take(heads + kv_heads).enumerate() {
                    let scale = if head < heads { scale } else { 1.0 };
                    let (first, second) = x.split_at_mut(d / 2);
                    for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                        let (x, y) = (*a, *b);
                        *a = (x * cos - y * sin) * scale;
                        *b = (y * cos + x * sin) * scale;
                    }
                }
            });
    }
}
