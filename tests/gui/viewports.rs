//! One to four viewports: planes of one volume, the crosshair that links them, and what the mouse does in each.

use engine::imaging::Note;
use workbench::state::VolumeView;

use super::*;

/// The names of all slices on screen.
fn slice_names(harness: &Harness<'_, Desk>) -> Vec<String> {
    let images = harness.query_all_by_role(Role::Image);
    let names = images.filter_map(|node| node.accesskit_node().label());
    names.filter(|name| name.starts_with("Slice ")).collect()
}

fn center_of(harness: &Harness<'_, Desk>, plane: &str) -> egui::Pos2 {
    let name = slice_names(harness)
        .into_iter()
        .find(|name| name.contains(plane))
        .unwrap();
    harness
        .get_by_role_and_label(Role::Image, &name)
        .rect()
        .center()
}

fn planes<'a>() -> Harness<'a, Desk> {
    let mut harness = harness(ct_desk());
    harness.get_by_label("MPR").click();
    harness.run();
    harness
}

fn views<'a>(harness: &'a Harness<'_, Desk>) -> Vec<&'a VolumeView> {
    let viewports = harness.state().state.viewer.viewports.iter();
    viewports.filter_map(|viewport| viewport.volume()).collect()
}

#[test]
fn mpr_shows_axial_coronal_and_sagittal_slices_of_the_volume() {
    let mut harness = planes();
    let names = slice_names(&harness);
    assert_eq!(names.len(), 3, "{names:?}");
    for (name, start) in names.iter().zip([
        "Slice 11 of 20, axial",
        "Slice 17 of 32, coronal",
        "Slice 21 of 40, sagittal",
    ]) {
        assert!(name.starts_with(start), "{names:?}");
    }
    let volumes: Vec<_> = views(&harness)
        .iter()
        .map(|view| Arc::as_ptr(&view.volume))
        .collect();
    assert!(
        volumes.iter().all(|volume| *volume == volumes[0]),
        "one volume in memory"
    );
    harness.get_by_label("MPR").click();
    harness.run();
    assert_eq!(slice_names(&harness).len(), 1);
}

#[test]
fn a_click_shows_the_same_place_in_every_plane() {
    let mut harness = planes();
    let axial = center_of(&harness, "axial");
    click_at(&mut harness, axial + vec2(60.0, -40.0));
    let place = harness.state().state.viewer.crosshair.unwrap();
    let views = views(&harness);
    let volume = &views[0].volume;
    let voxel = volume.patient_from_voxel.inverse().unwrap().apply(place);
    let [i, j, k] = voxel.map(|x| x.round() as usize);
    assert!(i > 20 && j < 16, "right of and above the middle: {voxel:?}");
    assert_eq!(views[0].index(), k);
    assert_eq!((views[1].index(), views[2].index()), (j, i));
    // Without a pointer over them all viewports read out that place.
    harness.hover_at(egui::pos2(5.0, 5.0));
    harness.run();
    let wanted = format!("voxel {i}, {j}, {k}");
    assert_eq!(harness.query_all_by_label_contains(&wanted).count(), 3);
}

#[test]
fn scrolling_one_plane_moves_the_crosshair_and_makes_its_viewport_active() {
    let mut harness = planes();
    let coronal = center_of(&harness, "coronal");
    harness.hover_at(coronal);
    harness.run();
    harness.event(Event::MouseWheel {
        unit: MouseWheelUnit::Line,
        delta: vec2(0.0, -2.0),
        phase: TouchPhase::Move,
        source: egui::MouseWheelSource::Unknown,
        modifiers: Modifiers::NONE,
    });
    harness.run_steps(8);
    let viewer = &harness.state().state.viewer;
    assert_eq!(viewer.active, 1);
    assert_eq!(views(&harness)[1].index(), 18);
    let [_, y, _] = viewer.crosshair.unwrap();
    // Slice 19 of 32 is j = 18: 18 * 0.8 - 12.8 mm.
    assert!((y - 1.6).abs() < 1e-6, "{y}");
}

