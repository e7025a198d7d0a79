// weights in f16: a unit of 8 weights is one vec4<u32>, two weights per u32, the earlier one in the low half.
// binding 1  weights  [rows, units]  4 u32 per unit   read
// Works without SHADER_F16. Put before kernels that read a large weight matrix.

@group(0) @binding(1) var<storage, read> weights: array<vec4<u32>>;

struct Unit { lo: vec4<f32>, hi: vec4<f32> }

fn weight_unit(unit: u32) -> Unit {
    let w = weights[unit];
    let lo = vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
    let hi = vec4<f32>(unpack2x16float(w.z), unpack2x16float(w.w));
    return Unit(lo, hi);
}

fn weight_scale(unit: u32) -> f32 {
    return 1.0;
}
