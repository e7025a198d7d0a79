//! One model's inference as prebuilt dispatches over persistent buffers.
//!
//! A *column* is one token at one position of one sequence (*slot*): a prompt's tokens are columns of one slot at consecutive
//! positions, slices of a volume decoded together are columns of different slots, drafts to be verified are columns of one
//! slot again. Nothing is allocated per token: buffers, bind groups and pipelines exist before the first one, and tokens and
//! positions live in a buffer that the `sample` kernel moves on.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::embed_gather::FEATURE;
use super::hlora_expand::{Epilogue, Expand, Heads, Sequence};
use super::hlora_shrink::Shrink;
use super::pack::units;
use super::rmsnorm::RmsNorm;
use super::sample::{Choice, RING};
use super::weights::{FrozenSite, LayerWeights, LowRank, Matrix, PluginWeights, Weights};
use super::{Dispatch, GpuError, SharedGpu, floats, record};
use super::{attention_combine, attention_decode, embed_gather, gemv, rope_kv, swiglu};
use crate::model::Sampling;
use crate::model::config::LlmConfig;

/// Most columns of one dispatch: the kernels' local arrays.
pub const COLUMNS: u32 = 8;

/// How keys and values are stored. NOTE: keep in sync with `KV` in the shaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvFormat {
    /// 16 bits.
    F16 = 0,
    /// int8 with one f16 scale for a row of a head.
    Q8 = 1,
    /// As computed: to compare with the twin.
    F32 = 2,
}

/// Room for keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Heads of k, and of v.
    pub kv_heads: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// Positions of a sequence.
    pub capacity: u32,
    /// Sequences.
    pub slots: u32,
    /// How they are stored.
    pub format: KvFormat,
}

impl Cache {
    fn rows(&self) -> u32 {
        self.slots * self.kv_heads * self.capacity
    }

    /// Where values begin, in words.
    pub fn values(&self) -> u32 {
        let per_word = match self.format {
            KvFormat::F16 => 2,
            KvFormat::Q8 => 4,
            KvFormat::F32 => 1,
        };
        self.rows() * self.head_dim / per_word
    }

    /// Where scales begin, in words.
    pub fn scales(&self) -> u32 {
        2 * self.values()
    }

    /// Bytes of one layer's cache.
    pub fn bytes(&self) -> u64 {
        let scales = if self.format == KvFormat::Q8 {
            2 * u64::from(self.rows())
        } else {
            0
        };
        4 * (u64::from(self.scales()) + scales)
    }
}

/// What one column is. NOTE: keep in sync with `Column` in the shaders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Its token, or a row of the image features (see [`embed_gather::FEATURE`]).
    pub token: u32,
    /// Where it stands in its sequence.
    pub position: u32,
    /// Its sequence's cache.
    pub slot: u32,
    /// Tokens chosen before it.
    pub step: u32,
}

/// A prompt's rows.
#[derive(Clone, Debug, PartialEq)]
pub enum PromptRow {
    /// A token.
    Token(u32),
    /// One patch of a picture: `[hidden]`.
    Feature(Vec<f32>),
}

/// The rows of the head that count, and how one of them is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choosing {
    /// Tokens to choose from.
    pub tokens: Range<u32>,
    /// How.
    pub sampling: Sampling,
}

