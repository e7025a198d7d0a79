//! `workbench bench viewer`: how long a large CT takes to be found, read and shown, beside the goals.
//!
//! The CT is made here: 1000 slices of 512 x 512, uncompressed, in a folder that goes again afterwards. Frames are
//! drawn by the software rasteriser, so that the numbers hold for a machine without a GPU.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::DeviceChoice;
use engine::imaging::{Loaded, Plane, SeriesInfo, Volume, Window};
use engine::session::{Command, Engine, EventKind, JobId};
use serde_json::{Map, Value, json};

use super::args::BenchViewerArgs;
use super::bench_peer;
use super::bench_slab::slab_times;
use super::console::Console;
use super::failure::Failure;
use super::phantom;
use crate::action::Action;
use crate::offscreen::Offscreen;
use crate::pictures::Pictures;
use crate::state::{Content, OpenSeries, State, Viewport, VolumeView};
use crate::view;

/// Frames drawn before they count: pipelines and fonts are made in the first.
const WARM_UP: usize = 5;

/// Nothing takes so long; then something hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes the CT, measures, and prints.
///
/// # Errors
/// The folder cannot be written, or the CT cannot be read back.
pub fn run(args: &BenchViewerArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let scratch = Scratch::new(args.keep.clone())?;
    console.say("writing the CT…");
    let size = [512, 512, args.slices as usize];
    phantom::write_ct(&scratch.folder, size)?;
    let mut report = Report::default();
    let volume = reading(&scratch.folder, size, &mut report)?;
    beside_pydicom(&scratch.folder, &mut report);
    drawing(&volume, args.frames as usize, &mut report)?;
    slab(&volume, &mut report)?;
    for line in &report.lines {
        console.print(line)?;
    }
    console.print_json(&Value::Object(report.values))
}

/// A folder that goes with this value, unless it is to be kept.
struct Scratch {
    folder: PathBuf,
    keep: bool,
}

