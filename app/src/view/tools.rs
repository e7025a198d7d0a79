//! The line of tools for the left mouse button, and the ways to the list of measurements and to the header.

use egui::{Button, Frame, Panel, Ui};

use crate::action::Action;
use crate::keys::COMMANDS;
use crate::state::{Dialog, Measure, State, Tool};
use crate::strings::{fill, words};

/// The tools. Those that draw need a slice to draw on, some of them one of grey levels.
pub fn tools_ui(ui: &mut Ui, state: &State, frame: Frame) -> Option<Action> {
    if state.viewer.open().is_none() && state.viewer.viewports.len() < 2 {
        return None;
    }
    let mut action = None;
    Panel::top("mouse tools").frame(frame).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            for tool in Tool::ALL {
                let name = tool_words(tool);
                let hint = fill(words().tool_hint, &[&name]);
                let hint = state.keymap.hint(&hint, key_of(tool));
                let chosen = state.measurements.tool == tool;
                let usable = state.check_tool(tool);
                let mut button = ui.add_enabled(usable.is_ok(), Button::selectable(chosen, name));
                if let Err(why) = usable {
                    button = button.on_disabled_hover_text(why);
                }
                if button.on_hover_text(hint).clicked() {
                    action = Some(Action::Measure(Measure::Use(tool)));
                }
            }
            ui.separator();
            let list = Button::selectable(state.measurements.listed, words().measurements);
            let hint = state.keymap.hint(words().measurements_hint, "measurements");
            if ui.add(list).on_hover_text(hint).clicked() {
                action = Some(Action::Measure(Measure::ToggleList));
            }
            let tags = Button::selectable(state.dialog == Some(Dialog::Tags), words().tags);
            let hint = state.keymap.hint(words().tags_hint, "tags");
            if ui.add(tags).on_hover_text(hint).clicked() {
                action = Some(Action::Toggle(Dialog::Tags));
            }
        });
    });
    action
}

/// What a tool is called.
pub fn tool_words(tool: Tool) -> &'static str {
    match tool {
        Tool::Window => words().tool_window,
        Tool::Pan => words().tool_pan,
        Tool::Zoom => words().tool_zoom,
        Tool::Length => words().tool_length,
        Tool::Angle => words().tool_angle,
        Tool::Rectangle => words().tool_rectangle,
        Tool::Ellipse => words().tool_ellipse,
    }
}

/// The command whose key takes a tool up.
fn key_of(tool: Tool) -> &'static str {
    let holds = Action::Measure(Measure::Hold(tool));
    let mut commands = COMMANDS.iter();
    commands
        .find(|command| command.action == holds)
        .map_or("", |command| command.name)
}
