//! Measuring on the slice: a tool by its label, a drag, and the number in the list.

use super::*;
use engine::imaging::measure::Shape;
use workbench::state::{Kept, Measure, Notice, Tool};

/// The slice's picture on screen: its place, and where a column and row of the 40 x 32 slice lie.
struct OnSlice(egui::Rect);

impl OnSlice {
    fn of(harness: &Harness<'_, Desk>) -> Self {
        let name = slice_name(harness);
        let area = harness.get_by_role_and_label(Role::Image, &name).rect();
        let size = vec2(40.0, 32.0);
        let scale = (area.width() / size.x).min(area.height() / size.y);
        Self(egui::Rect::from_center_size(area.center(), size * scale))
    }

    fn at(&self, column: f32, row: f32) -> egui::Pos2 {
        self.0.lerp_inside(vec2(column / 40.0, row / 32.0))
    }
}

fn press(pos: egui::Pos2, pressed: bool) -> Event {
    Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    }
}

fn use_tool(harness: &mut Harness<'_, Desk>, name: &str) {
    harness.get_by_role_and_label(Role::Button, name).click();
    harness.run_steps(3);
}

/// Draws with a tool from column and row to column and row.
fn draw(harness: &mut Harness<'_, Desk>, tool: &str, from: [f32; 2], to: [f32; 2]) {
    use_tool(harness, tool);
    let slice = OnSlice::of(harness);
    drag_from_to(harness, slice.at(from[0], from[1]), slice.at(to[0], to[1]));
}

/// The names of what is measured, as the list has them.
fn listed(harness: &Harness<'_, Desk>) -> Vec<String> {
    let nodes = harness.query_all_by_role(Role::Button);
    let names = nodes.filter_map(|node| node.accesskit_node().label());
    names
        .filter(|name| {
            ["Length ", "Angle ", "Rectangle ", "Ellipse "]
                .iter()
                .any(|kind| name.starts_with(kind) && name.contains(": "))
        })
        .collect()
}

fn number(text: &str, before: &str) -> f64 {
    let rest = text.split(before).nth(1).expect(text);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-');
    rest[..end.unwrap_or(rest.len())].parse().expect(text)
}

#[test]
fn a_length_is_drawn_and_read_in_mm() {
    let mut harness = harness(ct_desk());
    // 20 columns of 0.8 mm are 16 mm.
    draw(&mut harness, "Length", [10.0, 16.0], [30.0, 16.0]);
    let names = listed(&harness);
    assert_eq!(names.len(), 1, "{names:?}");
    let mm = number(&names[0], "Length 1: ");
    assert!(
        (mm - 16.0).abs() < 0.15 && names[0].ends_with(" mm"),
        "{names:?}"
    );
}

#[test]
fn an_angle_takes_a_drag_and_a_click() {
    let mut harness = harness(ct_desk());
    draw(&mut harness, "Angle", [10.0, 20.0], [20.0, 20.0]);
    assert!(listed(&harness).is_empty(), "two points are no angle");
    let slice = OnSlice::of(&harness);
    harness.hover_at(slice.at(20.0, 5.0));
    harness.run_steps(2);
    harness.event(press(slice.at(20.0, 10.0), true));
    harness.event(press(slice.at(20.0, 10.0), false));
    harness.run_steps(4);
    let names = listed(&harness);
    assert_eq!(names.len(), 1, "{names:?}");
    let degrees = number(&names[0], "Angle 1: ");
    assert!((degrees - 90.0).abs() < 1.0, "{names:?}");
}

#[test]
fn a_rectangle_reads_mean_sd_min_max_and_area() {
    let mut harness = harness(ct_desk());
    // Air: 8 x 5 pixels of 0.8 x 0.8 mm.
    draw(&mut harness, "Rectangle", [1.0, 2.0], [9.0, 7.0]);
    let names = listed(&harness);
    let name = names.first().expect("a rectangle");
    assert!(
        name.contains("mean -1000 HU, SD 0.00 HU, min -1000 HU, max -1000 HU"),
        "{name}"
    );
    assert!((number(name, "area ") - 25.6).abs() < 0.5, "{name}");
    assert!(shows(&harness, "Histogram of Rectangle 1: 40 samples"));
}

