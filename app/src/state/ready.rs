//! What can be asked for now; if not, why, in words for a disabled button.

use engine::Task;

use super::{Content, ModelState, State, Tool, Viewport, task_words};
use crate::errors::error_words;
use crate::strings::{fill, words};

impl State {
    /// Can a question be sent?
    ///
    /// # Errors
    /// The reason why not.
    pub fn check_ask(&self, question: &str) -> Result<(), String> {
        self.check_model(Task::Comprehend)?;
        if question.trim().is_empty() {
            return Err(words().why_no_question.to_owned());
        }
        self.check_free()
    }

    /// Can this image be made of the picture on screen?
    ///
    /// # Errors
    /// The reason why not.
    pub fn check_generate(&self, task: Task) -> Result<(), String> {
        self.check_model(task)?;
        match self.viewer.viewport() {
            Viewport::Open(open) => task
                .check_source(open.modality())
                .map_err(|error| error_words(&error))?,
            Viewport::Loading(_) => return Err(words().why_series_loading.to_owned()),
            Viewport::Empty | Viewport::Failed(..) => {
                return Err(words().why_no_series.to_owned());
            }
        }
        self.check_free()
    }

    /// Can a tool be used on what is on screen?
    ///
    /// # Errors
    /// The reason why not.
    pub fn check_tool(&self, tool: Tool) -> Result<(), &'static str> {
        let draws = tool.draws();
        match self.viewer.open().map(|open| &open.content) {
            None if draws => Err(words().why_no_series),
            Some(_) if draws && self.viewer.overlaid() => Err(words().measure_off_pair),
            Some(Content::Frames(_)) if tool.needs_samples() => Err(words().measure_off_colour),
            Some(Content::Volume(view)) if draws && view.slab.is_some() => Err(words().measure_off),
            _ => Ok(()),
        }
    }

    fn check_model(&self, task: Task) -> Result<(), String> {
        match &self.model {
            ModelState::Empty => Err(words().why_no_model.to_owned()),
            ModelState::Loading => Err(words().why_model_loading.to_owned()),
            ModelState::Failed(_) => Err(words().why_model_failed.to_owned()),
            ModelState::Ready(model) => match model.capability(task) {
                Ok(_) => Ok(()),
                Err(_) => Err(fill(
                    words().why_no_plugin,
                    &[&model.name, &task_words(task)],
                )),
            },
        }
    }

    fn check_free(&self) -> Result<(), String> {
        match self.model_job() {
            Some((_, job)) => Err(fill(words().why_busy, &[&job.kind.label()])),
            None => Ok(()),
        }
    }
}
