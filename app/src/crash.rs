//! A report of a fault in a file of this user: version, system, adapter, place in the program, and the calls that led
//! there. No path of a study, nothing of a patient, and nothing leaves the computer.

use std::backtrace::Backtrace;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::store::replace;

/// Reports that are kept; the oldest goes first.
const MOST_REPORTS: usize = 20;

/// How the name of a report begins until the user was told of it.
const NEW: &str = "new-";

/// Messages of the standard library and of wgpu that name numbers and resources, never contents of a file.
const HARMLESS: [&str; 8] = [
    "index out of bounds",
    "range start index",
    "range end index",
    "slice index starts at",
    "source slice length",
    "capacity overflow",
    "wgpu error",
    "Failed to create staging buffer",
];

/// What a failed `unwrap` says before its error.
const UNWRAP: &str = "called `Result::unwrap()` on an `Err` value";

/// What draws and what computes, as a report names them.
static ADAPTERS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Adds an adapter to the reports of this program.
pub fn uses(adapter: String) {
    let mut adapters = ADAPTERS.lock().unwrap_or_else(PoisonError::into_inner);
    if !adapters.contains(&adapter) {
        adapters.push(adapter);
    }
}

/// From now on a panic of any thread leaves a report in this folder, after what was done about it before.
pub fn watch(folder: PathBuf) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        let text = report(panic, &Backtrace::force_capture().to_string());
        if let Err(error) = write(&folder, &text) {
            tracing::error!("the report of a fault could not be written: {error}");
        }
    }));
}

fn report(panic: &PanicHookInfo<'_>, calls: &str) -> String {
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string);
    let adapters = ADAPTERS.lock().map(|all| all.join("; "));
    let message = match panic.payload().downcast_ref::<&'static str>() {
        Some(literal) => (*literal).to_owned(),
        None => match panic.payload().downcast_ref::<String>() {
            Some(text) => without_contents(text),
            None => "unknown".to_owned(),
        },
    };
    let mut text = String::new();
    for (name, value) in [
        ("HealthGPT Workbench", env!("CARGO_PKG_VERSION").to_owned()),
        ("System", format!("{} {}", system(), std::env::consts::ARCH)),
        ("Adapters", adapters.unwrap_or_default()),
        ("Thread", thread.name().unwrap_or("unnamed").to_owned()),
        ("Place", place.unwrap_or_default()),
        ("Message", message),
    ] {
        let _ = writeln!(text, "{name}: {value}");
    }
    text + "\n" + calls
}

/// The system's name and version.
fn system() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map(|name| name.trim_matches('"').to_owned());
    name.unwrap_or_else(|| std::env::consts::OS.to_owned())
}

/// A message that was put together while the program ran can hold what a file says of a patient, or its path: it stays
/// only where it is known to name nothing but numbers and resources. The place and the calls tell the rest.
fn without_contents(message: &str) -> String {
    if HARMLESS.iter().any(|known| message.starts_with(known)) {
        return message.to_owned();
    }
    let unwrapped = message.starts_with(UNWRAP);
    let known = if unwrapped { UNWRAP } else { "" };
    format!("{known} (left out: it could hold what a file says)")
        .trim_start()
        .to_owned()
}

fn write(folder: &Path, text: &str) -> io::Result<()> {
    let mut reports = reports(folder);
    while reports.len() >= MOST_REPORTS {
        fs::remove_file(reports.remove(0))?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = now.map_or(0, |now| now.as_millis());
    let name = format!("{NEW}crash-{millis}-{}.txt", std::process::id());
    replace(&folder.join(name), text.as_bytes())
}

/// Oldest first.
fn reports(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut reports: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "txt"))
        .collect();
    let name = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.trim_start_matches(NEW).to_owned()
    };
    reports.sort_by_key(name);
    reports
}

/// The last report that the user was not told of yet, if there is one. From now on none of them is new.
pub fn untold(folder: &Path) -> Option<PathBuf> {
    let mut last = None;
    for path in reports(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(told) = name.strip_prefix(NEW) else {
            continue;
        };
        let told = path.with_file_name(told);
        last = Some(match fs::rename(&path, &told) {
            Ok(()) => told,
            Err(_) => path.clone(), // said again at the next start
        });
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_could_hold_what_a_file_says_is_left_out() {
        let numbers = "index out of bounds: the len is 3 but the index is 7";
        assert_eq!(without_contents(numbers), numbers);
        for message in [
            "called `Result::unwrap()` on an `Err` value: Io(\"/scans/DOE^JOHN/1.dcm\")",
            "cannot read /scans/doe/1.dcm",
            "patient doe was born 19700101",
        ] {
            let clean = without_contents(message);
            for word in ["DOE", "doe", "1970", "scans"] {
                assert!(!clean.contains(word), "{clean}");
            }
            assert_eq!(clean.contains("unwrap"), message.contains("unwrap"));
        }
    }
}
