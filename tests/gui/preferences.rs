//! Settings, keys, languages, colours, size, recent files and header fields.

use super::*;
use engine::imaging::tags::Field;
use workbench::settings::{Change, RunsOn, Settings, WindowPlace};
use workbench::state::{Dialog, Notice};
use workbench::store::Store;
use workbench::strings::Language;
use workbench::theme::ThemeName;

fn click(harness: &mut Harness<'_, Desk>, name: &str) {
    harness.get_by_role_and_label(Role::Button, name).click();
    harness.run_steps(4);
}

/// Opens a menu by its label and chooses an entry.
fn choose(harness: &mut Harness<'_, Desk>, menu: &str, entry: &str) {
    harness.get_by_label(menu).click();
    harness.run_steps(4);
    harness.get_by_label(entry).click();
    harness.run_steps(4);
}

/// Presses a control by keyboard, wherever it is scrolled to.
fn press(harness: &mut Harness<'_, Desk>, name: &str) {
    harness.get_by_role_and_label(Role::Button, name).focus();
    harness.run_steps(3);
    harness.key_press(Key::Enter);
    harness.run_steps(4);
}

fn kept(harness: &Harness<'_, Desk>) -> Settings {
    let effects = harness.state().effects.iter().rev();
    let mut kept = effects.filter_map(|effect| match effect {
        Effect::KeepSettings(settings) => Some((**settings).clone()),
        _ => None,
    });
    kept.next().expect("settings are to be kept")
}

#[test]
fn the_window_speaks_german_when_that_is_chosen() {
    let mut harness = harness(ct_desk());
    click(&mut harness, "Settings");
    choose(&mut harness, "Language English", "Deutsch");
    assert_eq!(kept(&harness).language, Language::German);
    assert!(shows(
        &harness,
        "Nur für die Forschung. Nicht zur Diagnose."
    ));
    click(&mut harness, "Schließen");
    assert!(shows(&harness, "Schicht 11 von 20, axial, Fenster"));
    for name in ["Ordner öffnen…", "Fragen", "Länge", "Einstellungen"] {
        assert!(
            harness
                .query_by_role_and_label(Role::Button, name)
                .is_some(),
            "{name}"
        );
    }
}

/// What the engine says of the device, of studies without a name and of a missing plug-in is said in German too.
#[test]
fn in_german_the_device_line_and_the_headings_of_the_library_have_no_english() {
    let mut desk = ct_desk();
    let unnamed = |id: &str, format, english: &str| SeriesInfo {
        format,
        study: english.to_owned(),
        study_description: english.to_owned(),
        patient: PatientLabel::default(),
        ..series(id, "x", Modality::Unknown)
    };
    desk.state.library.series.extend([
        unnamed("n", Format::Nifti, "NIfTI files"),
        unnamed("p", Format::Picture, "Pictures"),
    ]);
    desk.perform(Action::Change(Change::Language(Language::German)));
    let harness = harness(desk);
    for german in [
        "Gerät: CPU (burn-flex) – keine GPU mit Treiber gefunden",
        "NIfTI-Dateien",
        "Bilder",
        "hat kein Plug-in für MRT → CT",
    ] {
        assert!(shows(&harness, german), "{german}");
    }
    for english in ["no GPU", "NIfTI files", "Pictures", "mri2ct", "Device"] {
        assert!(!shows(&harness, english), "{english}");
    }
}

#[test]
fn the_colours_and_the_size_follow_the_settings_at_once() {
    let mut harness = harness(ct_desk());
    click(&mut harness, "Settings");
    choose(&mut harness, "Theme Reading room (dark)", "Light");
    let fill = harness.ctx.global_style().visuals.panel_fill;
    assert_eq!(fill, ThemeName::Light.palette().panel);
    choose(&mut harness, "Size of the interface 100 %", "150 %");
    assert_eq!(harness.ctx.zoom_factor(), 1.5);
    let settings = kept(&harness);
    assert_eq!(
        (settings.theme, settings.scale_percent),
        (ThemeName::Light, 150)
    );
    click(&mut harness, "Reset all settings");
    assert_eq!(harness.ctx.zoom_factor(), 1.0);
    assert_eq!(
        kept(&harness),
        Settings {
            recent: kept(&harness).recent,
            ..Settings::default()
        }
    );
}

