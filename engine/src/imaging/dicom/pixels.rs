//! Frames of a DICOM file as stored values, whatever their transfer syntax.
//!
//! Everything that decides the size of a buffer is checked before the buffer exists.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use dicom_dictionary_std::tags;

use super::header::{Header, read_header};
use super::matrix::Image;
use super::packing::{Packing, packing_of};
use super::parser::fragments;
use super::source::{Source, damaged};
use super::{codec, jpeg, rle};
use crate::imaging::error::ImagingError;
use crate::imaging::memory::check_fits;
use crate::imaging::volume::Voxels;

/// What a frame begins with.
const FRAME_STARTS: [&[u8]; 3] = [&[0xFF, 0xD8], &[0xFF, 0x4F, 0xFF, 0x51], b"\0\0\0\x0CjP  "];

/// A file whose frames can be decoded.
pub struct FrameReader {
    /// Its header.
    pub header: Header,
    source: Source,
    packing: Packing,
    /// Where the fragments of each frame are in the file, once they were looked for.
    fragments: Option<Vec<Vec<Range<usize>>>>,
}

/// Samples of one frame, pixel after pixel.
pub struct Samples {
    /// `rows * columns * samples` values of `bytes_each` bytes.
    pub bytes: Vec<u8>,
    /// 1, 2, 4 or 8.
    pub bytes_each: usize,
    /// Most significant byte first.
    pub big_endian: bool,
}

