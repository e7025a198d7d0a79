//! Two series compared: linked, or drawn as one picture.

use workbench::state::{CompareMode, Viewer, VolumeView};

use super::*;

/// The CT with an MR of the same place beside it.
fn pair_desk() -> Desk {
    let mut desk = ct_desk();
    desk.perform(Action::OpenPaths(vec!["more".into()]));
    let scan = desk.last_job();
    // Found again, so that the open CT stays open.
    desk.state
        .library
        .series
        .push(series("mr", "T1", Modality::Mr));
    desk.event(scan, EventKind::Failed(Arc::new(Error::Stopped)));
    desk.state.notice = None;
    desk
}

fn paired<'a>(modality: Modality) -> Harness<'a, Desk> {
    let mut harness = harness(pair_desk());
    harness.get_by_label("Compare with T1").click();
    harness.run_steps(3);
    let job = harness.state().last_job();
    let other = Volume {
        modality,
        // Two slices lower and half as thick.
        size: [40, 32, 40],
        voxels: Voxels::I16((0..40 * 32 * 40).map(|at| (at % 400) as i16).collect()),
        patient_from_voxel: Affine([
            [0.8, 0.0, 0.0, -16.0],
            [0.0, 0.8, 0.0, -12.8],
            [0.0, 0.0, 1.25, -30.0],
        ]),
        ..ct_volume()
    };
    let loaded = EventKind::SeriesLoaded {
        id: "mr".to_owned(),
        loaded: Loaded::Volume(Arc::new(other)),
    };
    harness.state_mut().event(job, loaded);
    harness.run_steps(3);
    harness
}

fn view<'a>(harness: &'a Harness<'_, Desk>, number: usize) -> &'a VolumeView {
    harness.state().state.viewer.viewports[number]
        .volume()
        .unwrap()
}

#[test]
fn scrolling_shows_the_same_place_in_both_while_they_are_linked() {
    let mut harness = paired(Modality::Mr);
    harness.key_press(Key::ArrowDown);
    harness.run_steps(3);
    // Slice 12 lies at 11 * 2.5 - 25 = 2.5 mm, which is slice 26 of the other: (2.5 + 30) / 1.25.
    assert_eq!(
        (view(&harness, 0).index(), view(&harness, 1).index()),
        (11, 26)
    );
    harness.get_by_label("Link scroll").click();
    harness.run_steps(3);
    harness.key_press(Key::ArrowDown);
    harness.run_steps(3);
    assert_eq!(
        (view(&harness, 0).index(), view(&harness, 1).index()),
        (12, 26)
    );
}

#[test]
fn other_frames_of_reference_scroll_slice_by_slice() {
    let mut harness = paired(Modality::Mr);
    let viewer = &mut harness.state_mut().state.viewer;
    for (number, name) in ["1.2", "1.3"].into_iter().enumerate() {
        let view = viewer.viewports[number].volume_mut().unwrap();
        Arc::make_mut(&mut view.volume).frame_of_reference = Some(name.to_owned());
        view.set_index(5);
    }
    harness.key_press(Key::ArrowDown);
    harness.run_steps(3);
    assert_eq!(
        (view(&harness, 0).index(), view(&harness, 1).index()),
        (6, 6)
    );
}

#[test]
fn zoom_is_linked_and_the_window_only_between_series_of_one_modality() {
    for (modality, carried) in [(Modality::Mr, false), (Modality::Ct, true)] {
        let mut harness = paired(modality);
        harness.key_press(Key::Plus);
        harness.key_press(Key::Num6);
        harness.run_steps(3);
        let viewer = &harness.state().state.viewer;
        let zoom = |number: usize| viewer.viewports[number].open().unwrap().camera.zoom;
        assert!((zoom(0) - 1.25).abs() < 1e-5 && (zoom(1) - 1.25).abs() < 1e-5);
        assert_eq!(view(&harness, 0).window.center, 350.0);
        assert_eq!(view(&harness, 1).window.center == 350.0, carried);
    }
}

#[test]
fn both_are_drawn_as_one_picture_by_swipe_flicker_blend_and_difference() {
    let mut harness = paired(Modality::Mr);
    for (button, said) in [
        ("Swipe", "swiped with T1 at 50 %"),
        ("Flicker", "in turn with T1"),
        ("Blend", "50 % of T1 over it"),
        ("Difference", "less T1"),
    ] {
        harness.get_by_label(button).click();
        harness.run_steps(3);
        let name = slice_name(&harness);
        assert!(name.ends_with(said), "{name}");
    }
    let second = harness.state().pictures.second().unwrap();
    assert_eq!(second.size(), [40, 32], "on the grid of the first");
    harness.get_by_label("Side by side").click();
    harness.run_steps(3);
    assert_eq!(harness.query_all_by_role(Role::Image).count(), 2);
}

