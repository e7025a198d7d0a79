//! App.
pub mod cli;
