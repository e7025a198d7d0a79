//! Shapes on the slice: drawn with their numbers, begun, moved and chosen by the mouse.

use egui::{Align2, Color32, CursorIcon, FontId, Painter, PointerButton, Pos2, Rect, Response};
use egui::{Stroke, Ui, Vec2};
use engine::imaging::Volume;
use engine::imaging::measure::{Point, Shape};

use super::numbers::{kind_words, label_words};
use crate::action::Action;
use crate::state::{
    Content, Measure, Measurement, Measurements, OpenSeries, Orientation, SliceRef,
};
use crate::theme;

/// A handle is taken this far from its middle, in points.
const HANDLE_REACH: f32 = 9.0;

/// A line is taken this far from it.
const LINE_REACH: f32 = 6.0;

/// Where a slice lies on screen.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// The picture, in points.
    pub place: Rect,
    /// Columns and rows of the slice.
    pub size: [usize; 2],
    /// How it is turned.
    pub orientation: Orientation,
}

impl Mapping {
    /// A place on screen as column and row, held to the slice.
    fn to_slice(self, at: Pos2) -> Point {
        let share = (at - self.place.min) / self.place.size();
        let picture = self.orientation.to_picture(share.into());
        let [columns, rows] = self.size;
        let along = |share: f32, len: usize| {
            let len = len as f64;
            (f64::from(share) * len).clamp(0.0, len)
        };
        [along(picture[0], columns), along(picture[1], rows)]
    }

    /// A column and row as a place on screen.
    fn to_screen(self, [x, y]: Point) -> Pos2 {
        let share = |at: f64, len: usize| (at / len.max(1) as f64) as f32;
        let [columns, rows] = self.size;
        let shares = self
            .orientation
            .to_screen([share(x, columns), share(y, rows)]);
        self.place.lerp_inside(Vec2::from(shares))
    }
}

/// Draws what is measured on the slice of `open`, and says what the mouse does with it. While it says something, the
/// slice's own gestures wait.
pub fn canvas_ui(
    ui: &Ui,
    measurements: &Measurements,
    open: &OpenSeries,
    response: &Response,
    [area, place]: [Rect; 2],
) -> Option<Action> {
    let slice = SliceRef::of(open)?;
    let volume = open.measured();
    let size = match &open.content {
        Content::Volume(view) => {
            let [columns, rows, _] = view.grid().size;
            [columns, rows]
        }
        Content::Frames(frames) => {
            let picture = frames.picture();
            [picture.width(), picture.height()].map(|length| length as usize)
        }
    };
    let mapping = Mapping {
        place,
        size,
        orientation: open.orientation,
    };
    let in_colour = matches!(open.content, Content::Frames(_));
    let draws = measurements.tool.draws() && !(in_colour && measurements.tool.needs_samples());
    let painter = ui.painter_at(area);
    let selected = measurements.selected_in(&slice.series);
    for item in measurements.on(&slice) {
        let chosen = selected == Some(item.number);
        shape_ui(&painter, mapping, item, chosen, volume);
    }
    gesture(ui, (measurements, draws), &slice, mapping, response).map(Action::Measure)
}

fn shape_ui(
    painter: &Painter,
    mapping: Mapping,
    item: &Measurement,
    chosen: bool,
    volume: &Volume,
) {
    let color = if chosen {
        theme::WARNING
    } else {
        theme::ACCENT
    };
    let line: Vec<Pos2> = outline(mapping, &item.shape);
    // A dark line under the bright one: to be seen on any grey.
    let under = Stroke::new(4.0, Color32::from_black_alpha(150));
    painter.line(line.clone(), under);
    painter.line(line, Stroke::new(1.5, color));
    for handle in item.shape.handles() {
        let at = mapping.to_screen(handle);
        let radius = if chosen { 4.5 } else { 3.0 };
        painter.circle(at, radius, Color32::BLACK, Stroke::new(1.5, color));
    }
    let text = format!(
        "{} {}  {}",
        kind_words(&item.shape),
        item.number,
        label_words(&item.reading, volume)
    );
    // Beside the handle furthest to the lower right.
    let handles = item.shape.handles().into_iter();
    let handles = handles.map(|handle| mapping.to_screen(handle));
    let last = handles.reduce(|a, b| if b.x + b.y > a.x + a.y { b } else { a });
    let at = last.unwrap_or(mapping.place.center()) + egui::vec2(8.0, 4.0);
    let galley = painter.layout_no_wrap(text, FontId::proportional(13.0), color);
    // Never off the image.
    let room = painter.clip_rect().shrink(4.0);
    let mut ground = Align2::LEFT_TOP.anchor_size(at, galley.size());
    ground = ground.translate(Vec2::new(
        (room.right() - ground.right()).min(0.0),
        (room.bottom() - ground.bottom()).min(0.0),
    ));
    let dark = Color32::from_black_alpha(theme::IMAGE_TEXT_GROUND);
    painter.rect_filled(ground.expand2(egui::vec2(4.0, 1.0)), 3.0, dark);
    painter.galley(ground.min, galley, color);
}

