//! 3x3 convolution at stride 1 that keeps the size, as dense products over bands of rows that stay in the cache. Backwards the
//! gradient of the input is the convolution of the result's with the turned kernel, that of the kernel a product with shifted
//! copies of the input; burn's general backward pass scatters the first and treats the whole picture as a kernel for the second.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{Tensor, TensorData};

use super::kernels::sum_of;
use super::{recorded, tracked, with_values};

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
    let picture = Picture {
        channels: c_in,
        height,
        width,
    };
    let x = x.to_contiguous();
    let y = convolve(&x, &weight, Some(&bias), picture);
    let state = State {
        x,
        weight,
        c_out,
        picture,
    };
    let nodes = [node, weight_node, bias_node];
    Some(recorded(Conv3x3, nodes, state, y))
}

/// Pixels of the result that are computed at once: what they need of the input stays in the cache.
const TILE: usize = 512;

/// Stride 1, one pixel of zeros around: for a band of rows at a time, the product of the kernel with what lies under it.
fn convolve(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    picture: Picture,
) -> FlexTensor {
    let Picture { height, width, .. } = picture;
    let area = height * width;
    let kernel_size = 9 * picture.channels;
    let c_out = weight.layout().num_elements() / kernel_size;
    let weight = weight
        .to_contiguous()
        .reshape(vec![c_out, kernel_size].into());
    let mut y = vec![0.0_f32; c_out * area];
    with_values(x, |x| {
        for rows in picture.bands() {
            let (start, count) = (rows.start * width, rows.len() * width);
            let columns = TensorData::new(picture.columns(x, rows), [kernel_size, count]);
            let columns = FlexTensor::from_data(columns);
            let product = <Flex as FloatTensorOps<Flex>>::float_matmul(weight.clone(), columns);
            with_values(&product, |product| {
                for (plane, band) in y.chunks_exact_mut(area).zip(product.chunks_exact(count)) {
                    plane[start..start + count].copy_from_slice(band);
                }
            });
        }
    });
    if let Some(bias) = bias {
        with_values(bias, |bias| {
            for (plane, bias) in y.chunks_exact_mut(area).zip(bias) {
                plane.iter_mut().for_each(|y| *y += bias);
            }
        });
    }
    FlexTensor::from_data(TensorData::new(y, [1, c_out, height, width]))
}

/// Size of an input.
#[derive(Clone, Copy, Debug)]
struct Picture {
    channels: usize,
    height: usize,
    width: usize,
}

impl Picture {
    /// Rows in bands of about [`TILE`] pixels.
    fn bands(self) -> impl Iterator<Item = Range<usize>> {
        let rows = (TILE / self.width).max(1);
        (0..self.height)
            .step_by(rows)
            .map(move |from| from..(from + rows).min(self.height))
    }

    /// What the kernel's nine places see: `[channels * 9, rows * width]`, zeros outside.
    fn columns(self, x: &[f32], rows: Range<usize>) -> Vec<f32> {
        let (height, width) = (self.height, self.width);
        let mut columns = Vec::with_capacity(9 * self.channels * rows.len() * width);
        for plane in x.chunks_exact(height * width) {
            for ky in 0..3 {
                for kx in 0..3 {
                    for row in rows.clone() {
                        let source = (row + ky)
                            .checked_sub(1)
                            .and_then(|row| plane.chunks_exact(width).nth(row));
                        match (source, kx) {
                            (None, _) => columns.resize(columns.len() + width, 0.0),
                            (Some(row), 0) => {
                                columns.push(0.0);
                                columns.extend_from_slice(&row[..width - 1]);
                            }
                            (Some(row), 1) => columns.extend_from_slice(row),
                            (Some(row), _) => {
                                columns.extend_from_slice(&row[1..]);
                                columns.push(0.0);
                            }
                        }
                    }
                }
            }
        }
        columns
    }
}

#[derive(Debug)]
struct Conv3x3;

#[derive(Clone, Debug)]
struct State {
    x: FlexTensor,
    weight: FlexTensor,
    c_out: usize,
    picture: Picture,
}

impl State {
    /// The kernel turned by 180 degrees, with input and output channels swapped: `[c_in, c_out, 3, 3]`.
    fn turned(&self) -> FlexTensor {
        let (c_in, c_out) = (self.picture.channels, self.c_out);
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
        let picture = self.picture;
        let (area, width) = (picture.height * picture.width, picture.width);
        let kernel_size = 9 * picture.channels;
        let mut weight = vec![0.0_f32; self.c_out * kernel_size];
        let dy = dy.reshape(vec![self.c_out, area].into());
        with_values(&self.x, |x| {
            for rows in picture.bands() {
                let (start, count) = (rows.start * width, rows.len() * width);
                let columns = TensorData::new(picture.columns(x, rows), [kernel_size, count]);
                let columns = FlexTensor::from_data(columns).transpose(0, 1);
                let band = dy.narrow(1, start, count);
                let product = <Flex as FloatTensorOps<Flex>>::float_matmul(band, columns);
                with_values(&product, |product| {
                    for (sum, product) in weight.iter_mut().zip(product) {
                        *sum += product;
                    }
                });
            }
        });
        let dims = [self.c_out, picture.channels, 3, 3];
        FlexTensor::from_data(TensorData::new(weight, dims))
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
            let of_dy = Picture {
                channels: state.c_out,
                ..state.picture
            };
            grads.register::<Flex>(x.id, convolve(&dy, &state.turned(), None, of_dy));
        }
        if let Some(weight) = weight {
            grads.register::<Flex>(weight.id, state.of_weight(&dy));
        }
        if let Some(bias) = bias {
            let sums = with_values(&dy, |dy| {
                let planes = dy.chunks_exact(state.picture.height * state.picture.width);
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
    use burn::tensor::ops::ConvOptions;

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
