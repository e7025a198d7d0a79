//! Our own readers of weights and tokenizers under random damage: an error or a result, never a panic, and never memory
//! that the file cannot fill.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::model::checkpoint::Checkpoint;
use engine::model::random::Random;
use engine::model::tokenizer::Tokenizer;

use crate::support::{repo, tiny_model};

/// Flips, overwrites, repeats or removes a few bytes, mostly near the start where the structure is.
pub fn damaged(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let reach = if random.uniform() < 0.7 {
            bytes.len().min(4000)
        } else {
            bytes.len()
        };
        let at = random.below(reach);
        match random.below(5) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            2 => bytes.truncate(at),
            3 => {
                let end = (at + random.below(40)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let _ = bytes.splice(at..at, copy);
            }
            _ => {
                let end = (at + 8).min(bytes.len());
                bytes[at..end].fill(0xff);
            }
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

#[test]
fn damaged_weight_files_of_every_container_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    for (file, name) in [
        (
            tiny_model().join("llm/model-00001-of-00002.safetensors"),
            "model.safetensors",
        ),
        (tiny_model().join("hlora/com_hlora_weights.bin"), "zip.bin"),
        (
            repo("tests/golden/phi3_window/hlora/com_hlora_weights.bin"),
            "legacy.bin",
        ),
    ] {
        let bytes = fs::read(&file).unwrap();
        let path = folder.path().join(name);
        let mut random = Random(11);
        let (mut opened, mut refused) = (0, 0);
        for round in 0..400 {
            fs::write(&path, damaged(&bytes, &mut random)).unwrap();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let checkpoint = Checkpoint::open(&path)?;
                let names: Vec<String> = checkpoint.names().map(str::to_owned).collect();
                let elements: usize = names
                    .iter()
                    .filter_map(|name| checkpoint.tensor(name))
                    .map(|tensor| tensor.to_f32().len())
                    .sum();
                Ok::<usize, engine::ModelError>(elements)
            }));
            match outcome {
                Ok(Ok(elements)) => {
                    // A view may repeat storage, but no honest damage makes a thousand times the file.
                    assert!(
                        elements < 1000 * bytes.len(),
                        "{name} round {round}: {elements} elements"
                    );
                    opened += 1;
                }
                Ok(Err(error)) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
                Err(_) => panic!("{name} round {round} panicked"),
            }
        }
        assert!(
            refused > 50 && opened > 0,
            "{name}: {opened} opened, {refused} refused"
        );
    }
}

#[test]
fn damaged_tokenizers_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    for model in [
        tiny_model(),
        repo("tests/golden/phi4"),
        repo("tests/golden/qwen2"),
    ] {
        let mut random = Random(5);
        for round in 0..60 {
            for name in ["tokenizer.json", "tokenizer_config.json"] {
                let bytes = fs::read(model.join("llm").join(name)).unwrap();
                let bytes = if random.uniform() < 0.6 {
                    damaged(&bytes, &mut random)
                } else {
                    bytes
                };
                fs::write(folder.path().join(name), bytes).unwrap();
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                Tokenizer::open(folder.path(), 64)
                    .map(|tokenizer| tokenizer.encode("What does 12.5 mm show?\n").len())
            }));
            assert!(
                outcome.is_ok(),
                "{} round {round} panicked",
                model.display()
            );
        }
    }
}
