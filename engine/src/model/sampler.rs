//! How the next token is chosen: greedy, or temperature with top-k and top-p, with a repetition penalty.

use serde::{Deserialize, Serialize};

use super::random::Random;

/// How tokens are chosen. The default is greedy, as the reference runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// Keep only so many candidates.
    pub top_k: Option<usize>,
    /// Keep the smallest set of candidates with this probability.
    pub top_p: Option<f32>,
    /// Divides the positive logits of tokens already generated and multiplies the negative ones; `None` takes the
    /// model's own generation_config (so Qwen's "greedy" keeps its 1.05, as in the reference).
    pub repetition_penalty: Option<f32>,
    /// Seed of the random choice.
    pub seed: u64,
}

impl Sampling {
    /// The repetition penalty, where `default` is the model's own.
    pub fn penalty(&self, default: f32) -> f32 {
        self.repetition_penalty.unwrap_or(default)
    }

    /// Does nothing but the logits decide, with the model's own penalty as `default`?
    pub fn greedy(&self, default: f32) -> bool {
        self.temperature <= 0.0 && self.penalty(default) == 1.0
    }
}

impl std::fmt::Display for Sampling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.temperature <= 0.0 {
            f.write_str("greedy")?;
        } else {
            write!(f, "temperature {}, seed {}", self.temperature, self.seed)?;
            if let Some(top_k) = self.top_k {
                write!(f, ", top-k {top_k}")?;
            }
            if let Some(top_p) = self.top_p {
                write!(f, ", top-p {top_p}")?;
            }
        }
        match self.repetition_penalty {
            Some(penalty) => write!(f, ", repetition penalty {penalty}"),
            None => Ok(()),
        }
    }
}

/// Chooses one token after another.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    penalty: f32,
    /// Tokens chosen so far. The penalty sees only these: the prompt enters as embeddings.
    seen: Vec<u32>,
    random: Random,
}

impl Sampler {
    /// `default_penalty` is the model's own.
    pub fn new(sampling: &Sampling, default_penalty: f32) -> Self {
        Self {
            penalty: sampling.penalty(default_penalty),
            sampling: sampling.clone(),
            seen: Vec::new(),
            random: Random(sampling.seed),
        }
    }

    /// The next token of `logits`, whose first entry is token `first` (a slice of the head starts later than 0).
    pub fn choose(&mut self, mut logits: Vec<f32>, first: u32) -> u32 {
        if self.penalty != 1.0 {
            let mut seen = self.seen.clone();
            seen.sort_unstable();
            seen.dedup();
            for id in seen {
                let logit = id
                    .checked_sub(first)
                    .and_then(|i| logits.get_mut(i as usize));
                if let Some(logit) = logit {
                    *logit = if *logit > 0.0 {
                        *logit / self.penalty
                    } else {
                        *logit * self.penalty
                    };
                }
            }
        }
        let index = if self.sampling.temperature <= 0.0 {
            argmax(&logits)
        } else {
            self.draw(&logits)
        };
        let id = first + index as u32;
        self.seen.push(id);
        id
    }

    /// Notes a token that was forced, not chosen.
    pub fn force(&mut self, id: u32) {
        self.seen.push(id);
    }

    fn draw(&mut self, logits: &[f32]) -> usize {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        let logit = |i: usize| logits.get(i).copied().unwrap_or(f32::NEG_INFINITY);
        order.sort_by(|a, b| logit(*b).total_cmp(&logit(*a)).then(a.cmp(b)));
        order.truncate(self.sampling.top_k.unwrap_or(order.len()).max(1));
        let top = order.first().map_or(0.0, |i| logit(*i));
        let temperature = f64::from(self.sampling.temperature);
        let weights: Vec<f64> = order
            .iter()
            .map(|i| (f64::from(logit(*i) - top) / temperature).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        // The smallest set whose probability reaches top_p; at least one token.
        let limit = self.sampling.top_p.map_or(1.0, f64::from) * total;
        let mut kept = 0.0;
        let mut count = 0;
        for weight in &weights {
            kept += weight;
            count += 1;
            if kept >= limit {
                break;
            }
        }
        let mut point = self.random.uniform() * kept;
        for (i, weight) in order.iter().zip(&weights).take(count) {
            point -= weight;
            if point < 0.0 {
                return *i;
            }
        }
        order.get(count.saturating_sub(1)).copied().unwrap_or(0)
    }
}

/// The index of the largest value; the lowest on a tie.
pub fn argmax(values: &[f32]) -> usize {
    let mut best = (f32::NEG_INFINITY, 0);
    for (i, value) in values.iter().enumerate() {
        if *value > best.0 {
            best = (*value, i);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(sampling: &Sampling, logits: &[f32], count: usize) -> Vec<u32> {
        (0..count)
            .map(|seed| {
                Sampler::new(
                    &Sampling {
                        seed: seed as u64,
                        ..sampling.clone()
                    },
                    1.0,
                )
                .choose(logits.to_vec(), 0)
            })
            .collect()
    }

    #[test]
    fn greedy_takes_the_lowest_of_equals() {
        assert_eq!(
            Sampler::new(&Sampling::default(), 1.0).choose(vec![1.0, 3.0, 3.0], 10),
            11
        );
    }

    #[test]
    fn the_penalty_divides_positive_and_multiplies_negative_logits() {
        let mut sampler = Sampler::new(&Sampling::default(), 2.0);
        assert_eq!(sampler.choose(vec![4.0, 3.0, -1.0], 0), 0);
        assert_eq!(sampler.choose(vec![4.0, 3.0, -1.0], 0), 1); // 4 / 2 < 3
        let mut sampler = Sampler::new(&Sampling::default(), 2.0);
        sampler.force(0);
        assert_eq!(sampler.choose(vec![-1.0, -1.5], 0), 1); // -1 * 2 < -1.5
    }

    #[test]
    fn a_seed_repeats_and_top_k_one_is_greedy() {
        let warm = Sampling {
            temperature: 1.0,
            ..Sampling::default()
        };
        let logits = [0.0, 1.0, 0.5];
        assert_eq!(sampled(&warm, &logits, 20), sampled(&warm, &logits, 20));
        let one = Sampling {
            top_k: Some(1),
            ..warm
        };
        assert!(sampled(&one, &logits, 20).iter().all(|id| *id == 1));
    }

    #[test]
    fn draws_follow_the_probabilities() {
        // exp(0) : exp(ln 3) = 1 : 3
        let warm = Sampling {
            temperature: 1.0,
            ..Sampling::default()
        };
        let ones = sampled(&warm, &[0.0, 3f32.ln()], 4000)
            .iter()
            .filter(|id| **id == 1)
            .count();
        assert!(
            (2850..3150).contains(&ones),
            "{ones} of 4000, expected about 3000"
        );
    }

    #[test]
    fn top_p_keeps_the_smallest_sufficient_set() {
        // Probabilities 0.6, 0.3, 0.1: 0.6 is not enough for 0.7, so the first two are kept.
        let p = Sampling {
            temperature: 1.0,
            top_p: Some(0.7),
            ..Sampling::default()
        };
        let ids = sampled(&p, &[0.6f32.ln(), 0.3f32.ln(), 0.1f32.ln()], 500);
        assert!(ids.contains(&0) && ids.contains(&1) && !ids.contains(&2));
    }
}
