//! The language model where it runs: the WGSL plan on a GPU, packed rows on the CPU, or the twin. Nobody else cares which.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use burn::tensor::{Device, Tensor};

use super::config::LlmConfig;
use super::decoder::Decoder;
use super::drafts::{Acceptance, Drafting, Drafts};
use super::error::ModelError;
use super::expected_code::ExpectedCode;
use super::kv_cache::KvCache;
use super::layers::matmul_rows;
use super::plugin::PlugIn;
use super::sampler::{Sampler, Sampling};
use crate::cpu::PackedDecoder;
use crate::gpu::Plan;
use crate::gpu::plan::{COLUMNS, Choosing, Column, PromptRow};

/// The language model.
#[derive(Debug)]
pub enum Llm {
    /// burn modules: the CPU, and what defines the arithmetic.
    Twin(Box<Decoder>),
    /// Kernels of our own on a GPU. A plan has one set of buffers, so one sequence runs at a time.
    Plan(Box<Mutex<Plan>>),
    /// Packed rows on the CPU.
    Packed(Box<PackedDecoder>),
}

/// A prompt as the model takes it.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a prompt has three of them: a box would buy nothing"
)]
pub enum PromptPart {
    /// Tokens.
    Ids(Vec<u32>),
    /// A picture's features `[1, patches, hidden]`.
    Features(Tensor<3>),
}

/// How tokens are chosen, and among which.
#[derive(Clone, Debug)]
pub struct Decoding<'a> {
    /// Tokens to choose from.
    pub tokens: Range<u32>,
    /// How.
    pub sampling: &'a Sampling,
    /// The model's own repetition penalty.
    pub penalty: f32,
    /// Tokens, at most.
    pub limit: usize,
    /// The tokens are the codes of an image: their number is known, so that many may be under way before the first is looked at,
    /// and where the choice is greedy they are drafted.
    pub image: Option<ImageCodes<'a>>,
}

impl Decoding<'_> {
    /// What chooses in place of the likeliest code.
    fn expected(&self) -> Option<&ExpectedCode> {
        self.image?.expected
    }

    /// Is there nothing that only the host knows: the codebook, the tokens before?
    pub(super) fn chosen_on_gpu(&self) -> bool {
        self.sampling.penalty(self.penalty) == 1.0 && self.expected().is_none()
    }

    /// The next token.
    pub(super) fn choose(&self, sampler: &mut Sampler, logits: Vec<f32>) -> u32 {
        let first = self.tokens.start;
        match self.expected() {
            Some(expected) => first + expected.choose(&logits) as u32,
            None => sampler.choose(logits, first),
        }
    }

    /// Drafts, where they are exact and wanted; `pay` is what the place suggests.
    fn drafts(&self, pay: bool) -> Option<Drafts> {
        let exact = self.sampling.greedy(self.penalty) && self.expected().is_none();
        let image = self.image.filter(|image| exact && image.draft.here(pay))?;
        Some(Drafts::new(image.row, image.previous))
    }
}

/// What is known of an image's codes before they are chosen.
#[derive(Clone, Copy, Debug)]
pub struct ImageCodes<'a> {
    /// Codes in a row.
    pub row: usize,
    /// Tokens of the slice before; empty where there is none.
    pub previous: &'a [u32],
    /// Guess codes and check several at a time?
    pub draft: Drafting,
    /// Chooses by the codebook, in place of `sampling`.
    pub expected: Option<&'a ExpectedCode>,
}

/// Where a plug-in is in the model, and what it is.
#[derive(Clone, Copy, Debug)]
pub struct PlugInRef<'a> {
    /// Its place in the manifest.
    pub index: usize,
    /// Its tensors.
    pub plugin: &'a PlugIn,
}

/// A submission takes about so long at most, so that a desktop on the same GPU stays smooth.
const SUBMISSION_SECS: f64 = 0.008;
/// Tokens of one submission, at most.
const AHEAD: usize = 32;
/// Weights that a processor's caches may hold: reading them again costs little.
const CACHE_BYTES: u64 = 64 << 20;
/// Drafts that are checked together on the CPU, at most.
const PACKED_DRAFTS: usize = 31;

impl Llm {
    /// Sizes.
    pub fn config(&self) -> LlmConfig {
        match self {
            Self::Twin(decoder) => decoder.config.clone(),
            Self::Plan(plan) => held(plan).config.clone(),
            Self::Packed(decoder) => decoder.config.clone(),
        }
    }

