//! Measurements as they are kept: a shape, and where in the patient its slice lies, so that it is found again when the
//! same series is opened with another set of its files.

use engine::imaging::measure::Shape;
use engine::imaging::{Axes, SliceAt, Volume};
use serde::{Deserialize, Serialize};

/// Steps in the patient that differ by less than this share are the same.
const SAME_STEP: f64 = 1e-3;

/// A shape that moved by less than this, in pixels, did not: places are kept to a millionth of a millimetre.
const SAME_PIXEL: f64 = 1e-3;

/// A measurement as it is kept: its numbers follow from the voxels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The slice, by its number among the files that were open.
    #[serde(flatten)]
    pub at: SliceAt,
    /// The shape.
    pub shape: Shape,
    /// Where the slice lies, if the files say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mm: Option<SliceMm>,
}

/// Where the pixels of a slice lie in the patient, LPS mm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceMm {
    /// The centre of the first pixel.
    pub first: [f64; 3],
    /// A step to the right.
    pub right: [f64; 3],
    /// A step down.
    pub down: [f64; 3],
}

impl SliceMm {
    /// That of a slice, where the files say where it lies.
    pub fn of(volume: &Volume, at: SliceAt) -> Option<Self> {
        if !volume.calibrated {
            return None;
        }
        let grid = volume.grid(at.plane, at.axes).patient_from_grid;
        // So many digits are written and read without a change.
        let rounded = |mm: [f64; 3]| mm.map(|mm| (mm * 1e6).round() / 1e6);
        Some(Self {
            first: rounded(grid.apply([0.0, 0.0, at.index as f64])),
            right: rounded(grid.step(0)),
            down: rounded(grid.step(1)),
        })
    }
}

impl Kept {
    /// The slice of this volume on which it lies and the shape there; nothing if it lies on none of them.
    pub fn on(&self, volume: &Volume) -> Option<(SliceAt, Shape)> {
        let Self { at, shape, mm } = *self;
        let grid = volume.grid(at.plane, at.axes);
        let [columns, rows, slices] = grid.size;
        let Some(mm) = mm else {
            return (at.index < slices).then_some((at, shape));
        };
        if !volume.calibrated {
            return None;
        }
        let [x, y, slice] = grid.at(mm.first)?;
        let index = slice.round();
        // Slices along the voxels lie where they lay, others anywhere between.
        let most = match at.axes {
            Axes::Acquired => 0.25,
            Axes::Patient => 0.5,
        };
        let there = (slice - index).abs() <= most && (0.0..slices as f64).contains(&index);
        // Where slices are missing, the even grid is a guess: only the same files are believed.
        let even = volume.planes_off.is_none() || index == at.index as f64;
        let same = |axis: usize, step: [f64; 3]| {
            let now = grid.patient_from_grid.step(axis);
            let size = |step: [f64; 3]| step.iter().map(|mm| mm * mm).sum::<f64>().sqrt();
            size([0, 1, 2].map(|d| now[d] - step[d])) <= SAME_STEP * size(now)
        };
        if !(there && even && same(0, mm.right) && same(1, mm.down)) {
            return None;
        }
        let moved = |pixels: f64| {
            let whole = pixels.round();
            if (pixels - whole).abs() < SAME_PIXEL {
                whole
            } else {
                pixels
            }
        };
        let shape = shape.moved([moved(x), moved(y)]);
        let [columns, rows] = [columns, rows].map(|length| length as f64);
        let inside = |[x, y]: [f64; 2]| (0.0..=columns).contains(&x) && (0.0..=rows).contains(&y);
        let at = SliceAt {
            index: index as usize,
            ..at
        };
        let any = shape.handles().into_iter().any(inside);
        any.then_some((at, shape))
    }
}

#[cfg(test)]
mod tests {
    use engine::imaging::{Affine, Note, Plane, Voxels};

    use super::*;

    /// Slices of 4 x 5 pixels, 3 mm apart, the first one at `z`.
    fn stack(z: f64, slices: usize) -> Volume {
        let rows = [
            [0.7, 0.0, 0.0, -1.0],
            [0.0, 0.7, 0.0, 2.0],
            [0.0, 0.0, 3.0, z],
        ];
        let voxels = Voxels::U8(vec![0; 20 * slices]);
        Volume::new([4, 5, slices], voxels, Affine(rows))
    }

    fn kept(volume: &Volume, plane: Plane, axes: Axes, index: usize) -> Kept {
        let at = SliceAt { plane, axes, index };
        Kept {
            at,
            shape: Shape::Length([[1.0, 4.0], [3.0, 4.5]]),
            mm: SliceMm::of(volume, at),
        }
    }

