//! A file of records: a JSON list in VL-Health's form. Every record that cannot be used is named with its line; it is skipped
//! only when that is asked for.

use std::path::{Path, PathBuf};

use super::atomic::write_atomically;
use super::error::{BadRecord, DatasetError};
use super::json_list::{JsonList, Shape};
use super::record::Record;

/// What to do about records that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBad {
    /// Refuse the file and list them.
    #[default]
    Refuse,
    /// Leave them out and list them.
    Skip,
}

/// The records of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The folder that their paths are relative to.
    pub folder: PathBuf,
    /// In the order of the file.
    pub records: Vec<Record>,
    /// What was left out.
    pub skipped: Vec<BadRecord>,
}

impl Records {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is no list, or holds records that cannot be used and are not to be skipped.
    pub fn read(path: &Path, on_bad: OnBad) -> Result<Self, DatasetError> {
        let list = JsonList::read(path, Shape::List, "a JSON list of records")?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let (mut records, mut bad) = (Vec::new(), Vec::new());
        for element in list.elements() {
            match element.parse::<Record>() {
                Err(fault) => bad.push(fault),
                Ok(record) => match record.fault(&folder) {
                    Some(reason) => bad.push(BadRecord {
                        line: element.line,
                        reason,
                    }),
                    None => records.push(record),
                },
            }
        }
        settle(bad, on_bad, list.elements().len(), path).map(|skipped| Self {
            folder,
            records,
            skipped,
        })
    }

    /// Where a picture of one of these records is.
    pub fn path(&self, picture: &Path) -> PathBuf {
        self.folder.join(picture)
    }
}

/// Writes records as a list, one a line. A crash leaves the former file.
///
/// # Errors
/// [`DatasetError::Write`].
pub fn write(path: &Path, records: &[Record]) -> Result<(), DatasetError> {
    let mut text = String::from("[");
    for (i, record) in records.iter().enumerate() {
        let line = serde_json::to_string(record).map_err(|error| DatasetError::Write {
            why: error.to_string(),
            path: path.to_owned(),
        })?;
        text.push_str(if i == 0 { "\n" } else { ",\n" });
        text.push_str(&line);
    }
    text.push_str("\n]\n");
    write_atomically(path, text.as_bytes())
}

/// The bad records of a file, unless they are to be refused.
pub(super) fn settle(
    bad: Vec<BadRecord>,
    on_bad: OnBad,
    of: usize,
    path: &Path,
) -> Result<Vec<BadRecord>, DatasetError> {
    if bad.is_empty() || on_bad == OnBad::Skip {
        return Ok(bad);
    }
    Err(DatasetError::BadRecords {
        bad,
        of,
        path: path.to_owned(),
    })
}
