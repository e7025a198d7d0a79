//! What the mouse asks for over a viewport.

use egui::{MouseWheelUnit, PointerButton, Pos2, Rect, Response, Ui, Vec2};
use engine::imaging::Window;

use super::probe::{pixel_at, place_of};
use crate::action::Action;
use crate::state::{Content, Finest, OpenSeries, Tool, Viewer};

/// What is asked for over the picture that lies at `place` in `area`. `window` is what a drag changes.
pub fn gestures(
    ui: &Ui,
    viewer: &Viewer,
    open: &OpenSeries,
    response: &Response,
    [area, place]: [Rect; 2],
    window: Option<(Window, Finest)>,
    tool: Tool,
) -> Option<Action> {
    if response.double_clicked() {
        return Some(Action::ToggleMaximised);
    }
    if response.clicked() {
        response.request_focus();
        let at = response.interact_pointer_pos()?;
        let Content::Volume(view) = &open.content else {
            return None;
        };
        let pixel = pixel_at(view, open.orientation, place, at)?;
        return (viewer.viewports.len() > 1).then(|| Action::SetCrosshair(place_of(view, pixel)));
    }
    let from_middle = |at: Pos2| <[f32; 2]>::from(at - area.center());
    let moved = response.drag_delta();
    let shift = ui.input(|input| input.modifiers.shift);
    let primary = response.dragged_by(PointerButton::Primary);
    if moved != Vec2::ZERO {
        if response.dragged_by(PointerButton::Middle) || (primary && (shift || tool == Tool::Pan)) {
            return Some(Action::Pan(moved.into()));
        }
        if response.dragged_by(PointerButton::Secondary) || (primary && tool == Tool::Zoom) {
            let origin = ui.input(|input| input.pointer.press_origin());
            return Some(Action::Zoom {
                factor: (-moved.y * 0.008).exp(),
                about: from_middle(origin.unwrap_or(area.center())),
            });
        }
        if let Some((window, finest)) = window
            && primary
            && tool == Tool::Window
        {
            return Some(Action::SetWindow(dragged_window(window, finest, moved)));
        }
    }
    if !response.contains_pointer() {
        return None;
    }
    let at = ui.input(|input| input.pointer.hover_pos())?;
    let points = ui.input(|input| {
        let free = !input.pointer.any_down();
        shift && free && input.pointer.delta() != Vec2::ZERO
    });
    if points
        && viewer.viewports.len() > 1
        && !ui.ctx().text_edit_focused()
        && let Content::Volume(view) = &open.content
        && let Some(pixel) = pixel_at(view, open.orientation, place, at)
    {
        return Some(Action::SetCrosshair(place_of(view, pixel)));
    }
    let zoom = ui.input(|input| input.zoom_delta());
    if zoom != 1.0 {
        return Some(Action::Zoom {
            factor: zoom,
            about: from_middle(at),
        });
    }
    let steps = wheel_steps(ui, response.id);
    (steps != 0).then_some(Action::StepSlices(steps))
}

/// Right widens, down raises the centre (darker), both in proportion to the width.
fn dragged_window(window: Window, finest: Finest, moved: Vec2) -> Window {
    let window = finest.fitting(window);
    window.moved(
        window.center + moved.y * window.width.max(4.0 * finest.width) / 400.0,
        (window.width * (moved.x / 250.0).exp()).clamp(finest.width, 200_000.0),
    )
}

/// Slices that the wheel asks for: one for each notch, or for each 40 points of a touchpad. Parts of a notch add up.
fn wheel_steps(ui: &Ui, id: egui::Id) -> isize {
    const POINTS_PER_SLICE: f32 = 40.0;
    let rest_id = id.with("wheel");
    let mut rest: f32 = ui.data(|data| data.get_temp(rest_id)).unwrap_or(0.0);
    ui.input(|input| {
        for event in &input.events {
            let egui::Event::MouseWheel {
                unit,
                delta,
                modifiers,
                ..
            } = event
            else {
                continue;
            };
            if modifiers.ctrl || modifiers.command {
                continue;
            }
            rest -= match unit {
                MouseWheelUnit::Line | MouseWheelUnit::Page => delta.y,
                MouseWheelUnit::Point => delta.y / POINTS_PER_SLICE,
            };
        }
    });
    let steps = rest.trunc();
    ui.data_mut(|data| data.insert_temp(rest_id, rest - steps));
    steps as isize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drag_narrows_a_window_of_small_real_numbers_and_keeps_its_grey_levels() {
        let finest = Finest {
            width: 1e-6,
            fractional: true,
        };
        let window = dragged_window(Window::from_range(0.0, 0.001), finest, Vec2::ZERO);
        assert!((window.width - 0.001).abs() < 1e-6 && (window.center - 0.0005).abs() < 1e-6);
        let dragged = dragged_window(window, finest, egui::vec2(-250.0, 400.0));
        assert!((dragged.width / window.width - (-1_f32).exp()).abs() < 1e-3);
        assert!((dragged.center - window.center - window.width).abs() < 1e-6);
        // Whole numbers keep a width of at least 1.
        let whole = Finest {
            width: 1.0,
            fractional: false,
        };
        let narrow = dragged_window(Window::linear(5.0, 1.5), whole, egui::vec2(-900.0, 0.0));
        assert_eq!((narrow.center, narrow.width), (5.0, 1.0));
    }
}
