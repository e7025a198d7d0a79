//! Workbench.
fn main() {}
