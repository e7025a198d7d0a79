enable f16;
enable wgpu_cooperative_matrix;
// cooperative: an adapter's matrices of 8 x 8, products of f16, sums of f32.
// Put first, ahead of kernels that multiply by them.

alias Element = f16;
alias MatrixA = coop_mat8x8<f16, A>;
alias MatrixB = coop_mat8x8<f16, B>;
alias MatrixC = coop_mat8x8<f32, C>;
const SIDE: u32 = 8u;
const DEPTH: u32 = 32u;
const ELEMENT_BYTES: u32 = 2u;

// Beyond f16's range a value becomes the largest there is, not infinity.
fn element(x: f32) -> f16 {
    return f16(clamp(x, -65504.0, 65504.0));
}

