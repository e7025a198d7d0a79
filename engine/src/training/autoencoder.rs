//! Training a VQGAN (GumbelVQ) from nothing on CT and MR slices.
//!
//! Loss: L1 of the image, plus L1 of its differences between neighbours (edges), plus `1 - SSIM`, plus the quantiser's own term.
//! [`Quantizer::Gumbel`]: codes are drawn by Gumbel softmax whose temperature falls from 1 to `min_temperature`; from `hard_from`
//! of the run on they are one-hot with a straight-through gradient, so that the decoder sees what it will see in use; the term is
//! `kl_weight` times the KL divergence of the code distribution from uniform, as taming-transformers' GumbelVQ.
//! [`Quantizer::Nearest`]: see [`super::codebook`]. [`Quantizer::Frozen`] trains the decoder alone. Validation encodes by argmax, as the model does.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;

use super::checkpoint::{self, RunState};
use super::codebook::{Assigned, Codebook, Nearest};
use super::config::{AutoencoderConfig, Quantizer};
use super::error::TrainError;
use super::learner::Leaves;
use super::pairs::{Pair, SIDE, load_pairs, rgb};
use super::params::{NamedOptimizer, save_module};
use super::patchwise;
use super::picture::difference;
use super::ssim::Ssim;
use super::step::{Log, TrainStep};
use super::workers::share_out;
use crate::imaging::metrics;
use crate::model::checkpoint::{Checkpoint, TensorLedger};
use crate::model::initializer::Initializer;
use crate::model::loader::{Loader, NamedParam, Precision, Source};
use crate::model::preprocess::{Filter, pillow_resize, vqgan_pixels};
use crate::model::random::Random;
use crate::model::vqgan::{Vqgan, to_rgb};

/// Names of the scores: L1 of the image in units of the range -1 to 1; SSIM of validation reconstructions at 256 x 256,
/// times 100.
const SCORES: [&str; 4] = ["l1", "codes used", "val ssim ct", "val ssim mr"];

/// Trains, or goes on from the last checkpoint in `config.out`. `on_step` gets every step and may stop the run, which then
/// saves a checkpoint. Result: the last step done.
///
/// # Errors
/// Data that cannot be read, a loss that is no number, a disk that is full: the last good checkpoint stays.
pub fn train(
    config: &AutoencoderConfig,
    device: &Device,
    on_step: &mut dyn FnMut(&TrainStep) -> ControlFlow<()>,
) -> Result<u64, TrainError> {
    let go_on = &mut |_: usize, _: usize| ControlFlow::Continue(());
    let (train, val) = (
        load_pairs(&config.train, go_on)?,
        load_pairs(&config.val, go_on)?,
    );
    fs::create_dir_all(&config.out).map_err(|error| TrainError::Checkpoint {
        why: error.to_string(),
        path: config.out.clone(),
    })?;
    let mut run = Run::start(config, device)?;
    let log = Log::new(&config.out, &SCORES.map(str::to_owned));
    let started = Instant::now();
    let before = run.state.elapsed_secs;
    while run.state.step < config.steps {
        let mut report = run.step(&train)?;
        run.state.elapsed_secs = before + started.elapsed().as_secs_f64();
        report.elapsed_secs = run.state.elapsed_secs;
        let done = run.state.step;
        let last = done == config.steps;
        if last || done.is_multiple_of(config.validate_every.max(1)) {
            for (name, value) in ["val ssim ct", "val ssim mr"]
                .into_iter()
                .zip(run.validate(&val))
            {
                let _ = report.scores.insert(name.to_owned(), value);
            }
        }
        log.write(&report)?;
        let stop = on_step(&report).is_break();
        if stop || last || done.is_multiple_of(config.checkpoint_every.max(1)) {
            run.save()?;
        }
        if stop && !last {
            return Ok(done);
        }
    }
    run.finish()?;
    Ok(run.state.step)
}

struct Run<'a> {
    config: &'a AutoencoderConfig,
    model: Vqgan,
    params: Vec<NamedParam>,
    optimizer: NamedOptimizer,
    codebook: Codebook,
    ssim: Ssim,
    state: RunState,
    device: Device,
}

/// Latents as the decoder gets them, and what the quantiser adds to the loss.
struct Quantized {
    /// `[batch, embed_dim, h, w]`.
    z: Tensor<4>,
    loss: Tensor<1>,
    nearest: Option<Assigned>,
}

/// One picture of a step.
struct Picture {
    /// `[3, side, side]`, from -1 to 1.
    pixels: Vec<f32>,
    /// Where its noise begins.
    noise: Random,
}

