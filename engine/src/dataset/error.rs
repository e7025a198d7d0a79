//! How data cannot be used, in sentences that say what to do.

use std::fmt::Write;
use std::path::PathBuf;

use crate::imaging::ImagingError;

/// A record that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BadRecord {
    /// The line of the file on which it begins or where the fault is, from 1.
    pub line: usize,
    /// Why, in words.
    pub reason: String,
}

/// What is wrong with data, or with the place it should go to.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A scan could not be read.
    #[error(transparent)]
    Imaging(#[from] ImagingError),
    /// A folder of pairs does not fit together.
    #[error("the pair cannot be used ({what}): {}", path.display())]
    Pair {
        /// What.
        what: String,
        /// The subject's folder.
        path: PathBuf,
    },
    /// There are no pairs.
    #[error("no pairs found; a folder holds SUBJECT/ct.nii.gz and SUBJECT/mr_t1.nii.gz: {}", path.display())]
    NoPairs {
        /// The folder.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read the data ({why}): {}", path.display())]
    Read {
        /// Why.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("cannot write the data ({why}); free some space or choose another folder: {}", path.display())]
    Write {
        /// Why.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// The file is no list of records.
    #[error("line {line} is wrong ({what}); the file must be {expected}: {}", path.display())]
    Layout {
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        what: String,
        /// What it must be.
        expected: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Some records cannot be used, and nobody asked to skip them.
    #[error("{} of {of} records cannot be used; mend them, or ask for bad records to be skipped.{}: {}", bad.len(), list(bad), path.display())]
    BadRecords {
        /// Which, and why.
        bad: Vec<BadRecord>,
        /// Records in the file.
        of: usize,
        /// The file.
        path: PathBuf,
    },
    /// The rows on disk are those of another evaluation.
    #[error("the folder holds the rows of another evaluation (model, data or options differ); choose another folder, or delete the file: {}", path.display())]
    OtherEvaluation {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to make records of.
    #[error("{what}: {}", path.display())]
    Nothing {
        /// What is missing, and what is expected.
        what: String,
        /// The folder or file.
        path: PathBuf,
    },
}

impl DatasetError {
    /// A short machine-readable name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Imaging(error) => error.kind(),
            Self::Pair { .. } => "dataset-pair",
            Self::NoPairs { .. } => "dataset-no-pairs",
            Self::Read { .. } => "dataset-read",
            Self::Write { .. } => "dataset-write",
            Self::Layout { .. } => "dataset-layout",
            Self::BadRecords { .. } => "dataset-bad-records",
            Self::OtherEvaluation { .. } => "other-evaluation",
            Self::Nothing { .. } => "dataset-nothing",
        }
    }
}

/// The first twenty, a line each.
fn list(bad: &[BadRecord]) -> String {
    let mut text = String::new();
    for BadRecord { line, reason } in bad.iter().take(20) {
        let _ = write!(text, "\n  line {line}: {reason}");
    }
    if bad.len() > 20 {
        let _ = write!(text, "\n  and {} more", bad.len() - 20);
    }
    text
}
