//! The parts of HealthGPT that are trained, as one module: what is frozen, what a sequence costs, and what is moved.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use image::RgbImage;

use super::error::TrainError;
use super::examples::Example;
use super::picture::decoder_only;
use super::soft_codes::SoftCodes;
use super::stage::Trainable;
use crate::model::adapter::Dropout;
use crate::model::clip::{ClipVision, hidden_state_index, pixels_tensor};
use crate::model::decoder::Decoder;
use crate::model::expected_code::chosen;
use crate::model::fused::cross_entropy;
use crate::model::layers::matmul_rows;
use crate::model::loader::NamedParam;
use crate::model::plugin::PlugIn;
use crate::model::preprocess::clip_pixels;
use crate::model::prompt::PromptPiece;
use crate::model::vqgan::Vqgan;
use crate::model::{HealthGpt, ModelError, Sampling};
use crate::task::Task;

/// Vision tower, language model and plug-ins.
#[derive(Module, Debug)]
pub struct Learner {
    /// Vision tower.
    pub clip: ClipVision,
    /// Language model.
    pub decoder: Decoder,
    /// In the manifest's order.
    pub plugins: Vec<PlugIn>,
    /// What the vision tower is trained by alone, one for each file of records; else none.
    pub probes: Vec<Param<Tensor<2>>>,
    /// Where the image decoder is trained.
    pub vqgan: Option<Vqgan>,
}

impl Learner {
    /// The model's modules on an autodiff device, frozen but for `trainable`. Where embeddings are trained, one table serves all
    /// plug-ins (the paper's shared word embeddings): the first plug-in's own, if it has one, or the base's. Of a tower that is
    /// trained, the embeddings and so many blocks stay.
    ///
    /// # Errors
    /// The model is held as kernels, which have no backward pass.
    pub fn new(
        model: &mut HealthGpt,
        trainable: Trainable,
        trained: &[String],
        frozen_blocks: usize,
    ) -> Result<Self, ModelError> {
        if trainable.embeddings {
            share_embeddings(model);
        }
        let Some(decoder) = model.llm.twin() else {
            return Err(ModelError::Invalid {
                what: "a model is trained as burn modules, not as kernels".to_owned(),
            });
        };
        let mut decoder = decoder.clone();
        let mut clip = model.clip.clone();
        if !trainable.vision {
            clip = clip.no_grad();
        } else if frozen_blocks > 0 {
            clip = first_blocks_frozen(clip, frozen_blocks);
        }
        if !trainable.base {
            let table = |param: Param<Tensor<2>>| param.set_require_grad(trainable.embeddings);
            decoder = decoder.no_grad();
            decoder.embed_tokens = table(decoder.embed_tokens);
            decoder.lm_head = table(decoder.lm_head);
        }
        let freeze = |plugin: &PlugIn| {
            let mut plugin = plugin.clone();
            if trainable.base {
                plugin.layers.clear(); // A new plug-in changes nothing: its B is zero.
            }
            let answers = plugin
                .entry
                .capabilities
                .iter()
                .any(|capability| capability.task == Task::Comprehend);
            let named = trained.contains(&plugin.entry.name);
            let lora = match answers {
                true => trainable.comprehension_plugin,
                false => trainable.generation_plugin,
            };
            if !(named && lora) {
                plugin.layers = plugin.layers.no_grad();
            }
            if !(named && trainable.adapter) {
                plugin.mm_projector = plugin.mm_projector.no_grad();
            }
            // Tables of its own are what a former stage 2 made: frozen, or replaced by the shared one above.
            plugin.embed_tokens = plugin
                .embed_tokens
                .map(|table| table.set_require_grad(false));
            plugin.lm_head = plugin.lm_head.map(|table| table.set_require_grad(false));
            plugin
        };
        let plugins = model.plugins.iter().map(freeze).collect();
        Ok(Self {
            clip,
            decoder,
            plugins,
            probes: Vec::new(),
            vqgan: model
                .vqgan
                .as_ref()
                .filter(|_| trainable.image_decoder)
                .map(|(vqgan, _)| decoder_only(vqgan.clone())),
        })
    }

    /// Every parameter by `part/name`, with the trained ones marked.
    pub fn params(&self, model: &HealthGpt) -> Vec<(NamedParam, bool)> {
        let mut gathered = Gathered::default();
        self.visit(&mut gathered);
        let mut known: HashMap<ParamId, (String, Vec<usize>)> = model
            .params
            .iter()
            .flat_map(|(part, params)| {
                params.iter().map(move |param| {
                    (
                        param.id,
                        (format!("{part}/{}", param.name), param.shape.clone()),
                    )
                })
            })
            .collect();
        for (i, probe) in self.probes.iter().enumerate() {
            let named = (format!("probe/{i}"), probe.dims().to_vec());
            let _ = known.insert(probe.id, named);
        }
        // The tables have grown by the image tokens and are parameters of their own.
        for (param, name) in [
            (&self.decoder.embed_tokens, "embed_tokens.weight"),
            (&self.decoder.lm_head, "lm_head.weight"),
        ] {
            let shape = param.dims().to_vec();
            let _ = known.insert(param.id, (format!("language model/{name}"), shape));
        }
        gathered
            .ids
            .into_iter()
            .filter_map(|(id, trained)| {
                let (name, shape) = known.get(&id)?.clone();
                Some((NamedParam { name, id, shape }, trained))
            })
            .collect()
    }

