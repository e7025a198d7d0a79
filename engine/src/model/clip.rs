//! CLIP's vision transformer (`openai/clip-vit-large-patch14-336`), with every hidden state.
//!
//! HealthGPT reads two of them: the last but one for comprehension, the output of the *first* block for generation
//! (index 1 of Hugging Face's `hidden_states`; the paper says "second"). Only the blocks that are needed run.
//! Field names are the checkpoint's, misspelling included (`pre_layrnorm`).

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor};

use super::config::ClipConfig;
use super::error::ModelError;
use super::fused::{self, Visible, swish};
use super::layers::{LayerNorm, Linear, matmul_rows};
use super::loader::Loader;

/// The vision tower.
#[derive(Module, Debug)]
pub struct ClipVision {
    /// `[hidden]`.
    pub class_embedding: Param<Tensor<1>>,
    /// `[hidden, 3 * patch * patch]`: the convolution without bias, one row a filter.
    pub patch_embedding: Param<Tensor<2>>,
    /// `[1 + patches, hidden]`.
    pub position_embedding: Param<Tensor<2>>,
    /// Before the first block.
    pub pre_layrnorm: LayerNorm,
    /// The blocks.
    pub layers: Vec<ClipLayer>,
    /// Side of a patch in pixels.
    pub patch: usize,
}

/// One transformer block: attention and MLP, each behind a layer norm.
#[derive(Module, Debug)]
pub struct ClipLayer {
    /// Before attention.
    pub layer_norm1: LayerNorm,
    /// Queries.
    pub q_proj: Linear,
    /// Keys.
    pub k_proj: Linear,
    /// Values.
    pub v_proj: Linear,
    /// Output of attention.
    pub out_proj: Linear,
    /// Before the MLP.
    pub layer_norm2: LayerNorm,
    /// First half of the MLP.
    pub fc1: Linear,
    /// Second half of the MLP.
    pub fc2: Linear,
    /// Attention heads.
    pub heads: usize,
}

impl ClipVision {
    /// Reads the tower from `vision_model.*`.
    pub fn load(loader: &mut Loader<'_>, config: &ClipConfig) -> Self {
        let (hidden, patch) = (config.hidden_size, config.patch_size);
        let grid = config.image_size / patch;
        let embeddings = "vision_model.embeddings";
        Self {
            class_embedding: loader.vector(&format!("{embeddings}.class_embedding"), hidden),
            patch_embedding: loader.reshaped(
                &format!("{embeddings}.patch_embedding.weight"),
                &[hidden, 3, patch, patch],
                [hidden, 3 * patch * patch],
            ),
            position_embedding: loader.matrix(
                &format!("{embeddings}.position_embedding.weight"),
                1 + grid * grid,
                hidden,
            ),
            pre_layrnorm: loader.layer_norm(
                "vision_model.pre_layrnorm",
                hidden,
                config.layer_norm_eps,
            ),
            layers: (0..config.num_hidden_layers)
                .map(|i| {
                    ClipLayer::load(loader, &format!("vision_model.encoder.layers.{i}"), config)
                })
                .collect(),
            patch,
        }
    }

    /// Hidden states 0 (embeddings after `pre_layrnorm`) to `last` (output of block `last`, counted from 1).
    /// Shapes: `pixels` `[batch, 3, side, side]`, each state `[batch, 1 + patches, hidden]`.
    pub fn hidden_states(&self, pixels: Tensor<4>, last: usize) -> Vec<Tensor<3>> {
        let mut x = self.embeddings(pixels);
        let mut states = vec![x.clone()];
        for layer in self.layers.iter().take(last) {
            x = layer.forward(x);
            states.push(x.clone());
        }
        states
    }

    /// One hidden state, by its index. Shapes as [`Self::hidden_states`].
    pub fn hidden_state(&self, pixels: Tensor<4>, index: usize) -> Tensor<3> {
        let layers = self.layers.iter().take(index);
        layers.fold(self.embeddings(pixels), |x, layer| layer.forward(x))
    }

    /// One hidden state of some patches (their numbers, from 0) that see only each other and the class token:
    /// `[batch, 1 + patches, hidden]`.
    pub fn hidden_state_of(&self, pixels: Tensor<4>, index: usize, patches: &[usize]) -> Tensor<3> {
        let tokens: Vec<i64> = std::iter::once(0)
            .chain(patches.iter().map(|patch| *patch as i64 + 1))
            .collect();
        let embeddings = self.embeddings(pixels);
        let tokens = Tensor::<1, Int>::from_data(tokens.as_slice(), &embeddings.device());
        let layers = self.layers.iter().take(index);
        layers.fold(embeddings.select(1, tokens), |x, layer| layer.forward(x))
    }

