//! Launches `rmsnorm.wgsl`: normed columns. The final norm, and sites without a plug-in.

use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "rmsnorm",
    first: "",
    source: include_str!("../../../shaders/rmsnorm.wgsl"),
    reduces: true,
    weights: false,
    bindings: &[
        (0, Access::Uniform),
        (1, Access::Read),
        (2, Access::Read),
        (3, Access::Write),
    ],
};

/// Sizes of a norm.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// Elements of a column, without padding.
    pub width: usize,
    /// Added to the mean square.
    pub eps: f64,
    /// First column read.
    pub first: u32,
    /// Columns.
    pub columns: u32,
}

impl RmsNorm {
    /// With `x` and `h` `[columns, padded width]` and `gamma` `[padded width]`.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatch(
        &self,
        gpu: &Gpu,
        x: &wgpu::Buffer,
        gamma: &wgpu::Buffer,
        h: &wgpu::Buffer,
    ) -> Result<Dispatch, GpuError> {
        let sizes = gpu.sizes(&[
            2 * super::pack::units(self.width) as u32,
            (self.width as f32).to_bits(),
            (self.eps as f32).to_bits(),
            self.first,
        ])?;
        let constants = [
            ("WG", f64::from(gpu.tuning.wide_lanes)),
            ("PARTIALS", f64::from(gpu.tuning.wide_lanes)),
        ];
        let buffers = [(0, &sizes), (1, x), (2, gamma), (3, h)];
        Ok(gpu.dispatch(
            &SHADER,
            NO_WEIGHTS,
            &constants,
            &buffers,
            [self.columns, 1, 1],
        ))
    }
}

/// The kernel's meaning. Used by tests only.
pub fn reference(x: &[f32], gamma: &[f32], eps: f64) -> Vec<f64> {
    x.chunks(gamma.len())
        .flat_map(|x| {
            let square: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            let rstd = 1.0 / (square / x.len() as f64 + eps).sqrt();
            x.iter()
                .zip(gamma)
                .map(move |(x, gamma)| f64::from(*x) * rstd * f64::from(*gamma))
        })
        .collect()
}
