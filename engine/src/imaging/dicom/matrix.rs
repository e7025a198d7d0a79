//! The pixel matrix of a DICOM file (PS3.3 C.7.6.3), checked against the bytes there are, and its look-up tables.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::dataset::DataSet;
use super::parser::PixelElement;
use super::segmented;
use super::source::Source;
use crate::imaging::error::ImagingError;

/// Frames of one file, at most.
const MAX_FRAMES: i64 = 65_536;

/// Samples that a compressed byte can stand for, at most, before a size is taken for a lie. Constant areas give 64 in
/// RLE and some thousand in progressive JPEG.
const MAX_PIXELS_PER_BYTE: u64 = 8192;

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
    /// Two pixels share their chroma (`_422`) where the frame is not compressed.
    pub subsampled: bool,
    /// The lowest and the highest stored value that stand for no image (C.7.5.1.1.2).
    pub padding: Option<[f64; 2]>,
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

/// The pixel matrix that a data set describes.
///
/// # Errors
/// [`ImagingError::Damaged`] when it says nothing, or more than the file holds.
pub fn image_of(
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
    let mut image = Image {
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
        subsampled: samples == 3
            && ["YBR_FULL_422", "YBR_PARTIAL_422"].contains(&photometric.as_str()),
        padding: padding_of(set, pixels.tag, signed),
        photometric,
    };
    // Some writers name a subsampled interpretation and write every sample: the length says which.
    if image.subsampled {
        let whole = Image {
            subsampled: false,
            ..image.clone()
        };
        let needed = whole.native_bytes();
        image.subsampled = pixels
            .length
            .zip(needed)
            .is_none_or(|(length, needed)| length < needed);
    }
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
        if self.subsampled { bits / 3 * 2 } else { bits }
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

/// A table of a look-up sequence or of a palette, unless it has fewer entries than it says.
pub fn lut_of(set: &DataSet<'_>, descriptor: Tag, data: Tag, signed: bool) -> Option<Lut> {
    let (count, first, bits) = descriptor_of(set, descriptor, signed)?;
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
        bits,
        entries,
    })
}

/// A table that is written in segments.
fn segmented_lut_of(set: &DataSet<'_>, descriptor: Tag, data: Tag, signed: bool) -> Option<Lut> {
    let (count, first, bits) = descriptor_of(set, descriptor, signed)?;
    let wide = bits > 8;
    let values: Vec<u16> = if wide {
        set.numbers(data)
            .iter()
            .map(|number| *number as u16)
            .collect()
    } else {
        let bytes = set.bytes(data)?.iter();
        bytes.map(|byte| u16::from(*byte)).collect()
    };
    let entries = segmented::expanded(&values, wide, count)?;
    Some(Lut {
        first,
        bits,
        entries,
    })
}

/// Number of entries, the stored value of the first one, and the bits of an entry.
fn descriptor_of(set: &DataSet<'_>, descriptor: Tag, signed: bool) -> Option<(usize, i64, u32)> {
    let [count, first, bits] = *set.numbers(descriptor).first_chunk::<3>()?;
    let count = if count == 0.0 { 65_536 } else { count as usize };
    // The first value has the sign of the pixels, whatever its VR says (PS3.3 C.11.1.1.1).
    let first = match first as i64 {
        first if signed && first > 32_767 => first - 65_536,
        first => first,
    };
    Some((count, first, (bits as u32).clamp(1, 16)))
}

/// Pixel Padding Value and Range Limit (C.7.5.1.1.2), with the sign of the pixels, whatever their VR says.
fn padding_of(set: &DataSet<'_>, pixels: Tag, signed: bool) -> Option<[f64; 2]> {
    let [value, limit] = match pixels {
        tags::FLOAT_PIXEL_DATA => [
            tags::FLOAT_PIXEL_PADDING_VALUE,
            tags::FLOAT_PIXEL_PADDING_RANGE_LIMIT,
        ],
        tags::DOUBLE_FLOAT_PIXEL_DATA => [
            tags::DOUBLE_FLOAT_PIXEL_PADDING_VALUE,
            tags::DOUBLE_FLOAT_PIXEL_PADDING_RANGE_LIMIT,
        ],
        _ => [tags::PIXEL_PADDING_VALUE, tags::PIXEL_PADDING_RANGE_LIMIT],
    };
    let with_sign = |number: f64| match number {
        number if pixels != tags::PIXEL_DATA => number,
        number if signed && (32_768.0..65_536.0).contains(&number) => number - 65_536.0,
        number if !signed && (-32_768.0..0.0).contains(&number) => number + 65_536.0,
        number => number,
    };
    let value = with_sign(set.number(value)?);
    let limit = set.number(limit).map_or(value, with_sign);
    Some([value.min(limit), value.max(limit)])
}

/// Red, green and blue; each as it is, or in segments (PS3.3 C.7.9.2).
fn palette_of(set: &DataSet<'_>, signed: bool) -> Option<Palette> {
    let lut = |descriptor: Tag, data: Tag, segments: Tag| {
        lut_of(set, descriptor, data, signed)
            .or_else(|| segmented_lut_of(set, descriptor, segments, signed))
    };
    Some([
        lut(
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
        lut(
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
        lut(
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
    ])
}
