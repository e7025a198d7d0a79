//! The codes of several pictures in lockstep: a token of each is a column of one forward pass, which reads every weight once for all
//! of them. Where reading the weights is what a token costs, four slices of a volume take little longer than one.

use std::ops::{ControlFlow, Range};
use std::sync::Mutex;

use super::error::ModelError;
use super::llm::{Decoding, FedBack, held, reserve};
use super::sampler::Sampler;
use crate::gpu::Plan;
use crate::gpu::plan::{Choosing, Column, PromptRow};

/// Sequences that are decoded together, at most: each needs keys and values of its own.
pub const TOGETHER: usize = 4;

/// How so many sequences are shared out: kernels exist for 1, 2, 4 and 8 columns.
pub fn shares(sequences: usize) -> Vec<usize> {
    let mut left = sequences;
    std::iter::from_fn(|| {
        let share = TOGETHER.min(1 << left.checked_ilog2()?);
        left -= share;
        Some(share)
    })
    .collect()
}

/// Runs the prompts one after another, and then chooses a token of each at a time, up to `decoding.limit`; `on_token` gets the number of
/// the prompt with each, until it breaks. The tokens are those that each prompt gets alone, unless they are drawn by chance.
///
/// # Errors
/// [`ModelError::Gpu`]: among others, no room for the keys and values.
pub fn decode(
    plan: &Mutex<Plan>,
    plugin: usize,
    prompts: &[Vec<PromptRow>],
    decoding: &Decoding<'_>,
    on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<(), ModelError> {
    let plan = &mut *held(plan);
    let plugin = Some(plugin);
    let longest = prompts.iter().map(Vec::len).max().unwrap_or_default();
    let count = prompts.len() as u32;
    if count == 0 || decoding.limit == 0 {
        return Ok(());
    }
    reserve(plan, longest + decoding.limit, count)?;
    let new = || Sampler::new(decoding.sampling, decoding.penalty);
    let mut samplers: Vec<Sampler> = prompts.iter().map(|_| new()).collect();
    let mut columns = Vec::new();
    for ((slot, rows), sampler) in (0..).zip(prompts).zip(&mut samplers) {
        let (last, _) = plan.prompt(plugin, slot, rows)?;
        let at_prompt = Column {
            position: (rows.len() as u32).saturating_sub(1),
            slot,
            ..Column::default()
        };
        let token = first_token(plan, plugin, last, at_prompt, decoding, sampler)?;
        if on_token(slot as usize, token).is_break() {
            return Ok(());
        }
        columns.push(Column {
            token,
            position: rows.len() as u32,
            slot,
            step: 1,
        });
    }
    if decoding.chosen_on_gpu() {
        plan.begin(&columns);
        let run = FedBack {
            plugin,
            first: None,
            count,
            steps: 1..decoding.limit as u32,
        };
        return run.go(plan, decoding, &mut |_, column, token| {
            on_token(column, token)
        });
    }
    let Range { start, end } = decoding.tokens;
    for _ in 1..decoding.limit {
        plan.forward(plugin, &columns)?;
        let logits = plan.logits(plugin, 0, count, start..end)?;
        let each = logits.chunks((end - start).max(1) as usize);
        for ((column, logits), sampler) in columns.iter_mut().zip(each).zip(&mut samplers) {
            column.token = decoding.choose(sampler, logits.to_vec());
            column.position += 1;
            if on_token(column.slot as usize, column.token).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What follows a prompt whose last state is in column `last`.
fn first_token(
    plan: &mut Plan,
    plugin: Option<usize>,
    last: u32,
    at_prompt: Column,
    decoding: &Decoding<'_>,
    sampler: &mut Sampler,
) -> Result<u32, ModelError> {
    if !decoding.chosen_on_gpu() {
        let logits = plan.logits(plugin, last, 1, decoding.tokens.clone())?;
        return Ok(decoding.choose(sampler, logits));
    }
    plan.begin(&[at_prompt]);
    let choosing = Choosing {
        tokens: decoding.tokens.clone(),
        sampling: decoding.sampling.clone(),
    };
    let ticket = plan.submit(plugin, Some(last), 1, &choosing, 0..1)?;
    let chosen = plan.collect(ticket)?.first().copied();
    Ok(chosen.unwrap_or(decoding.tokens.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_shared_out_in_numbers_that_kernels_exist_for() {
        assert_eq!(shares(0), Vec::<usize>::new());
        assert_eq!(shares(3), [2, 1]);
        assert_eq!(shares(11), [4, 4, 2, 1]);
    }
}