fn outline(mapping: Mapping, shape: &Shape) -> Vec<Pos2> {
    let outline = shape.outline().into_iter();
    outline.map(|point| mapping.to_screen(point)).collect()
}

/// What lies under the pointer: a measurement, and its handle if it is one.
fn under(
    all: &Measurements,
    slice: &SliceRef,
    mapping: Mapping,
    at: Pos2,
) -> Option<(u32, Option<usize>)> {
    // The one drawn last lies on top.
    let items: Vec<&Measurement> = all.on(slice).collect();
    let handle = items.iter().rev().find_map(|item| {
        let handles = item.shape.handles().into_iter();
        let mut handles = handles.map(|handle| mapping.to_screen(handle));
        let hit = handles.position(|handle| handle.distance(at) <= HANDLE_REACH)?;
        Some((item.number, Some(hit)))
    });
    handle.or_else(|| {
        let hit = |item: &&&Measurement| {
            let line = outline(mapping, &item.shape);
            line.windows(2)
                .any(|pair| distance(pair[0], pair[1], at) <= LINE_REACH)
        };
        let item = items.iter().rev().find(hit)?;
        Some((item.number, None))
    })
}

/// How far a point is from the line between two others.
fn distance(from: Pos2, to: Pos2, at: Pos2) -> f32 {
    let along = to - from;
    let share = (at - from).dot(along) / along.length_sq().max(1e-6);
    (from + along * share.clamp(0.0, 1.0)).distance(at)
}

/// What the mouse does; `draws` says whether the tool in hand draws here.
fn gesture(
    ui: &Ui,
    (all, draws): (&Measurements, bool),
    slice: &SliceRef,
    mapping: Mapping,
    response: &Response,
) -> Option<Measure> {
    let pointer = response.interact_pointer_pos().or(response.hover_pos());
    if let Some(gesture) = &all.gesture {
        let mine = gesture.series == slice.series && gesture.item.at == slice.at;
        if !mine {
            return None; // it is another viewport's, or waits for its slice to come back
        }
        let at = mapping.to_slice(pointer?);
        let ended = response.drag_stopped_by(PointerButton::Primary);
        if all.waits_for_third_point() && (response.clicked() || ended) {
            return Some(Measure::End(at));
        }
        if ended {
            return Some(Measure::End(at));
        }
        let dragged = response.dragged_by(PointerButton::Primary);
        if dragged || all.waits_for_third_point() {
            let moved = ui.input(|input| input.pointer.delta()) != Vec2::ZERO;
            return moved.then_some(Measure::Drag(at));
        }
        return Some(Measure::Abandon);
    }
    let at = pointer?;
    let hit = under(all, slice, mapping, at);
    if hit.is_some() || draws {
        let icon = match hit {
            Some((_, Some(_))) => CursorIcon::Grab,
            Some((_, None)) => CursorIcon::Move,
            None => CursorIcon::Crosshair,
        };
        ui.set_cursor_icon(icon);
    }
    if response.drag_started_by(PointerButton::Primary) {
        let origin = ui.input(|input| input.pointer.press_origin()).unwrap_or(at);
        let start = mapping.to_slice(origin);
        if let Some((number, handle)) = under(all, slice, mapping, origin) {
            return Some(Measure::Grab {
                on: slice.clone(),
                number,
                handle,
                at: start,
            });
        }
        if draws && !ui.input(|input| input.modifiers.shift) {
            return Some(Measure::Begin(slice.clone(), start));
        }
        return all.held.is_some().then_some(Measure::Used);
    }
    if response.clicked() {
        let number = hit.map(|(number, _)| number);
        if all.selected_in(&slice.series) != number {
            response.request_focus();
            return Some(Measure::Select(number));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ViewTurn;

    #[test]
    fn a_point_of_the_slice_is_found_again_on_a_turned_screen() {
        let orientation = Orientation::default().turned(ViewTurn::RotateRight);
        let mapping = Mapping {
            place: Rect::from_min_size(Pos2::new(100.0, 50.0), egui::vec2(300.0, 400.0)),
            size: [40, 30],
            orientation,
        };
        let screen = mapping.to_screen([10.0, 3.0]);
        let [x, y] = mapping.to_slice(screen);
        assert!(
            (x - 10.0).abs() < 1e-3 && (y - 3.0).abs() < 1e-3,
            "{x}, {y}"
        );
        assert_eq!(
            mapping.to_slice(Pos2::new(-900.0, 0.0))[1],
            30.0,
            "held to the slice"
        );
    }

    #[test]
    fn the_distance_to_a_line_ends_at_its_ends() {
        let (from, to) = (Pos2::new(0.0, 0.0), Pos2::new(10.0, 0.0));
        assert_eq!(distance(from, to, Pos2::new(5.0, 3.0)), 3.0);
        assert_eq!(distance(from, to, Pos2::new(13.0, 4.0)), 5.0);
    }
}