#[test]
fn an_ellipse_over_the_ball_has_its_numbers_in_order() {
    let mut harness = harness(ct_desk());
    draw(&mut harness, "Ellipse", [17.0, 4.0], [33.0, 20.0]);
    let names = listed(&harness);
    let name = names.first().expect("an ellipse");
    let [mean, min, max] = ["mean ", "min ", "max "].map(|before| number(name, before));
    assert!(min <= mean && mean <= max && min < max, "{name}");
    // A circle of 16 columns: 64 pi pixels of 0.64 mm².
    assert!((number(name, "area ") - 128.7).abs() < 2.0, "{name}");
}

#[test]
fn a_measurement_is_chosen_deleted_and_brought_back() {
    let mut harness = harness(ct_desk());
    draw(&mut harness, "Length", [10.0, 16.0], [30.0, 16.0]);
    draw(&mut harness, "Length", [10.0, 20.0], [20.0, 20.0]);
    assert_eq!(listed(&harness).len(), 2);
    harness.key_press(Key::Backspace);
    harness.run_steps(3);
    let left = listed(&harness);
    assert!(
        left.len() == 1 && left[0].starts_with("Length 1"),
        "{left:?}"
    );
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run_steps(3);
    assert_eq!(listed(&harness).len(), 2, "undone");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Y);
    harness.run_steps(3);
    assert_eq!(listed(&harness).len(), 1, "done again");
    harness.get_by_role_and_label(Role::Button, "Undo").click();
    harness.run_steps(3);
    assert_eq!(listed(&harness).len(), 2, "by the button too");
    harness.get_by_label("Delete Length 1").click();
    harness.run_steps(3);
    let left = listed(&harness);
    assert!(
        left.len() == 1 && left[0].starts_with("Length 2"),
        "{left:?}"
    );
}

#[test]
fn undo_while_typing_is_the_texts_own() {
    let mut harness = harness(ct_desk());
    draw(&mut harness, "Length", [10.0, 16.0], [30.0, 16.0]);
    type_question(&mut harness, "abc");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.key_press(Key::Backspace);
    harness.run_steps(3);
    assert_eq!(listed(&harness).len(), 1);
}

#[test]
fn a_handle_and_a_line_can_be_dragged() {
    let mut harness = harness(ct_desk());
    draw(&mut harness, "Length", [10.0, 16.0], [30.0, 16.0]);
    use_tool(&mut harness, "Window");
    let window = slice_name(&harness);
    let slice = OnSlice::of(&harness);
    drag_from_to(&mut harness, slice.at(30.0, 16.0), slice.at(35.0, 16.0));
    let mm = number(&listed(&harness)[0], "Length 1: ");
    assert!((mm - 20.0).abs() < 0.2, "{mm}");
    drag_from_to(&mut harness, slice.at(20.0, 16.0), slice.at(20.0, 22.0));
    assert!(
        (number(&listed(&harness)[0], "Length 1: ") - mm).abs() < 0.2,
        "moved as a whole"
    );
    let book = &harness.state().state.measurements.books["s1"];
    let Shape::Length([[_, y0], [_, y1]]) = book.items[0].shape else {
        panic!("no length");
    };
    assert!(
        (y0 - 22.0).abs() < 0.5 && (y1 - 22.0).abs() < 0.5,
        "{y0}, {y1}"
    );
    assert_eq!(slice_name(&harness), window, "the window stayed");
}

