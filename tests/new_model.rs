//! A model of one's own: what it begins with, and its vision tower trained alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use engine::dataset::records::write;
use engine::dataset::{OnBad, Records};
use engine::model::clip::pixels_tensor;
use engine::model::loader::Precision;
use engine::model::manifest::PlugInKind;
use engine::model::prompt::{PromptPiece, Template, pieces};
use engine::model::tokenizer::Tokenizer;
use engine::task::Task;
use engine::training::job::Job;
use engine::training::language::train;
use engine::training::new_model::{ClipSizes, LlmSizes, NewModelConfig, PlugInSizes, create};
use engine::training::plan::MemoryPlan;
use engine::training::stage::{Stage, StageConfig};
use engine::training::step::TrainStep;
use engine::training::{TrainError, autoencoder};

use crate::stages::{changed, config, resumes_to_the_bit, run, tensors, write_records};
use crate::support::load;
use crate::training;

fn sizes(root: &Path) -> NewModelConfig {
    let plugin = |name: &str, state: i64, tasks: &[&str]| PlugInSizes {
        name: name.to_owned(),
        kind: PlugInKind::HLora,
        rank: 4,
        experts: 2,
        alpha: 8.0,
        vit_hidden_state: state,
        capabilities: tasks.iter().map(|task| task.parse().unwrap()).collect(),
    };
    NewModelConfig {
        stage: "new".to_owned(),
        out: root.join("new"),
        vqgan: root.join("vqgan/vqgan"),
        name: "small".to_owned(),
        licence: "CC0".to_owned(),
        caution: None,
        records: write_records(&root.join("data")).to_vec(),
        merges: 20,
        seed: 4,
        look_back: 2,
        windows: None,
        expected_codes: BTreeMap::new(),
        clip: ClipSizes {
            hidden_size: 32,
            intermediate_size: 32,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            image_size: 32,
            patch_size: 4,
        },
        llm: LlmSizes {
            hidden_size: 64,
            intermediate_size: 64,
            num_hidden_layers: 1,
            num_attention_heads: 4,
            num_key_value_heads: 4,
            max_position_embeddings: 512,
            rope_theta: 10000.0,
        },
        plugins: vec![
            plugin("comprehension", -2, &["comprehend"]),
            plugin(
                "generation",
                1,
                &["reconstruct:limb", "ct2mri:limb", "sr4:limb"],
            ),
        ],
    }
}

/// A new model of an untrained VQGAN in `root`.
fn new(root: &Path) -> PathBuf {
    new_with(root, &|_| ())
}

