//! What a user can ask of the window, and what the window asks of the world in turn.

use std::path::PathBuf;
use std::sync::Arc;

use engine::Task;
use engine::imaging::{Axes, ColourMap, Generated, Plane, Slab, Window};
use engine::session::{Command, JobId};

use crate::keys::Chord;
use crate::settings::{Change, Settings};
use crate::state::{CompareMode, Dialog, JobKind, Kept, Link, Measure, PictureRef, ViewTurn};

/// Something the user wants. Views return it, `State::perform` does it.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask for a folder of scans.
    ChooseFolder,
    /// Ask for files.
    ChooseFiles,
    /// Ask for a model folder.
    ChooseModel,
    /// Close the window.
    Quit,
    /// Open files and folders.
    OpenPaths(Vec<PathBuf>),
    /// Load the model in this folder.
    LoadModel(PathBuf),
    /// Show a series by its id.
    ShowSeries(String),
    /// Show the series so many places further down the list.
    StepSeries(isize),
    /// Show another time point or direction of a file that has several, from 0.
    ShowVolume(usize),
    /// Show a series beside the active one, to compare them.
    ShowBeside(String),
    /// Close a study, by the hash that its series share. What was measured on them stays kept.
    CloseStudy(String),
    /// Make a viewport the active one.
    Activate(usize),
    /// Make the viewport so many places further the active one.
    StepViewport(isize),
    /// Show so many viewports.
    SetViewports(usize),
    /// Show axial, coronal and sagittal slices of the active volume beside each other.
    ShowPlanes,
    /// Show one viewport alone, or all of them again.
    ToggleMaximised,
    /// Show this place in the patient in every viewport, LPS mm.
    SetCrosshair([f64; 3]),
    /// Draw the lines of the crosshair, or not.
    ToggleCrosshair,
    /// Draw the words in the corners of the picture, or not. Warnings and letters of sides stay.
    ToggleCorners,
    /// Carry something over from one series to the other, or not.
    ToggleLink(Link),
    /// Cut slices along other axes.
    SetAxes(Axes),
    /// Show several slices as one, or one slice.
    SetSlab(Option<Slab>),
    /// Show grey levels in other colours.
    SetColours(ColourMap),
    /// Compare the first two series in another way.
    CompareSeries(CompareMode),
    /// Look along another axis.
    SetPlane(Plane),
    /// Show this slice, from 0.
    SetSlice(usize),
    /// Show the slice so many places further.
    StepSlices(isize),
    /// Show the last slice.
    LastSlice,
    /// Set the grey levels.
    SetWindow(Window),
    /// Set the window that a number key has.
    Preset(u8),
    /// Exchange black and white.
    ToggleInvert,
    /// Move the picture, in points.
    Pan([f32; 2]),
    /// Enlarge by a factor about a point, in points from the middle of the view.
    Zoom {
        /// More than 1 enlarges.
        factor: f32,
        /// What stays where it is.
        about: [f32; 2],
    },
    /// Fit the picture and go back to the first window.
    ResetView,
    /// Turn or flip what is on screen.
    Turn(ViewTurn),
    /// Begin or end to show slice after slice.
    ToggleCine,
    /// Show so many slices a second.
    SetCineRate(f32),
    /// Show the next slice; after the last comes the first.
    NextSlice,
    /// Fit the picture.
    FitView,
    /// Send the question that is typed.
    Ask,
    /// End a job soon.
    Stop(JobId),
    /// End the running answer or image; without one, leave the comparison.
    Cancel,
    /// Put an earlier question back into the field.
    EditQuestion(String),
    /// Forget the questions and answers.
    NewConversation,
    /// Put the picture on screen beside those the next question is about.
    AddPicture,
    /// Take a picture back out.
    RemovePicture(usize),
    /// Put a text on the clipboard.
    Copy(String),
    /// Show the picture that a question was about.
    ShowPicture(PictureRef),
    /// Make an image of the picture on screen.
    Generate(Task),
    /// Compare a result with its input.
    ShowResult(usize),
    /// Go back from the comparison to the slice.
    ShowSlice,
    /// Drop a result.
    RemoveResult(usize),
    /// Compare in another way.
    SetCompareMode(CompareMode),
    /// Write a result to a file.
    SavePng(usize),
    /// Close the message that is shown.
    DismissNotice,
    /// Draw, choose, change or delete measurements.
    Measure(Measure),
    /// Open a dialog, or close it if it is open.
    Toggle(Dialog),
    /// Close the dialog that is open.
    CloseDialog,
    /// Change a setting.
    Change(Change),
    /// Wait for the next key, which a command is to have; or wait no more.
    Listen(Option<String>),
    /// Give a command this key.
    BindKey(String, Chord),
    /// Give all commands their default keys.
    ResetKeys,
    /// Go on with the session that the last run left.
    RestoreSession,
    /// Delete it, or close what is said of a crash.
    DiscardSession,
    /// Begin to type a question.
    FocusQuestion,
    /// Ask for the configuration of a training run.
    ChooseTraining,
    /// It was chosen.
    TrainingChosen(PathBuf),
    /// Start the training run that is typed, or go on with it.
    Train,
}

/// Something only the surroundings can do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a command to the engine, and report its job back with `State::started`.
    Send {
        /// The command.
        command: Command,
        /// What it is for.
        kind: JobKind,
    },
    /// Stop a job.
    Stop(JobId),
    /// Ask for a folder of scans.
    ChooseFolder,
    /// Ask for files.
    ChooseFiles,
    /// Ask for a model folder.
    ChooseModel,
    /// Close the window.
    Quit,
    /// Ask for the configuration of a training run.
    ChooseTraining,
    /// Ask for a file name and write the marked picture there.
    SavePng(Arc<Generated>),
    /// Put a text on the clipboard.
    Copy(String),
    /// Delete the session that the last run left.
    DiscardSession,
    /// Keep the settings.
    KeepSettings(Box<Settings>),
    /// Keep the measurements of a series.
    KeepMeasurements(String, Vec<Kept>),
    /// Bring back the measurements of a series, with `State::recalled`.
    RecallMeasurements(String),
}
