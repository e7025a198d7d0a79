//! Which frames of a series make one volume, in which order, and where that volume lies in the patient.

use super::header::{Frame, Header};
use crate::imaging::geometry::{Affine, cross, dot, length};
use crate::imaging::note::{Differs, Note};
use crate::imaging::volume::Scale;

/// A frame of a file: indices into the headers and into their frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameOf {
    /// The file.
    pub file: usize,
    /// The frame in it.
    pub frame: usize,
}

/// Frames that make one volume, in slice order.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The frames.
    pub frames: Vec<FrameOf>,
    /// Why it was split off.
    pub notes: Vec<Note>,
}

/// Where a stack lies.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// LPS mm of voxel centres.
    pub patient_from_voxel: Affine,
    /// The files say where it lies.
    pub calibrated: bool,
    /// What the files say at least of how far pixels are apart.
    pub scale: Scale,
    /// Why no plane across the slices can be cut.
    pub planes_off: Option<Note>,
    /// Uneven spacing, tilt, missing positions.
    pub notes: Vec<Note>,
}

/// Positions nearer than this are the same, in mm.
const SAME_POSITION_MM: f64 = 1e-3;

/// Why two frames are not in one volume.
#[derive(Clone, Copy, PartialEq)]
enum Apart {
    By(Differs),
    /// A clip in colour is shown by itself.
    Clips,
}

/// Splits the frames of one series into stacks with one size, kind, orientation and pixel spacing and no position twice.
/// Pictures in colour are no slices: files of one frame each make one stack by size and kind, wherever they lie.
pub fn stacks(headers: &[Header]) -> Vec<Stack> {
    let mut groups: Vec<(Vec<FrameOf>, Option<Apart>)> = Vec::new();
    for (file, header) in headers.iter().enumerate() {
        for frame in 0..header.frames.len() {
            let this = FrameOf { file, frame };
            let fits = groups.iter_mut().find(|(frames, _)| {
                let first = frames.first().copied().unwrap_or(this);
                difference(headers, first, this).is_none()
            });
            match fits {
                Some((frames, _)) => frames.push(this),
                None => {
                    let first = groups.first().and_then(|(frames, _)| frames.first());
                    let why = first.and_then(|first| difference(headers, *first, this));
                    groups.push((vec![this], why));
                }
            }
        }
    }
    let split = groups.len() > 1;
    // The first group is named by what sets the second one apart.
    let first_why = groups.get(1).and_then(|(_, why)| *why);
    let mut stacks = Vec::new();
    for (number, (frames, why)) in groups.into_iter().enumerate() {
        let mut notes = Vec::new();
        if split {
            let why = if number == 0 { first_why } else { why };
            if let Some(Apart::By(differs)) = why {
                notes.push(Note::Split(differs));
            }
        }
        for layer in layers(headers, frames) {
            let notes = notes.iter().cloned().chain(layer.notes).collect();
            stacks.push(Stack { notes, ..layer });
        }
    }
    stacks
}

fn frame_at(headers: &[Header], at: FrameOf) -> Option<&Frame> {
    headers.get(at.file)?.frames.get(at.frame)
}

/// What keeps two frames from being in one volume.
fn difference(headers: &[Header], a: FrameOf, b: FrameOf) -> Option<Apart> {
    let (header_a, header_b) = (headers.get(a.file)?, headers.get(b.file)?);
    let (frame_a, frame_b) = (frame_at(headers, a)?, frame_at(headers, b)?);
    let (image_a, image_b) = (&header_a.image, &header_b.image);
    if (image_a.rows, image_a.columns) != (image_b.rows, image_b.columns) {
        return Some(Apart::By(Differs::Size));
    }
    if image_a.grey() != image_b.grey() || image_a.photometric != image_b.photometric {
        return Some(Apart::By(Differs::Photometric));
    }
    if !image_a.grey() {
        let clips = [header_a, header_b]
            .iter()
            .any(|file| file.frames.len() > 1);
        return (clips && a.file != b.file).then_some(Apart::Clips);
    }
    let same_axes = same_axes(frame_a.orientation, frame_b.orientation);
    if !same_axes || frame_a.position.is_some() != frame_b.position.is_some() {
        return Some(Apart::By(Differs::Orientation));
    }
    let same_spacing = match (frame_a.spacing_mm, frame_b.spacing_mm) {
        (Some(a), Some(b)) => (0..2).all(|axis| (a[axis] / b[axis] - 1.0).abs() < 1e-3),
        (None, None) => true,
        _ => false,
    };
    if !same_spacing || (frame_a.spacing_mm.is_none() && frame_a.aspect != frame_b.aspect) {
        return Some(Apart::By(Differs::Spacing));
    }
    (frame_a.stack != frame_b.stack).then_some(Apart::By(Differs::Stack))
}

