//! LPIPS (Zhang et al. 2018) with AlexNet: how differently a trained network sees two pictures. The network is not part of the
//! program: the user supplies torchvision's AlexNet and the authors' linear layers, in any container that models have.
//!
//! `sum over l of mean over positions of w_l . (f_l(a) - f_l(b))^2`, where `f_l` are the activations after the l-th convolution and
//! its ReLU, of unit length along the channels, and `w_l` the linear layer. Printed x 100, as the HealthGPT paper does.

use std::path::{Path, PathBuf};

use burn::tensor::activation::relu;
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;

use crate::model::ModelError;
use crate::model::checkpoint::Checkpoint;

/// Where the convolutions are in torchvision's AlexNet, with stride and padding.
const CONVOLUTIONS: [(usize, usize, usize); 5] =
    [(0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)];
/// What is subtracted from a channel of [-1, 1], and what it is divided by.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];

/// The network.
#[derive(Debug)]
pub struct Lpips {
    /// Weight `[out, in, k, k]` and bias `[out]`.
    convolutions: Vec<(Tensor<4>, Tensor<1>)>,
    /// `[1, out, 1, 1]`.
    linear: Vec<Tensor<4>>,
    device: Device,
}

impl Lpips {
    /// Reads every weight file of a folder: AlexNet's `features.*` and the linear layers `lin0.model.1.weight` to `lin4...`.
    ///
    /// # Errors
    /// A file that is damaged, or tensors that are missing.
    pub fn open(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        let entries = std::fs::read_dir(folder).map_err(ModelError::io(folder))?;
        let weights = ["pth", "pt", "bin", "ckpt", "safetensors"];
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| {
            let extension = path.extension().unwrap_or_default().to_string_lossy();
            weights.contains(&extension.as_ref())
        });
        files.sort();
        let opened = files.iter().map(|path| Checkpoint::open(path));
        let sources = opened.collect::<Result<Vec<_>, _>>()?;
        let find = |name: &str| -> Option<(Vec<usize>, Vec<f32>)> {
            let source = sources.iter().find(|source| source.info(name).is_some())?;
            let tensor = source.tensor(name)?;
            Some((tensor.shape.to_vec(), tensor.to_f32()))
        };
        let mut missing = Vec::new();
        let mut four = |name: String| -> Option<Tensor<4>> {
            let found = find(&name).and_then(|(shape, values)| {
                let shape: [usize; 4] = shape.try_into().ok()?;
                Some(Tensor::from_data(TensorData::new(values, shape), device))
            });
            if found.is_none() {
                missing.push(name);
            }
            found
        };
        let (mut convolutions, mut linear) = (Vec::new(), Vec::new());
        for (l, (index, ..)) in CONVOLUTIONS.iter().enumerate() {
            let weight = four(format!("features.{index}.weight"));
            linear.extend(four(format!("lin{l}.model.1.weight")));
            let name = format!("features.{index}.bias");
            let bias = find(&name).map(|(_, values)| {
                let shape = [values.len()];
                Tensor::from_data(TensorData::new(values, shape), device)
            });
            convolutions.extend(weight.zip(bias));
        }
        if missing.is_empty() && convolutions.len() == CONVOLUTIONS.len() {
            return Ok(Self {
                convolutions,
                linear,
                device: device.clone(),
            });
        }
        missing.push("AlexNet's features.*.bias".to_owned());
        Err(ModelError::MissingParts {
            missing,
            path: folder.to_owned(),
        })
    }

    /// The distance of two pictures of one size, x 100.
    pub fn distance(&self, a: &RgbImage, b: &RgbImage) -> f64 {
        let (a, b) = (self.features(a), self.features(b));
        let mut sum = 0.0;
        for ((a, b), weight) in a.into_iter().zip(b).zip(&self.linear) {
            let difference = unit(a) - unit(b);
            let squares = difference.clone() * difference; // [1, channels, h, w]
            let distance: f32 = (squares * weight.clone()).sum_dim(1).mean().into_scalar();
            sum += f64::from(distance);
        }
        100.0 * sum
    }

    fn features(&self, image: &RgbImage) -> Vec<Tensor<4>> {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let channel = |c: usize| {
            image.pixels().map(move |pixel| {
                let value = f32::from(pixel.0[c]) / 127.5 - 1.0;
                (value - SHIFT[c]) / SCALE[c]
            })
        };
        let pixels: Vec<f32> = (0..3).flat_map(channel).collect();
        let data = TensorData::new(pixels, [1, 3, height, width]);
        let mut x = Tensor::<4>::from_data(data, &self.device);
        let mut all = Vec::new();
        for (l, ((weight, bias), (_, stride, padding))) in
            self.convolutions.iter().zip(CONVOLUTIONS).enumerate()
        {
            if l == 1 || l == 2 {
                x = pooled(x);
            }
            let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
            x = relu(conv2d(x, weight.clone(), Some(bias.clone()), options));
            all.push(x.clone());
        }
        all
    }
}

/// The largest of 3 x 3, every second.
fn pooled(x: Tensor<4>) -> Tensor<4> {
    max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([2, 2]))
}

/// Of unit length along the channels.
fn unit(x: Tensor<4>) -> Tensor<4> {
    let length = (x.clone() * x.clone()).sum_dim(1).sqrt().add_scalar(1e-10);
    x / length
}
