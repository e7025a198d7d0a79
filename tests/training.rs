//! Training: what is learned, what is saved, and what a resumed run gives.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use engine::DatasetError;
use engine::model::checkpoint::{Checkpoint, TensorLedger};
use engine::model::loader::{Loader, Precision, Source};
use engine::model::vqgan::Vqgan;
use engine::training::TrainError;
use engine::training::autoencoder::train;
use engine::training::config::{AutoencoderConfig, ModelSizes, Quantizer};
use engine::training::pairs::load_pairs;
use engine::training::step::TrainStep;

use crate::fixtures::Nifti;
use crate::support::steps;

/// A leg: a bright disc in both modalities, with a bone that is bright in CT and dark in MR.
pub fn write_subject(folder: &Path, shift: i32) {
    let size = [40_usize, 40, 4];
    let sample = |mr: bool| -> Vec<i16> {
        let mut voxels = Vec::new();
        for _ in 0..size[2] {
            for y in 0..40_i32 {
                for x in 0..40_i32 {
                    let leg = (x - 20 - shift).pow(2) + (y - 20).pow(2) < 200;
                    let bone = (x - 20 - shift).pow(2) + (y - 20).pow(2) < 20;
                    voxels.push(match (mr, leg, bone) {
                        (false, _, true) => 900,
                        (false, true, _) => 50,
                        (false, ..) => -1000,
                        (true, _, true) => 60,
                        (true, true, _) => 800,
                        (true, ..) => 0,
                    });
                }
            }
        }
        voxels
    };
    fs::create_dir_all(folder).unwrap();
    for (name, mr) in [("ct.nii.gz", false), ("mr_t1.nii.gz", true)] {
        let mut nifti = Nifti::of_i16(size, &sample(mr));
        nifti.sform = Some([
            [-1.0, 0.0, 0.0, 0.0],
            [0.0, -1.0, 0.0, 0.0],
            [0.0, 0.0, 3.0, 0.0],
        ]);
        let file = fs::File::create(folder.join(name)).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gzip.write_all(&nifti.bytes()).unwrap();
        let _ = gzip.finish().unwrap();
    }
}

/// A small VQGAN of two such legs: 8 x 8 codes of 4 x 4 pixels.
pub fn config(root: &Path, out: &str, steps: u64) -> AutoencoderConfig {
    for (split, subject, shift) in [("train", "A", 0), ("train", "B", 5), ("val", "C", -4)] {
        write_subject(&root.join(split).join(subject), shift);
    }
    AutoencoderConfig {
        stage: "vqgan".to_owned(),
        train: root.join("train"),
        val: root.join("val"),
        out: root.join(out),
        model: ModelSizes {
            resolution: 32,
            ch: 32,
            ch_mult: vec![1, 1, 1],
            num_res_blocks: 1,
            num_groups: 32,
            attn_resolutions: vec![8],
            z_channels: 16,
            embed_dim: 16,
            n_embed: 32,
        },
        patchwise: false,
        decoder_from: None,
        steps,
        batch: 2,
        workers: 1,
        learning_rate: 2e-3,
        warmup: 2,
        quantizer: Quantizer::Gumbel {
            min_temperature: 0.1,
            hard_from: 0.5,
            kl_weight: 1e-3,
        },
        edge_weight: 0.5,
        ssim_weight: 0.5,
        seed: 3,
        checkpoint_every: 3,
        validate_every: 1000,
        validate_slices: 2,
    }
}

fn run(config: &AutoencoderConfig, stop_at: u64) -> Vec<TrainStep> {
    steps(stop_at, |on_step| {
        train(config, &Device::flex(), on_step).unwrap()
    })
}

