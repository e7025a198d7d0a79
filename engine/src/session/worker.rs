//! The two threads: one owns the device, the model and every tensor; the other reads scans.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use burn::tensor::Device;
use image::RgbImage;
use image::imageops::{FilterType, crop_imm, resize};

use super::command::{AskRequest, Command, GenerateRequest, JobId, Source};
use super::event::{Event, EventKind, ModelInfo};
use super::place::Place;
use super::queue::Queue;
use crate::bench::memory_mib;
use crate::device::{DeviceChoice, DeviceInfo, choose, kernels_on};
use crate::error::{Error, Result};
use crate::imaging::tags::header_fields;
use crate::imaging::{
    Axes, Generated, Provenance, SeriesInfo, ViewDescriptor, Volume, first_slice,
    load_series_showing, metrics, render, scan_showing, series_picture,
};
use crate::model::{AskInput, GenerateInput, GeneratedImage, HealthGpt};
use crate::training;

/// The engine thread: runs until the handle is dropped.
pub fn tensors(choice: DeviceChoice, jobs: &Receiver<(JobId, Command)>, queue: &Queue) {
    let (device, info) = match choose(choice) {
        Ok(chosen) => chosen,
        Err(error) => {
            let error = Arc::new(Error::NoAdapter(error));
            queue.push(Event {
                job: JobId(0),
                kind: EventKind::Failed(Arc::clone(&error)),
            });
            for (job, _) in jobs {
                queue.push(Event {
                    job,
                    kind: EventKind::Failed(Arc::clone(&error)),
                });
            }
            return;
        }
    };
    queue.push(Event {
        job: JobId(0),
        kind: EventKind::Device(info.clone()),
    });
    let mut place = Place::new(device, info);
    for (job, command) in jobs {
        // A GPU that went away while nothing ran costs this job nothing.
        if let Some(reason) = place.lost(None) {
            place.replace(&reason, queue);
        }
        let outcome = outcome(job, queue, || tensor_job(&mut place, command, job, queue));
        let lost = outcome
            .as_ref()
            .err()
            .and_then(|error| place.lost(Some(error)));
        let outcome = match &lost {
            Some(reason) => Err(Error::GpuLost {
                reason: reason.clone(),
            }),
            None => outcome,
        };
        end(job, queue, outcome);
        if let Some(reason) = lost {
            place.replace(&reason, queue);
        }
    }
}

fn tensor_job(place: &mut Place, command: Command, job: JobId, queue: &Queue) -> Result<EventKind> {
    match command {
        Command::LoadModel { dir } => {
            place.model = None; // two models would not fit
            place.drafts.clear();
            let (loaded, info) = load_model(&dir, &place.device, job, queue)?;
            place.model = Some((dir, loaded));
            Ok(EventKind::ModelLoaded(Arc::new(info)))
        }
        Command::Ask(request) => answer(place.model()?, &request, job, queue),
        Command::Generate(request) => {
            let mut drafts = std::mem::take(&mut place.drafts);
            let requests = std::slice::from_ref(request.as_ref());
            let made = generate(
                place.model()?,
                requests,
                &place.info,
                &mut drafts,
                job,
                queue,
            );
            place.drafts = drafts;
            let mut made = made?.into_iter();
            let first = made.next().ok_or(Error::EngineGone)?;
            Ok(EventKind::Generated(first))
        }
        Command::GenerateSeveral(requests) => {
            let (model, mut drafts) = (place.model()?, Vec::new());
            let made = generate(model, &requests, &place.info, &mut drafts, job, queue)?;
            Ok(EventKind::GeneratedSeveral(made))
        }
        Command::Train { config } => train(&config, &place.device, job, queue),
        Command::Scan { .. }
        | Command::LoadSeries { .. }
        | Command::ReadHeader { .. }
        | Command::Thumbnails { .. } => Err(Error::EngineGone),
    }
}

