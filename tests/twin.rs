//! The language model as kernels equals its twin in burn, on every fixture.
//!
//! Bounds on logits, by format: f16 keeps the fixtures' bf16 and f16 weights as they are, so what is left is the rounding of
//! keys and values to f16 (2^-11 of each) and the order of sums. q8 and q4 are compared with a twin whose weights are rounded
//! in the same way, so that the bound there too is the order of sums; what the rounding itself costs is `eval-quant`'s to say.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;

use burn::tensor::{Device, Tensor, TensorData};
use engine::device::{choose, kernels_on};
use engine::gpu::cache::{Cache, KvFormat};
use engine::gpu::kernel::Reduction;
use engine::gpu::memory::Request;
use engine::gpu::packer::{Formats, Packer};
use engine::gpu::plan::{Choosing, Column, Plan, PromptRow};
use engine::gpu::{Format, Gpu, Tuning};
use engine::model::config::LlmConfig;
use engine::model::llm::{Llm, PromptPart, prompt_embeddings, prompt_rows};
use engine::model::loader::{PartReader, Precision};
use engine::model::quality::round_twin;
use engine::model::random::Random;
use engine::model::{
    Drafting, GenerateInput, HealthGpt, KvCache, LlmChoice, ModelError, Sampling, argmax,
};
use engine::{DeviceChoice, Task};
use image::{Rgb, RgbImage};

use crate::support::{ask, repo, tiny_model};

pub fn load(dir: &Path, device: &Device, choice: LlmChoice) -> HealthGpt {
    let mut go_on = |_: &str, _: usize, _: usize| ControlFlow::Continue(());
    HealthGpt::load_as(dir, device, choice, &mut go_on).unwrap()
}

fn gpu() -> Device {
    choose(DeviceChoice::Gpu)
        .expect("packaging/setup.sh installs a software adapter")
        .0
}

pub fn models() -> Vec<PathBuf> {
    let mut models: Vec<PathBuf> = ["phi4", "phi3_window", "qwen2"]
        .map(|name| repo("tests/golden").join(name))
        .to_vec();
    models.push(tiny_model());
    models
}

/// Tokens, a picture's worth of features, and tokens again: 31 rows.
pub fn prompt(hidden: usize, device: &Device) -> Vec<PromptPart> {
    let mut random = Random(5);
    let mut ids = |count| {
        (0..count)
            .map(|_| random.below(400) as u32)
            .collect::<Vec<_>>()
    };
    let (before, after) = (ids(4), ids(11));
    let features: Vec<f32> = (0..16 * hidden).map(|_| random.normal() as f32).collect();
    let features = Tensor::from_data(TensorData::new(features, [1, 16, hidden]), device);
    vec![
        PromptPart::Ids(before),
        PromptPart::Features(features),
        PromptPart::Ids(after),
    ]
}

/// Logits of the prompt's last position and of every step, and the ids the twin chose.
pub fn by_twin(model: &HealthGpt, task: Task, steps: usize) -> (Vec<Vec<f32>>, Vec<u32>) {
    let decoder = model.llm.twin().unwrap();
    let plugin = model.plugin_for(task).unwrap();
    let parts = prompt(decoder.config.hidden_size, &model.device);
    let mut x = prompt_embeddings(decoder, plugin, parts, &model.device);
    let mut cache = KvCache::new(&decoder.config, 64, &model.device);
    let (mut logits, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..=steps {
        let y = decoder.forward(plugin, x, &mut cache, None);
        let [_, tokens, _] = y.dims();
        let last = decoder.logits(plugin, y.narrow(1, tokens - 1, 1));
        let last: Vec<f32> = last.into_data().iter::<f32>().collect();
        let id = argmax(&last) as u32;
        logits.push(last);
        ids.push(id);
        x = decoder.embed(plugin, &[id], &model.device);
    }
    (logits, ids)
}

fn plan_of(model: &HealthGpt) -> std::sync::MutexGuard<'_, Plan> {
    match &model.llm {
        Llm::Plan(plan) => plan.lock().unwrap(),
        Llm::Twin(_) | Llm::Packed(_) => panic!("the model is on no GPU"),
    }
}

