//! What the window looks like, picture by picture, drawn by the CPU (lavapipe).
//!
//! A picture may differ from its baseline in at most 10 pixels by more than 1.0 (squared YIQ distance). The baselines
//! were made with Mesa 22.3.6; `UPDATE_SNAPSHOTS=1 cargo test --test suite snapshots` makes them anew, to be looked at.

use egui_kittest::SnapshotResult;
use engine::imaging::Plane;
use engine::imaging::measure::Shape;
use engine::imaging::tags::Field;
use engine::training::step::TrainStep;
use workbench::settings::Change;
use workbench::state::{Dialog, Kept, Measure, Notice, Tool};
use workbench::strings::Language;
use workbench::theme::ThemeName;

use super::*;
use crate::screen::{gpu, renderer, snapshot_options, snapshots};

/// The window's size, in points: small, so that the baselines are.
const SIZE: [f32; 2] = [1100.0, 700.0];

/// Compares what a desk shows with the baseline of this name.
fn snap(name: &str, desk: Desk) -> SnapshotResult {
    snap_at(name, desk, SIZE)
}

/// The same in a window of so many pixels.
fn snap_at(name: &str, mut desk: Desk, size: [f32; 2]) -> SnapshotResult {
    let scale = desk.state.settings.scale();
    desk.effects.clear();
    let mut harness = Harness::builder()
        .with_size(egui::Vec2::from(size) / scale)
        .with_max_steps(16)
        .with_context_setup(workbench::theme::install)
        .renderer(renderer())
        .build_ui_state(
            |ui, desk: &mut Desk| {
                for effect in workbench::app::desk_ui(ui, &mut desk.state, &mut desk.pictures) {
                    desk.take(effect);
                }
            },
            desk,
        );
    harness.set_size(egui::Vec2::from(size) / scale);
    harness.run_steps(8);
    let options = snapshot_options().output_path(snapshots().join("window"));
    harness.try_snapshot_options(name, &options)
}

/// Fails with all that differ.
fn all_equal(results: impl IntoIterator<Item = SnapshotResult>) {
    let failed: Vec<String> = results
        .into_iter()
        .filter_map(Result::err)
        .map(|error| error.to_string())
        .collect();
    let driver = gpu().adapter.get_info();
    assert!(
        failed.is_empty(),
        "drawn by {} {}:\n{}",
        driver.name,
        driver.driver_info,
        failed.join(
            "
"
        )
    );
}

fn with(change: impl FnOnce(&mut Desk)) -> Desk {
    let mut desk = ct_desk();
    change(&mut desk);
    desk
}

fn shape(shape: Shape) -> Kept {
    Kept {
        at: engine::imaging::SliceAt::acquired(Plane::Axial, 10),
        shape,
        mm: None,
    }
}

fn measured() -> Desk {
    with(|desk| {
        let _ = desk.state.recalled(
            "s1",
            &[
                shape(Shape::Length([[4.0, 6.0], [16.0, 9.0]])),
                shape(Shape::Angle([[6.0, 28.0], [6.0, 18.0], [16.0, 26.0]])),
                shape(Shape::Ellipse([[20.0, 6.0], [32.0, 17.0]])),
            ],
        );
    })
}

