//! Rules of the repository as tests.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Source files of ours with this extension, and their text.
fn sources(extension: &str) -> Vec<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> = ["app", "engine", "tests", "shaders"]
        .iter()
        .map(|name| root().join(name))
        .filter(|folder| folder.is_dir())
        .collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ext| ext == extension) {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    files.sort();
    files
}

/// The part of a file that the program runs: above its tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn in_tests(path: &Path) -> bool {
    path.strip_prefix(root())
        .is_ok_and(|path| path.starts_with("tests"))
        || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// Fails with a list of places, so that one run shows them all.
fn check(places: &[String], rule: &str) {
    assert!(places.is_empty(), "{rule}:\n{}", places.join("\n"));
}

#[test]
fn every_text_of_the_window_is_used() {
    let app = root().join("app/src");
    let views: Vec<String> = sources("rs")
        .into_iter()
        .filter(|(path, _)| path.starts_with(&app) && !path.ends_with("strings_table.rs"))
        .map(|(_, text)| text)
        .collect();
    let used = |name: &str| {
        let read = format!(".{name}");
        let whole = |rest: &str| !rest.starts_with(|c: char| c == '_' || c.is_alphanumeric());
        views
            .iter()
            .any(|text| text.split(&read).skip(1).any(whole))
    };
    let names = workbench::strings::ALL.iter().map(|(name, ..)| *name);
    let unused: Vec<String> = names
        .filter(|name| !used(name))
        .map(str::to_owned)
        .collect();
    check(&unused, "remove these texts from strings_table.rs");
}

#[test]
fn no_source_file_is_longer_than_700_lines() {
    let long: Vec<String> = sources("rs")
        .into_iter()
        .filter(|(_, text)| text.lines().count() > 700)
        .map(|(path, text)| format!("{} has {}", path.display(), text.lines().count()))
        .collect();
    check(&long, "split these by noun");
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<String> = sources("rs")
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    check(&silent, "begin these with a //! comment");
}

#[test]
fn the_product_neither_unwraps_nor_leaves_marks_of_unfinished_work() {
    // Written in two halves so that this file does not find itself.
    let forbidden: Vec<String> = [
        (".unwr", "ap()"),
        ("dbg", "!("),
        ("todo", "!("),
        ("unimplemented", "!("),
        ("#[igno", "re"),
        ("#[allo", "w("),
    ]
    .iter()
    .map(|(a, b)| format!("{a}{b}"))
    .collect();
    let mut found = Vec::new();
    for (path, text) in sources("rs") {
        let text = if in_tests(&path) { "" } else { product(&text) };
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            if let Some(word) = forbidden.iter().find(|word| code.contains(word.as_str())) {
                found.push(format!("{}:{} has {word}", path.display(), number + 1));
            }
        }
    }
    check(&found, "handle the error, or finish the work");
}

#[test]
fn only_the_main_file_knows_anyhow() {
    let found: Vec<String> = sources("rs")
        .into_iter()
        .filter(|(path, text)| {
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            !path.ends_with("app/src/main.rs")
                && !in_tests(path)
                && code.into_iter().any(|line| line.contains("anyhow::"))
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    check(&found, "give these typed errors");
}

#[test]
fn the_engine_knows_no_window() {
    let manifest = fs::read_to_string(root().join("engine/Cargo.toml")).unwrap();
    for name in ["egui", "eframe", "winit", "rfd"] {
        assert!(!manifest.contains(name), "engine/Cargo.toml has {name}");
    }
}

/// The string literals of a line of code, without escapes.
fn literals(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (&mut current, c) {
            (None, '\'') if chars.peek() == Some(&'"') => drop(chars.next()),
            (None, '/') if chars.peek() == Some(&'/') => break,
            (None, '"') => current = Some(String::new()),
            (None, _) => {}
            (Some(_), '\\') => drop(chars.next()),
            (Some(text), '"') => {
                found.push(std::mem::take(text));
                current = None;
            }
            (Some(text), c) => text.push(c),
        }
    }
    found
}

/// Words for people are letters beside each other that are not inside the braces of a format.
fn has_words(text: &str) -> bool {
    let mut depth = 0;
    let mut letters = 0;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            c if depth == 0 && c.is_alphabetic() => letters += 1,
            _ => letters = 0,
        }
        if letters >= 2 {
            return true;
        }
    }
    false
}

/// Every text of the window is in `strings.rs`, so that it is there in every language. What looks like words in a view
/// is the name of a widget's memory, never shown.
#[test]
fn no_view_has_text_of_its_own() {
    let ids = [
        "Id::unique(",
        ".with(",
        "id_salt",
        "Grid::new(",
        "Panel::",
        "insert_temp",
        "modal_ui(",
        "window_ui(",
    ];
    let mut found = Vec::new();
    for (path, text) in sources("rs") {
        let place = path.strip_prefix(root()).unwrap_or(&path).to_owned();
        let shown = place.starts_with("app/src/view")
            || ["app/src/app.rs", "app/src/state/ready.rs"]
                .iter()
                .any(|file| place.ends_with(file));
        if !shown {
            continue;
        }
        for (number, line) in product(&text).lines().enumerate() {
            let named = ids.iter().any(|id| line.contains(id));
            let words = |literal: &&String| {
                has_words(literal) && workbench::keys::command(literal).is_none()
            };
            if let Some(literal) = literals(line).iter().find(words)
                && !named
            {
                found.push(format!("{}:{} {literal:?}", place.display(), number + 1));
            }
        }
    }
    check(&found, "put these into app/src/strings_table.rs");
}

#[test]
fn the_readme_names_the_two_commands_and_every_subcommand() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for command in [
        "packaging/setup.sh && cargo run --release",
        "packaging/setup.sh && cargo test --release",
        "workbench ask",
        "workbench generate",
        "workbench render",
        "workbench inspect",
        "workbench verify",
        "workbench convert",
        "workbench demo",
    ] {
        assert!(readme.contains(command), "README.md lacks {command}");
    }
}

#[test]
fn the_files_that_the_documents_point_to_are_there() {
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        // Markdown links and images to files of the repository: ](path)
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if !link.contains("://") && !link.starts_with('#') {
                assert!(root().join(link).exists(), "{document} points to {link}");
            }
        }
    }
}

#[test]
fn the_scripts_run_as_they_are() {
    for script in [
        "packaging/setup.sh",
        "packaging/deb.sh",
        "packaging/appimage.sh",
        "packaging/sbom.sh",
        ".ci/run",
    ] {
        let text = fs::read_to_string(root().join(script)).unwrap();
        assert!(text.starts_with("#!/usr/bin/env bash\n"), "{script}");
        assert!(text.contains("set -euo pipefail"), "{script}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(root().join(script))
                .unwrap()
                .permissions()
                .mode();
            assert!(mode & 0o100 != 0, "{script} cannot be executed");
        }
    }
}

#[test]
fn licences_are_there() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("license = \"MIT OR Apache-2.0\""));
    for name in ["LICENSE", "LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md"] {
        assert!(root().join(name).is_file(), "{name}");
    }
}
