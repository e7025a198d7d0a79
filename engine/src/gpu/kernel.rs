//! A kernel: WGSL text, the bindings it declares, and a dispatch of it with everything bound.
//!
//! Layouts are explicit: a launcher names each binding's number and access, and the shader test holds them to the text.
//! What two shaders share (the reduction, and how a unit of weights is read) is put before their text.

use super::pack::Format;

/// How a binding is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A few sizes.
    Uniform,
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// How a workgroup adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// By subgroups, of any size.
    Subgroup,
    /// The workgroup is one subgroup, which one thread runs step by step: nobody waits for another.
    OneSubgroup,
    /// Through shared memory.
    Workgroup,
}

impl Reduction {
    /// All.
    pub const ALL: [Self; 3] = [Self::Subgroup, Self::OneSubgroup, Self::Workgroup];

    fn text(self) -> &'static str {
        match self {
            Self::Subgroup => include_str!("../../../shaders/shared/reduce_subgroup.wgsl"),
            Self::OneSubgroup => {
                include_str!("../../../shaders/shared/reduce_one_subgroup.wgsl")
            }
            Self::Workgroup => include_str!("../../../shaders/shared/reduce_workgroup.wgsl"),
        }
    }
}

/// One `.wgsl` file.
#[derive(Debug)]
pub struct Shader {
    /// Its name without `.wgsl`, and its launcher's.
    pub stem: &'static str,
    /// What comes ahead of everything: what is enabled, and the types that go with it.
    pub first: &'static str,
    /// The file.
    pub source: &'static str,
    /// It calls `reduce_*`.
    pub reduces: bool,
    /// It calls `weight_unit`: bindings 1 (weights) and, for q8 and q4, 2 (scales) come with it.
    pub weights: bool,
    /// Its own bindings.
    pub bindings: &'static [(u32, Access)],
}

impl Shader {
    /// The whole text: the shared parts, then the file.
    pub fn text(&self, reduction: Reduction, format: Format) -> String {
        let mut text = self.first.to_owned();
        if self.reduces {
            text.push_str(reduction.text());
        }
        if self.weights {
            text.push_str(format.shader_text());
        }
        text.push_str(self.source);
        text
    }

    /// All bindings, by number.
    pub fn layout(&self, format: Format) -> Vec<(u32, Access)> {
        let mut layout = self.bindings.to_vec();
        if self.weights {
            layout.push((1, Access::Read));
            if format != Format::F16 {
                layout.push((2, Access::Read));
            }
        }
        layout.sort_by_key(|(number, _)| *number);
        layout
    }
}

/// Every compute shader, for the test that validates them.
pub fn shaders() -> [&'static Shader; 19] {
    [
        &super::attention_combine::SHADER,
        &super::attention_decode::SHADER,
        &super::attention_prefill::SHADER,
        &super::embed_gather::SHADER,
        &super::fma_peak::SHADER,
        &super::gemm::SHADER,
        &super::gemm_cooperative::F16_16,
        &super::gemm_cooperative::F16_8,
        &super::gemm_cooperative::F32_8,
        &super::gemv::SHADER,
        &super::group_norm_silu::SHADER,
        &super::hlora_expand::SHADER,
        &super::hlora_gate::SHADER,
        &super::hlora_shrink::SHADER,
        &super::rmsnorm::SHADER,
        &super::rope_kv::SHADER,
        &super::sample::SHADER,
        &super::swiglu::SHADER,
        &super::vq_lookup::SHADER,
    ]
}

/// One prebuilt dispatch: recording it allocates nothing.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The shader's stem.
    pub stem: &'static str,
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) bind_group: wgpu::BindGroup,
    pub(super) groups: [u32; 3],
}

impl Dispatch {
    /// Appends it to a pass.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        let [x, y, z] = self.groups;
        pass.dispatch_workgroups(x, y, z);
    }
}
