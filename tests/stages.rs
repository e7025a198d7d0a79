//! The stages of training on a tiny model: what changes and what does not, what a resumed run gives, and what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use engine::dataset::{Message, OnBad, Record, RecordTask, Records, Speaker, records};
use engine::model::checkpoint::Checkpoint;
use engine::model::random::Random;
use engine::training::TrainError;
use engine::training::examples::{Augment, Preparation, example};
use engine::training::experiment::{Experiment, run as run_experiment};
use engine::training::language::train;
use engine::training::stage::{BasePrecision, DataEntry, Schedule, Stage, StageConfig};
use engine::training::step::TrainStep;
use image::{Rgb, RgbImage};

use crate::support::{load, steps, tiny_model};

/// Four pictures of squares; the question is which half is bright, the conversion inverts the levels.
pub fn write_records(folder: &Path) -> [PathBuf; 2] {
    fs::create_dir_all(folder).unwrap();
    let (mut questions, mut conversions) = (Vec::new(), Vec::new());
    for i in 0..4_u32 {
        let level = |x: u32, inverted: bool| {
            let bright = (x < 32) == (i % 2 == 0);
            if bright != inverted {
                200 + i as u8
            } else {
                20
            }
        };
        for (name, inverted) in [("in", false), ("out", true)] {
            RgbImage::from_fn(64, 64, |x, _| Rgb([level(x, inverted); 3]))
                .save(folder.join(format!("{i}_{name}.png")))
                .unwrap();
        }
        let message = |from, value: &str| Message {
            from,
            value: value.to_owned(),
        };
        let answer = if i % 2 == 0 { "left" } else { "right" };
        let record = Record {
            image: Some(format!("{i}_in.png").into()),
            conversations: vec![
                message(Speaker::Human, "<image>\nWhich half is bright?"),
                message(Speaker::Gpt, answer),
            ],
            task: Some(RecordTask::Vqa),
            ..Record::default()
        };
        conversions.push(Record {
            conversations: vec![
                message(Speaker::Human, "<image>\nInvert it."),
                message(Speaker::Gpt, ""),
            ],
            task: Some(RecordTask::Ct2Mri),
            target_image: Some(format!("{i}_out.png").into()),
            ..record.clone()
        });
        questions.push(record);
    }
    let paths = ["questions.json", "conversions.json"].map(|name| folder.join(name));
    records::write(&paths[0], &questions).unwrap();
    records::write(&paths[1], &conversions).unwrap();
    paths
}

/// A stage of the tiny model on those records.
pub fn config(root: &Path, out: &str, stage: Stage, steps: u64) -> StageConfig {
    let [questions, conversions] = write_records(&root.join("data"));
    let entry = |records: &PathBuf, plugin: &str| DataEntry {
        records: records.clone(),
        plugin: plugin.to_owned(),
        weight: 1.0,
        balance: None,
        modality: None,
    };
    let data = vec![
        entry(&questions, "comprehension"),
        entry(&conversions, "generation"),
    ];
    StageConfig {
        stage,
        model: tiny_model(),
        out: root.join(out),
        seed: 5,
        steps,
        batch: 2,
        learning_rate: 3e-3,
        adapter_learning_rate: 1e-3,
        vision_learning_rate: None,
        schedule: Schedule::WarmUp,
        warmup: 2,
        weight_decay: 0.0,
        dropout: 0.05,
        max_norm: 1.0,
        workers: 1,
        base_precision: BasePrecision::Auto,
        max_tokens: 400,
        corruption: 0.5,
        corruption_from: 0.0,
        code_kernel: 1.0,
        questions_together: 1,
        frozen_blocks: 0,
        extra_blocks: 0,
        outline_weight: 0.0,
        tone_jitter: 0.0,
        each_patch_answers: false,
        patch_share: 1.0,
        position_offset: 0.0,
        begin_at_codebook: false,
        written_share: None,
        augment: true,
        skip_bad: false,
        checkpoint_every: 100,
        validate_every: 1000,
        validate_items: 1,
        patience: 0,
        validation: data.clone(),
        data,
    }
}

/// The file of a run of a few steps.
pub fn write_config(root: &Path, steps: u64) -> PathBuf {
    let config = StageConfig {
        validation: Vec::new(),
        ..config(root, "out", Stage::Instruction, steps)
    };
    let path = root.join("train.toml");
    fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
    path
}

