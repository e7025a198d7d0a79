//! What the window draws of the state: the slices of its viewports, thumbnails, results. A slice is cut again only
//! when another one is shown; its window and colours are the graphics card's ([`crate::paint`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use eframe::wgpu::TextureFormat;
use egui::{ColorImage, Context, TextureHandle, TextureOptions};
use engine::imaging::render::square_size;
use engine::imaging::{Axes, ImagingError, Plane, Slab, Slice, ViewDescriptor, Window, render};
use image::RgbImage;
use image::imageops::{FilterType, resize};

use crate::errors::imaging_error_words;
use crate::paint::compare::difference_colour;
use crate::paint::reslice::GpuCut;
use crate::paint::volumes::{Standing, Volumes};
use crate::slicer::Slicer;
use crate::state::{Content, State, Viewer, Viewport};

/// The number under which the second volume of a pair waits for its cut: no viewport has it.
const SECOND: usize = Viewer::MOST;

/// Slices and textures of what the state shows.
pub struct Pictures {
    /// By the number of the viewport.
    slices: Vec<Option<Cut>>,
    /// The second volume on the grid of the first, while they are drawn as one.
    second: Option<Cut>,
    thumbnails: BTreeMap<String, Texture>,
    results: BTreeMap<u64, [Texture; 2]>,
    differences: BTreeMap<u64, Texture>,
    /// The last sample of a training run, by its step.
    sample: Option<(u64, Texture)>,
    /// The format of what the window is drawn on.
    pub format: TextureFormat,
    /// Slices cut so far.
    pub slice_uploads: usize,
    /// The volumes on the graphics card, where it cuts.
    volumes: Option<Volumes>,
    /// Cuts what takes long; without it, it is cut while the window waits.
    slicer: Option<Slicer>,
    /// What it is asked for, by viewport.
    wanted: BTreeMap<usize, (Key, u64)>,
}

impl Default for Pictures {
    fn default() -> Self {
        Self::new(None)
    }
}

/// What one viewport draws.
#[derive(Clone)]
pub enum Drawn {
    /// Samples, whose grey levels are made on the graphics card; with the cut the samples are made there too.
    Slice(Arc<Slice>, Option<GpuCut>),
    /// A picture with colours of its own, or a slice too large for the graphics card.
    Picture(Texture),
}

impl Drawn {
    /// Columns and rows, once pixels are square.
    pub fn size(&self) -> [u32; 2] {
        match self {
            Self::Slice(slice, _) => square_size(slice),
            Self::Picture(texture) => texture.size,
        }
    }
}

/// A slice, and of what.
struct Cut {
    key: Key,
    drawn: Result<Drawn, String>,
}

/// What a cut depends on.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    series: String,
    /// Only its middle slice is there yet.
    first: bool,
    /// The frame, of several in colour.
    frame: usize,
    view: Option<(Plane, usize, Axes, Option<Slab>)>,
    /// The window, where the picture is made without the graphics card.
    window: Option<(Window, bool)>,
    /// The series on whose grid it is sampled, if that is another one; the view is that one's too.
    on: Option<String>,
}

/// A picture on the graphics card.
#[derive(Clone)]
pub struct Texture {
    /// The texture.
    pub handle: TextureHandle,
    /// Columns and rows of the picture; the texture may be smaller than a very large one.
    pub size: [u32; 2],
}

impl Key {
    /// A slice or slab whose window is the graphics card's.
    fn of(series: &str, view: &ViewDescriptor) -> Self {
        Self {
            series: series.to_owned(),
            first: false,
            frame: 0,
            view: Some((view.plane, view.index, view.axes, view.slab)),
            window: None,
            on: None,
        }
    }

    /// Does it lie on the same grid?
    fn is_of_plane(&self, other: &Self) -> bool {
        let grid = |key: &Self| key.view.map(|(plane, _, axes, _)| (plane, axes));
        self.series == other.series
            && self.on == other.on
            && grid(self) == grid(other)
            && !self.first
    }
}

impl Pictures {
    /// For a window that is drawn on this format.
    pub fn new(format: Option<TextureFormat>) -> Self {
        Self {
            slices: Vec::new(),
            second: None,
            thumbnails: BTreeMap::new(),
            results: BTreeMap::new(),
            differences: BTreeMap::new(),
            sample: None,
            format: format.unwrap_or(TextureFormat::Rgba8Unorm),
            slice_uploads: 0,
            volumes: None,
            slicer: None,
            wanted: BTreeMap::new(),
        }
    }

