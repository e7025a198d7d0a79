//! Slices on the graphics card: samples where they take the processor long ([`reslice`]), a picture of grey levels for each ([`window_level`]), drawn into its viewport
//! ([`compare`]). The window costs one pass over the slice when it changes, zoom and pan cost no new picture.

pub mod compare;
pub mod reslice;
pub mod volumes;
pub mod window_level;

use std::collections::HashMap;

use eframe::egui_wgpu::{self, CallbackResources, CallbackTrait, ScreenDescriptor};
use eframe::wgpu;
use egui::{PaintCallback, PaintCallbackInfo, Rect};

use compare::{Compare, Look, Target};
use window_level::{Layer, Levels, WindowLevel};

/// The display shaders: stem of the file in `shaders/` and of the launcher here, and the text.
pub const SHADERS: [(&str, &str); 3] = [
    ("reslice", reslice::SOURCE),
    ("window_level", window_level::SOURCE),
    ("compare", compare::SOURCE),
];

/// One viewport in one frame.
#[derive(Clone, Debug)]
pub struct ViewportPaint {
    /// The number of the viewport.
    pub viewport: usize,
    /// The format of what the window is drawn on.
    pub format: wgpu::TextureFormat,
    /// The slice.
    pub first: Levels,
    /// The slice it is compared with.
    pub second: Option<Levels>,
    /// Where and how.
    pub look: Look,
}

impl ViewportPaint {
    /// As a shape that egui draws.
    pub fn shape(self, area: Rect) -> PaintCallback {
        egui_wgpu::Callback::new_paint_callback(area, self)
    }
}

/// Pipelines, and what each viewport drew last.
struct Painter {
    window_level: WindowLevel,
    compare: Compare,
    format: wgpu::TextureFormat,
    layers: HashMap<(usize, usize), Layer>,
    targets: HashMap<usize, Target>,
}

impl CallbackTrait for ViewportPaint {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        _screen: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let fits = |painter: &&mut Painter| painter.format == self.format;
        if resources.get_mut::<Painter>().filter(fits).is_none() {
            let _ = resources.insert(Painter {
                window_level: WindowLevel::new(device),
                compare: Compare::new(device, queue, self.format),
                format: self.format,
                layers: HashMap::new(),
                targets: HashMap::new(),
            });
        }
        let Some(painter) = resources.get_mut::<Painter>() else {
            return Vec::new();
        };
        for (number, levels) in [(0, Some(&self.first)), (1, self.second.as_ref())] {
            let key = (self.viewport, number);
            let old = painter.layers.remove(&key);
            if let Some(levels) = levels {
                let drawn = painter
                    .window_level
                    .record(device, queue, encoder, levels, old);
                let _ = painter.layers.insert(key, drawn);
            }
        }
        let layer = |number: usize| painter.layers.get(&(self.viewport, number));
        if let Some(first) = layer(0) {
            let second = layer(1).unwrap_or(first);
            let pictures = [&first.picture, &second.picture];
            let target = painter.compare.prepare(device, queue, pictures, &self.look);
            let _ = painter.targets.insert(self.viewport, target);
        }
        Vec::new()
    }

    fn paint(
        &self,
        _info: PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        resources: &CallbackResources,
    ) {
        if let Some(painter) = resources.get::<Painter>()
            && let Some(target) = painter.targets.get(&self.viewport)
        {
            painter.compare.record(pass, target);
        }
    }
}

/// A uniform buffer and behind it so many textures that are read pixel by pixel.
fn bind_group_layout(
    device: &wgpu::Device,
    label: &str,
    look_bytes: usize,
    textures: usize,
) -> wgpu::BindGroupLayout {
    let texture = wgpu::BindingType::Texture {
        sample_type: wgpu::TextureSampleType::Float { filterable: false },
        view_dimension: wgpu::TextureViewDimension::D2,
        multisampled: false,
    };
    bind_group_layout_of(device, label, look_bytes, &vec![texture; textures])
}

/// A uniform buffer and these textures behind it.
fn bind_group_layout_of(
    device: &wgpu::Device,
    label: &str,
    look_bytes: usize,
    textures: &[wgpu::BindingType],
) -> wgpu::BindGroupLayout {
    let mut entries = vec![wgpu::BindGroupLayoutEntry {
        binding: 0,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: false,
            min_binding_size: std::num::NonZeroU64::new(look_bytes as u64),
        },
        count: None,
    }];
    entries.extend(
        (1..)
            .zip(textures)
            .map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::FRAGMENT,
                ty: *ty,
                count: None,
            }),
    );
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(label),
        entries: &entries,
    })
}

/// A pipeline that covers its target with one triangle.
fn pipeline(
    device: &wgpu::Device,
    label: &str,
    source: &str,
    layout: &wgpu::BindGroupLayout,
    format: wgpu::TextureFormat,
) -> wgpu::RenderPipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(label),
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(label),
        layout: Some(&layout),
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("vertex"),
            buffers: &[],
            compilation_options: wgpu::PipelineCompilationOptions::default(),
        },
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("fragment"),
            targets: &[Some(wgpu::ColorTargetState {
                format,
                blend: None,
                write_mask: wgpu::ColorWrites::ALL,
            })],
            compilation_options: wgpu::PipelineCompilationOptions::default(),
        }),
        multiview_mask: None,
        cache: None,
    })
}

/// One triangle over all of `target`, by a pipeline whose fragments make its pixels.
fn fill(
    encoder: &mut wgpu::CommandEncoder,
    label: &str,
    target: &wgpu::TextureView,
    pipeline: &wgpu::RenderPipeline,
    bind_group: &wgpu::BindGroup,
) {
    let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        label: Some(label),
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view: target,
            resolve_target: None,
            ops: wgpu::Operations {
                load: wgpu::LoadOp::Clear(wgpu::Color::BLACK),
                store: wgpu::StoreOp::Store,
            },
            depth_slice: None,
        })],
        ..Default::default()
    });
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, bind_group, &[]);
    pass.draw(0..3, 0..1);
}

fn texture(
    device: &wgpu::Device,
    [width, height]: [u32; 2],
    format: wgpu::TextureFormat,
    usage: wgpu::TextureUsages,
) -> wgpu::Texture {
    device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d {
            width: width.max(1),
            height: height.max(1),
            depth_or_array_layers: 1,
        },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage,
        view_formats: &[],
    })
}

/// Fills a texture with rows of pixels of so many bytes.
fn write_texture(queue: &wgpu::Queue, texture: &wgpu::Texture, bytes: &[u8], pixel_bytes: u32) {
    let size = texture.size();
    let row = size.width * pixel_bytes;
    if bytes.len() as u64 != u64::from(row) * u64::from(size.height) {
        return; // a slice without pixels
    }
    let layout = wgpu::TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(row),
        rows_per_image: Some(size.height),
    };
    queue.write_texture(texture.as_image_copy(), bytes, layout, size);
}
