//! Softmax over the last dimension, with what is not visible left out.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, Tensor, TensorData};

use super::kernels::{dot, exp, max};
use super::{handed_on, recorded, tracked, with_values};

/// Which elements of a row count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// All of them.
    All,
    /// In row `i` of every matrix the first `i + n`.
    UpTo(usize),
}

/// Softmax over the last dimension; what is not visible gets 0. Shapes: `[.., rows, columns]` in and out.
pub fn softmax<const D: usize>(x: &Tensor<D>, visible: Visible) -> Option<Tensor<D>> {
    let dims = x.dims();
    let (rows, columns) = (dims[D - 2], dims[D - 1]);
    let shape = x.shape();
    let (x, node) = tracked(x)?.into_parts();
    let y = forward(&x, shape, rows, columns, visible);
    Some(recorded(Softmax, [node], (y.clone(), columns), y))
}

fn forward(
    x: &FlexTensor,
    shape: Shape,
    rows: usize,
    columns: usize,
    visible: Visible,
) -> FlexTensor {
    let values = with_values(x, |x| {
        let mut y = vec![0.0_f32; x.len()];
        let lines = x.chunks_exact(columns).zip(y.chunks_exact_mut(columns));
        for (i, (x, y)) in lines.enumerate() {
            let count = match visible {
                Visible::All => columns,
                Visible::UpTo(first) => (i % rows + first).min(columns),
            };
            let (x, y) = (&x[..count], &mut y[..count]);
            let largest = max(x);
            for (y, x) in y.iter_mut().zip(x) {
                *y = exp(*x - largest);
            }
            let scale = 1.0 / super::kernels::sum_of(y, |v| v);
            for y in y {
                *y *= scale;
            }
        }
        y
    });
    FlexTensor::from_data(TensorData::new(values, shape))
}

#[derive(Debug)]
struct Softmax;

impl Backward<Flex, 1> for Softmax {
    /// The result, and its columns.
    type State = (FlexTensor, usize);

    /// `dx = y (dy - sum(y dy))`, row by row.
    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        handed_on(ops, grads, |(y, columns), dy| {
            let dx = with_values(y, |y| {
                let mut dx = vec![0.0_f32; y.len()];
                let lines = y.chunks_exact(*columns).zip(dy.chunks_exact(*columns));
                for ((y, dy), dx) in lines.zip(dx.chunks_exact_mut(*columns)) {
                    let mean = dot(y, dy);
                    for (dx, (y, dy)) in dx.iter_mut().zip(y.iter().zip(dy)) {
                        *dx = y * (dy - mean);
                    }
                }
                dx
            });
            [(dx, y.layout().shape().clone())]
        });
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Bool, Device, activation};

    use super::*;
    use crate::model::random::Random;

    #[test]
    fn values_and_gradients_are_those_of_the_composed_form() {
        let device = Device::flex().autodiff();
        let mut random = Random(3);
        let mut any = || {
            let values: Vec<f32> = (0..2 * 3 * 5 * 21)
                .map(|_| 8.0 * random.uniform() as f32 - 4.0)
                .collect();
            Tensor::<4>::from_data(TensorData::new(values, [2, 3, 5, 21]), &device)
        };
        let (x, weight) = (any().require_grad(), any());
        let hidden: Vec<bool> = (0..5 * 21).map(|i| i % 21 >= i / 21 + 17).collect();
        let hidden = Tensor::<2, Bool>::from_data(TensorData::new(hidden, [5, 21]), &device);
        let hidden = hidden.reshape([1, 1, 5, 21]).expand([2, 3, 5, 21]);
        let composed = activation::softmax(x.clone().mask_fill(hidden, f32::MIN), 3);
        let fused = softmax(&x, Visible::UpTo(17)).unwrap();
        let of = |y: Tensor<4>| {
            let grads = (y.clone() * weight.clone()).sum().backward();
            let dx = x.grad(&grads).unwrap().into_data();
            (y.into_data(), dx)
        };
        let ((y, dx), (expected, expected_dx)) = (of(fused), of(composed));
        let close = |a: &TensorData, b: &TensorData| {
            a.iter::<f32>()
                .zip(b.iter::<f32>())
                .all(|(a, b)| (a - b).abs() < 2e-6)
        };
        assert!(close(&y, &expected) && close(&dx, &expected_dx));
    }
}
