//! The tools over the slice, each pressed by its name: what it does, and why it cannot be used.

use egui_kittest::kittest::AccessKitNode;
use engine::imaging::{Frames, Projection, Slab};
use workbench::state::{Camera, OpenSeries, Tool};

use super::*;

fn press(harness: &mut Harness<'_, Desk>, name: &str) {
    harness.get_by_role_and_label(Role::Button, name).click();
    harness.run_steps(3);
}

fn open<'a>(harness: &'a Harness<'_, Desk>) -> &'a OpenSeries {
    harness.state().state.viewer.open().unwrap()
}

/// A drag to the right and down over the middle of the slice.
fn drag(harness: &mut Harness<'_, Desk>) {
    let area = harness
        .get_by_role_and_label(Role::Image, &slice_name(harness))
        .rect();
    let from = area.center();
    drag_from_to(harness, from, from + vec2(80.0, 50.0));
}

/// A clip in colour instead of the CT.
fn clip_desk() -> Desk {
    let mut desk = ct_desk();
    let clip = series("us", "Heart", Modality::Other("US".to_owned()));
    desk.state.library.series.push(clip);
    desk.perform(Action::ShowSeries("us".to_owned()));
    let frames = (0..4).map(|level| RgbImage::from_pixel(64, 32, Rgb([40 * level, 0, 0])));
    let loaded = Loaded::Frames(Arc::new(Frames::new(frames).unwrap()));
    let id = "us".to_owned();
    desk.event(desk.last_job(), EventKind::SeriesLoaded { id, loaded });
    desk
}

#[test]
fn pan_moves_the_picture_and_zoom_enlarges_it() {
    let mut harness = harness(ct_desk());
    let window = slice_name(&harness);
    press(&mut harness, "Pan");
    drag(&mut harness);
    let [x, y] = open(&harness).camera.pan;
    assert!((x - 80.0).abs() < 1.0 && (y - 50.0).abs() < 1.0, "{x}, {y}");
    assert_eq!(open(&harness).camera.zoom, 1.0);
    press(&mut harness, "Zoom");
    drag(&mut harness);
    // Down makes it smaller: by 0.8 % a point.
    let zoom = open(&harness).camera.zoom;
    assert!((zoom - (-50.0 * 0.008_f32).exp()).abs() < 0.01, "{zoom}");
    assert_eq!(slice_name(&harness), window, "the window stayed");
    press(&mut harness, "Window");
    drag(&mut harness);
    assert_ne!(slice_name(&harness), window);
}

#[test]
fn fit_fits_and_reset_goes_back_to_the_first_window_and_side_too() {
    let mut harness = harness(ct_desk());
    let first = slice_name(&harness);
    let change = |harness: &mut Harness<'_, Desk>| {
        for key in [Key::Plus, Key::Num6, Key::R] {
            harness.key_press(key);
        }
        harness.run_steps(3);
        assert_eq!(open(harness).camera.zoom, 1.25);
        slice_name(harness)
    };
    let changed = change(&mut harness);
    press(&mut harness, "Fit");
    assert_eq!(open(&harness).camera, Camera::default());
    assert_eq!(slice_name(&harness), changed, "only the size");
    let _ = change(&mut harness);
    press(&mut harness, "Reset");
    assert_eq!(open(&harness).camera, Camera::default());
    assert_eq!(slice_name(&harness), first);
}

#[test]
fn each_button_turns_the_picture_its_way() {
    for (name, words) in [
        ("Flip horizontally", "flipped horizontally"),
        ("Flip vertically", "flipped vertically"),
        ("Rotate right", "rotated 90° right"),
        ("Rotate left", "rotated 90° left"),
    ] {
        let mut harness = harness(ct_desk());
        let before = slice_name(&harness);
        press(&mut harness, name);
        assert_eq!(slice_name(&harness), format!("{before}, {words}"));
    }
}