#[test]
fn left_and_right_choose_the_viewport_and_keys_act_on_it() {
    let mut harness = planes();
    harness.key_press(Key::ArrowRight);
    harness.run();
    assert_eq!(harness.state().state.viewer.active, 1);
    harness.key_press(Key::Home);
    harness.run();
    let names = slice_names(&harness);
    assert!(names[0].starts_with("Slice 11 of 20"), "{names:?}");
    assert!(
        names[1].starts_with("Slice 1 of 32") && names[1].ends_with("active"),
        "{names:?}"
    );
    harness.key_press(Key::ArrowLeft);
    harness.key_press(Key::ArrowLeft);
    harness.run();
    assert_eq!(harness.state().state.viewer.active, 2);
}

/// A click gives the focus to a viewport; keys go on to do what they do there, in the viewport that is active by then.
#[test]
fn after_a_click_left_and_right_lead_on_and_keys_act_where_they_lead() {
    let mut harness = planes();
    let axial = center_of(&harness, "axial");
    click_at(&mut harness, axial + vec2(30.0, 20.0));
    harness.key_press(Key::ArrowRight);
    harness.run_steps(3);
    assert_eq!(harness.state().state.viewer.active, 1);
    let coronal = slice_names(&harness).remove(1);
    let node = harness.get_by_role_and_label(Role::Image, &coronal);
    assert!(node.is_focused(), "the focus goes along");
    for (key, start) in [
        (Key::Home, "Slice 1 of 32"),
        (Key::ArrowDown, "Slice 2 of 32"),
        (Key::End, "Slice 32 of 32"),
        (Key::ArrowUp, "Slice 31 of 32"),
    ] {
        harness.key_press(key);
        harness.run_steps(3);
        let name = slice_names(&harness).remove(1);
        assert!(name.starts_with(start), "{key:?}: {name}");
    }
    let zoom = |harness: &Harness<'_, Desk>| {
        let open = harness.state().state.viewer.viewports[1].open();
        open.unwrap().camera.zoom
    };
    harness.key_press(Key::Plus);
    harness.run_steps(3);
    assert_eq!(zoom(&harness), 1.25);
    harness.key_press(Key::Space);
    harness.run_steps(3);
    assert_eq!(zoom(&harness), 1.0);
    for active in [0, 2] {
        harness.key_press(Key::ArrowLeft);
        harness.run_steps(3);
        assert_eq!(harness.state().state.viewer.active, active);
    }
}

#[test]
fn an_empty_viewport_lets_the_keys_through_too() {
    let mut desk = ct_desk();
    let view = desk.state.viewer.volume_mut().unwrap();
    Arc::make_mut(&mut view.volume).planes_off = Some(Note::NoPositions);
    desk.perform(Action::SetViewports(2));
    let mut harness = harness(desk);
    let axial = center_of(&harness, "axial");
    click_at(&mut harness, axial);
    for active in [1, 0] {
        harness.key_press(Key::ArrowRight);
        harness.run_steps(3);
        assert_eq!(harness.state().state.viewer.active, active);
    }
    harness.key_press(Key::Home);
    harness.run_steps(3);
    assert!(slice_name(&harness).starts_with("Slice 1 of 20"));
}

#[test]
fn the_crosshair_follows_the_pointer_while_shift_is_down() {
    let mut harness = planes();
    let axial = center_of(&harness, "axial");
    let move_to = |harness: &mut Harness<'_, Desk>, at, modifiers| {
        harness.event_modifiers(Event::PointerMoved(at), modifiers);
        harness.run_steps(3);
        views(harness).iter().map(|view| view.index()).collect()
    };
    let before: Vec<usize> = move_to(&mut harness, axial, Modifiers::NONE);
    let still: Vec<usize> = move_to(&mut harness, axial + vec2(60.0, -40.0), Modifiers::NONE);
    assert_eq!(still, before, "without Shift it stays");
    let mut last = before;
    for by in [vec2(50.0, -30.0), vec2(80.0, -60.0)] {
        let now: Vec<usize> = move_to(&mut harness, axial + by, Modifiers::SHIFT);
        assert!(now[1] < last[1] && now[2] > last[2], "{last:?} {now:?}");
        assert_eq!(now[0], last[0], "the axial slice stays");
        last = now;
    }
    // Not while a capital letter is typed.
    harness.get_by_label("Question").focus();
    harness.run_steps(2);
    let typing: Vec<usize> = move_to(&mut harness, axial, Modifiers::SHIFT);
    assert_eq!(typing, last);
}

