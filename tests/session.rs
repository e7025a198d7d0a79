//! A script of commands, and the events it must cause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::imaging::{Affine, Loaded, Modality, Plane, Rescale, ViewDescriptor, Volume, Voxels};
use engine::model::{AnswerEnd, Drafting, Sampling};
use engine::session::{AskRequest, Command, EventKind, GenerateRequest, JobId, Source};
use engine::{DeviceChoice, Engine, Error, Task};

use crate::fixtures::Dicom;
use crate::support::{repo, tiny_model};

struct Script {
    engine: Engine,
}

impl Script {
    fn start() -> Self {
        Self {
            engine: Engine::start(DeviceChoice::Cpu, || {}).unwrap(),
        }
    }

    /// Waits for the last event of a job; returns all of its events.
    fn finish(&self, job: JobId) -> Vec<EventKind> {
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut kinds = Vec::new();
        while Instant::now() < deadline {
            let Some(event) = self.engine.wait_event(Duration::from_secs(1)) else {
                continue;
            };
            if event.job == job {
                let last = event.kind.ends_job();
                kinds.push(event.kind);
                if last {
                    return kinds;
                }
            }
        }
        panic!("job {job:?} did not end: {kinds:?}");
    }

    fn with_model() -> Self {
        let script = Self::start();
        let job = script.engine.send(Command::LoadModel { dir: tiny_model() });
        let events = script.finish(job);
        assert!(
            matches!(events.last(), Some(EventKind::ModelLoaded(info)) if !info.trained),
            "{events:?}"
        );
        script
    }
}

fn volume(modality: Modality) -> Arc<Volume> {
    let voxels = (0..40 * 30 * 3).map(|i| (i % 300) as i16).collect();
    Arc::new(Volume {
        rescale: vec![Rescale {
            slope: 1.0,
            intercept: -100.0,
        }],
        modality,
        instance_uids: vec!["1.2.3".to_owned(), "1.2.4".to_owned(), "1.2.5".to_owned()],
        ..Volume::new([40, 30, 3], Voxels::I16(voxels), Affine::IDENTITY)
    })
}

fn slice(volume: &Arc<Volume>) -> Source {
    let view = ViewDescriptor::new(Plane::Axial, 1, volume.default_window());
    Source::Slice {
        volume: Arc::clone(volume),
        view,
    }
}

fn question(sources: Vec<Source>, text: &str) -> Command {
    Command::Ask(Box::new(AskRequest {
        sources,
        history: Vec::new(),
        question: text.to_owned(),
        sampling: Sampling::default(),
        max_new_tokens: 8,
    }))
}

fn conversion(source: Source, task: Task) -> Command {
    Command::Generate(Box::new(GenerateRequest {
        source,
        task,
        instruction: None,
        sampling: Sampling::default(),
        faithful: false,
        draft: Drafting::Auto,
    }))
}

#[test]
fn a_question_streams_text_and_ends_with_its_numbers() {
    let script = Script::with_model();
    let job = script
        .engine
        .send(question(vec![slice(&volume(Modality::Ct))], "What is it?"));
    let events = script.finish(job);
    let text: String = events
        .iter()
        .filter_map(|event| {
            if let EventKind::Text(text) = event {
                Some(text.as_str())
            } else {
                None
            }
        })
        .collect();
    let Some(EventKind::Answered(answer)) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(text, answer.text);
    assert!(answer.first_token_secs > 0.0 && answer.prompt_tokens > 16);
    assert_ne!(answer.end, AnswerEnd::Stopped);
}

#[test]
fn a_conversion_reports_every_token_and_yields_a_marked_picture_with_its_source() {
    let script = Script::with_model();
    let job = script
        .engine
        .send(conversion(slice(&volume(Modality::Ct)), Task::Ct2Mri));
    let events = script.finish(job);
    let Some(EventKind::Generated(generated)) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(
        generated.unmarked_for_metrics().dimensions(),
        (128, 96),
        "the shape of the slice, not of the model's square"
    );
    assert_ne!(generated.marked(), generated.unmarked_for_metrics());
    let provenance = &generated.provenance;
    assert_eq!(provenance.source_instance_uid.as_deref(), Some("1.2.4"));
    assert!(provenance.synthetic && !provenance.model_trained);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, EventKind::Progress(progress) if progress.of == 256))
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.png");
    let side_car = generated.save_png(&path).unwrap();
    let written = image::open(&path).unwrap().to_rgb8();
    assert_eq!(
        &written,
        generated.marked(),
        "what is written carries the mark"
    );
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(side_car).unwrap()).unwrap();
    assert_eq!(json["task"], "ct2mri");
}

