//! Structural similarity as a loss: the metric's own formula (Wang et al. 2004, Gaussian window of 11 taps, sigma 1.5, valid
//! region) on tensors. A blur along an axis is a product with a band matrix, which is fast forwards and backwards.

use burn::tensor::{Device, Tensor, TensorData};

const TAPS: usize = 11;

/// Blurs square pictures of one size.
#[derive(Debug)]
pub struct Ssim {
    /// `[side - 10, side]`.
    band: Tensor<2>,
}

impl Ssim {
    /// For pictures of `side` pixels, at least 11.
    pub fn new(side: usize, device: &Device) -> Self {
        let weight = |tap: usize| (-(tap as f64 - 5.0).powi(2) / (2.0 * 1.5 * 1.5)).exp();
        let total: f64 = (0..TAPS).map(weight).sum();
        let rows = side - (TAPS - 1);
        let mut band = vec![0.0_f32; rows * side];
        for row in 0..rows {
            for tap in 0..TAPS {
                band[row * side + row + tap] = (weight(tap) / total) as f32;
            }
        }
        Self {
            band: Tensor::from_data(TensorData::new(band, [rows, side]), device),
        }
    }

    /// Mean SSIM of pictures with values from -1 (black) to 1. Shapes: `[batch, side, side]` each.
    pub fn mean(&self, a: Tensor<3>, b: Tensor<3>) -> Tensor<1> {
        // The constants belong to levels that begin at 0.
        let (a, b) = (a.add_scalar(1.0), b.add_scalar(1.0));
        let (c1, c2) = ((0.01_f64 * 2.0).powi(2), (0.03_f64 * 2.0).powi(2));
        let (mean_a, mean_b) = (self.blur(a.clone()), self.blur(b.clone()));
        let var_a = self.blur(a.clone() * a.clone()) - mean_a.clone() * mean_a.clone();
        let var_b = self.blur(b.clone() * b.clone()) - mean_b.clone() * mean_b.clone();
        let covariance = self.blur(a * b) - mean_a.clone() * mean_b.clone();
        let product = mean_a.clone() * mean_b.clone();
        let squares = mean_a.clone() * mean_a + mean_b.clone() * mean_b;
        let similarity = (product.mul_scalar(2.0).add_scalar(c1)
            * covariance.mul_scalar(2.0).add_scalar(c2))
            / (squares.add_scalar(c1) * (var_a + var_b).add_scalar(c2));
        similarity.mean()
    }

    fn blur(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, side, _] = x.dims();
        let [rows, _] = self.band.dims();
        let along = |x: Tensor<3>| {
            // The last axis, then the other one comes last.
            let [_, lines, _] = x.dims();
            x.reshape([batch * lines, side])
                .matmul(self.band.clone().transpose())
                .reshape([batch, lines, rows])
                .swap_dims(1, 2)
        };
        along(along(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::metrics;

    #[test]
    fn the_loss_is_the_metric() {
        let side = 24;
        let picture = |f: fn(usize, usize) -> usize| -> Vec<u8> {
            (0..side * side)
                .map(|i| (f(i % side, i / side) % 256) as u8)
                .collect()
        };
        let a = picture(|x, y| x * 9 + y * 3);
        let b = picture(|x, y| x * 8 + y * 5 + (x * y) % 7);
        let device = Device::flex();
        let tensor = |levels: &[u8]| {
            let values: Vec<f32> = levels.iter().map(|v| f32::from(*v) / 127.5 - 1.0).collect();
            Tensor::<3>::from_data(TensorData::new(values, [1, side, side]), &device)
        };
        let ours: f32 = Ssim::new(side, &device)
            .mean(tensor(&a), tensor(&b))
            .into_scalar();
        let grey = |levels: &[u8]| levels.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let expected = metrics::ssim(&grey(&a), &grey(&b), side);
        assert!(
            (f64::from(ours) - expected).abs() < 1e-4,
            "{ours} {expected}"
        );
    }
}