/// What one picture contributes.
struct Part {
    loss: f32,
    l1: f32,
    grads: GradientsParams,
    nearest: Option<Assigned>,
}

impl<'a> Run<'a> {
    fn start(config: &'a AutoencoderConfig, device: &Device) -> Result<Self, TrainError> {
        let device = device.clone().autodiff();
        let sha = config.sha256();
        let resumed = checkpoint::last(&config.out, &sha)?;
        let (model, params) = match &resumed {
            Some((path, _)) => from_file(&path.join("weights.safetensors"), config, &device)?,
            None => match &config.quantizer {
                Quantizer::Frozen { vqgan } => {
                    from_file(&vqgan.join("model.safetensors"), config, &device)?
                }
                _ => begin(config, &device)?,
            },
        };
        let mut optimizer = NamedOptimizer::new(&params, 0.0, 1.0);
        let mut codebook = Codebook::default();
        let state = match resumed {
            Some((path, state)) => {
                if let Quantizer::Nearest { .. } = config.quantizer {
                    codebook = Codebook::load(&path.join("codebook.safetensors"))?;
                }
                optimizer.load(&path.join("moments.safetensors"), &device.clone().inner())?;
                state
            }
            None => RunState {
                random: config.seed ^ 0x5EED,
                config_sha256: sha,
                ..RunState::default()
            },
        };
        Ok(Self {
            config,
            model,
            params,
            optimizer,
            codebook,
            ssim: Ssim::new(config.model.resolution, &device),
            state,
            device,
        })
    }

    fn quantize(&self, model: &Vqgan, x: Tensor<4>, random: &mut Random) -> Quantized {
        let (config, step) = (self.config, self.state.step);
        match &config.quantizer {
            &Quantizer::Gumbel {
                min_temperature,
                hard_from,
                kl_weight,
            } => {
                let logits = model.encode_logits(x); // [batch, codes, h, w]
                let noise = gumbel(logits.dims(), random, &self.device);
                let temperature = config.temperature(min_temperature, step);
                let weights = softmax((logits.clone() + noise).div_scalar(temperature), 1);
                let hard = step as f64 >= hard_from * config.steps as f64;
                let weights = if hard {
                    straight_through(weights)
                } else {
                    weights
                };
                Quantized {
                    z: mix(weights, model),
                    loss: divergence(logits).mul_scalar(kl_weight),
                    nearest: None,
                }
            }
            &Quantizer::Nearest {
                commitment_weight,
                quantize_from,
                ..
            } => {
                let latents = model.encode_latents(x);
                if (step as f64) < quantize_from * config.steps as f64 {
                    return Quantized {
                        z: latents,
                        loss: Tensor::zeros([1], &self.device),
                        nearest: None,
                    };
                }
                let (z, nearest) = coded(model, latents);
                Quantized {
                    z,
                    loss: nearest.commitment.mul_scalar(commitment_weight),
                    nearest: Some(nearest.assigned),
                }
            }
            Quantizer::Frozen { .. } => Quantized {
                z: coded(model, model.encode_latents(x)).0.detach(),
                loss: Tensor::zeros([1], &self.device),
                nearest: None,
            },
        }
    }

    fn step(&mut self, train: &[Pair]) -> Result<TrainStep, TrainError> {
        let config = self.config;
        let step = self.state.step;
        let mut random = Random(self.state.random);
        let mut pictures = Vec::with_capacity(config.batch);
        for _ in 0..config.batch {
            let Some(pair) = train.get(random.below(train.len())) else {
                continue;
            };
            let levels = if random.uniform() < 0.5 {
                &pair.ct
            } else {
                &pair.mr
            };
            pictures.push(Picture {
                pixels: vqgan_pixels(&augmented(levels, &mut random), config.model.resolution),
                noise: Random(random.bits()),
            });
        }
        let parts = share_out(
            config.workers,
            &pictures,
            // Leaves of its own: graphs that share them would wait for each other.
            &|| self.model.clone().map(&mut Leaves),
            &|model, picture| Ok(self.gradient(model, picture)),
        )?;
        let share = 1.0 / parts.len().max(1) as f64;
        let mut accumulator = GradientsAccumulator::<Vqgan>::new();
        let (mut loss, mut l1) = (0.0, 0.0);
        let mut nearest: Option<Assigned> = None;
        for part in parts {
            loss += share * f64::from(part.loss);
            l1 += share * f64::from(part.l1);
            accumulator.accumulate(&self.model, part.grads);
            if let Some(assigned) = part.nearest {
                nearest.get_or_insert_default().extend(assigned);
            }
        }
        if !loss.is_finite() {
            return Err(TrainError::NotANumber { step });
        }
        let rate = config.rate(step);
        let grads = accumulator.grads();
        let (model, report) = self.optimizer.step(self.model.clone(), grads, &|_| rate);
        let model = match config.patchwise {
            true => patchwise::within_patches(model),
            false => model,
        };
        self.model = match (&config.quantizer, nearest) {
            (Quantizer::Nearest { decay, .. }, Some(nearest)) => {
                let codebook = &mut self.codebook;
                codebook.follow(model, &nearest, *decay as f32, &mut random)
            }
            _ => model,
        };
        self.state.random = random.0;
        self.state.step += 1;
        let mut scores = BTreeMap::from([("l1".to_owned(), l1)]);
        if let Quantizer::Nearest { .. } = config.quantizer {
            let _ = scores.insert("codes used".to_owned(), self.codebook.used());
        }
        Ok(TrainStep {
            step: self.state.step,
            of: config.steps,
            loss,
            grad_norm: f64::from(report.grad_norm),
            scores,
            ..TrainStep::default()
        })
    }

