//! The thread that cuts what takes long (thick slabs between the voxels), so that the window never waits for it. Of the
//! wishes of a viewport only the last one counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;

use egui::Context;
use engine::imaging::{Axes, ImagingError, Slice, ViewDescriptor, Volume};

/// Samples that are cut while a frame is drawn, at most: some milliseconds.
const QUICK: usize = 2 << 20;

/// A cut that is wanted.
struct Wish {
    viewport: usize,
    number: u64,
    volume: Arc<Volume>,
    view: ViewDescriptor,
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
                    let slice = wish.volume.cut(&wish.view);
                    let number = wish.number;
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

    /// Would a frame have to wait for this cut?
    pub fn long(volume: &Volume, view: &ViewDescriptor) -> bool {
        let Some(slab) = view.slab else {
            return false;
        };
        let grid = volume.grid(view.plane, view.axes);
        let [_, _, apart_mm] = grid.patient_from_grid.spacing_mm();
        let slices = (f64::from(slab.mm) / apart_mm.max(1e-3)).ceil() as usize;
        let slices = slices.clamp(1, grid.size[2].max(1));
        // Between the voxels a sample takes about eight times as long as on them.
        let each = match view.axes {
            Axes::Acquired => 1,
            Axes::Patient => 8,
        };
        grid.size[0] * grid.size[1] * slices * each > QUICK
    }

    /// Asks for a cut; the result is its number.
    pub fn cut(&mut self, viewport: usize, volume: &Arc<Volume>, view: ViewDescriptor) -> u64 {
        self.numbers += 1;
        let wish = Wish {
            viewport,
            number: self.numbers,
            volume: Arc::clone(volume),
            view,
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
