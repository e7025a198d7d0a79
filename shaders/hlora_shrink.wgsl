// z[c, row] = sum_k ar[row, k] * h[c, k],   h = rmsnorm(x) * gamma      (A x and R x stacked: Eq. 8-10)
// override NORM: false for o_proj and down_proj, whose input is not normed (then h = x and h is not written).
// override PLUGIN_Q8: the rows of A are q8 (the rows of the router are always f16).
// override COLS: columns, 1 to 8.  override ROWS: rows per workgroup, 1, 4 or 8.
// override SPAN: units that a lane takes one after the other, 1 or 4 (a block).
// binding 0  p      sizes                                                           uniform
// binding 1  ar     [rank + experts, units]  A then router, 2 (q8) or 4 u32 a unit  read
// binding 2  scale  [rank, units / 4]        f16, two per u32; only q8              read
// binding 3  x      [COLS, 2 * units]        f32, four per vec4                     read
// binding 4  gamma  [2 * units]              f32, four per vec4                     read
// binding 5  z      [COLS, rank + experts]   f32                                    read_write
// binding 6  h      [COLS, 2 * units]        f32, four per vec4                     read_write
// Launcher: engine/src/gpu/hlora_shrink.rs. One workgroup per ROWS rows of A, then of
// the router; each finds the norm itself and writes its share of h.

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

// Rows past the end of A, or of the router, repeat its last one; nothing is stored for them.
fn within(row: u32, end: u32) -> u32 {
    return min(row, end - 1u);
}

// Of the block of a row of A in which a unit lies; only q8.
fn a_scale(row: u32, u: u32) -> f32 {
    let block = (within(row, p.rank) * p.units + u) >> 2u;
    let pair = unpack2x16float(scale[block >> 1u]);
    return select(pair.x, pair.y, (block & 1u) == 1u);
}

fn a_scales(row: u32, u: u32) -> vec4<f32> {
    return vec4<f32>(a_scale(row, u), a_scale(row + 1u, u), a_scale(row + 2u, u), a_scale(row + 3u, u));
}

// A row of A in q8, without its scale.
fn a_dot(row: u32, u: u32, lo: vec4<f32>, hi: vec4<f32>) -> f32 {
    let w = ar[within(row, p.rank) * p.units + u];
    return dot(vec4<f32>(unpack4xI8(w.x)), lo) + dot(vec4<f32>(unpack4xI8(w.y)), hi);
}

fn a_dots(row: u32, u: u32, lo: vec4<f32>, hi: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(a_dot(row, u, lo, hi), a_dot(row + 1u, u, lo, hi), a_dot(row + 2u, u, lo, hi), a_dot(row + 3u, u, lo, hi));
}

// A row in f16: the router's, and A's where it is not q8.
fn half_dot(row: u32, u: u32, lo: vec4<f32>, hi: vec4<f32>) -> f32 {
    let r = within(row, p.rows);
    var unit = 2u * (r * p.units + u);
    if (PLUGIN_Q8) {
        unit = p.rank * p.units + 2u * ((r - p.rank) * p.units + u);
    }
    let a = ar[unit];
    let b = ar[unit + 1u];
    return dot(vec4<f32>(unpack2x16float(a.x), unpack2x16float(a.y)), lo)
        + dot(vec4<f32>(unpack2x16float(b.x), unpack2x16float(b.y)), hi);
}

fn half_dots(row: u32, u: u32, lo: vec4<f32>, hi: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(half_dot(row, u, lo, hi), half_dot(row + 1u, u, lo, hi), half_dot(row + 2u, u, lo, hi),
        half_dot(row + 3u, u, lo, hi));
}

// A unit of a column's input.
struct Input { lo: vec4<f32>, hi: vec4<f32> }

fn input(c: u32, u: u32) -> Input {
    let at = 2u * (c * p.units + u);
    if (NORM) {
        return Input(x[at] * rstd[c] * gamma[2u * u], x[at + 1u] * rstd[c] * gamma[2u * u + 1u]);
    }
    return Input(x[at], x[at + 1u]);
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
        reduce_wait();
        for (var c = at.lane; c < COLS; c += WG) {
            rstd[c] = 1.0 / sqrt(reduce_get(at, c) / p.width + p.eps);
        }
        reduce_wait();
        let share = (vecs + at.groups.x - 1u) / at.groups.x;
        let end = min((at.group.x + 1u) * share, vecs);
        for (var k = at.group.x * share + at.lane; k < end; k += WG) {
            for (var c = 0u; c < COLS; c++) {
                h[c * vecs + k] = x[c * vecs + k] * rstd[c] * gamma[k];
            }
        }
    }
    // A workgroup has rows of A or of the router, and goes through one of the two loops below: where both were in one loop, a
    // software adapter would do the work of both for every row.
    let of_a = (p.rank + ROWS - 1u) / ROWS;
    let routing = at.group.x >= of_a;
    let first = select(at.group.x * ROWS, p.rank + (at.group.x - of_a) * ROWS, routing);
    let end = select(p.rank, p.rows, routing);
    let q8_units = select(0u, p.units, PLUGIN_Q8 && !routing);
    let half_units = p.units - q8_units;
    // By column: the first four rows, and the others.
    var front = array<vec4<f32>, 8>();
    var back = array<vec4<f32>, 8>();
    for (var block = at.lane * SPAN; block < q8_units; block += WG * SPAN) {
        var s = vec4<f32>();
        var t = vec4<f32>();
        if (ROWS == 1u) {
            s.x = a_scale(first, block);
        } else {
            s = a_scales(first, block);
        }
        if (ROWS == 8u) {
            t = a_scales(first + 4u, block);
        }
        for (var u = block; u < block + SPAN; u++) {
            for (var c = 0u; c < COLS; c++) {
                let h = input(c, u);
                if (ROWS == 1u) {
                    front[c].x += s.x * a_dot(first, u, h.lo, h.hi);
                } else {
                    front[c] += s * a_dots(first, u, h.lo, h.hi);
                }
                if (ROWS == 8u) {
                    back[c] += t * a_dots(first + 4u, u, h.lo, h.hi);
                }
            }
        }
    }
    for (var block = at.lane * SPAN; block < half_units; block += WG * SPAN) {
        for (var u = block; u < block + SPAN; u++) {
            for (var c = 0u; c < COLS; c++) {
                let h = input(c, u);
                if (ROWS == 1u) {
                    front[c].x += half_dot(first, u, h.lo, h.hi);
                } else {
                    front[c] += half_dots(first, u, h.lo, h.hi);
                }
                if (ROWS == 8u) {
                    back[c] += half_dots(first + 4u, u, h.lo, h.hi);
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
    reduce_wait();
    for (var slot = at.lane; slot < ROWS * COLS; slot += WG) {
        let row = first + slot % ROWS;
        if (row < end) {
            z[(slot / ROWS) * p.rows + row] = reduce_get(at, slot);
        }
    }
}
