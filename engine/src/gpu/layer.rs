//! One block of the model as dispatches.

use super::cache::KvFormat;
use super::hlora_expand::{Epilogue, Expand, Heads, Sequence};
use super::hlora_shrink::Shrink;
use super::pack::units;
use super::plan::Plan;
use super::rmsnorm::RmsNorm;
use super::weights::{FrozenSite, LayerWeights, LowRank, PluginWeights};
use super::{Dispatch, GpuError, attention_combine, attention_decode, rope_kv, swiglu};

impl Plan {
    /// Appends the dispatches of block `index` for `count` columns.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub(super) fn layer(
        &self,
        list: &mut Vec<Dispatch>,
        layer: &LayerWeights,
        index: usize,
        plugin: Option<&PluginWeights>,
        count: u32,
    ) -> Result<(), GpuError> {
        let (act, config) = (&self.act, &self.config);
        let Some(kv) = self.kv.get(index) else {
            return Ok(());
        };
        let low_rank = |site: &FrozenSite| plugin?.layers.get(index)?.get(site.name);
        let run = SiteRun {
            plan: self,
            sequence: Sequence {
                columns: &act.columns,
                rope: &act.rope,
                kv,
            },
            count,
        };
        let heads = config.num_attention_heads as u32;
        let q_width = heads * self.cache.head_dim;
        let q_stride = 8 * units(q_width as usize) as u32;

        // Attention.
        let kv_width = self.cache.kv_heads * self.cache.head_dim;
        run.norm_if_shared(list, &layer.qkv, &layer.input_norm, &low_rank)?;
        let mut row0 = 0;
        for site in &layer.qkv {
            let epilogue = if self.cache.format == KvFormat::Q8 {
                Epilogue::Store
            } else {
                Epilogue::Rope(Heads {
                    head_dim: self.cache.head_dim,
                    head0: row0 / self.cache.head_dim,
                    heads,
                    kv_heads: self.cache.kv_heads,
                    capacity: self.cache.capacity,
                    values: self.cache.values(),
                    kv_f32: self.cache.format == KvFormat::F32,
                })
            };
            let (y, stride) = if self.cache.format == KvFormat::Q8 {
                (&act.wide, q_width + 2 * kv_width)
            } else {
                (&act.q, q_width)
            };
            let gamma = (layer.qkv.len() == 1).then_some(&layer.input_norm);
            let to = (epilogue, row0, stride);
            run.site(list, site, low_rank(site), gamma, None, to, y)?;
            row0 += site.matrix.rows as u32;
        }
        if self.cache.format == KvFormat::Q8 {
            let sizes = [heads, q_width, count];
            list.push(rope_kv::dispatch(
                &self.gpu,
                &self.cache,
                sizes,
                &act.wide,
                run.sequence,
                &act.q,
            )?);
        }
        let attention = attention_decode::Attention {
            cache: &self.cache,
            heads,
            window: config.sliding_window.map(|window| window as u32),
            splits: self.splits,
            columns: count,
        };
        list.push(attention.dispatch(&self.gpu, &act.q, kv, &act.columns, &act.part)?);
        let combine = attention_combine::Combine {
            head_dim: self.cache.head_dim,
            heads,
            splits: self.splits,
            y_stride: q_stride,
            columns: count,
        };
        list.push(combine.dispatch(&self.gpu, &act.part, &act.attended)?);
        let x_stride = 8 * units(config.hidden_size) as u32;
        let to_x = (Epilogue::Add, 0, x_stride);
        let o = &layer.o_proj;
        run.site(
            list,
            o,
            low_rank(o),
            None,
            Some(&act.attended),
            to_x,
            &act.x,
        )?;

        // MLP.
        run.norm_if_shared(list, &layer.gate_up, &layer.post_norm, &low_rank)?;
        let inner = config.intermediate_size as u32;
        let inner_stride = 8 * units(inner as usize) as u32;
        let fused = layer.gate_up.len() == 1;
        let mut row0 = 0;
        for site in &layer.gate_up {
            let gamma = fused.then_some(&layer.post_norm);
            let (to, y) = if fused {
                ((Epilogue::SwiGlu, 0, inner_stride), &act.inner)
            } else {
                ((Epilogue::Store, row0, 2 * inner), &act.wide)
            };
            run.site(list, site, low_rank(site), gamma, None, to, y)?;
            row0 += site.matrix.rows as u32;
        }
        if !fused {
            let sizes = [inner, inner_stride, count];
            list.push(swiglu::dispatch(&self.gpu, sizes, &act.wide, &act.inner)?);
        }
        let down = &layer.down_proj;
        run.site(
            list,
            down,
            low_rank(down),
            None,
            Some(&act.inner),
            to_x,
            &act.x,
        )
    }
}

/// What the sites of one layer share.
struct SiteRun<'a> {
    plan: &'a Plan,
    sequence: Sequence<'a>,
    count: u32,
}

impl SiteRun<'_> {
    fn norm(&self, gamma: &wgpu::Buffer) -> Result<Dispatch, GpuError> {
        let plan = self.plan;
        let norm = RmsNorm {
            width: plan.config.hidden_size,
            eps: plan.config.rms_norm_eps,
            first: 0,
            columns: self.count,
        };
        norm.dispatch(&plan.gpu, &plan.act.x, gamma, &plan.act.h)
    }

    /// Norms once for sites that share their input, and for a single site without a plug-in.
    fn norm_if_shared<'s>(
        &self,
        list: &mut Vec<Dispatch>,
        sites: &'s [FrozenSite],
        gamma: &wgpu::Buffer,
        low_rank: &impl Fn(&'s FrozenSite) -> Option<&'s LowRank>,
    ) -> Result<(), GpuError> {
        if sites.len() > 1 || sites.iter().all(|site| low_rank(site).is_none()) {
            list.push(self.norm(gamma)?);
        }
        Ok(())
    }

    /// Shrink (if a plug-in sits here) and expand. `gamma` norms the residual stream on the way; `input` is what the site
    /// reads instead of it.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one of the site's own; a struct would name them twice"
    )]
    fn site(
        &self,
        list: &mut Vec<Dispatch>,
        site: &FrozenSite,
        low_rank: Option<&LowRank>,
        gamma: Option<&wgpu::Buffer>,
        input: Option<&wgpu::Buffer>,
        (epilogue, row0, y_stride): (Epilogue, u32, u32),
        y: &wgpu::Buffer,
    ) -> Result<(), GpuError> {
        let plan = self.plan;
        let act = &plan.act;
        let h = input.unwrap_or(&act.h);
        if let Some(low_rank) = low_rank {
            let shrink = Shrink {
                low_rank,
                gamma,
                width: site.matrix.k,
                eps: plan.config.rms_norm_eps,
                columns: self.count,
            };
            let (from, normed) = match gamma {
                Some(_) => (&act.x, &act.h),
                None => (h, &act.scratch),
            };
            list.push(shrink.dispatch(&plan.gpu, from, &act.z, normed)?);
        }
        for (index, shard) in site.matrix.shards.iter().enumerate() {
            let expand = Expand {
                shard,
                index,
                low_rank,
                epilogue,
                y_stride,
                row0,
                columns: self.count,
            };
            list.push(expand.dispatch(&plan.gpu, h, &act.z, self.sequence, y)?);
        }
        Ok(())
    }
}
