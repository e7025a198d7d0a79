//! What the program holds in memory, for the line below.

use std::sync::Arc;

use engine::imaging::Volume;
use engine::session::Source;

use super::{Content, FramesView, ModelState, State, Viewport};

/// Memory in MiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryUse {
    /// The program, everything together.
    pub program_mib: f64,
    /// Of that, the voxels of volumes and the frames in colour that are open or lie ready for a question.
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
        let bytes = bytes + self.frames_bytes();
        Some(MemoryUse {
            program_mib,
            volumes_mib: bytes as f64 / f64::from(1 << 20),
            model_mib: match &self.model {
                ModelState::Ready(info) => info.memory_mib,
                _ => None,
            },
        })
    }

    /// Bytes of pictures in colour, each once.
    fn frames_bytes(&self) -> u64 {
        let mut once: Vec<&FramesView> = Vec::new();
        for open in self.viewer.viewports.iter().filter_map(Viewport::open) {
            if let Content::Frames(shown) = &open.content
                && !once.iter().any(|known| known.same_as(shown))
            {
                once.push(shown);
            }
        }
        let ready = self.chat.tray.iter().filter_map(|item| match &item.source {
            Source::Picture(picture) => Some(picture),
            Source::Slice { .. } => None,
        });
        let apart = ready.filter(|picture| !once.iter().any(|shown| shown.holds(picture)));
        let apart: u64 = apart.map(|picture| picture.as_raw().len() as u64).sum();
        once.iter().map(|shown| shown.bytes()).sum::<u64>() + apart
    }
}
