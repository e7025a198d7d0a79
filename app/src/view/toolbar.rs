//! The line over the slice: plane, window, and the ways back.

use egui::{Button, ComboBox, DragValue, Frame, Panel, Slider, Ui};
use engine::imaging::{Axes, ColourMap, Plane, Projection, Slab, Window};

use super::overlay::slab_words;
use super::slice::scale_id;
use crate::action::Action;
use crate::keys::Keymap;
use crate::state::{Cine, OpenSeries, ViewTurn, Viewer, VolumeView, decimals, window_words};
use crate::strings::{fill, words};

/// Slabs on offer.
const SLABS: [Slab; 6] = [
    slab(Projection::Maximum, 5.0),
    slab(Projection::Maximum, 10.0),
    slab(Projection::Maximum, 20.0),
    slab(Projection::Maximum, 50.0),
    slab(Projection::Minimum, 10.0),
    slab(Projection::Mean, 5.0),
];

const fn slab(projection: Projection, mm: f32) -> Slab {
    Slab { projection, mm }
}

/// The tools of the active viewport.
pub fn toolbar_ui(ui: &mut Ui, viewer: &Viewer, keys: &Keymap, frame: Frame) -> Option<Action> {
    let mut action = None;
    Panel::top("tools").frame(frame).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            // Slice, zoom and turns are the scene's, window and colours the active series'.
            let scene = viewer.viewports.get(viewer.scene());
            let active = viewer.viewport().volume();
            if let Some(view) = scene.and_then(|viewport| viewport.volume()) {
                action = plane_ui(ui, view).or(action.take());
            }
            action = layout_ui(ui, viewer, keys).or(action.take());
            ui.separator();
            if let Some(view) = active {
                action = window_ui(ui, view, keys).or(action.take());
            }
            if viewer.open().is_some() {
                action = display_ui(ui, viewer, keys).or(action.take());
                ui.separator();
            }
            if let Some(open) = scene.and_then(|viewport| viewport.open()) {
                if open.series.volumes > 1 {
                    action = volume_ui(ui, open).or(action.take());
                }
                action = scene_ui(ui, open, viewer.scene(), keys).or(action.take());
            }
        });
    });
    action
}

/// Which volume of a file with several (time points, directions).
fn volume_ui(ui: &mut Ui, open: &OpenSeries) -> Option<Action> {
    let count = open.series.volumes;
    let shown = open.series.frames.first().copied().unwrap_or(0) + 1;
    let mut number = shown;
    ui.label(words().volume_kind);
    let slider = Slider::new(&mut number, 1..=count)
        .text(fill(words().volume_of, &[&count]))
        .integer();
    let field = ui
        .add(slider)
        .on_hover_text(words().volume_hint)
        .accessible_name(words().volume_kind);
    // While it is dragged only the place it is let go at is loaded.
    let done = field.drag_stopped() || (field.changed() && !field.dragged());
    (done && number != shown).then_some(Action::ShowVolume(number - 1))
}

/// Zoom, turns and cine.
fn scene_ui(ui: &mut Ui, open: &OpenSeries, number: usize, keys: &Keymap) -> Option<Action> {
    let mut action = None;
    let reset = ui
        .button(words().reset)
        .on_hover_text(keys.hint(words().reset_hint, "reset-view"));
    if reset.clicked() {
        action = Some(Action::ResetView);
    }
    if ui
        .button(words().fit)
        .on_hover_text(keys.hint(words().fit_hint, "fit"))
        .clicked()
    {
        action = Some(Action::FitView);
    }
    action = actual_size_ui(ui, number).or(action.take());
    ui.separator();
    action = turns_ui(ui, keys).or(action.take());
    if open.count() > 1 {
        ui.separator();
        action = cine_ui(ui, open.cine, keys).or(action.take());
    }
    action
}

