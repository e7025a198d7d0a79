//! Loops that the compiler turns into vector instructions.

/// Independent running sums: as many as hide the latency of an addition on any CPU of today.
const LANES: usize = 16;

/// `e^x` within 2e-7 of its value, for any `x`; flushed to about 1e-38 and 1e38 at the ends.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Adding it rounds to a whole number, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    let t = (x * std::f32::consts::LOG2_E).clamp(-126.0, 126.0);
    let shifted = t + ROUND;
    let f = t - (shifted - ROUND); // in [-0.5, 0.5]
    // Taylor coefficients of 2^f: ln(2)^k / k!.
    let p = 1.540_353e-4_f32;
    let p = p * f + 1.333_355_8e-3;
    let p = p * f + 9.618_129e-3;
    let p = p * f + 5.550_411e-2;
    let p = p * f + 2.402_265e-1;
    let p = p * f + std::f32::consts::LN_2;
    let p = p * f + 1.0;
    let exponent = shifted.to_bits().wrapping_shl(23); // the rest of ROUND's bits leave at the top
    f32::from_bits(p.to_bits().wrapping_add(exponent))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Sum of all values of `f` over `x`.
#[inline(always)]
pub fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|v| f(*v)).sum();
    for chunk in chunks {
        for (sum, v) in sums.iter_mut().zip(chunk) {
            *sum += f(*v);
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Sum of the products.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = left.remainder().iter().zip(right.remainder());
    let rest: f32 = rest.map(|(x, y)| x * y).sum();
    for (x, y) in left.zip(right) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The largest value.
#[inline(always)]
pub fn max(x: &[f32]) -> f32 {
    let mut largest = [f32::MIN; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder().iter().fold(f32::MIN, |a, b| a.max(*b));
    for chunk in chunks {
        for (largest, v) in largest.iter_mut().zip(chunk) {
            *largest = if *v > *largest { *v } else { *largest };
        }
    }
    largest.iter().fold(rest, |a, b| a.max(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_within_rounding_of_the_library_s() {
        let mut worst = 0.0_f64;
        for i in -86_000..86_000 {
            let x = i as f32 * 1e-3;
            let expected = f64::from(x).exp();
            // The rounding of x * log2(e) and of log2(e) itself grows with x: 2^-24 and 0.5 * 2^-24 of it.
            let allowed = 2e-7 + f64::from(x.abs()) * 9e-8;
            worst = worst.max((f64::from(exp(x)) / expected - 1.0).abs() / allowed);
        }
        assert!(worst < 1.0, "{worst}");
        assert!(exp(-1000.0) < 2e-38 && exp(-1000.0) >= 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn sums_and_the_maximum_take_the_rest_of_a_row_too() {
        let x: Vec<f32> = (0..37).map(|i| i as f32 - 5.0).collect();
        assert_eq!(sum_of(&x, |v| v), 481.0);
        assert_eq!(dot(&x, &x), 10_471.0);
        assert_eq!(max(&x), 31.0);
        assert_eq!(max(&[-3.0, -2.0]), -2.0);
    }
}
