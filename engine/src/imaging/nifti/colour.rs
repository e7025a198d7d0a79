//! Colour voxels: shown as pictures, because a volume is grey.

use image::RgbImage;

use crate::imaging::frames::Frames;
use crate::imaging::geometry::Affine;
use crate::imaging::reslice::Axes;
use crate::imaging::volume::{Volume, Voxels};

/// `NIFTI_TYPE_RGB24`.
pub const RGB24: i16 = 128;

/// `NIFTI_TYPE_RGBA32`.
pub const RGBA32: i16 = 2304;

/// The acquired slices of a volume, turned as those of a grey one are: the patient's left on the right, the head or the
/// front on top. Nothing if there are fewer voxels than its size says.
pub fn slices(voxels: &[[u8; 3]], size: [usize; 3], patient_from_voxel: Affine) -> Option<Frames> {
    // A volume without samples, which knows where each voxel is shown.
    let volume = Volume::new(size, Voxels::U8(Vec::new()), patient_from_voxel);
    let plane = volume.acquired_plane();
    let grid = volume.grid(plane, Axes::Acquired);
    let axes = volume.voxel_axes(plane);
    let [columns, rows, slices] = grid.size;
    let strides = [1, size[0], size[0] * size[1]];
    let along = |(axis, backwards): (usize, bool), at: usize| {
        let at = if backwards { size[axis] - 1 - at } else { at };
        at * strides[axis]
    };
    let [right, down, through] = axes;
    let picture = |slice: usize| {
        let mut levels = Vec::with_capacity(columns * rows * 3);
        for row in 0..rows {
            let start = along(through, slice) + along(down, row);
            for column in 0..columns {
                levels.extend(voxels.get(start + along(right, column))?);
            }
        }
        RgbImage::from_raw(columns as u32, rows as u32, levels)
    };
    let pictures: Option<Vec<RgbImage>> = (0..slices).map(picture).collect();
    let mut frames = Frames::new(pictures?)?;
    frames.sides = Some([grid.right(), grid.down()]);
    let [across, along, _] = grid.patient_from_grid.spacing_mm();
    frames.spacing_mm = Some([across, along]);
    Some(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::geometry::AXIS_ORDERS;

    /// 2 x 3 x 4 voxels whose colour is their own place.
    fn colours(patient_from_voxel: Affine) -> Frames {
        let voxels: Vec<[u8; 3]> = (0..24_u8).map(|n| [n % 2, n / 2 % 3, n / 6]).collect();
        slices(&voxels, [2, 3, 4], patient_from_voxel).unwrap()
    }

    #[test]
    fn in_every_order_of_axes_the_edges_point_where_the_letters_say() {
        for order in AXIS_ORDERS {
            for signs in 0..8_u8 {
                let mut steps = [[0.0; 3]; 3];
                for (axis, step) in steps.iter_mut().enumerate() {
                    step[order[axis]] = if signs >> axis & 1 == 0 { 1.0 } else { -1.0 };
                }
                let affine = Affine::from_steps(steps, [5.0, -7.0, 9.0]);
                let frames = colours(affine);
                let [right, down] = frames.sides.unwrap();
                // The plane across the third voxel axis, seen as every plane is.
                let wanted = match order[2] {
                    0 => ["P", "I"],
                    1 => ["L", "I"],
                    _ => ["L", "P"],
                };
                assert_eq!([right.letters(), down.letters()], wanted, "{steps:?}");
                let picture = frames.at(0);
                let place = |x: u32, y: u32| affine.apply(picture.get_pixel(x, y).0.map(f64::from));
                let [last_x, last_y] = [picture.width() - 1, picture.height() - 1];
                let corner = place(0, 0);
                let (across, along) = (place(last_x, 0), place(0, last_y));
                for axis in 0..3 {
                    let far = [across, along].map(|place| place[axis] - corner[axis]);
                    let steps = [right.0, down.0].map(|step| step[axis]);
                    let wanted = [f64::from(last_x) * steps[0], f64::from(last_y) * steps[1]];
                    assert_eq!(far, wanted, "{order:?} {signs}");
                }
                // Slices go to superior, posterior or left.
                let through = |slice: usize| {
                    let voxel = frames.at(slice).get_pixel(0, 0).0.map(f64::from);
                    affine.apply(voxel)[order[2]]
                };
                assert!(through(3) > through(0), "{order:?} {signs}");
            }
        }
    }

    #[test]
    fn fewer_voxels_than_the_size_says_are_no_pictures() {
        assert!(slices(&[[0; 3]; 7], [2, 2, 2], Affine::IDENTITY).is_none());
    }
}
