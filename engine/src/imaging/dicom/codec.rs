//! JPEG-LS, JPEG 2000 and High-Throughput JPEG 2000 frames, through the codecs of dicom-rs (CharLS and OpenJPEG).
//!
//! Those codecs size their buffers by the compressed header. It is read here first and must agree with the DICOM
//! header, so that no file decides how much memory is taken.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom_dictionary_std::uids;
use dicom_encoding::adapters::{PixelDataObject, PixelDataReader, RawPixelData};
use dicom_encoding::{Codec, TransferSyntaxIndex};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use super::matrix::Image;
use super::pixels::{Refusal, Samples, interleaved};

/// Decodes one frame to interleaved samples, little endian.
///
/// # Errors
/// [`Refusal`].
pub fn decode(frame: &[u8], image: &Image, syntax: &str) -> Result<Samples, Refusal> {
    let jpeg_ls = [uids::JPEGLS_LOSSLESS, uids::JPEGLS_NEAR_LOSSLESS].contains(&syntax);
    let (name, frame, head) = if jpeg_ls {
        ("JPEG-LS", frame, jpeg_ls_head(frame))
    } else {
        let codestream = codestream(frame);
        ("JPEG 2000", codestream, jpeg_2000_head(codestream))
    };
    let damaged = |what: String| Refusal::Damaged(format!("its {name} data {what}"));
    let head = head.ok_or_else(|| damaged("has no header".to_owned()))?;
    check(&head, image).map_err(damaged)?;
    if jpeg_ls && !ends_with_marker(frame) {
        // CharLS counts zeros behind the end for seconds.
        return Err(damaged("ends before its end marker".to_owned()));
    }
    if head.subsampled || head.bits > 16 {
        return Err(Refusal::Unsupported(format!(
            "{name} with {} bits for a sample or with components of different sizes",
            head.bits
        )));
    }
    // CharLS writes a byte for up to 8 bits; the OpenJPEG adapter writes what is asked for, with its sign.
    let wide = if jpeg_ls {
        head.bits
    } else {
        image.bits_allocated
    } > 8;
    let bytes_each = if wide { 2 } else { 1 };
    let one = OneFrame {
        bytes: frame,
        image,
        syntax,
        bits_allocated: 8 * bytes_each as u16,
    };
    let registered = TransferSyntaxRegistry
        .get(syntax)
        .map(|syntax| syntax.codec());
    let Some(Codec::EncapsulatedPixelData(Some(reader), _)) = registered else {
        return Err(Refusal::Unsupported(format!("{name} ({syntax})")));
    };
    let mut bytes = decode_frame(reader.as_ref(), &one).map_err(damaged)?;
    let expected = image.frame_samples() * bytes_each;
    if bytes.len() != expected {
        return Err(damaged(format!(
            "gives {} bytes where {expected} are needed",
            bytes.len()
        )));
    }
    if head.planes && image.samples > 1 {
        bytes = interleaved(&bytes, image.samples, bytes_each);
    }
    Ok(Samples {
        bytes,
        bytes_each,
        big_endian: false,
    })
}

/// The codec is not ours: if it panics, the file is damaged and the program goes on.
fn decode_frame(reader: &dyn PixelDataReader, one: &OneFrame<'_>) -> Result<Vec<u8>, String> {
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let mut bytes = Vec::new();
        reader.decode_frame(one, 0, &mut bytes).map(|()| bytes)
    }));
    match decoded {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(format!("cannot be decoded: {error}")),
        Err(_) => Err("cannot be decoded".to_owned()),
    }
}

/// What a compressed header says.
struct Head {
    columns: usize,
    rows: usize,
    components: usize,
    bits: u32,
    /// Not all components have a sample for each pixel.
    subsampled: bool,
    /// Decoded component after component.
    planes: bool,
    /// Tiles, each with a header of 14 bytes at least (JPEG 2000).
    tiles: u64,
    bytes: u64,
}

/// The compressed header against the DICOM header.
fn check(head: &Head, image: &Image) -> Result<(), String> {
    let size = (head.columns, head.rows, head.components);
    if size != (image.columns, image.rows, image.samples) {
        return Err(format!(
            "is {} x {} with {} components where the header says {} x {} with {}",
            size.0, size.1, size.2, image.columns, image.rows, image.samples
        ));
    }
    if head.bits > image.bits_allocated {
        return Err(format!(
            "has {} bits where {} are allocated",
            head.bits, image.bits_allocated
        ));
    }
    if head.tiles.saturating_mul(14) > head.bytes {
        return Err(format!("of {} bytes has {} tiles", head.bytes, head.tiles));
    }
    Ok(())
}

/// Fields of a header, most significant byte first.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u8(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn u16(&self, at: usize) -> Option<usize> {
        let bytes = *self.0.get(at..)?.first_chunk()?;
        Some(usize::from(u16::from_be_bytes(bytes)))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = *self.0.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(bytes))
    }
}

/// True when EOI (ISO 14495-1 C.1.1) is last, but for padding.
fn ends_with_marker(frame: &[u8]) -> bool {
    let padding = frame.iter().rev().take_while(|byte| **byte == 0).count();
    let unpadded = frame.get(..frame.len() - padding).unwrap_or_default();
    unpadded.ends_with(&[0xFF, 0xD9])
}

