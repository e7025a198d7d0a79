//! What is known about a slice, measured and never guessed: modality, plane, and where and how large its outlined lesion is.
//!
//! Places are those of the picture, relative to the limb: the volumes are cropped around their lesion, so that its place in
//! the whole picture would say little.

use serde::Serialize;

use super::pairs::{BODY_HU, SubjectSlice};
use crate::imaging::{Plane, Slice};

/// A lesion with a smaller outline in a slice is neither called visible nor invisible there, in mm²: a disc of 8 mm.
pub const VISIBLE_MM2: f64 = 50.0;
/// A lesion is in the centre when it is off the limb's by less than this share of the limb's width and height.
const CENTRAL: f64 = 0.08;

/// A modality of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Scanner {
    /// Computed tomography.
    #[serde(rename = "CT")]
    Ct,
    /// Magnetic resonance, T1-weighted.
    #[serde(rename = "MR")]
    Mr,
}

impl Scanner {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ct, Self::Mr];

    /// `CT` or `MR`, as DICOM writes it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ct => "CT",
            Self::Mr => "MR",
        }
    }

    /// `CT` or `MRI`, as people say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ct => "CT",
            Self::Mr => "MRI",
        }
    }
}

/// Where in the limb, as the picture shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// About the middle.
    Centre,
    /// Up and to the left of the picture.
    UpperLeft,
    /// Up and to the right.
    UpperRight,
    /// Down and to the left.
    LowerLeft,
    /// Down and to the right.
    LowerRight,
}

impl Place {
    /// All, in the order of the picture.
    pub const ALL: [Self; 5] = [
        Self::Centre,
        Self::UpperLeft,
        Self::UpperRight,
        Self::LowerLeft,
        Self::LowerRight,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Centre => "centre",
            Self::UpperLeft => "upper left",
            Self::UpperRight => "upper right",
            Self::LowerLeft => "lower left",
            Self::LowerRight => "lower right",
        }
    }

    /// By the distance from the limb's centre, in shares of its width and height.
    fn at(x: f64, y: f64) -> Self {
        match (x.abs() < CENTRAL && y.abs() < CENTRAL, y < 0.0, x < 0.0) {
            (true, ..) => Self::Centre,
            (_, true, true) => Self::UpperLeft,
            (_, true, false) => Self::UpperRight,
            (_, false, true) => Self::LowerLeft,
            (_, false, false) => Self::LowerRight,
        }
    }
}

/// How large a lesion is in a slice. 5 cm is the limit of T1 and T2 of soft-tissue sarcoma, 10 cm that of T2 and T3 (AJCC, 8th
/// edition); these are sizes in one slice, not stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// Under 5 cm.
    Small,
    /// 5 to 10 cm.
    Medium,
    /// Over 10 cm.
    Large,
}

impl Extent {
    /// All, smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Small => "less than 5 cm",
            Self::Medium => "5 to 10 cm",
            Self::Large => "more than 10 cm",
        }
    }

    /// By the largest diameter.
    pub fn of(size_mm: f64) -> Self {
        match size_mm {
            size if size < 50.0 => Self::Small,
            size if size <= 100.0 => Self::Medium,
            _ => Self::Large,
        }
    }
}

/// The lesion in a slice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lesion {
    /// Nobody outlined it, or not in this plane.
    Unknown,
    /// The outline does not reach this slice.
    Absent,
    /// Under [`VISIBLE_MM2`]: the end of the outline, which may or may not be seen.
    Trace,
    /// It is there.
    Visible {
        /// Where.
        place: Place,
        /// Largest distance between two points of its outline, in mm.
        size_mm: f64,
    },
}

/// What is known about a picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// How it was made.
    pub scanner: Scanner,
    /// The plane.
    pub plane: Plane,
    /// The lesion.
    pub lesion: Lesion,
}

