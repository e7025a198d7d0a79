//! The shaders of the slices, held to the formulas that make the model's picture.

use std::sync::{Arc, OnceLock};

use eframe::wgpu;
use engine::imaging::render::picture;
use engine::imaging::{ColourMap, Direction, Slice, VoiFunction, VoiTable, Window};
use workbench::offscreen::read_back;
use workbench::paint::SHADERS;
use workbench::paint::compare::{Compare, Look, Mix, difference_colour};
use workbench::paint::window_level::{Levels, WindowLevel};

use crate::screen::gpu;

/// A slice of this size whose samples run from -1000 on, with fractions and what is not a number.
fn slice([width, height]: [usize; 2], spacing_mm: [f64; 2]) -> Slice {
    let sample = |at: usize| match at % 97 {
        13 => f32::NAN,
        _ => -1000.0 + (at * 37 % 2000) as f32 + (at % 4) as f32 * 0.25,
    };
    Slice {
        width,
        height,
        samples: (0..width * height).map(sample).collect(),
        spacing_mm,
        right: Direction([1.0, 0.0, 0.0]),
        down: Direction([0.0, 1.0, 0.0]),
        voi_tables: Arc::new([VoiTable {
            first: -300.0,
            bits: 12,
            entries: (0..1000)
                .map(|entry| (entry * entry % 4096) as u16)
                .collect(),
        }]),
    }
}

/// The first shader, compiled once.
fn window_level() -> &'static WindowLevel {
    static SHADER: OnceLock<WindowLevel> = OnceLock::new();
    SHADER.get_or_init(|| WindowLevel::new(&gpu().device))
}

/// Level and inside of every pixel, from the graphics card.
fn drawn(levels: &Levels) -> Vec<[u8; 2]> {
    let gpu = gpu();
    let shader = window_level();
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let layer = shader.record(&gpu.device, &gpu.queue, &mut encoder, levels, None);
    let _ = gpu.queue.submit([encoder.finish()]);
    let bytes = read_back(&gpu.device, &gpu.queue, layer.texture(), 2).unwrap();
    bytes.as_chunks::<2>().0.to_vec()
}

/// Largest difference in levels, and how many pixels differ at all.
fn differences(levels: &Levels) -> (u8, usize, usize) {
    let wanted = picture(&levels.slice, levels.window, levels.invert);
    let drawn = drawn(levels);
    assert_eq!(drawn.len(), (wanted.width() * wanted.height()) as usize);
    let pairs = drawn.iter().zip(wanted.pixels());
    let each: Vec<u8> = pairs.map(|(a, b)| a[0].abs_diff(b.0[0])).collect();
    let largest = each.iter().max().copied().unwrap_or(0);
    (largest, each.iter().filter(|d| **d > 0).count(), each.len())
}

