//! The engine behind a handle: commands in, events out, each event with its job.

mod command;
mod event;

pub use command::{AskRequest, Command, GenerateRequest, JobId, Source, Turn};
pub use event::{AnswerEnd, AnswerStats, DeviceInfo, Event, EventKind, ModelInfo, Progress};
