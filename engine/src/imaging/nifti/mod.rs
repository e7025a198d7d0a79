//! NIfTI-1 and NIfTI-2: single files and pairs, plain or gzipped, both byte orders. Ours, because the `nifti` crate
//! panics on legal headers and knows no NIfTI-2.

mod colour;
mod fields;
mod gzip;
mod header;
mod inspect;
mod voxels;

use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

pub use fields::fields;
pub use header::{Header, is_nifti};
pub use inspect::inspect;
pub use voxels::load_nifti;

use gzip::{MAGIC, Members};
use header::{HEADER_BYTES, Invalid, parse};

use super::archive;
use super::error::ImagingError;
use super::hash::path_hash;
use super::series::{Format, PatientLabel, SeriesInfo};
use super::volume::Modality;

/// The first inflated bytes of a gzipped file, or the bytes themselves. Nothing if it does not inflate.
pub fn inflated_head(head: &[u8]) -> Option<Vec<u8>> {
    if !head.starts_with(&MAGIC) {
        return Some(head.to_vec());
    }
    let mut inflated = Vec::new();
    let read = Members::new(head)
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut inflated);
    (read.is_ok() || !inflated.is_empty()).then_some(inflated)
}

/// Reads the header of a `.nii`, `.nii.gz`, `.hdr` or `.hdr.gz`, and finds the file with the voxels.
///
/// # Errors
/// [`ImagingError`] about this file or its missing other half.
pub fn read_header(path: &Path) -> Result<(Header, PathBuf), ImagingError> {
    let mut bytes = Vec::new();
    // Junk behind a short gzip stream is an error of the stream, but the header is whole by then; the parser knows.
    let _ = open(path)?
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut bytes);
    let header = parse(&bytes).map_err(|invalid| match invalid {
        Invalid::OtherFormat => ImagingError::damaged(path, "it does not begin as NIfTI"),
        Invalid::Analyze => {
            ImagingError::unsupported(path, "ANALYZE 7.5, which does not say where left is")
        }
        Invalid::Damaged(what) => ImagingError::damaged(path, what),
    })?;
    let voxels = if header.pair {
        other_half(path, "img")
            .ok_or_else(|| ImagingError::damaged(path, "its .img file is missing"))?
    } else {
        path.to_owned()
    };
    voxels::check_length(&header, &voxels)?;
    Ok((header, voxels))
}

/// The `.hdr` beside an `.img`, or the `.img` beside a `.hdr`, gzipped or not.
pub fn other_half(path: &Path, extension: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    let (stem, old) = stem.rsplit_once('.')?;
    if !["hdr", "img"].contains(&old.to_ascii_lowercase().as_str()) {
        return None;
    }
    let upper = extension.to_ascii_uppercase();
    [extension, &upper]
        .iter()
        .flat_map(|extension| {
            [
                format!("{stem}.{extension}"),
                format!("{stem}.{extension}.gz"),
            ]
        })
        .map(|name| path.with_file_name(name))
        .find(|path| archive::is_there(path))
}

/// A NIfTI file as a series. Its modality stays unknown: a file's name proves nothing.
///
/// # Errors
/// As [`read_header`].
pub fn series_of(path: &Path) -> Result<SeriesInfo, ImagingError> {
    let (header, _) = read_header(path)?;
    voxels::check_type(&header, path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(SeriesInfo {
        id: path_hash("nifti", path),
        study: path_hash("nifti", folder),
        patient: PatientLabel::default(),
        study_description: "NIfTI files".to_owned(),
        description: description(path),
        number: None,
        modality: Modality::Unknown,
        body_part: None,
        format: Format::Nifti,
        size: header.size,
        spacing_mm: Some(header.patient_from_voxel.spacing_mm()),
        notes: header.notes,
        files: vec![path.to_owned()],
        frames: Vec::new(),
        volumes: header.volumes,
        fps: None,
    })
}

/// The file's name without `.nii`, `.nii.gz`, `.hdr`.
fn description(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = [".nii", ".hdr"]
        .iter()
        .find_map(|end| stem.strip_suffix(end))
        .unwrap_or(stem);
    stem.to_owned()
}

/// The file's bytes from `offset` on.
fn open_at(path: &Path, offset: u64) -> Result<Box<dyn Read>, ImagingError> {
    let mut reader = open(path)?;
    let skipped =
        io::copy(&mut reader.by_ref().take(offset), &mut io::sink()).map_err(|error| {
            ImagingError::damaged(path, format!("its voxels are cut short: {error}"))
        })?;
    if skipped < offset {
        return Err(ImagingError::damaged(path, "it ends before its voxels"));
    }
    Ok(reader)
}

/// The file's bytes, inflated where it is gzipped.
fn open(path: &Path) -> Result<Box<dyn Read>, ImagingError> {
    let (mut file, _) = archive::open(path)?;
    let mut first = Vec::new();
    file.by_ref()
        .take(2)
        .read_to_end(&mut first)
        .map_err(ImagingError::io(path))?;
    let gzipped = first == MAGIC;
    let whole = Cursor::new(first).chain(file);
    Ok(if gzipped {
        Box::new(Members::new(BufReader::with_capacity(1 << 16, whole)))
    } else {
        Box::new(whole)
    })
}
