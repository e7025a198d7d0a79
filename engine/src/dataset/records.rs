//! A file of records: a JSON list in VL-Health's form. Every record that cannot be used is named with its line; it is skipped
//! only when that is asked for.

use std::fs;
use std::path::{Path, PathBuf};

use super::atomic::write_atomically;
use super::error::{BadRecord, DatasetError};
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
        let elements = JsonList::read(path, "a JSON list of records")?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let (mut records, mut bad) = (Vec::new(), Vec::new());
        for element in elements.elements() {
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
        settle(bad, on_bad, elements.elements().len(), path).map(|skipped| Self {
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

/// A file with a JSON list, cut into its elements so that each keeps its line and a bad one does not hide the others.
#[derive(Debug)]
pub(super) struct JsonList {
    text: String,
    /// Line, from 1, and the bytes of each element.
    spans: Vec<(usize, std::ops::Range<usize>)>,
}

/// One element of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    /// Where it begins, from 1.
    pub line: usize,
    text: &'a str,
}

impl Element<'_> {
    /// As a value; the line of a fault is that of the file.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, BadRecord> {
        serde_json::from_str(self.text).map_err(|error| {
            let reason = error.to_string();
            // serde_json ends its message with its own position, which counts within the record.
            let reason = reason.split(" at line ").next().unwrap_or_default();
            BadRecord {
                line: self.line + error.line().saturating_sub(1),
                reason: reason.to_owned(),
            }
        })
    }
}

impl JsonList {
    /// Reads a file whose content must be `expected`.
    pub fn read(path: &Path, expected: &'static str) -> Result<Self, DatasetError> {
        let text = fs::read_to_string(path).map_err(|error| DatasetError::Read {
            why: error.to_string(),
            path: path.to_owned(),
        })?;
        match spans(&text) {
            Ok(spans) => Ok(Self { text, spans }),
            Err((line, what)) => Err(DatasetError::Layout {
                line,
                what: what.to_owned(),
                expected,
                path: path.to_owned(),
            }),
        }
    }

    /// The elements in order.
    pub fn elements(&self) -> Vec<Element<'_>> {
        let element = |(line, span): &(usize, std::ops::Range<usize>)| Element {
            line: *line,
            text: self.text.get(span.clone()).unwrap_or_default(),
        };
        self.spans.iter().map(element).collect()
    }
}

type Spans = Vec<(usize, std::ops::Range<usize>)>;

/// Where the elements of the outermost list are: commas at depth 0, outside of strings, part them.
fn spans(text: &str) -> Result<Spans, (usize, &'static str)> {
    let (mut line, mut depth) = (1, 0_usize);
    let (mut in_list, mut in_string, mut escaped, mut closed) = (false, false, false, false);
    let mut begun: Option<(usize, usize)> = None;
    let mut spans = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        if byte == b'\n' {
            line += 1;
        }
        if in_string {
            (escaped, in_string) = (!escaped && byte == b'\\', escaped || byte != b'"');
            continue;
        }
        if byte.is_ascii_whitespace() || text.as_bytes().starts_with(b"\xEF\xBB\xBF") && at < 3 {
            continue;
        }
        if closed {
            return Err((line, "something stands after the list"));
        }
        if !in_list {
            if byte != b'[' {
                return Err((line, "it does not begin with ["));
            }
            in_list = true;
            continue;
        }
        if depth == 0 && (byte == b',' || byte == b']') {
            match begun.take() {
                Some((line, start)) => spans.push((line, start..at)),
                None if byte == b']' && spans.is_empty() => {}
                None => return Err((line, "a comma has no record before or after it")),
            }
            closed = byte == b']';
            continue;
        }
        let _ = begun.get_or_insert((line, at));
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth
                    .checked_sub(1)
                    .ok_or((line, "a bracket is closed that was never opened"))?;
            }
            _ => {}
        }
    }
    match (closed, begun) {
        (true, _) => Ok(spans),
        (false, Some((line, _))) => Err((line, "the record that begins here does not end")),
        (false, None) => Err((line, "the list does not end")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<Vec<usize>, (usize, &'static str)> {
        spans(text).map(|spans| spans.into_iter().map(|(line, _)| line).collect())
    }

    #[test]
    fn every_element_keeps_its_line() {
        assert_eq!(lines("[]"), Ok(vec![]));
        assert_eq!(
            lines("\n[{\"a\": \"],\\\"{\"},\n\n {\"b\": [1,\n2]}\n, 3]\n"),
            Ok(vec![2, 4, 6])
        );
    }

    #[test]
    fn a_list_that_is_cut_or_is_none_is_refused_with_its_line() {
        for (text, line) in [
            ("", 1),
            ("{}", 1),
            ("[\n{}", 2),
            ("[\n{},\n{\"a\": \"", 3),
            ("[{},\n]", 2),
            ("[{}]\n[]", 2),
            ("[}]", 1),
        ] {
            assert_eq!(lines(text).map_err(|(line, _)| line), Err(line), "{text}");
        }
    }
}
