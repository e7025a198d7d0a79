// x[c, :] = table[token[c], :]      or, for a column of an image, x[c, :] = features[token[c] without its top bit, :]
// binding 0  p         sizes                                      uniform
// binding 1  table     [rows, units]  f16, two per u32, a shard   read
// binding 2  columns   [columns]      what each column is         read
// binding 3  features  [image tokens, 8 * units]  f32             read
// binding 4  x         [columns, 8 * units]       f32             read_write
// Launcher: engine/src/gpu/embed_gather.rs. One workgroup per column; a shard leaves columns of other shards alone.

struct Params {
    row0: u32,     // first row of this shard
    rows: u32,     // of this shard
    units: u32,    // 8 numbers each
    images: u32,   // 1: this dispatch also copies image features
}

struct Column {
    token: u32,    // top bit: a row of features instead of the table
    position: u32,
    slot: u32,     // which sequence's cache
    step: u32,     // tokens chosen so far
}

override WG: u32 = 64u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> columns: array<Column>;
@group(0) @binding(3) var<storage, read> features: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let c = group.x;
    let token = columns[c].token;
    let image = (token & 0x80000000u) != 0u;
    let row = token & 0x7fffffffu;
    if (image) {
        if (p.images == 1u) {
            for (var k = lane; k < 2u * p.units; k += WG) {
                x[c * 2u * p.units + k] = features[row * 2u * p.units + k];
            }
        }
        return;
    }
    if (row < p.row0 || row - p.row0 >= p.rows) {
        return;
    }
    for (var u = lane; u < p.units; u += WG) {
        let w = table[(row - p.row0) * p.units + u];
        let k = 2u * (c * p.units + u);
        x[k] = vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
        x[k + 1u] = vec4<f32>(unpack2x16float(w.z), unpack2x16float(w.w));
    }
}
