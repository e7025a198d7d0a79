//! A JSON file cut into its records, so that each keeps its line and a bad one does not hide the others.

use std::fs;
use std::ops::Range;
use std::path::Path;

use super::error::{BadRecord, DatasetError};

/// What a file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `[record, record]`.
    List,
    /// That, or `{"train": [record], "test": [record]}`.
    ListOrSplits,
}

/// The records of a file.
#[derive(Debug)]
pub(super) struct JsonList {
    text: String,
    spans: Vec<Span>,
}

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    line: usize,
    /// The key of its list, where the file is an object of lists.
    split: Option<Range<usize>>,
    bytes: Range<usize>,
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    /// Where it begins, from 1.
    pub line: usize,
    /// The key of its list, where the file is an object of lists.
    pub split: Option<&'a str>,
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
    pub fn read(path: &Path, shape: Shape, expected: &'static str) -> Result<Self, DatasetError> {
        let text = fs::read_to_string(path).map_err(|error| DatasetError::Read {
            why: error.to_string(),
            path: path.to_owned(),
        })?;
        match spans(&text, shape) {
            Ok(spans) => Ok(Self { text, spans }),
            Err((line, what)) => Err(DatasetError::Layout {
                line,
                what: what.to_owned(),
                expected,
                path: path.to_owned(),
            }),
        }
    }

    /// The records in order.
    pub fn elements(&self) -> impl ExactSizeIterator<Item = Element<'_>> {
        let part = |bytes: &Range<usize>| self.text.get(bytes.clone()).unwrap_or_default();
        self.spans.iter().map(move |span| Element {
            line: span.line,
            split: span.split.as_ref().map(part),
            text: part(&span.bytes),
        })
    }
}

/// Where the records are. They lie one bracket deep, or two in an object of lists; commas there part them.
fn spans(text: &str, shape: Shape) -> Result<Vec<Span>, (usize, &'static str)> {
    let bytes = text.as_bytes();
    let start = if bytes.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    let first = bytes
        .iter()
        .skip(start)
        .find(|byte| !byte.is_ascii_whitespace());
    let level = match first {
        Some(b'[') => 1,
        Some(b'{') if shape == Shape::ListOrSplits => 2,
        _ => return Err((1, "it does not begin with [")),
    };
    let (mut line, mut depth) = (1, 0_usize);
    let (mut string, mut escaped) = (None, false);
    let mut begun: Option<(usize, usize)> = None;
    let mut split = None;
    let mut spans: Vec<Span> = Vec::new();
    let mut awaited = false; // a comma stands before
    for (at, byte) in bytes.iter().copied().enumerate().skip(start) {
        if byte == b'\n' {
            line += 1;
        }
        if let Some(from) = string {
            if !escaped && byte == b'"' {
                string = None;
                if depth == 1 && level == 2 {
                    split = Some(from + 1..at);
                }
            }
            escaped = !escaped && byte == b'\\';
            continue;
        }
        if byte.is_ascii_whitespace() {
            continue;
        }
        if depth == 0 && at > start && !spans_open(bytes, start, at) {
            return Err((line, "something stands after the end"));
        }
        if depth == level && (byte == b',' || byte == b']') {
            match begun.take() {
                Some((line, from)) => spans.push(Span {
                    line,
                    split: split.clone(),
                    bytes: from..at,
                }),
                None if byte == b']' && !awaited => {}
                None => return Err((line, "a comma has no record before or after it")),
            }
            awaited = byte == b',';
        } else if depth >= level {
            let _ = begun.get_or_insert((line, at));
            awaited = false;
        }
        match byte {
            b'"' => string = Some(at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth
                    .checked_sub(1)
                    .ok_or((line, "a bracket is closed that was never opened"))?;
            }
            _ => {}
        }
    }
    match (depth, begun) {
        (0, _) => Ok(spans),
        (_, Some((line, _))) => Err((line, "the record that begins here does not end")),
        (_, None) => Err((line, "the list does not end")),
    }
}

/// Is only white space before `at`? Then the outermost bracket opens there.
fn spans_open(bytes: &[u8], start: usize, at: usize) -> bool {
    bytes
        .get(start..at)
        .is_some_and(|before| before.iter().all(u8::is_ascii_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<Vec<usize>, usize> {
        spans(text, Shape::List)
            .map(|spans| spans.into_iter().map(|span| span.line).collect())
            .map_err(|(line, _)| line)
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
            assert_eq!(lines(text), Err(line), "{text}");
        }
    }

    #[test]
    fn an_object_of_lists_names_the_list_of_each_record() {
        let text = "{\"train\": [{\"a\": [1, 2]},\n {}], \"test\":\n [3], \"none\": []}";
        let found: Vec<(usize, &str)> = spans(text, Shape::ListOrSplits)
            .unwrap()
            .into_iter()
            .map(|span| (span.line, &text[span.split.unwrap()]))
            .collect();
        assert_eq!(found, [(1, "train"), (2, "train"), (3, "test")]);
        assert_eq!(
            spans(text, Shape::List),
            Err((1, "it does not begin with ["))
        );
    }
}
