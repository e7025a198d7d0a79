//! Scans of other programs under random damage: opened or refused, never a panic, never a file that holds the program up,
//! never memory that a refused file could not fill.
//!
//! A few hundred files in every run of the suite. For longer, and for files of one's own:
//! `FUZZ_SECS=600 FUZZ_CORPUS=FOLDER cargo test --release --test suite -- imaging::fuzz --nocapture --test-threads 1`

use std::time::{Duration, Instant};

use engine::imaging::{inspect_file, series_picture};
use engine::model::random::Random;

use super::*;
use crate::hostile::damaged;

/// Files in a run without a time.
const FILES: usize = 400;

/// A file that takes longer holds the program up.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a refused file may ask for, besides twice its size.
const SPARE_MIB: u64 = 64;

fn files_below(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let small = || fs::metadata(&path).is_ok_and(|file| file.len() < 4 << 20);
        if path.is_dir() {
            files_below(&path, all);
        } else if path
            .extension()
            .is_none_or(|end| end != "tsv" && end != "md")
            && small()
        {
            all.push(path);
        }
    }
}

/// The most memory this process ever had, in MiB.
fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib >> 10)
}

/// Opens what there is in a file: its report, its series, their pictures. True where something was shown.
fn opened(path: &Path) -> bool {
    let _ = inspect_file(path);
    let Ok(scan) = scan_one(path) else {
        return false;
    };
    let mut shown = false;
    for series in scan.series.iter().take(4) {
        let _ = series_picture(series, &mut || ControlFlow::Continue(()));
        shown |= load(series).is_ok();
    }
    shown
}

#[test]
fn damaged_scans_are_opened_or_refused() {
    let mut seeds = Vec::new();
    files_below(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("imaging/fixtures"),
        &mut seeds,
    );
    if let Some(corpus) = std::env::var_os("FUZZ_CORPUS") {
        files_below(Path::new(&corpus), &mut seeds);
    }
    seeds.sort();
    assert!(seeds.len() > 20, "{} files to damage", seeds.len());
    let secs = std::env::var("FUZZ_SECS")
        .ok()
        .and_then(|secs| secs.parse().ok());
    let (began, alone) = (Instant::now(), secs.is_some());
    let end: Option<Duration> = secs.map(Duration::from_secs);
    let seed = if alone { std::process::id().into() } else { 17 };
    let mut random = Random(seed);
    let folder = folder();
    let (mut tried, mut shown) = (0, 0);
    while end.map_or(tried < FILES, |end| began.elapsed() < end) {
        let seed = &seeds[random.below(seeds.len())];
        let bytes = damaged(&fs::read(seed).unwrap(), &mut random);
        let path = folder.path().join(seed.file_name().unwrap());
        fs::write(&path, &bytes).unwrap();
        let (started, before) = (Instant::now(), peak_mib());
        // A panic ends the test and leaves the file for whoever looks.
        let kept = std::env::temp_dir().join("workbench-fuzz-last");
        if alone {
            fs::write(&kept, &bytes).unwrap();
        }
        let ok = opened(&path);
        let took = started.elapsed();
        assert!(took < PATIENCE, "{took:?} for damage of {}", seed.display());
        // Other tests take memory too, unless this one runs alone.
        if let (true, false, Some(before), Some(after)) = (alone, ok, before, peak_mib()) {
            let allowed = before + SPARE_MIB + 2 * (bytes.len() as u64 >> 20);
            assert!(
                after <= allowed,
                "a refused file took {} MiB: {}",
                after - before,
                seed.display()
            );
        }
        fs::remove_file(&path).unwrap();
        tried += 1;
        shown += usize::from(ok);
    }
    println!("{tried} damaged files, {shown} of them shown");
    assert!(shown > 0 && shown < tried, "{shown} of {tried} were shown");
}
