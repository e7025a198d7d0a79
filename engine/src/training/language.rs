//! Training adapters, plug-ins, embeddings or a whole base on records: the paper's stages (section 4.4, Table 7).
//!
//! Loss: cross-entropy of the response's tokens. A step draws `batch` records by the weights of their files, one sequence at a
//! time, and adds up their gradients. Validation decodes freely and greedily, as the model is used: a low teacher-forced loss
//! says little about a picture of a thousand codes.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::module::{Module, ParamId};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};

use super::checkpoint::{self, RunState};
use super::code_rows;
use super::error::TrainError;
use super::examples::{Augment, Example, Preparation, example};
use super::learner::{Learner, Leaves, LossOptions, with_values};
use super::model_dir::write_model;
use super::params::{NamedOptimizer, replaced, write_f32};
use super::picture;
use super::plan::MemoryPlan;
use super::soft_codes::SoftCodes;
use super::source::{Source, movable, sources};
use super::ssim::Ssim;
use super::stage::{Stage, StageConfig};
use super::step::{Log, TrainStep};
use super::validation::{self, Found, ValidationSet, question, response};
use super::vision::{self, Probe, Probed, Seen, Truth};
use super::workers::share_out;
use crate::model::adapter::Dropout;
use crate::model::checkpoint::Checkpoint;
use crate::model::clip::hidden_state_index;
use crate::model::config::LlmConfig;
use crate::model::initializer::Initializer;
use crate::model::loader::Source as Weights;
use crate::model::loader::{Loader, NamedParam, Precision};
use crate::model::manifest::ModelLayout;
use crate::model::random::Random;
use crate::model::{HealthGpt, LlmChoice, ModelError};

/// A record that a step takes, and where its own randomness begins.
struct Drawn {
    source: usize,
    record: usize,
    random: Random,
}

/// One sequence of a step.
struct Sequence {
    source: usize,
    record: usize,
    plugin: usize,
    example: Example,
    /// Is its picture turned, mirrored and zoomed?
    moved: bool,
    /// Where its dropout begins.
    dropout: Random,
}

/// Trains, or goes on from the last checkpoint in `config.out`. `on_step` gets every step and may stop the run, which then
/// saves a checkpoint. Result: the last step done.
///
/// # Errors
/// Data or a model that cannot be read, a loss that is no number, a disk that is full: the last good checkpoint stays.
pub fn train(
    config: &StageConfig,
    device: &Device,
    on_step: &mut dyn FnMut(&TrainStep) -> ControlFlow<()>,
) -> Result<u64, TrainError> {
    fs::create_dir_all(&config.out).map_err(|error| TrainError::Checkpoint {
        why: error.to_string(),
        path: config.out.clone(),
    })?;
    let mut run = Run::start(config, device)?;
    let validation: Vec<ValidationSet> = sources(config, &run.model, &config.validation)?
        .into_iter()
        .map(|source| ValidationSet::new(source.records, config.validate_items))
        .collect();
    let mut columns: Vec<String> = validation.iter().flat_map(ValidationSet::columns).collect();
    columns.dedup();
    let log = Log::new(&config.out, &columns);
    let started = Instant::now();
    let before = run.state.elapsed_secs;
    while run.state.step < config.steps {
        let mut report = run.step()?;
        run.state.elapsed_secs = before + started.elapsed().as_secs_f64();
        report.elapsed_secs = run.state.elapsed_secs;
        let done = run.state.step;
        let last = done == config.steps;
        let mut best = false;
        if last || done.is_multiple_of(config.validate_every.max(1)) {
            let found = run.validate(&validation)?;
            best = run.note(&found.scores);
            report.scores = found.scores;
            report.sample = found.sample.map(Arc::new);
        }
        log.write(&report)?;
        let stop = on_step(&report).is_break();
        let tired = config.patience > 0 && run.state.since_best >= config.patience;
        if best {
            run.write_model()?;
        }
        if stop || last || tired || done.is_multiple_of(config.checkpoint_every.max(1)) {
            run.save()?;
        }
        if stop || tired {
            return Ok(done);
        }
    }
    Ok(run.state.step)
}

/// A run that takes steps without moving anything, to see how long their gradients take.
pub struct Timing {
    run: Run,
    sequences: Vec<Sequence>,
}