fn new_with(root: &Path, edit: &dyn Fn(&mut NewModelConfig)) -> PathBuf {
    let vqgan = training::config(root, "vqgan", 1);
    let _ = autoencoder::train(&vqgan, &Device::flex(), &mut |_| {
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    let mut sizes = sizes(root);
    edit(&mut sizes);
    create(&sizes, &Device::flex()).unwrap();
    sizes.out
}

#[test]
fn every_task_s_instruction_has_as_many_tokens_so_the_patch_is_equally_far_back() {
    let root = tempfile::tempdir().unwrap();
    let model = new(root.path());
    let tokenizer = Tokenizer::open(&model.join("llm"), 32).unwrap();
    let after = |task: Task| -> usize {
        let text = Template::Phi3Instruct.text(&[], task.instruction(), 1, true);
        let all = pieces(&tokenizer, &text);
        let last = all.last().unwrap();
        let PromptPiece::Ids(ids) = last else {
            panic!("a prompt ends with words");
        };
        ids.len()
    };
    let lengths = [Task::Reconstruct, Task::Ct2Mri, Task::Sr4].map(after);
    assert!(
        lengths.iter().all(|length| *length == lengths[0]),
        "{lengths:?}"
    );
    // What was levelled still reads as it was written.
    let text = Task::Sr4.instruction();
    assert_eq!(tokenizer.decode(&tokenizer.encode(text)).trim(), text);
}

#[test]
fn heads_and_patches_that_do_not_suffice_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let good = sizes(root.path());
    let _ = new(root.path());
    let refused = |edit: &dyn Fn(&mut NewModelConfig)| {
        let mut bad = good.clone();
        edit(&mut bad);
        bad.out = root.path().join("bad");
        let error = create(&bad, &Device::flex()).unwrap_err();
        assert!(matches!(error, TrainError::Config { .. }), "{error}");
        error.to_string()
    };
    let heads = refused(&|bad| bad.look_back = 4);
    assert!(heads.contains("one more for the words"), "{heads}");
    let patches = refused(&|bad| bad.clip.patch_size = 8);
    assert!(patches.contains("there are 16 and 64"), "{patches}");
}

#[test]
fn stage_vision_trains_the_tower_alone_and_leaves_its_probes_out() {
    let root = tempfile::tempdir().unwrap();
    let model = new(root.path());
    let vision = StageConfig {
        model: model.clone(),
        batch: 4,
        learning_rate: 1e-2,
        augment: false,
        ..config(root.path(), "vision", Stage::Vision, 30)
    };
    let steps = run(&vision, 0);
    let mean = |of: std::ops::Range<usize>| -> f64 {
        let count = of.len() as f64;
        steps[of].iter().map(|step| step.loss).sum::<f64>() / count
    };
    let (first, last) = (mean(0..5), mean(25..30));
    assert!(last < 0.8 * first, "{first} -> {last}");
    // The probes validate: which half is bright is seen.
    let scores = &steps.last().unwrap().scores;
    assert_eq!(scores.get("val exact vqa"), Some(&100.0), "{scores:?}");
    assert!(scores.contains_key("val ssim ct2mri"), "{scores:?}");

    let trained = vision.out.join("model");
    let tower = changed(
        &model.join("clip/model.safetensors"),
        &trained.join("clip/model.safetensors"),
    );
    assert!(tower.iter().all(|name| name.starts_with("vision_model.")));
    assert!(tower.len() > 10, "{tower:?}");
    for name in [
        "llm/model.safetensors",
        "plugins/generation.safetensors",
        "plugins/comprehension.safetensors",
    ] {
        let moved = changed(&model.join(name), &trained.join(name));
        assert!(moved.is_empty(), "{name}: {moved:?}");
    }
    let _ = load(&trained).unwrap();
}

#[test]
fn a_resumed_vision_stage_gives_the_very_weights_of_an_uninterrupted_one() {
    let root = tempfile::tempdir().unwrap();
    let whole = StageConfig {
        model: new(root.path()),
        extra_blocks: 1,
        tone_jitter: 0.2,
        patch_share: 0.5,
        ..config(root.path(), "whole", Stage::Vision, 5)
    };
    let files = [
        "last/weights.safetensors",
        "last/moments.safetensors",
        "model/clip/model.safetensors",
    ];
    resumes_to_the_bit(&whole, &root.path().join("broken"), &files);
}

#[test]
fn a_tower_can_look_at_some_patches_as_if_there_were_no_others() {
    let root = tempfile::tempdir().unwrap();
    let model = load(&new(root.path())).unwrap();
    let side = model.preprocessor.size;
    let values = (0..3 * side * side).map(|i| (i % 7) as f32 / 7.0);
    let pixels = || pixels_tensor(values.clone().collect(), [side, side], &model.device);
    let numbers = |state: Tensor<3>| state.into_data().iter::<f32>().collect::<Vec<f32>>();
    let last = model.clip.layers.len();
    let whole = model.clip.hidden_state(pixels(), last);
    let [_, tokens, hidden] = whole.dims();
    let all: Vec<usize> = (0..tokens - 1).collect();
    let of = |layer: usize, patches: &[usize]| {
        numbers(model.clip.hidden_state_of(pixels(), layer, patches))
    };
    assert_eq!(of(last, &all), numbers(whole.clone()));
    // Before the first block no patch knows of another, behind the last it knows of those that are there.
    let (few, whole) = ([1, 3], numbers(whole));
    let row = |state: &[f32], token: usize| state[token * hidden..(token + 1) * hidden].to_vec();
    let first = numbers(model.clip.hidden_state(pixels(), 0));
    assert_eq!(row(&of(0, &few), 2), row(&first, 4));
    assert_ne!(row(&of(last, &few), 2), row(&whole, 4));
}

#[test]
fn what_is_left_out_of_a_sequence_leaves_its_position_free() {
    let root = tempfile::tempdir().unwrap();
    let model = load(&new(root.path())).unwrap();
    let (decoder, plugin) = (model.llm.twin().unwrap(), &model.plugins[0]);
    let last = |positions: [usize; 4]| -> Vec<f32> {
        let x = decoder.embed(plugin, &[1, 5, 9, 7], &model.device);
        let state = decoder.forward_sequence(plugin, x, &positions, 1, None);
        state.into_data().iter::<f32>().collect()
    };
    let apart = |a: &[f32], b: &[f32]| {
        let distances = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        distances.fold(0.0, f32::max)
    };
    let whole = last([0, 1, 2, 3]);
    // Distances count, not where a sequence begins.
    assert!(apart(&whole, &last([40, 41, 42, 43])) < 1e-4);
    assert!(apart(&whole, &last([0, 1, 2, 30])) > 1e-3);
}

#[test]
fn a_language_model_can_be_trained_on_some_patches_too() {
    let root = tempfile::tempdir().unwrap();
    let of = |name: &str, patch_share: f64| StageConfig {
        model: root.path().join("new"),
        patch_share,
        augment: false,
        ..config(root.path(), name, Stage::Instruction, 5)
    };
    let _ = new(root.path());
    let whole = of("whole", 0.5);
    let files = [
        "last/weights.safetensors",
        "model/plugins/generation.safetensors",
        "model/plugins/comprehension.safetensors",
    ];
    resumes_to_the_bit(&whole, &root.path().join("broken"), &files);
    // Only what is asked about loses patches: the plug-in that makes pictures would else be taught by a torn one.
    let all = of("all", 1.0);
    let _ = run(&all, 0);
    let plugin = |config: &StageConfig, name: &str| {
        std::fs::read(config.out.join(format!("model/plugins/{name}.safetensors"))).unwrap()
    };
    assert!(plugin(&whole, "comprehension") != plugin(&all, "comprehension"));
}

#[test]
fn blocks_of_a_tower_can_stay_while_later_ones_are_trained() {
    let root = tempfile::tempdir().unwrap();
    let model = new_with(root.path(), &|sizes| sizes.plugins[0].vit_hidden_state = -1);
    let mut sight = StageConfig {
        model: model.clone(),
        frozen_blocks: 1,
        ..config(root.path(), "sight", Stage::Vision, 3)
    };
    sight.data.truncate(1);
    let _ = run(&sight, 0);
    let name = "clip/model.safetensors";
    let moved = changed(&model.join(name), &sight.out.join("model").join(name));
    assert!(!moved.is_empty());
    let second = "vision_model.encoder.layers.1.";
    assert!(
        moved.iter().all(|name| name.starts_with(second)),
        "{moved:?}"
    );

    sight.frozen_blocks = 2;
    sight.out = root.path().join("nothing");
    let go_on = &mut |_: &TrainStep| std::ops::ControlFlow::Continue(());
    let error = train(&sight, &Device::flex(), go_on)
        .unwrap_err()
        .to_string();
    assert!(error.contains("frozen_blocks"), "{error}");
}

/// Gives every picture of the questions an outline: its bright half.
fn outline(questions: &Path) {
    let mut records = Records::read(questions, OnBad::Refuse).unwrap();
    for record in &mut records.records {
        let picture = image::open(records.folder.join(record.image.as_ref().unwrap())).unwrap();
        let mut mask = picture.to_luma8();
        for level in mask.iter_mut() {
            *level = if *level > 128 { 255 } else { 0 };
        }
        let name = format!("mask_{}", record.image.as_ref().unwrap().display());
        mask.save(records.folder.join(&name)).unwrap();
        record.lesion_mask = Some(name.into());
    }
    write(questions, &records.records).unwrap();
}

#[test]
fn a_deeper_tower_begins_as_the_one_before_and_learns_where_an_outline_is() {
    let root = tempfile::tempdir().unwrap();
    let model = new(root.path());
    let mut deep = StageConfig {
        model: model.clone(),
        frozen_blocks: 1,
        extra_blocks: 1,
        outline_weight: 4.0,
        learning_rate: 0.0,
        augment: false,
        ..config(root.path(), "unmoved", Stage::Vision, 1)
    };
    outline(&deep.data[0].records);
    deep.data.truncate(1);
    let trained = |frozen_blocks, extra_blocks| {
        let config = StageConfig {
            frozen_blocks,
            extra_blocks,
            ..deep.clone()
        };
        let plan = MemoryPlan::new(&config, Precision::F32).unwrap();
        plan.trained as i64
    };
    let block = trained(0, 0) - trained(1, 0);
    assert!(block > 0);
    assert_eq!(
        trained(1, 1) - trained(1, 0),
        block,
        "a new block is planned for"
    );
    deep.validation.clear();
    let _ = run(&deep, 0);
    let picture = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x * y) as u8; 3]));
    let features = |dir: &Path| -> Vec<f32> {
        let model = load(dir).unwrap();
        let plugin = model.plugin_for(Task::Comprehend).unwrap();
        let features = model.features(plugin, &picture).unwrap();
        features.into_data().iter::<f32>().collect()
    };
    let unmoved = deep.out.join("model");
    assert_eq!(load(&unmoved).unwrap().clip.layers.len(), 3);
    assert_eq!(features(&unmoved), features(&model));

    deep.learning_rate = 1e-2;
    (deep.steps, deep.batch) = (30, 4);
    deep.out = root.path().join("deeper");
    let steps = run(&deep, 0);
    let (first, last) = (steps[0].loss, steps[29].loss);
    // Four times ln 2 of the outline and ln 2 of the answer, at first.
    assert!(first > 2.0 && last < 0.5 * first, "{first} -> {last}");
    let name = "clip/model.safetensors";
    let (before, after) = (
        tensors(&model.join(name)),
        tensors(&deep.out.join("model").join(name)),
    );
    for (name, values) in &after {
        let later = ["layers.1.", "layers.2."];
        if later.iter().all(|block| !name.contains(block)) {
            assert_eq!(Some(values), before.get(name), "{name} was to stay");
        }
    }
}

