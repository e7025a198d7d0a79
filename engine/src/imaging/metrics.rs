//! How alike two pictures are: SSIM, PSNR, MSE and MAE on 8-bit grey levels.

use image::RgbImage;

/// The mean of the channels, 0 to 255.
pub fn grey(image: &RgbImage) -> Vec<f64> {
    image
        .pixels()
        .map(|pixel| pixel.0.iter().map(|level| f64::from(*level)).sum::<f64>() / 3.0)
        .collect()
}

/// Mean squared error. Both slices have the same length.
pub fn mse(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>() / a.len().max(1) as f64
}

/// Mean absolute error.
pub fn mae(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).sum::<f64>() / a.len().max(1) as f64
}

/// Peak signal-to-noise ratio in dB for levels 0 to 255; infinite for equal pictures.
pub fn psnr(a: &[f64], b: &[f64]) -> f64 {
    10.0 * (255.0 * 255.0 / mse(a, b)).log10()
}

/// Mean structural similarity (Wang et al. 2004): 11-tap Gaussian of sigma 1.5, K1 0.01, K2 0.03, range 255, sample
/// covariance not used, borders of 5 pixels left out of the mean (all of it for pictures under 11 pixels).
pub fn ssim(a: &[f64], b: &[f64], width: usize) -> f64 {
    let height = a.len().checked_div(width).unwrap_or(0);
    if width == 0 || height == 0 || a.len() != b.len() {
        return 0.0;
    }
    let product =
        |x: &[f64], y: &[f64]| -> Vec<f64> { x.iter().zip(y).map(|(x, y)| x * y).collect() };
    let blur = |x: &[f64]| gaussian(x, width, height);
    let (mean_a, mean_b) = (blur(a), blur(b));
    let (aa, bb, ab) = (
        blur(&product(a, a)),
        blur(&product(b, b)),
        blur(&product(a, b)),
    );
    let (c1, c2) = ((0.01 * 255.0_f64).powi(2), (0.03 * 255.0_f64).powi(2));
    let border = if width > 10 && height > 10 { 5 } else { 0 };
    let (mut sum, mut count) = (0.0, 0.0);
    for y in border..height - border {
        for x in border..width - border {
            let i = y * width + x;
            let (ma, mb) = (mean_a[i], mean_b[i]);
            let (va, vb, cov) = (aa[i] - ma * ma, bb[i] - mb * mb, ab[i] - ma * mb);
            sum += (2.0 * ma * mb + c1) * (2.0 * cov + c2)
                / ((ma * ma + mb * mb + c1) * (va + vb + c2));
            count += 1.0;
        }
    }
    sum / count
}

/// Separable 11-tap Gaussian of sigma 1.5 with reflected borders (scipy's `reflect`).
fn gaussian(x: &[f64], width: usize, height: usize) -> Vec<f64> {
    let mut weights: Vec<f64> = (-5..=5)
        .map(|t| (-f64::from(t * t) / (2.0 * 1.5 * 1.5)).exp())
        .collect();
    let total: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);
    let reflect = |position: isize, len: usize| -> usize {
        let len = len as isize;
        let folded = position.rem_euclid(2 * len);
        (if folded < len {
            folded
        } else {
            2 * len - 1 - folded
        }) as usize
    };
    // Along x: each row with its borders, then windows of it.
    let mut rows = Vec::with_capacity(x.len());
    let mut padded = vec![0.0; width + 10];
    for row in x.chunks_exact(width) {
        for (i, value) in padded.iter_mut().enumerate() {
            *value = row[reflect(i as isize - 5, width)];
        }
        let blurred = padded.windows(11).map(|part| -> f64 {
            part.iter()
                .zip(&weights)
                .map(|(value, weight)| value * weight)
                .sum()
        });
        rows.extend(blurred);
    }
    // Along y: whole rows, weighted and added.
    let mut result = vec![0.0; x.len()];
    for (y, target) in result.chunks_exact_mut(width).enumerate() {
        for (t, weight) in (-5_isize..=5).zip(&weights) {
            let from = reflect(y as isize + t, height) * width;
            for (sum, value) in target.iter_mut().zip(&rows[from..from + width]) {
                *sum += weight * value;
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pictures_have_ssim_one_and_no_error() {
        let a: Vec<f64> = (0..400).map(|i| f64::from((i * 37) % 256)).collect();
        assert!((ssim(&a, &a, 20) - 1.0).abs() < 1e-12);
        assert_eq!((mse(&a, &a), mae(&a, &a)), (0.0, 0.0));
        assert!(psnr(&a, &a).is_infinite());
    }

    #[test]
    fn a_shift_of_ten_levels_has_mse_100_and_psnr_28_13() {
        let a: Vec<f64> = (0..400).map(|i| f64::from(i % 200)).collect();
        let b: Vec<f64> = a.iter().map(|x| x + 10.0).collect();
        assert_eq!((mse(&a, &b), mae(&a, &b)), (100.0, 10.0));
        assert!((psnr(&a, &b) - 28.13).abs() < 0.01);
        let value = ssim(&a, &b, 20);
        assert!(value < 1.0 && value > 0.8, "{value}");
    }
}
