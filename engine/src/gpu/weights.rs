//! A model's weights on the GPU: frozen matrices in shards below the binding limit, and plug-ins beside them.
//!
//! Tensors are read one at a time and packed row by row; no whole model is ever in host memory.

use std::collections::BTreeMap;
use std::ops::Range;

use super::pack::{Packed, pairs, units};
use super::{Format, Gpu, GpuError};
use crate::model::checkpoint::RawTensor;
use crate::model::config::{Architecture, LlmConfig};
use crate::model::decoder::{Site, Sites};
use crate::model::loader::Loader;
use crate::model::manifest::{PlugInEntry, PlugInKind};

/// Rows of a matrix in one buffer.
#[derive(Clone, Debug)]
pub struct Shard {
    /// How they are stored.
    pub format: Format,
    /// `[rows, units]`.
    pub weights: wgpu::Buffer,
    /// `[rows, units / 4]`; absent in f16.
    pub scales: Option<wgpu::Buffer>,
    /// `[rows]`.
    pub bias: Option<wgpu::Buffer>,
    /// Where the first row goes in y.
    pub row0: u32,
    /// Rows.
    pub rows: u32,
    /// Units of a row.
    pub units: u32,
}

/// A matrix `[rows, k]`.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// Columns, without padding.
    pub k: usize,
    /// In order.
    pub shards: Vec<Shard>,
}

/// One shard's rows of B.
#[derive(Clone, Debug)]
pub struct LowRankRows {
    /// `[rows, units of rank]`.
    pub rows: wgpu::Buffer,
    /// f16, two per word; unused when the rows are f16.
    pub scales: wgpu::Buffer,
}

/// What a plug-in adds at one site.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// All experts together.
    pub rank: u32,
    /// Experts.
    pub experts: u32,
    /// A and B are q8 instead of f16.
    pub q8: bool,
    /// A (with the scale folded in), then the router in f16.
    pub ar: wgpu::Buffer,
    /// Scales of A; unused when A is f16.
    pub a_scales: wgpu::Buffer,
    /// By shard of the frozen matrix.
    pub b: Vec<LowRankRows>,
}

/// A frozen layer.
#[derive(Clone, Debug)]
pub struct FrozenSite {
    /// As in the checkpoint.
    pub name: &'static str,
    /// Its weight.
    pub matrix: Matrix,
}

/// One block.
#[derive(Clone, Debug)]
pub struct LayerWeights {
    /// `[padded hidden]`.
    pub input_norm: wgpu::Buffer,
    /// One site (phi3) or three (qwen2).
    pub qkv: Vec<FrozenSite>,
    /// Output of attention.
    pub o_proj: FrozenSite,
    /// `[padded hidden]`.
    pub post_norm: wgpu::Buffer,
    /// One site (phi3) or two (qwen2).
    pub gate_up: Vec<FrozenSite>,
    /// Back to the residual stream.
    pub down_proj: FrozenSite,
}

/// The frozen model.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Embedding table, always f16.
    pub embed: Matrix,
    /// Blocks.
    pub layers: Vec<LayerWeights>,
    /// `[padded hidden]`.
    pub norm: wgpu::Buffer,
    /// The head.
    pub head: Matrix,
}

/// A plug-in.
#[derive(Clone, Debug)]
pub struct PluginWeights {
    /// By layer, by site.
    pub layers: Vec<BTreeMap<&'static str, LowRank>>,
    /// Where it replaces the base's.
    pub embed: Option<Matrix>,
    /// Where it replaces the base's.
    pub head: Option<Matrix>,
}

/// How a matrix may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// After any row.
    Rows,
    /// Between heads of so many rows.
    Heads(usize),
    /// Both halves alike: gate and up rows of one shard belong together.
    Halves,
}

impl Cut {
    /// The rows of each shard, with where its first row goes in y.
    pub fn shards(
        self,
        rows: usize,
        row_bytes: usize,
        limit: u64,
    ) -> Vec<(usize, Vec<Range<usize>>)> {
        let (rows, step, parts) = match self {
            Self::Rows => (rows, 8, 1),
            Self::Heads(head) => (rows, head, 1),
            Self::Halves => (rows / 2, 4, 2),
        };
        let fit = limit as usize / (row_bytes * parts).max(1);
        let count = (fit / step * step).max(step);
        (0..rows)
            .step_by(count)
            .map(|from| {
                let end = (from + count).min(rows);
                let ranges = (0..parts).map(|part| part * rows + from..part * rows + end);
                (from, ranges.collect())
            })
            .collect()
    }
}

