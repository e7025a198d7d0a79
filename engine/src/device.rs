//! Where tensors live: burn-flex on the CPU, or burn-wgpu on a GPU, and why.
//!
//! A software rasteriser (lavapipe) is 25 to 50 times slower than the CPU it runs on, so `auto` never picks one;
//! `gpu` does, for tests, when there is nothing better.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::wgpu::WgpuSetup;
use burn::tensor::{Device, DeviceKind};

use crate::gpu::{Gpu, SharedGpu, tuner};

/// Where tensors live, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DeviceInfo {
    /// `CPU (burn-flex)` or the adapter's name.
    pub name: String,
    /// `cpu` or `gpu`.
    pub kind: &'static str,
    /// Why this one.
    pub reason: DeviceReason,
}

/// Why a device was taken. Its `Display` is the English, which the command line prints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceReason {
    /// The user named it.
    #[error("chosen by you")]
    Chosen,
    /// The first of the real GPUs.
    #[error("the best GPU found")]
    Best,
    /// There is no adapter at all.
    #[error("no GPU with a driver was found")]
    NoGpu,
    /// There is only a slow one.
    #[error(
        "the only adapter is a software rasteriser ({name}), which is slower than the CPU itself"
    )]
    SoftwareOnly {
        /// What it is called.
        name: String,
    },
    /// There is a GPU, but it does not start.
    #[error("the GPU could not be started: {why}")]
    NotStarted {
        /// What the driver says.
        why: String,
    },
    /// The GPU was lost, and this is it or another one.
    #[error("started again after the GPU was lost: {why}")]
    StartedAgain {
        /// Why it was lost.
        why: String,
    },
    /// The GPU was lost for the second time.
    #[error("the GPU was lost ({why}) and is not started again: it was lost before")]
    LostAgain {
        /// Why it was lost.
        why: String,
    },
    /// The GPU was lost, and none starts.
    #[error("the GPU was lost ({why}) and is not started again: {failed}")]
    Lost {
        /// Why it was lost.
        why: String,
        /// Why none starts.
        failed: String,
    },
}

impl serde::Serialize for DeviceReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
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
    /// The adapter at this place of [`adapters`].
    Adapter(u8),
}

/// An adapter that the model could run on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AdapterInfo {
    /// Its name and interface: `NVIDIA RTX 4060 (Vulkan)`.
    pub name: String,
    /// `discrete GPU`, `integrated GPU`, `virtual GPU`, `software rasteriser` or `other`.
    pub kind: &'static str,
    /// Driver and version, where the system says.
    pub driver: String,
}

/// Adapters of this machine, best first. A graphics card that two interfaces reach is there twice.
pub fn adapters() -> Vec<AdapterInfo> {
    let (_, found) = found();
    let describe = |adapter: &wgpu::Adapter| {
        let info = adapter.get_info();
        AdapterInfo {
            name: format!("{} ({:?})", info.name, info.backend),
            kind: match info.device_type {
                wgpu::DeviceType::DiscreteGpu => "discrete GPU",
                wgpu::DeviceType::IntegratedGpu => "integrated GPU",
                wgpu::DeviceType::VirtualGpu => "virtual GPU",
                wgpu::DeviceType::Cpu => "software rasteriser",
                wgpu::DeviceType::Other => "other",
            },
            driver: format!("{} {}", info.driver, info.driver_info)
                .trim()
                .to_owned(),
        }
    };
    found.iter().map(describe).collect()
}

/// There is no adapter to use.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no GPU can be used ({0}); start with --device cpu, or install a Vulkan driver")]
pub struct NoAdapter(pub String);

