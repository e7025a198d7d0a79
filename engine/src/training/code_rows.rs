//! Rows of a head for image codes that begin where the codebook is.
//!
//! The logit `-|h - e_k|^2 / (2 s^2)` of code `e_k` is, but for what all codes share, `e_k . h / s^2 - |e_k|^2 / (2 s^2)`: a linear head
//! whose rows lie in a few dimensions. A head of random rows has to learn for thousands of codes which of them look alike; one that
//! begins with these rows leaves the rest of the model to find `h`, the place in the codebook.

use burn::tensor::{Tensor, TensorData};

use super::params::replaced;
use super::soft_codes::kernel_width;
use crate::model::HealthGpt;
use crate::model::decoder::Decoder;
use crate::model::random::Random;

/// What the state has to hold in the direction of a code's norm.
const CONSTANT: f32 = 4.0;
/// Standard deviation of what is added to every entry, so that rows can leave their few dimensions.
const NOISE: f64 = 0.02;

/// `[codes, width]`, row by row, for a codebook `[codes, dim]` and a spread `s`.
pub fn rows(embed: &[f32], dim: usize, s: f32, width: usize, random: &mut Random) -> Vec<f32> {
    let count = (embed.len() / dim.max(1)).max(1) as f32;
    let mean: Vec<f32> = (0..dim)
        .map(|i| embed.iter().skip(i).step_by(dim.max(1)).sum::<f32>() / count)
        .collect();
    let directions: Vec<Vec<f32>> = (0..=dim).map(|_| direction(width, random)).collect();
    let mut all = Vec::with_capacity(width * count as usize);
    for code in embed.chunks_exact(dim.max(1)) {
        let mut place: Vec<f32> = code.iter().zip(&mean).map(|(x, m)| (x - m) / s).collect();
        place.push(-0.5 * place.iter().map(|x| x * x).sum::<f32>() / CONSTANT);
        for i in 0..width {
            let along = place.iter().zip(&directions);
            let sum: f32 = along
                .map(|(x, direction)| x * direction.get(i).unwrap_or(&0.0))
                .sum();
            all.push(sum + (random.normal() * NOISE) as f32);
        }
    }
    all
}

/// A random direction of length 1.
fn direction(width: usize, random: &mut Random) -> Vec<f32> {
    let values: Vec<f32> = (0..width).map(|_| random.normal() as f32).collect();
    let length = values.iter().map(|x| x * x).sum::<f32>().sqrt();
    values.into_iter().map(|x| x / length).collect()
}

/// The same for a model's codebook; none where it has none.
pub fn of_model(
    model: &HealthGpt,
    kernel: f64,
    width: usize,
    random: &mut Random,
) -> Option<Vec<f32>> {
    let (vqgan, _) = model.vqgan.as_ref()?;
    let [_, dim] = vqgan.embed.dims();
    let embed: Vec<f32> = vqgan.embed.val().into_data().iter::<f32>().collect();
    let kernel = if kernel > 0.0 { kernel } else { 1.0 };
    let s = kernel_width(&embed, dim, kernel as f32);
    Some(rows(&embed, dim, s, width, random))
}

/// A decoder whose rows for codes, in its embedding and in its head, begin there.
pub fn begin(mut decoder: Decoder, model: &HealthGpt, kernel: f64, seed: u64) -> Option<Decoder> {
    let [_, width] = decoder.lm_head.dims();
    let mut random = Random(seed);
    let rows = of_model(model, kernel, width, &mut random)?;
    let first = model.tokenizer.start_index()? as usize + 1;
    let codes = rows.len() / width.max(1);
    let device = decoder.lm_head.device();
    let rows = Tensor::<2>::from_data(TensorData::new(rows, [codes, width]), &device);
    let head = rows.clone();
    decoder.lm_head = replaced(decoder.lm_head, |table| {
        table.slice_assign([first..first + codes, 0..width], head)
    });
    // Embeddings are small; the first norm makes them as large as any.
    decoder.embed_tokens = replaced(decoder.embed_tokens, |table| {
        let [_, width] = table.dims();
        table.slice_assign([first..first + codes, 0..width], rows.mul_scalar(0.05))
    });
    Some(decoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_holds_a_place_has_the_logits_of_the_distances_to_it() {
        let mut random = Random(5);
        let (dim, width, s) = (3, 24, 0.5);
        let embed: Vec<f32> = (0..30).map(|_| random.normal() as f32).collect();
        let mut again = Random(9);
        let all = rows(&embed, dim, s, width, &mut Random(9));
        let directions: Vec<Vec<f32>> = (0..=dim).map(|_| direction(width, &mut again)).collect();
        // Least squares by hand: the directions are nearly orthogonal, so a few corrections suffice.
        let mean: Vec<f32> = (0..dim)
            .map(|i| embed.iter().skip(i).step_by(dim).sum::<f32>() / 10.0)
            .collect();
        let code = &embed[6..9];
        let mut wanted: Vec<f32> = (0..dim).map(|i| (code[i] - mean[i]) / s).collect();
        wanted.push(CONSTANT);
        let mut state = vec![0.0_f32; width];
        for _ in 0..200 {
            for (direction, wanted) in directions.iter().zip(&wanted) {
                let held: f32 = direction.iter().zip(&state).map(|(a, b)| a * b).sum();
                for (x, d) in state.iter_mut().zip(direction) {
                    *x += (wanted - held) * d;
                }
            }
        }
        let logits: Vec<f32> = all
            .chunks_exact(width)
            .map(|row| row.iter().zip(&state).map(|(a, b)| a * b).sum())
            .collect();
        let best = (0..10).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
        assert_eq!(best, Some(2), "{logits:?}");
        for (k, other) in embed.chunks_exact(dim).enumerate() {
            let square: f32 = code.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum();
            let below = logits[2] - logits[k];
            let noise = 0.02 * 5.0 * state.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!(
                (below - square / (2.0 * s * s)).abs() < noise,
                "{k}: {below}"
            );
        }
    }
}
