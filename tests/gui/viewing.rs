//! Slices, windows, keys and the mouse; opening scans.

use super::*;

#[test]
fn the_first_view_is_the_middle_slice_and_the_automatic_window() {
    let harness = harness(ct_desk());
    let automatic = ct_volume().automatic_window();
    let window = workbench::state::window_words(automatic);
    assert_eq!(
        slice_name(&harness),
        format!("Slice 11 of 20, axial, window {window}")
    );
}

#[test]
fn a_found_study_opens_its_first_ct_series() {
    let mut desk = Desk::default();
    desk.perform(Action::OpenPaths(vec!["scans".into()]));
    let found = vec![
        series("mr", "T1", Modality::Mr),
        series("ct", "Bone", Modality::Ct),
    ];
    desk.event(
        1,
        EventKind::ScanDone {
            series: found,
            skipped: Vec::new(),
        },
    );
    let Some(Effect::Send {
        command: Command::LoadSeries { series },
        ..
    }) = desk.effects.last()
    else {
        panic!("no series was loaded: {:?}", desk.effects);
    };
    assert_eq!(series.id, "ct");
    assert!(shows(&harness(desk), "Loading Bone…"));
}

#[test]
fn arrow_keys_wheel_home_and_end_change_the_slice() {
    let mut harness = harness(ct_desk());
    harness.key_press(Key::ArrowDown);
    harness.run();
    assert!(slice_name(&harness).starts_with("Slice 12 of 20"));
    harness.key_press(Key::Home);
    harness.run();
    harness.key_press(Key::ArrowUp);
    harness.run();
    assert!(slice_name(&harness).starts_with("Slice 1 of 20"));
    harness.key_press(Key::End);
    harness.run();
    assert!(slice_name(&harness).starts_with("Slice 20 of 20"));
    harness.hover_at(egui::pos2(700.0, 400.0));
    harness.run();
    wheel(&mut harness, 1.0, Modifiers::NONE);
    wheel(&mut harness, 1.0, Modifiers::NONE);
    assert!(slice_name(&harness).starts_with("Slice 18 of 20"));
    wheel(&mut harness, -1.0, Modifiers::NONE);
    assert!(slice_name(&harness).starts_with("Slice 19 of 20"));
    wheel(&mut harness, -1.0, Modifiers::CTRL);
    assert!(
        slice_name(&harness).starts_with("Slice 19 of 20"),
        "with Ctrl the wheel zooms"
    );
}

fn wheel(harness: &mut Harness<'_, Desk>, lines: f32, modifiers: Modifiers) {
    harness.event_modifiers(
        Event::MouseWheel {
            unit: MouseWheelUnit::Line,
            delta: vec2(0.0, lines),
            phase: TouchPhase::Move,
            source: egui::MouseWheelSource::Unknown,
            modifiers,
        },
        modifiers,
    );
    harness.run_steps(8);
}

#[test]
fn a_preset_key_sets_the_window_and_i_inverts() {
    let mut harness = harness(ct_desk());
    harness.key_press(Key::Num4);
    harness.run();
    assert!(slice_name(&harness).ends_with("window C 50 W 320"));
    harness.key_press(Key::I);
    harness.run();
    assert!(slice_name(&harness).ends_with("window C 50 W 320, inverted"));
    harness.key_press(Key::Space);
    harness.run();
    assert!(!slice_name(&harness).contains("C 50"));
}

#[test]
fn an_mr_series_has_no_ct_presets() {
    let mut harness = harness(ready_desk(Modality::Mr, &["comprehend"]));
    let before = slice_name(&harness);
    harness.key_press(Key::Num4);
    harness.run();
    assert_eq!(slice_name(&harness), before);
}

#[test]
fn keys_do_not_fire_while_typing() {
    let mut harness = harness(ct_desk());
    let before = slice_name(&harness);
    harness.get_by_label("Question").focus();
    harness.run();
    for key in [Key::Num4, Key::I, Key::Space, Key::Home, Key::ArrowDown] {
        harness.key_press(key);
    }
    harness.get_by_label("Question").type_text("4 is");
    harness.run();
    assert_eq!(slice_name(&harness), before);
    assert_eq!(harness.state().state.chat.draft.text, "4 is");
}

