//! The vision tower of a new base, alone, before the language model sees it (stage `vision`).
//!
//! Through a language model a tower learns slowly: a sequence has twice as many tokens, and a code's gradient comes through
//! attention over all of them. Here linear probes (Alain and Bengio 2016) read the hidden state that a plug-in reads: one names
//! the VQ code of the target under each patch, one the answer to a closed question from the mean of all patches. They serve as
//! CLIP's text tower did for CLIP, and are left out of the model. Questions, and tasks, are told apart by a probe of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;

use super::error::TrainError;
use super::learner::Learner;
use super::params::replaced;
use super::soft_codes::SoftCodes;
use super::validation::{Reader, question, response};
use crate::dataset::{RecordTask, Records};
use crate::model::clip::{ClipLayer, ClipVision, hidden_state_index};
use crate::model::expected_code::chosen;
use crate::model::fused::cross_entropy;
use crate::model::initializer::Initializer;
use crate::model::layers::matmul_rows;
use crate::model::loader::{Loader, Precision, Source};
use crate::model::plugin::PlugIn;
use crate::model::random::Random;
use crate::model::vqgan::to_rgb;
use crate::model::{HealthGpt, ModelError, Sampling};

/// The part of a model that its parameters are listed under.
const TOWER: &str = "vision tower";

/// What one file of records asks of the tower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The code of the target picture under each patch.
    Codes(RecordTask),
    /// One of the answers that the file has to a question.
    Answers {
        /// Of the file's records.
        task: RecordTask,
        /// First row of each question, and its answers in the order of the rows.
        questions: BTreeMap<String, (usize, Vec<String>)>,
        /// The first of two rows, no lesion and lesion, where records have an outline.
        outline: Option<usize>,
    },
}

impl Probe {
    /// Of a file whose records have one kind of task. Open questions with an answer for each picture are none for a probe, so
    /// there the file should not be among the stage's data.
    ///
    /// # Errors
    /// Records without a task.
    pub fn new(records: &Records) -> Result<Self, TrainError> {
        let task = records.records.iter().find_map(|record| record.task);
        let Some(task) = task else {
            return Err(TrainError::Record {
                what: "stage vision needs records with a task".to_owned(),
                path: records.folder.clone(),
            });
        };
        if task.generates() {
            return Ok(Self::Codes(task));
        }
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for record in &records.records {
            let answers = found.entry(question(record)).or_default();
            let _ = answers.insert(response(record).to_owned());
        }
        let mut rows = 0;
        let mut questions = BTreeMap::new();
        for (asked, answers) in found {
            let first = rows;
            rows += answers.len();
            let _ = questions.insert(asked, (first, answers.into_iter().collect()));
        }
        let outlined = records.records.iter().any(|r| r.lesion_mask.is_some());
        Ok(Self::Answers {
            task,
            questions,
            outline: outlined.then_some(rows),
        })
    }

    fn task(&self) -> RecordTask {
        match self {
            Self::Codes(task) | Self::Answers { task, .. } => *task,
        }
    }

    /// Random weights `[classes, hidden]`.
    pub fn weights(
        &self,
        loader: &mut Loader<'_>,
        codes: usize,
        hidden: usize,
    ) -> Param<Tensor<2>> {
        let classes = match self {
            Self::Codes(_) => codes,
            Self::Answers {
                questions, outline, ..
            } => {
                let answers = questions.values().map(|(_, answers)| answers.len());
                answers.sum::<usize>() + outline.map_or(0, |_| 2)
            }
        };
        loader.matrix("probe.weight", classes, hidden)
    }
}

