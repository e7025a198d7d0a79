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

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Shape, Tensor, TensorData};

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

/// A result in the graph, behind the inputs that `nodes` stand for; `state` is what its derivative needs.
fn recorded<Op: Backward<Flex, N>, const N: usize, const D: usize>(
    op: Op,
    nodes: [NodeGuard; N],
    state: Op::State,
    y: FlexTensor,
) -> Tensor<D> {
    let prepared = op.prepare::<NoCheckpointing>(nodes).compute_bound();
    let y = match prepared.stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state, y),
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    };
    Tensor::from_primitive::<Training>(y)
}

/// Hands gradients on to the inputs: `of` makes theirs, in their order and with their shapes, of the state and the result's.
fn handed_on<S, const N: usize, const M: usize>(
    ops: Ops<S, N>,
    grads: &mut Gradients,
    of: impl FnOnce(&S, &[f32]) -> [(Vec<f32>, Shape); M],
) {
    let dy = grads.consume::<Flex>(&ops.node);
    let found = with_values(&dy, |dy| of(&ops.state, dy));
    for (parent, (values, shape)) in ops.parents.into_iter().zip(found) {
        if let Some(parent) = parent {
            let gradient = FlexTensor::from_data(TensorData::new(values, shape));
            grads.register::<Flex>(parent.id, gradient);
        }
    }
}
