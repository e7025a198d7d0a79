// Flash decoding: a share of the keys for one query head of one column, with its own maximum m and sum l:
//   m = max_j s_j,  l = sum_j exp(s_j - m),  o[d] = sum_j exp(s_j - m) * v[j, d],   s_j = scale * q . k_j
// Keys j of the column's own sequence, from max(0, position - window) to position. Grouped heads share keys and values.
// override HEAD_DIM: 8 to 128, a multiple of 8.  override KV: the cache is 0 f16, 1 q8 or 2 f32.
// binding 0  p        sizes                                       uniform
// binding 1  q        [columns, heads * HEAD_DIM]  f32            read
// binding 2  kv       keys, then values: see rope_kv.wgsl         read
// binding 3  columns  [columns]   what each column is             read
// binding 4  part     [columns, heads, splits, HEAD_DIM + 2]  o, m, l   read_write
// Launcher: engine/src/gpu/attention_decode.rs. One workgroup per head, split and column; a share without keys has l = 0.

struct Params {
    heads: u32,
    kv_heads: u32,
    capacity: u32,   // positions in the cache
    values: u32,     // where values begin in kv, in u32
    scales: u32,     // where their scales begin, in u32; only q8
    window: u32,     // keys visible besides the query's own
    least: u32,      // keys in a share, at least
    scale: f32,
}

struct Column {
    token: u32,
    position: u32,
    slot: u32,
    step: u32,
}

override HEAD_DIM: u32 = 96u;
override KV: u32 = 0u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> kv: array<u32>;
@group(0) @binding(3) var<storage, read> columns: array<Column>;
@group(0) @binding(4) var<storage, read_write> part: array<f32>;

var<workgroup> query: array<f32, HEAD_DIM>;
var<workgroup> score: array<f32, WG>;

// Two neighbouring elements of a cached row; `row` counts rows of HEAD_DIM elements from the first key.
fn cached(base: u32, scales: u32, row: u32, pair: u32) -> vec2<f32> {
    if (KV == 2u) {
        let first = base + row * HEAD_DIM + 2u * pair;
        return vec2<f32>(bitcast<f32>(kv[first]), bitcast<f32>(kv[first + 1u]));
    }
    if (KV == 1u) {
        let word = kv[base + row * (HEAD_DIM / 4u) + pair / 2u];
        let both = select(word, word >> 16u, (pair & 1u) == 1u);
        let scale = unpack2x16float(kv[scales + row]).x;
        let whole = unpack4xI8(both);
        return scale * vec2<f32>(f32(whole.x), f32(whole.y));
    }
    return unpack2x16float(kv[base + row * (HEAD_DIM / 2u) + pair]);
}

@compute @workgroup_size(WG)
fn main(at: Invocation) {
    let head = at.group.x;
    let split = at.group.y;
    let splits = at.groups.y;
    let c = at.group.z;
    let column = columns[c];
    let end = column.position + 1u;
    var begin = 0u;
    if (column.position > p.window) {
        begin = column.position - p.window;
    }
    let share = max((end - begin + splits - 1u) / splits, p.least);
    let start = min(begin + split * share, end);
    let to = min(start + share, end);

    for (var d = at.lane; d < HEAD_DIM; d += WG) {
        query[d] = q[(c * p.heads + head) * HEAD_DIM + d] * p.scale;
    }
    reduce_wait();

    let first_row = (column.slot * p.kv_heads + head / (p.heads / p.kv_heads)) * p.capacity;
    let value_scales = p.scales + p.values / (HEAD_DIM / 4u);
    var o = array<vec2<f32>, 8>();   // pairs lane, lane + WG, ... of this head
    var m = -1e30;
    var l = 0.0;
    for (var tile = start; tile < to; tile += WG) {
        let key = tile + at.lane;
        var s = -1e30;
        if (key < to) {
            var sum = vec2<f32>(0.0, 0.0);
            for (var pair = 0u; pair < HEAD_DIM / 2u; pair++) {
                sum += cached(0u, p.scales, first_row + key, pair) * vec2<f32>(query[2u * pair], query[2u * pair + 1u]);
            }
            s = sum.x + sum.y;
        }
        reduce_put_max(at, 0u, s);
        reduce_wait();
        let top = max(m, reduce_get_max(at, 0u));
        var weight = 0.0;
        if (key < to) {
            weight = exp(s - top);
        }
        score[at.lane] = weight;
        reduce_wait(); // score is whole, and nobody reads the maxima any more
        reduce_put(at, 0u, weight);
        reduce_wait();
        let shrink = exp(m - top);
        l = l * shrink + reduce_get(at, 0u);
        m = top;
        let count = min(WG, to - tile);
        var i = 0u;
        for (var pair = at.lane; pair < HEAD_DIM / 2u; pair += WG) {
            var sum = o[i] * shrink;
            for (var j = 0u; j < count; j++) {
                sum += score[j] * cached(p.values, value_scales, first_row + tile + j, pair);
            }
            o[i] = sum;
            i += 1u;
        }
        reduce_wait(); // before score and the sums are written again
    }
    let out = ((c * p.heads + head) * splits + split) * (HEAD_DIM + 2u);
    var i = 0u;
    for (var pair = at.lane; pair < HEAD_DIM / 2u; pair += WG) {
        part[out + 2u * pair] = o[i].x;
        part[out + 2u * pair + 1u] = o[i].y;
        i += 1u;
    }
    if (at.lane == 0u) {
        part[out + HEAD_DIM] = m;
        part[out + HEAD_DIM + 1u] = l;
    }
}