#[test]
fn pairs_are_windowed_padded_and_kept_by_subject() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path(), "out", 1);
    let pairs = load_pairs(&config.train, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(pairs.len(), 8);
    assert_eq!(
        (pairs[0].subject.as_str(), pairs[7].subject.as_str()),
        ("A", "B")
    );
    let at = |levels: &[u8], x: usize, y: usize| levels[y * 256 + x];
    let pair = &pairs[0];
    assert_eq!(
        (at(&pair.ct, 2, 2), at(&pair.ct, 128, 128)),
        (0, 255),
        "air is black, bone is white"
    );
    assert_eq!(
        at(&pair.ct, 128, 70),
        133,
        "(50 + 160) / 400 of 255, truncated"
    );
    assert!(
        at(&pair.mr, 128, 128) < 30 && at(&pair.mr, 128, 70) == 255,
        "bone is dark in MR, fat bright"
    );
}

#[test]
fn a_few_steps_lower_the_reconstruction_error_and_the_result_loads_as_a_vqgan() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path(), "out", 60);
    let steps = run(&config, 0);
    let mean = |part: &[TrainStep]| {
        part.iter().map(|step| step.scores["l1"]).sum::<f64>() / part.len() as f64
    };
    let (first, last) = (mean(&steps[..5]), mean(&steps[55..]));
    assert!(last < 0.6 * first, "{first} -> {last}");
    let scores = &steps.last().unwrap().scores;
    let ssim = [scores["val ssim ct"], scores["val ssim mr"]];
    assert!(
        ssim.iter().all(|value| *value > 10.0 && *value < 100.0),
        "{ssim:?}"
    );
    let written = Checkpoint::open(&config.out.join("vqgan/model.safetensors")).unwrap();
    assert!(
        written.info("quantize.embed.weight").is_some()
            && written.info("decoder.conv_out.bias").is_some()
    );
    assert!(engine::model::config::VqganConfig::open(&config.out.join("vqgan")).is_ok());
}

#[test]
fn a_resumed_run_gives_the_very_weights_of_an_uninterrupted_one() {
    let root = tempfile::tempdir().unwrap();
    let whole = AutoencoderConfig {
        quantizer: Quantizer::Nearest {
            decay: 0.9,
            commitment_weight: 0.25,
            quantize_from: 0.4,
        },
        ..config(root.path(), "whole", 8)
    };
    let broken = AutoencoderConfig {
        out: root.path().join("broken"),
        workers: 2,
        ..whole.clone()
    };
    assert_eq!(run(&whole, 0).len(), 8);
    assert_eq!(run(&broken, 5).len(), 5);
    assert_eq!(run(&broken, 0).first().map(|step| step.step), Some(6));
    let read =
        |config: &AutoencoderConfig| fs::read(config.out.join("vqgan/model.safetensors")).unwrap();
    assert!(read(&whole) == read(&broken), "not one bit may differ");

    let other = AutoencoderConfig {
        learning_rate: 1e-4,
        ..broken
    };
    let error = train(&other, &Device::flex(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, TrainError::OtherConfig { .. }), "{error}");
}

#[test]
fn a_decoder_that_goes_on_alone_keeps_every_code() {
    let root = tempfile::tempdir().unwrap();
    let first = AutoencoderConfig {
        quantizer: Quantizer::Nearest {
            decay: 0.9,
            commitment_weight: 0.25,
            quantize_from: 0.5,
        },
        ..config(root.path(), "first", 4)
    };
    let _ = run(&first, 4);
    let decoder = AutoencoderConfig {
        quantizer: Quantizer::Frozen {
            vqgan: first.out.join("vqgan"),
        },
        out: root.path().join("decoder"),
        ..first.clone()
    };
    let _ = run(&decoder, 2); // stopped, and gone on from its checkpoint
    let _ = run(&decoder, 4);
    let open = |out: &Path| Checkpoint::open(&out.join("vqgan/model.safetensors")).unwrap();
    let (before, after) = (open(&first.out), open(&decoder.out));
    let mut moved = 0;
    for name in before.names() {
        let values = |file: &Checkpoint| file.tensor(name).unwrap().to_f32();
        let same = values(&before) == values(&after);
        let decodes = name.starts_with("decoder.") || name.starts_with("post_quant_conv.");
        assert!(same || decodes, "{name}");
        moved += usize::from(!same);
    }
    assert!(moved > 20, "{moved}");
}

