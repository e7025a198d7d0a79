//! What is measured on the open series: shapes with their numbers, drawn with the current tool, undone step by step.
//!
//! A measurement belongs to a slice of a series, not to a viewport, and is kept with the series under its id (a hash).

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::imaging::measure::{Histogram, Point, Reading, Shape, histogram, measure, samples_in};
use engine::imaging::{Affine, Plane, SliceAt, Volume};

use super::kept::{Kept, SliceMm};
use super::viewport::{Content, OpenSeries, Viewport};
use super::{Notice, Stage, State};
use crate::action::Effect;
use crate::strings::{fill, words};

/// Steps that can be undone, at most.
const UNDO_STEPS: usize = 200;

/// Bars of the histogram.
const BINS: usize = 64;

/// Shorter than this in both directions, in pixels of the slice, a drag drew nothing.
const SMALLEST: f64 = 0.25;

/// What the left mouse button does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tool {
    /// Sets the grey levels.
    #[default]
    Window,
    /// Moves the picture.
    Pan,
    /// Enlarges.
    Zoom,
    /// Draws a distance.
    Length,
    /// Draws an angle.
    Angle,
    /// Draws a rectangular region.
    Rectangle,
    /// Draws an elliptic region.
    Ellipse,
}

impl Tool {
    /// In toolbar order.
    pub const ALL: [Self; 7] = [
        Self::Window,
        Self::Pan,
        Self::Zoom,
        Self::Length,
        Self::Angle,
        Self::Rectangle,
        Self::Ellipse,
    ];

    /// Does it draw a measurement?
    pub fn draws(self) -> bool {
        !matches!(self, Self::Window | Self::Pan | Self::Zoom)
    }

    /// Is it about grey levels, which frames in colour do not have?
    pub fn needs_samples(self) -> bool {
        matches!(self, Self::Window | Self::Rectangle | Self::Ellipse)
    }

    fn begun_at(self, at: Point) -> Option<(Shape, usize)> {
        match self {
            Self::Window | Self::Pan | Self::Zoom => None,
            Self::Length => Some((Shape::Length([at; 2]), 1)),
            Self::Angle => Some((Shape::Angle([at; 3]), 1)),
            Self::Rectangle => Some((Shape::Rectangle([at; 2]), 1)),
            Self::Ellipse => Some((Shape::Ellipse([at; 2]), 1)),
        }
    }
}

/// A slice of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceRef {
    /// The series' id.
    pub series: String,
    /// The slice.
    pub at: SliceAt,
}

impl SliceRef {
    /// The slice or frame of a series on screen, if it can be measured on: a single one, no slab.
    pub fn of(open: &OpenSeries) -> Option<Self> {
        let at = match &open.content {
            Content::Volume(view) if view.slab.is_some() => return None,
            Content::Volume(view) => SliceAt {
                plane: view.plane,
                axes: view.axes,
                index: view.index(),
            },
            Content::Frames(frames) => SliceAt::acquired(Plane::Axial, frames.index()),
        };
        let series = open.series.id.clone();
        Some(Self { series, at })
    }
}

/// A shape on a slice and what it measures.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Counts up within the series; never given twice.
    pub number: u32,
    /// The slice.
    pub at: SliceAt,
    /// Where the slice lies, if the files say that.
    pub mm: Option<SliceMm>,
    /// The shape, in columns and rows of the slice.
    pub shape: Shape,
    /// Its numbers.
    pub reading: Reading,
}

/// The measurements of one series, and how they came about.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// Oldest first.
    pub items: Vec<Measurement>,
    /// Those on slices that are not among the open files: kept, and not shown.
    absent: Vec<Kept>,
    /// Size and place of the volume that was measured on.
    grid: Option<([usize; 3], Affine)>,
    undo: Vec<Vec<Measurement>>,
    redo: Vec<Vec<Measurement>>,
    numbers: u32,
}

/// A measurement under the mouse.
#[derive(Clone, Debug, PartialEq)]
pub struct Gesture {
    /// The series.
    pub series: String,
    /// As it is now.
    pub item: Measurement,
    part: Part,
    from: Point,
    origin: Shape,
    /// It was there before.
    existing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Handle(usize),
    Whole,
}

/// A tool that is on only as long as its key is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    before: Tool,
    used: bool,
}

