//! JPEG baseline and lossless frames (ISO 10918-1) through `jpeg-decoder`, those of 12 bits through [`super::jpeg_extended`]. The
//! frame header is compared with the DICOM header first, and what cannot be decoded is refused by name.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

use super::jpeg_extended;
use super::matrix::Image;
use super::pixels::{Refusal, Samples};

/// Decodes one frame to interleaved samples, in the colour space they are stored in.
///
/// # Errors
/// [`Refusal`].
pub fn decode(frame: &[u8], image: &Image) -> Result<Samples, Refusal> {
    let damaged = |what: String| Refusal::Damaged(format!("its JPEG data {what}"));
    let Some(head) = frame_header(frame) else {
        return Err(damaged("has no frame header".to_owned()));
    };
    match (head.process, head.precision) {
        (0xC0..=0xC2, 8) | (0xC3, 2..=16) | (0xC1, 12) => {}
        (process, bits) => {
            return Err(Refusal::Unsupported(format!(
                "JPEG process SOF{} with {bits} bits",
                process - 0xC0
            )));
        }
    }
    let size = (head.columns, head.rows, head.components);
    if size != (image.columns, image.rows, image.samples) {
        return Err(damaged(format!(
            "is {} x {} with {} components where the header says {} x {} with {}",
            size.0, size.1, size.2, image.columns, image.rows, image.samples
        )));
    }
    let bytes_each = if head.precision > 8 { 2 } else { 1 };
    if bytes_each * 8 > image.bits_allocated as usize {
        return Err(damaged(format!(
            "has {} bits where {} are allocated",
            head.precision, image.bits_allocated
        )));
    }
    if (head.process, head.precision) == (0xC1, 12) {
        let size = [head.rows, head.columns, head.components];
        let samples = jpeg_extended::decode(frame, size).map_err(damaged)?;
        return Ok(Samples {
            bytes: samples.into_iter().flat_map(u16::to_le_bytes).collect(),
            bytes_each,
            big_endian: false,
        });
    }
    let expected = image.frame_samples() * bytes_each;
    // The crate is not ours: if it panics, the file is damaged and the program goes on.
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let mut decoder = Decoder::new(frame);
        decoder.set_max_decoding_buffer_size(expected.saturating_mul(4).max(1 << 20));
        if image.samples == 3 {
            // "As if RGB" interleaves without converting; `None` writes planes, and panics on padded ones.
            decoder.set_color_transform(ColorTransform::RGB);
        }
        let bytes = decoder.decode();
        (bytes, decoder.info().map(|info| info.pixel_format))
    }));
    let (bytes, format) = match decoded {
        Ok((Ok(bytes), format)) => (bytes, format),
        Ok((Err(jpeg_decoder::Error::Unsupported(feature)), _)) => {
            return Err(Refusal::Unsupported(format!("JPEG with {feature:?}")));
        }
        Ok((Err(error), _)) => return Err(damaged(format!("cannot be decoded: {error}"))),
        Err(_) => return Err(damaged("cannot be decoded".to_owned())),
    };
    if bytes.len() != expected {
        return Err(damaged(format!(
            "gives {} bytes where {expected} are needed",
            bytes.len()
        )));
    }
    Ok(Samples {
        bytes,
        bytes_each,
        // The crate gives 16-bit samples in the machine's own order.
        big_endian: format == Some(PixelFormat::L16) && cfg!(target_endian = "big"),
    })
}

struct FrameHeader {
    process: u8,
    precision: u8,
    rows: usize,
    columns: usize,
    components: usize,
}

/// The first SOF segment (ISO 10918-1 B.2.2).
fn frame_header(bytes: &[u8]) -> Option<FrameHeader> {
    let mut at = bytes.windows(2).position(|pair| pair == [0xFF, 0xD8])? + 2;
    loop {
        let marker = *bytes.get(at + 1)?;
        if bytes.get(at) != Some(&0xFF) {
            return None;
        }
        if marker == 0xFF {
            at += 1; // fill bytes
            continue;
        }
        let length = usize::from(u16::from_be_bytes(*bytes.get(at + 2..)?.first_chunk()?));
        let is_sof = matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC);
        if is_sof {
            let [precision, r1, r2, c1, c2, components] = *bytes.get(at + 4..)?.first_chunk()?;
            return Some(FrameHeader {
                process: marker,
                precision,
                rows: usize::from(u16::from_be_bytes([r1, r2])),
                columns: usize::from(u16::from_be_bytes([c1, c2])),
                components: usize::from(components),
            });
        }
        at += 2 + length.max(2);
    }
}