#[test]
fn where_models_run_is_chosen_among_the_adapters_that_are_there() {
    let mut harness = harness(ct_desk());
    click(&mut harness, "Settings");
    let auto = "Models run on the best GPU, else the CPU";
    let adapters = harness.state().state.adapters.clone();
    assert!(!adapters.is_empty(), "setup.sh installs a software adapter");
    let name = adapters[0].name.clone();
    choose(&mut harness, auto, &name);
    assert_eq!(kept(&harness).runs_on, RunsOn::Adapter(name.clone()));
    choose(&mut harness, &format!("Models run on {name}"), "the CPU");
    assert_eq!(kept(&harness).runs_on, RunsOn::Cpu);
}

#[test]
fn around_the_image_it_is_black_in_every_theme() {
    for theme in ThemeName::ALL {
        let mut desk = ct_desk();
        desk.perform(Action::Change(Change::Theme(theme)));
        let mut harness = harness(desk);
        let name = slice_name(&harness);
        let area = harness.get_by_role_and_label(Role::Image, &name).rect();
        let screen = harness.render().unwrap();
        // Left and right of the picture, which is fitted in height; letters and words aside.
        for at in [
            area.left_center() + vec2(6.0, 90.0),
            area.right_center() + vec2(-6.0, -90.0),
        ] {
            let pixel = screen.get_pixel(at.x as u32, at.y as u32);
            assert_eq!(pixel.0[..3], [0, 0, 0], "{theme:?} at {at:?}");
        }
    }
}

#[test]
fn a_key_is_changed_by_pressing_another_one() {
    let mut harness = harness(ct_desk());
    click(&mut harness, "Settings");
    press(&mut harness, "Change the key for Invert, now I");
    harness.key_press(Key::K);
    harness.run_steps(4);
    assert_eq!(kept(&harness).keys["invert"], ["K"]);
    click(&mut harness, "Close");
    harness.key_press(Key::I);
    harness.run_steps(3);
    assert!(!slice_name(&harness).contains("inverted"));
    harness.key_press(Key::K);
    harness.run_steps(3);
    assert!(slice_name(&harness).contains("inverted"));
}

#[test]
fn a_key_that_is_taken_is_refused_with_its_owner() {
    let mut harness = harness(ct_desk());
    click(&mut harness, "Settings");
    press(&mut harness, "Change the key for Invert, now I");
    harness.key_press(Key::C);
    harness.run_steps(4);
    assert!(shows(&harness, "C is already the key for Cine"));
    let map = &harness.state().state.keymap;
    assert_eq!(
        (map.words("invert"), map.words("cine")),
        ("I".into(), "C".into())
    );
    press(&mut harness, "Change the key for Invert, now I");
    harness.key_press(Key::Escape);
    harness.run_steps(4);
    assert_eq!(
        harness.state().state.dialog,
        Some(Dialog::Settings),
        "only the wait ended"
    );
    assert_eq!(harness.state().state.keymap.words("invert"), "I");
}

#[test]
fn keys_of_the_settings_file_hold_from_the_start() {
    let mut settings = Settings::default();
    let _ = settings
        .keys
        .insert("invert".to_owned(), vec!["K".to_owned()]);
    let _ = settings
        .keys
        .insert("cine".to_owned(), vec!["H".to_owned()]);
    let state = State::with_settings(settings, None);
    assert_eq!(state.keymap.words("invert"), "K");
    let notice = state.notice;
    assert!(
        matches!(&notice, Some(Notice::Failed(text)) if text.contains("cine = H")),
        "{notice:?}"
    );
}

