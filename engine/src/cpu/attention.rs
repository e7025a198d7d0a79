//! Keys and values of the tokens so far, and attention over them.

use half::f16;
use half::slice::HalfFloatSliceExt;
use pulp::NullaryFnOnce;
use rayon::prelude::*;

use super::lanes::{Lanes, Portable, Simd, dot, finite};
use crate::gpu::cache::KvFormat;
use crate::model::config::LlmConfig;

/// Keys or values of one head, position by position.
#[derive(Clone, Debug)]
enum Kept {
    /// 16 bits.
    F16(Vec<f16>),
    /// As computed.
    F32(Vec<f32>),
}

impl Kept {
    fn new(format: KvFormat, elements: usize) -> Self {
        match format {
            KvFormat::F32 => Self::F32(Vec::with_capacity(elements)),
            KvFormat::F16 | KvFormat::Q8 => Self::F16(Vec::with_capacity(elements)),
        }
    }

    fn truncate(&mut self, elements: usize) {
        match self {
            Self::F16(halves) => halves.truncate(elements),
            Self::F32(values) => values.truncate(elements),
        }
    }

    fn push(&mut self, row: &[f32]) {
        match self {
            Self::F16(halves) => {
                let from = halves.len();
                halves.resize(from + row.len(), f16::ZERO);
                if let Some(to) = halves.get_mut(from..) {
                    to.convert_from_f32_slice(row);
                }
            }
            Self::F32(values) => values.extend_from_slice(row),
        }
    }
}

/// Keys and values of one head.
#[derive(Clone, Debug)]
struct HeadCache {
    keys: Kept,
    values: Kept,
}

/// Keys and values of one layer.
#[derive(Clone, Debug)]
pub(super) struct LayerCache {
    heads: Vec<HeadCache>,
}

/// Sizes of attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    window: Option<usize>,
}

impl Sizes {
    pub(super) fn of(config: &LlmConfig) -> Self {
        Self {
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            window: config.sliding_window,
        }
    }
}

impl LayerCache {
    /// Empty, with memory for so many positions.
    pub(super) fn new(sizes: &Sizes, format: KvFormat, positions: usize) -> Self {
        let kept = || Kept::new(format, positions * sizes.head_dim);
        let head = |_| HeadCache {
            keys: kept(),
            values: kept(),
        };
        Self {
            heads: (0..sizes.kv_heads).map(head).collect(),
        }
    }

    /// Appends the keys and values of new tokens and attends to all. `qkv` `[tokens, q + 2 kv]` with q and k rotated and q scaled,
    /// `start` the position of the first; result `[tokens, q]`.
    pub(super) fn attend(
        &mut self,
        simd: Simd,
        sizes: &Sizes,
        qkv: &[f32],
        start: usize,
    ) -> Vec<f32> {
        let (d, group) = (sizes.head_dim, sizes.heads / sizes.kv_heads.max(1));
        let width = (sizes.heads + 2 * sizes.kv_heads) * d;
        let tokens = qkv.len() / width.max(1);
        let head = |token: usize, head: usize| -> &[f32] {
            let from = token * width + head * d;
            qkv.get(from..from + d).unwrap_or_default()
        };
        for (kv, cache) in self.heads.iter_mut().enumerate() {
            cache.keys.truncate(start * d);
            cache.values.truncate(start * d);
            for token in 0..tokens {
                cache.keys.push(head(token, sizes.heads + kv));
                cache
                    .values
                    .push(head(token, sizes.heads + sizes.kv_heads + kv));
            }
        }
        // [heads, tokens, head_dim]: one task's queries lie together.
        let mut out = vec![0.0; sizes.heads * tokens * d];
        let one_head = |kv: usize, cache: &HeadCache, out: &mut [f32]| {
            let queries = (kv * group..(kv + 1) * group)
                .flat_map(|query| (0..tokens).flat_map(move |token| head(token, query)));
            let queries: Vec<f32> = queries.copied().collect();
            let one = OneHead {
                queries: &queries,
                cache,
                out,
                start,
                tokens,
                d,
                window: sizes.window,
            };
            match simd {
                Simd::Portable => Attend(Portable, one).call(),
                #[cfg(target_arch = "x86_64")]
                Simd::Avx2(v3) => v3.vectorize(Attend(v3, one)),
            }
        };
        let tasks = out
            .par_chunks_mut((group * tokens * d).max(1))
            .zip(&self.heads)
            .enumerate();
        tasks.for_each(|(kv, (out, cache))| one_head(kv, cache, out));
        if tokens == 1 {
            return out;
        }
        let mut by_token = vec![0.0; out.len()];
        by_token
            .par_chunks_mut((sizes.heads * d).max(1))
            .enumerate()
            .for_each(|(token, to)| {
                for (head, to) in to.chunks_mut(d).enumerate() {
                    let from = (head * tokens + token) * d;
                    to.copy_from_slice(out.get(from..from + d).unwrap_or_default());
                }
            });
        by_token
    }
}

