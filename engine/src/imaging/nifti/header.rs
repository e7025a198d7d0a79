//! The headers of NIfTI-1 and NIfTI-2 and the affine they give (nifti1.h and nifti2.h, "methods 1 to 3").

use crate::imaging::geometry::{Affine, cross, dot, length};
use crate::imaging::note::Note;
use crate::imaging::volume::Rescale;
use crate::imaging::window::Window;

/// Bytes of the longer header.
pub const HEADER_BYTES: usize = 540;

/// What a header says.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Voxels along i, j, k.
    pub size: [usize; 3],
    /// Volumes behind each other (time points, directions, vectors).
    pub volumes: usize,
    /// `datatype`.
    pub datatype: i16,
    /// Most significant byte first.
    pub big_endian: bool,
    /// First byte of the voxels.
    pub offset: u64,
    /// The voxels are in another file.
    pub pair: bool,
    /// `scl_slope` and `scl_inter`.
    pub rescale: Rescale,
    /// LPS mm of voxel centres.
    pub patient_from_voxel: Affine,
    /// The affine is from sform or qform.
    pub calibrated: bool,
    /// The file says how far voxels are apart.
    pub spaced: bool,
    /// `cal_min` to `cal_max`.
    pub window: Option<Window>,
    /// What the user should know.
    pub notes: Vec<Note>,
    /// As it is written.
    pub written: Written,
}

/// Fields as they are written, for those who check what was made of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// `dim[1..]`, as many as `dim[0]` says.
    pub shape: Vec<usize>,
    /// `scl_slope`.
    pub slope: f64,
    /// `scl_inter`.
    pub intercept: f64,
    /// `qform_code`.
    pub qform_code: i32,
    /// `sform_code`.
    pub sform_code: i32,
    /// RAS from voxels in the file's unit of length.
    pub ras: [[f64; 4]; 3],
    /// `sform`, `qform`, or `pixdim` where there is no orientation.
    pub ras_from: &'static str,
}

/// Why there is no header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// It is not NIfTI at all.
    OtherFormat,
    /// ANALYZE 7.5: the same layout without orientation.
    Analyze,
    /// It is NIfTI, but broken.
    Damaged(String),
}

/// Where the fields of a version are.
struct Layout {
    two: bool,
    big_endian: bool,
}

/// Which version, which byte order, and whether the voxels are in the same file.
fn recognise(bytes: &[u8]) -> Result<(Layout, bool), Invalid> {
    let first: [u8; 4] = *bytes.first_chunk().ok_or(Invalid::OtherFormat)?;
    let (two, big_endian) = match (i32::from_le_bytes(first), i32::from_be_bytes(first)) {
        (348, _) => (false, false),
        (_, 348) => (false, true),
        (540, _) => (true, false),
        (_, 540) => (true, true),
        _ => return Err(Invalid::OtherFormat),
    };
    let magic = if two {
        bytes.get(4..12)
    } else {
        bytes.get(344..348)
    };
    let layout = Layout { two, big_endian };
    match magic {
        Some(b"n+1\0" | b"n+2\0\r\n\x1a\n") => Ok((layout, false)),
        Some(b"ni1\0" | b"ni2\0\r\n\x1a\n") => Ok((layout, true)),
        Some(_) if !two => Err(Invalid::Analyze),
        Some(_) => Err(Invalid::OtherFormat),
        None => Err(Invalid::Damaged("its header is cut short".to_owned())),
    }
}

/// True when these first bytes are those of NIfTI (or ANALYZE, which is then refused by name).
pub fn is_nifti(bytes: &[u8]) -> bool {
    !matches!(recognise(bytes), Err(Invalid::OtherFormat))
}

/// Version 2, and most significant byte first; nothing where it is not NIfTI.
pub fn byte_order(bytes: &[u8]) -> Option<(bool, bool)> {
    let (layout, _) = recognise(bytes).ok()?;
    Some((layout.two, layout.big_endian))
}

