//! `workbench devices`: what a model could run on.

use engine::device::adapters;
use serde_json::json;

use super::console::Console;
use super::failure::Failure;

/// Prints the adapters, best first, with the numbers that `--device` takes.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(console: &mut Console<'_>) -> Result<(), Failure> {
    let adapters = adapters();
    for (i, adapter) in adapters.iter().enumerate() {
        console.print(&format!(
            "{}  {}, {}{}{}\n",
            i + 1,
            adapter.name,
            adapter.kind,
            if adapter.driver.is_empty() { "" } else { ", " },
            adapter.driver
        ))?;
    }
    if adapters.is_empty() {
        console.print("no adapter with a driver was found: models run on the CPU\n")?;
    }
    console.print_json(&json!({ "adapters": adapters }))
}
