//! Launches `hlora_gate.wgsl`: the routed low-rank state of many tokens, for `gemm`.

use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "hlora_gate",
    source: include_str!("../../../shaders/hlora_gate.wgsl"),
    reduces: false,
    weights: false,
    bindings: &[(0, Access::Uniform), (1, Access::Read), (2, Access::Write)],
};

/// With `z` `[tokens, rank + experts]` and `g` `[tokens, padded rank]`.
///
/// # Errors
/// [`GpuError::NoRoom`].
pub fn dispatch(
    gpu: &Gpu,
    [rank, experts, tokens]: [u32; 3],
    z: &wgpu::Buffer,
    g: &wgpu::Buffer,
) -> Result<Dispatch, GpuError> {
    let sizes = gpu.sizes(&[rank, experts, 8 * super::pack::units(rank as usize) as u32])?;
    let constants = [("WG", f64::from(gpu.tuning.lanes))];
    let buffers = [(0, &sizes), (1, z), (2, g)];
    Ok(gpu.dispatch(&SHADER, NO_WEIGHTS, &constants, &buffers, [tokens, 1, 1]))
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