/// Every command of the keyboard, one after the other, while a question is typed: nothing but the text changes.
#[test]
fn no_key_fires_while_typing() {
    let mut harness = harness(ct_desk());
    harness.get_by_label("Question").focus();
    harness.run_steps(2);
    harness.state_mut().effects.clear();
    let before = slice_name(&harness);
    let keys = harness.state().state.keymap.clone();
    let mut pressed = 0;
    for command in workbench::keys::COMMANDS
        .iter()
        .filter(|c| c.name != "cancel")
    {
        for chord in keys.of(command.name) {
            let modifiers = Modifiers {
                ctrl: chord.ctrl,
                command: chord.ctrl,
                shift: chord.shift,
                alt: chord.alt,
                ..Modifiers::NONE
            };
            harness.key_press_modifiers(modifiers, chord.key);
            harness.run_steps(1);
            pressed += 1;
        }
    }
    assert!(pressed > 40, "{pressed}");
    harness.run_steps(3);
    assert_eq!(slice_name(&harness), before);
    let desk = harness.state();
    assert!(
        desk.state.dialog.is_none() && desk.effects.is_empty(),
        "{:?}",
        desk.effects
    );
    assert_eq!(desk.state.measurements.tool, workbench::state::Tool::Window);
    assert!(desk.state.measurements.listed);
}

#[test]
fn keys_wait_while_a_dialog_lies_over_the_slice() {
    let mut harness = harness(ct_desk());
    let before = slice_name(&harness);
    click(&mut harness, "Keys");
    for key in [Key::I, Key::ArrowDown, Key::Num4, Key::H] {
        harness.key_press(key);
    }
    harness.run_steps(4);
    harness.key_press(Key::Escape);
    harness.run_steps(4);
    assert!(harness.state().state.dialog.is_none());
    assert_eq!(slice_name(&harness), before);
}

#[test]
fn the_header_is_asked_for_shown_and_searched() {
    let mut harness = harness(ct_desk());
    harness.key_press(Key::T);
    harness.run_steps(4);
    let asked = harness.state().effects.iter().any(|effect| {
        matches!(
            effect,
            Effect::Send {
                command: Command::ReadHeader { slice: 10, .. },
                ..
            }
        )
    });
    assert!(asked, "{:?}", harness.state().effects);
    assert!(shows(&harness, "Reading the header…"));
    let field = |tag: &str, name: &str, value: &str| Field {
        depth: 0,
        tag: tag.to_owned(),
        vr: "LO",
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let fields = vec![
        field("(0010,0010)", "PatientName", "Phantom"),
        field("(0018,0050)", "SliceThickness", "2.5"),
    ];
    let job = harness.state().last_job();
    let (id, slice) = ("s1".to_owned(), 10);
    harness
        .state_mut()
        .event(job, EventKind::Header { id, slice, fields });
    harness.run_steps(4);
    assert!(shows(&harness, "2 of 2 fields") && shows(&harness, "PatientName"));
    harness.get_by_label("Search fields").focus();
    harness.run_steps(2);
    harness.get_by_label("Search fields").type_text("thick");
    harness.run_steps(4);
    assert!(shows(&harness, "1 of 2 fields") && !shows(&harness, "PatientName"));
    harness.key_press(Key::Escape);
    harness.run_steps(4);
    harness.key_press(Key::Escape);
    harness.run_steps(4);
    assert!(harness.state().state.dialog.is_none());
}

#[test]
fn a_header_that_cannot_be_read_says_why() {
    let mut desk = ct_desk();
    desk.perform(Action::Toggle(Dialog::Tags));
    let mut harness = harness(desk);
    harness.run_steps(3);
    let job = harness.state().last_job();
    let error = engine::ImagingError::damaged(std::path::Path::new("a.dcm"), "it ends too early");
    let failed = EventKind::Failed(Arc::new(Error::Imaging(error)));
    harness.state_mut().event(job, failed);
    harness.run_steps(4);
    assert!(shows(&harness, "the file is damaged (it ends too early)"));
}

#[test]
fn recent_files_open_again_and_can_be_turned_off() {
    let mut desk = Desk::default();
    desk.perform(Action::OpenPaths(vec!["/scans/knee/ct".into()]));
    desk.perform(Action::OpenPaths(vec!["/scans/hip".into()]));
    let mut harness = harness(desk);
    click(&mut harness, "Recent");
    click(&mut harness, "knee/ct");
    let sent = harness
        .state()
        .effects
        .iter()
        .rev()
        .find_map(|effect| match effect {
            Effect::Send {
                command: Command::Scan { paths },
                ..
            } => Some(paths.clone()),
            _ => None,
        });
    assert_eq!(sent.unwrap(), [std::path::PathBuf::from("/scans/knee/ct")]);
    click(&mut harness, "Settings");
    harness.get_by_label("Remember recent files").click();
    harness.run_steps(4);
    let settings = kept(&harness);
    assert!(!settings.remember_recent && settings.recent.is_empty());
    harness
        .state_mut()
        .perform(Action::OpenPaths(vec!["/scans/hip".into()]));
    assert!(harness.state().state.settings.recent.is_empty());
}

#[test]
fn settings_are_read_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    let read = store.settings();
    assert_eq!((read.value, read.set_aside), (Settings::default(), None));
    let mut settings = Settings {
        language: Language::German,
        theme: ThemeName::HighContrast,
        scale_percent: 175,
        window: Some(WindowPlace {
            size: [1200.0, 800.0],
            position: Some([40.0, 60.0]),
            maximized: false,
        }),
        ..Settings::default()
    };
    settings.opened(&["/scans/knee".into(), "/scans/hip".into()]);
    let _ = settings
        .keys
        .insert("cine".to_owned(), vec!["Ctrl+K".to_owned()]);
    settings.panels.library = Some(310.0);
    store.keep_settings(&settings).unwrap();
    assert_eq!(store.settings().value, settings);
    // Written whole or not at all: nothing else is left beside it.
    let beside = store.settings_path().parent().unwrap().read_dir().unwrap();
    assert_eq!(beside.count(), 1);
}