    /// Mean cross-entropy of an example's response tokens.
    ///
    /// # Errors
    /// A sequence longer than `max_tokens`, or a ViT layer that does not exist.
    pub fn loss(
        &self,
        model: &HealthGpt,
        plugin: usize,
        example: &Example,
        how: LossOptions<'_>,
        device: &Device,
    ) -> Result<Tensor<1>, TrainError> {
        let logits = self.logits(model, plugin, example, &example.given, how, device)?;
        let [_, keep, vocabulary] = logits.dims();
        let first_code = example
            .targets
            .first()
            .and_then(|id| model.tokenizer.code_of(*id));
        if let (Some(soft), Some(_)) = (how.soft, first_code) {
            let targets = soft.targets(&example.targets, vocabulary);
            return Ok(cross_entropy(logits.squeeze_dim(0), targets));
        }
        let targets: Vec<i32> = example.targets.iter().map(|id| *id as i32).collect();
        let targets = Tensor::<3, Int>::from_data(TensorData::new(targets, [1, keep, 1]), device);
        let counted = example
            .counted
            .iter()
            .map(|counted| f32::from(u8::from(*counted)));
        let counted: Vec<f32> = counted.collect();
        let answers = counted.iter().sum::<f32>().max(1.0);
        let counted = Tensor::<3>::from_data(TensorData::new(counted, [1, keep, 1]), device);
        let each = log_softmax(logits, 2).gather(2, targets) * counted;
        Ok(each.sum().div_scalar(answers).neg())
    }

    /// The likeliest codes of an example's picture behind `given`, all at once.
    ///
    /// # Errors
    /// As [`Self::loss`].
    pub fn written(
        &self,
        model: &HealthGpt,
        plugin: usize,
        example: &Example,
        given: &[u32],
        device: &Device,
    ) -> Result<Vec<u32>, TrainError> {
        let how = LossOptions {
            max_tokens: usize::MAX,
            dropout: None,
            soft: None,
            patches: None,
        };
        let logits = self.logits(model, plugin, example, given, how, device)?;
        let tokens = &model.tokenizer;
        let (Some(start), Some(end)) = (tokens.start_index(), tokens.end_index()) else {
            return Ok(Vec::new());
        };
        // The last target ends the picture.
        let codes = example.targets.len().saturating_sub(1);
        let (first, count) = (start as usize + 1, (end - start - 1) as usize);
        let logits = logits.narrow(1, 0, codes).narrow(2, first, count);
        let expected = example
            .task
            .and_then(|task| model.expected_code(task, &Sampling::default(), false));
        Ok(chosen(expected.as_ref(), logits))
    }

    /// Of an example's response, behind its prompt and `given`: `[1, targets, vocabulary]`.
    fn logits(
        &self,
        model: &HealthGpt,
        plugin: usize,
        example: &Example,
        given: &[u32],
        how: LossOptions<'_>,
        device: &Device,
    ) -> Result<Tensor<3>, TrainError> {
        let plugin = self
            .plugins
            .get(plugin)
            .ok_or_else(|| ModelError::Invalid {
                what: "the plug-in is not in the model".to_owned(),
            })?;
        let (mut rows, mut positions, mut next) = (Vec::new(), Vec::new(), 0);
        for piece in &example.prompt {
            match piece {
                PromptPiece::Ids(ids) if ids.is_empty() => {}
                PromptPiece::Ids(ids) => {
                    rows.push(self.decoder.embed(plugin, ids, device));
                    positions.extend(next..next + ids.len());
                    next += ids.len();
                }
                PromptPiece::Image(_) => {
                    let Some(image) = &example.image else {
                        continue;
                    };
                    let side = model.preprocessor.size / self.clip.patch.max(1);
                    let state = match how.patches {
                        Some(kept) => {
                            positions.extend(kept.iter().map(|patch| next + patch));
                            self.some_patches(model, plugin, image, device, kept)?
                        }
                        None => {
                            positions.extend(next..next + side * side);
                            self.patches(model, plugin, image, device)?
                        }
                    };
                    rows.push(plugin.mm_projector.forward(state));
                    next += side * side;
                }
            }
        }
        if !given.is_empty() {
            rows.push(self.decoder.embed(plugin, given, device));
            positions.extend(next..next + given.len());
        }
        let x = Tensor::cat(rows, 1);
        let [_, tokens, _] = x.dims();
        if tokens > how.max_tokens {
            return Err(TrainError::TooLong {
                tokens,
                limit: how.max_tokens,
            });
        }
        let keep = example.targets.len();
        let y = self
            .decoder
            .forward_sequence(plugin, x, &positions, keep, how.dropout);
        let head = plugin.lm_head.as_ref().unwrap_or(&self.decoder.lm_head);
        Ok(matmul_rows(y, head.val()))
    }

