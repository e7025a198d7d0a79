// weights in q4: blocks of 32 four-bit numbers with one f16 scale; a unit of 8 weights is one u32: weight i < 4 in the low
// half of byte i, weight 4 + i in its high half.
// w = scale * (q - 8)
// binding 1  weights  [rows, units]      1 u32 per unit           read
// binding 2  scales   [rows, units / 4]  f16, two per u32         read
// Put before kernels that read a large weight matrix.

@group(0) @binding(1) var<storage, read> weights: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;

struct Unit { lo: vec4<f32>, hi: vec4<f32> }

// A unit without its scale.
fn weight_unit(unit: u32) -> Unit {
    let w = weights[unit];
    let lo = vec4<f32>(unpack4xU8(w & 0x0f0f0f0fu)) - 8.0;
    let hi = vec4<f32>(unpack4xU8((w >> 4u) & 0x0f0f0f0fu)) - 8.0;
    return Unit(lo, hi);
}

// Of the block in which a unit lies.
fn weight_scale(unit: u32) -> f32 {
    let block = unit >> 2u;
    let pair = unpack2x16float(scales[block >> 1u]);
    return select(pair.x, pair.y, (block & 1u) == 1u);
}
