//! Pixel Padding Value: what stands for no image is in no window, statistics or slab, and black.

use engine::imaging::measure::{Reading, Shape, measure, samples_in};
use engine::imaging::render::grey_levels;
use engine::imaging::{Projection, Slab, SliceAt};

use super::dicom::series;
use super::*;

/// Two slices whose first row is padding; the others hold 10 to 17 and 20 to 27. Padding runs from -2000 to `limit`.
fn padded(photometric: &str, limit: Option<i16>, padding: i16) -> Arc<Volume> {
    let slices: Vec<Dicom> = (0..2_i16)
        .map(|k| {
            let mut values = vec![padding; 4];
            values.extend((0..8).map(|i| 10 * (k + 1) + i));
            let mut slice = Dicom::ct_slice(k as usize, f64::from(k));
            let word = |value: i16| value.to_le_bytes().to_vec();
            slice
                .text(0x0028_0004, "CS", photometric)
                .set(0x0028_0120, "SS", word(-2000))
                .rescale(1.0, 100.0)
                .pixels_i16(&values);
            if let Some(limit) = limit {
                slice.set(0x0028_0121, "SS", word(limit));
            }
            slice
        })
        .collect();
    only_volume(series(&slices).path())
}

#[test]
fn padding_is_in_no_window_histogram_or_statistics() {
    for (limit, padding) in [(None, -2000), (Some(-1500), -1700), (Some(-2500), -2200)] {
        let volume = padded("MONOCHROME2", limit, padding);
        assert!(volume.sample([0, 0, 0]).is_nan() && volume.sample([0, 1, 0]) == 110.0);
        let window = volume.automatic_window();
        assert!((window.width - 18.0).abs() < 1.1, "{window:?}");
        assert_eq!(
            samples_in(&volume, SliceAt::acquired(Plane::Axial, 0), None).len(),
            8
        );
        let whole = Shape::Rectangle([[0.0, 0.0], [4.0, 3.0]]);
        let Reading::Region(region) = measure(&volume, SliceAt::acquired(Plane::Axial, 0), &whole)
        else {
            panic!("no region");
        };
        let found = region.statistics.unwrap();
        assert_eq!((found.count, found.min, found.mean), (8, 110.0, 113.5));
    }
    // A value beside the range is an image.
    let volume = padded("MONOCHROME2", None, -1999);
    assert_eq!(volume.sample([0, 0, 0]), -1899.0);
}

#[test]
fn padding_is_black_also_where_low_samples_are_white() {
    let volume = padded("MONOCHROME1", None, -2000);
    assert!(volume.inverted);
    let slice = volume.slice(Plane::Axial, 0).unwrap();
    let levels = grey_levels(&slice, Window::from_range(110.0, 117.0), true);
    assert_eq!(levels[..5], [0, 0, 0, 0, 255]);
}

#[test]
fn slabs_and_places_between_voxels_leave_padding_out() {
    let mut volume = Arc::unwrap_or_clone(padded("MONOCHROME2", None, -2000));
    let at = |volume: &Volume, projection| {
        let view = ViewDescriptor {
            slab: Some(Slab {
                projection,
                mm: 2.0,
            }),
            ..ViewDescriptor::new(Plane::Axial, 0, Window::linear(0.0, 10.0))
        };
        let samples = volume.cut(&view).unwrap().samples;
        (samples[0], samples[4])
    };
    for (projection, expected) in [
        (Projection::Minimum, 110.0),
        (Projection::Mean, 115.0),
        (Projection::Maximum, 120.0),
    ] {
        let (padding, image) = at(&volume, projection);
        assert!(padding.is_nan() && image == expected, "{projection:?}");
    }
    // Padding in one of the slices only.
    let Voxels::I16(values) = &mut volume.voxels else {
        panic!("not 16 bit");
    };
    values[4] = -2000;
    for projection in [Projection::Minimum, Projection::Mean, Projection::Maximum] {
        assert_eq!(at(&volume, projection).1, 120.0, "{projection:?}");
    }
    let grid = volume.grid(Plane::Axial, engine::imaging::Axes::Acquired);
    let sampled = volume.sampled(&grid, 0).samples;
    assert!(sampled[4].is_nan() && sampled[5] == 111.0);
}