/// One click beside the chosen shape lets go of it and moves the crosshair.
#[test]
fn a_click_beside_a_chosen_measurement_moves_the_crosshair_at_once() {
    let mut desk = ct_desk();
    let kept = Kept {
        at: engine::imaging::SliceAt::acquired(engine::imaging::Plane::Axial, 10),
        shape: Shape::Length([[10.0, 8.0], [30.0, 8.0]]),
        mm: None,
    };
    let _ = desk.state.recalled("s1", &[kept]);
    desk.perform(Action::ShowPlanes);
    let mut harness = harness(desk);
    let selected = |harness: &Harness<'_, Desk>| {
        let state = &harness.state().state;
        state.measurements.selected_in("s1")
    };
    let crosshair = |harness: &Harness<'_, Desk>| harness.state().state.viewer.crosshair;
    let before = crosshair(&harness);
    let slice = OnSlice::of(&harness);
    click_at(&mut harness, slice.at(20.0, 8.0));
    assert_eq!(selected(&harness), Some(1));
    assert_eq!(crosshair(&harness), before);
    harness.run_steps(60); // the next click is another one
    click_at(&mut harness, slice.at(12.5, 20.5));
    assert_eq!(selected(&harness), None);
    let place = crosshair(&harness).expect("a place");
    let [x, y, _] = place;
    assert!((x + 6.4).abs() < 0.9 && (y - 3.2).abs() < 0.9, "{place:?}");
}

#[test]
fn a_click_without_a_drag_draws_nothing() {
    let mut harness = harness(ct_desk());
    use_tool(&mut harness, "Rectangle");
    let at = OnSlice::of(&harness).at(20.0, 10.0);
    harness.hover_at(at);
    harness.event(press(at, true));
    harness.event(press(at, false));
    harness.run_steps(4);
    assert!(listed(&harness).is_empty());
    assert!(harness.state().state.measurements.gesture.is_none());
}

#[test]
fn measurements_stay_on_their_slice_and_the_list_leads_back() {
    let mut harness = harness(ct_desk());
    draw(&mut harness, "Length", [10.0, 16.0], [30.0, 16.0]);
    harness.key_press(Key::Home);
    harness.run_steps(3);
    assert!(slice_name(&harness).starts_with("Slice 1 of 20"));
    let name = listed(&harness).remove(0);
    harness.get_by_role_and_label(Role::Button, &name).click();
    harness.run_steps(3);
    assert!(slice_name(&harness).starts_with("Slice 11 of 20"));
}

#[test]
fn without_geometry_lengths_are_in_pixels() {
    let mut desk = Desk::default();
    desk.perform(Action::OpenPaths(vec!["scans".into()]));
    let series = vec![series("s1", "Knee", Modality::Ct)];
    let skipped = Vec::new();
    desk.event(1, EventKind::ScanDone { series, skipped });
    let volume = Volume {
        calibrated: false,
        scale: engine::imaging::Scale::Unknown,
        ..ct_volume()
    };
    let loaded = Loaded::Volume(Arc::new(volume));
    let id = "s1".to_owned();
    desk.event(desk.last_job(), EventKind::SeriesLoaded { id, loaded });
    let mut harness = harness(desk);
    draw(&mut harness, "Length", [10.0, 16.0], [30.0, 16.0]);
    let names = listed(&harness);
    assert!(
        (number(&names[0], "Length 1: ") - 20.0).abs() < 0.2,
        "{names:?}"
    );
    assert!(names[0].ends_with(" px"), "{names:?}");
}

#[test]
fn what_is_measured_is_kept_with_the_series_and_comes_back() {
    let mut first = harness(ct_desk());
    draw(&mut first, "Length", [10.0, 16.0], [30.0, 16.0]);
    let effects = &first.state().effects;
    let kept = effects.iter().rev().find_map(|effect| match effect {
        Effect::KeepMeasurements(series, kept) => Some((series.clone(), kept.clone())),
        _ => None,
    });
    let (series, kept) = kept.expect("it is to be kept");
    assert_eq!(series, "s1");

    let folder = tempfile::tempdir().unwrap();
    let store = workbench::store::Store::at(folder.path());
    store.keep_measurements("b00cafbca52cf328", &kept).unwrap();
    let again: Vec<Kept> = store.measurements("b00cafbca52cf328").value;
    assert_eq!(again, kept);

    let mut desk = ct_desk();
    assert_eq!(desk.state.recalled("s1", &again).map(|_| ()), None);
    desk.effects.clear();
    let second = harness(desk);
    assert_eq!(listed(&second), listed(&first));
}

