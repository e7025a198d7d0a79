//! The language model on a GPU: hand-written WGSL on raw wgpu, on the device that burn made.
//!
//! [`Gpu`] is that device with what the kernels need to know of it; a launcher file for each shader builds its dispatches
//! ([`kernel`]); [`plan`] strings them together for one model. The twin (`model/decoder.rs`) defines the arithmetic: a kernel
//! that disagrees with it beyond the stated bound is wrong.

mod activations;
pub mod attention_combine;
pub mod attention_decode;
pub mod attention_prefill;
pub mod cache;
pub mod embed_gather;
mod error;
pub mod fma_peak;
pub mod gemm;
pub mod gemm_cooperative;
pub mod gemv;
pub mod group_norm_silu;
pub mod hlora_expand;
pub mod hlora_gate;
pub mod hlora_shrink;
pub mod kept;
pub mod kernel;
mod layer;
pub mod memory;
pub mod pack;
pub mod packer;
pub mod plan;
mod prefill;
pub mod rmsnorm;
pub mod rope_kv;
pub mod sample;
pub mod swiglu;
pub mod tuner;
pub mod vq_lookup;
pub mod weights;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

pub use error::{GpuError, Offer, Shortage};
pub use kernel::{Dispatch, shaders};
pub use pack::Format;
pub use plan::Plan;

use gemm_cooperative::Cooperative;
use kept::KeptPipelines;
use kernel::{Access, Reduction, Shader};

/// Lanes and variants for an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Lanes of a workgroup that shares rows of a matrix.
    pub lanes: u32,
    /// Lanes of a workgroup that is alone with its column.
    pub wide_lanes: u32,
    /// Units of 8 weights that a lane takes one after the other, 1 or 4 (a block with one scale).
    pub span: u32,
    /// Groups of 8 rows of a matrix in a workgroup, which share a reading of the input: 1 or 2.
    pub groups: u32,
    /// Rows of [A; R] in a workgroup: few of them leave a large GPU idle.
    pub shrink_rows: u32,
    /// How workgroups add up.
    pub reduction: Reduction,
    /// Tokens of a prompt in one block of matrix products; 0 runs prompts eight columns at a time.
    pub prefill_tokens: u32,
    /// Matrix units that take the products of a prompt.
    pub cooperative: Option<Cooperative>,
    /// Largest buffer of weights.
    pub shard_bytes: u64,
}

/// burn's device with its queue, and the pipelines made on it.
#[derive(Debug)]
pub struct Gpu {
    /// The device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    /// What it runs on.
    pub info: wgpu::AdapterInfo,
    /// burn's handle to the same device.
    pub burn: burn::tensor::Device,
    /// Lanes and variants.
    pub tuning: Tuning,
    /// Bytes it can give us, where that is known.
    pub memory: Option<u64>,
    /// What its matrix units multiply, the preferred first.
    pub cooperative: Vec<Cooperative>,
    /// Lanes of every subgroup of a software adapter, where they are as many in all of them and can wait for each other.
    subgroup_size: Option<u32>,
    /// Pipelines of earlier runs.
    kept: Option<Arc<KeptPipelines>>,
    pipelines: Mutex<HashMap<String, wgpu::ComputePipeline>>,
}

impl Gpu {
    /// Takes over what `init_with_setup` returned.
    pub fn new(
        burn: burn::tensor::Device,
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
    ) -> Self {
        let info = adapter.get_info();
        let subgroups = device.features().contains(wgpu::Features::SUBGROUP);
        let software = info.device_type == wgpu::DeviceType::Cpu;
        let limits = device.limits();
        let cooperative = Cooperative::all_of(adapter, &device);
        let tuning = Tuning {
            // Only where the tuner found that they give what the plain kernel gives.
            cooperative: None,
            // On a software rasteriser shared tiles lose.
            prefill_tokens: if software { 0 } else { 256 },
            shard_bytes: (128 << 20)
                .min(limits.max_storage_buffer_binding_size)
                .min(limits.max_buffer_size),
            // A software rasteriser runs one subgroup of 8 as one thread.
            lanes: if software { 8 } else { 64 },
            wide_lanes: if software { 8 } else { 256 },
            // Neighbouring lanes read neighbouring units on a GPU; a software rasteriser loads word by word, the fewer the better.
            span: if software { 4 } else { 1 },
            groups: if software { 2 } else { 1 },
            shrink_rows: if software { 8 } else { 1 },
            reduction: if subgroups {
                Reduction::Subgroup
            } else {
                Reduction::Workgroup
            },
        };
        // Only there: one thread runs a subgroup step by step. naga's `subgroupBarrier` puts nothing in order that other lanes wrote to
        // the workgroup's memory, and a GPU may need that.
        let one_size = software
            && info.subgroup_min_size == info.subgroup_max_size
            && device.features().contains(wgpu::Features::SUBGROUP_BARRIER);
        Self {
            subgroup_size: one_size.then_some(info.subgroup_max_size),
            kept: KeptPipelines::of(&device, &info).map(Arc::new),
            device,
            queue,
            info,
            burn,
            tuning,
            memory: memory::adapter_memory(adapter),
            cooperative,
            pipelines: Mutex::new(HashMap::new()),
        }
    }

