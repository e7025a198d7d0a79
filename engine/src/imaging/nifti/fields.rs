//! A NIfTI header as a list of fields, as nifti1.h and nifti2.h name them.

use std::io::Read;
use std::path::Path;

use super::header::{HEADER_BYTES, byte_order};
use super::open;
use crate::imaging::error::ImagingError;
use crate::imaging::tags::Field;

/// How a field is written.
#[derive(Clone, Copy)]
enum Kind {
    U8,
    I16,
    I32,
    I64,
    F32,
    F64,
    /// Text of so many bytes.
    Text(usize),
}

use Kind::{F32, F64, I16, I32, I64, Text, U8};

/// Name, first byte, kind, how many: NIfTI-1.
const ONE: [(&str, usize, Kind, usize); 37] = [
    ("sizeof_hdr", 0, I32, 1),
    ("dim_info", 39, U8, 1),
    ("dim", 40, I16, 8),
    ("intent_p1", 56, F32, 1),
    ("intent_p2", 60, F32, 1),
    ("intent_p3", 64, F32, 1),
    ("intent_code", 68, I16, 1),
    ("datatype", 70, I16, 1),
    ("bitpix", 72, I16, 1),
    ("slice_start", 74, I16, 1),
    ("pixdim", 76, F32, 8),
    ("vox_offset", 108, F32, 1),
    ("scl_slope", 112, F32, 1),
    ("scl_inter", 116, F32, 1),
    ("slice_end", 120, I16, 1),
    ("slice_code", 122, U8, 1),
    ("xyzt_units", 123, U8, 1),
    ("cal_max", 124, F32, 1),
    ("cal_min", 128, F32, 1),
    ("slice_duration", 132, F32, 1),
    ("toffset", 136, F32, 1),
    ("descrip", 148, Text(80), 1),
    ("aux_file", 228, Text(24), 1),
    ("qform_code", 252, I16, 1),
    ("sform_code", 254, I16, 1),
    ("quatern_b", 256, F32, 1),
    ("quatern_c", 260, F32, 1),
    ("quatern_d", 264, F32, 1),
    ("qoffset_x", 268, F32, 1),
    ("qoffset_y", 272, F32, 1),
    ("qoffset_z", 276, F32, 1),
    ("srow_x", 280, F32, 4),
    ("srow_y", 296, F32, 4),
    ("srow_z", 312, F32, 4),
    ("intent_name", 328, Text(16), 1),
    ("magic", 344, Text(4), 1),
    ("extension", 348, U8, 4),
];

/// The same for NIfTI-2.
const TWO: [(&str, usize, Kind, usize); 37] = [
    ("sizeof_hdr", 0, I32, 1),
    ("magic", 4, Text(8), 1),
    ("datatype", 12, I16, 1),
    ("bitpix", 14, I16, 1),
    ("dim", 16, I64, 8),
    ("intent_p1", 80, F64, 1),
    ("intent_p2", 88, F64, 1),
    ("intent_p3", 96, F64, 1),
    ("pixdim", 104, F64, 8),
    ("vox_offset", 168, I64, 1),
    ("scl_slope", 176, F64, 1),
    ("scl_inter", 184, F64, 1),
    ("cal_max", 192, F64, 1),
    ("cal_min", 200, F64, 1),
    ("slice_duration", 208, F64, 1),
    ("toffset", 216, F64, 1),
    ("slice_start", 224, I64, 1),
    ("slice_end", 232, I64, 1),
    ("descrip", 240, Text(80), 1),
    ("aux_file", 320, Text(24), 1),
    ("qform_code", 344, I32, 1),
    ("sform_code", 348, I32, 1),
    ("quatern_b", 352, F64, 1),
    ("quatern_c", 360, F64, 1),
    ("quatern_d", 368, F64, 1),
    ("qoffset_x", 376, F64, 1),
    ("qoffset_y", 384, F64, 1),
    ("qoffset_z", 392, F64, 1),
    ("srow_x", 400, F64, 4),
    ("srow_y", 432, F64, 4),
    ("srow_z", 464, F64, 4),
    ("slice_code", 496, I32, 1),
    ("xyzt_units", 500, I32, 1),
    ("intent_code", 504, I32, 1),
    ("intent_name", 508, Text(16), 1),
    ("dim_info", 524, U8, 1),
    ("unused_str", 525, Text(15), 1),
];

/// All fields of a header.
///
/// # Errors
/// [`ImagingError`] about this file.
pub fn fields(path: &Path) -> Result<Vec<Field>, ImagingError> {
    let mut bytes = Vec::new();
    // Junk behind a short gzip stream is an error of the stream, but the header is whole by then.
    let _ = open(path)?
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut bytes);
    let Some((two, big_endian)) = byte_order(&bytes) else {
        return Err(ImagingError::damaged(path, "it does not begin as NIfTI"));
    };
    let layout = if two { &TWO } else { &ONE };
    let field = |(name, at, kind, count): &(&str, usize, Kind, usize)| {
        let size = kind.bytes();
        let value = (0..*count)
            .map_while(|number| bytes.get(at + number * size..at + (number + 1) * size))
            .map(|word| kind.words(word, big_endian));
        Field {
            depth: 0,
            tag: format!("{at:03}"),
            vr: kind.name(),
            name: (*name).to_owned(),
            value: value.collect::<Vec<_>>().join(" \\ "),
        }
    };
    Ok(layout.iter().map(field).collect())
}

impl Kind {
    fn bytes(self) -> usize {
        match self {
            U8 => 1,
            I16 => 2,
            I32 | F32 => 4,
            I64 | F64 => 8,
            Text(length) => length,
        }
    }

    fn name(self) -> &'static str {
        match self {
            U8 => "u8",
            I16 => "i16",
            I32 => "i32",
            I64 => "i64",
            F32 => "f32",
            F64 => "f64",
            Text(_) => "text",
        }
    }

    /// The value of one word.
    fn words(self, word: &[u8], big_endian: bool) -> String {
        if let Text(_) = self {
            let end = word.iter().position(|byte| *byte == 0);
            let text = word.get(..end.unwrap_or(word.len())).unwrap_or_default();
            let text = String::from_utf8_lossy(text);
            return text.chars().filter(|c| !c.is_control()).collect();
        }
        let mut low_first = [0_u8; 8];
        for (to, from) in low_first.iter_mut().zip(word) {
            *to = *from;
        }
        if big_endian && let Some(used) = low_first.get_mut(..word.len()) {
            used.reverse();
        }
        let [a, b, c, d, ..] = low_first;
        match self {
            U8 | Text(_) => a.to_string(),
            I16 => i16::from_le_bytes([a, b]).to_string(),
            I32 => i32::from_le_bytes([a, b, c, d]).to_string(),
            I64 => i64::from_le_bytes(low_first).to_string(),
            F32 => f32::from_le_bytes([a, b, c, d]).to_string(),
            F64 => f64::from_le_bytes(low_first).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_layout_do_not_overlap_and_lie_in_the_header() {
        for (layout, end) in [(&ONE, 352), (&TWO, HEADER_BYTES)] {
            let mut spans: Vec<(usize, usize)> = layout
                .iter()
                .map(|(_, at, kind, count)| (*at, at + kind.bytes() * count))
                .collect();
            spans.sort_unstable();
            assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            assert!(spans.last().unwrap().1 <= end);
        }
    }
}
