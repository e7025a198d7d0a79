//! The language model's files, read for the twin, packed for the GPU, or used as they are on the CPU.

use std::path::Path;
use std::sync::{Arc, Mutex};

use burn::module::Param;
use burn::tensor::Tensor;

use super::checkpoint::Checkpoint;
use super::config::LlmConfig;
use super::decoder::Decoder;
use super::error::ModelError;
use super::llm::Llm;
use super::loader::{PartReader, Precision};
use super::manifest::PlugInEntry;
use super::plugin::{PlugIn, resize_rows};
use super::tokenizer::Tokenizer;
use crate::cpu::load::RowsReader;
use crate::gpu::cache::{Cache, KvFormat, supported};
use crate::gpu::memory::{Request, free_memory};
use crate::gpu::packer::{Formats, Packer};
use crate::gpu::{Format, Plan, SharedGpu};

/// Files and sizes of a language model with its plug-ins.
pub struct LlmSource<'a> {
    /// The model folder.
    pub dir: &'a Path,
    /// The base's folder.
    pub llm: &'a Path,
    /// Sizes.
    pub config: &'a LlmConfig,
    /// Width of the vision tower.
    pub vit_hidden: usize,
    /// Rows kept of the vocabulary, and rows added for images.
    pub vocabulary: (usize, usize),
    /// Of the manifest.
    pub plugins: &'a [PlugInEntry],
}

/// Positions that a cache has room for at first; it grows when a conversation needs more.
const POSITIONS: usize = 2048;

/// Rows of the vocabulary that are kept of the `rows` in the files, and rows that are added for images.
///
/// # Errors
/// The tokenizer has more entries than the table has rows.
pub fn vocabulary(tokenizer: &Tokenizer, rows: usize) -> Result<(usize, usize), ModelError> {
    let (keep, added) = (tokenizer.base_len(), tokenizer.added_rows());
    if added == 0 {
        return Ok((rows, 0));
    }
    if keep > rows {
        return Err(ModelError::Invalid {
            what: format!(
                "the tokenizer has {keep} entries but the embedding table only {rows} rows"
            ),
        });
    }
    Ok((keep, added))
}

