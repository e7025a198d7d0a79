//! Flip, rotate, 1:1 and cine.

use super::*;
use workbench::state::ViewTurn;

#[test]
fn h_v_r_and_l_turn_the_picture_and_space_turns_it_back() {
    let mut harness = harness(ct_desk());
    let before = slice_name(&harness);
    let picture = harness.state().state.viewer.open().unwrap().evidence();
    for (key, words) in [
        (Key::H, "flipped horizontally"),
        (Key::V, "flipped vertically"),
        (Key::R, "rotated 90° right"),
        (Key::L, "rotated 90° left"),
    ] {
        harness.key_press(key);
        harness.run();
        assert_eq!(slice_name(&harness), format!("{before}, {words}"));
        let open = harness.state().state.viewer.open().unwrap();
        assert_eq!(
            open.evidence().picture,
            picture.picture,
            "the model's picture stays"
        );
        harness.key_press(Key::Space);
        harness.run();
        assert_eq!(slice_name(&harness), before);
    }
    assert_eq!(harness.state().pictures.slice_uploads, 1);
}

#[test]
fn the_buttons_turn_as_the_keys_do() {
    let mut harness = harness(ct_desk());
    harness.get_by_label("Flip horizontally").click();
    harness.run();
    harness.get_by_label("Rotate right").click();
    harness.run();
    assert!(slice_name(&harness).ends_with("flipped horizontally, rotated 90° right"));
    harness.get_by_label("Rotate left").click();
    harness.run();
    harness.get_by_label("Flip horizontally").click();
    harness.run();
    assert!(!slice_name(&harness).contains("rotated"));
    assert!(!slice_name(&harness).contains("flipped"));
}

#[test]
fn turning_keys_do_not_fire_while_typing() {
    let mut harness = harness(ct_desk());
    let before = slice_name(&harness);
    harness.get_by_label("Question").focus();
    harness.run();
    for key in [Key::H, Key::V, Key::R, Key::L, Key::C] {
        harness.key_press(key);
    }
    harness.run();
    assert_eq!(slice_name(&harness), before);
    let open = harness.state().state.viewer.open().unwrap();
    assert!(!open.cine.playing);
}

/// Left of the middle on screen before a flip, right of it after: the same voxel is read out.
#[test]
fn the_value_under_the_pointer_turns_with_the_picture() {
    let mut harness = harness(ct_desk());
    let area = harness
        .get_by_role_and_label(Role::Image, &slice_name(&harness))
        .rect();
    let left = area.center() - vec2(113.0, 0.0);
    let right = area.center() + vec2(113.0, 0.0);
    let read = |harness: &mut Harness<'_, Desk>, at| {
        harness.hover_at(at);
        harness.run();
        let lines = harness.query_all_by_label_contains("voxel ");
        let mut lines = lines.filter_map(|node| node.accesskit_node().value());
        lines.next_back().expect("a read-out")
    };
    let before = read(&mut harness, left);
    harness.key_press(Key::H);
    harness.run();
    assert_eq!(read(&mut harness, right), before);
    assert_ne!(read(&mut harness, left), before);
}

#[test]
fn one_to_one_shows_a_pixel_on_a_pixel() {
    let mut harness = harness(ct_desk());
    let name = slice_name(&harness);
    let area = harness.get_by_role_and_label(Role::Image, &name).rect();
    let fit = (area.width() / 40.0).min(area.height() / 32.0);
    harness.get_by_label("Zoom 1:1").click();
    harness.run();
    let zoom = harness.state().state.viewer.open().unwrap().camera.zoom;
    let wanted = (1.0 / fit).max(0.1);
    assert!((zoom - wanted).abs() < 1e-3, "{zoom} for {wanted}");
    assert!(wanted < 0.5, "the picture was enlarged before");
}

#[test]
fn c_plays_the_slices_round_and_escape_stops() {
    let mut harness = harness(ct_desk());
    harness.state_mut().perform(Action::LastSlice);
    harness.run();
    harness.key_press(Key::C);
    harness.run_steps(8);
    let name = slice_name(&harness);
    assert!(!name.starts_with("Slice 20 of 20"), "{name}");
    harness.key_press(Key::Escape);
    harness.run_steps(2);
    let stopped = slice_name(&harness);
    harness.run_steps(8);
    assert_eq!(slice_name(&harness), stopped);
    let open = harness.state().state.viewer.open().unwrap();
    assert!(!open.cine.playing);
}

