//! H-LoRA as the paper compares it (its Table 10, there for training): the plain layer, LoRA, the loop over experts of MoE-LoRA,
//! H-LoRA step by step, and fused, at equal merged rank.

use std::ops::Range;

use super::Bench;
use super::synthetic::Size;
use crate::gpu::gemv::Gemv;
use crate::gpu::hlora_expand::{Epilogue, Expand, Sequence};
use crate::gpu::hlora_gate::Gate;
use crate::gpu::hlora_shrink::Shrink;
use crate::gpu::pack::units;
use crate::gpu::packer::{Formats, LowRankTensors, Packer};
use crate::gpu::weights::{Cut, FrozenSite, LowRank, Matrix};
use crate::gpu::{Dispatch, Format, Gpu, GpuError};
use crate::model::decoder::Site;
use crate::model::random::Random;

/// Numbers of experts that are compared.
const EXPERTS: [usize; 4] = [2, 4, 8, 32];

struct Buffers {
    x: wgpu::Buffer,
    z: wgpu::Buffer,
    gates: Vec<wgpu::Buffer>,
    y: wgpu::Buffer,
    nothing: [wgpu::Buffer; 4],
}

struct Layer<'a> {
    gpu: &'a Gpu,
    site: Site,
    frozen: FrozenSite,
    buffers: Buffers,
}

fn draws(count: usize) -> Vec<f32> {
    let mut random = Random(count as u64);
    (0..count).map(|_| random.uniform() as f32 - 0.5).collect()
}

impl<'a> Layer<'a> {
    fn new(
        gpu: &'a Gpu,
        packer: &Packer<'_>,
        rows: usize,
        k: usize,
        rank: usize,
    ) -> Result<Self, GpuError> {
        let format = packer.formats.base;
        let matrix = matrix(packer, rows, k, format)?;
        let z = (rank + 32) as u64;
        let gates = (0..32).map(|_| gpu.zeros("gates", 4 * 8 * units(rank) as u64));
        let nothing = || gpu.zeros("nothing", 256);
        Ok(Self {
            gpu,
            site: Site {
                name: "bench",
                d_out: rows,
                d_in: k,
                bias: false,
            },
            frozen: FrozenSite {
                name: "bench",
                matrix,
            },
            buffers: Buffers {
                x: gpu.floats("x", &draws(8 * units(k)))?,
                z: gpu.zeros("z", 4 * z)?,
                gates: gates.collect::<Result<_, _>>()?,
                y: gpu.zeros("y", 4 * rows as u64)?,
                nothing: [nothing()?, nothing()?, nothing()?, nothing()?],
            },
        })
    }

    fn gemv(
        &self,
        matrix: &Matrix,
        x: &wgpu::Buffer,
        y: &wgpu::Buffer,
        row0: usize,
        add: bool,
    ) -> Result<Vec<Dispatch>, GpuError> {
        let shards = matrix.shards.iter().map(|shard| {
            let product = Gemv {
                shard,
                from: 0,
                rows: shard.rows,
                row0: shard.row0 + row0 as u32,
                y_stride: 0,
                columns: 1,
                add,
            };
            product.dispatch(self.gpu, x, y)
        });
        shards.collect()
    }

    /// Shrink and expand.
    fn fused(&self, low_rank: &LowRank) -> Result<Vec<Dispatch>, GpuError> {
        let buffers = &self.buffers;
        let [columns, rope, kv, unused] = &buffers.nothing;
        let shrink = Shrink {
            low_rank,
            gamma: None,
            width: self.site.d_in,
            eps: 1e-5,
            columns: 1,
        };
        let mut list = vec![shrink.dispatch(self.gpu, &buffers.x, &buffers.z, unused)?];
        let sequence = Sequence { columns, rope, kv };
        for (index, shard) in self.frozen.matrix.shards.iter().enumerate() {
            let expand = Expand {
                shard,
                index,
                low_rank: Some(low_rank),
                epilogue: Epilogue::Store,
                y_stride: 0,
                row0: 0,
                columns: 1,
            };
            list.push(expand.dispatch(self.gpu, &buffers.x, &buffers.z, sequence, &buffers.y)?);
        }
        Ok(list)
    }

    /// W x; A x; R x; the gates; B g added: five dispatches.
    fn unfused(
        &self,
        packer: &Packer<'_>,
        rank: usize,
        experts: usize,
    ) -> Result<Vec<Dispatch>, GpuError> {
        let format = plugin_format(&packer.formats);
        let buffers = &self.buffers;
        let (k, rows) = (self.site.d_in, self.site.d_out);
        let Some(gates) = buffers.gates.first() else {
            return Ok(Vec::new());
        };
        let mut list = self.gemv(&self.frozen.matrix, &buffers.x, &buffers.y, 0, false)?;
        list.extend(self.gemv(
            &matrix(packer, rank, k, format)?,
            &buffers.x,
            &buffers.z,
            0,
            false,
        )?);
        let router = matrix(packer, experts, k, Format::F16)?;
        list.extend(self.gemv(&router, &buffers.x, &buffers.z, rank, false)?);
        let gate = Gate::whole(rank as u32, experts as u32, 1);
        list.push(gate.dispatch(self.gpu, &buffers.z, gates)?);
        list.extend(self.gemv(
            &matrix(packer, rows, rank, format)?,
            gates,
            &buffers.y,
            0,
            true,
        )?);
        Ok(list)
    }

