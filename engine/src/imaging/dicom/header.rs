//! What a DICOM file says about itself and its frames, without its pixels.

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};

use super::dataset::{DataSet, PixelElement};
use super::source::Source;
use super::text;
use crate::imaging::error::ImagingError;
use crate::imaging::geometry::{dot, length, normalised};
use crate::imaging::series::PatientLabel;
use crate::imaging::volume::{Modality, Rescale};
use crate::imaging::window::{NamedWindow, Window};

/// Frames of one file, at most.
const MAX_FRAMES: i64 = 65_536;

/// Samples that a compressed byte can stand for, at most, before a size is taken for a lie. Constant areas give 64 in
/// RLE and some thousand in progressive JPEG.
const MAX_PIXELS_PER_BYTE: u64 = 8192;

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
    /// The pixel matrix.
    pub image: Image,
    /// One for each frame.
    pub frames: Vec<Frame>,
    /// Where the pixels are.
    pub pixels: PixelElement,
}

/// The pixel matrix (PS3.3 C.7.6.3).
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Rows (0028,0010).
    pub rows: usize,
    /// Columns (0028,0011).
    pub columns: usize,
    /// Number of Frames (0028,0008).
    pub frames: usize,
    /// Samples per Pixel (0028,0002).
    pub samples: usize,
    /// Planar Configuration (0028,0006) is 1: all red, then all green.
    pub planar: bool,
    /// Bits Allocated (0028,0100).
    pub bits_allocated: u32,
    /// Bits Stored (0028,0101).
    pub bits_stored: u32,
    /// High Bit (0028,0102).
    pub high_bit: u32,
    /// Pixel Representation (0028,0103) is 1.
    pub signed: bool,
    /// Photometric Interpretation (0028,0004).
    pub photometric: String,
    /// Red, green and blue of PALETTE COLOR.
    pub palette: Option<Palette>,
    /// Modality LUT Sequence (0028,3000): stored values are looked up instead of rescaled.
    pub modality_lut: Option<Lut>,
}

/// A look-up table (PS3.3 C.11.1.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Lut {
    /// The stored value of the first entry.
    pub first: i64,
    /// Bits of an entry.
    pub bits: u32,
    /// The entries.
    pub entries: Vec<u16>,
}

impl Lut {
    /// The entry of a stored value; values outside get the nearest one.
    pub fn look_up(&self, stored: i64) -> u16 {
        let last = self.entries.len().saturating_sub(1) as i64;
        let index = (stored - self.first).clamp(0, last);
        self.entries.get(index as usize).copied().unwrap_or(0)
    }
}

/// Red, green and blue.
pub type Palette = [Lut; 3];

/// One frame: where it is and what its samples mean.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Image Position (Patient) (0020,0032).
    pub position: Option<[f64; 3]>,
    /// Image Orientation (Patient) (0020,0037): where columns and where rows run to. Unit vectors.
    pub orientation: Option<[[f64; 3]; 2]>,
    /// Pixel Spacing (0028,0030): distance of rows, of columns.
    pub spacing_mm: Option<[f64; 2]>,
    /// Spacing Between Slices (0018,0088), or Slice Thickness (0018,0050).
    pub thickness_mm: Option<f64>,
    /// Rescale Slope and Intercept, where written.
    pub rescale: Option<Rescale>,
    /// The file's windows.
    pub windows: Vec<NamedWindow>,
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
    let lossy_syntax = [
        uids::JPEG_BASELINE8_BIT,
        uids::JPEG_EXTENDED12_BIT,
        uids::JPEGLS_NEAR_LOSSLESS,
    ];
    Ok(Header {
        lossy: set.text(tags::LOSSY_IMAGE_COMPRESSION) == "01"
            || lossy_syntax.contains(&transfer_syntax.as_str()),
        transfer_syntax,
        instance_uid: set.text(tags::SOP_INSTANCE_UID),
        study_uid: set.text(tags::STUDY_INSTANCE_UID),
        series_uid: set.text(tags::SERIES_INSTANCE_UID),
        patient: PatientLabel {
            name: text::person_name(&decoded(tags::PATIENT_NAME)),
            id: decoded(tags::PATIENT_ID),
            study_date: text::date(&set.text(tags::STUDY_DATE)),
        },
        study_description: decoded(tags::STUDY_DESCRIPTION),
        description: decoded(tags::SERIES_DESCRIPTION),
        number: set
            .integer(tags::SERIES_NUMBER)
            .and_then(|number| number.try_into().ok()),
        modality: Modality::from_code(&modality),
        body_part: Some(set.text(tags::BODY_PART_EXAMINED)).filter(|part| !part.is_empty()),
        image,
        frames,
        pixels,
    })
}

