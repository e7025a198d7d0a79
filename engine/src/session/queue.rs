//! Events on their way to the caller, and the jobs it wants stopped.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::command::JobId;
use super::event::{Event, EventKind, Progress};

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    stopped: HashSet<JobId>,
    all_stopped: bool,
}

/// A queue in which a later progress report of a job replaces an earlier one, so that it cannot grow while a window
/// is hidden.
pub struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl Queue {
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            wake: Box::new(wake),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, event: Event) {
        {
            let mut state = self.state();
            if let (EventKind::Progress(_), Some(last)) = (&event.kind, state.events.back_mut())
                && last.job == event.job
                && matches!(last.kind, EventKind::Progress(_))
            {
                *last = event;
            } else {
                state.events.push_back(event);
            }
        }
        self.filled.notify_all();
        (self.wake)();
    }

    pub fn progress(&self, job: JobId, stage: &str, done: usize, of: usize) -> ControlFlow<()> {
        let progress = Progress {
            stage: stage.to_owned(),
            done: done as u64,
            of: of as u64,
        };
        self.push(Event {
            job,
            kind: EventKind::Progress(progress),
        });
        self.flow(job)
    }

    /// Break once the job is to stop.
    pub fn flow(&self, job: JobId) -> ControlFlow<()> {
        let state = self.state();
        if state.all_stopped || state.stopped.contains(&job) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    pub fn stop(&self, job: JobId) {
        let _ = self.state().stopped.insert(job);
    }

    pub fn stop_all(&self) {
        self.state().all_stopped = true;
    }

    /// The job is over: its stop mark is no longer needed.
    pub fn forget(&self, job: JobId) {
        let _ = self.state().stopped.remove(&job);
    }

    pub fn drain(&self) -> Vec<Event> {
        self.state().events.drain(..).collect()
    }

    pub fn wait(&self, timeout: Duration) -> Option<Event> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        loop {
            if let Some(event) = state.events.pop_front() {
                return Some(event);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self
                .filled
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_progress_report_replaces_an_earlier_one_but_never_a_text() {
        let queue = Queue::new(|| {});
        let job = JobId(1);
        for done in 0..5 {
            let _ = queue.progress(job, "reading", done, 5);
        }
        queue.push(Event {
            job,
            kind: EventKind::Text("a".to_owned()),
        });
        let _ = queue.progress(job, "reading", 5, 5);
        let kinds: Vec<EventKind> = queue.drain().into_iter().map(|event| event.kind).collect();
        assert!(
            matches!(kinds[0], EventKind::Progress(Progress { done: 4, .. })),
            "{kinds:?}"
        );
        assert_eq!(kinds.len(), 3);
    }

    #[test]
    fn a_stopped_job_breaks_and_others_go_on() {
        let queue = Queue::new(|| {});
        queue.stop(JobId(2));
        assert!(queue.flow(JobId(2)).is_break());
        assert!(queue.flow(JobId(3)).is_continue());
        assert!(queue.wait(Duration::from_millis(1)).is_none());
    }
}