/// The loader thread: runs until the handle is dropped.
pub fn files(jobs: &Receiver<(JobId, Command)>, queue: &Queue) {
    for (job, command) in jobs {
        run(job, queue, || match command {
            Command::Scan { paths } => {
                let mut show = |series: SeriesInfo| {
                    // One that cannot be read is none to look at.
                    if let Ok(volume) = first_slice(&series) {
                        let series = Box::new(series);
                        let kind = EventKind::FirstFound { series, volume };
                        queue.push(Event { job, kind });
                    }
                };
                let found = scan_showing(&paths, &mut show, &mut |done, of| {
                    queue.progress(job, "reading headers", done, of)
                })?;
                Ok(EventKind::ScanDone {
                    series: found.series,
                    skipped: found.skipped,
                })
            }
            Command::LoadSeries { series } => {
                let mut first = |volume| {
                    queue.push(Event {
                        job,
                        kind: EventKind::FirstSlice {
                            id: series.id.clone(),
                            volume: Arc::new(volume),
                        },
                    });
                };
                let loaded = load_series_showing(&series, &mut first, &mut |done, of| {
                    queue.progress(job, "reading slices", done, of)
                })?;
                Ok(EventKind::SeriesLoaded {
                    id: series.id.clone(),
                    loaded,
                })
            }
            Command::ReadHeader { series, slice } => Ok(EventKind::Header {
                fields: header_fields(&series, slice)?,
                id: series.id.clone(),
                slice,
            }),
            Command::Thumbnails { series } => {
                let count = series.len();
                for (done, series) in series.iter().enumerate() {
                    if queue.progress(job, "thumbnails", done, count).is_break() {
                        return Err(Error::Stopped);
                    }
                    // One that cannot be drawn says why once it is opened.
                    if let Ok(picture) = series_picture(series, &mut || queue.flow(job)) {
                        queue.push(Event {
                            job,
                            kind: EventKind::Thumbnail {
                                id: series.id.clone(),
                                picture: Arc::new(picture),
                            },
                        });
                    }
                }
                Ok(EventKind::ThumbnailsDone)
            }
            _ => Err(Error::EngineGone),
        });
    }
}

/// Runs one job and reports its end.
fn run(job: JobId, queue: &Queue, work: impl FnOnce() -> Result<EventKind>) {
    end(job, queue, outcome(job, queue, work));
}

/// Runs one job. A panic (ours or a library's) ends the job, not the program.
fn outcome(
    job: JobId,
    queue: &Queue,
    work: impl FnOnce() -> Result<EventKind>,
) -> Result<EventKind> {
    if queue.flow(job).is_break() {
        return Err(Error::Stopped);
    }
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Error::Internal(panic_text(&*panic))))
}

fn end(job: JobId, queue: &Queue, outcome: Result<EventKind>) {
    queue.forget(job);
    let kind = outcome.unwrap_or_else(|error| EventKind::Failed(Arc::new(error)));
    queue.push(Event { job, kind });
}

pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown".to_owned())
}

pub fn load_model(
    dir: &std::path::Path,
    device: &Device,
    job: JobId,
    queue: &Queue,
) -> Result<(HealthGpt, ModelInfo)> {
    let started = Instant::now();
    let before = memory_mib();
    let model = HealthGpt::load(dir, device, &mut |part, done, of| {
        queue.progress(job, part, done, of)
    })?;
    let manifest = &model.layout.manifest;
    let mut notes = Vec::new();
    if model.llm.twin().is_none() {
        notes.push(format!("language model: {}", model.llm.describe()));
    }
    if !model.unused.is_empty() {
        notes.push(format!(
            "{} tensors of the files are not used: {}",
            model.unused.len(),
            model.unused.join(", ")
        ));
    }
    let grid = model.clip_config.image_size / model.clip_config.patch_size;
    let info = ModelInfo {
        name: manifest.name.clone(),
        variant: manifest.variant.clone(),
        trained: manifest.trained,
        caution: manifest.caution.clone(),
        capabilities: manifest
            .plugins
            .iter()
            .flat_map(|plugin| plugin.capabilities.clone())
            .collect(),
        licence: manifest.licence.clone(),
        context_tokens: model.llm.config().max_position_embeddings,
        image_tokens: grid * grid,
        generated_side: model.vqgan.as_ref().map(|(_, config)| config.resolution),
        notes,
        load_secs: started.elapsed().as_secs_f64(),
        memory_mib: match kernels_on(device) {
            Some(gpu) => gpu.allocated_mib(),
            None => before
                .zip(memory_mib())
                .map(|(before, after)| (after - before).max(0.0)),
        },
    };
    Ok((model, info))
}

