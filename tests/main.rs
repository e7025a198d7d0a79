//! Every test that crosses a module, in one binary: a file for each subject.

mod cli;
mod dataset;
mod evaluation;
mod fixtures;
mod golden;
mod gui;
mod hostile;
mod imaging;
mod import;
mod kernels;
mod lost;
mod model;
mod new_model;
mod packaging;
mod packed;
mod paint;
mod privacy;
mod reslice;
mod screen;
mod session;
mod shaders;
mod stages;
mod support;
mod tidy;
mod training;
mod twin;
