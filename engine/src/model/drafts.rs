//! Guesses at the next codes of an image, which the model checks several at a time (speculative decoding, exact for greedy choice).
//!
//! A code of an image is often that of its left neighbour, of the one above, of the same place in the slice before, or what the model
//! itself said of this place in the last check, when an earlier code was still wrong (Jacobi decoding: Teng et al. 2024,
//! arXiv:2410.01699). Whichever was right most often lately drafts. One forward pass over the drafts gives the model's own choice after
//! each; as many as agree are kept, and the first that does not is replaced by that choice. What is written is therefore what the
//! model would have written one by one.

use serde::{Deserialize, Serialize};

/// Where drafts come from.
const SOURCES: usize = 4;
/// What is expected of the model's earlier choice, the slice before, the code above and the left neighbour.
const EXPECTED: [f64; SOURCES] = [0.6, 0.5, 0.4, 0.3];
/// How much of a source's record stays with each code.
const KEPT: f64 = 0.97;
/// Checks after which too few right drafts end drafting.
const TRIAL: usize = 48;
/// Drafts that have to be right in a check, on average, for checks to pay.
const WORTH: f64 = 0.35;

/// Are codes drafted?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drafting {
    /// Where one reading of the weights for several codes saves time: on a GPU, and for packed rows larger than a cache.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl Drafting {
    /// With what a place itself suggests.
    pub fn here(self, pays: bool) -> bool {
        match self {
            Self::Auto => pays,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// How the drafts of a picture fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Forward passes over a code and its drafts.
    pub checks: usize,
    /// Drafts that were checked.
    pub drafted: usize,
    /// Drafts that the model agreed with.
    pub accepted: usize,
}

impl Acceptance {
    /// Share of the drafts that were right.
    pub fn share(&self) -> f64 {
        self.accepted as f64 / self.drafted.max(1) as f64
    }

    /// Codes that a forward pass gave.
    pub fn codes_per_check(&self) -> f64 {
        (self.checks + self.accepted) as f64 / self.checks.max(1) as f64
    }
}

/// Drafts for one image.
#[derive(Clone, Debug)]
pub struct Drafts {
    /// Codes in a row.
    row: usize,
    /// Tokens of the slice before, in their places.
    previous: Vec<u32>,
    /// Tokens so far.
    written: Vec<u32>,
    /// What the model said of the places after those.
    said: Vec<u32>,
    right: [f64; SOURCES],
    /// Right drafts of a check, lately.
    lately: f64,
    acceptance: Acceptance,
}

impl Drafts {
    /// For an image of rows of `row` codes, with the tokens of the slice before, if there was one.
    pub fn new(row: usize, previous: &[u32]) -> Self {
        Self {
            row,
            previous: previous.to_vec(),
            written: Vec::new(),
            said: Vec::new(),
            right: EXPECTED,
            lately: 2.0,
            acceptance: Acceptance::default(),
        }
    }

    /// How they fared.
    pub fn acceptance(&self) -> Acceptance {
        self.acceptance
    }

    /// Are they still worth checking?
    pub fn pay(&self) -> bool {
        self.acceptance.checks < TRIAL || self.lately > WORTH
    }

    /// What each source says of a place, given the tokens before it.
    fn candidates(&self, before: &[u32]) -> [Option<u32>; SOURCES] {
        let place = before.len();
        let said = place.checked_sub(self.written.len());
        let above = place.checked_sub(self.row);
        [
            said.and_then(|i| self.said.get(i)).copied(),
            self.previous.get(place).copied(),
            above.and_then(|i| before.get(i)).copied(),
            before.last().copied(),
        ]
    }

    /// Up to `most` drafts to follow what is written; fewer where drafts are seldom right.
    pub fn next(&self, most: usize) -> Vec<u32> {
        let count = ((2.0 * self.lately + 2.0) as usize).min(most);
        let mut before = self.written.clone();
        for _ in 0..count {
            let said = self.candidates(&before).into_iter().zip(self.right);
            let best = said
                .filter_map(|(token, right)| Some((token?, right)))
                .max_by(|a, b| a.1.total_cmp(&b.1));
            let Some((token, _)) = best else { break };
            before.push(token);
        }
        before.split_off(self.written.len())
    }

    /// Takes the next token.
    pub fn write(&mut self, token: u32) {
        self.written.push(token);
        if !self.said.is_empty() {
            let _ = self.said.remove(0);
        }
    }

    /// Notes which sources would have been right about the next token.
    fn learn(&mut self, token: u32) {
        let candidates = self.candidates(&self.written);
        for (right, candidate) in self.right.iter_mut().zip(candidates) {
            if let Some(candidate) = candidate {
                let hit = f64::from(u8::from(candidate == token));
                *right = KEPT * *right + (1.0 - KEPT) * hit;
            }
        }
    }

    /// Takes the outcome of a check: the drafts, and the model's choice after the token before them and after each of them. Returns
    /// how many drafts stand; the choice after those is the next token.
    pub fn check(&mut self, drafts: &[u32], chosen: &[u32]) -> usize {
        let agreed = drafts.iter().zip(chosen).take_while(|(a, b)| a == b);
        let accepted = agreed.count();
        self.acceptance.checks += 1;
        self.acceptance.drafted += drafts.len();
        self.acceptance.accepted += accepted;
        self.lately = 0.85 * self.lately + 0.15 * accepted as f64;
        for token in drafts.iter().take(accepted) {
            self.learn(*token);
            self.write(*token);
        }
        if let Some(next) = chosen.get(accepted) {
            self.learn(*next);
        }
        self.said = chosen.get(accepted..).unwrap_or_default().to_vec();
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes an image that a deterministic model makes; returns what was written.
    fn run(drafts: &mut Drafts, image: &[u32], most: usize) -> Vec<u32> {
        let mut written = Vec::new();
        let mut next = image[0];
        while written.len() < image.len() {
            written.push(next);
            drafts.write(next);
            let left = image.len() - written.len();
            if left == 0 {
                break;
            }
            let drafted = drafts.next(most.min(left - 1));
            // The model says what the image has, whatever is before: its codes do not depend on each other.
            let from = written.len();
            let chosen = &image[from..from + drafted.len() + 1];
            let accepted = drafts.check(&drafted, chosen);
            written.extend_from_slice(&drafted[..accepted]);
            next = chosen[accepted];
        }
        written
    }

    #[test]
    fn what_is_written_is_what_the_model_says_and_its_own_choices_are_taken_up() {
        let image: Vec<u32> = (0..256).map(|i| (i * 7919 + i * i) % 1000).collect();
        let mut drafts = Drafts::new(16, &[]);
        assert_eq!(run(&mut drafts, &image, 7), image);
        let fared = drafts.acceptance();
        // No code repeats, so that only what the model said before can be right: about every second check.
        assert!(fared.codes_per_check() > 2.0, "{fared:?}");
        assert!(drafts.pay());
    }

    #[test]
    fn a_flat_image_and_one_like_the_slice_before_take_few_checks() {
        let flat = vec![5; 256];
        let mut drafts = Drafts::new(16, &[]);
        assert_eq!(run(&mut drafts, &flat, 7), flat);
        assert!(drafts.acceptance().codes_per_check() > 6.0);

        let image: Vec<u32> = (0..256).map(|i| (i * 7919 + i * i) % 1000).collect();
        let mut drafts = Drafts::new(16, &image);
        assert_eq!(run(&mut drafts, &image, 7), image);
        assert!(drafts.acceptance().codes_per_check() > 5.0);
        assert!(drafts.acceptance().share() > 0.9);
    }
}
