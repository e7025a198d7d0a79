//! Group norm (with SiLU after it, if wanted), layer norm and RMS norm.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, TensorData};

use super::kernels::{dot, sigmoid, sum_of};
use super::{handed_on, recorded, tracked, with_values};

/// What a group norm does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNormShape {
    /// Groups of neighbouring channels that share mean and variance.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
    /// Is SiLU applied to the result?
    pub silu: bool,
}

/// Group norm of `[batch, channels, height, width]` with a weight and a bias per channel.
pub fn group_norm(
    x: &Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    how: GroupNormShape,
) -> Option<Tensor<4>> {
    let [_, channels, height, width] = x.dims();
    let shape = x.shape();
    let (weight, bias) = (tracked(&weight)?, tracked(&bias)?);
    let (x, node) = tracked(x)?.into_parts();
    let (weight, weight_node) = weight.into_parts();
    let (bias, bias_node) = bias.into_parts();
    let state = GroupState {
        x: x.to_contiguous(),
        weight,
        bias,
        stats: Vec::new(),
        pixels: height * width,
        channels_per_group: channels / how.groups,
        groups: how.groups,
        silu: how.silu,
    };
    let (y, stats) = state.forward(how.eps);
    let y = FlexTensor::from_data(TensorData::new(y, shape));
    let nodes = [node, weight_node, bias_node];
    Some(recorded(GroupNorm, nodes, GroupState { stats, ..state }, y))
}

#[derive(Debug)]
struct GroupNorm;

#[derive(Clone, Debug)]
struct GroupState {
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    /// Mean and `1 / sqrt(variance + eps)` of every group.
    stats: Vec<(f32, f32)>,
    pixels: usize,
    channels_per_group: usize,
    groups: usize,
    silu: bool,
}

impl GroupState {
    fn forward(&self, eps: f32) -> (Vec<f32>, Vec<(f32, f32)>) {
        let mut stats = Vec::new();
        let y = self.with(|x, weight, bias| {
            let mut y = vec![0.0_f32; x.len()];
            let size = self.channels_per_group * self.pixels;
            let groups = x.chunks_exact(size).zip(y.chunks_exact_mut(size));
            for (g, (x, y)) in groups.enumerate() {
                let mean = sum_of(x, |v| v) / size as f32;
                let variance = sum_of(x, |v| (v - mean) * (v - mean)) / size as f32;
                let scale = 1.0 / (variance + eps).sqrt();
                stats.push((mean, scale));
                let rows = x
                    .chunks_exact(self.pixels)
                    .zip(y.chunks_exact_mut(self.pixels));
                for (row, (x, y)) in rows.enumerate() {
                    let channel = self.channel(g, row);
                    let factor = weight[channel] * scale;
                    let offset = bias[channel] - mean * factor;
                    if self.silu {
                        for (y, x) in y.iter_mut().zip(x) {
                            let u = x * factor + offset;
                            *y = u * sigmoid(u);
                        }
                    } else {
                        for (y, x) in y.iter_mut().zip(x) {
                            *y = x * factor + offset;
                        }
                    }
                }
            }
            y
        });
        (y, stats)
    }

    /// Gradients of input, weight and bias.
    fn backward(&self, dy: &[f32]) -> [Vec<f32>; 3] {
        self.with(|x, weight, bias| {
            let channels = self.groups * self.channels_per_group;
            let (mut dweight, mut dbias) = (vec![0.0_f32; channels], vec![0.0_f32; channels]);
            let mut dx = vec![0.0_f32; x.len()];
            let size = self.channels_per_group * self.pixels;
            let groups = x.chunks_exact(size).zip(dy.chunks_exact(size));
            for (g, ((x, dy), dx)) in groups.zip(dx.chunks_exact_mut(size)).enumerate() {
                let Some((mean, scale)) = self.stats.get(g).copied() else {
                    continue;
                };
                // First du, the gradient before SiLU, and its sums; `xn` is the normed input.
                let (mut sum_du, mut sum_du_xn) = (0.0, 0.0);
                let rows = x
                    .chunks_exact(self.pixels)
                    .zip(dy.chunks_exact(self.pixels));
                for (row, ((x, dy), du)) in rows.zip(dx.chunks_exact_mut(self.pixels)).enumerate() {
                    let channel = self.channel(g, row);
                    let factor = weight[channel] * scale;
                    let offset = bias[channel] - mean * factor;
                    if self.silu {
                        for (du, (x, dy)) in du.iter_mut().zip(x.iter().zip(dy)) {
                            let u = x * factor + offset;
                            let s = sigmoid(u);
                            *du = dy * s * (1.0 + u * (1.0 - s));
                        }
                    } else {
                        du.copy_from_slice(dy);
                    }
                    let of_bias = sum_of(du, |v| v);
                    let of_weight = (dot(du, x) - mean * of_bias) * scale;
                    dbias[channel] += of_bias;
                    dweight[channel] += of_weight;
                    sum_du += weight[channel] * of_bias;
                    sum_du_xn += weight[channel] * of_weight;
                }
                // dx = scale (w du - mean(w du) - xn mean(w du xn)).
                let slope = -scale * scale * sum_du_xn / size as f32;
                let offset = -scale * sum_du / size as f32 - mean * slope;
                let rows = x.chunks_exact(self.pixels);
                for (row, (x, dx)) in rows.zip(dx.chunks_exact_mut(self.pixels)).enumerate() {
                    let factor = weight[self.channel(g, row)] * scale;
                    for (dx, x) in dx.iter_mut().zip(x) {
                        *dx = *dx * factor + (x * slope + offset);
                    }
                }
            }
            [dx, dweight, dbias]
        })
    }

