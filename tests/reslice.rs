//! Slices cut on the graphics card, held to those that the processor cuts.

use std::sync::{Arc, OnceLock};

use eframe::wgpu;
use engine::imaging::{
    Affine, Axes, Plane, Projection, Rescale, Slab, ViewDescriptor, Volume, Voxels, Window,
};
use workbench::offscreen::read_back;
use workbench::paint::reslice::{GpuCut, Reslice, samples_texture};
use workbench::paint::volumes::{Standing, Volumes};

use crate::screen::gpu;

/// What stands for no number on the card.
const NOTHING: f32 = -3.2e38;

fn reslice() -> &'static Reslice {
    static SHADER: OnceLock<Reslice> = OnceLock::new();
    SHADER.get_or_init(|| Reslice::new(&gpu().device))
}

/// The cut, once all parts of the volume were sent; and how many times that took.
fn cut_of(volumes: &mut Volumes, volume: &Arc<Volume>, view: &ViewDescriptor) -> (GpuCut, usize) {
    let cutting = volume.cutting(view).unwrap().unwrap();
    for calls in 1..100 {
        match volumes.cut(volume, &cutting) {
            Standing::Ready(cut) => return (cut, calls),
            Standing::Coming => {}
            Standing::Not => panic!("the card does not take it"),
        }
    }
    panic!("it never comes");
}

/// The samples of a slice from the card.
fn on_card(volumes: &mut Volumes, volume: &Arc<Volume>, view: &ViewDescriptor) -> Vec<f32> {
    let gpu = gpu();
    let (cut, _) = cut_of(volumes, volume, view);
    let cutting = volume.cutting(view).unwrap().unwrap();
    let texture = samples_texture(&gpu.device, &cutting, wgpu::TextureUsages::COPY_SRC);
    let target = texture.create_view(&Default::default());
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    reslice().record(&gpu.device, &gpu.queue, &mut encoder, &cut, &target);
    let _ = gpu.queue.submit([encoder.finish()]);
    let bytes = read_back(&gpu.device, &gpu.queue, &texture, 4).unwrap();
    let words = bytes.as_chunks::<4>().0.iter();
    words.map(|word| f32::from_le_bytes(*word)).collect()
}

/// A turned and sheared grid, so that patient axes run between the voxels.
fn oblique(spacing: [f64; 3]) -> Affine {
    let [x, y, z] = spacing;
    Affine([
        [0.9 * x, -0.3 * y, 0.05 * z, -31.0],
        [0.3 * x, 0.9 * y, -0.2 * z, 12.5],
        [0.02 * x, 0.15 * y, 0.97 * z, -400.25],
    ])
}

fn level(at: usize) -> i32 {
    ((at * 7919) % 4001) as i32 - 1000
}

/// One volume of every stored type; with padding where that can be.
fn volumes_of(size: [usize; 3], affine: Affine) -> Vec<Volume> {
    let count = size.iter().product();
    let all = || 0..count;
    let types = [
        Voxels::U8(all().map(|at| (level(at) & 0xFF) as u8).collect()),
        Voxels::I16(all().map(|at| level(at) as i16).collect()),
        Voxels::U16(all().map(|at| (level(at) + 34_000) as u16).collect()),
        Voxels::I32(all().map(|at| level(at) * 70_000).collect()),
        Voxels::F32(
            all()
                .map(|at| match at % 101 {
                    7 => f32::NAN,
                    _ => level(at) as f32 * 0.37,
                })
                .collect(),
        ),
    ];
    let padded = |voxels| Volume {
        rescale: vec![Rescale {
            slope: 1.5,
            intercept: -20.0,
        }],
        padding: Some([-1000.0, -960.0]),
        ..Volume::new(size, voxels, affine)
    };
    types.into_iter().map(padded).collect()
}

/// Largest difference as a share of the range of the samples; and how many samples were not nothing.
fn compared(card: &[f32], processor: &[f32], what: &str) -> (f32, usize) {
    assert_eq!(card.len(), processor.len(), "{what}");
    let numbers = || processor.iter().filter(|x| !x.is_nan());
    let range = numbers().fold(1.0_f32, |range, x| range.max(x.abs()));
    let mut largest = 0.0_f32;
    for (at, (card, processor)) in card.iter().zip(processor).enumerate() {
        let nothing = *card <= NOTHING;
        assert_eq!(nothing, processor.is_nan(), "{what}: sample {at}");
        if !nothing {
            largest = largest.max((card - processor).abs() / range);
        }
    }
    (largest, numbers().count())
}