#[test]
fn a_cine_ends_where_another_viewport_becomes_the_active_one() {
    let mut harness = planes();
    let playing = |harness: &Harness<'_, Desk>| {
        let viewports = harness.state().state.viewer.viewports.iter();
        viewports.filter(|v| v.open().unwrap().cine.playing).count()
    };
    harness.key_press(Key::C);
    harness.run_steps(3);
    assert_eq!(playing(&harness), 1);
    harness.key_press(Key::ArrowRight);
    harness.run_steps(3);
    assert_eq!(playing(&harness), 0);
    let before = slice_names(&harness);
    harness.key_press(Key::ArrowLeft);
    harness.run_steps(12);
    let stands = slice_names(&harness).remove(0);
    let was = before[0].split(", window").next().unwrap();
    assert!(stands.starts_with(was), "{stands} after {was}");
}

#[test]
fn the_patients_axes_are_those_of_all_viewports_of_a_volume() {
    let mut desk = ct_desk();
    desk.state.viewer.volume_mut().unwrap().volume = Arc::new(turned_ct_volume());
    desk.perform(Action::ShowPlanes);
    for axes in [
        engine::imaging::Axes::Patient,
        engine::imaging::Axes::Acquired,
    ] {
        desk.perform(Action::SetAxes(axes));
        let viewports = desk.state.viewer.viewports.iter();
        let views = viewports.filter_map(|viewport| viewport.volume());
        assert!(views.into_iter().all(|view| view.axes == axes));
    }
}

#[test]
fn a_viewport_that_was_not_drawn_yet_is_taken_to_be_like_the_others() {
    let mut desk = ct_desk();
    desk.perform(Action::SetViewports(2));
    desk.state.viewer.areas = vec![Some([500.0, 320.0]), None];
    for number in [0, 1] {
        let view = desk.state.viewer.viewports[number].volume_mut().unwrap();
        view.plane = engine::imaging::Plane::Coronal;
    }
    desk.perform(Action::Zoom {
        factor: 1.5,
        about: [0.0; 2],
    });
    let viewports = desk.state.viewer.viewports.iter();
    let zooms: Vec<f32> = viewports.map(|v| v.open().unwrap().camera.zoom).collect();
    assert_eq!(zooms, [1.5, 1.5]);
}

#[test]
fn the_window_of_one_plane_is_that_of_all() {
    let mut harness = planes();
    harness.key_press(Key::Num6);
    harness.run();
    let names = slice_names(&harness);
    assert!(
        names
            .iter()
            .all(|name| name.contains("window C 350 W 2000")),
        "{names:?}"
    );
}

#[test]
fn a_double_click_shows_one_viewport_alone_and_another_all_again() {
    let mut harness = planes();
    for count in [1, 3] {
        let at = center_of(&harness, "axial");
        clicks_at(&mut harness, at, 2);
        assert_eq!(slice_names(&harness).len(), count);
        harness.run_steps(60); // the next click is another one
    }
}

#[test]
fn the_layout_menu_shows_up_to_four_viewports() {
    let mut harness = harness(ct_desk());
    for count in [4, 2, 1] {
        harness.get_by_label("Layout").click();
        harness.run();
        let name = if count == 1 {
            "1 viewport".to_owned()
        } else {
            format!("{count} viewports")
        };
        harness.get_by_label(&name).click();
        harness.run();
        let names = slice_names(&harness);
        assert_eq!(names.len(), count, "{names:?}");
        if count == 4 {
            assert!(names[3].contains("MIP 20 mm"), "{names:?}");
        }
        harness.key_press(Key::Escape);
        harness.run();
    }
}

#[test]
fn the_reason_is_said_where_other_planes_are_off() {
    let mut desk = ct_desk();
    let mut volume = ct_volume();
    let why =
        "slices are 2.50 to 5.00 mm apart: planes across the slices would be distorted and are off";
    volume.planes_off = Some(Note::Uneven {
        low_mm: 2.5,
        high_mm: 5.0,
    });
    let view = desk.state.viewer.volume_mut().unwrap();
    view.volume = Arc::new(volume);
    let mut harness = harness(desk);
    for button in ["MPR", "Coronal", "Sagittal"] {
        let button = harness.get_by_role_and_label(Role::Button, button);
        assert!(button.accesskit_node().is_disabled());
    }
    harness.get_by_label("Layout").click();
    harness.run();
    assert!(shows(&harness, why));
}

