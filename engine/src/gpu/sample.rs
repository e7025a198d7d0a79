//! Launches `sample.wgsl`: chooses each column's next token on the GPU and feeds it back.

use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::{Dispatch, Gpu, GpuError};
use crate::model::Sampling;

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "sample",
    first: "",
    source: include_str!("../../../shaders/sample.wgsl"),
    reduces: true,
    weights: false,
    bindings: &[
        (0, Access::Uniform),
        (1, Access::Read),
        (2, Access::Write),
        (3, Access::Write),
    ],
};

/// Steps that the ring of chosen tokens holds.
pub const RING: u32 = 64;

/// Among which tokens, and how.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// Candidates.
    pub count: u32,
    /// From column to column of the logits.
    pub stride: u32,
    /// The token of logit 0.
    pub first: u32,
    /// Temperature, top-k, top-p and seed. Its repetition penalty is not applied here.
    pub sampling: &'a Sampling,
    /// Columns.
    pub columns: u32,
}

impl Choice<'_> {
    /// With `logits` `[columns, stride]` and `ring` `[RING, columns]`.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatch(
        &self,
        gpu: &Gpu,
        logits: &wgpu::Buffer,
        columns: &wgpu::Buffer,
        ring: &wgpu::Buffer,
    ) -> Result<Dispatch, GpuError> {
        let sampling = self.sampling;
        let seed = sampling.seed;
        let sizes = gpu.sizes(&[
            self.count,
            self.stride,
            self.first,
            RING,
            sampling.top_k.map_or(0, |k| u32::try_from(k).unwrap_or(0)),
            (seed ^ (seed >> 32)) as u32,
            sampling.temperature.max(0.0).to_bits(),
            sampling.top_p.unwrap_or(1.0).to_bits(),
        ])?;
        let constants = [
            ("WG", f64::from(gpu.tuning.wide_lanes)),
            ("PARTIALS", f64::from(2 * gpu.tuning.wide_lanes)),
        ];
        let buffers = [(0, &sizes), (1, logits), (2, columns), (3, ring)];
        Ok(gpu.dispatch(
            &SHADER,
            NO_WEIGHTS,
            &constants,
            &buffers,
            [self.columns, 1, 1],
        ))
    }
}

/// The kernel's meaning when it is greedy; drawn choices are held to their frequencies. Used by tests only.
pub fn reference(logits: &[f32]) -> usize {
    crate::model::argmax(logits)
}
