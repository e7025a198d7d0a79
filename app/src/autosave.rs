//! When the session of a window is to be written: soon after it changed, and not more often than a disk likes.

use std::time::{Duration, Instant};

use egui::Context;

use crate::keeper::Wish;
use crate::state::{Session, State};

/// A change is on disk so long after it was made, at most.
pub const PERIOD: Duration = Duration::from_secs(2);

/// What was written last, and when that was looked at.
#[derive(Debug, Default)]
pub struct Autosave {
    written: Option<Session>,
    looked: Option<Instant>,
    /// The user wants nothing written, and what was written is gone.
    off: bool,
}

impl Autosave {
    /// What is to be written now, if anything. Asks for a frame when it is too early to tell.
    pub fn due(&mut self, ctx: &Context, state: &State, now: Instant) -> Option<Wish> {
        if let Some(looked) = self.looked {
            let since = now.saturating_duration_since(looked);
            if since < PERIOD {
                ctx.request_repaint_after(PERIOD - since);
                return None;
            }
        }
        self.looked = Some(now);
        self.wish(state)
    }

    /// What is to be written, however early.
    pub fn wish(&mut self, state: &State) -> Option<Wish> {
        let session = state.session()?;
        let turned_off = !state.settings.recover && !self.off;
        self.off = !state.settings.recover;
        if session.empty() || self.off {
            let was_written = self.written.take().is_some();
            return (was_written || turned_off).then_some(Wish::NoSession);
        }
        if self.written.as_ref() == Some(&session) {
            return None;
        }
        self.written = Some(session.clone());
        Some(Wish::Session(Box::new(session)))
    }
}
