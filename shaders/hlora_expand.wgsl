// y[c, row] = sum_k W[row, k] * h[c, k] + bias[row] + sum_j B[row, j] * softmax(z_R[c])[j / per_expert] * z_A[c, j]
// (the right half of Eq. 10 and 11; z = [A; R] h is hlora_shrink's, with the scale alpha / rank folded into A)
// override EPILOGUE, what becomes of y:
//   0 store   y[c, row0 + row]
//   1 add     to y[c, row0 + row] (residual stream)
//   2 rope    q: rotated, to y; k: rotated, to the cache; v: to the cache. Rows are those of q, k, v, from head0 on
//   3 swiglu  y[c, row0 + j] = up * silu(gate), gate being row j and up row j + rows / 2
// override HLORA: false where no plug-in sits.  override PLUGIN_Q8: B is q8.  override COLS: columns, 1 to 8.
// override KV_F32: the cache is f32 instead of f16 (a q8 cache needs rope_kv, which sees whole rows).
// override EXPERTS and PER_EXPERT: experts, and how many of the rank each has; override SHARES: COLS * EXPERTS.
// override BIAS: false where there is none.  override SPAN: units that a lane takes one after the other, 1 or 4 (a block).
// binding 0   p        sizes                                                        uniform
// binding 1   weights  [rows, units], see shared/weights_*                          read
// binding 2   scales   only q8 and q4                                               read
// binding 3   h        [COLS, 2 * units]        f32, four per vec4                  read
// binding 4   z        [COLS, rank + experts]   f32                                 read
// binding 5   b        [rows, b_units]          1 (q8) or 2 vec2 a unit             read
// binding 6   b_scale  [rows, b_units / 4]      f16, two per u32; only q8           read
// binding 7   bias     [rows]                   f32                                 read
// binding 8   columns  [COLS]                   what each column is                 read
// binding 9   rope     [positions, head_dim / 2]  cosine and sine                   read
// binding 10  kv       keys, then values, each [slots, kv_heads, capacity, head_dim], f16 or f32           read_write
// binding 11  y        f32                                                          read_write
// Launcher: engine/src/gpu/hlora_expand.rs. One workgroup per 8 rows (4 and their 4 partners for rope and swiglu).

struct Params {
    rows: u32,        // of this shard
    units: u32,       // of 8 weights
    row0: u32,        // first row of this shard in y
    y_stride: u32,
    rank: u32,        // all experts together
    b_units: u32,     // of 8 weights
    head_dim: u32,
    head0: u32,       // first head of this site among those of q, k and v
    heads: u32,       // of q
    kv_heads: u32,
    capacity: u32,    // positions in the cache
    values: u32,      // where values begin in kv, in u32
}

struct Column {
    token: u32,
    position: u32,
    slot: u32,
    step: u32,
}

override COLS: u32 = 1u;
override EPILOGUE: u32 = 0u;
override HLORA: bool = true;
override PLUGIN_Q8: bool = false;
override BIAS: bool = false;
override KV_F32: bool = false;
override SPAN: u32 = 1u;
override EXPERTS: u32 = 1u;
override PER_EXPERT: u32 = 1u;
override SHARES: u32 = 1u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> z: array<f32>;
@group(0) @binding(5) var<storage, read> b: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read> b_scale: array<u32>;
@group(0) @binding(7) var<storage, read> bias: array<f32>;
@group(0) @binding(8) var<storage, read> columns: array<Column>;
@group(0) @binding(9) var<storage, read> rope: array<vec2<f32>>;
@group(0) @binding(10) var<storage, read_write> kv: array<u32>;
@group(0) @binding(11) var<storage, read_write> y: array<f32>;

var<workgroup> raised: array<f32, SHARES>;  // [COLS, EXPERTS]: the softmax before its division

fn b_unit(unit: u32) -> Unit {
    if (PLUGIN_Q8) {
        let w = b[unit];
        return Unit(vec4<f32>(unpack4xI8(w.x)), vec4<f32>(unpack4xI8(w.y)));
    }
    let first = b[2u * unit];
    let second = b[2u * unit + 1u];
    return Unit(vec4<f32>(unpack2x16float(first.x), unpack2x16float(first.y)),
        vec4<f32>(unpack2x16float(second.x), unpack2x16float(second.y)));
}

fn b_scale_of(unit: u32) -> f32 {
    if (PLUGIN_Q8) {
        let block = unit >> 2u;
        let pair = unpack2x16float(b_scale[block >> 1u]);
        return select(pair.x, pair.y, (block & 1u) == 1u);
    }
    return 1.0;
}

fn unit_dot(w: Unit, lo: vec4<f32>, hi: vec4<f32>) -> f32 {
    return dot(w.lo, lo) + dot(w.hi, hi);
}

// An expert's share, by one of its places in the rank.
fn share(c: u32, j: u32, inverse: f32) -> f32 {
    return raised[c * EXPERTS + j / PER_EXPERT] * inverse;
}

fn gate(c: u32, j: u32, inverse: f32) -> f32 {
    let i = min(j, p.rank - 1u);
    return z[c * (p.rank + EXPERTS) + i] * share(c, i, inverse);
}

