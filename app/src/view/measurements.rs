//! The list of measurements below the series, and the histogram of the slice or the chosen region.

use egui::{Button, Frame, Label, Panel, Rect, RichText, ScrollArea, Sense, Stroke, Ui};
use engine::imaging::measure::Histogram;
use engine::imaging::{Axes, Window};

use super::numbers::{kind_words, measurement_words};
use crate::action::Action;
use crate::state::{
    Content, HistogramOf, Measure, Measurement, OpenSeries, State, decimals, plane_words,
    window_words,
};
use crate::strings::{fill, words};
use crate::theme;

/// Height of the bars, in points.
const BARS: f32 = 56.0;

/// A panel lower than this, in points, has no room for explanations.
const LOW: f32 = 480.0;

/// The list, if it is shown and there is something to measure on.
pub fn measurements_ui(ui: &mut Ui, state: &State) -> Option<Action> {
    let open = state.viewer.open()?;
    if !state.measurements.listed {
        return None;
    }
    let series = open.series.id.as_str();
    let view = state.viewer.viewport().volume();
    let measurable = view.is_none_or(|view| view.slab.is_none());
    let mut wish = None;
    let most = (ui.available_height() * 0.5).max(120.0);
    // On a low window the list and its buttons come before explanations and the histogram.
    let low = ui.available_height() < LOW;
    Panel::bottom("measurements")
        .frame(Frame::new())
        .resizable(false)
        .max_size(most)
        .show(ui, |ui| {
            ui.add_space(6.0);
            ui.label(RichText::new(words().measurements).strong());
            let book = state.measurements.books.get(series);
            let items = book.map_or(&[][..], |book| &book.items);
            if (items.is_empty() && !low) || !measurable {
                let hint = match view {
                    None => words().no_measurements_frames,
                    Some(_) if measurable => words().no_measurements,
                    Some(_) => words().measure_off,
                };
                let hint = RichText::new(hint).color(theme::now().quiet);
                ui.add(Label::new(hint.size(12.5)).wrap());
            }
            let selected = state.measurements.selected_in(series);
            ScrollArea::vertical()
                .id_salt("measurements")
                .max_height((most - if low { 110.0 } else { 200.0 }).max(60.0))
                .show(ui, |ui| {
                    for item in items {
                        let chosen = selected == Some(item.number);
                        wish = item_ui(ui, item, chosen, open).or(wish.take());
                    }
                });
            let can_undo = book.is_some_and(|book| book.can_undo());
            let can_redo = book.is_some_and(|book| book.can_redo());
            wish = edit_ui(ui, state, can_undo, can_redo, !items.is_empty()).or(wish.take());
            if let Some((of, Some(histogram))) =
                state.measurements.histogram.as_ref().filter(|_| !low)
                && let Some(view) = view
            {
                histogram_ui(ui, of, histogram, items, view.window);
            }
        });
    wish.map(Action::Measure)
}

fn item_ui(ui: &mut Ui, item: &Measurement, chosen: bool, open: &OpenSeries) -> Option<Measure> {
    let name = measurement_words(item, open.measured());
    let plane = match item.at.axes {
        Axes::Acquired => plane_words(item.at.plane).to_owned(),
        Axes::Patient => format!(
            "{}{}",
            plane_words(item.at.plane),
            words().patient_axes_suffix
        ),
    };
    let number = item.at.index + 1;
    let place = match &open.content {
        Content::Volume(_) => fill(words().slice_place, &[&plane, &number]),
        Content::Frames(frames) => fill(words().frame_of, &[&number, &frames.count()]),
    };
    let mut wish = None;
    ui.horizontal(|ui| {
        let delete = format!("{} {}", kind_words(&item.shape), item.number);
        let delete = fill(words().delete_measurement, &[&delete]);
        let cross = ui.small_button("×").on_hover_text(&delete);
        if cross.accessible_name(delete).clicked() {
            wish = Some(Measure::Delete(item.number));
        }
        let text = RichText::new(&name).size(12.5);
        let row = Button::selectable(chosen, text).wrap();
        let row = ui.add(row).on_hover_text(&place);
        if row.accessible_name(name).clicked() {
            wish = Some(Measure::Show(item.number));
        }
    });
    wish
}