#[test]
fn a_damaged_settings_file_is_set_aside_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    store.keep_settings(&Settings::default()).unwrap();
    let path = store.settings_path();
    for (number, text) in ["language = \"klingon\"", "\u{0}\u{1} not toml ["]
        .iter()
        .enumerate()
    {
        std::fs::write(&path, text).unwrap();
        let read = store.settings();
        assert_eq!(read.value, Settings::default());
        let name = read.set_aside.expect("it was set aside");
        assert_eq!(number == 0, name == "settings.toml.damaged", "{name}");
        let aside = std::fs::read_to_string(path.with_file_name(&name)).unwrap();
        assert_eq!(aside, *text);
        assert!(!path.exists());
    }
}

#[test]
fn settings_of_another_version_keep_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    std::fs::create_dir_all(store.settings_path().parent().unwrap()).unwrap();
    let text = "language = \"german\"\nscale_percent = 9000\nholograms = true\n";
    std::fs::write(store.settings_path(), text).unwrap();
    let read = store.settings();
    assert_eq!(
        (read.value.language, read.value.scale_percent),
        (Language::German, 200)
    );
    assert_eq!(read.set_aside, None);
}

#[test]
fn measurements_are_filed_under_hashes_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    let kept = [workbench::state::Kept {
        at: engine::imaging::SliceAt::acquired(engine::imaging::Plane::Axial, 0),
        shape: engine::imaging::measure::Shape::Length([[0.0; 2], [1.0; 2]]),
        mm: None,
    }];
    for name in ["../../evil", "Doe^John", "", "a/b"] {
        assert!(store.keep_measurements(name, &kept).is_err(), "{name}");
    }
    store
        .keep_measurements("6a618f15b8756f61-2", &kept)
        .unwrap();
    store.keep_measurements("6a618f15b8756f61-2", &[]).unwrap();
    assert!(store.measurements("6a618f15b8756f61-2").value.is_empty());
    let files = folder.path().join("data/measurements").read_dir().unwrap();
    assert_eq!(files.count(), 0, "without measurements there is no file");
}

