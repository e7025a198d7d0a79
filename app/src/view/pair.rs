//! Two series compared: the line with the ways to compare them, and what is drawn over the picture made of both.

use egui::{
    Align2, Button, Color32, CursorIcon, Frame, Panel, PointerButton, Pos2, Rect, Response,
};
use egui::{Slider, Stroke, Ui};

use super::overlay::{Words, lined, title, who};
use crate::action::Action;
use crate::paint::compare::{Mix, difference_colour};
use crate::state::{CompareMode, Link, Viewer};
use crate::strings::{fill, words};
use crate::theme;

/// A picture stays so long while two are shown in turn.
const FLICKER_SECS: f64 = 0.5;

/// The curtain is taken this far from it, in points.
const CURTAIN_REACH: f32 = 8.0;

/// The ways to compare.
const MODES: [CompareMode; 5] = [
    CompareMode::SideBySide,
    CompareMode::Swipe(0.5),
    CompareMode::Flicker,
    CompareMode::Blend(0.5),
    CompareMode::Difference,
];

fn mode_words(mode: CompareMode) -> &'static str {
    match mode {
        CompareMode::SideBySide => words().side_by_side,
        CompareMode::Swipe(_) => words().swipe,
        CompareMode::Flicker => words().flicker,
        CompareMode::Blend(_) => words().blend,
        CompareMode::Difference => words().difference,
    }
}

/// Do both compare the same way, wherever the curtain is?
pub fn same_way(a: CompareMode, b: CompareMode) -> bool {
    std::mem::discriminant(&a) == std::mem::discriminant(&b)
}

/// The buttons that choose a way to compare. `off` is why the two cannot be drawn as one picture.
pub fn modes_ui(ui: &mut Ui, chosen: CompareMode, off: Option<&str>) -> Option<CompareMode> {
    let mut wanted = None;
    for mode in MODES {
        let button = Button::selectable(same_way(mode, chosen), mode_words(mode));
        let allowed = off.is_none() || mode == CompareMode::SideBySide;
        let mut response = ui.add_enabled(allowed, button);
        if let Some(why) = off {
            response = response.on_disabled_hover_text(why);
        }
        if response.clicked() {
            wanted = Some(mode);
        }
    }
    wanted
}

/// The line above two series: how they are compared, and what carries over.
pub fn pair_ui(ui: &mut Ui, viewer: &Viewer, frame: Frame) -> Vec<Action> {
    let mut actions = Vec::new();
    if viewer.pair().is_none() {
        return actions;
    }
    Panel::top("pair").frame(frame).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            let mode = viewer.mode();
            let off = viewer.check_overlay().err();
            actions.extend(modes_ui(ui, mode, off).map(Action::CompareSeries));
            let (mut share, name) = match mode {
                CompareMode::Swipe(share) => (share, words().curtain),
                CompareMode::Blend(share) => (share, words().opacity),
                _ => (0.0, ""),
            };
            if !name.is_empty() {
                ui.spacing_mut().slider_width = 100.0;
                let slider = Slider::new(&mut share, 0.0..=1.0).show_value(false);
                let slider = ui.add(slider).on_hover_text(name).accessible_name(name);
                if slider.changed() {
                    actions.push(Action::CompareSeries(match mode {
                        CompareMode::Blend(_) => CompareMode::Blend(share),
                        _ => CompareMode::Swipe(share),
                    }));
                }
            }
            if viewer.overlaid() {
                ui.separator();
                ui.label(words().window_of);
                for (number, name) in [words().first, words().second].into_iter().enumerate() {
                    let button = Button::selectable(viewer.active == number, name);
                    let button = ui.add(button).on_hover_text(words().window_of_hint);
                    if button
                        .accessible_name(fill(words().window_of_the, &[&name]))
                        .clicked()
                    {
                        actions.push(Action::Activate(number));
                    }
                }
            }
            ui.separator();
            ui.label(words().linked);
            for link in Link::ALL {
                let (short, name) = match link {
                    Link::Scroll => (words().link_scroll, words().link_scroll_name),
                    Link::Zoom => (words().link_zoom, words().link_zoom_name),
                    Link::Window => (words().link_window, words().link_window_name),
                };
                let button = Button::selectable(viewer.links.get(link), short);
                let button = ui.add(button).accessible_name(name);
                if button.clicked() {
                    actions.push(Action::ToggleLink(link));
                }
            }
        });
    });
    actions
}

/// What the shader makes of the two pictures now.
pub fn mix(ui: &Ui, mode: CompareMode) -> Mix {
    match mode {
        CompareMode::SideBySide => Mix::One,
        CompareMode::Swipe(share) => Mix::Swipe(share),
        CompareMode::Blend(share) => Mix::Blend(share),
        CompareMode::Difference => Mix::Difference,
        CompareMode::Flicker if second_turn(ui) => Mix::Blend(1.0),
        CompareMode::Flicker => Mix::One,
    }
}

/// Is it the second picture's turn? Asks for the frame in which that changes.
pub fn second_turn(ui: &Ui) -> bool {
    let turns = ui.input(|input| input.time) / FLICKER_SECS;
    let rest = (1.0 - turns.fract()) * FLICKER_SECS;
    ui.ctx()
        .request_repaint_after(std::time::Duration::from_secs_f64(rest));
    turns as u64 % 2 == 1
}

