//! The code nearest to what a model expects of a place in an image, in place of the likeliest one.
//!
//! Where many codes look alike, what is likely is spread over them, and the likeliest single code may be far from most of the rest:
//! one hallucinated code drags its neighbours along. The code with the least expected square distance in the codebook (minimum
//! Bayes risk decoding: Kumar and Byrne 2004) is the one nearest to the mean of all codes, each weighed by its probability. A model
//! asks for it in `model.toml`; tokens are still one code each, and the picture is still made of them alone.

use burn::tensor::Tensor;

use super::sampler::argmax;
use super::vqgan::Vqgan;

/// Chooses codes by a codebook.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedCode {
    /// `[codes, dim]`.
    embed: Vec<f32>,
    dim: usize,
    temperature: f32,
}

impl ExpectedCode {
    /// Of a model's codebook; logits are divided by `temperature` first.
    pub fn new(vqgan: &Vqgan, temperature: f32) -> Self {
        let [_, dim] = vqgan.embed.dims();
        let embed = vqgan.embed.val().into_data();
        Self {
            embed: embed.iter::<f32>().collect(),
            dim,
            temperature,
        }
    }

    /// The code for one logit per code: that of the codebook nearest to the expected row, the lowest on a tie.
    pub fn choose(&self, logits: &[f32]) -> usize {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |logit: &f32| ((logit - top) / self.temperature).exp();
        let mut mean = vec![0.0; self.dim];
        let mut total = 0.0;
        for (logit, row) in logits.iter().zip(self.rows()) {
            let weight = weight(logit);
            total += weight;
            for (sum, x) in mean.iter_mut().zip(row) {
                *sum += weight * x;
            }
        }
        mean.iter_mut().for_each(|x| *x /= total);
        let nearness = |row: &[f32]| {
            let squares = row.iter().zip(&mean).map(|(a, b)| (a - b) * (a - b));
            -squares.sum::<f32>()
        };
        argmax(&self.rows().map(nearness).collect::<Vec<f32>>())
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.embed.chunks_exact(self.dim)
    }
}

/// The codes that a model chooses for logits `[1, places, codes]`: by its codebook, or the likeliest.
pub fn chosen(expected: Option<&ExpectedCode>, logits: Tensor<3>) -> Vec<u32> {
    let [_, _, codes] = logits.dims();
    match expected {
        Some(expected) => {
            let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
            let places = logits.chunks_exact(codes);
            places.map(|place| expected.choose(place) as u32).collect()
        }
        None => logits.argmax(2).into_data().iter::<u32>().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes at 0, 1, 2 and 10 on a line.
    fn line(temperature: f32) -> ExpectedCode {
        ExpectedCode {
            embed: vec![0.0, 1.0, 2.0, 10.0],
            dim: 1,
            temperature,
        }
    }

    #[test]
    fn a_code_among_many_likely_ones_wins_over_a_likelier_one_far_away() {
        // Shares 0.24, 0.2, 0.24 and 0.32: the mean is 3.88, and 2 is the code nearest to it.
        let logits = [0.24_f32, 0.2, 0.24, 0.32].map(f32::ln);
        assert_eq!(line(1.0).choose(&logits), 2);
        // A low temperature is the likeliest code.
        assert_eq!(line(0.01).choose(&logits), 3);
    }

    #[test]
    fn a_sure_model_gets_its_code_and_large_logits_do_no_harm() {
        for sure in 0..4 {
            let mut logits = [-500.0; 4];
            logits[sure] = 500.0;
            assert_eq!(line(1.0).choose(&logits), sure);
        }
    }
}
