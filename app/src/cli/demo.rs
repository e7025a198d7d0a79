//! `workbench demo`: the sample study through everything, and what comes out as files to look at.

use std::fs;

use engine::imaging::write_png;
use engine::model::{Drafting, Sampling};
use engine::session::{GenerateRequest, ModelInfo};
use engine::{DeviceInfo, Task};
use serde_json::{Value, json};

use super::args::{DemoArgs, Global, ViewArgs};
use super::ask::{Exchange, Limits, converse};
use super::console::{Console, NOTICE, UNTRAINED};
use super::failure::Failure;
use super::headless::Headless;
use super::screenshot::{Shot, take};
use super::{assets, study};

/// Answers are short: this shows that everything runs, not what a model can say.
const MAX_NEW_TOKENS: usize = 128;
/// The window loads, asks and converts again; a slow machine takes its time.
const WINDOW_TIMEOUT_SECS: u64 = 240;
/// The picture of the window.
const WINDOW_FILE: &str = "window.png";

/// Writes `answers.json`, `answers.md`, `input.png`, `generated.png` with its history, and `window.png`.
///
/// # Errors
/// A step fails; what came before it is written.
pub fn run(args: &DemoArgs, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
    let questions = questions()?;
    let study_dir = assets::sample_study()?;
    let model_dir = match &global.model {
        Some(dir) => dir.clone(),
        None => assets::model()?,
    };
    fs::create_dir_all(&args.out)?;

    let mut engine = Headless::start(global.device)?;
    let loading = engine.begin_model(model_dir.clone());
    let picture = study::open_one(
        &mut engine,
        std::slice::from_ref(&study_dir),
        &ViewArgs::default(),
        console,
    )?;
    write_png(&args.out.join("input.png"), &picture.pixels()?, &[])?;
    let model = engine.model(loading, console)?;
    console.say_worth(&model)?;

    let limits = Limits {
        sampling: Sampling::default(),
        max_new_tokens: MAX_NEW_TOKENS,
    };
    let mut exchanges = Vec::new();
    let sources = [picture.source.clone()];
    for question in &questions {
        console.print(&format!("> {question}\n"))?;
        let question = std::slice::from_ref(question);
        converse(
            &mut engine,
            &sources,
            question,
            &limits,
            &mut exchanges,
            console,
        )?;
    }

    let task = [Task::Ct2Mri, Task::Reconstruct]
        .into_iter()
        .find(|task| model.capability(*task).is_ok());
    let mut generated = Value::Null;
    let mut image_secs = None;
    if let Some(task) = task {
        let request = GenerateRequest {
            source: picture.source.clone(),
            task,
            instruction: None,
            sampling: Sampling::default(),
            faithful: false,
            draft: Drafting::Auto,
        };
        let image = engine.generate(request, console)?;
        let side_car = image.save_png(&args.out.join("generated.png"))?;
        image_secs = Some(image.provenance.elapsed_secs);
        generated = json!({
            "task": task,
            "file": "generated.png",
            "side_car": side_car.file_name().map(|name| name.to_string_lossy()),
            "looks_like_a_copy": image.looks_like_a_copy(),
            "provenance": image.provenance,
        });
    } else {
        console.say("the model has no plug-in that makes images, so none is made");
    }

    let first_token_secs = exchanges
        .first()
        .map(|exchange| exchange.answer.first_token_secs);
    let report = json!({
        "notice": NOTICE,
        "untrained_test_model": !model.trained,
        "model": *model,
        "device": engine.device(),
        "input": picture.evidence()?,
        "answers": exchanges.iter().map(Exchange::to_json).collect::<Vec<_>>(),
        "generated": generated,
        "load_secs": model.load_secs,
        "first_token_secs": first_token_secs,
        "image_secs": image_secs,
        "window": (!args.no_screenshot).then_some(WINDOW_FILE),
    });
    fs::write(args.out.join("answers.json"), format!("{report:#}\n"))?;
    let text = markdown(&model, engine.device(), &exchanges, task);
    fs::write(args.out.join("answers.md"), text)?;

    console.print(&format!(
        "model loaded in {:.2} s, first token after {}, image after {}\n",
        model.load_secs,
        seconds(first_token_secs),
        seconds(image_secs),
    ))?;
    if !args.no_screenshot {
        // The window has an engine of its own; two models need not fit.
        drop(engine);
        take(&Shot {
            study: study_dir,
            model: model_dir,
            device: global.device,
            questions,
            task,
            out: args.out.join(WINDOW_FILE),
            timeout_secs: WINDOW_TIMEOUT_SECS,
        })?;
    }
    let mut written = vec!["answers.json", "answers.md", "input.png"];
    if task.is_some() {
        written.extend(["generated.png", "generated.png.json"]);
    }
    if !args.no_screenshot {
        written.push(WINDOW_FILE);
    }
    console.print(&format!(
        "{} in {}\n",
        written.join(", "),
        args.out.display()
    ))?;
    console.print_json(&report)
}

/// The questions of `assets/prompts.toml`.
fn questions() -> Result<Vec<String>, Failure> {
    let prompts: toml::Table = include_str!("../../../assets/prompts.toml")
        .parse()
        .map_err(|error| engine::Error::Internal(format!("assets/prompts.toml: {error}")))?;
    let questions = prompts.get("demo").and_then(toml::Value::as_array);
    Ok(questions
        .into_iter()
        .flatten()
        .filter_map(|question| question.as_str().map(str::to_owned))
        .collect())
}

fn seconds(secs: Option<f64>) -> String {
    secs.map_or_else(|| "none".to_owned(), |secs| format!("{secs:.2} s"))
}

fn markdown(
    model: &ModelInfo,
    device: Option<&DeviceInfo>,
    exchanges: &[Exchange],
    task: Option<Task>,
) -> String {
    let mut text = format!("# What {} made of the sample study\n\n", model.name);
    if !model.trained {
        text.push_str(&format!(
            "**This is an {UNTRAINED}**: its weights are random, and what it makes means nothing.\n\n"
        ));
    }
    if let Some(caution) = &model.caution {
        text.push_str(&format!("**{caution}.**\n\n"));
    }
    text.push_str(&format!("For {NOTICE}.\n\n"));
    text.push_str("![The slice that the model was given](input.png)\n");
    for exchange in exchanges {
        text.push_str(&format!(
            "\n## {}\n\n{}\n\n{} tokens, the first after {:.2} s.\n",
            exchange.question,
            exchange.answer.text.trim(),
            exchange.answer.ids.len(),
            exchange.answer.first_token_secs,
        ));
    }
    if let Some(task) = task {
        text.push_str(&format!(
            "\n## {}\n\n![Synthetic, not for diagnosis](generated.png)\n\nIts history is in generated.png.json.\n",
            task.label()
        ));
    }
    if let Some(device) = device {
        text.push_str(&format!("\nRun on {}: {}.\n", device.name, device.reason));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_three_questions() {
        assert_eq!(questions().map(|questions| questions.len()), Ok(3));
    }
}