    fn channel(&self, group: usize, row: usize) -> usize {
        group % self.groups * self.channels_per_group + row
    }

    fn with<R>(&self, f: impl FnOnce(&[f32], &[f32], &[f32]) -> R) -> R {
        with_values(&self.x, |x| {
            with_values(&self.weight, |weight| {
                with_values(&self.bias, |bias| f(x, weight, bias))
            })
        })
    }
}

impl Backward<Flex, 3> for GroupNorm {
    type State = GroupState;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        handed_on(ops, grads, |state, dy| {
            let [dx, dweight, dbias] = state.backward(dy);
            let shape = |x: &FlexTensor| x.layout().shape().clone();
            [
                (dx, shape(&state.x)),
                (dweight, shape(&state.weight)),
                (dbias, shape(&state.bias)),
            ]
        });
    }
}

/// Norm over the last dimension: layer norm with a bias, RMS norm (no mean is taken off) without. Shapes: `x`
/// `[batch, tokens, width]` in and out, `weight` and `bias` `[width]`.
pub fn row_norm(
    x: &Tensor<3>,
    weight: Tensor<1>,
    bias: Option<Tensor<1>>,
    eps: f64,
) -> Option<Tensor<3>> {
    let shape = x.shape();
    let weight = tracked(&weight)?;
    let bias = match &bias {
        Some(bias) => Some(tracked(bias)?),
        None => None,
    };
    let (x, node) = tracked(x)?.into_parts();
    let (weight, weight_node) = weight.into_parts();
    let state = RowState {
        x: x.to_contiguous(),
        weight,
        centred: bias.is_some(),
        stats: Vec::new(),
    };
    let (y, stats, bias_node) = match bias {
        Some(bias) => {
            let (bias, bias_node) = bias.into_parts();
            let (y, stats) = with_values(&bias, |bias| state.forward(Some(bias), eps as f32));
            (y, stats, Some(bias_node))
        }
        None => {
            let (y, stats) = state.forward(None, eps as f32);
            (y, stats, None)
        }
    };
    let y = FlexTensor::from_data(TensorData::new(y, shape));
    let state = RowState { stats, ..state };
    Some(match bias_node {
        Some(bias_node) => recorded(RowNorm, [node, weight_node, bias_node], state, y),
        None => recorded(RowNorm, [node, weight_node], state, y),
    })
}

#[derive(Debug)]
struct RowNorm;

#[derive(Clone, Debug)]
struct RowState {
    x: FlexTensor,
    weight: FlexTensor,
    centred: bool,
    /// Mean and `1 / sqrt(variance + eps)` of every row.
    stats: Vec<(f32, f32)>,
}

impl RowState {
    fn forward(&self, bias: Option<&[f32]>, eps: f32) -> (Vec<f32>, Vec<(f32, f32)>) {
        let mut stats = Vec::new();
        let y = self.with(|x, weight| {
            let width = weight.len();
            let mut y = vec![0.0_f32; x.len()];
            for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                let mean = if self.centred {
                    sum_of(x, |v| v) / width as f32
                } else {
                    0.0
                };
                let variance = sum_of(x, |v| (v - mean) * (v - mean)) / width as f32;
                let scale = 1.0 / (variance + eps).sqrt();
                stats.push((mean, scale));
                for (y, (x, weight)) in y.iter_mut().zip(x.iter().zip(weight)) {
                    *y = (x - mean) * scale * weight;
                }
                if let Some(bias) = bias {
                    for (y, bias) in y.iter_mut().zip(bias) {
                        *y += bias;
                    }
                }
            }
            y
        });
        (y, stats)
    }

    /// Gradients of input, weight and bias.
    fn backward(&self, dy: &[f32]) -> [Vec<f32>; 3] {
        self.with(|x, weight| {
            let width = weight.len();
            let (mut dweight, mut dbias) = (vec![0.0_f32; width], vec![0.0_f32; width]);
            let mut dx = vec![0.0_f32; x.len()];
            let rows = x.chunks_exact(width).zip(dy.chunks_exact(width));
            for (((x, dy), dx), (mean, scale)) in
                rows.zip(dx.chunks_exact_mut(width)).zip(&self.stats)
            {
                for (dx, (dy, weight)) in dx.iter_mut().zip(dy.iter().zip(weight)) {
                    *dx = dy * weight;
                }
                let sum = if self.centred { sum_of(dx, |v| v) } else { 0.0 };
                let sum_xn = (dot(dx, x) - mean * sum_of(dx, |v| v)) * scale;
                let slope = -scale * scale * sum_xn / width as f32;
                let offset = -scale * sum / width as f32 - mean * slope;
                for (dx, x) in dx.iter_mut().zip(x) {
                    *dx = *dx * scale + (x * slope + offset);
                }
                let parts = dweight.iter_mut().zip(&mut dbias);
                for ((dweight, dbias), (x, dy)) in parts.zip(x.iter().zip(dy)) {
                    *dweight += dy * (x - mean) * scale;
                    *dbias += dy;
                }
            }
            [dx, dweight, dbias]
        })
    }

    fn with<R>(&self, f: impl FnOnce(&[f32], &[f32]) -> R) -> R {
        with_values(&self.x, |x| {
            with_values(&self.weight, |weight| f(x, weight))
        })
    }
}

