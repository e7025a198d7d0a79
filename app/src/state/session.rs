//! A session as it is kept while it runs, and how one that did not end properly goes on.
//!
//! Measurements are not part of it: each change of them is written at once, with the series. Neither are voxels, which
//! are read again, nor generated images, which are saved by hand.

use std::path::PathBuf;

use engine::imaging::{ColourMap, SeriesInfo, ViewDescriptor};
use engine::model::{Answer, Sampling};
use engine::session::Command;
use serde::{Deserialize, Serialize};

use super::chat::{PictureRef, Reply, Turn};
use super::orientation::Orientation;
use super::results::CompareMode;
use super::viewer::{Links, Viewer};
use super::viewport::{Camera, Content, LoadingSeries, OpenSeries, Viewport};
use super::{JobKind, Notice, State};
use crate::action::{Action, Effect};
use crate::strings::{fill, words};

/// What of a session is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// Files and folders that were opened, in order.
    pub studies: Vec<PathBuf>,
    /// The model folder.
    pub model: Option<PathBuf>,
    /// The viewports.
    pub layout: Layout,
    /// Questions and answers, oldest first.
    pub turns: Vec<KeptTurn>,
    /// The question that is being typed.
    pub question: String,
    /// It is about the picture on screen.
    pub with_picture: bool,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Answers are cut after so many tokens.
    pub max_new_tokens: usize,
}

/// The viewports as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layout {
    /// One to four; nothing for an empty one.
    pub viewports: Vec<Option<KeptView>>,
    /// The one that keys and tools are about.
    pub active: usize,
    /// Only that one is drawn.
    pub maximised: bool,
    /// What carries over between series.
    pub links: Links,
    /// The place that all viewports show, LPS mm.
    pub crosshair: Option<[f64; 3]>,
    /// Its lines are drawn.
    pub crosshair_visible: bool,
    /// How the first two series are compared.
    pub compare: CompareMode,
}

/// A series and how it is looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptView {
    /// The series' id, a hash.
    pub series: String,
    /// Which of its volumes, from 0.
    pub volume: usize,
    /// Plane, slice and window; nothing for a picture.
    pub view: Option<ViewDescriptor>,
    /// The frame in colour, from 0.
    #[serde(default)]
    pub frame: usize,
    /// Colours of the grey levels.
    pub colours: ColourMap,
    /// How large and where.
    pub camera: Camera,
    /// How it is turned.
    pub orientation: Orientation,
}

/// A question and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptTurn {
    /// The question.
    pub question: String,
    /// What it was about.
    pub pictures: Vec<PictureRef>,
    /// Earlier turns that were sent with it.
    pub history: usize,
    /// The answer.
    pub reply: KeptReply,
}

/// An answer as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum KeptReply {
    /// Complete.
    Done(Box<Answer>),
    /// The text so far: stopped, or cut by the end of the program.
    Cut(String),
    /// The text so far, and why it ended.
    Failed(String, String),
}

/// What the last run left: offered once, at the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Left {
    /// Its session.
    pub session: Option<Box<Session>>,
    /// Files and folders of it that are gone.
    pub gone: usize,
    /// Where the report of a crash is.
    pub report: Option<String>,
}

impl KeptView {
    fn of(viewport: &Viewport) -> Option<Self> {
        let open = match viewport {
            Viewport::Empty => return None,
            Viewport::Open(open) => return Some(Self::of_open(open)),
            Viewport::Loading(loading) => {
                if let Some(kept) = &loading.kept {
                    return Some((**kept).clone());
                }
                &loading.series
            }
            Viewport::Failed(series, _) => series,
        };
        Some(Self {
            series: open.id.clone(),
            volume: volume_of(open),
            view: None,
            frame: 0,
            colours: ColourMap::default(),
            camera: Camera::default(),
            orientation: Orientation::default(),
        })
    }

    fn of_open(open: &OpenSeries) -> Self {
        let (view, frame, colours) = match &open.content {
            Content::Volume(view) => (Some(view.descriptor()), 0, view.colours),
            Content::Frames(frames) => (None, frames.index(), ColourMap::default()),
        };
        Self {
            series: open.series.id.clone(),
            volume: volume_of(&open.series),
            view,
            frame,
            colours,
            camera: open.camera,
            orientation: open.orientation,
        }
    }

