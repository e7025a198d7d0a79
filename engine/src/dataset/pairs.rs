//! Paired CT and MR volumes on one grid, as 8-bit pictures of 256 x 256.
//!
//! A folder holds `SUBJECT/ct.nii.gz` and `SUBJECT/mr_t1.nii.gz`, and `SUBJECT/gtv.nii.gz` where the lesion is outlined. CT is
//! windowed at 40/400 HU, MR divided by its own 99.5th percentile; each slice is padded to a centred square and resized by
//! Pillow's bicubic. Slices that are mostly air are left out. Subjects are never split.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{Rgb, RgbImage};

use super::error::DatasetError;
use crate::imaging::{Loaded, Plane, Slice, Volume, load_series, scan};
use crate::model::preprocess::{Filter, pillow_resize};

/// Side of the pictures.
pub const SIDE: usize = 256;
/// CT above this many HU is the patient, not air.
pub const BODY_HU: f32 = -300.0;

/// One slice in both modalities: grey levels, row by row, `SIDE * SIDE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The subject's folder name.
    pub subject: String,
    /// The slice, from 0.
    pub slice: usize,
    /// CT.
    pub ct: Vec<u8>,
    /// MR.
    pub mr: Vec<u8>,
}

/// The volumes of one patient, on one grid.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The folder's name.
    pub name: String,
    /// Computed tomography, HU.
    pub ct: Arc<Volume>,
    /// T1-weighted magnetic resonance.
    pub mr: Arc<Volume>,
    /// Where the lesion is, not 0 inside; absent where nobody outlined it.
    pub lesion: Option<Arc<Volume>>,
    /// The sample of MR that is white.
    pub mr_top: f32,
}