#[test]
fn what_was_kept_is_asked_for_when_a_series_opens_the_first_time() {
    let mut desk = Desk::default();
    desk.perform(Action::OpenPaths(vec!["scans".into()]));
    let series = vec![series("s1", "Knee", Modality::Ct)];
    let skipped = Vec::new();
    desk.event(1, EventKind::ScanDone { series, skipped });
    let open = |desk: &mut Desk| {
        let loaded = Loaded::Volume(Arc::new(ct_volume()));
        let id = "s1".to_owned();
        desk.event(desk.last_job(), EventKind::SeriesLoaded { id, loaded });
        let recalls = |effect: &Effect| matches!(effect, Effect::RecallMeasurements(_));
        desk.state.refresh().iter().any(recalls)
    };
    assert!(open(&mut desk));
    desk.perform(Action::ShowSeries("s1".to_owned()));
    assert!(!open(&mut desk), "the window still has them");
}

#[test]
fn a_kept_shape_that_does_not_fit_the_volume_is_left_out() {
    let mut desk = ct_desk();
    let shape = Shape::Length([[1.0, 1.0], [2.0, 2.0]]);
    let kept = |index, shape| Kept {
        at: engine::imaging::SliceAt::acquired(engine::imaging::Plane::Axial, index),
        shape,
        mm: None,
    };
    let odd = Shape::Length([[f64::NAN, 0.0], [1.0, 1.0]]);
    let all = [kept(3, shape), kept(999, shape), kept(3, odd)];
    let _ = desk.state.recalled("s1", &all);
    assert_eq!(desk.state.measurements.books["s1"].items.len(), 1);
}

#[test]
fn lengths_on_frames_in_colour_are_in_pixels_or_in_mm_where_the_spacing_is_known() {
    for (spacing_mm, unit, wanted) in [(None, " px", 4.0), (Some([0.5, 0.25]), " mm", 2.0)] {
        let mut desk = Desk::default();
        desk.perform(Action::OpenPaths(vec!["clips".into()]));
        let found = EventKind::ScanDone {
            series: vec![series("s2", "Heart", Modality::Other("US".to_owned()))],
            skipped: Vec::new(),
        };
        desk.event(1, found);
        let picture = |level| RgbImage::from_pixel(8, 6, Rgb([level; 3]));
        let mut frames = engine::imaging::Frames::new([1, 2].map(picture)).unwrap();
        frames.spacing_mm = spacing_mm;
        let loaded = EventKind::SeriesLoaded {
            id: "s2".to_owned(),
            loaded: Loaded::Frames(Arc::new(frames)),
        };
        desk.event(2, loaded);
        let mut harness = harness(desk);
        assert!(shows(&harness, "Choose Length or Angle"));
        let button = |name| {
            let node = harness.get_by_role_and_label(Role::Button, name);
            !node.accesskit_node().is_disabled()
        };
        assert_eq!(
            ["Rectangle", "Window", "Angle"].map(button),
            [false, false, true]
        );
        use_tool(&mut harness, "Length");
        let area = harness
            .get_by_role_and_label(Role::Image, "Picture Heart, Frame 1 of 2")
            .rect();
        let scale = (area.width() / 8.0).min(area.height() / 6.0);
        let place = egui::Rect::from_center_size(area.center(), vec2(8.0, 6.0) * scale);
        let at = |column: f32| place.lerp_inside(vec2(column / 8.0, 0.5));
        drag_from_to(&mut harness, at(2.0), at(6.0));
        let name = listed(&harness).pop().expect("a length");
        assert!((number(&name, ": ") - wanted).abs() < 0.05, "{name}");
        assert!(name.ends_with(unit), "{name}");
        // It belongs to its frame, and the list leads back to it.
        harness.key_press(Key::ArrowDown);
        harness.run_steps(3);
        let on = |harness: &Harness<'_, Desk>| {
            let state = &harness.state().state;
            let (frame, _) = state.slice_on_screen().unwrap();
            state.measurements.on(&frame).count()
        };
        assert_eq!(on(&harness), 0);
        harness.get_by_role_and_label(Role::Button, &name).click();
        harness.run_steps(3);
        assert_eq!(on(&harness), 1);
        assert!(harness.state().state.measurements.histogram.is_none());
    }
}

