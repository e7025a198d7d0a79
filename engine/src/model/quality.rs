//! What rounding weights to q8 or q4 costs: the same model in both, asked the same.
//!
//! The rounded model is given the tokens that the unrounded one chose, so that one early difference does not make all that
//! follows incomparable. It runs as the twin, on any device: the kernels equal it (tests/twin.rs).

use std::ops::ControlFlow;

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};

use super::adapter::Adapter;
use super::error::ModelError;
use super::healthgpt::HealthGpt;
use super::kv_cache::KvCache;
use super::llm::{Llm, prompt_embeddings};
use super::prompt::{neutral, pieces};
use super::sampler::argmax;
use crate::gpu::Format;
use crate::gpu::packer::Formats;
use crate::task::Task;

/// Questions that are asked without a picture.
const QUESTIONS: [&str; 6] = [
    "Which imaging modality is best for soft tissue?",
    "What does a window of width 400 and center 40 show?",
    "Describe the difference between T1 and T2 weighted images.",
    "Is contrast agent needed to see a fracture?",
    "What are Hounsfield units?",
    "Name three artefacts of MRI.",
];

/// How close the rounded model is.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct QuantQuality {
    /// Steps compared.
    pub steps: usize,
    /// Steps where both choose the same token, in percent.
    pub agreement_percent: f64,
    /// The same, of the steps where the unrounded choice leads by more than 0.05.
    pub clear_agreement_percent: f64,
    /// Root of the mean squared difference of logits.
    pub logit_rms: f64,
    /// Largest difference of a logit.
    pub logit_max: f64,
    /// Root mean square of the logits themselves, to compare with.
    pub logits_rms: f64,
    /// Mean divergence of the rounded distribution from the unrounded one, in nats.
    pub divergence_nats: f64,
}

/// Rounds every linear layer, the head and the low-rank layers of a twin to what a format stands for. Routers stay.
pub fn round_twin(model: &mut HealthGpt, format: Format) {
    let formats = Formats::of(format);
    let Llm::Twin(decoder) = &mut model.llm else {
        return;
    };
    for layer in &mut decoder.layers {
        let others = [&mut layer.o_proj, &mut layer.down_proj];
        for linear in layer.qkv.iter_mut().chain(&mut layer.gate_up).chain(others) {
            linear.weight = rounded(&linear.weight, formats.base);
        }
    }
    decoder.lm_head = rounded(&decoder.lm_head, formats.head);
    let plugin_format = if formats.plugin_q8 {
        Format::Q8
    } else {
        Format::F16
    };
    for plugin in &mut model.plugins {
        let adapters = plugin.layers.iter_mut().flat_map(|layer| layer.iter_mut());
        for adapter in adapters {
            let low_rank = match adapter {
                Adapter::Lora(lora) => vec![(&mut lora.lora_a, &mut lora.lora_b)],
                Adapter::HLora(hlora) => vec![(&mut hlora.lora_a, &mut hlora.lora_b)],
                Adapter::MoeLora(moe) => {
                    let experts = moe.experts.iter_mut();
                    experts
                        .map(|lora| (&mut lora.lora_a, &mut lora.lora_b))
                        .collect()
                }
            };
            for (a, b) in low_rank {
                *a = rounded(a, plugin_format);
                *b = rounded(b, plugin_format);
            }
        }
        if let Some(head) = &plugin.lm_head {
            plugin.lm_head = Some(rounded(head, formats.head));
        }
    }
}

fn rounded(weight: &Param<Tensor<2>>, format: Format) -> Param<Tensor<2>> {
    let weight = weight.val();
    let (device, dtype) = (weight.device(), weight.dtype());
    let [rows, k] = weight.dims();
    let values: Vec<f32> = weight.into_data().iter::<f32>().collect();
    let mut kept = Vec::with_capacity(values.len());
    for row in values.chunks(k.max(1)) {
        let meant = format.unpack(&format.pack(row, k));
        kept.extend_from_slice(meant.get(..k).unwrap_or_default());
    }
    let tensor = Tensor::<2>::from_data(TensorData::new(kept, [rows, k]), &device);
    Param::from_tensor(tensor.cast(dtype))
}

