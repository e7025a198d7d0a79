//! How the samples of a DICOM file are packed, by its transfer syntax, and what is refused by name.

use std::path::Path;

use dicom_dictionary_std::{tags, uids};

use super::header::Header;
use super::parser::PixelElement;
use super::source::BIG_ENDIAN;
use crate::imaging::error::ImagingError;

/// For a transfer syntax that is not in the standard.
const UNKNOWN_SYNTAX: &str = "an unknown transfer syntax";

/// How the samples of a file are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Native,
    /// RLE Lossless.
    Rle,
    /// JPEG baseline, extended and lossless.
    Jpeg,
    /// JPEG-LS and JPEG 2000.
    Codec,
}

/// How the pixels are packed, or why they cannot be read here.
///
/// # Errors
/// [`ImagingError::Unsupported`] or [`ImagingError::Damaged`].
pub fn packing_of(path: &Path, header: &Header) -> Result<Packing, ImagingError> {
    let unsupported = |what: String| Err(ImagingError::unsupported(path, what));
    let Header { image, pixels, .. } = header;
    let PixelElement { tag, length, .. } = *pixels;
    let floats = tag != tags::PIXEL_DATA;
    let bits = image.bits_allocated;
    let whole_bytes = matches!(bits, 8 | 16 | 32);
    if !floats && !whole_bytes && (bits != 1 || image.samples != 1) {
        return unsupported(format!("{bits} bits allocated for a sample"));
    }
    match (image.photometric.as_str(), image.samples) {
        ("MONOCHROME1" | "MONOCHROME2" | "", 1) => {}
        ("PALETTE COLOR", 1) => {}
        ("RGB" | "YBR_FULL" | "YBR_FULL_422" | "YBR_RCT" | "YBR_ICT", 3)
            if bits >= 8 && !floats => {}
        (other, samples) => {
            return unsupported(format!(
                "the photometric interpretation {other} with {samples} samples for a pixel"
            ));
        }
    }
    let syntax = header.transfer_syntax.as_str();
    let uncompressed = [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        BIG_ENDIAN,
    ]
    .contains(&syntax);
    if uncompressed != length.is_some() {
        if !uncompressed && syntax_name(syntax) == UNKNOWN_SYNTAX {
            return unsupported(format!("{UNKNOWN_SYNTAX} ({})", printable(syntax)));
        }
        return Err(ImagingError::damaged(
            path,
            if uncompressed {
                "its pixel data is in fragments although its transfer syntax is uncompressed"
            } else {
                "its pixel data is not in fragments although its transfer syntax is compressed"
            },
        ));
    }
    if uncompressed {
        if image.subsampled && (bits != 8 || image.columns % 2 == 1) {
            return unsupported("YBR_FULL_422 with an odd width or 16 bits".to_owned());
        }
        return Ok(Packing::Native);
    }
    match syntax {
        uids::RLE_LOSSLESS if whole_bytes && !floats => Ok(Packing::Rle),
        uids::JPEG_BASELINE8_BIT
        | uids::JPEG_EXTENDED12_BIT
        | uids::JPEG_LOSSLESS
        | uids::JPEG_LOSSLESS_SV1
            if matches!(bits, 8 | 16) && !floats =>
        {
            Ok(Packing::Jpeg)
        }
        uids::JPEGLS_LOSSLESS
        | uids::JPEGLS_NEAR_LOSSLESS
        | uids::JPEG2000
        | uids::JPEG2000_LOSSLESS
        | uids::HTJ2K
        | uids::HTJ2K_LOSSLESS
        | uids::HTJ2K_LOSSLESS_RPCL
            if matches!(bits, 1 | 8 | 16) && !floats =>
        {
            Ok(Packing::Codec)
        }
        _ => unsupported(format!("{} ({})", syntax_name(syntax), printable(syntax))),
    }
}

/// The name of a transfer syntax that we do not decode.
fn syntax_name(uid: &str) -> &'static str {
    match uid {
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => {
            "JPEG-LS of samples that are not 1, 8 or 16 bits"
        }
        uids::JPEG2000 | uids::JPEG2000_LOSSLESS => {
            "JPEG 2000 of samples that are not 1, 8 or 16 bits"
        }
        uids::JPEG2000MC | uids::JPEG2000MC_LOSSLESS => "JPEG 2000 part 2",
        uids::HTJ2K | uids::HTJ2K_LOSSLESS | uids::HTJ2K_LOSSLESS_RPCL => {
            "High-Throughput JPEG 2000 of samples that are not 1, 8 or 16 bits"
        }
        uids::JPEGXL | uids::JPEGXL_LOSSLESS | uids::JPEGXLJPEG_RECOMPRESSION => "JPEG XL",
        uids::DEFLATED_IMAGE_FRAME_COMPRESSION => "deflated image frames",
        uids::RLE_LOSSLESS => "RLE of samples that are no whole bytes",
        other if other.starts_with("1.2.840.10008.1.2.4.5") => {
            "JPEG with these bits or this process"
        }
        other if other.starts_with("1.2.840.10008.1.2.4.1") => "MPEG or HEVC video",
        other if other.starts_with("1.2.840.10008.1.2.4.9") => {
            "pixel data behind a network address"
        }
        _ => UNKNOWN_SYNTAX,
    }
}

/// What a file says, fit for a sentence.
fn printable(uid: &str) -> String {
    uid.chars()
        .filter(|c| c.is_ascii_digit() || *c == '.')
        .take(64)
        .collect()
}
