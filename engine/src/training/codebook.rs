//! A codebook that follows the latents it stands for: nearest code, moving averages (van den Oord et al. 2017, appendix A.1),
//! and unused codes begun again at a latent of the batch.
//!
//! What runs is GumbelVQ, which takes the code of the highest logit `w_k z + b_k`. The nearest code is that code for
//! `w_k = e_k` and `b_k = -|e_k|^2 / 2`, so a trained codebook is written as exactly these weights: no other code path.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::error::TrainError;
use super::params::write_f32;
use crate::model::checkpoint::Checkpoint;
use crate::model::random::Random;
use crate::model::vqgan::Vqgan;

/// Below this moving count a code is begun again.
const UNUSED: f32 = 0.05;

/// Moving averages of how often a code is used and of the latents it stands for.
#[derive(Clone, Debug, Default)]
pub struct Codebook {
    /// `[codes]`.
    counts: Vec<f32>,
    /// `[codes, dim]`: the codes are `sums / counts`.
    sums: Vec<f32>,
    dim: usize,
}

/// What the nearest codes of a batch are.
pub struct Nearest {
    /// `[n, dim]`: codes, with the gradient of the latents (straight through).
    pub codes: Tensor<2>,
    /// Mean square distance of latents and codes: the commitment loss.
    pub commitment: Tensor<1>,
    /// `[n]`.
    indices: Vec<usize>,
    /// `[n, dim]`.
    latents: Vec<f32>,
}

impl Codebook {
    /// The codes nearest to latents `[n, dim]`.
    pub fn nearest(model: &Vqgan, latents: Tensor<2>) -> Nearest {
        let embed = model.embed.val().set_require_grad(false);
        let [codes, _] = embed.dims();
        let plain = latents.clone().detach();
        let half_norms = embed.clone().powi_scalar(2).sum_dim(1).mul_scalar(0.5);
        let scores =
            plain.clone().matmul(embed.clone().transpose()) - half_norms.reshape([1, codes]);
        let best: Tensor<1, Int> = scores.argmax(1).flatten(0, 1);
        let chosen = embed.select(0, best.clone());
        Nearest {
            commitment: (latents.clone() - chosen.clone()).powi_scalar(2).mean(),
            codes: latents + (chosen - plain.clone()).detach(),
            indices: best.into_data().iter::<i64>().map(|k| k as usize).collect(),
            latents: plain.into_data().iter::<f32>().collect(),
        }
    }

    /// Moves the codes towards the latents they stood for and writes them into the model, as embedding and as logits.
    pub fn follow(
        &mut self,
        model: Vqgan,
        nearest: &Nearest,
        decay: f32,
        random: &mut Random,
    ) -> Vqgan {
        let [codes, dim] = model.embed.dims();
        let device = model.embed.device();
        let latent = |i: usize| nearest.latents.get(i * dim..(i + 1) * dim).unwrap_or(&[]);
        let rows = nearest.latents.len() / dim.max(1);
        if self.counts.len() != codes {
            // The first batch: every code begins at one of its latents.
            *self = Self {
                counts: vec![0.0; codes],
                sums: vec![0.0; codes * dim],
                dim,
            };
        } else {
            let mut counts = vec![0.0_f32; codes];
            let mut sums = vec![0.0_f32; codes * dim];
            for (i, code) in nearest.indices.iter().enumerate() {
                counts[*code] += 1.0;
                for (sum, x) in sums[code * dim..].iter_mut().zip(latent(i)) {
                    *sum += x;
                }
            }
            for (kept, new) in [(&mut self.counts, &counts), (&mut self.sums, &sums)] {
                for (kept, new) in kept.iter_mut().zip(new) {
                    *kept = decay * *kept + (1.0 - decay) * new;
                }
            }
        }
        for code in 0..codes {
            if self.counts[code] < UNUSED && rows > 0 {
                self.counts[code] = 1.0;
                let begun = latent(random.below(rows));
                self.sums[code * dim..(code + 1) * dim].copy_from_slice(begun);
            }
        }
        self.write_to(model, &device)
    }

    fn write_to(&self, mut model: Vqgan, device: &Device) -> Vqgan {
        let (codes, dim) = (self.counts.len(), self.dim);
        let values: Vec<f32> = self
            .sums
            .iter()
            .enumerate()
            .map(|(i, sum)| sum / self.counts[i / dim])
            .collect();
        let biases: Vec<f32> = values
            .chunks(dim)
            .map(|code| -0.5 * code.iter().map(|x| x * x).sum::<f32>())
            .collect();
        let table = Tensor::<2>::from_data(TensorData::new(values, [codes, dim]), device);
        let bias = Tensor::<1>::from_data(TensorData::new(biases, [codes]), device);
        model.proj.weight = model
            .proj
            .weight
            .map(|_| table.clone().reshape([codes, dim, 1, 1]));
        model.proj.bias = model.proj.bias.map(|_| bias);
        model.embed = model.embed.map(|_| table);
        model
    }

    /// Share of the codes in use.
    pub fn used(&self) -> f64 {
        let used = self
            .counts
            .iter()
            .filter(|count| **count > 4.0 * UNUSED)
            .count();
        used as f64 / self.counts.len().max(1) as f64
    }

    /// Writes the averages.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`].
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let (codes, dim) = (self.counts.len(), self.dim);
        let tensors = [
            ("counts".to_owned(), vec![codes], self.counts.clone()),
            ("sums".to_owned(), vec![codes, dim], self.sums.clone()),
        ];
        write_f32(path, &tensors)
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] or [`TrainError::Model`].
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        let file = Checkpoint::open(path)?;
        let read = |name: &str| {
            file.tensor(name)
                .map(|tensor| tensor.to_f32())
                .ok_or_else(|| TrainError::Checkpoint {
                    why: format!("'{name}' is missing"),
                    path: path.to_owned(),
                })
        };
        let (counts, sums) = (read("counts")?, read("sums")?);
        let dim = sums.len() / counts.len().max(1);
        Ok(Self { counts, sums, dim })
    }
}
