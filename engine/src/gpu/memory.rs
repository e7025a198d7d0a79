//! What a model takes on a GPU, before anything is loaded.

use super::cache::Cache;
use super::pack::units;
use super::packer::Formats;
use super::plan::COLUMNS;
use super::{Format, Gpu, GpuError, Offer, Shortage};
use crate::model::config::LlmConfig;
use crate::model::decoder::Sites;
use crate::model::manifest::PlugInEntry;

/// Bytes of a plan, by use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Frozen weights, embeddings and head.
    pub weights: u64,
    /// Low-rank layers, and the embeddings and head that a plug-in may bring along.
    pub plugins: u64,
    /// Keys and values.
    pub cache: u64,
    /// Between two dispatches.
    pub activations: u64,
}

impl MemoryPlan {
    /// For a base of `vocabulary` rows with these plug-ins.
    pub fn new(
        config: &LlmConfig,
        vocabulary: usize,
        plugins: &[PlugInEntry],
        formats: Formats,
        cache: &Cache,
        prefill_tokens: u32,
    ) -> Self {
        let hidden = config.hidden_size;
        let table = |format: Format| (vocabulary * format.row_bytes(hidden)) as u64;
        let sites = Sites::new(config);
        let layers = config.num_hidden_layers;
        let frozen: usize = sites
            .iter()
            .map(|site| site.d_out * formats.base.row_bytes(site.d_in))
            .sum();
        let plugin_format = if formats.plugin_q8 {
            Format::Q8
        } else {
            Format::F16
        };
        let low_rank: usize = plugins
            .iter()
            .flat_map(|plugin| {
                sites.iter().map(|site| {
                    let router = plugin.experts * Format::F16.row_bytes(site.d_in);
                    plugin.rank * plugin_format.row_bytes(site.d_in)
                        + router
                        + site.d_out * plugin_format.row_bytes(plugin.rank)
                })
            })
            .sum();
        // A fusion file brings embeddings and head.
        let fused = plugins
            .iter()
            .filter(|plugin| plugin.fusion.is_some())
            .count() as u64;
        let tables = table(Format::F16) + table(formats.head);
        let columns = u64::from(COLUMNS.max(prefill_tokens));
        let q = config.num_attention_heads * config.head_dim;
        let kv = config.num_key_value_heads * config.head_dim;
        let inner = config.intermediate_size;
        let row = 2 * 8 * units(hidden) + 2 * q + inner + (q + 2 * kv).max(2 * inner);
        let part = config.num_attention_heads * 16 * (config.head_dim + 2);
        Self {
            weights: (layers * frozen) as u64 + tables,
            plugins: (layers * low_rank) as u64 + fused * tables,
            cache: cache.bytes() * layers as u64,
            activations: 4
                * (columns * row as u64 + u64::from(COLUMNS) * (part + vocabulary) as u64),
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.plugins + self.cache + self.activations
    }

    /// Why it does not fit, in numbers.
    fn shortage(&self, format: Format, available: u64, offer: Offer) -> Shortage {
        Shortage {
            format: format.name(),
            needed_mib: mib(self.total()),
            weights_mib: mib(self.weights + self.plugins),
            cache_mib: mib(self.cache),
            activations_mib: mib(self.activations),
            available_mib: available >> 20,
            offer,
        }
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// A request: sizes and plug-ins of a model, and room for its conversations.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Sizes.
    pub config: &'a LlmConfig,
    /// Rows of the vocabulary.
    pub vocabulary: usize,
    /// Of the manifest.
    pub plugins: &'a [PlugInEntry],
    /// Keys and values.
    pub cache: &'a Cache,
}

impl Request<'_> {
    /// What it takes on the CPU in the format of its files, or why that does not fit into `available` bytes.
    ///
    /// # Errors
    /// [`GpuError::NoMemory`] with the numbers.
    pub fn check_cpu(
        &self,
        format: Format,
        available: Option<u64>,
    ) -> Result<MemoryPlan, GpuError> {
        let plan = MemoryPlan::new(
            self.config,
            self.vocabulary,
            self.plugins,
            Formats::of(format),
            self.cache,
            256,
        );
        match available {
            Some(available) if plan.total() > available => {
                let offer = match format {
                    Format::Q4 => Offer::Close,
                    _ => Offer::CloseOrConvert,
                };
                let shortage = plan.shortage(format, available, offer);
                Err(GpuError::NoMemory(shortage))
            }
            _ => Ok(plan),
        }
    }

    /// What it takes in a format.
    pub fn plan(&self, gpu: &Gpu, format: Format) -> MemoryPlan {
        MemoryPlan::new(
            self.config,
            self.vocabulary,
            self.plugins,
            Formats::of(format),
            self.cache,
            gpu.tuning.prefill_tokens,
        )
    }

    /// The best format that fits the GPU's memory, of those at most as large as `most`.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] with the numbers.
    pub fn fitting(&self, gpu: &Gpu, most: Format) -> Result<Format, GpuError> {
        let Some(available) = gpu.memory else {
            return Ok(most);
        };
        let formats = Format::ALL.into_iter().skip_while(|format| *format != most);
        let fits = |format: &Format| self.plan(gpu, *format).total() <= available;
        formats
            .clone()
            .find(fits)
            .ok_or_else(|| self.refusal(gpu, Format::Q4, available))
    }

    /// Does exactly this format fit?
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] with the numbers, and the format that would fit.
    pub fn check(&self, gpu: &Gpu, format: Format) -> Result<(), GpuError> {
        match gpu.memory {
            Some(available) if self.plan(gpu, format).total() > available => {
                Err(self.refusal(gpu, format, available))
            }
            _ => Ok(()),
        }
    }