/// Logits of the plan when it is given the twin's tokens.
fn by_plan(model: &HealthGpt, plugin: usize, ids: &[u32]) -> Vec<Vec<f32>> {
    let mut plan = plan_of(model);
    let rows = prompt_rows(prompt(plan.config.hidden_size, &model.device));
    let vocabulary = plan.weights.head.rows as u32;
    let mut last = plan.prefill(Some(plugin), 0, 0, &rows).unwrap();
    let mut logits = Vec::new();
    for (step, id) in ids.iter().enumerate() {
        logits.push(plan.logits(Some(plugin), last, 1, 0..vocabulary).unwrap());
        let column = Column {
            token: *id,
            position: (rows.len() + step) as u32,
            ..Column::default()
        };
        plan.forward(Some(plugin), &[column]).unwrap();
        last = 0;
    }
    logits
}

pub fn worst(got: &[Vec<f32>], want: &[Vec<f32>]) -> f32 {
    let differences = got.iter().zip(want).flat_map(|(got, want)| {
        assert_eq!(got.len(), want.len());
        got.iter().zip(want).map(|(got, want)| (got - want).abs())
    });
    differences.fold(0.0, |a, x| {
        if a.is_nan() || x.is_nan() {
            f32::NAN
        } else {
            a.max(x)
        }
    })
}

/// The largest difference of the plan's logits from the twin's, and the largest logit, by model and plug-in.
fn differences(format: Format, cache: KvFormat) -> Vec<(String, f32, f32)> {
    let (cpu, gpu) = (Device::flex(), gpu());
    let mut all = Vec::new();
    for dir in models() {
        let twin = load(&dir, &cpu, LlmChoice::Twin(None));
        let model = load(&dir, &gpu, LlmChoice::Plan(format));
        {
            let mut plan = plan_of(&model);
            let cache = Cache {
                format: cache,
                ..plan.cache
            };
            plan.set_cache(cache).unwrap();
        }
        for (index, plugin) in twin.plugins.iter().enumerate() {
            let (want, ids) = by_twin(&twin, plugin.entry.capabilities[0].task, 5);
            let got = by_plan(&model, index, &ids);
            let largest = want.iter().flatten().fold(0.0f32, |a, x| a.max(x.abs()));
            all.push((
                format!("{} {index}", dir.display()),
                worst(&got, &want),
                largest,
            ));
        }
    }
    all
}

fn check(format: Format, cache: KvFormat, bound: f32) {
    for (model, difference, largest) in differences(format, cache) {
        eprintln!("{model} {format:?} {cache:?}: {difference:e} of {largest}");
        assert!(
            difference <= bound * largest,
            "{model}: {difference} of {largest}"
        );
    }
}

/// A conversion whose codes are drafted wherever it runs.
fn drafted(picture: &RgbImage) -> GenerateInput<'_> {
    GenerateInput {
        draft: Drafting::Always,
        ..GenerateInput::new(picture, Task::Ct2Mri, "x")
    }
}

/// With keys and values as computed only the order of sums differs: the specification's own tolerance for f32 (1e-4 where
/// logits are of order 4).
#[test]
fn the_plan_in_f16_with_an_f32_cache_gives_the_twins_logits_on_every_fixture() {
    check(Format::F16, KvFormat::F32, 2.5e-5);
}

/// Rounding keys and values to f16 moves each by up to 2^-11 (4.9e-4) of itself; random models amplify that some ten times.
#[test]
fn an_f16_cache_moves_logits_by_less_than_a_hundredth_of_the_largest() {
    check(Format::F16, KvFormat::F16, 1e-2);
}

#[test]
fn the_plan_in_q8_and_q4_gives_the_logits_of_a_twin_with_the_same_rounded_weights() {
    let (cpu, gpu) = (Device::flex(), gpu());
    for (dir, format) in [
        (tiny_model(), Format::Q8),
        (repo("tests/golden/qwen2"), Format::Q4),
        (tiny_model(), Format::Q4),
    ] {
        let mut twin = load(&dir, &cpu, LlmChoice::Twin(None));
        round_twin(&mut twin, format);
        let model = load(&dir, &gpu, LlmChoice::Plan(format));
        exact_cache(&model);
        let (want, ids) = by_twin(&twin, Task::Comprehend, 3);
        let got = by_plan(&model, 0, &ids);
        let largest = want.iter().flatten().fold(0.0f32, |a, x| a.max(x.abs()));
        let difference = worst(&got, &want);
        assert!(
            difference <= 5e-5 * largest,
            "{} {format:?}: {difference}",
            dir.display()
        );
    }
}

