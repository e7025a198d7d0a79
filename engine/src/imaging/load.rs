//! A series that a scan found, into memory.

use std::ops::ControlFlow;
use std::sync::Arc;

use image::RgbImage;

use super::dicom::{dicom_slice, load_dicom};
use super::error::ImagingError;
use super::nifti::load_nifti;
use super::picture::picture_frames;
use super::render::{ViewDescriptor, render};
use super::series::{Format, Loaded, SeriesInfo};
use super::volume::Volume;

/// Reads the voxels or pixels of a series. `on_progress` gets files done and in all, and may stop it.
///
/// # Errors
/// What is wrong with the first file that cannot be read.
pub fn load_series(
    series: &SeriesInfo,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Loaded, ImagingError> {
    load_series_showing(series, &mut |_| {}, on_progress)
}

/// As [`load_series`]; where slices are files or frames of their own, `on_first` gets the middle one first, as a volume
/// with one slice.
///
/// # Errors
/// As [`load_series`].
pub fn load_series_showing(
    series: &SeriesInfo,
    on_first: &mut dyn FnMut(Volume),
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Loaded, ImagingError> {
    let Some(first) = series.files.first() else {
        return Err(ImagingError::no_files());
    };
    if on_progress(0, series.files.len()).is_break() {
        return Err(ImagingError::Stopped);
    }
    match series.format {
        Format::Picture => {
            let frames = picture_frames(first)?;
            Ok(Loaded::Frames(Arc::new(frames)))
        }
        Format::Dicom => load_dicom(series, on_first, on_progress),
        Format::Nifti => load_nifti(series, first, on_progress),
    }
}

/// The picture of the middle slice of a series, in its first window, without reading all of it where that is not needed.
///
/// # Errors
/// As [`load_series`].
pub fn series_picture(
    series: &SeriesInfo,
    flow: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<RgbImage, ImagingError> {
    let volume = match series.format {
        Format::Dicom => dicom_slice(series)?,
        Format::Nifti | Format::Picture => load_series(series, &mut |_, _| flow())?,
    };
    match volume {
        Loaded::Frames(frames) => Ok(frames.at(frames.count() / 2).as_ref().clone()),
        Loaded::Volume(volume) => {
            let plane = volume.acquired_plane();
            let middle = volume.slice_count(plane) / 2;
            let view = ViewDescriptor::new(plane, middle, volume.default_window());
            render(&volume, &view)
        }
    }
}

/// The middle slice of a DICOM series, as a volume of its own.
///
/// # Errors
/// What is wrong with its file, or [`ImagingError::Unsupported`] where it is no volume.
pub fn first_slice(series: &SeriesInfo) -> Result<Arc<Volume>, ImagingError> {
    match dicom_slice(series)? {
        Loaded::Volume(volume) => Ok(volume),
        Loaded::Frames(_) => {
            let path = series.files.first().cloned().unwrap_or_default();
            Err(ImagingError::unsupported(
                &path,
                "a colour picture as a slice",
            ))
        }
    }
}
