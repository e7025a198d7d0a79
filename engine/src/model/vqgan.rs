//! GumbelVQ (taming-transformers, `vqgan_gumbel_f8`): codes to an image, and an image to codes.
//!
//! The encoder's code is the argmax of learned logits, not the nearest codebook entry of the paper's Equation 2, and
//! without the Gumbel noise that the reference adds even in evaluation. Field names are the checkpoint's.

use std::path::{Path, PathBuf};

use burn::module::{Module, Param};
use burn::tensor::activation::{silu, softmax};
use burn::tensor::module::{conv2d, interpolate};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Int, Tensor, TensorData};

use image::RgbImage;

use super::config::VqganConfig;
use super::fused::{self, GroupNormShape, Visible};
use super::loader::Loader;

/// The autoencoder.
#[derive(Module, Debug)]
pub struct Vqgan {
    /// Image to latents.
    pub encoder: Encoder,
    /// Latents to image.
    pub decoder: VqDecoder,
    /// 1x1, after the encoder.
    pub quant_conv: Conv,
    /// 1x1, before the decoder.
    pub post_quant_conv: Conv,
    /// 1x1: latents to the logits of the codes.
    pub proj: Conv,
    /// `[codes, embed_dim]`.
    pub embed: Param<Tensor<2>>,
    /// Latents along one side of the image.
    pub side: usize,
}

/// A convolution with bias.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[out, in, k, k]`.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

/// Group norm with eps 1e-6.
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// `[channels]`.
    pub bias: Param<Tensor<1>>,
    /// Groups of neighbouring channels: 32 in taming-transformers.
    pub groups: usize,
}

/// Two convolutions around a shortcut.
#[derive(Module, Debug)]
pub struct ResnetBlock {
    /// Before `conv1`.
    pub norm1: GroupNorm,
    /// 3x3.
    pub conv1: Conv,
    /// Before `conv2`.
    pub norm2: GroupNorm,
    /// 3x3.
    pub conv2: Conv,
    /// 1x1, where the widths differ.
    pub nin_shortcut: Option<Conv>,
}

/// Single-head attention over all positions.
#[derive(Module, Debug)]
pub struct AttnBlock {
    /// Before the projections.
    pub norm: GroupNorm,
    /// 1x1.
    pub q: Conv,
    /// 1x1.
    pub k: Conv,
    /// 1x1.
    pub v: Conv,
    /// 1x1.
    pub proj_out: Conv,
}

/// The narrowest part.
#[derive(Module, Debug)]
pub struct Mid {
    /// First block.
    pub block_1: ResnetBlock,
    /// Attention.
    pub attn_1: AttnBlock,
    /// Second block.
    pub block_2: ResnetBlock,
}

/// One resolution.
#[derive(Module, Debug)]
pub struct Level {
    /// Blocks.
    pub block: Vec<ResnetBlock>,
    /// One per block where this resolution has attention, else none.
    pub attn: Vec<AttnBlock>,
    /// `upsample.conv` or `downsample.conv`.
    pub resample: Option<Conv>,
}

/// Image to latents.
#[derive(Module, Debug)]
pub struct Encoder {
    /// 3x3.
    pub conv_in: Conv,
    /// From the finest resolution.
    pub down: Vec<Level>,
    /// The narrowest part.
    pub mid: Mid,
    /// Before `conv_out`.
    pub norm_out: GroupNorm,
    /// 3x3.
    pub conv_out: Conv,
}

/// Latents to image.
#[derive(Module, Debug)]
pub struct VqDecoder {
    /// 3x3.
    pub conv_in: Conv,
    /// The narrowest part.
    pub mid: Mid,
    /// Indexed as in the checkpoint: 0 is the finest resolution and runs last.
    pub up: Vec<Level>,
    /// Before `conv_out`.
    pub norm_out: GroupNorm,
    /// 3x3.
    pub conv_out: Conv,
}

impl Vqgan {
    /// Reads the autoencoder.
    pub fn load(loader: &mut Loader<'_>, config: &VqganConfig) -> Self {
        let (z, dim, codes) = (config.z_channels, config.embed_dim, config.n_embed);
        Self {
            encoder: Encoder::load(loader, config),
            decoder: VqDecoder::load(loader, config),
            quant_conv: Conv::load(loader, "quant_conv", z, dim, 1),
            post_quant_conv: Conv::load(loader, "post_quant_conv", dim, z, 1),
            proj: Conv::load(loader, "quantize.proj", dim, codes, 1),
            embed: loader.matrix("quantize.embed.weight", codes, dim),
            side: config.latent_side(),
        }
    }