    /// From now on what takes long is cut in the background, and this window woken when it is there.
    #[must_use]
    pub fn in_background(mut self, ctx: &Context) -> Self {
        self.slicer = Slicer::start(ctx.clone());
        self
    }

    /// From now on what takes the processor long is cut on the graphics card.
    #[must_use]
    pub fn on_card(mut self, volumes: Option<Volumes>) -> Self {
        self.volumes = volumes;
        self
    }

    /// Does a viewport wait for what it is to draw? The second volume of a pair is drawn in the first viewport.
    pub fn waits(&self, viewport: usize) -> bool {
        let second = viewport == 0 && self.wanted.contains_key(&SECOND);
        second || self.wanted.contains_key(&viewport)
    }

    /// Makes what is missing and drops what is no longer shown.
    pub fn sync(&mut self, ctx: &Context, state: &State) {
        self.sync_slices(ctx, &state.viewer);
        self.thumbnails
            .retain(|id, _| state.library.thumbnails.contains_key(id));
        for (id, image) in &state.library.thumbnails {
            self.thumbnails
                .entry(id.clone())
                .or_insert_with(|| upload(ctx, "thumbnail", image));
        }
        match &state.training.sample {
            None => self.sample = None,
            Some((step, image)) => {
                if self.sample.as_ref().is_none_or(|(shown, _)| shown != step) {
                    self.sample = Some((*step, upload(ctx, "sample", image)));
                }
            }
        }
        let items = &state.results.items;
        let known = |number: &u64| items.iter().any(|item| item.number == *number);
        self.results.retain(|number, _| known(number));
        self.differences.retain(|number, _| known(number));
        for item in items {
            self.results.entry(item.number).or_insert_with(|| {
                [
                    upload(ctx, "input", &item.generated.input),
                    upload(ctx, "synthetic", item.generated.marked()),
                ]
            });
            self.differences.entry(item.number).or_insert_with(|| {
                let (input, output) = (&item.generated.input, item.generated.marked());
                upload(ctx, "difference", &difference(input, output))
            });
        }
    }

    /// The last sample of the training run.
    pub fn sample(&self) -> Option<&Texture> {
        self.sample.as_ref().map(|(_, texture)| texture)
    }

    fn sync_slices(&mut self, ctx: &Context, viewer: &Viewer) {
        self.slices.resize_with(viewer.viewports.len(), || None);
        let shown = viewer.shown();
        let overlaid = viewer.overlaid();
        self.wanted
            .retain(|number, _| shown.contains(number) || (*number == SECOND && overlaid));
        self.take_made();
        for (number, viewport) in viewer.viewports.iter().enumerate() {
            if !shown.contains(&number) {
                continue;
            }
            let old = self.slices.get_mut(number).and_then(Option::take);
            if let Some(cut) = self.cut_on_card(ctx, viewport, old.as_ref()) {
                let _ = self.wanted.remove(&number);
                if let Some(place) = self.slices.get_mut(number) {
                    *place = Some(cut);
                }
                continue;
            }
            if let Some(key) = self.left_to_slicer(ctx, number, viewport, old.as_ref()) {
                // Another slice of the same plane is better than none meanwhile.
                if let Some(place) = self.slices.get_mut(number) {
                    *place = old.filter(|old| old.key.is_of_plane(&key));
                }
                continue;
            }
            let _ = self.wanted.remove(&number);
            let cut = cut_of(ctx, viewport, old, &mut self.slice_uploads);
            if let Some(place) = self.slices.get_mut(number) {
                *place = cut;
            }
        }
        let old = self.second.take();
        if overlaid {
            self.second = self.second_of(viewer, old);
        }
    }

