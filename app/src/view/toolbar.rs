//! The line over the slice: plane, window, and the ways back.

use egui::{Button, ComboBox, DragValue, Frame, Panel, Ui};
use engine::imaging::{Plane, Window};

use super::slice::scale_id;
use crate::action::Action;
use crate::state::{Cine, Content, OpenSeries, ViewTurn, VolumeView, window_words};

/// The tools of the open series.
pub fn toolbar_ui(ui: &mut Ui, open: &OpenSeries, frame: Frame) -> Option<Action> {
    let mut action = None;
    Panel::top("tools").frame(frame).show(ui, |ui| {
        ui.horizontal_wrapped(|ui| {
            if let Content::Volume(view) = &open.content {
                action = plane_ui(ui, view).or(action.take());
                ui.separator();
                action = window_ui(ui, view).or(action.take());
                ui.separator();
            }
            let reset = ui
                .button("Reset")
                .on_hover_text("First window, fitted (Space, or double click)");
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
            action = actual_size_ui(ui).or(action.take());
            ui.separator();
            action = turns_ui(ui).or(action.take());
            if matches!(&open.content, Content::Volume(view) if view.count() > 1) {
                ui.separator();
                action = cine_ui(ui, open.cine).or(action.take());
            }
        });
    });
    action
}

fn actual_size_ui(ui: &mut Ui) -> Option<Action> {
    let button = ui
        .button("1:1")
        .on_hover_text("One pixel of the picture on one pixel of the screen")
        .accessible_name("Zoom 1:1");
    let scale: f32 = ui.data(|data| data.get_temp(scale_id()))?;
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