fn edit_ui(
    ui: &mut Ui,
    state: &State,
    can_undo: bool,
    can_redo: bool,
    any: bool,
) -> Option<Measure> {
    let mut wish = None;
    ui.horizontal_wrapped(|ui| {
        for (name, key, ready, why, does) in [
            (
                words().undo,
                "undo",
                can_undo,
                words().nothing_to_undo,
                Measure::Undo,
            ),
            (
                words().redo,
                "redo",
                can_redo,
                words().nothing_to_redo,
                Measure::Redo,
            ),
            (
                words().delete_all,
                "",
                any,
                words().no_measurements,
                Measure::DeleteAll,
            ),
        ] {
            let button = ui.add_enabled(ready, Button::new(name).small());
            let button = button.on_hover_text(state.keymap.hint(name, key));
            if button.on_disabled_hover_text(why).clicked() {
                wish = Some(does);
            }
        }
    });
    wish
}

/// The ends of a histogram, in as many digits as their distance is worth.
fn ends_words(histogram: &Histogram) -> [String; 2] {
    let ends = [histogram.low, histogram.high];
    let whole = ends.iter().all(|end| end.fract() == 0.0);
    let range = (histogram.high - histogram.low) as f32;
    let digits = if whole { 0 } else { decimals(range) };
    ends.map(|end| format!("{end:.digits$}"))
}

/// Where the window's lower and upper edge are in a histogram, as shares of its width; nothing for one beside it.
fn edges(histogram: &Histogram, window: Window) -> [Option<f32>; 2] {
    let range = histogram.high - histogram.low;
    window.edges().map(|edge| {
        let share = (f64::from(edge) - histogram.low) / range;
        (0.0..=1.0).contains(&share).then_some(share as f32)
    })
}

/// The bars, and lines where the window begins and ends.
fn histogram_ui(
    ui: &mut Ui,
    of: &HistogramOf,
    histogram: &Histogram,
    items: &[Measurement],
    window: Window,
) {
    let total: u64 = histogram.counts.iter().map(|count| u64::from(*count)).sum();
    let ends = ends_words(histogram);
    let [low, high] = &ends;
    let region = of.region.as_ref();
    let item = region.and_then(|(number, _)| items.iter().find(|item| item.number == *number));
    let name = match item {
        Some(item) => {
            let name = format!("{} {}", kind_words(&item.shape), item.number);
            fill(words().histogram_region, &[&name, &total, low, high])
        }
        None => fill(words().histogram_slice, &[&total, low, high]),
    };
    let size = egui::vec2(ui.available_width(), BARS);
    let (area, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Figure, true, &name));
    let painter = ui.painter_at(area);
    painter.rect_filled(area, 2.0, theme::now().field);
    let most = histogram.counts.iter().copied().max().unwrap_or(0).max(1);
    let width = area.width() / histogram.counts.len().max(1) as f32;
    for (number, count) in histogram.counts.iter().enumerate() {
        // By the logarithm, so that the air around the patient does not flatten the rest.
        let share = (1.0 + *count as f32).ln() / (1.0 + most as f32).ln();
        let left = area.left() + number as f32 * width;
        let bar = Rect::from_min_max(
            egui::pos2(left, area.bottom() - share * (BARS - 4.0)),
            egui::pos2(left + (width - 0.5).max(0.5), area.bottom()),
        );
        painter.rect_filled(bar, 0.0, theme::now().accent);
    }
    for share in edges(histogram, window).into_iter().flatten() {
        let at = area.left() + share * area.width();
        let stroke = Stroke::new(1.5, theme::now().warning);
        painter.vline(at, area.y_range(), stroke);
    }
    response.on_hover_text(fill(words().histogram_window, &[&window_words(window)]));
    ui.add(Label::new(RichText::new(name).color(theme::now().quiet).size(12.0)).wrap());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_edges_are_marked_where_the_histogram_reaches_them() {
        let histogram = |low, high| Histogram {
            low,
            high,
            counts: vec![1, 2],
        };
        let window = Window::from_range(0.0, 100.0);
        assert_eq!(
            edges(&histogram(-100.0, 300.0), window),
            [Some(0.25), Some(0.5)]
        );
        assert_eq!(edges(&histogram(50.0, 150.0), window), [None, Some(0.5)]);
        assert_eq!(edges(&histogram(500.0, 600.0), window), [None; 2]);
        // All samples are one.
        assert_eq!(edges(&histogram(7.0, 7.0), window), [None; 2]);
    }

    #[test]
    fn the_ends_of_a_small_range_are_told_apart() {
        let ends = |low, high| {
            ends_words(&Histogram {
                low,
                high,
                counts: Vec::new(),
            })
        };
        assert_eq!(ends(-1000.0, 3071.0), ["-1000", "3071"]);
        assert_eq!(ends(0.000_1, 0.000_9), ["0.000100", "0.000900"]);
        assert_eq!(ends(-1.5, 1999.25), ["-2", "1999"]);
    }
}
