//! A picture to a picture: the codes that the language model writes, decoded by the VQGAN; of one slice, or of several in lockstep.

use std::ops::{ControlFlow, Range};
use std::time::Instant;

use image::RgbImage;

use super::drafts::{Acceptance, Drafting};
use super::error::ModelError;
use super::expected_code::ExpectedCode;
use super::healthgpt::HealthGpt;
use super::llm::{Decoding, ImageCodes, Llm, PlugInRef, PromptPart, prompt_rows};
use super::lockstep::{self, TOGETHER};
use super::prompt::{neutral, pieces};
use super::sampler::Sampling;
use super::vqgan::to_rgb;
use crate::gpu::GpuError;
use crate::task::Task;

/// A generated picture: the pixels are private so that only a marked copy can be written.
#[derive(Clone, Debug)]
pub struct GeneratedImage {
    image: RgbImage,
    /// VQ codes, row by row.
    pub codes: Vec<u32>,
    /// Ids as decoded.
    pub ids: Vec<u32>,
    /// How drafts of its codes fared, where codes were drafted.
    pub drafts: Option<Acceptance>,
    /// Seconds in all.
    pub secs: f64,
}

/// What a picture is made of.
#[derive(Clone, Copy, Debug)]
pub struct GenerateInput<'a> {
    /// The picture given.
    pub image: &'a RgbImage,
    /// What is made of it.
    pub task: Task,
    /// The instruction given to the model.
    pub instruction: &'a str,
    /// How tokens are chosen.
    pub sampling: &'a Sampling,
    /// Decode as the reference does, not held to the grammar of an image.
    pub faithful: bool,
    /// Draft codes and check several at a time, where that changes no code ([`super::drafts`])?
    pub draft: Drafting,
    /// Codes of the slice before, as drafts; empty where there is none.
    pub previous: &'a [u32],
}

/// Greedy, as the reference runs.
static GREEDY: Sampling = Sampling {
    temperature: 0.0,
    top_k: None,
    top_p: None,
    repetition_penalty: None,
    seed: 0,
};

impl<'a> GenerateInput<'a> {
    /// Greedy, held to the grammar, with drafts where they pay.
    pub fn new(image: &'a RgbImage, task: Task, instruction: &'a str) -> Self {
        Self {
            image,
            task,
            instruction,
            sampling: &GREEDY,
            faithful: false,
            draft: Drafting::Auto,
            previous: &[],
        }
    }
}

impl GeneratedImage {
    /// The picture without its mark, for comparison with a reference. Never write it to a file.
    pub fn unmarked(&self) -> &RgbImage {
        &self.image
    }
}

/// A picture as it is asked of the language model.
struct Asked<'a> {
    plugin: PlugInRef<'a>,
    /// The picture given, and what is to be made of it.
    prompt: Vec<PromptPart>,
    /// What may be chosen.
    tokens: Range<u32>,
    /// Tokens, at most.
    limit: usize,
    /// Chooses in place of the likeliest code.
    expected_code: Option<ExpectedCode>,
    /// Tokens of the slice before.
    previous: Vec<u32>,
}

/// What the language model wrote.
#[derive(Default)]
struct Written {
    ids: Vec<u32>,
    codes: Vec<u32>,
    drafts: Option<Acceptance>,
}

impl HealthGpt {
    /// The temperature of the expectation whose nearest code is chosen: where the model asks for it and the user for nothing else.
    fn expectation(&self, task: Task, sampling: &Sampling, faithful: bool) -> Option<f32> {
        let plain = sampling.greedy(self.generation.repetition_penalty) && !faithful;
        let asked = self.layout.manifest.expected_codes.get(&task);
        asked.filter(|_| plain).copied()
    }

    /// What chooses a task's codes in place of the likeliest.
    pub fn expected_code(
        &self,
        task: Task,
        sampling: &Sampling,
        faithful: bool,
    ) -> Option<ExpectedCode> {
        let (vqgan, _) = self.vqgan.as_ref()?;
        let temperature = self.expectation(task, sampling, faithful)?;
        Some(ExpectedCode::new(vqgan, temperature))
    }

    /// How the codes of a picture are chosen, for its provenance.
    pub fn code_choice(&self, task: Task, sampling: &Sampling, faithful: bool) -> String {
        match self.expectation(task, sampling, faithful) {
            Some(temperature) => {
                format!("the code nearest to the expected one, temperature {temperature}")
            }
            None => sampling.to_string(),
        }
    }