/// Its steps; `stop_at` interrupts it.
pub fn run(config: &StageConfig, stop_at: u64) -> Vec<TrainStep> {
    steps(stop_at, |on_step| {
        train(config, &Device::flex(), on_step).unwrap()
    })
}

/// Values by tensor name of a weight file.
pub fn tensors(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let file = Checkpoint::open(path).unwrap();
    file.names()
        .map(|name| (name.to_owned(), file.tensor(name).unwrap().to_f32()))
        .collect()
}

/// Names of the tensors that differ between two runs of the same layout.
pub fn changed(before: &Path, after: &Path) -> Vec<String> {
    let (before, after) = (tensors(before), tensors(after));
    assert!(after.keys().all(|name| before.contains_key(name)));
    after
        .iter()
        .filter(|(name, values)| before[*name] != **values)
        .map(|(name, _)| name.clone())
        .collect()
}

#[test]
fn a_stage_changes_its_own_tensors_only_and_the_result_is_a_model() {
    let root = tempfile::tempdir().unwrap();
    // Two models of the same layout: one step apart, so that tensors can be compared by name.
    let of = |stage, out: &str, steps| {
        let config = config(root.path(), out, stage, steps);
        assert_eq!(run(&config, 0).len(), steps as usize);
        config.out.join("model")
    };
    for (stage, plugin, trained) in [
        (
            Stage::Alignment,
            "comprehension",
            ["mm_projector"].as_slice(),
        ),
        (Stage::Alignment, "generation", &["mm_projector", "lora"]),
        (
            Stage::Instruction,
            "comprehension",
            &["mm_projector", "lora"],
        ),
        (Stage::Heterogeneous, "comprehension", &[]),
    ] {
        let (early, late) = (
            of(stage, &format!("{stage:?}{plugin}1"), 1),
            of(stage, &format!("{stage:?}{plugin}3"), 3),
        );
        let file = format!("plugins/{plugin}.safetensors");
        let moved = changed(&early.join(&file), &late.join(&file));
        assert_eq!(
            moved.is_empty(),
            trained.is_empty(),
            "{stage:?} {plugin}: {moved:?}"
        );
        for name in &moved {
            assert!(
                trained.iter().any(|part| name.contains(part)),
                "{stage:?} {plugin} changed {name}"
            );
        }
        for part in trained {
            assert!(
                moved.iter().any(|name| name.contains(part)),
                "{stage:?} {plugin} left {part}"
            );
        }
        // The base is never written anew: its files are those of the model that was begun with.
        for name in [
            "llm/model-00001-of-00002.safetensors",
            "clip/pytorch_model.bin",
        ] {
            let read = |dir: &Path| fs::read(dir.join(name)).unwrap();
            assert!(read(&late) == read(&tiny_model()), "{stage:?}: {name}");
        }
        if stage == Stage::Heterogeneous {
            let fusion = |dir: &Path| dir.join("plugins/fusion.safetensors");
            let mut moved = changed(&fusion(&early), &fusion(&late));
            moved.sort();
            assert_eq!(moved, ["embed_tokens.weight", "lm_head.weight"]);
        }
        assert!(load(&late).unwrap().layout.manifest.trained);
    }
}

#[test]
fn training_lowers_the_loss() {
    let root = tempfile::tempdir().unwrap();
    let config = StageConfig {
        batch: 4,
        learning_rate: 1e-2,
        adapter_learning_rate: 1e-2,
        corruption: 0.0,
        corruption_from: 0.0,
        code_kernel: 0.0,
        augment: false,
        ..config(root.path(), "out", Stage::Base, 24)
    };
    let steps = run(&config, 0);
    let mean =
        |part: &[TrainStep]| part.iter().map(|step| step.loss).sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&steps[..4]), mean(&steps[20..]));
    assert!(last < 0.8 * first, "{first} -> {last}");
    let scores = &steps.last().unwrap().scores;
    assert!(
        scores.contains_key("val ssim ct2mri") && scores.contains_key("val exact vqa"),
        "{scores:?}"
    );
}

/// Five steps at once, and with an interruption after the second, on two threads: not one bit of these files may differ.
pub fn resumes_to_the_bit(whole: &StageConfig, broken: &Path, files: &[&str]) {
    let broken = StageConfig {
        out: broken.to_owned(),
        workers: 2,
        ..whole.clone()
    };
    assert_eq!(run(whole, 0).len(), 5);
    assert_eq!(run(&broken, 2).len(), 2);
    assert_eq!(run(&broken, 0).first().map(|step| step.step), Some(3));
    for name in files {
        let read = |config: &StageConfig| fs::read(config.out.join(name)).unwrap();
        assert!(read(whole) == read(&broken), "{name}");
    }
}

