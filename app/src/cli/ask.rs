//! `workbench ask`: a question about slices or pictures, then follow-up questions in the same conversation.

use std::path::PathBuf;

use engine::model::{Answer, AnswerEnd, Sampling};
use engine::session::{AskRequest, Source, Turn};
use serde_json::{Value, json};

use super::args::{AskArgs, Global};
use super::console::{Console, NOTICE};
use super::failure::Failure;
use super::headless::Headless;
use super::{assets, study};

/// Answers the questions in order. The text streams to standard output.
///
/// # Errors
/// The study, the model or a question cannot be used; earlier answers have been printed then.
pub fn run(args: &AskArgs, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
    let (studies, question) = split(args)?;
    let mut engine = Headless::start(global.device)?;
    let model = engine.begin_model(match &global.model {
        Some(dir) => dir.clone(),
        None => assets::model()?,
    });
    let pictures = if studies.is_empty() {
        Vec::new()
    } else {
        study::open(&mut engine, &studies, &args.view, console)?
    };
    let model = engine.model(model, console)?;
    if pictures.len() > 1 {
        console.say(
            "HealthGPT was not trained on several images at once; take the answer with more care",
        );
    }
    console.say_worth(&model)?;

    let sources: Vec<_> = pictures
        .iter()
        .map(|picture| picture.source.clone())
        .collect();
    let questions: Vec<String> = std::iter::once(question)
        .chain(args.follow_ups.iter().cloned())
        .collect();
    let limits = Limits {
        sampling: args.sampling.sampling(),
        max_new_tokens: args.max_new_tokens as usize,
    };
    let mut answers = Vec::new();
    converse(
        &mut engine,
        &sources,
        &questions,
        &limits,
        &mut answers,
        console,
    )?;
    let images = pictures
        .iter()
        .map(study::Picture::evidence)
        .collect::<Result<Vec<_>, _>>()?;
    console.print_json(&json!({
        "answer": answers.last().map(|exchange| &exchange.answer.text),
        "answers": answers.iter().map(Exchange::to_json).collect::<Vec<_>>(),
        "images": images,
        "sampling": limits.sampling,
        "model": *model,
        "untrained_test_model": !model.trained,
        "device": engine.device(),
        "notice": NOTICE,
    }))
}

/// A question and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What was asked.
    pub question: String,
    /// What came out.
    pub answer: Answer,
}

impl Exchange {
    /// The answer's fields and the question.
    pub fn to_json(&self) -> Value {
        let mut value = json!(self.answer);
        value["question"] = json!(self.question);
        value
    }
}

/// How answers are decoded.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// An answer is cut after so many tokens.
    pub max_new_tokens: usize,
}

/// Asks the questions one after the other, each with those before it as history, and streams the answers.
///
/// # Errors
/// A question cannot be answered; `exchanges` holds those before it.
pub fn converse(
    engine: &mut Headless,
    sources: &[Source],
    questions: &[String],
    limits: &Limits,
    exchanges: &mut Vec<Exchange>,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    for question in questions {
        let history = exchanges
            .iter()
            .map(|exchange| Turn {
                question: exchange.question.clone(),
                answer: exchange.answer.text.clone(),
            })
            .collect();
        let request = AskRequest {
            sources: sources.to_vec(),
            history,
            question: question.clone(),
            sampling: limits.sampling.clone(),
            max_new_tokens: limits.max_new_tokens,
        };
        let answer = engine.ask(request, console)?;
        console.print("\n")?;
        let end = match answer.end {
            AnswerEnd::Complete => "",
            AnswerEnd::Limit => "; cut at the token limit",
            AnswerEnd::Stopped => "; stopped",
        };
        console.say(&format!(
            "{} tokens after a prompt of {}; first after {:.2} s, then {:.1} per second{end}",
            answer.ids.len(),
            answer.prompt_tokens,
            answer.first_token_secs,
            answer.tokens_per_sec,
        ));
        exchanges.push(Exchange {
            question: question.clone(),
            answer,
        });
    }
    Ok(())
}

/// The last word is the question, those before it are the study.
fn split(args: &AskArgs) -> Result<(Vec<PathBuf>, String), Failure> {
    let Some((question, studies)) = args.words.split_last() else {
        return Err(Failure::usage("the question is missing"));
    };
    let question = question
        .to_str()
        .ok_or_else(|| Failure::usage("the question is not valid UTF-8"))?;
    match (args.text_only, studies.is_empty()) {
        (true, false) => Err(Failure::usage(
            "--text-only takes a question and no study; put the question in quotes",
        )),
        (false, true) => Err(Failure::usage(
            "give a study and then a question in quotes, or --text-only and a question",
        )),
        _ => Ok((
            studies.iter().map(PathBuf::from).collect(),
            question.to_owned(),
        )),
    }
}