#[test]
fn an_mr_series_under_ct_to_mri_is_refused() {
    let script = Script::with_model();
    let job = script
        .engine
        .send(conversion(slice(&volume(Modality::Mr)), Task::Ct2Mri));
    let events = script.finish(job);
    let Some(EventKind::Failed(error)) = events.last() else {
        panic!("{events:?}")
    };
    assert!(matches!(**error, Error::WrongModality { .. }), "{error}");
}

#[test]
fn errors_leave_the_engine_running() {
    let script = Script::start();
    let early = script.engine.send(question(Vec::new(), "Hi"));
    assert!(
        matches!(script.finish(early).last(), Some(EventKind::Failed(error)) if matches!(**error, Error::NoModel))
    );
    let missing = script.engine.send(Command::LoadModel {
        dir: "/nonexistent/model".into(),
    });
    assert!(matches!(
        script.finish(missing).last(),
        Some(EventKind::Failed(_))
    ));
    let nothing = script.engine.scan(vec!["/nonexistent/scan".into()]);
    assert!(matches!(
        script.finish(nothing).last(),
        Some(EventKind::Failed(_))
    ));
    let model = script.engine.send(Command::LoadModel { dir: tiny_model() });
    assert!(matches!(
        script.finish(model).last(),
        Some(EventKind::ModelLoaded(_))
    ));
    let empty = script.engine.send(question(Vec::new(), "  "));
    assert!(
        matches!(script.finish(empty).last(), Some(EventKind::Failed(error)) if error.kind() == "empty-question")
    );
    let good = script.engine.send(question(Vec::new(), "Hi"));
    assert!(matches!(
        script.finish(good).last(),
        Some(EventKind::Answered(_))
    ));
}

#[test]
fn a_stopped_conversion_ends_and_the_next_job_runs() {
    let script = Script::with_model();
    let source = slice(&volume(Modality::Ct));
    let job = script.engine.send(conversion(source.clone(), Task::Ct2Mri));
    let queued = script.engine.send(conversion(source, Task::Reconstruct));
    script.engine.stop(job);
    script.engine.stop(queued);
    for job in [job, queued] {
        let events = script.finish(job);
        assert!(
            matches!(events.last(), Some(EventKind::Failed(error)) if matches!(**error, Error::Stopped)),
            "{events:?}"
        );
    }
    let next = script.engine.send(question(Vec::new(), "Hi"));
    assert!(matches!(
        script.finish(next).last(),
        Some(EventKind::Answered(_))
    ));
}

#[test]
fn a_plain_picture_is_scanned_loaded_and_shown_to_the_model() {
    let script = Script::with_model();
    let job = script.engine.scan(vec![tiny_model().join("image.png")]);
    let events = script.finish(job);
    let Some(EventKind::ScanDone { series, skipped }) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!((series.len(), skipped.len()), (1, 0));
    let job = script.engine.send(Command::LoadSeries {
        series: Box::new(series[0].clone()),
    });
    let events = script.finish(job);
    let Some(EventKind::SeriesLoaded {
        loaded: Loaded::Frames(frames),
        ..
    }) = events.last()
    else {
        panic!("{events:?}")
    };
    let job = script.engine.send(question(
        vec![Source::Picture(Arc::clone(frames.at(0)))],
        "What is it?",
    ));
    assert!(matches!(
        script.finish(job).last(),
        Some(EventKind::Answered(_))
    ));
}

