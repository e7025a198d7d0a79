//! A plug-in: one task's H-LoRA tensors, its own projector, and where it has them its own embeddings and head.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::adapter::{Adapter, HLora, Lora, MoeLora};
use super::config::LlmConfig;
use super::decoder::{Site, Sites};
use super::loader::Loader;
use super::manifest::{PlugInEntry, PlugInKind};
use super::projector::Projector;

/// One task's tensors.
#[derive(Module, Debug)]
pub struct PlugIn {
    /// What the manifest says of it.
    #[module(skip)]
    pub entry: PlugInEntry,
    /// The sites of every layer (`self_attn.qkv_proj`), in the order of `layers`.
    #[module(skip)]
    pub sites: Vec<&'static str>,
    /// By layer, by site.
    pub layers: Vec<Vec<Adapter>>,
    /// From ViT width to LLM width.
    pub mm_projector: Projector,
    /// `[vocabulary, hidden]`, where the plug-in replaces the base's.
    pub embed_tokens: Option<Param<Tensor<2>>>,
    /// `[vocabulary, hidden]`, where the plug-in replaces the base's.
    pub lm_head: Option<Param<Tensor<2>>>,
}

impl PlugIn {
    /// Reads a plug-in. `vocabulary` is the size after the image tokens were added.
    pub fn load(
        loader: &mut Loader<'_>,
        entry: &PlugInEntry,
        config: &LlmConfig,
        vit_hidden: usize,
        vocabulary: usize,
    ) -> Self {
        let sites = Sites::new(config);
        let layers = (0..config.num_hidden_layers)
            .map(|i| {
                let adapters = sites.iter().map(|site| adapter(loader, entry, i, site));
                adapters.collect()
            })
            .collect();
        let mm_projector = Projector::load(loader, vit_hidden, config.hidden_size);
        let mut optional = |name: &str| {
            loader
                .has(name)
                .then(|| loader.matrix(name, vocabulary, config.hidden_size))
        };
        let embed_tokens = optional("embed_tokens.weight");
        let lm_head = optional("lm_head.weight");
        Self {
            entry: entry.clone(),
            sites: sites.iter().map(|site| site.name).collect(),
            layers,
            mm_projector,
            embed_tokens,
            lm_head,
        }
    }

    /// A plug-in whose low-rank layers are elsewhere (packed for the GPU): only its projector.
    pub fn projector_only(
        loader: &mut Loader<'_>,
        entry: &PlugInEntry,
        config: &LlmConfig,
        vit_hidden: usize,
    ) -> Self {
        Self {
            entry: entry.clone(),
            sites: Vec::new(),
            layers: Vec::new(),
            mm_projector: Projector::load(loader, vit_hidden, config.hidden_size),
            embed_tokens: None,
            lm_head: None,
        }
    }

    /// The adapter at a site, if the plug-in has one there.
    pub fn adapter(&self, layer: usize, site: &str) -> Option<&Adapter> {
        let index = self.sites.iter().position(|name| *name == site)?;
        self.layers.get(layer)?.get(index)
    }
}

fn adapter(loader: &mut Loader<'_>, entry: &PlugInEntry, layer: usize, site: &Site) -> Adapter {
    let name = format!("layers.{layer}.{}", site.name);
    let (d_out, d_in) = (site.d_out, site.d_in);
    let (rank, experts) = (entry.rank, entry.experts);
    // alpha / r * n, left to right as the reference computes it: 8 for every released model.
    let scale = entry.alpha / rank as f64 * experts as f64;
    let a = format!("{name}.lora_A.weight");
    let b = format!("{name}.lora_B.weight");
    match entry.kind {
        PlugInKind::Lora => Adapter::Lora(Lora {
            lora_a: loader.matrix(&a, rank, d_in),
            lora_b: loader.matrix(&b, d_out, rank),
            scale: entry.alpha / rank as f64,
        }),
        PlugInKind::HLora => Adapter::HLora(HLora {
            lora_route: loader.matrix(&format!("{name}.lora_route.weight"), experts, d_in),
            lora_a: loader.matrix(&a, rank, d_in),
            lora_b: loader.matrix(&b, d_out, rank),
            scale,
        }),
        PlugInKind::MoeLora => Adapter::MoeLora(MoeLora {
            lora_route: loader.matrix(&format!("{name}.lora_route.weight"), experts, d_in),
            experts: (0..experts)
                .map(|e| Lora {
                    lora_a: loader.matrix(
                        &format!("{name}.experts.{e}.lora_A.weight"),
                        rank / experts,
                        d_in,
                    ),
                    lora_b: loader.matrix(
                        &format!("{name}.experts.{e}.lora_B.weight"),
                        d_out,
                        rank / experts,
                    ),
                    scale,
                })
                .collect(),
        }),
    }
}

/// The embedding or head table with the rows of the image vocabulary: the first `keep` rows, then `added` copies of
/// their mean. The released M3 has 32064 rows on disk but 32011 tokens, so the new rows begin at 32011, not 32064.
pub fn resize_rows(table: Tensor<2>, keep: usize, added: usize) -> Tensor<2> {
    let [_, hidden] = table.dims();
    let kept = table.narrow(0, 0, keep);
    let mean = kept.clone().mean_dim(0).expand([added, hidden]);
    Tensor::cat(vec![kept, mean], 0)
}
