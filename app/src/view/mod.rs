//! The window: panels around the image. A view is a function of the state; it changes only what is being typed, and
//! returns what the user asked for.

mod bars;
mod chat;
mod compare;
mod dialog;
mod gestures;
mod keys_help;
mod library;
mod measure;
mod measurements;
mod numbers;
mod overlay;
mod pair;
pub mod probe;
mod recovery;
mod settings;
mod slice;
mod stage;
mod tags;
mod tasks;
mod toolbar;
mod tools;
mod training;

use egui::{CentralPanel, Frame, Margin, Panel, Ui};

use crate::action::Action;
use crate::keys;
use crate::pictures::Pictures;
use crate::state::{Measure, Stage, State, Viewer};
use crate::strings::words;
use crate::theme;

pub use overlay::edge_directions;
pub use slice::viewport_id;
pub(crate) use slice::viewport_ui;
pub use stage::stage_ui;

/// The whole window.
pub fn window_ui(ui: &mut Ui, state: &mut State, pictures: &Pictures) -> Vec<Action> {
    slice::focus_goes_along(ui, &state.viewer);
    let viewports: Vec<egui::Id> = (0..Viewer::MOST).map(viewport_id).collect();
    let mut actions = keys::pressed(ui.ctx(), state, &viewports);
    let width = ui.available_width();
    let narrow = width < 1400.0;
    let panels = state.settings.panels;
    // No fill: the window is cleared to the panels' colour, and a pixel drawn twice costs twice where the CPU draws.
    let bar = Frame::new().inner_margin(Margin::symmetric(10, 5));
    let side = bar.inner_margin(Margin::same(10));
    Panel::top("model").frame(bar).show(ui, |ui| {
        actions.extend(bars::model_line_ui(ui, &state.model));
    });
    bars::model_warning_ui(ui, &state.model);
    if let Some(left) = &state.left {
        actions.extend(recovery::recovery_ui(ui, left));
    }
    Panel::bottom("notice")
        .frame(bar.fill(theme::now().warning_dim))
        .show(ui, bars::research_notice_ui);
    Panel::bottom("status").frame(bar).show(ui, |ui| {
        actions.extend(bars::status_ui(
            ui,
            &state.device,
            &state.jobs,
            state.memory_use(),
        ));
    });
    if let Some(notice) = &state.notice {
        Panel::bottom("message").frame(bar).show(ui, |ui| {
            actions.extend(bars::message_ui(ui, notice));
        });
    }
    let left = Panel::left(("library", state.layouts))
        .frame(side)
        .default_size(panels.library.unwrap_or(if narrow { 262.0 } else { 290.0 }))
        .size_range(180.0..=(0.24 * width).max(180.0))
        .show(ui, |ui| {
            actions.extend(measurements::measurements_ui(ui, state));
            actions.extend(library::library_ui(ui, state, pictures));
        });
    let right = Panel::right(("assistant", state.layouts))
        .frame(side)
        .default_size(
            panels
                .assistant
                .unwrap_or(if narrow { 370.0 } else { 430.0 }),
        )
        .size_range(280.0..=(0.40 * width - 60.0).max(280.0))
        .show(ui, |ui| {
            actions.extend(tasks::tasks_ui(ui, state));
            ui.separator();
            actions.extend(chat::chat_ui(ui, state));
        });
    let widths = [left, right].map(|panel| panel.response.rect.width());
    ui.data_mut(|data| data.insert_temp(widths_id(), widths));
    CentralPanel::no_frame().show(ui, |ui| {
        actions.extend(compare::strip_ui(ui, state, pictures, bar));
        match state.stage {
            Stage::Compare(index) => {
                actions.extend(compare::compare_ui(ui, &state.results, index, pictures));
            }
            Stage::Slice => {
                actions.extend(tools::tools_ui(ui, state, bar));
                actions.extend(stage_ui(
                    ui,
                    &state.viewer,
                    (&state.measurements, &state.keymap),
                    pictures,
                    bar,
                ));
                // While some are hidden, all have the room that they get back.
                let count = state.viewer.viewports.len();
                if state.viewer.shown().len() == count {
                    state.viewer.areas = areas(ui, count);
                }
            }
        }
    });
    let released = ui.input(|input| !input.pointer.primary_down());
    let measuring = |action: &Action| matches!(action, Action::Measure(_));
    if released && state.measurements.left_behind() && !actions.iter().any(measuring) {
        actions.push(Action::Measure(Measure::Abandon));
    }
    actions.extend(dialog::dialog_ui(ui.ctx(), state, pictures));
    drop_target_ui(ui);
    actions.extend(dropped(ui));
    actions
}

/// The size of each viewport's picture area in this frame, in points; nothing where none was drawn.
fn areas(ui: &Ui, count: usize) -> Vec<Option<[f32; 2]>> {
    let area = |number| ui.data(|data| data.get_temp(slice::area_id(number)));
    (0..count).map(area).collect()
}

fn widths_id() -> egui::Id {
    egui::Id::unique("panel widths")
}

/// How wide the left and the right panel are, in points, once they were drawn.
pub fn panel_widths(ctx: &egui::Context) -> Option<[f32; 2]> {
    ctx.data(|data| data.get_temp(widths_id()))
}

/// Files and folders that were dropped on the window.
fn dropped(ui: &Ui) -> Option<Action> {
    let paths: Vec<_> = ui.input(|input| {
        let files = input.raw.dropped_files.iter();
        files.map(|file| file.path().to_owned()).collect()
    });
    (!paths.is_empty()).then_some(Action::OpenPaths(paths))
}

/// Says what happens to files that hover over the window.
fn drop_target_ui(ui: &Ui) {
    if ui.input(|input| input.raw.hovered_files.is_empty()) {
        return;
    }
    let painter = ui.ctx().layer_painter(egui::LayerId::new(
        egui::Order::Foreground,
        egui::Id::unique("drop target"),
    ));
    let area = ui.ctx().content_rect();
    painter.rect_filled(area, 0.0, egui::Color32::from_black_alpha(200));
    painter.text(
        area.center(),
        egui::Align2::CENTER_CENTER,
        words().drop_here,
        egui::FontId::proportional(26.0),
        theme::now().text,
    );
}