/// Numbers that fall between two levels may be rounded the other way: the graphics card divides a little differently.
/// Nothing else may differ.
#[test]
fn the_shader_makes_the_picture_that_the_model_gets() {
    let functions = [
        VoiFunction::Linear,
        VoiFunction::LinearExact,
        VoiFunction::Sigmoid,
        VoiFunction::Table(0),
        VoiFunction::Table(7), // not there: LINEAR
    ];
    let spacings = [[0.7, 0.7], [0.7, 2.5], [3.0, 1.1]];
    let mut cases = 0;
    for size in [[1, 1], [7, 65], [64, 48]] {
        for spacing in spacings {
            let slice = Arc::new(slice(size, spacing));
            for function in functions {
                for (center, width) in [(40.0, 400.0), (-600.0, 1500.0), (100.0, 1.0)] {
                    for invert in [false, true] {
                        let levels = Levels {
                            slice: Arc::clone(&slice),
                            cut: None,
                            window: Window {
                                center,
                                width,
                                function,
                            },
                            invert,
                        };
                        let (largest, count, all) = differences(&levels);
                        let what = format!("{size:?} {spacing:?} {:?} {invert}", levels.window);
                        assert!(largest <= 1, "{what}: {largest} levels");
                        assert!(count <= 1 + all / 50, "{what}: {count} of {all} pixels");
                        cases += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cases, 270);
}

#[test]
fn what_is_not_a_number_is_black_and_outside() {
    let slice = Arc::new(slice([16, 16], [1.0, 1.0]));
    let levels = Levels {
        slice: Arc::clone(&slice),
        cut: None,
        window: Window::linear(-1500.0, 10.0), // everything is white
        invert: false,
    };
    for (pixel, sample) in drawn(&levels).iter().zip(&slice.samples) {
        let wanted = if sample.is_nan() { [0, 0] } else { [255, 255] };
        assert_eq!(*pixel, wanted, "{sample}");
    }
}

#[test]
fn a_layer_is_used_again_and_follows_slice_and_window() {
    let gpu = gpu();
    let shader = window_level();
    let mut layer = None;
    for step in 0..6 {
        let mut samples = slice([8, 8], [1.0, 1.0]);
        samples.samples[0] = step as f32 * 100.0;
        let levels = Levels {
            slice: Arc::new(samples),
            cut: None,
            window: Window::linear(250.0 + (step / 2) as f32, 500.0),
            invert: step % 2 == 1,
        };
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let next = shader.record(&gpu.device, &gpu.queue, &mut encoder, &levels, layer.take());
        let _ = gpu.queue.submit([encoder.finish()]);
        let bytes = read_back(&gpu.device, &gpu.queue, next.texture(), 2).unwrap();
        let wanted = picture(&levels.slice, levels.window, levels.invert);
        assert!(
            bytes[0].abs_diff(wanted.get_pixel(0, 0).0[0]) <= 1,
            "step {step}"
        );
        layer = Some(next);
    }
}

/// Two pictures through the second shader, on a target of the same size.
fn mixed(mix: Mix, maps: [ColourMap; 2]) -> (Vec<[u8; 4]>, [Vec<u8>; 2]) {
    let gpu = gpu();
    let size = [12, 10];
    let window_level = window_level();
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let compare = Compare::new(&gpu.device, &gpu.queue, format);
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let layer = |center: f32, encoder: &mut wgpu::CommandEncoder| {
        let mut samples = slice(size, [1.0, 1.0]);
        // Not a number is tested elsewhere.
        samples
            .samples
            .iter_mut()
            .for_each(|x| *x = if x.is_nan() { 0.0 } else { *x });
        let levels = Levels {
            slice: Arc::new(samples),
            cut: None,
            window: Window::linear(center, 900.0),
            invert: false,
        };
        let wanted = picture(&levels.slice, levels.window, false);
        let grey: Vec<u8> = wanted.pixels().map(|pixel| pixel.0[0]).collect();
        (
            window_level.record(&gpu.device, &gpu.queue, encoder, &levels, None),
            grey,
        )
    };
    let (first, first_grey) = layer(0.0, &mut encoder);
    let (second, second_grey) = layer(-300.0, &mut encoder);
    let look = Look {
        across: [1.0, 0.0, 0.0],
        along: [0.0, 1.0, 0.0],
        mix,
        maps,
    };
    let pictures = [&first.picture, &second.picture];
    let prepared = compare.prepare(&gpu.device, &gpu.queue, pictures, &look);
    let target = gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d {
            width: size[0] as u32,
            height: size[1] as u32,
            depth_or_array_layers: 1,
        },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    let view = target.create_view(&Default::default());
    let mut pass = encoder
        .begin_render_pass(&wgpu::RenderPassDescriptor {
            label: None,
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &view,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(wgpu::Color::GREEN),
                    store: wgpu::StoreOp::Store,
                },
                depth_slice: None,
            })],
            ..Default::default()
        })
        .forget_lifetime();
    compare.record(&mut pass, &prepared);
    drop(pass);
    let _ = gpu.queue.submit([encoder.finish()]);
    let bytes = read_back(&gpu.device, &gpu.queue, &target, 4).unwrap();
    (bytes.as_chunks::<4>().0.to_vec(), [first_grey, second_grey])
}

fn check_mix(mix: Mix, maps: [ColourMap; 2], wanted: impl Fn(usize, u8, u8) -> [u8; 3]) {
    let (pixels, [first, second]) = mixed(mix, maps);
    assert!(first != second, "the two pictures differ");
    for (at, pixel) in pixels.iter().enumerate() {
        let wanted = wanted(at % 12, first[at], second[at]);
        let near = pixel.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 2);
        assert!(near, "{mix:?} at {at}: {pixel:?} for {wanted:?}");
    }
}

#[test]
fn one_picture_has_the_colours_of_its_map() {
    for map in ColourMap::ALL {
        let table = map.table();
        check_mix(Mix::One, [map; 2], |_, a, _| table[usize::from(a)]);
    }
}

#[test]
fn a_swipe_shows_the_first_left_of_the_curtain() {
    check_mix(Mix::Swipe(0.5), [ColourMap::Grey; 2], |x, a, b| {
        [if x < 6 { a } else { b }; 3]
    });
}

#[test]
fn a_blend_mixes_by_opacity_each_in_its_colours() {
    let inferno = ColourMap::Inferno.table();
    check_mix(
        Mix::Blend(0.25),
        [ColourMap::Grey, ColourMap::Inferno],
        |_, a, b| {
            inferno[usize::from(b)]
                .map(|b| (f32::from(a) * 0.75 + f32::from(b) * 0.25).round() as u8)
        },
    );
}

#[test]
fn a_difference_says_which_is_brighter_by_its_colour() {
    check_mix(Mix::Difference, [ColourMap::Grey; 2], |_, a, b| {
        difference_colour(a, b)
    });
}

#[test]
fn every_display_shader_names_its_bindings_and_its_launcher() {
    for (stem, source) in SHADERS {
        let header: Vec<&str> = source
            .lines()
            .take_while(|line| line.starts_with("//"))
            .collect();
        let header = header.join("\n");
        let declared = source.matches("@binding(").count();
        let named = header.matches("// binding ").count();
        assert!(
            named > 1 && named == declared,
            "{stem}: {named} of {declared} bindings"
        );
        let launcher = format!("app/src/paint/{stem}.rs");
        assert!(header.contains(&launcher), "{stem}");
        assert!(crate::support::repo(&launcher).is_file(), "{launcher}");
    }
}
