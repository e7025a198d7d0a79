//! RLE Lossless (PS3.5 annex G): one PackBits segment for each byte of each sample.

use super::matrix::Image;
use super::pixels::{Refusal, Samples};

/// Decodes one frame to interleaved little-endian samples.
///
/// # Errors
/// [`Refusal::Damaged`]: the segments do not make a frame of this size.
pub fn decode(frame: &[u8], image: &Image) -> Result<Samples, Refusal> {
    let damaged = |what: String| Refusal::Damaged(format!("its RLE data {what}"));
    let header: Vec<usize> = frame
        .as_chunks::<4>()
        .0
        .iter()
        .take(16)
        .map(|word| u32::from_le_bytes(*word) as usize)
        .collect();
    let bytes_each = image.bits_allocated as usize / 8;
    let segments = image.samples * bytes_each;
    if header.len() < 16 || header.first() != Some(&segments) || segments > 15 {
        return Err(damaged(format!("has not the {segments} segments it needs")));
    }
    let pixels = image.rows * image.columns;
    let mut bytes = vec![0; image.frame_samples() * bytes_each];
    for number in 0..segments {
        let start = header.get(number + 1).copied().unwrap_or(0);
        let end = header
            .get(number + 2)
            .copied()
            .filter(|_| number + 1 < segments)
            .unwrap_or(frame.len());
        let segment = frame
            .get(start..end)
            .filter(|_| start >= 64)
            .ok_or_else(|| damaged("has a segment outside of it".to_owned()))?;
        // Segments go from the most significant byte of the first sample on.
        let (sample, byte) = (number / bytes_each, bytes_each - 1 - number % bytes_each);
        let places = bytes
            .iter_mut()
            .skip(sample * bytes_each + byte)
            .step_by(segments);
        let written = unpack(segment, places);
        if written < pixels {
            return Err(damaged(format!("ends after {written} of {pixels} pixels")));
        }
    }
    Ok(Samples {
        bytes,
        bytes_each,
        big_endian: false,
    })
}

/// PackBits: a count n >= 0 and n + 1 bytes as they are, or n < 0 and one byte 1 - n times; -128 means nothing.
fn unpack<'a>(packed: &[u8], mut places: impl Iterator<Item = &'a mut u8>) -> usize {
    let mut written = 0;
    let mut packed = packed.iter().copied();
    while let Some(count) = packed.next() {
        let count = count as i8;
        if count >= 0 {
            for byte in packed.by_ref().take(count as usize + 1) {
                let Some(place) = places.next() else {
                    return written;
                };
                *place = byte;
                written += 1;
            }
        } else if count != -128 {
            let Some(byte) = packed.next() else {
                return written;
            };
            for _ in 0..=count.unsigned_abs() {
                let Some(place) = places.next() else {
                    return written;
                };
                *place = byte;
                written += 1;
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Apple's technical note 1023, which PS3.5 annex G follows.
    #[test]
    fn packbits_gives_the_bytes_of_the_classic_example() {
        let packed = [
            0xFE, 0xAA, 0x02, 0x80, 0x00, 0x2A, 0xFD, 0xAA, 0x03, 0x80, 0x00, 0x2A, 0x22, 0xF7,
            0xAA,
        ];
        let mut bytes = [0_u8; 24];
        assert_eq!(unpack(&packed, bytes.iter_mut()), 24);
        assert_eq!(bytes[..7], [0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0xAA]);
        assert_eq!(bytes[14..], [0xAA; 10]);
        let mut short = [0_u8; 4];
        assert_eq!(unpack(&packed, short.iter_mut()), 4);
        assert_eq!(unpack(&[0x05, 1, 2], bytes.iter_mut()), 2);
    }
}
