//! Parameters by name: their gradients, AdamW, and files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::AdaptiveMomentumState;
use burn::optim::{AdamW, AdamWConfig, AdamWState, GradientsParams, Optimizer};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};

use super::error::TrainError;
use crate::model::checkpoint::Checkpoint;
use crate::model::loader::NamedParam;

/// AdamW over named parameters, with the gradients' global norm clipped.
pub struct NamedOptimizer {
    adamw: AdamW,
    /// Largest global norm of the gradients.
    pub max_norm: f32,
    names: HashMap<ParamId, NamedParam>,
    states: BTreeMap<String, AdamWState<1>>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Global norm of the gradients before clipping.
    pub grad_norm: f32,
}

impl NamedOptimizer {
    /// For these parameters; `weight_decay` as in Table 7 (0).
    pub fn new(params: &[NamedParam], weight_decay: f32, max_norm: f32) -> Self {
        Self {
            adamw: AdamWConfig::new()
                .with_epsilon(1e-8)
                .with_weight_decay(weight_decay)
                .build(),
            max_norm,
            names: params
                .iter()
                .map(|param| (param.id, param.clone()))
                .collect(),
            states: BTreeMap::new(),
        }
    }

    /// Moves every parameter that has a gradient, each at the learning rate of its name.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        mut grads: GradientsParams,
        learning_rate: &dyn Fn(&str) -> f64,
    ) -> (M, StepReport) {
        let mut norm = NormVisitor {
            grads: &grads,
            sum: 0.0,
        };
        module.visit(&mut norm);
        let grad_norm = norm.sum.sqrt() as f32;
        let scale = if grad_norm > self.max_norm {
            self.max_norm / grad_norm
        } else {
            1.0
        };
        let mut mapper = StepMapper {
            optimizer: self,
            grads: &mut grads,
            learning_rate,
            scale,
        };
        (module.map(&mut mapper), StepReport { grad_norm })
    }

    /// Writes the moments.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`].
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let mut tensors = Vec::new();
        for (name, state) in &self.states {
            let momentum = &state.momentum;
            let values = |tensor: &Tensor<1>| {
                tensor
                    .clone()
                    .into_data()
                    .iter::<f32>()
                    .collect::<Vec<f32>>()
            };
            let (first, second) = (values(&momentum.moment_1), values(&momentum.moment_2));
            tensors.push((format!("{name}/time"), vec![1], vec![momentum.time as f32]));
            tensors.push((format!("{name}/moment_1"), vec![first.len()], first));
            tensors.push((format!("{name}/moment_2"), vec![second.len()], second));
        }
        write_f32(path, &tensors)
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] or [`TrainError::Model`].
    pub fn load(&mut self, path: &Path, device: &Device) -> Result<(), TrainError> {
        let file = Checkpoint::open(path)?;
        let read = |name: &str| file.tensor(name).map(|tensor| tensor.to_f32());
        let names: Vec<String> = self
            .names
            .values()
            .map(|param| param.name.clone())
            .collect();
        for name in names {
            let (time, first, second) = (
                read(&format!("{name}/time")),
                read(&format!("{name}/moment_1")),
                read(&format!("{name}/moment_2")),
            );
            let (Some(time), Some(first), Some(second)) = (time, first, second) else {
                continue;
            };
            let tensor = |values: Vec<f32>| {
                let len = values.len();
                Tensor::<1>::from_data(TensorData::new(values, [len]), device)
            };
            let time = time.first().map_or(0, |time| *time as usize);
            let momentum = AdaptiveMomentumState::new(time, tensor(first), tensor(second));
            let _ = self.states.insert(name, AdamWState::new(momentum));
        }
        Ok(())
    }
}

struct NormVisitor<'a> {
    grads: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for NormVisitor<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            let square: f32 = grad.powi_scalar(2).sum().into_scalar();
            self.sum += f64::from(square);
        }
    }
}

struct StepMapper<'a> {
    optimizer: &'a mut NamedOptimizer,
    grads: &'a mut GradientsParams,
    learning_rate: &'a dyn Fn(&str) -> f64,
    scale: f32,
}

impl ModuleMapper for StepMapper<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(grad) = self.grads.remove::<D>(param.id) else {
            return param;
        };
        let Some(named) = self.optimizer.names.get(&param.id) else {
            return param;
        };
        let (id, tensor, mapper) = param.consume();
        let shape = tensor.dims();
        let count = shape.iter().product::<usize>();
        let grad = grad.reshape([count]);
        let grad = if self.scale < 1.0 {
            grad.mul_scalar(self.scale)
        } else {
            grad
        };
        let state = self.optimizer.states.remove(&named.name);
        let values = tensor.inner().reshape([count]);
        let (values, state) =
            self.optimizer
                .adamw
                .step((self.learning_rate)(&named.name), values, grad, state);
        if let Some(state) = state {
            let _ = self.optimizer.states.insert(named.name.clone(), state);
        }
        let tensor = Tensor::from_inner(values.reshape(shape)).require_grad();
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Writes a module's parameters under the checkpoint's names, as f32 safetensors.
///
/// # Errors
/// [`TrainError::Checkpoint`].
pub fn save_module<M: Module>(
    module: &M,
    params: &[NamedParam],
    path: &Path,
) -> Result<(), TrainError> {
    let mut values = super::learner::values(module);
    let tensors: Vec<_> = params
        .iter()
        .filter_map(|param| {
            let values = values.remove(&param.id)?;
            Some((param.name.clone(), param.shape.clone(), values))
        })
        .collect();
    if tensors.len() != params.len() {
        return Err(TrainError::Checkpoint {
            why: format!(
                "{} of {} parameters are no longer in the model",
                params.len() - tensors.len(),
                params.len()
            ),
            path: path.to_owned(),
        });
    }
    write_f32(path, &tensors)
}

/// Tensors by name, shape and values, as f32 safetensors.
///
/// # Errors
/// [`TrainError::Checkpoint`].
pub fn write_f32(
    path: &Path,
    tensors: &[(String, Vec<usize>, Vec<f32>)],
) -> Result<(), TrainError> {
    let failed = |why: String| TrainError::Checkpoint {
        why,
        path: path.to_owned(),
    };
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| {
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        })
        .collect();
    let views: Vec<(&String, TensorView<'_>)> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| {
            Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?))
        })
        .collect::<Result<_, safetensors::SafeTensorError>>()
        .map_err(|error| failed(error.to_string()))?;
    safetensors::serialize_to_file(views, None, path).map_err(|error| failed(error.to_string()))
}

/// The same parameter with another value, as a leaf of the next graph.
pub(super) fn replaced<const D: usize>(
    param: Param<Tensor<D>>,
    with: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Param<Tensor<D>> {
    let tracked = param.is_require_grad();
    let (id, tensor, mapper) = param.consume();
    let tensor = with(tensor.detach()).detach().set_require_grad(tracked);
    Param::from_mapped_value(id, tensor, mapper)
}
