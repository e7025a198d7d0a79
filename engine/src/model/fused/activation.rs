//! `x sigmoid(b x)`: SiLU for `b = 1`, CLIP's quick GELU for `b = 1.702`.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, TensorData};

use super::{handed_on, kernels, recorded, tracked, with_values};

/// `x sigmoid(slope x)`. Shapes: the same in and out.
pub fn swish<const D: usize>(x: Tensor<D>, slope: f32) -> Tensor<D> {
    let Some(primitive) = tracked(&x) else {
        let gate = match slope {
            1.0 => sigmoid(x.clone()),
            _ => sigmoid(x.clone().mul_scalar(slope)),
        };
        return x * gate;
    };
    let shape = x.shape();
    drop(x);
    let (x, node) = primitive.into_parts();
    let y = with_values(&x, |x| {
        let y = x.iter().map(|x| x * kernels::sigmoid(slope * x));
        y.collect::<Vec<f32>>()
    });
    let y = FlexTensor::from_data(TensorData::new(y, shape));
    recorded(Swish, [node], (x, slope), y)
}

#[derive(Debug)]
struct Swish;

impl Backward<Flex, 1> for Swish {
    /// The input and its slope.
    type State = (FlexTensor, f32);

    /// `dx = s (1 + b x (1 - s)) dy` with `s = sigmoid(b x)`.
    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        handed_on(ops, grads, |(x, slope), dy| {
            let dx = with_values(x, |x| {
                let dx = x.iter().zip(dy).map(|(x, dy)| {
                    let s = kernels::sigmoid(slope * x);
                    dy * s * (1.0 + slope * x * (1.0 - s))
                });
                dx.collect::<Vec<f32>>()
            });
            [(dx, x.layout().shape().clone())]
        });
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn values_and_gradients_are_those_of_the_composed_form() {
        let device = Device::flex().autodiff();
        let values: Vec<f32> = (0..77).map(|i| (i as f32 - 38.0) / 5.0).collect();
        let x = Tensor::<2>::from_data(TensorData::new(values, [7, 11]), &device).require_grad();
        for slope in [1.0, 1.702] {
            let composed = x.clone() * sigmoid(x.clone().mul_scalar(slope));
            let of = |y: Tensor<2>| {
                let grads = (y.clone() * y.clone()).sum().backward();
                (y.into_data(), x.grad(&grads).unwrap().into_data())
            };
            let ((y, dx), (expected, expected_dx)) = (of(swish(x.clone(), slope)), of(composed));
            for (a, b) in [(y, expected), (dx, expected_dx)] {
                for (a, b) in a.iter::<f32>().zip(b.iter::<f32>()) {
                    assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{a} {b}");
                }
            }
        }
    }
}