    /// Does it run on the CPU?
    pub fn software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// The same device with other lanes or reductions; its pipelines are its own.
    pub fn tuned(&self, tuning: Tuning) -> Self {
        Self {
            device: self.device.clone(),
            queue: self.queue.clone(),
            info: self.info.clone(),
            burn: self.burn.clone(),
            tuning,
            memory: self.memory,
            cooperative: self.cooperative.clone(),
            subgroup_size: self.subgroup_size,
            kept: self.kept.clone(),
            pipelines: Mutex::new(HashMap::new()),
        }
    }

    /// Memory that the driver gave this device, in MiB, where the backend keeps count (Vulkan and DirectX 12).
    pub fn allocated_mib(&self) -> Option<f64> {
        let report = self.device.generate_allocator_report()?;
        Some(report.total_allocated_bytes as f64 / f64::from(1 << 20))
    }

    /// A storage buffer of zeros.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn zeros(&self, what: &str, bytes: u64) -> Result<wgpu::Buffer, GpuError> {
        use wgpu::BufferUsages as Use;
        let usage = Use::STORAGE | Use::COPY_DST | Use::COPY_SRC;
        self.buffer(what, bytes, usage, None)
    }

    /// A storage buffer with these words.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn words(&self, what: &str, words: &[u32]) -> Result<wgpu::Buffer, GpuError> {
        use wgpu::BufferUsages as Use;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let usage = Use::STORAGE | Use::COPY_DST | Use::COPY_SRC;
        self.buffer(what, bytes.len() as u64, usage, Some(&bytes))
    }

    /// A storage buffer with these numbers.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn floats(&self, what: &str, values: &[f32]) -> Result<wgpu::Buffer, GpuError> {
        let words: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
        self.words(what, &words)
    }

    /// A buffer that holds a kernel's sizes.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn sizes(&self, words: &[u32]) -> Result<wgpu::Buffer, GpuError> {
        let padded = words.len().next_multiple_of(4);
        let bytes: Vec<u8> = words
            .iter()
            .copied()
            .chain(std::iter::repeat(0))
            .take(padded)
            .flat_map(u32::to_le_bytes)
            .collect();
        let usage = wgpu::BufferUsages::UNIFORM;
        self.buffer("sizes", bytes.len() as u64, usage, Some(&bytes))
    }

    /// A buffer that the host reads.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn staging(&self, bytes: u64) -> Result<wgpu::Buffer, GpuError> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        self.buffer("reading back", bytes, usage, None)
    }

    fn buffer(
        &self,
        what: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
        content: Option<&[u8]>,
    ) -> Result<wgpu::Buffer, GpuError> {
        let no_room = || GpuError::NoRoom {
            what: what.to_owned(),
            needed_mib: bytes.div_ceil(1 << 20),
        };
        let size = bytes.max(16).next_multiple_of(16);
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size,
            usage,
            mapped_at_creation: content.is_some(),
        });
        if pollster::block_on(scope.pop()).is_some() {
            return Err(no_room());
        }
        if let Some(content) = content {
            let mut view = buffer
                .slice(..)
                .get_mapped_range_mut()
                .map_err(|_| no_room())?;
            view.slice(..content.len()).copy_from_slice(content);
            drop(view);
            buffer.unmap();
        }
        Ok(buffer)
    }

    /// A dispatch with everything bound.
    ///
    /// # Errors
    /// The driver's, while the pipeline is compiled.
    pub fn dispatch(
        &self,
        shader: &'static Shader,
        format: Format,
        constants: &[(&'static str, f64)],
        buffers: &[(u32, &wgpu::Buffer)],
        groups: [u32; 3],
    ) -> Dispatch {
        let pipeline = self.pipeline(shader, format, constants);
        let entries: Vec<wgpu::BindGroupEntry<'_>> = buffers
            .iter()
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(shader.stem),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Dispatch {
            stem: shader.stem,
            pipeline,
            bind_group,
            groups,
        }
    }

    fn pipeline(
        &self,
        shader: &'static Shader,
        format: Format,
        constants: &[(&'static str, f64)],
    ) -> wgpu::ComputePipeline {
        let mut key = format!("{} {}", shader.stem, format.name());
        for (name, value) in constants {
            let _ = write!(key, " {name}={value}");
        }
        let mut pipelines = self
            .pipelines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        pipelines
            .entry(key)
            .or_insert_with(|| self.compile(shader, format, constants))
            .clone()
    }

    /// A workgroup of this size is one subgroup of a software adapter.
    fn one_subgroup(&self, lanes: u32) -> bool {
        self.tuning.reduction == Reduction::Subgroup && self.subgroup_size == Some(lanes)
    }

    /// How a workgroup of this size adds up.
    fn reduction(&self, constants: &[(&'static str, f64)]) -> Reduction {
        let lanes = constants.iter().find(|(name, _)| *name == "WG");
        if lanes.is_some_and(|(_, lanes)| self.one_subgroup(*lanes as u32)) {
            Reduction::OneSubgroup
        } else {
            self.tuning.reduction
        }
    }

    fn compile(
        &self,
        shader: &'static Shader,
        format: Format,
        constants: &[(&'static str, f64)],
    ) -> wgpu::ComputePipeline {
        let text = shader.text(self.reduction(constants), format);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(shader.stem),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        };
        #[expect(
            unsafe_code,
            reason = "bounds checks cost a tenth of the speed; every index is held in range by the launchers' sizes and tests"
        )]
        // SAFETY: the shaders are part of the program, end, and index inside their buffers for the sizes their launchers make.
        let module = unsafe {
            self.device
                .create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        };
        let entries: Vec<wgpu::BindGroupLayoutEntry> = shader
            .layout(format)
            .into_iter()
            .map(|(binding, access)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: match access {
                        Access::Uniform => wgpu::BufferBindingType::Uniform,
                        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                        Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let group = self
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(shader.stem),
                entries: &entries,
            });
        let layout = self
            .device
            .create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(shader.stem),
                bind_group_layouts: &[Some(&group)],
                immediate_size: 0,
            });
        self.device
            .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(shader.stem),
                layout: Some(&layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants,
                    zero_initialize_workgroup_memory: false,
                },
                cache: self.kept.as_ref().map(|kept| kept.for_new()),
            })
    }

    /// Keeps what was compiled for the next start; the result is the size of the file, 0 where nothing was new.
    ///
    /// # Errors
    /// The system's.
    pub fn keep_pipelines(&self) -> std::io::Result<usize> {
        self.kept.as_ref().map_or(Ok(0), |kept| kept.write())
    }

    /// Records dispatches in one pass and submits them.
    pub fn submit(&self, dispatches: &[Dispatch]) -> wgpu::SubmissionIndex {
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        record(&mut encoder, dispatches);
        self.queue.submit([encoder.finish()])
    }

    /// Waits for everything submitted and reads a buffer. For results that are read once, and for tests.
    ///
    /// # Errors
    /// [`GpuError::Lost`], [`GpuError::NoRoom`].
    pub fn read(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<Vec<u8>, GpuError> {
        self.read_through(&self.staging(bytes)?, buffer, bytes)
    }

    /// The same through a staging buffer that is there already.
    ///
    /// # Errors
    /// [`GpuError::Lost`].
    pub fn read_through(
        &self,
        staging: &wgpu::Buffer,
        buffer: &wgpu::Buffer,
        bytes: u64,
    ) -> Result<Vec<u8>, GpuError> {
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, staging, 0, bytes);
        let index = self.queue.submit([encoder.finish()]);
        self.map(staging, bytes, index)
    }

    /// Waits for a submission and reads what it left in a staging buffer.
    ///
    /// # Errors
    /// [`GpuError::Lost`].
    pub fn map(
        &self,
        staging: &wgpu::Buffer,
        bytes: u64,
        index: wgpu::SubmissionIndex,
    ) -> Result<Vec<u8>, GpuError> {
        let lost = |reason: String| GpuError::Lost { reason };
        let slice = staging.slice(..bytes);
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        slice.map_async(wgpu::MapMode::Read, move |result| {
            let _ = tell.send(result);
        });
        self.wait(index)?;
        told.recv()
            .map_err(|error| lost(error.to_string()))?
            .map_err(|error| lost(error.to_string()))?;
        let data = slice
            .get_mapped_range()
            .map_err(|error| lost(error.to_string()))?
            .to_vec();
        staging.unmap();
        Ok(data)
    }

    /// Waits for a submission.
    ///
    /// # Errors
    /// [`GpuError::Lost`].
    pub fn wait(&self, index: wgpu::SubmissionIndex) -> Result<(), GpuError> {
        let poll = wgpu::PollType::Wait {
            submission_index: Some(index),
            timeout: None,
        };
        match self.device.poll(poll) {
            Ok(_) => Ok(()),
            Err(error) => Err(GpuError::Lost {
                reason: error.to_string(),
            }),
        }
    }

    /// Waits for everything submitted and reads 32-bit floats.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_floats(&self, buffer: &wgpu::Buffer, count: usize) -> Result<Vec<f32>, GpuError> {
        let bytes = self.read(buffer, 4 * count as u64)?;
        Ok(floats(&bytes))
    }
}

/// Little-endian floats.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    let four = bytes.as_chunks::<4>().0;
    four.iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

/// Records dispatches in one pass.
pub fn record(encoder: &mut wgpu::CommandEncoder, dispatches: &[Dispatch]) {
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    for dispatch in dispatches {
        dispatch.record(&mut pass);
    }
}

/// The device shared by the engine's parts.
pub type SharedGpu = Arc<Gpu>;
