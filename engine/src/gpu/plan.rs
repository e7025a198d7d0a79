//! One model's inference as prebuilt dispatches over persistent buffers.
//!
//! A *column* is one token at one position of one sequence (*slot*): a prompt's tokens are columns of one slot at consecutive
//! positions, slices of a volume decoded together are columns of different slots, drafts to be verified are columns of one
//! slot again. Nothing is allocated per token: buffers, bind groups and pipelines exist before the first one, and tokens and
//! positions live in a buffer that the `sample` kernel moves on.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::activations::Activations;
use super::cache::{Cache, rotations, supported};
use super::embed_gather::FEATURE;
use super::pack::units;
use super::rmsnorm::RmsNorm;
use super::sample::{Choice, RING};
use super::weights::{Matrix, PluginWeights, Weights};
use super::{Dispatch, GpuError, SharedGpu, floats, record};
use super::{embed_gather, gemv};
use crate::model::Sampling;
use crate::model::config::LlmConfig;

/// Most columns of one dispatch: the kernels' local arrays.
pub const COLUMNS: u32 = 8;
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ListKey {
    /// Embedding and all blocks, for so many columns.
    Body(Option<usize>, u32),
    /// The same for a block of a prompt.
    Block(Option<usize>, u32),
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
    pub(super) kv: Vec<wgpu::Buffer>,
    pub(super) act: Activations,
    pub(super) splits: u32,
    pub(super) lists: HashMap<ListKey, Arc<Vec<Dispatch>>>,
    /// Staging buffers, used in turn.
    staging: Vec<wgpu::Buffer>,
    turn: usize,
    /// Where logits are read back, as large as any were.
    read_back: Option<wgpu::Buffer>,
    feature_rows: usize,
    /// What each slot's cache holds: the plug-in that made it, and its rows.
    pub(super) held: Vec<Held>,
    /// The dispatch that chooses, for so many columns in this way.
    chooser: Option<(u32, Choosing, Dispatch)>,
}