/// How weights are stored on the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats {
    /// The frozen matrices.
    pub base: Format,
    /// The head: q8 where the base is q4.
    pub head: Format,
    /// A and B are q8.
    pub plugin_q8: bool,
}

impl Formats {
    /// The formats that go with a base.
    pub fn of(base: Format) -> Self {
        Self {
            base,
            head: if base == Format::Q4 { Format::Q8 } else { base },
            plugin_q8: base != Format::F16,
        }
    }
}

/// Reads weights for one GPU.
pub struct Packer<'a> {
    /// Where they go.
    pub gpu: &'a Gpu,
    /// How they are stored.
    pub formats: Formats,
    /// Sizes.
    pub config: &'a LlmConfig,
    /// Rows of the vocabulary kept from the files, and rows added with their mean.
    pub vocabulary: (usize, usize),
}

/// Rows of values at a time: what is held unpacked.
const CHUNK: usize = 512;

impl Packer<'_> {
    /// A matrix from its rows.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn matrix(
        &self,
        [rows, k]: [usize; 2],
        format: Format,
        cut: Cut,
        bias: Option<&[f32]>,
        values: &dyn Fn(Range<usize>) -> Vec<f32>,
    ) -> Result<Matrix, GpuError> {
        let mut shards = Vec::new();
        for (row0, ranges) in cut.shards(rows, format.row_bytes(k), self.gpu.binding_limit()) {
            let packed = pack_rows(&ranges, k, format, values);
            let scales = (format != Format::F16)
                .then(|| self.gpu.words("scales", &pairs(&packed.scales)))
                .transpose()?;
            let bias = bias
                .map(|bias| {
                    let part: Vec<f32> = ranges
                        .iter()
                        .flat_map(|range| bias.get(range.clone()).unwrap_or_default())
                        .copied()
                        .collect();
                    self.gpu.floats("bias", &part)
                })
                .transpose()?;
            shards.push(Shard {
                format,
                weights: self.gpu.words("weights", &packed.words)?,
                scales,
                bias,
                row0: row0 as u32,
                rows: ranges.iter().map(Range::len).sum::<usize>() as u32,
                units: units(k) as u32,
            });
        }
        Ok(Matrix { rows, k, shards })
    }

    /// A vector, padded like a row.
    fn vector(
        &self,
        loader: &mut Loader<'_>,
        name: &str,
        len: usize,
    ) -> Result<wgpu::Buffer, GpuError> {
        let mut values = loader
            .raw(name, &[len])
            .map_or_else(Vec::new, |raw| raw.to_f32());
        values.resize(8 * units(len), 0.0);
        self.gpu.floats("norm", &values)
    }

    fn site(
        &self,
        loader: &mut Loader<'_>,
        layer: usize,
        site: &Site,
        cut: Cut,
    ) -> Result<FrozenSite, GpuError> {
        let name = format!("layers.{layer}.{}", site.name);
        let bias = site
            .bias
            .then(|| {
                loader
                    .raw(&format!("{name}.bias"), &[site.d_out])
                    .map(|raw| raw.to_f32())
            })
            .flatten();
        let shape = [site.d_out, site.d_in];
        let raw = loader.raw(&format!("{name}.weight"), &shape);
        let values = |range: Range<usize>| rows_of(raw.as_ref(), range);
        let matrix = self.matrix(shape, self.formats.base, cut, bias.as_deref(), &values)?;
        Ok(FrozenSite {
            name: site.name,
            matrix,
        })
    }

    /// The frozen model. Tensors that are missing are noted by the loader.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn weights(&self, loader: &mut Loader<'_>) -> Result<Weights, GpuError> {
        let config = self.config;
        let (hidden, vocabulary) = (config.hidden_size, config.vocab_size);
        let embed = self.table(loader, "embed_tokens.weight", vocabulary, Format::F16)?;
        let sites = Sites::new(config);
        let fused = config.architecture == Architecture::Phi3;
        let gate_cut = if fused { Cut::Halves } else { Cut::Rows };
        let mut layers = Vec::new();
        for i in 0..config.num_hidden_layers {
            let name = format!("layers.{i}");
            let mut all = |sites: &[Site], cut| {
                sites
                    .iter()
                    .map(|site| self.site(loader, i, site, cut))
                    .collect::<Result<Vec<_>, _>>()
            };
            let qkv = all(&sites.qkv, Cut::Heads(config.head_dim))?;
            let gate_up = all(&sites.gate_up, gate_cut)?;
            layers.push(LayerWeights {
                qkv,
                gate_up,
                o_proj: self.site(loader, i, &sites.o_proj, Cut::Rows)?,
                down_proj: self.site(loader, i, &sites.down_proj, Cut::Rows)?,
                input_norm: self.vector(
                    loader,
                    &format!("{name}.input_layernorm.weight"),
                    hidden,
                )?,
                post_norm: self.vector(
                    loader,
                    &format!("{name}.post_attention_layernorm.weight"),
                    hidden,
                )?,
            });
        }
        let norm = self.vector(loader, "norm.weight", hidden)?;
        let head = if config.tie_word_embeddings {
            embed.clone()
        } else {
            self.table(loader, "lm_head.weight", vocabulary, self.formats.head)?
        };
        Ok(Weights {
            embed,
            layers,
            norm,
            head,
        })
    }

    /// An embedding or head table with the rows of the image vocabulary: the first rows of the file, then copies of their
    /// mean (as `plugin::resize_rows` makes them).
    fn table(
        &self,
        loader: &mut Loader<'_>,
        name: &str,
        stored: usize,
        format: Format,
    ) -> Result<Matrix, GpuError> {
        let hidden = self.config.hidden_size;
        let raw = loader.raw(name, &[stored, hidden]);
        let (keep, added) = self.vocabulary;
        if added == 0 {
            let values = |range: Range<usize>| rows_of(raw.as_ref(), range);
            return self.matrix([stored, hidden], format, Cut::Rows, None, &values);
        }
        let mean = mean_row(raw.as_ref(), keep, hidden);
        let values = |range: Range<usize>| {
            let mut rows = rows_of(raw.as_ref(), range.start.min(keep)..range.end.min(keep));
            for _ in range.start.max(keep)..range.end {
                rows.extend_from_slice(&mean);
            }
            rows
        };
        self.matrix([keep + added, hidden], format, Cut::Rows, None, &values)
    }

    /// A plug-in's tensors. LoRA is H-LoRA with one expert; MoE-LoRA's experts are stacked along the rank (exact).
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn plugin(
        &self,
        loader: &mut Loader<'_>,
        entry: &PlugInEntry,
        base: &Weights,
    ) -> Result<PluginWeights, GpuError> {
        let config = self.config;
        let sites = Sites::new(config);
        let mut layers = Vec::new();
        for (i, layer) in base.layers.iter().enumerate() {
            let mut at = BTreeMap::new();
            let frozen = layer
                .qkv
                .iter()
                .chain([&layer.o_proj])
                .chain(&layer.gate_up)
                .chain([&layer.down_proj]);
            for (site, frozen) in sites.iter().zip(frozen) {
                let tensors = LowRankTensors::read(loader, entry, i, site);
                let _ = at.insert(site.name, self.low_rank(&tensors, site, frozen)?);
            }
            layers.push(at);
        }
        let (keep, added) = self.vocabulary;
        let vocabulary = if added == 0 {
            config.vocab_size
        } else {
            keep + added
        };
        let mut optional = |name: &str, format| {
            loader
                .has(name)
                .then(|| {
                    let shape = [vocabulary, config.hidden_size];
                    let raw = loader.raw(name, &shape);
                    let values = |range: Range<usize>| rows_of(raw.as_ref(), range);
                    self.matrix(shape, format, Cut::Rows, None, &values)
                })
                .transpose()
        };
        let embed = optional("embed_tokens.weight", Format::F16)?;
        let head = optional("lm_head.weight", self.formats.head)?;
        Ok(PluginWeights {
            layers,
            embed,
            head,
        })
    }

    /// One site of a plug-in.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn low_rank(
        &self,
        tensors: &LowRankTensors,
        site: &Site,
        frozen: &FrozenSite,
    ) -> Result<LowRank, GpuError> {
        let q8 = self.formats.plugin_q8;
        let format = if q8 { Format::Q8 } else { Format::F16 };
        let a = format.pack(&tensors.a, site.d_in);
        let router = Format::F16.pack(&tensors.router, site.d_in);
        let mut words = a.words;
        words.extend(router.words);
        let halves = match site.name {
            "mlp.gate_up_proj" => Cut::Halves,
            _ => Cut::Rows,
        };
        let mut b = Vec::new();
        for shard in &frozen.matrix.shards {
            let (from, rows) = (shard.row0 as usize, shard.rows as usize);
            let ranges = match halves {
                Cut::Halves => {
                    let half = site.d_out / 2;
                    vec![from..from + rows / 2, half + from..half + from + rows / 2]
                }
                _ => vec![from..from + rows],
            };
            let rank = tensors.rank;
            let values = |range: Range<usize>| {
                tensors
                    .b
                    .get(range.start * rank..range.end * rank)
                    .unwrap_or_default()
                    .to_vec()
            };
            let packed = pack_rows(&ranges, rank, format, &values);
            b.push(LowRankRows {
                rows: self.gpu.words("plug-in", &packed.words)?,
                scales: self.gpu.words("plug-in", &pairs(&packed.scales))?,
            });
        }
        Ok(LowRank {
            rank: tensors.rank as u32,
            experts: tensors.experts as u32,
            q8,
            ar: self.gpu.words("plug-in", &words)?,
            a_scales: self.gpu.words("plug-in", &pairs(&a.scales))?,
            b,
        })
    }
}

