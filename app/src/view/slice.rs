//! One viewport: its picture on pure black, what the mouse does with it, its slider, and the read-out below.

use std::sync::Arc;

use egui::{
    Align2, Color32, EventFilter, FontId, Rect, Response, Role, Sense, Slider, Ui, UiBuilder, Vec2,
    WidgetInfo,
};
use engine::imaging::{Axes, ColourMap, Slice};

use super::gestures::gestures;
use super::measure;
use super::overlay::{crosshair_on_screen, overlay_ui, pixel_scale, slab_words};
use super::pair::{curtain_ui, mix, pair_words};
use super::probe::{colour_words_at, pixel_at, place_of, words_at, words_of_both};
use super::toolbar::colour_words;
use super::tools::tool_words;
use crate::action::Action;
use crate::paint::ViewportPaint;
use crate::paint::compare::{Look, Mix};
use crate::paint::reslice::GpuCut;
use crate::paint::window_level::Levels;
use crate::pictures::{Drawn, Pictures};
use crate::state::{
    Cine, Content, LoadingSeries, Measure, Measurements, OpenSeries, Orientation, Tool, Viewer,
    Viewport, VolumeView, plane_words, window_words,
};
use crate::strings::{self, fill};
use crate::theme;

/// Height of the line below the image, in points.
const READ_OUT_HEIGHT: f32 = 24.0;

/// Width of the slider beside the image, in points.
const SLIDER_WIDTH: f32 = 26.0;

/// A viewport's id, whose focus lets the keys through.
pub fn viewport_id(number: usize) -> egui::Id {
    egui::Id::unique("slice view").with(number)
}

/// Moves the focus from viewport to viewport as the active one changes by keys, so that it is where the user is.
pub fn focus_goes_along(ui: &Ui, viewer: &Viewer) {
    let scene = viewer.scene();
    let known = egui::Id::unique("scene of the last frame");
    let before: Option<usize> = ui.data(|data| data.get_temp(known));
    ui.data_mut(|data| data.insert_temp(known, scene));
    let focused = |number| ui.memory(|memory| memory.has_focus(viewport_id(number)));
    if before.is_some_and(|before| before != scene && focused(before)) {
        ui.memory_mut(|memory| memory.request_focus(viewport_id(scene)));
    }
}

/// Where the screen pixels that one pixel of the picture took in the last frame are kept.
pub fn scale_id(number: usize) -> egui::Id {
    viewport_id(number).with("scale")
}

/// Where the size of the picture's area in the last frame is kept, in points.
pub fn area_id(number: usize) -> egui::Id {
    viewport_id(number).with("area")
}

/// Viewport `number` in `area`.
pub fn viewport_ui(
    ui: &mut Ui,
    viewer: &Viewer,
    measurements: &Measurements,
    number: usize,
    area: Rect,
    pictures: &Pictures,
) -> Vec<Action> {
    let mut ui = ui.new_child(
        UiBuilder::new()
            .id_salt(("viewport", number))
            .max_rect(area),
    );
    let ui = &mut ui;
    ui.set_clip_rect(area);
    ui.painter().rect_filled(area, 0.0, Color32::BLACK);
    let mut actions = Vec::new();
    match viewer.viewports.get(number).unwrap_or(&Viewport::Empty) {
        Viewport::Empty => {
            let text = if viewer.viewports.len() == 1 {
                strings::words().nothing_open
            } else {
                strings::words().choose_left
            };
            say(ui, text, theme::QUIET);
            actions.extend(chosen_ui(
                ui,
                viewer,
                number,
                strings::words().empty_viewport,
            ));
        }
        Viewport::Loading(loading) => loading_ui(ui, loading, number, area, pictures),
        Viewport::Failed(series, why) => {
            let text = fill(
                strings::words().cannot_be_shown,
                &[&series.description, why],
            );
            say(ui, &text, theme::ERROR);
            actions.extend(chosen_ui(
                ui,
                viewer,
                number,
                strings::words().failed_viewport,
            ));
        }
        Viewport::Open(open) => {
            actions.extend(open_ui(ui, viewer, measurements, number, open, pictures));
        }
    }
    let several = viewer.viewports.len() > 1 && !viewer.overlaid();
    if several && number == viewer.active {
        let stroke = egui::Stroke::new(2.0, theme::ACCENT);
        let inside = egui::StrokeKind::Inside;
        ui.painter().rect_stroke(area, 0.0, stroke, inside);
    }
    // What is done in a viewport is done to it.
    let elsewhere = several && number != viewer.active && !actions.is_empty();
    if elsewhere {
        actions.insert(0, Action::Activate(number));
    }
    actions
}

