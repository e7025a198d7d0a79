// y[c, row] = sum_k W[row, k] * h[c, k] + bias[row] + sum_j B[row, j] * softmax(z_R[c])[j / per_expert] * z_A[c, j]
// (the right half of Eq. 10 and 11; z = [A; R] h is hlora_shrink's, with the scale alpha / rank folded into A)
// override EPILOGUE, what becomes of y:
//   0 store   y[c, row0 + row]
//   1 add     to y[c, row0 + row] (residual stream)
//   2 rope    q: rotated, to y; k: rotated, to the cache; v: to the cache. Rows are those of q, k, v, from head0 on
//   3 swiglu  y[c, row0 + j] = up * silu(gate), gate being row j and up row j + rows / 2
// override HLORA: false where no plug-in sits.  override PLUGIN_Q8: B is q8.  override COLS: columns, 1 to 8.
// override KV_F32: the cache is f32 instead of f16 (a q8 cache needs rope_kv, which sees whole rows).
// override EXPERTS and PER_EXPERT: experts, and how many of the rank each has.
// override B_SPAN: units of B that a lane takes one after the other: 1, 2 or 4 of a block.  override ROUNDS: how often, until all have theirs.
// override ROLLED: rows of B and the reduction are one loop over pairs of rows, never unrolled (for a software adapter: there code
// that runs once is fetched as slowly as two or three times that much in a loop).
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
override B_SPAN: u32 = 1u;
override ROUNDS: u32 = 1u;
override ROLLED: bool = false;

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

fn unit_dot(w: Unit, lo: vec4<f32>, hi: vec4<f32>) -> f32 {
    return dot(w.lo, lo) + dot(w.hi, hi);
}

// The softmax of a column's router: what its exponents are taken from, and one over their sum. Every team of lanes finds it again:
// a barrier ahead of the sums would cost a software adapter more than all that is added here.
struct Router { top: f32, inverse: f32 }

fn router(at: Invocation, c: u32) -> Router {
    let first = c * (p.rank + EXPERTS) + p.rank;
    if (EXPERTS <= team_size(at)) {
        let e = team_lane(at);
        let logit = z[first + min(e, EXPERTS - 1u)];
        let top = team_max(logit);
        return Router(top, 1.0 / team_sum(select(0.0, exp(logit - top), e < EXPERTS)));
    }
    var top = z[first];
    for (var e = team_lane(at); e < EXPERTS; e += team_size(at)) {
        top = max(top, z[first + e]);
    }
    top = team_max(top);
    var total = 0.0;
    for (var e = team_lane(at); e < EXPERTS; e += team_size(at)) {
        total += exp(z[first + e] - top);
    }
    return Router(top, 1.0 / team_sum(total));
}

// An expert's share, by one of its places in the rank.
fn share(c: u32, j: u32, r: Router) -> f32 {
    return exp(z[c * (p.rank + EXPERTS) + p.rank + j / PER_EXPERT] - r.top) * r.inverse;
}

fn z_vec(c: u32, j: u32) -> vec4<f32> {
    let i = c * (p.rank + EXPERTS) + j;
    return vec4<f32>(z[i], z[i + 1u], z[i + 2u], z[i + 3u]);
}

fn gate(c: u32, j: u32, r: Router) -> f32 {
    let i = min(j, p.rank - 1u);
    return z[c * (p.rank + EXPERTS) + i] * share(c, i, r);
}

// Routed z_A of a unit: needed by one lane alone, so it never leaves it. Past the rank B is zero, and any number will do.
fn gates(c: u32, u: u32, r: Router) -> Unit {
    let j = 8u * u;
    if (PER_EXPERT % 8u == 0u) {
        let i = min(j, p.rank - 8u);
        let all = share(c, i, r);
        return Unit(z_vec(c, i) * all, z_vec(c, i + 4u) * all);
    }
    if (PER_EXPERT % 4u == 0u || (PER_EXPERT == 2u && EXPERTS % 2u == 0u)) {
        let i = min(j, p.rank - 4u);
        let k = min(j + 4u, p.rank - 4u);
        var first = vec4<f32>(share(c, i, r));
        var second = vec4<f32>(share(c, k, r));
        if (PER_EXPERT == 2u) {
            first = vec4<f32>(first.xy, vec2<f32>(share(c, i + 2u, r)));
            second = vec4<f32>(second.xy, vec2<f32>(share(c, k + 2u, r)));
        }
        return Unit(z_vec(c, i) * first, z_vec(c, k) * second);
    }
    return Unit(vec4<f32>(gate(c, j, r), gate(c, j + 1u, r), gate(c, j + 2u, r), gate(c, j + 3u, r)),
        vec4<f32>(gate(c, j + 4u, r), gate(c, j + 5u, r), gate(c, j + 6u, r), gate(c, j + 7u, r)));
}

