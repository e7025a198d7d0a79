//! What a DICOM file says about itself and its frames, without its pixels.

use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};

use super::dataset::DataSet;
use super::matrix::{Image, image_of};
use super::parser::PixelElement;
use super::placing::{place_in_grid, sides_of};
use super::source::Source;
use super::text;
use super::voi::{Tables, tables_of, windows_of};
use crate::imaging::error::ImagingError;
use crate::imaging::geometry::{Direction, dot, length, normalised};
use crate::imaging::series::PatientLabel;
use crate::imaging::volume::{Modality, Rescale};
use crate::imaging::window::{NamedWindow, VoiTable};

/// A file with an image in it.
#[derive(Clone, Debug)]
pub struct Header {
    /// Transfer Syntax UID.
    pub transfer_syntax: String,
    /// SOP Instance UID (0008,0018).
    pub instance_uid: String,
    /// Study Instance UID (0020,000D).
    pub study_uid: String,
    /// Series Instance UID (0020,000E).
    pub series_uid: String,
    /// Who it is.
    pub patient: PatientLabel,
    /// Frame of Reference UID (0020,0052).
    pub frame_of_reference: String,
    /// Study Description (0008,1030).
    pub study_description: String,
    /// Series Description (0008,103E).
    pub description: String,
    /// Series Number (0020,0011).
    pub number: Option<i32>,
    /// Modality (0008,0060).
    pub modality: Modality,
    /// Body Part Examined (0018,0015).
    pub body_part: Option<String>,
    /// Lossy Image Compression (0028,2110), or a lossy transfer syntax.
    pub lossy: bool,
    /// [`Source::executable`].
    pub executable: bool,
    /// The unit of the samples, where it is not that of the modality: Dose Units (3004,0002).
    pub unit: Option<String>,
    /// Patient Orientation (0020,0020): where rows and where columns of pixels run to.
    pub sides: Option<[Direction; 2]>,
    /// Frames a second for display (PS3.3 C.7.6.5).
    pub fps: Option<f32>,
    /// The pixel matrix.
    pub image: Image,
    /// One for each frame.
    pub frames: Vec<Frame>,
    /// Where the pixels are.
    pub pixels: PixelElement,
}

/// One frame: where it is and what its samples mean.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Image Position (Patient) (0020,0032).
    pub position: Option<[f64; 3]>,
    /// Image Orientation (Patient) (0020,0037): where columns and where rows run to. Unit vectors.
    pub orientation: Option<[[f64; 3]; 2]>,
    /// Pixel Spacing (0028,0030): distance of rows, of columns.
    pub spacing_mm: Option<[f64; 2]>,
    /// The spacing is Imager Pixel Spacing (0018,1164): that on the detector, not in the patient (PS3.3 10.7.1.3).
    pub at_detector: bool,
    /// Pixel Aspect Ratio (0028,0034): height and width of a pixel, where no spacing is known. No lengths.
    pub aspect: Option<[f64; 2]>,
    /// Spacing Between Slices (0018,0088), or Slice Thickness (0018,0050).
    pub thickness_mm: Option<f64>,
    /// Slice Thickness (0018,0050).
    pub slice_mm: Option<f64>,
    /// Rescale Slope and Intercept, where written.
    pub rescale: Option<Rescale>,
    /// The file's windows.
    pub windows: Vec<NamedWindow>,
    /// Its VOI LUTs, by the number in their windows.
    pub voi_tables: Arc<[VoiTable]>,
    /// Stack ID (0020,9056) of an enhanced image.
    pub stack: String,
    /// Slice Location (0020,1041).
    pub location: Option<f64>,
    /// What tells frames at one position apart: temporal position, acquisition, echo, then Instance Number.
    pub order: [f64; 4],
}

/// Reads the header of one file.
///
/// # Errors
/// [`ImagingError::Damaged`], [`ImagingError::NotAnImage`] or [`ImagingError::Io`].
pub fn read_header(source: &mut Source) -> Result<Header, ImagingError> {
    source.data_set(header_of)
}