/// Reads a header from the first [`HEADER_BYTES`] of a file (348 are enough for NIfTI-1).
///
/// # Errors
/// [`Invalid`].
pub fn parse(bytes: &[u8]) -> Result<Header, Invalid> {
    let (layout, pair) = recognise(bytes)?;
    let damaged = |what: String| Invalid::Damaged(what);
    let needed = if layout.two { HEADER_BYTES } else { 348 };
    let Some(bytes) = bytes.get(..needed) else {
        return Err(damaged("its header is cut short".to_owned()));
    };
    let fields = Fields { bytes, layout };
    let dim = fields.dim();
    let [dimensions, ..] = dim;
    if !(1..=7).contains(&dimensions) {
        return Err(damaged(format!("it has {dimensions} dimensions")));
    }
    // Dimensions beyond the number there are count as 1, whatever is written.
    let along = |axis: usize| -> Result<usize, Invalid> {
        let written = dim.get(axis).copied().unwrap_or(1);
        match (axis as i64 <= dimensions, usize::try_from(written)) {
            (false, _) => Ok(1),
            (true, Ok(length)) if length > 0 => Ok(length),
            _ => Err(damaged(format!("its dimension {axis} is {written}"))),
        }
    };
    let size = [along(1)?, along(2)?, along(3)?];
    let shape = (1..=dimensions as usize)
        .map(along)
        .collect::<Result<_, _>>()?;
    let mut volumes = 1_usize;
    for axis in 4..=7 {
        volumes = volumes
            .checked_mul(along(axis)?)
            .ok_or_else(|| damaged("its dimensions are more than any file holds".to_owned()))?;
    }
    let offset = fields.vox_offset();
    let start = if pair { 0.0 } else { needed as f64 + 4.0 };
    let offset = match offset {
        0.0 if !pair => start,
        offset if offset.is_finite() && (start..1e15).contains(&offset) => offset,
        offset => return Err(damaged(format!("its voxels begin at byte {offset}"))),
    };
    let (slope, intercept) = fields.scaling();
    let rescale = if slope != 0.0 && slope.is_finite() {
        Rescale {
            slope: slope as f32,
            intercept: if intercept.is_finite() {
                intercept as f32
            } else {
                0.0
            },
        }
    } else {
        Rescale::NONE
    };
    let (low, high) = fields.calibration();
    let window = (low.is_finite() && high.is_finite() && high > low)
        .then(|| Window::from_range(low as f32, high as f32));
    let mut notes = Vec::new();
    if volumes > 1 {
        notes.push(Note::OneOf {
            count: volumes,
            number: 1,
        });
    }
    let (ras, ras_from) = fields.affine(&mut notes);
    let mm_per_unit = fields.mm_per_unit();
    Ok(Header {
        size,
        volumes,
        datatype: fields.datatype(),
        big_endian: fields.layout.big_endian,
        offset: offset as u64,
        pair,
        rescale,
        patient_from_voxel: lps_from_ras(ras.map(|row| row.map(|x| x * mm_per_unit))),
        calibrated: ras_from != "pixdim",
        spaced: ras_from != "pixdim" || fields.spaced(),
        window,
        notes,
        written: Written {
            shape,
            slope,
            intercept,
            qform_code: fields.code(252, 344),
            sform_code: fields.code(254, 348),
            ras,
            ras_from,
        },
    })
}

/// NIfTI's x runs to the right and its y to the front: the other way round in LPS.
fn lps_from_ras([x, y, z]: [[f64; 4]; 3]) -> Affine {
    Affine([x.map(|v| -v), y.map(|v| -v), z])
}

struct Fields<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