#[test]
fn dragging_over_the_slice_changes_the_window() {
    let mut harness = harness(ct_desk());
    let before = slice_name(&harness);
    drag(&harness, PointerButton::Primary);
    harness.run();
    assert_ne!(slice_name(&harness), before);
}

#[test]
fn dragging_with_the_middle_button_pans_and_keeps_the_window() {
    let mut harness = harness(ct_desk());
    let before = slice_name(&harness);
    drag(&harness, PointerButton::Middle);
    harness.run();
    assert_eq!(slice_name(&harness), before);
    let camera = harness.state().state.viewer.open().unwrap().camera;
    assert!(camera.pan[0] > 50.0 && camera.pan[1] > 20.0, "{camera:?}");
}

fn drag(harness: &Harness<'_, Desk>, button: PointerButton) {
    let modifiers = Modifiers::NONE;
    let at = |step: f32| egui::pos2(600.0 + 20.0 * step, 400.0 + 10.0 * step);
    let press = |pos, pressed| Event::PointerButton {
        pos,
        button,
        pressed,
        modifiers,
    };
    harness.hover_at(at(0.0));
    harness.event(press(at(0.0), true));
    for step in 1..=5 {
        harness.event(Event::PointerMoved(at(step as f32)));
    }
    harness.event(press(at(5.0), false));
}

#[test]
fn a_texture_is_uploaded_only_when_the_picture_changes() {
    let mut harness = harness(ct_desk());
    harness.run_steps(5);
    assert_eq!(harness.state().pictures.slice_uploads, 1);
    harness.key_press(Key::ArrowDown);
    harness.run_steps(5);
    assert_eq!(harness.state().pictures.slice_uploads, 2);
    harness.key_press(Key::Plus);
    harness.run_steps(5);
    assert_eq!(
        harness.state().pictures.slice_uploads,
        2,
        "zoom needs no new picture"
    );
}

#[test]
fn a_series_of_another_choice_does_not_replace_the_chosen_one() {
    let mut desk = ct_desk();
    desk.perform(Action::OpenPaths(vec!["more".into()]));
    let scan = desk.last_job();
    let found = vec![
        series("s2", "Second", Modality::Mr),
        series("s3", "Third", Modality::Mr),
    ];
    desk.event(
        scan,
        EventKind::ScanDone {
            series: found,
            skipped: Vec::new(),
        },
    );
    let second = desk.last_job();
    desk.perform(Action::ShowSeries("s3".to_owned()));
    let late = EventKind::SeriesLoaded {
        id: "s2".to_owned(),
        loaded: Loaded::Volume(Arc::new(ct_volume())),
    };
    desk.event(second, late);
    assert_eq!(desk.state.viewer.series_id(), Some("s3"));
    assert!(desk.state.viewer.open().is_none());
}

#[derive(Debug)]
struct Dropped(std::path::PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &std::path::Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("only the path is used".to_owned())
    }
}

#[test]
fn folders_dropped_on_the_window_are_opened() {
    let mut harness = harness(Desk::default());
    let folders = ["a", "b"].map(|name| Arc::new(Dropped(name.into())) as _);
    harness.input_mut().dropped_files.extend(folders);
    harness.run_steps(2);
    let Some(Effect::Send {
        command: Command::Scan { paths },
        ..
    }) = harness.state().effects.last()
    else {
        panic!("{:?}", harness.state().effects);
    };
    assert_eq!(paths.len(), 2);
}

#[test]
fn a_typed_path_is_opened_by_enter() {
    let mut harness = harness(Desk::default());
    harness.get_by_label("Path").focus();
    harness.run();
    harness.get_by_label("Path").type_text("/scans");
    harness.run();
    harness.key_press(Key::Enter);
    harness.run_steps(2);
    let sent = harness.state().effects.last();
    assert!(
        matches!(sent, Some(Effect::Send { command: Command::Scan { paths }, .. }) if paths == &["/scans"].map(std::path::PathBuf::from)),
        "{sent:?}"
    );
}

#[test]
fn coronal_shows_its_own_slices() {
    let mut harness = harness(ct_desk());
    harness.get_by_label("Coronal").click();
    harness.run();
    assert!(slice_name(&harness).starts_with("Slice 17 of 32, coronal"));
}