    fn refusal(&self, gpu: &Gpu, format: Format, available: u64) -> GpuError {
        let plan = self.plan(gpu, format);
        let smaller = Format::ALL
            .into_iter()
            .skip_while(|other| *other != format)
            .skip(1)
            .find(|other| self.plan(gpu, *other).total() <= available);
        let offer = match smaller {
            Some(other) => Offer::Smaller {
                format: other.name(),
                needed_mib: mib(self.plan(gpu, other).total()),
            },
            None => Offer::Cpu,
        };
        GpuError::TooLarge(plan.shortage(format, available, offer))
    }
}

/// Bytes of the adapter's own memory, where its interface says: Vulkan does. A software rasteriser has what the system has free.
pub(super) fn adapter_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    let own = vulkan_memory(adapter);
    match adapter.get_info().device_type {
        // What lavapipe says of its heap (2 GiB) is no limit.
        wgpu::DeviceType::Cpu => free_memory(),
        wgpu::DeviceType::IntegratedGpu => match (own, free_memory()) {
            (Some(own), Some(free)) => Some(own.min(free)),
            (own, free) => own.or(free),
        },
        // The desktop needs a tenth.
        _ => own.map(|own| own / 10 * 9),
    }
}

#[cfg(any(windows, all(unix, not(target_vendor = "apple"))))]
#[expect(
    unsafe_code,
    reason = "wgpu does not say how much memory an adapter has; Vulkan does"
)]
fn vulkan_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    /// `VK_MEMORY_HEAP_DEVICE_LOCAL_BIT`.
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: the adapter's handles live as long as the guard, and the query changes nothing.
    let properties = unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = vulkan.shared_instance().raw_instance();
        instance.get_physical_device_memory_properties(vulkan.raw_physical_device())
    };
    let heaps = properties.memory_heaps.iter();
    heaps
        .take(properties.memory_heap_count as usize)
        .filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0)
        .map(|heap| heap.size)
        .max()
}

#[cfg(not(any(windows, all(unix, not(target_vendor = "apple")))))]
fn vulkan_memory(_: &wgpu::Adapter) -> Option<u64> {
    None
}

/// Memory that the system can still give.
pub(crate) fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}
