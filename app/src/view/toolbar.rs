//! The line over the slice: plane, window, and the ways back.

use egui::{Button, ComboBox, DragValue, Frame, Panel, Ui};
use engine::imaging::{Axes, ColourMap, Plane, Projection, Slab, Window};

use super::overlay::slab_words;
use super::slice::scale_id;
use crate::action::Action;
use crate::state::{Cine, Content, OpenSeries, ViewTurn, Viewer, VolumeView, window_words};

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
pub fn toolbar_ui(ui: &mut Ui, viewer: &Viewer, frame: Frame) -> Option<Action> {
    let mut action = None;
    Panel::top("tools").frame(frame).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            // Slice, zoom and turns are the scene's, window and colours the active series'.
            let scene = viewer.viewports.get(viewer.scene());
            let active = viewer.viewport().volume();
            if let Some(view) = scene.and_then(|viewport| viewport.volume()) {
                action = plane_ui(ui, view).or(action.take());
            }
            action = layout_ui(ui, viewer).or(action.take());
            ui.separator();
            if let Some(view) = active {
                action = window_ui(ui, view).or(action.take());
                action = display_ui(ui, view).or(action.take());
                ui.separator();
            }
            if let Some(open) = scene.and_then(|viewport| viewport.open()) {
                if open.series.volumes > 1 {
                    action = volume_ui(ui, open).or(action.take());
                }
                action = scene_ui(ui, open, viewer.scene()).or(action.take());
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
    let field = DragValue::new(&mut number)
        .prefix("Volume ")
        .suffix(format!(" / {count}"))
        .range(1..=count)
        .speed(0.1);
    let field = ui
        .add(field)
        .on_hover_text("Time point or direction: drag, or click and type")
        .accessible_name("Volume");
    // While it is dragged only the place it is let go at is loaded.
    let done = field.drag_stopped() || (field.changed() && !field.dragged());
    (done && number != shown).then_some(Action::ShowVolume(number - 1))
}

/// Zoom, turns and cine.
fn scene_ui(ui: &mut Ui, open: &OpenSeries, number: usize) -> Option<Action> {
    let mut action = None;
    let reset = ui
        .button("Reset")
        .on_hover_text("First window, fitted (Space)");
    if reset.clicked() {
        action = Some(Action::ResetView);
    }
    if ui
        .button("Fit")
        .on_hover_text("Fit the picture (=)")
        .clicked()
    {
        action = Some(Action::FitView);
    }
    action = actual_size_ui(ui, number).or(action.take());
    ui.separator();
    action = turns_ui(ui).or(action.take());
    if matches!(&open.content, Content::Volume(view) if view.count() > 1) {
        ui.separator();
        action = cine_ui(ui, open.cine).or(action.take());
    }
    action
}

/// How many viewports, and axial, coronal and sagittal at once.
fn layout_ui(ui: &mut Ui, viewer: &Viewer) -> Option<Action> {
    let mut action = None;
    let count = viewer.viewports.len();
    let off = match viewer.viewport().volume() {
        None => Some("open a volume first".to_owned()),
        Some(view) => Plane::ALL
            .into_iter()
            .find_map(|plane| view.check_plane(plane).err()),
    };
    let planes = Button::selectable(count >= 3 && off.is_none(), "MPR");
    let mut planes = ui.add_enabled(off.is_none() || count > 1, planes);
    planes = match &off {
        None => planes.on_hover_text("Axial, coronal and sagittal beside each other, or one again"),
        Some(why) => planes.on_disabled_hover_text(why),
    };
    if planes.clicked() {
        action = Some(if count > 1 {
            Action::SetViewports(1)
        } else {
            Action::ShowPlanes
        });
    }
    let menu = ui.menu_button("Layout", |ui| {
        for number in 1..=Viewer::MOST {
            let name = match number {
                1 => "1 viewport".to_owned(),
                number => format!("{number} viewports"),
            };
            if ui.selectable_label(count == number, name).clicked() {
                action = Some(Action::SetViewports(number));
            }
        }
        ui.separator();
        let maximise = Button::selectable(viewer.maximised, "Active viewport alone");
        if ui.add_enabled(count > 1, maximise).clicked() {
            action = Some(Action::ToggleMaximised);
        }
        let crosshair = Button::selectable(viewer.crosshair_visible, "Crosshair");
        if ui.add_enabled(count > 1, crosshair).clicked() {
            action = Some(Action::ToggleCrosshair);
        }
        if let Some(why) = &off {
            ui.separator();
            ui.label(format!("No other planes: {why}"));
        }
    });
    menu.response.on_hover_text("One to four viewports");
    action
}

/// Colours, slabs and axes.
fn display_ui(ui: &mut Ui, view: &VolumeView) -> Option<Action> {
    let mut action = None;
    let menu = ui.menu_button("Display", |ui| {
        ui.label("Colours");
        for colours in ColourMap::ALL {
            if ui
                .selectable_label(view.colours == colours, colours.name())
                .clicked()
            {
                action = Some(Action::SetColours(colours));
            }
        }
        ui.separator();
        ui.label("Slices");
        if ui
            .selectable_label(view.slab.is_none(), "One slice")
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
        ui.label("Cut along");
        let straight = view.check_patient_axes();
        for (axes, name) in [
            (Axes::Acquired, "The voxels"),
            (Axes::Patient, "The patient's axes"),
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
    });
    menu.response.on_hover_text("Colours, slabs (MIP) and axes");
    action
}

fn actual_size_ui(ui: &mut Ui, number: usize) -> Option<Action> {
    let button = ui
        .button("1:1")
        .on_hover_text("One pixel of the picture on one pixel of the screen")
        .accessible_name("Zoom 1:1");
    let scale: f32 = ui.data(|data| data.get_temp(scale_id(number)))?;
    (button.clicked() && scale > 0.0).then_some(Action::Zoom {
        factor: 1.0 / scale,
        about: [0.0; 2],
    })
}

fn turns_ui(ui: &mut Ui) -> Option<Action> {
    let mut action = None;
    for (words, name, key, turn) in [
        (
            "Flip H",
            "Flip horizontally",
            "H",
            ViewTurn::FlipHorizontally,
        ),
        ("Flip V", "Flip vertically", "V", ViewTurn::FlipVertically),
        ("Rotate R", "Rotate right", "R", ViewTurn::RotateRight),
        ("Rotate L", "Rotate left", "L", ViewTurn::RotateLeft),
    ] {
        let hint = format!("{name} ({key}). On screen only: the model's picture stays as it is");
        let button = ui.button(words).on_hover_text(hint).accessible_name(name);
        if button.clicked() {
            action = Some(Action::Turn(turn));
        }
    }
    action
}

fn cine_ui(ui: &mut Ui, cine: Cine) -> Option<Action> {
    let mut action = None;
    let play = Button::selectable(cine.playing, "Cine");
    if ui
        .add(play)
        .on_hover_text("Slice after slice (C)")
        .clicked()
    {
        action = Some(Action::ToggleCine);
    }
    let mut fps = cine.fps;
    let [least, most] = Cine::RATES;
    let rate = DragValue::new(&mut fps)
        .suffix(" fps")
        .range(least..=most)
        .max_decimals(0);
    let rate = ui
        .add(rate)
        .on_hover_text("Slices a second")
        .accessible_name("Slices a second");
    if rate.changed() {
        action = Some(Action::SetCineRate(fps));
    }
    action
}

fn plane_ui(ui: &mut Ui, view: &VolumeView) -> Option<Action> {
    let mut action = None;
    for plane in Plane::ALL {
        let name = match plane {
            Plane::Axial => "Axial",
            Plane::Coronal => "Coronal",
            Plane::Sagittal => "Sagittal",
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

fn window_ui(ui: &mut Ui, view: &VolumeView) -> Option<Action> {
    let mut action = None;
    let presets = view.presets();
    let current = presets.iter().find(|preset| preset.window == view.window);
    let shown = current.map_or("Own window", |preset| preset.name.as_str());
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
        .accessible_name(format!("Window preset {shown}"));
    let Window {
        mut center,
        mut width,
        ..
    } = view.window;
    let speed = f64::from(width / 300.0).max(0.01);
    let center_field = DragValue::new(&mut center)
        .prefix("C ")
        .speed(speed)
        .max_decimals(2);
    let width_field = DragValue::new(&mut width)
        .prefix("W ")
        .speed(speed)
        .range(1.0..=100_000.0)
        .max_decimals(2);
    let changed = ui
        .add(center_field)
        .on_hover_text("Window center")
        .accessible_name("Window center")
        .changed()
        | ui.add(width_field)
            .on_hover_text("Window width")
            .accessible_name("Window width")
            .changed();
    if changed {
        action = Some(Action::SetWindow(view.window.moved(center, width)));
    }
    let invert = Button::selectable(view.invert, "Invert");
    if ui
        .add(invert)
        .on_hover_text("Exchange black and white (I)")
        .clicked()
    {
        action = Some(Action::ToggleInvert);
    }
    action
}
