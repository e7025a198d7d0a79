//! Samples to the grey levels of their picture, on the graphics card: launches `shaders/window_level.wgsl`.
//!
//! Its meaning is `engine::imaging::render::picture`, which makes what the model gets; a test holds the two equal.

use std::sync::{Arc, OnceLock};

use eframe::wgpu;
use engine::imaging::render::square_size;
use engine::imaging::{Slice, VoiFunction, Window};

use super::reslice::{GpuCut, Reslice, SAMPLES_FORMAT};
use super::{bind_group_layout, fill, pipeline, texture, write_texture};

/// Stands for a sample that is not a number.
// NOTE: keep in sync with NOTHING in shaders/window_level.wgsl.
const NOTHING: f32 = -3.2e38;

/// The shader.
pub const SOURCE: &str = include_str!("../../../shaders/window_level.wgsl");

/// Level, and whether there is one.
pub const PICTURE_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rg8Unorm;

/// Entries of a table in one row of its texture.
const TABLE_ROW: usize = 256;

/// Bytes of `Look` in the shader.
const LOOK_BYTES: usize = 48;

/// The pipeline.
pub struct WindowLevel {
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    /// Compiled where it is used: not every card draws numbers.
    reslice: OnceLock<Reslice>,
}

/// How samples become grey levels.
#[derive(Clone, Debug)]
pub struct Levels {
    /// The samples.
    pub slice: Arc<Slice>,
    /// How they are made on the card, where the slice has none.
    pub cut: Option<GpuCut>,
    /// Their window.
    pub window: Window,
    /// Black and white exchanged.
    pub invert: bool,
}

/// A slice and its picture on the graphics card.
pub struct Layer {
    levels: Levels,
    samples: wgpu::Texture,
    look: wgpu::Buffer,
    bind_group: wgpu::BindGroup,
    /// The picture.
    pub picture: wgpu::TextureView,
    texture: wgpu::Texture,
}

impl WindowLevel {
    /// Compiles the shader.
    pub fn new(device: &wgpu::Device) -> Self {
        let layout = bind_group_layout(device, "window_level", LOOK_BYTES, 2);
        let pipeline = pipeline(device, "window_level", SOURCE, &layout, PICTURE_FORMAT);
        Self {
            pipeline,
            layout,
            reslice: OnceLock::new(),
        }
    }

    /// Brings the picture of `levels` about: of `old` what can be used again is. Draws only what changed.
    pub fn record(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
        levels: &Levels,
        old: Option<Layer>,
    ) -> Layer {
        let table_of = |levels: &Levels| match levels.window.function {
            VoiFunction::Table(number) => Some(number),
            _ => None,
        };
        let fits = |old: &Layer| {
            let same_size = square_size(&old.levels.slice) == square_size(&levels.slice)
                && [old.levels.slice.width, old.levels.slice.height]
                    == [levels.slice.width, levels.slice.height];
            let same_table = table_of(&old.levels) == table_of(levels)
                && Arc::ptr_eq(&old.levels.slice.voi_tables, &levels.slice.voi_tables);
            let same_maker = old.levels.cut.is_some() == levels.cut.is_some();
            same_size && same_maker && (same_table || table_of(levels).is_none())
        };
        let same_slice = |old: &Layer| Arc::ptr_eq(&old.levels.slice, &levels.slice);
        let mut layer = match old {
            Some(old) if fits(&old) => {
                let look = (old.levels.window, old.levels.invert);
                if same_slice(&old) && look == (levels.window, levels.invert) {
                    return old;
                }
                if !same_slice(&old) {
                    self.bring_samples(device, queue, encoder, &old.samples, levels);
                }
                old
            }
            _ => self.layer(device, queue, encoder, levels),
        };
        layer.levels = levels.clone();
        queue.write_buffer(&layer.look, 0, &look_bytes(levels));
        fill(
            encoder,
            "window_level",
            &layer.picture,
            &self.pipeline,
            &layer.bind_group,
        );
        layer
    }

    /// Brings the samples onto the card, or makes them there.
    fn bring_samples(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
        samples: &wgpu::Texture,
        levels: &Levels,
    ) {
        match &levels.cut {
            None => write_samples(queue, samples, &levels.slice),
            Some(cut) => {
                let reslice = self.reslice.get_or_init(|| Reslice::new(device));
                let samples = samples.create_view(&Default::default());
                reslice.record(device, queue, encoder, cut, &samples);
            }
        }
    }

