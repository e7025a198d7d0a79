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
// override GROUPS: groups of 8 rows that share a reading of h, 1 or 2.
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
// Launcher: engine/src/gpu/hlora_expand.rs. One workgroup per GROUPS times 8 rows (4 and their 4
// partners for rope and swiglu).

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
override GROUPS: u32 = 1u;
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

// One of the eight sums of a group and column, in the order of the rows; bias is added where a sum is used.
fn sum_of(at: Invocation, sums: u32, i: u32, row: u32) -> f32 {
    let sum = reduce_get(at, sums * 8u + i);
    if (BIAS) {
        return sum + bias[row];
    }
    return sum;
}

// Rows first + 2 i, first + 2 i + 1 (i = 0, 1) of a head and their partners half a head further.
fn rope_epilogue(at: Invocation, sums: u32, i: u32, first: u32, distance: u32) {
    let c = sums % COLS;
    let x0 = sum_of(at, sums, 2u * i, first + 2u * i);
    let x1 = sum_of(at, sums, 2u * i + 1u, first + 2u * i + 1u);
    let y0 = sum_of(at, sums, 4u + 2u * i, first + distance + 2u * i);
    let y1 = sum_of(at, sums, 5u + 2u * i, first + distance + 2u * i + 1u);
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

// From the first four rows of a group to the other four.
fn apart() -> u32 {
    if (EPILOGUE == 2u) {
        return p.head_dim / 2u;
    }
    if (EPILOGUE == 3u) {
        return p.rows / 2u;
    }
    return 4u;
}

// The first row of a group.
fn first_of(group: u32) -> u32 {
    if (EPILOGUE == 2u) {
        let per_head = p.head_dim / 8u;
        return (group / per_head) * p.head_dim + (group % per_head) * 4u;
    }
    if (EPILOGUE == 3u) {
        return group * 4u;
    }
    return group * 8u;
}

// Rows past the end repeat the last one; nothing is stored for them.
fn within(row: u32) -> u32 {
    return min(row, p.rows - 1u);
}

@compute @workgroup_size(WG)
fn main(at: Invocation) {
    let group = at.group.x * GROUPS;
    let distance = apart();
    if (HLORA) {
        // Ahead of the sums: a barrier with those alive costs a software adapter, which then keeps them for every lane, more than
        // all that is added here.
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
    }
    // By group and column: the first four rows, and their partners.
    var front = array<vec4<f32>, 16>();
    var back = array<vec4<f32>, 16>();
    for (var block = at.lane * SPAN; block < p.units; block += WG * SPAN) {
        var s = array<vec4<f32>, 2>();
        var t = array<vec4<f32>, 2>();
        for (var g = 0u; g < GROUPS; g++) {
            let r = first_of(group + g);
            s[g] = vec4<f32>(weight_scale(within(r) * p.units + block), weight_scale(within(r + 1u) * p.units + block),
                weight_scale(within(r + 2u) * p.units + block), weight_scale(within(r + 3u) * p.units + block));
            let q = r + distance;
            t[g] = vec4<f32>(weight_scale(within(q) * p.units + block), weight_scale(within(q + 1u) * p.units + block),
                weight_scale(within(q + 2u) * p.units + block), weight_scale(within(q + 3u) * p.units + block));
        }
        for (var u = block; u < block + SPAN; u++) {
            var lo = array<vec4<f32>, 8>();
            var hi = array<vec4<f32>, 8>();
            for (var c = 0u; c < COLS; c++) {
                let k = 2u * (c * p.units + u);
                lo[c] = h[k];
                hi[c] = h[k + 1u];
            }
            for (var g = 0u; g < GROUPS; g++) {
                let r = first_of(group + g);
                let q = r + distance;
                let w0 = weight_unit(within(r) * p.units + u);
                let w1 = weight_unit(within(r + 1u) * p.units + u);
                let w2 = weight_unit(within(r + 2u) * p.units + u);
                let w3 = weight_unit(within(r + 3u) * p.units + u);
                let w4 = weight_unit(within(q) * p.units + u);
                let w5 = weight_unit(within(q + 1u) * p.units + u);
                let w6 = weight_unit(within(q + 2u) * p.units + u);
                let w7 = weight_unit(within(q + 3u) * p.units + u);
                for (var c = 0u; c < COLS; c++) {
                    let i = g * COLS + c;
                    front[i] += s[g] * vec4<f32>(unit_dot(w0, lo[c], hi[c]), unit_dot(w1, lo[c], hi[c]),
                        unit_dot(w2, lo[c], hi[c]), unit_dot(w3, lo[c], hi[c]));
                    back[i] += t[g] * vec4<f32>(unit_dot(w4, lo[c], hi[c]), unit_dot(w5, lo[c], hi[c]),
                        unit_dot(w6, lo[c], hi[c]), unit_dot(w7, lo[c], hi[c]));
                }
            }
        }
    }
    if (HLORA) {
        var inverse = array<f32, 8>();
        for (var c = 0u; c < COLS; c++) {
            var total = 0.0;
            for (var e = 0u; e < EXPERTS; e++) {
                total += raised[c * EXPERTS + e];
            }
            inverse[c] = 1.0 / total;
        }
        for (var u = at.lane; u < p.b_units; u += WG) {
            var lo = array<vec4<f32>, 8>();
            var hi = array<vec4<f32>, 8>();
            for (var c = 0u; c < COLS; c++) {
                lo[c] = gate_vec(c, 8u * u, inverse[c]);
                hi[c] = gate_vec(c, 8u * u + 4u, inverse[c]);
            }
            for (var g = 0u; g < GROUPS; g++) {
                let r = first_of(group + g);
                let q = r + distance;
                let b0 = within(r) * p.b_units + u;
                let b1 = within(r + 1u) * p.b_units + u;
                let b2 = within(r + 2u) * p.b_units + u;
                let b3 = within(r + 3u) * p.b_units + u;
                let b4 = within(q) * p.b_units + u;
                let b5 = within(q + 1u) * p.b_units + u;
                let b6 = within(q + 2u) * p.b_units + u;
                let b7 = within(q + 3u) * p.b_units + u;
                let s = vec4<f32>(b_scale_of(b0), b_scale_of(b1), b_scale_of(b2), b_scale_of(b3));
                let t = vec4<f32>(b_scale_of(b4), b_scale_of(b5), b_scale_of(b6), b_scale_of(b7));
                let w0 = b_unit(b0);
                let w1 = b_unit(b1);
                let w2 = b_unit(b2);
                let w3 = b_unit(b3);
                let w4 = b_unit(b4);
                let w5 = b_unit(b5);
                let w6 = b_unit(b6);
                let w7 = b_unit(b7);
                for (var c = 0u; c < COLS; c++) {
                    let i = g * COLS + c;
                    front[i] += s * vec4<f32>(unit_dot(w0, lo[c], hi[c]), unit_dot(w1, lo[c], hi[c]),
                        unit_dot(w2, lo[c], hi[c]), unit_dot(w3, lo[c], hi[c]));
                    back[i] += t * vec4<f32>(unit_dot(w4, lo[c], hi[c]), unit_dot(w5, lo[c], hi[c]),
                        unit_dot(w6, lo[c], hi[c]), unit_dot(w7, lo[c], hi[c]));
                }
            }
        }
    }
    for (var i = 0u; i < GROUPS * COLS; i++) {
        for (var j = 0u; j < 4u; j++) {
            reduce_put(at, i * 8u + j, front[i][j]);
            reduce_put(at, i * 8u + 4u + j, back[i][j]);
        }
    }
    workgroupBarrier();

    if (EPILOGUE == 2u) {
        for (var item = at.lane; item < 2u * GROUPS * COLS; item += WG) {
            let first = first_of(group + item / (2u * COLS));
            if (first < p.rows) {
                rope_epilogue(at, item / 2u, item % 2u, first, distance);
            }
        }
    } else if (EPILOGUE == 3u) {
        for (var item = at.lane; item < 4u * GROUPS * COLS; item += WG) {
            let i = item / 4u;
            let c = i % COLS;
            let row = first_of(group + i / COLS) + item % 4u;
            if (row < distance) {
                let gated = sum_of(at, i, item % 4u, row);
                let up = sum_of(at, i, 4u + item % 4u, distance + row);
                y[c * p.y_stride + p.row0 + row] = up * gated / (1.0 + exp(-gated));
            }
        }
    } else {
        for (var item = at.lane; item < 8u * GROUPS * COLS; item += WG) {
            let i = item / 8u;
            let c = i % COLS;
            let row = first_of(group + i / COLS) + item % 8u;
            if (row < p.rows) {
                let sum = sum_of(at, i, item % 8u, row);
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