#[test]
fn the_layout_of_the_last_run_is_there_after_a_start() {
    use workbench::state::{Link, Links};
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    let next_start = |mut desk: Desk| {
        desk.state.remember_layout();
        store.keep_settings(&desk.state.settings).unwrap();
        let mut next = Desk {
            state: State::with_settings(store.settings().value, None),
            ..Desk::default()
        };
        next.perform(Action::OpenPaths(vec!["scans".into()]));
        let series = vec![series("s1", "Knee thin", Modality::Ct)];
        let skipped = Vec::new();
        next.event(1, EventKind::ScanDone { series, skipped });
        let id = "s1".to_owned();
        let loaded = Loaded::Volume(Arc::new(ct_volume()));
        next.event(2, EventKind::SeriesLoaded { id, loaded });
        next
    };
    let planes = |desk: &Desk| -> Vec<engine::imaging::Plane> {
        let viewports = desk.state.viewer.viewports.iter();
        viewports.filter_map(|v| Some(v.volume()?.plane)).collect()
    };
    let mut desk = ct_desk();
    desk.perform(Action::ShowPlanes);
    desk.perform(Action::SetViewports(4));
    desk.perform(Action::ToggleLink(Link::Zoom));
    desk.perform(Action::ToggleCrosshair);
    let mut next = next_start(desk);
    let shown = planes(&next);
    assert_eq!(
        (shown.len(), &shown[..3]),
        (4, &engine::imaging::Plane::ALL[..])
    );
    let links = Links {
        zoom: false,
        ..Links::default()
    };
    assert_eq!(next.state.viewer.links, links);
    assert!(!next.state.viewer.crosshair_visible);
    // Only the first volume is laid out so, and one viewport stays one.
    next.perform(Action::SetViewports(1));
    next.perform(Action::ToggleCrosshair);
    let mut one = next_start(next);
    assert_eq!(planes(&one).len(), 1);
    assert!(one.state.viewer.crosshair_visible);
    // A start that opens nothing forgets nothing.
    one.perform(Action::ShowPlanes);
    one.state.remember_layout();
    let settings = one.state.settings.clone();
    let mut idle = State::with_settings(settings.clone(), None);
    idle.remember_layout();
    assert_eq!(idle.settings.panels.viewports, settings.panels.viewports);
    assert_eq!(settings.panels.viewports, Some(3));
}

/// Closing after a reset does not bring back what was reset.
#[test]
fn a_reset_also_resets_links_crosshair_corners_and_viewports() {
    use workbench::state::{Link, Links};
    let mut desk = ct_desk();
    desk.perform(Action::ShowPlanes);
    desk.perform(Action::ToggleLink(Link::Scroll));
    desk.perform(Action::ToggleCrosshair);
    desk.perform(Action::ToggleCorners);
    desk.state.remember_layout();
    let mut harness = harness(desk);
    click(&mut harness, "Settings");
    click(&mut harness, "Reset all settings");
    let state = &mut harness.state_mut().state;
    assert_eq!(state.viewer.links, Links::default());
    assert!(state.viewer.crosshair_visible && state.viewer.corners_visible);
    assert_eq!(state.viewer.viewports.len(), 1);
    state.remember_layout();
    let panels = state.settings.panels;
    assert_eq!(panels.links, Links::default());
    assert!(!panels.crosshair_off && !panels.corners_off);
    assert_eq!(panels.viewports, Some(1));
}

/// The CT and an MR of one study, found and loaded by the next start of this store.
fn next_start(store: &Store) -> Desk {
    let mut next = Desk {
        state: State::with_settings(store.settings().value, None),
        ..Desk::default()
    };
    next.state.layout_at_start = store.layout().value;
    next.perform(Action::OpenPaths(vec!["scans".into()]));
    let series = vec![
        series("mr", "T1", Modality::Mr),
        series("s1", "Knee thin", Modality::Ct),
    ];
    let skipped = Vec::new();
    next.event(1, EventKind::ScanDone { series, skipped });
    let sent = next.effects.iter();
    let ids: Vec<String> = sent
        .filter_map(|effect| match effect {
            Effect::Send {
                kind: JobKind::LoadSeries(id),
                ..
            } => Some(id.clone()),
            _ => None,
        })
        .collect();
    for (id, job) in ids.into_iter().zip(2..) {
        let modality = if id == "mr" {
            Modality::Mr
        } else {
            Modality::Ct
        };
        let loaded = Loaded::Volume(Arc::new(Volume {
            modality,
            ..ct_volume()
        }));
        next.event(job, EventKind::SeriesLoaded { id, loaded });
    }
    next
}

