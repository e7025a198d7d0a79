//! Without a mouse and without eyes: names of all controls, the four user stories by keyboard, sizes without clipping.

use super::*;
use egui_kittest::kittest::AccessKitNode;
use workbench::settings::Change;
use workbench::state::{CompareMode, Dialog};
use workbench::theme::ThemeName;

/// Focusable nodes without a name, by role and place.
fn unnamed(harness: &Harness<'_, Desk>) -> Vec<String> {
    let root = harness.root();
    let nodes = root.children_recursive().map(|node| node.accesskit_node());
    nodes
        .filter(|node| {
            let focusable = node.data().supports_action(egui::accesskit::Action::Focus);
            let named = node.label().is_some_and(|label| !label.trim().is_empty());
            focusable && !named && !node.is_hidden()
        })
        .map(|node| format!("{:?} {:?}", node.role(), node.bounding_box()))
        .collect()
}

/// An MR of the same place beside the open series.
fn beside(desk: &mut Desk) {
    let mr = series("mr", "T1", Modality::Mr);
    desk.state.library.series.push(mr);
    desk.perform(Action::ShowBeside("mr".to_owned()));
    let loaded = Loaded::Volume(Arc::new(Volume {
        modality: Modality::Mr,
        ..ct_volume()
    }));
    let id = "mr".to_owned();
    desk.event(desk.last_job(), EventKind::SeriesLoaded { id, loaded });
    assert!(desk.state.viewer.pair().is_some());
}

fn compared(mode: CompareMode) -> Desk {
    let mut desk = ct_desk();
    beside(&mut desk);
    desk.perform(Action::CompareSeries(mode));
    assert!(desk.state.viewer.overlaid());
    desk
}

/// Another series on its way.
fn another(desk: &mut Desk) {
    let us = series("us", "Heart", Modality::Other("US".to_owned()));
    desk.state.library.series.push(us);
    desk.perform(Action::ShowSeries("us".to_owned()));
}

/// Another series that could not be read.
fn failed(desk: &mut Desk) {
    another(desk);
    let path = std::path::Path::new("slice.dcm");
    let error = engine::ImagingError::damaged(path, "the pixels end early");
    let error = Arc::new(Error::Imaging(error));
    desk.event(desk.last_job(), EventKind::Failed(error));
}

