//! The window without a display: drawn by wgpu into a picture, for measurements and screenshots.

use std::sync::Arc;

use eframe::egui_wgpu::{
    RenderState, RendererOptions, ScreenDescriptor, WgpuConfiguration, WgpuSetup,
    WgpuSetupCreateNew,
};
use eframe::wgpu;
use egui::{Context, FullOutput, RawInput, Ui, Vec2};
use image::RgbaImage;

use crate::paint::volumes::Volumes;

/// A window of a fixed size that nobody sees.
pub struct Offscreen {
    /// What is drawn in.
    pub ctx: Context,
    render: RenderState,
    target: wgpu::Texture,
    size: [u32; 2],
    time_secs: f64,
}

impl Offscreen {
    /// A window of so many points, each one pixel. `software` asks for the CPU to draw it (lavapipe).
    ///
    /// # Errors
    /// There is no adapter.
    pub fn new(size: [u32; 2], software: bool) -> Result<Self, String> {
        let mut setup = WgpuSetupCreateNew::without_display_handle();
        setup.native_adapter_selector = Some(Arc::new(move |adapters, _surface| {
            let is_software =
                |adapter: &wgpu::Adapter| adapter.get_info().device_type == wgpu::DeviceType::Cpu;
            let wanted = adapters
                .iter()
                .find(|adapter| is_software(adapter) == software);
            let adapter = wanted.or(adapters.first());
            adapter
                .cloned()
                .ok_or_else(|| "there is no adapter".to_owned())
        }));
        let setup = WgpuSetup::CreateNew(setup);
        let instance = pollster::block_on(setup.new_instance());
        let configuration = WgpuConfiguration {
            wgpu_setup: setup,
            ..Default::default()
        };
        let render = pollster::block_on(RenderState::create(
            &configuration,
            &instance,
            None,
            RendererOptions::PREDICTABLE,
        ))
        .map_err(|error| error.to_string())?;
        let target = render.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("offscreen"),
            size: wgpu::Extent3d {
                width: size[0],
                height: size[1],
                depth_or_array_layers: 1,
            },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: render.target_format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        Ok(Self {
            ctx: Context::default(),
            render,
            target,
            size,
            time_secs: 0.0,
        })
    }

    /// The name of the adapter.
    pub fn adapter(&self) -> String {
        self.render.adapter.get_info().name
    }

    /// Its queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.render.queue
    }

    /// Where its volumes are held, whatever the card is: windows leave a software rasteriser without.
    pub fn volumes(&self) -> Volumes {
        Volumes::new(self.render.device.clone(), self.render.queue.clone())
    }

    /// The format of what is drawn on.
    pub fn format(&self) -> wgpu::TextureFormat {
        self.render.target_format
    }

    /// What draws.
    pub fn device(&self) -> &wgpu::Device {
        &self.render.device
    }

    /// Draws one frame and waits until it is drawn.
    ///
    /// # Errors
    /// The device is lost.
    pub fn frame(
        &mut self,
        events: Vec<egui::Event>,
        draw: impl FnMut(&mut Ui),
    ) -> Result<(), String> {
        let [width, height] = self.size.map(|side| side as f32);
        self.time_secs += 1.0 / 60.0;
        let input = RawInput {
            screen_rect: Some(egui::Rect::from_min_size(
                egui::Pos2::ZERO,
                Vec2::new(width, height),
            )),
            time: Some(self.time_secs),
            max_texture_side: Some(self.render.device.limits().max_texture_dimension_2d as usize),
            events,
            ..RawInput::default()
        };
        let output = self.ctx.run_ui(input, draw);
        self.paint(output)
    }

    fn paint(&self, mut output: FullOutput) -> Result<(), String> {
        let RenderState {
            device,
            queue,
            renderer,
            ..
        } = &self.render;
        let mut renderer = renderer.write();
        for (id, images) in output.textures_delta.set.drain() {
            for image in images {
                renderer.update_texture(device, queue, id, &image);
            }
        }
        let mut encoder = device.create_command_encoder(&Default::default());
        let screen = ScreenDescriptor {
            pixels_per_point: output.pixels_per_point,
            size_in_pixels: self.size,
        };
        let shapes = self.ctx.tessellate(output.shapes, output.pixels_per_point);
        let own = renderer.update_buffers(device, queue, &mut encoder, &shapes, &screen);
        let view = self.target.create_view(&Default::default());
        {
            let mut pass = encoder
                .begin_render_pass(&wgpu::RenderPassDescriptor {
                    label: Some("offscreen"),
                    color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                        view: &view,
                        resolve_target: None,
                        ops: wgpu::Operations {
                            load: wgpu::LoadOp::Clear(clear_colour()),
                            store: wgpu::StoreOp::Store,
                        },
                        depth_slice: None,
                    })],
                    ..Default::default()
                })
                .forget_lifetime();
            renderer.render(&mut pass, &shapes, &screen);
        }
        queue.submit(own.into_iter().chain(std::iter::once(encoder.finish())));
        for id in output.textures_delta.free.drain() {
            renderer.free_texture(&id);
        }
        let wait = wgpu::PollType::Wait {
            submission_index: None,
            timeout: None,
        };
        device
            .poll(wait)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// What was drawn last.
    ///
    /// # Errors
    /// The device is lost.
    pub fn image(&self) -> Result<RgbaImage, String> {
        read_back(&self.render.device, &self.render.queue, &self.target, 4).and_then(|bytes| {
            RgbaImage::from_raw(self.size[0], self.size[1], bytes)
                .ok_or_else(|| "the picture has another size".to_owned())
        })
    }
}

/// The window is cleared to the panels' colour.
fn clear_colour() -> wgpu::Color {
    let [r, g, b, a] = crate::theme::now()
        .panel
        .to_normalized_gamma_f32()
        .map(f64::from);
    wgpu::Color { r, g, b, a }
}

/// The pixels of a texture, row by row without padding.
///
/// # Errors
/// The device is lost.
pub fn read_back(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    texture: &wgpu::Texture,
    pixel_bytes: u32,
) -> Result<Vec<u8>, String> {
    let size = texture.size();
    let row = size.width * pixel_bytes;
    let padded = row.next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("read back"),
        size: u64::from(padded) * u64::from(size.height),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let to = wgpu::TexelCopyBufferInfo {
        buffer: &buffer,
        layout: wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(padded),
            rows_per_image: Some(size.height),
        },
    };
    encoder.copy_texture_to_buffer(texture.as_image_copy(), to, size);
    let _ = queue.submit([encoder.finish()]);
    let (sender, mapped) = std::sync::mpsc::channel();
    let whole = buffer.slice(..);
    whole.map_async(wgpu::MapMode::Read, move |result| {
        // Nobody waits any more if this fails.
        let _ = sender.send(result);
    });
    let wait = wgpu::PollType::Wait {
        submission_index: None,
        timeout: None,
    };
    let _ = device.poll(wait).map_err(|error| error.to_string())?;
    mapped
        .recv()
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let view = whole
        .get_mapped_range()
        .map_err(|error| error.to_string())?;
    let rows = view.chunks_exact(padded as usize);
    Ok(rows
        .flat_map(|bytes| bytes.get(..row as usize).unwrap_or_default().to_vec())
        .collect())
}
