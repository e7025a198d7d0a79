//! The windows and VOI LUTs of a DICOM file (PS3.3 C.11.2).

use std::sync::Arc;

use dicom_dictionary_std::tags;

use super::dataset::DataSet;
use super::matrix::lut_of;
use super::text;
use crate::imaging::window::{NamedWindow, VoiFunction, VoiTable, Window};

/// Windows and tables of one image, at most: each frame has its own copy.
const MAX_WINDOWS: usize = 32;

/// VOI LUTs, and a window for each.
#[derive(Clone)]
pub struct Tables {
    /// The tables.
    pub tables: Arc<[VoiTable]>,
    /// Their windows.
    pub windows: Vec<NamedWindow>,
}

/// Windows at least one unit wide (PS3.3 C.11.2.1.2), or wider than nothing for the other functions (C.11.2.1.3).
pub fn windows_of(set: &DataSet<'_>, character_sets: &str) -> Vec<NamedWindow> {
    let centers = set.numbers(tags::WINDOW_CENTER);
    let widths = set.numbers(tags::WINDOW_WIDTH);
    let names = set.bytes(tags::WINDOW_CENTER_WIDTH_EXPLANATION);
    let names = text::decode(names.unwrap_or_default(), character_sets);
    let names: Vec<&str> = names.split('\\').map(str::trim).collect();
    let function = VoiFunction::from_code(&set.text(tags::VOILUT_FUNCTION));
    let narrowest = if function.is_linear() {
        1.0
    } else {
        f64::MIN_POSITIVE
    };
    let windows = centers
        .into_iter()
        .zip(widths)
        .take(MAX_WINDOWS)
        .enumerate();
    windows
        .filter(|(_, (center, width))| {
            center.is_finite() && width.is_finite() && *width >= narrowest
        })
        .map(|(number, (center, width))| NamedWindow {
            name: names.get(number).copied().unwrap_or_default().to_owned(),
            window: Window {
                center: center as f32,
                width: width as f32,
                function,
            },
        })
        .collect()
}

/// The VOI LUT Sequence (PS3.3 C.11.2.1.1).
pub fn tables_of(set: &DataSet<'_>, signed: bool, character_sets: &str) -> Tables {
    let mut windows = Vec::new();
    let mut tables = Vec::new();
    for item in set.items(tags::VOILUT_SEQUENCE).iter().take(MAX_WINDOWS) {
        let Some(lut) = lut_of(item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, signed) else {
            continue;
        };
        let name = item.bytes(tags::LUT_EXPLANATION).unwrap_or_default();
        let name = text::decode(name, character_sets);
        let (first, last) = (lut.first as f32, lut.entries.len() as f32 - 1.0);
        windows.push(NamedWindow {
            name,
            window: Window {
                function: VoiFunction::Table(tables.len()),
                ..Window::from_range(first, first + last)
            },
        });
        tables.push(VoiTable {
            first,
            bits: lut.bits,
            entries: lut.entries,
        });
    }
    Tables {
        tables: tables.into(),
        windows,
    }
}
