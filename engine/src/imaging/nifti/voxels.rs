//! The voxels of a NIfTI file, in the nearest stored type.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::colour::{RGB24, RGBA32, slices as colour_slices};
use super::gzip::MAGIC;
use super::header::Header;
use super::{open_at, read_header};
use crate::imaging::archive;
use crate::imaging::error::ImagingError;
use crate::imaging::memory::{available, check_fits};
use crate::imaging::series::{Loaded, SeriesInfo};
use crate::imaging::volume::{Scale, Volume, Voxels};
use crate::imaging::window::NamedWindow;

/// Inflate makes at most 1032 bytes of one.
const MAX_INFLATION: u64 = 1032;

/// A volume is at most this long, in bytes.
const MAX_BYTES: u64 = 8 << 30;

/// Bytes behind the voxels that are still read, so that a gzip stream's checksum is.
pub const MAX_TAIL: u64 = 64 << 20;

/// Bytes of a voxel, or the name of a type that is not read.
pub fn voxel_bytes(datatype: i16) -> Result<u64, &'static str> {
    match datatype {
        2 | 256 => Ok(1),
        4 | 512 => Ok(2),
        RGB24 => Ok(3),
        8 | 16 | 768 | RGBA32 => Ok(4),
        64 | 1024 | 1280 => Ok(8),
        1 => Err("1-bit voxels"),
        32 | 1792 | 2048 => Err("complex voxels"),
        1536 => Err("128-bit voxels"),
        _ => Err("voxels of an unknown data type"),
    }
}

/// Bytes in memory for a voxel, at most, while it is read.
fn held_bytes(datatype: i16) -> u64 {
    match datatype {
        256 => 2,
        64 => 4,
        // Whole numbers that may not fit 32 bits are narrowed at the end.
        768 | 1024 | 1280 => 12,
        // As voxels, then as pictures.
        RGB24 | RGBA32 => 6,
        other => voxel_bytes(other).unwrap_or(8),
    }
}

/// Refuses types that are not read.
pub fn check_type(header: &Header, path: &Path) -> Result<(), ImagingError> {
    match voxel_bytes(header.datatype) {
        Err(what) => Err(ImagingError::unsupported(path, what)),
        Ok(_) => Ok(()),
    }
}

/// The voxels of all volumes must be backed by the file's length before anything is sized by them.
pub fn check_length(header: &Header, voxels: &Path) -> Result<(), ImagingError> {
    let (mut file, length) = archive::open(voxels)?;
    let bytes_each = voxel_bytes(header.datatype).unwrap_or(1);
    let volume = header.size.iter().try_fold(bytes_each, |bytes, length| {
        bytes.checked_mul(*length as u64)
    });
    let all = volume.and_then(|volume| volume.checked_mul(header.volumes as u64));
    let needed = all.and_then(|all| all.checked_add(header.offset));
    let mut first = [0; 2];
    let gzipped = file.read_exact(&mut first).is_ok() && first == MAGIC;
    let there = if gzipped {
        length.saturating_mul(MAX_INFLATION)
    } else {
        length
    };
    match needed {
        Some(needed) if needed <= there && volume.is_some_and(|volume| volume <= MAX_BYTES) => {
            Ok(())
        }
        Some(needed) if needed <= there => Err(ImagingError::unsupported(
            voxels,
            format!("volumes of {} GiB", volume.unwrap_or(0) >> 30),
        )),
        _ => {
            let shape: Vec<String> = header.written.shape.iter().map(usize::to_string).collect();
            Err(ImagingError::damaged(
                voxels,
                format!(
                    "{} voxels do not fit into its {} bytes",
                    shape.join(" x "),
                    length
                ),
            ))
        }
    }
}

