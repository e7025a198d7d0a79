//! Records to what the model is trained on: a prompt with pictures, and the response whose tokens make the loss.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;

use super::augment::Motion;
use super::error::TrainError;
use crate::dataset::{Record, Records, Speaker};
use crate::model::HealthGpt;
use crate::model::preprocess::vqgan_pixels;
use crate::model::prompt::{PromptPiece, pieces};
use crate::model::random::Random;

/// A sequence to learn: prompt, response as the model sees it, response as it should continue.
#[derive(Clone, Debug)]
pub struct Example {
    /// The prompt's ids with places for the picture.
    pub prompt: Vec<PromptPiece>,
    /// The picture.
    pub image: Option<RgbImage>,
    /// Ids of the response that are given, one less than `targets`: the first follows from the prompt.
    pub given: Vec<u32>,
    /// Ids of the response, its end included.
    pub targets: Vec<u32>,
}

/// How a record becomes an example.
#[derive(Clone, Copy, Debug, Default)]
pub struct Preparation {
    /// Smallest and largest share of codes replaced by random ones in what is given.
    pub corruption: [f64; 2],
    /// Move, turn, mirror and zoom?
    pub augment: bool,
}

/// Makes an example of a record. Records with several turns train on the last answer, with the earlier ones given.
///
/// # Errors
/// A picture that cannot be read, a task without an image decoder, or codes that are none of the model's.
pub fn example(
    model: &HealthGpt,
    records: &Records,
    record: &Record,
    how: Preparation,
    random: &mut Random,
) -> Result<Example, TrainError> {
    let refused = |what: &str| TrainError::Record {
        what: what.to_owned(),
        path: records
            .folder
            .join(record.image.as_deref().unwrap_or(Path::new(""))),
    };
    let open = |path: &Path| -> Result<RgbImage, TrainError> {
        let path = records.path(path);
        image::open(&path)
            .map(|image| image.to_rgb8())
            .map_err(|error| TrainError::Record {
                what: format!("the picture cannot be read: {error}"),
                path,
            })
    };
    let generates = record.task.is_some_and(|task| task.generates());
    let motion = match (how.augment, generates) {
        (false, _) => Motion::NONE,
        (true, true) => Motion::any(random),
        (true, false) => Motion::small(random),
    };
    let image = record.image.as_deref().map(open).transpose()?;
    let image = image.map(|image| motion.apply(&image));

    let mut turns: Vec<(&str, &str)> = Vec::new();
    let mut question: Option<&str> = None;
    for message in &record.conversations {
        match (message.from, question.take()) {
            (Speaker::Human, _) => question = Some(&message.value),
            (Speaker::Gpt, Some(asked)) => turns.push((asked, &message.value)),
            (Speaker::Gpt, None) => return Err(refused("an answer has no question")),
        }
    }
    // A record for a picture may end with its question: the answer is the target's codes.
    if let Some(asked) = question {
        turns.push((asked, ""));
    }
    let Some(((asked, answer), history)) = turns.split_last() else {
        return Err(refused("it has no question and answer"));
    };
    let plain = |text: &str| text.replace("<image>\n", "").replace("<image>", "");
    let history: Vec<(String, &str)> = history.iter().map(|(q, a)| (plain(q), *a)).collect();
    let history: Vec<(&str, &str)> = history.iter().map(|(q, a)| (q.as_str(), *a)).collect();
    let template = model.layout.manifest.template;
    let text = template.text(
        &history,
        &plain(asked),
        usize::from(image.is_some()),
        generates,
    );
    let prompt = pieces(&model.tokenizer, &text);

    let targets = if generates {
        let codes = match &record.target_image {
            Some(path) => encode(model, &motion.apply(&open(path)?))
                .ok_or_else(|| refused("the model has no image decoder"))?,
            None => written_codes(answer).ok_or_else(|| refused("the answer holds no codes"))?,
        };
        image_response(model, &codes).ok_or_else(|| refused("a code is none of the model's"))?
    } else {
        text_response(model, &text, answer)
    };
    let mut given: Vec<u32> = targets
        .split_last()
        .map(|(_, given)| given.to_vec())
        .unwrap_or_default();
    let [least, most] = how.corruption;
    if generates && most > 0.0 {
        let share = least + random.uniform() * (most - least);
        let first = model.tokenizer.start_index().unwrap_or_default() + 1;
        let codes = (model.tokenizer.end_index().unwrap_or_default() - first) as usize;
        for id in &mut given {
            if model.tokenizer.code_of(*id).is_some() && random.uniform() < share {
                *id = first + random.below(codes) as u32;
            }
        }
    }
    Ok(Example {
        prompt,
        image,
        given,
        targets,
    })
}

/// The VQ codes of a picture, row by row.
pub fn encode(model: &HealthGpt, image: &RgbImage) -> Option<Vec<u32>> {
    let (vqgan, config) = model.vqgan.as_ref()?;
    let side = config.resolution;
    let pixels = TensorData::new(vqgan_pixels(image, side), [1, 3, side, side]);
    let device: &Device = &model.device;
    Some(vqgan.encode(Tensor::from_data(pixels, device)))
}

/// `<idx_5><idx_0>...` to numbers.
fn written_codes(answer: &str) -> Option<Vec<u32>> {
    let codes: Vec<u32> = answer
        .split("<idx_")
        .skip(1)
        .map(|rest| rest.split('>').next().and_then(|code| code.parse().ok()))
        .collect::<Option<_>>()?;
    (!codes.is_empty()).then_some(codes)
}

/// Codes, `<end_index>`, and what ends an answer.
fn image_response(model: &HealthGpt, codes: &[u32]) -> Option<Vec<u32>> {
    let (start, end) = (model.tokenizer.start_index()?, model.tokenizer.end_index()?);
    let mut ids: Vec<u32> = codes.iter().map(|code| start + 1 + code).collect();
    if ids.iter().any(|id| *id >= end) {
        return None;
    }
    ids.push(end);
    Some(ids)
}

/// The ids that follow the prompt's when the answer and its end stand in the text.
fn text_response(model: &HealthGpt, prompt: &str, answer: &str) -> Vec<u32> {
    let end = model.layout.manifest.template.end();
    let last = |text: &str| {
        let chunk = text.rsplit("<image>").next().unwrap_or_default().to_owned();
        model.tokenizer.encode(&chunk)
    };
    let before = last(prompt).len();
    let whole = last(&format!("{prompt}{answer}{end}"));
    whole.get(before..).unwrap_or_default().to_vec()
}
