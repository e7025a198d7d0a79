//! Every field of a file's header as text, for people who want to see what is written.
//!
//! What the fields say of the patient is for the screen only.

use std::fmt;

use super::dicom;
use super::error::ImagingError;
use super::nifti;
use super::series::{Format, SeriesInfo};

/// A field of a header.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// Sequences it is inside of.
    pub depth: usize,
    /// `(0010,0010)`; for NIfTI the byte where the field begins.
    pub tag: String,
    /// The value representation, or the type in a NIfTI header.
    pub vr: &'static str,
    /// The standard's keyword, or `Private`.
    pub name: String,
    /// The value; of binary data only its length.
    pub value: String,
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({} {}, value hidden)", self.tag, self.name)
    }
}

impl Field {
    /// Does the tag, the name or the value hold this text? `wanted` is in lower case; `00100010` finds `(0010,0010)`.
    pub fn matches(&self, wanted: &str) -> bool {
        let digits = |text: &str| text.replace(['(', ')', ','], "").to_lowercase();
        self.name.to_lowercase().contains(wanted)
            || self.value.to_lowercase().contains(wanted)
            || self.tag.to_lowercase().contains(wanted)
            || (!wanted.is_empty() && digits(&self.tag).contains(&digits(wanted)))
    }
}

/// The fields of the file that slice `k` of a series is from; a plain picture has none.
///
/// # Errors
/// [`ImagingError`] about that file.
pub fn header_fields(series: &SeriesInfo, k: usize) -> Result<Vec<Field>, ImagingError> {
    let file = series.files.get(k).or(series.files.first());
    let Some(path) = file else {
        return Err(ImagingError::no_files());
    };
    match series.format {
        Format::Dicom => dicom::fields(path),
        Format::Nifti => nifti::fields(path),
        Format::Picture => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_tag_name_and_value() {
        let field = Field {
            depth: 0,
            tag: "(0018,0050)".to_owned(),
            vr: "DS",
            name: "SliceThickness".to_owned(),
            value: "3.27".to_owned(),
        };
        for wanted in ["slice", "0018,0050", "00180050", "3.27", ""] {
            assert!(field.matches(wanted), "{wanted}");
        }
        assert!(!field.matches("patient") && !field.matches("00180051"));
        assert!(
            !format!("{field:?}").contains("3.27"),
            "values stay out of logs"
        );
    }
}
