//! Launches `attention_combine.wgsl`: joins the shares that `attention_decode` left. Its meaning is that of the whole
//! attention: `attention_decode::reference`.

use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "attention_combine",
    first: "",
    source: include_str!("../../../shaders/attention_combine.wgsl"),
    reduces: false,
    weights: false,
    bindings: &[(0, Access::Uniform), (1, Access::Read), (2, Access::Write)],
};

/// Sizes of a join.
#[derive(Clone, Copy, Debug)]
pub struct Combine {
    /// Elements of a head.
    pub head_dim: u32,
    /// Query heads.
    pub heads: u32,
    /// Shares of the keys.
    pub splits: u32,
    /// From column to column of y.
    pub y_stride: u32,
    /// Columns.
    pub columns: u32,
}

impl Combine {
    /// With `part` `[columns, heads, splits, head_dim + 2]` and `y` `[columns, y_stride]`.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatch(
        &self,
        gpu: &Gpu,
        part: &wgpu::Buffer,
        y: &wgpu::Buffer,
    ) -> Result<Dispatch, GpuError> {
        let sizes = gpu.sizes(&[self.head_dim, self.y_stride])?;
        let constants = [
            ("WG", f64::from(gpu.tuning.lanes)),
            ("SPLITS", f64::from(self.splits)),
        ];
        let buffers = [(0, &sizes), (1, part), (2, y)];
        let groups = [self.heads, self.columns, 1];
        Ok(gpu.dispatch(&SHADER, NO_WEIGHTS, &constants, &buffers, groups))
    }
}
