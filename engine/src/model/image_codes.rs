//! A picture to its VQ codes: the same on the CPU and on a GPU.
//!
//! On a GPU the scores of all codes are compared where they are made (`vq_lookup.wgsl`): the latents come from burn's modules as
//! plain data, and only the codes come back. burn would write and hand over a score for each code at each position.

use burn::tensor::{Tensor, TensorData};
use image::RgbImage;

use super::HealthGpt;
use super::error::ModelError;
use super::preprocess::vqgan_pixels;
use super::vqgan::Vqgan;
use crate::device::kernels_on;
use crate::gpu::vq_lookup::VqLookup;
use crate::gpu::{Gpu, GpuError};

impl HealthGpt {
    /// The codes of a picture, row by row; `None` without an image decoder.
    ///
    /// # Errors
    /// [`GpuError`]: no room, or a GPU that was lost.
    pub fn image_codes(&self, image: &RgbImage) -> Result<Option<Vec<u32>>, ModelError> {
        let Some((vqgan, config)) = &self.vqgan else {
            return Ok(None);
        };
        let side = config.resolution;
        let pixels = TensorData::new(vqgan_pixels(image, side), [1, 3, side, side]);
        let pixels = Tensor::from_data(pixels, &self.device);
        // The kernel reads a code four elements at a time.
        let gpu = kernels_on(&self.device).filter(|_| config.embed_dim.is_multiple_of(4));
        let Some(gpu) = gpu else {
            return Ok(Some(vqgan.encode(pixels)));
        };
        let lookup = match self.lookup.get() {
            Some(lookup) => lookup,
            None => {
                let made = vqgan.lookup(&gpu)?;
                self.lookup.get_or_init(|| made)
            }
        };
        let latents = vqgan.encode_latents(pixels).permute([0, 2, 3, 1]); // [1, side, side, embed_dim]
        let latents: Vec<f32> = latents.into_data().iter::<f32>().collect();
        Ok(Some(lookup.run(&gpu, &latents)?))
    }
}

impl Vqgan {
    /// The encoder's projection on the GPU.
    fn lookup(&self, gpu: &Gpu) -> Result<VqLookup, GpuError> {
        let e: Vec<f32> = self.proj.weight.val().into_data().iter::<f32>().collect();
        let bias: Vec<f32> = self.proj.bias.val().into_data().iter::<f32>().collect();
        VqLookup::new(gpu, &e, &bias)
    }
}