/// Everything the window can show, one state after the other.
fn states() -> Vec<(&'static str, Desk)> {
    let with = |change: &dyn Fn(&mut Desk)| {
        let mut desk = ct_desk();
        change(&mut desk);
        desk
    };
    let kept = |row: f64| workbench::state::Kept {
        at: engine::imaging::SliceAt::acquired(engine::imaging::Plane::Axial, 10),
        shape: engine::imaging::measure::Shape::Rectangle([[1.0, row], [20.0, row + 9.0]]),
        mm: None,
    };
    vec![
        ("empty", Desk::default()),
        ("slice", ct_desk()),
        ("result", desk_with_result(0.99)),
        (
            "measured",
            with(&|desk| {
                let _ = desk.state.recalled("s1", &[kept(1.0), kept(12.0)]);
            }),
        ),
        (
            "recent",
            with(&|desk| desk.perform(Action::OpenPaths(vec!["/a".into()]))),
        ),
        (
            "header",
            with(&|desk| desk.perform(Action::Toggle(Dialog::Tags))),
        ),
        (
            "settings",
            with(&|desk| desk.perform(Action::Toggle(Dialog::Settings))),
        ),
        (
            "listening",
            with(&|desk| {
                desk.perform(Action::Toggle(Dialog::Settings));
                desk.perform(Action::Listen(Some("cine".to_owned())));
            }),
        ),
        (
            "keys",
            with(&|desk| desk.perform(Action::Toggle(Dialog::Keys))),
        ),
        (
            "answered",
            with(&|desk| ask_and_answer(desk, "What is it?", "A ball.")),
        ),
        (
            "answering",
            with(&|desk| {
                desk.state.chat.draft.text = "What?".to_owned();
                desk.perform(Action::Ask);
            }),
        ),
        ("planes", with(&|desk| desk.perform(Action::ShowPlanes))),
        (
            "four viewports",
            with(&|desk| {
                desk.perform(Action::ShowPlanes);
                desk.perform(Action::SetViewports(4));
            }),
        ),
        ("pair", with(&|desk| beside(desk))),
        ("swipe", compared(CompareMode::Swipe(0.5))),
        ("flicker", compared(CompareMode::Flicker)),
        ("blend", compared(CompareMode::Blend(0.5))),
        ("difference", compared(CompareMode::Difference)),
        (
            "colour frames",
            with(&|desk| {
                another(desk);
                let frames = (0..3).map(|level| RgbImage::from_pixel(16, 12, Rgb([level; 3])));
                let frames = engine::imaging::Frames::new(frames).unwrap();
                let loaded = Loaded::Frames(Arc::new(frames));
                let id = "us".to_owned();
                desk.event(desk.last_job(), EventKind::SeriesLoaded { id, loaded });
            }),
        ),
        ("loading", with(&another)),
        (
            "loading beside another",
            with(&|desk| {
                let us = series("us", "Heart", Modality::Other("US".to_owned()));
                desk.state.library.series.push(us);
                desk.perform(Action::ShowBeside("us".to_owned()));
            }),
        ),
        ("failed", with(&failed)),
        (
            "failed beside another",
            with(&|desk| {
                desk.perform(Action::ShowPlanes);
                failed(desk);
            }),
        ),
        (
            "training",
            with(&|desk| desk.perform(Action::Toggle(Dialog::Training))),
        ),
        (
            "recovery",
            with(&|desk| {
                let session = desk.state.session().map(Box::new);
                desk.state.left = Some(workbench::state::Left {
                    session,
                    gone: 1,
                    report: Some("/data/crashes/crash-1.txt".to_owned()),
                });
            }),
        ),
        (
            "4d",
            with(&|desk| {
                let open = desk.state.viewer.open_mut().unwrap();
                open.series.volumes = 5;
            }),
        ),
        (
            "message",
            with(&|desk| {
                desk.state.notice = Some(workbench::state::Notice::Done("Saved".to_owned()));
            }),
        ),
    ]
}

#[test]
fn every_control_of_every_panel_and_dialog_has_a_name() {
    for (name, desk) in states() {
        let mut harness = harness(desk);
        harness.run_steps(3);
        let unnamed = unnamed(&harness);
        assert!(unnamed.is_empty(), "{name}: {unnamed:?}");
        let focusable = harness.root().children_recursive();
        let count = focusable.filter(|node| {
            let node: AccessKitNode<'_> = node.accesskit_node();
            node.data().supports_action(egui::accesskit::Action::Focus)
        });
        assert!(count.count() > 5, "{name} has controls");
    }
}

/// What a screen reader says of the open menus of the settings.
#[test]
fn the_entries_of_menus_have_names() {
    let mut desk = ct_desk();
    desk.perform(Action::Toggle(Dialog::Settings));
    let mut harness = harness(desk);
    for menu in ["Language English", "Theme Reading room (dark)"] {
        harness.get_by_label(menu).click();
        harness.run_steps(4);
        let unnamed = unnamed(&harness);
        assert!(unnamed.is_empty(), "{menu}: {unnamed:?}");
        harness.key_press(Key::Escape);
        harness.run_steps(4);
        let dialog = harness.state().state.dialog;
        assert_eq!(dialog, Some(Dialog::Settings), "only the menu closed");
        assert!(harness.query_by_label("Deutsch").is_none());
    }
}

/// Esc in an open menu closes the menu and nothing else; the next one does what it does.
#[test]
fn escape_in_a_menu_neither_stops_the_answer_nor_puts_the_tool_down() {
    let mut desk = ct_desk();
    desk.state.chat.draft.text = "What?".to_owned();
    desk.perform(Action::Ask);
    let tool = workbench::state::Tool::Length;
    desk.perform(Action::Measure(workbench::state::Measure::Use(tool)));
    let mut harness = harness(desk);
    let stops = |harness: &Harness<'_, Desk>| {
        let effects = harness.state().effects.iter();
        effects.filter(|e| matches!(e, Effect::Stop(_))).count()
    };
    for (menu, entry) in [("Layout", "4 viewports"), ("Display", "Viridis")] {
        harness.get_by_label(menu).click();
        harness.run_steps(4);
        assert!(harness.query_by_label(entry).is_some());
        harness.key_press(Key::Escape);
        harness.run_steps(4);
        assert!(harness.query_by_label(entry).is_none(), "{menu} is closed");
        assert_eq!(stops(&harness), 0);
        assert_eq!(harness.state().state.measurements.tool, tool);
    }
    harness.key_press(Key::Escape);
    harness.run_steps(4);
    assert_eq!(stops(&harness), 1, "without a menu it stops the answer");
}

