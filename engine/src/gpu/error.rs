//! Every way the GPU engine can fail.

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// The driver refused a buffer.
    #[error(
        "the GPU has no room for {what} ({needed_mib} MiB); close other programs that use it, or load a smaller format of the model (q8 or q4)"
    )]
    NoRoom {
        /// What the buffer was for.
        what: String,
        /// Its size.
        needed_mib: u64,
    },
    /// The adapter has less memory than the model takes.
    #[error(
        "the model needs {} MiB on the GPU in {} (weights {}, keys and values {}, work {}), which has {} MiB; {}",
        .0.needed_mib, .0.format, .0.weights_mib, .0.cache_mib, .0.activations_mib, .0.available_mib, .0.offer
    )]
    TooLarge(Shortage),
    /// The system has less memory free than the model takes without a GPU.
    #[error(
        "the model needs {} MiB of memory in {} (weights {}, keys and values {}, work {}), of which {} MiB are free; {}",
        .0.needed_mib, .0.format, .0.weights_mib, .0.cache_mib, .0.activations_mib, .0.available_mib, .0.offer
    )]
    NoMemory(Shortage),
    /// A size that the kernels do not cover.
    #[error("the GPU engine cannot run this model: {what}; start with --device cpu")]
    Unsupported {
        /// Which size, and what is possible.
        what: String,
    },
    /// The driver reset the device, or it went away.
    #[error("the GPU stopped answering ({reason}); try again, or start with --device cpu")]
    Lost {
        /// The driver's words.
        reason: String,
    },
}

/// What a model takes, and what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The format that was asked for, or that of its files.
    pub format: &'static str,
    /// All of it.
    pub needed_mib: u64,
    /// Weights with plug-ins.
    pub weights_mib: u64,
    /// Keys and values.
    pub cache_mib: u64,
    /// Between two dispatches or products.
    pub activations_mib: u64,
    /// What there is.
    pub available_mib: u64,
    /// What to do.
    pub offer: Offer,
}

/// What to do where a model does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Offer {
    /// Another format fits.
    #[error(
        "in {format} it would need {needed_mib} MiB: `workbench convert --format {format}` makes that"
    )]
    Smaller {
        /// Its name.
        format: &'static str,
        /// What it would need.
        needed_mib: u64,
    },
    /// No format fits the GPU.
    #[error("start with --device cpu")]
    Cpu,
    /// The smallest format does not fit what is free now.
    #[error("close other programs")]
    Close,
    /// A smaller format may fit.
    #[error("close other programs, or use `workbench convert --format q4`")]
    CloseOrConvert,
}
