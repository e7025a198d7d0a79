//! The window, by its accessibility tree: keys, clicks and engine events in; labels and effects out. No engine runs.

use std::sync::Arc;

use egui::accesskit::Role;
use egui::{Event, Key, Modifiers, MouseWheelUnit, PointerButton, TouchPhase, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use engine::imaging::{
    Affine, Format, Generated, Loaded, Modality, PatientLabel, Provenance, Rescale, SeriesInfo,
    Volume, Voxels, Window,
};
use engine::model::{Answer, AnswerEnd};
use engine::session::{self, Command, EventKind, JobId, ModelInfo};
use engine::{DeviceInfo, Error, ModelError};
use image::{Rgb, RgbImage};
use workbench::action::{Action, Effect};
use workbench::pictures::Pictures;
use workbench::state::{JobKind, State};

/// The window without an engine: effects pile up here, and jobs are numbered from 1.
#[derive(Default)]
struct Desk {
    state: State,
    pictures: Pictures,
    effects: Vec<Effect>,
    jobs: u64,
}

impl Desk {
    fn take(&mut self, effect: Effect) {
        if let Effect::Send { kind, .. } = &effect {
            self.jobs += 1;
            self.state.started(JobId(self.jobs), kind.clone());
        }
        self.effects.push(effect);
    }

    fn perform(&mut self, action: Action) {
        for effect in self.state.perform(action) {
            self.take(effect);
        }
    }

    fn event(&mut self, job: u64, kind: EventKind) {
        let job = JobId(job);
        if let Some(effect) = self.state.apply(session::Event { job, kind }) {
            self.take(effect);
        }
    }

    /// The job that was sent last.
    fn last_job(&self) -> u64 {
        self.jobs
    }

    fn asked(&self) -> Vec<&session::AskRequest> {
        let commands = self.effects.iter().filter_map(|effect| match effect {
            Effect::Send {
                command: Command::Ask(request),
                ..
            } => Some(&**request),
            _ => None,
        });
        commands.collect()
    }
}

fn harness<'a>(desk: Desk) -> Harness<'a, Desk> {
    Harness::builder()
        .with_size(vec2(1600.0, 1000.0))
        .with_max_steps(16)
        .with_context_setup(workbench::theme::install)
        .build_ui_state(
            |ui, desk: &mut Desk| {
                for effect in workbench::app::desk_ui(ui, &mut desk.state, &mut desk.pictures) {
                    desk.take(effect);
                }
            },
            desk,
        )
}

/// 40 x 32 x 20 voxels of CT: a bright ball off the middle, in air.
fn ct_volume() -> Volume {
    let mut voxels = Vec::new();
    for k in 0..20_i32 {
        for j in 0..32_i32 {
            for i in 0..40_i32 {
                let distance = (i - 25).pow(2) + (j - 12).pow(2) + (k - 9).pow(2);
                voxels.push(if distance < 80 {
                    40 + 4 * k as i16
                } else {
                    -1000
                });
            }
        }
    }
    Volume {
        size: [40, 32, 20],
        voxels: Voxels::I16(voxels),
        rescale: vec![Rescale::NONE],
        patient_from_voxel: Affine([
            [0.8, 0.0, 0.0, -16.0],
            [0.0, 0.8, 0.0, -12.8],
            [0.0, 0.0, 2.5, -25.0],
        ]),
        calibrated: true,
        modality: Modality::Ct,
        body_part: Some("KNEE".to_owned()),
        windows: Vec::new(),
        inverted: false,
        lossy: false,
        instance_uids: Vec::new(),
        notes: Vec::new(),
    }
}

fn series(id: &str, description: &str, modality: Modality) -> SeriesInfo {
    SeriesInfo {
        id: id.to_owned(),
        study: "study".to_owned(),
        patient: PatientLabel {
            name: "Test Phantom".to_owned(),
            id: "P-1".to_owned(),
            study_date: "2024-11-03".to_owned(),
        },
        study_description: "Knee".to_owned(),
        description: description.to_owned(),
        number: Some(3),
        modality,
        body_part: None,
        format: Format::Dicom,
        size: [40, 32, 20],
        spacing_mm: Some([0.8, 0.8, 2.5]),
        notes: Vec::new(),
        files: Vec::new(),
        frames: Vec::new(),
    }
}

fn model(trained: bool, capabilities: &[&str]) -> EventKind {
    EventKind::ModelLoaded(Arc::new(ModelInfo {
        name: "tiny".to_owned(),
        variant: "nano".to_owned(),
        trained,
        capabilities: capabilities.iter().map(|c| c.parse().unwrap()).collect(),
        licence: "MIT".to_owned(),
        context_tokens: 4096,
        image_tokens: 576,
        generated_side: Some(64),
        notes: Vec::new(),
        load_secs: 0.5,
    }))
}

fn device() -> EventKind {
    EventKind::Device(DeviceInfo {
        name: "CPU (burn-flex)".to_owned(),
        kind: "cpu",
        reason: "no GPU with a driver was found".to_owned(),
    })
}

fn answer(text: &str, end: AnswerEnd) -> EventKind {
    EventKind::Answered(Answer {
        text: text.to_owned(),
        ids: vec![5; 12],
        prompt_tokens: 600,
        first_token_secs: 0.42,
        tokens_per_sec: 8.5,
        end,
    })
}

/// A desk with an open series of this modality and a model with these capabilities.
fn ready_desk(modality: Modality, capabilities: &[&str]) -> Desk {
    let mut desk = Desk::default();
    desk.event(0, device());
    desk.perform(Action::OpenPaths(vec!["scans".into()]));
    let found = series("s1", "Knee thin", modality.clone());
    desk.event(
        1,
        EventKind::ScanDone {
            series: vec![found],
            skipped: Vec::new(),
        },
    );
    let volume = Volume {
        modality,
        ..ct_volume()
    };
    desk.event(
        2,
        EventKind::SeriesLoaded {
            id: "s1".to_owned(),
            loaded: Loaded::Volume(Arc::new(volume)),
        },
    );
    desk.perform(Action::LoadModel("model".into()));
    desk.event(3, model(true, capabilities));
    desk.effects.clear();
    desk
}

fn ct_desk() -> Desk {
    ready_desk(Modality::Ct, &["comprehend", "ct2mri:limb"])
}

/// The name of the slice view, as a screen reader says it.
fn slice_name(harness: &Harness<'_, Desk>) -> String {
    let images = harness.query_all_by_role(Role::Image);
    let names = images.filter_map(|node| node.accesskit_node().label());
    let mut names = names.filter(|name| name.starts_with("Slice "));
    names.next().expect("a slice is shown")
}

fn shows(harness: &Harness<'_, Desk>, text: &str) -> bool {
    harness.query_all_by_label_contains(text).next().is_some()
}

fn type_question(harness: &mut Harness<'_, Desk>, text: &str) {
    harness.get_by_label("Question").focus();
    harness.run();
    harness.get_by_label("Question").type_text(text);
    harness.run();
}

#[test]
fn the_first_view_is_the_middle_slice_and_the_automatic_window() {
    let harness = harness(ct_desk());
    let automatic = ct_volume().automatic_window();
    let window = workbench::state::window_words(automatic);
    assert_eq!(
        slice_name(&harness),
        format!("Slice 11 of 20, axial, window {window}")
    );
}

#[test]
fn a_found_study_opens_its_first_ct_series() {
    let mut desk = Desk::default();
    desk.perform(Action::OpenPaths(vec!["scans".into()]));
    let found = vec![
        series("mr", "T1", Modality::Mr),
        series("ct", "Bone", Modality::Ct),
    ];
    desk.event(
        1,
        EventKind::ScanDone {
            series: found,
            skipped: Vec::new(),
        },
    );
    let Some(Effect::Send {
        command: Command::LoadSeries { series },
        ..
    }) = desk.effects.last()
    else {
        panic!("no series was loaded: {:?}", desk.effects);
    };
    assert_eq!(series.id, "ct");
    assert!(shows(&harness(desk), "Loading Bone…"));
}

#[test]
fn arrow_keys_wheel_home_and_end_change_the_slice() {
    let mut harness = harness(ct_desk());
    harness.key_press(Key::ArrowDown);
    harness.run();
    assert!(slice_name(&harness).starts_with("Slice 12 of 20"));
    harness.key_press(Key::Home);
    harness.run();
    harness.key_press(Key::ArrowUp);
    harness.run();
    assert!(slice_name(&harness).starts_with("Slice 1 of 20"));
    harness.key_press(Key::End);
    harness.run();
    assert!(slice_name(&harness).starts_with("Slice 20 of 20"));
    harness.hover_at(egui::pos2(700.0, 400.0));
    harness.run();
    wheel(&mut harness, 1.0, Modifiers::NONE);
    wheel(&mut harness, 1.0, Modifiers::NONE);
    assert!(slice_name(&harness).starts_with("Slice 18 of 20"));
    wheel(&mut harness, -1.0, Modifiers::NONE);
    assert!(slice_name(&harness).starts_with("Slice 19 of 20"));
    wheel(&mut harness, -1.0, Modifiers::CTRL);
    assert!(
        slice_name(&harness).starts_with("Slice 19 of 20"),
        "with Ctrl the wheel zooms"
    );
}

fn wheel(harness: &mut Harness<'_, Desk>, lines: f32, modifiers: Modifiers) {
    harness.event_modifiers(
        Event::MouseWheel {
            unit: MouseWheelUnit::Line,
            delta: vec2(0.0, lines),
            phase: TouchPhase::Move,
            source: egui::MouseWheelSource::Unknown,
            modifiers,
        },
        modifiers,
    );
    harness.run_steps(8);
}

#[test]
fn a_preset_key_sets_the_window_and_i_inverts() {
    let mut harness = harness(ct_desk());
    harness.key_press(Key::Num4);
    harness.run();
    assert!(slice_name(&harness).ends_with("window C 50 W 320"));
    harness.key_press(Key::I);
    harness.run();
    assert!(slice_name(&harness).ends_with("window C 50 W 320, inverted"));
    harness.key_press(Key::Space);
    harness.run();
    assert!(!slice_name(&harness).contains("C 50"));
}

#[test]
fn an_mr_series_has_no_ct_presets() {
    let mut harness = harness(ready_desk(Modality::Mr, &["comprehend"]));
    let before = slice_name(&harness);
    harness.key_press(Key::Num4);
    harness.run();
    assert_eq!(slice_name(&harness), before);
}

#[test]
fn keys_do_not_fire_while_typing() {
    let mut harness = harness(ct_desk());
    let before = slice_name(&harness);
    harness.get_by_label("Question").focus();
    harness.run();
    for key in [Key::Num4, Key::I, Key::Space, Key::Home, Key::ArrowDown] {
        harness.key_press(key);
    }
    harness.get_by_label("Question").type_text("4 is");
    harness.run();
    assert_eq!(slice_name(&harness), before);
    assert_eq!(harness.state().state.chat.draft.text, "4 is");
}

#[test]
fn dragging_over_the_slice_changes_the_window() {
    let mut harness = harness(ct_desk());
    let before = slice_name(&harness);
    drag(&harness, PointerButton::Primary);
    harness.run();
    assert_ne!(slice_name(&harness), before);
}

#[test]
fn dragging_with_the_middle_button_pans_and_keeps_the_window() {
    let mut harness = harness(ct_desk());
    let before = slice_name(&harness);
    drag(&harness, PointerButton::Middle);
    harness.run();
    assert_eq!(slice_name(&harness), before);
    let camera = harness.state().state.viewer.open().unwrap().camera;
    assert!(camera.pan[0] > 50.0 && camera.pan[1] > 20.0, "{camera:?}");
}

fn drag(harness: &Harness<'_, Desk>, button: PointerButton) {
    let modifiers = Modifiers::NONE;
    let at = |step: f32| egui::pos2(600.0 + 20.0 * step, 400.0 + 10.0 * step);
    let press = |pos, pressed| Event::PointerButton {
        pos,
        button,
        pressed,
        modifiers,
    };
    harness.hover_at(at(0.0));
    harness.event(press(at(0.0), true));
    for step in 1..=5 {
        harness.event(Event::PointerMoved(at(step as f32)));
    }
    harness.event(press(at(5.0), false));
}

#[test]
fn coronal_shows_its_own_slices() {
    let mut harness = harness(ct_desk());
    harness.get_by_label("Coronal").click();
    harness.run();
    assert!(slice_name(&harness).starts_with("Slice 17 of 32, coronal"));
}

#[test]
fn a_texture_is_uploaded_only_when_the_picture_changes() {
    let mut harness = harness(ct_desk());
    harness.run_steps(5);
    assert_eq!(harness.state().pictures.slice_uploads, 1);
    harness.key_press(Key::ArrowDown);
    harness.run_steps(5);
    assert_eq!(harness.state().pictures.slice_uploads, 2);
    harness.key_press(Key::Plus);
    harness.run_steps(5);
    assert_eq!(
        harness.state().pictures.slice_uploads,
        2,
        "zoom needs no new picture"
    );
}

#[test]
fn a_disabled_task_shows_its_reason() {
    let harness = harness(ct_desk());
    let button = harness.get_by_role_and_label(Role::Button, "MRI → CT");
    assert!(button.accesskit_node().is_disabled());
    assert!(shows(
        &harness,
        "the loaded model (tiny) has no plug-in for mri2ct"
    ));
    let button = harness.get_by_role_and_label(Role::Button, "CT → MRI");
    assert!(!button.accesskit_node().is_disabled());
}

#[test]
fn an_mr_series_disables_ct_to_mri_with_the_reason() {
    let harness = harness(ready_desk(Modality::Mr, &["comprehend", "ct2mri"]));
    let button = harness.get_by_role_and_label(Role::Button, "CT → MRI");
    assert!(button.accesskit_node().is_disabled());
    assert!(shows(&harness, "this series is MR; choose a CT series"));
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
fn a_question_is_sent_with_the_picture_and_streams_until_stopped() {
    let mut harness = harness(ct_desk());
    type_question(&mut harness, "Is there a fracture?");
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    let job = harness.state().last_job();
    {
        let desk = harness.state();
        let request = desk.asked()[0];
        assert_eq!(request.question, "Is there a fracture?");
        assert_eq!(request.sources.len(), 1);
        assert!(desk.state.chat.draft.text.is_empty());
    }
    let text = |text: &str| EventKind::Text(text.to_owned());
    harness.state_mut().event(job, text("There is"));
    harness.state_mut().event(job, text(" no fracture"));
    harness.run_steps(3);
    assert!(shows(&harness, "There is no fracture"));
    harness.get_by_label("Stop answer").click();
    harness.run_steps(3);
    let stopped = harness.state().effects.last();
    assert!(
        matches!(stopped, Some(Effect::Stop(JobId(id))) if *id == job),
        "{stopped:?}"
    );
    let stopped = answer("There is no fracture", AnswerEnd::Stopped);
    harness.state_mut().event(job, stopped);
    harness.run();
    assert!(
        shows(&harness, "There is no fracture"),
        "the partial text stays"
    );
    assert!(shows(&harness, "8.5 tokens/s · first token after 0.42 s"));
    assert!(shows(&harness, "612 of 4096 tokens"));
}

#[test]
fn escape_stops_the_answer_even_while_typing() {
    let mut harness = harness(ct_desk());
    type_question(&mut harness, "What is this?");
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    let job = harness.state().last_job();
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    let stopped = harness.state().effects.last();
    assert!(
        matches!(stopped, Some(Effect::Stop(JobId(id))) if *id == job),
        "{stopped:?}"
    );
}

#[test]
fn shift_enter_starts_a_new_line_and_sends_nothing() {
    let mut harness = harness(ct_desk());
    type_question(&mut harness, "one");
    harness.key_press_modifiers(Modifiers::SHIFT, Key::Enter);
    harness.run();
    harness.get_by_label("Question").type_text("two");
    harness.run();
    assert_eq!(harness.state().state.chat.draft.text, "one\ntwo");
    assert!(harness.state().asked().is_empty());
}

#[test]
fn a_follow_up_sends_earlier_turns_of_the_same_picture_only() {
    let mut desk = ct_desk();
    let ask = |desk: &mut Desk, question: &str, reply: &str| {
        desk.state.chat.draft.text = question.to_owned();
        desk.perform(Action::Ask);
        let job = desk.last_job();
        desk.event(job, answer(reply, AnswerEnd::Complete));
    };
    ask(&mut desk, "first?", "one");
    ask(&mut desk, "second?", "two");
    desk.perform(Action::StepSlices(1));
    ask(&mut desk, "third?", "three");
    let history: Vec<usize> = desk.asked().iter().map(|r| r.history.len()).collect();
    assert_eq!(history, [0, 1, 0]);
    assert_eq!(desk.asked()[1].history[0].answer, "one");
    desk.perform(Action::NewConversation);
    ask(&mut desk, "fourth?", "four");
    assert_eq!(desk.asked()[3].history.len(), 0);
}

#[test]
fn several_pictures_can_be_asked_about_at_once() {
    let mut harness = harness(ct_desk());
    harness.get_by_label("Add this slice").click();
    harness.run();
    harness.key_press(Key::ArrowDown);
    harness.run();
    harness.get_by_label("Add this slice").click();
    harness.run();
    type_question(&mut harness, "What differs?");
    harness.get_by_role_and_label(Role::Button, "Ask").click();
    harness.run_steps(3);
    assert_eq!(harness.state().asked()[0].sources.len(), 2);
    let chip = format!(
        "slice 12, axial, {}",
        workbench::state::window_words(ct_volume().automatic_window())
    );
    assert!(shows(&harness, &chip));
}

#[test]
fn a_text_question_needs_no_picture() {
    let mut desk = Desk::default();
    desk.perform(Action::LoadModel("model".into()));
    desk.event(1, model(true, &["comprehend"]));
    let mut harness = harness(desk);
    type_question(&mut harness, "What is a meniscus?");
    harness.key_press(Key::Enter);
    harness.run_steps(3);
    assert!(harness.state().asked()[0].sources.is_empty());
    assert!(shows(&harness, "without a picture"));
}

#[test]
fn the_ask_button_says_why_it_is_disabled() {
    let mut harness = harness(Desk::default());
    let disabled = |harness: &Harness<'_, Desk>| {
        let ask = harness.get_by_role_and_label(Role::Button, "Ask");
        ask.accesskit_node().is_disabled()
    };
    assert!(disabled(&harness) && shows(&harness, "no model is loaded; load one first"));
    harness
        .state_mut()
        .perform(Action::LoadModel("model".into()));
    harness.state_mut().event(1, model(true, &["comprehend"]));
    harness.run();
    assert!(disabled(&harness) && shows(&harness, "type a question first"));
    type_question(&mut harness, "  ");
    harness.key_press(Key::Enter);
    harness.run();
    assert!(harness.state().asked().is_empty());
}

#[test]
fn an_error_is_shown_in_place_of_the_answer() {
    let mut desk = ct_desk();
    desk.state.chat.draft.text = "Too long?".to_owned();
    desk.perform(Action::Ask);
    let job = desk.last_job();
    let error = Error::Model(ModelError::PromptTooLong {
        tokens: 5000,
        limit: 4096,
    });
    desk.event(job, EventKind::Failed(Arc::new(error)));
    let mut harness = harness(desk);
    assert!(shows(
        &harness,
        "No answer: the prompt has 5000 tokens but the model takes 4096"
    ));
    type_question(&mut harness, "Again?");
    let ask = harness.get_by_role_and_label(Role::Button, "Ask");
    assert!(!ask.accesskit_node().is_disabled(), "the program goes on");
}

#[test]
fn an_answer_of_a_cleared_conversation_does_not_come_back() {
    let mut desk = ct_desk();
    desk.state.chat.draft.text = "Old?".to_owned();
    desk.perform(Action::Ask);
    let old = desk.last_job();
    desk.perform(Action::NewConversation);
    desk.event(old, answer("late", AnswerEnd::Stopped));
    assert!(desk.state.chat.turns.is_empty());
}

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

fn generated(similarity: f64) -> Generated {
    let input = RgbImage::from_pixel(64, 64, Rgb([90; 3]));
    let output = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 2 + y) as u8; 3]));
    let provenance = Provenance {
        synthetic: true,
        task: "ct2mri".to_owned(),
        instruction: "Make it an MRI".to_owned(),
        model: "tiny".to_owned(),
        model_sha256: "ab".repeat(32),
        model_trained: false,
        plugin: "limb".to_owned(),
        sampling: "greedy".to_owned(),
        faithful: false,
        view: None,
        source_instance_uid: None,
        input_sha256: String::new(),
        output_sha256: String::new(),
        device: "CPU (burn-flex)".to_owned(),
        software: "test".to_owned(),
        created_unix_secs: 0,
        elapsed_secs: 12.5,
        similarity_to_input: similarity,
    };
    Generated::new(output, input, provenance)
}

