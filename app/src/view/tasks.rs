//! One button for each image the model can make; a disabled one says why.

use egui::{Button, Label, RichText, Ui};
use engine::Task;

use crate::action::Action;
use crate::state::{ModelState, State, task_words};
use crate::strings::{fill, words};
use crate::theme;

/// A panel lower than this, in points, has no room for explanations.
const LOW: f32 = 520.0;

/// The image tasks.
pub fn tasks_ui(ui: &mut Ui, state: &State) -> Option<Action> {
    let mut action = None;
    ui.label(RichText::new(words().make_image).strong());
    let tasks = Task::ALL.into_iter().filter(|task| task.generates());
    let mut reasons = tasks.map(|task| state.check_generate(task).err());
    // What holds for all of them is said once.
    let shared = reasons.next().flatten();
    let shared = shared.filter(|first| reasons.all(|other| other.as_ref() == Some(first)));
    if let Some(reason) = &shared {
        reason_ui(ui, reason);
    }
    // On a low window the chat needs the room: reasons are then said where the pointer rests.
    let low = ui.available_height() < LOW;
    let width = if low {
        (ui.available_width() - ui.spacing().item_spacing.x) / 2.0
    } else {
        160.0
    };
    let mut one = |ui: &mut Ui, task: Task| {
        let ready = state.check_generate(task);
        let mut content = |ui: &mut Ui| {
            let button = Button::new(task_words(task)).min_size(egui::vec2(width, 26.0));
            let mut response = ui.add_enabled(ready.is_ok(), button);
            match &ready {
                Err(reason) => {
                    response = response.on_disabled_hover_text(reason);
                    if shared.is_none() && !low {
                        reason_ui(ui, reason);
                    }
                }
                Ok(()) if low => response = response.on_hover_text(hint(state, task)),
                Ok(()) => reason_ui(ui, &hint(state, task)),
            }
            if response.clicked() {
                action = Some(Action::Generate(task));
            }
        };
        if low {
            content(ui);
        } else {
            ui.horizontal(content);
        }
    };
    let tasks = Task::ALL.into_iter().filter(|task| task.generates());
    if low {
        ui.horizontal_wrapped(|ui| tasks.for_each(|task| one(ui, task)));
    } else {
        tasks.for_each(|task| one(ui, task));
    }
    if let Some((task, why)) = &state.results.failed {
        egui::Frame::new()
            .fill(theme::now().error_dim)
            .corner_radius(4)
            .inner_margin(8)
            .show(ui, |ui| {
                let text = fill(words().task_failed, &[&task_words(*task), why]);
                ui.add(Label::new(RichText::new(text).color(theme::now().error)).wrap());
                if ui.button(words().close).clicked() {
                    action = Some(Action::DismissNotice);
                }
            });
    }
    action
}

fn reason_ui(ui: &mut Ui, reason: &str) {
    let reason = RichText::new(reason).color(theme::now().quiet).size(12.5);
    ui.add(Label::new(reason).wrap());
}

/// What a button makes, and on what its plug-in was trained.
fn hint(state: &State, task: Task) -> String {
    let what = match task {
        Task::Comprehend => words().hint_comprehend,
        Task::Reconstruct => words().hint_reconstruct,
        Task::Ct2Mri => words().hint_ct2mri,
        Task::Mri2Ct => words().hint_mri2ct,
        Task::Sr4 => words().hint_sr4,
    };
    let region = match &state.model {
        ModelState::Ready(model) => model.capability(task).ok(),
        _ => None,
    };
    match region.and_then(|capability| capability.region.as_deref()) {
        Some(region) => fill(words().trained_on, &[&what, &region]),
        None => what.to_owned(),
    }
}
