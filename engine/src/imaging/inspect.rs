//! What the readers find in one file, value by value, so that other programs can check them.
//!
//! A report has the header as it is written, and checksums of the values as they are decoded: no rescale, no palette
//! and no window for DICOM, scaled for NIfTI. No patient data is in it.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::error::ImagingError;
use super::picture::open_picture;
use super::scan::{Content, content_of};
use super::{dicom, nifti};
use crate::hex::hex;

/// A file and what was found in it. What does not apply is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FileReport {
    /// The path as it was asked for.
    pub path: String,
    /// Bytes of the file.
    pub size: u64,
    /// Whether it opens.
    pub opens: Opens,
    /// `dicom-image`, `dicom-float-image`, `dicom-nonimage`, `dicom`, `nifti`, `nifti-img`, `picture` or `other-format`.
    pub kind: &'static str,
    /// Transfer Syntax UID, or `none` where the file does not declare one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_syntax: Option<String>,
    /// Rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cols: Option<u64>,
    /// Number of Frames; 1 where it is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
    /// Samples per Pixel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// Bits Allocated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_allocated: Option<u64>,
    /// Bits Stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_stored: Option<u64>,
    /// High Bit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_bit: Option<u64>,
    /// Pixel Representation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixel_representation: Option<u64>,
    /// Photometric Interpretation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub photometric: Option<String>,
    /// Planar Configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planar: Option<u64>,
    /// Of the first frame's stored values as 32-bit little-endian integers, or of its real numbers as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256_first_frame: Option<String>,
    /// Rescale Slope, of the data set or of the first frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rescale_slope: Option<Number>,
    /// Rescale Intercept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rescale_intercept: Option<Number>,
    /// Smallest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Number>,
    /// Largest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Number>,
    /// Mean of the values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Number>,
    /// 16 values, at the positions `floor(k * (n - 1) / 15)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<Vec<Number>>,
    /// `64x64x10`, in file order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nifti_shape: Option<String>,
    /// `u1`, `i2`, `f4`, `rgb24`...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nifti_dtype: Option<&'static str>,
    /// `LE` or `BE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nifti_endian: Option<&'static str>,
    /// `qform_code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qform_code: Option<i32>,
    /// `sform_code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sform_code: Option<i32>,
    /// RAS from voxels in the file's unit of length: 16 numbers, row by row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affine: Option<Vec<Number>>,
    /// `sform`, `qform`, or `pixdim` where the file gives no orientation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affine_note: Option<&'static str>,
    /// `scl_slope`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scl_slope: Option<Number>,
    /// `scl_inter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scl_inter: Option<Number>,
    /// Of the scaled values as 64-bit little-endian real numbers with 6 decimals; of the bytes of RGB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256_scaled: Option<String>,
    /// Values that are not numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nan_count: Option<u64>,
    /// Why it does not open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Refused>,
}

/// Whether a file opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Opens {
    /// Its image decodes, or it is sound and holds none.
    #[default]
    #[serde(rename = "yes")]
    Yes,
    /// It is refused.
    #[serde(rename = "typed-error")]
    TypedError,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// [`ImagingError::kind`].
    pub kind: &'static str,
    /// The sentence.
    pub message: String,
}

/// A number that is written without a point where it is whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < 9e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// Reads a file as far as its first frame (DICOM) or to its end (NIfTI). Never fails: a refusal is part of the report.
pub fn inspect_file(path: &Path) -> FileReport {
    let mut report = FileReport {
        path: path.to_string_lossy().into_owned(),
        size: path.metadata().map_or(0, |metadata| metadata.len()),
        kind: kind_by_name(path),
        ..FileReport::default()
    };
    if let Err(error) = inspect(path, &mut report) {
        report.opens = Opens::TypedError;
        report.error = Some(Refused {
            kind: error.kind(),
            message: error.to_string(),
        });
    }
    report
}