    /// What one picture of a step says.
    fn gradient(&self, model: &Vqgan, picture: &Picture) -> Part {
        let config = self.config;
        let side = config.model.resolution;
        let pixels = TensorData::new(picture.pixels.clone(), [1, 3, side, side]);
        let x = Tensor::<4>::from_data(pixels, &self.device);
        let mut noise = picture.noise;
        let quantized = self.quantize(model, x.clone(), &mut noise);
        let decoded = model.decode(quantized.z);

        let l1 = (decoded.clone() - x.clone()).abs().mean();
        let weights = [config.edge_weight, config.ssim_weight];
        let loss = difference(decoded, x, &self.ssim, weights) + quantized.loss;
        let (loss_value, l1): (f32, f32) = (loss.clone().into_scalar(), l1.into_scalar());
        let mean = loss.div_scalar(config.batch as f64);
        Part {
            loss: loss_value,
            l1,
            grads: GradientsParams::from_grads(mean.backward(), model),
            nearest: quantized.nearest,
        }
    }

    /// Mean SSIM x 100 of CT and of MR reconstructions, at 256 x 256.
    fn validate(&self, val: &[Pair]) -> [f64; 2] {
        let stride = val
            .len()
            .div_ceil(self.config.validate_slices.max(1))
            .max(1);
        let looked_at: Vec<&Pair> = val.iter().step_by(stride).collect();
        let mean = |of: fn(&Pair) -> &Vec<u8>| {
            let total: f64 = looked_at
                .iter()
                .map(|pair| self.reconstruction_ssim(of(pair)))
                .sum();
            100.0 * total / looked_at.len().max(1) as f64
        };
        [mean(|pair| &pair.ct), mean(|pair| &pair.mr)]
    }

    fn reconstruction_ssim(&self, levels: &[u8]) -> f64 {
        let picture = rgb(levels);
        let device = self.device.clone().inner();
        let side = self.config.model.resolution;
        let data = TensorData::new(vqgan_pixels(&picture, side), [1, 3, side, side]);
        let plain = self.model.valid();
        let codes = plain.encode(Tensor::from_data(data, &device));
        let small = to_rgb(plain.decode(plain.latents(&codes, &device)));
        let large = pillow_resize(&small, SIDE as u32, SIDE as u32, Filter::Bicubic);
        metrics::ssim(&metrics::grey(&picture), &metrics::grey(&large), SIDE)
    }

    fn save(&self) -> Result<(), TrainError> {
        checkpoint::save(&self.config.out, &self.state, |folder| {
            save_module(
                &self.model,
                &self.params,
                &folder.join("weights.safetensors"),
            )?;
            if let Quantizer::Nearest { .. } = self.config.quantizer {
                self.codebook.save(&folder.join("codebook.safetensors"))?;
            }
            self.optimizer.save(&folder.join("moments.safetensors"))
        })
    }

    /// The VQGAN folder that a model directory takes.
    fn finish(&self) -> Result<(), TrainError> {
        let folder = self.config.out.join("vqgan");
        let failed = |error: std::io::Error| TrainError::Checkpoint {
            why: error.to_string(),
            path: folder.clone(),
        };
        fs::create_dir_all(&folder).map_err(failed)?;
        fs::write(folder.join("model.yaml"), self.config.yaml()).map_err(failed)?;
        save_module(&self.model, &self.params, &folder.join("model.safetensors"))
    }
}