/// Work between two dispatches.
#[derive(Clone, Debug)]
struct Activations {
    /// Residual stream `[COLUMNS, padded hidden]`.
    x: wgpu::Buffer,
    /// Normed input of a site.
    h: wgpu::Buffer,
    /// `[COLUMNS, heads * head_dim]`.
    q: wgpu::Buffer,
    /// Output of attention.
    attended: wgpu::Buffer,
    /// Output of SwiGLU.
    inner: wgpu::Buffer,
    /// q, k and v, or gate and up, where no epilogue takes them.
    wide: wgpu::Buffer,
    /// Low-rank products.
    z: wgpu::Buffer,
    /// Shares of attention.
    part: wgpu::Buffer,
    /// `[COLUMNS, vocabulary]`.
    logits: wgpu::Buffer,
    /// Image features of a prompt.
    features: wgpu::Buffer,
    /// What the columns are.
    columns: wgpu::Buffer,
    /// Tokens chosen.
    ring: wgpu::Buffer,
    /// Cosine and sine by position.
    rope: wgpu::Buffer,
    /// Bound where a kernel wants a buffer it does not write.
    scratch: wgpu::Buffer,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ListKey {
    /// Embedding and all blocks, for so many columns.
    Body(Option<usize>, u32),
    /// Final norm and head: first column, columns, first token, tokens.
    Head(Option<usize>, u32, u32, u32, u32),
}

/// A model on a GPU.
#[derive(Debug)]
pub struct Plan {
    /// Where it runs.
    pub gpu: SharedGpu,
    /// Sizes.
    pub config: LlmConfig,
    /// The frozen model.
    pub weights: Weights,
    /// Plug-ins, as the manifest lists them.
    pub plugins: Vec<PluginWeights>,
    /// Room for keys and values.
    pub cache: Cache,
    kv: Vec<wgpu::Buffer>,
    act: Activations,
    splits: u32,
    lists: HashMap<ListKey, Rc<Vec<Dispatch>>>,
    /// Staging buffers, used in turn.
    staging: Vec<wgpu::Buffer>,
    turn: usize,
    feature_rows: usize,
}

/// Tokens under way: submitted, not read yet.
#[derive(Debug)]
pub struct Ticket {
    index: wgpu::SubmissionIndex,
    staging: usize,
    words: usize,
}

impl Plan {
    /// Allocates everything but the weights.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`], or sizes that the kernels do not cover.
    pub fn new(
        gpu: SharedGpu,
        config: LlmConfig,
        weights: Weights,
        plugins: Vec<PluginWeights>,
        cache: Cache,
    ) -> Result<Self, GpuError> {
        check(&gpu, &config, &cache)?;
        let kv = (0..config.num_hidden_layers)
            .map(|_| gpu.zeros("keys and values", cache.bytes()))
            .collect::<Result<_, _>>()?;
        // A software rasteriser gains nothing from more workgroups than threads.
        let splits = if gpu.info.device_type == wgpu::DeviceType::Cpu {
            2
        } else {
            16
        };
        let act = Activations::new(&gpu, &config, &weights, &plugins, &cache, splits)?;
        let staging = (0..3)
            .map(|_| gpu.staging(u64::from(RING * COLUMNS) * 4))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            gpu,
            config,
            weights,
            plugins,
            cache,
            kv,
            act,
            splits,
            lists: HashMap::new(),
            staging,
            turn: 0,
            feature_rows: 1,
        })
    }

    /// Gives every sequence room for `capacity` positions; what was cached is lost.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn reserve(&mut self, capacity: u32, slots: u32) -> Result<(), GpuError> {
        let cache = Cache {
            capacity: capacity.max(self.cache.capacity),
            slots: slots.max(self.cache.slots),
            ..self.cache
        };
        self.set_cache(cache)
    }

    /// Gives keys and values another room or format; what was cached is lost, unless nothing changes.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn set_cache(&mut self, cache: Cache) -> Result<(), GpuError> {
        if cache == self.cache {
            return Ok(());
        }
        check(&self.gpu, &self.config, &cache)?;
        self.kv.clear();
        self.lists.clear();
        self.kv = (0..self.config.num_hidden_layers)
            .map(|_| self.gpu.zeros("keys and values", cache.bytes()))
            .collect::<Result<_, _>>()?;
        self.cache = cache;
        self.act.rope = self
            .gpu
            .floats("rotations", &rotations(&self.config, cache.capacity))?;
        Ok(())
    }

    /// Runs a prompt of one sequence from `start` on; its last column is left for [`Self::logits`] or [`Self::submit`].
    /// Returns that column's place.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`] for the features.
    pub fn prefill(
        &mut self,
        plugin: Option<usize>,
        slot: u32,
        start: u32,
        rows: &[PromptRow],
    ) -> Result<u32, GpuError> {
        self.upload_features(rows)?;
        let mut feature = 0;
        let mut position = start;
        let columns: Vec<Column> = rows
            .iter()
            .map(|row| {
                let token = match row {
                    PromptRow::Token(token) => *token,
                    PromptRow::Feature(_) => {
                        feature += 1;
                        FEATURE | (feature - 1)
                    }
                };
                position += 1;
                Column {
                    token,
                    position: position - 1,
                    slot,
                    step: 0,
                }
            })
            .collect();
        let mut rest = columns.as_slice();
        let mut last = 0;
        while !rest.is_empty() {
            // 8, 4, 2 or 1 columns: few different pipelines.
            let count = 1 << rest.len().min(COLUMNS as usize).ilog2();
            let (now, later) = rest.split_at(count);
            self.set_columns(now);
            let body = self.body(plugin, count as u32)?;
            let _ = self.gpu.submit(&body);
            last = count as u32 - 1;
            rest = later;
        }
        Ok(last)
    }

    fn upload_features(&mut self, rows: &[PromptRow]) -> Result<(), GpuError> {
        let padded = 8 * units(self.config.hidden_size);
        let mut bytes = Vec::new();
        let mut count = 0;
        for row in rows {
            if let PromptRow::Feature(values) = row {
                let padding = std::iter::repeat_n(&0.0f32, padded - values.len());
                bytes.extend(values.iter().chain(padding).flat_map(|x| x.to_le_bytes()));
                count += 1;
            }
        }
        if count > self.feature_rows {
            self.act.features = self.gpu.zeros("image features", bytes.len() as u64)?;
            self.feature_rows = count;
            self.lists.clear();
        }
        if count > 0 {
            self.gpu.queue.write_buffer(&self.act.features, 0, &bytes);
        }
        Ok(())
    }

    fn set_columns(&self, columns: &[Column]) {
        let words = |column: &Column| [column.token, column.position, column.slot, column.step];
        let bytes: Vec<u8> = columns
            .iter()
            .flat_map(words)
            .flat_map(u32::to_le_bytes)
            .collect();
        self.gpu.queue.write_buffer(&self.act.columns, 0, &bytes);
    }

    /// Runs columns and leaves their states.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn forward(&mut self, plugin: Option<usize>, columns: &[Column]) -> Result<(), GpuError> {
        self.set_columns(columns);
        let body = self.body(plugin, columns.len() as u32)?;
        let _ = self.gpu.submit(&body);
        Ok(())
    }

    /// Logits of `tokens` for `count` columns from `first` on, read back: `[count, tokens]`.
    ///
    /// # Errors
    /// [`GpuError::Lost`], [`GpuError::NoRoom`].
    pub fn logits(
        &mut self,
        plugin: Option<usize>,
        first: u32,
        count: u32,
        tokens: Range<u32>,
    ) -> Result<Vec<f32>, GpuError> {
        let width = tokens.len();
        let head = self.head(plugin, first, count, tokens)?;
        let _ = self.gpu.submit(&head);
        self.gpu
            .read_floats(&self.act.logits, count as usize * width)
    }

    /// Chooses tokens for `steps` (at most [`RING`], numbered as the columns count them) for each of `count` columns, feeding
    /// each back on the GPU, in one submission. With `first`, the columns' states are there already (after a prefill, in that
    /// column) and the first token comes from them.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn submit(
        &mut self,
        plugin: Option<usize>,
        first: Option<u32>,
        count: u32,
        choosing: &Choosing,
        steps: Range<u32>,
    ) -> Result<Ticket, GpuError> {
        let body = self.body(plugin, count)?;
        let head = self.head(plugin, 0, count, choosing.tokens.clone())?;
        let choose = self.choose(count, choosing)?;
        let mut encoder = self
            .gpu
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for step in steps.clone() {
            match first.filter(|_| step == steps.start) {
                Some(column) => {
                    let head = self.head(plugin, column, count, choosing.tokens.clone())?;
                    record(&mut encoder, &head);
                }
                None => {
                    record(&mut encoder, &body);
                    record(&mut encoder, &head);
                }
            }
            record(&mut encoder, std::slice::from_ref(&choose));
        }
        let words = steps.len() * count as usize;
        let staging = self.turn;
        self.turn = (self.turn + 1) % self.staging.len();
        if let Some(buffer) = self.staging.get(staging) {
            let bytes = |steps: u32| u64::from(4 * steps * count);
            let from = steps.start % RING;
            let before = (steps.len() as u32).min(RING - from);
            let after = steps.len() as u32 - before;
            encoder.copy_buffer_to_buffer(&self.act.ring, bytes(from), buffer, 0, bytes(before));
            if after > 0 {
                let ring = &self.act.ring;
                encoder.copy_buffer_to_buffer(ring, 0, buffer, bytes(before), bytes(after));
            }
        }
        let index = self.gpu.queue.submit([encoder.finish()]);
        Ok(Ticket {
            index,
            staging,
            words,
        })
    }

    /// Waits for a submission and returns its tokens: `[steps, columns]`.
    ///
    /// # Errors
    /// [`GpuError::Lost`].
    pub fn collect(&self, ticket: Ticket) -> Result<Vec<u32>, GpuError> {
        let Some(buffer) = self.staging.get(ticket.staging) else {
            return Ok(Vec::new());
        };
        let bytes = self
            .gpu
            .map(buffer, 4 * ticket.words as u64, ticket.index)?;
        Ok(floats(&bytes).into_iter().map(f32::to_bits).collect())
    }

    /// Sets what the columns are before the first [`Self::submit`].
    pub fn begin(&self, columns: &[Column]) {
        self.set_columns(columns);
    }

    /// Dispatches of one token with this plug-in.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatches(&mut self, plugin: Option<usize>) -> Result<usize, GpuError> {
        let vocabulary = self.weights.head.rows as u32;
        let body = self.body(plugin, 1)?.len();
        Ok(body + self.head(plugin, 0, 1, 0..vocabulary)?.len() + 1)
    }

    fn choose(&self, count: u32, choosing: &Choosing) -> Result<Dispatch, GpuError> {
        let tokens = choosing.tokens.len() as u32;
        let choice = Choice {
            count: tokens,
            stride: tokens,
            first: choosing.tokens.start,
            sampling: &choosing.sampling,
            columns: count,
        };
        let act = &self.act;
        choice.dispatch(&self.gpu, &act.logits, &act.columns, &act.ring)
    }

    fn body(&mut self, plugin: Option<usize>, count: u32) -> Result<Rc<Vec<Dispatch>>, GpuError> {
        let key = ListKey::Body(plugin, count);
        if let Some(list) = self.lists.get(&key) {
            return Ok(Rc::clone(list));
        }
        let mut list = Vec::new();
        let own = plugin.and_then(|i| self.plugins.get(i));
        let table = own
            .and_then(|plugin| plugin.embed.as_ref())
            .unwrap_or(&self.weights.embed);
        let act = &self.act;
        for shard in &table.shards {
            list.push(embed_gather::dispatch(
                &self.gpu,
                shard,
                &act.columns,
                &act.features,
                &act.x,
                count,
            )?);
        }
        for (i, layer) in self.weights.layers.iter().enumerate() {
            self.layer(&mut list, layer, i, own, count)?;
        }
        let list = Rc::new(list);
        let _ = self.lists.insert(key, Rc::clone(&list));
        Ok(list)
    }

    fn head(
        &mut self,
        plugin: Option<usize>,
        first: u32,
        count: u32,
        tokens: Range<u32>,
    ) -> Result<Rc<Vec<Dispatch>>, GpuError> {
        let key = ListKey::Head(plugin, first, count, tokens.start, tokens.len() as u32);
        if let Some(list) = self.lists.get(&key) {
            return Ok(Rc::clone(list));
        }
        let act = &self.act;
        let norm = RmsNorm {
            width: self.config.hidden_size,
            eps: self.config.rms_norm_eps,
            first,
            columns: count,
        };
        let mut list = vec![norm.dispatch(&self.gpu, &act.x, &self.weights.norm, &act.h)?];
        let head = plugin
            .and_then(|i| self.plugins.get(i)?.head.as_ref())
            .unwrap_or(&self.weights.head);
        let stride = tokens.len() as u32;
        for (shard, from, rows, row0) in parts(head, tokens) {
            let product = gemv::Gemv {
                shard,
                from,
                rows,
                row0,
                y_stride: stride,
                columns: count,
                add: false,
            };
            list.push(product.dispatch(&self.gpu, &act.h, &act.logits)?);
        }
        let list = Rc::new(list);
        let _ = self.lists.insert(key, Rc::clone(&list));
        Ok(list)
    }

    fn layer(
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

/// The rows of a matrix that a range of tokens needs: shard, first row in it, rows, and where they go.
fn parts(matrix: &Matrix, tokens: Range<u32>) -> Vec<(&super::weights::Shard, u32, u32, u32)> {
    matrix
        .shards
        .iter()
        .filter_map(|shard| {
            let from = tokens.start.max(shard.row0);
            let end = tokens.end.min(shard.row0 + shard.rows);
            (from < end).then(|| (shard, from - shard.row0, end - from, from - tokens.start))
        })
        .collect()
}

fn check(gpu: &super::Gpu, config: &LlmConfig, cache: &Cache) -> Result<(), GpuError> {
    let unsupported = |what: String| Err(GpuError::Unsupported { what });
    let head = config.head_dim;
    if !head.is_multiple_of(8) || head > 128 || head / 2 > 8 * gpu.tuning.lanes as usize {
        return unsupported(format!(
            "heads have {head} elements; multiples of 8 up to 128 are possible"
        ));
    }
    let limits = gpu.device.limits();
    let limit = limits
        .max_storage_buffer_binding_size
        .min(limits.max_buffer_size);
    if cache.bytes() > limit {
        return unsupported(format!(
            "{} positions of {} sequences need {} MiB of keys and values per layer, but the GPU binds {} MiB",
            cache.capacity,
            cache.slots,
            cache.bytes() >> 20,
            limit >> 20
        ));
    }
    Ok(())
}

/// Cosine and sine of `position * theta^(-2i / head_dim)`, f32 as the twin computes them: `[positions, head_dim / 2, 2]`.
fn rotations(config: &LlmConfig, positions: u32) -> Vec<f32> {
    let half = config.head_dim / 2;
    let inverse: Vec<f32> = (0..half)
        .map(|i| 1.0 / (config.rope_theta as f32).powf((2 * i) as f32 / config.head_dim as f32))
        .collect();
    (0..positions)
        .flat_map(|position| {
            inverse.iter().flat_map(move |f| {
                let angle = position as f32 * f;
                [angle.cos(), angle.sin()]
            })
        })
        .collect()
}

impl Activations {
    fn new(
        gpu: &super::Gpu,
        config: &LlmConfig,
        weights: &Weights,
        plugins: &[PluginWeights],
        cache: &Cache,
        splits: u32,
    ) -> Result<Self, GpuError> {
        let columns = u64::from(COLUMNS);
        let rows = |name: &str, width: usize| gpu.zeros(name, columns * 4 * width as u64);
        let hidden = 8 * units(config.hidden_size);
        let q = config.num_attention_heads * config.head_dim;
        let kv = config.num_key_value_heads * config.head_dim;
        let z = plugins
            .iter()
            .flat_map(|plugin| &plugin.layers)
            .flat_map(|layer| layer.values())
            .map(|low_rank| (low_rank.rank + low_rank.experts) as usize)
            .max()
            .unwrap_or(1);
        let part = config.num_attention_heads * splits as usize * (config.head_dim + 2);
        let vocabulary = plugins
            .iter()
            .filter_map(|plugin| plugin.head.as_ref())
            .map(|head| head.rows)
            .fold(weights.head.rows, usize::max);
        Ok(Self {
            x: rows("residual stream", hidden)?,
            h: rows("normed states", hidden)?,
            q: rows("queries", q)?,
            attended: rows("attention", 8 * units(q))?,
            inner: rows("MLP", 8 * units(config.intermediate_size))?,
            wide: rows(
                "projections",
                (q + 2 * kv).max(2 * config.intermediate_size),
            )?,
            z: rows("low-rank products", z)?,
            part: rows("attention shares", part)?,
            logits: rows("logits", vocabulary)?,
            features: gpu.zeros("image features", 4 * hidden as u64)?,
            columns: gpu.zeros("columns", columns * 16)?,
            ring: gpu.zeros("tokens", u64::from(RING) * columns * 4)?,
            rope: gpu.floats("rotations", &rotations(config, cache.capacity))?,
            scratch: gpu.zeros("nothing", 16)?,
        })
    }
}
