//! The GPU goes away: what was asked and made stays, and the next question is answered.

use std::process::Command as Process;
use std::time::{Duration, Instant};

use engine::device::{choose, kernels_on};
use engine::model::{Drafting, Sampling};
use engine::session::{AskRequest, Command, Event, EventKind, GenerateRequest, JobId, Source};
use engine::{DeviceChoice, Engine, Error, Task};
use image::RgbImage;

use crate::support::tiny_model;

/// Set in the process that loses its GPU.
const CHILD: &str = "HGW_TEST_LOSES_ITS_GPU";

/// Destroys the device that the engine uses now, as a driver's reset would.
fn lose() {
    let (device, _) = choose(DeviceChoice::Gpu).unwrap();
    kernels_on(&device).unwrap().device.destroy();
}

/// All events up to the last one of a job, those of the engine included.
fn finish(engine: &Engine, job: JobId, mut seen: impl FnMut(&Event)) -> Vec<EventKind> {
    let deadline = Instant::now() + Duration::from_secs(240);
    let mut kinds = Vec::new();
    while Instant::now() < deadline {
        let Some(event) = engine.wait_event(Duration::from_secs(1)) else {
            continue;
        };
        seen(&event);
        let last = event.job == job && event.kind.ends_job();
        kinds.push(event.kind);
        if last {
            return kinds;
        }
    }
    panic!("job {job:?} did not end: {kinds:?}");
}

fn source() -> Source {
    Source::Picture(RgbImage::from_fn(48, 40, |x, y| image::Rgb([(5 * x + y) as u8; 3])).into())
}

fn ask(engine: &Engine) -> (Vec<EventKind>, String) {
    let job = engine.send(Command::Ask(Box::new(AskRequest {
        sources: vec![source()],
        history: Vec::new(),
        question: "What is it?".to_owned(),
        sampling: Sampling::default(),
        max_new_tokens: 6,
    })));
    let events = finish(engine, job, |_| {});
    let Some(EventKind::Answered(answer)) = events.last() else {
        panic!("{events:?}")
    };
    let text = answer.text.clone();
    (events, text)
}

fn convert() -> Command {
    Command::Generate(Box::new(GenerateRequest {
        source: source(),
        task: Task::Ct2Mri,
        instruction: None,
        sampling: Sampling::default(),
        faithful: false,
        draft: Drafting::Auto,
    }))
}

/// Runs in a process of its own: the GPU of a process is shared by all its tests.
#[test]
fn a_lost_gpu_is_replaced_and_the_model_is_loaded_again() {
    if std::env::var_os(CHILD).is_none() {
        let ran = Process::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "lost::a_lost_gpu_is_replaced_and_the_model_is_loaded_again",
            ])
            .args(["--nocapture", "--test-threads", "1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}");
        return;
    }
    let engine = Engine::start(DeviceChoice::Gpu, || {}).unwrap();
    let dir = tiny_model();
    let _ = finish(&engine, engine.send(Command::LoadModel { dir }), |_| {});
    let (_, before) = ask(&engine);

    // While nothing runs: the next question costs a reload and is answered the same.
    lose();
    let (events, after) = ask(&engine);
    assert_eq!(after, before);
    let reason = events.iter().find_map(|kind| match kind {
        EventKind::Device(info) => Some((info.kind, info.reason.to_string())),
        _ => None,
    });
    let (kind, reason) = reason.expect("the new device is told of");
    assert_eq!(kind, "gpu");
    assert!(reason.contains("after the GPU was lost"), "{reason}");
    let place = |wanted: fn(&EventKind) -> bool| events.iter().position(wanted).unwrap();
    let lost = place(|kind| matches!(kind, EventKind::GpuLost { model: true, .. }));
    let loaded = place(|kind| matches!(kind, EventKind::ModelLoaded(_)));
    assert!(lost < loaded, "{events:?}");

    // In the middle of an image: that ends with the reason, and the next one is made.
    let job = engine.send(convert());
    let mut destroyed = false;
    let events = finish(&engine, job, |event| {
        let under_way = event.job == job && matches!(&event.kind, EventKind::Progress(_));
        if under_way && !destroyed {
            destroyed = true;
            lose();
        }
    });
    let Some(EventKind::Failed(error)) = events.last() else {
        panic!("{events:?}")
    };
    assert!(matches!(**error, Error::GpuLost { .. }), "{error}");
    let events = finish(&engine, engine.send(convert()), |_| {});
    assert!(
        matches!(events.last(), Some(EventKind::Generated(_))),
        "{events:?}"
    );

    // A GPU that goes away again and again is left alone.
    lose();
    let (events, _) = ask(&engine);
    let cpu = events.iter().any(|kind| {
        matches!(kind, EventKind::Device(info) if info.kind == "cpu" && info.reason.to_string().contains("was lost"))
    });
    assert!(cpu, "{events:?}");
}
