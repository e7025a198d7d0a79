//! Slices out of a volume: along its voxels, along the patient's axes, or through a slab of some millimetres.
//!
//! A [`Grid`] says where every pixel lies in the patient. Along the voxels each pixel is one voxel; any other grid is
//! sampled between the eight nearest voxels, so that oblique and sheared volumes come out straight.

use std::ops::Range;
use std::sync::Arc;
use std::thread;

use serde::{Deserialize, Serialize};

use super::error::ImagingError;
use super::geometry::{Affine, Direction};
use super::render::ViewDescriptor;
use super::volume::{Plane, Rescale, Slice, Volume, Voxels};

/// Fewer pixels are sampled sooner than threads are started.
const MANY_PIXELS: usize = 1 << 15;

/// A grid has at most so many pixels along an axis.
const LONGEST: usize = 2048;

/// Along what the slices of a plane are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Axes {
    /// The voxel axis nearest to each patient axis: every pixel is a voxel.
    #[default]
    Acquired,
    /// The axes of the patient.
    Patient,
}

/// A single slice of a volume, whatever its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceAt {
    /// The plane.
    pub plane: Plane,
    /// Along what it is cut.
    #[serde(default)]
    pub axes: Axes,
    /// Which one, from 0.
    pub index: usize,
}

impl SliceAt {
    /// A slice along the voxels.
    pub fn acquired(plane: Plane, index: usize) -> Self {
        Self {
            plane,
            axes: Axes::Acquired,
            index,
        }
    }
}

/// How the samples of a slab become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Projection {
    /// The largest: vessels with contrast, bone, nodules.
    #[default]
    Maximum,
    /// The smallest: airways.
    Minimum,
    /// The mean: less noise.
    Mean,
}

/// Several slices seen as one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slab {
    /// How their samples become one.
    pub projection: Projection,
    /// How thick, in mm.
    pub mm: f32,
}

/// Where the pixels of the slices of one plane lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Columns, rows, slices.
    pub size: [usize; 3],
    /// LPS mm of the centre of (column, row, slice).
    pub patient_from_grid: Affine,
}

impl Grid {
    /// Where a step to the right leads in the patient.
    pub fn right(&self) -> Direction {
        Direction(self.patient_from_grid.step(0))
    }

    /// Where a step down leads.
    pub fn down(&self) -> Direction {
        Direction(self.patient_from_grid.step(1))
    }

    /// Column, row and slice of a place in the patient, with fractions and beyond the ends.
    pub fn at(&self, patient_mm: [f64; 3]) -> Option<[f64; 3]> {
        Some(self.patient_from_grid.inverse()?.apply(patient_mm))
    }

    /// The slice nearest to a place in the patient; past the ends the last one.
    pub fn slice_at(&self, patient_mm: [f64; 3]) -> Option<usize> {
        let [.., slice] = self.at(patient_mm)?;
        let last = self.size[2].checked_sub(1)?;
        Some(slice.round().clamp(0.0, last as f64) as usize)
    }

    /// The slices of a slab about `index`, first and behind the last.
    fn slab(&self, index: usize, mm: f32) -> Range<usize> {
        let [.., step] = self.patient_from_grid.spacing_mm();
        let slices = (f64::from(mm) / step.max(1e-3)).round().max(1.0) as usize;
        let first = index.saturating_sub((slices - 1) / 2);
        first..(index + slices / 2 + 1).min(self.size[2])
    }

    /// The part of one slice from a column and row on, as a grid of a single slice.
    pub(super) fn part(&self, index: usize, from: [usize; 2], size: [usize; 2]) -> Self {
        let steps = [0, 1, 2].map(|axis| self.patient_from_grid.step(axis));
        let corner = [from[0], from[1], index].map(|n| n as f64);
        Self {
            size: [size[0], size[1], 1],
            patient_from_grid: Affine::from_steps(steps, self.patient_from_grid.apply(corner)),
        }
    }