    /// Rows of the codebook as a picture. Shapes: `side * side` codes, row by row, to `[1, embed_dim, side, side]`.
    pub fn latents(&self, codes: &[u32], device: &Device) -> Tensor<4> {
        let [_, dim] = self.embed.dims();
        let codes: Vec<i32> = codes.iter().map(|code| *code as i32).collect();
        let count = codes.len();
        let codes = Tensor::<1, Int>::from_data(TensorData::new(codes, [count]), device);
        let rows = self.embed.val().select(0, codes); // [side * side, dim]
        rows.reshape([1, self.side, self.side, dim])
            .permute([0, 3, 1, 2])
    }

    /// Latents to an image of about [-1, 1]. Shapes: `[1, embed_dim, side, side]` to `[1, 3, pixels, pixels]`.
    pub fn decode(&self, z: Tensor<4>) -> Tensor<4> {
        self.decoder.forward(self.post_quant_conv.forward(z))
    }

    /// Logits of every code at every position. Shapes: `[1, 3, pixels, pixels]` to `[1, codes, side, side]`.
    pub fn encode_logits(&self, x: Tensor<4>) -> Tensor<4> {
        self.proj.forward(self.encode_latents(x))
    }

    /// What the codes stand for. Shapes: `[1, 3, pixels, pixels]` to `[1, embed_dim, side, side]`.
    pub fn encode_latents(&self, x: Tensor<4>) -> Tensor<4> {
        self.quant_conv.forward(self.encoder.forward(x))
    }

    /// The code with the highest logit at every position, row by row; the lowest index on a tie.
    pub fn encode(&self, x: Tensor<4>) -> Vec<u32> {
        let logits = self.encode_logits(x);
        let [_, codes, height, width] = logits.dims();
        let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
        argmax_columns(&logits, codes, height * width)
    }
}

/// For a `[rows, columns]` matrix, the row of each column's largest value (the lowest row on a tie).
pub fn argmax_columns(values: &[f32], rows: usize, columns: usize) -> Vec<u32> {
    (0..columns)
        .map(|column| {
            let mut best = (f32::NEG_INFINITY, 0);
            for row in 0..rows {
                if let Some(value) = values
                    .get(row * columns + column)
                    .filter(|value| **value > best.0)
                {
                    best = (*value, row as u32);
                }
            }
            best.1
        })
        .collect()
}

/// An image of about [-1, 1] as 8-bit RGB: clamped, scaled, and *truncated* as the reference does.
/// Shape: `[1, 3, height, width]`.
pub fn to_rgb(x: Tensor<4>) -> RgbImage {
    let [_, _, height, width] = x.dims();
    let values: Vec<f32> = x.permute([0, 2, 3, 1]).into_data().iter::<f32>().collect();
    let level = |v: &f32| ((v.clamp(-1.0, 1.0) + 1.0) / 2.0 * 255.0) as u8;
    let mut image = RgbImage::new(width as u32, height as u32);
    for (byte, value) in image.iter_mut().zip(&values) {
        *byte = level(value);
    }
    image
}

/// The weights in a VQGAN's folder: `model.safetensors` of a converted model, or `last.ckpt`.
pub fn weights_file(folder: &Path) -> PathBuf {
    let converted = folder.join("model.safetensors");
    if converted.is_file() {
        converted
    } else {
        folder.join("last.ckpt")
    }
}

impl Conv {
    fn load(loader: &mut Loader<'_>, name: &str, c_in: usize, c_out: usize, k: usize) -> Self {
        Self {
            weight: loader.tensor4(&format!("{name}.weight"), [c_out, c_in, k, k]),
            bias: loader.vector(&format!("{name}.bias"), c_out),
        }
    }

    /// Stride 1, size kept.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if let Some(y) = fused::conv3x3(&x, &self.weight.val(), &self.bias.val()) {
            return y;
        }
        let [_, _, k, _] = self.weight.dims();
        let options = ConvOptions::new([1, 1], [k / 2, k / 2], [1, 1], 1);
        conv2d(x, self.weight.val(), Some(self.bias.val()), options)
    }

    /// Padded by one at the right and the bottom, then stride 2 without padding.
    fn downsample(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let device = x.device();
        let right = Tensor::zeros([batch, channels, height, 1], &device);
        let bottom = Tensor::zeros([batch, channels, 1, width + 1], &device);
        let padded = Tensor::cat(vec![Tensor::cat(vec![x, right], 3), bottom], 2);
        let options = ConvOptions::new([2, 2], [0, 0], [1, 1], 1);
        conv2d(padded, self.weight.val(), Some(self.bias.val()), options)
    }
}

