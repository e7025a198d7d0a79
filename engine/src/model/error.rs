//! How loading or running a model fails.

use std::path::PathBuf;

/// What went wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file could not be read.
    #[error("cannot read a model file ({source}): {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ModelError {
    /// A short machine-readable name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
        }
    }
}