impl LlmSource<'_> {
    fn cache(&self) -> Cache {
        let config = self.config;
        Cache {
            kv_heads: config.num_key_value_heads as u32,
            head_dim: config.head_dim as u32,
            capacity: config.max_position_embeddings.min(POSITIONS) as u32,
            slots: 1,
            format: KvFormat::F16,
        }
    }

    /// The format that `workbench convert` packed the base in; f16 for everything else.
    fn stored_format(&self) -> Result<Format, ModelError> {
        let files = Checkpoint::open(self.llm)?;
        let packed = |format: &Format| {
            let end = format!("_proj.weight.{}", format.name());
            files.names().any(|name| name.ends_with(&end))
        };
        Ok(Format::ALL.into_iter().find(packed).unwrap_or(Format::F16))
    }

    fn request<'r>(&'r self, cache: &'r Cache) -> Request<'r> {
        let (keep, added) = self.vocabulary;
        Request {
            config: self.config,
            vocabulary: keep + added,
            plugins: self.plugins,
            cache,
        }
    }

    /// Where nothing was asked for: kernels of our own in the best format that fits; the twin on the same GPU for sizes that
    /// the kernels do not cover.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn best_plan(
        &self,
        reader: &mut PartReader<'_>,
        gpu: SharedGpu,
    ) -> Result<(Llm, Vec<PlugIn>), ModelError> {
        let cache = self.cache();
        match supported(&gpu, self.config, &cache) {
            Ok(()) => {
                let format = self.request(&cache).fitting(&gpu, self.stored_format()?)?;
                self.plan(reader, gpu, format)
            }
            Err(_) => self.twin(reader, None, None),
        }
    }

    /// Without a GPU: a base that is packed is multiplied as it is (unpacked to 16 bits it would take two to four times the memory, and
    /// as much longer for a token); anything else runs as the twin.
    ///
    /// # Errors
    /// As [`Self::packed`].
    pub fn best_on_cpu(
        &self,
        reader: &mut PartReader<'_>,
    ) -> Result<(Llm, Vec<PlugIn>), ModelError> {
        match self.stored_format()? {
            Format::F16 => self.twin(reader, None, None),
            format => {
                self.request(&self.cache())
                    .check_cpu(format, free_memory())?;
                self.packed(reader, None)
            }
        }
    }

    /// From packed rows on the CPU: in a format, or as the files have them.
    ///
    /// # Errors
    /// What the reader finds.
    pub fn packed(
        &self,
        reader: &mut PartReader<'_>,
        format: Option<Format>,
    ) -> Result<(Llm, Vec<PlugIn>), ModelError> {
        let config = self.config;
        let rows = RowsReader {
            config,
            vocabulary: self.vocabulary,
            formats: format.map(Formats::of),
        };
        let mut decoder = reader.read("language model", Precision::F32, &[self.llm], |loader| {
            rows.base(loader)
        })?;
        let mut plugins = Vec::new();
        for entry in self.plugins {
            let files = self.files(entry);
            let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
            let part = format!("plug-in {}", entry.name);
            plugins.push(reader.read(&part, Precision::F32, &files, |loader| {
                rows.plugin(loader, entry, &mut decoder);
                PlugIn::projector_only(loader, entry, config, self.vit_hidden)
            })?);
        }
        Ok((Llm::Packed(Box::new(decoder)), plugins))
    }

    fn files(&self, entry: &PlugInEntry) -> Vec<std::path::PathBuf> {
        // The fusion file comes second and wins, as in the reference.
        [Some(&entry.file), entry.fusion.as_ref()]
            .into_iter()
            .flatten()
            .map(|file| self.dir.join(file))
            .collect()
    }

    /// As burn modules.
    ///
    /// # Errors
    /// What the reader finds.
    pub fn twin(
        &self,
        reader: &mut PartReader<'_>,
        precision: Option<Precision>,
        plugin_precision: Option<Precision>,
    ) -> Result<(Llm, Vec<PlugIn>), ModelError> {
        let config = self.config;
        let precision = precision.unwrap_or_else(|| Precision::for_model(config, reader.device));
        let mut decoder = reader.read("language model", precision, &[self.llm], |loader| {
            Decoder::load(loader, config)
        })?;
        let (keep, added) = self.vocabulary;
        if added > 0 {
            let grown = |table: &Param<Tensor<2>>| {
                Param::from_tensor(resize_rows(
                    table.val().set_require_grad(false),
                    keep,
                    added,
                ))
            };
            decoder.embed_tokens = grown(&decoder.embed_tokens);
            decoder.lm_head = grown(&decoder.lm_head);
        }
        let mut plugins = Vec::new();
        for entry in self.plugins {
            let files = self.files(entry);
            let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
            let part = format!("plug-in {}", entry.name);
            let precision = plugin_precision.unwrap_or(precision);
            plugins.push(reader.read(&part, precision, &files, |loader| {
                PlugIn::load(loader, entry, config, self.vit_hidden, keep + added)
            })?);
        }
        Ok((Llm::Twin(Box::new(decoder)), plugins))
    }

    /// Packed for kernels of our own.
    ///
    /// # Errors
    /// What the reader finds, no room, or sizes that the kernels do not cover.
    pub fn plan(
        &self,
        reader: &mut PartReader<'_>,
        gpu: SharedGpu,
        format: Format,
    ) -> Result<(Llm, Vec<PlugIn>), ModelError> {
        let config = self.config;
        let cache = self.cache();
        self.request(&cache).check(&gpu, format)?;
        let packer = Packer {
            gpu: &gpu,
            formats: Formats::of(format),
            config,
            vocabulary: self.vocabulary,
        };
        let weights = reader.read("language model", Precision::F32, &[self.llm], |loader| {
            packer.weights(loader)
        })??;
        let (mut plugins, mut packed) = (Vec::new(), Vec::new());
        for entry in self.plugins {
            let files = self.files(entry);
            let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
            let part = format!("plug-in {}", entry.name);
            let read = reader.read(&part, Precision::F32, &files, |loader| {
                let plugin = PlugIn::projector_only(loader, entry, config, self.vit_hidden);
                packer
                    .plugin(loader, entry, &weights)
                    .map(|packed| (plugin, packed))
            })??;
            plugins.push(read.0);
            packed.push(read.1);
        }
        let count = packed.len();
        let kernels = Arc::clone(&gpu);
        let mut plan = Plan::new(gpu, config.clone(), weights, packed, cache)?;
        for plugin in 0..count {
            let (done, parts) = (reader.done, reader.parts);
            if (reader.on_progress)("preparing the kernels", done, parts).is_break() {
                return Err(ModelError::Stopped);
            }
            plan.warm(Some(plugin))?;
        }
        // Where that fails the next start compiles again; nothing else depends on it.
        let _ = kernels.keep_pipelines();
        Ok((Llm::Plan(Box::new(Mutex::new(plan))), plugins))
    }
}