fn header_of(
    source: &Source,
    set: &DataSet<'_>,
    pixels: Option<PixelElement>,
) -> Result<Header, ImagingError> {
    let path = source.path();
    let modality = set.text(tags::MODALITY);
    let Some(pixels) = pixels else {
        if cut_short(set, &modality) {
            let what = "it describes an image but ends before its pixel data";
            return Err(ImagingError::damaged(path, what));
        }
        let what = match (set.text(tags::SOP_CLASS_UID).as_str(), modality.as_str()) {
            _ if set.get(tags::DIRECTORY_RECORD_SEQUENCE).is_some() => {
                "a DICOM directory".to_owned()
            }
            (_, "") => "a DICOM file without pixel data".to_owned(),
            (_, modality) => format!("DICOM of the kind {modality}, without pixel data"),
        };
        return Err(ImagingError::NotAnImage {
            what,
            path: path.to_owned(),
        });
    };
    let image = image_of(source, set, &pixels)?;
    let character_sets = set.text(tags::SPECIFIC_CHARACTER_SET);
    let decoded = |tag: Tag| text::decode(set.bytes(tag).unwrap_or_default(), &character_sets);
    let frames = frames_of(set, image.frames, &character_sets);
    let transfer_syntax = source.transfer_syntax.clone();
    let unit = match set.text(tags::DOSE_UNITS).as_str() {
        "GY" => Some("Gy".to_owned()),
        _ => None,
    };
    Ok(Header {
        lossy: lossy(&transfer_syntax, &set.text(tags::LOSSY_IMAGE_COMPRESSION)),
        executable: source.executable,
        unit,
        sides: sides_of(set),
        transfer_syntax,
        instance_uid: set.text(tags::SOP_INSTANCE_UID),
        study_uid: set.text(tags::STUDY_INSTANCE_UID),
        series_uid: set.text(tags::SERIES_INSTANCE_UID),
        patient: PatientLabel {
            name: text::person_name(&decoded(tags::PATIENT_NAME)),
            id: decoded(tags::PATIENT_ID),
            study_date: text::date(&set.text(tags::STUDY_DATE)),
        },
        frame_of_reference: set.text(tags::FRAME_OF_REFERENCE_UID),
        study_description: decoded(tags::STUDY_DESCRIPTION),
        description: decoded(tags::SERIES_DESCRIPTION),
        number: set
            .integer(tags::SERIES_NUMBER)
            .and_then(|number| number.try_into().ok()),
        modality: Modality::from_code(&modality),
        body_part: Some(set.text(tags::BODY_PART_EXAMINED)).filter(|part| !part.is_empty()),
        fps: fps_of(set),
        image,
        frames,
        pixels,
    })
}

/// Recommended Display Frame Rate (0008,2144), Cine Rate (0018,0040), or Frame Time (0018,1063), which is in ms.
fn fps_of(set: &DataSet<'_>) -> Option<f32> {
    let rates = [
        set.number(tags::RECOMMENDED_DISPLAY_FRAME_RATE),
        set.number(tags::CINE_RATE),
        set.number(tags::FRAME_TIME).map(|ms| 1e3 / ms),
    ];
    let sound = |fps: &f64| fps.is_finite() && *fps > 0.0;
    let fps = rates.into_iter().flatten().find(sound)?;
    Some(fps as f32)
}

/// Is this lost on the way? By the transfer syntax and Lossy Image Compression (0028,2110).
fn lossy(transfer_syntax: &str, compression: &str) -> bool {
    match transfer_syntax {
        uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT | uids::JPEGLS_NEAR_LOSSLESS => true,
        // These may hold either: what the file does not call lossless is not taken for it.
        uids::JPEG2000 | uids::HTJ2K => compression != "00",
        _ => compression == "01",
    }
}

