//! The session on disk while it runs. A window that ends properly deletes it; one that does not leaves it to the next.
//!
//! Each window holds a lock on its place. A file in a place that nobody holds was left behind. What is in it may be a
//! patient's: only this user can read it.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::state::Session;
use crate::store::{Read, own_folder, read, replace};

/// Windows that can keep a session at the same time.
const PLACES: usize = 8;

/// The place where a window keeps its session. The lock goes with this value, also when the program is killed.
#[derive(Debug)]
pub struct SessionFile {
    path: PathBuf,
    _lock: File,
}

impl SessionFile {
    /// Takes a place that no running window holds: one with a session left in it, if there is one.
    ///
    /// # Errors
    /// The folder cannot be written, knows no locks, or all places are held.
    pub fn take(folder: &Path) -> io::Result<Self> {
        own_folder(folder)?;
        let mut free = None;
        for number in 1..=PLACES {
            let path = folder.join(format!("{number}.json"));
            let mut options = File::options();
            let options = options.write(true).create(true).truncate(false);
            #[cfg(unix)]
            let options = {
                use std::os::unix::fs::OpenOptionsExt;
                options.mode(0o600)
            };
            let lock = options.open(folder.join(format!("{number}.lock")))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => continue,
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
            let left = path.exists();
            let place = Self { path, _lock: lock };
            if left {
                return Ok(place);
            }
            free = free.or(Some(place));
        }
        free.ok_or_else(|| io::Error::other("too many windows are open"))
    }

    /// What a window that did not end properly left here.
    pub fn left(&self) -> Read<Option<Session>> {
        read(&self.path, |text| serde_json::from_str(text).ok())
    }

    /// Writes the session, whole or not at all.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, session: &Session) -> io::Result<()> {
        let text = serde_json::to_vec(session).map_err(io::Error::other)?;
        replace(&self.path, &text)
    }

    /// Deletes the session.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
