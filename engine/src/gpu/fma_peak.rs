//! Launches `fma_peak.wgsl`: the adapter's multiply-adds, which products over many tokens are measured against.

use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "fma_peak",
    first: "",
    source: include_str!("../../../shaders/fma_peak.wgsl"),
    reduces: false,
    weights: false,
    bindings: &[(0, Access::Uniform), (1, Access::Write)],
};

/// Length of each chain.
const STEPS: u32 = 1024;

/// A dispatch of `groups` workgroups and the operations it does. `y` has room for 256 numbers a workgroup.
///
/// # Errors
/// [`GpuError::NoRoom`].
pub fn dispatch(gpu: &Gpu, groups: u32, y: &wgpu::Buffer) -> Result<(Dispatch, f64), GpuError> {
    let sizes = gpu.sizes(&[0.999f32.to_bits(), 0.001f32.to_bits()])?;
    let lanes = gpu.tuning.lanes;
    let constants = [("WG", f64::from(lanes)), ("STEPS", f64::from(STEPS))];
    let buffers = [(0, &sizes), (1, y)];
    let dispatch = gpu.dispatch(&SHADER, NO_WEIGHTS, &constants, &buffers, [groups, 1, 1]);
    let operations = 64.0 * f64::from(STEPS) * f64::from(lanes) * f64::from(groups);
    Ok((dispatch, operations))
}