/// Do columns and rows of two frames run to the same sides?
fn same_axes(a: Option<[[f64; 3]; 2]>, b: Option<[[f64; 3]; 2]>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (0..2).all(|axis| dot(a[axis], b[axis]) > 0.9999),
        (None, None) => true,
        _ => false,
    }
}

/// Puts frames in slice order; where several share a position, the first of each position makes the first stack, and
/// so on. Those in colour stay together: by where they lie, where all say so, and by number.
fn layers(headers: &[Header], mut frames: Vec<FrameOf>) -> Vec<Stack> {
    let order = |at: &FrameOf| frame_at(headers, *at).map_or([0.0; 4], |frame| frame.order);
    let by_order = |a: &FrameOf, b: &FrameOf| {
        let (a, b) = (order(a), order(b));
        let unequal = a.iter().zip(&b).map(|(a, b)| a.total_cmp(b));
        unequal.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    };
    let distance = |at: &FrameOf| {
        frame_at(headers, *at).and_then(|frame| {
            let [columns, rows] = frame.orientation?;
            Some(dot(cross(columns, rows), frame.position?))
        })
    };
    let single = |frames: Vec<FrameOf>, notes: Vec<Note>| vec![Stack { frames, notes }];
    let in_colour = |at: &FrameOf| headers.get(at.file).is_some_and(|file| !file.image.grey());
    if frames.iter().any(in_colour) {
        let axes = |at: &FrameOf| frame_at(headers, *at).and_then(|frame| frame.orientation);
        let first = frames.first().and_then(axes);
        let parallel = |at: &FrameOf| same_axes(first, axes(at)) && distance(at).is_some();
        let placed = frames.iter().all(parallel);
        let mm = |at: &FrameOf| distance(at).filter(|_| placed).unwrap_or(0.0);
        frames.sort_by(|a, b| mm(a).total_cmp(&mm(b)).then(by_order(a, b)));
        return single(frames, Vec::new());
    }
    if frames.iter().any(|at| distance(at).is_none()) {
        let location = |at: &FrameOf| frame_at(headers, *at).and_then(|frame| frame.location);
        let several_files = frames.first().map(|at| at.file) != frames.last().map(|at| at.file);
        if several_files && frames.iter().all(|at| location(at).is_some()) {
            frames.sort_by(|a, b| {
                let (a_mm, b_mm) = (location(a).unwrap_or(0.0), location(b).unwrap_or(0.0));
                a_mm.total_cmp(&b_mm).then(by_order(a, b))
            });
        } else {
            frames.sort_by(|a, b| by_order(a, b));
        }
        return single(frames, Vec::new());
    }
    let mut placed: Vec<(f64, FrameOf)> = frames
        .into_iter()
        .map(|at| (distance(&at).unwrap_or(0.0), at))
        .collect();
    placed.sort_by(|(a_mm, a), (b_mm, b)| a_mm.total_cmp(b_mm).then(by_order(a, b)));
    let mut positions: Vec<(f64, Vec<FrameOf>)> = Vec::new();
    for (mm, at) in placed {
        match positions.last_mut() {
            Some((last, here)) if (mm - *last).abs() < SAME_POSITION_MM => here.push(at),
            _ => positions.push((mm, vec![at])),
        }
    }
    let most = positions
        .iter()
        .map(|(_, here)| here.len())
        .max()
        .unwrap_or(0);
    let all_equal = positions.iter().all(|(_, here)| here.len() == most);
    if most <= 1 {
        let frames = positions.into_iter().flat_map(|(_, here)| here).collect();
        return single(frames, Vec::new());
    }
    for (_, here) in &mut positions {
        here.sort_by(by_order);
    }
    (0..most)
        .map(|layer| {
            let frames = positions
                .iter()
                .filter_map(|(_, here)| here.get(layer).copied());
            let why = Note::Layer {
                most,
                each: all_equal,
                number: layer + 1,
            };
            Stack {
                frames: frames.collect(),
                notes: vec![why],
            }
        })
        .collect()
}

