//! A picture a model made. Only [`Generated`] can be shown or written, and it carries its mark in the pixels.

use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::error::ImagingError;
use super::render::{ViewDescriptor, picture_hash};
use super::watermark::burn_in;
use crate::model::drafts::Acceptance;

/// Where a generated picture comes from: enough to make it again, and nothing about the patient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Always true.
    pub synthetic: bool,
    /// What was asked: `ct2mri`.
    pub task: String,
    /// The instruction text given to the model.
    pub instruction: String,
    /// The model's name.
    pub model: String,
    /// SHA-256 of its manifest or configuration.
    pub model_sha256: String,
    /// False for random weights.
    pub model_trained: bool,
    /// The plug-in's name.
    pub plugin: String,
    /// How tokens were chosen, in words and numbers.
    pub sampling: String,
    /// Decoded as the reference does, not held to the grammar of an image.
    pub faithful: bool,
    /// The slice and window, when the input was a slice.
    pub view: Option<ViewDescriptor>,
    /// SOP Instance UID of the input, when it was DICOM.
    pub source_instance_uid: Option<String>,
    /// SHA-256 of the input picture.
    pub input_sha256: String,
    /// SHA-256 of the generated picture before it was marked.
    pub output_sha256: String,
    /// Where it ran.
    pub device: String,
    /// `HealthGPT Workbench 0.1.0`.
    pub software: String,
    /// Seconds since 1970.
    pub created_unix_secs: u64,
    /// Seconds it took.
    pub elapsed_secs: f64,
    /// How drafts of the codes fared, where codes were drafted; they change no code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drafts: Option<Acceptance>,
    /// Structural similarity to the input, 0 to 1; above [`IDENTITY_LIMIT`] a conversion is no conversion.
    pub similarity_to_input: f64,
}

/// A conversion at least this similar to its input (SSIM) is flagged as a copy.
pub const IDENTITY_LIMIT: f64 = 0.95;

/// A generated picture with its mark and its history.
#[derive(Clone, Debug)]
pub struct Generated {
    marked: RgbImage,
    unmarked: RgbImage,
    /// What the model was given, at its own size.
    pub input: RgbImage,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// The words burnt into every generated picture.
pub const MARK: &str = "SYNTHETIC - AI GENERATED - NOT FOR DIAGNOSIS";

impl Generated {
    /// Marks a model's picture. The hashes in `provenance` are filled in here.
    pub fn new(unmarked: RgbImage, input: RgbImage, mut provenance: Provenance) -> Self {
        provenance.synthetic = true;
        provenance.input_sha256 = picture_hash(&input);
        provenance.output_sha256 = picture_hash(&unmarked);
        let second = if provenance.model_trained {
            provenance.model.clone()
        } else {
            format!("{} - UNTRAINED TEST MODEL", provenance.model)
        };
        let marked = burn_in(&unmarked, MARK, &second);
        Self {
            marked,
            unmarked,
            input,
            provenance,
        }
    }

    /// The picture to show and to write.
    pub fn marked(&self) -> &RgbImage {
        &self.marked
    }

    /// The model's own pixels, for metrics only.
    pub fn unmarked_for_metrics(&self) -> &RgbImage {
        &self.unmarked
    }

    /// True when a conversion came out as its input.
    pub fn looks_like_a_copy(&self) -> bool {
        self.provenance.task != "reconstruct"
            && self.provenance.task != "sr4"
            && self.provenance.similarity_to_input >= IDENTITY_LIMIT
    }

    /// Writes the marked picture as PNG, with its provenance in a text chunk and in `FILE.png.json`.
    /// Result: the side-car file.
    ///
    /// # Errors
    /// [`ImagingError::Write`].
    pub fn save_png(&self, path: &Path) -> Result<PathBuf, ImagingError> {
        let failed = |why: String| ImagingError::Write {
            why,
            path: path.to_owned(),
        };
        let json = serde_json::to_string_pretty(&self.provenance)
            .map_err(|error| failed(error.to_string()))?;
        write_png(
            path,
            &self.marked,
            &[("Provenance", &json), ("Comment", MARK)],
        )?;
        let mut name = path.as_os_str().to_owned();
        name.push(".json");
        let side_car = PathBuf::from(name);
        fs::write(&side_car, json + "\n").map_err(|error| failed(error.to_string()))?;
        Ok(side_car)
    }
}

/// Writes a picture as PNG with text chunks.
///
/// # Errors
/// [`ImagingError::Write`].
pub fn write_png(
    path: &Path,
    image: &RgbImage,
    texts: &[(&str, &str)],
) -> Result<(), ImagingError> {
    let failed = |why: String| ImagingError::Write {
        why,
        path: path.to_owned(),
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width(), image.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = (|| {
        for (keyword, text) in texts {
            encoder.add_itxt_chunk((*keyword).to_owned(), (*text).to_owned())?;
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(image.as_raw())?;
        writer.finish()
    })();
    written.map_err(|error: png::EncodingError| failed(error.to_string()))?;
    fs::write(path, bytes).map_err(|error| failed(error.to_string()))
}