    /// The hidden state of a picture's patches that a plug-in reads: `[1, patches, hidden]`, without the class token.
    ///
    /// # Errors
    /// A ViT layer that does not exist.
    pub fn patches(
        &self,
        model: &HealthGpt,
        plugin: &PlugIn,
        image: &RgbImage,
        device: &Device,
    ) -> Result<Tensor<3>, TrainError> {
        let (pixels, layer) = self.seen(model, plugin, image, device)?;
        let state = self.clip.hidden_state(pixels, layer);
        let [_, tokens, _] = state.dims();
        Ok(state.narrow(1, 1, tokens - 1))
    }

    /// The same of some patches, as if there were no others: `[1, kept, hidden]`.
    ///
    /// # Errors
    /// As [`Self::patches`].
    pub fn some_patches(
        &self,
        model: &HealthGpt,
        plugin: &PlugIn,
        image: &RgbImage,
        device: &Device,
        kept: &[usize],
    ) -> Result<Tensor<3>, TrainError> {
        let (pixels, layer) = self.seen(model, plugin, image, device)?;
        let state = self.clip.hidden_state_of(pixels, layer, kept);
        Ok(state.narrow(1, 1, kept.len()))
    }

    /// A picture as the tower gets it, and the hidden state that a plug-in reads.
    fn seen(
        &self,
        model: &HealthGpt,
        plugin: &PlugIn,
        image: &RgbImage,
        device: &Device,
    ) -> Result<(Tensor<4>, usize), TrainError> {
        let layers = model.clip_config.num_hidden_layers;
        let layer = hidden_state_index(plugin.entry.vit_hidden_state, layers)?;
        let side = model.preprocessor.size;
        let pixels = clip_pixels(image, &model.preprocessor);
        Ok((pixels_tensor(pixels, [side, side], device), layer))
    }
}

/// How a loss is computed.
#[derive(Clone, Copy)]
pub struct LossOptions<'a> {
    /// Longest sequence.
    pub max_tokens: usize,
    /// Of plug-ins.
    pub dropout: Option<&'a Dropout>,
    /// How the targets of image tokens are spread.
    pub soft: Option<&'a SoftCodes>,
    /// The patches of a picture that go through tower and language model, each at its own position; else all.
    pub patches: Option<&'a [usize]>,
}

/// A tower whose embeddings and first `blocks` stay; 0 is none of them.
fn first_blocks_frozen(mut clip: ClipVision, blocks: usize) -> ClipVision {
    let rest = clip.layers.split_off(blocks.min(clip.layers.len()));
    clip = clip.no_grad();
    clip.layers.extend(rest);
    clip
}

/// One table for the base and all plug-ins.
fn share_embeddings(model: &mut HealthGpt) {
    let tables = model
        .plugins
        .iter()
        .find_map(|plugin| Some((plugin.embed_tokens.clone()?, plugin.lm_head.clone()?)));
    if let (Some((embed_tokens, lm_head)), Some(decoder)) = (tables, model.llm.twin_mut()) {
        decoder.embed_tokens = embed_tokens;
        decoder.lm_head = lm_head;
    }
    for plugin in &mut model.plugins {
        (plugin.embed_tokens, plugin.lm_head) = (None, None);
    }
}

#[derive(Default)]
struct Gathered {
    ids: Vec<(ParamId, bool)>,
}

impl ModuleVisitor for Gathered {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.ids.push((param.id, param.is_require_grad()));
    }
}

/// Makes every parameter a leaf of its own graph, with the same values and identity.
pub struct Leaves;

impl ModuleMapper for Leaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let tracked = param.is_require_grad();
        let (id, tensor, mapper) = param.consume();
        let tensor = Tensor::from_inner(tensor.inner()).set_require_grad(tracked);
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Values by name into the parameters that have one; the rest stay.
pub fn with_values<M: Module>(
    module: M,
    names: &HashMap<ParamId, String>,
    values: &dyn Fn(&str) -> Option<Vec<f32>>,
) -> M {
    module.map(&mut Setter { names, values })
}

struct Setter<'a> {
    names: &'a HashMap<ParamId, String>,
    values: &'a dyn Fn(&str) -> Option<Vec<f32>>,
}

impl ModuleMapper for Setter<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = self
            .names
            .get(&param.id)
            .and_then(|name| (self.values)(name))
        else {
            return param;
        };
        let dims = param.dims();
        if values.len() != dims.iter().product::<usize>() {
            return param;
        }
        let (id, tensor, mapper) = param.consume();
        let device = tensor.device();
        let (dtype, tracked) = (tensor.dtype(), tensor.is_require_grad());
        let tensor = Tensor::from_data(TensorData::new(values, dims), (&device, dtype));
        let tensor = tensor.set_require_grad(tracked);
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// The values of every parameter, by its identity.
pub fn values<M: Module>(module: &M) -> HashMap<ParamId, Vec<f32>> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.0
}

#[derive(Default)]
struct Collector(HashMap<ParamId, Vec<f32>>);

impl ModuleVisitor for Collector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().into_data().iter::<f32>().collect();
        let _ = self.0.insert(param.id, values);
    }
}