#[test]
fn in_an_overlaid_pair_the_window_can_be_that_of_either() {
    let mut harness = paired(Modality::Mr);
    harness.get_by_label("Blend").click();
    harness.run_steps(3);
    let before = view(&harness, 0).window;
    harness.get_by_label("Window of the second").click();
    harness.run_steps(3);
    harness.get_by_label("Invert").click();
    harness.run_steps(3);
    assert!(view(&harness, 1).invert && !view(&harness, 0).invert);
    assert_eq!(view(&harness, 0).window, before);
    // Slices stay those of the picture on screen.
    harness.key_press(Key::ArrowDown);
    harness.run_steps(3);
    assert_eq!(view(&harness, 0).index(), 11);
    assert_eq!(harness.state().state.viewer.scene(), 0);
}

/// A volume less itself is black, whatever the window.
#[test]
fn the_difference_of_equal_series_is_black_on_screen() {
    let mut harness = paired(Modality::Ct);
    let first = view(&harness, 0).volume.clone();
    let viewer = &mut harness.state_mut().state.viewer;
    let second = viewer.viewports[1].volume_mut().unwrap();
    second.volume = Arc::new((*first).clone());
    viewer.compare = CompareMode::Difference;
    let window = viewer.viewports[0].volume().unwrap().window;
    viewer.viewports[1].volume_mut().unwrap().window = window;
    harness.run_steps(3);
    let area = harness
        .get_by_role_and_label(Role::Image, &slice_name(&harness))
        .rect();
    let screen = harness.render().unwrap();
    // A quarter about the middle, free of words.
    let middle = egui::Rect::from_center_size(area.center(), area.size() * 0.4);
    let mut bright = 0;
    for x in (middle.left() as u32)..(middle.right() as u32) {
        for y in (middle.top() as u32)..(middle.bottom() as u32) {
            bright += usize::from(screen.get_pixel(x, y).0[..3].iter().any(|level| *level > 2));
        }
    }
    assert_eq!(bright, 0);
}

#[test]
fn a_generated_image_is_compared_in_every_way_with_its_mark() {
    let mut harness = harness(desk_with_result(0.4));
    harness.get_by_label("Difference").click();
    harness.run();
    assert!(shows(&harness, "Input less synthetic (AI)"));
    harness.get_by_label("Blend").click();
    harness.run();
    assert!(harness.query_by_label("Opacity").is_some());
    harness.get_by_label("Flicker").click();
    harness.run_steps(3);
    let mode = harness.state().state.results.mode;
    assert_eq!(mode, CompareMode::Flicker);
}

#[test]
fn linked_viewports_of_unlike_size_move_by_the_same_millimetres() {
    let mut harness = paired_with_a_tall_one();
    let desk = harness.state_mut();
    desk.perform(Action::Zoom {
        factor: 1.5,
        about: [0.0, 0.0],
    });
    desk.perform(Action::Pan([30.0, -12.0]));
    let viewer = &desk.state.viewer;
    assert_same_mm(viewer);
    let zoom = |number: usize| viewer.viewports[number].open().unwrap().camera.zoom;
    let unlike = (zoom(1) / zoom(0) - 1.0).abs();
    assert!(unlike > 0.05, "both were fitted alike: nothing was tested");
}

/// A millimetre is as long in both viewports, and both pictures are moved by as many of them.
fn assert_same_mm(viewer: &Viewer) {
    let mm = [0, 1].map(|number| {
        let viewport = &viewer.viewports[number];
        let grid = viewport.volume().unwrap().grid();
        let spacing = grid.patient_from_grid.spacing_mm();
        let size_mm = [0, 1].map(|axis| (grid.size[axis] as f64 * spacing[axis]) as f32);
        let [width, height] = viewer.areas[number].expect("both were drawn");
        let fit = (width / size_mm[0]).min(height / size_mm[1]);
        let camera = viewport.open().unwrap().camera;
        let points_per_mm = fit * camera.zoom;
        [
            points_per_mm,
            camera.pan[0] / points_per_mm,
            camera.pan[1] / points_per_mm,
        ]
    });
    for (ours, theirs) in mm[0].iter().zip(mm[1]) {
        assert!((ours - theirs).abs() <= 1e-3 * ours.abs(), "{mm:?}");
    }
}

