//! Lengths, angles and regions on a slice: what a drawn shape measures, in the samples and the geometry of its volume.
//!
//! A point is given in columns and rows of the slice as it is stored (`voxel_at`): pixel (c, r) covers the square from
//! (c, r) to (c + 1, r + 1). Lengths are in mm only where the files give a spacing, and in pixels otherwise.
//! A region's numbers are those of the pixels whose centre lies in it; samples that are no number are left out.

use serde::{Deserialize, Serialize};

use super::geometry::{cross, dot, length};
use super::reslice::{Axes, SliceAt};
use super::volume::{Scale, Volume};

/// Column and row on a slice.
pub type Point = [f64; 2];

/// Something drawn on a slice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// From here to there.
    Length([Point; 2]),
    /// The angle at the middle point.
    Angle([Point; 3]),
    /// Two opposite corners.
    Rectangle([Point; 2]),
    /// Two opposite corners of the box around it.
    Ellipse([Point; 2]),
}

/// What a shape measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// A distance.
    Length {
        /// In pixels of the slice.
        pixels: f64,
        /// In mm, where that is known.
        mm: Option<f64>,
    },
    /// An angle, in mm space where that is known.
    Angle {
        /// From 0 to 180.
        degrees: f64,
    },
    /// A region.
    Region(Region),
}

/// Numbers of the pixels in a region. A region without pixels has no statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Of the samples, if there is one.
    pub statistics: Option<Statistics>,
    /// The shape's own area (not that of the pixels counted), in pixels.
    pub area_pixels: f64,
    /// The same in mm², where that is known.
    pub area_mm2: Option<f64>,
}

/// Statistics of samples; all finite, `min <= mean <= max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Number of samples.
    pub count: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of these samples (divided by their number).
    pub sd: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

/// How often samples occur.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The lower end of the first bin.
    pub low: f64,
    /// The upper end of the last bin.
    pub high: f64,
    /// Samples in each bin; the bins are equally wide.
    pub counts: Vec<u32>,
}

impl Shape {
    /// The points that can be moved. Those of a box are its four corners.
    pub fn handles(&self) -> Vec<Point> {
        match self {
            Self::Length(points) => points.to_vec(),
            Self::Angle(points) => points.to_vec(),
            Self::Rectangle([[x0, y0], [x1, y1]]) | Self::Ellipse([[x0, y0], [x1, y1]]) => {
                vec![[*x0, *y0], [*x1, *y1], [*x0, *y1], [*x1, *y0]]
            }
        }
    }

    /// The same shape with a handle somewhere else.
    #[must_use]
    pub fn with_handle(mut self, number: usize, to: Point) -> Self {
        match &mut self {
            Self::Length(points) => set(points, number, to),
            Self::Angle(points) => set(points, number, to),
            Self::Rectangle(corners) | Self::Ellipse(corners) => {
                let [[x0, y0], [x1, y1]] = corners;
                match number {
                    0 => (*x0, *y0) = (to[0], to[1]),
                    1 => (*x1, *y1) = (to[0], to[1]),
                    2 => (*x0, *y1) = (to[0], to[1]),
                    _ => (*x1, *y0) = (to[0], to[1]),
                }
            }
        }
        self
    }

    /// The same shape elsewhere.
    #[must_use]
    pub fn moved(mut self, by: Point) -> Self {
        let points: &mut [Point] = match &mut self {
            Self::Length(points) | Self::Rectangle(points) | Self::Ellipse(points) => points,
            Self::Angle(points) => points,
        };
        for [x, y] in points {
            (*x, *y) = (*x + by[0], *y + by[1]);
        }
        self
    }

