//! 3x3 convolution at stride 1 that keeps the size. Forwards it is burn-flex's own; backwards it is two dense products: the
//! gradient of the input is the convolution of the result's with the turned kernel, that of the kernel a product with shifted
//! copies of the input. burn's general backward pass scatters the first and treats the whole picture as a kernel for the second.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::{FloatTensorOps, ModuleOps};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorData};

use super::kernels::sum_of;
use super::{Training, tracked, with_values};

/// Stride 1, one pixel of zeros around. Shapes: `x` `[1, c_in, height, width]`, `weight` `[c_out, c_in, 3, 3]`, result
/// `[1, c_out, height, width]`.
pub fn conv3x3(x: &Tensor<4>, weight: &Tensor<4>, bias: &Tensor<1>) -> Option<Tensor<4>> {
    let [batch, c_in, height, width] = x.dims();
    let [c_out, _, k_h, k_w] = weight.dims();
    if batch != 1 || k_h != 3 || k_w != 3 {
        return None;
    }
    let (x, node) = tracked(x)?.into_parts();
    let (weight, weight_node) = tracked(weight)?.into_parts();
    let (bias, bias_node) = tracked(bias)?.into_parts();
    let y = convolve(x.clone(), weight.clone(), Some(bias));
    let state = State {
        x,
        weight,
        c_in,
        c_out,
        height,
        width,
    };
    let prepared = Conv3x3.prepare::<NoCheckpointing>([node, weight_node, bias_node]);
    let y = match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state, y),
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    };
    Some(Tensor::from_primitive::<Training>(y))
}

fn convolve(x: FlexTensor, weight: FlexTensor, bias: Option<FlexTensor>) -> FlexTensor {
    let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    <Flex as ModuleOps<Flex>>::conv2d(x, weight, bias, options)
}

#[derive(Debug)]
struct Conv3x3;

#[derive(Clone, Debug)]
struct State {
    x: FlexTensor,
    weight: FlexTensor,
    c_in: usize,
    c_out: usize,
    height: usize,
    width: usize,
}

impl State {
    /// The kernel turned by 180 degrees, with input and output channels swapped: `[c_in, c_out, 3, 3]`.
    fn turned(&self) -> FlexTensor {
        let (c_in, c_out) = (self.c_in, self.c_out);
        let turned = with_values(&self.weight, |weight| {
            let mut turned: Vec<f32> = Vec::with_capacity(weight.len());
            for i in 0..c_in {
                for o in 0..c_out {
                    let at = (o * c_in + i) * 9;
                    turned.extend(weight[at..at + 9].iter().rev());
                }
            }
            turned
        });
        FlexTensor::from_data(TensorData::new(turned, [c_in, c_out, 3, 3]))
    }

    /// Gradient of the kernel.
    fn of_weight(&self, dy: &FlexTensor) -> FlexTensor {
        let (c_in, c_out) = (self.c_in, self.c_out);
        let area = self.height * self.width;
        let dy = dy.reshape(vec![c_out, area].into());
        let mut weight = vec![0.0_f32; c_out * c_in * 9];
        for ky in 0..3 {
            let columns = with_values(&self.x, |x| self.shifted(x, ky));
            let columns = FlexTensor::from_data(TensorData::new(columns, [3 * c_in, area]));
            let product =
                <Flex as FloatTensorOps<Flex>>::float_matmul(dy.clone(), columns.transpose(0, 1));
            with_values(&product, |product| {
                // Row o, column kx * c_in + i.
                for (o, row) in product.chunks_exact(3 * c_in).enumerate() {
                    for (column, value) in row.iter().enumerate() {
                        let (kx, i) = (column / c_in, column % c_in);
                        weight[((o * c_in + i) * 3 + ky) * 3 + kx] = *value;
                    }
                }
            });
        }
        FlexTensor::from_data(TensorData::new(weight, [c_out, c_in, 3, 3]))
    }

    /// The input moved by one row of the kernel, three times beside itself: `[3 * c_in, height * width]`.
    fn shifted(&self, x: &[f32], ky: usize) -> Vec<f32> {
        let (height, width) = (self.height, self.width);
        let mut columns = vec![0.0_f32; 3 * x.len()];
        for (kx, copy) in columns.chunks_exact_mut(x.len()).enumerate() {
            // Columns of the picture that the moved one keeps, and where they go.
            let (from, to) = (kx.saturating_sub(1), 1_usize.saturating_sub(kx));
            let count = width - from.max(to);
            let planes = x.chunks_exact(height * width);
            for (plane, copy) in planes.zip(copy.chunks_exact_mut(height * width)) {
                for row in 0..height {
                    let Some(source) = (row + ky).checked_sub(1).filter(|row| *row < height) else {
                        continue;
                    };
                    let source = &plane[source * width + from..][..count];
                    copy[row * width + to..][..count].copy_from_slice(source);
                }
            }
        }
        columns
    }
}

impl Backward<Flex, 3> for Conv3x3 {
    type State = State;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let state = ops.state;
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [x, weight, bias] = ops.parents;
        if let Some(x) = x {
            grads.register::<Flex>(x.id, convolve(dy.clone(), state.turned(), None));
        }
        if let Some(weight) = weight {
            grads.register::<Flex>(weight.id, state.of_weight(&dy));
        }
        if let Some(bias) = bias {
            let sums = with_values(&dy, |dy| {
                let planes = dy.chunks_exact(state.height * state.width);
                planes
                    .map(|plane| sum_of(plane, |v| v))
                    .collect::<Vec<f32>>()
            });
            let sums = TensorData::new(sums, [state.c_out]);
            grads.register::<Flex>(bias.id, FlexTensor::from_data(sums));
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use burn::tensor::module::conv2d;

    use super::*;
    use crate::model::random::Random;

    #[test]
    fn values_and_gradients_are_those_of_the_composed_form() {
        let device = Device::flex().autodiff();
        let mut random = Random(11);
        let mut any = |dims: [usize; 4]| {
            let values: Vec<f32> = (0..dims.iter().product())
                .map(|_| 2.0 * random.uniform() as f32 - 1.0)
                .collect();
            Tensor::<4>::from_data(TensorData::new(values, dims), &device)
        };
        let x = any([1, 5, 6, 9]).require_grad();
        let weight = any([7, 5, 3, 3]).require_grad();
        let bias = any([1, 1, 1, 7]).reshape([7]).detach().require_grad();
        let factor = any([1, 7, 6, 9]);
        let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
        let composed = conv2d(x.clone(), weight.clone(), Some(bias.clone()), options);
        let of = |y: Tensor<4>| {
            let grads = (y.clone() * factor.clone()).sum().backward();
            [
                y.into_data(),
                x.grad(&grads).unwrap().into_data(),
                weight.grad(&grads).unwrap().into_data(),
                bias.grad(&grads).unwrap().into_data(),
            ]
        };
        let fused = of(conv3x3(&x, &weight, &bias).unwrap());
        let names = ["y", "dx", "dweight", "dbias"];
        for (name, (a, b)) in names.iter().zip(fused.into_iter().zip(of(composed))) {
            for (a, b) in a.iter::<f32>().zip(b.iter::<f32>()) {
                assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{name}: {a} {b}");
            }
        }
    }
}
