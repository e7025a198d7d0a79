//! Files and folders to series, by their headers only.

use std::ops::ControlFlow;
use std::path::PathBuf;

use walkdir::WalkDir;

use super::error::ImagingError;
use super::picture::picture_size;
use super::series::{Format, PatientLabel, Scan, SeriesInfo, SkippedFile};
use super::volume::Modality;

/// Finds every series in these files and folders. `on_progress` gets files done and in all, and may stop it.
///
/// # Errors
/// A path that does not exist, or not one image in all of them.
pub fn scan(
    paths: &[PathBuf],
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Scan, ImagingError> {
    let mut files = Vec::new();
    for path in paths {
        for entry in WalkDir::new(path).sort_by_file_name() {
            let entry = entry.map_err(|error| ImagingError::Io {
                why: error.to_string(),
                path: path.clone(),
            })?;
            if entry.file_type().is_file() {
                files.push(entry.into_path());
            }
        }
    }
    let mut found = Scan::default();
    for (done, path) in files.iter().enumerate() {
        if on_progress(done, files.len()).is_break() {
            return Err(ImagingError::Stopped);
        }
        match picture_size(path) {
            Ok([width, height]) => found.series.push(SeriesInfo {
                id: format!("picture-{done}"),
                study: "pictures".to_owned(),
                patient: PatientLabel::default(),
                study_description: "Pictures".to_owned(),
                description: path
                    .file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                number: None,
                modality: Modality::Unknown,
                body_part: None,
                format: Format::Picture,
                size: [width, height, 1],
                spacing_mm: None,
                notes: Vec::new(),
                files: vec![path.clone()],
            }),
            Err(error) => {
                found.skipped.push(SkippedFile {
                    path: path.clone(),
                    kind: error.kind(),
                    why: error.to_string(),
                });
            }
        }
    }
    if found.series.is_empty() {
        let path = paths.first().cloned().unwrap_or_default();
        return Err(ImagingError::NoImages {
            files: files.len(),
            path,
        });
    }
    Ok(found)
}
