//! A picture of the real window: this program runs once more with a plan, on the display there is or on a private one.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use engine::{DeviceChoice, Task};

use super::failure::Failure;

/// What the window does before its picture is taken.
#[derive(Clone, Debug)]
pub struct Shot {
    /// What to open.
    pub study: PathBuf,
    /// Model to load.
    pub model: PathBuf,
    /// Where it runs.
    pub device: DeviceChoice,
    /// Questions to ask.
    pub questions: Vec<String>,
    /// Image to make.
    pub task: Option<Task>,
    /// File to write.
    pub out: PathBuf,
    /// Give up after so long.
    pub timeout_secs: u64,
}

/// Takes the picture.
///
/// # Errors
/// There is neither a display nor Xvfb, or the window did not get as far.
pub fn take(shot: &Shot) -> Result<(), Failure> {
    let display = private_display()?;
    let program = std::env::current_exe()
        .map_err(|error| failed(&format!("the program cannot find itself: {error}")))?;
    let mut command = Command::new(program);
    let _ = command
        .arg("screenshot")
        .arg(&shot.study)
        .arg("--model")
        .arg(&shot.model)
        .args(["--device", &name_of(shot.device)])
        .arg("--out")
        .arg(&shot.out)
        .args(["--timeout-secs", &shot.timeout_secs.to_string()]);
    for question in &shot.questions {
        let _ = command.arg("--question").arg(question);
    }
    if let Some(task) = shot.task {
        let _ = command.args(["--task", task.name()]);
    }
    if let Some(display) = &display {
        let _ = command
            .env("DISPLAY", &display.name)
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("WAYLAND_SOCKET");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&format!("the window cannot be started: {error}")))?;
    let said = child.stderr.take().map(|mut pipe| {
        thread::spawn(move || {
            let mut said = Vec::new();
            // What could be read is shown; there is nothing to do about the rest.
            let _ = pipe.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        })
    });
    // The window gives up by itself; this is for one that hangs.
    let ended = wait(&mut child, Duration::from_secs(shot.timeout_secs + 30));
    let said = said
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default();
    match ended {
        Some(true) if shot.out.is_file() => Ok(()),
        Some(_) => Err(failed(
            said.trim()
                .lines()
                .last()
                .unwrap_or("the window closed early"),
        )),
        None => Err(failed("the window did not answer in time")),
    }
}

fn failed(why: &str) -> Failure {
    Failure::work(
        "screenshot",
        format!("no picture of the window could be taken ({why})"),
    )
}

fn name_of(device: DeviceChoice) -> String {
    match device {
        DeviceChoice::Auto => "auto".to_owned(),
        DeviceChoice::Cpu => "cpu".to_owned(),
        DeviceChoice::Gpu => "gpu".to_owned(),
        DeviceChoice::Adapter(place) => (u32::from(place) + 1).to_string(),
    }
}

/// Did the process end well? `None` when it had to be ended.
fn wait(child: &mut Child, limit: Duration) -> Option<bool> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if started.elapsed() < limit => thread::sleep(Duration::from_millis(100)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// A display of our own, which ends with this value.
struct PrivateDisplay {
    server: Child,
    name: String,
}

impl Drop for PrivateDisplay {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Starts a display where there is none.
fn private_display() -> Result<Option<PrivateDisplay>, Failure> {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !cfg!(target_os = "linux") || set("DISPLAY") || set("WAYLAND_DISPLAY") {
        return Ok(None);
    }
    let mut server = Command::new("Xvfb")
        .args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "1680x1050x24",
            "-nolisten",
            "tcp",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|_| {
            failed(
                "there is no display and no Xvfb; run packaging/setup.sh, or use --no-screenshot",
            )
        })?;
    let number = server.stdout.take().and_then(|pipe| {
        let (sender, receiver) = channel();
        let _reader = thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(pipe).read_line(&mut line);
            // Nobody waits any more if this fails.
            let _ = sender.send(read.map(|_| line));
        });
        receiver.recv_timeout(Duration::from_secs(20)).ok()?.ok()
    });
    let number: Option<u32> = number.and_then(|line| line.trim().parse().ok());
    let name = number
        .map(|number| format!(":{number}"))
        .unwrap_or_default();
    let display = PrivateDisplay { server, name };
    if number.is_some() {
        Ok(Some(display))
    } else {
        Err(failed("Xvfb did not start"))
    }
}