/// `swiped with T1`.
pub fn pair_words(viewer: &Viewer) -> String {
    let second = names(viewer)[1].to_owned();
    match viewer.mode() {
        CompareMode::SideBySide => String::new(),
        CompareMode::Swipe(share) => fill(words().swiped_with, &[&second, &percent(share)]),
        CompareMode::Flicker => fill(words().in_turn_with, &[&second]),
        CompareMode::Blend(share) => fill(words().blended_with, &[&percent(share), &second]),
        CompareMode::Difference => fill(words().less, &[&second]),
    }
}

fn percent(share: f32) -> String {
    format!("{:.0}", share * 100.0)
}

fn names(viewer: &Viewer) -> [&str; 2] {
    [0, 1].map(|number| {
        let viewport = viewer.viewports.get(number);
        let series = viewport.and_then(|viewport| viewport.series());
        series.map_or("", |series| series.description.as_str())
    })
}

/// Curtain and names over the picture made of two. The result is where the right column goes on below.
pub fn pair_overlay_ui(ui: &Ui, words: &Words<'_>, viewer: &Viewer) -> f32 {
    let area = words.painter.clip_rect();
    let series = |number: usize| viewer.viewports.get(number)?.series();
    let [first, second] = [0, 1].map(|number| series(number).map(title).unwrap_or_default());
    let [whose, other] = [0, 1].map(|number| series(number).map(who).unwrap_or_default());
    let both = if whose == other { "" } else { other.as_str() };
    let corners = viewer.corners_visible;
    let left = |lines: &[&str]| {
        let text = if corners { lined(lines) } else { String::new() };
        words.put_top(Align2::LEFT_TOP, &text)
    };
    let mode = viewer.mode();
    match mode {
        CompareMode::Swipe(share) => {
            let curtain = area.left() + area.width() * share;
            let stroke = Stroke::new(2.0, theme::ACCENT);
            words.painter.vline(curtain, area.y_range(), stroke);
            left(&[&whose, &first]);
            if corners {
                let right = words.put_top(Align2::RIGHT_TOP, &lined(&[&other, &second]));
                return right.bottom() + 4.0;
            }
        }
        CompareMode::Flicker => {
            if second_turn(ui) {
                left(&[&other, &second]);
            } else {
                left(&[&whose, &first]);
            }
        }
        CompareMode::Blend(share) => {
            let text = fill(
                crate::strings::words().blend_corner,
                &[&second, &percent(share), &first],
            );
            left(&[&whose, both, &text]);
        }
        CompareMode::Difference => {
            let text = fill(
                crate::strings::words().difference_corner,
                &[&first, &second],
            );
            let below = left(&[&whose, both, &text]);
            let at = below.left_bottom() + egui::vec2(0.0, 6.0);
            difference_bar_ui(words.painter, at);
        }
        CompareMode::SideBySide => {}
    }
    words.inner.top()
}

/// The curtain taken by the mouse: where it is wanted, as long as it is held. By keyboard the slider does the same.
pub fn curtain_ui(ui: &Ui, viewer: &Viewer, area: Rect, response: &Response) -> Option<Action> {
    let CompareMode::Swipe(share) = viewer.mode() else {
        return None;
    };
    let curtain = area.left() + area.width() * share;
    let near = |at: Pos2| (at.x - curtain).abs() <= CURTAIN_REACH;
    let id = response.id.with("curtain");
    let (origin, shift) = ui.input(|input| (input.pointer.press_origin(), input.modifiers.shift));
    let begun = response.drag_started_by(PointerButton::Primary);
    let held = response.dragged_by(PointerButton::Primary)
        && if begun {
            origin.is_some_and(near) && !shift
        } else {
            ui.data(|data| data.get_temp(id)).unwrap_or(false)
        };
    ui.data_mut(|data| data.insert_temp(id, held));
    if held || response.hover_pos().is_some_and(near) {
        ui.set_cursor_icon(CursorIcon::ResizeHorizontal);
    }
    let at = response.interact_pointer_pos().filter(|_| held)?;
    let share = (at.x - area.left()) / area.width().max(1.0);
    let moved = CompareMode::Swipe(share.clamp(0.0, 1.0));
    Some(Action::CompareSeries(moved))
}

/// The colours of a difference from -255 to 255 grey levels.
pub fn difference_bar_ui(painter: &egui::Painter, at: Pos2) {
    let bar = Rect::from_min_size(at, egui::vec2(160.0, 10.0));
    let steps: u8 = 80;
    for step in 0..steps {
        let share = |step: u8| bar.left() + bar.width() * f32::from(step) / f32::from(steps);
        let level = (f32::from(step) / f32::from(steps - 1) * 510.0 - 255.0) as i32;
        let [r, g, b] = difference_colour(level.max(0) as u8, (-level).max(0) as u8);
        let part = Rect::from_x_y_ranges(share(step)..=share(step + 1) + 0.5, bar.y_range());
        painter.rect_filled(part, 0.0, Color32::from_rgb(r, g, b));
    }
    let font = egui::FontId::proportional(11.5);
    for (x, align, text) in [
        (bar.left(), Align2::LEFT_TOP, "−255"),
        (bar.center().x, Align2::CENTER_TOP, "0"),
        (bar.right(), Align2::RIGHT_TOP, words().difference_most),
    ] {
        let at = egui::pos2(x, bar.bottom() + 2.0);
        painter.text(at, align, text, font.clone(), theme::TEXT);
    }
}
