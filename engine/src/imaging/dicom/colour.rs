//! Colour frames as RGB: RGB, YBR_FULL and palettes.

use image::RgbImage;

use super::matrix::Image;
use super::pixels::Samples;
use crate::imaging::volume::Voxels;

/// A colour frame as 8-bit RGB. Nothing if the samples are fewer than the size says.
pub fn rgb(samples: &Samples, image: &Image) -> Option<RgbImage> {
    let eight_bit = |sample: usize| -> u8 {
        let at = sample * samples.bytes_each;
        let bytes = samples.bytes.get(at..at + samples.bytes_each);
        let bytes = bytes.unwrap_or_default().iter();
        let fold = |value: u32, byte: &u8| value << 8 | u32::from(*byte);
        let value = if samples.big_endian {
            bytes.fold(0, fold)
        } else {
            bytes.rev().fold(0, fold)
        };
        let surplus = image.bits_stored.saturating_sub(8);
        (value >> surplus).min(255) as u8
    };
    let (columns, rows) = (image.columns, image.rows);
    // YBR_RCT and YBR_ICT are colour transforms inside JPEG 2000, undone by its decoder.
    let ybr = image.photometric.starts_with("YBR_FULL");
    let mut bytes = Vec::with_capacity(columns * rows * 3);
    for pixel in 0..columns * rows {
        let [a, b, c] = [0, 1, 2].map(|sample| eight_bit(pixel * 3 + sample));
        bytes.extend(if ybr { from_ybr(a, b, c) } else { [a, b, c] });
    }
    RgbImage::from_raw(columns as u32, rows as u32, bytes)
}

/// The inverse of PS3.3 C.7.6.3.1.2's YBR_FULL.
fn from_ybr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [
        y + 1.402 * cr,
        y - 0.344_136 * cb - 0.714_136 * cr,
        y + 1.772 * cb,
    ]
    .map(|level| level.round().clamp(0.0, 255.0) as u8)
}

/// Indices through the palette, its upper 8 bits.
pub fn from_palette(indices: &Voxels, image: &Image) -> Option<RgbImage> {
    let palette = image.palette.as_ref()?;
    let levels = palette.each_ref().map(|lut| {
        // Some writers declare 16 bits and fill only 8 of them.
        let wide = lut.entries.iter().any(|entry| *entry > 255);
        let surplus = if wide { lut.bits.saturating_sub(8) } else { 0 };
        move |stored: i64| (lut.look_up(stored) >> surplus).min(255) as u8
    });
    let bytes = (0..indices.len())
        .flat_map(|index| {
            let stored = indices.get(index) as i64;
            levels.each_ref().map(|level| level(stored))
        })
        .collect();
    RgbImage::from_raw(image.columns as u32, image.rows as u32, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.3 C.7.6.3.1.2: pure red is Y 76, Cb 85, Cr 255 (rounded).
    #[test]
    fn ybr_full_gives_red_and_grey_back() {
        assert_eq!(from_ybr(76, 85, 255), [254, 0, 0]);
        assert_eq!(from_ybr(128, 128, 128), [128, 128, 128]);
    }
}