fn train(
    config: &std::path::Path,
    device: &Device,
    job: JobId,
    queue: &Queue,
) -> Result<EventKind> {
    let run = training::job::Job::open(config)?;
    let mut finished = true;
    run.run(device, &mut |step| {
        queue.push(Event {
            job,
            kind: EventKind::TrainStep(step.clone()),
        });
        finished = step.step == step.of;
        let _ = queue.progress(job, "training", step.step as usize, step.of as usize);
        queue.flow(job)
    })?;
    Ok(EventKind::Trained {
        out: run.out().clone(),
        finished,
    })
}

/// The view of a slice that this model gets: the one on screen, or with the window it was trained on.
fn seen(model: &HealthGpt, volume: &Volume, view: ViewDescriptor) -> ViewDescriptor {
    match &model.layout.manifest.windows {
        Some(windows) => windows.view(volume, view),
        None => view,
    }
}

fn picture(model: &HealthGpt, source: &Source) -> Result<RgbImage> {
    match source {
        Source::Slice { volume, view } => Ok(render(volume, &seen(model, volume, *view))?),
        Source::Picture(image) => Ok(image.as_ref().clone()),
    }
}

fn answer(model: &HealthGpt, request: &AskRequest, job: JobId, queue: &Queue) -> Result<EventKind> {
    let images = request
        .sources
        .iter()
        .map(|source| picture(model, source))
        .collect::<Result<Vec<_>>>()?;
    let history: Vec<(&str, &str)> = request
        .history
        .iter()
        .map(|turn| (turn.question.as_str(), turn.answer.as_str()))
        .collect();
    let input = AskInput {
        images: &images,
        history: &history,
        question: &request.question,
        sampling: &request.sampling,
        max_new_tokens: request.max_new_tokens,
    };
    let answer = model.answer(&input, &mut |text| {
        if !text.is_empty() {
            queue.push(Event {
                job,
                kind: EventKind::Text(text.to_owned()),
            });
        }
        queue.flow(job)
    })?;
    Ok(EventKind::Answered(answer))
}

/// A picture for each request. `drafts` are the codes of the picture before, which is often a neighbouring slice.
fn generate(
    model: &HealthGpt,
    requests: &[GenerateRequest],
    device: &DeviceInfo,
    drafts: &mut Vec<u32>,
    job: JobId,
    queue: &Queue,
) -> Result<Vec<Arc<Generated>>> {
    let mut asked = Vec::new();
    for request in requests {
        if let Source::Slice { volume, .. } = &request.source {
            request.task.check_source(&volume.modality)?;
        }
        let own = request.task.instruction().to_owned();
        let instruction = request.instruction.clone().unwrap_or(own);
        asked.push((request, picture(model, &request.source)?, instruction));
    }
    let mut inputs = Vec::new();
    for (request, image, instruction) in &asked {
        inputs.push(GenerateInput {
            sampling: &request.sampling,
            faithful: request.faithful,
            draft: request.draft,
            previous: drafts,
            ..GenerateInput::new(image, request.task, instruction)
        });
    }
    let results = model.generate_together(&inputs, &mut |done, of| {
        queue.progress(job, "image tokens", done, of)
    })?;
    if queue.flow(job).is_break() {
        return Err(Error::Stopped);
    }
    if let Some(last) = results.last() {
        *drafts = last.codes.clone();
    }
    let each = asked.into_iter().zip(&results);
    each.map(|((request, input, instruction), result)| {
        let made = generated(model, request, input, instruction, result, device)?;
        Ok(Arc::new(made))
    })
    .collect()
}

