//! From the tensors of files to packed rows: kept where the file has them in the wanted format, packed anew otherwise.

use std::sync::Mutex;

use super::columns::Orders;
use super::decoder::{Embedding, Head, Held, Layer, PackedDecoder, PackedPlugIn};
use super::lanes::Simd;
use super::linear::{Frozen, LowRank};
use super::rows::Rows;
use crate::gpu::Format;
use crate::gpu::cache::KvFormat;
use crate::gpu::packer::{Formats, mean_row};
use crate::model::checkpoint::HeldTensor;
use crate::model::config::LlmConfig;
use crate::model::decoder::{Site, Sites};
use crate::model::loader::Loader;
use crate::model::manifest::{PlugInEntry, PlugInKind};

/// Reads a base and its plug-ins.
#[derive(Clone, Copy, Debug)]
pub struct RowsReader<'a> {
    /// Sizes.
    pub config: &'a LlmConfig,
    /// Rows of the vocabulary kept from the files, and rows added with their mean.
    pub vocabulary: (usize, usize),
    /// Formats to hold rows in; as the files have them (f16 where those are not packed) if there is no wish.
    pub formats: Option<Formats>,
}

impl RowsReader<'_> {
    fn base_format(&self) -> Option<Format> {
        self.formats.map(|formats| formats.base)
    }

    fn head_format(&self) -> Option<Format> {
        self.formats.map(|formats| formats.head)
    }

    fn plugin_format(&self) -> Option<Format> {
        self.formats.map(|formats| {
            if formats.plugin_q8 {
                Format::Q8
            } else {
                Format::F16
            }
        })
    }

    /// The frozen model; plug-ins come with [`Self::plugin`].
    pub fn base(&self, loader: &mut Loader<'_>) -> PackedDecoder {
        let config = self.config;
        let (hidden, vocabulary) = (config.hidden_size, config.vocab_size);
        let table = loader.hold("embed_tokens.weight", &[vocabulary, hidden]);
        let table = table.unwrap_or_else(|| HeldTensor::of_f32(&[], &[0, hidden]));
        let sites = Sites::new(config);
        let layers = (0..config.num_hidden_layers)
            .map(|i| {
                let name = |part: &str| format!("layers.{i}.{part}");
                let input_norm = vector(loader, &name("input_layernorm.weight"), hidden);
                let post_norm = vector(loader, &name("post_attention_layernorm.weight"), hidden);
                let mut frozen = |site: &Site| self.frozen(loader, i, site);
                Layer {
                    input_norm,
                    qkv: sites.qkv.iter().map(&mut frozen).collect(),
                    o_proj: frozen(&sites.o_proj),
                    post_norm,
                    gate_up: sites.gate_up.iter().map(&mut frozen).collect(),
                    down_proj: frozen(&sites.down_proj),
                }
            })
            .collect();
        let norm = vector(loader, "norm.weight", hidden);
        let head = if config.tie_word_embeddings {
            // The table stays as exact as tokens are looked up in it.
            self.head(&table, Some(Format::F16))
        } else {
            let head = loader.hold("lm_head.weight", &[vocabulary, hidden]);
            match head {
                Some(head) => self.head(&head, self.head_format()),
                None => Head {
                    rows: Rows::missing(hidden),
                    mean: None,
                },
            }
        };
        let mut decoder = PackedDecoder {
            config: config.clone(),
            cache: KvFormat::F16,
            simd: Simd::detect(),
            orders: Orders::of(None),
            embed: self.embedding(table),
            layers,
            norm,
            head,
            plugins: Vec::new(),
            held: Mutex::new(Held::default()),
        };
        decoder.orders = decoder.needed();
        decoder
    }

    fn frozen(&self, loader: &mut Loader<'_>, layer: usize, site: &Site) -> Frozen {
        let name = format!("layers.{layer}.{}", site.name);
        let bias = site
            .bias
            .then(|| vector(loader, &format!("{name}.bias"), site.d_out));
        let rows = matrix(
            loader,
            &format!("{name}.weight"),
            [site.d_out, site.d_in],
            self.base_format(),
        );
        Frozen { rows, bias }
    }

    fn kept(&self, rows: usize) -> (usize, usize) {
        match self.vocabulary {
            (_, 0) => (rows, 0),
            grown => grown,
        }
    }

    fn embedding(&self, table: HeldTensor) -> Embedding {
        let (kept, added) = self.kept(table.shape.first().copied().unwrap_or(0));
        let mean = if added > 0 {
            mean_row(Some(&table.raw()), kept, self.config.hidden_size)
        } else {
            Vec::new()
        };
        Embedding { table, kept, mean }
    }

    fn head(&self, table: &HeldTensor, format: Option<Format>) -> Head {
        let hidden = self.config.hidden_size;
        let (kept, added) = self.kept(table.shape.first().copied().unwrap_or(0));
        let rows = Rows::new(table, format).first(kept);
        let mean = (added > 0).then(|| {
            let mean = mean_row(Some(&table.raw()), kept, hidden);
            (
                Rows::packed(std::iter::once(mean), hidden, rows.format),
                added,
            )
        });
        Head { rows, mean }
    }

    /// Reads a plug-in and puts it behind those that the decoder has.
    pub fn plugin(
        &self,
        loader: &mut Loader<'_>,
        entry: &PlugInEntry,
        decoder: &mut PackedDecoder,
    ) {
        let config = self.config;
        let sites = Sites::new(config);
        let layers = (0..config.num_hidden_layers)
            .map(|i| {
                sites
                    .iter()
                    .map(|site| self.low_rank(loader, entry, i, site))
                    .collect()
            })
            .collect();
        let (keep, added) = self.vocabulary;
        let shape = [
            if added == 0 {
                config.vocab_size
            } else {
                keep + added
            },
            config.hidden_size,
        ];
        let mut optional = |name: &str| {
            loader
                .has(name)
                .then(|| loader.hold(name, &shape))
                .flatten()
        };
        let embed = optional("embed_tokens.weight").map(|table| Embedding {
            kept: shape[0],
            mean: Vec::new(),
            table,
        });
        let head = optional("lm_head.weight").map(|table| {
            let rows = Rows::new(&table, self.head_format());
            rows.touch();
            Head { rows, mean: None }
        });
        decoder.plugins.push(PackedPlugIn {
            layers,
            embed,
            head,
        });
        decoder.orders = decoder.needed();
    }

    fn low_rank(
        &self,
        loader: &mut Loader<'_>,
        entry: &PlugInEntry,
        layer: usize,
        site: &Site,
    ) -> LowRank {
        let name = format!("layers.{layer}.{}", site.name);
        let format = self.plugin_format();
        let mut rows = |part: &str, shape, format| {
            matrix(loader, &format!("{name}.{part}.weight"), shape, format)
        };
        let own = match entry.kind {
            PlugInKind::MoeLora => (0..entry.experts)
                .map(|e| format!("experts.{e}."))
                .collect(),
            PlugInKind::Lora | PlugInKind::HLora => vec![String::new()],
        };
        let rank = entry.rank / own.len().max(1);
        let (experts, router) = match entry.kind {
            PlugInKind::Lora => (1, None),
            PlugInKind::HLora | PlugInKind::MoeLora => {
                let router = rows("lora_route", [entry.experts, site.d_in], Some(Format::F16));
                (entry.experts, Some(router))
            }
        };
        LowRank {
            router,
            a: own
                .iter()
                .map(|own| rows(&format!("{own}lora_A"), [rank, site.d_in], format))
                .collect(),
            b: own
                .iter()
                .map(|own| rows(&format!("{own}lora_B"), [site.d_out, rank], format))
                .collect(),
            scale: (entry.alpha / entry.rank as f64 * experts as f64) as f32,
        }
    }
}

impl PackedDecoder {
    /// The orders in which inputs are read.
    fn needed(&self) -> Orders {
        let frozen = self
            .layers
            .iter()
            .flat_map(Layer::frozen)
            .map(|frozen| &frozen.rows);
        let own = self.plugins.iter().flat_map(|plugin| {
            let sites = plugin.layers.iter().flatten();
            let heads = plugin.head.iter().map(|head| &head.rows);
            sites
                .flat_map(|site| site.a.iter().chain(&site.router))
                .chain(heads)
        });
        let all = frozen.chain([&self.head.rows]).chain(own);
        Orders::of_all(all.map(|rows| rows.format))
    }
}

fn matrix(loader: &mut Loader<'_>, name: &str, shape: [usize; 2], format: Option<Format>) -> Rows {
    let Some(tensor) = loader.hold(name, &shape) else {
        return Rows::missing(shape[1]);
    };
    let rows = Rows::new(&tensor, format);
    rows.touch();
    rows
}

fn vector(loader: &mut Loader<'_>, name: &str, len: usize) -> Vec<f32> {
    loader
        .raw(name, &[len])
        .map_or_else(Vec::new, |raw| raw.to_f32())
}