/// The CT with only these of its slices.
fn some_slices(of: std::ops::Range<usize>) -> Volume {
    let all = ct_volume();
    let Voxels::I16(voxels) = &all.voxels else {
        panic!("the CT has 16 bits");
    };
    let area = all.size[0] * all.size[1];
    let voxels = voxels[area * of.start..area * of.end].to_vec();
    let mut affine = all.patient_from_voxel;
    affine.0[2][3] += 2.5 * of.start as f64;
    Volume {
        size: [all.size[0], all.size[1], of.len()],
        voxels: Voxels::I16(voxels),
        patient_from_voxel: affine,
        ..all
    }
}

#[test]
fn with_other_files_of_its_series_a_measurement_is_on_the_slice_where_it_was_drawn() {
    let mut first = harness(ct_desk());
    draw(&mut first, "Length", [10.0, 16.0], [30.0, 16.0]);
    let all = first.state().state.measurements.books["s1"].kept();
    let index = all[0].at.index;
    let open = |desk: &mut Desk, of: std::ops::Range<usize>| {
        desk.state.viewer.volume_mut().unwrap().volume = Arc::new(some_slices(of));
    };
    let shown = |desk: &Desk| -> Vec<usize> {
        let items = desk.state.measurements.books["s1"].items.iter();
        items.map(|item| item.at.index).collect()
    };
    let mut desk = ct_desk();
    open(&mut desk, 4..20);
    let _ = desk.state.recalled("s1", &all);
    assert_eq!(shown(&desk), [index - 4]);
    assert!(desk.state.notice.is_none());
    // Without that slice it is not shown, which is said, and it stays kept with what is drawn now.
    let mut desk = ct_desk();
    open(&mut desk, 0..index);
    let _ = desk.state.recalled("s1", &all);
    assert!(shown(&desk).is_empty());
    let said = |desk: &Desk| matches!(&desk.state.notice, Some(Notice::Failed(text)) if text.ends_with(": 1"));
    assert!(said(&desk), "{:?}", desk.state.notice);
    assert_eq!(desk.state.measurements.books["s1"].kept(), all);
    // The same while the window is open: the files of the series are others, and all of them again.
    for (of, at) in [
        (0..20, vec![index]),
        (2..20, vec![index - 2]),
        (0..3, vec![]),
    ] {
        desk.state.notice = None;
        open(&mut desk, of);
        let _ = desk.state.refresh();
        assert_eq!(shown(&desk), at);
        assert_eq!(said(&desk), at.is_empty());
    }
}

#[test]
fn a_held_key_lends_the_tool_and_a_short_press_keeps_it() {
    let mut harness = harness(ct_desk());
    let tool = |harness: &Harness<'_, Desk>| harness.state().state.measurements.tool;
    let slice = OnSlice::of(&harness);
    harness.key_down(Key::P);
    harness.run_steps(2);
    assert_eq!(tool(&harness), Tool::Pan);
    let window = slice_name(&harness);
    drag_from_to(&mut harness, slice.at(10.0, 10.0), slice.at(15.0, 12.0));
    assert_eq!(slice_name(&harness), window, "the drag panned");
    let pan = harness.state().state.viewer.open().unwrap().camera.pan;
    assert!(pan[0] > 20.0, "{pan:?}");
    harness.key_up(Key::P);
    harness.run_steps(3);
    assert_eq!(tool(&harness), Tool::Window, "given back");
    harness.key_press(Key::Z);
    harness.run_steps(4);
    assert_eq!(tool(&harness), Tool::Zoom, "a short press stays");
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert_eq!(tool(&harness), Tool::Window, "Esc puts it down");
}

