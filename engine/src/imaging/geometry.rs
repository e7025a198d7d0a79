//! Patient space: LPS in mm (x to the patient's left, y to posterior, z to superior), as in DICOM PS3.3 C.7.6.2.1.1.

use serde::{Deserialize, Serialize};

/// `patient = matrix x (i, j, k, 1)`: the centre of a voxel, in mm. Rows x, y, z.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affine(pub [[f64; 4]; 3]);

/// The ways to lay three axes along three others.
pub(super) const AXIS_ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

impl Affine {
    /// Unit voxels at the origin, for scans that say nothing.
    pub const IDENTITY: Self = Self([
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
    ]);

    /// Patient coordinates of a voxel, in mm.
    pub fn apply(&self, voxel: [f64; 3]) -> [f64; 3] {
        self.0
            .map(|[x, y, z, offset]| x * voxel[0] + y * voxel[1] + z * voxel[2] + offset)
    }

    /// The step along voxel axis `axis` (0, 1, 2), in mm.
    pub fn step(&self, axis: usize) -> [f64; 3] {
        self.0.map(|row| row[axis.min(2)])
    }

    /// The map with these steps along its axes and this origin.
    pub fn from_steps(steps: [[f64; 3]; 3], origin: [f64; 3]) -> Self {
        Self([0, 1, 2].map(|d| [steps[0][d], steps[1][d], steps[2][d], origin[d]]))
    }

    /// The map back; nothing when the steps lie in a plane.
    pub fn inverse(&self) -> Option<Self> {
        let [a, b, c] = [0, 1, 2].map(|axis| self.step(axis));
        let determinant = dot(a, cross(b, c));
        let size = length(a) * length(b) * length(c);
        if !determinant.is_finite() || determinant.abs() <= 1e-9 * size {
            return None;
        }
        // Rows of the inverse are the cross products of the other two columns.
        let rows = [cross(b, c), cross(c, a), cross(a, b)].map(|row| row.map(|x| x / determinant));
        let origin = self.0.map(|row| row[3]);
        Some(Self(
            rows.map(|[x, y, z]| [x, y, z, -dot([x, y, z], origin)]),
        ))
    }

    /// First `inner`, then this map.
    pub fn after(&self, inner: &Self) -> Self {
        let turned = |v: [f64; 3]| self.0.map(|[x, y, z, _]| dot([x, y, z], v));
        let origin = self.apply(inner.0.map(|row| row[3]));
        Self::from_steps([0, 1, 2].map(|axis| turned(inner.step(axis))), origin)
    }

    /// Distance of neighbours along each voxel axis, in mm.
    pub fn spacing_mm(&self) -> [f64; 3] {
        [0, 1, 2].map(|axis| length(self.step(axis)))
    }

    /// Which voxel axis runs closest to each patient axis, and whether it runs the other way.
    /// Result: for x, y, z the pair (voxel axis, flipped). Every voxel axis appears once.
    pub fn nearest_axes(&self) -> [(usize, bool); 3] {
        let unit = [0, 1, 2].map(|axis| normalised(self.step(axis)));
        let score = |order: &[usize; 3]| -> f64 { (0..3).map(|d| unit[order[d]][d].abs()).sum() };
        let best = AXIS_ORDERS
            .into_iter()
            .reduce(|best, order| {
                if score(&order) > score(&best) + 1e-9 {
                    order
                } else {
                    best
                }
            })
            .unwrap_or([0, 1, 2]);
        [0, 1, 2].map(|d| (best[d], unit[best[d]][d] < 0.0))
    }

    /// True when every voxel axis lies within half a degree of a patient axis.
    pub fn straight(&self) -> bool {
        let limit = 0.5_f64.to_radians().cos();
        (0..3).all(|axis| {
            let unit = normalised(self.step(axis));
            unit.iter().any(|component| component.abs() >= limit)
        })
    }

    /// True when no voxel axis is within half a degree of a patient axis.
    pub fn oblique(&self) -> bool {
        let limit = 0.5_f64.to_radians().cos();
        (0..3).any(|axis| {
            let unit = normalised(self.step(axis));
            unit.iter().all(|component| component.abs() < limit)
        })
    }
}

/// Length of a vector.
pub fn length(v: [f64; 3]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The vector with length 1; a zero vector stays.
pub fn normalised(v: [f64; 3]) -> [f64; 3] {
    let size = length(v);
    if size > 0.0 { v.map(|x| x / size) } else { v }
}

/// Cross product.
pub fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// Dot product.
pub fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// A direction in the patient, with its letters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Direction(pub [f64; 3]);

impl Direction {
    /// Orientation letters, strongest first, as on the edges of an image: `L`, or `LA` when oblique (components above
    /// sin 5 degrees count; PS3.3 C.7.6.1.1.1 Patient Orientation).
    pub fn letters(&self) -> String {
        let unit = normalised(self.0);
        let mut parts: Vec<(f64, char)> = unit
            .iter()
            .zip([('L', 'R'), ('P', 'A'), ('S', 'I')])
            .filter(|(component, _)| component.abs() > 0.0872)
            .map(|(component, (plus, minus))| {
                (component.abs(), if *component > 0.0 { plus } else { minus })
            })
            .collect();
        parts.sort_by(|a, b| b.0.total_cmp(&a.0));
        parts.into_iter().map(|(_, letter)| letter).collect()
    }

    /// The opposite direction.
    pub fn opposite(&self) -> Self {
        Self(self.0.map(|x| -x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_an_oblique_direction_come_strongest_first() {
        assert_eq!(Direction([1.0, 0.0, 0.0]).letters(), "L");
        assert_eq!(Direction([-1.0, 0.0, 0.0]).letters(), "R");
        assert_eq!(Direction([0.5, -0.8, 0.05]).letters(), "AL");
        assert_eq!(Direction([0.5, -0.8, 0.05]).opposite().letters(), "PR");
    }

    #[test]
    fn a_map_and_its_inverse_lead_back() {
        let affine = Affine([
            [0.5, 0.2, 0.0, 7.0],
            [-0.1, 2.0, 0.3, -4.0],
            [0.0, 0.4, -3.0, 1.0],
        ]);
        let back = affine.inverse().unwrap().after(&affine);
        for (row, wanted) in back.0.iter().zip(Affine::IDENTITY.0) {
            assert!(
                row.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12),
                "{row:?}"
            );
        }
        let flat = Affine([
            [1.0, 1.0, 0.0, 0.0],
            [1.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
        ]);
        assert_eq!(flat.inverse(), None);
    }

    #[test]
    fn every_voxel_axis_is_matched_once_even_at_45_degrees() {
        let s = std::f64::consts::FRAC_1_SQRT_2;
        let affine = Affine([[s, -s, 0.0, 0.0], [s, s, 0.0, 0.0], [0.0, 0.0, -2.0, 5.0]]);
        let axes = affine.nearest_axes().map(|(axis, _)| axis);
        assert_eq!(axes.iter().sum::<usize>(), 3);
        assert_eq!(affine.nearest_axes()[2], (2, true));
        assert!(affine.oblique());
        assert_eq!(affine.spacing_mm()[2], 2.0);
    }
}
