//! What the kernels do on this adapter, next to what it could do: `workbench bench`.
//!
//! Times are the least of several rounds; variants that are compared take turns, round by round, so that other load falls on
//! all of them alike. Bandwidth and multiply-adds of the adapter are measured in the same run.

mod ablation;
mod cpu;
mod decode;
mod hlora;
mod products;
pub(crate) mod synthetic;

use std::ops::ControlFlow;
use std::time::Instant;

use crate::gpu::{Dispatch, Gpu, GpuError, SharedGpu};

pub use cpu::{CPU_PARTS, bench_cpu};
pub use synthetic::{Size, synthetic_plan};

/// How much is measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BenchOptions {
    /// Tiny shapes and few rounds: under a minute on two cores.
    pub quick: bool,
    /// Only these parts (see [`PARTS`]), and the adapter itself; all of them if none is named.
    pub parts: Vec<String>,
}

/// One number.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Measurement {
    /// What part of the bench it belongs to.
    pub section: &'static str,
    /// What was measured.
    pub name: String,
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it is to be compared with, or empty.
    pub note: String,
}

/// Everything measured.
#[derive(Clone, Debug, serde::Serialize)]
pub struct BenchReport {
    /// The adapter's name.
    pub adapter: String,
    /// Its kind and interface.
    pub kind: String,
    /// Its driver.
    pub driver: String,
    /// What seconds are.
    pub clock: &'static str,
    /// In order.
    pub measurements: Vec<Measurement>,
}

impl BenchReport {
    /// One more line.
    fn add(
        &mut self,
        section: &'static str,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        note: impl Into<String>,
    ) {
        self.measurements.push(Measurement {
            section,
            name: name.into(),
            value,
            unit,
            note: note.into(),
        });
    }
}

/// Collects measurements and says how far the work is.
pub(crate) struct Bench<'a> {
    gpu: SharedGpu,
    options: BenchOptions,
    report: BenchReport,
    on_stage: &'a mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>,
    done: usize,
    /// Copy bandwidth of the adapter in bytes per second, reading and writing counted.
    bandwidth: f64,
    /// Multiply-adds of the adapter, two operations each.
    peak: f64,
}

/// Parts of the bench besides the adapter itself.
pub const PARTS: [&str; 5] = ["workgroups", "products", "hlora", "decode", "stock"];

type Part = fn(&mut Bench<'_>) -> Result<(), GpuError>;

/// Measures everything. `on_stage` gets what is being measured, and may stop it between two parts; what was measured stands.
///
/// # Errors
/// No room on the GPU, or a lost device.
pub fn bench(
    gpu: SharedGpu,
    options: BenchOptions,
    on_stage: &mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>,
) -> Result<BenchReport, GpuError> {
    let info = &gpu.info;
    let report = BenchReport {
        adapter: info.name.clone(),
        kind: format!("{:?}, {:?}", info.device_type, info.backend),
        driver: format!("{} {}", info.driver, info.driver_info),
        clock: match Stopwatch::start(&gpu) {
            Stopwatch::Clock(_) => "elapsed time",
            Stopwatch::Threads(_) => "processor time of all threads / processors",
        },
        measurements: Vec::new(),
    };
    let mut bench = Bench {
        gpu,
        options,
        report,
        on_stage,
        done: 0,
        bandwidth: 0.0,
        peak: 0.0,
    };
    let named = &bench.options.parts;
    let wanted = |name: &str| named.is_empty() || named.iter().any(|part| part == name);
    let all: [(&str, Part); 5] = [
        ("workgroups", products::workgroups),
        ("products", products::products),
        ("hlora", hlora::variants),
        ("decode", decode::decoding),
        ("stock", ablation::stock),
    ];
    let adapter: [(&str, Part); 1] = [("adapter", products::adapter)];
    let parts: Vec<_> = adapter
        .into_iter()
        .chain(all.into_iter().filter(|(name, _)| wanted(name)))
        .collect();
    for (name, part) in &parts {
        let stage = format!("measuring ({name})");
        if (bench.on_stage)(&stage, bench.done, parts.len()).is_break() {
            break;
        }
        part(&mut bench)?;
        bench.done += 1;
    }
    let mut report = bench.report;
    let mut order: Vec<&str> = Vec::new();
    for line in &report.measurements {
        if !order.contains(&line.section) {
            order.push(line.section);
        }
    }
    let place = |line: &Measurement| order.iter().position(|section| *section == line.section);
    report.measurements.sort_by_key(place);
    Ok(report)
}

impl Bench<'_> {
    fn rounds(&self) -> usize {
        if self.options.quick { 5 } else { 10 }
    }

    /// Least seconds of one pass through each list. The lists take turns.
    fn seconds(&self, lists: &[Vec<Dispatch>], repeats: usize) -> Result<Vec<f64>, GpuError> {
        let mut least = vec![f64::MAX; lists.len()];
        for round in 0..=self.rounds() {
            for (list, least) in lists.iter().zip(&mut least) {
                let repeated: Vec<Dispatch> = (0..repeats).flat_map(|_| list.clone()).collect();
                // Once for what the list before it left in the caches.
                let _ = timed(&self.gpu, list)?;
                let secs = timed(&self.gpu, &repeated)? / repeats as f64;
                // The first round compiles and warms.
                if round > 0 {
                    *least = least.min(secs);
                }
            }
        }
        Ok(least)
    }
}

/// Seconds from the submission of these dispatches to their end.
fn timed(gpu: &Gpu, dispatches: &[Dispatch]) -> Result<f64, GpuError> {
    let started = Stopwatch::start(gpu);
    let index = gpu.submit(dispatches);
    gpu.wait(index)?;
    Ok(started.seconds())
}

/// Seconds of work. A software rasteriser works on this process's threads, so there it is their processor time over the
/// number of processors: what other programs do meanwhile does not count. Everywhere else it is what the clock says.
pub(crate) enum Stopwatch {
    /// The clock.
    Clock(Instant),
    /// Nanoseconds of all threads so far.
    Threads(u64),
}

impl Stopwatch {
    fn start(gpu: &Gpu) -> Self {
        match thread_nanoseconds().filter(|_| gpu.software()) {
            Some(nanoseconds) => Self::Threads(nanoseconds),
            None => Self::Clock(Instant::now()),
        }
    }

    /// Processor time of this process's threads where the system tells it, for work on the CPU.
    fn of_threads() -> Self {
        thread_nanoseconds().map_or_else(|| Self::Clock(Instant::now()), Self::Threads)
    }

    fn seconds(&self) -> f64 {
        match self {
            Self::Clock(started) => started.elapsed().as_secs_f64(),
            Self::Threads(before) => {
                let processors = std::thread::available_parallelism().map_or(1, usize::from);
                let now = thread_nanoseconds().unwrap_or(*before);
                now.saturating_sub(*before) as f64 / 1e9 / processors as f64
            }
        }
    }
}

/// Processor time of all threads of this process (Linux says it in nanoseconds).
fn thread_nanoseconds() -> Option<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        sum += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(sum)
}

/// Most memory this process ever held, in MiB; `None` where the system does not say.
pub fn peak_memory_mib() -> Option<f64> {
    status_mib("VmHWM:")
}

/// Memory this process holds now, in MiB; `None` where the system does not say.
pub fn memory_mib() -> Option<f64> {
    status_mib("VmRSS:")
}

fn status_mib(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}
