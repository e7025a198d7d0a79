//! A slice as the picture a person sees and the model gets. The same descriptor always gives the same pixels, and
//! their hash is the evidence of what was looked at.

use image::{Rgb, RgbImage};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::ImagingError;
use super::reslice::{Axes, Slab};
use super::volume::{Plane, Slice, Volume};
use super::window::{VoiFunction, Window};
use crate::hex::hex;

/// What was looked at: enough to draw it again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewDescriptor {
    /// The plane.
    pub plane: Plane,
    /// The slice, from 0.
    pub index: usize,
    /// The window.
    pub window: Window,
    /// Black and white exchanged (on top of MONOCHROME1).
    #[serde(default)]
    pub invert: bool,
    /// Along the voxels, or along the patient's axes.
    #[serde(default, skip_serializing_if = "is_acquired")]
    pub axes: Axes,
    /// Several slices seen as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slab: Option<Slab>,
}

fn is_acquired(axes: &Axes) -> bool {
    *axes == Axes::Acquired
}

impl ViewDescriptor {
    /// One slice along the voxels.
    pub fn new(plane: Plane, index: usize, window: Window) -> Self {
        Self {
            plane,
            index,
            window,
            invert: false,
            axes: Axes::Acquired,
            slab: None,
        }
    }
}

/// The picture of one slice: windowed to 8 bit, grey, with square pixels as small as the finer spacing.
///
/// # Errors
/// [`ImagingError::NoSlice`].
pub fn render(volume: &Volume, view: &ViewDescriptor) -> Result<RgbImage, ImagingError> {
    let slice = volume.cut(view)?;
    Ok(picture(&slice, view.window, view.invert != volume.inverted))
}

/// The picture of samples: their grey levels, with square pixels.
pub fn picture(slice: &Slice, window: Window, invert: bool) -> RgbImage {
    let grey = grey_levels(slice, window, invert);
    let [width, height] = square_size(slice);
    if [width as usize, height as usize] == [slice.width, slice.height] {
        // Square already: `bilinear` would give the same levels.
        let at = |x: u32, y: u32| y as usize * slice.width + x as usize;
        let level = |x, y| grey.get(at(x, y)).copied().unwrap_or(0);
        return RgbImage::from_fn(width, height, |x, y| Rgb([level(x, y); 3]));
    }
    RgbImage::from_fn(width, height, |x, y| {
        let at = |position: u32, out: u32, len: usize| {
            let source = (f64::from(position) + 0.5) * len as f64 / f64::from(out) - 0.5;
            source.clamp(0.0, (len - 1) as f64)
        };
        let (sx, sy) = (at(x, width, slice.width), at(y, height, slice.height));
        let level = bilinear(&grey, slice.width, slice.height, sx, sy);
        Rgb([level; 3])
    })
}

/// Grey levels of a slice, row by row. What is not a number is black, whether black and white are exchanged or not.
pub fn grey_levels(slice: &Slice, window: Window, invert: bool) -> Vec<u8> {
    let table = match window.function {
        VoiFunction::Table(number) => slice.voi_tables.get(number),
        _ => None,
    };
    let level = |sample: &f32| {
        let level = table.map_or_else(|| window.apply(*sample), |table| table.apply(*sample));
        if invert && !sample.is_nan() {
            255 - level
        } else {
            level
        }
    };
    slice.samples.iter().map(level).collect()
}

/// Columns and rows of the picture of a slice once its pixels are square.
pub fn square_size(slice: &Slice) -> [u32; 2] {
    let [dx, dy] = slice.spacing_mm;
    let (width, height) = (slice.width as u32, slice.height as u32);
    if dx <= 0.0 || dy <= 0.0 || (dx / dy - 1.0).abs() < 1e-3 {
        return [width, height];
    }
    // No longer than 4096, however thick the slices are.
    let stretch =
        |len: u32, ratio: f64| ((f64::from(len) * ratio).round() as u32).clamp(1, 4096.max(len));
    if dx > dy {
        [stretch(width, dx / dy), height]
    } else {
        [width, stretch(height, dy / dx)]
    }
}

fn bilinear(grey: &[u8], width: usize, height: usize, x: f64, y: f64) -> u8 {
    let (x0, y0) = (x.floor() as usize, y.floor() as usize);
    let (x1, y1) = ((x0 + 1).min(width - 1), (y0 + 1).min(height - 1));
    let (fx, fy) = (x - x0 as f64, y - y0 as f64);
    let at = |x: usize, y: usize| f64::from(grey[y * width + x]);
    let top = at(x0, y0) * (1.0 - fx) + at(x1, y0) * fx;
    let bottom = at(x0, y1) * (1.0 - fx) + at(x1, y1) * fx;
    (top * (1.0 - fy) + bottom * fy).round() as u8
}

/// SHA-256 of the size and the pixels, in hexadecimal.
pub fn picture_hash(image: &RgbImage) -> String {
    let mut hash = Sha256::new();
    hash.update(image.width().to_le_bytes());
    hash.update(image.height().to_le_bytes());
    hash.update(image.as_raw());
    hex(&hash.finalize())
}