impl Timing {
    /// The first step's records of a run.
    ///
    /// # Errors
    /// As [`train`].
    pub fn new(config: &StageConfig, device: &Device) -> Result<Self, TrainError> {
        let run = Run::start(config, device)?;
        let drawn = run.draw(&mut Random(config.seed));
        let sequences = drawn.iter().map(|drawn| run.prepare(drawn));
        let sequences = sequences.collect::<Result<_, _>>()?;
        Ok(Self { run, sequences })
    }

    /// One step's gradients.
    ///
    /// # Errors
    /// As [`train`].
    pub fn step(&mut self) -> Result<(), TrainError> {
        let run = &self.run;
        let gradient = |learner: &Learner, sequence: &Sequence| run.gradient(learner, sequence);
        run.gradients(&self.sequences, &gradient).map(|_| ())
    }

    /// How many weights are trained.
    pub fn trained_weights(&self) -> u64 {
        self.run.trained_weights
    }
}

struct Run {
    config: StageConfig,
    trained_weights: u64,
    /// Tokenizer, image decoder and sizes, on the plain device; its modules are the learner's when it validates.
    model: HealthGpt,
    learner: Learner,
    /// Values that the learner leaves out.
    untouched: HashMap<ParamId, Vec<f32>>,
    sources: Vec<Source>,
    soft: Option<SoftCodes>,
    /// Of stage `decoder`.
    ssim: Option<Ssim>,
    /// Of stage `vision`, one for each source, with its plug-in's index.
    probes: Vec<(usize, Probe)>,
    /// Trained parameters.
    names: HashMap<ParamId, String>,
    optimizer: NamedOptimizer,
    state: RunState,
    device: Device,
}

impl Run {
    fn start(config: &StageConfig, device: &Device) -> Result<Self, TrainError> {
        let autodiff = device.clone().autodiff();
        let layout = ModelLayout::open(&config.model)?;
        let llm = LlmConfig::open(&config.model.join(&layout.manifest.parts.llm))?;
        let precision = config.precision(&llm, device);
        MemoryPlan::new(config, precision)?.check()?;
        let mut model = HealthGpt::load_as(
            &config.model,
            &autodiff,
            LlmChoice::Training(precision),
            &mut |_, _, _| ControlFlow::Continue(()),
        )?;
        let trained: Vec<String> = config
            .data
            .iter()
            .map(|entry| entry.plugin.clone())
            .collect();
        let trainable = config.trainable();
        let untouched = super::learner::values(&model.plugins);
        let blocks = config.extra_blocks;
        if blocks > 0 {
            vision::add_blocks(&mut model, blocks, config.seed, &autodiff)?;
        }
        let mut learner = Learner::new(&mut model, trainable, &trained, config.frozen_blocks)?;
        let sources = sources(config, &model, &config.data)?;
        let probes = match config.stage {
            Stage::Vision => probes(config, &model, &sources, &mut learner, &autodiff)?,
            _ => Vec::new(),
        };
        let params: Vec<_> = learner
            .params(&model)
            .into_iter()
            .filter_map(|(param, trained)| trained.then_some(param))
            .collect();
        let names: HashMap<ParamId, String> = params
            .iter()
            .map(|param| (param.id, param.name.clone()))
            .collect();
        let mut optimizer =
            NamedOptimizer::new(&params, config.weight_decay as f32, config.max_norm as f32);
        let sha = config.sha256();
        let state = match checkpoint::last(&config.out, &sha)? {
            Some((path, state)) => {
                let file = Checkpoint::open(&path.join("weights.safetensors"))?;
                let values = |name: &str| file.tensor(name).map(|tensor| tensor.to_f32());
                learner = with_values(learner, &names, &values);
                optimizer.load(&path.join("moments.safetensors"), device)?;
                state
            }
            None => {
                if config.begin_at_codebook && config.stage == Stage::Base {
                    let kernel = config.code_kernel;
                    let begun =
                        code_rows::begin(learner.decoder.clone(), &model, kernel, config.seed);
                    learner.decoder = begun.unwrap_or(learner.decoder);
                }
                if config.position_offset != 0.0 {
                    learner.clip = vision::offset_positions(learner.clip, config.position_offset);
                }
                RunState {
                    random: config.seed ^ 0x5EED,
                    config_sha256: sha,
                    ..RunState::default()
                }
            }
        };
        model.device = device.clone();
        model.vqgan = model.vqgan.map(|(vqgan, sizes)| (vqgan.valid(), sizes));
        let counted = |param: &NamedParam| param.shape.iter().product::<usize>() as u64;
        let side = learner.vqgan.as_ref().and(model.vqgan.as_ref());
        let ssim = side.map(|(_, sizes)| Ssim::new(sizes.resolution, &autodiff));
        Ok(Self {
            soft: SoftCodes::new(&model, config.code_kernel),
            ssim,
            config: config.clone(),
            trained_weights: params.iter().map(counted).sum(),
            model,
            learner,
            untouched,
            sources,
            probes,
            names,
            optimizer,
            state,
            device: autodiff,
        })
    }

