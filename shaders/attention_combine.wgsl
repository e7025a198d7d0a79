// y[c, head, d] = sum_i exp(m_i - m) * o_i[d] / sum_i exp(m_i - m) * l_i,   m = max_i m_i      over the shares i of a head
// override SPLITS: shares of the keys.
// binding 0  p     sizes                                                 uniform
// binding 1  part  [columns, heads, SPLITS, head_dim + 2]  o, m, l       read
// binding 2  y     [columns, heads * head_dim]  f32                      read_write
// Launcher: engine/src/gpu/attention_combine.rs. One workgroup per head and column.

struct Params {
    head_dim: u32,
    y_stride: u32,
}

override WG: u32 = 64u;
override SPLITS: u32 = 1u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let head = group.x;
    let c = group.y;
    let stride = p.head_dim + 2u;
    let first = (c * groups.x + head) * SPLITS * stride;
    var m = -1e30;
    for (var i = 0u; i < SPLITS; i++) {
        m = max(m, part[first + i * stride + p.head_dim]);
    }
    var l = 0.0;
    for (var i = 0u; i < SPLITS; i++) {
        let share = first + i * stride + p.head_dim;
        l += exp(part[share] - m) * part[share + 1u];
    }
    for (var d = lane; d < p.head_dim; d += WG) {
        var sum = 0.0;
        for (var i = 0u; i < SPLITS; i++) {
            let share = first + i * stride;
            sum += exp(part[share + p.head_dim] - m) * part[share + d];
        }
        y[c * p.y_stride + head * p.head_dim + d] = sum / l;
    }
}
