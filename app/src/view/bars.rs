//! The lines above and below: model, warnings, work under way, device, and the notice that cannot be closed.

use std::collections::BTreeMap;

use egui::{Button, Frame, Label, Margin, Panel, ProgressBar, RichText, Ui};
use engine::Task;
use engine::session::{JobId, ModelInfo};

use crate::action::Action;
use crate::device_reasons::device_reason_words;
use crate::stages::stage_words;
use crate::state::{DeviceState, Dialog, Job, JobKind, MemoryUse, ModelState, Notice, task_words};
use crate::strings::{fill, words};
use crate::theme;

/// The program, the model and what it can do.
pub fn model_line_ui(ui: &mut Ui, model: &ModelState) -> Option<Action> {
    let mut action = None;
    ui.horizontal(|ui| {
        ui.label(RichText::new(words().program).strong().size(16.0));
        ui.separator();
        match model {
            ModelState::Empty | ModelState::Failed(_) => {
                ui.label(words().no_model);
            }
            ModelState::Loading => {
                ui.label(words().loading_model);
            }
            ModelState::Ready(info) => model_ui(ui, info),
        }
        let right = egui::Layout::right_to_left(egui::Align::Center);
        ui.with_layout(right, |ui| {
            if ui.button(words().load_model).clicked() {
                action = Some(Action::ChooseModel);
            }
            for (name, dialog) in [
                (words().training, Dialog::Training),
                (words().settings, Dialog::Settings),
                (words().keys, Dialog::Keys),
            ] {
                if ui.button(name).clicked() {
                    action = Some(Action::Toggle(dialog));
                }
            }
        });
    });
    action
}

fn model_ui(ui: &mut Ui, info: &ModelInfo) {
    ui.label(RichText::new(&info.name).strong());
    ui.label(RichText::new(&info.variant).color(theme::now().quiet))
        .on_hover_text(words().variant);
    for task in Task::ALL {
        if let Ok(capability) = info.capability(task) {
            let region = match &capability.region {
                Some(region) => format!(" ({region})"),
                None => String::new(),
            };
            let text = format!("{}{region}", task_words(task));
            let chip = Frame::new()
                .fill(theme::now().accent_dim)
                .corner_radius(8)
                .inner_margin(Margin::symmetric(8, 1));
            chip.show(ui, |ui| ui.label(RichText::new(text).size(12.5)));
        }
    }
    let facts = fill(
        words().model_facts,
        &[
            &info.licence,
            &info.context_tokens,
            &info.image_tokens,
            &format_args!("{:.1}", info.load_secs),
        ],
    );
    let facts = info
        .notes
        .iter()
        .fold(facts, |facts, note| format!("{facts}\n{note}"));
    ui.label(
        RichText::new(words().details)
            .color(theme::now().quiet)
            .underline(),
    )
    .on_hover_text(facts);
}

/// What must be known of the model before anything is asked: it is untrained, its author warns of it, or it could not be loaded.
pub fn model_warning_ui(ui: &mut Ui, model: &ModelState) {
    let (text, color, ground) = match model {
        ModelState::Ready(info) if !info.trained => (
            words().untrained_warning.to_owned(),
            theme::now().warning,
            theme::now().warning_dim,
        ),
        ModelState::Ready(info) => match &info.caution {
            Some(caution) => (
                format!("{}: {caution}", info.name),
                theme::now().warning,
                theme::now().warning_dim,
            ),
            None => return,
        },
        ModelState::Failed(why) => (
            fill(words().model_failed, &[why]),
            theme::now().error,
            theme::now().error_dim,
        ),
        _ => return,
    };
    let frame = Frame::new()
        .fill(ground)
        .inner_margin(Margin::symmetric(10, 5));
    Panel::top("model warning").frame(frame).show(ui, |ui| {
        ui.take_available_width();
        ui.add(Label::new(RichText::new(text).color(color).strong()).wrap());
    });
}

/// The notice that cannot be closed.
pub fn research_notice_ui(ui: &mut Ui) {
    ui.vertical_centered(|ui| {
        ui.label(
            RichText::new(words().research_notice)
                .color(theme::now().warning)
                .size(13.0),
        )
    });
}

/// Which device runs the model, and why; and the work under way, each with its progress and a way to stop it. The line
/// keeps its height, so that the image above it stays where it is.
pub fn status_ui(
    ui: &mut Ui,
    device: &DeviceState,
    jobs: &BTreeMap<JobId, Job>,
    memory: Option<MemoryUse>,
) -> Option<Action> {
    let mut action = None;
    let height = egui::vec2(ui.available_width(), 24.0);
    let right = egui::Layout::right_to_left(egui::Align::Center);
    ui.allocate_ui_with_layout(height, right, |ui| {
        ui.set_min_height(height.y);
        if let Some(memory) = memory {
            // Beside work under way there is room for the sum only; the rest is told by the pointer.
            memory_ui(ui, memory, jobs.is_empty());
        }
        for (id, job) in jobs.iter().rev() {
            if job.kind == JobKind::ReadHeader {
                continue; // soon over, and said where it is waited for
            }
            if let Some(wanted) = job_ui(ui, *id, job) {
                action = Some(wanted);
            }
        }
        let left = egui::Layout::left_to_right(egui::Align::Center);
        ui.with_layout(left, |ui| device_ui(ui, device));
    });
    action
}