/// One site of a plug-in as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRankTensors {
    /// All experts together.
    pub rank: usize,
    /// Experts.
    pub experts: usize,
    /// `[rank, d_in]`, with the scale.
    pub a: Vec<f32>,
    /// `[experts, d_in]`.
    pub router: Vec<f32>,
    /// `[d_out, rank]`.
    pub b: Vec<f32>,
}

impl LowRankTensors {
    fn read(loader: &mut Loader<'_>, entry: &PlugInEntry, layer: usize, site: &Site) -> Self {
        let name = format!("layers.{layer}.{}", site.name);
        let (rank, d_in, d_out) = (entry.rank, site.d_in, site.d_out);
        let mut matrix = |part: &str, rows: usize, columns: usize| {
            let raw = loader.raw(&format!("{name}.{part}.weight"), &[rows, columns]);
            raw.map_or_else(|| vec![0.0; rows * columns], |raw| raw.to_f32())
        };
        let experts = match entry.kind {
            PlugInKind::Lora => 1,
            _ => entry.experts,
        };
        let router = match entry.kind {
            PlugInKind::Lora => vec![0.0; d_in],
            _ => matrix("lora_route", experts, d_in),
        };
        let (mut a, b) = match entry.kind {
            PlugInKind::MoeLora => {
                let per_expert = rank / experts;
                let mut a = Vec::new();
                let mut b = vec![0.0; d_out * rank];
                for e in 0..experts {
                    a.extend(matrix(&format!("experts.{e}.lora_A"), per_expert, d_in));
                    let own = matrix(&format!("experts.{e}.lora_B"), d_out, per_expert);
                    for (row, own) in b.chunks_mut(rank).zip(own.chunks(per_expert)) {
                        for (to, from) in row.iter_mut().skip(e * per_expert).zip(own) {
                            *to = *from;
                        }
                    }
                }
                (a, b)
            }
            _ => (matrix("lora_A", rank, d_in), matrix("lora_B", d_out, rank)),
        };
        // alpha / rank of one expert; 8 in every released model, so that folding it in is exact.
        let scale = (entry.alpha / rank as f64 * experts as f64) as f32;
        for a in &mut a {
            *a *= scale;
        }
        Self {
            rank,
            experts,
            a,
            router,
            b,
        }
    }
}