    /// A slice of it without its samples.
    fn empty_slice(&self, volume: &Volume) -> Slice {
        let [width, height, _] = self.size;
        let [dx, dy, _] = self.patient_from_grid.spacing_mm();
        Slice {
            width,
            height,
            samples: Vec::new(),
            spacing_mm: [dx, dy],
            right: self.right(),
            down: self.down(),
            voi_tables: Arc::clone(&volume.voi_tables),
        }
    }
}

/// A slice that is still to be cut: what lies where. All that a graphics card needs beside the voxels.
#[derive(Clone, Debug)]
pub struct Cutting {
    /// The slice without its samples.
    pub frame: Slice,
    /// Voxel of (column, row, slice) of the grid.
    pub voxel_from_grid: Affine,
    /// The slices of the grid that become one.
    pub slices: Range<usize>,
    /// How they do.
    pub projection: Projection,
}

impl Volume {
    /// What [`Self::cut`] would do. Nothing where the volume is flat or its slices have a rescale each.
    ///
    /// # Errors
    /// As [`Self::cut`].
    pub fn cutting(&self, view: &ViewDescriptor) -> Result<Option<Cutting>, ImagingError> {
        let grid = self.grid(view.plane, view.axes);
        check_slice(view.index, grid.size[2])?;
        let one = view.index..view.index + 1;
        let slices = view.slab.map_or(one, |slab| grid.slab(view.index, slab.mm));
        let inverse = self.patient_from_voxel.inverse();
        let one_rescale = inverse.filter(|_| self.rescale.len() <= 1);
        Ok(one_rescale.map(|voxel_from_patient| Cutting {
            frame: grid.empty_slice(self),
            voxel_from_grid: voxel_from_patient.after(&grid.patient_from_grid),
            slices,
            projection: view.slab.map(|slab| slab.projection).unwrap_or_default(),
        }))
    }

    /// Where the slices of a plane lie.
    pub fn grid(&self, plane: Plane, axes: Axes) -> Grid {
        match axes {
            Axes::Acquired => self.voxel_grid(plane),
            Axes::Patient => self.patient_grid(plane),
        }
    }

    fn voxel_grid(&self, plane: Plane) -> Grid {
        let axes = self.voxel_axes(plane);
        let steps = axes.map(|(axis, backwards)| {
            let step = self.patient_from_voxel.step(axis);
            if backwards { step.map(|x| -x) } else { step }
        });
        let origin = self.position_mm(self.voxel_at(plane, 0, 0, 0));
        Grid {
            size: axes.map(|(axis, _)| self.size[axis]),
            patient_from_grid: Affine::from_steps(steps, origin),
        }
    }

    /// The box around the volume in steps of its finest spacing.
    fn patient_grid(&self, plane: Plane) -> Grid {
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for corner in 0..8_usize {
            let voxel = [0, 1, 2].map(|axis| match corner >> axis & 1 {
                0 => 0,
                _ => self.size[axis].saturating_sub(1),
            });
            for (axis, mm) in self.position_mm(voxel).into_iter().enumerate() {
                low[axis] = low[axis].min(mm);
                high[axis] = high[axis].max(mm);
            }
        }
        let finest = self
            .patient_from_voxel
            .spacing_mm()
            .into_iter()
            .filter(|mm| *mm > 0.0)
            .fold(f64::INFINITY, f64::min);
        let longest = (0..3).map(|d| high[d] - low[d]).fold(0.0, f64::max);
        let step = finest
            .min(longest.max(1.0))
            .max(longest / (LONGEST - 1) as f64);
        let axes = plane.axes();
        let mut origin = [0.0; 3];
        let mut steps = [[0.0; 3]; 3];
        let mut size = [1; 3];
        for (number, (axis, backwards)) in axes.into_iter().enumerate() {
            origin[axis] = if backwards { high[axis] } else { low[axis] };
            steps[number][axis] = if backwards { -step } else { step };
            size[number] = ((high[axis] - low[axis]) / step).round() as usize + 1;
        }
        Grid {
            size,
            patient_from_grid: Affine::from_steps(steps, origin),
        }
    }