#[test]
fn a_resumed_stage_gives_the_very_weights_of_an_uninterrupted_one() {
    let root = tempfile::tempdir().unwrap();
    let whole = config(root.path(), "whole", Stage::Mixed, 5);
    let files = [
        "last/weights.safetensors",
        "last/moments.safetensors",
        "model/plugins/generation.safetensors",
    ];
    resumes_to_the_bit(&whole, &root.path().join("broken"), &files);
}

#[test]
fn what_cannot_be_trained_on_is_refused_and_the_last_checkpoint_stays() {
    let root = tempfile::tempdir().unwrap();
    let good = config(root.path(), "out", Stage::Instruction, 4);
    assert_eq!(run(&good, 2).len(), 2);
    let refused = |config: &StageConfig| {
        train(config, &Device::flex(), &mut |_| ControlFlow::Continue(())).unwrap_err()
    };
    let tower = StageConfig {
        stage: Stage::Vision,
        out: root.path().join("tower"),
        ..good.clone()
    };
    let error = refused(&tower).to_string();
    assert!(error.contains("as many patches as codes"), "{error}");
    let short = StageConfig {
        max_tokens: 10,
        out: root.path().join("short"),
        ..good.clone()
    };
    assert!(matches!(
        refused(&short),
        TrainError::TooLong { limit: 10, .. }
    ));
    let mut other = good.clone();
    other.out = root.path().join("other");
    other.data[0].plugin = "surgery".to_owned();
    let error = refused(&other);
    assert!(
        error
            .to_string()
            .contains("it has comprehension, generation"),
        "{error}"
    );
    fs::remove_file(root.path().join("data/1_in.png")).unwrap();
    let error = refused(&good);
    assert!(error.to_string().contains("1_in.png"), "{error}");
    assert!(good.out.join("last/state.json").is_file());
}

#[test]
fn a_frozen_base_in_half_precision_costs_little_and_learns_as_well() {
    let root = tempfile::tempdir().unwrap();
    let of = |precision, out: &str| {
        let config = StageConfig {
            base_precision: precision,
            batch: 4,
            learning_rate: 1e-2,
            dropout: 0.0,
            augment: false,
            ..config(root.path(), out, Stage::Instruction, 8)
        };
        run(&config, 0)
    };
    let (whole, half) = (of(BasePrecision::F32, "f32"), of(BasePrecision::F16, "f16"));
    let difference = (whole[0].loss - half[0].loss).abs() / whole[0].loss;
    assert!(difference < 0.01, "first losses differ by {difference}");
    assert!(
        half[7].loss < half[0].loss,
        "{} -> {}",
        half[0].loss,
        half[7].loss
    );
    // Embeddings are trained in stage 2: there is no half precision for what moves.
    let path = write_config(root.path(), 1);
    let text = fs::read_to_string(&path).unwrap();
    let text = text
        .replace("base_precision = \"auto\"", "base_precision = \"f16\"")
        .replace("stage = \"instruction\"", "stage = \"heterogeneous\"");
    fs::write(&path, text).unwrap();
    let error = StageConfig::open(&path).unwrap_err();
    assert!(
        error.to_string().contains("cannot be held in f16"),
        "{error}"
    );
}