fn say(ui: &mut Ui, text: &str, color: Color32) {
    let area = ui.max_rect().shrink(ui.max_rect().width().min(400.0) * 0.1);
    let text = egui::RichText::new(text).color(color).size(17.0);
    let label = egui::Label::new(text).wrap().halign(egui::Align::Center);
    ui.put(area, label);
}

/// A viewport without a picture can be chosen as the place for the next series.
fn chosen_ui(ui: &Ui, viewer: &Viewer, number: usize, name: &str) -> Option<Action> {
    if viewer.viewports.len() < 2 {
        return None;
    }
    let response = ui.interact(ui.max_rect(), viewport_id(number), Sense::click());
    let count = viewer.viewports.len();
    let name = fill(strings::words().numbered, &[&name, &(number + 1), &count]);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    if response.has_focus() {
        focus_ui(ui, ui.max_rect(), number);
    }
    (response.clicked() && number != viewer.active).then_some(Action::Activate(number))
}

/// The middle slice as soon as it is there.
fn loading_ui(
    ui: &mut Ui,
    loading: &LoadingSeries,
    number: usize,
    area: Rect,
    pictures: &Pictures,
) {
    let text = fill(strings::words().loading, &[&loading.series.description]);
    let (Some(volume), Some(Ok(drawn))) = (&loading.first, pictures.slice(number)) else {
        say(ui, &text, theme::QUIET);
        return;
    };
    let size = drawn.size();
    let place = fitted(
        area.with_max_y(area.bottom() - READ_OUT_HEIGHT),
        size,
        Orientation::default(),
    );
    if let Drawn::Slice(slice, cut) = drawn {
        let paint = ViewportPaint {
            viewport: number,
            format: pictures.format,
            first: Levels {
                slice: Arc::clone(slice),
                cut: cut.clone(),
                window: volume.default_window(),
                invert: volume.inverted,
            },
            second: None,
            look: look(
                area,
                place,
                Orientation::default(),
                Mix::One,
                [ColourMap::Grey; 2],
            ),
        };
        ui.painter().add(paint.shape(area));
    }
    let line = area.with_min_y(area.bottom() - READ_OUT_HEIGHT);
    let words = egui::RichText::new(text).color(theme::TEXT).size(13.0);
    ui.put(line, egui::Label::new(words).truncate());
}

fn open_ui(
    ui: &mut Ui,
    viewer: &Viewer,
    measurements: &Measurements,
    number: usize,
    open: &OpenSeries,
    pictures: &Pictures,
) -> Vec<Action> {
    let mut actions = Vec::new();
    let full = ui.max_rect();
    let mut area = full.with_max_y(full.bottom() - READ_OUT_HEIGHT);
    if open.count() > 1 {
        let strip = area.with_min_x(area.right() - SLIDER_WIDTH);
        area = area.with_max_x(strip.left());
        let several = viewer.viewports.len() > 1;
        actions.extend(slider_ui(
            ui,
            open,
            strip.shrink2(egui::vec2(3.0, 8.0)),
            several,
        ));
    }
    ui.data_mut(|data| data.insert_temp(area_id(number), <[f32; 2]>::from(area.size())));
    let response = ui.interact(area, viewport_id(number), Sense::click_and_drag());
    let name = name_of(viewer, number, open);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    match pictures.slice(number) {
        Some(Ok(drawn)) => {
            let size = drawn.size();
            let place = place(area, size, open);
            draw(ui, viewer, number, open, drawn, [area, place], pictures);
            let scale = pixel_scale(open, place, size) * ui.pixels_per_point();
            ui.data_mut(|data| data.insert_temp(scale_id(number), scale));
            overlay_ui(ui, viewer, open, [area, place], size);
            if pictures.waits(number) {
                waiting_ui(ui, area);
            }
            let line = full.with_min_y(area.bottom());
            read_out_ui(ui, viewer, open, line, place, &response, measurements.tool);
            let windowed = match &open.content {
                Content::Volume(view) if !viewer.overlaid() => Some(view),
                Content::Volume(_) => viewer.viewport().volume(),
                Content::Frames(_) => None,
            };
            let window = windowed.map(|view| (view.window, view.finest()));
            // Shapes are drawn on single volumes; a curtain is drawn aside over two.
            let taken = if viewer.overlaid() {
                curtain_ui(ui, viewer, area, &response)
            } else {
                measure::canvas_ui(ui, measurements, open, &response, [area, place])
            };
            // A click beside the chosen shape lets go of it and shows the place.
            let beside = matches!(taken, Some(Action::Measure(Measure::Select(None))));
            if (taken.is_none() || beside) && !measurements.dragging(&open.series.id) {
                let tool = measurements.tool;
                let wish = gestures(ui, viewer, open, &response, [area, place], window, tool);
                actions.extend(wish);
            }
            actions.extend(taken);
            if number == viewer.scene() {
                actions.extend(cine_ui(ui, open.cine, number));
            }
        }
        Some(Err(why)) => {
            let font = FontId::proportional(16.0);
            let center = Align2::CENTER_CENTER;
            ui.painter_at(area)
                .text(area.center(), center, why, font, theme::ERROR);
        }
        None if pictures.waits(number) => waiting_ui(ui, area),
        None => {}
    }
    if response.gained_focus() && number != viewer.scene() {
        actions.push(Action::Activate(number));
    }
    if response.has_focus() {
        focus_ui(ui, area, number);
    }
    actions
}

