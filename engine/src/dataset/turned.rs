//! Coronal and sagittal slices of turned patients: what tells the planes apart must not depend on how somebody lay.
//!
//! A subject has a few dozen slices of a plane that look alike. Turned about its long axis and tilted, as limbs lie in scanners,
//! it has as many as are asked for, none of which was seen before.

use super::error::DatasetError;
use super::facts::Lesion;
use super::pairs::Subject;
use super::shown::Shown;
use super::words::item_random;
use crate::imaging::geometry::Affine;
use crate::imaging::reslice::{Axes, Grid};
use crate::imaging::{Plane, Volume};

/// The largest turn about the patient's axes to the left, to the back and to the head, in degrees either way. Past 45 about
/// the long axis a coronal slice would be a sagittal one.
const MOST_DEGREES: [f64; 3] = [12.0, 10.0, 30.0];

/// `count` slices of a plane, each through the middle two thirds of the subject turned anew; those that are mostly air are left out.
///
/// # Errors
/// As [`Subject::slice`].
pub fn turned(
    subject: &Subject,
    plane: Plane,
    count: usize,
    side: usize,
    seed: u64,
) -> Result<Vec<Shown>, DatasetError> {
    let mut all = Vec::new();
    for index in 0..count {
        let number = index.to_string();
        let mut random = item_random(seed, &[&subject.name, plane.name(), "turned", &number]);
        let mut between = |most: f64| most * (2.0 * random.uniform() - 1.0);
        let angles = MOST_DEGREES.map(|most| between(most).to_radians());
        let grid = turned_grid(&subject.ct, plane, angles);
        let middle = grid.size[2] as f64 / 2.0;
        let at = (middle + between(2.0 / 3.0 * middle)) as usize;
        let cut = |volume: &Volume| volume.sampled(&grid, at);
        let lesion = subject.lesion.as_deref().map(cut);
        let Some(slice) = subject.levelled(cut(&subject.ct), &cut(&subject.mr), lesion) else {
            continue;
        };
        all.push(Shown {
            plane,
            index,
            turned: true,
            ct: slice.ct.picture(side),
            mr: slice.mr.picture(side),
            lesion: Lesion::Unknown,
            slice,
        });
    }
    Ok(all)
}

/// The slices of a plane along the patient's axes, turned about the volume's centre: first to the left, then to the back, then to the
/// head, in radians.
fn turned_grid(volume: &Volume, plane: Plane, angles: [f64; 3]) -> Grid {
    let grid = volume.grid(plane, Axes::Patient);
    let last = grid.size.map(|n| n.saturating_sub(1) as f64 / 2.0);
    let centre = grid.patient_from_grid.apply(last);
    let turn = [0, 1, 2].map(|axis| {
        let mut unit = [0.0; 3];
        unit[axis] = 1.0;
        angles
            .iter()
            .enumerate()
            .fold(unit, |v, (about, angle)| turn(v, about, *angle))
    });
    let rotation = Affine::from_steps(turn, [0.0; 3]);
    let moved = rotation.apply(centre);
    let origin = [0, 1, 2].map(|axis| centre[axis] - moved[axis]);
    let rotation = Affine::from_steps(turn, origin);
    Grid {
        size: grid.size,
        patient_from_grid: rotation.after(&grid.patient_from_grid),
    }
}

/// `v` turned about one axis.
fn turn(v: [f64; 3], about: usize, angle: f64) -> [f64; 3] {
    let (sin, cos) = angle.sin_cos();
    let (a, b) = ((about + 1) % 3, (about + 2) % 3);
    let mut to = v;
    to[a] = cos * v[a] - sin * v[b];
    to[b] = sin * v[a] + cos * v[b];
    to
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::Voxels;

    fn volume() -> Volume {
        let steps = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 4.0]];
        let affine = Affine::from_steps(steps, [-10.0, 5.0, 30.0]);
        Volume::new([11, 21, 6], Voxels::U8(vec![7; 11 * 21 * 6]), affine)
    }

    #[test]
    fn a_turned_grid_keeps_its_centre_its_spacing_and_the_length_of_its_sides() {
        let volume = volume();
        let plain = volume.grid(Plane::Coronal, Axes::Patient);
        let turned = turned_grid(&volume, Plane::Coronal, [0.2, -0.1, 0.5]);
        let centre = plain.size.map(|n| (n - 1) as f64 / 2.0);
        let near = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
        let at = |grid: &Grid| grid.patient_from_grid.apply(centre);
        assert!(near(at(&plain), at(&turned)) && near(at(&plain), [0.0, 25.0, 40.0]));
        let spacing = |grid: &Grid| grid.patient_from_grid.spacing_mm();
        assert!(near(spacing(&plain), spacing(&turned)));
        assert_ne!(plain, turned);
        assert_eq!(plain, turned_grid(&volume, Plane::Coronal, [0.0; 3]));
    }

    #[test]
    fn a_quarter_turn_about_the_long_axis_makes_coronal_slices_sagittal() {
        let quarter = std::f64::consts::FRAC_PI_2;
        let grid = turned_grid(&volume(), Plane::Coronal, [0.0, 0.0, quarter]);
        let [x, y, z] = grid.patient_from_grid.step(0);
        assert!(x.abs() < 1e-9 && (y.abs() - 2.0).abs() < 1e-9 && z.abs() < 1e-9);
    }
}