#[test]
fn a_run_that_does_not_fit_is_refused_with_numbers_before_anything_is_loaded() {
    let root = tempfile::tempdir().unwrap();
    let config = StageConfig {
        batch: 1_000_000,
        workers: 1_000_000,
        max_tokens: 4096,
        ..config(root.path(), "out", Stage::Instruction, 1)
    };
    let error = train(&config, &Device::flex(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    let TrainError::TooLarge { plan, free } = &error else {
        panic!("{error}");
    };
    assert!(plan.total() > *free && plan.trained * 3 == plan.optimizer);
    assert!(error.to_string().contains("MiB are free"), "{error}");
}

#[test]
fn an_experiment_trains_every_variant_from_the_same_base() {
    let root = tempfile::tempdir().unwrap();
    let template = StageConfig {
        validate_every: 2,
        ..config(root.path(), "unused", Stage::Instruction, 2)
    };
    let outcome = |experiment| {
        let out = root.path().join("experiments");
        let go_on = &mut |_: &str, _: u64, _: u64| ControlFlow::Continue(());
        run_experiment(experiment, &template, &out, &Device::flex(), go_on).unwrap()
    };
    let experts = outcome(Experiment::Experts);
    let names: Vec<&str> = experts
        .results
        .iter()
        .map(|row| row.variant.as_str())
        .collect();
    assert_eq!(names, ["n = 1", "n = 2", "n = 4", "n = 8"]);
    // At the same merged rank only the routers grow: the weights rise by the same amount for every expert.
    let weights: Vec<u64> = experts
        .results
        .iter()
        .map(|row| row.trained_weights)
        .collect();
    assert_eq!((weights[1] - weights[0]) * 2, weights[2] - weights[1]);
    assert_eq!((weights[2] - weights[1]) * 2, weights[3] - weights[2]);
    assert!(experts.results.iter().all(|row| {
        row.step_secs > 0.0 && row.loss.is_finite() && row.scores.contains_key("val ssim ct2mri")
    }));
    let stages = outcome(Experiment::Stages);
    assert_eq!(stages.results.len(), 2);
    assert!(
        "surgery"
            .parse::<Experiment>()
            .unwrap_err()
            .contains("plugins, experts")
    );
}

#[test]
fn a_sided_picture_is_moved_but_never_mirrored() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path(), "out", Stage::Instruction, 1);
    let records = Records::read(&config.data[0].records, OnBad::Refuse).unwrap();
    let model = load(&config.model).unwrap();
    let left_is_bright = RgbImage::from_fn(64, 64, |x, _| Rgb([if x < 32 { 200 } else { 20 }; 3]));
    left_is_bright
        .save(records.folder.join("left.png"))
        .unwrap();
    let mirrored = |sided: bool| -> usize {
        let record = Record {
            image: Some("left.png".into()),
            sided,
            ..records.records[0].clone()
        };
        let how = Preparation {
            augment: Augment::Any,
            ..Preparation::default()
        };
        let mut random = Random(11);
        let mut moved = |_| {
            let made = example(&model, &records, &record, how, &mut random).unwrap();
            let image = made.image.unwrap();
            assert_ne!(image, left_is_bright);
            let side = |from: u32| -> u64 {
                let level = |(x, y): (u32, u32)| u64::from(image.get_pixel(from + x, y).0[0]);
                (0..32)
                    .flat_map(|x| (0..64).map(move |y| (x, y)))
                    .map(level)
                    .sum()
            };
            usize::from(side(0) < side(32))
        };
        (0..40).map(&mut moved).sum()
    };
    assert_eq!(mirrored(true), 0);
    assert!((10..=30).contains(&mirrored(false)), "half of the time");
}

#[test]
fn corruption_replaces_the_share_of_codes_that_was_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path(), "out", Stage::Instruction, 1);
    let records = Records::read(&config.data[1].records, OnBad::Refuse).unwrap();
    let model = load(&config.model).unwrap();
    let replaced = |corruption: [f64; 2]| {
        let how = Preparation {
            corruption,
            ..Preparation::default()
        };
        let mut random = Random(7);
        let (mut other, mut all) = (0, 0);
        for record in &records.records {
            let made = example(&model, &records, record, how, &mut random).unwrap();
            all += made.given.len();
            other += made
                .given
                .iter()
                .zip(&made.targets)
                .filter(|(a, b)| a != b)
                .count();
        }
        other as f64 / all as f64
    };
    assert_eq!(replaced([0.0, 0.0]), 0.0);
    // A random code is the right one now and then.
    assert!(replaced([1.0, 1.0]) > 0.9);
    let share = replaced([0.8, 0.9]);
    assert!((0.65..0.95).contains(&share), "{share}");

    let wrong = StageConfig {
        corruption: 0.5,
        corruption_from: 0.8,
        ..config
    };
    let path = root.path().join("wrong.toml");
    fs::write(&path, toml::to_string(&wrong).unwrap()).unwrap();
    let error = StageConfig::open(&path).unwrap_err();
    assert!(error.to_string().contains("corruption_from"), "{error}");
}

