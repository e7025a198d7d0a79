//! How a command ends badly: the exit code, a machine-readable kind and a sentence.

use std::io;
use std::sync::Arc;

use engine::{Error, ImagingError, ModelError};

/// The command was misused.
pub const USAGE: u8 = 2;
/// The work failed.
pub const FAILED: u8 = 1;

/// A command that did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// [`USAGE`] or [`FAILED`].
    pub exit: u8,
    /// `no-images`, `empty-question`...
    pub kind: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl Failure {
    /// The command was misused.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: USAGE,
            kind: "usage",
            message: message.into(),
        }
    }

    /// The work failed.
    pub fn work(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit: FAILED,
            kind,
            message: message.into(),
        }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self::work(error.kind(), error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<Arc<Error>> for Failure {
    fn from(error: Arc<Error>) -> Self {
        Self::from(&*error)
    }
}

impl From<ImagingError> for Failure {
    fn from(error: ImagingError) -> Self {
        Self::from(Error::from(error))
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::from(Error::from(error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::work("io", format!("cannot write the result ({error})"))
    }
}