/// What can be done with measurements. `State::perform` does it.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// The left button does this from now on.
    Use(Tool),
    /// The same while the key is down; a short press stays.
    Hold(Tool),
    /// The key of a held tool went up.
    Release,
    /// The tool in hand did something else than draw.
    Used,
    /// Begin to draw here.
    Begin(SliceRef, Point),
    /// Begin to move a handle of a measurement, or all of it.
    Grab {
        /// Of which slice.
        on: SliceRef,
        /// Which measurement.
        number: u32,
        /// Which handle; all of it without.
        handle: Option<usize>,
        /// Where it was taken.
        at: Point,
    },
    /// The mouse is here.
    Drag(Point),
    /// The mouse button went up here.
    End(Point),
    /// Forget what is being drawn.
    Abandon,
    /// Choose a measurement of the open series, or none.
    Select(Option<u32>),
    /// Show the slice of a measurement and choose it.
    Show(u32),
    /// Delete the chosen one.
    DeleteSelected,
    /// Delete this one.
    Delete(u32),
    /// Delete all of the open series.
    DeleteAll,
    /// Take the last change back.
    Undo,
    /// Make it again.
    Redo,
    /// Show or hide the list.
    ToggleList,
}

/// Which samples a histogram is of.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramOf {
    /// The slice.
    pub slice: SliceRef,
    /// The region; the whole slice without one.
    pub region: Option<(u32, Shape)>,
}

/// Measurements of all series that were open, and the tool in hand.
#[derive(Clone, Debug)]
pub struct Measurements {
    /// By series id.
    pub books: BTreeMap<String, Book>,
    /// What the left button does.
    pub tool: Tool,
    /// The tool is on only as long as its key is down.
    pub held: Option<Held>,
    /// The chosen one: series and number.
    pub selected: Option<(String, u32)>,
    /// The one under the mouse.
    pub gesture: Option<Gesture>,
    /// The list is shown.
    pub listed: bool,
    /// Of the chosen region, or of the slice on screen.
    pub histogram: Option<(HistogramOf, Option<Histogram>)>,
}

impl Default for Measurements {
    fn default() -> Self {
        Self {
            books: BTreeMap::new(),
            tool: Tool::default(),
            held: None,
            selected: None,
            gesture: None,
            listed: true,
            histogram: None,
        }
    }
}

impl Book {
    /// A measurement by its number.
    pub fn find(&self, number: u32) -> Option<&Measurement> {
        self.items.iter().find(|item| item.number == number)
    }

    /// Can the last change be taken back?
    pub fn can_undo(&self) -> bool {
        !self.undo.is_empty()
    }

    /// Can a change that was taken back be made again?
    pub fn can_redo(&self) -> bool {
        !self.redo.is_empty()
    }

    /// As it is kept.
    pub fn kept(&self) -> Vec<Kept> {
        let kept = |item: &Measurement| Kept {
            at: item.at,
            shape: item.shape,
            mm: item.mm,
        };
        let absent = self.absent.iter().copied();
        self.items.iter().map(kept).chain(absent).collect()
    }

    /// Was it measured on this volume, or on one of the same files?
    pub(super) fn fits(&self, volume: &Volume) -> bool {
        self.grid.is_none_or(|grid| grid == grid_of(volume))
    }

    fn remember(&mut self) {
        if self.undo.len() >= UNDO_STEPS {
            self.undo.remove(0);
        }
        self.undo.push(self.items.clone());
        self.redo.clear();
    }

    fn step(&mut self, back: bool) -> bool {
        let (from, to) = if back {
            (&mut self.undo, &mut self.redo)
        } else {
            (&mut self.redo, &mut self.undo)
        };
        let Some(items) = from.pop() else {
            return false;
        };
        to.push(std::mem::replace(&mut self.items, items));
        true
    }
}

impl Measurements {
    /// What is to be drawn on a slice: those it holds, the one under the mouse as it is now.
    pub fn on<'a>(&'a self, slice: &'a SliceRef) -> impl Iterator<Item = &'a Measurement> {
        let moving = self.gesture.as_ref().filter(|g| g.series == slice.series);
        let hidden = moving.map(|gesture| gesture.item.number);
        let book = self.books.get(&slice.series);
        let items = book.into_iter().flat_map(|book| &book.items);
        let still = items.filter(move |item| Some(item.number) != hidden);
        let all = still.chain(moving.map(|gesture| &gesture.item));
        all.filter(|item| item.at == slice.at)
    }

