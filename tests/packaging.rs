//! What is packaged: the list of everything in it, and what a file manager does with it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use engine::session::EventKind;
use engine::{DeviceChoice, Engine};
use workbench::cli::{Outcome, Streams, run};

use crate::support::repo;

#[test]
fn every_package_of_the_lock_file_is_in_the_list_with_its_licence() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sbom.json");
    let ran = Command::new(repo("packaging/sbom.sh"))
        .arg(&out)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let bom: serde_json::Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(bom["bomFormat"], "CycloneDX");
    let mut listed = BTreeSet::new();
    let components = bom["components"].as_array().unwrap();
    for component in components.iter().chain([&bom["metadata"]["component"]]) {
        let text = |key: &str| component[key].as_str().unwrap().to_owned();
        let licences = component["licenses"].as_array().unwrap();
        assert!(!licences.is_empty(), "{component}");
        assert!(
            listed.insert((text("name"), text("version"))),
            "{component}"
        );
    }
    let lock: toml::Table =
        toml::from_str(&fs::read_to_string(repo("Cargo.lock")).unwrap()).unwrap();
    let packages = lock["package"].as_array().unwrap();
    let locked: BTreeSet<(String, String)> = packages
        .iter()
        .map(|package| {
            let text = |key: &str| package[key].as_str().unwrap().to_owned();
            (text("name"), text("version"))
        })
        .collect();
    assert!(locked.len() > 500, "{}", locked.len());
    assert_eq!(listed, locked);
    let burn = components.iter().find(|one| one["name"] == "burn").unwrap();
    assert_eq!(burn["scope"], "required");
    assert_eq!(burn["hashes"][0]["content"].as_str().unwrap().len(), 64);
}

/// The values of a key of the desktop entry.
fn entry(key: &str) -> String {
    let text = fs::read_to_string(repo("packaging/linux/healthgpt-workbench.desktop")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap().trim_start_matches('=').to_owned()
}

#[test]
fn files_and_folders_from_a_file_manager_are_opened_together() {
    // What `%F` stands for: the chosen files and folders, each a word of its own.
    let chosen = [
        repo("assets/samples/limb/ct/000017.dcm"),
        repo("assets/samples/limb/mr"),
    ];
    let line = entry("Exec");
    let words: Vec<std::ffi::OsString> = line
        .split(' ')
        .flat_map(|word| match word {
            "%F" => chosen
                .iter()
                .map(|path| path.clone().into_os_string())
                .collect(),
            word => vec![word.into()],
        })
        .collect();
    assert_eq!(words.len(), 3, "{words:?}");
    let streams = Streams {
        out: &mut Vec::new(),
        err: &mut Vec::new(),
        terminal: false,
    };
    let Outcome::Window(start) = run(&words, streams) else {
        panic!("no window")
    };
    assert_eq!(start.studies, chosen);
    assert!(start.shared, "a window that is open takes them");
    let engine = Engine::start(DeviceChoice::Cpu, || {}).unwrap();
    let job = engine.scan(start.studies);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        let Some(event) = engine.wait_event(Duration::from_secs(1)) else {
            continue;
        };
        if let (true, EventKind::ScanDone { series, .. }) = (event.job == job, event.kind) {
            let found: Vec<_> = series
                .iter()
                .map(|one| (one.modality.code(), one.size[2]))
                .collect();
            assert_eq!(found, [("CT", 1), ("MR", 20)]);
            return;
        }
    }
    panic!("the scan did not end");
}

#[test]
fn every_file_type_that_is_declared_is_one_that_the_menu_entry_opens() {
    let types = entry("MimeType");
    let opened: Vec<&str> = types.split(';').filter(|one| !one.is_empty()).collect();
    let declared =
        fs::read_to_string(repo("packaging/linux/healthgpt-workbench-mime.xml")).unwrap();
    let parts: Vec<&str> = declared.split("<mime-type type=\"").skip(1).collect();
    assert_eq!(parts.len(), 2);
    for part in parts {
        let name = part.split('"').next().unwrap();
        assert!(opened.contains(&name), "{name}");
    }
    for pattern in ["*.dcm", "*.nii", "*.nii.gz"] {
        assert!(
            declared.contains(&format!("pattern=\"{pattern}\"")),
            "{pattern}"
        );
    }
    assert!(opened.contains(&"inode/directory"), "studies are folders");
}