/// What one sequence's cache holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Held {
    plugin: Option<usize>,
    rows: Vec<PromptRow>,
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
        supported(&gpu, &config, &cache)?;
        let kv = (0..config.num_hidden_layers)
            .map(|_| gpu.zeros("keys and values", cache.bytes()))
            .collect::<Result<_, _>>()?;
        // A software rasteriser gains nothing from more workgroups than threads.
        let splits = if gpu.software() { 2 } else { 16 };
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
            read_back: None,
            feature_rows: 1,
            held: Vec::new(),
            chooser: None,
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
        supported(&self.gpu, &self.config, &cache)?;
        self.kv.clear();
        self.lists.clear();
        self.held.clear();
        // Without room for it there is none at all, and the next one who asks for some makes it.
        (self.cache.capacity, self.cache.slots) = (0, 0);
        self.kv = (0..self.config.num_hidden_layers)
            .map(|_| self.gpu.zeros("keys and values", cache.bytes()))
            .collect::<Result<_, _>>()?;
        self.cache = cache;
        self.act.rope = self
            .gpu
            .floats("rotations", &rotations(&self.config, cache.capacity))?;
        Ok(())
    }

    /// Runs a prompt of one sequence, but for what its cache already holds: rows that the same plug-in computed at the same
    /// positions (a follow-up question on the same picture). The last row always runs. Returns the last column's place, and
    /// how many rows were held.
    ///
    /// # Errors
    /// As [`Self::prefill`].
    pub fn prompt(
        &mut self,
        plugin: Option<usize>,
        slot: u32,
        rows: &[PromptRow],
    ) -> Result<(u32, usize), GpuError> {
        let slot_index = slot as usize;
        if self.held.len() <= slot_index {
            self.held.resize_with(slot_index + 1, Held::default);
        }
        let held = self
            .held
            .get(slot_index)
            .filter(|held| held.plugin == plugin);
        let common = held.map_or(0, |held| {
            let pairs = held.rows.iter().zip(rows);
            pairs.take_while(|(held, row)| held == row).count()
        });
        let reused = common.min(rows.len().saturating_sub(1));
        let last = self.prefill(
            plugin,
            slot,
            reused as u32,
            rows.get(reused..).unwrap_or_default(),
        )?;
        if let Some(held) = self.held.get_mut(slot_index) {
            *held = Held {
                plugin,
                rows: rows.to_vec(),
            };
        }
        Ok((last, reused))
    }

    /// Notes a token that was run after the prompt, so that a follow-up can go on from it.
    pub fn note(&mut self, slot: u32, token: u32) {
        if let Some(held) = self.held.get_mut(slot as usize) {
            held.rows.push(PromptRow::Token(token));
        }
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
        if let Some(held) = self.held.get_mut(slot as usize) {
            held.rows.truncate(start as usize);
        }
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
        self.run_prompt(plugin, &columns)
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
        let bytes = 4 * u64::from(count) * width as u64;
        let staging = match self.read_back.take().filter(|kept| kept.size() >= bytes) {
            Some(kept) => kept,
            None => self.gpu.staging(bytes)?,
        };
        let staging = self.read_back.insert(staging);
        let read = self.gpu.read_through(staging, &self.act.logits, bytes)?;
        Ok(floats(&read))
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

    /// Dispatches of one token with this plug-in, in their order.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatches(
        &mut self,
        plugin: Option<usize>,
        choosing: &Choosing,
    ) -> Result<Vec<Dispatch>, GpuError> {
        let mut all = self.body(plugin, 1)?.to_vec();
        all.extend_from_slice(&self.head(plugin, 0, 1, choosing.tokens.clone())?);
        all.push(self.choose(1, choosing)?);
        Ok(all)
    }

    /// Dispatches of one token's embedding and blocks.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn dispatches_of_body(&mut self, plugin: Option<usize>) -> Result<usize, GpuError> {
        Ok(self.body(plugin, 1)?.len())
    }

    /// The dispatch that chooses; kept for as long as nothing about the choice changes.
    fn choose(&mut self, count: u32, choosing: &Choosing) -> Result<Dispatch, GpuError> {
        if let Some((columns, kept, dispatch)) = &self.chooser
            && *columns == count
            && kept == choosing
        {
            return Ok(dispatch.clone());
        }
        let tokens = choosing.tokens.len() as u32;
        let choice = Choice {
            count: tokens,
            stride: tokens,
            first: choosing.tokens.start,
            sampling: &choosing.sampling,
            columns: count,
        };
        let act = &self.act;
        let dispatch = choice.dispatch(&self.gpu, &act.logits, &act.columns, &act.ring)?;
        self.chooser = Some((count, choosing.clone(), dispatch.clone()));
        Ok(dispatch)
    }

    /// Compiles and binds what a prompt and its answer need with one of the plug-ins, so that the first question does not wait.
    ///
    /// # Errors
    /// [`GpuError::NoRoom`].
    pub fn warm(&mut self, plugin: Option<usize>) -> Result<(), GpuError> {
        for count in [1, 2, 4, COLUMNS] {
            let _ = self.body(plugin, count)?;
        }
        let tokens = 0..self.weights.head.rows as u32;
        let _ = self.head(plugin, 0, 1, tokens.clone())?;
        let choosing = Choosing {
            tokens,
            sampling: Sampling::default(),
        };
        let _ = self.choose(1, &choosing)?;
        Ok(())
    }

    pub(super) fn body(
        &mut self,
        plugin: Option<usize>,
        count: u32,
    ) -> Result<Arc<Vec<Dispatch>>, GpuError> {
        let key = ListKey::Body(plugin, count);
        if let Some(list) = self.lists.get(&key) {
            return Ok(Arc::clone(list));
        }
        let own = plugin.and_then(|i| self.plugins.get(i));
        let mut list = self.embedding(own, count)?;
        for (i, layer) in self.weights.layers.iter().enumerate() {
            self.layer(&mut list, layer, i, own, count)?;
        }
        let list = Arc::new(list);
        let _ = self.lists.insert(key, Arc::clone(&list));
        Ok(list)
    }

    /// The columns' rows of the embedding table, or of the image features.
    pub(super) fn embedding(
        &self,
        plugin: Option<&PluginWeights>,
        count: u32,
    ) -> Result<Vec<Dispatch>, GpuError> {
        let table = plugin
            .and_then(|plugin| plugin.embed.as_ref())
            .unwrap_or(&self.weights.embed);
        let act = &self.act;
        let shards = table.shards.iter();
        shards
            .map(|shard| {
                let buffers = [&act.columns, &act.features, &act.x];
                embed_gather::dispatch(&self.gpu, shard, buffers, count)
            })
            .collect()
    }

    fn head(
        &mut self,
        plugin: Option<usize>,
        first: u32,
        count: u32,
        tokens: Range<u32>,
    ) -> Result<Arc<Vec<Dispatch>>, GpuError> {
        let key = ListKey::Head(plugin, first, count, tokens.start, tokens.len() as u32);
        if let Some(list) = self.lists.get(&key) {
            return Ok(Arc::clone(list));
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
        let list = Arc::new(list);
        let _ = self.lists.insert(key, Arc::clone(&list));
        Ok(list)
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
