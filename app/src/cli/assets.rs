//! Where the files that come with the program lie: installed beside it, or in the source tree.

use std::path::{Path, PathBuf};

use super::failure::Failure;

/// Bundled models, best first.
const MODELS: [&str; 2] = ["models/nano/model.toml", "models/tiny-untrained/model.toml"];
/// The study a new user sees first.
const SAMPLE: &str = "samples/limb";

/// Folders that may hold the assets, in the order in which they are tried.
fn roots() -> Vec<PathBuf> {
    let mut roots = Vec::new();
    if let Some(folder) = std::env::current_exe()
        .ok()
        .as_deref()
        .and_then(Path::parent)
    {
        roots.push(folder.join("../share/healthgpt-workbench"));
        roots.push(folder.join("assets"));
    }
    roots.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets"));
    roots
}

fn find(name: &str) -> Option<PathBuf> {
    roots()
        .into_iter()
        .map(|root| root.join(name))
        .find(|path| path.exists())
}

fn missing(what: &str, option: &str) -> Failure {
    Failure::work(
        "assets-missing",
        format!(
            "the {what} that comes with the program was not found; install it again, or {option}"
        ),
    )
}

/// The bundled model.
///
/// # Errors
/// It is not there.
pub fn model() -> Result<PathBuf, Failure> {
    MODELS
        .iter()
        .find_map(|name| find(name)?.parent().map(Path::to_owned))
        .ok_or_else(|| missing("model", "choose one with --model DIR"))
}

/// The sample study.
///
/// # Errors
/// It is not there.
pub fn sample_study() -> Result<PathBuf, Failure> {
    find(SAMPLE).ok_or_else(|| missing("sample study", "give the path of a study"))
}
