//! From the tensors of files to weights on the GPU: packed row by row, one tensor at a time.

use std::collections::BTreeMap;
use std::ops::Range;

use super::pack::{Packed, pairs, units};
use super::weights::{
    Cut, FrozenSite, LayerWeights, LowRank, LowRankRows, Matrix, PluginWeights, Shard, Weights,
};
use super::{Format, Gpu, GpuError};
use crate::model::checkpoint::RawTensor;
use crate::model::config::{Architecture, LlmConfig};
use crate::model::decoder::{Site, Sites};
use crate::model::loader::Loader;
use crate::model::manifest::{PlugInEntry, PlugInKind};

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
        let packed = |range| format.pack(&values(range), k);
        self.packed_matrix([rows, k], format, cut, bias, &packed)
    }

    /// A matrix from its rows in the format already.
    fn packed_matrix(
        &self,
        [rows, k]: [usize; 2],
        format: Format,
        cut: Cut,
        bias: Option<&[f32]>,
        values: &dyn Fn(Range<usize>) -> Packed,
    ) -> Result<Matrix, GpuError> {
        let mut shards = Vec::new();
        for (row0, ranges) in cut.shards(rows, format.row_bytes(k), self.gpu.tuning.shard_bytes) {
            let packed = pack_rows(&ranges, values);
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
        let format = self.formats.base;
        let values = |range: Range<usize>| rows_packed(raw.as_ref(), range, site.d_in, format);
        let matrix = self.packed_matrix(shape, format, cut, bias.as_deref(), &values)?;
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
            let values = |range: Range<usize>| rows_packed(raw.as_ref(), range, hidden, format);
            return self.packed_matrix([stored, hidden], format, Cut::Rows, None, &values);
        }
        let mean = mean_row(raw.as_ref(), keep, hidden);
        let values = |range: Range<usize>| {
            let kept = range.start.min(keep)..range.end.min(keep);
            let mut rows = rows_packed(raw.as_ref(), kept, hidden, format);
            let mean = format.pack(&mean, hidden);
            for _ in range.start.max(keep)..range.end {
                rows.words.extend(&mean.words);
                rows.scales.extend(&mean.scales);
            }
            rows
        };
        self.packed_matrix([keep + added, hidden], format, Cut::Rows, None, &values)
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
                    let values = |range: Range<usize>| {
                        rows_packed(raw.as_ref(), range, config.hidden_size, format)
                    };
                    self.packed_matrix(shape, format, Cut::Rows, None, &values)
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
        words.extend(&router.words);
        let halves = match site.name {
            "mlp.gate_up_proj" => Cut::Halves,
            _ => Cut::Rows,
        };
        let mut b = Vec::new();
        for shard in &frozen.matrix.shards {
            let (from, rows) = (shard.row0 as usize, shard.rows as usize);
            // Where the rows begin that one shard holds together, and how many they are.
            let half = site.d_out / 2;
            let (begins, rows) = match halves {
                Cut::Halves => (vec![from, half + from], rows / 2),
                _ => (vec![from], rows),
            };
            let ranges: Vec<_> = begins
                .into_iter()
                .map(|begin| begin..begin + rows)
                .collect();
            let rank = tensors.rank;
            let values = |range: Range<usize>| {
                let rows = tensors.b.get(range.start * rank..range.end * rank);
                format.pack(rows.unwrap_or_default(), rank)
            };
            let packed = pack_rows(&ranges, &values);
            b.push(LowRankRows {
                rows: self.gpu.words("plug-in", &packed.words)?,
                scales: self.gpu.words("plug-in", &pairs(&packed.scales))?,
            });
        }
        let rows = (tensors.rank + tensors.experts) as u32;
        let ar = self.gpu.words("plug-in", &words)?;
        let a_scales = self.gpu.words("plug-in", &pairs(&a.scales))?;
        let whole = Shard {
            format,
            weights: ar.clone(),
            scales: q8.then(|| a_scales.clone()),
            bias: None,
            row0: 0,
            rows: if q8 { tensors.rank as u32 } else { rows },
            units: units(site.d_in) as u32,
        };
        let mut a_shards = vec![whole.clone()];
        if q8 {
            a_shards.push(Shard {
                format: Format::F16,
                weights: self.gpu.words("plug-in", &router.words)?,
                scales: None,
                row0: tensors.rank as u32,
                rows: tensors.experts as u32,
                ..whole
            });
        }
        Ok(LowRank {
            rank: tensors.rank as u32,
            experts: tensors.experts as u32,
            q8,
            ar,
            a_scales,
            a_shards,
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

/// The mean of the first `keep` rows.
pub(crate) fn mean_row(raw: Option<&RawTensor<'_>>, keep: usize, width: usize) -> Vec<f32> {
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

fn pack_rows(ranges: &[Range<usize>], values: &dyn Fn(Range<usize>) -> Packed) -> Packed {
    let mut packed = Packed::default();
    for range in ranges {
        for from in range.clone().step_by(CHUNK) {
            let part = values(from..(from + CHUNK).min(range.end));
            packed.words.extend(part.words);
            packed.scales.extend(part.scales);
        }
    }
    packed
}

/// Rows in a format: as they are where the files hold them so.
fn rows_packed(
    raw: Option<&RawTensor<'_>>,
    range: Range<usize>,
    k: usize,
    format: Format,
) -> Packed {
    match raw.and_then(|raw| raw.packed.as_ref()) {
        Some(packed) if packed.format == format => packed.rows(range, k),
        _ => format.pack(&rows_of(raw, range), k),
    }
}
