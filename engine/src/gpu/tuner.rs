//! Which workgroups suit an adapter: measured once on a product of a model's size, and kept on disk beside its pipelines.
//!
//! What is tried gives the same numbers, only sooner or later; the tests hold every kernel to that with several sizes of workgroup. Matrix
//! units are another matter: drivers differ in them, so an adapter's must give what the plain kernel gives before they are used.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::gemm::Gemm;
use super::gemm_cooperative::Cooperative;
use super::gemv::Gemv;
use super::packer::{Formats, Packer};
use super::weights::{Cut, Matrix};
use super::{Dispatch, Format, Gpu, GpuError, Tuning, kept};
use crate::bench::Size;
use crate::dataset::write_atomically;
use crate::model::random::Random;

/// Raised whenever a kernel changes so much that what was kept is worth nothing.
const VERSION: u32 = 2;
/// A candidate must be so much faster than what the program would choose without measuring.
const GAIN: f64 = 1.03;
/// Columns of the widest product, whose partial sums lie in memory of the workgroup.
const COLUMNS: u32 = 8;
/// Rows and columns of the matrix that is multiplied: half of M3's `gate_up`, more than the caches of a GPU hold.
const SHAPE: [usize; 2] = [8192, 3072];
/// The same on a software adapter.
const SMALL: [usize; 2] = [768, 1024];

/// What was measured best.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    version: u32,
    adapter: String,
    driver: String,
    lanes: u32,
    span: u32,
    groups: u32,
    /// Rows of a matrix that its units multiply, and whether in f16; none where the plain kernel is to be used.
    units: Option<(u32, bool)>,
}

/// Matrix units, or the plain kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct TriedUnits {
    /// `None`: the plain kernel.
    pub units: Option<Cooperative>,
    /// Seconds of a product for many tokens.
    pub seconds: f64,
    /// They gave what the plain kernel gave.
    pub agrees: bool,
}

/// A tuning and its speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// The tuning.
    pub tuning: Tuning,
    /// Seconds of products in q8 and q4, with one column and with eight.
    pub seconds: f64,
}

impl Kept {
    fn of(gpu: &Gpu, tuning: &Tuning) -> Self {
        Self {
            version: VERSION,
            adapter: gpu.info.name.clone(),
            driver: format!("{} {}", gpu.info.driver, gpu.info.driver_info),
            lanes: tuning.lanes,
            span: tuning.span,
            groups: tuning.groups,
            units: tuning.cooperative.map(|units| (units.side, units.half)),
        }
    }

    /// The tuning, where it was measured on this adapter with this driver and is one that would be tried today.
    fn tuning(&self, gpu: &Gpu) -> Option<Tuning> {
        let mut found = candidates(gpu).into_iter().find(|tuning| {
            (tuning.lanes, tuning.span, tuning.groups) == (self.lanes, self.span, self.groups)
        })?;
        let kept = |units: &&Cooperative| self.units == Some((units.side, units.half));
        found.cooperative = gpu.cooperative.iter().find(kept).copied();
        (*self == Self::of(gpu, &found)).then_some(found)
    }
}

/// What may be tried here, the program's own choice first.
pub fn candidates(gpu: &Gpu) -> Vec<Tuning> {
    let limits = gpu.device.limits();
    let lanes: &[u32] = match gpu.software() {
        true => &[8], // one subgroup, one thread
        false => &[32, 64, 128],
    };
    let mut all = vec![gpu.tuning];
    for lanes in lanes {
        for span in [1, 4] {
            for groups in [1, 2] {
                let tuning = Tuning {
                    lanes: *lanes,
                    span,
                    groups,
                    ..gpu.tuning
                };
                let shared = 4 * 8 * groups * COLUMNS * lanes;
                let fits = shared <= limits.max_compute_workgroup_storage_size
                    && *lanes <= limits.max_compute_invocations_per_workgroup;
                if fits && !all.contains(&tuning) {
                    all.push(tuning);
                }
            }
        }
    }
    all
}