/// Logits of every step of one question. With `given`, its tokens are taken instead of the model's own.
fn run(
    model: &HealthGpt,
    question: &str,
    steps: usize,
    given: Option<&[u32]>,
) -> Result<(Vec<Vec<f32>>, Vec<u32>), ModelError> {
    let Some(decoder) = model.llm.twin() else {
        return Err(ModelError::Invalid {
            what: "rounding is compared in the twin, but the model is on the GPU".to_owned(),
        });
    };
    let plugin = model.plugin_for(Task::Comprehend)?;
    let template = model.layout.manifest.template;
    let text = template.text(&[], &neutral(&model.tokenizer, question), 0, false);
    let parts = model.prompt_parts(plugin, &pieces(&model.tokenizer, &text), &[])?;
    let mut x = prompt_embeddings(decoder, plugin, parts, &model.device);
    let [_, tokens, _] = x.dims();
    let mut cache = KvCache::new(&decoder.config, tokens + steps, &model.device);
    let (mut logits, mut ids) = (Vec::new(), Vec::new());
    for step in 0..steps {
        let y = decoder.forward(plugin, x, &mut cache, None);
        let [_, tokens, _] = y.dims();
        let last = decoder.logits(plugin, y.narrow(1, tokens - 1, 1));
        let last: Vec<f32> = last.into_data().iter::<f32>().collect();
        let own = argmax(&last) as u32;
        let id = given.and_then(|ids| ids.get(step).copied()).unwrap_or(own);
        logits.push(last);
        ids.push(id);
        x = decoder.embed(plugin, &[id], &model.device);
    }
    Ok((logits, ids))
}

/// Runs the model as it is, rounds it, runs it again and compares. The model stays rounded.
///
/// # Errors
/// No comprehension plug-in, a model on the GPU, or a stop.
pub fn eval_quant(
    model: &mut HealthGpt,
    format: Format,
    steps: usize,
    on_question: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<QuantQuality, ModelError> {
    let of = 2 * QUESTIONS.len();
    let mut begin = |done: usize| match on_question(done, of) {
        ControlFlow::Break(()) => Err(ModelError::Stopped),
        ControlFlow::Continue(()) => Ok(()),
    };
    let mut exact = Vec::new();
    for (i, question) in QUESTIONS.iter().enumerate() {
        begin(i)?;
        exact.push(run(model, question, steps, None)?);
    }
    round_twin(model, format);
    let mut tally = Tally::default();
    for (i, (question, (want, ids))) in QUESTIONS.iter().zip(&exact).enumerate() {
        begin(QUESTIONS.len() + i)?;
        let (got, _) = run(model, question, steps, Some(ids))?;
        for (want, got) in want.iter().zip(&got) {
            tally.add(want, got);
        }
    }
    Ok(tally.quality())
}

#[derive(Default)]
struct Tally {
    steps: usize,
    same: usize,
    clear: usize,
    clear_same: usize,
    logits: usize,
    difference: f64,
    largest: f64,
    square: f64,
    divergence: f64,
}

impl Tally {
    fn add(&mut self, want: &[f32], got: &[f32]) {
        let (first, second) = (argmax(want), argmax(got));
        let top = want.get(first).copied().unwrap_or(0.0);
        let others = want.iter().enumerate().filter(|(i, _)| *i != first);
        let next = others.fold(f32::NEG_INFINITY, |a, (_, x)| a.max(*x));
        let (same, clear) = (first == second, top - next > 0.05);
        self.steps += 1;
        self.same += usize::from(same);
        self.clear += usize::from(clear);
        self.clear_same += usize::from(clear && same);
        for (want, got) in want.iter().zip(got) {
            let difference = f64::from(want - got);
            self.logits += 1;
            self.difference += difference * difference;
            self.largest = self.largest.max(difference.abs());
            self.square += f64::from(*want).powi(2);
        }
        let logs = |logits: &[f32]| {
            let top = logits.iter().fold(f32::NEG_INFINITY, |a, x| a.max(*x));
            let sum: f64 = logits.iter().map(|x| f64::from(x - top).exp()).sum();
            let total = f64::from(top) + sum.ln();
            logits
                .iter()
                .map(|x| f64::from(*x) - total)
                .collect::<Vec<f64>>()
        };
        let pairs = logs(want).into_iter().zip(logs(got));
        self.divergence += pairs.map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
    }

    fn quality(&self) -> QuantQuality {
        let share = |part: usize, of: usize| 100.0 * part as f64 / of.max(1) as f64;
        let mean = |sum: f64| (sum / self.logits.max(1) as f64).sqrt();
        QuantQuality {
            steps: self.steps,
            agreement_percent: share(self.same, self.steps),
            clear_agreement_percent: share(self.clear_same, self.clear),
            logit_rms: mean(self.difference),
            logit_max: self.largest,
            logits_rms: mean(self.square),
            divergence_nats: self.divergence / self.steps.max(1) as f64,
        }
    }
}