    /// Is a shape of this series under the mouse, with its button down?
    pub fn dragging(&self, series: &str) -> bool {
        let mine = |gesture: &Gesture| gesture.series == series;
        self.gesture.as_ref().is_some_and(mine) && !self.waits_for_third_point()
    }

    /// Is there a shape under a mouse whose button should be down?
    pub fn left_behind(&self) -> bool {
        self.gesture.is_some() && !self.waits_for_third_point()
    }

    /// The chosen one of this series.
    pub fn selected_in(&self, series: &str) -> Option<u32> {
        let (of, number) = self.selected.as_ref()?;
        (of == series).then_some(*number)
    }

    /// Takes a tool into the hand.
    pub fn take_up(&mut self, tool: Tool) {
        self.gesture = None;
        self.held = None;
        self.tool = tool;
    }

    /// Takes a tool into the hand until its key goes up; if nothing was done with it by then, it stays.
    pub fn hold(&mut self, tool: Tool) {
        if self.held.is_none() && self.tool != tool {
            let before = self.tool;
            self.take_up(tool);
            self.held = Some(Held {
                before,
                used: false,
            });
        }
    }

    /// The key of a held tool went up.
    pub fn release(&mut self) {
        if let Some(held) = self.held.take()
            && held.used
        {
            self.tool = held.before;
        }
    }

    /// The tool in hand does something.
    pub fn used(&mut self) {
        if let Some(held) = &mut self.held {
            held.used = true;
        }
    }

    /// Begins to draw with the tool in hand.
    pub fn begin(&mut self, on: SliceRef, volume: &Volume, at: Point) {
        if self.tool.needs_samples() && volume.voxels.is_empty() {
            return;
        }
        let Some((shape, handle)) = self.tool.begun_at(at) else {
            return;
        };
        self.used();
        let book = self.books.entry(on.series.clone()).or_default();
        book.grid = Some(grid_of(volume));
        book.numbers += 1;
        let number = book.numbers;
        self.selected = Some((on.series.clone(), number));
        self.gesture = Some(Gesture {
            item: Measurement {
                number,
                at: on.at,
                mm: SliceMm::of(volume, on.at),
                shape,
                reading: measure(volume, on.at, &shape),
            },
            series: on.series,
            part: Part::Handle(handle),
            from: at,
            origin: shape,
            existing: false,
        });
    }

    /// Begins to move one that is there: by a handle, or all of it.
    pub fn grab(&mut self, series: &str, number: u32, handle: Option<usize>, at: Point) {
        let book = self.books.get(series);
        let Some(item) = book.and_then(|book| book.find(number)) else {
            return;
        };
        self.selected = Some((series.to_owned(), number));
        self.gesture = Some(Gesture {
            series: series.to_owned(),
            item: item.clone(),
            part: handle.map_or(Part::Whole, Part::Handle),
            from: at,
            origin: item.shape,
            existing: true,
        });
    }

    /// The mouse moved with the button down.
    pub fn drag(&mut self, to: Point, volume: &Volume) {
        let Some(gesture) = &mut self.gesture else {
            return;
        };
        let Gesture { item, from, .. } = gesture;
        item.shape = match gesture.part {
            Part::Whole => gesture.origin.moved([to[0] - from[0], to[1] - from[1]]),
            // The third point of an angle goes with the second until it has its turn.
            Part::Handle(1) if matches!(gesture.origin, Shape::Angle(_)) && !gesture.existing => {
                item.shape.with_handle(1, to).with_handle(2, to)
            }
            Part::Handle(number) => item.shape.with_handle(number, to),
        };
        item.reading = measure(volume, item.at, &item.shape);
    }

    /// The mouse button went up: the measurement is there. True when something changed.
    pub fn end(&mut self) -> bool {
        let Some(mut gesture) = self.gesture.take() else {
            return false;
        };
        let drawing = !gesture.existing;
        if drawing && small(&gesture.item.shape) {
            self.selected = None;
            return false;
        }
        if drawing
            && matches!(gesture.item.shape, Shape::Angle(_))
            && gesture.part == Part::Handle(1)
        {
            gesture.part = Part::Handle(2);
            self.gesture = Some(gesture);
            return false;
        }
        if gesture.existing && gesture.item.shape == gesture.origin {
            return false;
        }
        let book = self.books.entry(gesture.series).or_default();
        book.remember();
        let number = gesture.item.number;
        match book.items.iter_mut().find(|item| item.number == number) {
            Some(item) => *item = gesture.item,
            None => book.items.push(gesture.item),
        }
        true
    }