    /// W x; R x; then for each expert A_e x, its gate, and B_e g added.
    fn looped(
        &self,
        packer: &Packer<'_>,
        rank: usize,
        experts: usize,
    ) -> Result<Vec<Dispatch>, GpuError> {
        let format = plugin_format(&packer.formats);
        let buffers = &self.buffers;
        let (k, rows) = (self.site.d_in, self.site.d_out);
        let own = rank / experts;
        let mut list = self.gemv(&self.frozen.matrix, &buffers.x, &buffers.y, 0, false)?;
        let router = matrix(packer, experts, k, Format::F16)?;
        list.extend(self.gemv(&router, &buffers.x, &buffers.z, rank, false)?);
        for (e, gates) in buffers.gates.iter().take(experts).enumerate() {
            let a = matrix(packer, own, k, format)?;
            list.extend(self.gemv(&a, &buffers.x, &buffers.z, e * own, false)?);
            let gate = Gate {
                rank: rank as u32,
                experts: experts as u32,
                first: (e * own) as u32,
                count: own as u32,
                tokens: 1,
            };
            list.push(gate.dispatch(self.gpu, &buffers.z, gates)?);
            let b = matrix(packer, rows, own, format)?;
            list.extend(self.gemv(&b, gates, &buffers.y, 0, true)?);
        }
        Ok(list)
    }
}

/// Of A and B; the router is always f16.
pub(super) fn plugin_format(formats: &Formats) -> Format {
    if formats.plugin_q8 {
        Format::Q8
    } else {
        Format::F16
    }
}

fn matrix(packer: &Packer<'_>, rows: usize, k: usize, format: Format) -> Result<Matrix, GpuError> {
    let values = |range: Range<usize>| draws(range.len() * k);
    packer.matrix([rows, k], format, Cut::Rows, None, &values)
}

/// Bytes that a plug-in adds to a site of these rows and columns.
pub(super) fn plugin_bytes(
    [rows, k]: [usize; 2],
    plugin: Format,
    rank: usize,
    experts: usize,
) -> usize {
    let router = experts * Format::F16.row_bytes(k);
    rank * plugin.row_bytes(k) + router + rows * plugin.row_bytes(rank)
}

/// Every variant at one site, for each number of experts.
pub fn variants(bench: &mut Bench<'_>) -> Result<(), GpuError> {
    // q, k and v of the peers' small model, and of M3 with either plug-in.
    let shapes: &[(usize, usize, usize)] = if bench.options.quick {
        &[(3072, 1024, 64), (1024, 1024, 64)]
    } else {
        &[(3072, 1024, 64), (9216, 3072, 64), (9216, 3072, 256)]
    };
    let config = Size::QUICK.config();
    let formats: &[Formats] = &if bench.options.quick {
        vec![Formats::of(Format::Q8)]
    } else {
        vec![Formats::of(Format::F16), Formats::of(Format::Q8)]
    };
    for formats in formats {
        for (rows, k, rank) in shapes.iter().copied() {
            let gpu = crate::gpu::SharedGpu::clone(&bench.gpu);
            let packer = Packer {
                gpu: &gpu,
                formats: *formats,
                config: &config,
                vocabulary: (0, 0),
            };
            let layer = Layer::new(&gpu, &packer, rows, k, rank)?;
            let low_rank = |experts: usize| {
                let tensors = LowRankTensors {
                    rank,
                    experts,
                    a: draws(rank * k),
                    router: draws(experts * k),
                    b: draws(rows * rank),
                };
                packer.low_rank(&tensors, &layer.site, &layer.frozen)
            };
            let mut names = vec![("plain".to_owned(), 0), ("LoRA".to_owned(), 1)];
            let buffers = &layer.buffers;
            let plain = layer.gemv(&layer.frozen.matrix, &buffers.x, &buffers.y, 0, false)?;
            let mut lists = vec![plain, layer.fused(&low_rank(1)?)?];
            for experts in EXPERTS {
                names.push((format!("H-LoRA fused, {experts} experts"), experts));
                lists.push(layer.fused(&low_rank(experts)?)?);
                names.push((format!("H-LoRA step by step, {experts} experts"), experts));
                lists.push(layer.unfused(&packer, rank, experts)?);
                names.push((format!("MoE-LoRA loop, {experts} experts"), experts));
                lists.push(layer.looped(&packer, rank, experts)?);
            }
            let repeats = if rows * k < 1 << 22 { 16 } else { 2 };
            let seconds = bench.seconds(&lists, repeats)?;
            let plain = seconds.first().copied().unwrap_or(f64::MAX);
            let plugin = plugin_format(formats);
            for (((name, experts), list), seconds) in names.iter().zip(&lists).zip(&seconds) {
                let floor = if *experts == 0 {
                    1.0
                } else {
                    let added = plugin_bytes([rows, k], plugin, rank, *experts);
                    1.0 + added as f64 / (rows * formats.base.row_bytes(k)) as f64
                };
                let note = format!("{} dispatches; {floor:.3}x by its bytes", list.len());
                let name = format!("{name}, {rows} x {k} {}, rank {rank}", formats.base.name());
                bench
                    .report
                    .add("H-LoRA", name, seconds / plain, "x plain", note);
            }
        }
    }
    Ok(())
}