    /// What holds it, for the user.
    pub fn describe(&self) -> String {
        match self {
            Self::Twin(_) => "burn modules".to_owned(),
            Self::Plan(plan) => {
                let plan = held(plan);
                let format = plan
                    .weights
                    .layers
                    .first()
                    .and_then(|layer| Some(layer.o_proj.matrix.shards.first()?.format.name()));
                format!("WGSL kernels, {} weights", format.unwrap_or("no"))
            }
            Self::Packed(decoder) => decoder.describe(),
        }
    }

    /// The twin to be changed, where that is what runs.
    pub fn twin_mut(&mut self) -> Option<&mut Decoder> {
        match self {
            Self::Twin(decoder) => Some(decoder),
            Self::Plan(_) | Self::Packed(_) => None,
        }
    }

    /// The twin, where that is what runs.
    pub fn twin(&self) -> Option<&Decoder> {
        match self {
            Self::Twin(decoder) => Some(decoder),
            Self::Plan(_) | Self::Packed(_) => None,
        }
    }

    /// Runs a prompt and then chooses one token after another, giving each to `on_token` until that breaks or the limit is
    /// reached. Result: how drafts fared, where codes were drafted.
    ///
    /// # Errors
    /// [`ModelError::Gpu`].
    pub fn decode(
        &self,
        plugin: PlugInRef<'_>,
        prompt: Vec<PromptPart>,
        decoding: &Decoding<'_>,
        device: &Device,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Option<Acceptance>, ModelError> {
        match self {
            Self::Twin(decoder) => {
                decode_twin(decoder, plugin.plugin, prompt, decoding, device, on_token);
                Ok(None)
            }
            Self::Plan(plan) => {
                let rows = prompt_rows(prompt);
                let run = PlanRun::start(held(plan), plugin.index, &rows, decoding)?;
                // A software rasteriser multiplies as slowly as it reads.
                let pay = !run.plan.gpu.software();
                match decoding.drafts(pay) {
                    Some(drafts) => run.drafted(decoding, drafts, on_token),
                    None if decoding.chosen_on_gpu() => {
                        run.on_gpu(decoding, on_token).map(|()| None)
                    }
                    None => run.by_host(decoding, on_token).map(|()| None),
                }
            }
            Self::Packed(decoder) => {
                let rows = prompt_rows(prompt);
                Ok(decode_packed(
                    decoder,
                    plugin.index,
                    &rows,
                    decoding,
                    on_token,
                ))
            }
        }
    }
}

/// The plan, for one sequence. A job that panicked left no half-written buffer that the next prompt would read.
pub fn held(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A prompt as the twin takes it. Result `[1, tokens, hidden]`.
pub fn prompt_embeddings(
    decoder: &Decoder,
    plugin: &PlugIn,
    prompt: Vec<PromptPart>,
    device: &Device,
) -> Tensor<3> {
    let rows = prompt
        .into_iter()
        .map(|part| match part {
            PromptPart::Ids(ids) => decoder.embed(plugin, &ids, device),
            PromptPart::Features(features) => features,
        })
        .collect();
    Tensor::cat(rows, 1)
}

fn decode_twin(
    decoder: &Decoder,
    plugin: &PlugIn,
    prompt: Vec<PromptPart>,
    decoding: &Decoding<'_>,
    device: &Device,
    on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
) {
    let mut x = prompt_embeddings(decoder, plugin, prompt, device);
    let [_, tokens, _] = x.dims();
    let mut cache = KvCache::new(&decoder.config, tokens + decoding.limit, device);
    let mut sampler = Sampler::new(decoding.sampling, decoding.penalty);
    let head = plugin.lm_head.as_ref().unwrap_or(&decoder.lm_head).val();
    let Range { start, end } = decoding.tokens;
    let head = head.narrow(0, start as usize, (end - start) as usize);
    for _ in 0..decoding.limit {
        let y = decoder.forward(plugin, x, &mut cache, None);
        let [_, tokens, _] = y.dims();
        let logits = matmul_rows(y.narrow(1, tokens - 1, 1), head.clone());
        let id = decoding.choose(&mut sampler, logits.into_data().iter::<f32>().collect());
        if on_token(id).is_break() {
            return;
        }
        x = decoder.embed(plugin, &[id], device);
    }
}

fn decode_packed(
    decoder: &PackedDecoder,
    plugin: usize,
    rows: &[PromptRow],
    decoding: &Decoding<'_>,
    on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> Option<Acceptance> {
    if decoding.limit == 0 {
        return None;
    }
    let mut run = decoder.start(Some(plugin), rows, decoding.limit);
    let mut sampler = Sampler::new(decoding.sampling, decoding.penalty);
    let among = || decoding.tokens.clone();
    let mut choose = |logits| decoding.choose(&mut sampler, logits);
    let mut drafts = decoding.drafts(decoder.bytes() > CACHE_BYTES);
    let mut id = choose(run.logits(among()));
    let mut left = decoding.limit;
    loop {
        left = left.saturating_sub(1);
        if on_token(id).is_break() || left == 0 {
            break;
        }
        let Some(drafts) = drafts.as_mut().filter(|drafts| drafts.pay()) else {
            run.push(id);
            id = choose(run.logits(among()));
            continue;
        };
        drafts.write(id);
        let mut tokens = vec![id];
        tokens.extend(drafts.next(PACKED_DRAFTS.min(left - 1)));
        let chosen = run.choose_after(&tokens, among());
        let drafted = tokens.get(1..).unwrap_or_default();
        let accepted = drafts.check(drafted, &chosen);
        run.forget(drafted.len() - accepted);
        for token in drafted.iter().take(accepted) {
            left = left.saturating_sub(1);
            if on_token(*token).is_break() {
                return Some(drafts.acceptance());
            }
        }
        id = chosen.get(accepted).copied().unwrap_or(id);
    }
    drafts.map(|drafts| drafts.acceptance())
}

/// Room for sequences of so many rows, in steps of 256: what fits is not made anew.
pub(super) fn reserve(plan: &mut Plan, rows: usize, sequences: u32) -> Result<(), ModelError> {
    let needed = rows as u32;
    let most = plan.config.max_position_embeddings as u32;
    plan.reserve(
        needed.next_multiple_of(256).min(most.max(needed)),
        sequences,
    )?;
    Ok(())
}

/// The rows of a prompt as plain numbers: burn's tensors do not cross to the plan.
pub fn prompt_rows(prompt: Vec<PromptPart>) -> Vec<PromptRow> {
    let mut rows = Vec::new();
    for part in prompt {
        match part {
            PromptPart::Ids(ids) => rows.extend(ids.into_iter().map(PromptRow::Token)),
            PromptPart::Features(features) => {
                let [_, _, hidden] = features.dims();
                let values: Vec<f32> = features.into_data().iter::<f32>().collect();
                rows.extend(
                    values
                        .chunks(hidden)
                        .map(|row| PromptRow::Feature(row.to_vec())),
                );
            }
        }
    }
    rows
}

/// One sequence on a plan, its prompt done.
struct PlanRun<'a> {
    plan: MutexGuard<'a, Plan>,
    plugin: Option<usize>,
    /// The prompt's last column.
    last: u32,
    /// Positions taken.
    position: u32,
}

impl<'a> PlanRun<'a> {
    fn start(
        mut plan: MutexGuard<'a, Plan>,
        plugin: usize,
        rows: &[PromptRow],
        decoding: &Decoding<'_>,
    ) -> Result<Self, ModelError> {
        reserve(&mut plan, rows.len() + decoding.limit, 1)?;
        let plugin = Some(plugin);
        let (last, _) = plan.prompt(plugin, 0, rows)?;
        Ok(Self {
            plan,
            plugin,
            last,
            position: rows.len() as u32,
        })
    }

    /// Chosen and fed back on the GPU.
    fn on_gpu(
        self,
        decoding: &Decoding<'_>,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<(), ModelError> {
        let (position, last) = (self.position - 1, self.last);
        self.plan.begin(&[Column {
            position,
            ..Column::default()
        }]);
        self.go_on(Some(last), decoding.limit, decoding, on_token)
    }

    /// Drafted codes, several checked in one submission; one by one once drafts do not pay.
    fn drafted(
        mut self,
        decoding: &Decoding<'_>,
        mut drafts: Drafts,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Option<Acceptance>, ModelError> {
        let choosing = Choosing {
            tokens: decoding.tokens.clone(),
            sampling: decoding.sampling.clone(),
        };
        let column = |token: u32, position: u32| Column {
            token,
            position,
            ..Column::default()
        };
        self.plan.begin(&[column(0, self.position - 1)]);
        let first = self
            .plan
            .submit(self.plugin, Some(self.last), 1, &choosing, 0..1)?;
        let mut id = *self.plan.collect(first)?.first().unwrap_or(&0);
        let mut left = decoding.limit;
        while left > 0 {
            left -= 1;
            if on_token(id).is_break() || left == 0 {
                break;
            }
            if !drafts.pay() {
                self.plan.begin(&[column(id, self.position)]);
                self.plan.note(0, id);
                self.go_on(None, left, decoding, on_token)?;
                break;
            }
            drafts.write(id);
            let mut tokens = vec![id];
            tokens.extend(drafts.next((COLUMNS as usize).min(left) - 1));
            // Kernels exist for so many columns.
            let columns = 1 << tokens.len().ilog2();
            tokens.truncate(columns);
            let columns: Vec<Column> = (self.position..)
                .zip(&tokens)
                .map(|(position, token)| column(*token, position))
                .collect();
            self.plan.begin(&columns);
            let count = columns.len() as u32;
            let ticket = self
                .plan
                .submit(self.plugin, None, count, &choosing, 0..1)?;
            let chosen = self.plan.collect(ticket)?;
            let drafted = tokens.get(1..).unwrap_or_default();
            let accepted = drafts.check(drafted, &chosen);
            let standing = tokens.get(..=accepted).unwrap_or_default();
            self.position += standing.len() as u32;
            self.plan.note(0, id);
            for token in drafted.iter().take(accepted) {
                left = left.saturating_sub(1);
                self.plan.note(0, *token);
                if on_token(*token).is_break() {
                    return Ok(Some(drafts.acceptance()));
                }
            }
            id = chosen.get(accepted).copied().unwrap_or(id);
        }
        Ok(Some(drafts.acceptance()))
    }

    /// Chooses up to `limit` tokens, feeding each back on the GPU. What the column is was set before; with `first`, the first token
    /// comes from the state in that column.
    fn go_on(
        mut self,
        first: Option<u32>,
        limit: usize,
        decoding: &Decoding<'_>,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<(), ModelError> {
        let mut previous = None;
        let run = FedBack {
            plugin: self.plugin,
            first,
            count: 1,
            steps: 0..limit as u32,
        };
        run.go(&mut self.plan, decoding, &mut |plan, _, token| {
            // The token before this one has been run by now.
            if let Some(previous) = previous.replace(token) {
                plan.note(0, previous);
            }
            on_token(token)
        })
    }

    /// Chosen here from logits that are read back: the repetition penalty needs every earlier token, an expected code the codebook.
    fn by_host(
        mut self,
        decoding: &Decoding<'_>,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<(), ModelError> {
        let mut sampler = Sampler::new(decoding.sampling, decoding.penalty);
        let Range { start, end } = decoding.tokens;
        for step in 0..decoding.limit {
            let logits = self.plan.logits(self.plugin, self.last, 1, start..end)?;
            let token = decoding.choose(&mut sampler, logits);
            if on_token(token).is_break() || step + 1 == decoding.limit {
                break;
            }
            let column = Column {
                token,
                position: self.position,
                ..Column::default()
            };
            self.plan.forward(self.plugin, &[column])?;
            self.plan.note(0, token);
            self.position += 1;
            self.last = 0;
        }
        Ok(())
    }
}

/// Tokens that are chosen and fed back on the GPU, for columns that were set before.
pub(super) struct FedBack {
    pub plugin: Option<usize>,
    /// Where the state is that the first token comes from, if it is there already.
    pub first: Option<u32>,
    /// Columns.
    pub count: u32,
    /// As the columns count them.
    pub steps: Range<u32>,
}

impl FedBack {
    /// Gives every token of every column to `on_token` until that breaks. Two submissions are under way, so that the GPU does not wait
    /// for us.
    pub fn go(
        &self,
        plan: &mut Plan,
        decoding: &Decoding<'_>,
        on_token: &mut dyn FnMut(&mut Plan, usize, u32) -> ControlFlow<()>,
    ) -> Result<(), ModelError> {
        let choosing = Choosing {
            tokens: decoding.tokens.clone(),
            sampling: decoding.sampling.clone(),
        };
        let Range { start, end } = self.steps;
        let mut under_way = VecDeque::new();
        let mut next = start;
        let mut at_once = 1;
        let mut since = Instant::now();
        let mut outcome = Ok(());
        let mut going = true;
        loop {
            while going && next < end && under_way.len() < 2 {
                let steps = next..(next + at_once).min(end);
                let first = self.first.filter(|_| next == start);
                next = steps.end;
                let taken = steps.len();
                let ticket = plan.submit(self.plugin, first, self.count, &choosing, steps)?;
                under_way.push_back((ticket, taken));
            }
            let Some((ticket, taken)) = under_way.pop_front() else {
                return outcome;
            };
            match plan.collect(ticket) {
                Ok(tokens) => {
                    let columns = (0..self.count as usize).cycle();
                    for (column, token) in columns.zip(tokens) {
                        going = going && on_token(plan, column, token).is_continue();
                    }
                }
                Err(error) => {
                    going = false;
                    outcome = Err(error.into());
                }
            }
            if decoding.image.is_some() {
                let per_step = since.elapsed().as_secs_f64() / taken.max(1) as f64;
                let fit = (SUBMISSION_SECS / per_step.max(1e-6)) as usize;
                at_once = fit.clamp(1, AHEAD) as u32;
            }
            since = Instant::now();
        }
    }
}
