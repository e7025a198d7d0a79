//! Suite.

mod gui;