/// Random weights, but for a decoder that was trained before.
fn begin(
    config: &AutoencoderConfig,
    device: &Device,
) -> Result<(Vqgan, Vec<NamedParam>), TrainError> {
    let random = &mut Initializer::new(config.seed);
    let (mut model, mut params) = build(Source::Random(random), config, device);
    if let Some(folder) = &config.decoder_from {
        let (trained, made) = from_file(&folder.join("model.safetensors"), config, device)?;
        model.decoder = trained.decoder;
        model.post_quant_conv = trained.post_quant_conv;
        let decodes = |param: &NamedParam| {
            param.name.starts_with("decoder.") || param.name.starts_with("post_quant_conv.")
        };
        params.retain(|param| !decodes(param));
        params.extend(made.into_iter().filter(decodes));
    }
    if config.patchwise {
        model = patchwise::begin(model);
    }
    Ok((model, params))
}

fn build(
    source: Source<'_>,
    config: &AutoencoderConfig,
    device: &Device,
) -> (Vqgan, Vec<NamedParam>) {
    let mut loader = Loader {
        source,
        device,
        precision: Precision::F32,
        on_tensor: &mut || ControlFlow::Continue(()),
        stopped: false,
        made: Vec::new(),
    };
    let model = Vqgan::load(&mut loader, &config.vqgan());
    (model, loader.made)
}

/// Latents as their nearest codes. Shapes: `[batch, dim, h, w]` in and out.
fn coded(model: &Vqgan, latents: Tensor<4>) -> (Tensor<4>, Nearest) {
    let [batch, dim, h, w] = latents.dims();
    let rows = latents.permute([0, 2, 3, 1]).reshape([batch * h * w, dim]);
    let nearest = Codebook::nearest(model, rows);
    let codes = nearest.codes.clone().reshape([batch, h, w, dim]);
    (codes.permute([0, 3, 1, 2]), nearest)
}

fn from_file(
    path: &Path,
    config: &AutoencoderConfig,
    device: &Device,
) -> Result<(Vqgan, Vec<NamedParam>), TrainError> {
    let mut ledger = TensorLedger::new(vec![Checkpoint::open(path)?]);
    let built = build(Source::Files(&mut ledger), config, device);
    let _ = ledger.finish()?;
    Ok(built)
}

/// Mirrored left to right half of the time, and moved by up to 8 pixels: what a limb on a table may look like.
fn augmented(levels: &[u8], random: &mut Random) -> RgbImage {
    let mirrored = random.uniform() < 0.5;
    let (dx, dy) = (random.below(17) as i64 - 8, random.below(17) as i64 - 8);
    let side = SIDE as i64;
    RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
        let (x, y) = (i64::from(x) + dx, i64::from(y) + dy);
        let x = if mirrored { side - 1 - x } else { x };
        let inside = (0..side).contains(&x) && (0..side).contains(&y);
        let level = if inside {
            levels.get((y * side + x) as usize).copied().unwrap_or(0)
        } else {
            0
        };
        image::Rgb([level; 3])
    })
}

fn gumbel(dims: [usize; 4], random: &mut Random, device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..dims.iter().product())
        .map(|_| random.gumbel() as f32)
        .collect();
    Tensor::from_data(TensorData::new(values, dims), device)
}

/// One-hot forwards, soft backwards.
fn straight_through(soft: Tensor<4>) -> Tensor<4> {
    let plain = soft.clone().detach();
    let best = plain.clone().max_dim(1).expand(plain.dims());
    let hard = plain.clone().equal(best).float();
    soft + (hard - plain).detach()
}

/// Codes mixed by their weights. Shapes: `[batch, codes, h, w]` to `[batch, embed_dim, h, w]`.
fn mix(weights: Tensor<4>, model: &Vqgan) -> Tensor<4> {
    let [batch, codes, h, w] = weights.dims();
    let [_, dim] = model.embed.dims();
    let rows = weights
        .permute([0, 2, 3, 1])
        .reshape([batch * h * w, codes]);
    rows.matmul(model.embed.val())
        .reshape([batch, h, w, dim])
        .permute([0, 3, 1, 2])
}

/// `sum_k p_k ln(p_k K)`, averaged over positions: 0 when every code is equally likely.
fn divergence(logits: Tensor<4>) -> Tensor<1> {
    let [_, codes, _, _] = logits.dims();
    let p = softmax(logits.clone(), 1);
    (p * (log_softmax(logits, 1).add_scalar((codes as f64).ln())))
        .sum_dim(1)
        .mean()
}
