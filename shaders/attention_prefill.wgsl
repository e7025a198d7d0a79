// y[t, head, d] = sum_j softmax_j(scale * q[t, head] . k[j, kv_head]) * v[j, kv_head, d]
// for blocks of 8 neighbouring columns t of one sequence, which share the keys they read; key j is visible when
// position - window <= j <= position.
// override HEAD_DIM: 8 to 128, a multiple of 8.  override KV: the cache is 0 f16, 1 q8 or 2 f32.
// binding 0  p        sizes                                      uniform
// binding 1  q        [columns, heads * HEAD_DIM]  f32           read
// binding 2  kv       keys, then values: see rope_kv.wgsl        read
// binding 3  columns  [columns]  what each column is             read
// binding 4  y        [columns, y_stride]  f32                   read_write
// Launcher: engine/src/gpu/attention_prefill.rs. One workgroup per head and block.

struct Params {
    heads: u32,
    kv_heads: u32,
    capacity: u32,   // positions in the cache
    values: u32,     // where values begin in kv, in u32
    scales: u32,     // where their scales begin, in u32; only q8
    window: u32,     // keys visible besides the query's own
    count: u32,      // columns
    scale: f32,
    y_stride: u32,
}

struct Column {
    token: u32,
    position: u32,
    slot: u32,
    step: u32,
}

override HEAD_DIM: u32 = 96u;
override KV: u32 = 0u;
override QUERY: u32 = 768u;   // 8 * HEAD_DIM
override SCORES: u32 = 512u;  // 8 * WG

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> kv: array<u32>;
@group(0) @binding(3) var<storage, read> columns: array<Column>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

var<workgroup> query: array<f32, QUERY>;   // [8, HEAD_DIM]
var<workgroup> score: array<f32, SCORES>;  // [8, WG]

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

fn first_visible(position: u32) -> u32 {
    if (position > p.window) {
        return position - p.window;
    }
    return 0u;
}

@compute @workgroup_size(WG)
fn main(at: Invocation) {
    let head = at.group.x;
    let block = at.group.y * 8u;
    let rows = min(8u, p.count - block);
    let first = columns[block];
    let end = columns[block + rows - 1u].position + 1u;
    for (var i = at.lane; i < 8u * HEAD_DIM; i += WG) {
        // Rows past the end repeat the last one; nothing is stored for them.
        let t = block + min(i / HEAD_DIM, rows - 1u);
        query[i] = q[(t * p.heads + head) * HEAD_DIM + i % HEAD_DIM] * p.scale;
    }
    reduce_wait();
    let first_row = (first.slot * p.kv_heads + head / (p.heads / p.kv_heads)) * p.capacity;
    let value_scales = p.scales + p.values / (HEAD_DIM / 4u);
    var o = array<vec2<f32>, 64>();   // [8 pairs of this lane, 8 queries]
    var m = array<f32, 8>(-1e30, -1e30, -1e30, -1e30, -1e30, -1e30, -1e30, -1e30);
    var l = array<f32, 8>();
    for (var tile = first_visible(first.position); tile < end; tile += WG) {
        let key = tile + at.lane;
        var s = array<f32, 8>();
        if (key < end) {
            for (var pair = 0u; pair < HEAD_DIM / 2u; pair++) {
                let k = cached(0u, p.scales, first_row + key, pair);
                for (var t = 0u; t < 8u; t++) {
                    s[t] += k.x * query[t * HEAD_DIM + 2u * pair] + k.y * query[t * HEAD_DIM + 2u * pair + 1u];
                }
            }
        }
        for (var t = 0u; t < 8u; t++) {
            let position = first.position + min(t, rows - 1u);
            if (key > position || key < first_visible(position)) {
                s[t] = -1e30;
            }
            reduce_put_max(at, t, s[t]);
        }
        reduce_wait();
        var shrink = array<f32, 8>();
        for (var t = 0u; t < 8u; t++) {
            let top = max(m[t], reduce_get_max(at, t));
            shrink[t] = exp(m[t] - top);
            m[t] = top;
            s[t] = select(0.0, exp(s[t] - top), s[t] > -1e29);
            score[t * WG + at.lane] = s[t];
        }
        reduce_wait(); // score is whole, and nobody reads the maxima any more
        for (var t = 0u; t < 8u; t++) {
            reduce_put(at, t, s[t]);
        }
        reduce_wait();
        for (var t = 0u; t < 8u; t++) {
            l[t] = l[t] * shrink[t] + reduce_get(at, t);
        }
        let count = min(WG, end - tile);
        var i = 0u;
        for (var pair = at.lane; pair < HEAD_DIM / 2u; pair += WG) {
            for (var t = 0u; t < 8u; t++) {
                o[i * 8u + t] *= shrink[t];
            }
            for (var j = 0u; j < count; j++) {
                let v = cached(p.values, value_scales, first_row + tile + j, pair);
                for (var t = 0u; t < 8u; t++) {
                    o[i * 8u + t] += score[t * WG + j] * v;
                }
            }
            i += 1u;
        }
        reduce_wait(); // before score and the sums are written again
    }
    var i = 0u;
    for (var pair = at.lane; pair < HEAD_DIM / 2u; pair += WG) {
        for (var t = 0u; t < rows; t++) {
            let to = (block + t) * p.y_stride + head * HEAD_DIM + 2u * pair;
            y[to] = o[i * 8u + t].x / l[t];
            y[to + 1u] = o[i * 8u + t].y / l[t];
        }
        i += 1u;
    }
}
