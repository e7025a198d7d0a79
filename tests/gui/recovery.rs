//! A session that did not end properly goes on: what is kept of it, where, and what a crash leaves.

use std::fs;
use std::process::Command as Process;
use std::time::{Duration, Instant};

use super::*;
use engine::imaging::{Plane, Window};
use workbench::autosave::{Autosave, PERIOD};
use workbench::crash;
use workbench::keeper::Wish;
use workbench::recovery::SessionFile;
use workbench::settings::Change;
use workbench::state::{Left, Reply, Session};

/// Three planes of a CT in a window of its own, one question answered and one that is being typed.
fn busy_desk() -> Desk {
    let mut desk = ct_desk();
    desk.perform(Action::ShowPlanes);
    desk.perform(Action::SetWindow(Window::linear(77.0, 311.0)));
    desk.perform(Action::SetSlice(7));
    desk.perform(Action::Zoom {
        factor: 2.0,
        about: [10.0, 5.0],
    });
    ask_and_answer(&mut desk, "Is there a ball?", " Yes, in the knee.");
    desk.state.chat.draft.text = "And its size".to_owned();
    desk
}

fn left(session: Session) -> Option<Left> {
    Some(Left {
        session: Some(Box::new(session)),
        ..Left::default()
    })
}

/// As it is after a way through the file.
fn through_a_file(session: &Session) -> Session {
    let folder = tempfile::tempdir().unwrap();
    SessionFile::take(folder.path())
        .unwrap()
        .write(session)
        .unwrap();
    let read = SessionFile::take(folder.path()).unwrap().left();
    assert_eq!(read.set_aside, None);
    read.value.unwrap()
}

fn click(harness: &mut Harness<'_, Desk>, name: &str) {
    harness.get_by_role_and_label(Role::Button, name).click();
    harness.run_steps(4);
}

#[test]
fn a_restored_session_has_its_layout_windows_and_chat() {
    let before = busy_desk();
    let session = before.state.session().unwrap();
    let mut desk = Desk::default();
    desk.state.left = left(through_a_file(&session));
    let mut harness = harness(desk);
    assert!(shows(&harness, "did not end properly"));
    click(&mut harness, "Restore");
    assert!(!shows(&harness, "did not end properly"));
    assert!(
        shows(&harness, "Yes, in the knee."),
        "the chat is there at once"
    );
    let desk = harness.state_mut();
    assert!(
        desk.state.session().is_none(),
        "not written while it is half there"
    );
    let sent: Vec<&JobKind> = desk
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send { kind, .. } => Some(kind),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [&JobKind::LoadModel, &JobKind::Restore]);
    desk.event(1, model(true, &["comprehend"]));
    desk.event(
        2,
        EventKind::ScanDone {
            series: vec![
                series("s0", "Another one", Modality::Ct),
                series("s1", "Knee thin", Modality::Ct),
            ],
            skipped: Vec::new(),
        },
    );
    let id = "s1".to_owned();
    let loaded = Loaded::Volume(Arc::new(ct_volume()));
    desk.event(3, EventKind::SeriesLoaded { id, loaded });
    assert_eq!(desk.state.session().unwrap(), session);
    harness.run_steps(4);
    let names: Vec<String> = harness
        .query_all_by_role(Role::Image)
        .filter_map(|node| node.accesskit_node().label())
        .filter(|name| name.starts_with("Slice "))
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names[0].contains("Slice 8 of 20, axial, window C 77 W 311"));
    assert_eq!(harness.state().state.chat.draft.text, "And its size");
}

#[test]
fn an_answer_that_was_under_way_comes_back_as_far_as_it_was() {
    let mut desk = ct_desk();
    desk.state.chat.draft.text = "Where?".to_owned();
    desk.perform(Action::Ask);
    desk.event(desk.last_job(), EventKind::Text(" In the".to_owned()));
    let session = through_a_file(&desk.state.session().unwrap());
    let mut next = Desk::default();
    next.state.left = left(session);
    next.perform(Action::RestoreSession);
    let turn = &next.state.chat.turns[0];
    assert!(matches!(&turn.reply, Reply::Stopped(text) if text == " In the"));
    assert_eq!(turn.pictures[0].series, "s1");
}

#[test]
fn a_session_whose_series_are_gone_opens_what_is_there() {
    let session = busy_desk().state.session().unwrap();
    let mut desk = Desk::default();
    desk.state.left = Some(Left {
        session: Some(Box::new(session)),
        gone: 1,
        report: None,
    });
    desk.perform(Action::RestoreSession);
    desk.event(
        2,
        EventKind::ScanDone {
            series: vec![series("other", "Hip", Modality::Mr)],
            skipped: Vec::new(),
        },
    );
    assert_eq!(desk.state.viewer.series_id(), Some("other"));
    let mut harness = harness(desk);
    harness.run_steps(2);
    assert!(shows(&harness, "no longer there: 1"));
}

#[test]
fn a_discarded_session_is_deleted_and_the_report_is_named() {
    let mut desk = ct_desk();
    desk.state.left = Some(Left {
        session: Some(Box::new(busy_desk().state.session().unwrap())),
        gone: 0,
        report: Some("/data/crashes/crash-1.txt".to_owned()),
    });
    let mut harness = harness(desk);
    assert!(shows(&harness, "/data/crashes/crash-1.txt"));
    click(&mut harness, "Discard");
    let effects = &harness.state().effects;
    assert!(effects.iter().any(|e| matches!(e, Effect::DiscardSession)));
    assert!(!shows(&harness, "crash-1.txt"));
    assert!(harness.state().state.chat.turns.is_empty());
}