/// The queries of all heads that share one head of keys and values.
struct OneHead<'a> {
    /// `[group, tokens, head_dim]`.
    queries: &'a [f32],
    cache: &'a HeadCache,
    /// As queries; zeros.
    out: &'a mut [f32],
    start: usize,
    tokens: usize,
    d: usize,
    window: Option<usize>,
}

/// What can be read as floats.
trait Wide: Copy {
    fn wide(self) -> f32;
}

impl Wide for f16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        finite(self)
    }
}

impl Wide for f32 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
}

/// One head's work, and the instructions for it.
struct Attend<'a, L>(L, OneHead<'a>);

impl<L: Lanes> NullaryFnOnce for Attend<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self(lanes, mut one) = self;
        let keys = one.start + one.tokens;
        let queries = one.queries.len() / one.d.max(1);
        let mut scores = vec![0.0; queries * keys];
        let cache = one.cache;
        // For one query it is not worth while to write down what a row unpacks to.
        match &cache.keys {
            Kept::F16(halves) if queries == 1 => one.score_halves(lanes, halves, &mut scores),
            Kept::F16(halves) => one.score(halves, &mut scores),
            Kept::F32(values) => one.score(values, &mut scores),
        }
        for (query, scores) in scores.chunks_mut(keys).enumerate() {
            let visible = one.visible(query);
            softmax(scores.get_mut(visible).unwrap_or_default());
        }
        match &cache.values {
            Kept::F16(halves) if queries == 1 => one.mix_halves(lanes, halves, &scores),
            Kept::F16(halves) => one.mix(halves, &scores),
            Kept::F32(values) => one.mix(values, &scores),
        }
    }
}

impl OneHead<'_> {
    /// Keys that a query sees: not those in the future, and `window` back besides its own.
    #[inline(always)]
    fn visible(&self, query: usize) -> std::ops::Range<usize> {
        let position = self.start + query % self.tokens.max(1);
        let first = self
            .window
            .map_or(0, |window| position.saturating_sub(window));
        first..position + 1
    }

    #[inline(always)]
    fn score<T: Wide>(&self, rows: &[T], scores: &mut [f32]) {
        let keys = self.start + self.tokens;
        let mut wide = vec![0.0; self.d];
        for (key, row) in rows.chunks(self.d.max(1)).enumerate() {
            widen(row, &mut wide);
            let queries = self
                .queries
                .chunks(self.d.max(1))
                .zip(scores.chunks_mut(keys));
            for (query, (q, scores)) in queries.enumerate() {
                if let Some(score) = scores
                    .get_mut(key)
                    .filter(|_| self.visible(query).contains(&key))
                {
                    *score = dot(q, &wide);
                }
            }
        }
    }

    #[inline(always)]
    fn mix<T: Wide>(&mut self, rows: &[T], scores: &[f32]) {
        let keys = self.start + self.tokens;
        let mut wide = vec![0.0; self.d];
        for (key, row) in rows.chunks(self.d.max(1)).enumerate() {
            widen(row, &mut wide);
            for (query, weights) in scores.chunks(keys).enumerate() {
                if !self.visible(query).contains(&key) {
                    continue;
                }
                let weight = weights.get(key).copied().unwrap_or(0.0);
                let out = self.out.get_mut(query * self.d..(query + 1) * self.d);
                for (to, value) in out.unwrap_or_default().iter_mut().zip(&wide) {
                    *to += weight * value;
                }
            }
        }
    }
}

