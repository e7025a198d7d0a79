enable wgpu_cooperative_matrix;
// cooperative: an adapter's matrices of 8 x 8, products and sums of f32.
// Put first, ahead of kernels that multiply by them.

alias Element = f32;
alias MatrixA = coop_mat8x8<f32, A>;
alias MatrixB = coop_mat8x8<f32, B>;
alias MatrixC = coop_mat8x8<f32, C>;
const SIDE: u32 = 8u;
const DEPTH: u32 = 16u;
const ELEMENT_BYTES: u32 = 4u;

fn element(x: f32) -> f32 {
    return x;
}

