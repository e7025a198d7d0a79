//! The slice on pure black: what the wheel and the mouse buttons do with it.

use egui::{
    Align2, Color32, EventFilter, FontId, Frame, PointerButton, Pos2, Rect, Response, Sense, Ui,
    Vec2,
};
use egui::{MouseWheelUnit, Role, Slider, WidgetInfo};
use engine::imaging::Window;

use super::measure;
use super::overlay::{overlay_ui, pixel_scale, under_pointer};
use super::toolbar::toolbar_ui;
use crate::action::Action;
use crate::pictures::Pictures;
use crate::state::{Cine, Content, OpenSeries, Orientation, State, Tool, Viewer, VolumeView};
use crate::theme;

/// Height of the line below the image, in points.
const READ_OUT_HEIGHT: f32 = 24.0;

/// The slice view's id, whose focus lets the keys through.
pub fn slice_id() -> egui::Id {
    egui::Id::unique("slice view")
}

/// Where the screen pixels that one pixel of the picture took in the last frame are kept.
pub fn scale_id() -> egui::Id {
    slice_id().with("scale")
}

/// The middle of the window while no result is compared.
pub fn stage_ui(ui: &mut Ui, state: &State, pictures: &Pictures, bar: Frame) -> Option<Action> {
    match &state.viewer {
        Viewer::Empty => {
            let text = "Open a folder, a file or a picture\nto look at it and to ask about it";
            say(ui, text, theme::QUIET);
            None
        }
        Viewer::Loading(series) => {
            say(
                ui,
                &format!("Loading {}…", series.description),
                theme::QUIET,
            );
            None
        }
        Viewer::Failed(series, why) => {
            let text = format!("{} cannot be shown\n\n{why}", series.description);
            say(ui, &text, theme::ERROR);
            None
        }
        Viewer::Open(open) => {
            let tools = toolbar_ui(ui, open, bar);
            tools.or(slice_ui(ui, state, open, pictures))
        }
    }
}

fn say(ui: &mut Ui, text: &str, color: Color32) {
    ui.painter().rect_filled(ui.max_rect(), 0.0, Color32::BLACK);
    let area = ui.max_rect().shrink(40.0);
    let text = egui::RichText::new(text).color(color).size(17.0);
    let label = egui::Label::new(text).wrap().halign(egui::Align::Center);
    ui.put(area, label);
}

fn slice_ui(ui: &mut Ui, state: &State, open: &OpenSeries, pictures: &Pictures) -> Option<Action> {
    let mut action = None;
    if let Content::Volume(view) = &open.content
        && view.count() > 1
    {
        let frame = Frame::new().fill(Color32::BLACK).inner_margin(6);
        egui::Panel::right("slices")
            .frame(frame)
            .resizable(false)
            .show_separator_line(false)
            .exact_size(34.0)
            .show(ui, |ui| action = slider_ui(ui, view));
    }
    let full = ui.available_rect_before_wrap();
    let area = full.with_max_y(full.bottom() - READ_OUT_HEIGHT);
    let response = ui.interact(area, slice_id(), Sense::click_and_drag());
    ui.advance_cursor_after_rect(area);
    let name = name_of(open);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    match pictures.slice() {
        Some(Ok(texture)) => {
            let place = place(area, texture.size, open);
            let painter = ui.painter_at(full);
            for rest in around(full, place.intersect(area)) {
                painter.rect_filled(rest, 0.0, Color32::BLACK);
            }
            let painter = ui.painter_at(area);
            painter.add(turned_picture(texture.handle.id(), place, open.orientation));
            let scale = pixel_scale(open, place, texture.size) * ui.pixels_per_point();
            ui.data_mut(|data| data.insert_temp(scale_id(), scale));
            overlay_ui(ui, open, area, place, texture.size);
            read_out_ui(
                ui,
                open,
                full.with_min_y(area.bottom()),
                place,
                response.hover_pos(),
            );
            let measured = measure::canvas_ui(ui, state, open, &response, area, place);
            let free = measured.is_none();
            action = action.or(measured);
            if free {
                let tool = state.measurements.tool;
                action = action.or(gestures(ui, open, &response, area, tool));
            }
            action = action.or(cine_ui(ui, open.cine));
        }
        Some(Err(why)) => {
            ui.painter_at(full).rect_filled(full, 0.0, Color32::BLACK);
            ui.painter_at(area).text(
                area.center(),
                Align2::CENTER_CENTER,
                why,
                FontId::proportional(16.0),
                theme::ERROR,
            );
        }
        None => {
            ui.painter_at(full).rect_filled(full, 0.0, Color32::BLACK);
        }
    }
    if response.has_focus() {
        let stroke = egui::Stroke::new(1.0, theme::ACCENT);
        ui.painter()
            .rect_stroke(area, 0.0, stroke, egui::StrokeKind::Inside);
        let arrows = EventFilter {
            horizontal_arrows: true,
            vertical_arrows: true,
            ..EventFilter::default()
        };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(slice_id(), arrows));
    }
    action
}

/// Position and value under the pointer, below the image.
fn read_out_ui(ui: &mut Ui, open: &OpenSeries, line: Rect, place: Rect, pointer: Option<Pos2>) {
    let words = match &open.content {
        Content::Volume(view) => {
            pointer.and_then(|at| under_pointer(view, open.orientation, place, at))
        }
        Content::Picture(_) => None,
    };
    let help = "Wheel: slice · left drag: window · middle drag: pan · right drag: zoom · double click: reset";
    let words = words.as_deref().unwrap_or(help);
    let words = egui::RichText::new(words).color(theme::QUIET).size(12.5);
    ui.put(line, egui::Label::new(words).truncate());
}

