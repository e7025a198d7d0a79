//! What keys and mouse do, as the user has set them.

use egui::{Grid, RichText, Ui};

use crate::keys::COMMANDS;
use crate::state::State;
use crate::strings::words;

/// The list.
pub fn keys_ui(ui: &mut Ui, state: &State) {
    let w = words();
    let mouse = [
        (w.mouse_wheel, w.mouse_wheel_does),
        (w.mouse_left, w.mouse_left_does),
        (w.mouse_middle, w.mouse_middle_does),
        (w.mouse_right, w.mouse_right_does),
        (w.mouse_click, w.mouse_click_does),
        (w.mouse_shift, w.mouse_shift_does),
        (w.mouse_double, w.mouse_double_does),
        (w.key_hold, w.key_hold_does),
        (w.key_enter, w.key_enter_does),
        (w.key_shift_enter, w.key_shift_enter_does),
    ];
    Grid::new("key list").num_columns(2).show(ui, |ui| {
        for (keys, does) in mouse {
            ui.label(RichText::new(keys).strong());
            ui.label(does);
            ui.end_row();
        }
        for command in &COMMANDS {
            let keys = state.keymap.words(command.name);
            if !keys.is_empty() {
                ui.label(RichText::new(keys).strong());
                ui.label((command.words)(w));
                ui.end_row();
            }
        }
    });
}
