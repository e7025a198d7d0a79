//! A series that a scan found, into memory.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::dicom::load_dicom;
use super::error::ImagingError;
use super::nifti::load_nifti;
use super::picture::open_picture;
use super::series::{Format, Loaded, SeriesInfo};

/// Reads the voxels or pixels of a series. `on_progress` gets files done and in all, and may stop it.
///
/// # Errors
/// What is wrong with the first file that cannot be read.
pub fn load_series(
    series: &SeriesInfo,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Loaded, ImagingError> {
    let Some(first) = series.files.first() else {
        return Err(ImagingError::no_files());
    };
    if on_progress(0, series.files.len()).is_break() {
        return Err(ImagingError::Stopped);
    }
    match series.format {
        Format::Picture => Ok(Loaded::Picture(Arc::new(open_picture(first)?))),
        Format::Dicom => load_dicom(series, on_progress),
        Format::Nifti => load_nifti(series, first, on_progress),
    }
}
