//! The thread that cuts what takes long (thick slabs between the voxels), so that the window never waits for it. Of the
//! wishes of a viewport only the last one counts.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;

use egui::Context;
use engine::imaging::{ImagingError, Slice};

use crate::section::Section;

/// Samples that are cut while a frame is drawn, at most: some milliseconds.
const QUICK: usize = 2 << 20;

/// A cut that is wanted.
struct Wish {
    viewport: usize,
    number: u64,
    cut: Box<dyn FnOnce() -> Result<Slice, ImagingError> + Send>,
}

/// A cut that is made, or why it cannot be.
pub struct Made {
    /// The number that [`Slicer::cut`] gave.
    pub number: u64,
    /// The samples.
    pub slice: Result<Slice, ImagingError>,
}

/// The thread's handle. The thread ends with it.
pub struct Slicer {
    wishes: Sender<Wish>,
    made: Receiver<Made>,
    numbers: u64,
}

impl Slicer {
    /// Starts the thread, which wakes this window. Nothing where the system gives no thread.
    pub fn start(ctx: Context) -> Option<Self> {
        let (wishes, received) = channel::<Wish>();
        let (sender, made) = channel();
        let spawned = Builder::new().name("slicer".to_owned()).spawn(move || {
            while let Ok(first) = received.recv() {
                let mut last = BTreeMap::from([(first.viewport, first)]);
                for wish in received.try_iter() {
                    let _ = last.insert(wish.viewport, wish);
                }
                for wish in last.into_values() {
                    let number = wish.number;
                    let slice = (wish.cut)();
                    if sender.send(Made { number, slice }).is_err() {
                        return; // the window is closed
                    }
                    ctx.request_repaint();
                }
            }
        });
        if let Err(error) = spawned {
            tracing::warn!("slabs are cut while the window waits: {error}");
            return None;
        }
        Some(Self {
            wishes,
            made,
            numbers: 0,
        })
    }

    /// Would a frame have to wait for this cut? `between` the voxels a sample takes about eight times as long as on them.
    pub fn long(section: &Section, between: bool) -> bool {
        let [columns, rows, _] = section.grid.size;
        let each = if between { 8 } else { 1 };
        section.slab.is_some() && columns * rows * section.slices().len() * each > QUICK
    }

    /// Asks for a cut; the result is its number.
    pub fn cut(
        &mut self,
        viewport: usize,
        cut: impl FnOnce() -> Result<Slice, ImagingError> + Send + 'static,
    ) -> u64 {
        self.numbers += 1;
        let wish = Wish {
            viewport,
            number: self.numbers,
            cut: Box::new(cut),
        };
        // The thread ends only with this value.
        let _ = self.wishes.send(wish);
        self.numbers
    }

    /// What was made since the last call.
    pub fn made(&self) -> Vec<Made> {
        self.made.try_iter().collect()
    }
}
