//! Paired CT and MR volumes on one grid, as 8-bit pictures of 256 x 256.
//!
//! A folder holds `SUBJECT/ct.nii.gz` and `SUBJECT/mr_t1.nii.gz`. CT is windowed at 40/400 HU, MR divided by its own 99.5th
//! percentile; each axial slice is padded to a centred square and resized by Pillow's bicubic. Slices that are mostly air
//! are left out. Subjects are never split.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{Rgb, RgbImage};

use super::error::TrainError;
use crate::imaging::{Loaded, Plane, Volume, load_series, scan};
use crate::model::preprocess::{Filter, pillow_resize};

/// Side of the pictures.
pub const SIDE: usize = 256;

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

/// Every usable slice of every subject, in the order of their names. `on_progress` gets subjects done and in all.
///
/// # Errors
/// No pairs, a file that cannot be read, or two volumes of different sizes.
pub fn load_pairs(
    folder: &Path,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<Pair>, TrainError> {
    let mut subjects: Vec<PathBuf> = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    subjects.retain(|path| path.join("ct.nii.gz").is_file());
    subjects.sort();
    if subjects.is_empty() {
        return Err(TrainError::NoPairs {
            path: folder.to_owned(),
        });
    }
    let mut pairs = Vec::new();
    for (done, subject) in subjects.iter().enumerate() {
        if on_progress(done, subjects.len()).is_break() {
            break;
        }
        pairs.extend(subject_pairs(subject)?);
    }
    Ok(pairs)
}

fn subject_pairs(subject: &Path) -> Result<Vec<Pair>, TrainError> {
    let (ct, mr) = (
        open(&subject.join("ct.nii.gz"))?,
        open(&subject.join("mr_t1.nii.gz"))?,
    );
    if ct.size != mr.size {
        let what = format!("CT has {:?} voxels and MR {:?}", ct.size, mr.size);
        return Err(TrainError::Pair {
            what,
            path: subject.to_owned(),
        });
    }
    let name = subject
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let top = mr_top(&mr);
    let mut pairs = Vec::new();
    for index in 0..ct.slice_count(Plane::Axial) {
        let (ct, mr) = (
            ct.slice(Plane::Axial, index)?,
            mr.slice(Plane::Axial, index)?,
        );
        let body = ct.samples.iter().filter(|hu| **hu > -300.0).count();
        // Truncated to 8 bit, as the reference points were computed.
        let level = |share: f32| (share.clamp(0.0, 1.0) * 255.0) as u8;
        let ct8: Vec<u8> = ct
            .samples
            .iter()
            .map(|hu| level((hu + 160.0) / 400.0))
            .collect();
        let mr8: Vec<u8> = mr.samples.iter().map(|value| level(value / top)).collect();
        let mean = mr8.iter().map(|level| f64::from(*level)).sum::<f64>() / mr8.len().max(1) as f64;
        if (body as f64) < 0.1 * ct.samples.len() as f64 || mean < 5.0 {
            continue;
        }
        pairs.push(Pair {
            subject: name.clone(),
            slice: index,
            ct: picture(&ct8, ct.width, ct.height),
            mr: picture(&mr8, mr.width, mr.height),
        });
    }
    Ok(pairs)
}

fn open(path: &Path) -> Result<Arc<Volume>, TrainError> {
    let go_on = &mut |_: usize, _: usize| ControlFlow::Continue(());
    let found = scan(&[path.to_owned()], go_on)?;
    let unusable = || TrainError::Pair {
        what: "it is no volume".to_owned(),
        path: path.to_owned(),
    };
    let series = found.series.first().ok_or_else(unusable)?;
    match load_series(series, go_on)? {
        Loaded::Volume(volume) => Ok(volume),
        Loaded::Picture(_) => Err(unusable()),
    }
}

/// The 99.5th percentile (linear between samples) of the voxels above a tenth of the mean.
fn mr_top(mr: &Volume) -> f32 {
    let [width, height, depth] = mr.size;
    let mut samples = Vec::with_capacity(width * height * depth);
    for k in 0..depth {
        for j in 0..height {
            samples.extend((0..width).map(|i| mr.sample([i, j, k])));
        }
    }
    let mean = samples.iter().map(|x| f64::from(*x)).sum::<f64>() / samples.len().max(1) as f64;
    samples.retain(|x| f64::from(*x) > 0.1 * mean);
    samples.sort_by(f32::total_cmp);
    let at = 0.995 * samples.len().saturating_sub(1) as f64;
    let (low, share) = (at.floor() as usize, at.fract());
    let value = |index: usize| {
        samples
            .get(index.min(samples.len().saturating_sub(1)))
            .map_or(1.0, |x| f64::from(*x))
    };
    let top = value(low) * (1.0 - share) + value(low + 1) * share;
    (top as f32).max(1e-6)
}

/// Grey levels on a black centred square, resized to `SIDE`.
fn picture(levels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let side = width.max(height);
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    let mut square = RgbImage::new(side as u32, side as u32);
    for (i, level) in levels.iter().enumerate() {
        let (x, y) = (left + i % width, top + i / width);
        square.put_pixel(x as u32, y as u32, Rgb([*level; 3]));
    }
    pillow_resize(&square, SIDE as u32, SIDE as u32, Filter::Bicubic)
        .pixels()
        .map(|pixel| pixel.0[0])
        .collect()
}

/// Grey levels as a picture.
pub fn rgb(levels: &[u8]) -> RgbImage {
    RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
        Rgb([levels
            .get(y as usize * SIDE + x as usize)
            .copied()
            .unwrap_or(0); 3])
    })
}
