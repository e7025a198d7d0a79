//! From a picture to CLIP's input, bit-exact to Pillow and Hugging Face's CLIPImageProcessor.
//!
//! Square padding with (122, 116, 104), bicubic resizing in integers (uint8 after each pass), rescale, normalise.

use image::{Rgb, RgbImage};

use super::config::PreprocessorConfig;

/// A resampling filter of Pillow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Cubic with a = -0.5.
    Bicubic,
    /// Windowed sinc with three lobes.
    Lanczos,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Bicubic => {
                const A: f64 = -0.5;
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
            Self::Lanczos => {
                let sinc = |x: f64| {
                    if x == 0.0 {
                        1.0
                    } else {
                        let x = x * std::f64::consts::PI;
                        x.sin() / x
                    }
                };
                if x < 3.0 {
                    sinc(x) * sinc(x / 3.0)
                } else {
                    0.0
                }
            }
        }
    }
}

/// Fixed-point bits of Pillow's weights for 8-bit images.
const PRECISION: u32 = 22;

/// For each output position: the first source position and the weights from there.
fn coefficients(source: usize, target: usize, filter: Filter) -> Vec<(usize, Vec<i64>)> {
    let scale = source as f64 / target as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    (0..target)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            let lo = (centre - support + 0.5).max(0.0) as usize;
            let hi = ((centre + support + 0.5) as usize).min(source);
            let weights: Vec<f64> = (lo..hi)
                .map(|t| filter.weight((t as f64 - centre + 0.5) / stretch))
                .collect();
            let sum: f64 = weights.iter().sum();
            let fixed = weights
                .iter()
                .map(|w| {
                    let w = w / sum * f64::from(1u32 << PRECISION);
                    (if w < 0.0 { w - 0.5 } else { w + 0.5 }) as i64
                })
                .collect();
            (lo, fixed)
        })
        .collect()
}

fn clip8(sum: i64) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Resizes as Pillow's `Image.resize` does for RGB: horizontal pass, then vertical, 8 bits after each.
/// A picture without pixels stays empty.
pub fn pillow_resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    if image.width() == 0 || image.height() == 0 || width == 0 || height == 0 {
        return RgbImage::new(width, height);
    }
    let half = 1i64 << (PRECISION - 1);
    let mut wide = RgbImage::new(width, image.height());
    if width == image.width() {
        wide = image.clone();
    } else {
        let table = coefficients(image.width() as usize, width as usize, filter);
        for (x, y, pixel) in wide.enumerate_pixels_mut() {
            let Some((lo, weights)) = table.get(x as usize) else {
                continue;
            };
            let mut sums = [half; 3];
            for (t, weight) in weights.iter().enumerate() {
                let source = image.get_pixel((lo + t) as u32, y);
                for (sum, value) in sums.iter_mut().zip(source.0) {
                    *sum += weight * i64::from(value);
                }
            }
            *pixel = Rgb(sums.map(clip8));
        }
    }
    if height == wide.height() {
        return wide;
    }
    let table = coefficients(wide.height() as usize, height as usize, filter);
    let mut out = RgbImage::new(width, height);
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let Some((lo, weights)) = table.get(y as usize) else {
            continue;
        };
        let mut sums = [half; 3];
        for (t, weight) in weights.iter().enumerate() {
            let source = wide.get_pixel(x, (lo + t) as u32);
            for (sum, value) in sums.iter_mut().zip(source.0) {
                *sum += weight * i64::from(value);
            }
        }
        *pixel = Rgb(sums.map(clip8));
    }
    out
}

/// Pads to a square, the picture in the middle, with the colour `int(mean * 255)`.
pub fn pad_to_square(image: &RgbImage, mean: [f32; 3]) -> RgbImage {
    let (width, height) = image.dimensions();
    let side = width.max(height);
    if width == height {
        return image.clone();
    }
    let colour = Rgb(mean.map(|m| (f64::from(m) * 255.0) as u8));
    let mut square = RgbImage::from_pixel(side, side, colour);
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    image::imageops::replace(&mut square, image, left.into(), top.into());
    square
}

/// CLIP's input. Result `[3, size, size]`, row-major.
pub fn clip_pixels(image: &RgbImage, config: &PreprocessorConfig) -> Vec<f32> {
    let side = config.size as u32;
    let square = pad_to_square(image, config.image_mean);
    let small = pillow_resize(&square, side, side, Filter::Bicubic);
    (0..3)
        .flat_map(|channel| {
            let small = &small;
            small.pixels().map(move |pixel| {
                let value = pixel.0.get(channel).copied().unwrap_or(0);
                let mean = config.image_mean.get(channel).copied().unwrap_or(0.0);
                let std = config.image_std.get(channel).copied().unwrap_or(1.0);
                ((f64::from(value) * config.rescale_factor) as f32 - mean) / std
            })
        })
        .collect()
}

/// The VQGAN encoder's input: Lanczos to a square without keeping the aspect, then [-1, 1].
/// Result `[3, resolution, resolution]`, row-major.
pub fn vqgan_pixels(image: &RgbImage, resolution: usize) -> Vec<f32> {
    let side = resolution as u32;
    let small = pillow_resize(image, side, side, Filter::Lanczos);
    (0..3)
        .flat_map(|channel| {
            let small = &small;
            small.pixels().map(move |pixel| {
                f32::from(pixel.0.get(channel).copied().unwrap_or(0)) / 255.0 * 2.0 - 1.0
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_picture_stays_flat_at_any_size() {
        let flat = RgbImage::from_pixel(45, 45, Rgb([7, 200, 255]));
        for filter in [Filter::Bicubic, Filter::Lanczos] {
            for side in [7, 45, 336] {
                assert!(
                    pillow_resize(&flat, side, side, filter)
                        .pixels()
                        .all(|p| p.0 == [7, 200, 255])
                );
            }
        }
    }

    #[test]
    fn padding_is_clips_mean_colour_and_the_picture_is_in_the_middle() {
        let wide = RgbImage::from_pixel(4, 1, Rgb([1, 2, 3]));
        let square = pad_to_square(&wide, [0.481_454_66, 0.457_827_5, 0.408_210_73]);
        assert_eq!(square.dimensions(), (4, 4));
        assert_eq!(square.get_pixel(0, 0).0, [122, 116, 104]);
        assert_eq!(square.get_pixel(0, 1).0, [1, 2, 3]); // floor((4 - 1) / 2) = 1
        assert_eq!(square.get_pixel(0, 2).0, [122, 116, 104]);
    }
}
