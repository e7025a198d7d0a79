// q[c, head, :] = rotate(qkv_q), and keys (rotated) and values go to the cache at the column's position:
//   rotate(x)[d] = x[d] cos - x[d + half] sin,   rotate(x)[d + half] = x[d + half] cos + x[d] sin     (half = head_dim / 2)
// override KV, what is cached: 0 f16, 1 int8 with one f16 scale a row (its largest magnitude / 127), 2 f32.
// binding 0  p        sizes                                                       uniform
// binding 1  qkv      [columns, stride]   f32: heads of q, then k, then v         read
// binding 2  columns  [columns]           what each column is                     read
// binding 3  rope     [positions, half]   cosine and sine                         read
// binding 4  kv       keys, values, each [slots, kv_heads, capacity, head_dim], one (f32), two (f16) or four (q8) per
//                     u32; then, only q8, a scale for each of their rows, one per u32             read_write
// binding 5  q        [columns, q_stride] f32                                     read_write
// Launcher: engine/src/gpu/rope_kv.rs. One workgroup per head (of q, k and v) and column.

struct Params {
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    capacity: u32,
    stride: u32,
    q_stride: u32,
    values: u32,     // where values begin in kv, in u32
    scales: u32,     // where scales begin in kv, in u32
}

struct Column {
    token: u32,
    position: u32,
    slot: u32,
    step: u32,
}

override KV: u32 = 0u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> columns: array<Column>;
@group(0) @binding(3) var<storage, read> rope: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> kv: array<u32>;
@group(0) @binding(5) var<storage, read_write> q: array<f32>;

fn turned(start: u32, d: u32, position: u32, turn: bool) -> f32 {
    let half = p.head_dim / 2u;
    let x = qkv[start + d];
    if (!turn) {
        return x;
    }
    let angle = rope[position * half + d % half];
    if (d < half) {
        return x * angle.x - qkv[start + d + half] * angle.y;
    }
    return x * angle.x + qkv[start + d - half] * angle.y;
}

@compute @workgroup_size(WG)
fn main(at: Invocation) {
    let head = at.group.x;
    let c = at.group.y;
    let column = columns[c];
    let start = c * p.stride + head * p.head_dim;
    let turn = head < p.heads + p.kv_heads;
    if (head < p.heads) {
        for (var d = at.lane; d < p.head_dim; d += WG) {
            q[c * p.q_stride + head * p.head_dim + d] = turned(start, d, column.position, turn);
        }
        return;
    }
    var cached = head - p.heads;
    var base = 0u;
    if (cached >= p.kv_heads) {
        cached -= p.kv_heads;
        base = p.values;
    }
    let row = (column.slot * p.kv_heads + cached) * p.capacity + column.position;
    if (KV == 2u) {
        for (var d = at.lane; d < p.head_dim; d += WG) {
            kv[base + row * p.head_dim + d] = bitcast<u32>(turned(start, d, column.position, turn));
        }
        return;
    }
    if (KV == 0u) {
        for (var i = at.lane; i < p.head_dim / 2u; i += WG) {
            let pair = vec2<f32>(turned(start, 2u * i, column.position, turn), turned(start, 2u * i + 1u, column.position, turn));
            kv[base + row * (p.head_dim / 2u) + i] = pack2x16float(pair);
        }
        return;
    }
    var largest = 0.0;
    for (var d = at.lane; d < p.head_dim; d += WG) {
        largest = max(largest, abs(turned(start, d, column.position, turn)));
    }
    reduce_put_max(at, 0u, largest);
    reduce_wait();
    // The scale is rounded to f16 first, so that what is read back is q times the same number.
    let stored = pack2x16float(vec2<f32>(reduce_get_max(at, 0u) / 127.0, 0.0));
    let scale = unpack2x16float(stored).x;
    var inverse = 0.0;
    if (scale > 0.0) {
        inverse = 1.0 / scale;
    }
    for (var i = at.lane; i < p.head_dim / 4u; i += WG) {
        var word = 0u;
        for (var j = 0u; j < 4u; j++) {
            let level = clamp(round(turned(start, 4u * i + j, column.position, turn) * inverse), -127.0, 127.0);
            word |= (bitcast<u32>(i32(level)) & 0xffu) << (8u * j);
        }
        kv[base + row * (p.head_dim / 4u) + i] = word;
    }
    if (at.lane == 0u) {
        kv[p.scales + base / (p.head_dim / 4u) + row] = stored;
    }
}