    /// The next click sets the third point of an angle.
    pub fn waits_for_third_point(&self) -> bool {
        let waits = |gesture: &Gesture| !gesture.existing && gesture.part == Part::Handle(2);
        self.gesture.as_ref().is_some_and(waits)
    }

    /// Deletes one; true when it was there.
    pub fn delete(&mut self, series: &str, number: u32) -> bool {
        let Some(book) = self.books.get_mut(series) else {
            return false;
        };
        if book.find(number).is_none() {
            return false;
        }
        book.remember();
        book.items.retain(|item| item.number != number);
        if self.selected_in(series) == Some(number) {
            self.selected = None;
        }
        true
    }

    /// Deletes all of a series; true when there were any.
    pub fn delete_all(&mut self, series: &str) -> bool {
        let Some(book) = self.books.get_mut(series) else {
            return false;
        };
        let any = !book.items.is_empty();
        if any {
            book.remember();
            book.items.clear();
        }
        any
    }

    /// Takes the last change of a series back, or makes it again; true when there was one.
    pub fn step(&mut self, series: &str, back: bool) -> bool {
        self.gesture = None;
        let book = self.books.get_mut(series);
        book.is_some_and(|book| book.step(back))
    }

    /// Puts back what was kept of a series, below what was drawn meanwhile. What lies on none of the volume's slices is
    /// not shown; the result is how many those are.
    pub fn restore(&mut self, series: &str, kept: &[Kept], volume: &Volume) -> usize {
        let book = self.books.entry(series.to_owned()).or_default();
        book.grid = Some(grid_of(volume));
        let mut restored = Vec::new();
        for kept in kept.iter().filter(|kept| kept.shape.sound()) {
            let Some((at, shape)) = kept.on(volume) else {
                book.absent.push(*kept);
                continue;
            };
            book.numbers += 1;
            restored.push(Measurement {
                number: book.numbers,
                at,
                mm: SliceMm::of(volume, at),
                shape,
                reading: measure(volume, at, &shape),
            });
        }
        restored.append(&mut book.items);
        book.items = restored;
        book.absent.len()
    }

    /// Brings the histogram up to date with the slice on screen; nothing is counted twice.
    pub fn refresh_histogram(&mut self, shown: Option<(SliceRef, &Volume)>) {
        let counted = |volume: &Volume| self.listed && !volume.voxels.is_empty();
        let Some((slice, volume)) = shown.filter(|(_, volume)| counted(volume)) else {
            self.histogram = None;
            return;
        };
        let chosen = self.selected_in(&slice.series);
        let region = self
            .on(&slice)
            .find(|item| Some(item.number) == chosen && item.shape.encloses())
            .map(|item| (item.number, item.shape));
        let of = HistogramOf { slice, region };
        if self
            .histogram
            .as_ref()
            .is_some_and(|(known, _)| *known == of)
        {
            return;
        }
        let shape = of.region.as_ref().map(|(_, shape)| shape);
        let samples = samples_in(volume, of.slice.at, shape);
        self.histogram = Some((of, histogram(&samples, BINS)));
    }
}

fn grid_of(volume: &Volume) -> ([usize; 3], Affine) {
    (volume.size, volume.patient_from_voxel)
}

/// Nothing was drawn: the button went down and up on one spot.
fn small(shape: &Shape) -> bool {
    let mut handles = shape.handles().into_iter();
    let Some([x, y]) = handles.next() else {
        return true;
    };
    handles.all(|[a, b]| (a - x).abs() < SMALLEST && (b - y).abs() < SMALLEST)
}

impl State {
    /// Does what was asked of measurements; the result is what has to be kept.
    pub(super) fn measure(&mut self, wish: Measure) -> Option<Effect> {
        let all = &mut self.measurements;
        match wish {
            Measure::Use(tool) => all.take_up(tool),
            Measure::Hold(tool) => all.hold(tool),
            Measure::Release => all.release(),
            Measure::Used => all.used(),
            Measure::ToggleList => {
                all.listed = !all.listed;
                self.settings.panels.measurements_closed = !all.listed;
                return Some(self.keep_settings());
            }
            Measure::Abandon => all.gesture = None,
            other => return self.measure_series(other),
        }
        None
    }

