//! Work outside the engine's session (verify, convert), on a thread of its own, so that a panic is an error and a
//! terminal sees progress.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use engine::Error;
use engine::session::Progress;

use super::console::Console;
use super::failure::Failure;

/// What the thread reports.
enum Report<T> {
    Progress(Progress),
    Done(Result<T, Error>),
}

/// Tells the terminal how far the work is.
pub struct Reporter<'a>(&'a dyn Fn(Progress));

impl Reporter<'_> {
    /// `done` of `of` steps of `stage`.
    pub fn report(&self, stage: &str, done: usize, of: usize) {
        (self.0)(Progress {
            stage: stage.to_owned(),
            done: done as u64,
            of: of as u64,
        });
    }
}

/// Runs `work` with a stack as large as the engine's; it makes every call of its device on that one thread.
///
/// # Errors
/// What `work` reports, or that it panicked.
pub fn run<T: Send + 'static>(
    stage: &str,
    console: &mut Console<'_>,
    work: impl FnOnce(&Reporter<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, reports) = channel();
    let body = move || {
        let reporter: Sender<Report<T>> = sender.clone();
        let send = move |progress| {
            // A receiver that is gone has nobody left to tell.
            let _ = reporter.send(Report::Progress(progress));
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&Reporter(&send))))
            .unwrap_or_else(|_| Err(Error::Internal("a panic".to_owned())));
        let _ = sender.send(Report::Done(outcome));
    };
    let _worker = thread::Builder::new()
        .name("worker".to_owned())
        .stack_size(16 << 20)
        .spawn(body)
        .map_err(|_| Error::EngineGone)?;
    let mut last = Progress {
        stage: stage.to_owned(),
        done: 0,
        of: 0,
    };
    loop {
        match reports.recv_timeout(Duration::from_millis(200)) {
            Ok(Report::Done(outcome)) => {
                console.end_progress();
                return Ok(outcome?);
            }
            Ok(Report::Progress(progress)) => last = progress,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Error::EngineGone.into()),
        }
        console.progress(&last);
    }
}
