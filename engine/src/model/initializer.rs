//! First values of a new model, by the name a parameter has in the checkpoint. The same seed gives the same model.

use super::random::Random;

/// A seeded source of first values.
#[derive(Clone, Debug)]
pub struct Initializer {
    random: Random,
}

impl Initializer {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
        }
    }

    /// Values of the parameter `name` of this shape, row-major: norms one; biases and `lora_B` zero (a new plug-in changes
    /// nothing); everything else normal with the inverse square root of its inputs, embeddings with 0.02.
    pub fn values(&mut self, name: &str, shape: &[usize]) -> Vec<f32> {
        let count = shape.iter().product();
        let inputs: usize = shape.iter().skip(1).product();
        let std = if name.ends_with(".bias") || name.contains("lora_B") {
            return vec![0.0; count];
        } else if shape.len() == 1 && !name.contains("class_embedding") {
            return vec![1.0; count];
        } else if name.contains("quantize.embed") {
            1.0
        } else if name.contains("embed") && !name.contains("patch_embedding") {
            0.02
        } else {
            (inputs.max(1) as f64).powf(-0.5)
        };
        (0..count)
            .map(|_| (self.random.normal() * std) as f32)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_plug_in_changes_nothing_and_norms_begin_at_one() {
        let mut initializer = Initializer::new(1);
        assert!(
            initializer
                .values("layers.0.mlp.down_proj.lora_B.weight", &[4, 8])
                .iter()
                .all(|x| *x == 0.0)
        );
        assert!(
            initializer
                .values("encoder.norm_out.weight", &[32])
                .iter()
                .all(|x| *x == 1.0)
        );
        let kernel = initializer.values("encoder.conv_in.weight", &[8, 3, 3, 3]);
        assert!(kernel.iter().any(|x| *x != 0.0) && kernel.iter().all(|x| x.abs() < 1.0));
    }
}
