//! Keys and values of the tokens so far, allocated once for the longest sequence of a job.

use burn::tensor::{Device, Tensor};

use super::config::LlmConfig;

/// The cache of one sequence.
#[derive(Debug)]
pub struct KvCache {
    /// One per decoder layer.
    pub layers: Vec<LayerCache>,
    /// Tokens held.
    pub len: usize,
    /// Tokens that fit.
    pub capacity: usize,
}

/// Keys and values of one layer.
#[derive(Debug)]
pub struct LayerCache {
    /// `[batch, kv_heads, capacity, head_dim]`; `None` only while it is being replaced.
    keys: Option<Tensor<4>>,
    values: Option<Tensor<4>>,
}

impl KvCache {
    /// Room for `capacity` tokens of one sequence.
    pub fn new(config: &LlmConfig, capacity: usize, device: &Device) -> Self {
        let shape = [1, config.num_key_value_heads, capacity, config.head_dim];
        let layers = (0..config.num_hidden_layers)
            .map(|_| LayerCache {
                keys: Some(Tensor::zeros(shape, device)),
                values: Some(Tensor::zeros(shape, device)),
            })
            .collect();
        Self {
            layers,
            len: 0,
            capacity,
        }
    }
}

impl LayerCache {
    /// Writes `k` and `v` (`[batch, kv_heads, tokens, head_dim]`) at `start` in place and returns all keys and values
    /// up to their end.
    pub fn append(&mut self, k: Tensor<4>, v: Tensor<4>, start: usize) -> (Tensor<4>, Tensor<4>) {
        let write = |slot: &mut Option<Tensor<4>>, new: Tensor<4>| {
            let [batch, kv_heads, tokens, head_dim] = new.dims();
            let whole = match slot.take() {
                // The only owner: burn writes in place.
                Some(buffer) => buffer.slice_assign(
                    [0..batch, 0..kv_heads, start..start + tokens, 0..head_dim],
                    new,
                ),
                None => new,
            };
            let held = whole.clone().narrow(2, 0, start + tokens);
            *slot = Some(whole);
            held
        };
        (write(&mut self.keys, k), write(&mut self.values, v))
    }
}