#[test]
fn colours_slabs_and_axes_are_chosen_by_name() {
    let mut harness = harness(ct_desk());
    let mut choose = |name: &str, said: &str| {
        harness.get_by_label("Display").click();
        harness.run();
        harness.get_by_label(name).click();
        harness.run();
        harness.key_press(Key::Escape);
        harness.run();
        assert!(
            slice_name(&harness).contains(said),
            "{}",
            slice_name(&harness)
        );
    };
    choose("Inferno", "Inferno");
    choose("MIP 10 mm", "MIP 10 mm");
    choose("One slice", "Inferno");
    harness.get_by_label("Display").click();
    harness.run();
    // This volume lies straight, so there is nothing to choose.
    let axes = harness.get_by_role_and_label(Role::Button, "The patient's axes");
    assert!(axes.accesskit_node().is_disabled());
}

#[test]
fn an_oblique_volume_is_shown_along_its_voxels_or_along_the_patient() {
    let mut desk = ct_desk();
    desk.state.viewer.volume_mut().unwrap().volume = Arc::new(turned_ct_volume());
    let mut harness = harness(desk);
    let letters = |harness: &Harness<'_, Desk>| {
        let view = views(harness)[0].clone();
        let grid = view.grid();
        (grid.right().letters(), grid.down().letters())
    };
    assert_eq!(letters(&harness), ("LP".to_owned(), "PR".to_owned()));
    harness.get_by_label("Display").click();
    harness.run();
    harness.get_by_label("The patient's axes").click();
    harness.run();
    assert_eq!(letters(&harness), ("L".to_owned(), "P".to_owned()));
    assert!(slice_name(&harness).contains("patient axes"));
    // What the model gets is cut the same way.
    let open = harness.state().state.viewer.open().unwrap();
    let view = open.evidence().picture.view.unwrap();
    assert_eq!(view.axes, engine::imaging::Axes::Patient);
}

#[test]
fn the_read_out_says_place_voxel_stored_value_and_hu() {
    let mut desk = ct_desk();
    let mut volume = ct_volume();
    volume.rescale = vec![engine::imaging::Rescale {
        slope: 2.0,
        intercept: -1024.0,
    }];
    desk.state.viewer.volume_mut().unwrap().volume = Arc::new(volume);
    let mut harness = harness(desk);
    let center = harness
        .get_by_role_and_label(Role::Image, &slice_name(&harness))
        .rect()
        .center();
    harness.hover_at(center + vec2(1.0, 1.0));
    harness.run();
    // The middle of 40 x 32 voxels is voxel 20, 16; slice 11 is k = 10. The ball has 40 + 40 + 180 - 112 = 148 there.
    let wanted = "P 0.0  S 0.0 mm   voxel 20, 16, 10   raw 148   -728 HU";
    assert!(shows(&harness, wanted), "no {wanted}");
}

/// What is on screen is the largest value through the slab, not the one of the voxel in its middle.
#[test]
fn the_read_out_of_a_slab_is_what_the_slab_shows() {
    let mut harness = harness(ct_desk());
    for name in ["MIP 20 mm", "MinIP 10 mm", "Mean 5 mm"] {
        harness.get_by_label("Display").click();
        harness.run();
        harness.get_by_label(name).click();
        harness.run();
        let at = harness
            .get_by_role_and_label(Role::Image, &slice_name(&harness))
            .rect()
            .center();
        harness.hover_at(at + vec2(1.0, 1.0));
        harness.run();
        let shown = views(&harness)[0].clone();
        let slice = shown.volume.cut(&shown.descriptor()).unwrap();
        // The middle of 40 x 32 pixels is column 20 of row 16.
        let value = slice.samples[16 * 40 + 20];
        let wanted = format!("P 0.0  S 0.0 mm   {name}: {value:.0} HU");
        assert!(shows(&harness, &wanted), "no {wanted}");
        let middle = shown.volume.sample([20, 16, 10]);
        assert!(name == "Mean 5 mm" || value != middle, "nothing was tested");
    }
}

