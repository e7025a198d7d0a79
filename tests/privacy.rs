//! Nothing of a patient is in what the program leaves behind: session, settings, logs, reports. Paths excepted.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command as Process;

use engine::imaging::{PatientLabel, load_series, scan};
use engine::session::{Event, EventKind, JobId};
use workbench::action::{Action, Effect};
use workbench::cli::{Streams, run};
use workbench::crash;
use workbench::recovery::SessionFile;
use workbench::state::State;
use workbench::store::Store;

use crate::fixtures::Dicom;
use crate::support::tiny_model;

/// What the headers say of the patient, in all the ways it is written: name, ID, birth date.
const TOLD: [&str; 5] = [
    "Qwertzuiop",
    "Yxcvbnm",
    "ID-4711-0815",
    "19610203",
    "1961-02-03",
];

/// Where the study and the reports of the process lie that logs everything.
const STUDY: &str = "HGW_TEST_PRIVATE_STUDY";

/// Three sound slices, one that ends early, and one of another series that cannot be decoded.
fn write_study(folder: &Path) {
    for k in 0..5 {
        let mut slice = Dicom::ct_slice(k, k as f64);
        slice
            .text(0x0010_0010, "PN", "Qwertzuiop^Yxcvbnm")
            .text(0x0010_0020, "LO", "ID-4711-0815")
            .text(0x0010_0030, "DA", "19610203");
        let path = folder.join(format!("{k}.dcm"));
        match k {
            3 => fs::write(path, &slice.bytes()[..400]).unwrap(),
            4 => slice
                .text(0x0020_000E, "UI", "1.2.3.2001")
                .text(0x0020_0011, "IS", "9")
                .fragments("1.2.3.4", &[&[0; 40]])
                .write(&path),
            _ => slice.write(&path),
        }
    }
}

fn check(what: &str, text: &str) {
    for told in TOLD {
        assert!(!text.contains(told), "{what} has {told}:\n{text}");
    }
}

#[test]
fn the_session_and_the_settings_of_a_study_name_nobody() {
    let study = tempfile::tempdir().unwrap();
    write_study(study.path());
    let found = scan(&[study.path().to_owned()], &mut |_, _| {
        ControlFlow::Continue(())
    })
    .unwrap();
    let series = found.series[0].clone();
    assert_eq!(
        series.patient.name, "Qwertzuiop, Yxcvbnm",
        "the window shows it"
    );
    let loaded = load_series(&series, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let mut state = State::default();
    let mut jobs = 0;
    let mut take = |state: &mut State, effects: Vec<Effect>| {
        for effect in effects {
            if let Effect::Send { kind, .. } = effect {
                jobs += 1;
                state.started(JobId(jobs), kind);
            }
        }
        JobId(jobs)
    };
    let effects = state.perform(Action::OpenPaths(vec![study.path().to_owned()]));
    let job = take(&mut state, effects);
    let kind = EventKind::ScanDone {
        series: found.series,
        skipped: found.skipped,
    };
    let effects = state.apply(Event { job, kind });
    let job = take(&mut state, effects);
    let kind = EventKind::SeriesLoaded {
        id: series.id.clone(),
        loaded,
    };
    let effects = state.apply(Event { job, kind });
    let _ = take(&mut state, effects);
    assert!(state.viewer.open().is_some());
    let _ = state.perform(Action::AddPicture);
    let _ = state.perform(Action::EditQuestion("Which part of the body?".to_owned()));
    state.remember_layout();

    let kept = tempfile::tempdir().unwrap();
    let sessions = kept.path().join("sessions");
    let place = SessionFile::take(&sessions).unwrap();
    place.write(&state.session().unwrap()).unwrap();
    let store = Store::at(kept.path());
    store.keep_settings(&state.settings).unwrap();
    store.keep_layout(&state.layout_to_keep().unwrap()).unwrap();
    let mut files = 0;
    for entry in walk(kept.path()) {
        let text = String::from_utf8_lossy(&fs::read(&entry).unwrap()).into_owned();
        check(&entry.display().to_string(), &text);
        files += usize::from(text.contains(&study.path().display().to_string()));
    }
    assert_eq!(files, 2, "session and settings name the folder");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Runs in a process of its own: a log and a panic hook are the whole process's.
#[test]
fn logs_and_reports_of_a_study_name_nobody() {
    if let Some(folder) = std::env::var_os(STUDY) {
        leave_traces(Path::new(&folder));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("study");
    fs::create_dir(&study).unwrap();
    write_study(&study);
    let ran = Process::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "privacy::logs_and_reports_of_a_study_name_nobody",
        ])
        .args(["--test-threads", "1", "--nocapture"])
        .env(STUDY, folder.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let log = String::from_utf8_lossy(&ran.stderr);
    assert!(log.contains("DEBUG"), "something is logged:\n{log}");
    check("the log", &log);
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(said.contains("4 x 3 x 3"), "the study was read:\n{said}");
    check("the output", &said);
    let report = crash::untold(&folder.path().join("crashes")).expect("a report");
    check("the report", &fs::read_to_string(report).unwrap());
}

/// Reads the study in several ways with everything logged, and panics with a header in hand.
fn leave_traces(folder: &Path) {
    tracing_subscriber::fmt()
        .with_env_filter("warn,engine=trace,workbench=trace")
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    crash::watch(folder.join("crashes"));
    let study = folder.join("study");
    let path = study.to_str().unwrap();
    let model = tiny_model();
    let picture = folder.join("picture.png");
    let commands: [&[&str]; 5] = [
        &["inspect", path],
        &["inspect", "--json", path],
        &["inspect", "--per-file", path],
        &[
            "render",
            path,
            "--slice",
            "1",
            "--out",
            picture.to_str().unwrap(),
        ],
        &[
            "ask",
            path,
            "--slice",
            "2",
            "--max-new-tokens",
            "2",
            "What is it?",
        ],
    ];
    for words in commands {
        let first = [
            "workbench",
            "--device",
            "cpu",
            "--model",
            model.to_str().unwrap(),
        ];
        let words: Vec<_> = first
            .iter()
            .chain(words)
            .map(|word| (*word).into())
            .collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let streams = Streams {
            out: &mut out,
            err: &mut err,
            terminal: false,
        };
        let _ = run(&words, streams);
        println!("{}", String::from_utf8_lossy(&out));
        eprintln!("{}", String::from_utf8_lossy(&err));
    }
    let found = scan(&[study], &mut |_, _| ControlFlow::Continue(())).unwrap();
    let _ = std::thread::Builder::new()
        .spawn(move || {
            refused(found.series[0].patient.clone()).unwrap();
        })
        .unwrap()
        .join();
}

/// A failure that holds a patient.
fn refused(patient: PatientLabel) -> Result<(), PatientLabel> {
    Err(patient)
}