/// Times every candidate.
///
/// # Errors
/// [`GpuError::NoRoom`], [`GpuError::Lost`].
pub fn try_all(gpu: &Gpu) -> Result<Vec<Tried>, GpuError> {
    let [rows, k] = if gpu.software() { SMALL } else { SHAPE };
    let x = gpu.floats("x", &vec![0.5; COLUMNS as usize * k])?;
    let y = gpu.zeros("y", 4 * u64::from(COLUMNS) * rows as u64)?;
    let config = Size::QUICK.config();
    let mut matrices: Vec<Matrix> = Vec::new();
    for format in [Format::Q8, Format::Q4] {
        let packer = Packer {
            gpu,
            formats: Formats::of(format),
            config: &config,
            vocabulary: (0, 0),
        };
        let mut random = Random(1);
        let row: Vec<f32> = (0..k).map(|_| random.uniform() as f32 - 0.5).collect();
        let values = |range: Range<usize>| row.repeat(range.len());
        matrices.push(packer.matrix([rows, k], format, Cut::Rows, None, &values)?);
    }
    let mut tried = Vec::new();
    for tuning in candidates(gpu) {
        let tuned = gpu.tuned(tuning);
        let shards = matrices.iter().flat_map(|matrix| &matrix.shards);
        // A driver may unroll the loops over one column and leave those over eight in memory.
        let each = shards.flat_map(|shard| [1, COLUMNS].map(|columns| (shard, columns)));
        let dispatches = each.map(|(shard, columns)| {
            let product = Gemv {
                shard,
                from: 0,
                rows: shard.rows,
                row0: shard.row0,
                y_stride: rows as u32,
                columns,
                add: false,
            };
            product.dispatch(&tuned, &x, &y)
        });
        let once: Vec<Dispatch> = dispatches.collect::<Result<_, _>>()?;
        let list: Vec<Dispatch> = std::iter::repeat_n(once, 4).flatten().collect();
        let mut least = f64::MAX;
        for round in 0..4 {
            let started = Instant::now();
            gpu.wait(gpu.submit(&list))?;
            // The first round compiles and warms.
            if round > 0 {
                least = least.min(started.elapsed().as_secs_f64() / 4.0);
            }
        }
        tried.push(Tried {
            tuning,
            seconds: least,
        });
    }
    Ok(tried)
}

/// The fastest, or the first, which is the program's own choice, where none is faster by 3 %.
pub fn best(tried: &[Tried]) -> Option<Tuning> {
    let own = tried.first()?;
    let fastest = tried
        .iter()
        .min_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
    let chosen = match fastest.seconds * GAIN < own.seconds {
        true => fastest,
        false => own,
    };
    Some(chosen.tuning)
}

/// Times the product of a prompt, by the plain kernel first and then by each of the adapter's matrix units. What a driver refuses does not agree.
///
/// # Errors
/// [`GpuError::NoRoom`], [`GpuError::Lost`].
pub fn try_units(gpu: &Gpu) -> Result<Vec<TriedUnits>, GpuError> {
    let side = if gpu.software() { 256 } else { 3072 };
    let tokens = 128;
    let config = Size::QUICK.config();
    let packer = Packer {
        gpu,
        formats: Formats::of(Format::Q8),
        config: &config,
        vocabulary: (0, 0),
    };
    let draws = |seed: u64, count: usize| {
        let mut random = Random(seed);
        (0..count).map(move |_| random.uniform() as f32 - 0.5)
    };
    let values = |rows: Range<usize>| {
        let rows = rows.flat_map(|row| draws(row as u64, side));
        rows.collect()
    };
    let matrix = packer.matrix([side, side], Format::Q8, Cut::Rows, None, &values)?;
    let x: Vec<f32> = draws(1, tokens * side).collect();
    let x = gpu.floats("x", &x)?;
    let multiply = |units: Option<Cooperative>| {
        let tuned = gpu.tuned(Tuning {
            cooperative: units,
            ..gpu.tuning
        });
        let y = gpu.zeros("y", 4 * (tokens * side) as u64)?;
        let products = matrix.shards.iter().map(|shard| {
            let product = Gemm::frozen(shard, tokens as u32, side as u32);
            product.dispatch(&tuned, &x, &x, &y)
        });
        let list: Vec<Dispatch> = products.collect::<Result<_, _>>()?;
        let mut least = f64::MAX;
        for round in 0..4 {
            let started = Instant::now();
            gpu.wait(gpu.submit(&list))?;
            if round > 0 {
                least = least.min(started.elapsed().as_secs_f64());
            }
        }
        Ok((gpu.read_floats(&y, tokens * side)?, least))
    };
    let (plain, seconds) = multiply(None)?;
    let mut tried = vec![TriedUnits {
        units: None,
        seconds,
        agrees: true,
    }];
    for units in &gpu.cooperative {
        let invalid = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = gpu.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let given = multiply(Some(*units));
        let internal = pollster::block_on(internal.pop());
        let refused = pollster::block_on(invalid.pop()).or(internal).is_some();
        let (given, seconds) = match given {
            Err(_) if refused => (Vec::new(), f64::MAX),
            given => given?,
        };
        tried.push(TriedUnits {
            units: Some(*units),
            seconds,
            agrees: !refused && agree(&plain, &given, units.half),
        });
    }
    Ok(tried)
}

