//! The `workbench` program.

use workbench::{WindowStart, run_window};

fn main() -> eframe::Result<()> {
    let mut start = WindowStart::default();
    for path in std::env::args_os().skip(1) {
        let path = std::path::PathBuf::from(path);
        if path.join("model.toml").exists() || path.join("llm").exists() {
            start.model = Some(path);
        } else {
            start.studies.push(path);
        }
    }
    run_window(start)
}