impl<const N: usize> Backward<Flex, N> for RowNorm {
    type State = RowState;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        handed_on(ops, grads, |state, dy| {
            let [dx, dweight, dbias] = state.backward(dy);
            let shape = |x: &FlexTensor| x.layout().shape().clone();
            [
                (dx, shape(&state.x)),
                (dweight, shape(&state.weight)),
                (dbias, shape(&state.weight)),
            ]
        });
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::random::Random;

    fn any<const D: usize>(dims: [usize; D], random: &mut Random, device: &Device) -> Tensor<D> {
        let values: Vec<f32> = (0..dims.iter().product())
            .map(|_| 3.0 * random.uniform() as f32 - 1.0)
            .collect();
        Tensor::from_data(TensorData::new(values, dims), device)
    }

    fn assert_close(name: &str, a: TensorData, b: TensorData) {
        for (a, b) in a.iter::<f32>().zip(b.iter::<f32>()) {
            assert!((a - b).abs() < 3e-5 * b.abs().max(1.0), "{name}: {a} {b}");
        }
    }

    #[test]
    fn a_group_norm_is_that_of_the_composed_form() {
        let device = Device::flex().autodiff();
        let mut random = Random(5);
        let x = any([2, 6, 5, 7], &mut random, &device).require_grad();
        let weight = any([6], &mut random, &device).require_grad();
        let bias = any([6], &mut random, &device).require_grad();
        let factor = any([2, 6, 5, 7], &mut random, &device);
        for silu in [false, true] {
            let how = GroupNormShape {
                groups: 3,
                eps: 1e-6,
                silu,
            };
            let fused = group_norm(&x, weight.clone(), bias.clone(), how).unwrap();
            let rows = x.clone().reshape([2, 3, 2 * 35]);
            let centred = rows.clone() - rows.mean_dim(2);
            let variance = (centred.clone() * centred.clone()).mean_dim(2);
            let normed = (centred / variance.add_scalar(1e-6).sqrt()).reshape([2, 6, 5, 7]);
            let composed =
                normed * weight.clone().reshape([1, 6, 1, 1]) + bias.clone().reshape([1, 6, 1, 1]);
            let composed = match silu {
                true => burn::tensor::activation::silu(composed),
                false => composed,
            };
            let of = |y: Tensor<4>| {
                let grads = (y.clone() * factor.clone()).sum().backward();
                [
                    y.into_data(),
                    x.grad(&grads).unwrap().into_data(),
                    weight.grad(&grads).unwrap().into_data(),
                    bias.grad(&grads).unwrap().into_data(),
                ]
            };
            let names = ["y", "dx", "dweight", "dbias"];
            for (name, (a, b)) in names.iter().zip(of(fused).into_iter().zip(of(composed))) {
                assert_close(name, a, b);
            }
        }
    }

    #[test]
    fn a_layer_norm_and_an_rms_norm_are_those_of_the_composed_form() {
        let device = Device::flex().autodiff();
        let mut random = Random(6);
        let x = any([1, 9, 37], &mut random, &device).require_grad();
        let weight = any([37], &mut random, &device).require_grad();
        let bias = any([37], &mut random, &device).require_grad();
        let factor = any([1, 9, 37], &mut random, &device);
        for centred in [true, false] {
            let offset = centred.then(|| bias.clone());
            let fused = row_norm(&x, weight.clone(), offset, 1e-5).unwrap();
            let mean = match centred {
                true => x.clone().mean_dim(2),
                false => x.clone().mean_dim(2).mul_scalar(0.0),
            };
            let moved = x.clone() - mean;
            let variance = (moved.clone() * moved.clone()).mean_dim(2);
            let composed = moved / variance.add_scalar(1e-5).sqrt() * weight.clone().unsqueeze();
            let composed = match centred {
                true => composed + bias.clone().unsqueeze(),
                false => composed,
            };
            let of = |y: Tensor<3>| {
                let grads = (y.clone() * factor.clone()).sum().backward();
                [
                    y.into_data(),
                    x.grad(&grads).unwrap().into_data(),
                    weight.grad(&grads).unwrap().into_data(),
                ]
            };
            let names = ["y", "dx", "dweight"];
            for (name, (a, b)) in names.iter().zip(of(fused).into_iter().zip(of(composed))) {
                assert_close(name, a, b);
            }
        }
    }
}
