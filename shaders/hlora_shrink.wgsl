// z[c, row] = sum_k ar[row, k] * h[c, k],   h = rmsnorm(x) * gamma      (A x and R x stacked: Eq. 8-10)
// override NORM: false for o_proj and down_proj, whose input is not normed (then h = x and h is not written).
// override PLUGIN_Q8: the rows of A are q8 (the rows of the router are always f16).
// override COLS: columns, 1 to 8.  override ROWS: rows per workgroup, 1, 4 or 8.
// override SPAN: units that a lane takes one after the other, 1 or 4 (a block with one scale, which is then read once).
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
override SPAN: u32 = 1u;
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

// Rows past the end repeat the last one; nothing is stored for them.
fn within(row: u32) -> u32 {
    return min(row, p.rows - 1u);
}

fn row_scale(row: u32, u: u32) -> f32 {
    if (PLUGIN_Q8 && row < p.rank) {
        let block = (row * p.units + u) >> 2u;
        let pair = unpack2x16float(scale[block >> 1u]);
        return select(pair.x, pair.y, (block & 1u) == 1u);
    }
    return 1.0;
}

fn row_dot(row: u32, u: u32, lo: vec4<f32>, hi: vec4<f32>) -> f32 {
    if (PLUGIN_Q8 && row < p.rank) {
        let w = ar[row * p.units + u];
        return dot(vec4<f32>(unpack4xI8(w.x)), lo) + dot(vec4<f32>(unpack4xI8(w.y)), hi);
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

// Scales of four rows from `row` on.
fn scales(row: u32, u: u32) -> vec4<f32> {
    return vec4<f32>(row_scale(within(row), u), row_scale(within(row + 1u), u),
        row_scale(within(row + 2u), u), row_scale(within(row + 3u), u));
}

fn dots(row: u32, u: u32, lo: vec4<f32>, hi: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(row_dot(within(row), u, lo, hi), row_dot(within(row + 1u), u, lo, hi),
        row_dot(within(row + 2u), u, lo, hi), row_dot(within(row + 3u), u, lo, hi));
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
    // By column: the first four rows, and the others.
    var front = array<vec4<f32>, 8>();
    var back = array<vec4<f32>, 8>();
    for (var block = at.lane * SPAN; block < p.units; block += WG * SPAN) {
        var s = vec4<f32>();
        var t = vec4<f32>();
        if (ROWS == 1u) {
            s.x = row_scale(first, block);
        } else {
            s = scales(first, block);
        }
        if (ROWS == 8u) {
            t = scales(first + 4u, block);
        }
        for (var u = block; u < block + SPAN; u++) {
            for (var c = 0u; c < COLS; c++) {
                var lo = x[c * vecs + 2u * u];
                var hi = x[c * vecs + 2u * u + 1u];
                if (NORM) {
                    lo = lo * rstd[c] * gamma[2u * u];
                    hi = hi * rstd[c] * gamma[2u * u + 1u];
                }
                if (ROWS == 1u) {
                    front[c].x += s.x * row_dot(first, u, lo, hi);
                } else {
                    front[c] += s * dots(first, u, lo, hi);
                }
                if (ROWS == 8u) {
                    back[c] += t * dots(first + 4u, u, lo, hi);
                }
            }
        }
    }
    for (var c = 0u; c < COLS; c++) {
        for (var i = 0u; i < min(ROWS, 4u); i++) {
            reduce_put(at, c * ROWS + i, front[c][i]);
            if (ROWS == 8u) {
                reduce_put(at, c * ROWS + 4u + i, back[c][i]);
            }
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