/// The adapters, best first, and where they were found.
fn found() -> (wgpu::Instance, Vec<wgpu::Adapter>) {
    // OpenGL is never used, and looking for it makes some drivers complain on the terminal.
    let descriptor = wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let instance = wgpu::Instance::new(descriptor);
    let mut found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    found.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    (instance, found)
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
    if choice == DeviceChoice::Cpu {
        return Ok(cpu(DeviceReason::Chosen));
    }
    let (instance, adapters) = found();
    if let DeviceChoice::Adapter(place) = choice {
        let count = adapters.len();
        let adapter = adapters.into_iter().nth(usize::from(place));
        let adapter = adapter.ok_or_else(|| {
            NoAdapter(format!(
                "there is no adapter {}, there are {count}: `workbench devices` lists them",
                u32::from(place) + 1
            ))
        })?;
        let (device, info) = this_gpu(instance, &adapter)?;
        return Ok((device, gpu_info(&info, DeviceReason::Chosen)));
    }
    let best = adapters.first().map(wgpu::Adapter::get_info);
    match (choice, &best) {
        (DeviceChoice::Gpu, None) => {
            Err(NoAdapter("no adapter with a driver was found".to_owned()))
        }
        (_, None) => Ok(cpu(DeviceReason::NoGpu)),
        (DeviceChoice::Auto, Some(info)) if info.device_type == wgpu::DeviceType::Cpu => {
            let name = info.name.clone();
            Ok(cpu(DeviceReason::SoftwareOnly { name }))
        }
        (_, Some(info)) => match gpu(info) {
            Ok(device) => {
                let reason = match choice {
                    DeviceChoice::Gpu => DeviceReason::Chosen,
                    _ => DeviceReason::Best,
                };
                Ok((device, gpu_info(info, reason)))
            }
            Err(error) if choice == DeviceChoice::Auto => {
                Ok(cpu(DeviceReason::NotStarted { why: error.0 }))
            }
            Err(error) => Err(error),
        },
    }
}

fn cpu(reason: DeviceReason) -> (Device, DeviceInfo) {
    let info = DeviceInfo {
        name: "CPU (burn-flex)".to_owned(),
        kind: "cpu",
        reason,
    };
    (Device::flex(), info)
}

fn gpu_info(info: &wgpu::AdapterInfo, reason: DeviceReason) -> DeviceInfo {
    let software = if info.device_type == wgpu::DeviceType::Cpu {
        ", software rasteriser"
    } else {
        ""
    };
    DeviceInfo {
        name: format!("{} ({:?}{software})", info.name, info.backend),
        kind: "gpu",
        reason,
    }
}

/// The device of one adapter; the one in use, where a GPU was started before.
fn this_gpu(
    instance: wgpu::Instance,
    adapter: &wgpu::Adapter,
) -> Result<(Device, wgpu::AdapterInfo), NoAdapter> {
    let mut started = started();
    if let Some(Ok((device, gpu))) = started.as_ref() {
        return Ok((device.clone(), gpu.info.clone()));
    }
    let (device, gpu) = start_gpu(instance, adapter)?;
    let info = gpu.info.clone();
    *started = Some(Ok((device.clone(), gpu)));
    Ok((device, info))
}

type Started = Result<(Device, SharedGpu), NoAdapter>;

/// burn's runtime for an adapter can be initialised only once per process, so the device is made once and shared; when
/// it is lost, [`replace`] puts another one in its place.
static GPU: Mutex<Option<Started>> = Mutex::new(None);

fn started() -> MutexGuard<'static, Option<Started>> {
    GPU.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gpu(info: &wgpu::AdapterInfo) -> Result<Device, NoAdapter> {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(0),
        wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(0),
        wgpu::DeviceType::VirtualGpu => DeviceKind::VirtualGpu(0),
        wgpu::DeviceType::Cpu => DeviceKind::Cpu,
        wgpu::DeviceType::Other => DeviceKind::DefaultDevice,
    };
    let mut started = started();
    let started = started.get_or_insert_with(|| {
        Device::wgpu_options()
            .device_kind(kind)
            .init_with_setup()
            .map_err(|error| NoAdapter(error.to_string()))
            .and_then(|(device, setup)| {
                let gpu = Gpu::new(device.clone(), &setup.adapter, setup.device, setup.queue);
                Ok((device, with_workgroups(gpu)?))
            })
    });
    started.clone().map(|(device, _)| device)
}

/// A GPU that is lost while a matrix is multiplied is none.
fn with_workgroups(gpu: Gpu) -> Result<SharedGpu, NoAdapter> {
    let tuned = tuner::tuned(gpu).map_err(|error| NoAdapter(error.to_string()))?;
    Ok(Arc::new(tuned))
}

/// What our kernels run on, where `device` is the GPU that is in use now.
pub fn kernels_on(device: &Device) -> Option<SharedGpu> {
    let started = started();
    let (in_use, gpu) = started.as_ref()?.as_ref().ok()?;
    (in_use == device).then(|| Arc::clone(gpu))
}

/// Is `device` a GPU that does not answer any more?
pub fn lost(device: &Device) -> bool {
    kernels_on(device).is_some_and(|gpu| !answers(&gpu.device))
}

