//! What is always there: warnings, names, glyphs; and scripted runs.

use super::*;
use workbench::state::ModelState;

#[test]
fn an_untrained_model_is_announced_and_a_trained_one_is_not() {
    let mut desk = Desk::default();
    desk.perform(Action::LoadModel("model".into()));
    desk.event(1, model(false, &["comprehend"]));
    let mut harness = harness(desk);
    assert!(shows(&harness, "untrained test model"));
    harness.state_mut().event(1, model(true, &["comprehend"]));
    harness.run();
    assert!(!shows(&harness, "untrained test model"));
}

#[test]
fn what_a_model_s_author_warns_of_stands_above_everything() {
    let EventKind::ModelLoaded(info) = model(true, &["comprehend"]) else {
        panic!("a model");
    };
    let mut info = ModelInfo::clone(&info);
    info.caution = Some("its answers are guesses".to_owned());
    let mut desk = Desk::default();
    desk.perform(Action::LoadModel("model".into()));
    desk.event(1, EventKind::ModelLoaded(Arc::new(info)));
    assert!(shows(&harness(desk), "tiny: its answers are guesses"));
}

#[test]
fn the_device_and_the_research_notice_are_always_there() {
    let mut harness = harness(ct_desk());
    let there = |harness: &Harness<'_, Desk>| {
        shows(harness, "CPU (burn-flex) – no GPU with a driver was found")
            && shows(harness, "Research use only. Not for diagnosis.")
    };
    assert!(there(&harness));
    harness.set_size(vec2(1000.0, 650.0));
    harness.run();
    assert!(there(&harness));
}

#[test]
fn a_model_that_cannot_be_loaded_says_why() {
    let mut desk = Desk::default();
    desk.perform(Action::LoadModel("model".into()));
    let error = Error::Model(ModelError::MissingParts {
        missing: vec!["tokenizer.json".to_owned()],
        path: "model".into(),
    });
    desk.event(1, EventKind::Failed(Arc::new(error)));
    let harness = harness(desk);
    assert!(shows(
        &harness,
        "The model could not be loaded: the model is incomplete: tokenizer.json"
    ));
}

#[test]
fn every_focusable_widget_has_a_name() {
    let desk = desk_with_result(0.99);
    let mut harness = harness(desk);
    for place in [
        "Result 1: CT → MRI",
        "Swipe",
        "Slice view",
        "Settings for answers and images",
    ] {
        let mut nodes = harness.query_all_by_label(place);
        let node = nodes.next().expect("it is there");
        node.click();
        drop(nodes);
        harness.run();
        let root = harness.root();
        let nodes = root.children_recursive().map(|node| node.accesskit_node());
        let unnamed: Vec<String> = nodes
            .filter(|node| {
                let focusable = node.data().supports_action(egui::accesskit::Action::Focus);
                let named = node.label().is_some_and(|label| !label.trim().is_empty());
                focusable && !named && !node.is_hidden()
            })
            .map(|node| format!("{:?}", node.role()))
            .collect();
        assert!(unnamed.is_empty(), "unnamed on {place}: {unnamed:?}");
    }
}