// Those of a lane's i-th unit in a round: nothing where there are fewer units than lanes.
fn lane_gates(at: Invocation, c: u32, round: u32, i: u32, r: Router) -> Unit {
    let u = (round * WG + at.lane) * B_SPAN + i;
    if (u < p.b_units) {
        return gates(c, u, r);
    }
    return Unit();
}

fn w_scales(row: u32, u: u32) -> vec4<f32> {
    return vec4<f32>(weight_scale(within(row) * p.units + u), weight_scale(within(row + 1u) * p.units + u),
        weight_scale(within(row + 2u) * p.units + u), weight_scale(within(row + 3u) * p.units + u));
}

// A unit of each of four rows from `row` on.
struct Rows { w0: Unit, w1: Unit, w2: Unit, w3: Unit }

fn w_rows(row: u32, u: u32) -> Rows {
    return Rows(weight_unit(within(row) * p.units + u), weight_unit(within(row + 1u) * p.units + u),
        weight_unit(within(row + 2u) * p.units + u), weight_unit(within(row + 3u) * p.units + u));
}

fn dots(w: Rows, lo: vec4<f32>, hi: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(unit_dot(w.w0, lo, hi), unit_dot(w.w1, lo, hi), unit_dot(w.w2, lo, hi), unit_dot(w.w3, lo, hi));
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
    // By group and column: the first four rows, and their partners.
    var front = array<vec4<f32>, 16>();
    var back = array<vec4<f32>, 16>();
    for (var block = at.lane * SPAN; block < p.units; block += WG * SPAN) {
        var s = array<vec4<f32>, 2>();
        var t = array<vec4<f32>, 2>();
        for (var g = 0u; g < GROUPS; g++) {
            let r = first_of(group + g);
            s[g] = w_scales(r, block);
            t[g] = w_scales(r + distance, block);
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
                let near = w_rows(r, u);
                let far = w_rows(r + distance, u);
                for (var c = 0u; c < COLS; c++) {
                    front[g * COLS + c] += s[g] * dots(near, lo[c], hi[c]);
                    back[g * COLS + c] += t[g] * dots(far, lo[c], hi[c]);
                }
            }
        }
    }
    // What a lane's units of B are multiplied by in the first round, by unit and column. Further rounds are rare and find theirs again.
    var routers = array<Router, 8>();
    var routed = array<Unit, 32>();
    if (HLORA) {
        for (var c = 0u; c < COLS; c++) {
            routers[c] = router(at, c);
            for (var i = 0u; i < B_SPAN; i++) {
                routed[i * COLS + c] = lane_gates(at, c, 0u, i, routers[c]);
            }
        }
    }
    // There is one workgroup in y, which no compiler can know. (Mesa compiles a loop anew for each value that a uniform gives its end.)
    let pairs = select(4u * GROUPS, 4u * GROUPS * at.groups.y, ROLLED);
    for (var pair = 0u; pair < pairs; pair++) {
        let g = pair / 4u;
        let far = pair / 2u % 2u == 1u;
        let second = pair % 2u == 1u;
        var sums = array<vec2<f32>, 8>();
        for (var c = 0u; c < COLS; c++) {
            var four = select(front[c], back[c], far);
            if (GROUPS == 2u && g == 1u) {
                four = select(front[COLS + c], back[COLS + c], far);
            }
            sums[c] = select(four.xy, four.zw, second);
        }
        if (HLORA) {
            let row = first_of(group + g) + select(0u, distance, far) + select(0u, 2u, second);
            let row0 = within(row) * p.b_units;
            let row1 = within(row + 1u) * p.b_units;
            for (var round = 0u; round < ROUNDS; round++) {
                let block = min((round * WG + at.lane) * B_SPAN, p.b_units - B_SPAN);
                let s = vec2<f32>(b_scale_of(row0 + block), b_scale_of(row1 + block));
                for (var i = 0u; i < B_SPAN; i++) {
                    let w0 = b_unit(row0 + block + i);
                    let w1 = b_unit(row1 + block + i);
                    for (var c = 0u; c < COLS; c++) {
                        var z = routed[i * COLS + c];
                        if (round > 0u) {
                            z = lane_gates(at, c, round, i, routers[c]);
                        }
                        sums[c] += s * vec2<f32>(unit_dot(w0, z.lo, z.hi), unit_dot(w1, z.lo, z.hi));
                    }
                }
            }
        }
        for (var c = 0u; c < COLS; c++) {
            let slot = (g * COLS + c) * 8u + pair % 4u * 2u;
            reduce_put(at, slot, sums[c].x);
            reduce_put(at, slot + 1u, sums[c].y);
        }
    }
    reduce_wait();

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
