// y[t, row0 + row] = sum_k W[first + row, k] * x[t, k] + bias[first + row] + sum_j B[first + row, j] * g[t, j]
// for many tokens t (g is hlora_gate's; the low-rank term continues the same accumulators)
// override HLORA: false where no plug-in sits.  override PLUGIN_Q8: B is q8.  override ADD: add to y.  override BIAS.
// binding 0  p        sizes                                                       uniform
// binding 1  weights  [rows, units], see shared/weights_*                         read
// binding 2  scales   only q8 and q4                                              read
// binding 3  x        [tokens, 2 * units]    f32, four per vec4                   read
// binding 4  g        [tokens, 2 * b_units]  f32, four per vec4                   read
// binding 5  b        [rows, b_units]        1 (q8) or 2 vec2 a unit              read
// binding 6  b_scale  [rows, b_units / 4]    f16, two per u32; only q8            read
// binding 7  bias     [rows]                 f32                                  read
// binding 8  y        [tokens, y_stride]     f32                                  read_write
// Launcher: engine/src/gpu/gemm.rs. One workgroup of 64 per tile of 64 rows and 64 tokens; each lane holds 8 x 8 of it (rows
// lane % 8 + 8 j, tokens lane / 8 + 8 i), and 16 k at a time lie in shared memory.

struct Params {
    tokens: u32,
    rows: u32,      // used of this shard
    units: u32,     // of 8 weights, an even number
    row0: u32,
    y_stride: u32,
    b_units: u32,   // of 8 weights, an even number
    first: u32,     // of the rows used
}

override HLORA: bool = false;
override PLUGIN_Q8: bool = false;
override ADD: bool = false;
override BIAS: bool = false;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> b: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read> b_scale: array<u32>;
@group(0) @binding(7) var<storage, read> bias: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;

const STRIDE: u32 = 65u; // one more than a tile, against bank conflicts

var<workgroup> w_tile: array<f32, 1040>; // [16 k, STRIDE] of 64 rows
var<workgroup> x_tile: array<f32, 1040>; // [16 k, STRIDE] of 64 tokens

fn keep_weights(i: u32, w: Unit, scale: f32) {
    let to = (i % 2u) * 8u * STRIDE + i / 2u;
    for (var j = 0u; j < 4u; j++) {
        w_tile[to + j * STRIDE] = w.lo[j] * scale;
        w_tile[to + (j + 4u) * STRIDE] = w.hi[j] * scale;
    }
}

fn keep_inputs(i: u32, v: vec4<f32>) {
    let to = (i % 4u) * 4u * STRIDE + i / 4u;
    for (var j = 0u; j < 4u; j++) {
        x_tile[to + j * STRIDE] = v[j];
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = group.x * 64u;
    let first_token = group.y * 64u;
    let row = lane % 8u;
    let token = lane / 8u;
    var lo = array<vec4<f32>, 8>();  // rows row + 8 j, j < 4, by token
    var hi = array<vec4<f32>, 8>();  // and j >= 4
    let steps = p.units / 2u;
    var all = steps;
    if (HLORA) {
        all += p.b_units / 2u;
    }
    for (var step = 0u; step < all; step++) {
        // 64 rows of 2 units and 64 tokens of 4 vec4; rows and tokens past the end repeat the last one.
        for (var i = lane; i < 128u; i += 64u) {
            let r = p.first + min(first_row + i / 2u, p.rows - 1u);
            if (step < steps) {
                let unit = r * p.units + 2u * step + i % 2u;
                keep_weights(i, weight_unit(unit), weight_scale(unit));
            } else {
                let unit = r * p.b_units + 2u * (step - steps) + i % 2u;
                keep_weights(i, b_unit(unit), b_scale_of(unit));
            }
        }
        for (var i = lane; i < 256u; i += 64u) {
            let t = min(first_token + i / 4u, p.tokens - 1u);
            if (step < steps) {
                keep_inputs(i, x[t * 2u * p.units + 4u * step + i % 4u]);
            } else {
                keep_inputs(i, g[t * 2u * p.b_units + 4u * (step - steps) + i % 4u]);
            }
        }
        workgroupBarrier();
        for (var k = 0u; k < 16u; k++) {
            let w = k * STRIDE + row;
            let w_lo = vec4<f32>(w_tile[w], w_tile[w + 8u], w_tile[w + 16u], w_tile[w + 24u]);
            let w_hi = vec4<f32>(w_tile[w + 32u], w_tile[w + 40u], w_tile[w + 48u], w_tile[w + 56u]);
            for (var i = 0u; i < 8u; i++) {
                let v = x_tile[k * STRIDE + token + 8u * i];
                lo[i] += v * w_lo;
                hi[i] += v * w_hi;
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 8u; i++) {
        let t = first_token + token + 8u * i;
        for (var j = 0u; j < 8u; j++) {
            let r = first_row + row + 8u * j;
            if (t < p.tokens && r < p.rows) {
                var sum = 0.0;
                if (j < 4u) {
                    sum = lo[i][j];
                } else {
                    sum = hi[i][j - 4u];
                }
                if (BIAS) {
                    sum += bias[p.first + r];
                }
                let to = t * p.y_stride + p.row0 + r;
                if (ADD) {
                    y[to] += sum;
                } else {
                    y[to] = sum;
                }
            }
        }
    }
}
