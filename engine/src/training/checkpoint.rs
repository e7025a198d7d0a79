//! A step of a training run on disk: written beside the last one and put in its place when it is complete.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::TrainError;

/// What a run needs besides weights and moments to go on as if it had never stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Steps done.
    pub step: u64,
    /// State of the random generator.
    pub random: u64,
    /// Best validation score so far; higher is better.
    pub best_score: Option<f64>,
    /// Validations since the best one.
    #[serde(default)]
    pub since_best: u64,
    /// SHA-256 of the configuration: a checkpoint is resumed only by the run that made it.
    pub config_sha256: String,
    /// Seconds trained, over all starts.
    pub elapsed_secs: f64,
}

/// Writes `folder/last` through `write`, which gets an empty folder. A crash leaves the former one.
///
/// # Errors
/// [`TrainError::Checkpoint`], or what `write` reports.
pub fn save(
    folder: &Path,
    state: &RunState,
    write: impl FnOnce(&Path) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| TrainError::Checkpoint {
            why: error.to_string(),
            path,
        }
    };
    let (new, last, old) = (folder.join("new"), folder.join("last"), folder.join("old"));
    let _ = fs::remove_dir_all(&new);
    fs::create_dir_all(&new).map_err(failed(&new))?;
    write(&new)?;
    let path = new.join("state.json");
    let text = serde_json::to_string_pretty(state).unwrap_or_default();
    fs::write(&path, text).map_err(failed(&path))?;
    let _ = fs::remove_dir_all(&old);
    if last.exists() {
        fs::rename(&last, &old).map_err(failed(&last))?;
    }
    fs::rename(&new, &last).map_err(failed(&last))?;
    let _ = fs::remove_dir_all(&old);
    Ok(())
}

/// The folder of the last complete checkpoint and its state; `None` when there is none.
///
/// # Errors
/// [`TrainError::OtherConfig`], or a state that cannot be read.
pub fn last(folder: &Path, config_sha256: &str) -> Result<Option<(PathBuf, RunState)>, TrainError> {
    // Between the two renames of `save` only `old` is there.
    let Some(path) = ["last", "old"]
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.join("state.json").is_file())
    else {
        return Ok(None);
    };
    let failed = |why: String| TrainError::Checkpoint {
        why,
        path: path.clone(),
    };
    let text =
        fs::read_to_string(path.join("state.json")).map_err(|error| failed(error.to_string()))?;
    let state: RunState = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    if state.config_sha256 != config_sha256 {
        return Err(TrainError::OtherConfig { path });
    }
    Ok(Some((path, state)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_save_keeps_the_last_good_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let state = RunState {
            step: 5,
            config_sha256: "a".to_owned(),
            ..RunState::default()
        };
        save(folder.path(), &state, |_| Ok(())).unwrap();
        let broken = save(
            folder.path(),
            &RunState {
                step: 6,
                ..state.clone()
            },
            |path| {
                Err(TrainError::Checkpoint {
                    why: "disk full".to_owned(),
                    path: path.to_owned(),
                })
            },
        );
        assert!(broken.is_err());
        assert_eq!(last(folder.path(), "a").unwrap().unwrap().1.step, 5);
        assert!(matches!(
            last(folder.path(), "b"),
            Err(TrainError::OtherConfig { .. })
        ));
    }
}
