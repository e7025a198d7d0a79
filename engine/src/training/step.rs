//! One step of a run as it is reported and logged.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use serde::Serialize;

use super::error::TrainError;

/// What a step did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrainStep {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub of: u64,
    /// The loss.
    pub loss: f64,
    /// Global norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Seconds trained, over all starts.
    pub elapsed_secs: f64,
    /// What the last validation made: input, result and target side by side, marked.
    #[serde(skip)]
    pub sample: Option<Arc<RgbImage>>,
    /// Further numbers by name: of every step (`l1`), or of a validation (`val ssim ct2mri`).
    pub scores: BTreeMap<String, f64>,
}

/// The log of a run: a line a step, with the columns that the run declares.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    columns: Vec<String>,
}

impl Log {
    /// `log.csv` in a folder. Scores without a column are not logged.
    pub fn new(folder: &Path, columns: &[String]) -> Self {
        Self {
            path: folder.join("log.csv"),
            columns: columns.to_vec(),
        }
    }

    /// Appends a step.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`]: the disk is full or the folder is gone.
    pub fn write(&self, step: &TrainStep) -> Result<(), TrainError> {
        let failed = |error: std::io::Error| TrainError::Checkpoint {
            why: error.to_string(),
            path: self.path.clone(),
        };
        let new = !self.path.exists();
        let mut text = String::new();
        if new {
            text.push_str("step,loss,grad_norm,elapsed_secs");
            for column in &self.columns {
                text.push(',');
                text.push_str(column);
            }
            text.push('\n');
        }
        text.push_str(&format!(
            "{},{:.6},{:.4},{:.1}",
            step.step, step.loss, step.grad_norm, step.elapsed_secs
        ));
        for column in &self.columns {
            text.push(',');
            if let Some(score) = step.scores.get(column) {
                text.push_str(&format!("{score:.4}"));
            }
        }
        text.push('\n');
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)
    }
}