    fn measure_series(&mut self, wish: Measure) -> Option<Effect> {
        let under_mouse = self.measurements.gesture.as_ref();
        let series = match &wish {
            Measure::Begin(on, _) | Measure::Grab { on, .. } => on.series.clone(),
            Measure::Drag(_) | Measure::End(_) => under_mouse?.series.clone(),
            _ => self.viewer.series_id()?.to_owned(),
        };
        let volume = self.volume_of(&series)?;
        let all = &mut self.measurements;
        let mut changed = false;
        match wish {
            Measure::Begin(on, at) => all.begin(on, &volume, at),
            Measure::Grab {
                number, handle, at, ..
            } => all.grab(&series, number, handle, at),
            Measure::Drag(to) => all.drag(to, &volume),
            Measure::End(at) => {
                all.drag(at, &volume);
                changed = all.end();
            }
            Measure::Select(number) => {
                all.selected = number.map(|number| (series.clone(), number));
            }
            Measure::Show(number) => {
                all.selected = Some((series.clone(), number));
                let book = all.books.get(&series);
                if let Some(item) = book.and_then(|book| book.find(number)) {
                    let at = item.at;
                    self.show_slice_of(&series, at);
                }
            }
            Measure::DeleteSelected => {
                let number = all.selected_in(&series)?;
                changed = all.delete(&series, number);
            }
            Measure::Delete(number) => changed = all.delete(&series, number),
            Measure::DeleteAll => changed = all.delete_all(&series),
            Measure::Undo => changed = all.step(&series, true),
            Measure::Redo => changed = all.step(&series, false),
            _ => {}
        }
        let book = self.measurements.books.get(&series)?;
        changed.then(|| Effect::KeepMeasurements(series.clone(), book.kept()))
    }

    /// What a series that is open in a viewport is measured on.
    pub(super) fn volume_of(&self, series: &str) -> Option<Arc<Volume>> {
        let mut viewports = self.viewer.viewports.iter();
        let viewport = viewports.find(|viewport| viewport.series_id() == Some(series));
        viewport?.open().map(|open| Arc::clone(open.measured()))
    }

    /// Shows a slice in the active viewport, or in one that shows its series.
    fn show_slice_of(&mut self, series: &str, at: SliceAt) {
        let shows = |viewport: &Viewport| viewport.series_id() == Some(series);
        if !shows(self.viewer.viewport()) {
            let Some(other) = self.viewer.viewports.iter().position(shows) else {
                return;
            };
            self.viewer.active = other;
        }
        if let Some(view) = self.viewer.volume_mut() {
            view.plane = at.plane;
            view.axes = at.axes;
            view.slab = None;
            view.set_index(at.index);
            self.viewer.scrolled(0);
            self.stage = Stage::Slice;
        } else if let Some(open) = self.viewer.open_mut() {
            open.set_index(at.index);
            self.stage = Stage::Slice;
        }
    }

    /// The slice of the active viewport and its volume, if it can be measured on.
    pub fn slice_on_screen(&self) -> Option<(SliceRef, Arc<Volume>)> {
        let open = self.viewer.open()?;
        let slice = SliceRef::of(open)?;
        Some((slice, Arc::clone(open.measured())))
    }

    /// What was kept of a series is back from disk. What was drawn meanwhile stays, and both are to be kept. It is said
    /// when some of it lies on slices that are not open.
    pub fn recalled(&mut self, series: &str, kept: &[Kept]) -> Option<Effect> {
        let Some(volume) = self.volume_of(series) else {
            // Another series is shown by now: this one asks again when it is opened again.
            let drawn = self.measurements.books.remove(series)?.kept();
            let all = kept.iter().copied().chain(drawn.iter().copied());
            let both = (!drawn.is_empty()).then(|| all.collect());
            return both.map(|all| Effect::KeepMeasurements(series.to_owned(), all));
        };
        let book = self.measurements.books.get(series);
        let drawn = book.is_some_and(|book| !book.items.is_empty());
        let absent = self.measurements.restore(series, kept, &volume);
        if absent > 0 {
            let text = fill(words().measurements_elsewhere, &[&absent]);
            self.notice = Some(Notice::Failed(text));
        }
        let book = self.measurements.books.get(series).filter(|_| drawn)?;
        Some(Effect::KeepMeasurements(series.to_owned(), book.kept()))
    }
}