    /// The samples that a view shows, before its window.
    ///
    /// # Errors
    /// [`ImagingError::NoSlice`].
    pub fn cut(&self, view: &ViewDescriptor) -> Result<Slice, ImagingError> {
        let grid = self.grid(view.plane, view.axes);
        check_slice(view.index, grid.size[2])?;
        let one = |index: usize| match view.axes {
            Axes::Acquired => self.slice(view.plane, index),
            Axes::Patient => Ok(self.sampled(&grid, index)),
        };
        let Some(slab) = view.slab else {
            return one(view.index);
        };
        let slices = grid.slab(view.index, slab.mm);
        // Each thread projects a part of the slab, and the parts are projected in turn.
        let part = slices.len().div_ceil(threads()).max(1);
        let starts = slices.clone().step_by(part);
        let project = |start: usize| {
            let mut rest = start..(start + part).min(slices.end);
            let first = rest.next().map_or_else(|| Ok(grid.empty_slice(self)), one);
            rest.try_fold(Part::of(slab.projection, first?), |mut so_far, index| {
                so_far.add(slab.projection, &Part::of(slab.projection, one(index)?));
                Ok(so_far)
            })
        };
        let parts: Vec<Result<Part, ImagingError>> = thread::scope(|scope| {
            let running: Vec<_> = starts
                .map(|start| {
                    let project = &project;
                    scope.spawn(move || project(start))
                })
                .collect();
            let ended = running.into_iter().filter_map(|thread| thread.join().ok());
            ended.collect()
        });
        let mut parts = parts.into_iter();
        let first = parts
            .next()
            .unwrap_or_else(|| Ok(Part::of(slab.projection, grid.empty_slice(self))));
        let whole = parts.try_fold(first?, |mut so_far, part| {
            so_far.add(slab.projection, &part?);
            Ok::<_, ImagingError>(so_far)
        })?;
        Ok(whole.slice())
    }

    /// One slice along the voxels, `index` from 0.
    ///
    /// # Errors
    /// [`ImagingError::NoSlice`].
    pub fn slice(&self, plane: Plane, index: usize) -> Result<Slice, ImagingError> {
        check_slice(index, self.slice_count(plane))?;
        let mut slice = self.voxel_grid(plane).empty_slice(self);
        let [right, down, _] = self.voxel_axes(plane);
        let strides = [1, self.size[0], self.size[0] * self.size[1]];
        let stride = |(axis, backwards): (usize, bool)| {
            let stride = strides[axis] as isize;
            if backwards { -stride } else { stride }
        };
        let first = self.voxel_at(plane, index, 0, 0);
        let walk = Walk {
            start: self.offset(first) as isize,
            right: stride(right),
            down: stride(down),
            size: [slice.width, slice.height],
        };
        slice.samples = match &self.voxels {
            Voxels::U8(v) => walk.collect(v, f32::from),
            Voxels::I16(v) => walk.collect(v, f32::from),
            Voxels::U16(v) => walk.collect(v, f32::from),
            Voxels::I32(v) => walk.collect(v, |x| x as f32),
            Voxels::F32(v) => walk.collect(v, |x| x),
        };
        if self.padding.is_some() {
            let padded = slice
                .samples
                .iter_mut()
                .filter(|stored| self.pads(**stored));
            padded.for_each(|stored| *stored = f32::NAN);
        }
        let rescaled = |sample: &mut f32, k: usize| {
            let Rescale { slope, intercept } = self.rescale_of(k);
            *sample = *sample * slope + intercept;
        };
        if self.rescale.len() > 1 {
            for (y, row) in slice
                .samples
                .chunks_exact_mut(slice.width.max(1))
                .enumerate()
            {
                for (x, sample) in row.iter_mut().enumerate() {
                    let [.., k] = self.voxel_at(plane, index, x, y);
                    rescaled(sample, k);
                }
            }
        } else if self.rescale_of(0) != Rescale::NONE {
            for sample in &mut slice.samples {
                rescaled(sample, 0);
            }
        }
        Ok(slice)
    }

