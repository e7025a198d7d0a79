// y[t, row0 + row] = sum_k W[first + row, k] * x[t, k] + bias[first + row] + sum_j B[first + row, j] * g[t, j]
// as gemm.wgsl, by the adapter's matrix units: Element is what they multiply (weights, x and g are rounded to it), sums are f32.
// override HLORA: false where no plug-in sits.  override PLUGIN_Q8: B is q8.  override ADD: add to y.  override BIAS.
// override WG: TILES times the largest subgroup, so that every row of tiles has a subgroup of its own.
// binding 0  p        sizes                                                       uniform
// binding 1  weights  [rows, units], see shared/weights_*                         read
// binding 2  scales   only q8 and q4                                              read
// binding 3  x        [tokens, 2 * units]    f32, four per vec4                   read
// binding 4  g        [tokens, 2 * b_units]  f32, four per vec4                   read
// binding 5  b        [rows, b_units]        1 (q8) or 2 vec2 a unit              read
// binding 6  b_scale  [rows, b_units / 4]    f16, two per u32; only q8            read
// binding 7  bias     [rows]                 f32                                  read
// binding 8  y        [tokens, y_stride]     f32                                  read_write
// Launcher: engine/src/gpu/gemm_cooperative.rs. One workgroup per tile of 64 rows and 64 tokens; shared/cooperative_* says how
// wide a matrix of the adapter is (SIDE), and DEPTH k at a time lie in shared memory.

struct Params {
    tokens: u32,
    rows: u32,      // used of this shard
    units: u32,     // of 8 weights
    row0: u32,
    y_stride: u32,
    b_units: u32,   // of 8 weights
    first: u32,     // of the rows used
}

override WG: u32 = 128u;
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

const TILES: u32 = 64u / SIDE;
const UNITS: u32 = DEPTH / 8u;
const STRIDE: u32 = DEPTH + 16u / ELEMENT_BYTES; // rows begin at multiples of 16 bytes, in different banks

var<workgroup> w_tile: array<Element, 64u * STRIDE>;  // [64 rows, STRIDE]
var<workgroup> x_tile: array<Element, 64u * STRIDE>;  // [64 tokens, STRIDE]
var<workgroup> sums: array<f32, 4096>;                // [64 tokens, 64 rows]

fn keep_weights(to: u32, w: Unit, scale: f32) {
    for (var j = 0u; j < 4u; j++) {
        w_tile[to + j] = element(w.lo[j] * scale);
        w_tile[to + 4u + j] = element(w.hi[j] * scale);
    }
}

fn keep_inputs(to: u32, v: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        x_tile[to + j] = element(v[j]);
    }
}

// The matrix of 64 tokens' inputs that begins at token SIDE * i and k, transposed.
fn inputs(i: u32, k: u32) -> MatrixB {
    return coopLoad<MatrixB>(&x_tile[i * SIDE * STRIDE + k], STRIDE);
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let first_row = group.x * 64u;
    let first_token = group.y * 64u;
    // One row of tiles: SIDE rows of W by all tokens. Where subgroups are smaller than the largest, those left over do the last row again:
    // none may stand aside while the others multiply.
    let tile = min(subgroup, TILES - 1u);
    var c0 = MatrixC();
    var c1 = MatrixC();
    var c2 = MatrixC();
    var c3 = MatrixC();
    var c4 = MatrixC();
    var c5 = MatrixC();
    var c6 = MatrixC();
    var c7 = MatrixC();
    let steps = (p.units + UNITS - 1u) / UNITS;
    var all = steps;
    if (HLORA) {
        all += (p.b_units + UNITS - 1u) / UNITS;
    }
    for (var step = 0u; step < all; step++) {
        // Rows and tokens past the end repeat the last one; units past the end are zero.
        for (var i = lane; i < 64u * UNITS; i += WG) {
            let r = p.first + min(first_row + i / UNITS, p.rows - 1u);
            let to = (i / UNITS) * STRIDE + (i % UNITS) * 8u;
            var w = Unit();
            var scale = 0.0;
            if (step < steps) {
                let u = step * UNITS + i % UNITS;
                if (u < p.units) {
                    w = weight_unit(r * p.units + u);
                    scale = weight_scale(r * p.units + u);
                }
            } else {
                let u = (step - steps) * UNITS + i % UNITS;
                if (u < p.b_units) {
                    w = b_unit(r * p.b_units + u);
                    scale = b_scale_of(r * p.b_units + u);
                }
            }
            keep_weights(to, w, scale);
        }
        for (var i = lane; i < 128u * UNITS; i += WG) {
            let t = min(first_token + i / (2u * UNITS), p.tokens - 1u);
            let to = (i / (2u * UNITS)) * STRIDE + (i % (2u * UNITS)) * 4u;
            var v = vec4<f32>();
            if (step < steps) {
                let at = step * 2u * UNITS + i % (2u * UNITS);
                if (at < 2u * p.units) {
                    v = x[t * 2u * p.units + at];
                }
            } else {
                let at = (step - steps) * 2u * UNITS + i % (2u * UNITS);
                if (at < 2u * p.b_units) {
                    v = g[t * 2u * p.b_units + at];
                }
            }
            keep_inputs(to, v);
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k += SIDE) {
            let w = coopLoadT<MatrixA>(&w_tile[tile * SIDE * STRIDE + k], STRIDE);
            c0 = coopMultiplyAdd(w, inputs(0u, k), c0);
            c1 = coopMultiplyAdd(w, inputs(1u, k), c1);
            c2 = coopMultiplyAdd(w, inputs(2u, k), c2);
            c3 = coopMultiplyAdd(w, inputs(3u, k), c3);
            if (TILES == 8u) {
                c4 = coopMultiplyAdd(w, inputs(4u, k), c4);
                c5 = coopMultiplyAdd(w, inputs(5u, k), c5);
                c6 = coopMultiplyAdd(w, inputs(6u, k), c6);
                c7 = coopMultiplyAdd(w, inputs(7u, k), c7);
            }
        }
        workgroupBarrier();
    }
    let to = tile * SIDE;
    coopStore(c0, &sums[to], 64u);
    coopStore(c1, &sums[SIDE * 64u + to], 64u);
    coopStore(c2, &sums[2u * SIDE * 64u + to], 64u);
    coopStore(c3, &sums[3u * SIDE * 64u + to], 64u);
    if (TILES == 8u) {
        coopStore(c4, &sums[4u * SIDE * 64u + to], 64u);
        coopStore(c5, &sums[5u * SIDE * 64u + to], 64u);
        coopStore(c6, &sums[6u * SIDE * 64u + to], 64u);
        coopStore(c7, &sums[7u * SIDE * 64u + to], 64u);
    }
    workgroupBarrier();
    for (var i = lane; i < 4096u; i += WG) {
        let t = first_token + i / 64u;
        let r = first_row + i % 64u;
        if (t < p.tokens && r < p.rows) {
            var sum = sums[i];
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