#[test]
fn what_a_killed_window_left_is_found_by_the_next_and_by_one_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("sessions");
    let session = busy_desk().state.session().unwrap();
    let running = SessionFile::take(&folder).unwrap();
    running.write(&session).unwrap();
    let beside = SessionFile::take(&folder).unwrap();
    assert!(beside.left().value.is_none(), "the first window still runs");
    drop((running, beside)); // what the system does with the locks of a program that is killed
    let next = SessionFile::take(&folder).unwrap();
    assert_eq!(next.left().value, Some(session));
    assert!(SessionFile::take(&folder).unwrap().left().value.is_none());
    next.remove().unwrap();
    next.remove().unwrap();
    drop(next);
    assert!(SessionFile::take(&folder).unwrap().left().value.is_none());
}

#[cfg(unix)]
#[test]
fn only_this_user_can_read_a_session() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("sessions");
    let place = SessionFile::take(&folder).unwrap();
    place.write(&busy_desk().state.session().unwrap()).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_damaged_session_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1.json"), "{\"studies\": 7}").unwrap();
    let read = SessionFile::take(folder.path()).unwrap().left();
    assert!(read.value.is_none());
    assert_eq!(read.set_aside.as_deref(), Some("1.json.damaged"));
    assert!(folder.path().join("1.json.damaged").exists());
}

#[test]
fn a_change_is_written_once_and_an_idle_window_writes_nothing() {
    let ctx = egui::Context::default();
    let mut autosave = Autosave::default();
    let start = Instant::now();
    let mut empty = State::default();
    assert!(autosave.due(&ctx, &empty, start).is_none());
    let mut desk = busy_desk();
    let early = start + Duration::from_millis(100);
    assert!(
        autosave.due(&ctx, &desk.state, early).is_none(),
        "too early"
    );
    let later = |periods: u32| start + PERIOD * periods;
    let wish = autosave.due(&ctx, &desk.state, later(1));
    assert!(matches!(wish, Some(Wish::Session(_))), "{wish:?}");
    assert!(autosave.due(&ctx, &desk.state, later(2)).is_none());
    desk.perform(Action::SetPlane(Plane::Coronal));
    let wish = autosave.due(&ctx, &desk.state, later(3));
    assert!(matches!(wish, Some(Wish::Session(_))), "{wish:?}");
    // A session of the run before is never overwritten while the user has not decided.
    empty.left = left(desk.state.session().unwrap());
    empty.studies.push("/other".into());
    assert!(autosave.due(&ctx, &empty, later(4)).is_none());
}

#[test]
fn nothing_is_written_once_the_user_turns_it_off() {
    let ctx = egui::Context::default();
    let mut autosave = Autosave::default();
    let mut desk = busy_desk();
    assert!(autosave.wish(&desk.state).is_some());
    desk.perform(Action::Toggle(workbench::state::Dialog::Settings));
    let mut harness = harness(desk);
    harness
        .get_by_label("Keep the session until it ends, to restore it after a crash")
        .click();
    harness.run_steps(4);
    let desk = harness.state_mut();
    assert!(!desk.state.settings.recover);
    let now = Instant::now();
    let wish = autosave.due(&ctx, &desk.state, now);
    assert!(matches!(wish, Some(Wish::NoSession)), "{wish:?}");
    desk.perform(Action::SetPlane(Plane::Coronal));
    assert!(autosave.due(&ctx, &desk.state, now + PERIOD).is_none());
    desk.perform(Action::Change(Change::Recover(true)));
    let wish = autosave.due(&ctx, &desk.state, now + PERIOD * 2);
    assert!(matches!(wish, Some(Wish::Session(_))), "{wish:?}");
}

/// Where the process that is to fail writes its report.
const FAILS_IN: &str = "HGW_TEST_FAILS_IN";

/// Runs in a process of its own: a panic hook is the whole process's.
#[test]
fn a_fault_leaves_a_report_without_what_a_file_says() {
    if let Some(folder) = std::env::var_os(FAILS_IN) {
        crash::watch(folder.into());
        crash::uses("llvmpipe (Vulkan)".to_owned());
        let study = "/scans/DOE^JOHN";
        let read = fs::read(study).map_err(|error| format!("{study}: {error}"));
        let _ = std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(move || drop(read.unwrap()))
            .unwrap()
            .join();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let this = "gui::recovery::a_fault_leaves_a_report_without_what_a_file_says";
    let ran = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", this, "--test-threads", "1"])
        .env(FAILS_IN, folder.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let report = crash::untold(folder.path()).expect("a report");
    let text = fs::read_to_string(&report).unwrap();
    for part in [
        concat!("HealthGPT Workbench: ", env!("CARGO_PKG_VERSION")),
        "Adapters: llvmpipe (Vulkan)",
        "Thread: loader",
        "recovery.rs:",
        "called `Result::unwrap()` on an `Err` value",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(!text.contains("DOE") && !text.contains("/scans"), "{text}");
    assert!(crash::untold(folder.path()).is_none(), "said once");
    assert!(report.exists());
}