/// Where frames in slice order lie. Columns, rows and slices become the voxel axes i, j, k (PS3.3 C.7.6.2.1.1).
pub fn geometry(frames: &[&Frame]) -> Geometry {
    let first = frames.first();
    let spacing = first.and_then(|frame| frame.spacing_mm);
    let aspect = first.and_then(|frame| frame.aspect);
    let [row_mm, column_mm] = spacing.or(aspect).unwrap_or([1.0, 1.0]);
    let thickness = first.and_then(|frame| frame.thickness_mm);
    let scale = match first {
        Some(frame) if spacing.is_some() && frame.at_detector => Scale::Detector,
        Some(_) if spacing.is_some() => Scale::Patient,
        _ => Scale::Unknown,
    };
    let mut notes = Vec::new();
    let positions: Option<Vec<[f64; 3]>> = frames.iter().map(|frame| frame.position).collect();
    let orientation = first.and_then(|frame| frame.orientation);
    let (Some([columns, rows]), Some(positions), true) =
        (orientation, positions, spacing.is_some())
    else {
        let placed = frames.iter().all(|frame| frame.position.is_some());
        let why = if placed && orientation.is_some() {
            Note::NoSpacing
        } else {
            Note::NoPositions
        };
        let unplaced = (frames.len() > 1).then_some(why);
        notes.extend(unplaced.clone());
        let slice_mm = thickness.unwrap_or(row_mm);
        return Geometry {
            patient_from_voxel: Affine([
                [column_mm, 0.0, 0.0, 0.0],
                [0.0, row_mm, 0.0, 0.0],
                [0.0, 0.0, slice_mm, 0.0],
            ]),
            calibrated: false,
            scale,
            planes_off: unplaced,
            notes,
        };
    };
    let normal = cross(columns, rows);
    let origin = positions.first().copied().unwrap_or_default();
    let last = positions.last().copied().unwrap_or_default();
    let intervals = positions.len().saturating_sub(1);
    let step: [f64; 3] = if intervals == 0 {
        normal.map(|x| x * thickness.unwrap_or(1.0))
    } else {
        [0, 1, 2].map(|axis| (last[axis] - origin[axis]) / intervals as f64)
    };
    let along: Vec<f64> = positions.iter().map(|p| dot(normal, *p)).collect();
    let gaps: Vec<f64> = along
        .iter()
        .zip(along.iter().skip(1))
        .map(|(a, b)| b - a)
        .collect();
    let planes_off = uneven(&along, &gaps).or_else(|| shifted(&positions, step, normal));
    notes.extend(planes_off.clone());
    let across = length(cross(normal, step));
    let tilt = across.atan2(dot(normal, step)).to_degrees();
    if tilt > 0.5 {
        notes.push(Note::Tilted { degrees: tilt });
    }
    let row = |axis: usize| {
        [
            columns[axis] * column_mm,
            rows[axis] * row_mm,
            step[axis],
            origin[axis],
        ]
    };
    Geometry {
        patient_from_voxel: Affine([row(0), row(1), row(2)]),
        calibrated: true,
        scale,
        planes_off,
        notes,
    }
}

/// A note when a slice lies beside where an even grid has it, by more than 2 % of a step (and 0.01 mm).
fn shifted(positions: &[[f64; 3]], step: [f64; 3], normal: [f64; 3]) -> Option<Note> {
    let origin = positions.first()?;
    let sideways = |(k, position): (usize, &[f64; 3])| {
        let off = [0, 1, 2].map(|axis| position[axis] - origin[axis] - step[axis] * k as f64);
        let along = dot(off, normal);
        length([0, 1, 2].map(|axis| off[axis] - normal[axis] * along))
    };
    let off = positions
        .iter()
        .enumerate()
        .map(sideways)
        .fold(0.0, f64::max);
    (off > (0.02 * length(step)).max(0.01)).then_some(Note::Shifted { mm: off })
}

/// A note when a slice lies further than 2 % of a step (and 0.01 mm) from where an even grid has it.
fn uneven(along: &[f64], gaps: &[f64]) -> Option<Note> {
    let (first, last) = (*along.first()?, *along.last()?);
    let step = (last - first) / gaps.len() as f64;
    let off = along
        .iter()
        .enumerate()
        .map(|(k, mm)| (mm - first - step * k as f64).abs())
        .fold(0.0, f64::max);
    if off <= (0.02 * step).max(0.01) {
        return None;
    }
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (*sorted.first()?, *sorted.last()?);
    let median = *sorted.get(sorted.len() / 2)?;
    let missing = gaps.iter().filter(|gap| **gap > 1.5 * median).count();
    let even_otherwise = median - low <= (0.02 * median).max(0.01);
    Some(if missing > 0 && even_otherwise {
        Note::Missing {
            places: missing,
            apart_mm: median,
            most_mm: high,
        }
    } else {
        Note::Uneven {
            low_mm: low,
            high_mm: high,
        }
    })
}
