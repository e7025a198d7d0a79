//! DICOM: files to series by their headers, series to volumes or pictures.
//!
//! The data set reader is ours: dicom-rs allocates what a length field asks for and recurses as deep as sequences
//! nest, and its pixel decoders index by what the headers promise (viewer.md, section 8).

mod codec;
mod colour;
mod dataset;
mod directory;
mod fields;
mod header;
mod inspect;
mod jpeg;
mod jpeg_extended;
mod load;
mod matrix;
mod packing;
mod parser;
mod pixels;
mod placing;
mod rle;
mod segmented;
mod series;
mod source;
mod stack;
mod text;
mod voi;

pub use directory::directory_files;
pub use fields::fields;
pub use header::{Header, read_header};
pub use inspect::inspect;
pub use load::{dicom_slice, load_dicom};
pub use series::series_of;
pub use source::{Source, dicom_start};
