//! Choices: tokens and codes.

use std::collections::BTreeMap;

use engine::gpu::Gpu;
use engine::gpu::sample::{self, Choice, RING};
use engine::gpu::vq_lookup::{self, VqLookup};
use engine::model::Sampling;
use engine::model::random::Random;

use super::{gpus, normal};

/// Tokens that columns of equal logits choose; steps and slots differ.
fn choose(gpu: &Gpu, logits: &[f32], columns: usize, sampling: &Sampling) -> Vec<u32> {
    let rows: Vec<f32> = (0..columns).flat_map(|_| logits.to_vec()).collect();
    let rows = gpu.floats("logits", &rows).unwrap();
    let states: Vec<u32> = (0..columns as u32)
        .flat_map(|c| [7, 20 + c, c, 3])
        .collect();
    let states = gpu.words("columns", &states).unwrap();
    let ring = gpu
        .zeros("ring", u64::from(RING) * 4 * columns as u64)
        .unwrap();
    let choice = Choice {
        count: logits.len() as u32,
        stride: logits.len() as u32,
        first: 100,
        sampling,
        columns: columns as u32,
    };
    let _ = gpu.submit(&[choice.dispatch(gpu, &rows, &states, &ring).unwrap()]);
    let after = gpu.read(&states, 16 * columns as u64).unwrap();
    let after: Vec<u32> = after
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| u32::from_le_bytes(*b))
        .collect();
    let ring = gpu
        .read(&ring, u64::from(RING) * 4 * columns as u64)
        .unwrap();
    let ring: Vec<u32> = ring
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| u32::from_le_bytes(*b))
        .collect();
    let mut tokens = Vec::new();
    for (c, state) in after.chunks(4).enumerate() {
        // Fed back, moved on by one, and kept at step 3 of the ring.
        assert_eq!(state[1..], [21 + c as u32, c as u32, 4]);
        assert_eq!(ring[3 * columns + c], state[0]);
        tokens.push(state[0] - 100);
    }
    tokens
}

#[test]
fn greedy_takes_the_largest_and_the_lowest_of_equals() {
    let mut random = Random(7);
    for gpu in gpus().take(3) {
        for count in [1, 7, 65, 1000] {
            let mut logits = normal(&mut random, count);
            let want = sample::reference(&logits);
            assert_eq!(choose(gpu, &logits, 1, &Sampling::default()), [want as u32]);
            let top = logits[want];
            logits[count - 1] = top;
            logits[count / 2] = top;
            let want = sample::reference(&logits);
            assert_eq!(
                choose(gpu, &logits, 2, &Sampling::default()),
                [want as u32; 2]
            );
        }
    }
}

fn counts(sampling: &Sampling, logits: &[f32]) -> BTreeMap<u32, usize> {
    let gpu = gpus().next().unwrap();
    let mut counts = BTreeMap::new();
    for token in choose(gpu, logits, 2000, sampling) {
        *counts.entry(token).or_default() += 1;
    }
    counts
}

#[test]
fn draws_follow_the_probabilities_and_a_seed_repeats_them() {
    // exp(0) : exp(ln 3) = 1 : 3; at temperature 1/2 it is 1 : 9.
    let logits = [0.0, 3f32.ln()];
    let at = |temperature, seed| Sampling {
        temperature,
        seed,
        ..Sampling::default()
    };
    let gpu = gpus().next().unwrap();
    let first = choose(gpu, &logits, 500, &at(1.0, 1));
    assert_eq!(first, choose(gpu, &logits, 500, &at(1.0, 1)));
    assert_ne!(first, choose(gpu, &logits, 500, &at(1.0, 2)));
    let ones = counts(&at(1.0, 5), &logits)[&1];
    assert!(
        (1430..1570).contains(&ones),
        "{ones} of 2000, expected 1500"
    );
    let ones = counts(&at(0.5, 5), &logits)[&1];
    assert!(
        (1755..1845).contains(&ones),
        "{ones} of 2000, expected 1800"
    );
}

#[test]
fn top_k_and_top_p_keep_the_likeliest_tokens_and_no_other() {
    // Probabilities 0.1, 0.5, 0.25, 0.15.
    let logits: Vec<f32> = [0.1f32, 0.5, 0.25, 0.15].iter().map(|p| p.ln()).collect();
    let kept = |top_k, top_p| {
        let sampling = Sampling {
            temperature: 1.0,
            top_k,
            top_p,
            seed: 3,
            ..Sampling::default()
        };
        counts(&sampling, &logits).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(kept(None, None), [0, 1, 2, 3]);
    assert_eq!(kept(Some(1), None), [1]);
    assert_eq!(kept(Some(2), None), [1, 2]);
    assert_eq!(kept(Some(3), None), [1, 2, 3]);
    assert_eq!(kept(Some(9), None), [0, 1, 2, 3]);
    assert_eq!(kept(None, Some(0.4)), [1]);
    assert_eq!(kept(None, Some(0.6)), [1, 2]);
    assert_eq!(kept(None, Some(0.85)), [1, 2, 3]);
    // Of the two likeliest (2 : 1) the first alone has 0.66.
    assert_eq!(kept(Some(2), Some(0.6)), [1]);
    assert_eq!(kept(Some(2), Some(0.7)), [1, 2]);
}

#[test]
fn each_latent_gets_its_best_code_and_the_lowest_of_equals() {
    let mut random = Random(8);
    for (gpu, (latents, codes, width)) in
        gpus().zip([(1, 1, 4), (7, 65, 8), (20, 300, 16), (65, 3, 4)])
    {
        let e = normal(&mut random, codes * width);
        let z = normal(&mut random, latents * width);
        let bias = normal(&mut random, codes);
        let got = VqLookup::new(gpu, &e, &bias).unwrap().run(gpu, &z).unwrap();
        for (z, got) in z.chunks(width).zip(got) {
            let scores = vq_lookup::reference(&e, &bias, z);
            let best = scores.iter().copied().fold(f64::MIN, f64::max);
            // Two codes within the rounding of f32 are as good as each other.
            assert!(
                scores[got as usize] >= best - 1e-4,
                "{latents} {codes} {width}"
            );
        }
    }
    for gpu in gpus().take(3) {
        // Two equal codes: the first.
        let twice = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let lookup = VqLookup::new(gpu, &twice, &[0.0, 0.0]).unwrap();
        assert_eq!(lookup.run(gpu, &[2.0, 0.0, 0.0, 0.0]).unwrap(), [0]);
        // By distance (1, 1) is nearer to (1, 0) than to (3, 3), though its product with the latter is larger.
        let codes = [3.0, 3.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let lookup = VqLookup::nearest(gpu, &codes, 2).unwrap();
        assert_eq!(lookup.run(gpu, &[1.0, 1.0, 0.0, 0.0]).unwrap(), [1]);
    }
    assert!(VqLookup::new(gpus().next().unwrap(), &[1.0; 6], &[0.0; 2]).is_err());
}
