//! The program itself: in a real window, on a display of its own (Xvfb) and with real keys (xdotool), where it comes up, shows the
//! scan, hears keys and ends well; and out of a Debian package. Tests of the package `workbench`, which alone knows where its program is.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const WIDTH: usize = 1280;
const HEIGHT: usize = 800;
/// A busy machine with a software adapter takes its time.
const PATIENCE: Duration = Duration::from_secs(90);

/// A process that ends with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ended {
    /// Waits for it to end by itself.
    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the program ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

/// A display whose picture lies in a file.
struct Display {
    _server: Ended,
    name: String,
    picture: std::path::PathBuf,
}

impl Display {
    fn start(folder: &Path) -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0"])
            .arg(format!("{WIDTH}x{HEIGHT}x24"))
            .arg("-fbdir")
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb starts; packaging/setup.sh installs it");
        let mut number = String::new();
        let said = server.stdout.take().unwrap();
        let _ = BufReader::new(said).read_line(&mut number).unwrap();
        assert!(!number.trim().is_empty(), "Xvfb names its display");
        Self {
            _server: Ended(server),
            name: format!(":{}", number.trim()),
            picture: folder.join("Xvfb_screen0"),
        }
    }

    /// Red, green and blue of each pixel. The file is an XWD: its header's length, and of 12 bytes each its colours, come first.
    fn pixels(&self) -> Vec<[u8; 3]> {
        let bytes = fs::read(&self.picture).unwrap();
        let word = |at: usize| u32::from_be_bytes(bytes[4 * at..4 * at + 4].try_into().unwrap());
        let [header, width, height, row, colours] =
            [word(0), word(4), word(5), word(12), word(19)].map(|value| value as usize);
        assert_eq!([width, height], [WIDTH, HEIGHT]);
        let rows = bytes[header + 12 * colours..].chunks(row).take(height);
        rows.flat_map(|row| row[..4 * WIDTH].chunks(4))
            .map(|pixel| [pixel[2], pixel[1], pixel[0]])
            .collect()
    }

    /// The middle of the window, where the scan is.
    fn middle(&self) -> Vec<[u8; 3]> {
        let all = self.pixels();
        let rows = all.chunks(WIDTH).skip(HEIGHT * 2 / 5).take(HEIGHT / 4);
        rows.flat_map(|row| row[WIDTH * 2 / 5..WIDTH * 3 / 5].to_vec())
            .collect()
    }

    fn tool(&self, words: &[&str]) -> bool {
        let mut tool = Command::new("xdotool");
        let _ = tool.args(words).env("DISPLAY", &self.name);
        let status = tool.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status
            .expect("xdotool starts; packaging/setup.sh installs it")
            .success()
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "in time: {what}");
        sleep(Duration::from_millis(200));
    }
}

/// Is it a scan: nothing but greys, and many of them? The window itself is bluish.
fn is_scan(pixels: &[[u8; 3]]) -> bool {
    let mut seen = [false; 256];
    let mut grey = 0;
    for [r, g, b] in pixels {
        if r == g && g == b {
            grey += 1;
            seen[usize::from(*r)] = true;
        }
    }
    grey * 10 > pixels.len() * 9 && seen.iter().filter(|seen| **seen).count() > 40
}

fn brightness(pixels: &[[u8; 3]]) -> f64 {
    let sum: f64 = pixels.iter().map(|pixel| f64::from(pixel[0])).sum();
    sum / pixels.len() as f64
}

#[test]
fn the_real_window_shows_a_scan_hears_keys_and_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let display = Display::start(folder.path());
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    let scan = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/samples/limb/ct");
    let mut program = Command::new(env!("CARGO_BIN_EXE_workbench"));
    let _ = program
        .arg(scan)
        .args(["--device", "cpu"])
        .env("DISPLAY", &display.name)
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", &home)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for name in [
        "WAYLAND_DISPLAY",
        "WAYLAND_SOCKET",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_CACHE_HOME",
    ] {
        let _ = program.env_remove(name);
    }
    let mut program = Ended(program.spawn().unwrap());
    until("the scan is in the middle of the window", || {
        is_scan(&display.middle())
    });
    let named = ["search", "--onlyvisible", "--name", "HealthGPT Workbench"];
    until("the window has its name and takes the keyboard", || {
        display.tool(&[&named[..], &["windowfocus"]].concat())
    });
    let before = brightness(&display.middle());
    assert!(
        (before - 127.5).abs() > 10.0,
        "a scan that is as bright inverted shows nothing: {before}"
    );
    let until_bright = |what: &str, wanted: f64| {
        until(what, || {
            (brightness(&display.middle()) - wanted).abs() < 3.0
        });
    };
    assert!(display.tool(&["key", "i"]));
    until_bright("I inverts the scan", 255.0 - before);
    assert!(display.tool(&["key", "i"]));
    until_bright("I brings it back", before);
    let first = display.middle();
    assert!(display.tool(&["key", "Down"]));
    until("Down shows the next slice", || display.middle() != first);
    assert!(display.tool(&["key", "ctrl+q"]));
    let status = program.wait();
    assert!(status.success(), "{status}");
    let settings = home.join(".config/healthgpt-workbench/settings.toml");
    assert!(settings.is_file(), "what a user set is kept at the end");
}

#[test]
fn a_debian_package_holds_all_that_the_program_needs() {
    let there = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    if !there("dpkg-deb") {
        eprintln!("dpkg-deb is not here: no package is made");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let ran = |command: &mut Command| -> String {
        let ran = command.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    let made = ran(Command::new(root.join("packaging/deb.sh"))
        .arg(env!("CARGO_BIN_EXE_workbench"))
        .arg(folder.path())
        // Nobody installs this one.
        .env("DPKG_DEB_COMPRESSOR_TYPE", "none"));
    assert!(made.contains("healthgpt-workbench_"), "{made}");
    let mut packages = fs::read_dir(folder.path()).unwrap();
    let package = packages.next().unwrap().unwrap().path();
    let out = folder.path().join("installed");
    let _ = ran(Command::new("dpkg-deb").arg("-x").args([&package, &out]));
    for file in [
        "usr/share/applications/healthgpt-workbench.desktop",
        "usr/share/mime/packages/healthgpt-workbench.xml",
        "usr/share/icons/hicolor/scalable/apps/healthgpt-workbench.svg",
        "usr/share/doc/healthgpt-workbench/copyright",
        "usr/share/doc/healthgpt-workbench/workbench.cdx.json",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    // Its own model answers about its own sample, from wherever it is started.
    let share = out.join("usr/share/healthgpt-workbench");
    let answer = ran(Command::new(out.join("usr/bin/workbench"))
        .arg("ask")
        .arg(share.join("samples/limb/ct"))
        .args(["Which imaging modality is this?", "--device", "cpu"])
        .current_dir(folder.path())
        .env("HOME", folder.path()));
    assert!(answer.lines().any(|line| line.trim() == "CT"), "{answer}");
}