    /// Makes a picture. Held to the grammar of an image unless `faithful`: exactly side x side codes, then the end.
    /// `on_code` gets the codes done and in all, and may stop it.
    ///
    /// # Errors
    /// No plug-in for the task, no VQGAN, a prompt that does not fit, a faithful run with another number of codes.
    pub fn generate(
        &self,
        input: &GenerateInput<'_>,
        on_code: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<GeneratedImage, ModelError> {
        let started = Instant::now();
        let mut asked = self.asked(input)?;
        let expected = self.codes_of_a_picture(input.task)?;
        let prompt = std::mem::take(&mut asked.prompt);
        let decoding = self.decoding(&asked, input);
        let mut written = Written::default();
        let mut stopped = false;
        let drafts = self
            .llm
            .decode(asked.plugin, prompt, &decoding, &self.device, &mut |id| {
                if self.take(&mut written, id).is_break() {
                    return ControlFlow::Break(());
                }
                let flow = on_code(written.codes.len(), expected);
                stopped = flow.is_break();
                flow
            })?;
        written.drafts = drafts;
        if stopped {
            return Err(ModelError::Stopped);
        }
        self.decoded(written, input, started)
    }

    /// Pictures that [`Self::generate_together`] makes at once: more than one where kernels of our own run.
    pub fn together(&self) -> usize {
        match &self.llm {
            Llm::Plan(_) => TOGETHER,
            Llm::Twin(_) | Llm::Packed(_) => 1,
        }
    }

    /// Makes several pictures, in lockstep where kernels of our own run and the inputs want the same of the model; else one after
    /// another, as where there is no room for the keys and values of several. The pictures are those of [`Self::generate`], unless codes are drawn by chance. `on_code` gets the codes of all.
    ///
    /// # Errors
    /// As [`Self::generate`].
    pub fn generate_together(
        &self,
        inputs: &[GenerateInput<'_>],
        on_code: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Vec<GeneratedImage>, ModelError> {
        let Some(first) = inputs.first() else {
            return Ok(Vec::new());
        };
        let expected = self.codes_of_a_picture(first.task)?;
        let in_all = inputs.len() * expected;
        let alike = inputs.windows(2).all(|pair| match pair {
            [a, b] => a.task == b.task && a.sampling == b.sampling && !a.faithful && !b.faithful,
            _ => true,
        });
        let mut made = Vec::new();
        let mut rest = inputs;
        let shares = match &self.llm {
            Llm::Plan(_) if alike => lockstep::shares(inputs.len()),
            _ => vec![1; inputs.len()],
        };
        for share in shares {
            let (now, later) = rest.split_at(share.min(rest.len()));
            rest = later;
            let before = made.len() * expected;
            let on_code = &mut |done: usize, _: usize| on_code(before + done, in_all);
            let together = match now {
                [_] => None,
                several => match self.in_lockstep(several, on_code) {
                    // One after another needs keys and values of one alone.
                    Err(ModelError::Gpu(GpuError::NoRoom { .. })) => None,
                    outcome => Some(outcome?),
                },
            };
            match together {
                Some(pictures) => made.extend(pictures),
                None => {
                    for (number, one) in now.iter().enumerate() {
                        let on_code =
                            &mut |done: usize, of: usize| on_code(number * expected + done, of);
                        made.push(self.generate(one, on_code)?);
                    }
                }
            }
        }
        Ok(made)
    }

    fn in_lockstep(
        &self,
        inputs: &[GenerateInput<'_>],
        on_code: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Vec<GeneratedImage>, ModelError> {
        let started = Instant::now();
        let mut prompts = Vec::new();
        let mut first = None;
        for input in inputs {
            let mut asked = self.asked(input)?;
            prompts.push(prompt_rows(std::mem::take(&mut asked.prompt)));
            let _ = first.get_or_insert((asked, input));
        }
        let (Some((asked, input)), Llm::Plan(plan)) = (first, &self.llm) else {
            return Ok(Vec::new());
        };
        let expected = self.codes_of_a_picture(input.task)?;
        let decoding = self.decoding(&asked, input);
        let mut written: Vec<Written> = inputs.iter().map(|_| Written::default()).collect();
        let mut done = 0;
        let mut stopped = false;
        let index = asked.plugin.index;
        lockstep::decode(plan, index, &prompts, &decoding, &mut |number, id| {
            if let Some(written) = written.get_mut(number) {
                // Held to the grammar, no code ends a picture.
                let _ = self.take(written, id);
            }
            done += 1;
            let flow = on_code(done, inputs.len() * expected);
            stopped = flow.is_break();
            flow
        })?;
        if stopped {
            return Err(ModelError::Stopped);
        }
        let share = |made: Result<GeneratedImage, ModelError>| {
            let made = made?;
            let secs = made.secs / inputs.len() as f64;
            Ok(GeneratedImage { secs, ..made })
        };
        let made = written.into_iter();
        made.map(|written| share(self.decoded(written, input, started)))
            .collect()
    }

    fn lacking(&self, task: Task) -> ModelError {
        ModelError::NoCapability {
            model: self.layout.manifest.name.clone(),
            task: format!("{task} (it has no image decoder or no image tokens)"),
        }
    }

    /// A model that lacks the task says so first.
    fn codes_of_a_picture(&self, task: Task) -> Result<usize, ModelError> {
        let _ = self.plugin_ref(task)?;
        let (vqgan, _) = self.vqgan.as_ref().ok_or_else(|| self.lacking(task))?;
        Ok(vqgan.side * vqgan.side)
    }

    /// Everything that is computed before the first code.
    fn asked(&self, input: &GenerateInput<'_>) -> Result<Asked<'_>, ModelError> {
        let GenerateInput {
            image,
            task,
            instruction,
            sampling,
            faithful,
            previous,
            ..
        } = *input;
        let plugin = self.plugin_ref(task)?;
        let expected = self.codes_of_a_picture(task)?;
        let (Some(start), Some(end)) = (self.tokenizer.start_index(), self.tokenizer.end_index())
        else {
            return Err(self.lacking(task));
        };
        let template = self.layout.manifest.template;
        let text = template.text(&[], &neutral(&self.tokenizer, instruction), 1, true);
        let prompt = pieces(&self.tokenizer, &text);
        let prompt_tokens = self.prompt_tokens(&prompt);
        let room = self.check_length(prompt_tokens + expected)? + expected;
        Ok(Asked {
            plugin,
            prompt: self.prompt_parts(plugin.plugin, &prompt, std::slice::from_ref(image))?,
            // Held to the grammar, only the head's rows of the codes are ever needed.
            tokens: match faithful {
                true => 0..self.vocabulary(),
                false => start + 1..end,
            },
            // The reference allows 1100 tokens for 1024 codes.
            limit: match faithful {
                true => room.min(expected + 76),
                false => expected,
            },
            expected_code: self.expected_code(task, sampling, faithful),
            previous: previous.iter().map(|code| start + 1 + code).collect(),
        })
    }

    fn decoding<'a>(&self, asked: &'a Asked<'_>, input: &GenerateInput<'a>) -> Decoding<'a> {
        let row = self.vqgan.as_ref().map_or(1, |(vqgan, _)| vqgan.side);
        Decoding {
            tokens: asked.tokens.clone(),
            sampling: input.sampling,
            penalty: self.generation.repetition_penalty,
            limit: asked.limit,
            image: (!input.faithful).then_some(ImageCodes {
                row,
                previous: &asked.previous,
                draft: input.draft,
                expected: asked.expected_code.as_ref(),
            }),
        }
    }

    /// Notes an id; a break where it ends the picture.
    fn take(&self, written: &mut Written, id: u32) -> ControlFlow<()> {
        written.ids.push(id);
        written.codes.extend(self.tokenizer.code_of(id));
        match self.generation.eos_token_ids.contains(&id) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// The picture of what was written.
    fn decoded(
        &self,
        written: Written,
        input: &GenerateInput<'_>,
        started: Instant,
    ) -> Result<GeneratedImage, ModelError> {
        let (vqgan, _) = self
            .vqgan
            .as_ref()
            .ok_or_else(|| self.lacking(input.task))?;
        let Written {
            mut ids,
            codes,
            drafts,
        } = written;
        if !input.faithful {
            ids.extend(self.tokenizer.end_index());
        }
        let expected = vqgan.side * vqgan.side;
        if codes.len() != expected {
            return Err(ModelError::WrongCodeCount {
                found: codes.len(),
                expected,
            });
        }
        Ok(GeneratedImage {
            image: to_rgb(vqgan.decode(vqgan.latents(&codes, &self.device))),
            codes,
            ids,
            drafts,
            secs: started.elapsed().as_secs_f64(),
        })
    }
}