/// The picture, or what is made of two.
fn draw(
    ui: &Ui,
    viewer: &Viewer,
    number: usize,
    open: &OpenSeries,
    drawn: &Drawn,
    [area, place]: [Rect; 2],
    pictures: &Pictures,
) {
    let painter = ui.painter_at(area);
    match (drawn, &open.content) {
        (Drawn::Slice(slice, cut), Content::Volume(view)) => {
            let levels = |view: &VolumeView, slice: &Arc<Slice>, cut: &Option<GpuCut>| Levels {
                slice: Arc::clone(slice),
                cut: cut.clone(),
                window: view.window,
                invert: view.invert != view.volume.inverted,
            };
            let other = viewer.pair().filter(|_| viewer.overlaid());
            let second = other.zip(pictures.second());
            let (mix, maps) = match other {
                Some([first, second]) => (mix(ui, viewer.mode()), [first.colours, second.colours]),
                None => (Mix::One, [view.colours; 2]),
            };
            let paint = ViewportPaint {
                viewport: number,
                format: pictures.format,
                first: levels(view, slice, cut),
                second: match second {
                    Some(([_, view], Drawn::Slice(slice, cut))) => Some(levels(view, slice, cut)),
                    _ => None,
                },
                look: look(area, place, open.orientation, mix, maps),
            };
            painter.add(paint.shape(area));
        }
        (Drawn::Picture(texture), _) => {
            painter.add(turned_picture(texture.handle.id(), place, open.orientation));
        }
        (Drawn::Slice(..), Content::Frames(_)) => {}
    }
}

/// What is on screen is not yet what was asked for.
fn waiting_ui(ui: &Ui, area: Rect) {
    let at = area.center_top() + egui::vec2(0.0, 34.0);
    let font = FontId::proportional(13.0);
    let text = strings::words().cutting.to_owned();
    let painter = ui.painter_at(area);
    let galley = painter.layout_no_wrap(text, font, theme::TEXT);
    let place = Align2::CENTER_TOP.anchor_size(at, galley.size());
    painter.rect_filled(place.expand(4.0), 3.0, Color32::from_black_alpha(190));
    painter.galley(place.min, galley, theme::TEXT);
}

/// The map from places in the viewport to places in the picture.
fn look(area: Rect, place: Rect, orientation: Orientation, mix: Mix, maps: [ColourMap; 2]) -> Look {
    // A corner of the viewport as a share of the picture on screen, then in the picture itself.
    let share = |at: egui::Pos2| {
        let on_screen = (at - place.min) / place.size().max(Vec2::splat(1e-3));
        orientation.to_picture(on_screen.into())
    };
    let [origin, right, down] = [area.left_top(), area.right_top(), area.left_bottom()].map(share);
    let row = |axis: usize| {
        [
            right[axis] - origin[axis],
            down[axis] - origin[axis],
            origin[axis],
        ]
    };
    Look {
        across: row(0),
        along: row(1),
        mix,
        maps,
    }
}

fn focus_ui(ui: &Ui, area: Rect, number: usize) {
    let stroke = egui::Stroke::new(1.0, theme::ACCENT);
    let inside = egui::StrokeKind::Inside;
    ui.painter().rect_stroke(area, 0.0, stroke, inside);
    let arrows = EventFilter {
        horizontal_arrows: true,
        vertical_arrows: true,
        ..EventFilter::default()
    };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(viewport_id(number), arrows));
}