    fn step(&mut self) -> Result<TrainStep, TrainError> {
        let (config, step) = (self.config.clone(), self.state.step);
        let mut random = Random(self.state.random);
        let drawn = self.draw(&mut random);
        let gradient =
            |learner: &Learner, drawn: &Drawn| self.gradient(learner, &self.prepare(drawn)?);
        let mut accumulator = GradientsAccumulator::<Learner>::new();
        let mut sum = 0.0;
        for (loss, grads) in self.gradients(&drawn, &gradient)? {
            if !loss.is_finite() {
                return Err(TrainError::NotANumber { step });
            }
            sum += f64::from(loss);
            accumulator.accumulate(&self.learner, grads);
        }
        let share = config.rate(step);
        let rates = |name: &str| share * config.highest_rate(name);
        let (learner, report) =
            self.optimizer
                .step(self.learner.clone(), accumulator.grads(), &rates);
        if !report.grad_norm.is_finite() {
            return Err(TrainError::NotANumber { step });
        }
        self.learner = learner;
        self.state.random = random.0;
        self.state.step += 1;
        Ok(TrainStep {
            step: self.state.step,
            of: config.steps,
            loss: sum,
            grad_norm: f64::from(report.grad_norm),
            ..TrainStep::default()
        })
    }

    /// The records of one step.
    fn draw(&self, random: &mut Random) -> Vec<Drawn> {
        let total: f64 = self.sources.iter().map(|source| source.weight).sum();
        let one = |_| {
            let mut at = random.uniform() * total;
            let drawn = self.sources.iter().position(|source| {
                at -= source.weight;
                at <= 0.0
            });
            let source = drawn.unwrap_or(self.sources.len().saturating_sub(1));
            Some(Drawn {
                source,
                record: self.sources.get(source)?.draw(random),
                random: Random(random.bits()),
            })
        };
        (0..self.config.batch).filter_map(one).collect()
    }

    /// Reads the pictures of a record, moves them and encodes the target.
    fn prepare(&self, drawn: &Drawn) -> Result<Sequence, TrainError> {
        let mut random = drawn.random;
        let missing = || ModelError::Invalid {
            what: "a drawn record is not in its file".to_owned(),
        };
        let source = self.sources.get(drawn.source).ok_or_else(missing)?;
        let records = &source.records;
        let record = records.records.get(drawn.record).ok_or_else(missing)?;
        let generates = record.task.is_some_and(|task| task.generates());
        // Half of the pictures that are asked about stay nearly where they are: of those, places and sizes are asked too.
        let moved = self.config.augment && movable(record) && (generates || random.uniform() < 0.5);
        let how = Preparation {
            corruption: [self.config.corruption_from, self.config.corruption],
            augment: match (self.config.augment, moved) {
                (false, _) => Augment::Off,
                (true, false) => Augment::Small,
                (true, true) => Augment::Any,
            },
            tone_jitter: self.config.tone_jitter,
            masks: self.config.outline_weight > 0.0,
        };
        let together = self.config.questions_together;
        let record = source.conversation(record, together, moved, &mut random);
        Ok(Sequence {
            source: drawn.source,
            record: drawn.record,
            plugin: source.plugin,
            moved,
            example: example(&self.model, records, &record, how, &mut random)?,
            dropout: Random(random.bits()),
        })
    }

    /// Loss and gradients of every item, in their order.
    fn gradients<I: Sync>(
        &self,
        items: &[I],
        gradient: &(impl Fn(&Learner, &I) -> Result<(f32, GradientsParams), TrainError> + Sync),
    ) -> Result<Vec<(f32, GradientsParams)>, TrainError> {
        share_out(
            self.config.workers,
            items,
            // Leaves of its own: graphs that share them would wait for each other.
            &|| self.learner.clone().map(&mut Leaves),
            gradient,
        )
    }

