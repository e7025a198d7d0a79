//! What products and decoding from packed rows do on the CPU, next to what its memory could do: `workbench bench --device cpu`.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::Device;
use rayon::prelude::*;

use super::synthetic::{Size, entry, product_shapes};
use super::{BenchOptions, BenchReport, Measurement, Stopwatch, peak_memory_mib};
use crate::cpu::columns::{Columns, Orders};
use crate::cpu::load::RowsReader;
use crate::cpu::product::products;
use crate::cpu::{PackedDecoder, Rows, Simd};
use crate::gpu::Format;
use crate::gpu::packer::Formats;
use crate::gpu::plan::PromptRow;
use crate::model::argmax;
use crate::model::initializer::Initializer;
use crate::model::loader::{Loader, Precision, Source};
use crate::model::random::Random;

/// Parts of the bench that run without a GPU.
pub const CPU_PARTS: [&str; 2] = ["products", "decode"];

/// Measures everything. `on_stage` gets what is being measured, and may stop it between two parts; what was measured stands.
pub fn bench_cpu(
    options: &BenchOptions,
    on_stage: &mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>,
) -> BenchReport {
    let simd = Simd::detect();
    let threads = rayon::current_num_threads();
    let mut bench = CpuBench {
        simd,
        quick: options.quick,
        bandwidth: 0.0,
        report: BenchReport {
            adapter: "CPU".to_owned(),
            kind: format!("{threads} threads"),
            driver: simd.name().to_owned(),
            clock: match Stopwatch::of_threads() {
                Stopwatch::Clock(_) => "elapsed time",
                Stopwatch::Threads(_) => "processor time of all threads / processors",
            },
            measurements: Vec::new(),
        },
    };
    let wanted =
        |name: &str| options.parts.is_empty() || options.parts.iter().any(|part| part == name);
    type Part = fn(&mut CpuBench);
    let all: [(&str, Part); 2] = [
        ("products", CpuBench::products),
        ("decode", CpuBench::decoding),
    ];
    let memory: (&str, fn(&mut CpuBench)) = ("memory", CpuBench::memory);
    let parts: Vec<_> = std::iter::once(memory)
        .chain(all.into_iter().filter(|(name, _)| wanted(name)))
        .collect();
    for (done, (name, part)) in parts.iter().enumerate() {
        if on_stage(&format!("measuring ({name})"), done, parts.len()).is_break() {
            break;
        }
        part(&mut bench);
    }
    bench.report
}

struct CpuBench {
    simd: Simd,
    quick: bool,
    /// Bytes read per second by all cores together.
    bandwidth: f64,
    report: BenchReport,
}

impl CpuBench {
    /// How fast all cores read what is in no cache.
    fn memory(&mut self) {
        let words: usize = if self.quick { 8 << 20 } else { 32 << 20 };
        let buffer: Vec<u64> = (0..words as u64).collect();
        let mut least = f64::MAX;
        for _ in 0..5 {
            let started = Stopwatch::of_threads();
            let sum: u64 = buffer
                .par_chunks(1 << 16)
                .map(|part| part.iter().fold(0u64, |sum, word| sum ^ word))
                .reduce(|| 0, |a, b| a ^ b);
            let seconds = started.seconds();
            if std::hint::black_box(sum) < u64::MAX {
                least = least.min(seconds);
            }
        }
        self.bandwidth = (8 * words) as f64 / least;
        let bandwidth = self.bandwidth / 1e9;
        self.report.add("memory", "reading", bandwidth, "GB/s", "");
    }

    /// Matrices of M3's shapes (or smaller ones) by one token and by many.
    fn products(&mut self) {
        for &(name, count, k) in product_shapes(self.quick) {
            for format in Format::ALL {
                let mut random = Random(7);
                let values =
                    (0..count).map(|_| (0..k).map(|_| random.uniform() as f32 - 0.5).collect());
                let rows = Rows::packed(values, k, format);
                for tokens in [1, 64] {
                    let x: Vec<f32> = (0..tokens * k).map(|i| (i % 7) as f32 - 3.0).collect();
                    let orders = Orders::of(Some(format));
                    let columns = Columns::new(self.simd, x, k, orders);
                    let mut least = f64::MAX;
                    for _ in 0..if self.quick { 5 } else { 8 } {
                        let started = Stopwatch::of_threads();
                        let _ =
                            std::hint::black_box(products(self.simd, &rows, 0..count, &columns));
                        least = least.min(started.seconds());
                    }
                    let name = format!("{name} {count} x {k}, {}, {tokens}", format.name());
                    if tokens == 1 {
                        let speed = rows.bytes() as f64 / least;
                        let note = format!("{:.0} % of reading", 100.0 * speed / self.bandwidth);
                        self.report
                            .add("one token", name, speed / 1e9, "GB/s", note);
                    } else {
                        let operations = 2.0 * (count * k * tokens) as f64;
                        self.report
                            .add("many tokens", name, operations / least / 1e9, "Gop/s", "");
                    }
                }
            }
        }
        let order = |line: &Measurement| line.section == "many tokens";
        self.report.measurements.sort_by_key(order);
    }

