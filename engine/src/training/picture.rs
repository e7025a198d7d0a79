//! The image decoder on what the model writes (stage `decoder`).
//!
//! A VQGAN's decoder is trained on the codes of real pictures and then shown those of a language model, which are wrong here and
//! there. As in post-training of image tokenizers (Qiu et al. 2025, RobusTok), the decoder alone goes on here: on codes that the model
//! writes for a record, and on those of the target itself, so that real codes lose little. Encoder, codebook and
//! everything before them are frozen: whatever was encoded or trained stays valid, and the picture comes from the codes alone.
//!
//! The codes of a record are written in two passes over the whole sequence, not one by one: first with random codes as
//! what was written before, then with the first pass's. Greedy decoding gives the same codes only where they do not depend on
//! each other.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use super::error::TrainError;
use super::examples::Example;
use super::learner::Learner;
use super::ssim::Ssim;
use crate::model::preprocess::vqgan_pixels;
use crate::model::random::Random;
use crate::model::vqgan::Vqgan;
use crate::model::{HealthGpt, ModelError};

/// Share of the records whose codes the model writes, unless the configuration says another.
pub const WRITTEN: f64 = 0.7;
/// Weights of the edges and of `1 - SSIM` beside the absolute difference.
const WEIGHTS: [f64; 2] = [0.5, 0.5];

/// The autoencoder with all but its decoder frozen.
pub fn decoder_only(mut vqgan: Vqgan) -> Vqgan {
    vqgan.encoder = vqgan.encoder.no_grad();
    vqgan.quant_conv = vqgan.quant_conv.no_grad();
    vqgan.proj = vqgan.proj.no_grad();
    vqgan.embed = vqgan.embed.set_require_grad(false);
    vqgan
}

/// How far the decoded picture of a record is from its target.
///
/// # Errors
/// A record that makes no picture.
pub fn loss(
    learner: &Learner,
    model: &HealthGpt,
    plugin: usize,
    example: &Example,
    (ssim, written_share): (&Ssim, f64),
    mut random: Random,
    device: &Device,
) -> Result<Tensor<1>, TrainError> {
    let missing = || {
        TrainError::Model(ModelError::Invalid {
            what: "stage decoder needs records with a target picture and a model with an image decoder"
                .to_owned(),
        })
    };
    let found = (&learner.vqgan, &model.vqgan, &example.target);
    let (Some(vqgan), Some((_, sizes)), Some(target)) = found else {
        return Err(missing());
    };
    let codes = match random.uniform() < written_share {
        true => {
            let first = learner.written(model, plugin, example, &example.given, device)?;
            let start = model.tokenizer.start_index().ok_or_else(missing)?;
            let given: Vec<u32> = first.iter().map(|code| start + 1 + code).collect();
            learner.written(model, plugin, example, &given, device)?
        }
        false => {
            let ids = example.targets.iter();
            ids.filter_map(|id| model.tokenizer.code_of(*id)).collect()
        }
    };
    let side = sizes.resolution;
    let pixels = TensorData::new(vqgan_pixels(target, side), [1, 3, side, side]);
    let x = Tensor::<4>::from_data(pixels, device);
    let decoded = vqgan.decode(vqgan.latents(&codes, device));
    Ok(difference(decoded, x, ssim, WEIGHTS))
}

/// Mean absolute difference of two pictures, of their edges, and `1 - SSIM`, with the weights of the last two.
pub fn difference(
    decoded: Tensor<4>,
    target: Tensor<4>,
    ssim: &Ssim,
    [edge_weight, ssim_weight]: [f64; 2],
) -> Tensor<1> {
    let levels = (decoded.clone() - target.clone()).abs().mean();
    let similarity = ssim.mean(grey(decoded.clone()), grey(target.clone()));
    levels
        + edges(decoded, target).mul_scalar(edge_weight)
        + similarity.neg().add_scalar(1.0).mul_scalar(ssim_weight)
}

/// The mean of the channels. Shapes: `[batch, 3, side, side]` to `[batch, side, side]`.
fn grey(x: Tensor<4>) -> Tensor<3> {
    x.mean_dim(1).squeeze_dim(1)
}

/// Mean absolute difference of the differences between neighbours, along rows and along columns.
fn edges(a: Tensor<4>, b: Tensor<4>) -> Tensor<1> {
    let difference = a - b;
    let [_, _, h, w] = difference.dims();
    let right = difference.clone().narrow(3, 1, w - 1) - difference.clone().narrow(3, 0, w - 1);
    let down = difference.clone().narrow(2, 1, h - 1) - difference.narrow(2, 0, h - 1);
    right.abs().mean() + down.abs().mean()
}