/// Keys and values as computed, so that ids can be compared.
fn exact_cache(model: &HealthGpt) {
    let mut plan = plan_of(model);
    let cache = Cache {
        format: KvFormat::F32,
        ..plan.cache
    };
    plan.set_cache(cache).unwrap();
}

#[test]
fn answers_follow_ups_and_pictures_on_the_gpu_are_the_twins() {
    let (cpu, gpu) = (Device::flex(), gpu());
    let picture = RgbImage::from_fn(60, 40, |x, y| Rgb([x as u8, y as u8, (x * y) as u8]));
    for dir in models() {
        let twin = load(&dir, &cpu, LlmChoice::Twin(None));
        let plan = load(&dir, &gpu, LlmChoice::Plan(Format::F16));
        exact_cache(&plan);
        let first = ask(&twin, &picture, &[], "What is it?");
        assert_eq!(
            ask(&plan, &picture, &[], "What is it?").ids,
            first.ids,
            "{}",
            dir.display()
        );
        // The picture and the first turn are in the cache already.
        let history = [("What is it?", first.text.as_str())];
        let second = ask(&twin, &picture, &history, "And where?");
        assert_eq!(
            ask(&plan, &picture, &history, "And where?").ids,
            second.ids,
            "{}",
            dir.display()
        );
    }
    let (mut twin, mut plan) = (
        load(&tiny_model(), &cpu, LlmChoice::Twin(None)),
        load(&tiny_model(), &gpu, LlmChoice::Plan(Format::F16)),
    );
    exact_cache(&plan);
    let made = |model: &HealthGpt| {
        let go_on = &mut |_, _| ControlFlow::Continue(());
        model.generate(&drafted(&picture), go_on).unwrap().codes
    };
    let likeliest = made(&twin);
    assert_eq!(made(&plan), likeliest);
    for model in [&mut twin, &mut plan] {
        let _ = model
            .layout
            .manifest
            .expected_codes
            .insert(Task::Ct2Mri, 0.05);
    }
    let expected = made(&twin);
    assert_eq!(made(&plan), expected);
    assert_ne!(expected, likeliest);
    let greedy = Sampling::default();
    let choice = |task, faithful| twin.code_choice(task, &greedy, faithful);
    assert!(choice(Task::Ct2Mri, false).contains("expected one"));
    assert_eq!(choice(Task::Ct2Mri, true), "greedy");
    assert_eq!(choice(Task::Sr4, false), "greedy");
}

