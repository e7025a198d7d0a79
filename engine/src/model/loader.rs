//! From the tensors of files to the parameters of burn modules.
//!
//! A missing or misshaped tensor does not stop the reading: the ledger notes its name and a zero stands in, so that
//! one error at the end lists all of them. Nothing is used before that error has been checked.

use std::ops::ControlFlow;
use std::path::Path;

use burn::module::{Param, ParamId};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::checkpoint::{Checkpoint, HeldTensor, RawTensor, TensorLedger};
use super::config::LlmConfig;
use super::error::ModelError;
use super::initializer::Initializer;
use super::layers::{LayerNorm, Linear, RmsNorm};

/// In which type the weights of linear layers are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As the fixtures are compared.
    F32,
    /// Half the memory: for full-size models.
    F16,
}

impl Precision {
    /// f32 up to half a billion weights in the decoder (2 GB), then f16 where the device has it. bf16 files are converted: the CPU backend is
    /// twenty times slower on bf16.
    pub fn for_model(config: &LlmConfig, device: &Device) -> Self {
        let kv = config.num_key_value_heads * config.head_dim;
        let per_layer =
            config.hidden_size * (2 * config.hidden_size + 2 * kv + 3 * config.intermediate_size);
        let weights =
            config.num_hidden_layers * per_layer + 2 * config.vocab_size * config.hidden_size;
        if weights > 500_000_000 && device.supports_dtype(DType::F16) {
            Self::F16
        } else {
            Self::F32
        }
    }
}

/// Where values come from.
pub enum Source<'a> {
    /// Files: names are looked up and noted.
    Files(&'a mut TensorLedger),
    /// Nowhere: a new model, to be trained.
    Random(&'a mut Initializer),
}

/// A parameter under the name that it has in files.
#[derive(Clone, Debug)]
pub struct NamedParam {
    /// The checkpoint's name.
    pub name: String,
    /// The parameter's identity in its module.
    pub id: ParamId,
    /// The shape in files; the module may hold it reshaped.
    pub shape: Vec<usize>,
}

/// Makes the parameters of modules by the checkpoint's names.
pub struct Loader<'a> {
    /// Where values come from.
    pub source: Source<'a>,
    /// Where tensors go.
    pub device: &'a Device,
    /// Type of matrices; vectors and convolutions are always f32.
    pub precision: Precision,
    /// Asked before every tensor; after a break nothing more is read, and zeros stand in.
    pub on_tensor: &'a mut dyn FnMut() -> ControlFlow<()>,
    /// A break was asked for: nothing that was loaded may be used.
    pub stopped: bool,
    /// Every parameter made, in order: what a trainer writes under the same names.
    pub made: Vec<NamedParam>,
}

