//! Every test that crosses a module, in one binary.

mod fixtures;
mod golden;
mod imaging;
mod model;
mod session;
mod support;
