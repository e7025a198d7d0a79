//! Closing a study.

use workbench::state::{CompareMode, Kept};

use super::*;

/// The CT of one study, and an MR of another beside it.
fn two_studies() -> Desk {
    let mut desk = ct_desk();
    let mut other = series("mr", "T1", Modality::Mr);
    other.study = "other".to_owned();
    other.patient.name = "Second Phantom".to_owned();
    other.files = vec!["/scans/mr/1.dcm".into()];
    desk.state.library.series[0].files = vec!["/scans/ct/1.dcm".into()];
    desk.state.studies = ["/scans/ct", "/scans/mr", "/scans"]
        .map(std::path::PathBuf::from)
        .to_vec();
    desk.state.library.series.push(other);
    desk.perform(Action::ShowBeside("mr".to_owned()));
    let loaded = Loaded::Volume(Arc::new(ct_volume()));
    let id = "mr".to_owned();
    desk.event(desk.last_job(), EventKind::SeriesLoaded { id, loaded });
    desk.perform(Action::CompareSeries(CompareMode::Blend(0.5)));
    desk
}

fn close(harness: &mut Harness<'_, Desk>, name: &str) {
    let name = format!("Close the study {name}");
    harness.get_by_role_and_label(Role::Button, &name).click();
    harness.run_steps(4);
}

#[test]
fn a_closed_study_leaves_list_viewports_tray_and_session() {
    let mut desk = two_studies();
    desk.perform(Action::Activate(1));
    desk.perform(Action::AddPicture);
    let mut harness = harness(desk);
    harness.run_steps(3);
    close(&mut harness, "Second Phantom");
    let state = &harness.state().state;
    assert_eq!(state.library.series.len(), 1);
    assert!(state.chat.tray.is_empty());
    assert!(!state.viewer.overlaid());
    assert_eq!(state.viewer.viewports.len(), 2, "the layout stays");
    assert_eq!(
        state.studies,
        ["/scans/ct", "/scans"].map(std::path::PathBuf::from)
    );
    assert!(!shows(&harness, "Second Phantom"));
    assert!(slice_name(&harness).starts_with("Slice 11"), "the CT stays");
    close(&mut harness, "Test Phantom");
    let state = &harness.state().state;
    assert!(state.library.series.is_empty() && state.studies.is_empty());
    assert_eq!(state.viewer.viewports.len(), 1);
    assert!(shows(&harness, "No scans are open."));
}

#[test]
fn what_was_measured_is_still_there_when_a_study_is_opened_again() {
    let mut desk = ct_desk();
    let kept = Kept {
        at: engine::imaging::SliceAt::acquired(engine::imaging::Plane::Axial, 10),
        shape: engine::imaging::measure::Shape::Length([[1.0, 2.0], [9.0, 2.0]]),
        mm: None,
    };
    let _ = desk.state.recalled("s1", &[kept]);
    desk.effects.clear();
    let mut harness = harness(desk);
    close(&mut harness, "Test Phantom");
    let lost = |effect: &Effect| matches!(effect, Effect::KeepMeasurements(..));
    assert!(!harness.state().effects.iter().any(lost));
    let desk = harness.state_mut();
    desk.perform(Action::OpenPaths(vec!["scans".into()]));
    let series = vec![series("s1", "Knee thin", Modality::Ct)];
    let skipped = Vec::new();
    desk.event(desk.last_job(), EventKind::ScanDone { series, skipped });
    let loaded = Loaded::Volume(Arc::new(ct_volume()));
    let id = "s1".to_owned();
    desk.event(desk.last_job(), EventKind::SeriesLoaded { id, loaded });
    harness.run_steps(3);
    assert!(shows(&harness, "Length 1: "));
}

#[test]
fn a_study_that_is_closed_while_it_is_read_is_read_no_more() {
    let mut desk = ct_desk();
    let mut slow = series("slow", "Slow", Modality::Mr);
    slow.study = "other".to_owned();
    desk.state.library.series.push(slow);
    desk.perform(Action::ShowSeries("slow".to_owned()));
    let load = desk.last_job();
    desk.perform(Action::CloseStudy("other".to_owned()));
    let stopped = |effect: &Effect| matches!(effect, Effect::Stop(job) if job.0 == load);
    assert!(desk.effects.iter().any(stopped), "{:?}", desk.effects);
    let loaded = Loaded::Volume(Arc::new(ct_volume()));
    let id = "slow".to_owned();
    desk.event(load, EventKind::SeriesLoaded { id, loaded });
    assert!(desk.state.viewer.open().is_none());
}

#[test]
fn the_picture_of_a_question_about_a_closed_study_says_so() {
    let mut desk = ct_desk();
    ask_and_answer(&mut desk, "What is it?", "A ball.");
    desk.perform(Action::CloseStudy("study".to_owned()));
    let picture = desk.state.chat.turns[0].pictures[0].clone();
    desk.perform(Action::ShowPicture(picture));
    let harness = harness(desk);
    assert!(shows(&harness, "A ball."), "the answer stays");
    assert!(shows(&harness, "This series is not open any more"));
}
