// z[c, row] = sum_k ar[row, k] * h[c, k],   h = rmsnorm(x) * gamma      (A x and R x stacked: Eq. 8-10)
// override NORM: false for o_proj and down_proj, whose input is not normed (then h = x and h is not written).
// override PLUGIN_Q8: the rows of A are q8 (the rows of the router are always f16).
// override COLS: columns, 1 to 8.  override ROWS: rows per workgroup, 1 or 4.
// binding 0  p      sizes                                                           uniform
// binding 1  ar     [rank + experts, units]  A then router, 2 (q8) or 4 u32 a unit  read
// binding 2  scale  [rank, units / 4]        f16, two per u32; only q8              read
// binding 3  x      [COLS, 2 * units]        f32, four per vec4                     read
// binding 4  gamma  [2 * units]              f32, four per vec4                     read
// binding 5  z      [COLS, rank + experts]   f32                                    read_write
// binding 6  h      [COLS, 2 * units]        f32, four per vec4                     read_write
// Launcher: engine/src/gpu/hlora_shrink.rs. One workgroup per ROWS rows; each finds the norm itself and writes its share of h.

struct Params {
    rank: u32,     // all experts together
    rows: u32,     // rank + experts
    units: u32,
    width: f32,    // the mean's divisor
    eps: f32,
}

override COLS: u32 = 1u;
override ROWS: u32 = 1u;
override NORM: bool = true;
override PLUGIN_Q8: bool = false;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ar: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> scale: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> z: array<f32>;
@group(0) @binding(6) var<storage, read_write> h: array<vec4<f32>>;

var<workgroup> rstd: array<f32, 8>;

fn row_dot(row: u32, u: u32, lo: vec4<f32>, hi: vec4<f32>) -> f32 {
    if (PLUGIN_Q8 && row < p.rank) {
        let unit = row * p.units + u;
        let w = ar[unit];
        let block = unit >> 2u;
        let pair = unpack2x16float(scale[block >> 1u]);
        let s = select(pair.x, pair.y, (block & 1u) == 1u);
        return s * (dot(vec4<f32>(unpack4xI8(w.x)), lo) + dot(vec4<f32>(unpack4xI8(w.y)), hi));
    }
    var unit = 2u * (row * p.units + u);
    if (PLUGIN_Q8) {
        unit = p.rank * p.units + 2u * ((row - p.rank) * p.units + u);
    }
    let a = ar[unit];
    let b = ar[unit + 1u];
    return dot(vec4<f32>(unpack2x16float(a.x), unpack2x16float(a.y)), lo)
        + dot(vec4<f32>(unpack2x16float(b.x), unpack2x16float(b.y)), hi);
}

@compute @workgroup_size(WG)
fn main(at: Invocation) {
    let vecs = 2u * p.units;
    if (NORM) {
        for (var c = 0u; c < COLS; c++) {
            var square = 0.0;
            for (var k = at.lane; k < vecs; k += WG) {
                square += dot(x[c * vecs + k], x[c * vecs + k]);
            }
            reduce_put(at, c, square);
        }
        workgroupBarrier();
        for (var c = at.lane; c < COLS; c += WG) {
            rstd[c] = 1.0 / sqrt(reduce_get(at, c) / p.width + p.eps);
        }
        workgroupBarrier();
        let share = (vecs + at.groups.x - 1u) / at.groups.x;
        let end = min((at.group.x + 1u) * share, vecs);
        for (var k = at.group.x * share + at.lane; k < end; k += WG) {
            for (var c = 0u; c < COLS; c++) {
                h[c * vecs + k] = x[c * vecs + k] * rstd[c] * gamma[k];
            }
        }
    }
    let first = at.group.x * ROWS;
    var sum = array<vec4<f32>, 8>();
    for (var u = at.lane; u < p.units; u += WG) {
        for (var c = 0u; c < COLS; c++) {
            var lo = x[c * vecs + 2u * u];
            var hi = x[c * vecs + 2u * u + 1u];
            if (NORM) {
                lo = lo * rstd[c] * gamma[2u * u];
                hi = hi * rstd[c] * gamma[2u * u + 1u];
            }
            var dots = vec4<f32>(row_dot(first, u, lo, hi), 0.0, 0.0, 0.0);
            if (ROWS == 4u) {
                // Rows past the end repeat the last one; nothing is stored for them.
                let last = p.rows - 1u;
                dots.y = row_dot(min(first + 1u, last), u, lo, hi);
                dots.z = row_dot(min(first + 2u, last), u, lo, hi);
                dots.w = row_dot(min(first + 3u, last), u, lo, hi);
            }
            sum[c] += dots;
        }
    }
    for (var c = 0u; c < COLS; c++) {
        for (var i = 0u; i < ROWS; i++) {
            reduce_put(at, c * ROWS + i, sum[c][i]);
        }
    }
    workgroupBarrier();
    for (var slot = at.lane; slot < ROWS * COLS; slot += WG) {
        let row = first + slot % ROWS;
        if (row < p.rows) {
            z[(slot / ROWS) * p.rows + row] = reduce_get(at, slot);
        }
    }
}
