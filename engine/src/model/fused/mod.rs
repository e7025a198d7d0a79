//! Operations of many passes over memory as one pass, with their derivative: what training on the CPU spends its time on.
//!
//! burn composes softmax, norms and SiLU from elementwise operations, each of which reads and writes the whole tensor, in both
//! directions. These do the same arithmetic in one or two passes. They answer only for f32 tensors of an autodiff device on
//! burn-flex and give `None` for every other: inference, GPUs and half precision keep the composed form, which is also what the
//! tests compare with.

mod activation;
mod conv;
mod cross_entropy;
mod kernels;
mod norm;
mod softmax;

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor};

pub use activation::swish;
pub use conv::conv3x3;
pub use cross_entropy::cross_entropy;
pub use norm::{GroupNormShape, group_norm, row_norm};
pub use softmax::{Visible, softmax};

/// The CPU with gradients.
type Training = Autodiff<Flex>;

/// A tensor of [`Training`] with its place in the graph.
type Tracked = FloatTensor<Training>;

/// The primitive of a tensor that these operations take.
fn tracked<const D: usize>(x: &Tensor<D>) -> Option<Tracked> {
    if x.dtype() != DType::F32 {
        return None;
    }
    x.clone().try_into_primitive::<Training>().ok()
}

/// The values of a contiguous copy, or of the tensor itself where it lies in order.
fn with_values<R>(x: &FlexTensor, f: impl FnOnce(&[f32]) -> R) -> R {
    match x.as_slice::<f32>() {
        Some(values) => f(values),
        None => f(x.to_contiguous().as_slice::<f32>().unwrap_or(&[])),
    }
}
