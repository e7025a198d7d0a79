//! Single volumes and pictures to records of the tasks that need no partner: reconstruction and 4x super-resolution.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use image::RgbImage;

use super::error::DatasetError;
use super::from_pairs::{Made, save_grey};
use super::pairs::{Levels, all_samples, mr_top, quarter};
use super::record::{Record, RecordTask};
use super::words::{instruction, item_random};
use crate::hex::sha256_hex;
use crate::imaging::{ImagingError, Loaded, Modality, SeriesInfo, Volume, load_series, scan};

/// What to make of files and folders.
#[derive(Clone, Debug)]
pub struct FromVolumes {
    /// DICOM, NIfTI, PNG or JPEG files, or folders of them.
    pub paths: Vec<PathBuf>,
    /// Folder to write to; the records' paths are relative to it.
    pub out: PathBuf,
    /// [`RecordTask::Reconstruct`] and [`RecordTask::Sr4`]; others need more than a volume.
    pub tasks: Vec<RecordTask>,
    /// Side of the pictures.
    pub side: usize,
    /// Chooses wordings.
    pub seed: u64,
}

/// Writes the pictures and makes the records. Series that cannot be read are warned of and left out. `on_progress` gets series
/// done and in all, and may stop it.
///
/// # Errors
/// There is no image in the files, a picture cannot be written, or a stop.
pub fn from_volumes(
    what: &FromVolumes,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Made, DatasetError> {
    let found = scan(&what.paths, &mut |_, _| on_progress(0, 0))?;
    let mut made = Made::default();
    if !found.skipped.is_empty() {
        made.warnings.push(format!(
            "{} files are left out; workbench inspect says why",
            found.skipped.len()
        ));
    }
    for (done, series) in found.series.iter().enumerate() {
        if on_progress(done, found.series.len()).is_break() {
            return Err(ImagingError::Stopped.into());
        }
        let loaded = match load_series(series, &mut |_, _| on_progress(done, found.series.len())) {
            Err(ImagingError::Stopped) => return Err(ImagingError::Stopped.into()),
            Err(error) => {
                made.warnings.push(format!(
                    "series {} is left out ({})",
                    series.id,
                    error.kind()
                ));
                continue;
            }
            Ok(loaded) => loaded,
        };
        let modality = match &loaded {
            Loaded::Volume(volume) => shown_as(volume),
            Loaded::Frames(_) => series.modality.clone(),
        };
        for (number, levels) in slices(&loaded, &modality)?.iter().enumerate() {
            if let Some(levels) = levels {
                records(what, series, &modality, number + 1, levels, &mut made)?;
            }
        }
    }
    Ok(made)
}

/// CT or MR where the file says so. A NIfTI file does not: far below water there is only air in HU.
fn shown_as(volume: &Volume) -> Modality {
    if volume.modality != Modality::Unknown {
        return volume.modality.clone();
    }
    let lowest = all_samples(volume)
        .into_iter()
        .fold(f32::INFINITY, f32::min);
    if lowest <= -200.0 {
        Modality::Ct
    } else {
        Modality::Mr
    }
}

/// The slices as acquired, as grey levels: CT at 40/400 HU, anything else by its 99.5th percentile. `None` for slices that are
/// mostly black.
fn slices(loaded: &Loaded, modality: &Modality) -> Result<Vec<Option<Levels>>, DatasetError> {
    let volume = match loaded {
        Loaded::Frames(frames) => {
            return Ok(frames.iter().map(|frame| seen(grey(frame))).collect());
        }
        Loaded::Volume(volume) => volume,
    };
    let plane = volume.acquired_plane();
    let top = mr_top(volume);
    let mut all = Vec::new();
    for index in 0..volume.slice_count(plane) {
        let slice = volume.slice(plane, index)?;
        let level = |sample: &f32| {
            let share = if *modality == Modality::Ct {
                (sample + 160.0) / 400.0
            } else {
                sample / top
            };
            let level = (share.clamp(0.0, 1.0) * 255.0) as u8;
            if volume.inverted { 255 - level } else { level }
        };
        let levels = Levels {
            levels: slice.samples.iter().map(level).collect(),
            width: slice.width,
            height: slice.height,
        };
        all.push(seen(levels.squared(slice.spacing_mm)));
    }
    Ok(all)
}

fn seen(levels: Levels) -> Option<Levels> {
    let sum: f64 = levels.levels.iter().map(|level| f64::from(*level)).sum();
    (sum / levels.levels.len().max(1) as f64 >= 5.0).then_some(levels)
}

fn grey(image: &RgbImage) -> Levels {
    Levels {
        levels: crate::imaging::metrics::grey(image)
            .into_iter()
            .map(|level| level.round() as u8)
            .collect(),
        width: image.width() as usize,
        height: image.height() as usize,
    }
}

fn records(
    what: &FromVolumes,
    series: &SeriesInfo,
    modality: &Modality,
    slice: usize,
    levels: &Levels,
    made: &mut Made,
) -> Result<(), DatasetError> {
    let subject = subject(series);
    let picture = levels.picture(what.side);
    let mut save = |kind: &str, levels: &[u8]| {
        let name = format!("{}_{slice:03}{kind}.png", series.id);
        let path = Path::new("images").join(&subject).join(name);
        save_grey(&what.out.join(&path), levels, what.side)?;
        made.pictures += 1;
        Ok::<_, DatasetError>(path)
    };
    let whole = save("", &picture)?;
    let mut inputs = Vec::new();
    for task in &what.tasks {
        match task {
            RecordTask::Reconstruct => inputs.push((*task, whole.clone())),
            RecordTask::Sr4 => {
                inputs.push((*task, save("-quarter", &quarter(&picture, what.side))?));
            }
            _ => {}
        }
    }
    for (task, image) in inputs {
        let id = format!("{subject}/{}/{slice}/{task}", series.id);
        let words = instruction(task, &mut item_random(what.seed, &[&id]));
        made.records.push(Record {
            id: Some(id),
            subject: Some(subject.clone()),
            task: Some(task),
            modality: Some(modality.code().to_owned()),
            target_image: Some(whole.clone()),
            ..Record::about(image, words, "")
        });
    }
    Ok(())
}

/// A name for the patient that names nobody: series of one patient share it, and so do files of one folder that say no patient.
fn subject(series: &SeriesInfo) -> String {
    let patient = &series.patient;
    let folder = series.files.first().and_then(|file| file.parent());
    let who = if patient.id.is_empty() && patient.name.is_empty() {
        folder
            .map(|folder| folder.display().to_string())
            .unwrap_or_default()
    } else {
        format!("{}\0{}", patient.id, patient.name)
    };
    sha256_hex(who.as_bytes()).chars().take(12).collect()
}