    /// The second volume of a pair on the grid of the first, through the same slab.
    fn second_of(&mut self, viewer: &Viewer, old: Option<Cut>) -> Option<Cut> {
        let [first, second] = viewer.pair()?;
        let id = |number: usize| {
            let viewport = viewer.viewports.get(number);
            viewport
                .and_then(Viewport::series_id)
                .unwrap_or("")
                .to_owned()
        };
        let key = Key {
            on: Some(id(0)),
            ..Key::of(&id(1), &first.descriptor())
        };
        if old.as_ref().is_some_and(|old| old.key == key) {
            let _ = self.wanted.remove(&SECOND);
            return old;
        }
        let section = first.section();
        let volume = Arc::clone(&second.volume);
        if let Some(slicer) = &mut self.slicer
            && Slicer::long(&section, true)
        {
            let asked = self.wanted.get(&SECOND);
            if asked.is_none_or(|(asked, _)| *asked != key) {
                let asked = slicer.cut(SECOND, move || Ok(section.of(&volume)));
                let _ = self.wanted.insert(SECOND, (key.clone(), asked));
            }
            return old.filter(|old| old.key.is_of_plane(&key));
        }
        let _ = self.wanted.remove(&SECOND);
        Some(kept(old, key, &mut self.slice_uploads, || {
            Ok(Drawn::Slice(Arc::new(section.of(&volume)), None))
        }))
    }

    /// What a viewport is to show, if the graphics card makes it, it is not there yet, and the voxels are.
    fn cut_on_card(
        &mut self,
        ctx: &Context,
        viewport: &Viewport,
        old: Option<&Cut>,
    ) -> Option<Cut> {
        let volumes = self.volumes.as_mut()?;
        let view = viewport.volume()?;
        let descriptor = view.descriptor();
        let key = Key::of(viewport.series_id()?, &descriptor);
        // A slice along the voxels is only copied.
        let copied = descriptor.slab.is_none() && descriptor.axes == Axes::Acquired;
        if copied {
            return None;
        }
        let shown = old.is_some_and(|old| old.key == key);
        let cutting = view.volume.cutting(&descriptor).ok()??;
        if cutting.frame.width.max(cutting.frame.height) > ctx.input(|input| input.max_texture_side)
        {
            return None;
        }
        match volumes.cut(&view.volume, &cutting) {
            Standing::Ready(cut) if !shown => {
                self.slice_uploads += 1;
                let drawn = Ok(Drawn::Slice(Arc::new(cutting.frame), Some(cut)));
                Some(Cut { key, drawn })
            }
            Standing::Coming => {
                ctx.request_repaint();
                None
            }
            Standing::Ready(_) | Standing::Not => None,
        }
    }

    /// What a viewport is to show, if the slicer makes it and it is not there yet.
    fn left_to_slicer(
        &mut self,
        ctx: &Context,
        number: usize,
        viewport: &Viewport,
        old: Option<&Cut>,
    ) -> Option<Key> {
        let slicer = self.slicer.as_mut()?;
        let view = viewport.volume()?;
        let descriptor = view.descriptor();
        let limit = ctx.input(|input| input.max_texture_side);
        let [columns, rows, _] = view.volume.grid(view.plane, view.axes).size;
        let between = view.axes == Axes::Patient;
        if columns.max(rows) > limit || !Slicer::long(&view.section(), between) {
            return None;
        }
        let key = Key::of(viewport.series_id()?, &descriptor);
        if old.is_some_and(|old| old.key == key) {
            return None;
        }
        if self
            .wanted
            .get(&number)
            .is_none_or(|(asked, _)| *asked != key)
        {
            let volume = Arc::clone(&view.volume);
            let asked = slicer.cut(number, move || volume.cut(&descriptor));
            let _ = self.wanted.insert(number, (key.clone(), asked));
        }
        Some(key)
    }

    /// Puts what the slicer made where it is waited for.
    fn take_made(&mut self) {
        let made = self.slicer.as_ref().map(Slicer::made).unwrap_or_default();
        for cut in made {
            let mut wanted = self.wanted.iter();
            let waits = wanted.find(|(_, (_, number))| *number == cut.number);
            let Some(viewport) = waits.map(|(viewport, _)| *viewport) else {
                continue; // another one is wanted by now
            };
            let place = if viewport == SECOND {
                Some(&mut self.second)
            } else {
                self.slices.get_mut(viewport)
            };
            if let Some((key, _)) = self.wanted.remove(&viewport)
                && let Some(place) = place
            {
                self.slice_uploads += 1;
                let slice = cut.slice.map_err(|error| imaging_error_words(&error));
                let drawn = slice.map(|slice| Drawn::Slice(Arc::new(slice), None));
                *place = Some(Cut { key, drawn });
            }
        }
    }

    /// What a viewport draws, or why it cannot be drawn.
    pub fn slice(&self, viewport: usize) -> Option<Result<&Drawn, &str>> {
        let cut = self.slices.get(viewport)?.as_ref()?;
        Some(cut.drawn.as_ref().map_err(String::as_str))
    }

