//! How reading or showing a scan fails, in sentences that say what to do.

use std::path::{Path, PathBuf};

/// What went wrong with a scan or a picture. Paths come last in every message: they may name a patient.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ImagingError {
    /// A file or folder could not be read.
    #[error("cannot read ({why}); check that it exists and that you may open it: {}", path.display())]
    Io {
        /// Why.
        why: String,
        /// The file or folder.
        path: PathBuf,
    },
    /// Not one file could be shown.
    #[error("no images found ({files} files looked at{}); choose a folder with DICOM, NIfTI, PNG or JPEG files: {}", reasons(damaged, unsupported), path.display())]
    NoImages {
        /// Files looked at.
        files: usize,
        /// Of these, files that are damaged.
        damaged: usize,
        /// Of these, images that this program does not read.
        unsupported: usize,
        /// The folder.
        path: PathBuf,
    },
    /// The file is cut short or breaks its format.
    #[error("the file is damaged ({what}); copy it again from its source: {}", path.display())]
    Damaged {
        /// What is wrong.
        what: String,
        /// The file.
        path: PathBuf,
    },
    /// The file is sound but uses something that this program does not read.
    #[error("this program does not read {what}; convert it with the tool that wrote it: {}", path.display())]
    Unsupported {
        /// What it uses: `JPEG Extended 12-bit (1.2.840.10008.1.2.4.51)`.
        what: String,
        /// The file.
        path: PathBuf,
    },
    /// The file holds no picture (a report, a plan, a directory).
    #[error("the file holds no image ({what}): {}", path.display())]
    NotAnImage {
        /// What it holds.
        what: String,
        /// The file.
        path: PathBuf,
    },
    /// It does not fit into memory.
    #[error("the series needs {needed_mib} MiB of memory and {free_mib} MiB are free; close other series or programs: {}", path.display())]
    TooLarge {
        /// What its voxels need.
        needed_mib: u64,
        /// What there is.
        free_mib: u64,
        /// The file.
        path: PathBuf,
    },
    /// There is no such slice.
    #[error("there is no slice {asked}; the series has slices 1 to {count}")]
    NoSlice {
        /// The slice asked for, from 1.
        asked: usize,
        /// Slices there are.
        count: usize,
    },
    /// A file could not be written.
    #[error("cannot write ({why}); choose another folder: {}", path.display())]
    Write {
        /// Why.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// The user stopped it.
    #[error("stopped")]
    Stopped,
}

impl ImagingError {
    /// A short machine-readable name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::NoImages { .. } => "no-images",
            Self::Damaged { .. } => "damaged",
            Self::Unsupported { .. } => "unsupported",
            Self::NotAnImage { .. } => "not-an-image",
            Self::TooLarge { .. } => "too-large",
            Self::NoSlice { .. } => "no-slice",
            Self::Write { .. } => "write",
            Self::Stopped => "stopped",
        }
    }

    /// A file that could not be read.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |error| Self::Io {
            why: error.to_string(),
            path: path.to_owned(),
        }
    }

    /// A series that names no file.
    pub fn no_files() -> Self {
        Self::NoImages {
            files: 0,
            damaged: 0,
            unsupported: 0,
            path: PathBuf::new(),
        }
    }

    /// A damaged file.
    pub fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            what: what.into(),
            path: path.to_owned(),
        }
    }

    /// A sound file that uses something we do not read.
    pub fn unsupported(path: &Path, what: impl Into<String>) -> Self {
        Self::Unsupported {
            what: what.into(),
            path: path.to_owned(),
        }
    }
}

fn reasons(damaged: &usize, unsupported: &usize) -> String {
    let part = |count: usize, what: &str| {
        if count > 0 {
            format!(", {count} {what}")
        } else {
            String::new()
        }
    };
    part(*damaged, "damaged") + &part(*unsupported, "of a kind that is not read")
}
