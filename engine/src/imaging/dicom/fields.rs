//! A DICOM header as a list of fields, sequences with their items below them.

use std::path::Path;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use super::dataset::{DataSet, Element, Value};
use super::source::Source;
use super::text;
use crate::imaging::error::ImagingError;
use crate::imaging::tags::Field;

/// Characters of a value that are shown.
const MAX_CHARACTERS: usize = 1000;

/// Numbers of a value that are shown.
const MAX_NUMBERS: usize = 64;

/// Fields that are listed; an enhanced series of thousands of frames has more.
const MAX_FIELDS: usize = 50_000;

/// All fields of a file up to its pixel data.
///
/// # Errors
/// [`ImagingError`] about this file.
pub fn fields(path: &Path) -> Result<Vec<Field>, ImagingError> {
    let mut source = Source::open(path)?;
    source.data_set(|source, set, pixels| {
        let character_sets = set.text(tags::SPECIFIC_CHARACTER_SET);
        let mut fields = vec![Field {
            value: source.transfer_syntax.clone(),
            ..named(tags::TRANSFER_SYNTAX_UID, VR::UI, 0)
        }];
        list(set, &character_sets, 0, &mut fields);
        if let Some(pixels) = pixels {
            fields.push(Field {
                value: match pixels.length {
                    Some(length) => bytes_words(length),
                    None => "fragments".to_owned(),
                },
                ..named(pixels.tag, pixels.vr, 0)
            });
        }
        Ok(fields)
    })
}

fn list(set: &DataSet<'_>, character_sets: &str, depth: usize, fields: &mut Vec<Field>) {
    // An item may have character sets of its own (PS3.3 C.12.1.1.2).
    let own = set.text(tags::SPECIFIC_CHARACTER_SET);
    let character_sets = if own.is_empty() { character_sets } else { &own };
    for element in &set.elements {
        if fields.len() >= MAX_FIELDS {
            return;
        }
        let field = named(element.tag, element.vr, depth);
        match &element.value {
            Value::Bytes(bytes) => fields.push(Field {
                value: value_of(set, element, bytes, character_sets),
                ..field
            }),
            Value::Items(items) => {
                fields.push(Field {
                    value: match items.len() {
                        1 => "1 item".to_owned(),
                        count => format!("{count} items"),
                    },
                    ..field
                });
                for (number, item) in items.iter().enumerate() {
                    fields.push(Field {
                        depth: depth + 1,
                        tag: String::new(),
                        vr: "",
                        name: format!("Item {}", number + 1),
                        value: String::new(),
                    });
                    list(item, character_sets, depth + 2, fields);
                }
            }
        }
    }
}

fn named(tag: Tag, vr: VR, depth: usize) -> Field {
    let entry = StandardDataDictionary.by_tag(tag);
    let name = match entry {
        Some(entry) => entry.alias().to_owned(),
        None if tag.0 % 2 == 1 && (0x10..0x100).contains(&tag.1) => "PrivateCreator".to_owned(),
        None if tag.0 % 2 == 1 => "Private".to_owned(),
        None => "Unknown".to_owned(),
    };
    Field {
        depth,
        tag: tag.to_string(),
        vr: vr.to_string(),
        name,
        value: String::new(),
    }
}

fn value_of(
    set: &DataSet<'_>,
    element: &Element<'_>,
    bytes: &[u8],
    character_sets: &str,
) -> String {
    match element.vr {
        VR::US | VR::SS | VR::UL | VR::SL | VR::FL | VR::FD => {
            let numbers = set.numbers(element.tag);
            let mut words: Vec<String> = numbers
                .iter()
                .take(MAX_NUMBERS)
                .map(f64::to_string)
                .collect();
            if numbers.len() > MAX_NUMBERS {
                words.push(format!("… ({} numbers)", numbers.len()));
            }
            words.join(" \\ ")
        }
        VR::AT | VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::SV | VR::UV => {
            bytes_words(bytes.len())
        }
        VR::UN if !readable(bytes) => bytes_words(bytes.len()),
        VR::LO | VR::LT | VR::PN | VR::SH | VR::ST | VR::UC | VR::UT => {
            cut(&text::decode(bytes, character_sets))
        }
        _ => cut(&text::decode(bytes, "")),
    }
}

fn readable(bytes: &[u8]) -> bool {
    let mut rest = bytes.iter();
    rest.all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t' | 0))
}

fn bytes_words(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!("{count} bytes"),
    }
}

fn cut(text: &str) -> String {
    let text = text.trim_matches(['\0', ' ']);
    match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!(
            "{} … ({} characters)",
            text.get(..end).unwrap_or_default(),
            text.chars().count()
        ),
        None => text.to_owned(),
    }
}
