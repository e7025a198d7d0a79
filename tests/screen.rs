//! What tests draw on: lavapipe, one device for all of them, so that pictures are the same on every machine.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use eframe::egui_wgpu::{RenderState, Renderer, RendererOptions};
use eframe::wgpu;
use egui::mutex::RwLock;
use egui_kittest::SnapshotOptions;
use egui_kittest::wgpu::{WgpuTestRenderer, create_render_state, default_wgpu_setup};

use crate::support::repo;

/// A renderer of its own on the shared device.
pub fn renderer() -> WgpuTestRenderer {
    let shared = gpu();
    let options = RendererOptions::PREDICTABLE;
    let renderer = Renderer::new(&shared.device, shared.target_format, options);
    WgpuTestRenderer::from_render_state(RenderState {
        renderer: Arc::new(RwLock::new(renderer)),
        ..shared.clone()
    })
}

/// The shared device. It must be the CPU's: pictures of a graphics card differ from driver to driver.
pub fn gpu() -> &'static RenderState {
    static SHARED: OnceLock<RenderState> = OnceLock::new();
    let options = RendererOptions::PREDICTABLE;
    let shared = SHARED.get_or_init(|| create_render_state(default_wgpu_setup(), options));
    let adapter = shared.adapter.get_info();
    assert_eq!(
        adapter.device_type,
        wgpu::DeviceType::Cpu,
        "pictures are compared on lavapipe, not on {} ({}); install mesa-vulkan-drivers",
        adapter.name,
        adapter.driver_info
    );
    shared
}

/// Pixels may differ by 1 (squared YIQ) and 10 of them by more: what rerun found stable on lavapipe.
pub fn snapshot_options() -> SnapshotOptions {
    SnapshotOptions::new()
        .threshold(1.0)
        .max_failed_pixels(10)
        .output_path(snapshots())
}

/// Where the pictures lie.
pub fn snapshots() -> PathBuf {
    repo("tests/snapshots")
}