/// Both compute in single precision and the card may fuse a product and a sum: a few of their last places, 1e-6, is what
/// may be left. Places themselves differ by less than 1e-6 of a voxel.
#[test]
fn the_card_cuts_what_the_processor_cuts() {
    let mut volumes = Volumes::new(gpu().device.clone(), gpu().queue.clone());
    let slabs = [
        None,
        Some(Projection::Maximum),
        Some(Projection::Minimum),
        Some(Projection::Mean),
    ];
    let mut cases = 0;
    for (size, spacing) in [([13, 9, 7], [0.7, 0.9, 3.0]), ([40, 1, 5], [1.0, 2.0, 1.5])] {
        for volume in volumes_of(size, oblique(spacing)).into_iter().map(Arc::new) {
            for (plane, axes) in Plane::ALL
                .into_iter()
                .flat_map(|plane| [(plane, Axes::Acquired), (plane, Axes::Patient)])
            {
                let count = volume.grid(plane, axes).size[2];
                for projection in slabs {
                    let view = ViewDescriptor {
                        axes,
                        slab: projection.map(|projection| Slab {
                            projection,
                            mm: 7.0,
                        }),
                        ..ViewDescriptor::new(plane, count / 2, Window::linear(0.0, 1.0))
                    };
                    let what = format!("{size:?} {plane:?} {axes:?} {projection:?}");
                    let processor = volume.cut(&view).unwrap().samples;
                    let card = on_card(&mut volumes, &volume, &view);
                    let (largest, numbers) = compared(&card, &processor, &what);
                    assert!(numbers > 0, "{what}: nothing is there");
                    assert!(largest < 2e-6, "{what}: {largest} of the range");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 2 * 5 * 6 * 4);
}

/// Two thousand voxels from the origin a step has as many digits as beside it.
#[test]
fn far_from_the_origin_places_are_as_exact() {
    let mut volumes = Volumes::new(gpu().device.clone(), gpu().queue.clone());
    let size = [1800, 3, 40];
    let affine = Affine([
        [0.391, 0.0, 0.001, -350.0],
        [0.0, 0.391, 0.2, -3.0],
        [-0.001, 0.0, 0.7, 7.0],
    ]);
    let voxels = (0..size.iter().product()).map(|at| level(at) as i16);
    let volume = Arc::new(Volume::new(size, Voxels::I16(voxels.collect()), affine));
    let view = ViewDescriptor {
        axes: Axes::Patient,
        ..ViewDescriptor::new(Plane::Coronal, 8, Window::linear(0.0, 1.0))
    };
    let processor = volume.cut(&view).unwrap().samples;
    let card = on_card(&mut volumes, &volume, &view);
    let (largest, numbers) = compared(&card, &processor, "far");
    assert!(
        numbers > 1000 && largest < 4e-6,
        "{largest}, {numbers} samples"
    );
}

#[test]
fn what_is_infinite_stays_large_and_slices_with_a_rescale_each_are_the_processors() {
    let mut volumes = Volumes::new(gpu().device.clone(), gpu().queue.clone());
    let voxels = Voxels::F32(vec![f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1.0]);
    let mut volume = Volume::new([2, 2, 1], voxels, Affine::IDENTITY);
    let view = ViewDescriptor::new(Plane::Axial, 0, Window::linear(0.0, 1.0));
    let card = on_card(&mut volumes, &Arc::new(volume.clone()), &view);
    assert!(card[0] > 1e38 && card[1] < -1e38 && card[1] > NOTHING);
    assert!(card[2] <= NOTHING && card[3] == 1.0);
    volume.rescale = vec![Rescale::NONE, Rescale::NONE];
    assert!(volume.cutting(&view).unwrap().is_none());
    let beyond = ViewDescriptor { index: 1, ..view };
    assert!(volume.cutting(&beyond).is_err());
}

/// 60 MiB go in parts of 24, and the volume leaves the card when nobody has it any more.
#[test]
fn a_volume_is_sent_in_parts_and_dropped_with_its_last_owner() {
    let mut volumes = Volumes::new(gpu().device.clone(), gpu().queue.clone());
    let size = [512, 512, 120];
    let voxels = Voxels::I16(vec![100; size.iter().product()]);
    let volume = Arc::new(Volume::new(size, voxels, Affine::IDENTITY));
    let view = ViewDescriptor::new(Plane::Axial, 60, Window::linear(0.0, 1.0));
    let (_, calls) = cut_of(&mut volumes, &volume, &view);
    assert_eq!(calls, 3);
    assert_eq!(cut_of(&mut volumes, &volume, &view).1, 1, "it is there now");
    assert_eq!(volumes.bytes(), 60 << 20);
    let small = volumes_of([4, 4, 4], Affine::IDENTITY).remove(1);
    drop(volume);
    let _ = cut_of(
        &mut volumes,
        &Arc::new(small),
        &ViewDescriptor { index: 1, ..view },
    );
    assert_eq!(volumes.bytes(), 128);
}