#[test]
fn escape_abandons_the_shape_under_the_mouse() {
    let mut harness = harness(ct_desk());
    draw(&mut harness, "Angle", [10.0, 20.0], [20.0, 20.0]);
    assert!(harness.state().state.measurements.gesture.is_some());
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert!(harness.state().state.measurements.gesture.is_none());
    assert!(listed(&harness).is_empty());
}

#[test]
fn the_list_can_be_hidden_and_shown_and_the_choice_is_kept() {
    let mut harness = harness(ct_desk());
    assert!(shows(&harness, "Nothing is measured yet"));
    harness
        .get_by_role_and_label(Role::Button, "Measurements")
        .click();
    harness.run_steps(3);
    assert!(!shows(&harness, "Nothing is measured yet"));
    let kept = harness.state().effects.last();
    assert!(
        matches!(kept, Some(Effect::KeepSettings(s)) if s.panels.measurements_closed),
        "{kept:?}"
    );
    harness.key_press(Key::N);
    harness.run_steps(3);
    assert!(shows(&harness, "Nothing is measured yet"));
}

#[test]
fn all_can_be_deleted_and_brought_back_at_once() {
    let mut desk = ct_desk();
    let kept = |row: f64| Kept {
        at: engine::imaging::SliceAt::acquired(engine::imaging::Plane::Axial, 10),
        shape: Shape::Length([[1.0, row], [9.0, row]]),
        mm: None,
    };
    let _ = desk
        .state
        .recalled("s1", &[kept(1.0), kept(2.0), kept(3.0)]);
    desk.perform(Action::Measure(Measure::DeleteAll));
    assert!(desk.state.measurements.books["s1"].items.is_empty());
    desk.perform(Action::Measure(Measure::Undo));
    assert_eq!(desk.state.measurements.books["s1"].items.len(), 3);
}

#[test]
fn an_oblique_volume_is_measured_along_the_patient_too() {
    let mut desk = ct_desk();
    desk.state.viewer.volume_mut().unwrap().volume = Arc::new(turned_ct_volume());
    desk.perform(Action::SetAxes(engine::imaging::Axes::Patient));
    let mut harness = harness(desk);
    use_tool(&mut harness, "Length");
    let area = harness
        .get_by_role_and_label(Role::Image, &slice_name(&harness))
        .rect();
    let view = harness.state().state.viewer.viewport().volume().unwrap();
    let [columns, rows, _] = view.grid().size.map(|n| n as f32);
    let scale = (area.width() / columns).min(area.height() / rows);
    let place = egui::Rect::from_center_size(area.center(), vec2(columns, rows) * scale);
    let at = |x: f32, y: f32| place.lerp_inside(vec2(x / columns, y / rows));
    drag_from_to(&mut harness, at(12.0, 20.0), at(22.0, 20.0));
    // Pixels of 0.8 mm, the finest spacing of the voxels.
    let name = listed(&harness).pop().unwrap();
    let mm = number(&name, ": ");
    assert!((mm - 8.0).abs() < 0.15, "{name}");
    assert!(shows(&harness, "patient axes"));

    // On the slice along the voxels there is nothing, and choosing it in the list leads back.
    harness
        .state_mut()
        .perform(Action::SetAxes(engine::imaging::Axes::Acquired));
    harness.run_steps(2);
    let on = |harness: &Harness<'_, Desk>| {
        let state = &harness.state().state;
        let (slice, _) = state.slice_on_screen().unwrap();
        state.measurements.on(&slice).count()
    };
    assert_eq!(on(&harness), 0);
    harness.get_by_role_and_label(Role::Button, &name).click();
    harness.run_steps(3);
    assert_eq!(on(&harness), 1);
    let kept = harness.state().state.measurements.books["s1"].kept();
    assert_eq!(kept[0].at.axes, engine::imaging::Axes::Patient);
}
