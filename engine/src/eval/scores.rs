//! How alike a model's picture and the true one are, as numbers: 8-bit grey levels, 256 x 256, no mask.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::interval::{Interval, interval};
use crate::dataset::pairs::SIDE;
use crate::imaging::metrics;
use crate::model::preprocess::{Filter, pillow_resize};

/// What the numbers are of.
pub const DEFINITION: &str = "8-bit grey levels 0 to 255, 256 x 256, no mask; CT window 40/400 HU, MR by its 99.5th percentile; SSIM with an 11-tap \
     Gaussian of sigma 1.5, valid region, x 100; means over slices, 95 % intervals by 1000 bootstrap samples of subjects";

/// The four numbers of one picture, or their means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Structural similarity x 100.
    pub ssim: f64,
    /// Peak signal-to-noise ratio in dB.
    pub psnr: f64,
    /// Mean squared error in squared grey levels.
    pub mse: f64,
    /// Mean absolute error in grey levels.
    pub mae: f64,
}

impl Scores {
    /// Of two pictures of `SIDE` x `SIDE`.
    pub fn of(a: &[f64], b: &[f64]) -> Self {
        Self {
            ssim: 100.0 * metrics::ssim(a, b, SIDE),
            // Equal pictures would make every mean infinite; 100 dB is below one level in the whole picture.
            psnr: metrics::psnr(a, b).min(100.0),
            mse: metrics::mse(a, b),
            mae: metrics::mae(a, b),
        }
    }
}

/// Means over pictures, each with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Means {
    /// The means.
    #[serde(flatten)]
    pub mean: Scores,
    /// Their intervals.
    pub intervals: Intervals,
}

/// The interval of each number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Intervals {
    /// Of SSIM.
    pub ssim: Interval,
    /// Of PSNR.
    pub psnr: Interval,
    /// Of MSE.
    pub mse: Interval,
    /// Of MAE.
    pub mae: Interval,
}

impl Means {
    /// Over the scores of these subjects' pictures; `None` if there are none.
    pub fn of(scores: &[(&str, Scores)]) -> Option<Self> {
        let number = |of: fn(&Scores) -> f64| {
            let values: Vec<(&str, f64)> = scores
                .iter()
                .map(|(subject, scores)| (*subject, of(scores)))
                .collect();
            interval(&values)
        };
        let intervals = Intervals {
            ssim: number(|scores| scores.ssim)?,
            psnr: number(|scores| scores.psnr)?,
            mse: number(|scores| scores.mse)?,
            mae: number(|scores| scores.mae)?,
        };
        Some(Self {
            mean: Scores {
                ssim: intervals.ssim.mean,
                psnr: intervals.psnr.mean,
                mse: intervals.mse.mean,
                mae: intervals.mae.mean,
            },
            intervals,
        })
    }
}

/// The picture at `SIDE` x `SIDE`, by Pillow's bicubic where it has another size.
pub(super) fn at_side(image: &RgbImage) -> RgbImage {
    let side = SIDE as u32;
    if image.dimensions() == (side, side) {
        image.clone()
    } else {
        pillow_resize(image, side, side, Filter::Bicubic)
    }
}

/// Mean of the channels at `SIDE` x `SIDE`, rounded to whole levels: the pictures are 8 bit.
pub(super) fn levels(image: &RgbImage) -> Vec<f64> {
    metrics::grey(&at_side(image))
        .into_iter()
        .map(f64::round)
        .collect()
}
