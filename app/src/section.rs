//! What of a grid is looked at: one slice of it, or several as one. Any volume can be seen there, all of it or a single
//! pixel.
//!
//! What `Volume::cut` shows of a volume on its own grid is this; a test holds the two equal.

use std::ops::Range;

use engine::imaging::{Affine, Grid, Projection, Slab, Slice, Volume};

/// A slice or a slab of a grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Section {
    /// Where pixels and slices lie.
    pub grid: Grid,
    /// The slice, from 0; of a slab the one in the middle.
    pub index: usize,
    /// Several slices seen as one.
    pub slab: Option<Slab>,
}

impl Section {
    /// The slices of the grid that become one.
    // NOTE: keep in sync with `Grid::slab` in engine/src/imaging/reslice.rs.
    pub fn slices(&self) -> Range<usize> {
        let Some(slab) = self.slab else {
            return self.index..self.index + 1;
        };
        let [_, _, apart_mm] = self.grid.patient_from_grid.spacing_mm();
        let count = (f64::from(slab.mm) / apart_mm.max(1e-3)).round().max(1.0) as usize;
        let first = self.index.saturating_sub((count - 1) / 2);
        first..(self.index + count / 2 + 1).min(self.grid.size[2])
    }

    /// The samples of a volume at its pixels, between the nearest voxels. What is not a number is left out of a slab;
    /// where nothing else is, neither is its sample.
    pub fn of(&self, volume: &Volume) -> Slice {
        let slices = self.slices();
        let mut whole = volume.sampled(&self.grid, slices.start);
        let Some(Slab { projection, .. }) = self.slab else {
            return whole;
        };
        let counted = |sample: &f32| f32::from(u8::from(!sample.is_nan()));
        let mut counts: Vec<f32> = whole.samples.iter().map(counted).collect();
        for index in slices.skip(1) {
            let next = volume.sampled(&self.grid, index).samples;
            let so_far = whole.samples.iter_mut().zip(&mut counts);
            for ((sample, count), other) in so_far.zip(next) {
                if other.is_nan() {
                    continue;
                }
                *sample = match projection {
                    _ if sample.is_nan() => other,
                    Projection::Maximum => sample.max(other),
                    Projection::Minimum => sample.min(other),
                    Projection::Mean => *sample + other,
                };
                *count += 1.0;
            }
        }
        if projection == Projection::Mean {
            for (sum, count) in whole.samples.iter_mut().zip(counts) {
                *sum /= count;
            }
        }
        whole
    }

    /// The sample of a volume at one of its pixels; not a number outside.
    pub fn sample(&self, volume: &Volume, [x, y]: [usize; 2]) -> f32 {
        let map = &self.grid.patient_from_grid;
        let corner = map.apply([x as f64, y as f64, 0.0]);
        let pixel = Self {
            grid: Grid {
                size: [1, 1, self.grid.size[2]],
                patient_from_grid: Affine::from_steps([0, 1, 2].map(|axis| map.step(axis)), corner),
            },
            ..*self
        };
        let samples = pixel.of(volume).samples;
        samples.first().copied().unwrap_or(f32::NAN)
    }
}

#[cfg(test)]
mod tests {
    use engine::imaging::{Axes, Plane, ViewDescriptor, Voxels, Window};

    use super::*;
    use crate::state::VolumeView;

    /// 6 x 5 x 7 voxels of 2 mm in no order, some of them padding, turned by 20 degrees.
    fn volume() -> Volume {
        let (sin, cos) = 20_f64.to_radians().sin_cos();
        let rows = [
            [2.0 * cos, -2.0 * sin, 0.0, 1.0],
            [2.0 * sin, 2.0 * cos, 0.0, -3.0],
            [0.0, 0.0, 2.0, 5.0],
        ];
        let voxels = (0..6 * 5 * 7_i32).map(|at| ((at * 73) % 97) as i16);
        Volume {
            padding: Some([90.0, 96.0]),
            ..Volume::new([6, 5, 7], Voxels::I16(voxels.collect()), Affine(rows))
        }
    }

    #[test]
    fn on_its_own_grid_a_volume_is_what_the_engine_cuts() {
        let volume = std::sync::Arc::new(volume());
        let mut compared = 0;
        for plane in Plane::ALL {
            for axes in [Axes::Acquired, Axes::Patient] {
                for projection in [Projection::Maximum, Projection::Minimum, Projection::Mean] {
                    for mm in [0.0, 2.0, 5.0, 6.0, 50.0] {
                        let mut view = VolumeView::new(std::sync::Arc::clone(&volume));
                        view.show(ViewDescriptor {
                            axes,
                            slab: (mm > 0.0).then_some(Slab { projection, mm }),
                            ..ViewDescriptor::new(plane, 1, Window::linear(0.0, 1.0))
                        });
                        let cut = volume.cut(&view.descriptor()).unwrap();
                        let section = view.section();
                        let ours = section.of(&volume);
                        assert_eq!((cut.width, cut.height), (ours.width, ours.height));
                        for (at, (theirs, ours)) in
                            cut.samples.iter().zip(&ours.samples).enumerate()
                        {
                            let pixel = [at % cut.width, at / cut.width];
                            for ours in [*ours, section.sample(&volume, pixel)] {
                                let same = (theirs - ours).abs() < 1e-3;
                                let neither = theirs.is_nan() && ours.is_nan();
                                assert!(same || neither, "{view:?} {pixel:?}: {theirs} {ours}");
                            }
                            compared += 1;
                        }
                    }
                }
            }
        }
        assert!(compared > 1000, "{compared}");
    }
}