    /// The second volume where the first one's slice is, while they are drawn as one.
    pub fn second(&self) -> Option<&Drawn> {
        self.second.as_ref()?.drawn.as_ref().ok()
    }

    /// The thumbnail of a series.
    pub fn thumbnail(&self, id: &str) -> Option<&Texture> {
        self.thumbnails.get(id)
    }

    /// Input and marked output of a result.
    pub fn result(&self, number: u64) -> Option<&[Texture; 2]> {
        self.results.get(&number)
    }

    /// The signed difference of input and marked output.
    pub fn difference(&self, number: u64) -> Option<&Texture> {
        self.differences.get(&number)
    }
}

/// The cut of a viewport: the old one, if it still is what is shown.
fn cut_of(
    ctx: &Context,
    viewport: &Viewport,
    old: Option<Cut>,
    uploads: &mut usize,
) -> Option<Cut> {
    let (series, first, view, volume) = match viewport {
        Viewport::Empty | Viewport::Failed(..) => return None,
        Viewport::Loading(loading) => {
            let volume = loading.first.as_ref()?;
            let view = ViewDescriptor::new(volume.acquired_plane(), 0, volume.default_window());
            (&loading.series, true, view, volume)
        }
        Viewport::Open(open) => match &open.content {
            Content::Volume(view) => (&open.series, false, view.descriptor(), &view.volume),
            Content::Frames(frames) => {
                let key = Key {
                    series: open.series.id.clone(),
                    first: false,
                    frame: frames.index(),
                    view: None,
                    window: None,
                    on: None,
                };
                return Some(kept(old, key, uploads, || {
                    Ok(Drawn::Picture(upload(ctx, "picture", frames.picture())))
                }));
            }
        },
    };
    let limit = ctx.input(|input| input.max_texture_side);
    let [columns, rows, _] = volume.grid(view.plane, view.axes).size;
    let large = columns.max(rows) > limit;
    let key = Key {
        series: series.id.clone(),
        first,
        frame: 0,
        view: Some((view.plane, view.index, view.axes, view.slab)),
        window: large.then_some((view.window, view.invert)),
        on: None,
    };
    Some(kept(old, key, uploads, || {
        if large {
            render(volume, &view).map(|picture| Drawn::Picture(upload(ctx, "slice", &picture)))
        } else {
            volume
                .cut(&view)
                .map(|slice| Drawn::Slice(Arc::new(slice), None))
        }
    }))
}

fn kept(
    old: Option<Cut>,
    key: Key,
    uploads: &mut usize,
    draw: impl FnOnce() -> Result<Drawn, ImagingError>,
) -> Cut {
    match old {
        Some(old) if old.key == key => old,
        _ => {
            *uploads += 1;
            let drawn = draw().map_err(|error| imaging_error_words(&error));
            Cut { key, drawn }
        }
    }
}

/// What is brighter in the first picture and what in the second, at the size of the second.
fn difference(first: &RgbImage, second: &RgbImage) -> RgbImage {
    let (width, height) = second.dimensions();
    let first = resize(first, width, height, FilterType::Triangle);
    let level = |pixel: &image::Rgb<u8>| {
        let [r, g, b] = pixel.0.map(u32::from);
        ((r + g + b + 1) / 3) as u8
    };
    RgbImage::from_fn(width, height, |x, y| {
        let levels = [first.get_pixel(x, y), second.get_pixel(x, y)].map(level);
        image::Rgb(difference_colour(levels[0], levels[1]))
    })
}

fn upload(ctx: &Context, name: &str, image: &RgbImage) -> Texture {
    let size = [image.width(), image.height()];
    let limit = u32::try_from(ctx.input(|input| input.max_texture_side)).unwrap_or(u32::MAX);
    let longest = image.width().max(image.height());
    let pixels = if longest > limit {
        let scaled = |len: u32| {
            let scaled = u64::from(len) * u64::from(limit) / u64::from(longest);
            u32::try_from(scaled).unwrap_or(limit).max(1)
        };
        let (width, height) = (scaled(image.width()), scaled(image.height()));
        &resize(image, width, height, FilterType::Triangle)
    } else {
        image
    };
    let side = [pixels.width() as usize, pixels.height() as usize];
    let pixels = ColorImage::from_rgb(side, pixels.as_raw());
    Texture {
        handle: ctx.load_texture(name, pixels, TextureOptions::LINEAR),
        size,
    }
}
