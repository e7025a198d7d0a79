//! A model against the numbers that a PyTorch reference wrote beside it (`expected.json`, `expected_*.safetensors`).
//!
//! Every stage is given the reference's own input, so that a difference shows where it arises: CLIP gets the picture; the
//! projector, each layer of the decoder and the head get what they got there. End to end, from the picture and with nothing
//! of the reference's in between, are `inputs_embeds`, `new_ids`, `step_logits` (the logits of every step) and the codes.
//!
//! Tolerances are the specification's (section 13): 1e-4 on states and logits, 1e-5 on router weights, one level on
//! RGB (x * 255 is truncated, so a difference of 1e-6 can move a value across an integer), ids and codes exact. They are
//! absolute, so a random model with large states can exceed them by rounding alone: the reference's own f32 run of
//! `make_fixture.py --kind phi3 --rig none --sliding-window 20 --kv-heads 2 --experts 8 --seed 5` is up to 3.4e-5 (router)
//! and 1.1e-4 (hidden states) away from its f64 run.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;
use serde::Serialize;
use serde_json::Value;

use super::checkpoint::Checkpoint;
use super::clip::{hidden_state_index, pixels_tensor};
use super::decoder::{Decoder, Trace};
use super::error::ModelError;
use super::generate::GenerateInput;
use super::healthgpt::{HealthGpt, LlmChoice};
use super::kv_cache::KvCache;
use super::llm::prompt_embeddings;
use super::manifest::ModelLayout;
use super::plugin::PlugIn;
use super::preprocess::{clip_pixels, vqgan_pixels};
use super::prompt::{PromptPiece, pieces};
use super::sampler::{Sampler, Sampling};
use super::vqgan::{argmax_columns, to_rgb};
use crate::task::Task;

/// One compared stage.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// `com`, `text`, `gen` or `vq`.
    pub run: &'static str,
    /// What was compared.
    pub stage: String,
    /// Largest absolute difference; for ids, how many differ.
    pub difference: f64,
    /// What is allowed.
    pub tolerance: f64,
}

impl Stage {
    /// Is the difference allowed? A NaN never is.
    pub fn passed(&self) -> bool {
        self.difference <= self.tolerance
    }
}

struct Verifier<'a> {
    model: &'a HealthGpt,
    /// The model's decoder.
    twin: &'a Decoder,
    image: RgbImage,
    stages: Vec<Stage>,
}

/// Compares every stage of the model in `dir` with the files beside it.
///
/// # Errors
/// The model does not load, or there is nothing to compare it with.
pub fn verify(dir: &Path, device: &Device) -> Result<Vec<Stage>, ModelError> {
    let path = dir.join("expected.json");
    if !path.is_file() {
        return Err(ModelError::MissingParts {
            missing: vec!["expected.json (nothing to compare with)".to_owned()],
            path: dir.to_owned(),
        });
    }
    let text = std::fs::read_to_string(&path).map_err(ModelError::io(&path))?;
    let expected: Value = serde_json::from_str(&text)
        .map_err(|error| ModelError::damaged(&path, error.to_string()))?;
    ModelLayout::open(dir)?.check_hashes(u64::MAX)?;
    let model = HealthGpt::load_as(dir, device, LlmChoice::Twin(None), &mut |_, _, _| {
        std::ops::ControlFlow::Continue(())
    })?;
    let Some(twin) = model.llm.twin() else {
        return Ok(Vec::new());
    };
    let picture = dir.join("image.png");
    let image = image::open(&picture)
        .map_err(|error| ModelError::damaged(&picture, error.to_string()))?
        .to_rgb8();
    let mut verifier = Verifier {
        model: &model,
        twin,
        image,
        stages: Vec::new(),
    };

    for sample in expected
        .get("tokenizer_samples")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = sample
            .get("text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let ids: Vec<i64> = model
            .tokenizer
            .encode(text)
            .into_iter()
            .map(i64::from)
            .collect();
        verifier.exact(
            "tokenizer",
            format!("{text:?}"),
            &ids,
            &integers(sample.get("ids")),
        );
    }
    for (run, key, file, task) in [
        ("com", "com", "expected_com.safetensors", Task::Comprehend),
        (
            "text",
            "com_text_only",
            "expected_com_text.safetensors",
            Task::Comprehend,
        ),
        ("gen", "gen", "expected_gen.safetensors", Task::Reconstruct),
    ] {
        let file = dir.join(file);
        // A model without image tokens (Qwen) has no generation to compare.
        if let (Some(want), true) = (
            expected
                .get(key)
                .filter(|want| want.get("new_ids").is_some()),
            file.is_file(),
        ) {
            verifier.run(run, task, want, &Checkpoint::open(&file)?)?;
        }
    }
    let file = dir.join("expected_vq.safetensors");
    if file.is_file() {
        verifier.vq(&Checkpoint::open(&file)?)?;
    }
    Ok(verifier.stages)
}

fn integers(value: Option<&Value>) -> Vec<i64> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_i64)
        .collect()
}