/// Every usable slice of every subject, in the order of their names. `on_progress` gets subjects done and in all.
///
/// # Errors
/// No pairs, a file that cannot be read, or two volumes of different sizes.
pub fn load_pairs(
    folder: &Path,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<Pair>, DatasetError> {
    let subjects = subject_folders(folder)?;
    let mut pairs = Vec::new();
    for (done, path) in subjects.iter().enumerate() {
        if on_progress(done, subjects.len()).is_break() {
            break;
        }
        let subject = Subject::open(path)?;
        for index in 0..subject.ct.slice_count(Plane::Axial) {
            pairs.extend(subject.pair(index)?);
        }
    }
    Ok(pairs)
}

/// The folders of the subjects, in the order of their names.
///
/// # Errors
/// [`DatasetError::NoPairs`].
pub fn subject_folders(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut subjects: Vec<PathBuf> = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    subjects.retain(|path| path.join("ct.nii.gz").is_file());
    subjects.sort();
    if subjects.is_empty() {
        return Err(DatasetError::NoPairs {
            path: folder.to_owned(),
        });
    }
    Ok(subjects)
}

/// One slice as it is shown: grey levels, row by row, at the size of the volume.
#[derive(Clone, Debug)]
pub struct Levels {
    /// Grey levels.
    pub levels: Vec<u8>,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Subject {
    /// Reads the volumes of a folder.
    ///
    /// # Errors
    /// A file that cannot be read, or volumes of different sizes.
    pub fn open(folder: &Path) -> Result<Self, DatasetError> {
        let (ct, mr) = (
            open(&folder.join("ct.nii.gz"))?,
            open(&folder.join("mr_t1.nii.gz"))?,
        );
        let outlined = folder.join("gtv.nii.gz");
        let lesion = outlined.is_file().then(|| open(&outlined)).transpose()?;
        let sizes = [("MR", Some(&mr)), ("the lesion", lesion.as_ref())];
        for (name, volume) in sizes {
            if let Some(volume) = volume.filter(|volume| volume.size != ct.size) {
                let what = format!("CT has {:?} voxels and {name} {:?}", ct.size, volume.size);
                return Err(DatasetError::Pair {
                    what,
                    path: folder.to_owned(),
                });
            }
        }
        let name = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mr_top = mr_top(&mr);
        Ok(Self {
            name,
            ct,
            mr,
            lesion,
            mr_top,
        })
    }

    /// A slice in both modalities at the size of the volumes; `None` if it is mostly air.
    ///
    /// # Errors
    /// There is no such slice.
    pub fn slice(&self, plane: Plane, index: usize) -> Result<Option<SubjectSlice>, DatasetError> {
        let (ct, mr) = (self.ct.slice(plane, index)?, self.mr.slice(plane, index)?);
        let lesion = self
            .lesion
            .as_ref()
            .map(|lesion| lesion.slice(plane, index));
        Ok(self.levelled(ct, &mr, lesion.transpose()?))
    }

    /// Slices of this subject as they are shown; `None` if they are mostly air.
    pub(super) fn levelled(
        &self,
        ct: Slice,
        mr: &Slice,
        lesion: Option<Slice>,
    ) -> Option<SubjectSlice> {
        let body = ct.samples.iter().filter(|hu| **hu > BODY_HU).count();
        let mr_levels: Vec<u8> = mr
            .samples
            .iter()
            .map(|value| level(value / self.mr_top))
            .collect();
        let mean = mr_levels.iter().map(|level| f64::from(*level)).sum::<f64>()
            / mr_levels.len().max(1) as f64;
        if (body as f64) < 0.1 * ct.samples.len() as f64 || mean < 5.0 {
            return None;
        }
        let ct_levels = ct
            .samples
            .iter()
            .map(|hu| level((hu + 160.0) / 400.0))
            .collect();
        let (width, height) = (ct.width, ct.height);
        let levels = |levels| Levels {
            levels,
            width,
            height,
        };
        Some(SubjectSlice {
            ct: levels(ct_levels),
            mr: levels(mr_levels),
            hu: ct,
            lesion,
        })
    }

    fn pair(&self, index: usize) -> Result<Option<Pair>, DatasetError> {
        let slice = self.slice(Plane::Axial, index)?;
        Ok(slice.map(|slice| Pair {
            subject: self.name.clone(),
            slice: index,
            ct: slice.ct.picture(SIDE),
            mr: slice.mr.picture(SIDE),
        }))
    }
}

/// One slice of a subject.
#[derive(Clone, Debug)]
pub struct SubjectSlice {
    /// CT in its window.
    pub ct: Levels,
    /// MR in its range.
    pub mr: Levels,
    /// CT in HU, with its spacing.
    pub hu: Slice,
    /// The lesion's outline.
    pub lesion: Option<Slice>,
}

impl Levels {
    /// On a black centred square, resized to `side`.
    pub fn picture(&self, side: usize) -> Vec<u8> {
        let longest = self.width.max(self.height);
        let (left, top) = ((longest - self.width) / 2, (longest - self.height) / 2);
        let mut square = RgbImage::new(longest as u32, longest as u32);
        for (i, level) in self.levels.iter().enumerate() {
            let (x, y) = (left + i % self.width, top + i / self.width);
            square.put_pixel(x as u32, y as u32, Rgb([*level; 3]));
        }
        resized(&square, side)
    }

    /// Moved so that what was at `(x + dx, y + dy)` is at `(x, y)`; black comes in.
    pub fn moved(&self, [dx, dy]: [i64; 2]) -> Self {
        let (width, height) = (self.width as i64, self.height as i64);
        let levels = (0..self.levels.len() as i64)
            .map(|i| {
                let (x, y) = (i % width.max(1) + dx, i / width.max(1) + dy);
                let inside = (0..width).contains(&x) && (0..height).contains(&y);
                let at = inside.then_some((y * width + x) as usize);
                at.and_then(|at| self.levels.get(at)).copied().unwrap_or(0)
            })
            .collect();
        Self { levels, ..*self }
    }

    /// With square pixels: rows are repeated between their neighbours where they are further apart than columns.
    pub fn squared(&self, [dx, dy]: [f64; 2]) -> Self {
        let height = ((self.height as f64 * dy / dx).round() as usize).max(1);
        if height == self.height || dx <= 0.0 || self.width == 0 {
            return self.clone();
        }
        let mut levels = Vec::with_capacity(self.width * height);
        for y in 0..height {
            let source = (y as f64 + 0.5) * self.height as f64 / height as f64 - 0.5;
            let source = source.clamp(0.0, self.height.saturating_sub(1) as f64);
            let (above, share) = (source.floor() as usize, source.fract());
            let below = (above + 1).min(self.height - 1);
            for x in 0..self.width {
                let at = |y: usize| {
                    let level = self.levels.get(y * self.width + x);
                    level.map_or(0.0, |level| f64::from(*level))
                };
                levels.push((at(above) * (1.0 - share) + at(below) * share).round() as u8);
            }
        }
        Self {
            levels,
            width: self.width,
            height,
        }
    }
}

/// Truncated to 8 bit, as the reference points were computed.
fn level(share: f32) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0) as u8
}

