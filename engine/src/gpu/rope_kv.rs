//! Launches `rope_kv.wgsl`: rotates queries and keys and appends to the cache, where the epilogue of `hlora_expand` does not:
//! for a q8 cache, and after a matrix product over many tokens.

use super::cache::Cache;
use super::gemv::NO_WEIGHTS;
use super::hlora_expand::Sequence;
use super::kernel::{Access, Shader};
use super::{Dispatch, Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "rope_kv",
    first: "",
    source: include_str!("../../../shaders/rope_kv.wgsl"),
    reduces: true,
    weights: false,
    bindings: &[
        (0, Access::Uniform),
        (1, Access::Read),
        (2, Access::Read),
        (3, Access::Read),
        (4, Access::Write),
        (5, Access::Write),
    ],
};

/// With `qkv` `[columns, (heads + 2 kv_heads) * head_dim]` and `q` `[columns, q_stride]`.
///
/// # Errors
/// [`GpuError::NoRoom`].
pub fn dispatch(
    gpu: &Gpu,
    cache: &Cache,
    [heads, q_stride, columns]: [u32; 3],
    qkv: &wgpu::Buffer,
    sequence: Sequence<'_>,
    q: &wgpu::Buffer,
) -> Result<Dispatch, GpuError> {
    let all = heads + 2 * cache.kv_heads;
    let sizes = gpu.sizes(&[
        heads,
        cache.kv_heads,
        cache.head_dim,
        cache.capacity,
        all * cache.head_dim,
        q_stride,
        cache.values(),
        cache.scales(),
    ])?;
    let constants = [
        ("WG", f64::from(gpu.tuning.lanes)),
        ("PARTIALS", f64::from(gpu.tuning.lanes)),
        ("KV", f64::from(cache.format as u8)),
    ];
    let buffers = [
        (0, &sizes),
        (1, qkv),
        (2, sequence.columns),
        (3, sequence.rope),
        (4, sequence.kv),
        (5, q),
    ];
    Ok(gpu.dispatch(&SHADER, NO_WEIGHTS, &constants, &buffers, [all, columns, 1]))
}

/// One head rotated: `turns` has cosine and sine for half of it. Used by tests only.
pub fn reference(x: &[f32], turns: &[[f32; 2]]) -> Vec<f64> {
    let (front, back) = x.split_at(x.len() / 2);
    let turned = |a: &f32, b: &f32, [cosine, sine]: &[f32; 2], sign: f64| {
        f64::from(*a) * f64::from(*cosine) + sign * f64::from(*b) * f64::from(*sine)
    };
    let pairs = || front.iter().zip(back).zip(turns);
    let first = pairs().map(|((a, b), turn)| turned(a, b, turn, -1.0));
    let second = pairs().map(|((a, b), turn)| turned(b, a, turn, 1.0));
    first.chain(second).collect()
}