/// A picture with its history.
fn generated(
    model: &HealthGpt,
    request: &GenerateRequest,
    input: RgbImage,
    instruction: String,
    result: &GeneratedImage,
    device: &DeviceInfo,
) -> Result<Generated> {
    let task = request.task;
    let grey = matches!(request.source, Source::Slice { .. });
    let output = unpad(result.unmarked(), input.width(), input.height(), grey);
    let (view, uid) = match &request.source {
        Source::Slice { volume, view } => {
            let [_, _, k] = volume.voxel_at(view.plane, view.index, 0, 0);
            let one_slice = view.axes == Axes::Acquired && view.slab.is_none();
            let acquired = one_slice && view.plane == volume.acquired_plane();
            (
                Some(seen(model, volume, *view)),
                acquired
                    .then(|| volume.instance_uids.get(k).cloned())
                    .flatten(),
            )
        }
        Source::Picture(_) => (None, None),
    };
    let manifest = &model.layout.manifest;
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let provenance = Provenance {
        synthetic: true,
        task: task.name().to_owned(),
        instruction,
        model: manifest.name.clone(),
        model_sha256: model.layout.identity(),
        model_trained: manifest.trained,
        plugin: model.plugin_for(task)?.entry.name.clone(),
        sampling: model.code_choice(task, &request.sampling, request.faithful),
        faithful: request.faithful,
        view,
        source_instance_uid: uid,
        input_sha256: String::new(),
        output_sha256: String::new(),
        device: device.name.clone(),
        software: concat!("HealthGPT Workbench ", env!("CARGO_PKG_VERSION")).to_owned(),
        created_unix_secs: seconds,
        elapsed_secs: result.secs,
        drafts: result.drafts,
        similarity_to_input: similarity(&input, &output),
    };
    Ok(Generated::new(output, input, provenance))
}

/// The model works on a square; this cuts the part that held the input, and drops the colour noise of a grey scan.
fn unpad(square: &RgbImage, width: u32, height: u32, grey: bool) -> RgbImage {
    let side = square.width();
    let longest = width.max(height).max(1);
    let scaled = |len: u32| {
        ((f64::from(len) * f64::from(side) / f64::from(longest)).round() as u32).clamp(1, side)
    };
    let (width, height) = (scaled(width), scaled(height));
    let mut cut = crop_imm(
        square,
        (side - width) / 2,
        (side - height) / 2,
        width,
        height,
    )
    .to_image();
    if grey {
        for pixel in cut.pixels_mut() {
            let sum: u32 = pixel.0.iter().map(|level| u32::from(*level)).sum();
            pixel.0 = [((sum + 1) / 3) as u8; 3];
        }
    }
    cut
}

/// SSIM of the output and the input at the output's size.
fn similarity(input: &RgbImage, output: &RgbImage) -> f64 {
    let input = resize(input, output.width(), output.height(), FilterType::Triangle);
    metrics::ssim(
        &metrics::grey(&input),
        &metrics::grey(output),
        output.width() as usize,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tall_input_gets_its_shape_back() {
        let square = RgbImage::from_fn(64, 64, |x, _| image::Rgb([x as u8, 0, 3]));
        let cut = unpad(&square, 100, 200, true);
        assert_eq!(cut.dimensions(), (32, 64));
        assert_eq!(cut.get_pixel(0, 0).0, [6; 3]); // (16 + 0 + 3 + 1) / 3
    }
}
