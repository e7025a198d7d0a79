//! The workbench's window as a library, so that tests reach the views.
//!
//! One way round: [`view`] draws [`state::State`] and returns an [`action::Action`]; `State::perform` turns it into
//! [`action::Effect`]s, which [`app`] carries out on the engine; `State::apply` takes the engine's events back in.

pub mod action;
pub mod app;
pub mod autosave;
pub mod cli;
pub mod crash;
mod desktop;
pub mod device_reasons;
mod dialogs;
mod engine_errors;
pub mod errors;
#[cfg(unix)]
mod instance;
pub mod keeper;
pub mod keys;
pub mod loss;
pub mod notes;
pub mod offscreen;
pub mod paint;
pub mod pictures;
pub mod plan;
pub mod recovery;
pub mod section;
pub mod settings;
pub mod slicer;
pub mod stages;
pub mod state;
pub mod store;
pub mod strings;
mod strings_table;
pub mod theme;
#[cfg(test)]
mod translated;
pub mod view;

pub use app::{WindowStart, run_window};
pub use plan::ScreenshotPlan;
