//! The `workbench` program: a window, or one command without it.

use std::ffi::OsString;
use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tracing_subscriber::EnvFilter;
use workbench::cli::{self, Outcome, Streams};
use workbench::run_window;
use workbench::store::Store;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    log_to_stderr(cli::verbosity(&words));
    // Without such a folder pipelines are compiled at every start.
    if let Some(Ok(folder)) = Store::of_user().map(|store| store.pipelines()) {
        engine::gpu::kept::keep_pipelines_in(folder);
    }
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
            if !display() {
                bail!(
                    "there is no display for the window (neither DISPLAY nor WAYLAND_DISPLAY is set); \
                     `workbench --help` lists what works without one"
                );
            }
            run_window(start).context("the window ended with an error")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Is there something to draw a window on? Other systems than Linux always have it.
fn display() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux")
        || ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"]
            .iter()
            .any(|name| set(name))
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
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        .init();
}