    fn gradient(
        &self,
        learner: &Learner,
        sequence: &Sequence,
    ) -> Result<(f32, GradientsParams), TrainError> {
        let config = &self.config;
        let dropout = Dropout {
            rate: config.dropout,
            random: std::cell::Cell::new(sequence.dropout),
        };
        let loss = match (self.probes.get(sequence.source), &self.ssim) {
            (Some((_, probe)), _) => self.probe_loss(learner, sequence, probe)?,
            (None, Some(ssim)) => {
                let (plugin, random) = (sequence.plugin, sequence.dropout);
                let (model, example) = (&self.model, &sequence.example);
                let share = config.written_share.unwrap_or(picture::WRITTEN);
                let how = (ssim, share);
                picture::loss(learner, model, plugin, example, how, random, &self.device)?
            }
            (None, None) => {
                let patches = self.some_of_question(sequence);
                let how = LossOptions {
                    max_tokens: config.max_tokens,
                    dropout: Some(&dropout),
                    soft: self.soft.as_ref(),
                    patches: patches.as_deref(),
                };
                let (plugin, example) = (sequence.plugin, &sequence.example);
                learner.loss(&self.model, plugin, example, how, &self.device)?
            }
        };
        let loss = loss.div_scalar(config.batch as f64);
        let value: f32 = loss.clone().into_scalar();
        Ok((value, GradientsParams::from_grads(loss.backward(), learner)))
    }

    /// Patches of a picture that is asked about, where not all are looked at. A picture that is made needs all of them.
    fn some_of_question(&self, sequence: &Sequence) -> Option<Vec<usize>> {
        let share = self.config.patch_share;
        let first = sequence.example.targets.first()?;
        let asked = self.model.tokenizer.code_of(*first).is_none();
        let mut random = sequence.dropout;
        let side = self.model.preprocessor.size / self.model.clip.patch.max(1);
        (asked && share < 1.0).then(|| vision::some_of(side * side, share, &mut random))
    }

    /// The loss of stage `vision`.
    fn probe_loss(
        &self,
        learner: &Learner,
        sequence: &Sequence,
        probe: &Probe,
    ) -> Result<Tensor<1>, TrainError> {
        let found = (
            learner.plugins.get(sequence.plugin),
            learner.probes.get(sequence.source),
            &sequence.example.image,
        );
        let (Some(plugin), Some(weights), Some(image)) = found else {
            return Err(TrainError::Model(ModelError::Invalid {
                what: "a record without a picture teaches a vision tower nothing".to_owned(),
            }));
        };
        let side = self.model.preprocessor.size / self.model.clip.patch.max(1);
        let share = self.config.patch_share;
        let seen = if share < 1.0 {
            let kept = vision::some_of(side * side, share, &mut sequence.dropout.clone());
            let state = learner.some_patches(&self.model, plugin, image, &self.device, &kept)?;
            Seen {
                state,
                patches: side * side,
                kept: Some(kept),
            }
        } else {
            let state = learner.patches(&self.model, plugin, image, &self.device)?;
            let [_, patches, _] = state.dims();
            Seen {
                state,
                patches,
                kept: None,
            }
        };
        let soft = self.soft.as_ref();
        if let Probe::Codes(_) = probe {
            let targets = sequence.example.targets.iter();
            let codes: Vec<u32> = targets
                .filter_map(|id| self.model.tokenizer.code_of(*id))
                .collect();
            return vision::loss(probe, weights, &seen, &Truth::Codes(&codes), soft, false);
        }
        // Other questions about the same picture cost a probe nothing.
        let source = self.sources.get(sequence.source);
        let config = &self.config;
        let (together, each) = (config.questions_together, config.each_patch_answers);
        let (record, moved) = (sequence.record, sequence.moved);
        let asked = source.map(|source| source.about_same_picture(record, together, moved));
        let mut losses = asked.into_iter().flatten().map(|record| {
            let asked = question(record);
            let truth = Truth::Answer(&asked, response(record));
            vision::loss(probe, weights, &seen, &truth, soft, each)
        });
        let first = losses.next().unwrap_or_else(|| {
            Err(TrainError::Model(ModelError::Invalid {
                what: "a drawn record is not in its file".to_owned(),
            }))
        })?;
        let answers = losses.try_fold(first, |sum, loss| Ok::<_, TrainError>(sum + loss?))?;
        let Some(mask) = &sequence.example.lesion_mask else {
            return Ok(answers);
        };
        let outline = Truth::Outline(mask);
        let outline = vision::loss(probe, weights, &seen, &outline, soft, true)?;
        Ok(answers + outline.mul_scalar(config.outline_weight))
    }

