//! The pictures a command is about: which series of a study, which slices of it, in which window.

use std::path::PathBuf;
use std::sync::Arc;

use engine::imaging::{
    Format, Loaded, Modality, Scan, SeriesInfo, ViewDescriptor, Volume, picture_hash, render,
};
use engine::session::Source;
use image::RgbImage;
use serde_json::{Value, json};

use super::args::ViewArgs;
use super::console::Console;
use super::failure::Failure;
use super::headless::Headless;

/// One picture, with what is needed to say which one it is.
#[derive(Clone, Debug)]
pub struct Picture {
    /// As the engine takes it.
    pub source: Source,
    /// The series it is from.
    pub series: SeriesInfo,
}

impl Picture {
    /// The pixels, exactly as the model gets them.
    ///
    /// # Errors
    /// There is no such slice.
    pub fn pixels(&self) -> Result<RgbImage, Failure> {
        match &self.source {
            Source::Slice { volume, view } => Ok(render(volume, view)?),
            Source::Picture(image) => Ok(image.as_ref().clone()),
        }
    }

    /// Which picture it is, for `--json`: series, plane, slice from 1, window, and the hash of the pixels.
    ///
    /// # Errors
    /// As [`Self::pixels`].
    pub fn evidence(&self) -> Result<Value, Failure> {
        let pixels = self.pixels()?;
        let mut value = json!({
            "series": self.series.id,
            "modality": self.series.modality.code(),
            "width": pixels.width(),
            "height": pixels.height(),
            "sha256": picture_hash(&pixels),
        });
        if let Source::Slice { view, .. } = &self.source {
            value["plane"] = json!(view.plane.name());
            value["slice"] = json!(view.index + 1);
            value["window"] = json!([view.window.center, view.window.width]);
        }
        Ok(value)
    }
}

/// Opens the pictures that the arguments name, and says which were taken where the arguments leave a choice.
///
/// # Errors
/// The study cannot be read, or there is no such series or slice.
pub fn open(
    engine: &mut Headless,
    studies: &[PathBuf],
    args: &ViewArgs,
    console: &mut Console<'_>,
) -> Result<Vec<Picture>, Failure> {
    let scan = engine.scan(studies, console)?;
    let mut pictures = Vec::new();
    for number in choose(&scan, studies.len(), args)? {
        let Some(series) = scan.series.get(number) else {
            continue;
        };
        let loaded = engine.load(series, console)?;
        let [columns, rows, slices] = series.size;
        console.say(&format!(
            "series {} of {}: {}, {columns} x {rows} x {slices}",
            number + 1,
            scan.series.len(),
            series.modality.code(),
        ));
        for source in sources(&loaded, args, console)? {
            pictures.push(Picture {
                source,
                series: series.clone(),
            });
        }
    }
    Ok(pictures)
}

/// Opens exactly one picture.
///
/// # Errors
/// As [`open`], and when several slices are named.
pub fn open_one(
    engine: &mut Headless,
    studies: &[PathBuf],
    args: &ViewArgs,
    console: &mut Console<'_>,
) -> Result<Picture, Failure> {
    if args.slices.len() > 1 {
        return Err(Failure::usage("this command takes one --slice"));
    }
    let mut pictures = open(engine, studies, args, console)?;
    match pictures.pop() {
        Some(picture) if pictures.is_empty() => Ok(picture),
        _ => Err(Failure::usage(
            "there are several pictures; choose one with --series",
        )),
    }
}

/// Positions of the series to take: the one named; several pictures where several files are given and all are
/// pictures; the first CT; the first.
fn choose(scan: &Scan, given: usize, args: &ViewArgs) -> Result<Vec<usize>, Failure> {
    let series = &scan.series;
    if let Some(name) = &args.series {
        let by_id = series.iter().position(|series| series.id == *name);
        let by_number = || {
            let number: usize = name.parse().ok()?;
            number.checked_sub(1).filter(|at| *at < series.len())
        };
        let found = by_id.or_else(by_number).ok_or_else(|| {
            let message = format!(
                "there is no series '{name}'; the study has series 1 to {}, and `workbench inspect` lists them",
                series.len()
            );
            Failure::work("no-series", message)
        })?;
        return Ok(vec![found]);
    }
    let all_pictures = series.iter().all(|series| series.format == Format::Picture);
    if given > 1 && all_pictures {
        return Ok((0..series.len()).collect());
    }
    let ct = series
        .iter()
        .position(|series| series.modality == Modality::Ct);
    Ok(vec![ct.unwrap_or(0)])
}

fn sources(
    loaded: &Loaded,
    args: &ViewArgs,
    console: &mut Console<'_>,
) -> Result<Vec<Source>, Failure> {
    let volume = match loaded {
        Loaded::Volume(volume) => volume,
        Loaded::Frames(frames) => {
            let count = frames.count();
            let first = [1];
            let asked = if args.slices.is_empty() {
                &first
            } else {
                args.slices.as_slice()
            };
            let frame = |asked: &u32| match (*asked as usize).checked_sub(1) {
                Some(index) if index < count => Ok(Source::Picture(Arc::clone(frames.at(index)))),
                _ => Err(engine::ImagingError::NoSlice {
                    asked: *asked as usize,
                    count,
                }),
            };
            let frames: Result<Vec<_>, _> = asked.iter().map(frame).collect();
            return Ok(frames?);
        }
    };
    let views = views(volume, args, console)?;
    Ok(views
        .into_iter()
        .map(|view| Source::Slice {
            volume: volume.clone(),
            view,
        })
        .collect())
}

fn views(
    volume: &Volume,
    args: &ViewArgs,
    console: &mut Console<'_>,
) -> Result<Vec<ViewDescriptor>, Failure> {
    let plane = args.plane.unwrap_or_else(|| volume.acquired_plane());
    let window = args.window.unwrap_or_else(|| volume.default_window());
    let count = volume.slice_count(plane);
    let mut indices: Vec<usize> = args
        .slices
        .iter()
        .map(|slice| *slice as usize - 1)
        .collect();
    if indices.is_empty() {
        indices.push(count / 2);
        console.say(&format!(
            "slice {} of {count}, {}, the middle one",
            count / 2 + 1,
            plane.name()
        ));
    }
    if let Some(index) = indices.iter().find(|index| **index >= count) {
        let asked = index + 1;
        return Err(engine::ImagingError::NoSlice { asked, count }.into());
    }
    Ok(indices
        .into_iter()
        .map(|index| ViewDescriptor::new(plane, index, window))
        .collect())
}