// Routed z_A: a unit's values are needed by one lane alone, so they never leave it. Past the rank B is zero.
fn gate_vec(c: u32, j: u32, inverse: f32) -> vec4<f32> {
    if (PER_EXPERT % 4u == 0u || (PER_EXPERT == 2u && EXPERTS % 2u == 0u)) {
        if (j >= p.rank) {
            return vec4<f32>();
        }
        let i = c * (p.rank + EXPERTS) + j;
        let routed = vec4<f32>(z[i], z[i + 1u], z[i + 2u], z[i + 3u]);
        let first = share(c, j, inverse);
        if (PER_EXPERT == 2u) {
            let second = share(c, j + 2u, inverse);
            return routed * vec4<f32>(first, first, second, second);
        }
        return routed * first;
    }
    return vec4<f32>(gate(c, j, inverse), gate(c, j + 1u, inverse), gate(c, j + 2u, inverse), gate(c, j + 3u, inverse));
}

// The eight sums of a column in the order of the rows; bias is added where a sum is used.
fn sum_of(at: Invocation, c: u32, i: u32, row: u32) -> f32 {
    let sum = reduce_get(at, c * 8u + i);
    if (BIAS) {
        return sum + bias[row];
    }
    return sum;
}

// Rows first + 2 i, first + 2 i + 1 (i = 0, 1) of a head and their partners half a head further.
fn rope_epilogue(at: Invocation, c: u32, i: u32, first: u32, distance: u32) {
    let x0 = sum_of(at, c, 2u * i, first + 2u * i);
    let x1 = sum_of(at, c, 2u * i + 1u, first + 2u * i + 1u);
    let y0 = sum_of(at, c, 4u + 2u * i, first + distance + 2u * i);
    let y1 = sum_of(at, c, 5u + 2u * i, first + distance + 2u * i + 1u);
    let d = first % p.head_dim + 2u * i;
    let head = p.head0 + first / p.head_dim;
    let column = columns[c];
    var front = vec2<f32>(x0, x1);
    var back = vec2<f32>(y0, y1);
    if (head < p.heads + p.kv_heads) {
        let turn0 = rope[column.position * distance + d];
        let turn1 = rope[column.position * distance + d + 1u];
        let cosine = vec2<f32>(turn0.x, turn1.x);
        let sine = vec2<f32>(turn0.y, turn1.y);
        let turned = front * cosine - back * sine;
        back = back * cosine + front * sine;
        front = turned;
    }
    if (head < p.heads) {
        let to = c * p.y_stride + head * p.head_dim + d;
        y[to] = front.x;
        y[to + 1u] = front.y;
        y[to + distance] = back.x;
        y[to + distance + 1u] = back.y;
        return;
    }
    var cached = head - p.heads;
    var base = 0u;
    if (cached >= p.kv_heads) {
        cached -= p.kv_heads;
        base = p.values;
    }
    let row = (column.slot * p.kv_heads + cached) * p.capacity + column.position;
    if (KV_F32) {
        let to = base + row * p.head_dim + d;
        kv[to] = bitcast<u32>(front.x);
        kv[to + 1u] = bitcast<u32>(front.y);
        kv[to + distance] = bitcast<u32>(back.x);
        kv[to + distance + 1u] = bitcast<u32>(back.y);
        return;
    }
    let to = base + (row * p.head_dim + d) / 2u;
    kv[to] = pack2x16float(front);
    kv[to + distance / 2u] = pack2x16float(back);
}

