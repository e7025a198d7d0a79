//! The small layers that every part of HealthGPT shares: linear, RMS norm, layer norm.
//!
//! Weights keep the checkpoint's layout (`[d_out, d_in]`), so that a row of a file is a row in memory.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// `y = x W^T + b`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[d_out, d_in]`.
    pub weight: Param<Tensor<2>>,
    /// `[d_out]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// Shapes: `x` `[batch, tokens, d_in]`, result `[batch, tokens, d_out]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let y = matmul_rows(x, self.weight.val());
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }
}

/// `x W^T` for a weight stored by rows. Half precision is for storage only: the product is in the type of `x`, since
/// activations of the Phi-3 family leave the range of f16.
/// Shapes: `x` `[batch, tokens, d_in]`, `weight` `[d_out, d_in]`, result `[batch, tokens, d_out]`.
pub fn matmul_rows(x: Tensor<3>, weight: Tensor<2>) -> Tensor<3> {
    let [batch, tokens, d_in] = x.dims();
    let [d_out, _] = weight.dims();
    let weight = if weight.dtype() == x.dtype() {
        weight
    } else {
        weight.cast(x.dtype())
    };
    x.reshape([batch * tokens, d_in])
        .matmul(weight.transpose())
        .reshape([batch, tokens, d_out])
}

/// `x / sqrt(mean(x^2) + eps) * weight`, over the last dimension.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[hidden]`.
    pub weight: Param<Tensor<1>>,
    /// Added to the mean square.
    pub eps: f64,
}

impl RmsNorm {
    /// Shapes: `[batch, tokens, hidden]` in and out.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let mean_square = x.clone().powi_scalar(2).mean_dim(2); // [batch, tokens, 1]
        x / mean_square.add_scalar(self.eps).sqrt() * self.weight.val().unsqueeze()
    }
}

/// `(x - mean) / sqrt(var + eps) * weight + bias`, over the last dimension, with the biased variance.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[hidden]`.
    pub weight: Param<Tensor<1>>,
    /// `[hidden]`.
    pub bias: Param<Tensor<1>>,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNorm {
    /// Shapes: `[batch, tokens, hidden]` in and out.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let centred = x.clone() - x.mean_dim(2);
        let variance = centred.clone().powi_scalar(2).mean_dim(2); // [batch, tokens, 1]
        centred / variance.add_scalar(self.eps).sqrt() * self.weight.val().unsqueeze()
            + self.bias.val().unsqueeze()
    }
}
