//! A DICOM series into memory: a volume of stored values, or a picture.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use dicom_dictionary_std::tags;
use image::RgbImage;

use super::colour;
use super::header::{Frame, Header, read_header};
use super::pixels::FrameReader;
use super::source::Source;
use super::stack::geometry;
use crate::imaging::error::ImagingError;
use crate::imaging::memory::check_fits;
use crate::imaging::series::{Loaded, SeriesInfo};
use crate::imaging::volume::{Rescale, Volume, Voxels};

/// Threads that read and decode.
const THREADS: usize = 2;

/// Reads and decodes a series on two threads. `on_progress` gets slices done and in all, and may stop it.
///
/// # Errors
/// What is wrong with the first file that cannot be read, or [`ImagingError::Stopped`].
pub fn load_dicom(
    series: &SeriesInfo,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Loaded, ImagingError> {
    let slices = slices_of(series)?;
    let Some(first) = slices.first() else {
        return Err(ImagingError::no_files());
    };
    let mut reader = FrameReader::open(&first.path)?;
    if !reader.header.image.grey() {
        return picture(&mut reader, first).map(|picture| Loaded::Picture(Arc::new(picture)));
    }
    // One slice is decoded before memory for all is asked for: a size may be a lie.
    let _ = reader.stored_values(first.number)?;
    drop(reader);
    let voxels = read_slices(&slices, on_progress)?;
    volume_of(series, &slices, voxels).map(|volume| Loaded::Volume(Arc::new(volume)))
}

/// One slice to be read.
struct SliceOf {
    path: PathBuf,
    /// The frame in the file.
    number: usize,
    frame: Frame,
    header: Arc<Header>,
}

/// The headers of all slices, in slice order.
fn slices_of(series: &SeriesInfo) -> Result<Vec<SliceOf>, ImagingError> {
    let mut slices: Vec<SliceOf> = Vec::with_capacity(series.files.len());
    for (index, path) in series.files.iter().enumerate() {
        let header = match slices.last() {
            Some(last) if last.path == *path => Arc::clone(&last.header),
            _ => Arc::new(read_header(&mut Source::open(path)?)?),
        };
        let number = series.frames.get(index).copied().unwrap_or(0);
        let frame = header.frames.get(number).cloned().ok_or_else(|| {
            ImagingError::damaged(path, format!("it has no frame {} any more", number + 1))
        })?;
        slices.push(SliceOf {
            path: path.clone(),
            number,
            frame,
            header,
        });
    }
    Ok(slices)
}

fn picture(reader: &mut FrameReader, slice: &SliceOf) -> Result<RgbImage, ImagingError> {
    let image = reader.header.image.clone();
    let picture = if image.palette.is_some() {
        colour::from_palette(&reader.stored_values(slice.number)?, &image)
    } else {
        colour::rgb(&reader.samples(slice.number)?, &image)
    };
    picture.ok_or_else(|| ImagingError::damaged(&slice.path, "it has fewer pixels than its size"))
}

/// The type that holds the stored values of all slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    U8,
    I16,
    U16,
    I32,
    F32,
}

fn kind_of(header: &Header) -> Kind {
    let image = &header.image;
    match (image.bits_allocated, image.signed) {
        _ if header.pixels.tag != tags::PIXEL_DATA => Kind::F32,
        _ if image.modality_lut.is_some() => Kind::U16,
        (..=8, false) => Kind::U8,
        (..=8, true) | (16, true) => Kind::I16,
        (16, false) => Kind::U16,
        _ => Kind::I32,
    }
}

fn common(a: Kind, b: Kind) -> Kind {
    match (a.min(b), a.max(b)) {
        (Kind::I16, Kind::U16) => Kind::I32,
        (_, larger) => larger,
    }
}

