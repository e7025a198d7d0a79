//! Where the engine thread works: the device and the model on it, and what takes their place when the GPU is lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;

use super::command::JobId;
use super::event::{Event, EventKind};
use super::queue::Queue;
use super::worker::{load_model, panic_text};
use crate::device::{self, DeviceInfo};
use crate::error::{Error, Result};
use crate::gpu::GpuError;
use crate::model::{HealthGpt, ModelError};

/// A GPU that was lost so often is left alone.
const MOST_LOSSES: u32 = 3;

/// The device and what is in its memory.
pub struct Place {
    /// Where tensors live.
    pub device: Device,
    /// The same for people.
    pub info: DeviceInfo,
    /// The model and the folder it came from.
    pub model: Option<(PathBuf, HealthGpt)>,
    /// Codes of the last picture that this model made: drafts for the next.
    pub drafts: Vec<u32>,
    losses: u32,
}

impl Place {
    /// A device without a model.
    pub fn new(device: Device, info: DeviceInfo) -> Self {
        Self {
            device,
            info,
            model: None,
            drafts: Vec::new(),
            losses: 0,
        }
    }

    /// The model.
    ///
    /// # Errors
    /// [`Error::NoModel`].
    pub fn model(&self) -> Result<&HealthGpt> {
        let model = self.model.as_ref().ok_or(Error::NoModel)?;
        Ok(&model.1)
    }

    /// Why the GPU was lost, if it was: in the words of the error that a job ended with, where that has some.
    pub fn lost(&self, error: Option<&Error>) -> Option<String> {
        if self.info.kind != "gpu" || !device::lost(&self.device) {
            return None;
        }
        Some(match error {
            Some(Error::Model(ModelError::Gpu(GpuError::Lost { reason }))) => reason.clone(),
            Some(Error::Internal(panic)) if panic.contains("ost") => panic.clone(),
            _ => "its driver was reset, or it went away".to_owned(),
        })
    }

    /// Goes on with another device, and with the model on it; tells the caller of each step.
    pub fn replace(&mut self, reason: &str, queue: &Queue) {
        let tell = |kind: EventKind| {
            queue.push(Event {
                job: JobId(0),
                kind,
            });
        };
        self.losses += 1;
        let held = self.model.take();
        tell(EventKind::GpuLost {
            reason: reason.to_owned(),
            model: held.is_some(),
        });
        let dir = held.map(|(dir, model)| {
            // Its buffers are gone already: a fault while they are given back changes nothing.
            let _ = catch_unwind(AssertUnwindSafe(move || drop(model)));
            dir
        });
        (self.device, self.info) = device::replace(self.losses < MOST_LOSSES, reason);
        tell(EventKind::Device(self.info.clone()));
        let Some(dir) = dir else {
            return;
        };
        let loaded = catch_unwind(AssertUnwindSafe(|| {
            load_model(&dir, &self.device, JobId(0), queue)
        }));
        match loaded.unwrap_or_else(|panic| Err(Error::Internal(panic_text(&*panic)))) {
            Ok((model, info)) => {
                self.model = Some((dir, model));
                tell(EventKind::ModelLoaded(Arc::new(info)));
            }
            Err(error) => tell(EventKind::ModelGone(Arc::new(error))),
        }
    }
}
