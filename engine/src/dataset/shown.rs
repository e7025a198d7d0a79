//! The pictures of a subject that questions are asked about: every usable axial slice, and a few coronal and sagittal ones, so
//! that the plane is a question at all.

use super::error::DatasetError;
use super::facts::{Facts, Lesion, Scanner, lesion};
use super::pairs::{Levels, Subject, SubjectSlice};
use crate::imaging::Plane;

/// Coronal and sagittal slices of a subject, each: evenly spread over the middle half of the volume.
pub const OTHER_PLANES: usize = 12;

/// One slice in both modalities, as pictures.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The plane.
    pub plane: Plane,
    /// The slice, from 0; of turned subjects, which one of them.
    pub index: usize,
    /// The subject was turned first.
    pub turned: bool,
    /// CT: grey levels of a square.
    pub ct: Vec<u8>,
    /// MR.
    pub mr: Vec<u8>,
    /// Where the lesion is, in axial slices.
    pub lesion: Lesion,
    /// The slice as it was, for axial ones.
    pub slice: SubjectSlice,
}

impl Shown {
    /// The picture of one modality.
    pub fn levels(&self, scanner: Scanner) -> &[u8] {
        match scanner {
            Scanner::Ct => &self.ct,
            Scanner::Mr => &self.mr,
        }
    }

    /// The lesion's outline as a picture, white inside; none where nobody outlined it.
    pub fn lesion_mask(&self, side: usize) -> Option<Vec<u8>> {
        let outline = self.slice.lesion.as_ref()?;
        let inside = |sample: &f32| if *sample > 0.5 { 255 } else { 0 };
        let levels = Levels {
            levels: outline.samples.iter().map(inside).collect(),
            width: outline.width,
            height: outline.height,
        };
        Some(levels.squared(self.slice.hu.spacing_mm).picture(side))
    }

    /// Its plane, for names of files and items.
    pub fn kind(&self) -> String {
        let turned = if self.turned { "-turned" } else { "" };
        format!("{}{turned}", self.plane.name())
    }

    /// What is known about it.
    pub fn facts(&self, scanner: Scanner) -> Facts {
        Facts {
            scanner,
            plane: self.plane,
            lesion: self.lesion,
        }
    }
}

/// The pictures of a subject, `side` pixels wide: every n-th of each plane.
///
/// # Errors
/// A slice cannot be read.
pub fn shown(
    subject: &Subject,
    planes: &[Plane],
    side: usize,
    every: usize,
) -> Result<Vec<Shown>, DatasetError> {
    let mut all = Vec::new();
    for plane in planes {
        let count = subject.ct.slice_count(*plane);
        let indices: Vec<usize> = match plane {
            Plane::Axial => (0..count).collect(),
            _ => {
                let mut indices: Vec<usize> = (0..OTHER_PLANES)
                    .map(|i| count / 4 + i * count / (2 * OTHER_PLANES))
                    .collect();
                indices.dedup();
                indices
            }
        };
        let mut usable = 0;
        for index in indices {
            let Some(slice) = subject.slice(*plane, index)? else {
                continue;
            };
            usable += 1;
            if (usable - 1) % every.max(1) != 0 {
                continue;
            }
            let spacing = slice.hu.spacing_mm;
            all.push(Shown {
                plane: *plane,
                index,
                turned: false,
                ct: slice.ct.squared(spacing).picture(side),
                mr: slice.mr.squared(spacing).picture(side),
                lesion: match plane {
                    Plane::Axial => lesion(&slice),
                    _ => Lesion::Unknown,
                },
                slice,
            });
        }
    }
    Ok(all)
}