/// The lesion of an axial slice.
pub fn lesion(slice: &SubjectSlice) -> Lesion {
    let Some(outline) = &slice.lesion else {
        return Lesion::Unknown;
    };
    let inside = points(outline, |sample| sample > 0.5);
    let [dx, dy] = slice.hu.spacing_mm;
    if inside.is_empty() {
        return Lesion::Absent;
    }
    if inside.len() as f64 * dx * dy < VISIBLE_MM2 {
        return Lesion::Trace;
    }
    let body = points(&slice.hu, |hu| hu > BODY_HU);
    let [body_x, body_y] = centre(&body);
    let [x, y] = centre(&inside);
    let [width, height] = extent(&body);
    Lesion::Visible {
        place: Place::at((x - body_x) / width, (y - body_y) / height),
        size_mm: diameter(&inside, [dx, dy]),
    }
}

fn points(slice: &Slice, wanted: impl Fn(f32) -> bool) -> Vec<[usize; 2]> {
    let width = slice.width.max(1);
    let all = slice.samples.iter().enumerate();
    all.filter(|(_, sample)| wanted(**sample))
        .map(|(i, _)| [i % width, i / width])
        .collect()
}

fn centre(points: &[[usize; 2]]) -> [f64; 2] {
    [0, 1].map(|axis| {
        points.iter().map(|point| point[axis] as f64).sum::<f64>() / points.len().max(1) as f64
    })
}

fn extent(points: &[[usize; 2]]) -> [f64; 2] {
    [0, 1].map(|axis| {
        let along = points.iter().map(|point| point[axis]);
        let (low, high) = (along.clone().min(), along.max());
        (high.unwrap_or(0) - low.unwrap_or(0) + 1) as f64
    })
}

/// The largest distance between two of the points (row by row, left to right), in mm, from edge to edge.
fn diameter(points: &[[usize; 2]], [dx, dy]: [f64; 2]) -> f64 {
    // The ends of the rows are enough: the farthest points are among them.
    let mut ends: Vec<[usize; 2]> = Vec::new();
    for (i, point) in points.iter().enumerate() {
        let begins = i == 0 || points.get(i - 1).is_some_and(|last| last[1] != point[1]);
        let ends_row = points.get(i + 1).is_none_or(|next| next[1] != point[1]);
        if begins || ends_row {
            ends.push(*point);
        }
    }
    let mut largest = 0.0_f64;
    for (i, a) in ends.iter().enumerate() {
        for b in ends.iter().skip(i + 1) {
            let x = (a[0] as f64 - b[0] as f64) * dx;
            let y = (a[1] as f64 - b[1] as f64) * dy;
            largest = largest.max(x.hypot(y));
        }
    }
    largest + dx.min(dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_quadrants_around_a_small_centre() {
        assert_eq!(Place::at(0.05, -0.05), Place::Centre);
        assert_eq!(Place::at(-0.3, -0.01), Place::UpperLeft);
        assert_eq!(Place::at(0.3, 0.2), Place::LowerRight);
    }

    #[test]
    fn the_diameter_of_a_bar_is_its_length_along_any_direction() {
        let bar: Vec<[usize; 2]> = (0..10).map(|x| [x, 3]).collect();
        assert_eq!(diameter(&bar, [2.0, 1.0]), 19.0); // 9 steps of 2 mm and one pixel of 1 mm
        assert_eq!(diameter(&[[4, 4]], [2.0, 2.0]), 2.0);
        let corner = [[0, 0], [1, 0], [0, 4], [3, 4]];
        assert_eq!(diameter(&corner, [1.0, 1.0]), 6.0); // 3-4-5, and one pixel
    }

    #[test]
    fn sizes_are_binned_at_5_and_10_cm() {
        let of = [49.9, 50.0, 100.0, 100.1].map(Extent::of);
        assert_eq!(
            of,
            [Extent::Small, Extent::Medium, Extent::Medium, Extent::Large]
        );
    }
}