/// A tensor of the file in the shape of ours; ours where the file has none of that size.
fn expected_input(file: &Checkpoint, name: &str, ours: &Tensor<3>) -> Tensor<3> {
    let dims = ours.dims();
    match file.tensor(name).map(|tensor| tensor.to_f32()) {
        Some(want) if want.len() == dims.iter().product::<usize>() => {
            Tensor::from_data(TensorData::new(want, dims), &ours.device())
        }
        _ => ours.clone(),
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

impl Verifier<'_> {
    fn exact(&mut self, run: &'static str, stage: impl Into<String>, got: &[i64], want: &[i64]) {
        let differing = got
            .iter()
            .zip(want)
            .filter(|(got, want)| got != want)
            .count()
            + got.len().abs_diff(want.len());
        self.stages.push(Stage {
            run,
            stage: stage.into(),
            difference: differing as f64,
            tolerance: 0.0,
        });
    }

    /// Compares with a tensor of the file, where it is there.
    fn close(
        &mut self,
        run: &'static str,
        file: &Checkpoint,
        name: &str,
        got: &[f32],
        tolerance: f64,
    ) {
        let Some(want) = file.tensor(name).map(|tensor| tensor.to_f32()) else {
            return;
        };
        let difference = if got.len() == want.len() {
            got.iter().zip(&want).fold(0.0f64, |worst, (got, want)| {
                let difference = f64::from((got - want).abs());
                // A NaN stays: f64::max would drop it.
                if worst.is_nan() || difference.is_nan() {
                    f64::NAN
                } else {
                    worst.max(difference)
                }
            })
        } else {
            f64::INFINITY
        };
        self.stages.push(Stage {
            run,
            stage: name.to_owned(),
            difference,
            tolerance,
        });
    }

    fn run(
        &mut self,
        run: &'static str,
        task: Task,
        want: &Value,
        file: &Checkpoint,
    ) -> Result<(), ModelError> {
        let (model, twin) = (self.model, self.twin);
        let plugin = model.plugin_for(task)?;
        let text = want
            .get("prompt")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let with_image = text.contains("<image>");
        // The prompt as our templates make it, where the file has the question (the text-only run has not).
        if let Some(question) = want.get("question").and_then(Value::as_str) {
            let template = model.layout.manifest.template;
            let ours = template.text(&[], question, usize::from(with_image), task.generates());
            self.exact(
                run,
                "prompt text",
                &ours.bytes().map(i64::from).collect::<Vec<_>>(),
                &text.bytes().map(i64::from).collect::<Vec<_>>(),
            );
        }
        let prompt = pieces(&model.tokenizer, text);
        let ids: Vec<i64> = prompt
            .iter()
            .flat_map(|piece| match piece {
                PromptPiece::Ids(ids) => ids.iter().map(|id| i64::from(*id)).collect(),
                PromptPiece::Image(_) => vec![-200],
            })
            .collect();
        self.exact(run, "prompt_ids", &ids, &integers(want.get("prompt_ids")));

        if with_image {
            self.vision(run, plugin, file)?;
        }
        let images = if with_image {
            vec![self.image.clone()]
        } else {
            Vec::new()
        };
        let parts = model.prompt_parts(plugin, &prompt, &images)?;
        let x = prompt_embeddings(twin, plugin, parts, &model.device);
        self.close(run, file, "inputs_embeds", &values(x.clone()), 1e-4);

        let [_, tokens, _] = x.dims();
        let mut cache = KvCache::new(&twin.config, tokens, &model.device);
        let layers = twin.config.num_hidden_layers;
        let given = |name: String| expected_input(file, &name, &x);
        let mut trace = Trace {
            given: (0..layers)
                .filter(|i| file.info(&format!("llm.hidden.{i}")).is_some())
                .map(|i| given(format!("llm.hidden.{i}")))
                .collect(),
            ..Trace::default()
        };
        let y = twin.forward(plugin, x.clone(), &mut cache, Some(&mut trace));
        for (i, hidden) in trace.hidden.iter().enumerate() {
            self.close(
                run,
                file,
                &format!("llm.hidden.{i}"),
                &values(hidden.clone()),
                1e-4,
            );
        }
        for (site, route) in &trace.route {
            self.close(
                run,
                file,
                &format!("route.{site}"),
                &values(route.clone()),
                1e-5,
            );
        }
        for (site, delta) in &trace.delta {
            let name = format!("delta.{site}");
            // What a plug-in adds reaches 30 where hidden states reach 5: 1e-4 of its own largest value.
            let largest = file.tensor(&name).map_or(0.0, |want| {
                want.to_f32().iter().fold(0.0f32, |a, x| a.max(x.abs()))
            });
            self.close(
                run,
                file,
                &name,
                &values(delta.clone()),
                1e-4 * f64::from(largest.max(1.0)),
            );
        }
        let normed = expected_input(file, &format!("llm.hidden.{layers}"), &y);
        let logits = twin.logits(plugin, normed);
        self.close(run, file, "prompt_logits", &values(logits), 1e-4);

        // From the picture to the last token with nothing of the reference's in between. Free-running greedy decoding through the cache, as the reference does (faithful: the whole vocabulary).
        let new = integers(want.get("new_ids"));
        let mut cache = KvCache::new(&twin.config, tokens + new.len(), &model.device);
        let y = twin.forward(plugin, x, &mut cache, None);
        let logits = twin.logits(plugin, y.narrow(1, tokens - 1, 1));
        let mut sampler = Sampler::new(&Sampling::default(), model.generation.repetition_penalty);
        let mut last = values(logits);
        let (mut steps, mut ids) = (Vec::new(), Vec::new());
        while ids.len() < new.len() {
            steps.extend_from_slice(&last);
            let id = sampler.choose(last, 0);
            ids.push(i64::from(id));
            if model.generation.eos_token_ids.contains(&id) {
                break;
            }
            let x = twin.embed(plugin, &[id], &model.device);
            if ids.len() == new.len() {
                break;
            }
            let y = twin.forward(plugin, x, &mut cache, None);
            last = values(twin.logits(plugin, y));
        }
        self.exact(run, "new_ids", &ids, &new);
        self.close(run, file, "step_logits", &steps, 1e-4);

        // Held to the grammar of an image, a run that the reference completes gives the same codes.
        if task.generates() && want.get("complete").and_then(Value::as_bool) == Some(true) {
            let question = want
                .get("question")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let go_on = &mut |_, _| std::ops::ControlFlow::Continue(());
            let made = model.generate(&GenerateInput::new(&self.image, task, question), go_on)?;
            let codes: Vec<i64> = made.codes.iter().map(|code| i64::from(*code)).collect();
            self.exact(
                run,
                "indices (constrained)",
                &codes,
                &integers(want.get("indices")),
            );
        }
        Ok(())
    }

    fn vision(
        &mut self,
        run: &'static str,
        plugin: &PlugIn,
        file: &Checkpoint,
    ) -> Result<(), ModelError> {
        let model = self.model;
        let pixels = clip_pixels(&self.image, &model.preprocessor);
        self.close(run, file, "pixel_values", &pixels, 1e-4);
        let side = model.preprocessor.size;
        let layers = model.clip_config.num_hidden_layers;
        let states = model
            .clip
            .hidden_states(pixels_tensor(pixels, [side, side], &model.device), layers);
        for (i, state) in states.iter().enumerate() {
            self.close(
                run,
                file,
                &format!("clip.hidden.{i}"),
                &values(state.clone()),
                1e-4,
            );
        }
        let selected = hidden_state_index(plugin.entry.vit_hidden_state, layers)?;
        if let Some(state) = states.get(selected) {
            let [_, tokens, _] = state.dims();
            let patches = state.clone().narrow(1, 1, tokens - 1);
            self.close(run, file, "clip.selected", &values(patches.clone()), 1e-4);
            let given = expected_input(file, "clip.selected", &patches);
            let projected = plugin.mm_projector.forward(given);
            self.close(run, file, "projected", &values(projected), 1e-4);
        }
        Ok(())
    }

    fn vq(&mut self, file: &Checkpoint) -> Result<(), ModelError> {
        let Some((vqgan, config)) = &self.model.vqgan else {
            return Ok(());
        };
        for name in ["gen", "grid"] {
            let Some(codes) = file
                .tensor(&format!("{name}.indices"))
                .map(|tensor| tensor.to_i64())
            else {
                continue;
            };
            let codes: Vec<u32> = codes.into_iter().map(|code| code as u32).collect();
            let z = vqgan.latents(&codes, &self.model.device);
            self.close("vq", file, &format!("{name}.z"), &values(z.clone()), 1e-4);
            let x = vqgan.decode(z);
            self.close("vq", file, &format!("{name}.x"), &values(x.clone()), 1e-4);
            let rgb: Vec<f32> = to_rgb(x).iter().map(|level| f32::from(*level)).collect();
            self.close("vq", file, &format!("{name}.rgb"), &rgb, 1.0);
        }
        let pixels = vqgan_pixels(&self.image, config.resolution);
        self.close("vq", file, "encode.input", &pixels, 1e-6);
        let side = config.resolution;
        let x = Tensor::from_data(
            TensorData::new(pixels, [1, 3, side, side]),
            &self.model.device,
        );
        let logits = vqgan.encode_logits(x);
        let [_, codes, height, width] = logits.dims();
        let logits = values(logits);
        self.close("vq", file, "encode.logits", &logits, 1e-4);
        let got: Vec<i64> = argmax_columns(&logits, codes, height * width)
            .into_iter()
            .map(i64::from)
            .collect();
        let want = file
            .tensor("encode.indices")
            .map(|tensor| tensor.to_i64())
            .unwrap_or_default();
        self.exact("vq", "encode.indices", &got, &want);
        // As the program finds them: on a GPU by a kernel of its own.
        let codes = self.model.image_codes(&self.image)?.unwrap_or_default();
        let codes: Vec<i64> = codes.into_iter().map(i64::from).collect();
        self.exact("vq", "encode.indices by lookup", &codes, &want);
        Ok(())
    }
}
