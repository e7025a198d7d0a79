// y[c, row0 + row] = sum_k W[first + row, k] * x[c, k]      for COLS columns c (a column is one sequence's token)
// override COLS: columns, 1 to 8.  override ADD: add to y instead of storing (residual stream).
// override SPAN: units that a lane takes one after the other, 1 or 4 (a block with one scale, which is then read once).
// override GROUPS: groups of 8 rows that share a reading of x, 1 or 2.
// binding 0  p        sizes                                   uniform
// binding 1  weights  [rows, units], see shared/weights_*     read
// binding 2  scales   only q8 and q4                          read
// binding 3  x        [COLS, 2 * units]  f32, four per vec4   read
// binding 4  y        [COLS, y_stride]   f32                  read_write
// Launcher: engine/src/gpu/gemv.rs. One workgroup per 8 GROUPS rows; lanes along k.

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
override GROUPS: u32 = 1u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn unit_dot(w: Unit, lo: vec4<f32>, hi: vec4<f32>) -> f32 {
    return dot(w.lo, lo) + dot(w.hi, hi);
}

// Where a row begins, in units. Rows past the end repeat the last one; nothing is stored for them.
fn start(row: u32) -> u32 {
    return (p.first + min(row, p.rows - 1u)) * p.units;
}

@compute @workgroup_size(WG)
fn main(at: Invocation) {
    let first = at.group.x * 8u * GROUPS;
    // By group and column: the first four rows, and the others.
    var a = array<vec4<f32>, 16>();
    var b = array<vec4<f32>, 16>();
    for (var block = at.lane * SPAN; block < p.units; block += WG * SPAN) {
        var s = array<vec4<f32>, 2>();
        var t = array<vec4<f32>, 2>();
        for (var g = 0u; g < GROUPS; g++) {
            let r = first + 8u * g;
            s[g] = vec4<f32>(weight_scale(start(r) + block), weight_scale(start(r + 1u) + block),
                weight_scale(start(r + 2u) + block), weight_scale(start(r + 3u) + block));
            t[g] = vec4<f32>(weight_scale(start(r + 4u) + block), weight_scale(start(r + 5u) + block),
                weight_scale(start(r + 6u) + block), weight_scale(start(r + 7u) + block));
        }
        for (var u = block; u < block + SPAN; u++) {
            var lo = array<vec4<f32>, 8>();
            var hi = array<vec4<f32>, 8>();
            for (var c = 0u; c < COLS; c++) {
                let k = 2u * (c * p.units + u);
                lo[c] = x[k];
                hi[c] = x[k + 1u];
            }
            for (var g = 0u; g < GROUPS; g++) {
                let r = first + 8u * g;
                let w0 = weight_unit(start(r) + u);
                let w1 = weight_unit(start(r + 1u) + u);
                let w2 = weight_unit(start(r + 2u) + u);
                let w3 = weight_unit(start(r + 3u) + u);
                let w4 = weight_unit(start(r + 4u) + u);
                let w5 = weight_unit(start(r + 5u) + u);
                let w6 = weight_unit(start(r + 6u) + u);
                let w7 = weight_unit(start(r + 7u) + u);
                for (var c = 0u; c < COLS; c++) {
                    let i = g * COLS + c;
                    a[i] += s[g] * vec4<f32>(unit_dot(w0, lo[c], hi[c]), unit_dot(w1, lo[c], hi[c]),
                        unit_dot(w2, lo[c], hi[c]), unit_dot(w3, lo[c], hi[c]));
                    b[i] += t[g] * vec4<f32>(unit_dot(w4, lo[c], hi[c]), unit_dot(w5, lo[c], hi[c]),
                        unit_dot(w6, lo[c], hi[c]), unit_dot(w7, lo[c], hi[c]));
                }
            }
        }
    }
    for (var i = 0u; i < GROUPS * COLS; i++) {
        for (var j = 0u; j < 4u; j++) {
            reduce_put(at, i * 8u + j, a[i][j]);
            reduce_put(at, i * 8u + 4u + j, b[i][j]);
        }
    }
    reduce_wait();
    for (var slot = at.lane; slot < 8u * GROUPS * COLS; slot += WG) {
        let i = slot / 8u;
        let row = first + (i / COLS) * 8u + slot % 8u;
        if (row < p.rows) {
            let at_y = (i % COLS) * p.y_stride + p.row0 + row;
            let sum = reduce_get(at, slot);
            if (ADD) {
                y[at_y] += sum;
            } else {
                y[at_y] = sum;
            }
        }
    }
}