/// SOF55 and the first SOS (ISO 14495-1 C.2).
fn jpeg_ls_head(frame: &[u8]) -> Option<Head> {
    let fields = Fields(frame);
    let mut at = 2;
    let mut head: Option<Head> = None;
    if !frame.starts_with(&[0xFF, 0xD8]) {
        return None;
    }
    loop {
        let (lead, marker) = (fields.u8(at)?, fields.u8(at + 1)?);
        match (lead, marker) {
            (0xFF, 0xFF) => {
                at += 1; // fill bytes
                continue;
            }
            (0xFF, 0xF7) => {
                let components = usize::from(fields.u8(at + 9)?);
                let sampling = (0..components).map(|number| fields.u8(at + 11 + 3 * number));
                head = Some(Head {
                    columns: fields.u16(at + 7)?,
                    rows: fields.u16(at + 5)?,
                    components,
                    bits: u32::from(fields.u8(at + 4)?),
                    subsampled: sampling.clone().any(|factors| factors != Some(0x11)),
                    planes: false,
                    tiles: 0,
                    bytes: frame.len() as u64,
                });
            }
            (0xFF, 0xDA) => {
                // Interleave mode 0: each component has its own scan, and its own plane when it is decoded.
                let components = usize::from(fields.u8(at + 4)?);
                let planes = fields.u8(at + 6 + 2 * components)? == 0;
                return head.map(|head| Head { planes, ..head });
            }
            (0xFF, _) => {}
            _ => return None,
        }
        at += 2 + fields.u16(at + 2)?.max(2);
    }
}

/// The codestream inside the boxes of a JP2 file (ISO 15444-1 annex I), which some writers put into DICOM; otherwise
/// the bytes as they are.
fn codestream(frame: &[u8]) -> &[u8] {
    let fields = Fields(frame);
    let mut at = 0;
    if fields.u32(4) != Some(0x6A50_2020) {
        return frame;
    }
    while let (Some(length), Some(kind)) = (fields.u32(at), fields.u32(at + 4)) {
        let end = match length {
            0 => frame.len(),
            length => at.saturating_add(length as usize),
        };
        if kind == 0x6A70_3263 {
            return frame.get(at + 8..end.min(frame.len())).unwrap_or_default();
        }
        if length < 8 && length != 0 {
            break; // lengths of 64 bits are for files of 4 GiB
        }
        at = end;
    }
    frame
}

/// SOC and SIZ (ISO 15444-1 A.5.1).
fn jpeg_2000_head(frame: &[u8]) -> Option<Head> {
    if !frame.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]) {
        return None;
    }
    let fields = Fields(frame);
    let [x1, y1, x0, y0] = [8, 12, 16, 20].map(|at| fields.u32(at));
    let [tile_x, tile_y, first_x, first_y] = [24, 28, 32, 36].map(|at| fields.u32(at));
    let components = fields.u16(40)?;
    let of = |number: usize| -> Option<[u8; 3]> {
        fields.0.get(42 + 3 * number..)?.first_chunk().copied()
    };
    let [depth, _, _] = of(0)?;
    let mut subsampled = false;
    for number in 0..components {
        let [other, dx, dy] = of(number)?;
        subsampled |= (other, dx, dy) != (depth, 1, 1);
    }
    let tiles_along = |end: u32, first: u32, tile: u32| -> Option<u64> {
        let extent = end.checked_sub(first)?;
        (tile > 0).then(|| u64::from(extent.div_ceil(tile)))
    };
    let across = tiles_along(x1?, first_x?, tile_x?)?;
    let down = tiles_along(y1?, first_y?, tile_y?)?;
    Some(Head {
        columns: x1?.checked_sub(x0?)? as usize,
        rows: y1?.checked_sub(y0?)? as usize,
        components,
        bits: u32::from(depth & 0x7F) + 1,
        subsampled,
        planes: false,
        tiles: across.saturating_mul(down),
        bytes: frame.len() as u64,
    })
}

/// One compressed frame, as the codecs of dicom-rs want to see it.
struct OneFrame<'a> {
    bytes: &'a [u8],
    image: &'a Image,
    syntax: &'a str,
    bits_allocated: u16,
}

impl PixelDataObject for OneFrame<'_> {
    fn transfer_syntax_uid(&self) -> &str {
        self.syntax
    }

    fn rows(&self) -> Option<u16> {
        u16::try_from(self.image.rows).ok()
    }

    fn cols(&self) -> Option<u16> {
        u16::try_from(self.image.columns).ok()
    }

    fn samples_per_pixel(&self) -> Option<u16> {
        u16::try_from(self.image.samples).ok()
    }

    fn bits_allocated(&self) -> Option<u16> {
        Some(self.bits_allocated)
    }

    fn bits_stored(&self) -> Option<u16> {
        u16::try_from(self.image.bits_stored).ok()
    }

    fn photometric_interpretation(&self) -> Option<&str> {
        Some(&self.image.photometric)
    }

    fn number_of_frames(&self) -> Option<u32> {
        Some(1)
    }

    fn number_of_fragments(&self) -> Option<u32> {
        Some(1)
    }

    fn fragment(&self, fragment: usize) -> Option<Cow<'_, [u8]>> {
        (fragment == 0).then_some(Cow::Borrowed(self.bytes))
    }

    fn offset_table(&self) -> Option<Cow<'_, [u32]>> {
        None
    }

    fn raw_pixel_data(&self) -> Option<RawPixelData> {
        None
    }

    fn frame_pixel_data(&self, frame: u32) -> Option<Cow<'_, [u8]>> {
        self.fragment(frame as usize)
    }
}