/// What a screen reader says of the open menus of the toolbar.
#[test]
fn the_entries_of_the_toolbars_menus_have_names() {
    for (menu, entry) in [
        ("Layout", "4 viewports"),
        ("Display", "Viridis"),
        ("Window preset Automatic", "6   Bone   C 350 W 2000"),
    ] {
        let mut harness = harness(ct_desk());
        harness.get_by_label(menu).click();
        harness.run_steps(4);
        assert!(
            harness.query_by_label(entry).is_some(),
            "{menu}: no {entry}"
        );
        let unnamed = unnamed(&harness);
        assert!(unnamed.is_empty(), "{menu}: {unnamed:?}");
    }
}

/// Nothing that can be pressed lies off the window at any size of the interface, on a screen of 1920 x 1080.
#[test]
fn nothing_is_clipped_from_75_to_200_percent() {
    for (scale, theme) in [
        (75, ThemeName::Dark),
        (100, ThemeName::Light),
        (125, ThemeName::HighContrast),
        (150, ThemeName::Dark),
        (175, ThemeName::Light),
        (200, ThemeName::Dark),
    ] {
        for (name, mut desk) in states() {
            desk.perform(Action::Change(Change::Scale(scale)));
            desk.perform(Action::Change(Change::Theme(theme)));
            let mut harness = harness(desk);
            let points = vec2(1920.0, 1080.0) * 100.0 / f32::from(scale);
            harness.set_size(points);
            harness.run_steps(4);
            assert!((harness.ctx.zoom_factor() - f32::from(scale) / 100.0).abs() < 1e-3);
            let window = egui::Rect::from_min_size(egui::Pos2::ZERO, points).expand(1.0);
            let clipped: Vec<String> = off(&harness, window);
            assert!(clipped.is_empty(), "{name} at {scale} %: {clipped:?}");
        }
    }
}

/// Controls that are drawn and whose edge lies beyond the window to the left, right or top. Down, panels scroll.
fn off(harness: &Harness<'_, Desk>, window: egui::Rect) -> Vec<String> {
    let root = harness.root();
    let nodes = root.children_recursive();
    nodes
        .filter(|node| {
            let access = node.accesskit_node();
            access
                .data()
                .supports_action(egui::accesskit::Action::Click)
                && !access.is_hidden()
        })
        .filter(|node| {
            let rect = node.rect();
            let sideways = rect.left() < window.left() || rect.right() > window.right();
            rect.is_positive() && sideways
        })
        .map(|node| format!("{:?} {:?}", node.accesskit_node().label(), node.rect()))
        .collect()
}

/// Story 1: chat about a loaded scan.
#[test]
fn a_scan_is_opened_looked_at_and_asked_about_by_keyboard() {
    let mut desk = Desk::default();
    desk.event(0, device());
    desk.perform(Action::LoadModel("model".into()));
    desk.event(1, model(true, &["comprehend"]));
    let mut harness = harness(desk);
    tab_to(&mut harness, "Path");
    harness.get_by_label("Path").type_text("/scans/knee");
    harness.run_steps(2);
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    let job = harness.state().last_job();
    let series = vec![series("s1", "Knee thin", Modality::Ct)];
    let skipped = Vec::new();
    harness
        .state_mut()
        .event(job, EventKind::ScanDone { series, skipped });
    let job = harness.state().last_job();
    let loaded = Loaded::Volume(Arc::new(ct_volume()));
    let id = "s1".to_owned();
    harness
        .state_mut()
        .event(job, EventKind::SeriesLoaded { id, loaded });
    harness.run_steps(3);
    harness.key_press(Key::Num6);
    harness.key_press(Key::ArrowDown);
    harness.run_steps(3);
    assert!(slice_name(&harness).starts_with("Slice 12 of 20, axial, window C 350 W 2000"));
    harness.key_press(Key::Q);
    harness.run_steps(3);
    harness.get_by_label("Question").type_text("Is it broken?");
    harness.run_steps(2);
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    let job = harness.state().last_job();
    assert_eq!(harness.state().asked()[0].question, "Is it broken?");
    harness
        .state_mut()
        .event(job, answer("No.", AnswerEnd::Complete));
    harness.run_steps(3);
    assert!(shows(&harness, "No."));
}