#[test]
fn another_volume_of_a_4d_file_is_looked_at_as_the_one_before() {
    let mut desk = ct_desk();
    let open = desk.state.viewer.open_mut().unwrap();
    open.series.volumes = 5;
    open.series.format = Format::Nifti;
    desk.perform(Action::SetSlice(3));
    desk.perform(Action::ShowVolume(2));
    let Some(Effect::Send {
        command: Command::LoadSeries { series },
        ..
    }) = desk.effects.last()
    else {
        panic!("{:?}", desk.effects);
    };
    assert_eq!(
        (series.id.as_str(), series.frames.as_slice()),
        ("s1-3", &[2][..])
    );
    let job = desk.last_job();
    let loaded = EventKind::SeriesLoaded {
        id: "s1-3".to_owned(),
        loaded: Loaded::Volume(Arc::new(ct_volume())),
    };
    desk.event(job, loaded);
    let mut harness = harness(desk);
    assert!(slice_name(&harness).starts_with("Slice 4 of 20"));
    let slider = harness.get_by_role_and_label(Role::Slider, "Volume");
    assert_eq!(slider.accesskit_node().numeric_value(), Some(3.0));
    slider.focus();
    harness.run();
    harness.key_press(Key::ArrowRight);
    harness.run_steps(2);
    let Some(Effect::Send {
        command: Command::LoadSeries { series },
        ..
    }) = harness.state().effects.last()
    else {
        panic!("{:?}", harness.state().effects);
    };
    assert_eq!(series.frames, [3]);
}

#[test]
fn a_slice_is_shown_while_the_others_are_read() {
    let mut desk = Desk::default();
    desk.perform(Action::OpenPaths(vec!["scans".into()]));
    let found = EventKind::ScanDone {
        series: vec![series("s1", "Long", Modality::Ct)],
        skipped: Vec::new(),
    };
    desk.event(1, found);
    let one = Volume::new([4, 3, 1], Voxels::I16(vec![5; 12]), Affine::IDENTITY);
    let first = EventKind::FirstSlice {
        id: "s1".to_owned(),
        volume: Arc::new(one),
    };
    desk.event(2, first);
    let mut harness = harness(desk);
    harness.run_steps(3);
    assert!(shows(&harness, "Loading Long…"));
    assert_eq!(harness.state().pictures.slice_uploads, 1);
}

#[test]
fn the_first_image_found_is_shown_while_the_scan_goes_on() {
    let mut desk = Desk::default();
    desk.perform(Action::OpenPaths(vec!["scans".into()]));
    let one = Volume::new([4, 3, 1], Voxels::I16(vec![5; 12]), Affine::IDENTITY);
    let found = EventKind::FirstFound {
        series: Box::new(series("s0", "Long", Modality::Ct)),
        volume: Arc::new(one),
    };
    desk.event(1, found);
    assert!(desk.state.viewer.viewport().waits_for("s0"));
    let mut stopped = desk;
    stopped.event(1, EventKind::Failed(Arc::new(Error::Stopped)));
    assert!(stopped.state.viewer.series_id().is_none());
}

#[test]
fn series_that_were_not_opened_get_small_pictures_when_nothing_else_is_read() {
    let mut desk = Desk::default();
    desk.perform(Action::OpenPaths(vec!["scans".into()]));
    let found = vec![
        series("s1", "First", Modality::Ct),
        series("s2", "Second", Modality::Mr),
    ];
    desk.event(
        1,
        EventKind::ScanDone {
            series: found,
            skipped: Vec::new(),
        },
    );
    let loaded = Loaded::Volume(Arc::new(ct_volume()));
    let id = "s1".to_owned();
    desk.event(2, EventKind::SeriesLoaded { id, loaded });
    let Some(Effect::Send {
        command: Command::Thumbnails { series },
        ..
    }) = desk.effects.last()
    else {
        panic!("{:?}", desk.effects);
    };
    assert_eq!(series.len(), 1);
    assert_eq!(series[0].id, "s2");
    // Opening a series goes first.
    desk.perform(Action::ShowSeries("s2".to_owned()));
    let stopped = desk
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::Stop(JobId(3))));
    assert!(stopped, "{:?}", desk.effects);
}

#[test]
fn the_planes_of_mpr_meet_at_the_slice_on_screen_from_the_first_moment_on() {
    let mut desk = ct_desk();
    desk.perform(Action::SetSlice(3));
    desk.perform(Action::ShowPlanes);
    let viewer = &desk.state.viewer;
    let place = viewer.crosshair.expect("a crosshair");
    for viewport in &viewer.viewports {
        let view = viewport.volume().unwrap();
        let [_, _, along] = view.grid().at(place).unwrap();
        let apart = (along - view.index() as f64).abs();
        assert!(apart < 0.51, "{:?}: {apart}", view.plane);
    }
    assert_eq!(viewer.viewports[0].volume().unwrap().index(), 3);
}
