//! Every test that crosses a module, in one binary: a file for each subject.

mod cli;
mod golden;
mod gui;
mod model;
mod session;
mod support;
mod tidy;