/// Does a device of wgpu still answer? Its loss is told once, to whoever waits for that; here it is asked for a small
/// buffer, which a device that was lost never gives.
pub fn answers(device: &wgpu::Device) -> bool {
    let no_room = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let refused = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let probe = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("probe"),
        size: 16,
        usage: wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: true,
    });
    let mapped = probe.slice(..).get_mapped_range_mut().is_ok();
    // Why it was refused does not matter: a device that answers gives 16 bytes.
    let _ = pollster::block_on(refused.pop());
    let no_room = pollster::block_on(no_room.pop()).is_some();
    mapped || no_room
}

/// A device instead of the GPU that was lost: its adapter once more, the best one where it is gone, or the CPU where that fails or `again` is
/// false. The reason says which, and why the GPU was lost.
pub fn replace(again: bool, why_lost: &str) -> (Device, DeviceInfo) {
    let why = why_lost.to_owned();
    if !again {
        return cpu(DeviceReason::LostAgain { why });
    }
    match another_gpu() {
        Ok((device, info)) => (device, gpu_info(&info, DeviceReason::StartedAgain { why })),
        Err(error) => cpu(DeviceReason::Lost {
            why,
            failed: error.0,
        }),
    }
}

/// What tells adapters apart: name, interface, and the number that the maker gave the chip.
type Identity = (String, wgpu::Backend, u32);

fn identity(info: &wgpu::AdapterInfo) -> Identity {
    (info.name.clone(), info.backend, info.device)
}

/// Which of the adapters to start after one was lost: it, or the best where it is gone.
fn again(lost: Option<&Identity>, found: &[Identity]) -> usize {
    let same = lost.and_then(|lost| found.iter().position(|one| one == lost));
    same.unwrap_or(0)
}

fn another_gpu() -> Result<(Device, wgpu::AdapterInfo), NoAdapter> {
    let lost = match started().as_ref() {
        Some(Ok((_, gpu))) => Some(identity(&gpu.info)),
        _ => None,
    };
    let (instance, adapters) = found();
    let identities: Vec<Identity> = adapters.iter().map(|a| identity(&a.get_info())).collect();
    let adapter = adapters
        .into_iter()
        .nth(again(lost.as_ref(), &identities))
        .ok_or_else(|| NoAdapter("no adapter with a driver was found".to_owned()))?;
    let (burn, gpu) = start_gpu(instance, &adapter)?;
    *started() = Some(Ok((burn.clone(), gpu)));
    Ok((burn, adapter.get_info()))
}

/// A device of our own on an adapter, given to burn.
fn start_gpu(
    instance: wgpu::Instance,
    adapter: &wgpu::Adapter,
) -> Result<(Device, SharedGpu), NoAdapter> {
    let info = adapter.get_info();
    let features = adapter.features()
        - wgpu::Features::MAPPABLE_PRIMARY_BUFFERS
        - wgpu::Features::all_experimental_mask();
    let asked = adapter.request_device(&wgpu::DeviceDescriptor {
        label: Some("engine"),
        required_features: features,
        required_limits: adapter.limits(),
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..wgpu::DeviceDescriptor::default()
    });
    let (device, queue) =
        pollster::block_on(asked).map_err(|error| NoAdapter(error.to_string()))?;
    let setup = WgpuSetup {
        instance,
        adapter: adapter.clone(),
        device: device.clone(),
        queue: queue.clone(),
        backend: info.backend,
    };
    let registered = Device::wgpu_options().setup(setup).init();
    let burn = registered.map_err(|error| NoAdapter(error.to_string()))?;
    let gpu = with_workgroups(Gpu::new(burn.clone(), adapter, device, queue))?;
    Ok((burn, gpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_loss_the_same_adapter_is_started_and_the_best_where_it_is_gone() {
        let card = |name: &str, backend, chip| (name.to_owned(), backend, chip);
        let (vulkan, dx12) = (wgpu::Backend::Vulkan, wgpu::Backend::Dx12);
        let found = [
            card("A", vulkan, 1),
            card("A", dx12, 1),
            card("B", vulkan, 2),
        ];
        assert_eq!(again(Some(&card("B", vulkan, 2)), &found), 2);
        assert_eq!(again(Some(&card("A", dx12, 1)), &found), 1);
        assert_eq!(again(Some(&card("A", vulkan, 7)), &found), 0);
        assert_eq!(again(None, &found), 0);
    }

    #[test]
    fn auto_never_picks_a_software_rasteriser() {
        let (_, info) = choose(DeviceChoice::Auto).unwrap();
        assert!(!info.name.contains("llvmpipe"), "{info:?}");
        let worse = [
            DeviceReason::Chosen,
            DeviceReason::LostAgain { why: String::new() },
        ];
        assert!(!worse.contains(&info.reason), "{info:?}");
    }
}
