//! Making images and comparing them.

use super::*;

#[test]
fn a_disabled_task_shows_its_reason() {
    let harness = harness(ct_desk());
    let button = harness.get_by_role_and_label(Role::Button, "MRI → CT");
    assert!(button.accesskit_node().is_disabled());
    assert!(shows(
        &harness,
        "the loaded model (tiny) has no plug-in for MRI → CT"
    ));
    let button = harness.get_by_role_and_label(Role::Button, "CT → MRI");
    assert!(!button.accesskit_node().is_disabled());
}

#[test]
fn an_mr_series_disables_ct_to_mri_with_the_reason() {
    let harness = harness(ready_desk(Modality::Mr, &["comprehend", "ct2mri"]));
    let button = harness.get_by_role_and_label(Role::Button, "CT → MRI");
    assert!(button.accesskit_node().is_disabled());
    assert!(shows(&harness, "this series is MR; choose another series"));
}

#[test]
fn a_task_button_sends_the_picture_on_screen() {
    let mut harness = harness(ct_desk());
    harness.key_press(Key::Num6);
    harness.run();
    harness
        .get_by_role_and_label(Role::Button, "CT → MRI")
        .click();
    harness.run_steps(3);
    let Some(Effect::Send {
        command: Command::Generate(request),
        ..
    }) = harness.state().effects.last()
    else {
        panic!("{:?}", harness.state().effects);
    };
    let session::Source::Slice { view, .. } = &request.source else {
        panic!("no slice");
    };
    assert_eq!((view.index, view.window.center), (10, 350.0));
}

#[test]
fn a_result_is_compared_with_its_input_and_named_synthetic() {
    let mut harness = harness(desk_with_result(0.4));
    for name in ["Input", "Synthetic (AI)"] {
        assert!(harness.query_by_role_and_label(Role::Image, name).is_some());
    }
    assert!(!shows(&harness, "nearly its input"));
    harness.get_by_label("Swipe").click();
    harness.run();
    assert!(harness.query_by_label("Curtain").is_some());
    harness.get_by_label("Save PNG…").click();
    harness.run();
    let saved = harness.state().effects.last();
    assert!(matches!(saved, Some(Effect::SavePng(_))), "{saved:?}");
    harness.key_press(Key::Escape);
    harness.run();
    assert!(slice_name(&harness).starts_with("Slice 11"));
    harness.get_by_label("Result 1: CT → MRI").click();
    harness.run();
    assert!(shows(
        &harness,
        "Made by tiny (untrained test model) in 12.5 s"
    ));
}

#[test]
fn a_copy_of_the_input_is_flagged() {
    let harness = harness(desk_with_result(0.99));
    assert!(shows(
        &harness,
        "this output is nearly its input (SSIM 0.99)"
    ));
}

#[test]
fn a_running_job_shows_its_progress_and_can_be_stopped() {
    let mut desk = ct_desk();
    desk.perform(Action::Generate(engine::Task::Ct2Mri));
    let job = desk.last_job();
    let progress = session::Progress {
        stage: "image tokens".to_owned(),
        done: 256,
        of: 1024,
    };
    desk.event(job, EventKind::Progress(progress));
    let mut harness = harness(desk);
    assert!(shows(&harness, "image tokens 256 of 1024"));
    harness.get_by_label("Stop: CT → MRI").click();
    harness.run();
    let stopped = harness.state().effects.last();
    assert!(
        matches!(stopped, Some(Effect::Stop(JobId(id))) if *id == job),
        "{stopped:?}"
    );
    assert!(shows(&harness, "Stopping…"));
    let failed = EventKind::Failed(Arc::new(Error::Stopped));
    harness.state_mut().event(job, failed);
    harness.run();
    assert!(!shows(&harness, "Stopping…"));
}