/// A clip in colour is looked at as slices are: wheel, keys, slider, cine at its own rate; a question is about the frame shown.
#[test]
fn frames_in_colour_are_scrolled_played_and_asked_about() {
    let frames = || (0..5).map(|level| RgbImage::from_pixel(8, 6, Rgb([40 * level, 0, 0])));
    let mut desk = ready_desk(Modality::Other("US".to_owned()), &["comprehend"]);
    let mut clip = series("s2", "Heart", Modality::Other("US".to_owned()));
    clip.fps = Some(30.0);
    desk.perform(Action::OpenPaths(vec!["clips".into()]));
    let job = desk.last_job();
    let found = EventKind::ScanDone {
        series: vec![clip],
        skipped: Vec::new(),
    };
    desk.event(job, found);
    let loaded = EventKind::SeriesLoaded {
        id: "s2".to_owned(),
        loaded: Loaded::Frames(Arc::new(engine::imaging::Frames::new(frames()).unwrap())),
    };
    desk.event(desk.last_job(), loaded);
    let mut harness = harness(desk);
    let name = |harness: &Harness<'_, Desk>| {
        let images = harness.query_all_by_role(Role::Image);
        let names = images.filter_map(|node| node.accesskit_node().label());
        let mut names = names.filter(|name| name.starts_with("Picture Heart"));
        names.next().expect("a frame is shown")
    };
    assert_eq!(name(&harness), "Picture Heart, Frame 1 of 5");
    harness.key_press(Key::ArrowDown);
    harness.key_press(Key::ArrowDown);
    harness.run();
    assert_eq!(name(&harness), "Picture Heart, Frame 3 of 5");
    // The corner of the picture under the pointer, and what is there once it is turned over.
    let area = harness
        .get_by_role_and_label(Role::Image, &name(&harness))
        .rect();
    let scale = (area.width() / 8.0).min(area.height() / 6.0);
    let corner = area.center() - vec2(3.5, 2.5) * scale;
    let read = |harness: &mut Harness<'_, Desk>| {
        harness.hover_at(corner);
        harness.run();
        let lines = harness.query_all_by_label_contains("pixel ");
        let mut lines = lines.filter_map(|node| node.accesskit_node().value());
        lines.next_back().expect("a read-out")
    };
    assert_eq!(read(&mut harness), "pixel 0, 0   RGB 80, 0, 0");
    harness
        .state_mut()
        .perform(Action::Turn(ViewTurn::FlipHorizontally));
    assert_eq!(read(&mut harness), "pixel 7, 0   RGB 80, 0, 0");
    harness
        .state_mut()
        .perform(Action::Turn(ViewTurn::FlipHorizontally));
    let value = harness.get_by_label("Frame").accesskit_node();
    assert_eq!(value.numeric_value(), Some(2.0), "the slider follows");
    type_question(&mut harness, "What is it?");
    harness.state_mut().perform(Action::Ask);
    let turn = harness.state().state.chat.turns.last().unwrap().clone();
    assert_eq!(turn.pictures[0].words(), "frame 3, Heart");
    let asked = harness.state().asked();
    let sources = &asked.last().unwrap().sources;
    assert!(
        matches!(&sources[..], [session::Source::Picture(image)] if image.get_pixel(0, 0).0 == [80, 0, 0])
    );
    let open = harness.state().state.viewer.open().unwrap();
    assert_eq!(open.cine.fps, 30.0);
    harness.state_mut().perform(Action::LastSlice);
    harness.state_mut().perform(Action::ToggleCine);
    harness.run_steps(8);
    assert_ne!(name(&harness), "Picture Heart, Frame 5 of 5");
    // Back to the picture of the question, also after another series was open.
    harness.state_mut().perform(Action::ToggleCine);
    for left in [false, true] {
        let desk = harness.state_mut();
        if left {
            desk.perform(Action::LastSlice);
            desk.perform(Action::ShowSeries("s1".to_owned()));
        }
        desk.perform(Action::ShowPicture(turn.pictures[0].clone()));
        if left {
            let loaded = EventKind::SeriesLoaded {
                id: "s2".to_owned(),
                loaded: Loaded::Frames(Arc::new(engine::imaging::Frames::new(frames()).unwrap())),
            };
            desk.event(desk.last_job(), loaded);
        }
        harness.run_steps(2);
        assert_eq!(name(&harness), "Picture Heart, Frame 3 of 5");
    }
}