/// Half as wide and twice as high as the CT, in smaller pixels.
fn paired_with_a_tall_one<'a>() -> Harness<'a, Desk> {
    let mut harness = harness(pair_desk());
    harness.get_by_label("Compare with T1").click();
    harness.run_steps(3);
    let job = harness.state().last_job();
    let other = Volume {
        modality: Modality::Mr,
        size: [40, 128, 20],
        voxels: Voxels::I16(vec![7; 40 * 128 * 20]),
        patient_from_voxel: Affine([
            [0.4, 0.0, 0.0, -8.0],
            [0.0, 0.4, 0.0, -25.6],
            [0.0, 0.0, 2.5, -25.0],
        ]),
        ..ct_volume()
    };
    let loaded = Loaded::Volume(Arc::new(other));
    let id = "mr".to_owned();
    harness
        .state_mut()
        .event(job, EventKind::SeriesLoaded { id, loaded });
    harness.run_steps(3);
    harness
}

/// What is enlarged while only one of them is on screen is as large in both when the other one comes back.
#[test]
fn zoom_is_the_same_in_mm_after_one_viewport_or_one_picture_was_large() {
    for alone in [
        Action::ToggleMaximised,
        Action::CompareSeries(CompareMode::Blend(0.5)),
    ] {
        let mut harness = paired_with_a_tall_one();
        harness.state_mut().perform(alone);
        harness.run_steps(3);
        harness.state_mut().perform(Action::Zoom {
            factor: 1.5,
            about: [0.0, 0.0],
        });
        harness.run_steps(3);
        let desk = harness.state_mut();
        if desk.state.viewer.maximised {
            desk.perform(Action::ToggleMaximised);
        }
        desk.perform(Action::CompareSeries(CompareMode::SideBySide));
        harness.run_steps(3);
        assert_same_mm(&harness.state().state.viewer);
    }
}

fn name_frames(harness: &mut Harness<'_, Desk>, names: [Option<&str>; 2]) {
    let viewer = &mut harness.state_mut().state.viewer;
    for (number, name) in names.into_iter().enumerate() {
        let view = viewer.viewports[number].volume_mut().unwrap();
        Arc::make_mut(&mut view.volume).frame_of_reference = name.map(str::to_owned);
    }
    harness.run_steps(3);
}

#[test]
fn series_that_share_no_space_are_not_drawn_as_one_picture_and_it_is_said_why() {
    let mut harness = paired(Modality::Mr);
    harness.get_by_label("Blend").click();
    harness.run_steps(3);
    assert!(harness.state().state.viewer.overlaid());
    name_frames(&mut harness, [Some("1.2"), Some("1.3")]);
    assert_eq!(
        harness.query_all_by_role(Role::Image).count(),
        2,
        "side by side again"
    );
    for button in ["Swipe", "Flicker", "Blend", "Difference"] {
        let button = harness.get_by_role_and_label(Role::Button, button);
        assert!(button.accesskit_node().is_disabled());
    }
    let viewer = &harness.state().state.viewer;
    assert!(
        viewer
            .check_overlay()
            .unwrap_err()
            .contains("frames of reference")
    );
    let view = harness.state_mut().state.viewer.viewports[1].volume_mut();
    Arc::make_mut(&mut view.unwrap().volume).calibrated = false;
    let desk = harness.state_mut();
    desk.perform(Action::CompareSeries(CompareMode::Difference));
    let viewer = &desk.state.viewer;
    assert!(!viewer.overlaid());
    assert!(
        viewer
            .check_overlay()
            .unwrap_err()
            .contains("where it lies")
    );
}

#[test]
fn one_picture_of_two_says_when_no_common_frame_of_reference_is_named() {
    let warning = "No common frame of reference is named";
    let mut harness = paired(Modality::Mr);
    assert!(!says(&painted(&harness), warning));
    harness.get_by_label("Blend").click();
    for (names, said) in [
        ([None, None], true),
        ([Some("1.2"), None], true),
        ([Some("1.2"), Some("1.2")], false),
    ] {
        name_frames(&mut harness, names);
        assert_eq!(says(&painted(&harness), warning), said, "{names:?}");
    }
}

