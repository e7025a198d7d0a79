//! One picture, or two in one, in colours on the screen: launches `shaders/compare.wgsl`.

use eframe::wgpu;
use engine::imaging::ColourMap;

use super::{bind_group_layout, pipeline, texture, write_texture};

/// Colour of what is brighter in the first picture, at the largest difference.
// NOTE: keep both in sync with shaders/compare.wgsl.
pub const BRIGHTER: [f32; 3] = [1.0, 0.6, 0.15];
/// Colour of what is brighter in the second.
pub const DARKER: [f32; 3] = [0.2, 0.6, 1.0];

/// The shader.
pub const SOURCE: &str = include_str!("../../../shaders/compare.wgsl");

/// Bytes of `Look` in the shader.
const LOOK_BYTES: usize = 64;

/// The pipeline, for one kind of target.
pub struct Compare {
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    maps: wgpu::TextureView,
    linear_target: bool,
}

/// What is drawn of two pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mix {
    /// The first.
    One,
    /// The first left of this share of the viewport, the second right of it.
    Swipe(f32),
    /// The second over the first, as opaque as this.
    Blend(f32),
    /// The first less the second.
    Difference,
}

/// Where and how pictures are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Column of the picture, as a share of its width, from a place in the viewport: `x * [0] + y * [1] + [2]`.
    pub across: [f32; 3],
    /// Row of the picture.
    pub along: [f32; 3],
    /// What is drawn of the two.
    pub mix: Mix,
    /// Colours of the first and of the second.
    pub maps: [ColourMap; 2],
}

/// What one viewport needs.
pub struct Target {
    bind_group: wgpu::BindGroup,
}

impl Compare {
    /// Compiles the shader for targets of this format.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, format: wgpu::TextureFormat) -> Self {
        let layout = bind_group_layout(device, "compare", LOOK_BYTES, 3);
        let pipeline = pipeline(device, "compare", SOURCE, &layout, format);
        let size = [256, ColourMap::ALL.len() as u32];
        let usage = wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST;
        let maps = texture(device, size, wgpu::TextureFormat::Rgba8Unorm, usage);
        let colours = ColourMap::ALL.iter().flat_map(|map| map.table());
        let bytes: Vec<u8> = colours.flat_map(|[r, g, b]| [r, g, b, 255]).collect();
        write_texture(queue, &maps, &bytes, 4);
        Self {
            pipeline,
            layout,
            maps: maps.create_view(&Default::default()),
            linear_target: format.is_srgb(),
        }
    }

    /// Prepares the drawing of one viewport.
    pub fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        pictures: [&wgpu::TextureView; 2],
        look: &Look,
    ) -> Target {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("compare"),
            size: LOOK_BYTES as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        queue.write_buffer(&buffer, 0, &self.look_bytes(look));
        let [first, second] = pictures;
        let textures = [first, second, &self.maps];
        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: buffer.as_entire_binding(),
        }];
        entries.extend(
            (1..)
                .zip(textures)
                .map(|(binding, view)| wgpu::BindGroupEntry {
                    binding,
                    resource: wgpu::BindingResource::TextureView(view),
                }),
        );
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("compare"),
            layout: &self.layout,
            entries: &entries,
        });
        Target { bind_group }
    }

    /// Draws into the viewport that is set.
    pub fn record(&self, pass: &mut wgpu::RenderPass<'static>, target: &Target) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &target.bind_group, &[]);
        pass.draw(0..3, 0..1);
    }

    fn look_bytes(&self, look: &Look) -> Vec<u8> {
        let (mode, share) = match look.mix {
            Mix::One => (0, 0.0),
            Mix::Swipe(share) => (1, share),
            Mix::Blend(share) => (2, share),
            Mix::Difference => (3, 0.0),
        };
        let map = |map: ColourMap| {
            let row = ColourMap::ALL.iter().position(|other| *other == map);
            row.unwrap_or(0) as u32
        };
        let row = |[x, y, offset]: [f32; 3]| [x.to_bits(), y.to_bits(), offset.to_bits(), 0];
        let [first_map, second_map] = look.maps.map(map);
        let linear = u32::from(self.linear_target);
        let rest = [
            mode,
            f32::to_bits(share),
            first_map,
            second_map,
            linear,
            0,
            0,
            0,
        ];
        let words = row(look.across)
            .into_iter()
            .chain(row(look.along))
            .chain(rest);
        words.flat_map(u32::to_le_bytes).collect()
    }
}

/// The colour of two grey levels in [`Mix::Difference`]: the shader's meaning, and what compares generated pictures.
pub fn difference_colour(first: u8, second: u8) -> [u8; 3] {
    let difference = (f32::from(first) - f32::from(second)) / 255.0;
    let colour = if difference > 0.0 { BRIGHTER } else { DARKER };
    colour.map(|channel| (channel * difference.abs() * 255.0).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_levels_are_black_and_opposite_ones_in_full_colour() {
        assert_eq!(difference_colour(90, 90), [0; 3]);
        assert_eq!(difference_colour(255, 0), [255, 153, 38]);
        assert_eq!(difference_colour(0, 255), [51, 153, 255]);
        assert_eq!(difference_colour(200, 100), [100, 60, 15]);
    }
}
