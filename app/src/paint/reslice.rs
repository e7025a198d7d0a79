//! Voxels to the samples of a slice, on the graphics card: launches `shaders/reslice.wgsl`.
//!
//! Its meaning is `engine::imaging::Volume::cut`; a test holds the two equal. It is used for what takes the processor
//! long (slabs, slices between the voxels), where there is a graphics card and room on it.

use std::sync::Arc;

use eframe::wgpu;
use engine::imaging::{Affine, Cutting, Projection, Volume, Voxels};

use super::{bind_group_layout_of, fill, pipeline, texture};

/// The shader.
pub const SOURCE: &str = include_str!("../../../shaders/reslice.wgsl");

/// The samples of a slice.
pub const SAMPLES_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::R32Float;

/// Bytes of `Cut` in the shader.
const CUT_BYTES: usize = 128;

/// A pass takes at most so many samples: more could hold up the desktop.
const MOST_SAMPLES: usize = 1 << 28;

/// The pipeline.
pub struct Reslice {
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
}

/// Room for the samples of a slice, to be read back or only drawn.
pub fn samples_texture(
    device: &wgpu::Device,
    cutting: &Cutting,
    usage: wgpu::TextureUsages,
) -> wgpu::Texture {
    let size = [cutting.frame.width as u32, cutting.frame.height as u32];
    let drawn = wgpu::TextureUsages::RENDER_ATTACHMENT;
    texture(device, size, SAMPLES_FORMAT, drawn | usage)
}

/// A slice that is to be cut on the graphics card.
#[derive(Clone, Debug)]
pub struct GpuCut {
    voxels: wgpu::TextureView,
    /// `Cut` in the shader.
    bytes: Vec<u8>,
}

impl GpuCut {
    /// From the voxels on the card. Nothing where one pass would take too long.
    pub fn new(voxels: wgpu::TextureView, volume: &Volume, cutting: &Cutting) -> Option<Self> {
        let samples = cutting.frame.width * cutting.frame.height * cutting.slices.len();
        (samples <= MOST_SAMPLES).then(|| Self {
            voxels,
            bytes: cut_bytes(volume, cutting),
        })
    }
}

impl Reslice {
    /// Compiles the shader.
    pub fn new(device: &wgpu::Device) -> Self {
        let voxels = wgpu::BindingType::Texture {
            sample_type: wgpu::TextureSampleType::Sint,
            view_dimension: wgpu::TextureViewDimension::D3,
            multisampled: false,
        };
        let layout = bind_group_layout_of(device, "reslice", CUT_BYTES, &[voxels]);
        let pipeline = pipeline(device, "reslice", SOURCE, &layout, SAMPLES_FORMAT);
        Self { pipeline, layout }
    }

    /// Cuts a slice to `samples`, which has a pixel for each.
    pub fn record(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
        cut: &GpuCut,
        samples: &wgpu::TextureView,
    ) {
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("reslice"),
            size: CUT_BYTES as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        queue.write_buffer(&uniform, 0, &cut.bytes);
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("reslice"),
            layout: &self.layout,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: uniform.as_entire_binding(),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::TextureView(&cut.voxels),
                },
            ],
        });
        fill(encoder, "reslice", samples, &self.pipeline, &bind_group);
    }
}

fn cut_bytes(volume: &Volume, cutting: &Cutting) -> Vec<u8> {
    let map = &cutting.voxel_from_grid;
    let origin = map.apply([0.0, 0.0, cutting.slices.start as f64]);
    let (whole, part) = whole_and_part(origin);
    let [right, down, along] = [0, 1, 2].map(|axis| steps(map, axis));
    let rescale = volume.rescale_of(0);
    // An empty range where nothing is padding.
    let [padding_low, padding_high] = volume.padding.unwrap_or([1.0, -1.0]);
    let projection = match cutting.projection {
        Projection::Maximum => 0,
        Projection::Minimum => 1,
        Projection::Mean => 2,
    };
    let kind = match volume.voxels {
        Voxels::I16(_) | Voxels::I32(_) => 0,
        Voxels::U8(_) => 1,
        Voxels::U16(_) => 2,
        Voxels::F32(_) => 3,
    };
    let bits = |three: [f32; 3]| three.map(f32::to_bits);
    let slices = u32::try_from(cutting.slices.len()).unwrap_or(u32::MAX);
    let rows: [([u32; 3], u32); 8] = [
        (whole.map(i32::cast_unsigned), slices),
        (bits(part), projection),
        (bits(right[0]), kind),
        (bits(right[1]), rescale.slope.to_bits()),
        (bits(down[0]), rescale.intercept.to_bits()),
        (bits(down[1]), padding_low.to_bits()),
        (bits(along[0]), padding_high.to_bits()),
        (bits(along[1]), 0),
    ];
    let words = rows
        .into_iter()
        .flat_map(|([x, y, z], last)| [x, y, z, last]);
    words.flat_map(u32::to_le_bytes).collect()
}

