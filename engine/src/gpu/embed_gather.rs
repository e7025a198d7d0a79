//! Launches `embed_gather.wgsl`: rows of the embedding table, or image features, into the residual stream.

use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::weights::Shard;
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "embed_gather",
    first: "",
    source: include_str!("../../../shaders/embed_gather.wgsl"),
    reduces: false,
    weights: false,
    bindings: &[
        (0, Access::Uniform),
        (1, Access::Read),
        (2, Access::Read),
        (3, Access::Read),
        (4, Access::Write),
    ],
};

/// Marks a column's token as a row of the image features.
pub const FEATURE: u32 = 1 << 31;

/// One shard of the table; the first one also copies features.
///
/// # Errors
/// [`GpuError::NoRoom`].
pub fn dispatch(
    gpu: &Gpu,
    table: &Shard,
    [columns, features, x]: [&wgpu::Buffer; 3],
    count: u32,
) -> Result<Dispatch, GpuError> {
    let images = u32::from(table.row0 == 0);
    let sizes = gpu.sizes(&[table.row0, table.rows, table.units, images])?;
    let constants = [("WG", f64::from(gpu.tuning.lanes))];
    let buffers = [
        (0, &sizes),
        (1, &table.weights),
        (2, columns),
        (3, features),
        (4, x),
    ];
    Ok(gpu.dispatch(&SHADER, NO_WEIGHTS, &constants, &buffers, [count, 1, 1]))
}

/// The kernel's meaning. Used by tests only.
pub fn reference(table: &[f32], features: &[f32], tokens: &[u32], width: usize) -> Vec<f32> {
    tokens
        .iter()
        .flat_map(|token| {
            let from = if token & FEATURE == 0 {
                table
            } else {
                features
            };
            let row = (token & !FEATURE) as usize;
            from.chunks(width).nth(row).unwrap_or_default().to_vec()
        })
        .collect()
}
