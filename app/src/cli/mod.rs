//! The engine without a window: arguments to commands, events to text or JSON.
//!
//! [`run`] is the whole program but for opening the window, so that tests can run it in process. Results go to
//! standard output, everything else to standard error. Exit codes: 0 done, 1 the work failed, 2 misuse.

mod args;
mod ask;
mod assets;
mod bench;
mod bench_peer;
mod bench_slab;
mod bench_viewer;
mod console;
mod convert;
mod dataset;
mod demo;
mod devices;
mod eval;
mod eval_quant;
mod experiment;
mod failure;
mod gallery;
mod generate;
mod headless;
mod inspect;
mod phantom;
mod random_model;
mod render;
mod screenshot;
mod study;
mod train;
mod verify;
mod worker;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::Parser;
use clap::error::ErrorKind;
use engine::DeviceChoice;

use crate::{ScreenshotPlan, WindowStart};
use args::{BenchCommand, Cli, Command, Global};
use console::Console;
use failure::Failure;

/// What is left to do after [`run`].
#[derive(Debug)]
pub enum Outcome {
    /// Nothing: leave with this exit code.
    Exit(u8),
    /// Open the window.
    Window(WindowStart),
}

/// Where and how a command writes.
pub struct Streams<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Everything else.
    pub err: &'a mut dyn Write,
    /// Standard error is a terminal: progress bars are drawn.
    pub terminal: bool,
}

/// How much to log: 0 unless the arguments say more. Arguments that make no sense log nothing.
pub fn verbosity(words: &[OsString]) -> u8 {
    Cli::try_parse_from(words).map_or(0, |cli| cli.global.verbose)
}

/// Runs the program with these words, the first being its name.
pub fn run(words: &[OsString], streams: Streams<'_>) -> Outcome {
    let Streams { out, err, terminal } = streams;
    let json = words.iter().any(|word| word == "--json");
    let mut console = Console::new(out, err, json, terminal);
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return Outcome::Exit(misuse(&error, &mut console)),
    };
    let outcome = match cli.command {
        Some(_) if !cli.paths.is_empty() => Err(Failure::usage(
            "the command comes before the files; to open a folder named like a command, write ./NAME",
        )),
        Some(command) => perform(&command, &cli.global, &mut console),
        None => window(cli.paths, &cli.global, None).map(Outcome::Window),
    };
    outcome.unwrap_or_else(|failure| {
        console.fail(&failure);
        Outcome::Exit(failure.exit)
    })
}

fn perform(
    command: &Command,
    global: &Global,
    console: &mut Console<'_>,
) -> Result<Outcome, Failure> {
    match command {
        Command::Ask(args) => ask::run(args, global, console)?,
        Command::Generate(args) => generate::run(args, global, console)?,
        Command::Render(args) => render::run(args, console)?,
        Command::Inspect(args) => inspect::run(args, console)?,
        Command::Verify(args) => {
            if !verify::run(args, global, console)? {
                return Ok(Outcome::Exit(failure::FAILED));
            }
        }
        Command::Convert(args) => convert::run(args, console)?,
        Command::Dataset(args) => dataset::run(args, global, console)?,
        Command::Eval(args) => eval::run(args, global, console)?,
        Command::RandomModel(args) => random_model::run(args, console)?,
        Command::EvalQuant(args) => eval_quant::run(args, global, console)?,
        Command::Train(args) => train::run(args, global, console)?,
        Command::Experiment(args) => experiment::run(args, global, console)?,
        Command::Devices => devices::run(console)?,
        Command::Demo(args) => demo::run(args, global, console)?,
        Command::Bench(args) => match &args.what {
            None => bench::run(args, global, console)?,
            Some(BenchCommand::Viewer(args)) => bench_viewer::run(args, console)?,
        },
        Command::Gallery(args) => gallery::run(args, console)?,
        Command::Screenshot(args) => {
            let plan = ScreenshotPlan {
                questions: args.questions.clone(),
                task: args.task,
                lose_gpu: args.lose_gpu,
                out: args.out.clone(),
                timeout_secs: args.timeout_secs,
            };
            return window(args.studies.clone(), global, Some(plan)).map(Outcome::Window);
        }
    }
    Ok(Outcome::Exit(0))
}

/// The window on these files with the model asked for; on the sample study and the bundled model where nothing is.
fn window(
    paths: Vec<PathBuf>,
    global: &Global,
    plan: Option<ScreenshotPlan>,
) -> Result<WindowStart, Failure> {
    Ok(WindowStart {
        device: global.device,
        sample: if paths.is_empty() {
            vec![assets::sample_study()?]
        } else {
            Vec::new()
        },
        studies: paths,
        // Another window would not know of these.
        shared: global.model.is_none() && global.device == DeviceChoice::Auto,
        model: Some(match &global.model {
            Some(dir) => dir.clone(),
            None => assets::model()?,
        }),
        plan,
    })
}

/// Help and version are no errors; the rest is said as JSON where that was asked for.
fn misuse(error: &clap::Error, console: &mut Console<'_>) -> u8 {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            console.json = false;
            match console.print(&text) {
                Ok(()) => 0,
                Err(failure) => failure.exit,
            }
        }
        _ if console.json => {
            let message = text.trim_start_matches("error: ").trim_end();
            console.fail(&Failure::usage(message));
            failure::USAGE
        }
        _ => {
            console.say(text.trim_end());
            failure::USAGE
        }
    }
}
