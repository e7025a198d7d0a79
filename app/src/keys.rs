//! The keyboard map of the slice view. Keys never fire while a text is being typed.

use egui::{Context, Key};

use crate::action::Action;
use crate::state::{Stage, State, ViewTurn};

/// Keys and what they do; modifiers must be up, but for Shift where the key needs it.
const MAP: [(Key, Action); 26] = [
    (Key::ArrowUp, Action::StepSlices(-1)),
    (Key::ArrowDown, Action::StepSlices(1)),
    (Key::Home, Action::SetSlice(0)),
    (Key::End, Action::LastSlice),
    (Key::ArrowLeft, Action::StepViewport(-1)),
    (Key::ArrowRight, Action::StepViewport(1)),
    (Key::PageUp, Action::StepSeries(-1)),
    (Key::PageDown, Action::StepSeries(1)),
    (Key::Num0, Action::Preset(0)),
    (Key::Num1, Action::Preset(1)),
    (Key::Num2, Action::Preset(2)),
    (Key::Num3, Action::Preset(3)),
    (Key::Num4, Action::Preset(4)),
    (Key::Num5, Action::Preset(5)),
    (Key::Num6, Action::Preset(6)),
    (Key::Num7, Action::Preset(7)),
    (Key::Num8, Action::Preset(8)),
    (Key::I, Action::ToggleInvert),
    (Key::H, Action::Turn(ViewTurn::FlipHorizontally)),
    (Key::V, Action::Turn(ViewTurn::FlipVertically)),
    (Key::R, Action::Turn(ViewTurn::RotateRight)),
    (Key::L, Action::Turn(ViewTurn::RotateLeft)),
    (Key::C, Action::ToggleCine),
    (Key::Space, Action::ResetView),
    (
        Key::Plus,
        Action::Zoom {
            factor: 1.25,
            about: [0.0; 2],
        },
    ),
    (
        Key::Minus,
        Action::Zoom {
            factor: 0.8,
            about: [0.0; 2],
        },
    ),
];

/// The map in words, for people.
pub const HELP: [(&str, &str); 21] = [
    ("Up, Down, wheel", "slice back, forward"),
    ("Home, End", "first, last slice"),
    ("Left, Right", "previous, next viewport"),
    ("Page up, Page down", "previous, next series"),
    ("0", "automatic window"),
    ("1, 2", "the file's own windows"),
    ("3 … 8", "brain, abdomen, mediastinum, bone, lung, MIP (CT)"),
    ("I", "exchange black and white"),
    ("H, V", "flip horizontally, vertically"),
    ("R, L", "rotate right, left"),
    ("C", "cine: slice after slice"),
    ("+, -, =", "zoom in, zoom out, fit"),
    ("Space", "reset the view"),
    ("Click", "crosshair: all viewports show this place"),
    ("Double click", "one viewport large, and back"),
    ("Left drag", "window: width to the side, center up and down"),
    ("Middle drag, Shift+drag", "pan"),
    ("Right drag, Ctrl+wheel", "zoom"),
    ("Enter", "send the question"),
    ("Shift+Enter", "new line in the question"),
    (
        "Esc",
        "stop the answer, image or cine, close the comparison",
    ),
];

/// What the keys pressed in this frame ask for. `slice_id` is the slice view, which may have the focus.
pub fn pressed(ctx: &Context, state: &State, slice_id: egui::Id) -> Vec<Action> {
    let mut actions = Vec::new();
    let focused = ctx.memory(|memory| memory.focused());
    ctx.input(|input| {
        if input.key_pressed(Key::Escape) {
            actions.push(Action::Cancel);
        }
        // A focused button or slider has its own use for Space and arrows.
        let free = focused.is_none_or(|id| id == slice_id);
        let plain = !input.modifiers.command && !input.modifiers.alt && !input.modifiers.ctrl;
        if !free || !plain || state.stage != Stage::Slice {
            return;
        }
        for (key, action) in &MAP {
            for _ in 0..input.num_presses(*key) {
                actions.push(action.clone());
            }
        }
        if input.key_pressed(Key::Equals) {
            actions.push(Action::FitView);
        }
    });
    if ctx.any_popup_open() {
        actions.clear();
    }
    actions
}
