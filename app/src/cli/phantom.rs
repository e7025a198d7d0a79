//! A CT that nobody was scanned for: DICOM files of a body-like phantom, for measurements.

use std::fs;
use std::io;
use std::path::Path;

/// Writes one file for each slice of a volume of this size: 0.7 mm pixels, 1 mm apart, uncompressed.
///
/// # Errors
/// A file cannot be written.
pub fn write_ct(folder: &Path, [columns, rows, slices]: [usize; 3]) -> io::Result<()> {
    let base = body(columns, rows);
    for number in 0..slices {
        let mut file = header(number, [columns, rows]);
        // A ball that grows and shrinks, so that slices differ.
        let radius = (number as f64 / slices as f64 * std::f64::consts::PI).sin() * 60.0;
        let inside = |at: usize| {
            let (x, y) = ((at % columns) as f64, (at / columns) as f64);
            let (dx, dy) = (x - columns as f64 * 0.6, y - rows as f64 * 0.45);
            dx * dx + dy * dy < radius * radius
        };
        let values = base.iter().enumerate().map(|(at, hu)| {
            let hu = if inside(at) { 300 } else { *hu };
            (hu + 1024) as u16
        });
        let pixels: Vec<u8> = values.flat_map(u16::to_le_bytes).collect();
        element(&mut file, [0x7FE0, 0x0010], b"OW", &pixels);
        fs::write(folder.join(format!("{number:05}.dcm")), file)?;
    }
    Ok(())
}

/// HU of an ellipse of soft tissue in air, with some texture.
fn body(columns: usize, rows: usize) -> Vec<i16> {
    let mut noise = 12_345_u32;
    let mut hu = Vec::with_capacity(columns * rows);
    for y in 0..rows {
        for x in 0..columns {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (dx, dy) = (
                x as f64 / columns as f64 - 0.5,
                y as f64 / rows as f64 - 0.5,
            );
            let inside = (dx / 0.42).powi(2) + (dy / 0.32).powi(2) < 1.0;
            let grain = (noise >> 27) as i16 - 16;
            hu.push(if inside { 40 + grain } else { -1000 });
        }
    }
    hu
}

/// Preamble, meta group and the elements before the pixels.
fn header(number: usize, [columns, rows]: [usize; 2]) -> Vec<u8> {
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    let text = |file: &mut Vec<u8>, tag: [u16; 2], vr: &[u8; 2], value: &str| {
        let mut bytes = value.as_bytes().to_vec();
        if bytes.len() % 2 == 1 {
            bytes.push(if vr == b"UI" { 0 } else { b' ' });
        }
        element(file, tag, vr, &bytes);
    };
    let short = |file: &mut Vec<u8>, tag: [u16; 2], value: u16| {
        element(file, tag, b"US", &value.to_le_bytes());
    };
    text(&mut file, [0x0002, 0x0010], b"UI", "1.2.840.10008.1.2.1");
    text(
        &mut file,
        [0x0008, 0x0016],
        b"UI",
        "1.2.840.10008.5.1.4.1.1.2",
    );
    text(
        &mut file,
        [0x0008, 0x0018],
        b"UI",
        &format!("2.25.1.{number}"),
    );
    text(&mut file, [0x0008, 0x0060], b"CS", "CT");
    text(&mut file, [0x0008, 0x103E], b"LO", "Generated CT");
    text(&mut file, [0x0010, 0x0010], b"PN", "Generated");
    text(&mut file, [0x0010, 0x0020], b"LO", "0");
    text(&mut file, [0x0020, 0x000D], b"UI", "2.25.2");
    text(&mut file, [0x0020, 0x000E], b"UI", "2.25.3");
    text(
        &mut file,
        [0x0020, 0x0013],
        b"IS",
        &(number + 1).to_string(),
    );
    text(
        &mut file,
        [0x0020, 0x0032],
        b"DS",
        &format!("-180\\-180\\{number}"),
    );
    text(&mut file, [0x0020, 0x0037], b"DS", "1\\0\\0\\0\\1\\0");
    text(&mut file, [0x0020, 0x0052], b"UI", "2.25.4");
    short(&mut file, [0x0028, 0x0002], 1);
    text(&mut file, [0x0028, 0x0004], b"CS", "MONOCHROME2");
    short(&mut file, [0x0028, 0x0010], rows as u16);
    short(&mut file, [0x0028, 0x0011], columns as u16);
    text(&mut file, [0x0028, 0x0030], b"DS", "0.7\\0.7");
    short(&mut file, [0x0028, 0x0100], 16);
    short(&mut file, [0x0028, 0x0101], 16);
    short(&mut file, [0x0028, 0x0102], 15);
    short(&mut file, [0x0028, 0x0103], 0);
    text(&mut file, [0x0028, 0x1052], b"DS", "-1024");
    text(&mut file, [0x0028, 0x1053], b"DS", "1");
    file
}

/// One element in explicit VR little endian.
fn element(file: &mut Vec<u8>, [group, number]: [u16; 2], vr: &[u8; 2], value: &[u8]) {
    file.extend(group.to_le_bytes());
    file.extend(number.to_le_bytes());
    file.extend(vr);
    if vr == b"OW" {
        file.extend([0, 0]);
        file.extend((value.len() as u32).to_le_bytes());
    } else {
        file.extend((value.len() as u16).to_le_bytes());
    }
    file.extend(value);
}
