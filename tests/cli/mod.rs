//! The command line in process, with the bundled model and the sample study.

mod data;
mod refusals;
mod results;

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;
use workbench::cli::{Outcome, Streams, run};

use crate::support::{copy_of, repo, tiny_model};

/// What a command left behind.
struct Ran {
    code: u8,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    /// The error of a failed command with `--json`: kind and message.
    fn error(&self) -> (String, String) {
        let value = self.json();
        let text = |key: &str| value["error"][key].as_str().unwrap().to_owned();
        assert_ne!(self.code, 0, "{}", self.out);
        (text("kind"), text("message"))
    }
}

/// With the untrained model where no other is named: it is small, and what it makes was compared with the reference.
fn workbench(words: &[&str]) -> Ran {
    let model = tiny_model();
    let model = ["--model", model.to_str().unwrap()];
    let named = words.contains(&"--model");
    let first = if named { &[][..] } else { &model[..] };
    workbench_as_installed(&[first, words].concat())
}

fn workbench_as_installed(words: &[&str]) -> Ran {
    program(&[&["--device", "cpu"], words].concat())
}

fn program(words: &[&str]) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let words: Vec<_> = ["workbench"]
        .iter()
        .chain(words)
        .map(|word| (*word).into())
        .collect();
    let streams = Streams {
        out: &mut out,
        err: &mut err,
        terminal: false,
    };
    let outcome = run(&words, streams);
    let Outcome::Exit(code) = outcome else {
        panic!("{words:?} opens the window");
    };
    Ran {
        code,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

/// A folder with two different pictures.
struct Pictures {
    _folder: TempDir,
    first: String,
    second: String,
    out: String,
}

fn pictures() -> Pictures {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (first, second, out) = (path("a.png"), path("b.png"), path("out.png"));
    let picture = |shift: u32| {
        RgbImage::from_fn(40, 30, |x, y| {
            Rgb([(x * 6) as u8, (y * 8) as u8, ((x + y + shift) % 256) as u8])
        })
    };
    picture(0).save(&first).unwrap();
    picture(90).save(&second).unwrap();
    Pictures {
        _folder: folder,
        first,
        second,
        out,
    }
}

/// A copy of the bundled model that may be damaged. Without the manifest's hashes, the readers themselves have to
/// notice what is wrong.
fn model_copy(hashes: bool) -> (TempDir, String) {
    let folder = copy_of(&tiny_model());
    if !hashes {
        edit_manifest(folder.path(), |manifest| {
            let _ = manifest.remove("sha256");
        });
    }
    let dir = folder.path().to_str().unwrap().to_owned();
    (folder, dir)
}

fn edit_manifest(dir: &Path, edit: impl FnOnce(&mut toml::Table)) {
    let path = dir.join("model.toml");
    let mut manifest: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    edit(&mut manifest);
    fs::write(path, manifest.to_string()).unwrap();
}

/// The weight files of a part, largest first.
fn weights(dir: &str, part: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(dir).join(part))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ext| ext == "safetensors" || ext == "bin")
        })
        .collect();
    files.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
    assert!(!files.is_empty(), "no weights in {part}");
    files
}

/// The CT of the sample study: a folder of DICOM files.
fn sample_ct() -> PathBuf {
    let mut folders = vec![repo("assets/samples/limb")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "dcm")
                && folder
                    .file_name()
                    .is_some_and(|name| name.eq_ignore_ascii_case("ct"))
            {
                return folder;
            }
        }
    }
    panic!("the sample study has no ct folder");
}
