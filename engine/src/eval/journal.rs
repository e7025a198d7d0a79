//! The rows of a long evaluation on disk, so that it goes on where it was stopped: one JSON line an item, after a line that says
//! which evaluation it is.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::dataset::{DatasetError, write_atomically};

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: fs::File,
}

impl Journal {
    /// Opens or begins the journal of the evaluation named `key`. Result: the journal and its rows. A line that a crash cut
    /// short is dropped.
    ///
    /// # Errors
    /// It belongs to another evaluation, or cannot be read or written.
    pub fn open<T: DeserializeOwned>(
        path: &Path,
        key: &str,
    ) -> Result<(Self, Vec<T>), DatasetError> {
        let header = json!({ "evaluation": key }).to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(read(path, error.to_string())),
        };
        let whole = text
            .rfind('\n')
            .map_or("", |end| text.get(..=end).unwrap_or_default());
        let mut lines = whole.lines();
        let first = lines.next();
        if first.is_some_and(|line| line != header) {
            return Err(DatasetError::OtherEvaluation {
                path: path.to_owned(),
            });
        }
        let rows = lines
            .map(serde_json::from_str)
            .collect::<Result<Vec<T>, _>>()
            .map_err(|error| read(path, error.to_string()))?;
        if first.is_none() || whole.len() < text.len() {
            let kept = if first.is_none() {
                format!("{header}\n")
            } else {
                whole.to_owned()
            };
            write_atomically(path, kept.as_bytes())?;
        }
        let file = fs::OpenOptions::new().append(true).open(path);
        let file = file.map_err(|error| write(path, error.to_string()))?;
        let path = path.to_owned();
        Ok((Self { path, file }, rows))
    }

    /// Adds a row.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add<T: Serialize>(&mut self, row: &T) -> Result<(), DatasetError> {
        let failed = |why: String| write(&self.path, why);
        let line = serde_json::to_string(row).map_err(|error| failed(error.to_string()))? + "\n";
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|error| write(&self.path, error.to_string()))
    }
}

fn read(path: &Path, why: String) -> DatasetError {
    DatasetError::Read {
        why,
        path: path.to_owned(),
    }
}

fn write(path: &Path, why: String) -> DatasetError {
    DatasetError::Write {
        why,
        path: path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_goes_on_after_a_crash_in_the_middle_of_a_line_and_belongs_to_one_evaluation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let (mut journal, rows) = Journal::open::<u32>(&path, "a").unwrap();
        assert!(rows.is_empty());
        journal.add(&1).unwrap();
        journal.add(&22).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 2]).unwrap();
        let (mut journal, rows) = Journal::open::<u32>(&path, "a").unwrap();
        assert_eq!(rows, [1]);
        journal.add(&3).unwrap();
        assert_eq!(Journal::open::<u32>(&path, "a").unwrap().1, [1, 3]);
        let error = Journal::open::<u32>(&path, "b").unwrap_err();
        assert_eq!(error.kind(), "other-evaluation");
    }
}
