//! Where tensors live: burn-flex on the CPU, or burn-wgpu on a GPU, and why.
//!
//! A software rasteriser (lavapipe) is 25 to 50 times slower than the CPU it runs on, so `auto` never picks one;
//! `gpu` does, for tests, when there is nothing better.

use std::sync::{Arc, OnceLock};

use burn::tensor::{Device, DeviceKind};

use crate::gpu::{Gpu, SharedGpu};

/// Where tensors live, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DeviceInfo {
    /// `CPU (burn-flex)` or the adapter's name.
    pub name: String,
    /// `cpu` or `gpu`.
    pub kind: &'static str,
    /// Why this one: `no GPU with a driver was found`.
    pub reason: String,
}

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A real GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// Any Vulkan, Metal or DX12 adapter, a software one included.
    Gpu,
}

/// There is no adapter to use.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no GPU can be used ({0}); start with --device cpu, or install a Vulkan driver")]
pub struct NoAdapter(pub String);

/// Adapters of this machine, best first.
fn adapters() -> Vec<wgpu::AdapterInfo> {
    // OpenGL is never used, and looking for it makes some drivers complain on the terminal.
    let descriptor = wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let instance = wgpu::Instance::new(descriptor);
    let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    let mut infos: Vec<_> = found.iter().map(wgpu::Adapter::get_info).collect();
    infos.sort_by_key(|info| rank(info.device_type));
    infos
}

fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// Chooses the device and says why.
///
/// # Errors
/// [`NoAdapter`] when a GPU was asked for and none can be used.
pub fn choose(choice: DeviceChoice) -> Result<(Device, DeviceInfo), NoAdapter> {
    let cpu = |reason: String| {
        (
            Device::flex(),
            DeviceInfo {
                name: "CPU (burn-flex)".to_owned(),
                kind: "cpu",
                reason,
            },
        )
    };
    if choice == DeviceChoice::Cpu {
        return Ok(cpu("chosen by you".to_owned()));
    }
    let adapters = adapters();
    let best = adapters.first();
    match (choice, best) {
        (DeviceChoice::Gpu, None) => {
            Err(NoAdapter("no adapter with a driver was found".to_owned()))
        }
        (_, None) => Ok(cpu("no GPU with a driver was found".to_owned())),
        (DeviceChoice::Auto, Some(info)) if info.device_type == wgpu::DeviceType::Cpu => {
            Ok(cpu(format!(
                "the only adapter is a software rasteriser ({}), which is slower than the CPU itself",
                info.name
            )))
        }
        (_, Some(info)) => match gpu(info) {
            Ok(device) => {
                let reason = match choice {
                    DeviceChoice::Gpu => "chosen by you".to_owned(),
                    _ => "the best GPU found".to_owned(),
                };
                let software = if info.device_type == wgpu::DeviceType::Cpu {
                    ", software rasteriser"
                } else {
                    ""
                };
                let name = format!("{} ({:?}{software})", info.name, info.backend);
                Ok((
                    device,
                    DeviceInfo {
                        name,
                        kind: "gpu",
                        reason,
                    },
                ))
            }
            Err(error) if choice == DeviceChoice::Auto => {
                Ok(cpu(format!("the GPU could not be started: {}", error.0)))
            }
            Err(error) => Err(error),
        },
    }
}

type Started = Result<(Device, SharedGpu), NoAdapter>;

/// burn's runtime can be initialised only once per process, so the device is made once and shared.
static GPU: OnceLock<Started> = OnceLock::new();

fn gpu(info: &wgpu::AdapterInfo) -> Result<Device, NoAdapter> {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(0),
        wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(0),
        wgpu::DeviceType::VirtualGpu => DeviceKind::VirtualGpu(0),
        wgpu::DeviceType::Cpu => DeviceKind::Cpu,
        wgpu::DeviceType::Other => DeviceKind::DefaultDevice,
    };
    GPU.get_or_init(|| {
        Device::wgpu_options()
            .device_kind(kind)
            .init_with_setup()
            .map(|(device, setup)| {
                let gpu = Gpu::new(device.clone(), &setup.adapter, setup.device, setup.queue);
                (device, Arc::new(gpu))
            })
            .map_err(|error| NoAdapter(error.to_string()))
    })
    .clone()
    .map(|(device, _)| device)
}

/// What our kernels run on, where `device` is the GPU that [`choose`] started.
pub fn kernels_on(device: &Device) -> Option<SharedGpu> {
    let (started, gpu) = GPU.get()?.as_ref().ok()?;
    (started == device).then(|| Arc::clone(gpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_never_picks_a_software_rasteriser() {
        let (_, info) = choose(DeviceChoice::Auto).unwrap();
        assert!(!info.name.contains("llvmpipe"), "{info:?}");
        assert!(!info.reason.is_empty());
    }
}