fn desk_with_result(similarity: f64) -> Desk {
    let mut desk = ct_desk();
    desk.perform(Action::Generate(engine::Task::Ct2Mri));
    let job = desk.last_job();
    let result = EventKind::Generated(Arc::new(generated(similarity)));
    desk.event(job, result);
    desk
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
    harness.get_by_label("Stop ct → mri").click();
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
fn a_series_of_another_choice_does_not_replace_the_chosen_one() {
    let mut desk = ct_desk();
    desk.perform(Action::OpenPaths(vec!["more".into()]));
    let scan = desk.last_job();
    let found = vec![
        series("s2", "Second", Modality::Mr),
        series("s3", "Third", Modality::Mr),
    ];
    desk.event(
        scan,
        EventKind::ScanDone {
            series: found,
            skipped: Vec::new(),
        },
    );
    let second = desk.last_job();
    desk.perform(Action::ShowSeries("s3".to_owned()));
    let late = EventKind::SeriesLoaded {
        id: "s2".to_owned(),
        loaded: Loaded::Volume(Arc::new(ct_volume())),
    };
    desk.event(second, late);
    assert_eq!(desk.state.viewer.series_id(), Some("s3"));
    assert!(desk.state.viewer.open().is_none());
}

#[test]
fn every_focusable_widget_has_a_name() {
    let desk = desk_with_result(0.99);
    let mut harness = harness(desk);
    for place in ["Result 1: CT → MRI", "Slice", "Answer settings"] {
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
fn the_job_of_a_question_is_an_ask() {
    let mut desk = ct_desk();
    desk.state.chat.draft.text = "Why?".to_owned();
    desk.perform(Action::Ask);
    let job = desk.state.chat.job.unwrap();
    assert_eq!(desk.state.jobs[&job].kind, JobKind::Ask);
    let window = Window {
        center: 1.5,
        width: 3.0,
    };
    assert_eq!(workbench::state::window_words(window), "C 1.50 W 3");
}

#[derive(Debug)]
struct Dropped(std::path::PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &std::path::Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("only the path is used".to_owned())
    }
}

#[test]
fn folders_dropped_on_the_window_are_opened() {
    let mut harness = harness(Desk::default());
    let folders = ["a", "b"].map(|name| Arc::new(Dropped(name.into())) as _);
    harness.input_mut().dropped_files.extend(folders);
    harness.run_steps(2);
    let Some(Effect::Send {
        command: Command::Scan { paths },
        ..
    }) = harness.state().effects.last()
    else {
        panic!("{:?}", harness.state().effects);
    };
    assert_eq!(paths.len(), 2);
}

#[test]
fn a_typed_path_is_opened_by_enter() {
    let mut harness = harness(Desk::default());
    harness.get_by_label("Path").focus();
    harness.run();
    harness.get_by_label("Path").type_text("/scans");
    harness.run();
    harness.key_press(Key::Enter);
    harness.run_steps(2);
    let sent = harness.state().effects.last();
    assert!(
        matches!(sent, Some(Effect::Send { command: Command::Scan { paths }, .. }) if paths == &["/scans"].map(std::path::PathBuf::from)),
        "{sent:?}"
    );
}

#[test]
fn the_key_map_is_a_click_away() {
    let mut harness = harness(Desk::default());
    harness.get_by_label("Keys").click();
    harness.run();
    assert!(shows(
        &harness,
        "brain, abdomen, mediastinum, bone, lung, MIP (CT)"
    ));
}
