//! A DICOM series into memory: a volume of stored values, or frames in colour.

use std::ops::ControlFlow;
use std::path::Path;
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
use crate::imaging::frames::Frames;
use crate::imaging::geometry::Direction;
use crate::imaging::memory::check_fits;
use crate::imaging::note::Note;
use crate::imaging::series::{Loaded, SeriesInfo};
use crate::imaging::volume::{Rescale, Volume, Voxels};

/// Threads that read and decode.
const THREADS: usize = 2;

/// Reads and decodes a series on two threads. `on_first` gets the middle slice, as a volume of its own, before the
/// others are read; `on_progress` gets slices done and in all, and may stop it.
///
/// # Errors
/// What is wrong with the first file that cannot be read, or [`ImagingError::Stopped`].
pub fn load_dicom(
    series: &SeriesInfo,
    on_first: &mut dyn FnMut(Volume),
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Loaded, ImagingError> {
    let mut places = places_of(series);
    let missing = leave_out_missing(&mut places)?;
    // One slice is decoded before memory for all is asked for: a size may be a lie.
    let middle = middle_slice(series, &places);
    let middle = middle.or_else(|error| readable_picture(&places).ok_or(error));
    let (header, first) = match middle? {
        (header, Loaded::Frames(_)) => {
            let mut frames = colour_frames(&places, &header, on_progress)?;
            frames
                .notes
                .extend(series.notes.iter().cloned().chain(missing));
            return Ok(Loaded::Frames(Arc::new(frames)));
        }
        (header, Loaded::Volume(volume)) => (header, volume),
    };
    if places.len() > 1 {
        on_first(Arc::unwrap_or_clone(first));
    }
    let (slices, voxels) = read_slices(&places, &header, on_progress)?;
    let mut volume = volume_of(series, &header, &slices, voxels);
    volume.notes.extend(missing);
    Ok(Loaded::Volume(Arc::new(volume)))
}

/// The middle slice of a series as a volume of its own, or its picture in colour.
///
/// # Errors
/// What is wrong with its file.
pub fn dicom_slice(series: &SeriesInfo) -> Result<Loaded, ImagingError> {
    let mut places = places_of(series);
    let _ = leave_out_missing(&mut places)?;
    Ok(middle_slice(series, &places)?.1)
}

/// Leaves out the frames that their file promises and does not hold; the result is a note about them.
fn leave_out_missing(places: &mut Vec<Place<'_>>) -> Result<Option<Note>, ImagingError> {
    let promised = places.len();
    let mut there: Vec<(&Path, usize)> = Vec::new();
    for place in places.iter().filter(|place| place.number > 0) {
        if there.last().is_none_or(|(path, _)| *path != place.path) {
            there.push((place.path, FrameReader::open(place.path)?.frames_there()?));
        }
    }
    places.retain(|place| {
        let known = there.iter().find(|(path, _)| *path == place.path);
        known.is_none_or(|(_, count)| place.number < *count)
    });
    let kept = places.len();
    Ok((kept < promised).then_some(Note::CutShort {
        there: kept,
        promised,
    }))
}

fn middle_slice(
    series: &SeriesInfo,
    places: &[Place<'_>],
) -> Result<(Header, Loaded), ImagingError> {
    let Some(middle) = places.get(places.len() / 2) else {
        return Err(ImagingError::no_files());
    };
    let mut reader = FrameReader::open(middle.path)?;
    if !reader.header.image.grey() {
        let frames = Frames::one(picture(&mut reader, middle)?);
        return Ok((reader.header, Loaded::Frames(Arc::new(frames))));
    }
    let slice = SliceOf::of(&reader.header, middle)?;
    let values = values_of(&mut reader, middle)?;
    let volume = volume_of(series, &reader.header, &[slice], values);
    Ok((reader.header, Loaded::Volume(Arc::new(volume))))
}

/// The first picture of a colour series that can be read; nothing of a grey one, which is whole or no volume.
fn readable_picture(places: &[Place<'_>]) -> Option<(Header, Loaded)> {
    for place in places {
        let Ok(mut reader) = FrameReader::open(place.path) else {
            continue;
        };
        if reader.header.image.grey() {
            return None;
        }
        if let Ok(picture) = picture(&mut reader, place) {
            let frames = Frames::one(picture);
            return Some((reader.header, Loaded::Frames(Arc::new(frames))));
        }
    }
    None
}

fn places_of(series: &SeriesInfo) -> Vec<Place<'_>> {
    let places = series.files.iter().enumerate();
    places
        .map(|(index, path)| Place {
            path,
            number: series.frames.get(index).copied().unwrap_or(0),
        })
        .collect()
}

/// Where one slice is.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a Path,
    /// The frame in the file.
    number: usize,
}

/// What a volume keeps of the header of one slice.
struct SliceOf {
    frame: Frame,
    instance_uid: String,
    lossy: bool,
    /// Its values went through a modality look-up table.
    looked_up: bool,
}

impl SliceOf {
    fn of(header: &Header, place: &Place<'_>) -> Result<Self, ImagingError> {
        let frame = header.frames.get(place.number).cloned().ok_or_else(|| {
            let what = format!("it has no frame {} any more", place.number + 1);
            ImagingError::damaged(place.path, what)
        })?;
        Ok(Self {
            frame,
            instance_uid: header.instance_uid.clone(),
            lossy: header.lossy,
            looked_up: header.image.modality_lut.is_some(),
        })
    }
}

/// All frames of a colour series, with what their files say of sides, of lengths and of losses on the way. A picture that cannot be read
/// is black, so that the others keep their numbers; where none can be read, that is the error.
fn colour_frames(
    places: &[Place<'_>],
    header: &Header,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Frames, ImagingError> {
    let pixels = header.image.columns.saturating_mul(header.image.rows) as u64;
    if let Some(first) = places.first() {
        let bytes = pixels.saturating_mul(3).saturating_mul(places.len() as u64);
        check_fits(bytes, first.path)?;
    }
    let mut opened: Option<FrameReader> = None;
    let mut pictures = Vec::with_capacity(places.len());
    let (mut lossy, mut all_sides, mut spacings) = (false, Vec::new(), Vec::new());
    let (columns, rows) = (header.image.columns as u32, header.image.rows as u32);
    let (mut unreadable, mut why) = (0, None);
    for place in places {
        let read = opened_at(&mut opened, place).and_then(|reader| picture(reader, place));
        let picture = match read {
            Ok(picture) => picture,
            Err(error) => {
                unreadable += 1;
                why = why.or(Some(error));
                pictures.push(RgbImage::new(columns, rows));
                continue;
            }
        };
        let reader = opened_at(&mut opened, place)?; // it is open
        pictures.push(picture);
        lossy |= reader.header.lossy;
        let frame = reader.header.frames.get(place.number);
        let axes = frame.and_then(|frame| frame.orientation);
        let sides = axes.map(|axes| axes.map(Direction));
        all_sides.push(sides.or(reader.header.sides));
        let in_patient = frame.filter(|frame| !frame.at_detector);
        spacings.push(in_patient.and_then(|frame| frame.spacing_mm));
        if on_progress(pictures.len(), places.len()).is_break() {
            return Err(ImagingError::Stopped);
        }
    }
    let of = places.len();
    if let Some(why) = why.filter(|_| unreadable == of) {
        return Err(why);
    }
    let mut frames = Frames::new(pictures).ok_or_else(ImagingError::no_files)?;
    let some = (unreadable > 0).then_some(Note::Unreadable {
        count: unreadable,
        of,
    });
    frames.notes.extend(some);
    let first = all_sides.first().copied().flatten();
    let letters = |sides: &[Direction; 2]| sides.map(|side| side.letters());
    let same =
        |sides: &Option<[Direction; 2]>| sides.as_ref().map(letters) == first.as_ref().map(letters);
    // One frame that lies otherwise, and the edges of all of them have no letters.
    frames.sides = first.filter(|_| all_sides.iter().all(same));
    let spacing = spacings.first().copied().flatten();
    let spacing = spacing.filter(|_| spacings.iter().all(|other| *other == spacing));
    frames.spacing_mm = spacing.map(|[row_mm, column_mm]| [column_mm, row_mm]);
    frames.notes.extend(lossy.then_some(Note::Lossy));
    Ok(frames)
}

fn picture(reader: &mut FrameReader, slice: &Place<'_>) -> Result<RgbImage, ImagingError> {
    let image = reader.header.image.clone();
    if image.photometric == "PALETTE COLOR" && image.palette.is_none() {
        let what = "an incomplete colour palette";
        return Err(ImagingError::unsupported(slice.path, what));
    }
    let picture = if image.palette.is_some() {
        colour::from_palette(&reader.stored_values(slice.number)?, &image)
    } else {
        colour::rgb(&reader.samples(slice.number)?, &image)
    };
    picture.ok_or_else(|| ImagingError::damaged(slice.path, "it has fewer pixels than its size"))
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

/// What was kept of the headers, and the voxels.
type Read<V> = (Vec<SliceOf>, V);

/// Reads all slices as the type that one of them promises; where others promise more, as what holds all of them.
fn read_slices(
    places: &[Place<'_>],
    header: &Header,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Read<Voxels>, ImagingError> {
    let area = header.image.frame_samples();
    if let Some(read) = read_kind(places, area, kind_of(header), on_progress)? {
        return Ok(read);
    }
    let mut kind = kind_of(header);
    for place in places {
        let header = read_header(&mut Source::open(place.path)?)?;
        kind = common(kind, kind_of(&header));
    }
    // Unsigned 32-bit values beyond the signed ones become real numbers.
    let read = match read_kind(places, area, kind, on_progress)? {
        None => read_kind(places, area, Kind::F32, on_progress)?,
        read => read,
    };
    read.ok_or_else(ImagingError::no_files)
}

/// Reads all slices as one type. Nothing where the values of one do not fit it.
fn read_kind(
    places: &[Place<'_>],
    area: usize,
    kind: Kind,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Option<Read<Voxels>>, ImagingError> {
    let read = match kind {
        Kind::U8 => read_as(
            places,
            area,
            on_progress,
            |from, to: &mut [u8]| match from {
                Voxels::U8(from) => copy(from, to),
                _ => false,
            },
        )?
        .map(|(slices, voxels)| (slices, Voxels::U8(voxels))),
        Kind::I16 => read_as(
            places,
            area,
            on_progress,
            |from, to: &mut [i16]| match from {
                Voxels::I16(from) => copy(from, to),
                Voxels::U8(from) => cast(from, to, i16::from),
                _ => false,
            },
        )?
        .map(|(slices, voxels)| (slices, Voxels::I16(voxels))),
        Kind::U16 => read_as(
            places,
            area,
            on_progress,
            |from, to: &mut [u16]| match from {
                Voxels::U16(from) => copy(from, to),
                Voxels::U8(from) => cast(from, to, u16::from),
                _ => false,
            },
        )?
        .map(|(slices, voxels)| (slices, Voxels::U16(voxels))),
        Kind::I32 => read_as(
            places,
            area,
            on_progress,
            |from, to: &mut [i32]| match from {
                Voxels::I32(from) => copy(from, to),
                Voxels::I16(from) => cast(from, to, i32::from),
                Voxels::U16(from) => cast(from, to, i32::from),
                Voxels::U8(from) => cast(from, to, i32::from),
                Voxels::F32(_) => false,
            },
        )?
        .map(|(slices, voxels)| (slices, Voxels::I32(voxels))),
        Kind::F32 => read_as(places, area, on_progress, |from, to: &mut [f32]| {
            for (index, to) in to.iter_mut().enumerate() {
                *to = from.get(index);
            }
            true
        })?
        .map(|(slices, voxels)| (slices, Voxels::F32(voxels))),
    };
    Ok(read)
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
    Done(usize, Box<SliceOf>),
    /// The values do not fit the type that the header promised.
    Unfit,
    Failed(ImagingError),
}

/// Reads all slices on two threads with `put`, which is given the values and where they go and says whether they fit.
/// Nothing if they do not.
fn read_as<T: Copy + Default + Send>(
    places: &[Place<'_>],
    area: usize,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    put: impl Fn(&Voxels, &mut [T]) -> bool + Sync,
) -> Result<Option<Read<Vec<T>>>, ImagingError> {
    let Some(first) = places.first() else {
        return Ok(None);
    };
    let count = area.saturating_mul(places.len());
    check_fits(count as u64 * size_of::<T>() as u64, first.path)?;
    // Zeros that are not touched before they are written.
    let mut voxels = vec![T::default(); count];
    let chunks = voxels.chunks_exact_mut(area.max(1));
    let jobs = Mutex::new(places.iter().zip(chunks).enumerate());
    let stop = AtomicBool::new(false);
    let (sender, outcomes) = mpsc::channel();
    let mut slices: Vec<Option<SliceOf>> = places.iter().map(|_| None).collect();
    let complete = thread::scope(|scope| {
        for worker in 0..THREADS {
            let sender = sender.clone();
            let (jobs, stop, put) = (&jobs, &stop, &put);
            let work = move || {
                let mut opened: Option<FrameReader> = None;
                while !stop.load(Ordering::Relaxed) {
                    let job = jobs.lock().ok().and_then(|mut jobs| jobs.next());
                    let Some((index, (place, chunk))) = job else {
                        return;
                    };
                    let outcome = match read_one(&mut opened, place) {
                        Ok((_, values)) if values.len() != chunk.len() => {
                            let what = "it changed its size while it was read";
                            Outcome::Failed(ImagingError::damaged(place.path, what))
                        }
                        Ok((slice, values)) if put(&values, chunk) => {
                            Outcome::Done(index, Box::new(slice))
                        }
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
                .map_err(ImagingError::io(first.path))?;
        }
        drop(sender);
        let mut done = 0;
        for outcome in &outcomes {
            let end = match outcome {
                Outcome::Done(index, slice) => {
                    if let Some(place) = slices.get_mut(index) {
                        *place = Some(*slice);
                    }
                    done += 1;
                    match on_progress(done, places.len()) {
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
        Ok(done == places.len())
    })?;
    let slices: Option<Vec<SliceOf>> = slices.into_iter().collect();
    Ok(slices.filter(|_| complete).map(|slices| (slices, voxels)))
}

/// Reads one slice; frames of one file follow each other, so the file stays open.
fn read_one(
    opened: &mut Option<FrameReader>,
    place: &Place<'_>,
) -> Result<(SliceOf, Voxels), ImagingError> {
    let reader = opened_at(opened, place)?;
    let slice = SliceOf::of(&reader.header, place)?;
    Ok((slice, values_of(reader, place)?))
}

/// The reader of a file, the one that is open if it is of the same.
fn opened_at<'a>(
    opened: &'a mut Option<FrameReader>,
    place: &Place<'_>,
) -> Result<&'a mut FrameReader, ImagingError> {
    let reader = match opened.take() {
        Some(reader) if reader.path() == place.path => reader,
        _ => FrameReader::open(place.path)?,
    };
    Ok(opened.insert(reader))
}

/// The values of a slice, through its modality look-up table where it has one.
fn values_of(reader: &mut FrameReader, place: &Place<'_>) -> Result<Voxels, ImagingError> {
    let values = reader.stored_values(place.number)?;
    Ok(match &reader.header.image.modality_lut {
        Some(lut) => {
            let looked_up = (0..values.len()).map(|i| lut.look_up(values.get(i) as i64));
            Voxels::U16(looked_up.collect())
        }
        None => values,
    })
}

fn volume_of(series: &SeriesInfo, header: &Header, slices: &[SliceOf], voxels: Voxels) -> Volume {
    let frames: Vec<&Frame> = slices.iter().map(|slice| &slice.frame).collect();
    let geometry = geometry(&frames);
    let rescale = |slice: &SliceOf| match slice.looked_up {
        true => Rescale::NONE,
        false => slice.frame.rescale.unwrap_or(Rescale::NONE),
    };
    let mut rescales: Vec<Rescale> = slices.iter().map(rescale).collect();
    if rescales.iter().all(|one| Some(one) == rescales.first()) {
        rescales.truncate(1);
    }
    let middle = frames
        .get(frames.len() / 2)
        .copied()
        .cloned()
        .unwrap_or_default();
    let image = &header.image;
    Volume {
        rescale: rescales,
        calibrated: geometry.calibrated,
        scale: geometry.scale,
        sides: header.sides,
        unit: header.unit.clone(),
        padding: image
            .padding
            .filter(|_| image.modality_lut.is_none())
            .map(|ends| ends.map(|end| end as f32)),
        thickness_mm: middle.slice_mm,
        modality: header.modality.clone(),
        body_part: header.body_part.clone(),
        windows: middle.windows,
        voi_tables: middle.voi_tables,
        inverted: image.photometric == "MONOCHROME1",
        lossy: slices.iter().any(|slice| slice.lossy),
        instance_uids: slices
            .iter()
            .map(|slice| slice.instance_uid.clone())
            .collect(),
        frame_of_reference: Some(header.frame_of_reference.clone()).filter(|uid| !uid.is_empty()),
        planes_off: geometry.planes_off,
        notes: series.notes.clone(),
        ..Volume::new(
            [image.columns, image.rows, slices.len()],
            voxels,
            geometry.patient_from_voxel,
        )
    }
}
