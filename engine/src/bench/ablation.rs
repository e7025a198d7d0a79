//! The same model through burn's own operations on the same adapter: what the kernels are worth.

use std::ops::ControlFlow;

use super::synthetic::{Size, entry, synthetic_plan};
use super::{Bench, Stopwatch};
use crate::gpu::packer::Formats;
use crate::gpu::plan::Column;
use crate::gpu::{Format, GpuError};
use crate::model::KvCache;
use crate::model::decoder::Decoder;
use crate::model::initializer::Initializer;
use crate::model::loader::{Loader, Precision, Source};
use crate::model::plugin::PlugIn;

/// One token of a small model, with a plug-in, by the twin and by the plan.
pub fn stock(bench: &mut Bench<'_>) -> Result<(), GpuError> {
    let size = Size::QUICK;
    let device = bench.gpu.burn.clone();
    let config = size.config();
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
    let twin = Decoder::load(&mut loader, &config);
    let plugin = PlugIn::load(&mut loader, &entry(64, 4), &config, 32, size.vocabulary);
    let mut cache = KvCache::new(&config, 64, &device);
    let mut stock = f64::MAX;
    for round in 0..8 {
        let started = Stopwatch::start(&bench.gpu);
        let x = twin.embed(&plugin, &[5], &device);
        let y = twin.forward(&plugin, x, &mut cache, None);
        let logits: Vec<f32> = twin.logits(&plugin, y).into_data().iter::<f32>().collect();
        let _ = crate::model::argmax(&logits);
        if round > 1 {
            stock = stock.min(started.seconds());
        }
    }
    let gpu = crate::gpu::SharedGpu::clone(&bench.gpu);
    let mut plan = synthetic_plan(&gpu, size, Formats::of(Format::F16), &[(64, 4)], 64, 1)?;
    let mut ours = f64::MAX;
    for position in 0..8 {
        let started = Stopwatch::start(&bench.gpu);
        let column = Column {
            token: 5,
            position,
            ..Column::default()
        };
        plan.forward(Some(0), &[column])?;
        let logits = plan.logits(Some(0), 0, 1, 0..size.vocabulary as u32)?;
        let _ = crate::model::argmax(&logits);
        if position > 1 {
            ours = ours.min(started.seconds());
        }
    }
    let name = format!(
        "one token, {} wide, {} blocks, rank 64",
        size.hidden, size.layers
    );
    bench
        .report
        .add("burn's operations", &name, 1e3 * stock, "ms", "f32");
    let note = format!("f16; {:.1}x as fast", stock / ours);
    bench
        .report
        .add("our kernels", name, 1e3 * ours, "ms", note);
    Ok(())
}