    /// Whole models: tokens per second, alone and with a plug-in, and prompts.
    fn decoding(&mut self) {
        let (size, steps) = if self.quick {
            (Size::QUICK, 16)
        } else {
            (Size::TINY, 60)
        };
        let shape = format!("{} wide, {} blocks", size.hidden, size.layers);
        for format in [Format::Q8, Format::Q4, Format::F16] {
            let decoder = synthetic_rows(size, Formats::of(format), &[(64, 4)]);
            let name = |what: &str| format!("{what}, {shape}, {}", format.name());
            let plain = token_seconds(&decoder, None, 4, steps);
            let plugged = token_seconds(&decoder, Some(0), 4, steps);
            let floor = decoder.bytes() as f64 / self.bandwidth;
            let note = format!(
                "{:.1} by the clock, {:.0} % of reading its bytes",
                1.0 / plain.clock,
                100.0 * floor / plain.processor
            );
            self.report.add(
                "decode",
                name("no plug-in"),
                1.0 / plain.processor,
                "tokens/s",
                note,
            );
            let note = format!(
                "{:.3}x the time of no plug-in",
                plugged.processor / plain.processor
            );
            self.report.add(
                "decode",
                name("plug-in of rank 64"),
                1.0 / plugged.processor,
                "tokens/s",
                note,
            );
            let before = if self.quick { 128 } else { 1024 };
            let late = token_seconds(&decoder, None, before, steps / 4);
            let note = format!(
                "{:.2}x the time of the first tokens",
                late.processor / plain.processor
            );
            let late = 1.0 / late.processor;
            let what = name(&format!("no plug-in, after {before} tokens"));
            self.report.add("decode", what, late, "tokens/s", note);
            let mut least = f64::MAX;
            for first in 0..3 {
                let rows: Vec<PromptRow> = (0..256)
                    .map(|i| PromptRow::Token(first + i % 100))
                    .collect();
                let started = Stopwatch::of_threads();
                let _ = std::hint::black_box(decoder.start(Some(0), &rows, 1).logits(0..1));
                least = least.min(started.seconds());
            }
            self.report
                .add("prompt", name("256 tokens"), 256.0 / least, "tokens/s", "");
        }
        if let Some(peak) = peak_memory_mib() {
            self.report
                .add("memory", "most this process held", peak, "MiB", "");
        }
    }
}

struct TokenSeconds {
    processor: f64,
    clock: f64,
}

/// Least seconds of one token after a prompt.
fn token_seconds(
    decoder: &PackedDecoder,
    plugin: Option<usize>,
    prompt: u32,
    steps: usize,
) -> TokenSeconds {
    let rows: Vec<PromptRow> = (0..prompt).map(|i| PromptRow::Token(i % 300)).collect();
    let vocabulary = decoder.vocabulary() as u32;
    let mut run = decoder.start(plugin, &rows, steps);
    let mut least = TokenSeconds {
        processor: f64::MAX,
        clock: f64::MAX,
    };
    for _ in 0..steps {
        let (threads, clock) = (Stopwatch::of_threads(), Instant::now());
        let token = argmax(&run.logits(0..vocabulary)) as u32;
        run.push(token);
        least.processor = least.processor.min(threads.seconds());
        least.clock = least.clock.min(clock.elapsed().as_secs_f64());
    }
    least
}

/// A model with random weights, and one plug-in for each (merged rank, experts).
fn synthetic_rows(size: Size, formats: Formats, plugins: &[(usize, usize)]) -> PackedDecoder {
    let config = size.config();
    let device = Device::flex();
    let mut initializer = Initializer::new(1);
    let mut go_on = || ControlFlow::Continue(());
    let mut loader = Loader {
        source: Source::Random(&mut initializer),
        device: &device,
        precision: Precision::F32,
        on_tensor: &mut go_on,
        stopped: false,
        made: Vec::new(),
    };
    let reader = RowsReader {
        config: &config,
        vocabulary: (size.vocabulary, 0),
        formats: Some(formats),
    };
    let mut decoder = reader.base(&mut loader);
    for (rank, experts) in plugins {
        reader.plugin(&mut loader, &entry(*rank, *experts), &mut decoder);
    }
    decoder
}
