//! What is at a place: where it is in the patient, which voxel, and its value.

use engine::imaging::{Modality, Rescale};
use image::RgbImage;

use super::overlay::slab_words;
use crate::section::Section;
use crate::state::{Orientation, VolumeView, decimals};
use crate::strings::{fill, words};
use egui::{Pos2, Rect};

/// The column and row under the pointer, where the picture lies at `place`; nothing beside it.
pub fn pixel_at(
    view: &VolumeView,
    orientation: Orientation,
    place: Rect,
    at: Pos2,
) -> Option<[usize; 2]> {
    let [columns, rows, _] = view.grid().size;
    pixel_of([columns, rows], orientation, place, at)
}

fn pixel_of(
    [columns, rows]: [usize; 2],
    orientation: Orientation,
    place: Rect,
    at: Pos2,
) -> Option<[usize; 2]> {
    if !place.contains(at) {
        return None;
    }
    let [across, along] = orientation.to_picture(((at - place.min) / place.size()).into());
    let pixel = |share: f32, count: usize| {
        Some(((share * count as f32) as usize).min(count.checked_sub(1)?))
    };
    Some([pixel(across, columns)?, pixel(along, rows)?])
}

/// The place in the patient of a pixel of the slice shown, LPS mm.
pub fn place_of(view: &VolumeView, [x, y]: [usize; 2]) -> [f64; 3] {
    let pixel = [x as f64, y as f64, view.index() as f64];
    view.grid().patient_from_grid.apply(pixel)
}

/// `R 17.6`: how far to which side along a patient axis (0 x, 1 y, 2 z).
pub fn side_words(axis: usize, mm: f64) -> String {
    let (plus, minus) = match axis {
        0 => ('L', 'R'),
        1 => ('P', 'A'),
        _ => ('S', 'I'),
    };
    // What is written as 0.0 has no side.
    let letter = if mm <= -0.05 { minus } else { plus };
    format!("{letter} {:.1}", mm.abs())
}

/// `pixel 120, 88   RGB 200, 40, 40`: the colour under the pointer, where the picture lies at `place`.
pub fn colour_words_at(
    picture: &RgbImage,
    orientation: Orientation,
    place: Rect,
    at: Pos2,
) -> Option<String> {
    let size = [picture.width(), picture.height()];
    let [x, y] = pixel_of(size.map(|length| length as usize), orientation, place, at)?;
    let [r, g, b] = picture.get_pixel_checked(x as u32, y as u32)?.0;
    Some(fill(words().pixel_value, &[&x, &y, &r, &g, &b]))
}

/// `R 17.6  P 35.3  S 12.1 mm   voxel 120, 88, 11   raw 1067   43 HU`; through a slab `… mm   MIP 20 mm: 43 HU`.
pub fn words_at(view: &VolumeView, patient_mm: [f64; 3]) -> Option<String> {
    let value = value_at(view, &view.section(), patient_mm)?;
    Some(format!("{}{value}", position_words(view, patient_mm)))
}

/// The same of two volumes that are drawn as one picture, where the first one's pixels are: `… mm   first … | second …`.
pub fn words_of_both(pair: [&VolumeView; 2], patient_mm: [f64; 3]) -> Option<String> {
    let [first, _] = pair;
    let section = first.section();
    let values = pair.map(|view| value_at(view, &section, patient_mm));
    if values.iter().all(Option::is_none) {
        return None;
    }
    let [first_value, second_value] = values.map(|value| value.unwrap_or_else(|| "–".to_owned()));
    let both = fill(words().of_both, &[&first_value, &second_value]);
    Some(format!("{}{both}", position_words(first, patient_mm)))
}

/// `R 17.6  P 35.3  S 12.1 mm   `, where the files say it.
fn position_words(view: &VolumeView, patient_mm: [f64; 3]) -> String {
    if !view.volume.calibrated {
        return String::new();
    }
    let parts = [0, 1, 2].map(|axis| side_words(axis, patient_mm[axis]));
    fill(words().position, &[&parts.join("  ")])
}

/// What is on screen at a place: a voxel with its value, or the value that a slab has there.
fn value_at(view: &VolumeView, section: &Section, patient_mm: [f64; 3]) -> Option<String> {
    let volume = &view.volume;
    if let Some(slab) = section.slab {
        let [x, y, _] = section.grid.at(patient_mm)?;
        let [columns, rows, _] = section.grid.size;
        let pixel = [nearest(x, columns)?, nearest(y, rows)?];
        let sample = section.sample(volume, pixel);
        if sample.is_nan() && volume.padding.is_none() {
            return None; // beside the volume
        }
        let value = sample_words(view, sample, sample.is_nan());
        return Some(format!("{}: {value}", slab_words(slab)));
    }
    let voxel = volume.patient_from_voxel.inverse()?.apply(patient_mm);
    let mut at = [0; 3];
    for axis in 0..3 {
        at[axis] = nearest(voxel[axis], volume.size[axis])?;
    }
    let [i, j, k] = at;
    let stored = volume.voxels.get(volume.offset(at));
    let value = sample_words(view, volume.sample(at), volume.pads(stored));
    let raw = match volume.rescale_of(k) {
        Rescale::NONE if volume.modality != Modality::Ct => String::new(),
        _ => fill(words().value_raw, &[&number_words(view, stored)]),
    };
    let value = format!("{raw}{value}");
    Some(fill(words().voxel_value, &[&"", &i, &j, &k, &value]))
}

/// The whole number next to a place along an axis with so many of them.
fn nearest(place: f64, count: usize) -> Option<usize> {
    let index = place.round();
    (index >= 0.0 && index < count as f64).then_some(index as usize)
}

/// `43 HU`.
fn sample_words(view: &VolumeView, sample: f32, padding: bool) -> String {
    match (&view.volume.modality, &view.volume.unit) {
        _ if padding => words().value_padding.to_owned(),
        (_, Some(unit)) => format!("{} {unit}", number_words(view, sample)),
        (Modality::Ct, None) => fill(words().value_hu, &[&format_args!("{sample:.0}")]),
        _ => fill(words().value_plain, &[&number_words(view, sample)]),
    }
}

fn number_words(view: &VolumeView, number: f32) -> String {
    let digits = decimals(view.window.width).max(3);
    if number.fract() == 0.0 {
        format!("{number:.0}")
    } else {
        format!("{number:.digits$}")
    }
}