/// What each frame says, from its own functional groups, the shared ones, or the data set itself (PS3.3 C.7.6.16).
fn frames_of(set: &DataSet<'_>, count: usize, character_sets: &str) -> Vec<Frame> {
    let shared = set.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
    let per_frame = set.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    let in_shared = |sequence: Tag| shared.and_then(|shared| shared.item(sequence));
    let transformed = in_shared(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE).unwrap_or(set);
    let signed = set.integer(tags::PIXEL_REPRESENTATION) == Some(1)
        || transformed
            .number(tags::RESCALE_INTERCEPT)
            .is_some_and(|intercept| intercept < 0.0);
    let tables = in_shared(tags::FRAME_VOILUT_SEQUENCE)
        .filter(|item| item.get(tags::VOILUT_SEQUENCE).is_some())
        .unwrap_or(set);
    let whole = Whole {
        set,
        shared,
        count,
        character_sets,
        signed,
        tables: tables_of(tables, signed, character_sets),
    };
    let mut frames: Vec<Frame> = (0..count)
        .map(|number| frame_of(&whole, per_frame.get(number)))
        .collect();
    if per_frame.is_empty() {
        place_in_grid(set, &mut frames);
    }
    frames
}

/// Does the data set describe pixels that it does not have? Plans and reports may, and are whole.
fn cut_short(set: &DataSet<'_>, modality: &str) -> bool {
    let without_pixels = ["RTSTRUCT", "RTPLAN", "RTRECORD", "SR", "KO", "PR", "REG"];
    let described = [tags::ROWS, tags::COLUMNS, tags::PHOTOMETRIC_INTERPRETATION];
    described.iter().any(|tag| set.get(*tag).is_some())
        && set.get(tags::DIRECTORY_RECORD_SEQUENCE).is_none()
        && !without_pixels.contains(&modality)
}

/// What all frames share.
struct Whole<'a> {
    set: &'a DataSet<'a>,
    shared: Option<&'a DataSet<'a>>,
    count: usize,
    character_sets: &'a str,
    /// Rescaled samples may be negative.
    signed: bool,
    tables: Tables,
}

