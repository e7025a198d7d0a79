//! Where a new VQGAN begins: as a linear transform of grey pictures, not as noise.
//!
//! The encoder's trunk starts as a rearrangement of pixels, its latents as the lowest cosine coefficients of a patch (the mean
//! first, so that distances between latents are distances between patches), the decoder's as an interpolation of the means. All
//! residual branches start at zero (Goyal et al. 2017, section 5.1). A group norm would take a picture's brightness away, so each
//! group that carries pixels also carries `+K` and `-K`, which keep its mean and variance where they are; SiLU is close to `x / 2`
//! for what is left of the pixels. Everything is trained from there.

use std::collections::HashMap;

use super::config::AutoencoderConfig;
use crate::model::initializer::Initializer;
use crate::model::loader::NamedParam;

/// The constant beside the pixels of a group.
const K: f32 = 8.0;

/// Values of the parameters that do not begin as noise, by name; none where the sizes leave no room for the constants.
pub fn values(config: &AutoencoderConfig, params: &[NamedParam]) -> HashMap<String, Vec<f32>> {
    let Some(start) = LinearStart::new(config) else {
        return HashMap::new();
    };
    let mut noise = Initializer::new(config.seed);
    params
        .iter()
        .filter_map(|param| {
            let weight = start.weight(&param.name, &param.shape, &mut noise)?;
            Some((param.name.clone(), weight))
        })
        .collect()
}

struct LinearStart {
    levels: usize,
    /// Pixels of a latent along one side.
    patch: usize,
    /// Channels in a group of the narrowest level, and in one of the finest.
    group: usize,
    fine_group: usize,
    /// Pixels that a group of the narrowest level carries.
    pixels: usize,
    groups: usize,
    /// Where the decoder's constants come from: the last convolution of its trunk.
    constants: &'static str,
}

impl LinearStart {
    fn new(config: &AutoencoderConfig) -> Option<Self> {
        let model = &config.model;
        let levels = model.ch_mult.len();
        let patch = 1_usize << (levels - 1);
        let area = patch * patch;
        let width = model.ch * model.ch_mult.last()?;
        let before = model.ch * model.ch_mult.get(levels.checked_sub(2)?)?;
        let start = Self {
            levels,
            patch,
            group: width / model.num_groups,
            fine_group: model.ch * model.ch_mult.first()? / model.num_groups,
            pixels: area.div_ceil(model.num_groups),
            groups: model.num_groups,
            constants: match model.ch_mult.get(1) == model.ch_mult.first() {
                true => "decoder.up.1.upsample.conv",
                false => "decoder.up.0.block.0.nin_shortcut",
            },
        };
        let fits = start.pixels + 2 <= start.group
            && start.fine_group >= 3
            && area <= before
            && area <= model.z_channels
            && model.embed_dim <= area;
        fits.then_some(start)
    }

    /// The channel of the narrowest level that carries a pixel of the patch.
    fn channel(&self, pixel: usize) -> usize {
        pixel / self.pixels * self.group + pixel % self.pixels
    }

    fn weight(&self, name: &str, shape: &[usize], noise: &mut Initializer) -> Option<Vec<f32>> {
        let count = shape.iter().product();
        if name.ends_with("conv2.weight") || name.ends_with("proj_out.weight") {
            return Some(vec![0.0; count]);
        }
        let mut filters = Filters::new(noise.values(name, shape), shape);
        let last_down = format!("encoder.down.{}.downsample.conv", self.levels - 2);
        match name {
            "encoder.conv_in.weight" => {
                filters.clear(0);
                (0..3).for_each(|colour| filters.set(0, colour, [1, 1], 1.0 / 3.0));
            }
            _ if name == format!("{last_down}.bias") => {
                for group in 0..self.groups {
                    let end = (group + 1) * self.group;
                    filters.values[end - 2..end].copy_from_slice(&[K, -K]);
                }
            }
            _ if name.ends_with("downsample.conv.weight") => {
                let level: usize = name.split('.').nth(2)?.parse().ok()?;
                let last = level + 2 == self.levels;
                if last {
                    for group in 0..self.groups {
                        let end = (group + 1) * self.group;
                        (end - 2..end).for_each(|channel| filters.clear(channel));
                    }
                }
                let carried = 1 << (2 * level); // pixels in front of this step
                let side = 1 << level;
                for pixel in 0..4 * carried {
                    // Row-major in the patch: which of the four neighbours, and which of its pixels.
                    let (y, x) = (pixel / (2 * side), pixel % (2 * side));
                    let source = y % side * side + x % side;
                    let out = if last { self.channel(pixel) } else { pixel };
                    filters.clear(out);
                    filters.set(out, source, [y / side, x / side], 1.0);
                }
            }
            _ if name.ends_with("nin_shortcut.weight") => filters.identity(),
            "encoder.conv_out.weight" => {
                for pixel in 0..self.patch * self.patch {
                    filters.clear(pixel);
                    let gain = undo_norm(self.group);
                    filters.set(pixel, self.channel(pixel), [1, 1], gain);
                }
            }
            "quant_conv.weight" => {
                for k in 0..shape[0] {
                    filters.clear(k);
                    for (pixel, value) in self.cosine(k).into_iter().enumerate() {
                        filters.set(k, pixel, [0, 0], value);
                    }
                }
            }
            "post_quant_conv.weight" => {
                filters.identity();
                filters.clear(0);
                filters.set(0, 0, [0, 0], 1.0 / self.patch as f32); // the mean of the patch
            }
            "decoder.conv_in.weight" => {
                filters.clear(0);
                filters.set(0, 0, [1, 1], 1.0);
            }
            _ if name.ends_with("upsample.conv.weight") => {
                filters.clear(0);
                for (y, along) in [1.0, 2.0, 1.0].into_iter().enumerate() {
                    for (x, across) in [1.0, 2.0, 1.0].into_iter().enumerate() {
                        filters.set(0, 0, [y, x], along * across / 16.0);
                    }
                }
            }
            "decoder.conv_out.weight" => {
                filters.values.iter_mut().for_each(|value| *value *= 0.1);
                for colour in 0..shape[0] {
                    filters.clear_input(colour, 0);
                    filters.set(colour, 0, [1, 1], undo_norm(self.fine_group));
                }
            }
            _ if name == format!("{}.bias", self.constants) => {
                filters.values[1..3].copy_from_slice(&[K, -K]);
            }
            _ => return None,
        }
        if name == format!("{}.weight", self.constants) {
            filters.clear(1);
            filters.clear(2);
        }
        Some(filters.values)
    }