impl GroupNorm {
    fn load(loader: &mut Loader<'_>, name: &str, channels: usize, groups: usize) -> Self {
        Self {
            weight: loader.vector(&format!("{name}.weight"), channels),
            bias: loader.vector(&format!("{name}.bias"), channels),
            groups,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self.fused(&x, false) {
            Some(y) => y,
            None => self.composed(x),
        }
    }

    /// With SiLU after it.
    fn forward_silu(&self, x: Tensor<4>) -> Tensor<4> {
        match self.fused(&x, true) {
            Some(y) => y,
            None => silu(self.composed(x)),
        }
    }

    fn fused(&self, x: &Tensor<4>, silu: bool) -> Option<Tensor<4>> {
        let how = GroupNormShape {
            groups: self.groups,
            eps: 1e-6,
            silu,
        };
        fused::group_norm(x, self.weight.val(), self.bias.val(), how)
    }

    fn composed(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let groups = x.reshape([batch, self.groups, channels / self.groups * height * width]);
        let centred = groups.clone() - groups.mean_dim(2);
        let variance = (centred.clone() * centred.clone()).mean_dim(2);
        let normed = centred / variance.add_scalar(1e-6).sqrt();
        let normed = normed.reshape([batch, channels, height, width]);
        normed * self.weight.val().reshape([1, channels, 1, 1])
            + self.bias.val().reshape([1, channels, 1, 1])
    }
}

impl ResnetBlock {
    fn load(loader: &mut Loader<'_>, name: &str, c_in: usize, c_out: usize, groups: usize) -> Self {
        Self {
            norm1: GroupNorm::load(loader, &format!("{name}.norm1"), c_in, groups),
            conv1: Conv::load(loader, &format!("{name}.conv1"), c_in, c_out, 3),
            norm2: GroupNorm::load(loader, &format!("{name}.norm2"), c_out, groups),
            conv2: Conv::load(loader, &format!("{name}.conv2"), c_out, c_out, 3),
            nin_shortcut: (c_in != c_out)
                .then(|| Conv::load(loader, &format!("{name}.nin_shortcut"), c_in, c_out, 1)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = self.conv1.forward(self.norm1.forward_silu(x.clone()));
        let h = self.conv2.forward(self.norm2.forward_silu(h));
        match &self.nin_shortcut {
            Some(shortcut) => shortcut.forward(x) + h,
            None => x + h,
        }
    }
}

impl AttnBlock {
    fn load(loader: &mut Loader<'_>, name: &str, channels: usize, groups: usize) -> Self {
        let mut conv =
            |part: &str| Conv::load(loader, &format!("{name}.{part}"), channels, channels, 1);
        let (q, k, v, proj_out) = (conv("q"), conv("k"), conv("v"), conv("proj_out"));
        Self {
            norm: GroupNorm::load(loader, &format!("{name}.norm"), channels, groups),
            q,
            k,
            v,
            proj_out,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let h = self.norm.forward(x.clone());
        let flat = |conv: &Conv| {
            conv.forward(h.clone())
                .reshape([batch, channels, height * width])
        };
        let (q, k, v) = (flat(&self.q), flat(&self.k), flat(&self.v)); // [batch, channels, positions]
        let scores = q
            .transpose()
            .matmul(k)
            .mul_scalar((channels as f64).powf(-0.5));
        let weights = fused::softmax(&scores, Visible::All).unwrap_or_else(|| softmax(scores, 2)); // [batch, queries, keys]
        let y = v
            .matmul(weights.transpose())
            .reshape([batch, channels, height, width]);
        x + self.proj_out.forward(y)
    }
}

impl Mid {
    fn load(loader: &mut Loader<'_>, name: &str, channels: usize, groups: usize) -> Self {
        Self {
            block_1: ResnetBlock::load(
                loader,
                &format!("{name}.block_1"),
                channels,
                channels,
                groups,
            ),
            attn_1: AttnBlock::load(loader, &format!("{name}.attn_1"), channels, groups),
            block_2: ResnetBlock::load(
                loader,
                &format!("{name}.block_2"),
                channels,
                channels,
                groups,
            ),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.block_2
            .forward(self.attn_1.forward(self.block_1.forward(x)))
    }
}

impl Level {
    /// `blocks` blocks from `c_in` to `c_out` channels.
    fn load(
        loader: &mut Loader<'_>,
        name: &str,
        [c_in, c_out]: [usize; 2],
        blocks: usize,
        attention: bool,
        resample: Option<&str>,
        groups: usize,
    ) -> Self {
        let block = (0..blocks)
            .map(|b| {
                let width = if b == 0 { c_in } else { c_out };
                ResnetBlock::load(loader, &format!("{name}.block.{b}"), width, c_out, groups)
            })
            .collect();
        let attn = (0..if attention { blocks } else { 0 })
            .map(|b| AttnBlock::load(loader, &format!("{name}.attn.{b}"), c_out, groups))
            .collect();
        let resample = resample
            .map(|kind| Conv::load(loader, &format!("{name}.{kind}.conv"), c_out, c_out, 3));
        Self {
            block,
            attn,
            resample,
        }
    }

    fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        for (b, block) in self.block.iter().enumerate() {
            x = block.forward(x);
            if let Some(attn) = self.attn.get(b) {
                x = attn.forward(x);
            }
        }
        x
    }
}

impl Encoder {
    fn load(loader: &mut Loader<'_>, config: &VqganConfig) -> Self {
        let groups = config.norm_groups;
        let conv_in = Conv::load(loader, "encoder.conv_in", config.in_channels, config.ch, 3);
        let levels = config.ch_mult.len();
        let mut resolution = config.resolution;
        let mut width = config.ch;
        let mut down = Vec::with_capacity(levels);
        for (i, mult) in config.ch_mult.iter().enumerate() {
            let last = i + 1 == levels;
            down.push(Level::load(
                loader,
                &format!("encoder.down.{i}"),
                [width, config.ch * mult],
                config.num_res_blocks,
                config.attn_resolutions.contains(&resolution),
                (!last).then_some("downsample"),
                groups,
            ));
            width = config.ch * mult;
            if !last {
                resolution /= 2;
            }
        }
        Self {
            conv_in,
            down,
            mid: Mid::load(loader, "encoder.mid", width, groups),
            norm_out: GroupNorm::load(loader, "encoder.norm_out", width, groups),
            conv_out: Conv::load(loader, "encoder.conv_out", width, config.z_channels, 3),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut h = self.conv_in.forward(x);
        for level in &self.down {
            h = level.forward(h);
            if let Some(conv) = &level.resample {
                h = conv.downsample(h);
            }
        }
        self.conv_out
            .forward(self.norm_out.forward_silu(self.mid.forward(h)))
    }
}

impl VqDecoder {
    fn load(loader: &mut Loader<'_>, config: &VqganConfig) -> Self {
        let groups = config.norm_groups;
        let levels = config.ch_mult.len();
        let mut width = config.ch * config.ch_mult.last().copied().unwrap_or(1);
        let conv_in = Conv::load(loader, "decoder.conv_in", config.z_channels, width, 3);
        let mid = Mid::load(loader, "decoder.mid", width, groups);
        let mut resolution = config.latent_side();
        let mut up = Vec::with_capacity(levels);
        for (i, mult) in config.ch_mult.iter().enumerate().rev() {
            up.push(Level::load(
                loader,
                &format!("decoder.up.{i}"),
                [width, config.ch * mult],
                config.num_res_blocks + 1,
                config.attn_resolutions.contains(&resolution),
                (i > 0).then_some("upsample"),
                groups,
            ));
            width = config.ch * mult;
            if i > 0 {
                resolution *= 2;
            }
        }
        up.reverse();
        Self {
            conv_in,
            mid,
            up,
            norm_out: GroupNorm::load(loader, "decoder.norm_out", width, groups),
            conv_out: Conv::load(loader, "decoder.conv_out", width, config.out_ch, 3),
        }
    }

    fn forward(&self, z: Tensor<4>) -> Tensor<4> {
        let mut h = self.mid.forward(self.conv_in.forward(z));
        for level in self.up.iter().rev() {
            h = level.forward(h);
            if let Some(conv) = &level.resample {
                let doubled =
                    InterpolateOptions::new(InterpolateMode::Nearest).with_scale_factor([2.0, 2.0]);
                h = conv.forward(interpolate(h, doubled));
            }
        }
        self.conv_out.forward(self.norm_out.forward_silu(h))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tie_takes_the_lowest_code() {
        // Two columns: 1 wins the first, the second is a tie of 0 and 2.
        assert_eq!(
            argmax_columns(&[0.0, 5.0, 3.0, 1.0, 2.0, 5.0], 3, 2),
            vec![1, 0]
        );
    }
}
