//! Colour voxels: shown as pictures, because a volume is grey.

use image::RgbImage;

use crate::imaging::frames::Frames;

/// `NIFTI_TYPE_RGB24`.
pub const RGB24: i16 = 128;

/// `NIFTI_TYPE_RGBA32`.
pub const RGBA32: i16 = 2304;

/// The slices of a volume of `size`. Nothing if there are fewer voxels than that.
pub fn slices(voxels: &[[u8; 3]], [columns, rows, slices]: [usize; 3]) -> Option<Frames> {
    let area = columns * rows;
    let picture = |slice: usize| {
        let voxels = voxels.get(area * slice..area * (slice + 1))?;
        RgbImage::from_raw(columns as u32, rows as u32, voxels.concat())
    };
    let pictures: Option<Vec<RgbImage>> = (0..slices).map(picture).collect();
    Frames::new(pictures?)
}
