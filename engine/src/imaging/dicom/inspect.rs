//! A DICOM file as it is written: attributes of its pixel matrix, and the values of its first frame.

use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::dataset::DataSet;
use super::pixels::{FrameReader, Samples, stored_integers};
use super::source::Source;
use crate::imaging::error::ImagingError;
use crate::imaging::inspect::{FileReport, Number, Values, finite};

/// Fills in what a DICOM file says and what its first frame holds. A sound file without an image is no error here.
///
/// # Errors
/// Every [`ImagingError`] about a file.
pub fn inspect(path: &Path, report: &mut FileReport) -> Result<(), ImagingError> {
    report.kind = "dicom";
    let mut source = Source::open(path)?;
    let has_image = source.data_set(|source, set, pixels| {
        report.transfer_syntax = Some(if source.declared {
            source.transfer_syntax.clone()
        } else {
            "none".to_owned()
        });
        report.kind = match pixels.map(|pixels| pixels.tag) {
            None => "dicom-nonimage",
            Some(tags::PIXEL_DATA) => "dicom-image",
            Some(_) => "dicom-float-image",
        };
        if pixels.is_some() {
            attributes(set, report);
        } else if set.elements.iter().all(|element| element.tag.0 == 0) {
            return Err(ImagingError::damaged(path, "it has no data set"));
        }
        Ok(pixels.is_some())
    })?;
    drop(source);
    if !has_image {
        return Ok(());
    }
    let mut reader = FrameReader::open(path)?;
    report.frames = Some(reader.header.image.frames as u64);
    let samples = reader.samples(0)?;
    let count = reader.header.image.frame_samples() as u64;
    let mut values = Values::new(count);
    match reader.header.pixels.tag {
        tags::PIXEL_DATA => {
            for value in stored_integers(&samples, &reader.header.image) {
                // Values of 32 bits without a sign keep their bit pattern.
                values.push(value as f64, &(value as i32).to_le_bytes());
            }
        }
        _ if samples.bytes_each == 4 => reals(&samples, &mut values, f32::from_le_bytes),
        _ => reals(&samples, &mut values, f64::from_le_bytes),
    }
    report.sha256_first_frame = Some(values.finish(report));
    if report.kind == "dicom-image" {
        report.nan_count = None;
    }
    Ok(())
}

fn reals<const N: usize, T: Into<f64>>(
    samples: &Samples,
    values: &mut Values,
    from: fn([u8; N]) -> T,
) {
    for word in samples.bytes.as_chunks::<N>().0 {
        let mut word = *word;
        if samples.big_endian {
            word.reverse();
        }
        values.push(from(word).into(), &word);
    }
}

fn attributes(set: &DataSet<'_>, report: &mut FileReport) {
    let whole = |tag: Tag| set.integer(tag).and_then(|value| u64::try_from(value).ok());
    report.rows = whole(tags::ROWS);
    report.cols = whole(tags::COLUMNS);
    report.samples = whole(tags::SAMPLES_PER_PIXEL).or(Some(1));
    report.frames = whole(tags::NUMBER_OF_FRAMES).or(Some(1));
    report.bits_allocated = whole(tags::BITS_ALLOCATED);
    report.bits_stored = whole(tags::BITS_STORED);
    report.high_bit = whole(tags::HIGH_BIT);
    report.pixel_representation = whole(tags::PIXEL_REPRESENTATION);
    report.planar = whole(tags::PLANAR_CONFIGURATION);
    let photometric = set.text(tags::PHOTOMETRIC_INTERPRETATION);
    report.photometric = Some(photometric).filter(|text| !text.is_empty());
    let rescale = |tag: Tag| rescale_of(set, tag);
    report.rescale_slope = rescale(tags::RESCALE_SLOPE);
    report.rescale_intercept = rescale(tags::RESCALE_INTERCEPT);
}

/// Of the data set, or of the first frame's or the shared functional groups.
fn rescale_of(set: &DataSet<'_>, tag: Tag) -> Option<Number> {
    let groups = [
        tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
        tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    ];
    let in_groups = || {
        groups.iter().find_map(|sequence| {
            let group = set.item(*sequence)?;
            group
                .item(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE)?
                .number(tag)
        })
    };
    set.number(tag).or_else(in_groups).and_then(finite)
}
