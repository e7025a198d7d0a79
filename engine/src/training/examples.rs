//! Records to what the model is trained on: a prompt with pictures, and the response whose tokens make the loss.

use std::path::Path;

use image::RgbImage;

use super::augment::{Motion, toned};
use super::error::TrainError;
use crate::dataset::{Record, RecordTask, Records, Speaker};
use crate::model::HealthGpt;
use crate::model::prompt::{PromptPiece, pieces};
use crate::model::random::Random;
use crate::task::Task;

/// A sequence to learn: prompt, response as the model sees it, response as it should continue.
#[derive(Clone, Debug)]
pub struct Example {
    /// What the model is asked to do, where it is something that a user can ask for.
    pub task: Option<Task>,
    /// The prompt's ids with places for the picture.
    pub prompt: Vec<PromptPiece>,
    /// The picture.
    pub image: Option<RgbImage>,
    /// The picture that the response's codes are of, where the record has it.
    pub target: Option<RgbImage>,
    /// The lesion's outline, where it is asked for and the record has it.
    pub lesion_mask: Option<RgbImage>,
    /// Ids of the response that are given, one less than `targets`: the first follows from the prompt.
    pub given: Vec<u32>,
    /// Ids of the response, its end included; in a conversation, of everything from the first answer to the end of the last.
    pub targets: Vec<u32>,
    /// Which of them make the loss: those of answers.
    pub counted: Vec<bool>,
}

/// How a record becomes an example.
#[derive(Clone, Copy, Debug, Default)]
pub struct Preparation {
    /// Smallest and largest share of codes replaced by random ones in what is given.
    pub corruption: [f64; 2],
    /// Move pictures, and how far?
    pub augment: Augment,
    /// How much brighter or darker a picture that is asked about becomes ([`toned`]).
    pub tone_jitter: f64,
    /// Read the lesion's outline?
    pub masks: bool,
}

/// How pictures are moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Augment {
    /// Not at all.
    #[default]
    Off,
    /// So little that answers about places and sizes stay true.
    Small,
    /// Turned, mirrored and zoomed as well.
    Any,
}

/// Makes an example of a record. Records with several turns train on all answers; before a picture, turns are given.
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
    let motion = match how.augment {
        Augment::Off => Motion::NONE,
        Augment::Small => Motion::small(random),
        Augment::Any if record.sided => Motion::any(random).unmirrored(),
        Augment::Any => Motion::any(random),
    };
    let image = record.image.as_deref().map(open).transpose()?;
    let image = image.map(|image| motion.apply(&image));
    let image = match how.tone_jitter > 0.0 && !generates {
        true => image.map(|image| toned(&image, how.tone_jitter, random)),
        false => image,
    };
    let mask = record.lesion_mask.as_deref().filter(|_| how.masks);
    let mask = mask.map(|path| Ok::<_, TrainError>(motion.apply(&open(path)?)));

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
    let target = record.target_image.as_deref().filter(|_| generates);
    let target = target.map(|path| Ok::<_, TrainError>(motion.apply(&open(path)?)));
    let target = target.transpose()?;
    let (prompt, targets, counted) = if generates {
        let codes = match &target {
            Some(target) => {
                let codes = model.image_codes(target)?;
                codes.ok_or_else(|| refused("the model has no image decoder"))?
            }
            None => written_codes(answer).ok_or_else(|| refused("the answer holds no codes"))?,
        };
        let template = model.layout.manifest.template;
        let text = template.text(&history, &plain(asked), usize::from(image.is_some()), true);
        let response = image_response(model, &codes);
        let response = response.ok_or_else(|| refused("a code is none of the model's"))?;
        let counted = vec![true; response.len()];
        (pieces(&model.tokenizer, &text), response, counted)
    } else {
        let asked = plain(asked);
        let last = (asked.as_str(), *answer);
        let turns: Vec<(&str, &str)> = history.iter().copied().chain([last]).collect();
        conversation(model, &turns, image.is_some())
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
        task: record.task.and_then(RecordTask::model_task),
        prompt,
        image,
        target,
        lesion_mask: mask.transpose()?,
        given,
        targets,
        counted,
    })
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

/// The prompt up to the first answer, all ids from there to the end of the last, and which of those are answers (their ends
/// included). The picture, if any, belongs to the first question.
fn conversation(
    model: &HealthGpt,
    turns: &[(&str, &str)],
    picture: bool,
) -> (Vec<PromptPiece>, Vec<u32>, Vec<bool>) {
    let template = model.layout.manifest.template;
    let end = template.end();
    // Ids after the picture: everything that the model says lies there.
    let ids = |text: &str| {
        let chunk = text.rsplit("<image>").next().unwrap_or_default();
        model.tokenizer.encode(chunk)
    };
    let (mut prompt, mut first) = (Vec::new(), 0);
    let (mut all, mut counted) = (Vec::new(), Vec::new());
    for (turn, (asked, answer)) in turns.iter().enumerate() {
        let history = turns.get(..turn).unwrap_or_default();
        let text = template.text(history, asked, usize::from(picture), false);
        let before = ids(&text).len();
        if turn == 0 {
            prompt = pieces(&model.tokenizer, &text);
            first = before;
        }
        all = ids(&format!("{text}{answer}{end}"));
        counted.resize(before - first, false);
        counted.resize(all.len() - first, true);
    }
    let response = all.get(first..).unwrap_or_default().to_vec();
    (prompt, response, counted)
}