fn memory_ui(ui: &mut Ui, memory: MemoryUse, full: bool) {
    let sum = fill(words().memory, &[&size_words(memory.program_mib)]);
    let volumes = fill(words().memory_volumes, &[&size_words(memory.volumes_mib)]);
    let model = memory.model_mib;
    let model = model.map(|mib| fill(words().memory_model, &[&size_words(mib)]));
    let all = [Some(sum.clone()), Some(volumes), model];
    let all = all.into_iter().flatten().collect::<Vec<_>>().join(" · ");
    let shown = RichText::new(if full { &all } else { &sum });
    let shown = Label::new(shown.color(theme::now().quiet).size(12.5));
    ui.add(shown).on_hover_text(all);
}

/// `640 MiB`, `1.2 GiB`.
fn size_words(mib: f64) -> String {
    if mib < 1000.0 {
        fill(words().mib, &[&format_args!("{mib:.0}")])
    } else {
        fill(words().gib, &[&format_args!("{:.1}", mib / 1024.0)])
    }
}

fn device_ui(ui: &mut Ui, device: &DeviceState) {
    let (text, color) = match device {
        DeviceState::Choosing => (words().device_choosing.to_owned(), theme::now().quiet),
        DeviceState::Ready(info) => (
            fill(
                words().device,
                &[&info.name, &device_reason_words(&info.reason)],
            ),
            theme::now().quiet,
        ),
        DeviceState::Failed(why) => (fill(words().no_device, &[why]), theme::now().error),
    };
    let text = RichText::new(text).color(color).size(12.5);
    ui.add(Label::new(text).truncate());
}

/// One job, from the right: stop, progress, name.
fn job_ui(ui: &mut Ui, id: JobId, job: &Job) -> Option<Action> {
    let name = fill(words().stop_job, &[&job.kind.label()]);
    let action = if job.stopping {
        ui.add_enabled(false, Button::new(words().stopping));
        None
    } else {
        let stop = ui.button(words().stop).on_hover_text(&name);
        let stop = stop.accessible_name(name);
        stop.clicked().then_some(Action::Stop(id))
    };
    match &job.progress {
        Some(progress) if progress.of > 0 => {
            let share = progress.done as f32 / progress.of as f32;
            let text = fill(
                words().progress,
                &[
                    &stage_words(&progress.stage),
                    &progress.done,
                    &progress.of,
                    &time_left(share, job.since.elapsed().as_secs_f32()),
                ],
            );
            let bar = ProgressBar::new(share)
                .desired_width(270.0)
                .desired_height(20.0)
                .corner_radius(4)
                .text(RichText::new(text).size(12.5));
            ui.add(bar);
        }
        Some(progress) => {
            busy_ui(ui);
            ui.label(RichText::new(stage_words(&progress.stage)).color(theme::now().quiet));
        }
        None => busy_ui(ui),
    }
    ui.label(job.kind.label());
    action
}

/// `, about 12 s left`, once that can be told.
fn time_left(share: f32, elapsed_secs: f32) -> String {
    if share > 0.02 && share < 1.0 && elapsed_secs > 3.0 {
        let left_secs = elapsed_secs / share - elapsed_secs;
        fill(words().time_left, &[&format_args!("{left_secs:.0}")])
    } else {
        String::new()
    }
}

/// Three dots, one of them bright: work goes on. Two frames a second, so that drawing leaves the cores to the work.
pub fn busy_ui(ui: &mut Ui) {
    const FRAME: std::time::Duration = std::time::Duration::from_millis(500);
    let (area, _) = ui.allocate_exact_size(egui::vec2(30.0, 14.0), egui::Sense::hover());
    let bright = (ui.input(|input| input.time) / FRAME.as_secs_f64()) as usize % 3;
    for dot in 0..3 {
        let color = if dot == bright {
            theme::now().accent
        } else {
            theme::now().quiet.gamma_multiply(0.4)
        };
        let at = area.left_center() + egui::vec2(6.0 + 9.0 * dot as f32, 0.0);
        ui.painter().circle_filled(at, 3.0, color);
    }
    ui.ctx().request_repaint_after(FRAME);
}

/// A message with a way to close it.
pub fn message_ui(ui: &mut Ui, notice: &Notice) -> Option<Action> {
    let (text, color) = match notice {
        Notice::Done(text) => (text, theme::now().text),
        Notice::Failed(text) => (text, theme::now().error),
    };
    let mut action = None;
    ui.horizontal(|ui| {
        if ui.button(words().close).clicked() {
            action = Some(Action::DismissNotice);
        }
        ui.add(Label::new(RichText::new(text).color(color)).wrap());
    });
    action
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_at_most() {
        let words = [0.2, 640.4, 1023.0, 15_360.0].map(size_words);
        assert_eq!(words, ["0 MiB", "640 MiB", "1.0 GiB", "15.0 GiB"]);
    }

    #[test]
    fn a_quarter_done_in_five_seconds_leaves_fifteen() {
        assert_eq!(time_left(0.25, 5.0), ", about 15 s left");
        assert_eq!(time_left(0.25, 1.0), "", "too early to tell");
    }
}
