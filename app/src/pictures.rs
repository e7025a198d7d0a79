//! What is on the graphics card: the slice on screen, thumbnails, results. A texture is made again only when the
//! picture changes.
//!
//! The grey levels come from `engine::imaging::render`: the picture on screen is the one the model gets.

use std::collections::BTreeMap;

use egui::{ColorImage, Context, TextureHandle, TextureOptions};
use engine::imaging::render;
use image::RgbImage;
use image::imageops::{FilterType, resize};

use crate::state::{Content, OpenSeries, PictureRef, State};

/// Textures of what the state shows.
#[derive(Default)]
pub struct Pictures {
    slice: Option<(PictureRef, Result<Texture, String>)>,
    thumbnails: BTreeMap<String, Texture>,
    results: BTreeMap<u64, [Texture; 2]>,
    /// Slices uploaded so far.
    pub slice_uploads: usize,
}

/// A picture on the graphics card.
#[derive(Clone)]
pub struct Texture {
    /// The texture.
    pub handle: TextureHandle,
    /// Columns and rows of the picture; the texture may be smaller than a very large one.
    pub size: [u32; 2],
}

impl Pictures {
    /// Makes what is missing and drops what is no longer shown.
    pub fn sync(&mut self, ctx: &Context, state: &State) {
        match state.viewer.open() {
            Some(open) => self.sync_slice(ctx, open),
            None => self.slice = None,
        }
        self.thumbnails
            .retain(|id, _| state.library.thumbnails.contains_key(id));
        for (id, image) in &state.library.thumbnails {
            self.thumbnails
                .entry(id.clone())
                .or_insert_with(|| upload(ctx, "thumbnail", image));
        }
        let items = &state.results.items;
        self.results
            .retain(|number, _| items.iter().any(|item| item.number == *number));
        for item in items {
            self.results.entry(item.number).or_insert_with(|| {
                [
                    upload(ctx, "input", &item.generated.input),
                    upload(ctx, "synthetic", item.generated.marked()),
                ]
            });
        }
    }

    fn sync_slice(&mut self, ctx: &Context, open: &OpenSeries) {
        let wanted = open.evidence().picture;
        if self
            .slice
            .as_ref()
            .is_some_and(|(shown, _)| *shown == wanted)
        {
            return;
        }
        let texture = match &open.content {
            Content::Volume(view) => render(&view.volume, &view.descriptor())
                .map(|picture| upload(ctx, "slice", &picture))
                .map_err(|error| error.to_string()),
            Content::Picture(image) => Ok(upload(ctx, "picture", image)),
        };
        self.slice_uploads += 1;
        self.slice = Some((wanted, texture));
    }

    /// The slice on screen, or why it cannot be shown.
    pub fn slice(&self) -> Option<Result<&Texture, &str>> {
        let (_, texture) = self.slice.as_ref()?;
        Some(texture.as_ref().map_err(String::as_str))
    }

    /// The thumbnail of a series.
    pub fn thumbnail(&self, id: &str) -> Option<&Texture> {
        self.thumbnails.get(id)
    }

    /// Input and marked output of a result.
    pub fn result(&self, number: u64) -> Option<&[Texture; 2]> {
        self.results.get(&number)
    }
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