#[test]
fn cine_plays_as_fast_as_the_field_says_and_stops() {
    let mut harness = harness(ct_desk());
    let field = |harness: &Harness<'_, Desk>| {
        let field = harness.get_by_label("Slices a second").accesskit_node();
        field.numeric_value()
    };
    assert_eq!(field(&harness), Some(10.0));
    harness
        .get_by_label("Slices a second")
        .set_value_accesskit(30.0);
    harness.run_steps(3);
    assert_eq!(field(&harness), Some(30.0));
    assert_eq!(open(&harness).cine.fps, 30.0);
    press(&mut harness, "Cine");
    assert!(open(&harness).cine.playing);
    harness.run_steps(12);
    assert!(!slice_name(&harness).starts_with("Slice 11 "));
    press(&mut harness, "Cine");
    let stopped = slice_name(&harness);
    harness.run_steps(12);
    assert_eq!(slice_name(&harness), stopped);
}

#[test]
fn the_crosshair_is_shown_and_hidden_in_the_layout_menu() {
    let mut harness = harness(ct_desk());
    press(&mut harness, "MPR");
    for visible in [false, true] {
        press(&mut harness, "Layout");
        press(&mut harness, "Crosshair");
        assert_eq!(harness.state().state.viewer.crosshair_visible, visible);
    }
}

/// Are the tools there, and which of them can be used?
fn usable(harness: &Harness<'_, Desk>) -> Vec<bool> {
    let names = [
        "Window",
        "Pan",
        "Zoom",
        "Length",
        "Angle",
        "Rectangle",
        "Ellipse",
    ];
    let node = |name| harness.get_by_role_and_label(Role::Button, name);
    let enabled = |node: AccessKitNode<'_>| !node.is_disabled();
    let usable = names.map(|name| enabled(node(name).accesskit_node()));
    assert!(enabled(node("Measurements").accesskit_node()));
    assert!(enabled(node("Tags").accesskit_node()));
    usable.to_vec()
}

#[test]
fn the_tools_stay_where_nothing_can_be_measured_and_those_that_draw_say_why() {
    let all = vec![true; 7];
    let no_shapes = [vec![true; 3], vec![false; 4]].concat();
    // Window, rectangle and ellipse are about grey levels.
    let in_colour = vec![false, true, true, true, true, false, false];
    let mut slab = ct_desk();
    assert_eq!(usable(&harness(ct_desk())), all);
    slab.perform(Action::SetSlab(Some(Slab {
        projection: Projection::Maximum,
        mm: 10.0,
    })));
    for (desk, wanted, why) in [
        (slab, &no_shapes, "switch the slab off under Display"),
        (clip_desk(), &in_colour, "here is a picture in colour"),
    ] {
        let harness = harness(desk);
        assert_eq!(usable(&harness), *wanted);
        let reason = harness.state().state.check_tool(Tool::Ellipse);
        let reason = reason.unwrap_err();
        assert!(reason.contains(why), "{reason}");
    }
    // The active viewport is empty.
    let mut desk = clip_desk();
    desk.perform(Action::SetViewports(2));
    desk.perform(Action::Activate(1));
    assert_eq!(usable(&harness(desk)), no_shapes);
}

#[test]
fn pan_works_on_a_picture_in_colour() {
    let mut harness = harness(clip_desk());
    press(&mut harness, "Pan");
    assert_eq!(harness.state().state.measurements.tool, Tool::Pan);
    let area = harness.get_by_label_contains("Picture Heart").rect();
    drag_from_to(&mut harness, area.center(), area.center() + vec2(60.0, 0.0));
    let [x, _] = open(&harness).camera.pan;
    assert!((x - 60.0).abs() < 1.0, "{x}");
}

/// What the line below counts: volumes once, frames in colour too.
#[test]
fn frames_in_colour_are_counted_as_memory() {
    let mut desk = clip_desk();
    desk.state.memory_mib = Some(100.0);
    let mib = |desk: &Desk| desk.state.memory_use().unwrap().volumes_mib;
    let clip = 4.0 * 64.0 * 32.0 * 3.0 / f64::from(1 << 20);
    assert!((mib(&desk) - clip).abs() < 1e-9, "{}", mib(&desk));
    desk.perform(Action::AddPicture);
    assert!(
        (mib(&desk) - clip).abs() < 1e-9,
        "a frame of it, not another one"
    );
    desk.perform(Action::ShowSeries("s1".to_owned()));
    assert!(
        (mib(&desk) - clip / 4.0).abs() < 1e-9,
        "only the frame is left"
    );
}
