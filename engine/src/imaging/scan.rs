//! Files and folders to series, by their headers only. What a file is, its content says, not its name.

use std::collections::BTreeSet;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use walkdir::WalkDir;

use super::archive;
use super::error::ImagingError;
use super::hash::path_hash;
use super::picture::picture_size;
use super::series::{Format, PatientLabel, Scan, SeriesInfo, SkippedFile};
use super::volume::Modality;
use super::{dicom, nifti};

/// A scan that is done within this shows nothing before its end.
const MOMENT: Duration = Duration::from_millis(400);

/// Bytes that tell what a file is.
const HEAD_BYTES: u64 = 4096;

/// Finds every series in these files and folders. `on_progress` gets files done and in all, and may stop it.
///
/// # Errors
/// A path that does not exist, or not one image in all of them: for a single file, what is wrong with it.
pub fn scan(
    paths: &[PathBuf],
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Scan, ImagingError> {
    scan_showing(paths, &mut |_| {}, on_progress)
}

/// As [`scan`]; when that takes longer than a moment, `on_first` gets the first DICOM image found, as a series of its own.
///
/// # Errors
/// As [`scan`].
pub fn scan_showing(
    paths: &[PathBuf],
    on_first: &mut dyn FnMut(SeriesInfo),
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Scan, ImagingError> {
    let started = Instant::now();
    let mut shown = false;
    let mut found = Scan::default();
    let (files, mut last_error) = files_in(paths, &mut found.skipped)?;
    let mut dicom_files = Vec::new();
    for (done, path) in files.iter().enumerate() {
        if on_progress(done, files.len()).is_break() {
            return Err(ImagingError::Stopped);
        }
        match read_one(path) {
            Ok(One::Dicom(header)) => {
                dicom_files.push((path.clone(), *header));
                if !shown && started.elapsed() > MOMENT {
                    shown = true;
                    let first = dicom_files.iter().take(1).cloned().collect();
                    dicom::series_of(first)
                        .0
                        .into_iter()
                        .take(1)
                        .for_each(&mut *on_first);
                }
            }
            Ok(One::Series(series)) => found.series.push(*series),
            Ok(One::HalfOf(whole)) if files.contains(&whole) => {}
            Ok(One::HalfOf(whole)) => match nifti::series_of(&whole) {
                Ok(series) => found.series.push(series),
                Err(error) => {
                    found.skipped.push(skipped(path, &error));
                    last_error = Some(error);
                }
            },
            Err(error) => {
                found.skipped.push(skipped(path, &error));
                last_error = Some(error);
            }
        }
    }
    let (series, copies) = dicom::series_of(dicom_files);
    found.series.extend(series);
    found.skipped.extend(copies);
    found.series.sort_by(|a, b| {
        let key = |series: &SeriesInfo| {
            let PatientLabel {
                name, study_date, ..
            } = series.patient.clone();
            let (study, description) = (series.study.clone(), series.description.clone());
            (name, study_date, study, series.number, description)
        };
        key(a).cmp(&key(b))
    });
    match (found.series.is_empty(), last_error) {
        (false, _) => Ok(found),
        (true, Some(error))
            if files.is_empty() || files.len() == 1 && paths.iter().all(|path| path.is_file()) =>
        {
            Err(error)
        }
        (true, _) => {
            let count = |kind: &str| {
                found
                    .skipped
                    .iter()
                    .filter(|file| file.kind == kind)
                    .count()
            };
            Err(ImagingError::NoImages {
                files: files.len(),
                damaged: count("damaged"),
                unsupported: count("unsupported"),
                path: paths.first().cloned().unwrap_or_default(),
            })
        }
    }
}

/// Every file once, in the order of names. What cannot be listed is skipped, except the only path that was asked for: one of
/// several that is gone does not keep the others from being opened. Beside the files, why a path was left out, if one was.
fn files_in(
    paths: &[PathBuf],
    skipped_files: &mut Vec<SkippedFile>,
) -> Result<(BTreeSet<PathBuf>, Option<ImagingError>), ImagingError> {
    let alone = paths.len() == 1;
    let (mut files, mut left_out) = (BTreeSet::new(), None);
    for path in paths {
        if let Some(listed) = listed_files(path) {
            files.extend(listed);
            continue;
        }
        for entry in WalkDir::new(path).follow_links(true) {
            match entry {
                Ok(entry) if entry.file_type().is_file() => {
                    let file = entry.into_path();
                    if (file == *path || named_zip(&file)) && archive::is_archive(&file) {
                        match members(&file, skipped_files) {
                            Ok(members) => files.extend(members),
                            Err(error) if file == *path && alone => return Err(error),
                            Err(error) => {
                                skipped_files.push(skipped(&file, &error));
                                left_out = left_out.or((file == *path).then_some(error));
                            }
                        }
                    } else {
                        files.insert(file);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    let at = error.path().unwrap_or(path).to_owned();
                    let depth = error.depth();
                    let why = error
                        .io_error()
                        .map_or("a folder contains itself".to_owned(), ToString::to_string);
                    let error = ImagingError::Io { why, path: at };
                    if depth == 0 && alone {
                        return Err(error);
                    }
                    if let ImagingError::Io { path, .. } = &error {
                        skipped_files.push(skipped(path, &error));
                    }
                    left_out = left_out.or((depth == 0).then_some(error));
                }
            }
        }
    }
    Ok((files, left_out))
}

/// Documents of office programs are archives too: in folders the name decides which are opened.
fn named_zip(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("zip"))
}

/// The files in an archive. Those whose names lead out of it are named together.
fn members(
    path: &Path,
    skipped_files: &mut Vec<SkippedFile>,
) -> Result<Vec<PathBuf>, ImagingError> {
    let listing = archive::list(path)?;
    if listing.outside > 0 {
        let count = listing.outside;
        let what = format!("{count} files of this archive, whose names lead out of it");
        skipped_files.push(skipped(path, &ImagingError::unsupported(path, what)));
    }
    Ok(listing.members)
}

/// The files that a DICOMDIR lists, if that is what was opened and it lists any that are there.
fn listed_files(path: &Path) -> Option<Vec<PathBuf>> {
    if !path.is_file() {
        return None;
    }
    let listed = dicom::directory_files(path).ok()??;
    listed.iter().any(|file| file.is_file()).then_some(listed)
}

fn skipped(path: &Path, error: &ImagingError) -> SkippedFile {
    SkippedFile {
        path: path.to_owned(),
        kind: error.kind(),
        why: error.to_string(),
    }
}

/// What a file's first bytes say that it is.
pub enum Content {
    /// DICOM.
    Dicom,
    /// NIfTI, or its header.
    Nifti,
    /// PNG or JPEG.
    Picture,
    /// Voxels that belong to this NIfTI header.
    VoxelsOf(PathBuf),
    /// Something else.
    Other,
}

/// Looks at the first bytes of a file.
///
/// # Errors
/// [`ImagingError::Io`], or [`ImagingError::Damaged`] when it is empty.
pub fn content_of(path: &Path) -> Result<Content, ImagingError> {
    let mut head = Vec::new();
    let (file, _) = archive::open(path)?;
    file.take(HEAD_BYTES)
        .read_to_end(&mut head)
        .map_err(ImagingError::io(path))?;
    if head.is_empty() {
        return Err(ImagingError::damaged(path, "it is empty"));
    }
    // PNG and JPEG first, because a DICOM file with a picture's first bytes in its preamble still says DICM.
    let is_part_10 = head.get(128..132) == Some(b"DICM");
    if !is_part_10 && (head.starts_with(b"\x89PNG") || head.starts_with(&[0xFF, 0xD8, 0xFF])) {
        return Ok(Content::Picture);
    }
    if nifti::inflated_head(&head).is_some_and(|head| nifti::is_nifti(&head)) && !is_part_10 {
        return Ok(Content::Nifti);
    }
    if dicom::dicom_start(&head).is_some() {
        return Ok(Content::Dicom);
    }
    let half = nifti::other_half(path, "hdr").filter(|half| half != path);
    Ok(half.map_or(Content::Other, Content::VoxelsOf))
}

/// What one file holds.
enum One {
    Dicom(Box<dicom::Header>),
    Series(Box<SeriesInfo>),
    /// The voxels of this NIfTI header.
    HalfOf(PathBuf),
}

fn read_one(path: &Path) -> Result<One, ImagingError> {
    let series = |series: SeriesInfo| One::Series(Box::new(series));
    match content_of(path)? {
        Content::Picture => picture_series(path).map(series),
        Content::Nifti => nifti::series_of(path).map(series),
        Content::Dicom => {
            let header =
                dicom::Source::open(path).and_then(|mut source| dicom::read_header(&mut source))?;
            Ok(One::Dicom(Box::new(header)))
        }
        Content::VoxelsOf(half) => Ok(One::HalfOf(half)),
        Content::Other => Err(ImagingError::unsupported(
            path,
            "files of this kind (not DICOM, NIfTI, PNG or JPEG)",
        )),
    }
}

fn picture_series(path: &Path) -> Result<SeriesInfo, ImagingError> {
    let [width, height] = picture_size(path)?;
    let stem = path.file_stem().unwrap_or_default();
    Ok(SeriesInfo {
        id: path_hash("picture", path),
        study: "pictures".to_owned(),
        patient: PatientLabel::default(),
        study_description: "Pictures".to_owned(),
        description: stem.to_string_lossy().into_owned(),
        number: None,
        modality: Modality::Unknown,
        body_part: None,
        format: Format::Picture,
        size: [width, height, 1],
        spacing_mm: None,
        notes: Vec::new(),
        files: vec![path.to_owned()],
        frames: Vec::new(),
        volumes: 1,
        fps: None,
    })
}