    /// The samples at the pixels of a slice of any grid, between the nearest voxels. Outside the volume they are not
    /// numbers.
    pub fn sampled(&self, grid: &Grid, index: usize) -> Slice {
        let mut slice = grid.empty_slice(self);
        let Some(voxel_from_patient) = self.patient_from_voxel.inverse() else {
            slice.samples = vec![f32::NAN; slice.width * slice.height];
            return slice;
        };
        let voxel_from_grid = voxel_from_patient.after(&grid.patient_from_grid);
        slice.samples = match &self.voxels {
            Voxels::U8(v) => self.interpolated(v, &voxel_from_grid, grid, index, f32::from),
            Voxels::I16(v) => self.interpolated(v, &voxel_from_grid, grid, index, f32::from),
            Voxels::U16(v) => self.interpolated(v, &voxel_from_grid, grid, index, f32::from),
            Voxels::I32(v) => self.interpolated(v, &voxel_from_grid, grid, index, |x| x as f32),
            Voxels::F32(v) => self.interpolated(v, &voxel_from_grid, grid, index, |x| x),
        };
        slice
    }

    fn interpolated<T: Copy + Sync>(
        &self,
        voxels: &[T],
        voxel_from_grid: &Affine,
        grid: &Grid,
        index: usize,
        convert: impl Fn(T) -> f32 + Sync,
    ) -> Vec<f32> {
        let [width, height, _] = grid.size;
        let area = self.size[0] * self.size[1];
        let sample = |[i, j, k]: [usize; 3]| {
            let stored = voxels.get(k * area + j * self.size[0] + i);
            stored.map_or(f32::NAN, |x| self.rescaled(convert(*x), k))
        };
        let mut samples = vec![0.0; width * height];
        let dx = voxel_from_grid.step(0);
        let fill = |first_row: usize, rows: &mut [f32]| {
            for (y, row) in (first_row..).zip(rows.chunks_exact_mut(width.max(1))) {
                let start = voxel_from_grid.apply([0.0, y as f64, index as f64]);
                for (x, out) in row.iter_mut().enumerate() {
                    let at = [0, 1, 2].map(|axis| start[axis] + dx[axis] * x as f64);
                    *out = self.between(at, &sample);
                }
            }
        };
        let rows = height.div_ceil(threads()).max(1);
        if samples.len() < MANY_PIXELS {
            fill(0, &mut samples);
            return samples;
        }
        thread::scope(|scope| {
            let parts = samples.chunks_mut(rows * width.max(1));
            for (number, part) in parts.enumerate() {
                let fill = &fill;
                scope.spawn(move || fill(number * rows, part));
            }
        });
        samples
    }

    /// The sample at a place between voxels; not a number further than half a voxel outside.
    fn between(&self, at: [f64; 3], sample: &impl Fn([usize; 3]) -> f32) -> f32 {
        // Rounding must not put the outermost half of a voxel outside.
        const EDGE: f64 = 0.5 + 1e-6;
        let mut low = [0; 3];
        let mut share = [0.0_f32; 3];
        for axis in 0..3 {
            let last = self.size[axis].saturating_sub(1) as f64;
            if !(-EDGE..=last + EDGE).contains(&at[axis]) {
                return f32::NAN;
            }
            let place = at[axis].clamp(0.0, last);
            low[axis] = place as usize;
            share[axis] = (place - place.floor()) as f32;
        }
        let mut sum = 0.0;
        for corner in 0..8_usize {
            let upper = [0, 1, 2].map(|axis| corner >> axis & 1);
            let weights = [0, 1, 2].map(|axis| {
                if upper[axis] == 1 {
                    share[axis]
                } else {
                    1.0 - share[axis]
                }
            });
            let weight = weights[0] * weights[1] * weights[2];
            // A corner without weight may lie outside, or be no number: what rounding makes of none does not count.
            if weight > 1e-6 {
                sum += weight * sample([0, 1, 2].map(|axis| low[axis] + upper[axis]));
            }
        }
        sum
    }
}

fn check_slice(index: usize, count: usize) -> Result<(), ImagingError> {
    if index < count {
        return Ok(());
    }
    let asked = index + 1;
    Err(ImagingError::NoSlice { asked, count })
}

