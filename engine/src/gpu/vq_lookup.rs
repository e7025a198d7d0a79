//! Launches `vq_lookup.wgsl`: the best code of each latent, by a learned projection (GumbelVQ) or by distance.

use super::gemv::NO_WEIGHTS;
use super::kernel::{Access, Shader};
use super::{Gpu, GpuError};

/// The shader.
pub static SHADER: Shader = Shader {
    stem: "vq_lookup",
    first: "",
    source: include_str!("../../../shaders/vq_lookup.wgsl"),
    reduces: false,
    weights: false,
    bindings: &[
        (0, Access::Uniform),
        (1, Access::Read),
        (2, Access::Read),
        (3, Access::Read),
        (4, Access::Write),
        (5, Access::Write),
    ],
};

/// Shares of the codes.
const PARTS: u32 = 8;

/// Codes with their weights and biases on the GPU.
#[derive(Clone, Debug)]
pub struct VqLookup {
    e: wgpu::Buffer,
    bias: wgpu::Buffer,
    codes: u32,
    /// Of a code, in vec4.
    vecs: u32,
}

impl VqLookup {
    /// `e` `[codes, width]` and `bias` `[codes]`: the encoder's projection. The width is a multiple of 4.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`], or a width that is no multiple of 4.
    pub fn new(gpu: &Gpu, e: &[f32], bias: &[f32]) -> Result<Self, GpuError> {
        let width = e.len() / bias.len().max(1);
        if !width.is_multiple_of(4) || width == 0 {
            return Err(GpuError::Unsupported {
                what: format!("codes have {width} elements; a multiple of 4 is needed"),
            });
        }
        Ok(Self {
            e: gpu.floats("codes", e)?,
            bias: gpu.floats("codes", bias)?,
            codes: bias.len() as u32,
            vecs: width as u32 / 4,
        })
    }

    /// The nearest of `e` `[codes, width]`: `|z - e|^2` is smallest where `e . z - |e|^2 / 2` is largest.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn nearest(gpu: &Gpu, e: &[f32], codes: usize) -> Result<Self, GpuError> {
        let width = (e.len() / codes.max(1)).max(1);
        let bias: Vec<f32> = e
            .chunks(width)
            .map(|e| -0.5 * e.iter().map(|x| x * x).sum::<f32>())
            .collect();
        Self::new(gpu, e, &bias)
    }

    /// The best code of each of the latents `z` `[latents, width]`.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`], [`GpuError::Lost`].
    pub fn run(&self, gpu: &Gpu, z: &[f32]) -> Result<Vec<u32>, GpuError> {
        let latents = z.len() as u32 / (4 * self.vecs);
        let z = gpu.floats("latents", z)?;
        let part = gpu.zeros("best codes", u64::from(PARTS * latents) * 8)?;
        let best = gpu.zeros("best codes", u64::from(latents) * 4)?;
        let sizes = gpu.sizes(&[latents, self.codes])?;
        let lanes = gpu.tuning.lanes;
        let buffers = [
            (0, &sizes),
            (1, &z),
            (2, &self.e),
            (3, &self.bias),
            (4, &part),
            (5, &best),
        ];
        let pass = |merge: bool, groups| {
            let constants = [
                ("WG", f64::from(lanes)),
                ("MERGE", f64::from(u8::from(merge))),
                ("VECS", f64::from(self.vecs)),
                ("PARTS", f64::from(PARTS)),
                ("BESTS", f64::from(8 * lanes)),
            ];
            gpu.dispatch(&SHADER, NO_WEIGHTS, &constants, &buffers, groups)
        };
        let _ = gpu.submit(&[
            pass(false, [latents.div_ceil(8), PARTS, 1]),
            pass(true, [latents.div_ceil(lanes), 1, 1]),
        ]);
        let bytes = gpu.read(&best, u64::from(latents) * 4)?;
        let words = bytes.as_chunks::<4>().0.iter();
        Ok(words.map(|word| u32::from_le_bytes(*word)).collect())
    }
}

/// The scores of every code for one latent; the kernel returns the first of the largest. Used by tests only.
pub fn reference(e: &[f32], bias: &[f32], z: &[f32]) -> Vec<f64> {
    let scores = super::gemv::reference(e, z, z.len());
    scores
        .iter()
        .zip(bias)
        .map(|(s, b)| s + f64::from(*b))
        .collect()
}