/// What a screen reader says, and what tests look for.
fn name_of(open: &OpenSeries) -> String {
    let name = match &open.content {
        Content::Volume(view) => format!(
            "Slice {} of {}, {}, window {}{}",
            view.index() + 1,
            view.count(),
            view.plane.name(),
            crate::state::window_words(view.window),
            if view.invert { ", inverted" } else { "" },
        ),
        Content::Picture(_) => format!("Picture {}", open.series.description),
    };
    match open.orientation.words() {
        "" => name,
        turned => format!("{name}, {turned}"),
    }
}

fn slider_ui(ui: &mut Ui, view: &VolumeView) -> Option<Action> {
    ui.spacing_mut().slider_width = (ui.available_height() - 8.0).max(40.0);
    // The first slice is at the top, as the wheel goes.
    let last = view.count() - 1;
    let mut from_bottom = last - view.index();
    let slider = Slider::new(&mut from_bottom, 0..=last)
        .vertical()
        .show_value(false);
    let response = ui
        .add(slider)
        .on_hover_text(format!("Slice {} of {}", view.index() + 1, view.count()))
        .accessible_name("Slice");
    response
        .changed()
        .then(|| Action::SetSlice(last - from_bottom.min(last)))
}

/// What of `area` lies around `hole`: above, below, left, right.
fn around(area: Rect, hole: Rect) -> [Rect; 4] {
    if !hole.is_positive() {
        return [area, Rect::NOTHING, Rect::NOTHING, Rect::NOTHING];
    }
    let row = Rect::from_x_y_ranges(area.x_range(), hole.y_range());
    [
        area.with_max_y(hole.top()),
        area.with_min_y(hole.bottom()),
        row.with_max_x(hole.left()),
        row.with_min_x(hole.right()),
    ]
}

/// Where the picture lies, in points.
fn place(area: Rect, size: [u32; 2], open: &OpenSeries) -> Rect {
    let camera = &open.camera;
    let size = Vec2::new(size[0].max(1) as f32, size[1].max(1) as f32);
    let size = if open.orientation.swaps_sides() {
        size.yx()
    } else {
        size
    };
    let fit = (area.width() / size.x).min(area.height() / size.y);
    let center = area.center() + Vec2::from(camera.pan);
    Rect::from_center_size(center, size * fit * camera.zoom)
}

/// The picture as two triangles, each corner of the screen with its corner of the picture.
fn turned_picture(texture: egui::TextureId, place: Rect, orientation: Orientation) -> egui::Mesh {
    let mut mesh = egui::Mesh::with_texture(texture);
    for share in [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]] {
        let [u, v] = orientation.to_picture(share);
        mesh.vertices.push(egui::epaint::Vertex {
            pos: place.lerp_inside(Vec2::from(share)),
            uv: egui::pos2(u, v),
            color: Color32::WHITE,
        });
    }
    mesh.add_triangle(0, 1, 2);
    mesh.add_triangle(0, 2, 3);
    mesh
}

/// The next slice, when it is its time.
fn cine_ui(ui: &Ui, cine: Cine) -> Option<Action> {
    let due_id = slice_id().with("cine");
    if !cine.playing {
        ui.data_mut(|data| data.remove::<f64>(due_id));
        return None;
    }
    let now = ui.input(|input| input.time);
    let pause = 1.0 / f64::from(cine.fps);
    let due = ui.data(|data| data.get_temp(due_id)).unwrap_or(now + pause);
    let step = now >= due;
    // After a slow frame the pace is kept, but nothing is made up for.
    let due = if step { (due + pause).max(now) } else { due };
    ui.data_mut(|data| data.insert_temp(due_id, due));
    let rest = std::time::Duration::from_secs_f64((due - now).max(0.0));
    ui.ctx().request_repaint_after(rest);
    step.then_some(Action::NextSlice)
}

fn gestures(
    ui: &Ui,
    open: &OpenSeries,
    response: &Response,
    area: Rect,
    tool: Tool,
) -> Option<Action> {
    if response.double_clicked() {
        return Some(Action::ResetView);
    }
    if response.clicked() {
        response.request_focus();
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
        if let Content::Volume(view) = &open.content
            && primary
            && tool == Tool::Window
        {
            return Some(Action::SetWindow(dragged_window(view.window, moved)));
        }
    }
    if !response.contains_pointer() {
        return None;
    }
    let at = ui.input(|input| input.pointer.hover_pos())?;
    let zoom = ui.input(|input| input.zoom_delta());
    if zoom != 1.0 {
        return Some(Action::Zoom {
            factor: zoom,
            about: from_middle(at),
        });
    }
    let steps = wheel_steps(ui);
    (steps != 0).then_some(Action::StepSlices(steps))
}

/// Right widens, down raises the centre (darker), both in proportion to the width.
fn dragged_window(window: Window, moved: Vec2) -> Window {
    window.moved(
        window.center + moved.y * window.width.max(4.0) / 400.0,
        (window.width * (moved.x / 250.0).exp()).clamp(1.0, 200_000.0),
    )
}

/// Slices that the wheel asks for: one for each notch, or for each 40 points of a touchpad. Parts of a notch add up.
fn wheel_steps(ui: &Ui) -> isize {
    const POINTS_PER_SLICE: f32 = 40.0;
    let rest_id = slice_id().with("wheel");
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