/// Slices of a slab as one: their largest or smallest samples, or the sums. What is not a number is left out.
struct Part {
    projected: Slice,
    /// How many samples each sum has.
    counts: Vec<f32>,
}

impl Part {
    fn of(projection: Projection, mut slice: Slice) -> Self {
        let mut counts = Vec::new();
        if projection == Projection::Mean {
            counts.reserve_exact(slice.samples.len());
            for sample in &mut slice.samples {
                counts.push(f32::from(u8::from(!sample.is_nan())));
                if sample.is_nan() {
                    *sample = 0.0;
                }
            }
        }
        Self {
            projected: slice,
            counts,
        }
    }

    fn add(&mut self, projection: Projection, other: &Self) {
        let pairs = self.projected.samples.iter_mut();
        let pairs = pairs.zip(&other.projected.samples);
        match projection {
            Projection::Maximum => pairs.for_each(|(a, b)| *a = a.max(*b)),
            Projection::Minimum => pairs.for_each(|(a, b)| *a = a.min(*b)),
            Projection::Mean => pairs.for_each(|(a, b)| *a += b),
        }
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a += b;
        }
    }

    /// The samples, the sums by now means; not a number where nothing was.
    fn slice(mut self) -> Slice {
        for (sum, count) in self.projected.samples.iter_mut().zip(&self.counts) {
            *sum /= count;
        }
        self.projected
    }
}

/// Threads that cut at once.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, |threads| threads.get().min(8))
}

/// Voxels in the order of a slice's pixels.
struct Walk {
    start: isize,
    right: isize,
    down: isize,
    /// Columns and rows.
    size: [usize; 2],
}

