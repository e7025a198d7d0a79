//! `workbench bench viewer`: a slab between the voxels, by the processor and by the graphics card.

use std::sync::Arc;
use std::time::Instant;

use eframe::wgpu;
use engine::imaging::{Axes, Plane, Projection, Slab, ViewDescriptor, Volume, Window};

use super::failure::Failure;
use crate::offscreen::Offscreen;
use crate::paint::reslice::{Reslice, samples_texture};
use crate::paint::volumes::{Standing, Volumes};

/// Cuts of each kind; their median counts.
const CUTS: usize = 5;

/// What a slab of 50 mm takes.
pub struct SlabTimes {
    /// Cut by the processor, ms.
    pub processor_ms: f64,
    /// The volume to the card, ms; nothing where the card does not take it.
    pub upload_ms: Option<f64>,
    /// Cut by the card, ms.
    pub card_ms: Option<f64>,
}

/// Measures on the device of a window.
///
/// # Errors
/// There is no such slice.
pub fn slab_times(screen: &Offscreen, volume: &Arc<Volume>) -> Result<SlabTimes, Failure> {
    let middle = volume.grid(Plane::Axial, Axes::Patient).size[2] / 2;
    let view = ViewDescriptor {
        axes: Axes::Patient,
        slab: Some(Slab {
            projection: Projection::Maximum,
            mm: 50.0,
        }),
        ..ViewDescriptor::new(Plane::Axial, middle, Window::linear(40.0, 400.0))
    };
    let mut processor = Vec::with_capacity(CUTS);
    for _ in 0..CUTS {
        let started = Instant::now();
        let _ = volume.cut(&view)?;
        processor.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let mut times = SlabTimes {
        processor_ms: median(processor),
        upload_ms: None,
        card_ms: None,
    };
    let Some(cutting) = volume.cutting(&view)? else {
        return Ok(times);
    };
    let mut volumes: Volumes = screen.volumes();
    let (device, queue) = (screen.device(), screen.queue());
    let started = Instant::now();
    let cut = loop {
        match volumes.cut(volume, &cutting) {
            Standing::Ready(cut) => break cut,
            Standing::Coming => {
                let _ = queue.submit([]);
            }
            Standing::Not => return Ok(times),
        }
    };
    let _ = device.poll(wgpu::PollType::wait_indefinitely());
    times.upload_ms = Some(started.elapsed().as_secs_f64() * 1e3);
    let samples = samples_texture(device, &cutting, wgpu::TextureUsages::empty());
    let target = samples.create_view(&Default::default());
    let reslice = Reslice::new(device);
    let mut card = Vec::with_capacity(CUTS);
    for _ in 0..=CUTS {
        let started = Instant::now();
        let mut encoder = device.create_command_encoder(&Default::default());
        reslice.record(device, queue, &mut encoder, &cut, &target);
        let _ = queue.submit([encoder.finish()]);
        let _ = device.poll(wgpu::PollType::wait_indefinitely());
        card.push(started.elapsed().as_secs_f64() * 1e3);
    }
    // The first one waits for the pipeline.
    times.card_ms = Some(median(card.split_off(1)));
    Ok(times)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