@compute @workgroup_size(WG)
fn main(at: Invocation) {
    var first = at.group.x * 8u;
    var distance = 4u; // from the first four rows to the other four
    if (EPILOGUE == 2u) {
        distance = p.head_dim / 2u;
        let per_head = distance / 4u;
        first = (at.group.x / per_head) * p.head_dim + (at.group.x % per_head) * 4u;
    } else if (EPILOGUE == 3u) {
        distance = p.rows / 2u;
        first = at.group.x * 4u;
    }
    let last = p.rows - 1u;
    // Rows past the end repeat the last one; nothing is stored for them.
    let r0 = min(first, last);
    let r1 = min(first + 1u, last);
    let r2 = min(first + 2u, last);
    let r3 = min(first + 3u, last);
    let r4 = min(first + distance, last);
    let r5 = min(first + distance + 1u, last);
    let r6 = min(first + distance + 2u, last);
    let r7 = min(first + distance + 3u, last);
    // Where each row begins, in units.
    let w0 = r0 * p.units;
    let w1 = r1 * p.units;
    let w2 = r2 * p.units;
    let w3 = r3 * p.units;
    let w4 = r4 * p.units;
    let w5 = r5 * p.units;
    let w6 = r6 * p.units;
    let w7 = r7 * p.units;

    var front = array<vec4<f32>, 8>();
    var back = array<vec4<f32>, 8>();
    for (var block = at.lane * SPAN; block < p.units; block += WG * SPAN) {
        let s = vec4<f32>(weight_scale(w0 + block), weight_scale(w1 + block), weight_scale(w2 + block), weight_scale(w3 + block));
        let t = vec4<f32>(weight_scale(w4 + block), weight_scale(w5 + block), weight_scale(w6 + block), weight_scale(w7 + block));
        for (var u = block; u < block + SPAN; u++) {
            let u0 = weight_unit(w0 + u);
            let u1 = weight_unit(w1 + u);
            let u2 = weight_unit(w2 + u);
            let u3 = weight_unit(w3 + u);
            let u4 = weight_unit(w4 + u);
            let u5 = weight_unit(w5 + u);
            let u6 = weight_unit(w6 + u);
            let u7 = weight_unit(w7 + u);
            for (var c = 0u; c < COLS; c++) {
                let k = 2u * (c * p.units + u);
                let lo = h[k];
                let hi = h[k + 1u];
                front[c] += s * vec4<f32>(unit_dot(u0, lo, hi), unit_dot(u1, lo, hi), unit_dot(u2, lo, hi), unit_dot(u3, lo, hi));
                back[c] += t * vec4<f32>(unit_dot(u4, lo, hi), unit_dot(u5, lo, hi), unit_dot(u6, lo, hi), unit_dot(u7, lo, hi));
            }
        }
    }
    if (HLORA) {
        for (var c = 0u; c < COLS; c++) {
            let router = c * (p.rank + EXPERTS) + p.rank;
            var top = z[router];
            for (var e = 1u; e < EXPERTS; e++) {
                top = max(top, z[router + e]);
            }
            for (var e = at.lane; e < EXPERTS; e += WG) {
                raised[c * EXPERTS + e] = exp(z[router + e] - top);
            }
        }
        workgroupBarrier();
        var inverse = array<f32, 8>();
        for (var c = 0u; c < COLS; c++) {
            var total = 0.0;
            for (var e = 0u; e < EXPERTS; e++) {
                total += raised[c * EXPERTS + e];
            }
            inverse[c] = 1.0 / total;
        }
        let b0 = r0 * p.b_units;
        let b1 = r1 * p.b_units;
        let b2 = r2 * p.b_units;
        let b3 = r3 * p.b_units;
        let b4 = r4 * p.b_units;
        let b5 = r5 * p.b_units;
        let b6 = r6 * p.b_units;
        let b7 = r7 * p.b_units;
        for (var u = at.lane; u < p.b_units; u += WG) {
            let s = vec4<f32>(b_scale_of(b0 + u), b_scale_of(b1 + u), b_scale_of(b2 + u), b_scale_of(b3 + u));
            let t = vec4<f32>(b_scale_of(b4 + u), b_scale_of(b5 + u), b_scale_of(b6 + u), b_scale_of(b7 + u));
            let u0 = b_unit(b0 + u);
            let u1 = b_unit(b1 + u);
            let u2 = b_unit(b2 + u);
            let u3 = b_unit(b3 + u);
            let u4 = b_unit(b4 + u);
            let u5 = b_unit(b5 + u);
            let u6 = b_unit(b6 + u);
            let u7 = b_unit(b7 + u);
            for (var c = 0u; c < COLS; c++) {
                let lo = gate_vec(c, 8u * u, inverse[c]);
                let hi = gate_vec(c, 8u * u + 4u, inverse[c]);
                front[c] += s * vec4<f32>(unit_dot(u0, lo, hi), unit_dot(u1, lo, hi), unit_dot(u2, lo, hi), unit_dot(u3, lo, hi));
                back[c] += t * vec4<f32>(unit_dot(u4, lo, hi), unit_dot(u5, lo, hi), unit_dot(u6, lo, hi), unit_dot(u7, lo, hi));
            }
        }
    }
    for (var c = 0u; c < COLS; c++) {
        for (var i = 0u; i < 4u; i++) {
            reduce_put(at, c * 8u + i, front[c][i]);
            reduce_put(at, c * 8u + 4u + i, back[c][i]);
        }
    }
    workgroupBarrier();

    if (EPILOGUE == 2u) {
        for (var item = at.lane; item < 2u * COLS; item += WG) {
            rope_epilogue(at, item / 2u, item % 2u, first, distance);
        }
    } else if (EPILOGUE == 3u) {
        for (var item = at.lane; item < 4u * COLS; item += WG) {
            let c = item / 4u;
            let i = item % 4u;
            if (first + i < distance) {
                let gated = sum_of(at, c, i, first + i);
                let up = sum_of(at, c, 4u + i, first + distance + i);
                y[c * p.y_stride + p.row0 + first + i] = up * gated / (1.0 + exp(-gated));
            }
        }
    } else {
        for (var item = at.lane; item < 8u * COLS; item += WG) {
            let c = item / 8u;
            let row = first + item % 8u;
            if (row < p.rows) {
                let sum = sum_of(at, c, item % 8u, row);
                let to = c * p.y_stride + p.row0 + row;
                if (EPILOGUE == 1u) {
                    y[to] += sum;
                } else {
                    y[to] = sum;
                }
            }
        }
    }
}