#[test]
fn pictures_in_lockstep_are_those_made_alone() {
    let mut model = load(&tiny_model(), &gpu(), LlmChoice::Plan(Format::F16));
    exact_cache(&model);
    let picture = |i: u32| {
        RgbImage::from_fn(60, 40, |x, y| {
            Rgb([(x * i) as u8, (y + 9 * i) as u8, (x * y) as u8])
        })
    };
    let pictures: Vec<RgbImage> = (1..6).map(picture).collect(); // four and one
    // Prompts of different lengths: each sequence stands at its own position.
    let words = ["x", "make an MRI of it", "x y"].into_iter().cycle();
    let inputs = pictures.iter().zip(words);
    let inputs: Vec<GenerateInput<'_>> = inputs
        .map(|(picture, words)| GenerateInput::new(picture, Task::Ct2Mri, words))
        .collect();
    for expected in [false, true] {
        if expected {
            let codes = &mut model.layout.manifest.expected_codes;
            let _ = codes.insert(Task::Ct2Mri, 0.05);
        }
        let go_on = &mut |_, _| ControlFlow::Continue(());
        let alone: Vec<Vec<u32>> = inputs
            .iter()
            .map(|input| model.generate(input, go_on).unwrap().codes)
            .collect();
        assert_ne!(alone[0], alone[1]);
        let mut seen = Vec::new();
        let together = model.generate_together(&inputs, &mut |done, of| {
            seen.push((done, of));
            ControlFlow::Continue(())
        });
        let together: Vec<Vec<u32>> = together
            .unwrap()
            .into_iter()
            .map(|made| made.codes)
            .collect();
        assert_eq!(together, alone);
        let all = 5 * alone[0].len();
        assert!(seen.is_sorted() && seen.last() == Some(&(all, all)));
    }
    let mut asked = 0;
    let stopped = model.generate_together(&inputs, &mut |_, _| {
        asked += 1;
        match asked < 6 {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    assert!(matches!(stopped, Err(ModelError::Stopped)), "{stopped:?}");
    assert_eq!(asked, 6, "it stops at the code at which it is told to");
}

#[test]
fn a_follow_up_runs_only_what_the_cache_does_not_hold() {
    let model = load(&tiny_model(), &gpu(), LlmChoice::Plan(Format::F16));
    let mut plan = plan_of(&model);
    let rows = |ids: std::ops::Range<u32>| ids.map(PromptRow::Token).collect::<Vec<_>>();
    assert_eq!(plan.prompt(Some(0), 0, &rows(0..20)).unwrap().1, 0);
    assert_eq!(plan.prompt(Some(0), 0, &rows(0..30)).unwrap().1, 20);
    // The same prompt again: its last row runs, for its logits.
    assert_eq!(plan.prompt(Some(0), 0, &rows(0..30)).unwrap().1, 29);
    // Another plug-in computes other keys.
    assert_eq!(plan.prompt(Some(1), 0, &rows(0..30)).unwrap().1, 0);
    let mut other = rows(0..30);
    other[7] = PromptRow::Token(99);
    assert_eq!(plan.prompt(Some(1), 0, &other).unwrap().1, 7);
}

#[test]
fn prompts_in_blocks_without_subgroups_and_in_small_shards_give_the_same_logits() {
    let (cpu, device) = (Device::flex(), gpu());
    for dir in models() {
        let twin = load(&dir, &cpu, LlmChoice::Twin(None));
        let (want, ids) = by_twin(&twin, Task::Comprehend, 2);
        let largest = want.iter().flatten().fold(0.0f32, |a, x| a.max(x.abs()));
        let shared = kernels_on(&device).unwrap();
        // Matrix units of f16 round every activation of the prompt to 11 bits; measured: 1.2e-3 to 2.9e-3 of the largest logit.
        let units = shared.cooperative.iter().map(|units| {
            let allowed = if units.half { 5e-3 } else { 2.5e-5 };
            (Some(*units), allowed)
        });
        for (cooperative, allowed) in std::iter::once((None, 2.5e-5)).chain(units) {
            let tuned = Arc::new(shared.tuned(Tuning {
                reduction: Reduction::Workgroup,
                lanes: 16,
                prefill_tokens: 64,
                shard_bytes: 4096,
                cooperative,
                ..shared.tuning
            }));
            let mut model = load(&dir, &device, LlmChoice::Plan(Format::F16));
            let plan = repacked(&dir, &model, tuned);
            model.llm = Llm::Plan(Box::new(Mutex::new(plan)));
            let got = by_plan(&model, 0, &ids);
            let difference = worst(&got, &want);
            assert!(
                difference <= allowed * largest,
                "{}, {cooperative:?}: {difference}",
                dir.display()
            );
        }
    }
}

/// The comprehension half of a model for another tuning of its GPU.
fn repacked(dir: &Path, model: &HealthGpt, gpu: Arc<Gpu>) -> Plan {
    let old = plan_of(model);
    let packer = Packer {
        gpu: &gpu,
        formats: Formats::of(Format::F16),
        config: &old.config,
        vocabulary: match model.tokenizer.added_rows() {
            0 => (old.config.vocab_size, 0),
            added => (model.tokenizer.base_len(), added),
        },
    };
    let mut go_on = |_: &str, _: usize, _: usize| ControlFlow::Continue(());
    let mut reader = PartReader {
        device: &model.device,
        on_progress: &mut go_on,
        done: 0,
        parts: 2,
        unused: Vec::new(),
        made: Vec::new(),
    };
    let llm = dir.join(&model.layout.manifest.parts.llm);
    let weights = reader
        .read("base", Precision::F32, &[&llm], |loader| {
            packer.weights(loader)
        })
        .unwrap()
        .unwrap();
    assert!(weights.layers[0].down_proj.matrix.shards.len() > 1);
    let entry = &model.layout.manifest.plugins[0];
    let file = dir.join(&entry.file);
    let plugin = reader
        .read("plug-in", Precision::F32, &[&file], |loader| {
            packer.plugin(loader, entry, &weights)
        })
        .unwrap()
        .unwrap();
    let cache = Cache {
        format: KvFormat::F32,
        ..old.cache
    };
    Plan::new(
        Arc::clone(&gpu),
        old.config.clone(),
        weights,
        vec![plugin],
        cache,
    )
    .unwrap()
}

#[test]
fn slices_decoded_together_get_the_tokens_that_each_gets_alone() {
    let model = load(&tiny_model(), &gpu(), LlmChoice::Plan(Format::F16));
    let mut plan = plan_of(&model);
    plan.reserve(64, 3).unwrap();
    let choosing = Choosing {
        tokens: 0..500,
        sampling: Sampling::default(),
    };
    let prompts: Vec<Vec<PromptRow>> = [3, 11, 20]
        .iter()
        .map(|len| (0..*len).map(|i| PromptRow::Token(i * 7 % 100)).collect())
        .collect();
    let mut alone = Vec::new();
    for (slot, rows) in prompts.iter().enumerate() {
        let last = plan.prefill(Some(1), slot as u32, 0, rows).unwrap();
        plan.begin(&[Column {
            position: rows.len() as u32 - 1,
            slot: slot as u32,
            ..Column::default()
        }]);
        let ticket = plan
            .submit(Some(1), Some(last), 1, &choosing, 0..9)
            .unwrap();
        alone.push(plan.collect(ticket).unwrap());
    }
    let columns: Vec<Column> = prompts
        .iter()
        .zip(&alone)
        .enumerate()
        .map(|(slot, (rows, tokens))| Column {
            token: tokens[0],
            position: rows.len() as u32,
            slot: slot as u32,
            step: 60,
        })
        .collect();
    plan.begin(&columns);
    // The ring ends at 64: these steps go around it.
    let ticket = plan.submit(Some(1), None, 3, &choosing, 60..68).unwrap();
    let together = plan.collect(ticket).unwrap();
    for (slot, tokens) in alone.iter().enumerate() {
        let own: Vec<u32> = together.iter().skip(slot).step_by(3).copied().collect();
        assert_eq!(own, tokens[1..], "slot {slot}");
    }
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_numbers_and_a_format_that_would() {
    let model = load(&tiny_model(), &gpu(), LlmChoice::Plan(Format::F16));
    let plan = plan_of(&model);
    let config = LlmConfig {
        hidden_size: 3072,
        intermediate_size: 8192,
        num_hidden_layers: 32,
        num_attention_heads: 32,
        num_key_value_heads: 32,
        head_dim: 96,
        ..plan.config.clone()
    };
    let cache = Cache {
        kv_heads: 32,
        head_dim: 96,
        capacity: 2048,
        slots: 1,
        format: KvFormat::F16,
    };
    let request = Request {
        config: &config,
        vocabulary: 40_206,
        plugins: &[],
        cache: &cache,
    };
    let mut gpu = plan.gpu.tuned(plan.gpu.tuning);
    gpu.memory = Some(8_000_000_000);
    // 3.624 billion linear weights and twice 123.5 million in f16: 7.74 GB, and 0.81 GB of keys and values.
    let needs = request.plan(&gpu, Format::F16);
    assert!(
        (7.6e9..7.9e9).contains(&(needs.weights as f64)),
        "{needs:?}"
    );
    assert_eq!(needs.cache, 2048 * 393_216);
    let refused = request.check(&gpu, Format::F16).unwrap_err().to_string();
    assert!(
        refused.contains("which has 7629 MiB") && refused.contains("--format q8"),
        "{refused}"
    );
    assert_eq!(request.fitting(&gpu, Format::F16), Ok(Format::Q8));
    gpu.memory = Some(4 << 30);
    assert_eq!(request.fitting(&gpu, Format::F16), Ok(Format::Q4));
    gpu.memory = Some(1 << 30);
    let refused = request.fitting(&gpu, Format::F16).unwrap_err().to_string();
    assert!(refused.contains("--device cpu"), "{refused}");
}