#[test]
fn a_patchwise_encoder_sees_a_patch_and_hardly_anything_else_also_after_training() {
    let root = tempfile::tempdir().unwrap();
    let first = config(root.path(), "first", 2);
    let mut sizes = first.model.clone();
    (sizes.num_groups, sizes.attn_resolutions) = (4, Vec::new());
    let first = AutoencoderConfig {
        model: sizes,
        ..first
    };
    let _ = run(&first, 2);
    let patchwise = AutoencoderConfig {
        quantizer: Quantizer::Nearest {
            decay: 0.9,
            commitment_weight: 0.25,
            quantize_from: 0.5,
        },
        patchwise: true,
        decoder_from: Some(first.out.join("vqgan")),
        out: root.path().join("patchwise"),
        steps: 4,
        ..first
    };
    let _ = run(&patchwise, 2); // stopped, and gone on from its checkpoint
    let _ = run(&patchwise, 4);

    let file = patchwise.out.join("vqgan/model.safetensors");
    let mut ledger = TensorLedger::new(vec![Checkpoint::open(&file).unwrap()]);
    let device = Device::flex();
    let mut loader = Loader {
        source: Source::Files(&mut ledger),
        device: &device,
        precision: Precision::F32,
        on_tensor: &mut || ControlFlow::Continue(()),
        stopped: false,
        made: Vec::new(),
    };
    let vqgan = Vqgan::load(&mut loader, &patchwise.vqgan());
    assert!(ledger.finish().is_ok());
    let latents = |changed: bool| -> Vec<f32> {
        let pixel = |i: usize| {
            let (x, y) = (i % 32, i / 32 % 32);
            let inside = (12..16).contains(&x) && (20..24).contains(&y); // column 3, row 5 of the codes
            match changed && inside {
                true => 0.9,
                false => (x as f32 * 0.3).sin() * (y as f32 * 0.2).cos() * 0.7,
            }
        };
        let pixels: Vec<f32> = (0..3 * 32 * 32).map(pixel).collect();
        let x = Tensor::<4>::from_data(TensorData::new(pixels, [1, 3, 32, 32]), &device);
        vqgan.encode_latents(x).into_data().iter::<f32>().collect()
    };
    let (before, after) = (latents(false), latents(true));
    let (mut inside, mut outside) = (0.0_f32, 0.0_f32);
    for (i, (before, after)) in before.iter().zip(&after).enumerate() {
        let difference = (before - after).abs();
        match i % 64 == 5 * 8 + 3 {
            true => inside = inside.max(difference),
            false => outside = outside.max(difference),
        }
    }
    assert!(inside > 0.05, "{inside}");
    assert!(
        outside < 0.03 * inside,
        "a patch moves itself by {inside}, another by {outside}"
    );
}

#[test]
fn a_patchwise_encoder_with_an_odd_number_of_channels_in_a_norm_group_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let odd = AutoencoderConfig {
        patchwise: true,
        ..config(root.path(), "out", 2)
    };
    let path = root.path().join("odd.toml");
    fs::write(&path, toml::to_string(&odd).unwrap()).unwrap();
    let error = AutoencoderConfig::open(&path).unwrap_err().to_string();
    assert!(error.contains("patchwise needs an even number"), "{error}");
    assert!(error.contains("32 in 32"), "{error}");
}

#[test]
fn a_folder_without_pairs_and_pairs_that_do_not_fit_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let go_on = &mut |_: usize, _: usize| ControlFlow::Continue(());
    assert!(matches!(
        load_pairs(root.path(), go_on),
        Err(DatasetError::NoPairs { .. })
    ));
    write_subject(&root.path().join("A"), 0);
    let small = Nifti::of_i16([4, 4, 2], &[5; 32]);
    fs::write(root.path().join("A/mr_t1.nii.gz"), small.bytes()).unwrap();
    let error = load_pairs(root.path(), go_on).unwrap_err();
    assert!(matches!(error, DatasetError::Pair { .. }), "{error}");
}
