//! A scripted run of the window: asks, converts, compares, and ends with a screenshot of what a user would see.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use egui::{ColorImage, Context, ViewportCommand};
use engine::Task;
use image::RgbaImage;

use crate::action::Action;
use crate::state::{ModelState, Notice, Reply, State, Viewport};

/// What the scripted run does.
#[derive(Clone, Debug)]
pub struct ScreenshotPlan {
    /// Questions to ask, in order.
    pub questions: Vec<String>,
    /// The image to make at the end.
    pub task: Option<Task>,
    /// Lose the GPU that draws the window after the first answer.
    pub lose_gpu: bool,
    /// Where the screenshot is written, as PNG.
    pub out: PathBuf,
    /// The run fails after so many seconds.
    pub timeout_secs: u64,
}

/// How far a run is.
#[derive(Debug)]
enum Step {
    Loading,
    Asking(usize),
    Making,
    /// Frames left to draw before the picture is taken.
    Settling(u8),
    Taking,
    Closing,
}

/// A run under way.
#[derive(Debug)]
pub struct PlanRun {
    plan: ScreenshotPlan,
    step: Step,
    deadline: Instant,
    outcome: Arc<Mutex<Result<(), String>>>,
    sender: Sender<Arc<ColorImage>>,
    taken: Receiver<Arc<ColorImage>>,
}

impl PlanRun {
    /// A run that begins now and writes how it ended to `outcome`.
    pub fn new(plan: ScreenshotPlan, outcome: Arc<Mutex<Result<(), String>>>) -> Self {
        let (sender, taken) = channel();
        if let Ok(mut outcome) = outcome.lock() {
            *outcome = Err("the window was closed before the picture was taken".to_owned());
        }
        let deadline = Instant::now() + Duration::from_secs(plan.timeout_secs);
        Self {
            plan,
            step: Step::Loading,
            deadline,
            outcome,
            sender,
            taken,
        }
    }

    /// Is it time to lose the GPU? True once.
    pub fn loses_gpu(&mut self) -> bool {
        let answered = matches!(
            self.step,
            Step::Asking(2..) | Step::Making | Step::Settling(_)
        );
        answered && std::mem::take(&mut self.plan.lose_gpu)
    }

    /// Moves on if it can; the result is what a user would do now.
    pub fn step(&mut self, ctx: &Context, state: &mut State) -> Vec<Action> {
        if matches!(self.step, Step::Closing) {
            return Vec::new();
        }
        let pause = match self.step {
            Step::Settling(_) => Duration::ZERO,
            _ => Duration::from_secs(1),
        };
        ctx.request_repaint_after(pause);
        match self.advance(ctx, state) {
            Ok(actions) => actions,
            Err(why) => {
                self.close(ctx, Err(why));
                Vec::new()
            }
        }
    }

    fn advance(&mut self, ctx: &Context, state: &mut State) -> Result<Vec<Action>, String> {
        if Instant::now() > self.deadline {
            return Err(format!(
                "the scripted run did not end within {} s (it was {:?})",
                self.plan.timeout_secs, self.step
            ));
        }
        match self.step {
            Step::Loading => {
                if let Viewport::Failed(_, why) = state.viewer.viewport() {
                    return Err(why.clone());
                }
                if let Some(Notice::Failed(why)) = &state.notice {
                    return Err(why.clone());
                }
                if let ModelState::Failed(why) = &state.model {
                    return Err(why.clone());
                }
                let ready = matches!(state.model, ModelState::Ready(_));
                if ready && state.viewer.open().is_some() {
                    return Ok(self.ask(0, state));
                }
            }
            Step::Asking(asked) => match state.chat.turns.last().map(|turn| &turn.reply) {
                Some(Reply::Failed(_, why)) => return Err(why.clone()),
                Some(Reply::Done(_)) if state.model_job().is_none() => {
                    return Ok(self.ask(asked, state));
                }
                _ => {}
            },
            Step::Making => {
                if let Some((_, why)) = &state.results.failed {
                    return Err(why.clone());
                }
                if !state.results.items.is_empty() {
                    self.step = Step::Settling(10);
                }
            }
            Step::Settling(0) => {
                let sender = self.sender.clone();
                let waker = ctx.clone();
                ctx.request_screenshot(move |image| {
                    if sender.send(image).is_ok() {
                        waker.request_repaint();
                    }
                });
                self.step = Step::Taking;
            }
            Step::Settling(frames) => self.step = Step::Settling(frames - 1),
            Step::Taking => {
                if let Ok(image) = self.taken.try_recv() {
                    let written = self.write(&image);
                    self.close(ctx, written);
                }
            }
            Step::Closing => {}
        }
        Ok(Vec::new())
    }

    /// Asks the next question; after the last one, makes the image.
    fn ask(&mut self, number: usize, state: &mut State) -> Vec<Action> {
        if let Some(question) = self.plan.questions.get(number) {
            self.step = Step::Asking(number + 1);
            state.chat.draft.text.clone_from(question);
            return vec![Action::Ask];
        }
        match self.plan.task {
            Some(task) => {
                self.step = Step::Making;
                vec![Action::Generate(task)]
            }
            None => {
                self.step = Step::Settling(10);
                Vec::new()
            }
        }
    }

    fn write(&self, image: &ColorImage) -> Result<(), String> {
        let [width, height] = image.size.map(|len| u32::try_from(len).unwrap_or(0));
        let bytes = image.pixels.iter().flat_map(|pixel| pixel.to_array());
        let picture = RgbaImage::from_raw(width, height, bytes.collect())
            .ok_or("the screenshot has no pixels")?;
        let picture = image::DynamicImage::ImageRgba8(picture).into_rgb8();
        picture
            .save(&self.plan.out)
            .map_err(|error| format!("the screenshot could not be written: {error}"))
    }

    fn close(&mut self, ctx: &Context, result: Result<(), String>) {
        if let Ok(mut outcome) = self.outcome.lock() {
            *outcome = result;
        }
        self.step = Step::Closing;
        ctx.send_viewport_cmd(ViewportCommand::Close);
    }
}