    /// Coefficient `k` of the two-dimensional cosine transform of a patch, lowest first.
    fn cosine(&self, k: usize) -> Vec<f32> {
        let n = self.patch;
        let mut orders: Vec<(usize, usize)> =
            (0..n * n).map(|order| (order / n, order % n)).collect();
        orders.sort_by_key(|(v, u)| (v + u, *v.max(u), *v));
        let (v, u) = orders.get(k).copied().unwrap_or_default();
        let wave = |order: usize, at: usize| {
            let norm = if order == 0 { 1.0 } else { 2.0_f32 };
            let angle = std::f32::consts::PI * order as f32 * (at as f32 + 0.5) / n as f32;
            (norm / n as f32).sqrt() * angle.cos()
        };
        (0..n * n)
            .map(|pixel| wave(v, pixel / n) * wave(u, pixel % n))
            .collect()
    }
}

/// What undoes a norm over one group with the two constants, and SiLU's half.
fn undo_norm(group: usize) -> f32 {
    2.0 * (2.0 * K * K / group as f32).sqrt()
}

/// A convolution's weight `[out, in, k, k]`, or a bias as one filter.
struct Filters {
    values: Vec<f32>,
    inputs: usize,
    side: usize,
}

impl Filters {
    fn new(values: Vec<f32>, shape: &[usize]) -> Self {
        Self {
            values,
            inputs: shape.get(1).copied().unwrap_or(1),
            side: shape.get(2).copied().unwrap_or(1),
        }
    }

    fn set(&mut self, out: usize, input: usize, [y, x]: [usize; 2], value: f32) {
        let at = ((out * self.inputs + input) * self.side + y) * self.side + x;
        if let Some(slot) = self.values.get_mut(at) {
            *slot = value;
        }
    }

    fn clear(&mut self, out: usize) {
        let size = self.inputs * self.side * self.side;
        for value in self.values.iter_mut().skip(out * size).take(size) {
            *value = 0.0;
        }
    }

    fn clear_input(&mut self, out: usize, input: usize) {
        for y in 0..self.side {
            (0..self.side).for_each(|x| self.set(out, input, [y, x], 0.0));
        }
    }

    /// What fits goes through as it is.
    fn identity(&mut self) {
        let outputs = self.values.len() / self.inputs;
        for channel in 0..outputs.min(self.inputs) {
            self.clear(channel);
            self.set(channel, channel, [0, 0], 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A patch's coefficients are orthonormal: distances of latents are distances of patches.
    #[test]
    fn the_cosine_transform_keeps_distances() {
        let start = LinearStart {
            levels: 3,
            patch: 4,
            group: 6,
            fine_group: 3,
            pixels: 2,
            groups: 8,
            constants: "",
        };
        for a in 0..16 {
            for b in 0..16 {
                let (left, right) = (start.cosine(a), start.cosine(b));
                let product: f32 = left.iter().zip(&right).map(|(x, y)| x * y).sum();
                let expected = if a == b { 1.0 } else { 0.0 };
                assert!((product - expected).abs() < 1e-5, "{a} {b}: {product}");
            }
        }
    }
}