fn header() -> Desk {
    with(|desk| {
        desk.perform(Action::Toggle(Dialog::Tags));
        for effect in desk.state.refresh() {
            desk.take(effect);
        }
        let row = |depth, tag: &str, vr, name: &str, value: &str| Field {
            depth,
            tag: tag.to_owned(),
            vr,
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let fields = vec![
            row(0, "(0008,0060)", "CS", "Modality", "CT"),
            row(0, "(0010,0010)", "PN", "PatientName", "Phantom^Test"),
            row(0, "(0018,0050)", "DS", "SliceThickness", "2.5"),
            row(0, "(0008,1140)", "SQ", "ReferencedImageSequence", "1 item"),
            row(1, "", "", "Item 1", ""),
            row(
                2,
                "(0008,1155)",
                "UI",
                "ReferencedSOPInstanceUID",
                "1.2.840.1",
            ),
            row(0, "(7FE0,0010)", "OW", "PixelData", "2560 bytes"),
        ];
        let (id, slice) = ("s1".to_owned(), 10);
        desk.event(desk.last_job(), EventKind::Header { id, slice, fields });
    })
}

fn theme(theme: ThemeName) -> impl FnOnce(&mut Desk) {
    move |desk: &mut Desk| desk.perform(Action::Change(Change::Theme(theme)))
}

#[test]
fn an_empty_window_and_a_slice_look_as_they_did() {
    all_equal([
        snap("empty", Desk::default()),
        snap("slice", ct_desk()),
        snap("mr", ready_desk(Modality::Mr, &["comprehend", "mri2ct"])),
        snap("inverted", with(|desk| desk.perform(Action::ToggleInvert))),
        snap(
            "message",
            with(|desk| {
                desk.state.notice = Some(Notice::Failed("This cannot be done".to_owned()));
            }),
        ),
    ]);
}

#[test]
fn measurements_look_as_they_did() {
    let select = |number| {
        move |desk: &mut Desk| desk.perform(Action::Measure(Measure::Select(Some(number))))
    };
    let chosen = |number| {
        let mut desk = measured();
        select(number)(&mut desk);
        desk
    };
    all_equal([
        snap("measured", measured()),
        snap("measured-ellipse-chosen", chosen(3)),
        snap("measured-length-chosen", chosen(1)),
        snap("measured-turned", {
            let mut desk = measured();
            desk.perform(Action::Turn(workbench::state::ViewTurn::RotateRight));
            desk
        }),
        snap("measured-list-hidden", {
            let mut desk = measured();
            desk.perform(Action::Measure(Measure::ToggleList));
            desk
        }),
        snap(
            "tool-rectangle",
            with(|desk| {
                desk.perform(Action::Measure(Measure::Use(Tool::Rectangle)));
            }),
        ),
    ]);
}

#[test]
fn dialogs_look_as_they_did() {
    all_equal([
        snap("header", header()),
        snap("header-searched", {
            let mut desk = header();
            desk.state.tags.search = "patient".to_owned();
            desk
        }),
        snap(
            "settings",
            with(|desk| desk.perform(Action::Toggle(Dialog::Settings))),
        ),
        snap(
            "settings-key-refused",
            with(|desk| {
                desk.perform(Action::Toggle(Dialog::Settings));
                let chord = workbench::keys::Chord::parse("C").unwrap();
                desk.perform(Action::BindKey("invert".to_owned(), chord));
            }),
        ),
        snap(
            "keys",
            with(|desk| desk.perform(Action::Toggle(Dialog::Keys))),
        ),
    ]);
}

/// A run half done, with the scores and the sample of a validation.
fn trained() -> Desk {
    with(|desk| {
        desk.perform(Action::Toggle(Dialog::Training));
        desk.state.training.config_draft = "runs/ct-to-mri.toml".to_owned();
        let run = Command::Train {
            config: "runs/ct-to-mri.toml".into(),
        };
        desk.take(Effect::Send {
            command: run,
            kind: JobKind::Train,
        });
        let job = desk.last_job();
        for number in 1..=120_u64 {
            let wobble = ((number * 37) % 11) as f64 / 20.0;
            let mut step = TrainStep {
                step: number,
                of: 240,
                loss: 1.5 + 4.0 * (-(number as f64) / 30.0).exp() + wobble,
                elapsed_secs: 6.0 * number as f64,
                ..TrainStep::default()
            };
            if number == 100 {
                let _ = step.scores.insert("val ssim ct2mri".to_owned(), 41.5);
                let _ = step.scores.insert("val exact vqa".to_owned(), 87.5);
                step.sample = Some(Arc::new(RgbImage::from_fn(768, 256, |x, y| {
                    Rgb([((x % 256).abs_diff(y) % 256) as u8; 3])
                })));
            }
            desk.event(job, EventKind::TrainStep(step));
        }
    })
}

#[test]
fn a_training_run_looks_as_it_did() {
    all_equal([
        snap(
            "training-new",
            with(|desk| desk.perform(Action::Toggle(Dialog::Training))),
        ),
        snap("training", trained()),
    ]);
}

#[test]
fn themes_look_as_they_did() {
    all_equal([
        snap("light", with(theme(ThemeName::Light))),
        snap("high-contrast", with(theme(ThemeName::HighContrast))),
        snap("light-measured", {
            let mut desk = measured();
            theme(ThemeName::Light)(&mut desk);
            desk
        }),
        snap(
            "light-settings",
            with(|desk| {
                theme(ThemeName::Light)(desk);
                desk.perform(Action::Toggle(Dialog::Settings));
            }),
        ),
        snap(
            "high-contrast-answer",
            with(|desk| {
                theme(ThemeName::HighContrast)(desk);
                ask_and_answer(desk, "Is it broken?", "No.");
            }),
        ),
        snap("light-result", {
            let mut desk = desk_with_result(0.99);
            theme(ThemeName::Light)(&mut desk);
            desk
        }),
    ]);
}

#[test]
fn sizes_and_languages_look_as_they_did() {
    let scaled = |percent| with(|desk| desk.perform(Action::Change(Change::Scale(percent))));
    let german = |desk: &mut Desk| desk.perform(Action::Change(Change::Language(Language::German)));
    all_equal([
        snap("scale-75", scaled(75)),
        snap("scale-125", scaled(125)),
        snap_at("scale-200", scaled(200), [1920.0, 1080.0]),
        snap("german", with(german)),
        snap("german-measured", {
            let mut desk = measured();
            german(&mut desk);
            desk
        }),
        snap(
            "german-settings",
            with(|desk| {
                german(desk);
                desk.perform(Action::Toggle(Dialog::Settings));
            }),
        ),
    ]);
}

#[test]
fn what_the_last_run_left_and_the_memory_look_as_they_did() {
    let offered = |desk: &mut Desk| {
        let session = desk.state.session().map(Box::new);
        desk.state.left = Some(workbench::state::Left {
            session,
            gone: 0,
            report: Some(
                "/home/user/.local/share/healthgpt-workbench/crashes/crash-1.txt".to_owned(),
            ),
        });
        desk.state.memory_mib = Some(1843.0);
    };
    let german = |desk: &mut Desk| {
        desk.perform(Action::Change(Change::Language(Language::German)));
        offered(desk);
    };
    all_equal([
        snap("recovery", with(offered)),
        snap("recovery-german", with(german)),
    ]);
}
