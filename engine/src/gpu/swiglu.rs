//! Launches `swiglu.wgsl`: up * silu(gate), where the epilogue of `hlora_expand` does not (gate and up are two sites, or the
//! product was over many tokens).

use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "swiglu",
    first: "",
    source: include_str!("../../../shaders/swiglu.wgsl"),
    reduces: false,
    weights: false,
    bindings: &[(0, Access::Uniform), (1, Access::Read), (2, Access::Write)],
};

/// With `x` `[columns, 2 * width]` (gate, then up) and `y` `[columns, y_stride]`.
///
/// # Errors
/// [`GpuError::NoRoom`].
pub fn dispatch(
    gpu: &Gpu,
    [width, y_stride, columns]: [u32; 3],
    x: &wgpu::Buffer,
    y: &wgpu::Buffer,
) -> Result<Dispatch, GpuError> {
    let sizes = gpu.sizes(&[width, y_stride])?;
    let constants = [("WG", f64::from(gpu.tuning.lanes))];
    let buffers = [(0, &sizes), (1, x), (2, y)];
    let groups = [width.div_ceil(gpu.tuning.lanes), columns, 1];
    Ok(gpu.dispatch(&SHADER, NO_WEIGHTS, &constants, &buffers, groups))
}

/// The kernel's meaning. Used by tests only.
pub fn reference(x: &[f32], width: usize) -> Vec<f64> {
    x.chunks(2 * width)
        .flat_map(|x| {
            let (gate, up) = x.split_at(width);
            gate.iter().zip(up).map(|(gate, up)| {
                let gate = f64::from(*gate);
                f64::from(*up) * gate / (1.0 + (-gate).exp())
            })
        })
        .collect()
}
