//! The two-layer MLP from ViT width to LLM width (the paper's "adapter"), one per task.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::gelu;

use super::layers::Linear;
use super::loader::Loader;

/// `W2 gelu(W0 f + b0) + b2`, with the exact (erf) GELU.
#[derive(Module, Debug)]
pub struct Projector {
    /// `mm_projector.0`.
    pub linear_0: Linear,
    /// `mm_projector.2`.
    pub linear_2: Linear,
}

impl Projector {
    /// Reads `mm_projector.{0,2}.{weight,bias}`.
    pub fn load(loader: &mut Loader<'_>, vit_hidden: usize, hidden: usize) -> Self {
        Self {
            linear_0: loader.linear("mm_projector.0", hidden, vit_hidden, true),
            linear_2: loader.linear("mm_projector.2", hidden, hidden, true),
        }
    }

    /// Shapes: `[batch, patches, vit_hidden]` to `[batch, patches, hidden]`.
    pub fn forward(&self, features: Tensor<3>) -> Tensor<3> {
        self.linear_2.forward(gelu(self.linear_0.forward(features)))
    }
}