#[test]
fn the_plane_of_a_linked_pair_is_that_of_both() {
    use engine::imaging::Plane;
    let mut harness = paired(Modality::Mr);
    let planes = |harness: &Harness<'_, Desk>| [0, 1].map(|n| view(harness, n).plane);
    harness.get_by_label("Coronal").click();
    harness.run_steps(3);
    assert_eq!(planes(&harness), [Plane::Coronal; 2]);
    harness.get_by_label("Link scroll").click();
    harness.run_steps(3);
    harness.get_by_label("Sagittal").click();
    harness.run_steps(3);
    assert_eq!(planes(&harness), [Plane::Sagittal, Plane::Coronal]);
    // One picture has one plane and one place, linked or not.
    harness.get_by_label("Blend").click();
    harness.run_steps(3);
    assert_eq!(planes(&harness), [Plane::Sagittal; 2]);
    harness.get_by_label("Axial").click();
    harness.key_press(Key::ArrowDown);
    harness.run_steps(3);
    assert_eq!(planes(&harness), [Plane::Axial; 2]);
    let place = view(&harness, 0).middle_mm();
    let there = view(&harness, 1).grid().slice_at(place);
    assert_eq!(Some(view(&harness, 1).index()), there);
}

#[test]
fn a_question_in_an_overlay_is_about_the_slice_on_screen() {
    let mut harness = paired(Modality::Mr);
    harness.get_by_label("Link scroll").click();
    harness.get_by_label("Blend").click();
    harness.run_steps(3);
    harness.get_by_label("Window of the second").click();
    harness.run_steps(3);
    harness.key_press(Key::ArrowDown);
    harness.run_steps(3);
    assert_eq!(view(&harness, 0).index(), 11);
    let pictures = harness.state().state.question_pictures();
    let picture = &pictures[0].picture;
    // 2.5 mm is slice 26 of the second.
    assert_eq!(picture.series, "mr");
    assert_eq!(picture.view.unwrap().index, 26);
}

#[test]
fn a_slab_of_an_overlay_is_one_of_both() {
    use workbench::pictures::Drawn;
    let mut harness = paired(Modality::Mr);
    harness.get_by_label("Difference").click();
    harness.run_steps(3);
    harness.get_by_label("Window of the second").click();
    harness.run_steps(3);
    harness.get_by_label("Display").click();
    harness.run_steps(3);
    harness.get_by_label("MIP 10 mm").click();
    harness.run_steps(3);
    let first = view(&harness, 0);
    assert_eq!(first.slab.map(|slab| slab.mm), Some(10.0));
    let wanted = first.section().of(&view(&harness, 1).volume);
    let Some(Drawn::Slice(second, _)) = harness.state().pictures.second() else {
        panic!("the second is drawn");
    };
    assert_eq!(second.samples, wanted.samples);
    let one = view(&harness, 1)
        .volume
        .sampled(&first.grid(), first.index());
    assert_ne!(second.samples, one.samples, "nothing was projected");
    // The menu shows the slab that is on screen.
    harness.get_by_label("Display").click();
    harness.run_steps(3);
    let entry = harness.get_by_role_and_label(Role::Button, "MIP 10 mm");
    let toggled = entry.accesskit_node().toggled();
    assert_eq!(toggled, Some(egui::accesskit::Toggled::True));
}

#[test]
fn the_values_under_the_pointer_are_those_of_both() {
    let mut harness = paired(Modality::Mr);
    harness.get_by_label("Blend").click();
    harness.run_steps(3);
    let area = harness
        .get_by_role_and_label(Role::Image, &slice_name(&harness))
        .rect();
    harness.hover_at(area.center() + vec2(1.0, 1.0));
    harness.run_steps(3);
    // The middle of the patient is slice 25 of the second, whose voxel (20, 16, 24) is number 31380: 180.
    let wanted = "first voxel 20, 16, 10   raw 148   148 HU | second voxel 20, 16, 24   value 180";
    assert!(shows(&harness, wanted), "no {wanted}");
}

#[test]
fn the_curtain_between_two_series_is_dragged_on_the_picture() {
    let mut harness = paired(Modality::Mr);
    harness.get_by_label("Swipe").click();
    harness.run_steps(3);
    let share = |harness: &Harness<'_, Desk>| match harness.state().state.viewer.compare {
        CompareMode::Swipe(share) => share,
        other => panic!("{other:?}"),
    };
    let area = harness
        .get_by_role_and_label(Role::Image, &slice_name(&harness))
        .rect();
    let at = |share: f32| area.lerp_inside(vec2(share, 0.4));
    let window = view(&harness, 0).window;
    drag_from_to(&mut harness, at(0.5), at(0.75));
    assert!((share(&harness) - 0.75).abs() < 0.01, "{}", share(&harness));
    assert_eq!(
        view(&harness, 0).window,
        window,
        "the drag was the curtain's"
    );
    drag_from_to(&mut harness, at(0.3), at(0.4));
    assert!((share(&harness) - 0.75).abs() < 0.01, "too far from it");
    assert_ne!(view(&harness, 0).window, window);
}
