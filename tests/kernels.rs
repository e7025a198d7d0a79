//! Every kernel equals its plain loop in f64, over awkward shapes, with both reductions and several workgroup sizes.
//!
//! The bound on a sum of products is 1e-5 of the sum of their magnitudes: f32 rounds each step to 6e-8 of itself, and no sum
//! here has more than a few hundred terms.

mod attention;
mod choosing;
mod kept;
mod products;
mod small;
mod tuner;

use std::sync::OnceLock;

use engine::DeviceChoice;
use engine::device::{choose, kernels_on};
use engine::gpu::kernel::Reduction;
use engine::gpu::pack::units;
use engine::gpu::{Gpu, Tuning};
use engine::model::random::Random;

/// Without end: the adapter as it is tuned, without subgroups, and with more lanes than a subgroup has.
fn gpus() -> impl Iterator<Item = &'static Gpu> {
    static GPUS: OnceLock<[Gpu; 3]> = OnceLock::new();
    let all = GPUS.get_or_init(|| {
        let (device, _) = choose(DeviceChoice::Gpu).expect("setup.sh installs a software adapter");
        let gpu = kernels_on(&device).unwrap();
        let plain = Tuning {
            reduction: Reduction::Workgroup,
            lanes: 16,
            wide_lanes: 32,
            shrink_rows: 1,
            span: 1,
            groups: 1,
            ..gpu.tuning
        };
        let wide = Tuning {
            lanes: 32,
            shrink_rows: 4,
            ..gpu.tuning
        };
        [gpu.tuned(gpu.tuning), gpu.tuned(plain), gpu.tuned(wide)]
    });
    all.iter().cycle()
}

fn normal(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.normal() as f32).collect()
}

/// Rows of `width` with zeros after them, as activations lie on the GPU.
fn padded(values: &[f32], width: usize) -> Vec<f32> {
    let stride = 8 * units(width);
    let mut rows = Vec::new();
    for row in values.chunks(width) {
        rows.extend_from_slice(row);
        rows.resize(rows.len() + stride - width, 0.0);
    }
    rows
}

/// Rows of `stride` numbers without what lies past `width`.
fn cut(values: &[f32], stride: usize, width: usize) -> Vec<f32> {
    values
        .chunks(stride)
        .flat_map(|row| row[..width].to_vec())
        .collect()
}

fn magnitudes(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| value.abs()).collect()
}

/// Each within 1e-5 of its bound.
fn assert_close(got: &[f32], want: &[f64], bounds: &[f64], place: &str) {
    assert_eq!(got.len(), want.len(), "{place}");
    for (i, ((got, want), bound)) in got.iter().zip(want).zip(bounds).enumerate() {
        let difference = (f64::from(*got) - want).abs();
        assert!(
            difference <= 1e-5 * (1.0 + bound),
            "{place}: element {i} is {got} instead of {want}"
        );
    }
}