impl FrameReader {
    /// Opens a file and checks that its pixels can be decoded here.
    ///
    /// # Errors
    /// Every [`ImagingError`] about a file.
    pub fn open(path: &Path) -> Result<Self, ImagingError> {
        let mut source = Source::open(path)?;
        let header = read_header(&mut source)?;
        let packing = packing_of(path, &header)?;
        Ok(Self {
            header,
            source,
            packing,
            fragments: None,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// The stored values of a grey frame: bits above Bits Stored removed, signs extended.
    ///
    /// # Errors
    /// [`ImagingError::Damaged`] or [`ImagingError::Unsupported`].
    pub fn stored_values(&mut self, frame: usize) -> Result<Voxels, ImagingError> {
        let samples = self.samples(frame)?;
        let image = &self.header.image;
        match self.header.pixels.tag {
            tags::FLOAT_PIXEL_DATA => Ok(Voxels::F32(convert(
                &samples,
                f32::from_le_bytes,
                f32::from_be_bytes,
            ))),
            tags::DOUBLE_FLOAT_PIXEL_DATA => {
                let wide = convert(&samples, f64::from_le_bytes, f64::from_be_bytes);
                Ok(Voxels::F32(wide.into_iter().map(|x| x as f32).collect()))
            }
            _ => Ok(stored(&samples, image)),
        }
    }

    /// The samples of one frame as they come out of the decoder.
    ///
    /// # Errors
    /// [`ImagingError::Damaged`] or [`ImagingError::Unsupported`].
    pub fn samples(&mut self, frame: usize) -> Result<Samples, ImagingError> {
        if frame >= self.header.image.frames {
            let what = format!("it has no frame {}", frame + 1);
            return Err(ImagingError::damaged(self.source.path(), what));
        }
        match self.packing {
            Packing::Native => self.native_samples(frame),
            Packing::Rle | Packing::Jpeg | Packing::Codec => self.decoded_samples(frame),
        }
    }

    /// Frames that the file holds. A compressed file may be cut behind some of the frames that its header promises.
    ///
    /// # Errors
    /// [`ImagingError::Damaged`] or [`ImagingError::Io`].
    pub fn frames_there(&mut self) -> Result<usize, ImagingError> {
        match self.packing {
            Packing::Native => Ok(self.header.image.frames),
            _ => Ok(self.frame_fragments()?.len()),
        }
    }

    fn native_samples(&mut self, frame: usize) -> Result<Samples, ImagingError> {
        let image = self.header.image.clone();
        let bits = image.native_frame_bits();
        let first_bit = bits * frame;
        if image.bits_allocated == 1 {
            // Frames follow each other without padding, the first pixel in the lowest bit (PS3.5 8.1.1).
            let bytes = self.native_bytes(first_bit / 8, (first_bit % 8 + bits).div_ceil(8))?;
            let bit = |index: usize| {
                let at = first_bit % 8 + index;
                bytes.get(at / 8).map_or(0, |byte| byte >> (at % 8) & 1)
            };
            return Ok(Samples {
                bytes: (0..bits).map(bit).collect(),
                bytes_each: 1,
                big_endian: false,
            });
        }
        let mut bytes = self.native_bytes(first_bit / 8, bits / 8)?;
        let bytes_each = image.bits_allocated as usize / 8;
        if image.subsampled {
            bytes = spread_422(&bytes);
        } else if image.samples > 1 && image.planar {
            bytes = interleaved(&bytes, image.samples, bytes_each);
        }
        Ok(Samples {
            bytes,
            bytes_each,
            big_endian: self.source.big_endian(),
        })
    }

    /// Bytes `from..from + length` of the pixel data. Samples of up to 8 bits in big-endian words of 16 come out in
    /// their order (PS3.5 8.1.1): words are whole, so they may begin before the bytes and end behind them.
    fn native_bytes(&mut self, from: usize, length: usize) -> Result<Vec<u8>, ImagingError> {
        let pixels = self.header.pixels;
        let in_words = self.header.image.bits_allocated <= 8
            && self.source.big_endian()
            && pixels.vr == dicom_core::VR::OW;
        if !in_words {
            return self.source.range(pixels.offset + from, length);
        }
        let (start, end) = (from & !1, from + length);
        let whole = end
            .next_multiple_of(2)
            .min(pixels.length.unwrap_or(end).max(end));
        let mut bytes = self.source.range(pixels.offset + start, whole - start)?;
        for word in bytes.as_chunks_mut::<2>().0 {
            word.swap(0, 1);
        }
        bytes.truncate(end - start);
        Ok(bytes.split_off(from - start))
    }

    /// Where the fragments of the frames are that the file holds.
    fn frame_fragments(&mut self) -> Result<&[Vec<Range<usize>>], ImagingError> {
        if self.fragments.is_none() {
            let path = self.source.path().to_owned();
            let (offset, frames) = (self.header.pixels.offset, self.header.image.frames);
            let bytes = self.source.all()?;
            let (offsets, fragments) =
                fragments(bytes, offset).map_err(|broken| damaged(&path, broken))?;
            let each_a_frame = self.packing == Packing::Rle;
            let divided = divided(bytes, &offsets, &fragments, frames, each_a_frame);
            let divided = divided.ok_or_else(|| {
                let what = format!(
                    "its {} fragments do not divide into {frames} frames",
                    fragments.len(),
                );
                ImagingError::damaged(&path, what)
            })?;
            self.fragments = Some(divided);
        }
        Ok(self.fragments.as_deref().unwrap_or_default())
    }

    fn decoded_samples(&mut self, frame: usize) -> Result<Samples, ImagingError> {
        let path = self.source.path().to_owned();
        let image = self.header.image.clone();
        let fragments = self.frame_fragments()?;
        let there = fragments.len();
        let Some(fragments) = fragments.get(frame).cloned() else {
            let what = format!("it ends behind {there} of {} frames", image.frames);
            return Err(ImagingError::damaged(&path, what));
        };
        let bytes = self.source.all()?;
        let parts = fragments.into_iter().filter_map(|range| bytes.get(range));
        let compressed = parts.collect::<Vec<_>>().concat();
        let one_frame = Image {
            frames: 1,
            ..image.clone()
        };
        if !one_frame.fits_compressed(compressed.len() as u64 + 8) {
            let what = format!(
                "{} compressed bytes cannot hold {} x {} pixels",
                compressed.len(),
                image.columns,
                image.rows
            );
            return Err(ImagingError::damaged(&path, what));
        }
        // Decoders hold up to three words of 4 bytes for a sample.
        check_fits(image.frame_samples() as u64 * 12, &path)?;
        let decoded = match self.packing {
            Packing::Rle => rle::decode(&compressed, &image),
            Packing::Codec => codec::decode(&compressed, &image, &self.header.transfer_syntax),
            Packing::Native | Packing::Jpeg => jpeg::decode(&compressed, &image),
        };
        decoded.map_err(|refusal| match refusal {
            Refusal::Damaged(what) => ImagingError::damaged(&path, what),
            Refusal::Unsupported(what) => ImagingError::unsupported(&path, what),
        })
    }
}

/// Why a frame was not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes break their format.
    Damaged(String),
    /// They are sound, but not for us.
    Unsupported(String),
}

/// The fragments of each frame, by the offset table where it is needed (PS3.5 A.4). Where the file ends too early,
/// of the frames that are there. `each_a_frame` says that no frame has several (PS3.5 A.4.2).
fn divided(
    bytes: &[u8],
    offsets: &[u32],
    fragments: &[Range<usize>],
    frames: usize,
    each_a_frame: bool,
) -> Option<Vec<Vec<Range<usize>>>> {
    let first = fragments.first()?;
    if frames == 1 {
        return Some(vec![fragments.to_vec()]);
    }
    if fragments.len() == frames || (each_a_frame && fragments.len() < frames) {
        let each = fragments.iter().map(|fragment| vec![fragment.clone()]);
        return Some(each.collect());
    }
    let table: BTreeSet<usize> = offsets.iter().map(|offset| *offset as usize).collect();
    let starts_frame = |fragment: &Range<usize>| {
        if offsets.len() == frames {
            // An offset is that of an item, counted from the first one.
            return table.contains(&(fragment.start - first.start));
        }
        // No table: a JPEG or JPEG-LS frame begins with SOI, a JPEG 2000 frame with SOC and SIZ or as a JP2 file.
        let fragment = bytes.get(fragment.clone()).unwrap_or_default();
        FRAME_STARTS.iter().any(|start| fragment.starts_with(start))
    };
    let mut divided: Vec<Vec<Range<usize>>> = Vec::new();
    for fragment in fragments {
        if starts_frame(fragment) {
            divided.push(Vec::new());
        }
        // What stands before the first frame belongs to none.
        if let Some(frame) = divided.last_mut() {
            frame.push(fragment.clone());
        }
    }
    (1..=frames).contains(&divided.len()).then_some(divided)
}

/// Y1 Y2 Cb Cr to Y1 Cb Cr Y2 Cb Cr (PS3.3 C.7.6.3.1.2).
fn spread_422(bytes: &[u8]) -> Vec<u8> {
    let pairs = bytes.as_chunks::<4>().0;
    pairs
        .iter()
        .flat_map(|[y1, y2, cb, cr]| [*y1, *cb, *cr, *y2, *cb, *cr])
        .collect()
}

/// Planes to pixels.
pub fn interleaved(planes: &[u8], samples: usize, bytes_each: usize) -> Vec<u8> {
    let plane = planes.len() / samples.max(1);
    let pixels = plane / bytes_each.max(1);
    let mut bytes = Vec::with_capacity(planes.len());
    for pixel in 0..pixels {
        for sample in 0..samples {
            let at = sample * plane + pixel * bytes_each;
            bytes.extend_from_slice(planes.get(at..at + bytes_each).unwrap_or_default());
        }
    }
    bytes
}

fn convert<const N: usize, T>(
    samples: &Samples,
    from_le: fn([u8; N]) -> T,
    from_be: fn([u8; N]) -> T,
) -> Vec<T> {
    let words = samples.bytes.as_chunks::<N>().0.iter();
    if samples.big_endian {
        words.map(|word| from_be(*word)).collect()
    } else {
        words.map(|word| from_le(*word)).collect()
    }
}

/// The stored values one after another, whatever their width.
pub fn stored_integers<'a>(
    samples: &'a Samples,
    image: &Image,
) -> impl Iterator<Item = i64> + use<'a> {
    let width = samples.bytes_each as u32 * 8;
    let stored = image.bits_stored.min(width);
    let high_bit = image.high_bit.clamp(stored - 1, width - 1);
    let (up, down) = (63 - high_bit, 64 - stored);
    let (signed, big_endian) = (image.signed, samples.big_endian);
    let word_of = move |word: &[u8]| {
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        if big_endian {
            word.iter().fold(0, fold)
        } else {
            word.iter().rev().fold(0, fold)
        }
    };
    let words = samples.bytes.chunks_exact(samples.bytes_each.max(1));
    words.map(move |word| {
        let shifted = word_of(word) << up;
        if signed {
            shifted as i64 >> down
        } else {
            (shifted >> down) as i64
        }
    })
}