impl OneHead<'_> {
    /// The scores of one query.
    #[inline(always)]
    fn score_halves<L: Lanes>(&self, lanes: L, rows: &[f16], scores: &mut [f32]) {
        let (queries, queries_rest) = self.queries.as_chunks::<8>();
        let d = self.d.max(1);
        let visible = self.visible(0);
        let rows = rows.chunks(d).skip(visible.start);
        for (row, score) in rows.zip(scores.iter_mut().skip(visible.start)) {
            let (row, rest) = row.as_chunks::<8>();
            let mut sum = lanes.zero();
            for (halves, x) in row.iter().zip(queries) {
                sum = lanes.add_halves(sum, lanes.halves(&le_bytes(halves)), x);
            }
            let rest = rest.iter().zip(queries_rest);
            *score = lanes.total(sum) + rest.map(|(half, x)| finite(*half) * x).sum::<f32>();
        }
    }

    /// The values of one query, by its weights.
    #[inline(always)]
    fn mix_halves<L: Lanes>(&mut self, lanes: L, rows: &[f16], weights: &[f32]) {
        let d = self.d.max(1);
        let visible = self.visible(0);
        let (out, out_rest) = self.out.as_chunks_mut::<8>();
        let rows = rows.chunks(d).zip(weights).skip(visible.start);
        for (row, weight) in rows {
            let (row, rest) = row.as_chunks::<8>();
            for (to, halves) in out.iter_mut().zip(row) {
                *to = lanes.mix_halves(*to, lanes.halves(&le_bytes(halves)), *weight);
            }
            for (to, half) in out_rest.iter_mut().zip(rest) {
                *to += weight * finite(*half);
            }
        }
    }
}

#[inline(always)]
fn le_bytes(halves: &[f16; 8]) -> [u8; 16] {
    pulp::cast(halves.map(|half| half.to_bits().to_le()))
}

#[inline(always)]
fn widen<T: Wide>(row: &[T], wide: &mut [f32]) {
    for (to, from) in wide.iter_mut().zip(row) {
        *to = from.wide();
    }
}

#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().fold(f32::NEG_INFINITY, |a, x| a.max(*x));
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::random::Random;

    /// Attention as written in a book, in f64.
    fn plain(sizes: &Sizes, qkv: &[f32], tokens: usize) -> Vec<f32> {
        let d = sizes.head_dim;
        let width = (sizes.heads + 2 * sizes.kv_heads) * d;
        let at = |token: usize, head: usize, i: usize| f64::from(qkv[token * width + head * d + i]);
        let mut out = Vec::new();
        for token in 0..tokens {
            for head in 0..sizes.heads {
                let kv = head / (sizes.heads / sizes.kv_heads);
                let first = sizes
                    .window
                    .map_or(0, |window| token.saturating_sub(window));
                let weights: Vec<f64> = (first..=token)
                    .map(|key| {
                        (0..d)
                            .map(|i| at(token, head, i) * at(key, sizes.heads + kv, i))
                            .sum::<f64>()
                            .exp()
                    })
                    .collect();
                let sum: f64 = weights.iter().sum();
                for i in 0..d {
                    let values =
                        (first..=token).map(|key| at(key, sizes.heads + sizes.kv_heads + kv, i));
                    out.push((values.zip(&weights).map(|(v, w)| v * w).sum::<f64>() / sum) as f32);
                }
            }
        }
        out
    }

    #[test]
    fn attention_in_two_parts_with_shared_heads_and_a_window_is_the_plain_sum() {
        let mut random = Random(9);
        // A query of its own for every head of keys takes another way when there is one token. An f16 is off by up to 2^-11.
        for (kv_heads, format, bound) in [
            (2, KvFormat::F32, 1e-5),
            (6, KvFormat::F32, 1e-5),
            (2, KvFormat::F16, 1e-2),
            (6, KvFormat::F16, 1e-2),
        ] {
            for window in [None, Some(2)] {
                let sizes = Sizes {
                    heads: 6,
                    kv_heads,
                    head_dim: 10,
                    window,
                };
                let width = (6 + 2 * kv_heads) * 10;
                let qkv: Vec<f32> = (0..7 * width).map(|_| random.normal() as f32).collect();
                let want = plain(&sizes, &qkv, 7);
                for simd in [Simd::Portable, Simd::detect()] {
                    let mut cache = LayerCache::new(&sizes, format, 7);
                    let mut got = cache.attend(simd, &sizes, &qkv[..4 * width], 0);
                    got.extend(cache.attend(simd, &sizes, &qkv[4 * width..5 * width], 4));
                    got.extend(cache.attend(simd, &sizes, &qkv[5 * width..], 5));
                    let worst = got
                        .iter()
                        .zip(&want)
                        .fold(0.0f32, |a, (x, y)| a.max((x - y).abs()));
                    assert!(
                        got.len() == want.len() && worst < bound,
                        "{simd:?} {kv_heads} {format:?} {window:?}: {worst}"
                    );
                }
            }
        }
    }
}
