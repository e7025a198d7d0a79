//! First values of a new model, by the name a parameter has in the checkpoint. The same seed gives the same model.

/// A seeded source of first values.
#[derive(Clone, Debug)]
pub struct Initializer {
    random: Random,
}

/// A small, fast generator whose whole state is one number, so that a checkpoint can hold it (SplitMix64, Steele et al.
/// 2014).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1): neither end is reached, so that its logarithm is finite.
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Uniform in `0..end`; 0 for an empty range.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.uniform() * end as f64) as usize).min(end.saturating_sub(1))
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Standard Gumbel: `-ln(-ln(u))`.
    pub fn gumbel(&mut self) -> f64 {
        -(-self.uniform().ln()).ln()
    }
}

impl Initializer {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
        }
    }

    /// Values of the parameter `name` of this shape, row-major: norms one; biases and `lora_B` zero (a new plug-in changes
    /// nothing); everything else normal with the inverse square root of its inputs, embeddings with 0.02.
    pub fn values(&mut self, name: &str, shape: &[usize]) -> Vec<f32> {
        let count = shape.iter().product();
        let inputs: usize = shape.iter().skip(1).product();
        let std = if name.ends_with(".bias") || name.contains("lora_B") {
            return vec![0.0; count];
        } else if shape.len() == 1 && !name.contains("class_embedding") {
            return vec![1.0; count];
        } else if name.contains("quantize.embed") {
            1.0
        } else if name.contains("embed") && !name.contains("patch_embedding") {
            0.02
        } else {
            (inputs.max(1) as f64).powf(-0.5)
        };
        (0..count)
            .map(|_| (self.random.normal() * std) as f32)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut random = Random(7);
        let sample: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = sample.iter().sum::<f64>() / 20_000.0;
        let variance = sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        // Three standard errors: 3 / sqrt(20000) and 3 * sqrt(2 / 20000).
        assert!(
            mean.abs() < 0.0213 && (variance - 1.0).abs() < 0.03,
            "{mean} {variance}"
        );
        assert!((0..1000).all(|_| random.below(7) < 7));
    }

    #[test]
    fn a_new_plug_in_changes_nothing_and_norms_begin_at_one() {
        let mut initializer = Initializer::new(1);
        assert!(
            initializer
                .values("layers.0.mlp.down_proj.lora_B.weight", &[4, 8])
                .iter()
                .all(|x| *x == 0.0)
        );
        assert!(
            initializer
                .values("encoder.norm_out.weight", &[32])
                .iter()
                .all(|x| *x == 1.0)
        );
        let kernel = initializer.values("encoder.conv_in.weight", &[8, 3, 3, 3]);
        assert!(kernel.iter().any(|x| *x != 0.0) && kernel.iter().all(|x| x.abs() < 1.0));
    }
}
