// best[n] = argmax_c (sum_k e[c, k] * z[n, k] + bias[c]), the lowest c on a tie      (torch's order)
// Serves GumbelVQ's encoder (e and bias are the 1 x 1 projection's) and the nearest code (bias = -|e_c|^2 / 2: Eq. 2 of the
// paper); the scores are never written. Codes are shared out over group.y; the last of its workgroups to finish would have
// to be known to merge here, so each leaves its best and `vq_lookup` runs again over those with MERGE.
// override MERGE: only merge PARTS bests.  override PARTS: shares of the codes.  override VECS: width / 4.
// binding 0  p     sizes                                                   uniform
// binding 1  z     [latents, VECS]  f32, four per vec4                     read
// binding 2  e     [codes, VECS]    f32, four per vec4                     read
// binding 3  bias  [codes]          f32                                    read
// binding 4  part  [PARTS, latents] score and code                         read_write
// binding 5  best  [latents]        code                                   read_write
// Launcher: engine/src/gpu/vq_lookup.rs. One workgroup per 8 latents and share of the codes; a lane scores one code at a time.

struct Params {
    latents: u32,
    codes: u32,
}

override WG: u32 = 64u;
override MERGE: bool = false;
override VECS: u32 = 1u;
override PARTS: u32 = 1u;
override BESTS: u32 = 512u;   // 8 * WG

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> e: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> part: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> best: array<u32>;

var<workgroup> value: array<f32, BESTS>;   // [8 latents, WG]
var<workgroup> code: array<u32, BESTS>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if (MERGE) {
        let n = group.x * WG + lane;
        if (n >= p.latents) {
            return;
        }
        var top = part[n];
        for (var i = 1u; i < PARTS; i++) {
            let other = part[i * p.latents + n];
            if (bitcast<f32>(other.x) > bitcast<f32>(top.x)) { // parts are in the order of codes
                top = other;
            }
        }
        best[n] = top.y;
        return;
    }
    let first = group.x * 8u;
    let share = (p.codes + PARTS - 1u) / PARTS;
    let end = min((group.y + 1u) * share, p.codes);
    var top = array<f32, 8>(-3.4e38, -3.4e38, -3.4e38, -3.4e38, -3.4e38, -3.4e38, -3.4e38, -3.4e38);
    var at = array<u32, 8>();
    for (var c = group.y * share + lane; c < end; c += WG) {
        var sum = array<f32, 8>();
        for (var k = 0u; k < VECS; k++) {
            let weight = e[c * VECS + k];
            for (var i = 0u; i < 8u; i++) {
                // Latents past the end repeat the last one; nothing is stored for them.
                sum[i] += dot(weight, z[min(first + i, p.latents - 1u) * VECS + k]);
            }
        }
        for (var i = 0u; i < 8u; i++) {
            let scored = sum[i] + bias[c];
            if (scored > top[i]) {
                top[i] = scored;
                at[i] = c;
            }
        }
    }
    for (var i = 0u; i < 8u; i++) {
        value[i * WG + lane] = top[i];
        code[i * WG + lane] = at[i];
    }
    workgroupBarrier();
    for (var i = lane; i < 8u; i += WG) {
        var score = value[i * WG];
        var index = code[i * WG];
        for (var j = 1u; j < WG; j++) {
            let other = value[i * WG + j];
            if (other > score || (other == score && code[i * WG + j] < index)) {
                score = other;
                index = code[i * WG + j];
            }
        }
        if (first + i < p.latents) {
            part[group.y * p.latents + first + i] = vec2<u32>(bitcast<u32>(score), index);
        }
    }
}
