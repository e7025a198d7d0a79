// y[i] = the end of a long chain x <- x * a + b in 32 numbers: how many multiply-adds the adapter does (benchmark only)
// override STEPS: length of the chain.
// binding 0  p  a and b                        uniform
// binding 1  y  [invocations]  f32             read_write
// Launcher: engine/src/gpu/fma_peak.rs. 2 * 32 * STEPS operations per invocation.

struct Params {
    a: f32,
    b: f32,
}

override WG: u32 = 64u;
override STEPS: u32 = 256u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let start = f32(lane);
    // Eight chains of vec4: enough of them to fill the pipeline.
    var c0 = vec4<f32>(start);
    var c1 = vec4<f32>(start + 1.0);
    var c2 = vec4<f32>(start + 2.0);
    var c3 = vec4<f32>(start + 3.0);
    var c4 = vec4<f32>(start + 4.0);
    var c5 = vec4<f32>(start + 5.0);
    var c6 = vec4<f32>(start + 6.0);
    var c7 = vec4<f32>(start + 7.0);
    let a = vec4<f32>(p.a);
    let b = vec4<f32>(p.b);
    for (var i = 0u; i < STEPS; i++) {
        c0 = fma(c0, a, b);
        c1 = fma(c1, a, b);
        c2 = fma(c2, a, b);
        c3 = fma(c3, a, b);
        c4 = fma(c4, a, b);
        c5 = fma(c5, a, b);
        c6 = fma(c6, a, b);
        c7 = fma(c7, a, b);
    }
    let sum = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7;
    y[group.x * WG + lane] = sum.x + sum.y + sum.z + sum.w;
}