    fn found(kept: &Kept, volume: &Volume) -> Option<(usize, Shape)> {
        kept.on(volume).map(|(at, shape)| (at.index, shape))
    }

    #[test]
    fn a_slice_is_found_by_its_place_when_fewer_files_are_open() {
        let (all, later) = (stack(-10.0, 9), stack(-4.0, 5));
        for axes in [Axes::Acquired, Axes::Patient] {
            for index in 0..9 {
                let kept = kept(&all, Plane::Axial, axes, index);
                assert_eq!(found(&kept, &all), Some((index, kept.shape)), "{axes:?}");
            }
        }
        // The slices 2 to 6 of all are there.
        for index in 0..9 {
            let kept = kept(&all, Plane::Axial, Axes::Acquired, index);
            let wanted = index.checked_sub(2).filter(|index| *index < 5);
            let wanted = wanted.map(|index| (index, kept.shape));
            assert_eq!(found(&kept, &later), wanted, "slice {index}");
        }
    }

    #[test]
    fn a_shape_across_the_slices_stays_where_it_is_in_the_patient() {
        let (all, later) = (stack(-10.0, 9), stack(-4.0, 5));
        let kept = kept(&all, Plane::Coronal, Axes::Acquired, 3);
        // The uppermost slice of all is the first row, and two of them are not there.
        let moved = Shape::Length([[1.0, 2.0], [3.0, 2.5]]);
        assert_eq!(found(&kept, &later), Some((3, moved)));
        let lower = stack(-10.0, 3);
        assert_eq!(found(&kept, &lower), None, "it lies above all of them");
        // Every other file: the rows are further apart, and nothing is where it was.
        let sparse = Volume {
            patient_from_voxel: Affine([
                [0.7, 0.0, 0.0, -1.0],
                [0.0, 0.7, 0.0, 2.0],
                [0.0, 0.0, 6.0, -10.0],
            ]),
            ..stack(-10.0, 5)
        };
        assert_eq!(found(&kept, &sparse), None);
    }

    #[test]
    fn slices_between_those_that_are_open_are_not_mistaken_for_them() {
        let all = stack(-10.0, 9);
        let between = kept(&stack(-8.5, 8), Plane::Axial, Axes::Acquired, 4);
        assert_eq!(found(&between, &all), None);
        // Slices are missing: which is which only the same files tell.
        let uneven = Volume {
            planes_off: Some(Note::Missing {
                places: 1,
                apart_mm: 3.0,
                most_mm: 6.0,
            }),
            ..stack(-10.0, 9)
        };
        let same = kept(&uneven, Plane::Axial, Axes::Acquired, 4);
        assert_eq!(found(&same, &uneven), Some((4, same.shape)));
        let other = kept(&stack(-7.0, 9), Plane::Axial, Axes::Acquired, 4);
        assert_eq!(found(&other, &uneven), None);
    }

    #[test]
    fn what_was_kept_without_a_place_goes_by_its_number() {
        let text = r#"{"plane":"axial","index":4,"shape":{"length":[[1.0,4.0],[3.0,4.5]]}}"#;
        let old: Kept = serde_json::from_str(text).unwrap();
        assert_eq!(old.mm, None);
        assert_eq!(found(&old, &stack(0.0, 9)), Some((4, old.shape)));
        assert_eq!(found(&old, &stack(0.0, 4)), None);
        // Files that do not say where they lie.
        let unplaced = Volume {
            calibrated: false,
            ..stack(0.0, 9)
        };
        let kept = kept(&unplaced, Plane::Axial, Axes::Acquired, 4);
        assert_eq!(kept.mm, None);
        assert_eq!(found(&kept, &unplaced), Some((4, kept.shape)));
    }

    #[test]
    fn a_place_is_written_and_read_without_a_change() {
        let volume = Volume {
            patient_from_voxel: Affine([
                [0.488_281_25, 0.01, 0.0, -123.456_789_01],
                [-0.01, 0.488_281_25, 0.1, 1.0 / 3.0],
                [0.0, 0.0, 2.0 / 3.0, -814.23],
            ]),
            ..stack(0.0, 9)
        };
        for plane in Plane::ALL {
            let kept = kept(&volume, plane, Axes::Acquired, 3);
            let text = serde_json::to_string(&kept).unwrap();
            assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), kept, "{text}");
            assert_eq!(found(&kept, &volume), Some((3, kept.shape)));
        }
    }
}