/// Position and value or colour under the pointer, below the image; without a pointer, those of the crosshair.
fn read_out_ui(
    ui: &mut Ui,
    viewer: &Viewer,
    open: &OpenSeries,
    line: Rect,
    place: Rect,
    response: &Response,
    tool: Tool,
) {
    let words = match &open.content {
        Content::Volume(view) => {
            let both = viewer.pair().filter(|_| viewer.overlaid());
            let words_at = |place| match both {
                Some(both) => words_of_both(both, place),
                None => words_at(view, place),
            };
            let pointed = response.hover_pos().and_then(|at| {
                let pixel = pixel_at(view, open.orientation, place, at)?;
                words_at(place_of(view, pixel))
            });
            let crossed = || {
                let several = viewer.viewports.len() > 1 && viewer.crosshair_visible;
                let _ = crosshair_on_screen(viewer, view, open.orientation, place)?;
                several.then(|| words_at(viewer.crosshair?)).flatten()
            };
            pointed.or_else(crossed)
        }
        Content::Frames(frames) => response
            .hover_pos()
            .and_then(|at| colour_words_at(frames.picture(), open.orientation, place, at)),
    };
    let help = match &open.content {
        Content::Volume(_) => fill(strings::words().mouse_help, &[&tool_words(tool)]),
        Content::Frames(_) => strings::words().mouse_help_frames.to_owned(),
    };
    let alone = viewer.viewports.len() == 1;
    let words = words.as_deref().unwrap_or(if alone { &help } else { "" });
    let words = egui::RichText::new(words).color(theme::QUIET).size(12.5);
    ui.put(line, egui::Label::new(words).truncate());
}

/// What a screen reader says, and what tests look for.
fn name_of(viewer: &Viewer, number: usize, open: &OpenSeries) -> String {
    let mut name = match &open.content {
        Content::Volume(view) => fill(
            strings::words().slice_name,
            &[
                &(view.index() + 1),
                &view.count(),
                &plane_words(view.plane),
                &window_words(view.window),
                &if view.invert {
                    strings::words().inverted_suffix
                } else {
                    ""
                },
            ],
        ),
        Content::Frames(frames) => {
            let name = fill(strings::words().picture_name, &[&open.series.description]);
            let frame = fill(
                strings::words().frame_of,
                &[&(frames.index() + 1), &frames.count()],
            );
            if frames.count() > 1 {
                format!("{name}, {frame}")
            } else {
                name
            }
        }
    };
    let mut say = |words: &str| {
        if !words.is_empty() {
            name = format!("{name}, {words}");
        }
    };
    say(open.orientation.words());
    if let Content::Volume(view) = &open.content {
        if view.axes == Axes::Patient {
            say(strings::words().patient_axes);
        }
        if let Some(slab) = view.slab {
            say(&slab_words(slab));
        }
        if view.colours != ColourMap::Grey {
            say(colour_words(view.colours));
        }
    }
    if viewer.overlaid() {
        say(&pair_words(viewer));
    } else if viewer.viewports.len() > 1 {
        say(&fill(
            strings::words().viewport_of,
            &[&(number + 1), &viewer.viewports.len()],
        ));
        if number == viewer.active {
            say(strings::words().active);
        }
    }
    name
}

fn slider_ui(ui: &mut Ui, open: &OpenSeries, strip: Rect, several: bool) -> Option<Action> {
    ui.spacing_mut().slider_width = strip.height().max(40.0);
    // The first slice is at the top, as the wheel goes.
    let last = open.count().saturating_sub(1);
    let mut from_bottom = last - open.index();
    let slider = Slider::new(&mut from_bottom, 0..=last)
        .vertical()
        .show_value(false);
    let words = strings::words();
    let (name, of) = match &open.content {
        Content::Volume(view) if several => (
            fill(words.slice_of_plane, &[&plane_words(view.plane)]),
            words.slice_of,
        ),
        Content::Volume(_) => (words.slice.to_owned(), words.slice_of),
        Content::Frames(_) => (words.frame.to_owned(), words.frame_of),
    };
    let response = ui
        .put(strip, slider)
        .on_hover_text(fill(of, &[&(open.index() + 1), &open.count()]))
        .accessible_name(name);
    response
        .changed()
        .then(|| Action::SetSlice(last - from_bottom.min(last)))
}

/// Where a picture of this size lies when it fills the area.
fn fitted(area: Rect, size: [u32; 2], orientation: Orientation) -> Rect {
    let size = Vec2::new(size[0].max(1) as f32, size[1].max(1) as f32);
    let size = if orientation.swaps_sides() {
        size.yx()
    } else {
        size
    };
    let fit = (area.width() / size.x).min(area.height() / size.y);
    Rect::from_center_size(area.center(), size * fit)
}

/// Where the picture lies, in points.
fn place(area: Rect, size: [u32; 2], open: &OpenSeries) -> Rect {
    let fitted = fitted(area, size, open.orientation);
    let center = area.center() + Vec2::from(open.camera.pan);
    Rect::from_center_size(center, fitted.size() * open.camera.zoom)
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
fn cine_ui(ui: &Ui, cine: Cine, number: usize) -> Option<Action> {
    let due_id = viewport_id(number).with("cine");
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
