//! What a scan of files finds: series, by their headers only.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::frames::Frames;
use super::note::Note;
use super::volume::{Modality, Volume};

/// Who it is: shown on screen, never in logs or messages (`Debug` hides it).
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct PatientLabel {
    /// Patient's Name (0010,0010), as people read it.
    pub name: String,
    /// Patient ID (0010,0020).
    pub id: String,
    /// Study Date (0008,0020), `2024-11-03`.
    pub study_date: String,
}

impl fmt::Debug for PatientLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientLabel(hidden)")
    }
}

/// The kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// DICOM Part 10, or without its preamble.
    Dicom,
    /// NIfTI-1 or NIfTI-2.
    Nifti,
    /// PNG or JPEG.
    Picture,
}

/// One series: files that make one volume or picture.
#[derive(Clone, Debug, Serialize)]
pub struct SeriesInfo {
    /// Stable while the files stay as they are; a hash, so that it names nobody.
    pub id: String,
    /// Series of one study share it; a hash.
    pub study: String,
    /// Who it is, for the screen.
    #[serde(skip)]
    pub patient: PatientLabel,
    /// Study Description (0008,1030).
    pub study_description: String,
    /// Series Description (0008,103E), or the file's stem for NIfTI and pictures.
    pub description: String,
    /// Series Number (0020,0011).
    pub number: Option<i32>,
    /// How it was made.
    pub modality: Modality,
    /// BodyPartExamined (0018,0015), as written.
    pub body_part: Option<String>,
    /// The kind of file.
    pub format: Format,
    /// Columns, rows, slices (or frames).
    pub size: [usize; 3],
    /// Distance of columns, rows and slices in mm, where the headers say.
    pub spacing_mm: Option<[f64; 3]>,
    /// Why a folder's series was split, or what does not fit, in words.
    pub notes: Vec<Note>,
    /// Frames a second for display, where a file says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f32>,
    /// In slice order; a file with many frames is named once for each.
    #[serde(skip)]
    pub files: Vec<PathBuf>,
    /// The frame, from 0, of each of `files`. Empty when every file has one.
    #[serde(skip)]
    pub frames: Vec<usize>,
    /// Volumes behind each other in one file (time points, directions): [`Self::volume`] names one of them.
    pub volumes: usize,
}

impl SeriesInfo {
    /// Does this id name the series, or another one of its volumes?
    pub fn has_volume(&self, id: &str) -> bool {
        let number = |rest: &str| {
            rest.strip_prefix('-')
                .is_some_and(|n| n.parse::<usize>().is_ok())
        };
        id == self.id || (self.volumes > 1 && id.strip_prefix(&self.id).is_some_and(number))
    }

    /// The same series with another of its volumes, from 0: the last one if there are not so many.
    pub fn volume(&self, number: usize) -> Self {
        let number = number.min(self.volumes.saturating_sub(1));
        if number == self.frames.first().copied().unwrap_or(0) || self.volumes < 2 {
            return self.clone();
        }
        let first_id = self.id.split('-').next().unwrap_or_default();
        Self {
            id: match number {
                0 => first_id.to_owned(),
                number => format!("{first_id}-{}", number + 1),
            },
            frames: vec![number],
            notes: self
                .notes
                .iter()
                .map(|note| match note {
                    Note::OneOf { count, .. } => Note::OneOf {
                        count: *count,
                        number: number + 1,
                    },
                    note => note.clone(),
                })
                .collect(),
            ..self.clone()
        }
    }
}

/// A file that is not shown, and why.
#[derive(Clone, Debug, Serialize)]
pub struct SkippedFile {
    /// The file.
    pub path: PathBuf,
    /// Machine-readable: `damaged`, `unsupported`, `not-an-image`, `duplicate`, `io`.
    pub kind: &'static str,
    /// Why, in a sentence.
    pub why: String,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Scan {
    /// Sorted by patient, study date, study and series number.
    pub series: Vec<SeriesInfo>,
    /// Files that are not shown.
    pub skipped: Vec<SkippedFile>,
}

/// A series in memory.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// Grey voxels in patient space.
    Volume(Arc<Volume>),
    /// Colour: a plain picture, or the frames of colour DICOM and NIfTI.
    Frames(Arc<Frames>),
}