/// A report for every file in these files and folders, in the order of names; `path` is relative to the folder.
/// `on_file` gets files done and in all.
///
/// # Errors
/// [`ImagingError::Io`] when a path that was asked for cannot be listed.
pub fn inspect_files(
    paths: &[PathBuf],
    on_file: &mut dyn FnMut(usize, usize),
) -> Result<Vec<FileReport>, ImagingError> {
    let mut files = Vec::new();
    for root in paths {
        for entry in WalkDir::new(root).follow_links(true).sort_by_file_name() {
            match entry {
                Ok(entry) if entry.file_type().is_file() => {
                    files.push((root, entry.into_path()));
                }
                Ok(_) => {}
                Err(error) if error.depth() > 0 => {
                    files.extend(error.path().map(|path| (root, path.to_owned())));
                }
                Err(error) => {
                    let why = error
                        .io_error()
                        .map_or_else(|| error.to_string(), ToString::to_string);
                    let path = root.clone();
                    return Err(ImagingError::Io { why, path });
                }
            }
        }
    }
    let mut reports = Vec::with_capacity(files.len());
    for (done, (root, path)) in files.iter().enumerate() {
        on_file(done, files.len());
        let inside = path.strip_prefix(root).ok();
        let inside = inside.filter(|inside| !inside.as_os_str().is_empty());
        let named = inside.or(path.file_name().map(Path::new)).unwrap_or(path);
        reports.push(FileReport {
            path: named.to_string_lossy().into_owned(),
            ..inspect_file(path)
        });
    }
    Ok(reports)
}

fn inspect(path: &Path, report: &mut FileReport) -> Result<(), ImagingError> {
    match content_of(path)? {
        Content::Dicom => dicom::inspect(path, report),
        Content::Nifti => {
            report.kind = "nifti";
            nifti::inspect(path, report)
        }
        Content::VoxelsOf(header) => {
            report.kind = "nifti-img";
            nifti::read_header(&header).map(drop)
        }
        Content::Picture => {
            report.kind = "picture";
            let picture = open_picture(path)?;
            report.rows = Some(u64::from(picture.height()));
            report.cols = Some(u64::from(picture.width()));
            Ok(())
        }
        Content::Other => Err(ImagingError::unsupported(
            path,
            "files of this kind (not DICOM, NIfTI, PNG or JPEG)",
        )),
    }
}

/// What a file that shows nothing of its content claims to be.
fn kind_by_name(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    match stem.rsplit_once('.') {
        Some((_, "dcm")) => "dicom",
        Some((_, "nii" | "hdr")) => "nifti",
        Some((_, "img")) => "nifti-img",
        _ => "other-format",
    }
}

/// Statistics and checksum of values that come one after another.
pub struct Values {
    hash: Sha256,
    count: u64,
    nan_count: u64,
    low: f64,
    high: f64,
    sum: f64,
    /// Positions of the probes, and those found.
    places: [u64; 16],
    probes: Vec<Number>,
}

impl Values {
    /// For `count` values.
    pub fn new(count: u64) -> Self {
        let last = u128::from(count.saturating_sub(1));
        Self {
            hash: Sha256::new(),
            count: 0,
            nan_count: 0,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            sum: 0.0,
            places: std::array::from_fn(|k| (k as u128 * last / 15) as u64),
            probes: Vec::with_capacity(16),
        }
    }

    /// The next value, and the bytes of it that are hashed.
    pub fn push(&mut self, value: f64, bytes: &[u8]) {
        self.hash.update(bytes);
        while self.places.get(self.probes.len()) == Some(&self.count) {
            self.probes.push(Number(value));
        }
        self.count += 1;
        if value.is_nan() {
            self.nan_count += 1;
        } else {
            self.low = self.low.min(value);
            self.high = self.high.max(value);
            self.sum += value;
        }
    }

    /// The checksum; the statistics go into the report.
    pub fn finish(self, report: &mut FileReport) -> String {
        let numbers = self.count - self.nan_count;
        if numbers > 0 {
            report.min = finite(self.low);
            report.max = finite(self.high);
            report.mean = finite(self.sum / numbers as f64);
        }
        report.probes = self
            .probes
            .iter()
            .all(|probe| probe.0.is_finite())
            .then_some(self.probes);
        report.nan_count = Some(self.nan_count);
        hex(&self.hash.finalize())
    }
}

/// Infinite numbers have no place in JSON.
pub fn finite(number: f64) -> Option<Number> {
    number.is_finite().then_some(Number(number))
}
