//! Launches `hlora_gate.wgsl`: the routed low-rank state of many tokens, for `gemm`.

use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "hlora_gate",
    first: "",
    source: include_str!("../../../shaders/hlora_gate.wgsl"),
    reduces: false,
    weights: false,
    bindings: &[(0, Access::Uniform), (1, Access::Read), (2, Access::Write)],
};

/// Which gates are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// All experts together.
    pub rank: u32,
    /// Experts.
    pub experts: u32,
    /// First rank wanted.
    pub first: u32,
    /// Ranks wanted.
    pub count: u32,
    /// Tokens.
    pub tokens: u32,
}

impl Gate {
    /// All of them.
    pub fn whole(rank: u32, experts: u32, tokens: u32) -> Self {
        Self {
            rank,
            experts,
            first: 0,
            count: rank,
            tokens,
        }
    }

    /// With `z` `[tokens, rank + experts]` and `g` `[tokens, padded count]`.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatch(
        &self,
        gpu: &Gpu,
        z: &wgpu::Buffer,
        g: &wgpu::Buffer,
    ) -> Result<Dispatch, GpuError> {
        let width = 8 * super::pack::units(self.count as usize) as u32;
        let sizes = gpu.sizes(&[self.rank, width, self.first, self.count])?;
        let constants = [
            ("WG", f64::from(gpu.tuning.lanes)),
            ("EXPERTS", f64::from(self.experts)),
        ];
        let buffers = [(0, &sizes), (1, z), (2, g)];
        let groups = [self.tokens, 1, 1];
        Ok(gpu.dispatch(&SHADER, NO_WEIGHTS, &constants, &buffers, groups))
    }
}

/// The kernel's meaning without the padding: `z` `[tokens, rank + experts]`, result `[tokens, rank]`. Used by tests only.
pub fn reference(z: &[f32], rank: usize, experts: usize) -> Vec<f64> {
    z.chunks(rank + experts)
        .flat_map(|z| {
            let (z, router) = z.split_at(rank);
            let top = router.iter().fold(f64::MIN, |a, x| a.max(f64::from(*x)));
            let weights: Vec<f64> = router.iter().map(|x| (f64::from(*x) - top).exp()).collect();
            let total: f64 = weights.iter().sum();
            let routed = z.iter().enumerate().map(|(j, z)| {
                let weight = weights.get(j / (rank / experts)).copied().unwrap_or(0.0);
                f64::from(*z) * weight / total
            });
            routed.collect::<Vec<_>>()
        })
        .collect()
}
