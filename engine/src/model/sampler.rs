//! How the next token is chosen.

/// How tokens are chosen. The default is greedy, as the reference runs.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// Keep only so many candidates.
    pub top_k: Option<usize>,
    /// Keep the smallest set of candidates with this probability.
    pub top_p: Option<f32>,
    /// Divides the logits of tokens already generated; `None` takes the model's own generation_config.
    pub repetition_penalty: Option<f32>,
    /// Seed of the random choice.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_k: None, top_p: None, repetition_penalty: None, seed: 0 }
    }
}