/// What a probe should have said.
pub enum Truth<'a> {
    /// Codes of the target, row by row.
    Codes(&'a [u32]),
    /// An answer to a question.
    Answer(&'a str, &'a str),
    /// The lesion's outline on the picture.
    Outline(&'a RgbImage),
}

/// What the tower says of a picture.
pub struct Seen {
    /// `[1, patches, hidden]`.
    pub state: Tensor<3>,
    /// Patches that a picture has.
    pub patches: usize,
    /// Those that went through the tower, where that were not all.
    pub kept: Option<Vec<usize>>,
}

impl Seen {
    /// Of something for each patch, what there is for those that went through the tower.
    fn pick<T: Copy>(&self, all: &[T]) -> Vec<T> {
        match &self.kept {
            Some(kept) => kept.iter().filter_map(|i| all.get(*i)).copied().collect(),
            None => all.to_vec(),
        }
    }
}

/// A share of the patches of a picture, at least one, in their order.
pub fn some_of(patches: usize, share: f64, random: &mut Random) -> Vec<usize> {
    let count = ((patches as f64 * share).round() as usize).clamp(1, patches.max(1));
    let mut all: Vec<usize> = (0..patches).collect();
    for i in 0..count.min(patches) {
        all.swap(i, i + random.below(patches - i));
    }
    all.truncate(count);
    all.sort_unstable();
    all
}

/// Mean cross-entropy of a probe over the hidden state of patches; codes are spread over those that look alike. With
/// `each_patch`, every patch has to know the answer by itself, not their mean alone: a language model then finds it wherever it looks.
///
/// # Errors
/// A picture with another number of codes than patches, or an answer that the file did not have.
pub fn loss(
    probe: &Probe,
    weights: &Param<Tensor<2>>,
    seen: &Seen,
    truth: &Truth<'_>,
    soft: Option<&SoftCodes>,
    each_patch: bool,
) -> Result<Tensor<1>, TrainError> {
    let (count, patches) = (seen.patches, seen.state.clone());
    match (probe, truth) {
        (Probe::Codes(_), Truth::Codes(codes)) if codes.len() == count => {
            let logits: Tensor<2> = matmul_rows(patches, weights.val()).squeeze_dim(0);
            let [_, classes] = logits.dims();
            let codes = &seen.pick(codes);
            let targets = match soft {
                Some(soft) => soft.of_codes(codes),
                None => codes
                    .iter()
                    .flat_map(|code| one_hot(*code as usize, classes))
                    .collect(),
            };
            Ok(cross_entropy(logits, targets))
        }
        (Probe::Answers { questions, .. }, Truth::Answer(asked, answer)) => {
            let among = questions.get(*asked);
            let right = among.and_then(|(_, answers)| answers.iter().position(|a| a == answer));
            let (Some((first, answers)), Some(right)) = (among, right) else {
                return Err(invalid(
                    "a question or answer is not in the file".to_owned(),
                ));
            };
            let logits = answer_logits(weights, patches, *first, answers.len(), each_patch);
            let [asked, classes] = logits.dims();
            Ok(cross_entropy(logits, one_hot(right, classes).repeat(asked)))
        }
        (Probe::Answers { outline, .. }, Truth::Outline(mask)) => {
            let Some(first) = outline else {
                return Err(invalid("no record of the file has an outline".to_owned()));
            };
            let logits = answer_logits(weights, patches, *first, 2, true);
            let shares = seen.pick(&covered(mask, count));
            let targets = shares.iter().flat_map(|share| [1.0 - share, *share]);
            Ok(cross_entropy(logits, targets.collect()))
        }
        (Probe::Codes(_), Truth::Codes(codes)) => Err(invalid(format!(
            "stage vision needs as many patches as codes; there are {count} and {}",
            codes.len()
        ))),
        _ => Err(invalid(
            "the records of a file make pictures or answer, not both".to_owned(),
        )),
    }
}

/// A tower whose first norm keeps the brightness of patches: `by` added to every other channel of the position embeddings, and taken
/// from the others.
pub fn offset_positions(mut tower: ClipVision, by: f64) -> ClipVision {
    let device = tower.position_embedding.device();
    tower.position_embedding = replaced(tower.position_embedding, |positions| {
        let [_, hidden] = positions.dims();
        let offsets: Vec<f32> = (0..hidden)
            .map(|channel| if channel % 2 == 0 { by } else { -by } as f32)
            .collect();
        let offsets = Tensor::<2>::from_data(TensorData::new(offsets, [1, hidden]), &device);
        positions + offsets
    });
    tower
}

/// A deeper tower: `count` more blocks. They, and the blocks that no plug-in read, begin as ones that change nothing.
///
/// # Errors
/// A plug-in reads a hidden state that does not exist.
pub fn add_blocks(
    model: &mut HealthGpt,
    count: usize,
    seed: u64,
    device: &Device,
) -> Result<(), ModelError> {
    let blocks = model.clip_config.num_hidden_layers;
    let mut kept = 0;
    for plugin in &model.plugins {
        kept = kept.max(hidden_state_index(plugin.entry.vit_hidden_state, blocks)?);
    }
    model.clip_config.num_hidden_layers = blocks + count;
    model.clip.layers.truncate(kept);
    let mut initializer = Initializer::new(seed);
    let mut loader = Loader {
        source: Source::Random(&mut initializer),
        device,
        precision: Precision::F32,
        on_tensor: &mut || ControlFlow::Continue(()),
        stopped: false,
        made: Vec::new(),
    };
    for i in kept..blocks + count {
        let name = format!("vision_model.encoder.layers.{i}");
        let mut block = ClipLayer::load(&mut loader, &name, &model.clip_config);
        for out in [&mut block.out_proj, &mut block.fc2] {
            out.weight = replaced(out.weight.clone(), |weight| weight.zeros_like());
        }
        model.clip.layers.push(block);
    }
    let made = loader.made;
    let tower = model.params.iter_mut().find(|(part, _)| part == TOWER);
    if let Some((_, params)) = tower {
        params.retain(|param| made.iter().all(|new| new.name != param.name));
        params.extend(made);
    }
    Ok(())
}

/// How much of each patch an outline covers, from 0 to 1, row by row.
fn covered(mask: &RgbImage, patches: usize) -> Vec<f32> {
    let grid = patches.isqrt().max(1) as u64;
    let (width, height) = (u64::from(mask.width()), u64::from(mask.height()));
    let mut sums = vec![(0.0_f32, 0.0_f32); patches];
    for (x, y, pixel) in mask.enumerate_pixels() {
        let column = u64::from(x) * grid / width.max(1);
        let row = u64::from(y) * grid / height.max(1);
        if let Some((sum, count)) = sums.get_mut((row * grid + column) as usize) {
            *sum += f32::from(pixel.0[0]) / 255.0;
            *count += 1.0;
        }
    }
    let share = |(sum, count): (f32, f32)| sum / count.max(1.0);
    sums.into_iter().map(share).collect()
}

fn invalid(what: String) -> TrainError {
    ModelError::Invalid { what }.into()
}

fn one_hot(at: usize, classes: usize) -> Vec<f32> {
    (0..classes).map(|k| f32::from(u8::from(k == at))).collect()
}

/// `[1, answers]` of the mean of the patches, or `[patches, answers]`.
fn answer_logits(
    weights: &Param<Tensor<2>>,
    patches: Tensor<3>,
    first: usize,
    answers: usize,
    each_patch: bool,
) -> Tensor<2> {
    let read = match each_patch {
        true => patches,
        false => patches.mean_dim(1), // [1, 1, hidden]
    };
    matmul_rows(read, weights.val().narrow(0, first, answers)).squeeze_dim(0)
}

/// Tower and probes as they validate.
pub struct Probed<'a> {
    /// Preprocessing and image decoder.
    pub model: &'a HealthGpt,
    /// On the plain device.
    pub learner: &'a Learner,
    /// Each with its plug-in's index.
    pub probes: &'a [(usize, Probe)],
}

