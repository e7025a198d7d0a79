//! Every stage of the model against the PyTorch reference's numbers (specification, section 13).

use engine::DeviceChoice;
use engine::device::choose;
use engine::model::verify::{Stage, verify};

use crate::support::{repo, tiny_model};

fn check(model: &std::path::Path, choice: DeviceChoice) -> Vec<Stage> {
    let (device, _) = choose(choice).unwrap();
    let stages = verify(model, &device).unwrap();
    let failed: Vec<&Stage> = stages.iter().filter(|stage| !stage.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    stages
}

#[test]
fn the_bundled_model_equals_the_reference_from_pixels_to_codes_to_image() {
    let stages = check(&tiny_model(), DeviceChoice::Cpu);
    for run in ["tokenizer", "com", "text", "gen", "vq"] {
        assert!(
            stages.iter().any(|stage| stage.run == run),
            "nothing was compared for {run}"
        );
    }
}

#[test]
fn phi4_with_grouped_keys_equals_the_reference() {
    let stages = check(&repo("tests/golden/phi4"), DeviceChoice::Cpu);
    assert!(stages.len() > 40, "{}", stages.len());
}

#[test]
fn qwen2_with_its_repetition_penalty_equals_the_reference() {
    let stages = check(&repo("tests/golden/qwen2"), DeviceChoice::Cpu);
    assert!(stages.len() > 40, "{}", stages.len());
}

#[test]
fn phi3_with_a_sliding_window_and_a_legacy_checkpoint_equals_the_reference() {
    let stages = check(&repo("tests/golden/phi3_window"), DeviceChoice::Cpu);
    assert!(stages.len() > 40, "{}", stages.len());
}

/// Runs on any Vulkan, Metal or DX12 adapter; `packaging/setup.sh` installs a software one.
#[test]
fn the_same_modules_on_a_gpu_device_equal_the_reference() {
    match choose(DeviceChoice::Gpu) {
        Ok(_) => {
            let _ = check(&repo("tests/golden/phi4"), DeviceChoice::Gpu);
        }
        Err(error) => eprintln!("not run: {error}"),
    }
}