impl Walk {
    fn collect<T: Copy>(&self, voxels: &[T], convert: impl Fn(T) -> f32) -> Vec<f32> {
        let [width, height] = self.size;
        let mut samples = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = self.start + self.down * y as isize;
            // Neighbours in memory are taken as one.
            let first = if self.right < 0 {
                row + 1 - width as isize
            } else {
                row
            };
            let together = usize::try_from(first)
                .ok()
                .filter(|_| self.right.abs() == 1)
                .and_then(|first| voxels.get(first..first + width));
            if let Some(together) = together {
                let each = together.iter().map(|voxel| convert(*voxel));
                if self.right < 0 {
                    samples.extend(each.rev());
                } else {
                    samples.extend(each);
                }
                continue;
            }
            samples.extend((0..width).map(|x| {
                let at = row + self.right * x as isize;
                let voxel = usize::try_from(at).ok().and_then(|at| voxels.get(at));
                voxel.map_or(0.0, |voxel| convert(*voxel))
            }));
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::window::Window;

    /// 9 x 8 x 7 voxels whose sample is a linear function of the place in the patient, which interpolation keeps.
    fn linear_volume(affine: Affine) -> Volume {
        let mut voxels = Vec::new();
        for k in 0..7 {
            for j in 0..8 {
                for i in 0..9 {
                    let [x, y, z] = affine.apply([f64::from(i), f64::from(j), f64::from(k)]);
                    voxels.push((100.0 + 3.0 * x - 2.0 * y + 0.5 * z) as f32);
                }
            }
        }
        Volume::new([9, 8, 7], Voxels::F32(voxels), affine)
    }

    fn view(plane: Plane, axes: Axes, index: usize) -> ViewDescriptor {
        ViewDescriptor {
            axes,
            ..ViewDescriptor::new(plane, index, Window::linear(0.0, 10.0))
        }
    }

    /// Turned by 30 degrees about z, and sheared along z as by a tilted gantry.
    fn oblique() -> Affine {
        let (sin, cos) = 30_f64.to_radians().sin_cos();
        Affine([
            [cos, -2.0 * sin, 0.0, 5.0],
            [sin, 2.0 * cos, 0.8, -3.0],
            [0.0, 0.0, 3.0, 11.0],
        ])
    }

    #[test]
    fn patient_axes_are_straight_through_an_oblique_and_tilted_volume() {
        let volume = linear_volume(oblique());
        for plane in Plane::ALL {
            let grid = volume.grid(plane, Axes::Patient);
            let middle = grid.size[2] / 2;
            let slice = volume.cut(&view(plane, Axes::Patient, middle)).unwrap();
            let letters = [slice.right, slice.down].map(|d| d.letters());
            assert!(
                letters.iter().all(|l| l.len() == 1),
                "{plane:?} {letters:?}"
            );
            let mut inside = 0;
            for (at, sample) in slice.samples.iter().enumerate() {
                let pixel = [at % slice.width, at / slice.width, middle].map(|x| x as f64);
                let [x, y, z] = grid.patient_from_grid.apply(pixel);
                let wanted = (100.0 + 3.0 * x - 2.0 * y + 0.5 * z) as f32;
                // Beyond the outermost voxel centres its sample goes on unchanged.
                let voxel = volume
                    .patient_from_voxel
                    .inverse()
                    .unwrap()
                    .apply([x, y, z]);
                let between =
                    (0..3).all(|d| (0.0..=(volume.size[d] - 1) as f64).contains(&voxel[d]));
                if between {
                    inside += 1;
                    assert!(
                        (sample - wanted).abs() < 1e-3,
                        "{plane:?}: {sample} for {wanted}"
                    );
                }
            }
            assert!(inside > 20, "{plane:?} has {inside} pixels inside");
            assert!(
                slice.samples.iter().any(|x| x.is_nan()),
                "corners are outside"
            );
        }
    }

    #[test]
    fn a_volume_sampled_on_its_own_grid_is_its_slice() {
        let volume = linear_volume(oblique());
        for plane in Plane::ALL {
            let grid = volume.grid(plane, Axes::Acquired);
            for index in 0..grid.size[2] {
                let slice = volume.slice(plane, index).unwrap();
                let sampled = volume.sampled(&grid, index);
                let pairs = slice.samples.iter().zip(&sampled.samples);
                assert!(
                    pairs.clone().all(|(a, b)| (a - b).abs() < 1e-3),
                    "{plane:?} {index}"
                );
            }
        }
    }

    #[test]
    fn a_slab_shows_the_largest_smallest_or_mean_of_its_slices() {
        let volume = linear_volume(Affine::IDENTITY); // 0.5 more for each slice
        let at = |projection, mm| {
            let slab = Some(Slab { projection, mm });
            let view = ViewDescriptor {
                slab,
                ..view(Plane::Axial, Axes::Acquired, 3)
            };
            volume.cut(&view).unwrap().samples[0]
        };
        assert_eq!(at(Projection::Maximum, 3.0), 102.0);
        assert_eq!(at(Projection::Minimum, 3.0), 101.0);
        assert_eq!(at(Projection::Mean, 3.0), 101.5);
        assert_eq!(at(Projection::Maximum, 0.1), 101.5);
        assert_eq!(at(Projection::Maximum, 1e6), 103.0);
    }

    #[test]
    fn a_place_in_the_patient_is_found_on_every_grid() {
        let volume = linear_volume(oblique());
        let place = volume.position_mm([4, 3, 2]);
        for plane in Plane::ALL {
            for axes in [Axes::Acquired, Axes::Patient] {
                let grid = volume.grid(plane, axes);
                let back = grid.patient_from_grid.apply(grid.at(place).unwrap());
                assert!((0..3).all(|d| (back[d] - place[d]).abs() < 1e-9));
            }
            let count = volume.slice_count(plane);
            assert!(volume.grid(plane, Axes::Acquired).slice_at(place).unwrap() < count);
        }
    }

    #[test]
    fn slopes_that_change_from_slice_to_slice_are_kept_in_every_plane() {
        let mut volume = linear_volume(Affine::IDENTITY);
        volume.rescale = (0..7)
            .map(|k| Rescale {
                slope: 1.0,
                intercept: 1000.0 * k as f32,
            })
            .collect();
        for plane in Plane::ALL {
            let slice = volume.slice(plane, 1).unwrap();
            for (at, sample) in slice.samples.iter().enumerate() {
                let voxel = volume.voxel_at(plane, 1, at % slice.width, at / slice.width);
                assert_eq!(*sample, volume.sample(voxel));
            }
        }
    }
}
