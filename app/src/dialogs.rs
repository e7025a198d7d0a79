//! The system's file chooser, each time in a thread of its own, so that the window never waits for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use engine::imaging::Generated;

use crate::strings::words;

/// A chooser that comes back empty sooner was never shown.
const FASTEST_CANCEL: Duration = Duration::from_millis(250);

/// What a file chooser came back with. A cancelled one says nothing.
#[derive(Debug)]
pub enum Chosen {
    /// Scans to open.
    Scans(Vec<PathBuf>),
    /// A model folder.
    Model(PathBuf),
    /// The configuration of a training run.
    Training(PathBuf),
    /// The system has no file chooser; what to do instead.
    NoChooser(&'static str),
    /// A picture was written under this name, or why not.
    Saved(Result<String, String>),
}

/// Choosers under way.
#[derive(Debug)]
pub struct Dialogs {
    sender: Sender<Chosen>,
    chosen: Receiver<Chosen>,
    ctx: egui::Context,
}

impl Dialogs {
    pub fn new(ctx: egui::Context) -> Self {
        let (sender, chosen) = channel();
        Self {
            sender,
            chosen,
            ctx,
        }
    }

    /// What was chosen since the last call.
    pub fn chosen(&self) -> Vec<Chosen> {
        self.chosen.try_iter().collect()
    }

    pub fn choose_folder(&self) {
        let title = words().choose_folder_title;
        self.in_background(words().instead_type, move || {
            let dialog = rfd::FileDialog::new().set_title(title);
            dialog.pick_folder().map(|path| Chosen::Scans(vec![path]))
        });
    }

    pub fn choose_files(&self) {
        let title = words().choose_files_title;
        self.in_background(words().instead_type, move || {
            let dialog = rfd::FileDialog::new().set_title(title);
            dialog.pick_files().map(Chosen::Scans)
        });
    }

    pub fn choose_model(&self) {
        let title = words().choose_model_title;
        self.in_background(words().instead_restart, move || {
            let dialog = rfd::FileDialog::new().set_title(title);
            dialog.pick_folder().map(Chosen::Model)
        });
    }

    pub fn choose_training(&self) {
        let title = words().training_choose_title;
        self.in_background(words().training_instead, move || {
            let dialog = rfd::FileDialog::new().set_title(title);
            let dialog = dialog.add_filter("TOML", &["toml"]);
            dialog.pick_file().map(Chosen::Training)
        });
    }

    /// Asks where, and writes the marked picture with its side-car there.
    pub fn save_png(&self, generated: Arc<Generated>) {
        let (title, kind) = (words().save_picture_title, words().png_picture);
        self.in_background(words().instead_generate, move || {
            let path = rfd::FileDialog::new()
                .set_title(title)
                .set_file_name(format!("synthetic-{}.png", generated.provenance.task))
                .add_filter(kind, &["png"])
                .save_file()?;
            let path = match path.extension() {
                Some(_) => path,
                None => path.with_extension("png"),
            };
            let saved = generated.save_png(&path).map_err(|error| error.to_string());
            let name = path.file_name().unwrap_or_default();
            Some(Chosen::Saved(
                saved.map(|_| name.to_string_lossy().into_owned()),
            ))
        });
    }

    fn in_background(
        &self,
        instead: &'static str,
        choose: impl FnOnce() -> Option<Chosen> + Send + 'static,
    ) {
        let (sender, ctx) = (self.sender.clone(), self.ctx.clone());
        let spawned = thread::Builder::new()
            .name("file-chooser".to_owned())
            .spawn(move || {
                let asked = Instant::now();
                let chosen = choose();
                // Nobody cancels so fast: there was no dialog.
                let missing =
                    (asked.elapsed() < FASTEST_CANCEL).then_some(Chosen::NoChooser(instead));
                if let Some(chosen) = chosen.or(missing)
                    && sender.send(chosen).is_ok()
                {
                    ctx.request_repaint();
                }
            });
        if let Err(error) = spawned {
            tracing::error!("the file chooser could not be started: {error}");
        }
    }
}
