//! The middle of the window: the tools, and one to four viewports.

use egui::{Color32, Frame, Rect, Ui};

use super::pair::pair_ui;
use super::slice::viewport_ui;
use super::toolbar::toolbar_ui;
use crate::action::Action;
use crate::keys::Keymap;
use crate::pictures::Pictures;
use crate::state::{Measurements, Viewer};

/// Between two viewports, in points.
const GAP: f32 = 2.0;

/// The middle of the window while no result is compared.
pub fn stage_ui(
    ui: &mut Ui,
    viewer: &Viewer,
    (measurements, keys): (&Measurements, &Keymap),
    pictures: &Pictures,
    bar: Frame,
) -> Vec<Action> {
    let mut actions = Vec::new();
    if viewer.open().is_some() || viewer.viewports.len() > 1 {
        actions.extend(toolbar_ui(ui, viewer, keys, bar));
    }
    actions.extend(pair_ui(ui, viewer, bar));
    let full = ui.available_rect_before_wrap();
    ui.advance_cursor_after_rect(full);
    let shown = viewer.shown();
    if shown.len() > 1 {
        ui.painter().rect_filled(full, 0.0, Color32::from_gray(40));
    }
    for (number, area) in shown.iter().zip(places(full, shown.len())) {
        actions.extend(viewport_ui(
            ui,
            viewer,
            measurements,
            *number,
            area,
            pictures,
        ));
    }
    actions
}

/// Where so many viewports lie: beside each other, one large and two small, or two by two.
fn places(full: Rect, count: usize) -> Vec<Rect> {
    let halves = |area: Rect, share: f32| {
        let (left, right) = area.split_left_right_at_fraction(share);
        [
            left.with_max_x(left.right() - GAP / 2.0),
            right.with_min_x(right.left() + GAP / 2.0),
        ]
    };
    let stacked = |area: Rect| {
        let (upper, lower) = area.split_top_bottom_at_fraction(0.5);
        [
            upper.with_max_y(upper.bottom() - GAP / 2.0),
            lower.with_min_y(lower.top() + GAP / 2.0),
        ]
    };
    match count {
        0 | 1 => vec![full],
        2 => halves(full, 0.5).to_vec(),
        3 => {
            let [left, right] = halves(full, 0.6);
            let [upper, lower] = stacked(right);
            vec![left, upper, lower]
        }
        _ => stacked(full)
            .into_iter()
            .flat_map(|row| halves(row, 0.5))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewports_fill_the_stage_and_do_not_overlap() {
        let full = Rect::from_min_size(egui::pos2(10.0, 20.0), egui::vec2(800.0, 600.0));
        for count in 1..=4 {
            let places = places(full, count);
            assert_eq!(places.len(), count);
            let sum: f32 = places.iter().map(|place| place.area()).sum();
            assert!(sum > 0.98 * full.area(), "{count}: {places:?}");
            for (i, a) in places.iter().enumerate() {
                assert!(full.contains_rect(*a));
                for b in places.iter().skip(i + 1) {
                    assert!(!a.intersects(*b), "{a:?} {b:?}");
                }
            }
        }
    }
}