fn image_of(
    source: &Source,
    set: &DataSet<'_>,
    pixels: &PixelElement,
) -> Result<Image, ImagingError> {
    let damaged = |what: String| ImagingError::damaged(source.path(), what);
    let required = |tag: Tag, name: &str, low: i64, high: i64| {
        let value = set
            .integer(tag)
            .ok_or_else(|| damaged(format!("it has pixel data but no {name}")))?;
        if (low..=high).contains(&value) {
            Ok(value)
        } else {
            Err(damaged(format!("its {name} is {value}")))
        }
    };
    let floats = match pixels.tag {
        tags::FLOAT_PIXEL_DATA => Some(32),
        tags::DOUBLE_FLOAT_PIXEL_DATA => Some(64),
        _ => None,
    };
    let rows = required(tags::ROWS, "Rows", 1, 65_535)?;
    let columns = required(tags::COLUMNS, "Columns", 1, 65_535)?;
    let bits_allocated = match floats {
        Some(bits) => bits,
        None => required(tags::BITS_ALLOCATED, "Bits Allocated", 1, 64)?,
    };
    let stored = set.integer(tags::BITS_STORED).filter(|_| floats.is_none());
    let bits_stored = stored.unwrap_or(bits_allocated);
    if !(1..=bits_allocated).contains(&bits_stored) {
        return Err(damaged(format!(
            "its Bits Stored is {bits_stored} of {bits_allocated} allocated"
        )));
    }
    let high_bit = set.integer(tags::HIGH_BIT).filter(|_| floats.is_none());
    let high_bit = high_bit
        .filter(|bit| (bits_stored - 1..bits_allocated).contains(bit))
        .unwrap_or(bits_stored - 1);
    // Files with `1A` exist: the digits count, and the length of the pixel data is checked against them.
    let text = set.text(tags::NUMBER_OF_FRAMES);
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let frames = match text.split_at(digits).0 {
        _ if text.is_empty() => 1,
        digits => digits
            .parse()
            .map(|frames: i64| frames.max(1))
            .map_err(|_| damaged("its Number of Frames is no number".to_owned()))?,
    };
    let samples = match set.get(tags::SAMPLES_PER_PIXEL) {
        Some(_) => required(tags::SAMPLES_PER_PIXEL, "Samples per Pixel", 1, 4)?,
        None => 1,
    };
    let photometric = set.text(tags::PHOTOMETRIC_INTERPRETATION).to_uppercase();
    let signed = set.integer(tags::PIXEL_REPRESENTATION) == Some(1);
    if frames > MAX_FRAMES {
        return Err(ImagingError::unsupported(
            source.path(),
            format!("{frames} frames in one file"),
        ));
    }
    let image = Image {
        rows: rows as usize,
        columns: columns as usize,
        frames: frames as usize,
        samples: samples as usize,
        planar: set.integer(tags::PLANAR_CONFIGURATION) == Some(1),
        bits_allocated: bits_allocated as u32,
        bits_stored: bits_stored as u32,
        high_bit: high_bit as u32,
        signed,
        palette: palette_of(set, signed).filter(|_| photometric == "PALETTE COLOR"),
        modality_lut: set
            .item(tags::MODALITY_LUT_SEQUENCE)
            .and_then(|item| lut_of(item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, signed)),
        photometric,
    };
    check_length(source, &image, pixels)?;
    Ok(image)
}

/// Frames, rows and columns must be backed by bytes before anything is sized by them.
fn check_length(source: &Source, image: &Image, pixels: &PixelElement) -> Result<(), ImagingError> {
    let damaged = |what: String| Err(ImagingError::damaged(source.path(), what));
    let there = source.known_length_from(pixels.offset);
    match (image.native_bytes(), pixels.length) {
        (None, _) => damaged(format!(
            "{} frames of {} x {} pixels are more than any file holds",
            image.frames, image.columns, image.rows
        )),
        (Some(needed), Some(length)) if length < needed => damaged(format!(
            "its pixel data has {length} bytes where {needed} are needed"
        )),
        (Some(_), Some(length)) if there.is_some_and(|there| there + 2 < length as u64) => {
            damaged("it ends inside its pixel data".to_owned())
        }
        (Some(needed), Some(_)) if there.is_some_and(|there| there < needed as u64) => {
            damaged(format!(
                "its pixel data is cut short: {} of {needed} bytes",
                there.unwrap_or(0)
            ))
        }
        (Some(_), None) if there.is_some_and(|there| !image.fits_compressed(there)) => {
            damaged(format!(
                "its {} compressed bytes cannot hold {} x {} pixels in {} frames",
                there.unwrap_or(0),
                image.columns,
                image.rows,
                image.frames
            ))
        }
        _ => Ok(()),
    }
}

impl Image {
    /// Grey values, not colours.
    pub fn grey(&self) -> bool {
        self.samples == 1 && self.photometric != "PALETTE COLOR"
    }

    /// Samples of one frame.
    pub fn frame_samples(&self) -> usize {
        self.rows * self.columns * self.samples
    }

    /// False when so few compressed bytes cannot be all frames: a frame has an item of 8 bytes, and a byte stands for
    /// [`MAX_PIXELS_PER_BYTE`] at most.
    pub fn fits_compressed(&self, bytes: u64) -> bool {
        let samples = self.frame_samples() as u64 * self.frames as u64;
        bytes / 8 >= self.frames as u64 && samples / MAX_PIXELS_PER_BYTE <= bytes
    }

