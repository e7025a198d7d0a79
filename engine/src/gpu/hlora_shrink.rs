//! Launches `hlora_shrink.wgsl` (K1): z = [A; R] h, with the norm before it, and h for the kernel that follows.

use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::weights::LowRank;
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "hlora_shrink",
    first: "",
    source: include_str!("../../../shaders/hlora_shrink.wgsl"),
    reduces: true,
    weights: false,
    bindings: &[
        (0, Access::Uniform),
        (1, Access::Read),
        (2, Access::Read),
        (3, Access::Read),
        (4, Access::Read),
        (5, Access::Write),
        (6, Access::Write),
    ],
};

/// What is multiplied.
#[derive(Clone, Copy, Debug)]
pub struct Shrink<'a> {
    /// A and the router.
    pub low_rank: &'a LowRank,
    /// Norm weights, if the input is normed here.
    pub gamma: Option<&'a wgpu::Buffer>,
    /// Elements of a column, without padding.
    pub width: usize,
    /// Added to the mean square.
    pub eps: f64,
    /// Columns, 1 to 8.
    pub columns: u32,
}

impl Shrink<'_> {
    /// With `x` `[columns, padded width]`, `z` `[columns, rank + experts]` and `h` as x (written if there is a norm).
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatch(
        &self,
        gpu: &Gpu,
        x: &wgpu::Buffer,
        z: &wgpu::Buffer,
        h: &wgpu::Buffer,
    ) -> Result<Dispatch, GpuError> {
        let low_rank = self.low_rank;
        let rows = low_rank.rank + low_rank.experts;
        let sizes = gpu.sizes(&[
            low_rank.rank,
            rows,
            super::pack::units(self.width) as u32,
            (self.width as f32).to_bits(),
            (self.eps as f32).to_bits(),
        ])?;
        let shrink_rows = gpu.tuning.shrink_rows;
        let constants = [
            ("WG", f64::from(gpu.tuning.lanes)),
            (
                "PARTIALS",
                f64::from(self.columns * shrink_rows * gpu.tuning.lanes),
            ),
            ("COLS", f64::from(self.columns)),
            ("ROWS", f64::from(shrink_rows)),
            ("SPAN", f64::from(gpu.tuning.span)),
            ("NORM", f64::from(u8::from(self.gamma.is_some()))),
            ("PLUGIN_Q8", f64::from(u8::from(low_rank.q8))),
        ];
        let buffers = [
            (0, &sizes),
            (1, &low_rank.ar),
            (2, &low_rank.a_scales),
            (3, x),
            (4, self.gamma.unwrap_or(x)),
            (5, z),
            (6, h),
        ];
        let of_a = low_rank.rank.div_ceil(shrink_rows);
        let groups = of_a + low_rank.experts.div_ceil(shrink_rows);
        Ok(gpu.dispatch(&SHADER, NO_WEIGHTS, &constants, &buffers, [groups, 1, 1]))
    }
}

/// The kernel's meaning without the norm: `ar` `[rows, k]`, `h` `[columns, k]`. Used by tests only.
pub fn reference(ar: &[f32], h: &[f32], k: usize) -> Vec<f64> {
    super::gemv::reference(ar, h, k)
}