fn rows_of(raw: Option<&RawTensor<'_>>, range: Range<usize>) -> Vec<f32> {
    raw.map_or_else(Vec::new, |raw| raw.rows_f32(range))
}

fn mean_row(raw: Option<&RawTensor<'_>>, keep: usize, width: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; width];
    for from in (0..keep).step_by(CHUNK) {
        for row in rows_of(raw, from..(from + CHUNK).min(keep)).chunks(width) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
    }
    sums.iter()
        .map(|sum| (sum / keep.max(1) as f64) as f32)
        .collect()
}

fn pack_rows(
    ranges: &[Range<usize>],
    k: usize,
    format: Format,
    values: &dyn Fn(Range<usize>) -> Vec<f32>,
) -> Packed {
    let mut packed = Packed::default();
    for range in ranges {
        for from in range.clone().step_by(CHUNK) {
            let chunk = from..(from + CHUNK).min(range.end);
            let part = format.pack(&values(chunk), k);
            packed.words.extend(part.words);
            packed.scales.extend(part.scales);
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_above_the_limit_is_cut_between_rows_heads_or_pairs() {
        // 100 rows of 10 bytes, 300 bytes at most: 24 rows are a multiple of 8 that fits.
        let starts: Vec<usize> = Cut::Rows.shards(100, 10, 300).iter().map(|s| s.0).collect();
        assert_eq!(starts, [0, 24, 48, 72, 96]);
        let heads: Vec<usize> = Cut::Heads(16)
            .shards(96, 10, 400)
            .iter()
            .map(|s| s.0)
            .collect();
        assert_eq!(heads, [0, 32, 64]);
        // Gate rows 0..50 and up rows 50..100: 12 pairs are 240 bytes.
        let halves = Cut::Halves.shards(100, 10, 250);
        assert_eq!(halves[1], (12, vec![12..24, 62..74]));
        assert_eq!(halves.last().unwrap().1, vec![48..50, 98..100]);
    }
}
