//! A NIfTI file as it is written: fields of its header, and the values of all its voxels.

use std::io::{self, Read};
use std::path::Path;

use super::colour::{RGB24, RGBA32};
use super::voxels::{check_type, voxel_bytes};
use super::{Header, open_at, read_header};
use crate::imaging::error::ImagingError;
use crate::imaging::inspect::{FileReport, Number, Values, finite};

/// Voxels read at once.
const CHUNK: u64 = 1 << 16;

/// Fills in what a NIfTI file says and holds.
///
/// # Errors
/// Every [`ImagingError`] about a file.
pub fn inspect(path: &Path, report: &mut FileReport) -> Result<(), ImagingError> {
    let (header, voxels) = read_header(path)?;
    let written = &header.written;
    let shape: Vec<String> = written.shape.iter().map(usize::to_string).collect();
    report.nifti_shape = Some(shape.join("x"));
    report.nifti_dtype = type_name(header.datatype);
    report.nifti_endian = Some(if header.big_endian { "BE" } else { "LE" });
    report.qform_code = Some(written.qform_code);
    report.sform_code = Some(written.sform_code);
    report.scl_slope = finite(written.slope);
    report.scl_inter = finite(written.intercept);
    let last_row = [0.0, 0.0, 0.0, 1.0];
    let affine = written.ras.iter().chain([&last_row]).flatten();
    report.affine = Some(affine.map(|x| Number(*x)).collect());
    report.affine_note = Some(written.ras_from);
    check_type(&header, path)?;
    let mut reader = open_at(&voxels, header.offset)?;
    let checksum = values(&mut reader, &header, report).map_err(|error| {
        ImagingError::damaged(&voxels, format!("its voxels are cut short: {error}"))
    })?;
    report.sha256_scaled = Some(checksum);
    Ok(())
}

fn type_name(datatype: i16) -> Option<&'static str> {
    Some(match datatype {
        1 => "bit",
        2 => "u1",
        256 => "i1",
        4 => "i2",
        512 => "u2",
        8 => "i4",
        768 => "u4",
        1024 => "i8",
        1280 => "u8",
        16 => "f4",
        64 => "f8",
        1536 => "f16",
        32 => "c8",
        1792 => "c16",
        2048 => "c32",
        RGB24 => "rgb24",
        RGBA32 => "rgba32",
        _ => return None,
    })
}

/// Reads all volumes. Memory does not grow with them.
fn values(reader: &mut dyn Read, header: &Header, report: &mut FileReport) -> io::Result<String> {
    let bytes_each = voxel_bytes(header.datatype).unwrap_or(1);
    let colour = [RGB24, RGBA32].contains(&header.datatype);
    let voxels = header.size.iter().product::<usize>() as u64 * header.volumes as u64;
    let mut values = Values::new(if colour { voxels * bytes_each } else { voxels });
    let mut missing = voxels;
    let mut bytes = Vec::new();
    while missing > 0 {
        let count = missing.min(CHUNK);
        bytes.resize((count * bytes_each) as usize, 0);
        reader.read_exact(&mut bytes)?;
        missing -= count;
        if colour {
            for byte in &bytes {
                values.push(f64::from(*byte), &[*byte]);
            }
            continue;
        }
        for voxel in bytes.chunks_exact_mut(bytes_each as usize) {
            if header.big_endian {
                voxel.reverse();
            }
            let value = scaled(number(voxel, header.datatype), header);
            values.push(value, &rounded(value).to_le_bytes());
        }
    }
    // What follows is read for the checksum of a gzip stream.
    io::copy(&mut reader.take(super::voxels::MAX_TAIL), &mut io::sink())?;
    let checksum = values.finish(report);
    if colour {
        (report.mean, report.probes, report.nan_count) = (None, None, None);
    }
    Ok(checksum)
}

/// A stored value, least significant byte first.
fn number(voxel: &[u8], datatype: i16) -> f64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(voxel) {
        *to = *from;
    }
    let [a, b, c, d, ..] = word;
    match datatype {
        256 => f64::from(a as i8),
        4 => f64::from(i16::from_le_bytes([a, b])),
        512 => f64::from(u16::from_le_bytes([a, b])),
        8 => f64::from(i32::from_le_bytes([a, b, c, d])),
        768 => f64::from(u32::from_le_bytes([a, b, c, d])),
        16 => f64::from(f32::from_le_bytes([a, b, c, d])),
        64 => f64::from_le_bytes(word),
        1024 => i64::from_le_bytes(word) as f64,
        1280 => u64::from_le_bytes(word) as f64,
        _ => f64::from(a),
    }
}

/// `slope * value + intercept`, unless the slope is 0 or no number (nifti1.h).
fn scaled(value: f64, header: &Header) -> f64 {
    let (slope, intercept) = (header.written.slope, header.written.intercept);
    if slope == 0.0 || !slope.is_finite() {
        value
    } else {
        slope * value
            + if intercept.is_finite() {
                intercept
            } else {
                0.0
            }
    }
}

/// To 6 decimals, with one zero and one not-a-number.
fn rounded(value: f64) -> f64 {
    if value.is_nan() {
        return f64::NAN;
    }
    let rounded = (value * 1e6).round_ties_even() / 1e6;
    let shown = if rounded.is_finite() { rounded } else { value };
    shown + 0.0 // minus zero becomes zero
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hashed_with_6_decimals_and_one_zero() {
        assert_eq!(rounded(1.234_567_89), 1.234_568);
        assert_eq!(rounded(-1e-9).to_bits(), 0);
        assert_eq!(rounded(-f64::NAN).to_bits(), f64::NAN.to_bits());
        assert_eq!(rounded(1e300), 1e300);
        assert_eq!(rounded(f64::INFINITY), f64::INFINITY);
    }
}
