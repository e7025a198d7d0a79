//! Launches `group_norm_silu.wgsl`: the norm and activation before every convolution of the VQGAN, in one dispatch.

use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "group_norm_silu",
    first: "",
    source: include_str!("../../../shaders/group_norm_silu.wgsl"),
    reduces: true,
    weights: false,
    bindings: &[
        (0, Access::Uniform),
        (1, Access::Read),
        (2, Access::Read),
        (3, Access::Read),
        (4, Access::Write),
    ],
};

/// Sizes of a norm.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm {
    /// Groups.
    pub groups: u32,
    /// Channels of a group.
    pub channels: u32,
    /// Pixels of a channel.
    pub pixels: u32,
    /// Added to the variance.
    pub eps: f32,
    /// The activation follows.
    pub silu: bool,
}

impl GroupNorm {
    /// With `x` and `y` `[groups * channels, pixels]`, `gamma` and `beta` `[groups * channels]`.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatch(
        &self,
        gpu: &Gpu,
        x: &wgpu::Buffer,
        [gamma, beta]: [&wgpu::Buffer; 2],
        y: &wgpu::Buffer,
    ) -> Result<Dispatch, GpuError> {
        let sizes = gpu.sizes(&[self.channels, self.pixels, self.eps.to_bits()])?;
        let lanes = gpu.tuning.wide_lanes;
        let constants = [
            ("WG", f64::from(lanes)),
            ("PARTIALS", f64::from(2 * lanes)),
            ("SILU", f64::from(u8::from(self.silu))),
        ];
        let buffers = [(0, &sizes), (1, x), (2, gamma), (3, beta), (4, y)];
        Ok(gpu.dispatch(
            &SHADER,
            NO_WEIGHTS,
            &constants,
            &buffers,
            [self.groups, 1, 1],
        ))
    }

    /// The kernel's meaning. Used by tests only.
    pub fn reference(&self, x: &[f32], gamma: &[f32], beta: &[f32]) -> Vec<f64> {
        let count = (self.channels * self.pixels) as usize;
        let mut y = Vec::new();
        for (group, x) in x.chunks(count).enumerate() {
            let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / count as f64;
            let square: f64 = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum();
            let rstd = 1.0 / (square / count as f64 + f64::from(self.eps)).sqrt();
            for (i, x) in x.iter().enumerate() {
                let channel = group * self.channels as usize + i / self.pixels as usize;
                let at = |values: &[f32]| values.get(channel).copied().map_or(0.0, f64::from);
                let n = (f64::from(*x) - mean) * rstd * at(gamma) + at(beta);
                y.push(if self.silu { n / (1.0 + (-n).exp()) } else { n });
            }
        }
        y
    }
}
