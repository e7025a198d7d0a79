//! Plain pictures: PNG and JPEG.

use std::io::BufReader;
use std::path::Path;

use image::{ImageFormat, ImageReader, RgbImage};

use super::archive;
use super::error::ImagingError;
use super::frames::Frames;
use super::note::Note;

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
    Ok(decoded(path)?.0)
}

/// The picture as a series of its own, which says when it is a JPEG.
///
/// # Errors
/// As [`open_picture`].
pub fn picture_frames(path: &Path) -> Result<Frames, ImagingError> {
    let (picture, format) = decoded(path)?;
    let mut frames = Frames::one(picture);
    let lossy = format == Some(ImageFormat::Jpeg);
    frames.notes.extend(lossy.then_some(Note::Lossy));
    Ok(frames)
}

fn decoded(path: &Path) -> Result<(RgbImage, Option<ImageFormat>), ImagingError> {
    let (bytes, _) = archive::open(path)?;
    let reader = ImageReader::new(BufReader::new(bytes))
        .with_guessed_format()
        .map_err(ImagingError::io(path))?;
    let format = reader.format();
    let picture = reader
        .decode()
        .map_err(|error| ImagingError::damaged(path, error.to_string()))?;
    Ok((picture.to_rgb8(), format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_is_called_a_lossy_source_and_a_png_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for (name, notes) in [("a.jpg", vec![Note::Lossy]), ("a.png", Vec::new())] {
            let path = folder.path().join(name);
            RgbImage::new(3, 2).save(&path).unwrap();
            assert_eq!(picture_frames(&path).unwrap().notes, notes);
        }
    }
}
