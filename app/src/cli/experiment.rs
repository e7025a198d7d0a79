//! `workbench experiment`: one training configuration in variants that differ in one thing, as a table.

use std::fs;
use std::ops::ControlFlow;

use engine::Error;
use engine::device::choose;
use engine::training::experiment::{Experiment, Outcome, run as run_experiment};
use engine::training::stage::StageConfig;
use serde_json::json;

use super::args::{ExperimentArgs, Global};
use super::console::Console;
use super::failure::Failure;
use super::worker;

/// Trains every variant and prints the table.
///
/// # Errors
/// An unknown experiment, or what training reports; every variant keeps its last checkpoint.
pub fn run(
    args: &ExperimentArgs,
    global: &Global,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let experiment: Experiment = args
        .name
        .parse()
        .map_err(|why: String| Failure::usage(&why))?;
    let config = StageConfig::open(&args.config).map_err(Error::from)?;
    let out = args.out.join(experiment.name());
    fs::create_dir_all(&out)?;
    let (choice, folder) = (global.device, out.clone());
    let outcome = worker::run("timing the variants", console, move |reporter| {
        let (device, _) = choose(choice).map_err(Error::NoAdapter)?;
        let outcome = run_experiment(
            experiment,
            &config,
            &folder,
            &device,
            &mut |name, done, of| {
                reporter.report(&format!("{name}, step"), done as usize, of as usize);
                ControlFlow::Continue(())
            },
        );
        Ok(outcome.map_err(Error::from)?)
    })?;
    let text = table(&outcome);
    fs::write(out.join("result.md"), &text)?;
    let value = json!(outcome);
    fs::write(out.join("result.json"), format!("{value:#}\n"))?;
    console.print(&text)?;
    console.print_json(&value)
}

/// Markdown: a row a variant, times relative to the first.
fn table(outcome: &Outcome) -> String {
    let mut names: Vec<&String> = outcome
        .results
        .iter()
        .flat_map(|row| row.scores.keys())
        .collect();
    names.sort();
    names.dedup();
    let mut text = format!(
        "{} steps, seed {}\n\n| variant | trained weights | time of a step | loss |",
        outcome.steps, outcome.seed
    );
    let first = outcome.results.first().map_or(1.0, |row| row.step_secs);
    for name in &names {
        text.push_str(&format!(" {name} |"));
    }
    text.push_str("\n|---|---|---|---|");
    text.push_str(&"---|".repeat(names.len()));
    for row in &outcome.results {
        text.push_str(&format!(
            "\n| {} | {} | {:.3} s ({:.2}x) | {:.4} |",
            row.variant,
            row.trained_weights,
            row.step_secs,
            row.step_secs / first,
            row.loss
        ));
        for name in &names {
            match row.scores.get(*name) {
                Some(score) => text.push_str(&format!(" {score:.2} |")),
                None => text.push_str(" – |"),
            }
        }
    }
    text.push('\n');
    text
}
