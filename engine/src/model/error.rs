//! How loading or running a model fails, in sentences that say what to do.

use std::path::{Path, PathBuf};

use crate::gpu::GpuError;

/// What went wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file could not be read.
    #[error("cannot read a model file ({source}); check that the download is complete: {path}")]
    Io {
        /// Why.
        source: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// A file is damaged or no file of this kind.
    #[error("a model file is damaged or of another kind ({what}); download it again: {path}")]
    Damaged {
        /// What is wrong.
        what: String,
        /// The file.
        path: PathBuf,
    },
    /// A part of the model is not there.
    #[error("the model is incomplete: {} not found; a model folder holds model.toml, or llm/ clip/ hlora/ vqgan/: {path}", missing.join(", "))]
    MissingParts {
        /// What is missing.
        missing: Vec<String>,
        /// The folder.
        path: PathBuf,
    },
    /// Tensors are missing or have another shape than the configuration says.
    #[error(
        "the weights do not fit the model: {}; they may belong to another variant: {path}",
        list_tensors(missing, misshaped)
    )]
    Tensors {
        /// Names that were not found.
        missing: Vec<String>,
        /// Names with the wrong shape, as `name [found] instead of [expected]`.
        misshaped: Vec<String>,
        /// The file or folder.
        path: PathBuf,
    },
    /// A setting makes no sense.
    #[error("the model's settings make no sense: {what}")]
    Invalid {
        /// What.
        what: String,
    },
    /// A converted model would overwrite something.
    #[error("the output exists already; choose a new folder: {}", path.display())]
    OutputExists {
        /// The folder.
        path: PathBuf,
    },
    /// A file is not the one that the manifest was written for.
    #[error("a model file has changed since the model was made (its SHA-256 differs); download or convert it again: {}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The question is empty.
    #[error("the question is empty; type what you want to know")]
    EmptyQuestion,
    /// The prompt does not fit.
    #[error("the prompt has {tokens} tokens but the model takes {limit}; shorten the question by about {} tokens, or start a new conversation", tokens + 1 - limit)]
    PromptTooLong {
        /// Tokens of the prompt, image features included.
        tokens: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// The model has no plug-in for the task.
    #[error("the loaded model ({model}) has no plug-in for {task}")]
    NoCapability {
        /// The model.
        model: String,
        /// The task.
        task: String,
    },
    /// The model did not keep to the grammar of an image.
    #[error(
        "the model produced {found} image codes instead of {expected}; run without --faithful to hold it to the grammar"
    )]
    WrongCodeCount {
        /// Codes found.
        found: usize,
        /// Codes needed.
        expected: usize,
    },
    /// The GPU engine failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The user stopped it.
    #[error("stopped")]
    Stopped,
}

impl ModelError {
    /// A short machine-readable name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "model-io",
            Self::Damaged { .. } => "model-damaged",
            Self::MissingParts { .. } => "model-incomplete",
            Self::Tensors { .. } => "model-tensors",
            Self::Invalid { .. } => "model-invalid",
            Self::OutputExists { .. } => "output-exists",
            Self::Changed { .. } => "model-changed",
            Self::EmptyQuestion => "empty-question",
            Self::PromptTooLong { .. } => "prompt-too-long",
            Self::NoCapability { .. } => "no-capability",
            Self::WrongCodeCount { .. } => "wrong-code-count",
            Self::Gpu(_) => "gpu",
            Self::Stopped => "stopped",
        }
    }

    /// A damaged file.
    pub fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            what: what.into(),
            path: path.to_owned(),
        }
    }

    /// A file that could not be read.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io {
            source,
            path: path.to_owned(),
        }
    }
}

/// The first six names, and how many more there are.
pub fn first_names(names: &[String]) -> (String, usize) {
    let shown: Vec<&str> = names.iter().take(6).map(String::as_str).collect();
    (shown.join(", "), names.len() - shown.len())
}

fn list_tensors(missing: &[String], misshaped: &[String]) -> String {
    let some = |names: &[String]| match first_names(names) {
        (shown, 0) => shown,
        (shown, more) => format!("{shown} and {more} more"),
    };
    let mut parts = Vec::new();
    if !missing.is_empty() {
        parts.push(format!("missing {}", some(missing)));
    }
    if !misshaped.is_empty() {
        parts.push(format!("misshaped {}", some(misshaped)));
    }
    parts.join("; ")
}
