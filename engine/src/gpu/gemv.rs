//! Launches `gemv.wgsl`: y = W x for up to 8 columns. The head, and the baseline without a plug-in.

use super::kernel::{Access, Shader};
use super::weights::Shard;
use super::{Dispatch, Format, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "gemv",
    first: "",
    source: include_str!("../../../shaders/gemv.wgsl"),
    reduces: true,
    weights: true,
    bindings: &[(0, Access::Uniform), (3, Access::Read), (4, Access::Write)],
};

/// What is multiplied.
#[derive(Clone, Copy, Debug)]
pub struct Gemv<'a> {
    /// Rows of the matrix.
    pub shard: &'a Shard,
    /// First row used.
    pub from: u32,
    /// Rows used.
    pub rows: u32,
    /// Where they go in y.
    pub row0: u32,
    /// From column to column of y.
    pub y_stride: u32,
    /// Columns, 1 to 8.
    pub columns: u32,
    /// Add to y.
    pub add: bool,
}

impl Gemv<'_> {
    /// With `x` `[columns, padded k]` and `y` `[columns, y_stride]`.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatch(
        &self,
        gpu: &Gpu,
        x: &wgpu::Buffer,
        y: &wgpu::Buffer,
    ) -> Result<Dispatch, GpuError> {
        let (shard, groups) = (self.shard, gpu.tuning.groups);
        let sizes = gpu.sizes(&[self.rows, shard.units, self.row0, self.y_stride, self.from])?;
        let constants = [
            ("WG", f64::from(gpu.tuning.lanes)),
            (
                "PARTIALS",
                f64::from(8 * groups * self.columns * gpu.tuning.lanes),
            ),
            ("COLS", f64::from(self.columns)),
            ("ADD", f64::from(u8::from(self.add))),
            ("SPAN", f64::from(gpu.tuning.span)),
            ("GROUPS", f64::from(groups)),
        ];
        let mut buffers = vec![(0, &sizes), (1, &shard.weights), (3, x), (4, y)];
        buffers.extend(shard.scales.as_ref().map(|scales| (2, scales)));
        let workgroups = [self.rows.div_ceil(8 * groups), 1, 1];
        Ok(gpu.dispatch(&SHADER, shard.format, &constants, &buffers, workgroups))
    }
}

/// The kernel's meaning: `w` `[rows, k]`, `x` `[columns, k]`, result `[columns, rows]`. Used by tests only.
pub fn reference(w: &[f32], x: &[f32], k: usize) -> Vec<f64> {
    x.chunks(k)
        .flat_map(|x| {
            w.chunks(k).map(move |row| {
                let products = row.iter().zip(x);
                products.map(|(w, x)| f64::from(*w) * f64::from(*x)).sum()
            })
        })
        .collect()
}

/// The format whose shader text a launcher without weights compiles with.
pub(super) const NO_WEIGHTS: Format = Format::F16;