#[test]
fn stage_decoder_trains_the_image_decoder_alone_on_what_the_model_writes() {
    let root = tempfile::tempdir().unwrap();
    let model = new(root.path());
    let mut decoder = StageConfig {
        model: model.clone(),
        batch: 4,
        learning_rate: 1e-2,
        augment: false,
        ..config(root.path(), "decoder", Stage::Decoder, 20)
    };
    decoder.data.remove(0);
    let steps = run(&decoder, 0);
    let mean = |of: std::ops::Range<usize>| -> f64 {
        let count = of.len() as f64;
        steps[of].iter().map(|step| step.loss).sum::<f64>() / count
    };
    let (first, last) = (mean(0..4), mean(16..20));
    // Random codes say nothing of a picture: the best that there is to learn is its mean.
    assert!(last < 0.95 * first, "{first} -> {last}");
    let trained = decoder.out.join("model");
    let moved = |name: &str| changed(&model.join(name), &trained.join(name));
    let autoencoder = moved("vqgan/model.safetensors");
    assert!(autoencoder.len() > 10, "{autoencoder:?}");
    let after_codes = ["decoder.", "post_quant_conv."];
    for name in autoencoder {
        assert!(
            after_codes.iter().any(|part| name.starts_with(part)),
            "{name}"
        );
    }
    for name in [
        "clip/model.safetensors",
        "llm/model.safetensors",
        "plugins/generation.safetensors",
        "plugins/comprehension.safetensors",
    ] {
        assert!(moved(name).is_empty(), "{name}");
    }
    let _ = load(&trained).unwrap();

    let questions = StageConfig {
        out: root.path().join("questions"),
        ..config(root.path(), "questions", Stage::Decoder, 1)
    };
    let go_on = &mut |_: &TrainStep| std::ops::ControlFlow::Continue(());
    let questions = StageConfig {
        model: model.clone(),
        data: questions.data[..1].to_vec(),
        ..questions
    };
    let error = train(&questions, &Device::flex(), go_on)
        .unwrap_err()
        .to_string();
    assert!(error.contains("target picture"), "{error}");
}