fn open(path: &Path) -> Result<Arc<Volume>, DatasetError> {
    let go_on = &mut |_: usize, _: usize| ControlFlow::Continue(());
    let found = scan(&[path.to_owned()], go_on)?;
    let unusable = || DatasetError::Pair {
        what: "it is no volume".to_owned(),
        path: path.to_owned(),
    };
    let series = found.series.first().ok_or_else(unusable)?;
    match load_series(series, go_on)? {
        Loaded::Volume(volume) => Ok(volume),
        Loaded::Frames(_) => Err(unusable()),
    }
}

/// The 99.5th percentile of the voxels above a tenth of the mean.
pub fn mr_top(mr: &Volume) -> f32 {
    bright_level(mr, 0.995)
}

/// The level that this share of the voxels above a tenth of the mean does not exceed.
pub fn bright_level(mr: &Volume, share: f64) -> f32 {
    let mut samples = all_samples(mr);
    let mean = samples.iter().map(|x| f64::from(*x)).sum::<f64>() / samples.len().max(1) as f64;
    samples.retain(|x| f64::from(*x) > 0.1 * mean);
    (percentile(samples, share) as f32).max(1e-6)
}

/// Every sample of a volume that is a number.
pub(super) fn all_samples(volume: &Volume) -> Vec<f32> {
    let [width, height, depth] = volume.size;
    let mut samples = Vec::with_capacity(width * height * depth);
    for k in 0..depth {
        for j in 0..height {
            samples.extend((0..width).map(|i| volume.sample([i, j, k])));
        }
    }
    samples.retain(|sample| !sample.is_nan()); // padding
    samples
}

/// Linear between samples; 1 where there are none.
pub(super) fn percentile(mut samples: Vec<f32>, share: f64) -> f64 {
    samples.sort_unstable_by(f32::total_cmp);
    let last = samples.len().saturating_sub(1);
    let at = share * last as f64;
    let (low, share) = (at.floor() as usize, at.fract());
    let value = |index: usize| samples.get(index.min(last)).map_or(1.0, |x| f64::from(*x));
    value(low) * (1.0 - share) + value(low + 1) * share
}

/// Grey levels as a picture.
pub fn rgb(levels: &[u8]) -> RgbImage {
    rgb_of_side(levels, SIDE)
}

/// Grey levels as a picture of another side.
pub(super) fn rgb_of_side(levels: &[u8], side: usize) -> RgbImage {
    RgbImage::from_fn(side as u32, side as u32, |x, y| {
        Rgb([levels
            .get(y as usize * side + x as usize)
            .copied()
            .unwrap_or(0); 3])
    })
}

/// The first channel, resized to a square by Pillow's bicubic.
fn resized(image: &RgbImage, side: usize) -> Vec<u8> {
    pillow_resize(image, side as u32, side as u32, Filter::Bicubic)
        .pixels()
        .map(|pixel| pixel.0[0])
        .collect()
}

/// A picture at a quarter of its side and shown at its own again, both by Pillow's bicubic: the input of 4x super-resolution.
pub fn quarter(levels: &[u8], side: usize) -> Vec<u8> {
    let small = (side / 4).max(1);
    let small = rgb_of_side(&resized(&rgb_of_side(levels, side), small), small);
    resized(&small, side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_brings_in_black_and_squaring_keeps_the_ends() {
        let levels = Levels {
            levels: vec![1, 2, 3, 4],
            width: 2,
            height: 2,
        };
        assert_eq!(levels.moved([1, 0]).levels, [2, 0, 4, 0]);
        assert_eq!(levels.moved([0, -1]).levels, [0, 0, 1, 2]);
        let tall = levels.squared([1.0, 2.0]);
        assert_eq!((tall.width, tall.height), (2, 4));
        assert_eq!(tall.levels, [1, 2, 2, 3, 3, 4, 3, 4]); // 1.5, 2.5 and 2.5, 3.5 are rounded away from zero
    }

    #[test]
    fn a_percentile_is_linear_between_samples() {
        assert_eq!(percentile(vec![3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(percentile(vec![0.0, 10.0], 0.25), 2.5);
        assert_eq!(percentile(Vec::new(), 0.5), 1.0);
    }
}
