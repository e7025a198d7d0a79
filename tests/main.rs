//! Every test that crosses a module, in one binary: a file for each subject.

mod cli;
mod gui;
mod tidy;