#[test]
fn every_answer_of_a_conversation_is_learned_and_no_question() {
    let root = tempfile::tempdir().unwrap();
    let [questions, _] = write_records(root.path());
    let model = load(&tiny_model()).unwrap();
    let records = Records::read(&questions, OnBad::Refuse).unwrap();
    let made = |record: &Record| {
        example(
            &model,
            &records,
            record,
            Preparation::default(),
            &mut Random(1),
        )
        .unwrap()
    };
    let answers = |record: &Record| -> Vec<u32> {
        let made = made(record);
        assert_eq!(made.targets.len(), made.counted.len());
        let both = made.targets.iter().zip(&made.counted);
        both.filter_map(|(id, counted)| counted.then_some(*id))
            .collect()
    };
    let first = records.records[0].clone();
    let second = Record {
        conversations: records.records[1].conversations.clone(),
        ..first.clone()
    };
    let mut together = first.clone();
    together.conversations.extend(second.conversations.clone());
    assert_eq!(
        answers(&together),
        [answers(&first), answers(&second)].concat()
    );
    let made = made(&together);
    assert!(
        made.targets.len() > answers(&together).len() + 4,
        "the second question is given"
    );
    assert_eq!(made.given.len() + 1, made.targets.len());
}

#[test]
fn questions_about_one_picture_are_learned_together() {
    let root = tempfile::tempdir().unwrap();
    let alone = config(root.path(), "alone", Stage::Instruction, 1);
    let [questions, _] = write_records(&root.path().join("data"));
    let mut records = Records::read(&questions, OnBad::Refuse).unwrap().records;
    for record in &mut records {
        record.image = Some("0_in.png".into());
    }
    records::write(&questions, &records).unwrap();
    let one_file = |config: &StageConfig, out: &str, together: usize| {
        let config = StageConfig {
            out: root.path().join(out),
            data: vec![config.data[0].clone()],
            validation: Vec::new(),
            questions_together: together,
            dropout: 0.0,
            augment: false,
            ..config.clone()
        };
        train(&config, &Device::flex(), &mut |_| ControlFlow::Continue(())).map(|_| ())
    };
    one_file(&alone, "one", 1).unwrap();
    // Four questions do not fit where one does.
    let short = StageConfig {
        max_tokens: 90,
        ..alone
    };
    one_file(&short, "still one", 1).unwrap();
    let error = one_file(&short, "four", 4).unwrap_err();
    assert!(
        matches!(error, TrainError::TooLong { limit: 90, .. }),
        "{error}"
    );
}

#[test]
fn a_stage_that_would_train_nothing_or_ask_nothing_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let good = config(root.path(), "out", Stage::Vision, 1);
    let refused = |bad: StageConfig| {
        let path = root.path().join("bad.toml");
        fs::write(&path, toml::to_string(&bad).unwrap()).unwrap();
        StageConfig::open(&path).unwrap_err().to_string()
    };
    let frozen = refused(StageConfig {
        vision_learning_rate: Some(0.0),
        ..good.clone()
    });
    assert!(frozen.contains("cannot be 0"), "{frozen}");
    let offset = refused(StageConfig {
        stage: Stage::Base,
        position_offset: 0.5,
        ..good.clone()
    });
    assert!(
        offset.contains("position_offset is for stage vision"),
        "{offset}"
    );
    let heads = refused(StageConfig {
        stage: Stage::Instruction,
        begin_at_codebook: true,
        ..good.clone()
    });
    assert!(heads.contains("begin_at_codebook is for"), "{heads}");
    let deeper = refused(StageConfig {
        stage: Stage::Instruction,
        extra_blocks: 1,
        ..good.clone()
    });
    assert!(deeper.contains("are for stage vision"), "{deeper}");
    let written = refused(StageConfig {
        stage: Stage::Instruction,
        written_share: Some(0.5),
        ..good.clone()
    });
    assert!(
        written.contains("written_share is for stage decoder"),
        "{written}"
    );
    let share = refused(StageConfig {
        stage: Stage::Decoder,
        written_share: Some(1.5),
        ..good.clone()
    });
    assert!(share.contains("written_share is from 0 to 1"), "{share}");
    let mut unknown = StageConfig {
        stage: Stage::Instruction,
        ..good.clone()
    };
    unknown.data[0].balance = Some("hue".to_owned());
    let error = train(
        &unknown,
        &Device::flex(),
        &mut |_| ControlFlow::Continue(()),
    );
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("\"hue\"") && error.contains("questions.json"),
        "{error}"
    );
    let none = refused(StageConfig {
        questions_together: 0,
        ..good
    });
    assert!(none.contains("at least 1"), "{none}");
}