    /// Corners of the line that shows it, in order; a box or an ellipse ends where it begins.
    pub fn outline(&self) -> Vec<Point> {
        /// Corners that make an ellipse look round.
        const ROUND: usize = 64;
        match *self {
            Self::Length(points) => points.to_vec(),
            Self::Angle(points) => points.to_vec(),
            Self::Rectangle([[x0, y0], [x1, y1]]) => {
                vec![[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
            }
            Self::Ellipse([[x0, y0], [x1, y1]]) => (0..=ROUND)
                .map(|step| {
                    let angle = step as f64 / ROUND as f64 * std::f64::consts::TAU;
                    let (sin, cos) = angle.sin_cos();
                    [
                        f64::midpoint(x0, x1) + (x1 - x0) / 2.0 * cos,
                        f64::midpoint(y0, y1) + (y1 - y0) / 2.0 * sin,
                    ]
                })
                .collect(),
        }
    }

    /// True for shapes that enclose pixels.
    pub fn encloses(&self) -> bool {
        matches!(self, Self::Rectangle(_) | Self::Ellipse(_))
    }

    /// True when every coordinate is a number that a slice can have.
    pub fn sound(&self) -> bool {
        let handles = self.handles();
        handles.iter().flatten().all(|x| x.abs() < 1e6)
    }

    /// Does a region hold this point?
    fn holds(&self, [x, y]: Point) -> bool {
        match *self {
            Self::Length(_) | Self::Angle(_) => false,
            Self::Rectangle([[x0, y0], [x1, y1]]) => {
                (x0.min(x1)..=x0.max(x1)).contains(&x) && (y0.min(y1)..=y0.max(y1)).contains(&y)
            }
            Self::Ellipse([[x0, y0], [x1, y1]]) => {
                let (a, b) = ((x1 - x0) / 2.0, (y1 - y0) / 2.0);
                let across = (x - f64::midpoint(x0, x1)) / a;
                let along = (y - f64::midpoint(y0, y1)) / b;
                across * across + along * along <= 1.0
            }
        }
    }
}

fn set(points: &mut [Point], number: usize, to: Point) {
    if let Some(point) = points.get_mut(number) {
        *point = to;
    }
}

/// What a shape on this slice measures.
pub fn measure(volume: &Volume, on: SliceAt, shape: &Shape) -> Reading {
    let spaced = volume.scale != Scale::Unknown;
    // Where the gantry was tilted, columns and rows are not at right angles: only their steps in the patient say how far
    // and in which direction a pixel leads.
    let steps = volume.grid(on.plane, on.axes).patient_from_grid;
    let [across, along] = if spaced {
        [steps.step(0), steps.step(1)]
    } else {
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    };
    let between = |from: Point, to: Point| [to[0] - from[0], to[1] - from[1]];
    let in_mm = |[dx, dy]: Point| [0, 1, 2].map(|axis| dx * across[axis] + dy * along[axis]);
    match *shape {
        Shape::Length([from, to]) => {
            let step @ [dx, dy] = between(from, to);
            Reading::Length {
                pixels: dx.hypot(dy),
                mm: spaced.then(|| length(in_mm(step))),
            }
        }
        Shape::Angle([from, at, to]) => {
            let (a, b) = (in_mm(between(at, from)), in_mm(between(at, to)));
            // The angle between two directions, exact for small ones too.
            let degrees = length(cross(a, b)).atan2(dot(a, b));
            Reading::Angle {
                degrees: degrees.to_degrees(),
            }
        }
        Shape::Rectangle([from, to]) | Shape::Ellipse([from, to]) => {
            let [dx, dy] = between(from, to).map(f64::abs);
            let share = if matches!(shape, Shape::Ellipse(_)) {
                std::f64::consts::FRAC_PI_4
            } else {
                1.0
            };
            let area_pixels = dx * dy * share;
            Reading::Region(Region {
                statistics: statistics(&samples_in(volume, on, Some(shape))),
                area_pixels,
                area_mm2: spaced.then_some(area_pixels * length(cross(across, along))),
            })
        }
    }
}

/// The finite samples of a region, or of the whole slice; on a slice between the voxels, those that are shown.
pub fn samples_in(volume: &Volume, on: SliceAt, shape: Option<&Shape>) -> Vec<f32> {
    let SliceAt { plane, axes, index } = on;
    let grid = volume.grid(plane, axes);
    let [columns, rows, slices] = grid.size;
    if index >= slices {
        return Vec::new();
    }
    let within = |low: f64, high: f64, count: usize| {
        // As floats saturate, what lies outside of the slice costs nothing.
        (low.floor().max(0.0) as usize)..(high.ceil().max(0.0) as usize).min(count)
    };
    let (across, along) = match shape {
        None => (0..columns, 0..rows),
        Some(Shape::Rectangle([[x0, y0], [x1, y1]]) | Shape::Ellipse([[x0, y0], [x1, y1]])) => (
            within(x0.min(*x1), x0.max(*x1), columns),
            within(y0.min(*y1), y0.max(*y1), rows),
        ),
        Some(Shape::Length(_) | Shape::Angle(_)) => return Vec::new(),
    };
    let corner = [across.start, along.start];
    let between = match axes {
        Axes::Acquired => None,
        Axes::Patient => {
            let part = grid.part(index, corner, [across.len(), along.len()]);
            Some(volume.sampled(&part, 0))
        }
    };
    let mut samples = Vec::new();
    for row in along {
        for column in across.clone() {
            let center = [column as f64 + 0.5, row as f64 + 0.5];
            if shape.is_some_and(|shape| !shape.holds(center)) {
                continue;
            }
            samples.push(match &between {
                None => volume.sample(volume.voxel_at(plane, index, column, row)),
                Some(part) => {
                    let at = (row - corner[1]) * part.width + column - corner[0];
                    part.samples.get(at).copied().unwrap_or(f32::NAN)
                }
            });
        }
    }
    samples.retain(|sample| sample.is_finite());
    samples
}

/// Statistics of finite samples; nothing without any.
pub fn statistics(samples: &[f32]) -> Option<Statistics> {
    let count = samples.len();
    let values = || samples.iter().map(|sample| f64::from(*sample));
    let min = values().reduce(f64::min)?;
    let max = values().reduce(f64::max)?;
    // Rounding must not carry the mean past the samples.
    let mean = (values().sum::<f64>() / count as f64).clamp(min, max);
    let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / count as f64;
    Some(Statistics {
        count,
        mean,
        sd: variance.sqrt(),
        min,
        max,
    })
}

/// How finite samples are distributed over `bins` equal parts of their range; nothing without samples or bins.
pub fn histogram(samples: &[f32], bins: usize) -> Option<Histogram> {
    let Statistics { min, max, .. } = statistics(samples)?;
    let mut counts = vec![0_u32; bins];
    let width = (max - min) / bins as f64;
    for sample in samples {
        let bin = if width > 0.0 {
            ((f64::from(*sample) - min) / width) as usize
        } else {
            0
        };
        *counts.get_mut(bin.min(bins.checked_sub(1)?))? += 1;
    }
    Some(Histogram {
        low: min,
        high: max,
        counts,
    })
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Affine;
    use super::super::volume::{Plane, Voxels};
    use super::*;

    /// 4 columns of 0.5 mm, 3 rows of 2 mm, one slice; the sample is 10 row + column.
    fn sheet() -> Volume {
        let samples = (0..3).flat_map(|row| (0..4).map(move |column| 10 * row + column));
        let rows = [
            [0.5, 0.0, 0.0, 0.0],
            [0.0, 2.0, 0.0, 0.0],
            [0.0, 0.0, 3.0, 0.0],
        ];
        Volume::new([4, 3, 1], Voxels::I16(samples.collect()), Affine(rows))
    }

    fn reading(volume: &Volume, shape: Shape) -> Reading {
        measure(volume, SliceAt::acquired(Plane::Axial, 0), &shape)
    }

    fn region(volume: &Volume, shape: Shape) -> Region {
        match reading(volume, shape) {
            Reading::Region(region) => region,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_length_is_in_mm_where_the_spacing_is_known_and_in_pixels_where_not() {
        // 3 columns of 0.5 mm and 1 row of 2 mm: sqrt(1.5² + 2²) = 2.5 mm.
        let shape = Shape::Length([[0.5, 0.5], [3.5, 1.5]]);
        let Reading::Length { pixels, mm } = reading(&sheet(), shape) else {
            panic!("no length");
        };
        assert_eq!((pixels, mm), (10_f64.sqrt(), Some(2.5)));
        let unknown = Volume {
            scale: Scale::Unknown,
            ..sheet()
        };
        let Reading::Length { pixels, mm } = reading(&unknown, shape) else {
            panic!("no length");
        };
        assert_eq!((pixels, mm), (10_f64.sqrt(), None));
    }

    #[test]
    fn an_angle_is_measured_in_mm_not_in_pixels() {
        // 4 columns across are 2 mm, 1 row down is 2 mm: 45 degrees to the diagonal.
        let diagonal = Shape::Angle([[4.0, 0.0], [0.0, 0.0], [4.0, 1.0]]);
        assert_eq!(
            reading(&sheet(), diagonal),
            Reading::Angle { degrees: 45.0 }
        );
        let straight = Shape::Angle([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]]);
        assert_eq!(
            reading(&sheet(), straight),
            Reading::Angle { degrees: 180.0 }
        );
        let nowhere = Shape::Angle([[1.0, 1.0]; 3]);
        assert_eq!(reading(&sheet(), nowhere), Reading::Angle { degrees: 0.0 });
    }

    #[test]
    fn a_rectangle_counts_the_pixels_whose_centre_it_holds() {
        // Columns 1 and 2 of rows 0 and 1: 1, 2, 11, 12.
        let region = region(&sheet(), Shape::Rectangle([[3.0, 1.9], [1.0, 0.2]]));
        let statistics = region.statistics.unwrap();
        assert_eq!(
            (statistics.count, statistics.min, statistics.max),
            (4, 1.0, 12.0)
        );
        assert_eq!(statistics.mean, 6.5);
        // (5.5² + 4.5² + 4.5² + 5.5²) / 4 = 25.25
        assert_eq!(statistics.sd, 25.25_f64.sqrt());
        assert!((region.area_pixels - 3.4).abs() < 1e-12);
        assert!((region.area_mm2.unwrap() - 3.4).abs() < 1e-12); // one pixel is 0.5 x 2 = 1 mm²
    }

    #[test]
    fn an_ellipse_has_pi_times_its_half_axes_and_leaves_the_corners_out() {
        let whole = region(&sheet(), Shape::Ellipse([[0.0, 0.0], [4.0, 3.0]]));
        assert!((whole.area_pixels - 2.0 * 1.5 * std::f64::consts::PI).abs() < 1e-12);
        // The centres of the four corner pixels lie outside: (1.5/2)² + (1/1.5)² = 1.007.
        let statistics = whole.statistics.unwrap();
        assert_eq!((statistics.count, statistics.mean), (8, 11.5));
    }

    #[test]
    fn a_region_without_pixels_has_no_statistics() {
        for shape in [
            Shape::Rectangle([[1.1, 1.1], [1.2, 1.2]]),
            Shape::Ellipse([[1.0, 1.0], [1.0, 1.0]]),
            Shape::Rectangle([[90.0, 90.0], [99.0, 99.0]]),
            Shape::Rectangle([[-9.0, -9.0], [-1.0, -1.0]]),
        ] {
            assert_eq!(region(&sheet(), shape).statistics, None, "{shape:?}");
        }
    }

    /// Property: whatever the samples and the region, all numbers are finite and the mean lies between the ends.
    #[test]
    fn statistics_are_finite_and_in_order_for_any_samples() {
        let mut state = 7_u64;
        let mut random = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u32
        };
        let odd = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            -0.0,
            0.1,
        ];
        for round in 0..400_usize {
            let side = [1, 7, 13][round % 3];
            let samples = (0..side * side).map(|_| match random() % 4 {
                0 => odd[random() as usize % odd.len()],
                _ => f32::from_bits(random()),
            });
            let volume = Volume::new(
                [side, side, 1],
                Voxels::F32(samples.collect()),
                Affine::IDENTITY,
            );
            let mut place = || f64::from(random() % 3000) / 100.0 - 8.0;
            let corners = [[place(), place()], [place(), place()]];
            for shape in [Shape::Rectangle(corners), Shape::Ellipse(corners)] {
                let region = region(&volume, shape);
                assert!(region.area_pixels.is_finite() && region.area_pixels >= 0.0);
                let Some(found) = region.statistics else {
                    continue;
                };
                let Statistics {
                    mean, sd, min, max, ..
                } = found;
                assert!(
                    [mean, sd, min, max].iter().all(|x| x.is_finite()),
                    "{found:?}"
                );
                assert!(min <= mean && mean <= max && sd >= 0.0, "{found:?}");
                let samples = samples_in(&volume, SliceAt::acquired(Plane::Axial, 0), Some(&shape));
                let counts = histogram(&samples, 16).unwrap().counts;
                assert_eq!(counts.iter().sum::<u32>() as usize, found.count);
            }
        }
    }

    #[test]
    fn equal_samples_have_no_spread_and_fill_one_bin() {
        let found = statistics(&[0.1; 3]).unwrap();
        assert_eq!((found.mean, found.sd), (f64::from(0.1_f32), 0.0));
        let histogram = histogram(&[0.1; 3], 4).unwrap();
        assert_eq!(histogram.counts, [3, 0, 0, 0]);
    }

    #[test]
    fn a_histogram_puts_the_largest_sample_into_the_last_bin() {
        let found = histogram(&[0.0, 1.0, 2.0, 3.0, 4.0], 2).unwrap();
        assert_eq!((found.low, found.high), (0.0, 4.0));
        assert_eq!(found.counts, [2, 3]);
        assert_eq!(histogram(&[], 2), None);
    }

    #[test]
    fn a_handle_of_a_box_moves_the_two_sides_it_is_on() {
        let shape = Shape::Rectangle([[1.0, 1.0], [3.0, 4.0]]);
        assert_eq!(
            shape.with_handle(2, [0.0, 9.0]),
            Shape::Rectangle([[0.0, 1.0], [3.0, 9.0]])
        );
        for number in 0..4 {
            let to = [2.5, 7.5];
            assert_eq!(shape.with_handle(number, to).handles()[number], to);
        }
        assert_eq!(
            shape.moved([1.0, -1.0]).handles()[..2],
            [[2.0, 0.0], [4.0, 3.0]]
        );
    }

    #[test]
    fn on_a_sheared_grid_lengths_angles_and_areas_are_those_of_the_patient() {
        // A tilted gantry: each slice lies 4 mm higher and 3 mm further back than the one before, so that the rows of a
        // sagittal picture are 5 mm apart, but not at right angles to its columns of 2 mm.
        let rows = [
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 2.0, 3.0, 0.0],
            [0.0, 0.0, 4.0, 0.0],
        ];
        let volume = Volume::new([4, 5, 6], Voxels::U8(vec![7; 120]), Affine(rows));
        let read = |shape| measure(&volume, SliceAt::acquired(Plane::Sagittal, 1), &shape);
        // One column to posterior, and one row down: (2, 0) and (-3, -4) mm in (y, z).
        let length = |to| match read(Shape::Length([[1.0, 1.0], to])) {
            Reading::Length { mm: Some(mm), .. } => mm,
            other => panic!("{other:?}"),
        };
        assert!((length([2.0, 1.0]) - 2.0).abs() < 1e-12);
        assert!((length([1.0, 2.0]) - 5.0).abs() < 1e-12);
        // Together (-1, -4): 4.12 mm, where right angles would make it 5.39; the other way (5, 4) 6.40 mm.
        assert!((length([2.0, 2.0]) - 17_f64.sqrt()).abs() < 1e-12);
        assert!((length([2.0, 0.0]) - 41_f64.sqrt()).abs() < 1e-12);
        let Reading::Angle { degrees } = read(Shape::Angle([[2.0, 1.0], [1.0, 1.0], [1.0, 2.0]]))
        else {
            panic!("no angle");
        };
        // Between (2, 0) and (-3, -4): the cosine is -0.6, and no right angle.
        assert!((degrees - (-0.6_f64).acos().to_degrees()).abs() < 1e-9);
        let area = |shape| match read(shape) {
            Reading::Region(region) => region.area_mm2.unwrap(),
            other => panic!("{other:?}"),
        };
        // A pixel is a parallelogram of 2 x 4 mm.
        let corners = [[0.0, 0.0], [2.0, 3.0]];
        assert!((area(Shape::Rectangle(corners)) - 48.0).abs() < 1e-9);
        let ellipse = 48.0 * std::f64::consts::FRAC_PI_4;
        assert!((area(Shape::Ellipse(corners)) - ellipse).abs() < 1e-9);
        // Along the patient, the same length is the same: 4 mm down are 4 mm.
        let straight = SliceAt {
            axes: Axes::Patient,
            ..SliceAt::acquired(Plane::Sagittal, 1)
        };
        let line = Shape::Length([[0.0, 0.0], [0.0, 4.0]]);
        let Reading::Length { mm: Some(mm), .. } = measure(&volume, straight, &line) else {
            panic!("no length");
        };
        assert!((mm - 4.0).abs() < 1e-9);
    }