/// Story 2: one-click CT to MRI with compare.
#[test]
fn a_slice_is_converted_and_compared_by_keyboard() {
    let mut harness = harness(ct_desk());
    tab_to(&mut harness, "CT → MRI");
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    let job = harness.state().last_job();
    let result = EventKind::Generated(Arc::new(generated(0.3)));
    harness.state_mut().event(job, result);
    harness.run_steps(3);
    assert!(shows(&harness, "Synthetic (AI)"));
    tab_to(&mut harness, "Swipe");
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    tab_to(&mut harness, "Curtain");
    let before = harness.state().state.results.mode;
    harness.key_press(Key::ArrowRight);
    harness.run_steps(3);
    assert_ne!(
        harness.state().state.results.mode,
        before,
        "the curtain moved"
    );
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert!(slice_name(&harness).starts_with("Slice 11"));
}

/// Story 3: super-resolution.
#[test]
fn a_slice_is_enlarged_and_saved_by_keyboard() {
    let mut harness = harness(ready_desk(Modality::Mr, &["comprehend", "sr4"]));
    tab_to(&mut harness, "Super-resolution ×4");
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    let job = harness.state().last_job();
    assert!(matches!(
        harness.state().effects.last(),
        Some(Effect::Send { command: Command::Generate(request), .. }) if request.task == engine::Task::Sr4
    ));
    let result = EventKind::Generated(Arc::new(generated(0.9)));
    harness.state_mut().event(job, result);
    harness.run_steps(3);
    tab_to(&mut harness, "Save PNG…");
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    let saved = harness.state().effects.last();
    assert!(matches!(saved, Some(Effect::SavePng(_))), "{saved:?}");
}

/// Story 4: the offline demo. The window starts on the sample study and the bundled model; here with the real reader.
#[test]
fn the_sample_study_is_there_without_a_network_and_by_keyboard() {
    let path = crate::support::repo("assets/samples/limb");
    let found = engine::imaging::scan(&[path], &mut |_, _| std::ops::ControlFlow::Continue(()));
    let series = found.unwrap().series;
    let ct = series
        .iter()
        .find(|s| s.modality == Modality::Ct)
        .unwrap()
        .clone();
    let loaded = engine::imaging::load_series(&ct, &mut |_, _| std::ops::ControlFlow::Continue(()));
    let mut desk = Desk::default();
    desk.perform(Action::OpenPaths(vec!["assets/samples/limb".into()]));
    let skipped = Vec::new();
    desk.event(desk.last_job(), EventKind::ScanDone { series, skipped });
    let loaded = loaded.unwrap();
    let id = ct.id.clone();
    desk.event(desk.last_job(), EventKind::SeriesLoaded { id, loaded });
    desk.perform(Action::LoadModel("model".into()));
    desk.event(
        desk.last_job(),
        model(false, &["comprehend", "ct2mri:limb"]),
    );
    let mut harness = harness(desk);
    assert!(shows(&harness, "untrained test model"));
    assert!(slice_name(&harness).starts_with("Slice 11 of 20, axial"));
    harness.key_press(Key::PageDown);
    harness.run_steps(3);
    let Some(Effect::Send {
        command: Command::LoadSeries { series },
        ..
    }) = harness.state().effects.last()
    else {
        panic!("the MR was not asked for: {:?}", harness.state().effects);
    };
    assert_eq!(series.modality, Modality::Mr);
    harness.key_press(Key::F1);
    harness.run_steps(4);
    assert!(
        shows(&harness, "CT window: abdomen"),
        "the keys explain themselves"
    );
    harness.key_press(Key::Escape);
    harness.run_steps(4);
    assert!(harness.state().state.dialog.is_none());
}