fn frame_of(whole: &Whole<'_>, own: Option<&DataSet<'_>>) -> Frame {
    let Whole {
        set, shared, count, ..
    } = *whole;
    // The data set that holds an attribute: a group's item, or the root. A root position of a multi-frame image is
    // that of its first frame only.
    let group = |sequence: Tag| {
        own.and_then(|own| own.item(sequence))
            .or_else(|| shared.and_then(|shared| shared.item(sequence)))
    };
    let holder = |sequence: Tag, tag: Tag| {
        group(sequence)
            .filter(|item| item.get(tag).is_some())
            .unwrap_or(set)
    };
    let position_holder = match group(tags::PLANE_POSITION_SEQUENCE) {
        Some(item) => Some(item),
        None => Some(set).filter(|_| count == 1),
    };
    let position = position_holder
        .and_then(|item| {
            item.numbers(tags::IMAGE_POSITION_PATIENT)
                .first_chunk()
                .copied()
        })
        .filter(|position: &[f64; 3]| position.iter().all(|x| x.is_finite()));
    let orientation = holder(
        tags::PLANE_ORIENTATION_SEQUENCE,
        tags::IMAGE_ORIENTATION_PATIENT,
    )
    .numbers(tags::IMAGE_ORIENTATION_PATIENT);
    let measures = holder(tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING);
    let thickness = group(tags::PIXEL_MEASURES_SEQUENCE).unwrap_or(set);
    let spacing = [
        tags::PIXEL_SPACING,
        tags::IMAGER_PIXEL_SPACING,
        tags::NOMINAL_SCANNED_PIXEL_SPACING,
    ];
    let positive = |number: &f64| number.is_finite() && *number > 0.0;
    let pair = |tag: Tag| {
        let numbers = measures.numbers(tag);
        let pair: Option<[f64; 2]> = numbers.first_chunk().copied();
        pair.filter(|pair| pair.iter().all(positive))
    };
    let spacing = spacing.iter().find_map(|tag| Some((*tag, pair(*tag)?)));
    let rescale = holder(
        tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
        tags::RESCALE_SLOPE,
    );
    let dose = set
        .number(tags::DOSE_GRID_SCALING)
        .filter(|scaling| *scaling > 0.0);
    let dose = dose.map(|slope| Rescale {
        slope: slope as f32,
        intercept: 0.0,
    });
    let mut windows = windows_of(
        holder(tags::FRAME_VOILUT_SEQUENCE, tags::WINDOW_CENTER),
        whole.character_sets,
    );
    let rescale = rescale_of(rescale).or(dose);
    let own_tables = own
        .and_then(|own| own.item(tags::FRAME_VOILUT_SEQUENCE))
        .filter(|item| item.get(tags::VOILUT_SEQUENCE).is_some())
        .map(|item| tables_of(item, whole.signed, whole.character_sets));
    let tables = own_tables.unwrap_or_else(|| whole.tables.clone());
    windows.extend(tables.windows);
    let content = group(tags::FRAME_CONTENT_SEQUENCE).unwrap_or(set);
    let echo = group(tags::MR_ECHO_SEQUENCE)
        .and_then(|item| item.number(tags::EFFECTIVE_ECHO_TIME))
        .or_else(|| set.number(tags::ECHO_TIME));
    let number = |set: &DataSet<'_>, tag: Tag| set.number(tag).unwrap_or(0.0);
    Frame {
        position,
        orientation: orientation.first_chunk().and_then(axes),
        spacing_mm: spacing.map(|(_, mm)| mm),
        at_detector: spacing.is_some_and(|(tag, _)| tag == tags::IMAGER_PIXEL_SPACING),
        aspect: pair(tags::PIXEL_ASPECT_RATIO),
        thickness_mm: [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS]
            .iter()
            .filter_map(|tag| thickness.number(*tag))
            .find(positive),
        slice_mm: thickness.number(tags::SLICE_THICKNESS).filter(positive),
        rescale,
        windows,
        voi_tables: tables.tables,
        stack: content.text(tags::STACK_ID),
        location: set.number(tags::SLICE_LOCATION),
        order: [
            number(content, tags::TEMPORAL_POSITION_INDEX)
                + number(set, tags::TEMPORAL_POSITION_IDENTIFIER),
            number(set, tags::ACQUISITION_NUMBER),
            echo.unwrap_or(0.0),
            number(set, tags::INSTANCE_NUMBER),
        ],
    }
}

/// Unit vectors of the six numbers, unless they are no directions at right angles.
fn axes(numbers: &[f64; 6]) -> Option<[[f64; 3]; 2]> {
    let [x1, y1, z1, x2, y2, z2] = *numbers;
    let (columns, rows) = ([x1, y1, z1], [x2, y2, z2]);
    let unit = |v: [f64; 3]| (0.9..1.1).contains(&length(v));
    let right_angle = dot(columns, rows).abs() < 0.05;
    (unit(columns) && unit(rows) && right_angle).then(|| [normalised(columns), normalised(rows)])
}

fn rescale_of(set: &DataSet<'_>) -> Option<Rescale> {
    let slope = set.number(tags::RESCALE_SLOPE);
    let intercept = set.number(tags::RESCALE_INTERCEPT);
    (slope.is_some() || intercept.is_some()).then(|| Rescale {
        slope: slope.filter(|slope| *slope != 0.0).unwrap_or(1.0) as f32,
        intercept: intercept.unwrap_or(0.0) as f32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jpeg_2000_counts_as_lossy_unless_the_file_says_otherwise() {
        for syntax in [uids::JPEG2000, uids::HTJ2K] {
            assert!(lossy(syntax, "") && lossy(syntax, "01") && !lossy(syntax, "00"));
        }
        for syntax in [
            uids::JPEG2000_LOSSLESS,
            uids::HTJ2K_LOSSLESS,
            uids::RLE_LOSSLESS,
        ] {
            assert!(!lossy(syntax, "") && lossy(syntax, "01"));
        }
        assert!(lossy(uids::JPEGLS_NEAR_LOSSLESS, "00"));
    }
}
