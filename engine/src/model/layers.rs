//! The small layers that every part of HealthGPT shares: linear, RMS norm, layer norm.
//!
//! Weights keep the checkpoint's layout (`[d_out, d_in]`), so that a row of a file is a row in memory.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::fused;

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

/// `x W^T` for a weight stored by rows. For a half-precision weight the rows of `x` are scaled to at most 1 before they are
/// rounded to half, and the product is scaled back: activations of the Phi-3 family leave the range of f16. Backends add up
/// in f32, so the result is within one rounding of inputs and outputs (2^-11 each). Converting the weight instead costs 47
/// times as much for one token on the CPU (3072 x 8192: 96 ms against 2 ms).
/// Shapes: `x` `[batch, tokens, d_in]`, `weight` `[d_out, d_in]`, result `[batch, tokens, d_out]`.
pub fn matmul_rows(x: Tensor<3>, weight: Tensor<2>) -> Tensor<3> {
    let [batch, tokens, d_in] = x.dims();
    let [d_out, _] = weight.dims();
    let (inner, outer) = (weight.dtype(), x.dtype());
    let rows = x.reshape([batch * tokens, d_in]);
    let y = if inner == outer {
        rows.matmul(weight.transpose())
    } else {
        let largest = rows.clone().abs().max_dim(1).clamp_min(f32::MIN_POSITIVE); // [rows, 1]
        let scaled = (rows / largest.clone()).cast(inner);
        scaled.matmul(weight.transpose()).cast(outer) * largest
    };
    y.reshape([batch, tokens, d_out])
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
        if let Some(y) = fused::row_norm(&x, self.weight.val(), None, self.eps) {
            return y;
        }
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
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if let Some(y) = fused::row_norm(&x, weight, Some(bias), self.eps) {
            return y;
        }
        let centred = x.clone() - x.mean_dim(2);
        let variance = centred.clone().powi_scalar(2).mean_dim(2); // [batch, tokens, 1]
        centred / variance.add_scalar(self.eps).sqrt() * self.weight.val().unsqueeze()
            + self.bias.val().unsqueeze()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;

    #[test]
    fn activations_beyond_the_range_of_half_precision_are_multiplied_all_the_same() {
        let device = Device::flex();
        let weight = vec![0.5_f32, 0.25, -0.5, 1.0];
        let weight =
            Tensor::<2>::from_data(TensorData::new(weight, [2, 2]), &device).cast(DType::F16);
        let x = vec![200_000.0_f32, 4.0, 0.0, 0.0]; // 65504 is the largest half
        let x = Tensor::<3>::from_data(TensorData::new(x, [1, 2, 2]), &device);
        let y: Vec<f32> = matmul_rows(x, weight).into_data().iter::<f32>().collect();
        // Of 4.0 beside 200 000 nothing is left in half precision: 2^-11 of the row's largest product is allowed.
        for (got, want) in y.iter().zip([100_001.0, -99_996.0, 0.0, 0.0]) {
            assert!((got - want).abs() <= 100_000.0 / 2048.0, "{y:?}");
        }
    }
}