impl Scratch {
    fn new(keep: Option<PathBuf>) -> Result<Self, Failure> {
        let name = format!("workbench-bench-{}", std::process::id());
        let folder = keep
            .clone()
            .unwrap_or_else(|| std::env::temp_dir().join(name));
        fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            keep: keep.is_some(),
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed from the temporary folder, the system removes.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

#[derive(Default)]
struct Report {
    lines: Vec<String>,
    values: Map<String, Value>,
}

impl Report {
    fn put(&mut self, name: &str, value: f64, unit: &str, goal: Option<f64>) {
        let verdict = match goal {
            Some(goal) if value <= goal => format!("  goal {goal} {unit}, met"),
            Some(goal) => format!("  goal {goal} {unit}, missed"),
            None => String::new(),
        };
        let decimals = if unit == "ms" { 1 } else { 3 };
        self.lines
            .push(format!("{name:<34} {value:>9.decimals$} {unit}{verdict}\n"));
        let _ = self.values.insert(
            name.to_owned(),
            json!({ "value": value, "unit": unit, "goal": goal }),
        );
    }
}

/// Scan, load, first slice, memory, cancel.
fn reading(folder: &Path, size: [usize; 3], report: &mut Report) -> Result<Arc<Volume>, Failure> {
    for entry in fs::read_dir(folder)? {
        let _ = fs::read(entry?.path())?; // warm
    }
    let engine = Engine::start(DeviceChoice::Cpu, || {})?;
    let started = Instant::now();
    let job = engine.scan(vec![folder.to_owned()]);
    let series = match wait(&engine, job, |_, _| {})? {
        EventKind::ScanDone { series, .. } => series,
        _ => return Err(unexpected()),
    };
    report.put(
        "header scan",
        started.elapsed().as_secs_f64(),
        "s",
        Some(0.7),
    );
    let series = series.into_iter().next().ok_or_else(unexpected)?;

    // A load that is stopped once it is under way.
    let job = load(&engine, &series);
    let mut stopped = None;
    let ended = wait(&engine, job, |engine, event| {
        if stopped.is_none() && matches!(event, EventKind::Progress(progress) if progress.done > 20)
        {
            engine.stop(job);
            stopped = Some(Instant::now());
        }
    });
    if ended.is_err()
        && let Some(stopped) = stopped
    {
        report.put(
            "cancel a load",
            stopped.elapsed().as_secs_f64(),
            "s",
            Some(0.1),
        );
    }

    let before = resident_mib();
    let started = Instant::now();
    let job = load(&engine, &series);
    let mut first = None;
    let loaded = wait(&engine, job, |_, event| {
        if first.is_none() && matches!(event, EventKind::FirstSlice { .. }) {
            first = Some(started.elapsed());
        }
    })?;
    let secs = started.elapsed().as_secs_f64();
    let EventKind::SeriesLoaded {
        loaded: Loaded::Volume(volume),
        ..
    } = loaded
    else {
        return Err(unexpected());
    };
    if volume.size != size {
        return Err(unexpected());
    }
    if let Some(first) = first {
        report.put("first slice", first.as_secs_f64(), "s", Some(0.3));
    }
    report.put("load", secs, "s", Some(1.5));
    let voxels_mib = (volume.voxels.len() * 2) as f64 / f64::from(1 << 20);
    if let (Some(before), Some(peak)) = (before, peak_mib()) {
        let share = (peak - before) / voxels_mib;
        report.put("memory, times the voxels", share, "x", Some(1.3));
    }
    Ok(volume)
}

/// The same files read by pydicom, where it is here, and how much longer it takes.
fn beside_pydicom(folder: &Path, report: &mut Report) {
    let peer = match bench_peer::pydicom(folder) {
        Ok(peer) => peer,
        Err(why) => {
            let line = format!("pydicom was not measured: {why}\n");
            report.lines.push(line);
            let _ = report.values.insert("pydicom".to_owned(), Value::Null);
            return;
        }
    };
    for (ours, theirs) in [("header scan", peer.scan_secs), ("load", peer.load_secs)] {
        report.put(&format!("{}, {ours}", peer.name), theirs, "s", None);
        let value = report.values.get(ours).and_then(|entry| entry.get("value"));
        if let Some(secs) = value.and_then(Value::as_f64) {
            let name = format!("{}, {ours}, times ours", peer.name);
            report.put(&name, theirs / secs, "x", None);
        }
    }
}

/// Frames of one viewport whose picture has 512 x 512 pixels, and of the whole window.
fn drawing(volume: &Arc<Volume>, frames: usize, report: &mut Report) -> Result<(), Failure> {
    let mut state = State::default();
    let mut view = VolumeView::new(Arc::clone(volume));
    view.window = Window::linear(40.0, 400.0);
    let open = OpenSeries::new(series_words(), Content::Volume(view));
    state.viewer.viewports = vec![Viewport::Open(Box::new(open))];
    for (what, size) in [
        ("512 x 512", [538, 536]),
        ("window 1600 x 1000", [1600, 1000]),
    ] {
        let mut screen = Offscreen::new(size, true).map_err(|why| Failure::work("bench", why))?;
        crate::theme::install(&screen.ctx);
        let mut pictures = Pictures::new(Some(screen.format()));
        let whole = what.starts_with("window");
        if !whole {
            report
                .lines
                .push(format!("drawn by {}\n", screen.adapter()));
        }
        let mut measure =
            |name: &str, goal: Option<f64>, act: &dyn Fn(usize) -> Action, report: &mut Report| {
                let mut times = Vec::with_capacity(frames);
                let cpu_before = cpu_ms();
                let warm_up = WARM_UP.min(frames);
                for frame in 0..frames + warm_up {
                    let started = Instant::now();
                    let _ = state.perform(act(frame));
                    screen
                        .frame(Vec::new(), |ui| {
                            if whole {
                                let _ = crate::app::desk_ui(ui, &mut state, &mut pictures);
                            } else {
                                pictures.sync(ui.ctx(), &state);
                                let area = ui.max_rect();
                                let _ = view::viewport_ui(
                                    ui,
                                    &state.viewer,
                                    &state.measurements,
                                    0,
                                    area,
                                    &pictures,
                                );
                            }
                        })
                        .map_err(|why| Failure::work("bench", why))?;
                    if frame >= warm_up {
                        times.push(started.elapsed().as_secs_f64() * 1e3);
                    }
                }
                times.sort_by(f64::total_cmp);
                let at = |share: f64| times.get(((times.len() - 1) as f64 * share) as usize);
                let p99 = at(0.99).copied().unwrap_or(f64::NAN);
                let median = at(0.5).copied().unwrap_or(f64::NAN);
                report.put(&format!("{name}, {what}, p99"), p99, "ms", goal);
                report.put(&format!("{name}, {what}, median"), median, "ms", None);
                if let (Some(before), Some(after)) = (cpu_before, cpu_ms()) {
                    // What a frame costs, whatever else the machine does.
                    let each = (after - before) / (frames + warm_up) as f64;
                    report.put(&format!("{name}, {what}, CPU time"), each, "ms", None);
                }
                Ok::<(), Failure>(())
            };
        // The goal is about a picture of 512 x 512; other planes have as many rows as there are slices.
        let goal = (!whole).then_some(50.0);
        measure("axial slice", goal, &|_| Action::StepSlices(1), report)?;
        measure(
            "window drag",
            goal,
            &|frame| Action::SetWindow(Window::linear(40.0, 300.0 + frame as f32)),
            report,
        )?;
        for plane in [Plane::Coronal, Plane::Sagittal] {
            let first = move |frame: usize| match frame {
                0 => Action::SetPlane(plane),
                1 => Action::SetSlice(100),
                _ => Action::StepSlices(1),
            };
            measure(&format!("{} slice", plane.name()), None, &first, report)?;
        }
        let _ = state.perform(Action::SetPlane(Plane::Axial));
        let _ = state.perform(Action::SetSlice(300));
    }
    Ok(())
}

/// A slab of 50 mm between the voxels. Windows leave it to graphics cards, here it is cut on whatever there is.
fn slab(volume: &Arc<Volume>, report: &mut Report) -> Result<(), Failure> {
    let screen = Offscreen::new([64, 64], false).map_err(|why| Failure::work("bench", why))?;
    let times = slab_times(&screen, volume)?;
    let what = "50 mm slab between voxels";
    report.put(&format!("{what}, CPU"), times.processor_ms, "ms", None);
    if let (Some(upload), Some(card)) = (times.upload_ms, times.card_ms) {
        report.lines.push(format!("cut by {}\n", screen.adapter()));
        report.put(&format!("{what}, upload"), upload, "ms", None);
        report.put(&format!("{what}, card"), card, "ms", None);
    }
    Ok(())
}

fn series_words() -> SeriesInfo {
    SeriesInfo {
        id: "bench".to_owned(),
        study: "bench".to_owned(),
        patient: engine::imaging::PatientLabel::default(),
        study_description: String::new(),
        description: "Generated CT".to_owned(),
        number: None,
        modality: engine::imaging::Modality::Ct,
        body_part: None,
        format: engine::imaging::Format::Dicom,
        size: [512, 512, 1],
        spacing_mm: None,
        notes: Vec::new(),
        files: Vec::new(),
        frames: Vec::new(),
        volumes: 1,
        fps: None,
    }
}

fn load(engine: &Engine, series: &SeriesInfo) -> JobId {
    engine.send(Command::LoadSeries {
        series: Box::new(series.clone()),
    })
}

/// The last event of a job; the others go to `on_event`.
fn wait(
    engine: &Engine,
    job: JobId,
    mut on_event: impl FnMut(&Engine, &EventKind),
) -> Result<EventKind, Failure> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let Some(event) = engine.wait_event(Duration::from_secs(1)) else {
            continue;
        };
        if event.job != job {
            continue;
        }
        if let EventKind::Failed(error) = event.kind {
            return Err(error.into());
        }
        if event.kind.ends_job() {
            return Ok(event.kind);
        }
        on_event(engine, &event.kind);
    }
    Err(Failure::work("bench", "the engine did not answer in time"))
}

fn unexpected() -> Failure {
    Failure::work(
        "bench",
        "the generated CT was not read back as it was written",
    )
}

/// CPU time of all threads so far, in steps of 10 ms.
fn cpu_ms() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name of the program: state is field 0, user and system time are 11 and 12, in hundredths.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<f64>);
    Some((times.next()?.ok()? + times.next()?.ok()?) * 10.0)
}

/// Memory of this process now, where the system tells.
fn resident_mib() -> Option<f64> {
    status_mib("VmRSS:")
}

/// The most memory this process had.
fn peak_mib() -> Option<f64> {
    status_mib("VmHWM:")
}

fn status_mib(field: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