/// How many viewports, and axial, coronal and sagittal at once.
fn layout_ui(ui: &mut Ui, viewer: &Viewer, keys: &Keymap) -> Option<Action> {
    let mut action = None;
    let count = viewer.viewports.len();
    let off = match viewer.viewport().volume() {
        None => Some(words().why_no_volume.to_owned()),
        Some(view) => Plane::ALL
            .into_iter()
            .find_map(|plane| view.check_plane(plane).err()),
    };
    let planes = Button::selectable(count >= 3 && off.is_none(), words().mpr);
    let mut planes = ui.add_enabled(off.is_none() || count > 1, planes);
    planes = match &off {
        None => planes.on_hover_text(keys.hint(words().mpr_hint, "planes")),
        Some(why) => planes.on_disabled_hover_text(why),
    };
    if planes.clicked() {
        action = Some(if count > 1 {
            Action::SetViewports(1)
        } else {
            Action::ShowPlanes
        });
    }
    let menu = ui.menu_button(words().layout, |ui| {
        for number in 1..=Viewer::MOST {
            let name = match number {
                1 => words().one_viewport.to_owned(),
                number => fill(words().viewports, &[&number]),
            };
            if ui.selectable_label(count == number, name).clicked() {
                action = Some(Action::SetViewports(number));
            }
        }
        ui.separator();
        let maximise = Button::selectable(viewer.maximised, words().active_alone);
        if ui.add_enabled(count > 1, maximise).clicked() {
            action = Some(Action::ToggleMaximised);
        }
        let crosshair = Button::selectable(viewer.crosshair_visible, words().crosshair);
        if ui.add_enabled(count > 1, crosshair).clicked() {
            action = Some(Action::ToggleCrosshair);
        }
        if let Some(why) = &off {
            ui.separator();
            ui.label(fill(words().no_other_planes, &[why]));
        }
    });
    menu.response.on_hover_text(words().layout_hint);
    action
}

/// Colours of the active series; slabs and axes of the scene, whose slices they are; and the words in the corners.
fn display_ui(ui: &mut Ui, viewer: &Viewer, keys: &Keymap) -> Option<Action> {
    let mut action = None;
    let menu = ui.menu_button(words().display, |ui| {
        if let Some(view) = viewer.viewport().volume() {
            ui.label(words().colours);
            for colours in ColourMap::ALL {
                if ui
                    .selectable_label(view.colours == colours, colour_words(colours))
                    .clicked()
                {
                    action = Some(Action::SetColours(colours));
                }
            }
            ui.separator();
        }
        let scene = viewer.viewports.get(viewer.scene());
        if let Some(view) = scene.and_then(|viewport| viewport.volume()) {
            action = slices_ui(ui, view).or(action.take());
            ui.separator();
        }
        let corners = Button::selectable(viewer.corners_visible, words().corner_text);
        let hint = keys.hint(words().corner_text_hint, "corner-text");
        if ui.add(corners).on_hover_text(hint).clicked() {
            action = Some(Action::ToggleCorners);
        }
    });
    menu.response.on_hover_text(words().display_hint);
    action
}

/// One slice or a slab, and along what it is cut.
fn slices_ui(ui: &mut Ui, view: &VolumeView) -> Option<Action> {
    let mut action = None;
    ui.label(words().slices);
    if ui
        .selectable_label(view.slab.is_none(), words().one_slice)
        .clicked()
    {
        action = Some(Action::SetSlab(None));
    }
    for slab in SLABS {
        let button = Button::selectable(view.slab == Some(slab), slab_words(slab));
        if ui.add_enabled(view.count() > 1, button).clicked() {
            action = Some(Action::SetSlab(Some(slab)));
        }
    }
    ui.separator();
    ui.label(words().cut_along);
    let straight = view.check_patient_axes();
    for (axes, name) in [
        (Axes::Acquired, words().along_voxels),
        (Axes::Patient, words().along_patient),
    ] {
        let button = Button::selectable(view.axes == axes, name);
        let allowed = axes == Axes::Acquired || straight.is_ok();
        let mut response = ui.add_enabled(allowed, button);
        if let Err(why) = &straight {
            response = response.on_disabled_hover_text(why);
        }
        if response.clicked() {
            action = Some(Action::SetAxes(axes));
        }
    }
    action
}

fn actual_size_ui(ui: &mut Ui, number: usize) -> Option<Action> {
    let button = ui
        .button("1:1")
        .on_hover_text(words().actual_size_hint)
        .accessible_name(words().actual_size);
    let scale: f32 = ui.data(|data| data.get_temp(scale_id(number)))?;
    (button.clicked() && scale > 0.0).then_some(Action::Zoom {
        factor: 1.0 / scale,
        about: [0.0; 2],
    })
}

