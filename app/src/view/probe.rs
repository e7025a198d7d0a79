//! What is at a place: where it is in the patient, which voxel, and its value.

use engine::imaging::{Modality, Rescale};
use image::RgbImage;

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

/// `R 17.6  P 35.3  S 12.1 mm   voxel 120, 88, 11   raw 1067   43 HU`.
pub fn words_at(view: &VolumeView, patient_mm: [f64; 3]) -> Option<String> {
    let volume = &view.volume;
    let voxel = volume.patient_from_voxel.inverse()?.apply(patient_mm);
    let mut nearest = [0; 3];
    for axis in 0..3 {
        let index = voxel[axis].round();
        if index < 0.0 || index >= volume.size[axis] as f64 {
            return None;
        }
        nearest[axis] = index as usize;
    }
    let [i, j, k] = nearest;
    let sample = volume.sample(nearest);
    let stored = volume.voxels.get(volume.offset(nearest));
    let digits = decimals(view.window.width).max(3);
    let number = |x: f32| {
        if x.fract() == 0.0 {
            format!("{x:.0}")
        } else {
            format!("{x:.digits$}")
        }
    };
    let value = match (&volume.modality, &volume.unit) {
        _ if volume.pads(stored) => words().value_padding.to_owned(),
        (_, Some(unit)) => format!("{} {unit}", number(sample)),
        (Modality::Ct, None) => fill(words().value_hu, &[&format_args!("{sample:.0}")]),
        _ => fill(words().value_plain, &[&number(sample)]),
    };
    let raw = match volume.rescale_of(k) {
        Rescale::NONE if volume.modality != Modality::Ct => String::new(),
        _ => fill(words().value_raw, &[&number(stored)]),
    };
    let position = if volume.calibrated {
        let parts = [0, 1, 2].map(|axis| side_words(axis, patient_mm[axis]));
        fill(words().position, &[&parts.join("  ")])
    } else {
        String::new()
    };
    let value = format!("{raw}{value}");
    Some(fill(words().voxel_value, &[&position, &i, &j, &k, &value]))
}