    /// Scores by name, of free-running greedy decoding; in stage `vision`, of the probes.
    fn validate(&mut self, sets: &[ValidationSet]) -> Result<Found, TrainError> {
        self.model.clip = self.learner.clip.valid();
        if let Some(decoder) = self.model.llm.twin_mut() {
            *decoder = self.learner.decoder.valid();
        }
        self.model.plugins = self.learner.plugins.valid();
        if let (Some(trained), Some((vqgan, _))) = (&self.learner.vqgan, &mut self.model.vqgan) {
            *vqgan = trained.valid();
        }
        let learner = self.learner.valid();
        let probed = Probed {
            model: &self.model,
            learner: &learner,
            probes: &self.probes,
        };
        let mut all = Found::default();
        for set in sets {
            let found = match self.probes.is_empty() {
                true => validation::look(&self.model, set)?,
                false => validation::look(&probed, set)?,
            };
            all.scores.extend(found.scores);
            all.sample = all.sample.or(found.sample);
        }
        Ok(all)
    }

    /// Keeps the best score; true when this one is it.
    fn note(&mut self, scores: &BTreeMap<String, f64>) -> bool {
        let score = validation::overall(scores);
        let best = self.state.best_score.is_none_or(|best| score > best);
        if best {
            self.state.best_score = Some(score);
            self.state.since_best = 0;
        } else {
            self.state.since_best += 1;
        }
        best
    }

    fn save(&self) -> Result<(), TrainError> {
        let values = super::learner::values(&self.learner);
        checkpoint::save(&self.config.out, &self.state, |folder| {
            self.save_weights(&values, &folder.join("weights.safetensors"))?;
            self.optimizer.save(&folder.join("moments.safetensors"))
        })?;
        if !self.config.out.join("model").exists() || self.config.validation.is_empty() {
            self.write_model()?;
        }
        Ok(())
    }

    fn write_model(&self) -> Result<(), TrainError> {
        let out = self.config.out.join("model");
        let trainable = self.config.trainable();
        write_model(&self.model, &self.learner, &self.untouched, trainable, &out)
    }

    fn save_weights(
        &self,
        values: &HashMap<ParamId, Vec<f32>>,
        path: &Path,
    ) -> Result<(), TrainError> {
        let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = self
            .names
            .iter()
            .filter_map(|(id, name)| {
                let values = values.get(id)?.clone();
                Some((name.clone(), vec![values.len()], values))
            })
            .collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        write_f32(path, &tensors)
    }
}

/// A probe for every source, with random weights in `learner`.
fn probes(
    config: &StageConfig,
    model: &HealthGpt,
    sources: &[Source],
    learner: &mut Learner,
    device: &Device,
) -> Result<Vec<(usize, Probe)>, TrainError> {
    let mut initializer = Initializer::new(config.seed);
    let mut loader = Loader {
        source: Weights::Random(&mut initializer),
        device,
        precision: Precision::F32,
        on_tensor: &mut || ControlFlow::Continue(()),
        stopped: false,
        made: Vec::new(),
    };
    let codes = match &model.vqgan {
        Some((_, sizes)) => sizes.n_embed,
        None => 0,
    };
    let hidden = model.clip_config.hidden_size;
    let mut read = 0;
    for source in sources {
        if let Some(plugin) = model.plugins.get(source.plugin) {
            let blocks = model.clip_config.num_hidden_layers;
            read = read.max(hidden_state_index(plugin.entry.vit_hidden_state, blocks)?);
        }
    }
    if read <= config.frozen_blocks && config.frozen_blocks > 0 {
        return Err(TrainError::Model(ModelError::Invalid {
            what: format!(
                "frozen_blocks = {} leaves nothing to train: the plug-ins read the tower after block {read}",
                config.frozen_blocks
            ),
        }));
    }
    let mut made = Vec::new();
    let mut random = Random(config.seed);
    for source in sources {
        let probe = Probe::new(&source.records)?;
        let mut weights = probe.weights(&mut loader, codes, hidden);
        if let (true, Probe::Codes(_)) = (config.begin_at_codebook, &probe) {
            let rows = code_rows::of_model(model, config.code_kernel, hidden, &mut random);
            if let Some(rows) = rows {
                let data = TensorData::new(rows, [codes, hidden]);
                weights = replaced(weights, |_| Tensor::from_data(data, device));
            }
        }
        learner.probes.push(weights);
        made.push((source.plugin, probe));
    }
    Ok(made)
}
