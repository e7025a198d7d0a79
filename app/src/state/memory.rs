//! What the program holds in memory, for the line below.

use std::sync::Arc;

use engine::imaging::Volume;
use engine::session::Source;

use super::{ModelState, State, Viewport};

/// Memory in MiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryUse {
    /// The program, everything together.
    pub program_mib: f64,
    /// Of that, the voxels of volumes that are open or lie ready for a question.
    pub volumes_mib: f64,
    /// The model, in this memory or the GPU's; nothing where none is loaded or the system does not say.
    pub model_mib: Option<f64>,
}

impl State {
    /// What is in memory, once the program was measured.
    pub fn memory_use(&self) -> Option<MemoryUse> {
        let program_mib = self.memory_mib?;
        let shown = self.viewer.viewports.iter();
        let shown = shown.filter_map(Viewport::volume).map(|view| &view.volume);
        let ready = self.chat.tray.iter().filter_map(|item| match &item.source {
            Source::Slice { volume, .. } => Some(volume),
            Source::Picture(_) => None,
        });
        // Viewports of one volume share it.
        let mut once: Vec<&Arc<Volume>> = Vec::new();
        for volume in shown.chain(ready) {
            if !once.iter().any(|known| Arc::ptr_eq(known, volume)) {
                once.push(volume);
            }
        }
        let bytes: u64 = once.iter().map(|volume| volume.voxels.bytes()).sum();
        Some(MemoryUse {
            program_mib,
            volumes_mib: bytes as f64 / f64::from(1 << 20),
            model_mib: match &self.model {
                ModelState::Ready(info) => info.memory_mib,
                _ => None,
            },
        })
    }
}
