// y[c, j] = up * silu(gate) = up * gate / (1 + exp(-gate)),   gate = x[c, j], up = x[c, width + j]
// binding 0  p  sizes                            uniform
// binding 1  x  [columns, 2 * width]  f32        read
// binding 2  y  [columns, y_stride]   f32        read_write
// Launcher: engine/src/gpu/swiglu.rs. One invocation per element of a column; columns along y.

struct Params {
    width: u32,
    y_stride: u32,
}

override WG: u32 = 64u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let j = group.x * WG + lane;
    let c = group.y;
    if (j >= p.width) {
        return;
    }
    let gated = x[c * 2u * p.width + j];
    let up = x[c * 2u * p.width + p.width + j];
    y[c * p.y_stride + j] = up * gated / (1.0 + exp(-gated));
}
