//! The user's wishes, into the state and out to the surroundings.

use engine::model::Drafting;
use engine::session::{AskRequest, Command, GenerateRequest, JobId};

use super::chat::{PictureRef, Reply, Turn};
use super::orientation::Orientation;
use super::viewport::{Camera, Cine, LastView};
use super::{JobKind, ModelState, Notice, Stage, State};
use crate::action::{Action, Effect};
use crate::strings::words;

impl State {
    /// Does what the user wants; the result is what only the surroundings can do.
    pub fn perform(&mut self, action: Action) -> Vec<Effect> {
        match action {
            Action::ChooseFolder => vec![Effect::ChooseFolder],
            Action::ChooseFiles => vec![Effect::ChooseFiles],
            Action::ChooseModel => vec![Effect::ChooseModel],
            Action::Quit => vec![Effect::Quit],
            Action::OpenPaths(paths) => {
                self.notice = None;
                let kept = self.remember_opened(&paths);
                self.opened_now(&paths);
                let scan = Effect::Send {
                    command: Command::Scan { paths },
                    kind: JobKind::Scan,
                };
                kept.into_iter().chain([scan]).collect()
            }
            Action::LoadModel(dir) => {
                let mut effects = self.stop_jobs(JobKind::uses_model);
                self.model = ModelState::Loading;
                self.model_dir = std::path::absolute(&dir).ok();
                effects.push(Effect::Send {
                    command: Command::LoadModel { dir },
                    kind: JobKind::LoadModel,
                });
                effects
            }
            Action::ShowSeries(id) => self.switch_series(&id),
            Action::StepSeries(step) => {
                let series = &self.library.series;
                let shown = self.viewer.series_id();
                let at = series
                    .iter()
                    .position(|series| shown.is_some_and(|id| series.has_volume(id)))
                    .unwrap_or(0);
                let next = series.get(at.saturating_add_signed(step));
                match next.map(|series| series.id.clone()) {
                    Some(id) => self.switch_series(&id),
                    None => Vec::new(),
                }
            }
            Action::ShowVolume(number) => self.show_volume(number),
            Action::ShowBeside(id) => self.show_beside(&id),
            Action::CloseStudy(study) => self.close_study(&study),
            Action::Ask => self.ask().into_iter().collect(),
            Action::Stop(job) => self.stop(job).into_iter().collect(),
            Action::Cancel if self.put_down() => Vec::new(),
            Action::Cancel => {
                let effects = self.stop_jobs(is_answer_or_image);
                if effects.is_empty() && !self.stop_cine() {
                    self.stage = Stage::Slice;
                }
                effects
            }
            Action::EditQuestion(text) => {
                self.chat.draft.text = text;
                Vec::new()
            }
            Action::NewConversation => {
                let effects = self.chat.job.and_then(|job| self.stop(job));
                self.chat.job = None;
                self.chat.turns.clear();
                self.chat.tray.clear();
                effects.into_iter().collect()
            }
            Action::Generate(task) => self.generate(task).into_iter().collect(),
            Action::SavePng(index) => {
                let item = self.results.items.get(index);
                item.map(|item| Effect::SavePng(item.generated.clone()))
                    .into_iter()
                    .collect()
            }
            Action::Copy(text) => vec![Effect::Copy(text)],
            Action::Measure(wish) => self.measure(wish).into_iter().collect(),
            wish @ (Action::Toggle(_)
            | Action::CloseDialog
            | Action::Change(_)
            | Action::Listen(_)
            | Action::BindKey(..)
            | Action::ResetKeys) => self.prefer(wish).into_iter().collect(),
            wish @ (Action::RestoreSession | Action::DiscardSession) => self.recover(&wish),
            Action::ChooseTraining => vec![Effect::ChooseTraining],
            Action::TrainingChosen(path) => {
                self.training.config_draft = path.display().to_string();
                Vec::new()
            }
            Action::Train => self.train(),
            Action::FocusQuestion => {
                self.chat.draft.wants_focus = true;
                Vec::new()
            }
            Action::ShowPicture(picture) => self.show_picture(picture),
            other => {
                self.look(other);
                Vec::new()
            }
        }
    }

