//! Plain pictures: PNG and JPEG.

use std::io::BufReader;
use std::path::Path;

use image::{ImageReader, RgbImage};

use super::archive;
use super::error::ImagingError;

/// Columns and rows, from the header.
///
/// # Errors
/// [`ImagingError::Damaged`] or [`ImagingError::Io`].
pub fn picture_size(path: &Path) -> Result<[usize; 2], ImagingError> {
    let (bytes, _) = archive::open(path)?;
    let reader = ImageReader::new(BufReader::new(bytes))
        .with_guessed_format()
        .map_err(ImagingError::io(path))?;
    let (width, height) = reader
        .into_dimensions()
        .map_err(|error| ImagingError::damaged(path, error.to_string()))?;
    Ok([width as usize, height as usize])
}

/// The picture as 8-bit RGB; transparency is dropped.
///
/// # Errors
/// [`ImagingError::Damaged`] or [`ImagingError::Io`].
pub fn open_picture(path: &Path) -> Result<RgbImage, ImagingError> {
    let (bytes, _) = archive::open(path)?;
    let reader = ImageReader::new(BufReader::new(bytes))
        .with_guessed_format()
        .map_err(ImagingError::io(path))?;
    Ok(reader
        .decode()
        .map_err(|error| ImagingError::damaged(path, error.to_string()))?
        .to_rgb8())
}