    /// The series in the library, which knows files by their first volume.
    fn find(&self, library: &[SeriesInfo]) -> Option<SeriesInfo> {
        let of = |series: &&SeriesInfo| series.volume(self.volume).id == self.series;
        library
            .iter()
            .find(of)
            .map(|series| series.volume(self.volume))
    }

    /// Shows a series as it was looked at.
    pub(super) fn show(&self, open: &mut OpenSeries) {
        let Self {
            view,
            colours,
            camera,
            orientation,
            ..
        } = self;
        open.camera = camera.sound();
        open.orientation = orientation.sound();
        if let (Content::Volume(shown), Some(view)) = (&mut open.content, view) {
            let possible = shown.check_plane(view.plane).is_ok();
            let straight = view.axes == Default::default() || shown.check_patient_axes().is_ok();
            if possible && straight {
                shown.show(*view);
            }
            shown.colours = *colours;
        }
        if let Content::Frames(frames) = &mut open.content {
            frames.set_index(self.frame);
        }
    }
}

fn volume_of(series: &SeriesInfo) -> usize {
    let many = series.volumes > 1;
    let first = series.frames.first().copied();
    first.filter(|_| many).unwrap_or(0)
}

impl KeptTurn {
    fn of(turn: &Turn) -> Self {
        let reply = match &turn.reply {
            Reply::Done(answer) => KeptReply::Done(answer.clone()),
            Reply::Failed(text, why) => KeptReply::Failed(text.clone(), why.clone()),
            other => KeptReply::Cut(other.text().to_owned()),
        };
        Self {
            question: turn.question.clone(),
            pictures: turn.pictures.clone(),
            history: turn.history,
            reply,
        }
    }

    fn into_turn(self) -> Turn {
        Turn {
            question: self.question,
            pictures: self.pictures,
            history: self.history,
            reply: match self.reply {
                KeptReply::Done(answer) => Reply::Done(answer),
                KeptReply::Cut(text) => Reply::Stopped(text),
                KeptReply::Failed(text, why) => Reply::Failed(text, why),
            },
        }
    }
}

impl Session {
    /// Is there nothing in it that would be missed?
    pub fn empty(&self) -> bool {
        self.studies.is_empty() && self.turns.is_empty() && self.question.trim().is_empty()
    }
}

impl State {
    /// The session as it is to be kept now; nothing while another one waits for the user's answer or is being
    /// restored, which is not to be lost meanwhile.
    pub fn session(&self) -> Option<Session> {
        let waits = self
            .left
            .as_ref()
            .is_some_and(|left| left.session.is_some());
        if waits || self.restoring.is_some() {
            return None;
        }
        let draft = &self.chat.draft;
        Some(Session {
            studies: self.studies.clone(),
            model: self.model_dir.clone(),
            layout: self.layout(),
            turns: self.chat.turns.iter().map(KeptTurn::of).collect(),
            question: draft.text.clone(),
            with_picture: draft.with_picture,
            sampling: draft.sampling.clone(),
            max_new_tokens: draft.max_new_tokens,
        })
    }

    fn layout(&self) -> Layout {
        let viewer = &self.viewer;
        Layout {
            viewports: viewer.viewports.iter().map(KeptView::of).collect(),
            active: viewer.active,
            maximised: viewer.maximised,
            links: viewer.links,
            // A millionth of a millimetre is written and read without loss.
            crosshair: viewer
                .crosshair
                .map(|at| at.map(|mm| (mm * 1e6).round() / 1e6)),
            crosshair_visible: viewer.crosshair_visible,
            compare: viewer.compare,
        }
    }

    /// The viewports as the next start is to have them. Nothing where nothing was opened: what was kept before holds.
    pub fn layout_to_keep(&self) -> Option<Layout> {
        let layout = self.layout();
        let any = layout.viewports.iter().any(Option::is_some);
        (any && self.restoring.is_none()).then_some(layout)
    }