#[test]
fn every_word_on_screen_has_its_glyphs() {
    let mut desk = desk_with_result(0.99);
    desk.state.jobs.clear();
    let harness = harness(desk);
    assert!(shows(&harness, "CT → MRI"));
    let missing: Vec<char> = harness.ctx.fonts_mut(|fonts| {
        let font = egui::FontId::proportional(14.0);
        let words = "→×·–…±°µ²";
        let words = words.chars();
        words.filter(|c| !fonts.has_glyph(&font, *c)).collect()
    });
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_key_map_is_a_click_away() {
    let mut harness = harness(Desk::default());
    harness.get_by_label("Keys").click();
    harness.run();
    assert!(shows(&harness, "CT window: brain"));
}

/// Runs a plan against a desk; `answered` stands in for the engine.
fn run_plan(desk: Desk, plan: ScreenshotPlan) -> (Result<(), String>, Desk) {
    let outcome = Arc::new(Mutex::new(Ok(())));
    let mut run = PlanRun::new(plan, Arc::clone(&outcome));
    let mut harness = harness(desk);
    for _ in 0..60 {
        let ctx = harness.ctx.clone();
        let desk = harness.state_mut();
        for action in run.step(&ctx, &mut desk.state) {
            desk.perform(action);
            let job = desk.last_job();
            match desk.state.jobs[&JobId(job)].kind {
                JobKind::Ask => desk.event(job, answer("Yes.", AnswerEnd::Complete)),
                _ => desk.event(job, EventKind::Generated(Arc::new(generated(0.3)))),
            }
        }
        harness.run_steps(1);
    }
    let outcome = outcome.lock().unwrap().clone();
    (outcome, harness.into_state())
}

#[test]
fn a_scripted_run_asks_converts_and_writes_what_the_window_shows() {
    let folder = tempfile::tempdir().unwrap();
    let plan = ScreenshotPlan {
        questions: vec!["One?".to_owned(), "Two?".to_owned()],
        task: Some(engine::Task::Ct2Mri),
        lose_gpu: false,
        out: folder.path().join("window.png"),
        timeout_secs: 60,
    };
    let (outcome, desk) = run_plan(ct_desk(), plan.clone());
    assert_eq!(outcome, Ok(()));
    assert_eq!((desk.asked().len(), desk.state.results.items.len()), (2, 1));
    let picture = image::open(&plan.out).unwrap().into_rgb8();
    assert_eq!(picture.dimensions(), (1600, 1000));
    let warning = workbench::theme::WARNING.to_array();
    let border = picture.pixels().filter(|pixel| pixel.0 == warning[..3]);
    assert!(
        border.count() > 1000,
        "the border of the synthetic picture is drawn"
    );
}

#[test]
fn a_scripted_run_without_a_model_fails_in_time_and_says_where_it_was() {
    let plan = ScreenshotPlan {
        questions: Vec::new(),
        task: None,
        lose_gpu: false,
        out: "never.png".into(),
        timeout_secs: 0,
    };
    let (outcome, _) = run_plan(Desk::default(), plan);
    let why = outcome.unwrap_err();
    assert!(
        why.contains("did not end within 0 s (it was Loading)"),
        "{why}"
    );
}

#[test]
fn a_series_that_cannot_be_read_says_why_and_another_one_opens() {
    let mut desk = Desk::default();
    desk.perform(Action::OpenPaths(vec!["scans".into()]));
    let found = EventKind::ScanDone {
        series: vec![
            series("s1", "Broken", Modality::Ct),
            series("s2", "Sound", Modality::Ct),
        ],
        skipped: Vec::new(),
    };
    desk.event(1, found);
    let path = std::path::Path::new("slice.dcm");
    let error = engine::ImagingError::damaged(path, "the pixels end early");
    desk.event(2, EventKind::Failed(Arc::new(Error::Imaging(error))));
    let mut harness = harness(desk);
    assert!(shows(&harness, "Broken cannot be shown"));
    assert!(shows(
        &harness,
        "the file is damaged (the pixels end early)"
    ));
    harness
        .get_by_label("Sound, CT · series 3, 40 × 32 × 20")
        .click();
    harness.run_steps(3);
    assert!(shows(&harness, "Loading Sound…"));
}

#[test]
fn files_that_were_left_out_are_counted_and_explained() {
    let mut desk = Desk::default();
    desk.perform(Action::OpenPaths(vec!["scans".into()]));
    let skipped = engine::imaging::SkippedFile {
        path: "notes.txt".into(),
        kind: "not-an-image",
        why: "the file holds no image (text)".to_owned(),
    };
    let found = EventKind::ScanDone {
        series: vec![series("s1", "Sound", Modality::Ct)],
        skipped: vec![skipped],
    };
    desk.event(1, found);
    let mut harness = harness(desk);
    harness.get_by_label("1 file is not shown").click();
    harness.run();
    assert!(shows(&harness, "the file holds no image (text)"));
}

#[test]
fn stopping_an_older_model_load_does_not_end_the_newer_one() {
    let mut desk = Desk::default();
    desk.perform(Action::LoadModel("old".into()));
    desk.perform(Action::LoadModel("new".into()));
    let stopped = desk
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::Stop(JobId(1))));
    assert!(stopped, "{:?}", desk.effects);
    desk.event(1, EventKind::Failed(Arc::new(Error::Stopped)));
    assert!(matches!(desk.state.model, ModelState::Loading));
    desk.event(2, model(true, &["comprehend"]));
    assert!(matches!(desk.state.model, ModelState::Ready(_)));
}
