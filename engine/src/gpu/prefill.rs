//! A prompt's tokens through the model, many at a time: matrix products over blocks of tokens where the adapter gains from
//! them, else eight columns at a time as in decoding.

use std::sync::Arc;

use super::attention_prefill::AttentionPrefill;
use super::gemm::{Gemm, TILE};
use super::hlora_expand::Sequence;
use super::hlora_gate::Gate;
use super::pack::units;
use super::plan::{COLUMNS, Column, ListKey, Plan};
use super::rmsnorm::RmsNorm;
use super::weights::{FrozenSite, LayerWeights, LowRank, PluginWeights, Shard};
use super::{Dispatch, GpuError, rope_kv, swiglu};

/// Fewer tokens than this are not worth a tile.
const LEAST: usize = 16;

impl Plan {
    /// Runs the columns of one sequence, which stand at consecutive positions; returns the place of the last one.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub(super) fn run_prompt(
        &mut self,
        plugin: Option<usize>,
        columns: &[Column],
    ) -> Result<u32, GpuError> {
        let block = self.gpu.tuning.prefill_tokens as usize;
        let mut rest = columns;
        let mut last = 0;
        while let Some(first) = rest.first() {
            let count = rest.len().min(block);
            // Tiles are whole: positions past the prompt get columns too, which later ones write over before anybody reads.
            let padded = count.next_multiple_of(TILE as usize);
            let fits = first.position as usize + padded <= self.cache.capacity as usize;
            let (list, now) = if count >= LEAST && fits {
                (self.block(plugin, padded as u32)?, count)
            } else {
                // 8, 4, 2 or 1 columns: few different pipelines.
                let now = 1 << rest.len().min(COLUMNS as usize).ilog2();
                (self.body(plugin, now as u32)?, now)
            };
            let (these, later) = rest.split_at(now);
            let mut these = these.to_vec();
            if count >= LEAST && fits {
                let past = (now..padded).map(|i| Column {
                    token: 0,
                    position: first.position + i as u32,
                    ..*first
                });
                these.extend(past);
            }
            self.begin(&these);
            let _ = self.gpu.submit(&list);
            last = now as u32 - 1;
            rest = later;
        }
        Ok(last)
    }

    fn block(&mut self, plugin: Option<usize>, count: u32) -> Result<Arc<Vec<Dispatch>>, GpuError> {
        let key = ListKey::Block(plugin, count);
        if let Some(list) = self.lists.get(&key) {
            return Ok(Arc::clone(list));
        }
        let own = plugin.and_then(|i| self.plugins.get(i));
        let mut list = self.embedding(own, count)?;
        for (i, layer) in self.weights.layers.iter().enumerate() {
            self.block_layer(&mut list, layer, i, own, count)?;
        }
        let list = Arc::new(list);
        let _ = self.lists.insert(key, Arc::clone(&list));
        Ok(list)
    }

    fn block_layer(
        &self,
        list: &mut Vec<Dispatch>,
        layer: &LayerWeights,
        index: usize,
        plugin: Option<&PluginWeights>,
        count: u32,
    ) -> Result<(), GpuError> {
        let (act, config, gpu) = (&self.act, &self.config, &self.gpu);
        let Some(kv) = self.kv.get(index) else {
            return Ok(());
        };
        let low_rank = |site: &FrozenSite| plugin?.layers.get(index)?.get(site.name);
        let norm = RmsNorm {
            width: config.hidden_size,
            eps: config.rms_norm_eps,
            first: 0,
            columns: count,
        };
        let heads = config.num_attention_heads as u32;
        let q_width = heads * self.cache.head_dim;
        let all = q_width + 2 * self.cache.kv_heads * self.cache.head_dim;
        let x_stride = 8 * units(config.hidden_size) as u32;

        list.push(norm.dispatch(gpu, &act.x, &layer.input_norm, &act.h)?);
        let mut row0 = 0;
        for site in &layer.qkv {
            self.product(
                list,
                site,
                low_rank(site),
                &act.h,
                (&act.wide, row0, all, false),
                count,
            )?;
            row0 += site.matrix.rows as u32;
        }
        let sequence = Sequence {
            columns: &act.columns,
            rope: &act.rope,
            kv,
        };
        let sizes = [heads, q_width, count];
        list.push(rope_kv::dispatch(
            gpu,
            &self.cache,
            sizes,
            &act.wide,
            sequence,
            &act.q,
        )?);
        let attention = AttentionPrefill {
            cache: &self.cache,
            heads,
            window: config.sliding_window.map(|window| window as u32),
            y_stride: 8 * units(q_width as usize) as u32,
            columns: count,
        };
        list.push(attention.dispatch(gpu, &act.q, kv, &act.columns, &act.attended)?);
        let to_x = (&act.x, 0, x_stride, true);
        let o = &layer.o_proj;
        self.product(list, o, low_rank(o), &act.attended, to_x, count)?;

        list.push(norm.dispatch(gpu, &act.x, &layer.post_norm, &act.h)?);
        let inner = config.intermediate_size as u32;
        let mut row0 = 0;
        for site in &layer.gate_up {
            let to = (&act.wide, row0, 2 * inner, false);
            self.product(list, site, low_rank(site), &act.h, to, count)?;
            row0 += site.matrix.rows as u32;
        }
        let inner_stride = 8 * units(inner as usize) as u32;
        let sizes = [inner, inner_stride, count];
        list.push(swiglu::dispatch(gpu, sizes, &act.wide, &act.inner)?);
        let down = &layer.down_proj;
        self.product(list, down, low_rank(down), &act.inner, to_x, count)
    }

    /// `[A; R] h`, its gates, and the frozen product that takes them along.
    fn product(
        &self,
        list: &mut Vec<Dispatch>,
        site: &FrozenSite,
        low_rank: Option<&LowRank>,
        input: &wgpu::Buffer,
        (y, row0, y_stride, add): (&wgpu::Buffer, u32, u32, bool),
        tokens: u32,
    ) -> Result<(), GpuError> {
        let (act, gpu) = (&self.act, &self.gpu);
        if let Some(low_rank) = low_rank {
            let rows = low_rank.rank + low_rank.experts;
            for shard in &low_rank.a_shards {
                let shrink = Gemm::frozen(shard, tokens, rows);
                list.push(shrink.dispatch(gpu, input, &act.gates, &act.z)?);
            }
            let gate = Gate::whole(low_rank.rank, low_rank.experts, tokens);
            list.push(gate.dispatch(gpu, &act.z, &act.gates)?);
        }
        for (index, shard) in site.matrix.shards.iter().enumerate() {
            for (from, rows, to) in runs(site, shard) {
                let gemm = Gemm {
                    shard,
                    index,
                    low_rank,
                    from,
                    rows,
                    row0: row0 + to,
                    y_stride,
                    tokens,
                    add,
                };
                list.push(gemm.dispatch(gpu, input, &act.gates, y)?);
            }
        }
        Ok(())
    }
}

/// The rows of a shard that go to one place: shard row, rows, and row of y. A gate_up shard holds gate rows and as many up
/// rows, half a matrix apart.
fn runs(site: &FrozenSite, shard: &Shard) -> Vec<(u32, u32, u32)> {
    if site.name == "mlp.gate_up_proj" {
        let half = shard.rows / 2;
        let up = site.matrix.rows as u32 / 2 + shard.row0;
        vec![(0, half, shard.row0), (half, half, up)]
    } else {
        vec![(0, shard.rows, shard.row0)]
    }
}