#[test]
fn a_resumed_decoder_stage_gives_the_very_weights_of_an_uninterrupted_one() {
    let root = tempfile::tempdir().unwrap();
    let mut whole = StageConfig {
        model: new(root.path()),
        ..config(root.path(), "whole", Stage::Decoder, 5)
    };
    whole.data.remove(0);
    let files = [
        "last/weights.safetensors",
        "last/moments.safetensors",
        "model/vqgan/model.safetensors",
    ];
    resumes_to_the_bit(&whole, &root.path().join("broken"), &files);
}

#[test]
fn a_base_can_be_trained_behind_a_tower_that_stays() {
    let root = tempfile::tempdir().unwrap();
    let model = new(root.path());
    let base = StageConfig {
        model: model.clone(),
        vision_learning_rate: Some(0.0),
        ..config(root.path(), "base", Stage::Base, 2)
    };
    let _ = run(&base, 0);
    let trained = base.out.join("model");
    let moved = |name: &str| changed(&model.join(name), &trained.join(name));
    assert_eq!(moved("clip/model.safetensors"), Vec::<String>::new());
    assert!(moved("llm/model.safetensors").len() > 3);
}

#[test]
fn the_mean_of_two_models_has_the_mean_of_every_weight_and_can_be_loaded() {
    let root = tempfile::tempdir().unwrap();
    let before = new(root.path());
    let taught = StageConfig {
        model: before.clone(),
        ..config(root.path(), "taught", Stage::Instruction, 2)
    };
    let _ = run(&taught, 0);
    let after = taught.out.join("model");
    let file = root.path().join("average.toml");
    let mean_of = |models: &[&Path]| {
        let models: Vec<String> = models.iter().map(|m| format!("{m:?}")).collect();
        let text = format!(
            "stage = \"average\"\nmodels = [{}]\nout = \"mean\"\n",
            models.join(", ")
        );
        std::fs::write(&file, text).unwrap();
        let job = Job::open(&file)?;
        job.run(
            &Device::flex(),
            &mut |_| std::ops::ControlFlow::Continue(()),
        )
    };
    mean_of(&[&before, &after]).unwrap();
    let mean = root.path().join("mean/model");
    let name = "plugins/comprehension.safetensors";
    let [a, b, c] = [&before, &after, &mean].map(|model| tensors(&model.join(name)));
    assert!(!changed(&before.join(name), &after.join(name)).is_empty());
    for (name, values) in &c {
        let pairs = a[name].iter().zip(&b[name]);
        let wanted = pairs.map(|(a, b)| ((f64::from(*a) + f64::from(*b)) / 2.0) as f32);
        assert_eq!(*values, wanted.collect::<Vec<f32>>(), "{name}");
    }
    let same = |name: &str| std::fs::read(before.join(name)).unwrap();
    let name = "clip/model.safetensors";
    assert!(same(name) == std::fs::read(mean.join(name)).unwrap());
    let _ = load(&mean).unwrap();

    assert!(mean_of(&[&before]).is_err(), "a mean of one");
    let other = root.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let small = new_with(&other, &|sizes| sizes.plugins[0].rank = 2);
    let error = mean_of(&[&before, &small]).unwrap_err().to_string();
    assert!(error.contains("must be alike"), "{error}");
    assert!(load(&mean).is_ok(), "the former mean stays");
}