    /// Remembers what this session opened.
    pub(super) fn opened_now(&mut self, paths: &[PathBuf]) {
        for path in paths {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            if !self.studies.contains(&path) {
                self.studies.push(path);
            }
        }
    }

    /// Does what was asked of the session that the last run left.
    pub(super) fn recover(&mut self, wish: &Action) -> Vec<Effect> {
        let Some(left) = self.left.take() else {
            return Vec::new();
        };
        match (wish, left.session) {
            (Action::RestoreSession, Some(session)) => self.restore(*session, left.gone),
            (_, Some(_)) => vec![Effect::DiscardSession],
            (_, None) => Vec::new(),
        }
    }

    fn restore(&mut self, session: Session, gone: usize) -> Vec<Effect> {
        let mut effects = Vec::new();
        // What was asked since the start comes after what was asked before it.
        let kept = session.turns.into_iter().map(KeptTurn::into_turn);
        self.chat.turns.splice(0..0, kept);
        let draft = &mut self.chat.draft;
        if draft.text.is_empty() {
            draft.text = session.question;
        }
        draft.with_picture = session.with_picture;
        draft.sampling = session.sampling;
        draft.max_new_tokens = session.max_new_tokens.max(1);
        if let Some(dir) = session
            .model
            .filter(|dir| self.model_dir.as_ref() != Some(dir))
        {
            effects.extend(self.perform(Action::LoadModel(dir)));
        }
        self.opened_now(&session.studies);
        self.notice = (gone > 0).then(|| Notice::Failed(fill(words().restored_less, &[&gone])));
        if !session.studies.is_empty() {
            self.restoring = Some(session.layout);
            effects.push(Effect::Send {
                command: Command::Scan {
                    paths: session.studies,
                },
                kind: JobKind::Restore,
            });
        }
        effects
    }

    /// Opens what the last run ended with, if nothing else is open yet and all of it was found.
    pub(super) fn lay_out_again(&mut self) -> Option<Vec<Effect>> {
        let library = &self.library.series;
        let found = |kept: &KeptView| kept.find(library).is_some();
        let fits = |layout: &Layout| {
            let mut kept = layout.viewports.iter().flatten();
            kept.clone().next().is_some() && kept.all(found)
        };
        let mut viewports = self.viewer.viewports.iter();
        if viewports.any(|viewport| viewport.open().is_some())
            || !self.layout_at_start.as_ref().is_some_and(fits)
        {
            return None;
        }
        self.restoring = self.layout_at_start.take();
        self.lay_out()
    }

    /// Opens what was open, where it was, once the files are found again. Nothing if there is no such layout.
    pub(super) fn lay_out(&mut self) -> Option<Vec<Effect>> {
        let layout = self.restoring.take()?;
        self.viewports_at_start = None;
        self.layout_at_start = None;
        let mut loads: Vec<SeriesInfo> = Vec::new();
        let mut viewports = Vec::new();
        for kept in layout.viewports.into_iter().take(Viewer::MOST) {
            let found = kept.and_then(|kept| Some((kept.find(&self.library.series)?, kept)));
            let Some((series, kept)) = found else {
                viewports.push(Viewport::Empty);
                continue;
            };
            if loads.iter().all(|known| known.id != series.id) {
                loads.push(series.clone());
            }
            viewports.push(Viewport::Loading(Box::new(LoadingSeries {
                series,
                plane: None,
                first: None,
                kept: Some(Box::new(kept)),
            })));
        }
        if loads.is_empty() {
            return None;
        }
        let mut effects = self.stop_jobs(|kind| matches!(kind, JobKind::LoadSeries(_)));
        effects.extend(loads.into_iter().map(super::apply::load));
        self.viewer = Viewer {
            active: layout.active.min(viewports.len().saturating_sub(1)),
            viewports,
            maximised: layout.maximised,
            links: layout.links,
            crosshair: layout
                .crosshair
                .filter(|at| at.iter().all(|x| x.is_finite())),
            crosshair_visible: layout.crosshair_visible,
            corners_visible: self.viewer.corners_visible,
            compare: layout.compare,
            areas: Vec::new(),
        };
        Some(effects)
    }
}