fn turns_ui(ui: &mut Ui, keys: &Keymap) -> Option<Action> {
    let mut action = None;
    let w = words();
    for (short, name, command, turn) in [
        (
            w.flip_h_short,
            w.flip_h,
            "flip-horizontally", // keymap.hint( takes the command's name
            ViewTurn::FlipHorizontally,
        ),
        (
            w.flip_v_short,
            w.flip_v,
            "flip-vertically",
            ViewTurn::FlipVertically,
        ),
        (
            w.rotate_r_short,
            w.rotate_r,
            "rotate-right",
            ViewTurn::RotateRight,
        ),
        (
            w.rotate_l_short,
            w.rotate_l,
            "rotate-left",
            ViewTurn::RotateLeft,
        ),
    ] {
        let hint = fill(w.turn_hint, &[&keys.hint(name, command)]);
        let button = ui.button(short).on_hover_text(hint).accessible_name(name);
        if button.clicked() {
            action = Some(Action::Turn(turn));
        }
    }
    action
}

fn cine_ui(ui: &mut Ui, cine: Cine, keys: &Keymap) -> Option<Action> {
    let mut action = None;
    let play = Button::selectable(cine.playing, words().cine);
    if ui
        .add(play)
        .on_hover_text(keys.hint(words().cine_hint, "cine"))
        .clicked()
    {
        action = Some(Action::ToggleCine);
    }
    let mut fps = cine.fps;
    let [least, most] = Cine::RATES;
    let rate = DragValue::new(&mut fps)
        .suffix(words().fps_suffix)
        .range(least..=most)
        .max_decimals(0);
    let rate = ui
        .add(rate)
        .on_hover_text(words().fps)
        .accessible_name(words().fps);
    if rate.changed() {
        action = Some(Action::SetCineRate(fps));
    }
    action
}

/// What a colour map is called.
pub fn colour_words(colours: ColourMap) -> &'static str {
    match colours {
        ColourMap::Grey => words().colours_grey,
        other => other.name(),
    }
}

fn plane_ui(ui: &mut Ui, view: &VolumeView) -> Option<Action> {
    let mut action = None;
    for plane in Plane::ALL {
        let name = match plane {
            Plane::Axial => words().axial,
            Plane::Coronal => words().coronal,
            Plane::Sagittal => words().sagittal,
        };
        let allowed = view.check_plane(plane);
        let button = Button::selectable(view.plane == plane, name);
        let mut response = ui.add_enabled(allowed.is_ok() || view.plane == plane, button);
        if let Err(reason) = allowed {
            response = response.on_disabled_hover_text(reason);
        }
        if response.clicked() {
            action = Some(Action::SetPlane(plane));
        }
    }
    action
}

fn window_ui(ui: &mut Ui, view: &VolumeView, keys: &Keymap) -> Option<Action> {
    let mut action = None;
    let presets = view.presets();
    let current = presets.iter().find(|preset| preset.window == view.window);
    let shown = current.map_or(words().own_window, |preset| preset.name.as_str());
    let menu = ComboBox::from_id_salt("window presets")
        .selected_text(shown)
        .width(110.0)
        .show_ui(ui, |ui| {
            for preset in &presets {
                let key = preset.key.map_or(String::new(), |key| format!("{key}   "));
                let text = format!("{key}{}   {}", preset.name, window_words(preset.window));
                if ui
                    .selectable_label(preset.window == view.window, text)
                    .clicked()
                {
                    action = Some(Action::SetWindow(preset.window));
                }
            }
        });
    menu.response
        .accessible_name(fill(words().window_preset, &[&shown]));
    let finest = view.finest();
    let window = finest.fitting(view.window);
    let Window {
        mut center,
        mut width,
        ..
    } = window;
    let speed = f64::from(width / 300.0).max(f64::from(finest.width) * 0.01);
    let digits = decimals(width).max(2);
    // Fewer would be written where the rest is small, but there all is small.
    let least = if width < 0.5 { digits } else { 0 };
    let center_field = DragValue::new(&mut center)
        .prefix(words().center_prefix)
        .speed(speed)
        .min_decimals(least)
        .max_decimals(digits);
    let width_field = DragValue::new(&mut width)
        .prefix(words().width_prefix)
        .speed(speed)
        .range(finest.width..=100_000.0)
        .min_decimals(least)
        .max_decimals(digits);
    let changed = ui
        .add(center_field)
        .on_hover_text(words().window_center)
        .accessible_name(words().window_center)
        .changed()
        | ui.add(width_field)
            .on_hover_text(words().window_width)
            .accessible_name(words().window_width)
            .changed();
    if changed {
        action = Some(Action::SetWindow(window.moved(center, width)));
    }
    let invert = Button::selectable(view.invert, words().invert);
    if ui
        .add(invert)
        .on_hover_text(keys.hint(words().invert_hint, "invert"))
        .clicked()
    {
        action = Some(Action::ToggleInvert);
    }
    action
}