impl Probed<'_> {
    fn read(&self, image: &RgbImage, task: RecordTask) -> Result<Option<Read<'_>>, TrainError> {
        let index = self.probes.iter().position(|(_, p)| p.task() == task);
        let found = index.and_then(|i| Some((self.probes.get(i)?, self.learner.probes.get(i)?)));
        let Some(((plugin, probe), weights)) = found else {
            return Ok(None);
        };
        let plugins: &[PlugIn] = &self.learner.plugins;
        let Some(plugin) = plugins.get(*plugin) else {
            return Ok(None);
        };
        let device: &Device = &self.model.device;
        let patches = self.learner.patches(self.model, plugin, image, device)?;
        Ok(Some((probe, weights, patches)))
    }
}

type Read<'a> = (&'a Probe, &'a Param<Tensor<2>>, Tensor<3>);

impl Reader for Probed<'_> {
    fn picture(
        &self,
        input: &RgbImage,
        task: RecordTask,
        _: &str,
    ) -> Result<Option<RgbImage>, TrainError> {
        let read = self.read(input, task)?;
        let Some(((_, weights, patches), (vqgan, _))) = read.zip(self.model.vqgan.as_ref()) else {
            return Ok(None);
        };
        let logits = matmul_rows(patches, weights.val());
        let expected = task.model_task();
        let expected =
            expected.and_then(|task| self.model.expected_code(task, &Sampling::default(), false));
        let codes = chosen(expected.as_ref(), logits);
        let latents = vqgan.latents(&codes, &self.model.device);
        Ok(Some(to_rgb(vqgan.decode(latents))))
    }

    fn answer(
        &self,
        images: &[RgbImage],
        task: RecordTask,
        asked: &str,
    ) -> Result<Option<String>, TrainError> {
        let Some(image) = images.first() else {
            return Ok(None);
        };
        let Some((Probe::Answers { questions, .. }, weights, patches)) = self.read(image, task)?
        else {
            return Ok(None);
        };
        let Some((first, answers)) = questions.get(asked) else {
            return Ok(None);
        };
        let logits = answer_logits(weights, patches, *first, answers.len(), false);
        let best = logits.argmax(1).into_data().iter::<u32>().next();
        Ok(best.and_then(|i| answers.get(i as usize)).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Message, Record, Speaker};

    #[test]
    fn a_quarter_of_the_patches_is_another_quarter_every_time_and_each_is_there_as_often() {
        let mut random = Random(1);
        let mut times = [0; 16];
        for _ in 0..4000 {
            let some = some_of(16, 0.25, &mut random);
            assert!(
                some.len() == 4 && some.is_sorted_by(|a, b| a < b),
                "{some:?}"
            );
            for patch in some {
                times[patch] += 1;
            }
        }
        assert!(
            times.iter().all(|times| (900..1100).contains(times)),
            "{times:?}"
        );
        assert_eq!(some_of(16, 1.0, &mut random), (0..16).collect::<Vec<_>>());
        assert_eq!(some_of(3, 0.01, &mut random).len(), 1);
    }

    #[test]
    fn an_outline_covers_the_patches_that_it_lies_on() {
        let mask = RgbImage::from_fn(8, 8, |x, y| {
            image::Rgb([if x >= 2 && y < 4 { 255 } else { 0 }; 3])
        });
        assert_eq!(covered(&mask, 4), [0.5, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_question_has_the_answers_of_its_file_in_rows_of_their_own() {
        let record = |asked: &str, answer: &str| Record {
            task: Some(RecordTask::Vqa),
            conversations: vec![
                Message {
                    from: Speaker::Human,
                    value: format!("<image>\n{asked}"),
                },
                Message {
                    from: Speaker::Gpt,
                    value: answer.to_owned(),
                },
            ],
            ..Record::default()
        };
        let records = Records {
            folder: std::path::PathBuf::new(),
            records: vec![
                record("Plane?", "sagittal"),
                record("CT?", "yes"),
                record("Plane?", "axial"),
                record("CT?", "no"),
                record("Plane?", "axial"),
            ],
            ..Records::default()
        };
        let Probe::Answers {
            questions, outline, ..
        } = Probe::new(&records).unwrap()
        else {
            panic!("it answers");
        };
        assert_eq!(outline, None);
        let answers = |words: [&str; 2]| words.map(str::to_owned).to_vec();
        assert_eq!(questions["CT?"], (0, answers(["no", "yes"])));
        assert_eq!(questions["Plane?"], (2, answers(["axial", "sagittal"])));
    }
}
