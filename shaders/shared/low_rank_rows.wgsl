
// low_rank_rows: B of a plug-in, [rows, b_units], f16 or q8 (PLUGIN_Q8), from the bindings `b` and `b_scale` of the kernel before this.
// Put after kernels that add a low-rank term.

// A unit of 8 weights, without its scale.
fn b_unit(unit: u32) -> Unit {
    if (PLUGIN_Q8) {
        let w = b[unit];
        return Unit(vec4<f32>(unpack4xI8(w.x)), vec4<f32>(unpack4xI8(w.y)));
    }
    let first = b[2u * unit];
    let second = b[2u * unit + 1u];
    return Unit(vec4<f32>(unpack2x16float(first.x), unpack2x16float(first.y)),
        vec4<f32>(unpack2x16float(second.x), unpack2x16float(second.y)));
}

// Of the block in which a unit lies.
fn b_scale_of(unit: u32) -> f32 {
    if (PLUGIN_Q8) {
        let block = unit >> 2u;
        let pair = unpack2x16float(b_scale[block >> 1u]);
        return select(pair.x, pair.y, (block & 1u) == 1u);
    }
    return 1.0;
}
