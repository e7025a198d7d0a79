//! The `workbench` program: a window, or one command without it.

use std::ffi::OsString;
use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;
use workbench::cli::{self, Outcome, Streams};
use workbench::run_window;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    log_to_stderr(cli::verbosity(&words));
    run(&words).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(words: &[OsString]) -> Result<ExitCode> {
    let streams = Streams {
        out: &mut stdout(),
        err: &mut stderr(),
        terminal: stderr().is_terminal(),
    };
    match cli::run(words, streams) {
        Outcome::Exit(code) => Ok(ExitCode::from(code)),
        Outcome::Window(start) => {
            run_window(start).context(
                "the window ended with an error; the commands of `workbench --help` need none",
            )?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Libraries that read scans are silent at every level: their messages can hold what the files say of a patient.
fn log_to_stderr(verbosity: u8) {
    let levels = match verbosity {
        0 => "error",
        1 => "warn,engine=info,workbench=info",
        _ => "info,engine=debug,workbench=debug",
    };
    let filter = EnvFilter::new(format!(
        "{levels},dicom_core=off,dicom_object=off,dicom_parser=off,dicom_pixeldata=off,dicom_encoding=off"
    ));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .init();
}