/// A place as whole voxels and what is left, 0 to 1.
fn whole_and_part(place: [f64; 3]) -> ([i32; 3], [f32; 3]) {
    // What an inverted matrix makes of a whole number is not quite one.
    let snapped = place.map(|x| {
        let nearest = x.round();
        if (x - nearest).abs() < 1e-9 {
            nearest
        } else {
            x
        }
    });
    (
        snapped.map(|x| x.floor() as i32),
        snapped.map(|x| (x - x.floor()) as f32),
    )
}

/// A step of the grid in voxels, as numbers of 12 bits and what is left of them.
fn steps(map: &Affine, axis: usize) -> [[f32; 3]; 2] {
    let step = map.step(axis);
    let high = step.map(|x| {
        let rounded = x as f32;
        // 24 bits become 12; the nearest is not needed.
        f32::from_bits(rounded.to_bits() & 0xFFFF_F000)
    });
    let low = [0, 1, 2].map(|d| (step[d] - f64::from(high[d])) as f32);
    [high, low]
}

/// A volume on its way to the graphics card, or there.
pub struct Upload {
    texture: wgpu::Texture,
    /// Slices that are there.
    done: usize,
}

impl Upload {
    /// Bytes that are sent at once, so that no frame takes long.
    const AT_ONCE: usize = 24 << 20;

    /// Makes room. Nothing where the card takes no texture of this size.
    pub fn new(device: &wgpu::Device, volume: &Volume) -> Option<Self> {
        let most = device.limits().max_texture_dimension_3d;
        let size = volume.size.map(|length| u32::try_from(length).ok());
        let [Some(width), Some(height), Some(depth)] = size else {
            return None;
        };
        if [width, height, depth]
            .iter()
            .any(|length| *length == 0 || *length > most)
        {
            return None;
        }
        let format = match volume.voxels {
            Voxels::U8(_) => wgpu::TextureFormat::R8Sint,
            Voxels::I16(_) | Voxels::U16(_) => wgpu::TextureFormat::R16Sint,
            Voxels::I32(_) | Voxels::F32(_) => wgpu::TextureFormat::R32Sint,
        };
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("volume"),
            size: wgpu::Extent3d {
                width,
                height,
                depth_or_array_layers: depth,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D3,
            format,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        Some(Self { texture, done: 0 })
    }

    /// Bytes on the card.
    pub fn bytes(&self) -> u64 {
        let size = self.texture.size();
        let voxels = u64::from(size.width) * u64::from(size.height);
        voxels * u64::from(size.depth_or_array_layers) * u64::from(self.voxel_bytes())
    }

    fn voxel_bytes(&self) -> u32 {
        self.texture.format().block_copy_size(None).unwrap_or(4)
    }

    /// Sends the next slices; the voxels once all are there.
    pub fn go_on(
        &mut self,
        queue: &wgpu::Queue,
        volume: &Arc<Volume>,
    ) -> Option<wgpu::TextureView> {
        let size = self.texture.size();
        let all = size.depth_or_array_layers as usize;
        if self.done < all {
            let row = size.width * self.voxel_bytes();
            let slice_bytes = row as usize * size.height as usize;
            let slices = (Self::AT_ONCE / slice_bytes.max(1)).clamp(1, all - self.done);
            let area = volume.size[0] * volume.size[1];
            let bytes = bytes_of(
                &volume.voxels,
                self.done * area..(self.done + slices) * area,
            )?;
            let mut place = self.texture.as_image_copy();
            place.origin.z = self.done as u32;
            let layout = wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(row),
                rows_per_image: Some(size.height),
            };
            let part = wgpu::Extent3d {
                depth_or_array_layers: slices as u32,
                ..size
            };
            queue.write_texture(place, &bytes, layout, part);
            self.done += slices;
        }
        (self.done == all).then(|| self.texture.create_view(&Default::default()))
    }
}

/// Voxels as bytes; nothing where there are fewer.
fn bytes_of(voxels: &Voxels, range: std::ops::Range<usize>) -> Option<Vec<u8>> {
    fn all<T: Copy, const N: usize>(
        voxels: &[T],
        range: std::ops::Range<usize>,
        bytes: fn(T) -> [u8; N],
    ) -> Option<Vec<u8>> {
        let voxels = voxels.get(range)?;
        let mut all = Vec::with_capacity(voxels.len() * N);
        for voxel in voxels {
            all.extend_from_slice(&bytes(*voxel));
        }
        Some(all)
    }
    match voxels {
        Voxels::U8(v) => v.get(range).map(<[u8]>::to_vec),
        Voxels::I16(v) => all(v, range, i16::to_le_bytes),
        Voxels::U16(v) => all(v, range, u16::to_le_bytes),
        Voxels::I32(v) => all(v, range, i32::to_le_bytes),
        Voxels::F32(v) => all(v, range, f32::to_le_bytes),
    }
}
