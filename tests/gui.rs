//! The window, by its accessibility tree: keys, clicks and engine events in; labels and effects out. No engine runs.

mod access;
mod chat;
mod closing;
mod corners;
mod frame;
mod images;
mod lost;
mod measuring;
mod pairs;
mod pictures;
mod preferences;
mod recovery;
mod snapshots;
mod tools;
mod training;
mod turning;
mod viewing;
mod viewports;

use std::sync::{Arc, Mutex};

use egui::accesskit::Role;
use egui::{Event, Key, Modifiers, MouseWheelUnit, PointerButton, TouchPhase, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use engine::imaging::{
    Affine, Format, Generated, Loaded, Modality, PatientLabel, Provenance, SeriesInfo, Volume,
    Voxels,
};
use engine::model::{Answer, AnswerEnd};
use engine::session::{self, Command, EventKind, JobId, ModelInfo};
use engine::{DeviceInfo, Error, ModelError};
use image::{Rgb, RgbImage};
use workbench::ScreenshotPlan;
use workbench::action::{Action, Effect};
use workbench::pictures::Pictures;
use workbench::plan::PlanRun;
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
        for effect in self.state.apply(session::Event { job, kind }) {
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

/// The CT, turned by 20 degrees about the patient's long axis.
fn turned_ct_volume() -> Volume {
    let (sin, cos) = 20_f64.to_radians().sin_cos();
    let rows = [
        [0.8 * cos, -0.8 * sin, 0.0, -16.0],
        [0.8 * sin, 0.8 * cos, 0.0, -12.8],
        [0.0, 0.0, 2.5, -25.0],
    ];
    Volume {
        patient_from_voxel: Affine(rows),
        ..ct_volume()
    }
}

/// 40 x 32 x 20 voxels of CT: a bright ball off the middle, in air.
fn ct_volume() -> Volume {
    let mut voxels = Vec::new();
    for k in 0..20_i32 {
        for j in 0..32_i32 {
            for i in 0..40_i32 {
                let distance = (i - 25).pow(2) + (j - 12).pow(2) + (k - 9).pow(2);
                voxels.push(if distance < 80 {
                    (40 + 4 * k + 9 * i - 7 * j) as i16
                } else {
                    -1000
                });
            }
        }
    }
    let rows = [
        [0.8, 0.0, 0.0, -16.0],
        [0.0, 0.8, 0.0, -12.8],
        [0.0, 0.0, 2.5, -25.0],
    ];
    Volume {
        modality: Modality::Ct,
        body_part: Some("KNEE".to_owned()),
        ..Volume::new([40, 32, 20], Voxels::I16(voxels), Affine(rows))
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
        volumes: 1,
        fps: None,
    }
}

fn model(trained: bool, capabilities: &[&str]) -> EventKind {
    EventKind::ModelLoaded(Arc::new(ModelInfo {
        name: "tiny".to_owned(),
        variant: "nano".to_owned(),
        trained,
        caution: None,
        capabilities: capabilities.iter().map(|c| c.parse().unwrap()).collect(),
        licence: "MIT".to_owned(),
        context_tokens: 4096,
        image_tokens: 576,
        generated_side: Some(64),
        notes: Vec::new(),
        load_secs: 0.5,
        memory_mib: Some(640.0),
    }))
}

fn device() -> EventKind {
    EventKind::Device(DeviceInfo {
        name: "CPU (burn-flex)".to_owned(),
        kind: "cpu",
        reason: engine::DeviceReason::NoGpu,
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

/// Presses and lets go of the left button without moving.
fn click_at(harness: &mut Harness<'_, Desk>, pos: egui::Pos2) {
    clicks_at(harness, pos, 1);
}

/// All clicks in one frame, so that they are near each other in time.
fn clicks_at(harness: &mut Harness<'_, Desk>, pos: egui::Pos2, times: usize) {
    harness.hover_at(pos);
    harness.run();
    let clicks = [true, false].repeat(times).into_iter();
    let events = clicks.map(|pressed| Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    });
    harness.input_mut().events.extend(events);
    harness.run();
}

/// Presses the left button at one place, lets go at another, and moves in between.
fn drag_from_to(harness: &mut Harness<'_, Desk>, from: egui::Pos2, to: egui::Pos2) {
    let press = |pos, pressed| Event::PointerButton {
        pos,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    harness.hover_at(from);
    harness.run_steps(2);
    harness.event(press(from, true));
    harness.run_steps(1);
    for step in 1..=4 {
        harness.event(Event::PointerMoved(from.lerp(to, step as f32 / 4.0)));
        harness.run_steps(1);
    }
    harness.event(press(to, false));
    harness.run_steps(3);
}

/// The texts painted over a viewport, which no screen reader says, and where they are.
fn painted_in(harness: &Harness<'_, Desk>, area: egui::Rect) -> Vec<(egui::Rect, String)> {
    fn texts(shape: &egui::Shape, into: &mut Vec<(egui::Rect, String)>) {
        match shape {
            egui::Shape::Text(text) => {
                into.push((text.visual_bounding_rect(), text.galley.text().to_owned()));
            }
            egui::Shape::Vec(shapes) => shapes.iter().for_each(|shape| texts(shape, into)),
            _ => {}
        }
    }
    let mut painted = Vec::new();
    for clipped in &harness.output().shapes {
        if area.expand(1.0).contains_rect(clipped.clip_rect) {
            texts(&clipped.shape, &mut painted);
        }
    }
    painted
}

/// The texts painted over the slice.
fn painted(harness: &Harness<'_, Desk>) -> Vec<(egui::Rect, String)> {
    let name = slice_name(harness);
    let area = harness.get_by_role_and_label(Role::Image, &name);
    painted_in(harness, area.rect())
}

fn says(painted: &[(egui::Rect, String)], text: &str) -> bool {
    painted.iter().any(|(_, painted)| painted.contains(text))
}

fn type_question(harness: &mut Harness<'_, Desk>, text: &str) {
    harness.get_by_label("Question").focus();
    harness.run();
    harness.get_by_label("Question").type_text(text);
    harness.run();
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
        drafts: None,
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

fn ask_and_answer(desk: &mut Desk, question: &str, reply: &str) {
    desk.state.chat.draft.text = question.to_owned();
    desk.perform(Action::Ask);
    let job = desk.last_job();
    desk.event(job, answer(reply, AnswerEnd::Complete));
}

fn tab_to(harness: &mut Harness<'_, Desk>, label: &str) {
    for _ in 0..90 {
        harness.key_press(Key::Tab);
        harness.run_steps(2);
        let focused = harness
            .query_all_by_label(label)
            .any(|node| node.is_focused());
        if focused {
            return;
        }
    }
    panic!("Tab does not lead to {label}");
}