impl Fields<'_> {
    fn word<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut word = self
            .bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk().copied())
            .unwrap_or([0; N]);
        if self.layout.big_endian {
            word.reverse();
        }
        word
    }

    fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.word(at))
    }

    /// A real number that has 4 bytes in version 1 and 8 in version 2.
    fn real(&self, one: usize, two: usize) -> f64 {
        if self.layout.two {
            f64::from_le_bytes(self.word(two))
        } else {
            f64::from(f32::from_le_bytes(self.word(one)))
        }
    }

    /// Consecutive real numbers.
    fn reals<const N: usize>(&self, one: usize, two: usize) -> [f64; N] {
        std::array::from_fn(|i| self.real(one + 4 * i, two + 8 * i))
    }

    fn dim(&self) -> [i64; 8] {
        std::array::from_fn(|i| {
            if self.layout.two {
                i64::from_le_bytes(self.word(16 + 8 * i))
            } else {
                i64::from(self.i16(40 + 2 * i))
            }
        })
    }

    fn datatype(&self) -> i16 {
        self.i16(if self.layout.two { 12 } else { 70 })
    }

    fn vox_offset(&self) -> f64 {
        if self.layout.two {
            i64::from_le_bytes(self.word(168)) as f64
        } else {
            self.real(108, 0)
        }
    }

    fn scaling(&self) -> (f64, f64) {
        (self.real(112, 176), self.real(116, 184))
    }

    /// `cal_min`, `cal_max`.
    fn calibration(&self) -> (f64, f64) {
        (self.real(128, 200), self.real(124, 192))
    }

    fn code(&self, one: usize, two: usize) -> i32 {
        if self.layout.two {
            i32::from_le_bytes(self.word(two))
        } else {
            i32::from(self.i16(one))
        }
    }

    /// Millimetres in the unit of lengths (`xyzt_units`); an unknown unit is taken for mm.
    fn mm_per_unit(&self) -> f64 {
        let units = if self.layout.two {
            i32::from_le_bytes(self.word(500))
        } else {
            i32::from(self.word::<1>(123)[0])
        };
        match units & 7 {
            1 => 1000.0,
            3 => 0.001,
            _ => 1.0,
        }
    }

    /// RAS of voxel centres, and what gave it: sform first, then qform, then voxel sizes only.
    fn affine(&self, notes: &mut Vec<Note>) -> ([[f64; 4]; 3], &'static str) {
        if self.code(254, 348) > 0 {
            let sform = [(280, 400), (296, 432), (312, 464)].map(|(one, two)| self.reals(one, two));
            if usable(&sform) {
                return (sform, "sform");
            }
            notes.push(Note::BadSform);
        }
        let pixdim: [f64; 8] = self.reals(76, 104);
        if self.code(252, 344) > 0 {
            let qform = self.qform(&pixdim);
            if usable(&qform) {
                return (qform, "qform");
            }
            notes.push(Note::BadQform);
        }
        let [_, x, y, z, ..] = pixdim.map(|size| {
            if size.is_finite() && size != 0.0 {
                size.abs()
            } else {
                1.0
            }
        });
        notes.push(Note::NoSides);
        let plain = [[x, 0.0, 0.0, 0.0], [0.0, y, 0.0, 0.0], [0.0, 0.0, z, 0.0]];
        (plain, "pixdim")
    }

    /// `pixdim` has a length for every axis in space.
    fn spaced(&self) -> bool {
        let [_, x, y, z, ..]: [f64; 8] = self.reals(76, 104);
        [x, y, z]
            .iter()
            .all(|size| size.is_finite() && *size != 0.0)
    }

    /// Method 2: rotation from the quaternion (a, b, c, d), voxel sizes, and the handedness in `pixdim[0]`.
    fn qform(&self, pixdim: &[f64; 8]) -> [[f64; 4]; 3] {
        let [b, c, d]: [f64; 3] = self.reals(256, 352);
        let offset: [f64; 3] = self.reals(268, 376);
        let square = b * b + c * c + d * d;
        // What rounding leaves of a is noise: then it is a half turn about b, c, d (as nibabel has it).
        let rounding = if self.layout.two {
            3.0 * f64::EPSILON
        } else {
            3.0 * f64::from(f32::EPSILON)
        };
        let (a, b, c, d) = if 1.0 - square < rounding {
            let size = square.sqrt();
            (0.0, b / size, c / size, d / size)
        } else {
            ((1.0 - square).sqrt(), b, c, d)
        };
        let [handedness, x, y, z, ..] = *pixdim;
        let z = if handedness < 0.0 { -z.abs() } else { z.abs() };
        let sizes = [x.abs(), y.abs(), z];
        let rotation = [
            [
                a * a + b * b - c * c - d * d,
                2.0 * (b * c - a * d),
                2.0 * (b * d + a * c),
            ],
            [
                2.0 * (b * c + a * d),
                a * a + c * c - b * b - d * d,
                2.0 * (c * d - a * b),
            ],
            [
                2.0 * (b * d - a * c),
                2.0 * (c * d + a * b),
                a * a + d * d - b * b - c * c,
            ],
        ];
        [0, 1, 2].map(|row| {
            let [x, y, z] = [0, 1, 2].map(|axis| rotation[row][axis] * sizes[axis]);
            [x, y, z, offset[row]]
        })
    }
}

