// g[t, j] = softmax(z_R[t])[(first + j) / per_expert] * z_A[t, first + j], and 0 from count on      (left half of Eq. 10)
// for many tokens; first and count are 0 and the rank but where one expert is wanted alone
// override EXPERTS: experts.
// binding 0  p  sizes                                     uniform
// binding 1  z  [tokens, rank + experts]  f32             read
// binding 2  g  [tokens, width]           f32             read_write
// Launcher: engine/src/gpu/hlora_gate.rs. One workgroup per token.

struct Params {
    rank: u32,      // all experts together
    width: u32,     // of a row of g
    first: u32,
    count: u32,
}

override WG: u32 = 64u;
override EXPERTS: u32 = 1u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<storage, read_write> g: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x * (p.rank + EXPERTS);
    let router = row + p.rank;
    var top = z[router];
    for (var e = 1u; e < EXPERTS; e++) {
        top = max(top, z[router + e]);
    }
    var total = 0.0;
    for (var e = 0u; e < EXPERTS; e++) {
        total += exp(z[router + e] - top);
    }
    let per_expert = p.rank / EXPERTS;
    for (var j = lane; j < p.width; j += WG) {
        var routed = 0.0;
        if (j < p.count) {
            let k = p.first + j;
            routed = z[row + k] * (exp(z[router + k / per_expert] - top) / total);
        }
        g[group.x * p.width + j] = routed;
    }
}
