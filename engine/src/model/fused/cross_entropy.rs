//! Mean cross-entropy of logits against ids, or against distributions.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

use super::kernels::{dot, exp, max, sum_of};
use super::{handed_on, recorded, tracked, with_values};

/// `-mean_i sum_k t_ik ln softmax(x_i)_k`. Shapes: `logits` `[rows, classes]`; `targets` `rows * classes` shares, each row's
/// sum 1.
pub fn cross_entropy(logits: Tensor<2>, targets: Vec<f32>) -> Tensor<1> {
    let [rows, classes] = logits.dims();
    let Some(primitive) = tracked(&logits) else {
        let device = logits.device();
        let targets = Tensor::<2>::from_data(TensorData::new(targets, [rows, classes]), &device);
        let each = (log_softmax(logits, 1) * targets).sum();
        return each.div_scalar(rows as f64).neg();
    };
    drop(logits);
    let (x, node) = primitive.into_parts();
    let mut loss = 0.0_f64;
    let difference = with_values(&x, |x| {
        let mut difference = vec![0.0_f32; x.len()];
        let lines = x.chunks_exact(classes).zip(targets.chunks_exact(classes));
        for ((x, t), d) in lines.zip(difference.chunks_exact_mut(classes)) {
            let largest = max(x);
            for (d, x) in d.iter_mut().zip(x) {
                *d = exp(*x - largest);
            }
            let sum = sum_of(d, |v| v);
            loss += f64::from(sum.ln() + largest) - f64::from(dot(x, t));
            let scale = 1.0 / sum;
            for (d, t) in d.iter_mut().zip(t) {
                *d = *d * scale - t;
            }
        }
        difference
    });
    let loss = vec![(loss / rows as f64) as f32];
    let y = FlexTensor::from_data(TensorData::new(loss, [1]));
    let difference = FlexTensor::from_data(TensorData::new(difference, [rows, classes]));
    recorded(CrossEntropy, [node], difference, y)
}

#[derive(Debug)]
struct CrossEntropy;

impl Backward<Flex, 1> for CrossEntropy {
    /// `softmax(x) - t`.
    type State = FlexTensor;

    /// `dx = (softmax(x) - t) dy / rows`.
    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        handed_on(ops, grads, |difference, dy| {
            let shape = difference.layout().shape().clone();
            let [rows, _]: [usize; 2] = shape.dims();
            let factor = dy.first().copied().unwrap_or_default() / rows as f32;
            let dx = with_values(difference, |d| d.iter().map(|d| d * factor).collect());
            [(dx, shape)]
        });
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::random::Random;

    #[test]
    fn values_and_gradients_are_those_of_the_composed_form() {
        let device = Device::flex().autodiff();
        let mut random = Random(9);
        let values: Vec<f32> = (0..5 * 19).map(|_| 6.0 * random.uniform() as f32).collect();
        let x = Tensor::<2>::from_data(TensorData::new(values, [5, 19]), &device).require_grad();
        let mut targets: Vec<f32> = (0..5 * 19).map(|_| random.uniform() as f32).collect();
        for row in targets.chunks_exact_mut(19) {
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|share| *share /= sum);
        }
        let shares = Tensor::<2>::from_data(TensorData::new(targets.clone(), [5, 19]), &device);
        let composed = (log_softmax(x.clone(), 1) * shares).sum().div_scalar(-5.0);
        let of = |loss: Tensor<1>| {
            let grads = loss.clone().mul_scalar(3.0).backward();
            (loss.into_data(), x.grad(&grads).unwrap().into_data())
        };
        let (fused, composed) = (of(cross_entropy(x.clone(), targets)), of(composed));
        for (a, b) in [(fused.0, composed.0), (fused.1, composed.1)] {
            for (a, b) in a.iter::<f32>().zip(b.iter::<f32>()) {
                assert!((a - b).abs() < 2e-6, "{a} {b}");
            }
        }
    }
}