    fn layer(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
        levels: &Levels,
    ) -> Layer {
        let slice = &levels.slice;
        let usage = wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST;
        let made_here = match levels.cut {
            Some(_) => wgpu::TextureUsages::RENDER_ATTACHMENT,
            None => wgpu::TextureUsages::empty(),
        };
        let size = [slice.width as u32, slice.height as u32];
        let samples = texture(device, size, SAMPLES_FORMAT, usage | made_here);
        self.bring_samples(device, queue, encoder, &samples, levels);
        let entries = table_levels(levels);
        let rows = entries.len().div_ceil(TABLE_ROW).max(1);
        let table_size = [TABLE_ROW as u32, rows as u32];
        let table = texture(device, table_size, wgpu::TextureFormat::R8Unorm, usage);
        let mut padded = entries;
        padded.resize(rows * TABLE_ROW, 0);
        write_texture(queue, &table, &padded, 1);
        let picture_usage = wgpu::TextureUsages::TEXTURE_BINDING
            | wgpu::TextureUsages::RENDER_ATTACHMENT
            | wgpu::TextureUsages::COPY_SRC;
        let picture = texture(device, square_size(slice), PICTURE_FORMAT, picture_usage);
        let look = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("window_level"),
            size: LOOK_BYTES as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let view = |texture: &wgpu::Texture| texture.create_view(&Default::default());
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("window_level"),
            layout: &self.layout,
            entries: &[
                wgpu::BindGroupEntry {
                    binding: 0,
                    resource: look.as_entire_binding(),
                },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::TextureView(&view(&samples)),
                },
                wgpu::BindGroupEntry {
                    binding: 2,
                    resource: wgpu::BindingResource::TextureView(&view(&table)),
                },
            ],
        });
        Layer {
            levels: levels.clone(),
            picture: view(&picture),
            texture: picture,
            samples,
            look,
            bind_group,
        }
    }
}

impl Layer {
    /// The picture's texture, to be copied back.
    pub fn texture(&self) -> &wgpu::Texture {
        &self.texture
    }
}

fn write_samples(queue: &wgpu::Queue, texture: &wgpu::Texture, slice: &Slice) {
    let mut bytes = vec![0; slice.samples.len() * 4];
    for (word, sample) in bytes.chunks_exact_mut(4).zip(&slice.samples) {
        let sample = if sample.is_nan() {
            NOTHING
        } else {
            sample.max(-2.9e38)
        };
        word.copy_from_slice(&sample.to_le_bytes());
    }
    write_texture(queue, texture, &bytes, 4);
}

/// The level of every entry of the table in use.
fn table_levels(levels: &Levels) -> Vec<u8> {
    let VoiFunction::Table(number) = levels.window.function else {
        return Vec::new();
    };
    let table = levels.slice.voi_tables.get(number);
    table.map_or_else(Vec::new, |table| {
        let samples = (0..table.entries.len()).map(|entry| table.first + entry as f32);
        samples.map(|sample| table.apply(sample)).collect()
    })
}

fn look_bytes(levels: &Levels) -> Vec<u8> {
    let Levels {
        slice,
        window,
        invert,
        ..
    } = levels;
    let table = match window.function {
        VoiFunction::Table(number) => slice.voi_tables.get(number),
        _ => None,
    };
    // A table that is not at hand is LINEAR, as in `Window::apply`.
    let kind: u32 = match (window.function, table) {
        (VoiFunction::LinearExact, _) => 1,
        (VoiFunction::Sigmoid, _) => 2,
        (VoiFunction::Table(_), Some(_)) => 3,
        (VoiFunction::Linear | VoiFunction::Table(_), _) => 0,
    };
    let picture = square_size(slice);
    let words = [
        window.center.to_bits(),
        window.width.to_bits(),
        kind,
        u32::from(*invert),
        slice.width as u32,
        slice.height as u32,
        picture[0],
        picture[1],
        table.map_or(0.0, |table| table.first).to_bits(),
        table.map_or(0, |table| table.entries.len() as u32),
        0,
        0,
    ];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
