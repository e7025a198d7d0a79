// weights in q8: blocks of 32 int8 with one f16 scale; a unit of 8 weights is one vec2<u32>, four weights per u32.
// w = scale * q
// binding 1  weights  [rows, units]      2 u32 per unit           read
// binding 2  scales   [rows, units / 4]  f16, two per u32         read
// Put before kernels that read a large weight matrix.

@group(0) @binding(1) var<storage, read> weights: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;

struct Unit { lo: vec4<f32>, hi: vec4<f32> }

// A unit without its scale.
fn weight_unit(unit: u32) -> Unit {
    let w = weights[unit];
    return Unit(vec4<f32>(unpack4xI8(w.x)), vec4<f32>(unpack4xI8(w.y)));
}

// Of the block in which a unit lies.
fn weight_scale(unit: u32) -> f32 {
    let block = unit >> 2u;
    let pair = unpack2x16float(scales[block >> 1u]);
    return select(pair.x, pair.y, (block & 1u) == 1u);
}
