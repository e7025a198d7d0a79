// h[c, k] = x[c, k] / sqrt(mean_k(x[c, k]^2) + eps) * gamma[k]
// binding 0  p      sizes                           uniform
// binding 1  x      [columns, 4 * vecs]  f32        read
// binding 2  gamma  [4 * vecs]           f32        read
// binding 3  h      [columns, 4 * vecs]  f32        read_write
// Launcher: engine/src/gpu/rmsnorm.rs. One workgroup per column. What lies past width is zero in x and stays zero in h.

struct Params {
    vecs: u32,     // padded width / 4
    width: f32,    // the mean's divisor
    eps: f32,
    first: u32,    // first column read: h has only the columns from there on
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(at: Invocation) {
    let start = (p.first + at.group.x) * p.vecs;
    var square = 0.0;
    for (var k = at.lane; k < p.vecs; k += WG) {
        square += dot(x[start + k], x[start + k]);
    }
    reduce_put(at, 0u, square);
    reduce_wait();
    let rstd = 1.0 / sqrt(reduce_get(at, 0u) / p.width + p.eps);
    for (var k = at.lane; k < p.vecs; k += WG) {
        h[at.group.x * p.vecs + k] = x[start + k] * rstd * gamma[k];
    }
}