/// Finite, and its axes span space.
fn usable(affine: &[[f64; 4]; 3]) -> bool {
    let column = |axis: usize| [0, 1, 2].map(|row: usize| affine[row][axis]);
    let (i, j, k) = (column(0), column(1), column(2));
    let volume = dot(cross(i, j), k).abs();
    let sizes = length(i) * length(j) * length(k);
    affine.iter().flatten().all(|x| x.is_finite()) && sizes > 0.0 && volume / sizes > 1e-3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nifti_1(edit: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut bytes = vec![0; 352];
        bytes[..4].copy_from_slice(&348_i32.to_le_bytes());
        bytes[344..348].copy_from_slice(b"n+1\0");
        for (i, dim) in [3_i16, 4, 5, 6].into_iter().enumerate() {
            bytes[40 + 2 * i..42 + 2 * i].copy_from_slice(&dim.to_le_bytes());
        }
        for (i, size) in [1.0_f32, 2.0, 3.0, 4.0].into_iter().enumerate() {
            bytes[76 + 4 * i..80 + 4 * i].copy_from_slice(&size.to_le_bytes());
        }
        bytes[70] = 4;
        edit(&mut bytes);
        bytes
    }

    #[test]
    fn without_sform_and_qform_there_are_sizes_but_no_sides() {
        let header = parse(&nifti_1(|_| {})).unwrap();
        assert!(!header.calibrated);
        assert_eq!(header.patient_from_voxel.spacing_mm(), [2.0, 3.0, 4.0]);
        assert_eq!((header.size, header.offset), ([4, 5, 6], 352));
        assert_eq!(header.rescale, Rescale::NONE); // slope 0
    }

    /// A quaternion (0, 0, 1, 0) is a half turn about y: x and z go the other way. A negative `pixdim[0]` turns z
    /// again.
    #[test]
    fn a_qform_is_a_rotation_with_a_handedness() {
        let qform = |handedness: f32| {
            parse(&nifti_1(|bytes| {
                bytes[252] = 1;
                bytes[76..80].copy_from_slice(&handedness.to_le_bytes());
                bytes[260..264].copy_from_slice(&1.0_f32.to_le_bytes());
                bytes[268..272].copy_from_slice(&10.0_f32.to_le_bytes());
            }))
            .unwrap()
        };
        let expected = |z: f64| {
            Affine([
                [2.0, 0.0, 0.0, -10.0],
                [0.0, -3.0, 0.0, 0.0],
                [0.0, 0.0, z, 0.0],
            ])
        };
        // 0 is common and means 1.
        for (handedness, z) in [(1.0, -4.0), (0.0, -4.0), (-1.0, 4.0)] {
            let header = qform(handedness);
            assert!(header.calibrated);
            assert_eq!(header.patient_from_voxel, expected(z), "{handedness}");
        }
    }

    #[test]
    fn broken_headers_are_refused_with_a_reason() {
        let refused = |edit: fn(&mut [u8])| parse(&nifti_1(edit)).unwrap_err();
        let dimensions = refused(|bytes| bytes[40] = 8);
        assert_eq!(
            dimensions,
            Invalid::Damaged("it has 8 dimensions".to_owned())
        );
        let negative = refused(|bytes| bytes[43] = 0xFF);
        assert!(matches!(negative, Invalid::Damaged(what) if what.contains("dimension 1 is -")));
        let offset = refused(|bytes| bytes[108..112].copy_from_slice(&f32::NAN.to_le_bytes()));
        assert!(matches!(offset, Invalid::Damaged(_)));
        assert_eq!(refused(|bytes| bytes[344] = 0), Invalid::Analyze);
        assert_eq!(refused(|bytes| bytes[0] = 1), Invalid::OtherFormat);
        assert!(matches!(
            parse(&nifti_1(|_| {})[..100]),
            Err(Invalid::Damaged(_))
        ));
    }
}
