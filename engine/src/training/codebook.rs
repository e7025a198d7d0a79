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

/// Latents of the batch that an unused code is offered; it takes the one farthest from every other code, so that the many
/// latents of an empty background do not win by their number.
const TRIES: usize = 8;

/// Square distance of a latent to the nearest of some codes.
fn from_nearest(latent: &[f32], codes: &[f32]) -> f32 {
    codes
        .chunks_exact(latent.len().max(1))
        .map(|code| {
            code.iter()
                .zip(latent)
                .map(|(a, b)| (a - b) * (a - b))
                .sum()
        })
        .fold(f32::INFINITY, f32::min)
}

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
    /// Which code stood for which latent.
    pub assigned: Assigned,
}

/// Latents and the codes that stand for them.
#[derive(Clone, Debug, Default)]
pub struct Assigned {
    /// `[n]`.
    indices: Vec<usize>,
    /// `[n, dim]`.
    latents: Vec<f32>,
}

impl Assigned {
    /// Adds those of another picture.
    pub fn extend(&mut self, other: Self) {
        self.indices.extend(other.indices);
        self.latents.extend(other.latents);
    }
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
            assigned: Assigned {
                indices: best.into_data().iter::<i64>().map(|k| k as usize).collect(),
                latents: plain.into_data().iter::<f32>().collect(),
            },
        }
    }

    /// Moves the codes towards the latents they stood for and writes them into the model, as embedding and as logits.
    pub fn follow(
        &mut self,
        model: Vqgan,
        nearest: &Assigned,
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
        let mut known: Vec<f32> = Vec::with_capacity(codes * dim);
        for (count, sum) in self.counts.iter().zip(self.sums.chunks_exact(dim.max(1))) {
            if *count >= UNUSED {
                known.extend(sum.iter().map(|sum| sum / count));
            }
        }
        for code in 0..codes {
            if self.counts[code] < UNUSED && rows > 0 {
                self.counts[code] = 1.0;
                let begun = (0..TRIES)
                    .map(|_| latent(random.below(rows)))
                    .max_by(|a, b| from_nearest(a, &known).total_cmp(&from_nearest(b, &known)))
                    .unwrap_or(&[]);
                known.extend(begun);
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

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use burn::module::Module;

    use super::*;
    use crate::model::config::VqganConfig;
    use crate::model::initializer::Initializer;
    use crate::model::loader::{Loader, Precision, Source};
    use crate::model::vqgan::argmax_columns;

    #[test]
    fn the_code_of_the_highest_logit_is_the_nearest_code() {
        let device = Device::flex();
        let sizes = VqganConfig {
            embed_dim: 3,
            n_embed: 5,
            z_channels: 32,
            resolution: 4,
            in_channels: 3,
            out_ch: 3,
            ch: 32,
            ch_mult: vec![1],
            num_res_blocks: 0,
            norm_groups: 32,
            attn_resolutions: vec![],
        };
        let model = Vqgan::load(
            &mut Loader {
                source: Source::Random(&mut Initializer::new(3)),
                device: &device,
                precision: Precision::F32,
                on_tensor: &mut || ControlFlow::Continue(()),
                stopped: false,
                made: Vec::new(),
            },
            &sizes,
        );
        let parameters = model.num_params();
        let mut random = Random(4);
        let latents: Vec<f32> = (0..60).map(|_| random.normal() as f32).collect();
        let rows = Tensor::<2>::from_data(TensorData::new(latents.clone(), [20, 3]), &device);
        let mut codebook = Codebook::default();
        let first = Codebook::nearest(&model, rows.clone()).assigned;
        let model = codebook.follow(model, &first, 0.9, &mut random);
        assert_eq!(model.num_params(), parameters);
        let assigned = Codebook::nearest(&model, rows.clone()).assigned;

        // As the model encodes: logits of the 1x1 convolution.
        let z = rows.transpose().reshape([1, 3, 4, 5]);
        let weight = model.proj.weight.val().reshape([5, 3]);
        let logits = weight.matmul(z.reshape([3, 20])) + model.proj.bias.val().reshape([5, 1]);
        let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
        let chosen: Vec<usize> = argmax_columns(&logits, 5, 20)
            .iter()
            .map(|k| *k as usize)
            .collect();
        assert_eq!(chosen, assigned.indices);

        let codes: Vec<f32> = model.embed.val().into_data().iter::<f32>().collect();
        for (latent, code) in latents.chunks(3).zip(&assigned.indices) {
            let distance = |k: usize| -> f32 {
                let code = &codes[k * 3..k * 3 + 3];
                code.iter().zip(latent).map(|(a, b)| (a - b).powi(2)).sum()
            };
            let nearest = (0..5).map(distance).fold(f32::INFINITY, f32::min);
            assert!(distance(*code) <= nearest + 1e-5);
        }
    }
}
