//! The volumes that are on the graphics card: sent a part a frame, dropped with their volume or for a newer one.

use std::sync::{Arc, Weak};

use eframe::egui_wgpu::RenderState;
use eframe::wgpu;
use engine::imaging::{Cutting, Volume};

use super::reslice::{GpuCut, SAMPLES_FORMAT, Upload};

/// Bytes of volumes on the card, at most.
const MOST_BYTES: u64 = 1 << 30;

/// Volumes on the card, the one used last behind.
pub struct Volumes {
    device: wgpu::Device,
    queue: wgpu::Queue,
    held: Vec<Held>,
}

struct Held {
    volume: Weak<Volume>,
    /// Nothing where the card does not take it.
    upload: Option<Upload>,
}

/// Where a cut stands.
pub enum Standing {
    /// It can be made on the card.
    Ready(GpuCut),
    /// The voxels are on their way.
    Coming,
    /// It is the processor's.
    Not,
}

impl Volumes {
    /// For a graphics card. A software rasteriser is no faster than the processor and would hold every volume twice in its
    /// memory; a card in the processor does the latter too, for what is looked at in slabs.
    pub fn on_card(render: &RenderState) -> Option<Self> {
        let kind = render.adapter.get_info().device_type;
        let card = kind == wgpu::DeviceType::DiscreteGpu || kind == wgpu::DeviceType::IntegratedGpu;
        let drawn = render
            .adapter
            .get_texture_format_features(SAMPLES_FORMAT)
            .allowed_usages
            .contains(wgpu::TextureUsages::RENDER_ATTACHMENT);
        (card && drawn).then(|| Self::new(render.device.clone(), render.queue.clone()))
    }

    /// On any device.
    pub fn new(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self {
            device,
            queue,
            held: Vec::new(),
        }
    }

    /// A cut, if its volume is there; otherwise sends the next part of it.
    pub fn cut(&mut self, volume: &Arc<Volume>, cutting: &Cutting) -> Standing {
        self.held.retain(|held| held.volume.strong_count() > 0);
        let is_it = |held: &Held| std::ptr::eq(held.volume.as_ptr(), Arc::as_ptr(volume));
        let known = self.held.iter().position(is_it);
        let held = match known {
            Some(index) => self.held.remove(index),
            None => Held {
                volume: Arc::downgrade(volume),
                upload: self.room_for(volume),
            },
        };
        self.held.push(held);
        let upload = self.held.last_mut().and_then(|held| held.upload.as_mut());
        let Some(upload) = upload else {
            return Standing::Not;
        };
        match upload.go_on(&self.queue, volume) {
            None => Standing::Coming,
            Some(voxels) => match GpuCut::new(voxels, volume, cutting) {
                Some(cut) => Standing::Ready(cut),
                None => Standing::Not,
            },
        }
    }

    /// Bytes that the volumes take there.
    pub fn bytes(&self) -> u64 {
        let each = self.held.iter().filter_map(|held| held.upload.as_ref());
        each.map(Upload::bytes).sum()
    }

    /// Room on the card, for which volumes that were not used for long are dropped.
    fn room_for(&mut self, volume: &Volume) -> Option<Upload> {
        let bytes = volume.voxels.bytes();
        if bytes > MOST_BYTES {
            return None;
        }
        while !self.held.is_empty() && self.bytes() + bytes > MOST_BYTES {
            let _ = self.held.remove(0);
        }
        Upload::new(&self.device, volume)
    }
}
