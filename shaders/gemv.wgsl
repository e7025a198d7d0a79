// y[c, row0 + row] = sum_k W[first + row, k] * x[c, k]      for COLS columns c (a column is one sequence's token)
// override COLS: columns, 1 to 8.  override ADD: add to y instead of storing (residual stream).
// override SPAN: units that a lane takes one after the other, 1 or 4 (a block with one scale, which is then read once).
// binding 0  p        sizes                                   uniform
// binding 1  weights  [rows, units], see shared/weights_*     read
// binding 2  scales   only q8 and q4                          read
// binding 3  x        [COLS, 2 * units]  f32, four per vec4   read
// binding 4  y        [COLS, y_stride]   f32                  read_write
// Launcher: engine/src/gpu/gemv.rs. One workgroup per 8 rows; lanes along k.

struct Params {
    rows: u32,     // used of this shard
    units: u32,    // 8 weights each
    row0: u32,     // where the first of them goes in y
    y_stride: u32,
    first: u32,    // of the rows used
}

override COLS: u32 = 1u;
override ADD: bool = false;
override SPAN: u32 = 1u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn unit_dot(w: Unit, lo: vec4<f32>, hi: vec4<f32>) -> f32 {
    return dot(w.lo, lo) + dot(w.hi, hi);
}

@compute @workgroup_size(WG)
fn main(at: Invocation) {
    let first = at.group.x * 8u;
    let last = p.rows - 1u;
    // Rows past the end repeat the last one; nothing is stored for them.
    let r0 = (p.first + min(first, last)) * p.units;
    let r1 = (p.first + min(first + 1u, last)) * p.units;
    let r2 = (p.first + min(first + 2u, last)) * p.units;
    let r3 = (p.first + min(first + 3u, last)) * p.units;
    let r4 = (p.first + min(first + 4u, last)) * p.units;
    let r5 = (p.first + min(first + 5u, last)) * p.units;
    let r6 = (p.first + min(first + 6u, last)) * p.units;
    let r7 = (p.first + min(first + 7u, last)) * p.units;
    var a = array<vec4<f32>, 8>();
    var b = array<vec4<f32>, 8>();
    for (var block = at.lane * SPAN; block < p.units; block += WG * SPAN) {
        let s = vec4<f32>(weight_scale(r0 + block), weight_scale(r1 + block), weight_scale(r2 + block), weight_scale(r3 + block));
        let t = vec4<f32>(weight_scale(r4 + block), weight_scale(r5 + block), weight_scale(r6 + block), weight_scale(r7 + block));
        for (var u = block; u < block + SPAN; u++) {
            let w0 = weight_unit(r0 + u);
            let w1 = weight_unit(r1 + u);
            let w2 = weight_unit(r2 + u);
            let w3 = weight_unit(r3 + u);
            let w4 = weight_unit(r4 + u);
            let w5 = weight_unit(r5 + u);
            let w6 = weight_unit(r6 + u);
            let w7 = weight_unit(r7 + u);
            for (var c = 0u; c < COLS; c++) {
                let k = 2u * (c * p.units + u);
                let lo = x[k];
                let hi = x[k + 1u];
                a[c] += s * vec4<f32>(unit_dot(w0, lo, hi), unit_dot(w1, lo, hi), unit_dot(w2, lo, hi), unit_dot(w3, lo, hi));
                b[c] += t * vec4<f32>(unit_dot(w4, lo, hi), unit_dot(w5, lo, hi), unit_dot(w6, lo, hi), unit_dot(w7, lo, hi));
            }
        }
    }
    for (var c = 0u; c < COLS; c++) {
        for (var i = 0u; i < 4u; i++) {
            reduce_put(at, c * 8u + i, a[c][i]);
            reduce_put(at, c * 8u + 4u + i, b[c][i]);
        }
    }
    workgroupBarrier();
    for (var slot = at.lane; slot < 8u * COLS; slot += WG) {
        let row = first + slot % 8u;
        if (row < p.rows) {
            let at_y = (slot / 8u) * p.y_stride + p.row0 + row;
            let sum = reduce_get(at, slot);
            if (ADD) {
                y[at_y] += sum;
            } else {
                y[at_y] = sum;
            }
        }
    }
}