    /// Changes only what is looked at.
    fn look(&mut self, action: Action) {
        match action {
            Action::SetPlane(plane) => {
                if let Some(view) = self.viewer.scene_volume_mut()
                    && view.check_plane(plane).is_ok()
                {
                    view.plane = plane;
                    self.viewer.plane_set();
                    self.fit();
                    self.turn_back();
                }
            }
            Action::SetSlice(index) => {
                self.scroll(|_, _| index);
            }
            Action::StepSlices(step) => {
                self.scroll(|index, _| index.saturating_add_signed(step));
            }
            Action::LastSlice => {
                self.scroll(|_, count| count.saturating_sub(1));
            }
            Action::SetWindow(window) => {
                if let Some(view) = self.viewer.volume_mut() {
                    view.window = window;
                    self.viewer.windowed();
                }
            }
            Action::Preset(key) => {
                if let Some(view) = self.viewer.volume_mut()
                    && let Some(preset) = view.presets().iter().find(|p| p.key == Some(key))
                {
                    view.window = preset.window;
                    self.viewer.windowed();
                }
            }
            Action::ToggleInvert => {
                if let Some(view) = self.viewer.volume_mut() {
                    view.invert = !view.invert;
                    self.viewer.windowed();
                }
            }
            Action::Pan([dx, dy]) => {
                if let Some(open) = self.viewer.scene_mut() {
                    let [x, y] = open.camera.pan;
                    open.camera.pan = [x + dx, y + dy];
                    self.viewer.moved();
                }
            }
            Action::Zoom { factor, about } => {
                if let Some(open) = self.viewer.scene_mut() {
                    open.camera.zoom_about(factor, about);
                    self.viewer.moved();
                }
            }
            Action::ResetView => {
                if let Some(view) = self.viewer.volume_mut() {
                    view.reset_window();
                    self.viewer.windowed();
                }
                self.fit();
                self.turn_back();
            }
            Action::Turn(turn) => {
                if let Some(open) = self.viewer.scene_mut() {
                    open.orientation = open.orientation.turned(turn);
                    self.viewer.moved();
                }
            }
            Action::ToggleCine if !self.stop_cine() => {
                if let Some(open) = self.viewer.scene_mut()
                    && open.count() > 1
                {
                    open.cine.playing = true;
                }
            }
            Action::SetCineRate(fps) => {
                if let Some(open) = self.viewer.scene_mut() {
                    open.cine.fps = fps.clamp(Cine::RATES[0], Cine::RATES[1]);
                }
            }
            Action::NextSlice => {
                self.scroll(|index, count| (index + 1) % count.max(1));
            }
            Action::FitView => self.fit(),
            Action::AddPicture => {
                if let Some(evidence) = self.viewer.evidence() {
                    let known = self.chat.tray.iter();
                    if known.clone().all(|e| e.picture != evidence.picture) {
                        self.chat.tray.push(evidence);
                    }
                }
            }
            Action::RemovePicture(index) if index < self.chat.tray.len() => {
                self.chat.tray.remove(index);
            }
            Action::ShowResult(index) => self.stage = Stage::Compare(index),
            Action::ShowSlice => self.stage = Stage::Slice,
            Action::RemoveResult(index) if index < self.results.items.len() => {
                self.results.items.remove(index);
                self.stage = Stage::Slice;
            }
            Action::SetCompareMode(mode) => self.results.mode = mode,
            Action::DismissNotice => {
                self.notice = None;
                self.results.failed = None;
            }
            other => self.arrange(other),
        }
        self.viewer.align_second();
    }

    /// Shows another slice of the scene, by the one shown and their number; linked viewports follow.
    fn scroll(&mut self, to: impl Fn(usize, usize) -> usize) {
        if let Some(open) = self.viewer.scene_mut() {
            let before = open.index();
            open.set_index(to(before, open.count()));
            let steps = open.index() as isize - before as isize;
            self.viewer.scrolled(steps);
        }
    }

    /// Ends every cine; false if none was under way.
    fn stop_cine(&mut self) -> bool {
        let mut stopped = false;
        for viewport in &mut self.viewer.viewports {
            if let Some(open) = viewport.open_mut() {
                stopped |= std::mem::take(&mut open.cine.playing);
            }
        }
        stopped
    }

    fn turn_back(&mut self) {
        if let Some(open) = self.viewer.scene_mut() {
            open.orientation = Orientation::default();
            self.viewer.moved();
        }
    }

    fn fit(&mut self) {
        if let Some(open) = self.viewer.scene_mut() {
            open.camera = Camera::default();
            self.viewer.moved();
        }
    }

