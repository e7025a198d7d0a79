//! Scans: files to volumes in patient space, volumes to pictures, generated pictures to marked files.

mod archive;
pub mod colour_map;
mod dicom;
pub mod error;
pub mod generated;
pub mod geometry;
mod hash;
mod inspect;
pub mod letters;
mod load;
pub mod measure;
pub mod memory;
pub mod metrics;
mod nifti;
mod picture;
pub mod render;
pub mod reslice;
mod scan;
pub mod series;
pub mod tags;
pub mod volume;
pub mod watermark;
pub mod window;

pub use colour_map::ColourMap;
pub use error::ImagingError;
pub use generated::{Generated, Provenance, write_png};
pub use geometry::{Affine, Direction};
pub use inspect::{FileReport, Number, Opens, Refused, inspect_file, inspect_files};
pub use load::{first_slice, load_series, load_series_showing, series_picture};
pub use render::{ViewDescriptor, picture_hash, render};
pub use reslice::{Axes, Grid, Projection, Slab};
pub use scan::{scan, scan_showing};
pub use series::{Format, Loaded, PatientLabel, Scan, SeriesInfo, SkippedFile};
pub use volume::{Modality, Plane, Rescale, Scale, Slice, Volume, Voxels};
pub use window::{CT_PRESETS, NamedWindow, VoiFunction, VoiTable, Window};
