//! The paper's comparisons at laptop size: one training configuration, run in variants that differ in one thing.
//!
//! Every variant begins with the same base, the same seed and the same records in the same order. Times are medians of
//! steps taken in turn, variant by variant, so that what else the machine does falls on all of them.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use burn::tensor::Device;
use serde::Serialize;

use super::error::TrainError;
use super::language::{Timing, train};
use super::model_dir::{copy_tree, write_manifest};
use super::new_model::fresh_plugin;
use super::stage::{Stage, StageConfig};
use crate::model::convert::hashes;
use crate::model::manifest::{ModelLayout, PlugInEntry, PlugInKind};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Experiment {
    /// LoRA, MoE-LoRA and H-LoRA of the same rank, with 4 and with 8 experts (Tables 5 and 10).
    Plugins,
    /// H-LoRA with 1, 2, 4 and 8 experts at the same merged rank.
    Experts,
    /// Abstract (-2) and concrete (1) features of the vision tower (Figure 6).
    Features,
    /// The three stages one after the other, and mixed training of as many steps.
    Stages,
}

impl Experiment {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plugins, Self::Experts, Self::Features, Self::Stages];

    /// Its word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plugins => "plugins",
            Self::Experts => "experts",
            Self::Features => "features",
            Self::Stages => "stages",
        }
    }

    /// Names, what changes in the plug-ins, and the stages that are run.
    fn variants(self) -> Vec<Variant> {
        let plain = |name: &str, change: Change| Variant {
            name: name.to_owned(),
            change,
            stages: vec![Stage::Instruction],
        };
        match self {
            Self::Plugins => [4, 8]
                .into_iter()
                .flat_map(|experts| {
                    [
                        ("lora", PlugInKind::Lora),
                        ("h-lora", PlugInKind::HLora),
                        ("moe-lora", PlugInKind::MoeLora),
                    ]
                    .map(|(name, kind)| {
                        plain(
                            &format!("{name}, n = {experts}"),
                            Change::Kind(kind, experts),
                        )
                    })
                })
                .collect(),
            Self::Experts => [1, 2, 4, 8]
                .map(|experts| {
                    let change = Change::Kind(PlugInKind::HLora, experts);
                    plain(&format!("n = {experts}"), change)
                })
                .to_vec(),
            Self::Features => vec![
                plain("abstract (-2)", Change::Features(-2)),
                plain("concrete (1)", Change::Features(1)),
            ],
            Self::Stages => vec![
                Variant {
                    name: "three stages".to_owned(),
                    change: Change::Nothing,
                    stages: vec![Stage::Alignment, Stage::Heterogeneous, Stage::Instruction],
                },
                Variant {
                    name: "mixed".to_owned(),
                    change: Change::Nothing,
                    stages: vec![Stage::Mixed],
                },
            ],
        }
    }
}

impl FromStr for Experiment {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name).join(", ");
        let named = Self::ALL
            .into_iter()
            .find(|experiment| experiment.name() == word);
        named.ok_or_else(|| format!("'{word}' is no experiment; known are {known}"))
    }
}

#[derive(Clone, Debug)]
struct Variant {
    name: String,
    change: Change,
    stages: Vec<Stage>,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    /// At the plug-in's own rank. LoRA has that rank too, without experts.
    Kind(PlugInKind, usize),
    Features(i64),
}

impl Change {
    fn apply(self, entry: &mut PlugInEntry) {
        match self {
            Self::Nothing => {}
            Self::Kind(kind, experts) => {
                entry.kind = kind;
                entry.experts = experts;
                entry.rank = entry.rank.next_multiple_of(experts);
            }
            Self::Features(index) => entry.vit_hidden_state = index,
        }
    }
}

/// What one variant came to.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which.
    pub variant: String,
    /// Weights that were trained in the last stage.
    pub trained_weights: u64,
    /// Median seconds of a step's gradients, in turn with the other variants.
    pub step_secs: f64,
    /// Mean loss of the last tenth of the steps.
    pub loss: f64,
    /// Scores of the last validation, by free-running greedy decoding.
    pub scores: BTreeMap<String, f64>,
}

/// All variants, in their order.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Which comparison.
    pub experiment: Experiment,
    /// Steps of each variant, over all of its stages.
    pub steps: u64,
    /// The seed that all share.
    pub seed: u64,
    /// One each.
    pub results: Vec<Row>,
}