#[test]
fn a_study_that_is_opened_again_looks_as_it_did_at_the_end_of_the_last_run() {
    use engine::imaging::{ColourMap, Plane, Projection, Slab, Window};
    use workbench::state::{CompareMode, VolumeView};
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    let end = |desk: &mut Desk| {
        desk.state.remember_layout();
        store.keep_settings(&desk.state.settings).unwrap();
        store
            .keep_layout(&desk.state.layout_to_keep().unwrap())
            .unwrap();
    };
    let view = |desk: &Desk, number: usize| -> VolumeView {
        let viewport = &desk.state.viewer.viewports[number];
        viewport.volume().unwrap().clone()
    };
    // Nothing was kept yet: the CT comes first.
    let mut desk = next_start(&store);
    assert_eq!(desk.state.viewer.series_id(), Some("s1"));
    // The MR, in three planes, one of them a slab in colour, another one active.
    desk.perform(Action::ShowSeries("mr".to_owned()));
    let loaded = Loaded::Volume(Arc::new(Volume {
        modality: Modality::Mr,
        ..ct_volume()
    }));
    let id = "mr".to_owned();
    desk.event(desk.last_job(), EventKind::SeriesLoaded { id, loaded });
    desk.perform(Action::ShowPlanes);
    desk.perform(Action::SetWindow(Window::linear(77.0, 311.0)));
    desk.perform(Action::Activate(2));
    desk.perform(Action::SetColours(ColourMap::Inferno));
    let slab = Slab {
        projection: Projection::Maximum,
        mm: 10.0,
    };
    desk.perform(Action::SetSlab(Some(slab)));
    desk.perform(Action::Activate(1));
    desk.perform(Action::SetSlice(5));
    end(&mut desk);
    let mut next = next_start(&store);
    assert_eq!(next.state.viewer.viewports.len(), 3);
    assert_eq!(next.state.viewer.active, 1);
    assert_eq!(next.state.viewer.series_id(), Some("mr"));
    let shown = view(&next, 1);
    assert_eq!((shown.plane, shown.index()), (Plane::Coronal, 5));
    assert_eq!(shown.window, Window::linear(77.0, 311.0));
    let shown = view(&next, 2);
    assert_eq!(
        (shown.slab, shown.colours),
        (Some(slab), ColourMap::Inferno)
    );
    // Two series compared.
    next.perform(Action::SetViewports(1));
    next.perform(Action::ShowBeside("s1".to_owned()));
    let loaded = Loaded::Volume(Arc::new(ct_volume()));
    let id = "s1".to_owned();
    next.event(next.last_job(), EventKind::SeriesLoaded { id, loaded });
    next.perform(Action::CompareSeries(CompareMode::Blend(0.3)));
    end(&mut next);
    let pair = next_start(&store);
    let viewer = &pair.state.viewer;
    assert_eq!(viewer.mode(), CompareMode::Blend(0.3));
    let ids: Vec<Option<&str>> = viewer.viewports.iter().map(|v| v.series_id()).collect();
    assert_eq!(ids, [Some("mr"), Some("s1")]);
    // A start that opens nothing forgets nothing, and a damaged file is set aside.
    assert!(State::default().layout_to_keep().is_none());
    let path = folder.path().join("data/layout.json");
    std::fs::write(&path, "{").unwrap();
    let read = store.layout();
    assert!(read.value.is_none());
    assert_eq!(read.set_aside.as_deref(), Some("layout.json.damaged"));
}

#[test]
fn another_study_does_not_get_the_layout_of_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    let mut desk = ct_desk();
    let open = desk.state.viewer.open_mut().unwrap();
    open.series.id = "elsewhere".to_owned();
    desk.perform(Action::SetSlice(3));
    store
        .keep_layout(&desk.state.layout_to_keep().unwrap())
        .unwrap();
    let next = next_start(&store);
    assert_eq!(next.state.viewer.series_id(), Some("s1"));
    assert_eq!(next.state.viewer.open().unwrap().index(), 10);
}
