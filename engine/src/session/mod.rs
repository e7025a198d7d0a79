//! The engine behind a handle: commands in, events out, each event with its job.
//!
//! One thread owns every tensor and another reads files; the caller never waits. A stopped job ends at the next
//! token, tensor or file. Dropping the handle stops everything.

mod command;
mod event;
mod place;
mod queue;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

pub use command::{AskRequest, Command, GenerateRequest, JobId, Source, Turn};
pub use event::{Event, EventKind, ModelInfo, Progress};

use crate::device::DeviceChoice;
use crate::error::Error;
use queue::Queue;

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    queue: Arc<Queue>,
    next_job: AtomicU64,
    /// Closed on drop, which ends the threads.
    tensors: Option<Sender<(JobId, Command)>>,
    files: Option<Sender<(JobId, Command)>>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the threads. `wake` is called after every event, from another thread.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn start(
        choice: DeviceChoice,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let queue = Arc::new(Queue::new(wake));
        let (tensors, tensor_jobs) = channel();
        let (files, file_jobs) = channel();
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            // The recursion of a deep model and burn's kernels want more than the 2 MiB of a thread.
            Builder::new()
                .name(name.to_owned())
                .stack_size(16 << 20)
                .spawn(work)
                .map_err(|_| Error::EngineGone)
        };
        let shared = Arc::clone(&queue);
        let engine = spawn(
            "engine",
            Box::new(move || worker::tensors(choice, &tensor_jobs, &shared)),
        )?;
        let shared = Arc::clone(&queue);
        let loader = spawn(
            "loader",
            Box::new(move || worker::files(&file_jobs, &shared)),
        )?;
        Ok(Self {
            queue,
            next_job: AtomicU64::new(1),
            tensors: Some(tensors),
            files: Some(files),
            threads: vec![engine, loader],
        })
    }

    /// Sends a command; its events carry the number returned.
    pub fn send(&self, command: Command) -> JobId {
        let job = JobId(self.next_job.fetch_add(1, Ordering::Relaxed));
        let to = match command {
            Command::Scan { .. }
            | Command::LoadSeries { .. }
            | Command::ReadHeader { .. }
            | Command::Thumbnails { .. } => &self.files,
            Command::LoadModel { .. }
            | Command::Ask(_)
            | Command::Generate(_)
            | Command::GenerateSeveral(_)
            | Command::Train { .. } => &self.tensors,
        };
        let sent = to
            .as_ref()
            .is_some_and(|to| to.send((job, command)).is_ok());
        if !sent {
            self.queue.push(Event {
                job,
                kind: EventKind::Failed(Arc::new(Error::EngineGone)),
            });
        }
        job
    }

    /// Ends a job soon: an answer keeps its text so far, anything else ends with [`Error::Stopped`].
    pub fn stop(&self, job: JobId) {
        self.queue.stop(job);
    }

    /// What happened since the last call, without waiting.
    pub fn events(&self) -> Vec<Event> {
        self.queue.drain()
    }

    /// The next event, or `None` when nothing happened in time.
    pub fn wait_event(&self, timeout: Duration) -> Option<Event> {
        self.queue.wait(timeout)
    }

    /// Scans files and folders: short for [`Command::Scan`].
    pub fn scan(&self, paths: Vec<PathBuf>) -> JobId {
        self.send(Command::Scan { paths })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.queue.stop_all();
        self.tensors = None;
        self.files = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