    /// Goes back to a picture that a question was about; its series is loaded again if it has to be.
    fn show_picture(&mut self, picture: PictureRef) -> Vec<Effect> {
        let effects = self.switch_series(&picture.series);
        if self.viewer.series_id() != Some(&picture.series) {
            self.notice = Some(Notice::Failed(words().series_closed.to_owned()));
            return effects;
        }
        let slice = picture.view.map(LastView::Slice);
        if let Some(shown) = slice.or(picture.frame.map(LastView::Frame)) {
            match self.viewer.viewport_mut().open_mut() {
                Some(open) => {
                    open.show(shown);
                    self.viewer.scrolled(0);
                }
                None => {
                    let _ = self.last_views.insert(picture.series, shown);
                }
            }
        }
        effects
    }

    fn switch_series(&mut self, id: &str) -> Vec<Effect> {
        if self.viewer.open().is_some_and(|open| open.series.id == id) {
            self.stage = Stage::Slice;
            return Vec::new();
        }
        let shown = self.show_series(id);
        self.with_loads_stopped(shown)
    }

    /// Stops the loads that no viewport waits for any more, and the thumbnails, which can wait.
    pub(super) fn with_loads_stopped(&mut self, next: Option<Effect>) -> Vec<Effect> {
        let viewports = self.viewer.viewports.clone();
        let wanted = |id: &String| viewports.iter().any(|viewport| viewport.waits_for(id));
        let starts = match &next {
            Some(Effect::Send {
                kind: JobKind::LoadSeries(id),
                ..
            }) => Some(id.clone()),
            _ => None,
        };
        let mut effects = self.stop_jobs(|kind| match kind {
            JobKind::LoadSeries(id) => starts.as_ref() == Some(id) || !wanted(id),
            JobKind::Thumbnails => starts.is_some(),
            _ => false,
        });
        effects.extend(next);
        effects
    }

    fn stop(&mut self, job: JobId) -> Option<Effect> {
        let known = self.jobs.get_mut(&job)?;
        known.stopping = true;
        Some(Effect::Stop(job))
    }

    /// Stops every job of a kind.
    pub(super) fn stop_jobs(&mut self, of_kind: impl Fn(&JobKind) -> bool) -> Vec<Effect> {
        let running = self.jobs.iter().filter(|(_, job)| of_kind(&job.kind));
        let running: Vec<JobId> = running.map(|(id, _)| *id).collect();
        running
            .into_iter()
            .filter_map(|job| self.stop(job))
            .collect()
    }

    fn ask(&mut self) -> Option<Effect> {
        self.check_ask(&self.chat.draft.text).ok()?;
        let evidence = self.question_pictures();
        let pictures: Vec<_> = evidence.iter().map(|e| e.picture.clone()).collect();
        let history = self.chat.history(&pictures);
        let draft = &mut self.chat.draft;
        let question = std::mem::take(&mut draft.text).trim().to_owned();
        let request = AskRequest {
            sources: evidence.into_iter().map(|e| e.source).collect(),
            history,
            question: question.clone(),
            sampling: draft.sampling.clone(),
            max_new_tokens: draft.max_new_tokens,
        };
        self.chat.turns.push(Turn {
            question,
            pictures,
            history: request.history.len(),
            reply: Reply::Waiting,
        });
        Some(Effect::Send {
            command: Command::Ask(Box::new(request)),
            kind: JobKind::Ask,
        })
    }

    /// The pictures that the next question is about.
    pub fn question_pictures(&self) -> Vec<super::Evidence> {
        if !self.chat.draft.with_picture {
            Vec::new()
        } else if self.chat.tray.is_empty() {
            self.viewer.evidence().into_iter().collect()
        } else {
            self.chat.tray.clone()
        }
    }

    fn generate(&mut self, task: engine::Task) -> Option<Effect> {
        self.check_generate(task).ok()?;
        let evidence = self.viewer.evidence()?;
        self.results.failed = None;
        Some(Effect::Send {
            command: Command::Generate(Box::new(GenerateRequest {
                source: evidence.source,
                task,
                instruction: None,
                sampling: self.chat.draft.sampling.clone(),
                faithful: false,
                draft: Drafting::Auto,
            })),
            kind: JobKind::Generate {
                task,
                picture: evidence.picture,
            },
        })
    }
}

fn is_answer_or_image(kind: &JobKind) -> bool {
    matches!(kind, JobKind::Ask | JobKind::Generate { .. })
}
