//! An encoder whose codes each see their own patch alone, so that a vision tower can tell them from the patch.
//!
//! A VQGAN's encoder looks far around each code; whoever has to name its codes for a picture has to learn what that encoder does, and
//! a small tower of a few blocks never gets there: reconstruction stays below what the codes could show. Here only those weights of
//! the usual encoder are used that stay within a patch: the middle of `conv_in` and `conv_out`, the top left 2x2 of every
//! `downsample`, and the shortcuts of residual and attention blocks. The others are zero, so the file is a VQGAN as any other.
//! The norm before `conv_out` takes mean and spread over the whole picture; [`begin`] begins it where the picture hardly moves them.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use super::params::replaced;
use crate::model::vqgan::{AttnBlock, Conv, Encoder, GroupNorm, Mid, ResnetBlock, Vqgan};

/// What is added to half of the channels of a group and taken from the others before the norm: several times the spread of a
/// picture's own values.
const OFFSET: f32 = 4.0;

/// The autoencoder without what its encoder sees outside a patch.
pub fn within_patches(mut vqgan: Vqgan) -> Vqgan {
    let encoder = vqgan.encoder;
    let mid = encoder.mid;
    let down = encoder.down.into_iter().map(|mut level| {
        level.block = level.block.into_iter().map(shortcut).collect();
        level.attn = level.attn.into_iter().map(skipped).collect();
        level.resample = level.resample.map(|conv| taps(conv, |y, x| y < 2 && x < 2));
        level
    });
    vqgan.encoder = Encoder {
        conv_in: taps(encoder.conv_in, |y, x| (y, x) == (1, 1)),
        down: down.collect(),
        mid: Mid {
            block_1: shortcut(mid.block_1),
            attn_1: skipped(mid.attn_1),
            block_2: shortcut(mid.block_2),
        },
        norm_out: encoder.norm_out,
        conv_out: taps(encoder.conv_out, |y, x| (y, x) == (1, 1)),
    };
    vqgan
}

/// A new encoder for [`within_patches`]: kernels enlarged for the weights that they lose, and the last norm as nearly the identity:
/// opposite offsets in each group make its spread, and the norm's own weights undo them.
pub fn begin(mut vqgan: Vqgan) -> Vqgan {
    let enlarged = |mut conv: Conv, by: f32| {
        conv.weight = replaced(conv.weight, |weight| weight.mul_scalar(by));
        conv
    };
    let encoder = &mut vqgan.encoder;
    encoder.conv_in = enlarged(encoder.conv_in.clone(), 3.0); // 1 of 9
    encoder.conv_out = enlarged(encoder.conv_out.clone(), 3.0);
    for level in &mut encoder.down {
        level.resample = level.resample.take().map(|conv| enlarged(conv, 1.5)); // 4 of 9
    }
    let norm = vqgan.encoder.norm_out;
    let [channels] = norm.weight.dims();
    let offsets: Vec<f32> = (0..channels)
        .map(|channel| if channel % 2 == 0 { OFFSET } else { -OFFSET })
        .collect();
    let undone = offsets.iter().map(|offset| -offset).collect();
    vqgan.encoder.norm_out = GroupNorm {
        weight: values(norm.weight, vec![OFFSET; channels]),
        bias: values(norm.bias, undone),
        groups: norm.groups,
    };
    let last = vqgan.encoder.down.iter_mut().rev();
    if let Some(conv) = last.filter_map(|level| level.resample.as_mut()).next() {
        conv.bias = values(conv.bias.clone(), offsets);
    }
    within_patches(vqgan)
}

fn values(param: Param<Tensor<1>>, values: Vec<f32>) -> Param<Tensor<1>> {
    let device = param.device();
    replaced(param, |_| Tensor::from_data(values.as_slice(), &device))
}

/// The weights at the places of a kernel that are used.
fn taps(conv: Conv, used: impl Fn(usize, usize) -> bool) -> Conv {
    let [_, _, height, width] = conv.weight.dims();
    let device: Device = conv.weight.device();
    let mask: Vec<f32> = (0..height * width)
        .map(|i| f32::from(u8::from(used(i / width, i % width))))
        .collect();
    let mask = Tensor::<4>::from_data(TensorData::new(mask, [1, 1, height, width]), &device);
    Conv {
        weight: replaced(conv.weight, |weight| weight * mask),
        bias: conv.bias,
    }
}

fn nothing(conv: Conv) -> Conv {
    Conv {
        weight: replaced(conv.weight, |weight| weight.zeros_like()),
        bias: replaced(conv.bias, |bias| bias.zeros_like()),
    }
}

fn shortcut(mut block: ResnetBlock) -> ResnetBlock {
    block.conv2 = nothing(block.conv2);
    block
}

fn skipped(mut block: AttnBlock) -> AttnBlock {
    block.proj_out = nothing(block.proj_out);
    block
}
