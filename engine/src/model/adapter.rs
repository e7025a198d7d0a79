//! The low-rank layers beside a frozen linear layer: LoRA, MoE-LoRA and HealthGPT's H-LoRA.
//!
//! The paper compares the three, so they stand behind one enum. Where paper and released code differ, the code wins:
//! the router goes through a softmax that the paper does not print, and the scale is `alpha / rank` of *one* expert
//! (`alpha / r * n` with `r` all experts together: 8 in every released model; Equation 9 read literally gives 32).

use std::cell::Cell;

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};

use super::layers::matmul_rows;
use super::random::Random;

/// What is added to a frozen linear layer.
#[derive(Module, Debug)]
pub enum Adapter {
    /// `s B A x`.
    Lora(Lora),
    /// `sum_e softmax(R x)_e s B_e A_e x`, one expert after the other.
    MoeLora(MoeLora),
    /// The same sum as one product: experts merged along the rank.
    HLora(HLora),
}

/// Plain LoRA.
#[derive(Module, Debug)]
pub struct Lora {
    /// `[rank, d_in]`.
    pub lora_a: Param<Tensor<2>>,
    /// `[d_out, rank]`.
    pub lora_b: Param<Tensor<2>>,
    /// `alpha / rank`.
    pub scale: f64,
}

/// A LoRA per expert and a router.
#[derive(Module, Debug)]
pub struct MoeLora {
    /// `[experts, d_in]`.
    pub lora_route: Param<Tensor<2>>,
    /// One LoRA per expert.
    pub experts: Vec<Lora>,
}

/// H-LoRA (paper, Equations 8 to 11 and Algorithm 1).
#[derive(Module, Debug)]
pub struct HLora {
    /// `[experts, d_in]`.
    pub lora_route: Param<Tensor<2>>,
    /// `[experts * rank, d_in]`: expert `e` owns rows `e * rank ..`.
    pub lora_a: Param<Tensor<2>>,
    /// `[d_out, experts * rank]`: expert `e` owns the same columns.
    pub lora_b: Param<Tensor<2>>,
    /// `alpha / rank` of one expert.
    pub scale: f64,
}

/// What one adapter did to one input, for comparison with a reference.
#[derive(Clone, Debug)]
pub struct AdapterTrace {
    /// `[batch, tokens, experts]`; absent for plain LoRA.
    pub route: Option<Tensor<3>>,
    /// `[batch, tokens, d_out]`.
    pub delta: Tensor<3>,
}

impl Adapter {
    /// What the adapter adds to the layer's output, with the routing weights.
    /// Shapes: `x` `[batch, tokens, d_in]` (the layer's own input).
    pub fn forward(&self, x: Tensor<3>, dropout: Option<&Dropout>) -> AdapterTrace {
        match self {
            Self::Lora(lora) => AdapterTrace {
                route: None,
                delta: lora.forward(x, dropout),
            },
            Self::MoeLora(moe) => moe.forward(x, dropout),
            Self::HLora(hlora) => hlora.forward(x, dropout),
        }
    }
}

/// Zeroes a share of the scaled `A x` while a plug-in is trained, and scales up the rest; the place is the reference's
/// (`lora_dropout`, before the routing). Draws from its own seeded generator.
#[derive(Debug)]
pub struct Dropout {
    /// Share that is zeroed, at least 0 and below 1.
    pub rate: f64,
    /// The generator, which goes on with every call.
    pub random: Cell<Random>,
}

fn dropped(a: Tensor<3>, dropout: Option<&Dropout>) -> Tensor<3> {
    let Some(dropout) = dropout.filter(|dropout| dropout.rate > 0.0) else {
        return a;
    };
    let dims = a.dims();
    let kept = (1.0 / (1.0 - dropout.rate)) as f32;
    let mut random = dropout.random.get();
    let mask: Vec<f32> = (0..dims.iter().product())
        .map(|_| {
            if random.uniform() < dropout.rate {
                0.0
            } else {
                kept
            }
        })
        .collect();
    dropout.random.set(random);
    let device = a.device();
    a * Tensor::from_data(TensorData::new(mask, dims), &device)
}

impl Lora {
    fn forward(&self, x: Tensor<3>, dropout: Option<&Dropout>) -> Tensor<3> {
        let a = matmul_rows(x, self.lora_a.val()).mul_scalar(self.scale);
        matmul_rows(dropped(a, dropout), self.lora_b.val())
    }
}

impl MoeLora {
    fn forward(&self, x: Tensor<3>, dropout: Option<&Dropout>) -> AdapterTrace {
        let route = softmax(matmul_rows(x.clone(), self.lora_route.val()), 2);
        let mut delta: Option<Tensor<3>> = None;
        for (e, expert) in self.experts.iter().enumerate() {
            let share = expert.forward(x.clone(), dropout) * route.clone().narrow(2, e, 1);
            delta = Some(match delta {
                Some(sum) => sum + share,
                None => share,
            });
        }
        let delta = delta.unwrap_or_else(|| x.zeros_like());
        AdapterTrace {
            route: Some(route),
            delta,
        }
    }
}

impl HLora {
    fn forward(&self, x: Tensor<3>, dropout: Option<&Dropout>) -> AdapterTrace {
        let [batch, tokens, _] = x.dims();
        let [experts, _] = self.lora_route.dims();
        let [merged, _] = self.lora_a.dims();
        let route = softmax(matmul_rows(x.clone(), self.lora_route.val()), 2);
        // Order as in the reference code: scale A x first, then route it.
        let a = matmul_rows(x, self.lora_a.val()).mul_scalar(self.scale);
        let gated = dropped(a, dropout).reshape([batch, tokens, experts, merged / experts])
            * route.clone().reshape([batch, tokens, experts, 1]);
        let delta = matmul_rows(gated.reshape([batch, tokens, merged]), self.lora_b.val());
        AdapterTrace {
            route: Some(route),
            delta,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
    }

    /// Equation 8 to 11: merging the experts along the rank changes nothing.
    #[test]
    fn h_lora_equals_the_loop_over_experts() {
        let device = Device::flex();
        for (experts, rank, d_in, d_out) in [(1, 3, 5, 7), (4, 2, 8, 6), (8, 1, 3, 9)] {
            let route = random([experts, d_in], &device);
            let a = random([experts * rank, d_in], &device);
            let b = random([d_out, experts * rank], &device);
            let x = random([1, 5, d_in], &device);
            let merged = Adapter::HLora(HLora {
                lora_route: Param::from_tensor(route.clone()),
                lora_a: Param::from_tensor(a.clone()),
                lora_b: Param::from_tensor(b.clone()),
                scale: 8.0,
            });
            let looped = Adapter::MoeLora(MoeLora {
                lora_route: Param::from_tensor(route),
                experts: (0..experts)
                    .map(|e| Lora {
                        lora_a: Param::from_tensor(a.clone().narrow(0, e * rank, rank)),
                        lora_b: Param::from_tensor(b.clone().narrow(1, e * rank, rank)),
                        scale: 8.0,
                    })
                    .collect(),
            });
            let difference = (merged.forward(x.clone(), None).delta
                - looped.forward(x, None).delta)
                .abs()
                .max();
            let difference: f32 = difference.into_scalar();
            assert!(difference < 1e-3, "experts {experts}: {difference}"); // values are of the order of 100
        }
    }
}