    /// Hidden state 0.
    fn embeddings(&self, pixels: Tensor<4>) -> Tensor<3> {
        let [batch, _, _, _] = pixels.dims();
        let [_, hidden] = self.position_embedding.dims();
        let area = self.patch * self.patch;
        let kernels = self.patch_embedding.val().reshape([hidden, 3, area]);
        let kernels = kernels.swap_dims(1, 2).reshape([hidden, area * 3]);
        let patches = matmul_rows(self.unfold(pixels), kernels);
        let class = self
            .class_embedding
            .val()
            .reshape([1, 1, hidden])
            .expand([batch, 1, hidden]);
        let x = Tensor::cat(vec![class, patches], 1) + self.position_embedding.val().unsqueeze();
        self.pre_layrnorm.forward(x)
    }

    /// Cuts the picture into patches, row by row. A stride-`patch` convolution without overlap is a product with
    /// these rows. Channels come last: the order in which the reference's convolution adds up, so that a backend which
    /// adds in order gives its very bits. Shapes: `[batch, 3, side, side]` to `[batch, patches, patch * patch * 3]`.
    fn unfold(&self, pixels: Tensor<4>) -> Tensor<3> {
        let [batch, channels, height, width] = pixels.dims();
        let p = self.patch;
        let (rows, columns) = (height / p, width / p);
        pixels
            .reshape([batch, channels, rows, p, columns, p])
            .permute([0, 2, 4, 3, 5, 1]) // [batch, rows, columns, p, p, channels]
            .reshape([batch, rows * columns, p * p * channels])
    }
}

impl ClipLayer {
    /// Reads a block from `{name}.*`.
    pub fn load(loader: &mut Loader<'_>, name: &str, config: &ClipConfig) -> Self {
        let (hidden, inner, eps) = (
            config.hidden_size,
            config.intermediate_size,
            config.layer_norm_eps,
        );
        let attention = format!("{name}.self_attn");
        Self {
            layer_norm1: loader.layer_norm(&format!("{name}.layer_norm1"), hidden, eps),
            q_proj: loader.linear(&format!("{attention}.q_proj"), hidden, hidden, true),
            k_proj: loader.linear(&format!("{attention}.k_proj"), hidden, hidden, true),
            v_proj: loader.linear(&format!("{attention}.v_proj"), hidden, hidden, true),
            out_proj: loader.linear(&format!("{attention}.out_proj"), hidden, hidden, true),
            layer_norm2: loader.layer_norm(&format!("{name}.layer_norm2"), hidden, eps),
            fc1: loader.linear(&format!("{name}.mlp.fc1"), inner, hidden, true),
            fc2: loader.linear(&format!("{name}.mlp.fc2"), hidden, inner, true),
            heads: config.num_attention_heads,
        }
    }

    /// Shapes: `[batch, tokens, hidden]` in and out.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let h = self.attention(self.layer_norm1.forward(x.clone()));
        let x = x + h;
        let h = self.fc1.forward(self.layer_norm2.forward(x.clone()));
        let h = swish(h, 1.702); // quick_gelu
        x + self.fc2.forward(h)
    }

    fn attention(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, hidden] = x.dims();
        let head_dim = hidden / self.heads;
        let split = |y: Tensor<3>| {
            y.reshape([batch, tokens, self.heads, head_dim])
                .swap_dims(1, 2)
        };
        // The query is scaled before the product, as the reference does.
        let q = split(
            self.q_proj
                .forward(x.clone())
                .mul_scalar((head_dim as f64).powf(-0.5)),
        );
        let k = split(self.k_proj.forward(x.clone()));
        let v = split(self.v_proj.forward(x));
        let scores = q.matmul(k.transpose());
        let weights = fused::softmax(&scores, Visible::All).unwrap_or_else(|| softmax(scores, 3)); // [batch, heads, tokens, tokens]
        let y = weights
            .matmul(v)
            .swap_dims(1, 2)
            .reshape([batch, tokens, hidden]);
        self.out_proj.forward(y)
    }
}

/// The index into the hidden states that `select` means: negative counts from the end, as Python does.
///
/// # Errors
/// [`ModelError::Invalid`] when the tower has no such state.
pub fn hidden_state_index(select: i64, layers: usize) -> Result<usize, ModelError> {
    let states = layers as i64 + 1;
    let index = if select < 0 { states + select } else { select };
    if (0..states).contains(&index) {
        Ok(index as usize)
    } else {
        Err(ModelError::Invalid {
            what: format!(
                "vit_hidden_state {select} does not exist: this CLIP has {states} hidden states"
            ),
        })
    }
}

/// Pixels of one picture as a tensor `[1, 3, side, side]`.
pub fn pixels_tensor(pixels: Vec<f32>, side: [usize; 2], device: &Device) -> Tensor<4> {
    Tensor::from_data(
        burn::tensor::TensorData::new(pixels, [1, 3, side[0], side[1]]),
        device,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_two_is_one_short_of_the_last_block() {
        assert_eq!(hidden_state_index(-2, 24).unwrap(), 23);
        assert_eq!(hidden_state_index(1, 24).unwrap(), 1);
        assert!(hidden_state_index(25, 24).is_err());
        assert!(hidden_state_index(-26, 24).is_err());
    }
}
