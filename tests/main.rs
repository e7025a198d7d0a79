//! Every test that crosses a module, in one binary.

mod golden;
mod gui;
mod model;
mod session;
mod support;
