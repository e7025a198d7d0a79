//! A lost GPU, of the engine and of the window: what the user sees.

use super::*;
use eframe::wgpu;
use workbench::loss::Loss;
use workbench::offscreen::Offscreen;

#[test]
fn a_lost_gpu_leaves_study_and_chat_and_says_why_and_what_runs_now() {
    let mut desk = ct_desk();
    ask_and_answer(&mut desk, "Is there a ball?", " Yes, in the knee.");
    let reason = "the driver was reset".to_owned();
    desk.event(
        0,
        EventKind::GpuLost {
            reason,
            model: true,
        },
    );
    let info = DeviceInfo {
        name: "CPU (burn-flex)".to_owned(),
        kind: "cpu",
        reason: engine::DeviceReason::LostAgain {
            why: "the driver was reset".to_owned(),
        },
    };
    desk.event(0, EventKind::Device(info));
    let mut harness = harness(desk);
    for text in [
        "The GPU stopped answering (the driver was reset)",
        "the GPU was lost (the driver was reset)",
        "Yes, in the knee.",
        "Slice 11 of 20",
        "Loading the model…",
    ] {
        assert!(shows(&harness, text), "{text}");
    }
    harness.state_mut().event(0, model(true, &["comprehend"]));
    harness.run_steps(3);
    type_question(&mut harness, "And now?");
    harness.get_by_role_and_label(Role::Button, "Ask").click();
    harness.run_steps(3);
    assert_eq!(harness.state().asked().len(), 2);
}

#[test]
fn a_model_that_does_not_come_back_says_why() {
    let mut desk = ct_desk();
    let error = ModelError::Invalid {
        what: "it does not fit into the memory".to_owned(),
    };
    desk.event(0, EventKind::ModelGone(Arc::new(Error::Model(error))));
    let harness = harness(desk);
    assert!(shows(&harness, "it does not fit into the memory"));
}

/// The desk in a window nobody sees.
fn drawn(screen: &mut Offscreen, desk: &mut Desk) -> image::RgbaImage {
    workbench::theme::install(&screen.ctx);
    desk.pictures = Pictures::new(Some(screen.format()));
    for _ in 0..6 {
        let drawn = screen.frame(Vec::new(), |ui| {
            let _ = workbench::app::desk_ui(ui, &mut desk.state, &mut desk.pictures);
        });
        drawn.unwrap();
    }
    screen.image().unwrap()
}

#[test]
fn a_window_whose_device_is_lost_is_drawn_the_same_by_another_one() {
    let mut desk = ct_desk();
    ask_and_answer(&mut desk, "Is there a ball?", " Yes.");
    let mut screen = Offscreen::new([960, 640], true).unwrap();
    let before = drawn(&mut screen, &mut desk);
    let loss = Arc::new(Loss::default());
    loss.watch(screen.device(), &screen.ctx);
    assert_eq!(loss.reason(), None);
    assert_eq!(loss.reason_after_fault(), None, "the device answers");
    screen.device().destroy();
    assert!(loss.reason_after_fault().is_some());
    // What is asked of a lost device ends in an error that is told, not in a fault of the program.
    let buffer = screen.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 1 << 40,
        usage: wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    drop(buffer);
    let mut another = Offscreen::new([960, 640], true).unwrap();
    let after = drawn(&mut another, &mut desk);
    let differ = before.pixels().zip(after.pixels()).filter(|(a, b)| a != b);
    assert_eq!(differ.count(), 0);
}

#[test]
fn a_window_that_is_closed_has_lost_nothing() {
    let screen = Offscreen::new([64, 64], true).unwrap();
    let loss = Arc::new(Loss::default());
    loss.watch(screen.device(), &screen.ctx);
    loss.no_more();
    screen.device().destroy();
    let _ = screen.device().poll(wgpu::PollType::Poll);
    assert_eq!(loss.reason(), None);
}

#[test]
fn memory_is_shown_by_what_takes_it() {
    let mut desk = ct_desk();
    desk.perform(Action::ShowPlanes); // three views of one volume, which counts once
    desk.state.memory_mib = Some(1800.0);
    let volumes = desk.state.memory_use().unwrap().volumes_mib;
    assert_eq!(volumes, (40 * 32 * 20 * 2) as f64 / 1_048_576.0);
    let harness = harness(desk);
    assert!(shows(
        &harness,
        "Memory 1.8 GiB · volumes 0 MiB · model 640 MiB"
    ));
}
