//! What can be asked for now; if not, why, in words for a disabled button.

use engine::Task;

use super::{ModelState, State, Viewport};

impl State {
    /// Can a question be sent?
    ///
    /// # Errors
    /// The reason why not.
    pub fn check_ask(&self, question: &str) -> Result<(), String> {
        self.check_model(Task::Comprehend)?;
        if question.trim().is_empty() {
            return Err("type a question first".to_owned());
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
                .map_err(|error| error.to_string())?,
            Viewport::Loading(_) => return Err("the series is still loading".to_owned()),
            Viewport::Empty | Viewport::Failed(..) => {
                return Err("open a series or a picture first".to_owned());
            }
        }
        self.check_free()
    }

    fn check_model(&self, task: Task) -> Result<(), String> {
        match &self.model {
            ModelState::Empty => Err("no model is loaded; load one first".to_owned()),
            ModelState::Loading => Err("the model is still loading".to_owned()),
            ModelState::Failed(_) => {
                Err("the model could not be loaded; load another one".to_owned())
            }
            ModelState::Ready(model) => model.capability(task).map(|_| ()),
        }
    }

    fn check_free(&self) -> Result<(), String> {
        match self.model_job() {
            Some((_, job)) => Err(format!(
                "the model is busy ({}); wait, or stop it",
                job.kind.label()
            )),
            None => Ok(()),
        }
    }
}