/// Do matrix units give what the plain kernel gives? Products of f16 round both factors to 11 bits, which in the sum of many is a few
/// ten-thousandths of it; a wrong layout or a driver's fault is off by as much as the numbers themselves.
pub fn agree(plain: &[f32], units: &[f32], half: bool) -> bool {
    let square = |sum: f64, x: f64| x.mul_add(x, sum);
    let of_plain = plain.iter().map(|x| f64::from(*x)).fold(0.0, square);
    let pairs = plain.iter().zip(units);
    let apart = pairs
        .map(|(a, b)| f64::from(*a) - f64::from(*b))
        .fold(0.0, square);
    let allowed = if half { 2e-3 } else { 2e-5 };
    plain.len() == units.len() && apart.sqrt() <= allowed * of_plain.sqrt()
}

/// The fastest that agree; `None` where the plain kernel is as fast.
pub fn best_units(tried: &[TriedUnits]) -> Option<Cooperative> {
    let plain = tried.iter().find(|one| one.units.is_none())?;
    let agreeing = tried.iter().filter(|one| one.agrees);
    let fastest = agreeing.min_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
    fastest
        .units
        .filter(|_| fastest.seconds * GAIN < plain.seconds)
}

/// The adapter with the workgroups that suit it: as they were kept, or measured now (some two seconds) and kept. A software adapter's are
/// known, and are left alone.
///
/// # Errors
/// [`GpuError::Lost`].
pub fn tuned(gpu: Gpu) -> Result<Gpu, GpuError> {
    match kept::folder() {
        Some(folder) if !gpu.software() => tuned_in(gpu, folder),
        _ => Ok(gpu),
    }
}

/// The same with what is kept in a folder.
///
/// # Errors
/// [`GpuError::Lost`].
pub fn tuned_in(gpu: Gpu, folder: &Path) -> Result<Gpu, GpuError> {
    let path = path(&gpu, folder);
    let kept = fs::read(&path).ok();
    let kept = kept.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
    if let Some(tuning) = kept.and_then(|kept| kept.tuning(&gpu)) {
        return Ok(gpu.tuned(tuning));
    }
    let tried = try_all(&gpu).and_then(|tried| Ok((tried, try_units(&gpu)?)));
    let (tried, units) = match tried {
        // Busy with something else: a later start measures.
        Err(GpuError::NoRoom { .. }) => return Ok(gpu),
        tried => tried?,
    };
    let Some(mut tuning) = best(&tried) else {
        return Ok(gpu);
    };
    tuning.cooperative = best_units(&units);
    let text = serde_json::to_vec(&Kept::of(&gpu, &tuning)).unwrap_or_default();
    // What cannot be kept is measured again by the next start.
    let _ = write_atomically(&path, &text);
    Ok(gpu.tuned(tuning))
}

fn path(gpu: &Gpu, folder: &Path) -> PathBuf {
    let info = &gpu.info;
    folder.join(format!(
        "workgroups-{:04x}-{:04x}.json",
        info.vendor, info.device
    ))
}