/// Runs every variant of an experiment with `template`, in `out`. `on_step` gets the variant, its steps done and in all.
/// A run that was stopped goes on from its checkpoints.
///
/// # Errors
/// What [`train`] reports, or a stop.
pub fn run(
    experiment: Experiment,
    template: &StageConfig,
    out: &Path,
    device: &Device,
    on_step: &mut dyn FnMut(&str, u64, u64) -> ControlFlow<()>,
) -> Result<Outcome, TrainError> {
    let mut timings = Vec::new();
    let variants = experiment.variants();
    for variant in &variants {
        let start = begin(template, variant, &folder(out, variant))?;
        let stage = variant.stages.last().copied().unwrap_or(template.stage);
        let config = StageConfig {
            stage,
            model: start,
            out: folder(out, variant).join("timing"),
            workers: 1,
            ..template.clone()
        };
        timings.push(Timing::new(&config, device)?);
    }
    let step_secs = in_turn(&mut timings)?;
    let weights: Vec<u64> = timings.iter().map(Timing::trained_weights).collect();
    drop(timings);
    let mut results = Vec::new();
    for ((variant, step_secs), trained_weights) in variants.iter().zip(step_secs).zip(weights) {
        let (loss, scores) = train_variant(template, variant, out, device, on_step)?;
        results.push(Row {
            variant: variant.name.clone(),
            trained_weights,
            step_secs,
            loss,
            scores,
        });
    }
    Ok(Outcome {
        experiment,
        steps: template.steps,
        seed: template.seed,
        results,
    })
}

/// Rounds of the timing; the first is for warming up.
const ROUNDS: usize = 6;

/// Median seconds of each, one step of every variant after the other.
fn in_turn(timings: &mut [Timing]) -> Result<Vec<f64>, TrainError> {
    let mut secs = vec![Vec::new(); timings.len()];
    for round in 0..ROUNDS {
        for (timing, secs) in timings.iter_mut().zip(&mut secs) {
            let began = Instant::now();
            timing.step()?;
            if round > 0 {
                secs.push(began.elapsed().as_secs_f64());
            }
        }
    }
    let median = |mut secs: Vec<f64>| {
        secs.sort_by(f64::total_cmp);
        secs.get(secs.len() / 2).copied().unwrap_or(0.0)
    };
    Ok(secs.into_iter().map(median).collect())
}

fn folder(out: &Path, variant: &Variant) -> PathBuf {
    let kept = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    out.join(variant.name.chars().map(kept).collect::<String>())
}

/// The model of the template with the variant's plug-ins, new but for their adapters (`mm_projector`).
fn begin(template: &StageConfig, variant: &Variant, out: &Path) -> Result<PathBuf, TrainError> {
    let start = out.join("start");
    if start.join("model.toml").exists() {
        return Ok(start);
    }
    let new = out.join("start.new");
    let failed = |error: std::io::Error| TrainError::Checkpoint {
        why: error.to_string(),
        path: new.clone(),
    };
    let _ = fs::remove_dir_all(&new);
    copy_tree(&template.model, &new).map_err(failed)?;
    let mut layout = ModelLayout::open(&new)?;
    for entry in &mut layout.manifest.plugins {
        variant.change.apply(entry);
        fresh_plugin(&new, entry, &layout.manifest.parts, template.seed)?;
    }
    layout.manifest.sha256 = hashes(&new, &|_| None)?;
    write_manifest(&layout.manifest, &new)?;
    fs::rename(&new, &start).map_err(failed)?;
    Ok(start)
}

fn train_variant(
    template: &StageConfig,
    variant: &Variant,
    out: &Path,
    device: &Device,
    on_step: &mut dyn FnMut(&str, u64, u64) -> ControlFlow<()>,
) -> Result<(f64, BTreeMap<String, f64>), TrainError> {
    let mut model = folder(out, variant).join("start");
    let stages = variant.stages.len() as u64;
    let (mut losses, mut scores) = (Vec::new(), BTreeMap::new());
    for (number, stage) in variant.stages.iter().enumerate() {
        // The steps are shared out, so that one stage and three take as many.
        let steps = (template.steps / stages).max(1);
        let config = StageConfig {
            stage: *stage,
            model: model.clone(),
            out: folder(out, variant).join(format!("stage-{}", number + 1)),
            steps,
            ..template.clone()
        };
        losses.clear();
        let mut stopped = false;
        let before = number as u64 * steps;
        let _ = train(&config, device, &mut |step| {
            losses.push(step.loss);
            scores.extend(step.scores.clone());
            let flow = on_step(&variant.name, before + step.step, template.steps);
            stopped = flow.is_break();
            flow
        })?;
        if stopped {
            return Err(TrainError::Model(crate::model::ModelError::Stopped));
        }
        model = config.out.join("model");
    }
    let tail = losses.len().div_ceil(10).max(1);
    let last = losses.iter().rev().take(tail);
    let loss = last.sum::<f64>() / tail as f64;
    Ok((loss, scores))
}