#[test]
fn the_middle_slice_comes_before_its_series_and_thumbnails_need_no_load() {
    let folder = tempfile::tempdir().unwrap();
    for k in 0..7 {
        let mut file = Dicom::ct_slice(k, 3.0 * k as f64);
        let path = folder.path().join(format!("{k}.dcm"));
        file.pixels_i16(&[10 * k as i16; 12]).write(&path);
    }
    let script = Script::start();
    let job = script.engine.scan(vec![folder.path().to_owned()]);
    let events = script.finish(job);
    let Some(EventKind::ScanDone { series, .. }) = events.last() else {
        panic!("{events:?}")
    };
    let job = script.engine.send(Command::LoadSeries {
        series: Box::new(series[0].clone()),
    });
    let events = script.finish(job);
    let first = events.iter().find_map(|event| match event {
        EventKind::FirstSlice { id, volume } => Some((id, volume)),
        _ => None,
    });
    let (id, volume) = first.expect("a slice before the series");
    assert_eq!((id, volume.size), (&series[0].id, [4, 3, 1]));
    assert_eq!(volume.sample([0, 0, 0]), 30.0, "the fourth of seven");
    assert_eq!(volume.position_mm([0, 0, 0])[2], 9.0);
    let Some(EventKind::SeriesLoaded {
        loaded: Loaded::Volume(whole),
        ..
    }) = events.last()
    else {
        panic!("{events:?}")
    };
    assert_eq!(whole.size, [4, 3, 7]);
    let job = script.engine.send(Command::Thumbnails {
        series: series.clone(),
    });
    let events = script.finish(job);
    let drawn = events.iter().any(|event| {
        matches!(event, EventKind::Thumbnail { id, picture } if *id == series[0].id && picture.dimensions() == (5, 3))
    });
    assert!(drawn, "{events:?}");
}

/// The whole way of the radiologist and of the one-click preview, on the bundled scan.
#[test]
fn the_sample_study_goes_from_a_folder_to_an_answer_and_a_converted_image() {
    let script = Script::with_model();
    let job = script.engine.scan(vec![repo("assets/samples/limb")]);
    let events = script.finish(job);
    let Some(EventKind::ScanDone { series, .. }) = events.last() else {
        panic!("{events:?}")
    };
    let ct = series
        .iter()
        .find(|series| series.modality == Modality::Ct)
        .expect("a CT series");
    assert!(
        series.iter().any(|series| series.modality == Modality::Mr),
        "an MR series beside it"
    );
    let job = script.engine.send(Command::LoadSeries {
        series: Box::new(ct.clone()),
    });
    let events = script.finish(job);
    let Some(EventKind::SeriesLoaded {
        id,
        loaded: Loaded::Volume(volume),
    }) = events.last()
    else {
        panic!("{events:?}")
    };
    assert_eq!(id, &ct.id);
    assert!(volume.calibrated && volume.slice_count(Plane::Axial) >= 16);
    let air = volume.sample([0, 0, 0]);
    assert!(
        (-1100.0..-800.0).contains(&air),
        "air around the limb is near -1000 HU, not {air}"
    );

    let job = script
        .engine
        .send(question(vec![slice(volume)], "What is it?"));
    assert!(matches!(
        script.finish(job).last(),
        Some(EventKind::Answered(_))
    ));
    let job = script.engine.send(conversion(slice(volume), Task::Ct2Mri));
    let events = script.finish(job);
    let Some(EventKind::Generated(generated)) = events.last() else {
        panic!("{events:?}")
    };
    assert!(generated.provenance.source_instance_uid.is_some());
    assert!(!generated.looks_like_a_copy(), "random weights do not copy");
}

#[test]
fn a_training_job_reports_its_steps_and_pauses_at_a_stop() {
    let root = tempfile::tempdir().unwrap();
    let config = crate::stages::write_config(root.path(), 6);
    let script = Script::start();
    let train = || {
        script.engine.send(Command::Train {
            config: config.clone(),
        })
    };
    let job = train();
    let mut steps = 0;
    let deadline = Instant::now() + Duration::from_secs(120);
    let finished = loop {
        assert!(Instant::now() < deadline);
        let Some(event) = script.engine.wait_event(Duration::from_secs(1)) else {
            continue;
        };
        match event.kind {
            EventKind::TrainStep(step) => {
                steps = step.step;
                script.engine.stop(job);
            }
            EventKind::Trained { finished, .. } => break finished,
            EventKind::Failed(error) => panic!("{error}"),
            _ => {}
        }
    };
    assert!(!finished && steps < 6, "{steps}");
    let events = script.finish(train());
    let first = events.iter().find_map(|kind| match kind {
        EventKind::TrainStep(step) => Some(step.step),
        _ => None,
    });
    assert_eq!(first, Some(steps + 1), "it goes on where it paused");
    assert!(matches!(
        events.last(),
        Some(EventKind::Trained { finished: true, .. })
    ));
}
