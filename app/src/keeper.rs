//! The thread that reads and writes the user's files, so that the window never waits for a disk.
//!
//! Wishes are done in order, so what is read back is what was written last; the program ends only when all is written.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::recovery::SessionFile;
use crate::settings::Settings;
use crate::state::{Kept, Layout, Session};
use crate::store::Store;

/// Something to write or to read.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Write the settings.
    Settings(Box<Settings>),
    /// Write the measurements of a series.
    Measurements(String, Vec<Kept>),
    /// Read the measurements of a series.
    Recall(String),
    /// Write where the viewports are, for the next start.
    Layout(Box<Layout>),
    /// Write the session.
    Session(Box<Session>),
    /// Delete it: it ended, or is not wanted.
    NoSession,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// The measurements of a series, and the new name of a damaged file.
    Recalled {
        /// The series.
        series: String,
        /// What was kept.
        kept: Vec<Kept>,
        /// A damaged file's new name.
        set_aside: Option<String>,
    },
    /// A file could not be written, and why.
    NotWritten(String),
}

/// The thread's handle.
#[derive(Debug)]
pub struct Keeper {
    wishes: Option<Sender<Wish>>,
    reports: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread. `wake` is called after every report.
    pub fn start(
        store: Store,
        session: Option<SessionFile>,
        wake: impl Fn() + Send + 'static,
    ) -> Self {
        let (wishes, received) = channel();
        let (sender, reports) = channel();
        let spawned = Builder::new().name("keeper".to_owned()).spawn(move || {
            for wish in received {
                // Nobody waits for the last reports of a window that is closed.
                if let Some(report) = carry_out(&store, session.as_ref(), wish)
                    && sender.send(report).is_ok()
                {
                    wake();
                }
            }
        });
        if let Err(error) = &spawned {
            tracing::error!("settings and measurements cannot be kept: {error}");
        }
        Self {
            wishes: Some(wishes),
            reports,
            thread: spawned.ok(),
        }
    }

    /// Asks for something. Without the thread nothing is kept, which the log says.
    pub fn send(&self, wish: Wish) {
        let sent = self.wishes.as_ref().map(|wishes| wishes.send(wish));
        if !matches!(sent, Some(Ok(()))) {
            tracing::error!("settings and measurements cannot be kept");
        }
    }

    /// What came of it since the last call.
    pub fn reports(&self) -> Vec<Report> {
        self.reports.try_iter().collect()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.wishes = None;
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was reported where it happened.
            let _ = thread.join();
        }
    }
}

fn carry_out(store: &Store, file: Option<&SessionFile>, wish: Wish) -> Option<Report> {
    let written = match wish {
        Wish::Settings(settings) => store.keep_settings(&settings),
        Wish::Measurements(series, kept) => store.keep_measurements(&series, &kept),
        Wish::Layout(layout) => store.keep_layout(&layout),
        Wish::Session(session) => file.map_or(Ok(()), |file| file.write(&session)),
        Wish::NoSession => file.map_or(Ok(()), SessionFile::remove),
        Wish::Recall(series) => {
            let read = store.measurements(&series);
            return Some(Report::Recalled {
                series,
                kept: read.value,
                set_aside: read.set_aside,
            });
        }
    };
    written.err().map(|why| Report::NotWritten(why.to_string()))
}
