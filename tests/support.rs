//! Where things lie, and small pieces that several tests share.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use engine::DeviceChoice;
use engine::device::choose;
use engine::model::{Answer, AskInput, HealthGpt, Sampling};
use engine::training::step::TrainStep;
use image::RgbImage;

/// A path in the repository.
pub fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The bundled model with random weights.
pub fn tiny_model() -> PathBuf {
    repo("assets/models/tiny-untrained")
}

/// Loads a model on the CPU.
pub fn load(dir: &Path) -> Result<HealthGpt, engine::ModelError> {
    let (device, _) = choose(DeviceChoice::Cpu).unwrap();
    HealthGpt::load(dir, &device, &mut |_, _, _| ControlFlow::Continue(()))
}

/// A short greedy answer about one picture.
pub fn ask(
    model: &HealthGpt,
    picture: &RgbImage,
    history: &[(&str, &str)],
    question: &str,
) -> Answer {
    let input = AskInput {
        images: std::slice::from_ref(picture),
        history,
        question,
        sampling: &Sampling::default(),
        max_new_tokens: 10,
    };
    let go_on = &mut |_: &str| ControlFlow::Continue(());
    model.answer(&input, go_on).unwrap()
}

/// A copy of a folder that a test may damage.
pub fn copy_of(dir: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &target);
            } else {
                let _ = fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let scratch = tempfile::tempdir().unwrap();
    copy(dir, scratch.path());
    scratch
}

/// The steps of a run; it is stopped after step `stop_at`.
pub fn steps(
    stop_at: u64,
    train: impl FnOnce(&mut dyn FnMut(&TrainStep) -> ControlFlow<()>) -> u64,
) -> Vec<TrainStep> {
    let mut steps = Vec::new();
    let _ = train(&mut |step| {
        steps.push(step.clone());
        if step.step == stop_at {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    steps
}
