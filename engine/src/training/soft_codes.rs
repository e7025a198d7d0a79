//! Targets of image tokens, spread over the codes that look alike.
//!
//! With one right code among thousands, a wrong code next to it costs as much as one far away, and greedy decoding takes the
//! most frequent of many small peaks. Here the share of code `k`, where `y` is right, is proportional to
//! `exp(-|e_k - e_y|^2 / (2 s^2))`, over the codebook `e`: label smoothing that knows the codebook. `s` is `kernel` times the
//! median distance of a used code to its nearest neighbour.

use burn::tensor::TensorData;

use crate::model::HealthGpt;

/// The spread of every code.
pub struct SoftCodes {
    /// Id of code 0.
    first: u32,
    codes: usize,
    /// `[codes, codes]`: rows sum to 1.
    table: Vec<f32>,
}

impl SoftCodes {
    /// The table of a model's codebook; none where `kernel` is 0 or the model has no codebook.
    pub fn new(model: &HealthGpt, kernel: f64) -> Option<Self> {
        let (vqgan, _) = model.vqgan.as_ref()?;
        let first = model.tokenizer.start_index()? + 1;
        if kernel <= 0.0 {
            return None;
        }
        let [codes, dim] = vqgan.embed.dims();
        let data: TensorData = vqgan.embed.val().into_data();
        let embed: Vec<f32> = data.iter::<f32>().collect();
        Some(Self {
            first,
            codes,
            table: spread(&embed, dim, kernel as f32),
        })
    }

    /// Shares of the codes alone for each of `codes`: `[ids, codes]`.
    pub fn of_codes(&self, codes: &[u32]) -> Vec<f32> {
        let row = |code: &u32| {
            let from = *code as usize * self.codes;
            self.table.get(from..from + self.codes).unwrap_or_default()
        };
        codes.iter().flat_map(row).copied().collect()
    }

    /// Shares of the whole vocabulary for each of `ids`: `[ids, vocabulary]`.
    pub fn targets(&self, ids: &[u32], vocabulary: usize) -> Vec<f32> {
        let mut shares = vec![0.0; ids.len() * vocabulary];
        let first = self.first as usize;
        for (id, row) in ids.iter().zip(shares.chunks_exact_mut(vocabulary)) {
            let id = *id as usize;
            match id.checked_sub(first).filter(|code| *code < self.codes) {
                Some(code) => {
                    let spread = &self.table[code * self.codes..(code + 1) * self.codes];
                    row[first..first + self.codes].copy_from_slice(spread);
                }
                None => row[id] = 1.0,
            }
        }
        shares
    }
}

/// `kernel` times the median distance of a used code to its nearest neighbour, for codes `[codes, dim]`.
pub(super) fn kernel_width(embed: &[f32], dim: usize, kernel: f32) -> f32 {
    let mut nearest: Vec<f32> = embed
        .chunks_exact(dim.max(1))
        .map(|a| {
            let others = embed.chunks_exact(dim.max(1)).map(|b| square(a, b));
            others
                .filter(|square| *square > 0.0)
                .fold(f32::INFINITY, f32::min)
        })
        .filter(|square| square.is_finite())
        .collect();
    nearest.sort_by(f32::total_cmp);
    let typical = nearest.get(nearest.len() / 2).copied().unwrap_or(1.0);
    kernel * typical.sqrt()
}

/// Square distance.
fn square(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// Rows of normed shares for codes `[codes, dim]`.
fn spread(embed: &[f32], dim: usize, kernel: f32) -> Vec<f32> {
    let codes = embed.len() / dim.max(1);
    let s = kernel_width(embed, dim, kernel);
    let mut table = Vec::with_capacity(codes * codes);
    for a in embed.chunks_exact(dim) {
        table.extend(embed.chunks_exact(dim).map(|b| square(a, b)));
    }
    let factor = -0.5 / (s * s);
    for row in table.chunks_exact_mut(codes) {
        row.iter_mut().for_each(|x| *x = (*x * factor).exp());
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|x| *x /= sum);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_s_share_falls_with_its_distance() {
        // Four codes on a line, one unit apart: with a kernel of 1 a neighbour has e^-0.5 of the right code's share.
        let table = spread(&[0.0, 1.0, 2.0, 3.0], 1, 1.0);
        for (code, row) in table.chunks_exact(4).enumerate() {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            let best = row.iter().copied().fold(0.0, f32::max);
            assert_eq!(row[code], best);
        }
        assert!((table[1] / table[0] - (-0.5_f32).exp()).abs() < 1e-6);
        assert!((table[2] / table[0] - (-2.0_f32).exp()).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_code_stays_the_one_right_answer() {
        let soft = SoftCodes {
            first: 3,
            codes: 2,
            table: vec![0.75, 0.25, 0.25, 0.75],
        };
        let shares = soft.targets(&[4, 5], 6);
        assert_eq!(shares[..6], [0.0, 0.0, 0.0, 0.25, 0.75, 0.0]);
        assert_eq!(shares[6..], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