    #[test]
    fn along_the_patient_what_is_shown_between_the_voxels_is_measured() {
        let (sin, cos) = 30_f64.to_radians().sin_cos();
        let rows = [
            [cos, -sin, 0.0, 3.0],
            [sin, cos, 0.0, -7.0],
            [0.0, 0.0, 2.0, 0.0],
        ];
        let affine = Affine(rows);
        // Linear in the patient's millimetres, so that sampling between voxels is exact.
        let field = |[x, y, _]: [f64; 3]| 3.0 * x + 5.0 * y;
        let voxels = (0..3 * 40 * 40).map(|n| {
            let voxel = [n % 40, n / 40 % 40, n / 1600].map(|index| index as f64);
            field(affine.apply(voxel)) as f32
        });
        let volume = Volume::new([40, 40, 3], Voxels::F32(voxels.collect()), affine);
        let on = SliceAt {
            plane: Plane::Axial,
            axes: Axes::Patient,
            index: 2,
        };
        let grid = volume.grid(on.plane, on.axes);
        let [x, y] = [grid.size[0] / 2, grid.size[1] / 2].map(|middle| middle as f64);
        let shape = Shape::Rectangle([[x - 4.0, y - 3.0], [x + 4.0, y + 3.0]]);
        let Reading::Region(region) = measure(&volume, on, &shape) else {
            panic!("no region");
        };
        // The middle of the pixels x - 4 to x + 3.
        let middle = grid.patient_from_grid.apply([x - 0.5, y - 0.5, 2.0]);
        let found = region.statistics.unwrap();
        assert_eq!(found.count, 48);
        assert!((found.mean - field(middle)).abs() < 1e-3, "{}", found.mean);
        assert!((region.area_mm2.unwrap() - 48.0).abs() < 1e-9);
        let line = Shape::Length([[x, y], [x + 3.0, y + 4.0]]);
        let Reading::Length { mm: Some(mm), .. } = measure(&volume, on, &line) else {
            panic!("no length");
        };
        assert!((mm - 5.0).abs() < 1e-9);
        // What lies outside of the turned volume is not counted.
        let corner = Shape::Rectangle([[0.0, 0.0], [4.0, 4.0]]);
        let Reading::Region(region) = measure(&volume, on, &corner) else {
            panic!("no region");
        };
        assert_eq!(region.statistics, None);
    }
}