/// Integers with only the stored bits: shifted up so that the high bit is the sign, and back (PS3.5 8.1.1).
fn stored(samples: &Samples, image: &Image) -> Voxels {
    let width = samples.bytes_each as u32 * 8;
    let stored = image.bits_stored.min(width);
    let high_bit = image.high_bit.clamp(stored - 1, width - 1);
    let (up, down) = (width - 1 - high_bit, width - stored);
    match (samples.bytes_each, image.signed) {
        (1, _) if image.bits_allocated == 1 => Voxels::U8(samples.bytes.clone()),
        (1, false) => Voxels::U8(samples.bytes.iter().map(|x| (x << up) >> down).collect()),
        (1, true) => {
            let signed = |x: &u8| i16::from(((x << up) as i8) >> down);
            Voxels::I16(samples.bytes.iter().map(signed).collect())
        }
        (2, false) => {
            let mut values = convert(samples, u16::from_le_bytes, u16::from_be_bytes);
            if (up, down) != (0, 0) {
                values.iter_mut().for_each(|x| *x = (*x << up) >> down);
            }
            Voxels::U16(values)
        }
        (2, true) => {
            let mut values = convert(samples, i16::from_le_bytes, i16::from_be_bytes);
            if (up, down) != (0, 0) {
                values.iter_mut().for_each(|x| *x = (*x << up) >> down);
            }
            Voxels::I16(values)
        }
        (_, false) => {
            let values = convert(samples, u32::from_le_bytes, u32::from_be_bytes);
            let values: Vec<u32> = values.into_iter().map(|x| (x << up) >> down).collect();
            match values.iter().all(|x| i32::try_from(*x).is_ok()) {
                true => Voxels::I32(values.into_iter().map(|x| x as i32).collect()),
                false => Voxels::F32(values.into_iter().map(|x| x as f32).collect()),
            }
        }
        (_, true) => {
            let values = convert(samples, i32::from_le_bytes, i32::from_be_bytes);
            Voxels::I32(values.into_iter().map(|x| (x << up) >> down).collect())
        }
    }
}