impl Loader<'_> {
    /// Is there a tensor of this name?
    pub fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Files(ledger) => ledger.has(name),
            Source::Random(_) => false,
        }
    }

    /// A tensor as the files hold it, for a reader that packs it itself; `None` after a break, or where it is missing
    /// (the ledger notes its name).
    pub fn raw(&mut self, name: &str, shape: &[usize]) -> Option<RawTensor<'_>> {
        self.stopped = self.stopped || (self.on_tensor)().is_break();
        if self.stopped {
            return None;
        }
        match &mut self.source {
            Source::Files(ledger) => ledger.take(name, shape),
            Source::Random(initializer) => {
                Some(RawTensor::of_f32(&initializer.values(name, shape), shape))
            }
        }
    }

    /// As [`Self::raw`], for a reader that keeps the tensor where the file has it.
    pub fn hold(&mut self, name: &str, shape: &[usize]) -> Option<HeldTensor> {
        self.stopped = self.stopped || (self.on_tensor)().is_break();
        if self.stopped {
            return None;
        }
        match &mut self.source {
            Source::Files(ledger) => ledger.hold(name, shape),
            Source::Random(initializer) => {
                Some(HeldTensor::of_f32(&initializer.values(name, shape), shape))
            }
        }
    }

    /// `[len]`, f32.
    pub fn vector(&mut self, name: &str, len: usize) -> Param<Tensor<1>> {
        self.param(name, &[len], [len], DType::F32)
    }

    /// `[rows, columns]`, in the loader's precision.
    pub fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Param<Tensor<2>> {
        self.reshaped(name, &[rows, columns], [rows, columns])
    }

    /// A tensor of the file's shape `stored`, held as a matrix, in the loader's precision.
    pub fn reshaped(&mut self, name: &str, stored: &[usize], held: [usize; 2]) -> Param<Tensor<2>> {
        let dtype = match self.precision {
            Precision::F32 => DType::F32,
            Precision::F16 => DType::F16,
        };
        self.param(name, stored, held, dtype)
    }

    /// `[out, in, k, k]`, f32.
    pub fn tensor4(&mut self, name: &str, shape: [usize; 4]) -> Param<Tensor<4>> {
        self.param(name, &shape, shape, DType::F32)
    }

    /// `{name}.weight` and, if asked, `{name}.bias`.
    pub fn linear(&mut self, name: &str, d_out: usize, d_in: usize, bias: bool) -> Linear {
        Linear {
            weight: self.matrix(&format!("{name}.weight"), d_out, d_in),
            bias: bias.then(|| self.vector(&format!("{name}.bias"), d_out)),
        }
    }

    /// `{name}.weight`.
    pub fn rms_norm(&mut self, name: &str, hidden: usize, eps: f64) -> RmsNorm {
        RmsNorm {
            weight: self.vector(&format!("{name}.weight"), hidden),
            eps,
        }
    }

    /// `{name}.weight` and `{name}.bias`.
    pub fn layer_norm(&mut self, name: &str, hidden: usize, eps: f64) -> LayerNorm {
        LayerNorm {
            weight: self.vector(&format!("{name}.weight"), hidden),
            bias: self.vector(&format!("{name}.bias"), hidden),
            eps,
        }
    }

    fn param<const D: usize>(
        &mut self,
        name: &str,
        stored: &[usize],
        held: [usize; D],
        dtype: DType,
    ) -> Param<Tensor<D>> {
        let param = Param::from_tensor(self.values(name, stored, held, dtype));
        self.made.push(NamedParam {
            name: name.to_owned(),
            id: param.id,
            shape: stored.to_vec(),
        });
        param
    }

    fn values<const D: usize>(
        &mut self,
        name: &str,
        stored: &[usize],
        held: [usize; D],
        dtype: DType,
    ) -> Tensor<D> {
        self.stopped = self.stopped || (self.on_tensor)().is_break();
        let zeros = || Tensor::zeros(held, (self.device, dtype));
        if self.stopped {
            return zeros();
        }
        let raw = match &mut self.source {
            Source::Files(ledger) => ledger.take(name, stored),
            Source::Random(initializer) => {
                let data = TensorData::new(initializer.values(name, stored), held);
                return Tensor::from_data(data, (self.device, dtype));
            }
        };
        match (raw, dtype) {
            (None, _) => zeros(),
            (Some(raw), DType::F16) => {
                Tensor::from_data(TensorData::new(raw.to_f16(), held), (self.device, dtype))
            }
            (Some(raw), _) => {
                Tensor::from_data(TensorData::new(raw.to_f32(), held), (self.device, dtype))
            }
        }
    }
}

/// Reads the parts of one model, each from its own files, with progress and cancel.
pub struct PartReader<'a> {
    /// Where tensors go.
    pub device: &'a Device,
    /// Gets what is being read, and the parts done and in all; asked again before every tensor.
    pub on_progress: &'a mut dyn FnMut(&str, usize, usize) -> ControlFlow<()>,
    /// Parts done.
    pub done: usize,
    /// Parts in all.
    pub parts: usize,
    /// Tensors of the files that nothing used.
    pub unused: Vec<String>,
    /// The parameters made, by part.
    pub made: Vec<(String, Vec<NamedParam>)>,
}

impl PartReader<'_> {
    /// One part from its files; where two hold a tensor, the later one wins.
    ///
    /// # Errors
    /// A file that cannot be read, tensors that are missing or misshaped, or a stop.
    pub fn read<T>(
        &mut self,
        part: &str,
        precision: Precision,
        files: &[&Path],
        build: impl FnOnce(&mut Loader<'_>) -> T,
    ) -> Result<T, ModelError> {
        let stage = format!("loading the {part}");
        let (done, parts) = (self.done, self.parts);
        let mut on_tensor = || (self.on_progress)(&stage, done, parts);
        if on_tensor().is_break() {
            return Err(ModelError::Stopped);
        }
        let sources = files
            .iter()
            .map(|file| Checkpoint::open(file))
            .collect::<Result<_, _>>()?;
        let mut ledger = TensorLedger::new(sources);
        let mut loader = Loader {
            source: Source::Files(&mut ledger),
            device: self.device,
            precision,
            on_tensor: &mut on_tensor,
            stopped: false,
            made: Vec::new(),
        };
        let built = build(&mut loader);
        if loader.stopped {
            return Err(ModelError::Stopped);
        }
        let made = loader.made;
        self.unused.extend(ledger.finish()?.unused);
        self.made.push((part.to_owned(), made));
        self.done += 1;
        Ok(built)
    }
}