    /// Bits of one frame when it is not compressed.
    pub fn native_frame_bits(&self) -> usize {
        let bits = self.frame_samples() * self.bits_allocated as usize;
        match self.photometric.as_str() {
            "YBR_FULL_422" | "YBR_PARTIAL_422" if self.samples == 3 => bits / 3 * 2,
            _ => bits,
        }
    }

    /// Bytes of all frames when they are not compressed, unless that overflows.
    pub fn native_bytes(&self) -> Option<usize> {
        Some(
            self.native_frame_bits()
                .checked_mul(self.frames)?
                .div_ceil(8),
        )
    }
}

fn lut_of(set: &DataSet<'_>, descriptor: Tag, data: Tag, signed: bool) -> Option<Lut> {
    let [count, first, bits] = *set.numbers(descriptor).first_chunk::<3>()?;
    let count = if count == 0.0 { 65_536 } else { count as usize };
    // The first value has the sign of the pixels, whatever its VR says (PS3.3 C.11.1.1.1).
    let first = match first as i64 {
        first if signed && first > 32_767 => first - 65_536,
        first => first,
    };
    let bytes = set.bytes(data)?;
    // 8-bit entries may be packed two in a word.
    let entries: Vec<u16> = if bytes.len() < count * 2 {
        bytes.iter().map(|byte| u16::from(*byte)).collect()
    } else {
        set.numbers(data)
            .iter()
            .map(|number| *number as u16)
            .collect()
    };
    let entries: Vec<u16> = entries.into_iter().take(count).collect();
    (entries.len() == count).then_some(Lut {
        first,
        bits: (bits as u32).clamp(1, 16),
        entries,
    })
}

fn palette_of(set: &DataSet<'_>, signed: bool) -> Option<Palette> {
    Some([
        lut_of(
            set,
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            signed,
        )?,
        lut_of(
            set,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            signed,
        )?,
        lut_of(
            set,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            signed,
        )?,
    ])
}

/// What each frame says, from its own functional groups, the shared ones, or the data set itself (PS3.3 C.7.6.16).
fn frames_of(set: &DataSet<'_>, count: usize, character_sets: &str) -> Vec<Frame> {
    let shared = set.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
    let per_frame = set.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    (0..count)
        .map(|number| frame_of(set, shared, per_frame.get(number), count, character_sets))
        .collect()
}

fn frame_of(
    set: &DataSet<'_>,
    shared: Option<&DataSet<'_>>,
    own: Option<&DataSet<'_>>,
    count: usize,
    character_sets: &str,
) -> Frame {
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
        tags::PIXEL_ASPECT_RATIO,
    ];
    let positive = |number: &f64| number.is_finite() && *number > 0.0;
    let rescale = holder(
        tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
        tags::RESCALE_SLOPE,
    );
    let content = group(tags::FRAME_CONTENT_SEQUENCE).unwrap_or(set);
    let echo = group(tags::MR_ECHO_SEQUENCE)
        .and_then(|item| item.number(tags::EFFECTIVE_ECHO_TIME))
        .or_else(|| set.number(tags::ECHO_TIME));
    let number = |set: &DataSet<'_>, tag: Tag| set.number(tag).unwrap_or(0.0);
    Frame {
        position,
        orientation: orientation.first_chunk().and_then(axes),
        spacing_mm: spacing
            .iter()
            .map(|tag| measures.numbers(*tag))
            .find_map(|numbers| numbers.first_chunk().copied())
            .filter(|spacing: &[f64; 2]| spacing.iter().all(positive)),
        thickness_mm: [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS]
            .iter()
            .filter_map(|tag| thickness.number(*tag))
            .find(positive),
        rescale: rescale_of(rescale),
        windows: windows_of(
            holder(tags::FRAME_VOILUT_SEQUENCE, tags::WINDOW_CENTER),
            character_sets,
        ),
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

/// Windows at least one unit wide; a width of 0 is no window (PS3.3 C.11.2.1.2).
fn windows_of(set: &DataSet<'_>, character_sets: &str) -> Vec<NamedWindow> {
    let centers = set.numbers(tags::WINDOW_CENTER);
    let widths = set.numbers(tags::WINDOW_WIDTH);
    let names = set.bytes(tags::WINDOW_CENTER_WIDTH_EXPLANATION);
    let names = text::decode(names.unwrap_or_default(), character_sets);
    let names: Vec<&str> = names.split('\\').map(str::trim).collect();
    let windows = centers.into_iter().zip(widths).enumerate();
    windows
        .filter(|(_, (center, width))| center.is_finite() && width.is_finite() && *width >= 1.0)
        .map(|(number, (center, width))| NamedWindow {
            name: match names.get(number) {
                Some(name) if !name.is_empty() => (*name).to_owned(),
                _ => format!("File {}", number + 1),
            },
            window: Window {
                center: center as f32,
                width: width as f32,
            },
        })
        .collect()
}