fn read_slices(
    slices: &[SliceOf],
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Voxels, ImagingError> {
    let kinds = slices.iter().map(|slice| kind_of(&slice.header));
    let kind = kinds.reduce(common).unwrap_or(Kind::I16);
    let read = match kind {
        Kind::U8 => read_as(slices, on_progress, |from, to: &mut [u8]| match from {
            Voxels::U8(from) => copy(from, to),
            _ => false,
        })
        .map(|read| read.map(Voxels::U8)),
        Kind::I16 => read_as(slices, on_progress, |from, to: &mut [i16]| match from {
            Voxels::I16(from) => copy(from, to),
            Voxels::U8(from) => cast(from, to, i16::from),
            _ => false,
        })
        .map(|read| read.map(Voxels::I16)),
        Kind::U16 => read_as(slices, on_progress, |from, to: &mut [u16]| match from {
            Voxels::U16(from) => copy(from, to),
            Voxels::U8(from) => cast(from, to, u16::from),
            _ => false,
        })
        .map(|read| read.map(Voxels::U16)),
        Kind::I32 => read_as(slices, on_progress, |from, to: &mut [i32]| match from {
            Voxels::I32(from) => copy(from, to),
            Voxels::I16(from) => cast(from, to, i32::from),
            Voxels::U16(from) => cast(from, to, i32::from),
            Voxels::U8(from) => cast(from, to, i32::from),
            Voxels::F32(_) => false,
        })
        .map(|read| read.map(Voxels::I32)),
        Kind::F32 => Ok(None),
    }?;
    if let Some(voxels) = read {
        return Ok(voxels);
    }
    // Real numbers, or unsigned 32-bit values beyond the signed ones.
    let read = read_as(slices, on_progress, |from, to: &mut [f32]| {
        for (index, to) in to.iter_mut().enumerate() {
            *to = from.get(index);
        }
        true
    })?;
    Ok(Voxels::F32(read.unwrap_or_default()))
}

fn copy<T: Copy>(from: &[T], to: &mut [T]) -> bool {
    to.copy_from_slice(from);
    true
}

fn cast<A: Copy, B>(from: &[A], to: &mut [B], convert: fn(A) -> B) -> bool {
    for (to, from) in to.iter_mut().zip(from) {
        *to = convert(*from);
    }
    true
}

/// What a reading thread says about one slice.
enum Outcome {
    Done,
    /// The values do not fit the type that the header promised.
    Unfit,
    Failed(ImagingError),
}

/// Reads all slices on two threads with `place`, which is given the values and their place and says whether they fit.
/// Nothing if they do not.
fn read_as<T: Copy + Default + Send>(
    slices: &[SliceOf],
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    place: impl Fn(&Voxels, &mut [T]) -> bool + Sync,
) -> Result<Option<Vec<T>>, ImagingError> {
    let Some(first) = slices.first() else {
        return Ok(Some(Vec::new()));
    };
    let area = first.header.image.frame_samples();
    let count = area.saturating_mul(slices.len());
    check_fits(count as u64 * size_of::<T>() as u64, &first.path)?;
    // Zeros that are not touched before they are written.
    let mut voxels = vec![T::default(); count];
    let jobs = Mutex::new(slices.iter().zip(voxels.chunks_exact_mut(area.max(1))));
    let stop = AtomicBool::new(false);
    let (sender, outcomes) = mpsc::channel();
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let sender = sender.clone();
            let (jobs, stop, place) = (&jobs, &stop, &place);
            let work = move || {
                let mut opened: Option<FrameReader> = None;
                while !stop.load(Ordering::Relaxed) {
                    let job = jobs.lock().ok().and_then(|mut jobs| jobs.next());
                    let Some((slice, chunk)) = job else {
                        return;
                    };
                    let outcome = match values_of(&mut opened, slice) {
                        Ok(values) if values.len() != chunk.len() => {
                            Outcome::Failed(ImagingError::damaged(
                                &slice.path,
                                "it changed its size while it was read",
                            ))
                        }
                        Ok(values) if place(&values, chunk) => Outcome::Done,
                        Ok(_) => Outcome::Unfit,
                        Err(error) => Outcome::Failed(error),
                    };
                    if sender.send(outcome).is_err() {
                        return;
                    }
                }
            };
            thread::Builder::new()
                .name(format!("dicom-reader-{worker}"))
                .spawn_scoped(scope, work)
                .map_err(ImagingError::io(&first.path))?;
        }
        drop(sender);
        let mut done = 0;
        for outcome in &outcomes {
            let end = match outcome {
                Outcome::Done => {
                    done += 1;
                    match on_progress(done, slices.len()) {
                        ControlFlow::Continue(()) => None,
                        ControlFlow::Break(()) => Some(Err(ImagingError::Stopped)),
                    }
                }
                Outcome::Unfit => Some(Ok(false)),
                Outcome::Failed(error) => Some(Err(error)),
            };
            if let Some(end) = end {
                stop.store(true, Ordering::Relaxed);
                return end;
            }
        }
        Ok(done == slices.len())
    })
    .map(|complete| complete.then_some(voxels))
}

/// The values of a slice, through its modality look-up table where it has one.
fn values_of(opened: &mut Option<FrameReader>, slice: &SliceOf) -> Result<Voxels, ImagingError> {
    let fresh = match opened.take() {
        Some(reader) if reader.path() == slice.path => reader,
        _ => FrameReader::open(&slice.path)?,
    };
    let reader = opened.insert(fresh);
    let values = reader.stored_values(slice.number)?;
    Ok(match &slice.header.image.modality_lut {
        Some(lut) => {
            let looked_up = (0..values.len()).map(|i| lut.look_up(values.get(i) as i64));
            Voxels::U16(looked_up.collect())
        }
        None => values,
    })
}

fn volume_of(
    series: &SeriesInfo,
    slices: &[SliceOf],
    voxels: Voxels,
) -> Result<Volume, ImagingError> {
    let frames: Vec<&Frame> = slices.iter().map(|slice| &slice.frame).collect();
    let geometry = geometry(&frames);
    let (Some(first), Some(middle)) = (slices.first(), slices.get(slices.len() / 2)) else {
        return Err(ImagingError::no_files());
    };
    let rescale = |slice: &SliceOf| match slice.header.image.modality_lut {
        Some(_) => Rescale::NONE,
        None => slice.frame.rescale.unwrap_or(Rescale::NONE),
    };
    let mut rescales: Vec<Rescale> = slices.iter().map(rescale).collect();
    if rescales.iter().all(|one| Some(one) == rescales.first()) {
        rescales.truncate(1);
    }
    let image = &first.header.image;
    Ok(Volume {
        size: [image.columns, image.rows, slices.len()],
        voxels,
        rescale: rescales,
        patient_from_voxel: geometry.patient_from_voxel,
        calibrated: geometry.calibrated,
        modality: first.header.modality.clone(),
        body_part: first.header.body_part.clone(),
        windows: middle.frame.windows.clone(),
        voi_tables: Arc::clone(&middle.frame.voi_tables),
        inverted: image.photometric == "MONOCHROME1",
        lossy: slices.iter().any(|slice| slice.header.lossy),
        instance_uids: slices
            .iter()
            .map(|slice| slice.header.instance_uid.clone())
            .collect(),
        notes: series.notes.clone(),
    })
}
