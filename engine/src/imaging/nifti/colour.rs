//! Colour voxels: shown as a picture, because a volume is grey.

use image::RgbImage;

/// `NIFTI_TYPE_RGB24`.
pub const RGB24: i16 = 128;

/// `NIFTI_TYPE_RGBA32`.
pub const RGBA32: i16 = 2304;

/// The slice in the middle of a volume of `size`. Nothing if there are fewer voxels than that.
pub fn middle_picture(voxels: &[[u8; 3]], [columns, rows, slices]: [usize; 3]) -> Option<RgbImage> {
    let area = columns * rows;
    let start = area * (slices / 2);
    let slice = voxels.get(start..start + area)?;
    RgbImage::from_raw(columns as u32, rows as u32, slice.concat())
}
