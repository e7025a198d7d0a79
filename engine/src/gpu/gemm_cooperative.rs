//! `gemm_cooperative.wgsl`: the products of `gemm.wgsl` by an adapter's matrix units (`VK_KHR_cooperative_matrix`, Metal's simdgroup
//! matrices), in the shapes that such units have. [`Gemm`](super::gemm::Gemm) launches it where [`Tuning`](super::Tuning) says so.

use wgpu::{CooperativeScalarType, Features};

use super::gemm::{BINDINGS, TILE};
use super::kernel::Shader;

macro_rules! shader {
    ($first:literal) => {
        Shader {
            stem: "gemm_cooperative",
            first: include_str!(concat!("../../../shaders/shared/", $first, ".wgsl")),
            source: concat!(
                include_str!("../../../shaders/gemm_cooperative.wgsl"),
                include_str!("../../../shaders/shared/low_rank_rows.wgsl")
            ),
            reduces: false,
            weights: true,
            bindings: BINDINGS,
        }
    };
}

/// 16 x 16, products of f16: what NVIDIA, AMD and Intel have.
pub static F16_16: Shader = shader!("cooperative_f16_16");
/// 8 x 8, products of f16.
pub static F16_8: Shader = shader!("cooperative_f16_8");
/// 8 x 8, everything in f32: what Apple has.
pub static F32_8: Shader = shader!("cooperative_f32_8");

/// Shared memory that a workgroup may take: both tiles and the sums, with f16 and f32 alike below this.
const SHARED_BYTES: u32 = 28 << 10;

/// Matrices that an adapter multiplies at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooperative {
    /// Rows and columns, 8 or 16.
    pub side: u32,
    /// Products of f16 (with f32 sums), which rounds weights and activations to 11 bits.
    pub half: bool,
    /// Lanes of a workgroup: one subgroup, however large, for each row of tiles.
    pub lanes: u32,
}

impl std::fmt::Display for Cooperative {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.half { "f16" } else { "f32" };
        write!(f, "matrix units of {0} x {0} {kind}", self.side)
    }
}

impl Cooperative {
    /// The shapes there are kernels for, the preferred first.
    const SHAPES: [(u32, bool); 3] = [(16, true), (8, false), (8, true)];

    /// What this adapter has, the preferred first; nothing without such units, or where a workgroup would not fit.
    pub fn all_of(adapter: &wgpu::Adapter, device: &wgpu::Device) -> Vec<Self> {
        let has = device.features();
        let needed = Features::EXPERIMENTAL_COOPERATIVE_MATRIX | Features::SUBGROUP;
        let limits = device.limits();
        let largest = adapter.get_info().subgroup_max_size;
        if !has.contains(needed) || limits.max_compute_workgroup_storage_size < SHARED_BYTES {
            return Vec::new();
        }
        let properties = adapter.cooperative_matrix_properties();
        let offered = |side: u32, half: bool| {
            let product = if half {
                CooperativeScalarType::F16
            } else {
                CooperativeScalarType::F32
            };
            properties.iter().any(|p| {
                [p.m_size, p.n_size, p.k_size] == [side; 3]
                    && p.ab_type == product
                    && p.cr_type == CooperativeScalarType::F32
                    && !p.saturating_accumulation
            })
        };
        Self::SHAPES
            .into_iter()
            .filter(|(side, half)| {
                offered(*side, *half) && (!half || has.contains(Features::SHADER_F16))
            })
            .map(|(side, half)| Self {
                side,
                half,
                lanes: TILE / side * largest,
            })
            .filter(|shape| shape.lanes <= limits.max_compute_invocations_per_workgroup)
            .collect()
    }

    pub(super) fn shader(self) -> &'static Shader {
        match (self.side, self.half) {
            (16, _) => &F16_16,
            (_, true) => &F16_8,
            (_, false) => &F32_8,
        }
    }
}
