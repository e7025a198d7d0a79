//! Every test that crosses a module, in one binary: a file for each subject.

mod cli;
mod fixtures;
mod golden;
mod gui;
mod hostile;
mod imaging;
mod kernels;
mod model;
mod session;
mod shaders;
mod support;
mod tidy;
mod training;
mod twin;