/// The picture is put at nine screen pixels a picture pixel, so that the middle one of each nine shows it unmixed.
#[test]
fn the_picture_on_screen_is_the_picture_the_model_gets() {
    const SCALE: f32 = 9.0;
    let mut harness = harness(ct_desk());
    let name = slice_name(&harness);
    let area = harness.get_by_role_and_label(Role::Image, &name).rect();
    let size = vec2(40.0, 32.0);
    let fit = (area.width() / size.x).min(area.height() / size.y);
    let min = (area.center() - size * SCALE / 2.0).round();
    let open = harness.state_mut().state.viewer.open_mut().unwrap();
    open.camera.zoom = SCALE / fit;
    open.camera.pan = (min + size * SCALE / 2.0 - area.center()).into();
    let evidence = open.evidence();
    harness.run();
    let session::Source::Slice { volume, view } = &evidence.source else {
        panic!("a slice is open");
    };
    let given = engine::imaging::render(volume, view).unwrap();
    let screen = harness.render().unwrap();
    let mut levels = std::collections::BTreeSet::new();
    for (x, y, pixel) in given.enumerate_pixels() {
        let at = min + (vec2(x as f32, y as f32) + vec2(0.5, 0.5)) * SCALE;
        let shown = screen.get_pixel(at.x as u32, at.y as u32);
        assert!(
            shown[0].abs_diff(pixel[0]) <= 1,
            "{x}, {y}: {shown:?} for {pixel:?}"
        );
        let _ = levels.insert(shown[0]);
    }
    assert!(levels.len() > 1, "the picture is not flat");
}

#[test]
fn page_down_goes_on_from_a_series_whose_third_volume_is_shown() {
    let mut desk = ct_desk();
    let mut first = series("s0", "Scout", Modality::Ct);
    first.number = Some(1);
    desk.state.library.series.insert(0, first);
    let next = series("s2", "Knee thick", Modality::Ct);
    desk.state.library.series.push(next);
    desk.state.library.series[1].volumes = 5;
    let open = desk.state.viewer.open_mut().unwrap();
    open.series.volumes = 5;
    desk.perform(Action::ShowVolume(2));
    assert_eq!(desk.state.viewer.series_id(), Some("s1-3"));
    desk.perform(Action::StepSeries(1));
    assert_eq!(desk.state.viewer.series_id(), Some("s2"));
}

#[test]
fn a_map_of_small_numbers_has_a_window_as_narrow_as_its_range() {
    let mut desk = ct_desk();
    let samples = (0..40 * 32 * 20).map(|at| (at % 100) as f32 * 1e-5);
    let volume = Volume {
        modality: Modality::Mr,
        voxels: Voxels::F32(samples.collect()),
        ..ct_volume()
    };
    let view = desk.state.viewer.volume_mut().unwrap();
    *view = workbench::state::VolumeView::new(Arc::new(volume));
    let mut harness = harness(desk);
    harness.run_steps(3);
    let name = slice_name(&harness);
    assert!(name.contains("window C 0.000495 W 0.000990"), "{name}");
    let width = harness.get_by_label("Window width").accesskit_node();
    let shown = width.value().unwrap();
    assert!(shown.contains("0.00099"), "{shown}");
    drag(&harness, PointerButton::Primary);
    harness.run_steps(4);
    let window = harness
        .state()
        .state
        .viewer
        .viewport()
        .volume()
        .unwrap()
        .window;
    assert!(
        window.width < 0.01 && window.center.abs() < 0.01,
        "{window:?}"
    );
    assert_ne!(slice_name(&harness), name, "the drag changed it");
}

#[test]
fn a_dose_is_in_gray_and_padding_is_called_so() {
    let mut desk = ct_desk();
    let view = desk.state.viewer.volume_mut().unwrap();
    let volume = Volume {
        modality: Modality::Other("RTDOSE".to_owned()),
        unit: Some("Gy".to_owned()),
        padding: Some([-1000.0; 2]),
        ..ct_volume()
    };
    *view = workbench::state::VolumeView::new(Arc::new(volume));
    let at = |view: &workbench::state::VolumeView, voxel| {
        workbench::view::probe::words_at(view, view.volume.position_mm(voxel)).unwrap()
    };
    let words = at(view, [25, 12, 9]);
    assert!(words.ends_with("217 Gy"), "{words}");
    let words = at(view, [0, 0, 0]);
    assert!(words.ends_with("padding, no image"), "{words}");
}