/// Reads a series that a scan found.
///
/// # Errors
/// [`ImagingError`] about the file, or [`ImagingError::Stopped`].
pub fn load_nifti(
    series: &SeriesInfo,
    path: &Path,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Loaded, ImagingError> {
    let (header, voxels_path) = read_header(path)?;
    check_type(&header, path)?;
    let cut = |error: io::Error| {
        ImagingError::damaged(&voxels_path, format!("its voxels are cut short: {error}"))
    };
    let number = series.frames.first().copied().unwrap_or(0);
    let volume_bytes =
        header.size.iter().product::<usize>() as u64 * voxel_bytes(header.datatype).unwrap_or(0);
    let needed =
        volume_bytes / voxel_bytes(header.datatype).unwrap_or(1) * held_bytes(header.datatype);
    let before = volume_bytes.saturating_mul(number.min(header.volumes - 1) as u64);
    let reader = open_at(&voxels_path, header.offset.saturating_add(before))?;
    let mut slices = Slices {
        reader,
        size: header.size,
        big_endian: header.big_endian,
        colour: [RGB24, RGBA32].contains(&header.datatype),
        on_progress,
    };
    let failed = |failure: Failure| match failure {
        Failure::Io(error) => cut(error),
        Failure::Memory => ImagingError::TooLarge {
            needed_mib: needed >> 20,
            free_mib: available().unwrap_or(0) >> 20,
            path: path.to_owned(),
        },
        Failure::Stopped => ImagingError::Stopped,
    };
    check_fits(needed, path)?;
    if [RGB24, RGBA32].contains(&header.datatype) {
        let voxels = if header.datatype == RGB24 {
            slices.read(|rgb: [u8; 3]| rgb)
        } else {
            slices.read(|[r, g, b, _]: [u8; 4]| [r, g, b])
        };
        let voxels = voxels.map_err(failed)?;
        slices.finish().map_err(failed)?;
        let frames = colour_slices(&voxels, header.size, header.patient_from_voxel);
        let mut frames = frames.ok_or_else(|| {
            ImagingError::damaged(&voxels_path, "it has fewer pixels than its size")
        })?;
        frames.sides = frames.sides.filter(|_| header.calibrated);
        frames.spacing_mm = frames.spacing_mm.filter(|_| header.spaced);
        frames.notes = series.notes.clone();
        return Ok(Loaded::Frames(Arc::new(frames)));
    }
    let voxels = slices.voxels(header.datatype).map_err(failed)?;
    slices.finish().map_err(failed)?;
    Ok(Loaded::Volume(Arc::new(Volume {
        rescale: vec![header.rescale],
        calibrated: header.calibrated,
        scale: if header.spaced {
            Scale::Patient
        } else {
            Scale::Unknown
        },
        windows: header
            .window
            .map(|window| NamedWindow {
                name: String::new(),
                window,
            })
            .into_iter()
            .collect(),
        notes: series.notes.clone(),
        ..Volume::new(header.size, voxels, header.patient_from_voxel)
    })))
}

enum Failure {
    Io(io::Error),
    /// The system has not so much memory in one piece.
    Memory,
    Stopped,
}

struct Slices<'a> {
    reader: Box<dyn Read>,
    size: [usize; 3],
    big_endian: bool,
    /// Bytes of colours have no byte order.
    colour: bool,
    on_progress: &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>,
}

impl Slices<'_> {
    fn voxels(&mut self, datatype: i16) -> Result<Voxels, Failure> {
        Ok(match datatype {
            2 => Voxels::U8(self.read(u8::from_le_bytes)?),
            256 => Voxels::I16(self.read(|bytes| i16::from(i8::from_le_bytes(bytes)))?),
            4 => Voxels::I16(self.read(i16::from_le_bytes)?),
            512 => Voxels::U16(self.read(u16::from_le_bytes)?),
            8 => Voxels::I32(self.read(i32::from_le_bytes)?),
            16 => Voxels::F32(self.read(f32::from_le_bytes)?),
            64 => Voxels::F32(self.read(|bytes| f64::from_le_bytes(bytes) as f32)?),
            768 => whole(self.read(|bytes| i64::from(u32::from_le_bytes(bytes)))?),
            1024 => whole(self.read(i64::from_le_bytes)?),
            // Beyond i64 only the nearest real number matters.
            _ => whole(self.read(|bytes| u64::from_le_bytes(bytes).min(i64::MAX as u64) as i64)?),
        })
    }

    /// Reads slice after slice into memory that is reserved once.
    fn read<const N: usize, T>(
        &mut self,
        convert: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, Failure> {
        let [columns, rows, slices] = self.size;
        let area = columns * rows;
        let mut voxels = Vec::new();
        // The size was checked against the file and the memory; pages are used only as they are written.
        voxels
            .try_reserve_exact(area.saturating_mul(slices))
            .map_err(|_| Failure::Memory)?;
        let mut row = vec![0; (columns * N).min(1 << 20).next_multiple_of(N)];
        for slice in 0..slices {
            if (self.on_progress)(slice, slices).is_break() {
                return Err(Failure::Stopped);
            }
            let mut missing = area * N;
            while missing > 0 {
                let length = missing.min(row.len());
                let Some(part) = row.get_mut(..length) else {
                    break;
                };
                self.reader.read_exact(part).map_err(Failure::Io)?;
                missing -= length;
                for word in part.as_chunks_mut::<N>().0 {
                    if self.big_endian && !self.colour {
                        word.reverse();
                    }
                    voxels.push(convert(*word));
                }
            }
        }
        let _ = (self.on_progress)(slices, slices);
        Ok(voxels)
    }
}

impl Slices<'_> {
    fn finish(&mut self) -> Result<(), Failure> {
        let mut tail = self.reader.by_ref().take(MAX_TAIL);
        io::copy(&mut tail, &mut io::sink()).map_err(Failure::Io)?;
        Ok(())
    }
}

/// 32-bit integers where all values fit, real numbers otherwise.
fn whole(values: Vec<i64>) -> Voxels {
    let narrow: Option<Vec<i32>> = values.iter().map(|x| i32::try_from(*x).ok()).collect();
    match narrow {
        Some(narrow) => Voxels::I32(narrow),
        None => Voxels::F32(values.into_iter().map(|x| x as f32).collect()),
    }
}
