//! A series as one block of voxels in patient space (LPS, mm), in the type it was stored in.
//!
//! Reading files is `dicom` and `nifti`; grey levels are `window`. A volume never changes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::geometry::{Affine, Direction};
use super::note::Note;
use super::window::{NamedWindow, VoiTable, Window};

/// How the picture was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Modality {
    /// Computed tomography: samples are HU.
    #[serde(rename = "CT")]
    Ct,
    /// Magnetic resonance: samples have no unit.
    #[serde(rename = "MR")]
    Mr,
    /// The file does not say (NIfTI).
    #[serde(rename = "unknown")]
    Unknown,
    /// Another one, by its DICOM code (`US`, `CR`...).
    #[serde(untagged)]
    Other(String),
}

impl Modality {
    /// By the code of (0008,0060).
    pub fn from_code(code: &str) -> Self {
        match code.trim() {
            "CT" => Self::Ct,
            "MR" => Self::Mr,
            "" => Self::Unknown,
            other => Self::Other(other.to_owned()),
        }
    }

    /// `CT`, `MR`, the DICOM code, or `?`.
    pub fn code(&self) -> &str {
        match self {
            Self::Ct => "CT",
            Self::Mr => "MR",
            Self::Other(code) => code,
            Self::Unknown => "?",
        }
    }
}

/// Samples in their stored type, `i` fastest, then `j`, then `k`.
#[derive(Clone, Debug)]
pub enum Voxels {
    /// 8 bit.
    U8(Vec<u8>),
    /// 16 bit, signed.
    I16(Vec<i16>),
    /// 16 bit.
    U16(Vec<u16>),
    /// 32 bit, signed.
    I32(Vec<i32>),
    /// Real numbers.
    F32(Vec<f32>),
}

impl Voxels {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::F32(v) => v.len(),
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        let each = match self {
            Self::U8(_) => 1,
            Self::I16(_) | Self::U16(_) => 2,
            Self::I32(_) | Self::F32(_) => 4,
        };
        self.len() as u64 * each
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The stored sample; 0 outside.
    pub fn get(&self, index: usize) -> f32 {
        match self {
            Self::U8(v) => v.get(index).map_or(0.0, |x| f32::from(*x)),
            Self::I16(v) => v.get(index).map_or(0.0, |x| f32::from(*x)),
            Self::U16(v) => v.get(index).map_or(0.0, |x| f32::from(*x)),
            Self::I32(v) => v.get(index).map_or(0.0, |x| *x as f32),
            Self::F32(v) => v.get(index).copied().unwrap_or(0.0),
        }
    }
}

/// `sample = stored * slope + intercept` (PS3.3 C.11.1.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rescale {
    /// Rescale Slope (0028,1053).
    pub slope: f32,
    /// Rescale Intercept (0028,1052).
    pub intercept: f32,
}

impl Rescale {
    /// Stored values as they are.
    pub const NONE: Self = Self {
        slope: 1.0,
        intercept: 0.0,
    };
}

/// A plane of the patient; an oblique series is shown in its own nearest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// Seen from the feet: right edge is the patient's left, bottom is posterior. Slices go to superior.
    #[default]
    Axial,
    /// Seen from the front: right edge is the patient's left, bottom is inferior. Slices go to posterior.
    Coronal,
    /// Seen from the left: right edge is posterior, bottom is inferior. Slices go to the left.
    Sagittal,
}

impl Plane {
    /// In menu order.
    pub const ALL: [Self; 3] = [Self::Axial, Self::Coronal, Self::Sagittal];

    /// Patient axes (0 x, 1 y, 2 z) to the right, down and through, and whether each is run backwards.
    pub fn axes(self) -> [(usize, bool); 3] {
        match self {
            Self::Axial => [(0, false), (1, false), (2, false)],
            Self::Coronal => [(0, false), (2, true), (1, false)],
            Self::Sagittal => [(1, false), (2, true), (0, false)],
        }
    }

    /// `axial`, `coronal`, `sagittal`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
        }
    }
}

/// What a distance in a slice means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Nothing says how far pixels are apart: distances are in pixels.
    #[default]
    Unknown,
    /// mm in the patient.
    Patient,
    /// mm on the detector of a projection, where the patient is enlarged (PS3.3 10.7.1.3).
    Detector,
}

/// One plane of a volume as rescaled samples, row by row.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Rescaled samples (HU for CT), `width * height`.
    pub samples: Vec<f32>,
    /// Distance of columns and of rows, in mm.
    pub spacing_mm: [f64; 2],
    /// Where the right edge points in the patient.
    pub right: Direction,
    /// Where the bottom edge points.
    pub down: Direction,
    /// The VOI LUTs of its volume.
    pub voi_tables: Arc<[VoiTable]>,
}

/// A block of voxels in patient space.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Voxels along i (columns), j (rows), k (slices).
    pub size: [usize; 3],
    /// The samples as stored.
    pub voxels: Voxels,
    /// One entry for all slices, or one for each `k`.
    pub rescale: Vec<Rescale>,
    /// LPS mm of a voxel centre.
    pub patient_from_voxel: Affine,
    /// The files say where it lies in the patient: places and letters are shown, and other volumes may be linked.
    pub calibrated: bool,
    /// What the files say of the distance of pixels: lengths are in mm where that is known.
    pub scale: Scale,
    /// Where the right and the lower edge of the acquired slices point, for files that say only that.
    pub sides: Option<[Direction; 2]>,
    /// The unit of rescaled samples, where it is not HU of a CT.
    pub unit: Option<String>,
    /// The lowest and the highest stored value that stand for no image: such samples are not numbers.
    pub padding: Option<[f32; 2]>,
    /// Slice Thickness (0018,0050), which may differ from the distance of slices.
    pub thickness_mm: Option<f64>,
    /// How it was made.
    pub modality: Modality,
    /// BodyPartExamined (0018,0015), as written.
    pub body_part: Option<String>,
    /// The file's own windows.
    pub windows: Vec<NamedWindow>,
    /// The file's own VOI LUTs, by the number in [`VoiFunction::Table`](super::window::VoiFunction::Table).
    pub voi_tables: Arc<[VoiTable]>,
    /// MONOCHROME1: low samples are white.
    pub inverted: bool,
    /// Lossy compression was used on the way (0028,2110).
    pub lossy: bool,
    /// SOP Instance UIDs in slice order where DICOM gave them, for provenance.
    pub instance_uids: Vec<String>,
    /// Frame of Reference UID (0020,0052): volumes with the same one share their places in the patient.
    pub frame_of_reference: Option<String>,
    /// Why no other plane than the acquired one can be cut, where the slices do not make an even grid.
    pub planes_off: Option<Note>,
    /// What the reader wants the user to know: uneven spacing, missing slices, tilt.
    pub notes: Vec<Note>,
}

impl Volume {
    /// Voxels on a known grid, of which nothing more is known. The samples are as stored.
    pub fn new(size: [usize; 3], voxels: Voxels, patient_from_voxel: Affine) -> Self {
        Self {
            size,
            voxels,
            rescale: vec![Rescale::NONE],
            patient_from_voxel,
            calibrated: true,
            scale: Scale::Patient,
            sides: None,
            unit: None,
            padding: None,
            thickness_mm: None,
            modality: Modality::Unknown,
            body_part: None,
            windows: Vec::new(),
            voi_tables: Arc::default(),
            inverted: false,
            lossy: false,
            instance_uids: Vec::new(),
            frame_of_reference: None,
            planes_off: None,
            notes: Vec::new(),
        }
    }

    /// Why a plane cannot be cut.
    ///
    /// # Errors
    /// The reason, for a disabled button.
    pub fn check_plane(&self, plane: Plane) -> Result<(), Note> {
        if plane == self.acquired_plane() {
            return Ok(());
        }
        if let Some(why) = &self.planes_off {
            return Err(why.clone());
        }
        if self.size.contains(&1) {
            return Err(Note::SingleSlice);
        }
        Ok(())
    }

    /// Do places in the patient mean the same in both volumes? Files that name no frame of reference are believed.
    pub fn shares_space_with(&self, other: &Self) -> bool {
        let named = self
            .frame_of_reference
            .as_ref()
            .zip(other.frame_of_reference.as_ref());
        self.calibrated && other.calibrated && named.is_none_or(|(a, b)| a == b)
    }

    /// The plane in which it was acquired.
    pub fn acquired_plane(&self) -> Plane {
        let nearest = self.patient_from_voxel.nearest_axes();
        match nearest.iter().position(|(axis, _)| *axis == 2) {
            Some(0) => Plane::Sagittal,
            Some(1) => Plane::Coronal,
            _ => Plane::Axial,
        }
    }

    /// For right, down, through: (voxel axis, run backwards).
    pub fn voxel_axes(&self, plane: Plane) -> [(usize, bool); 3] {
        let nearest = self.patient_from_voxel.nearest_axes();
        plane.axes().map(|(patient_axis, backwards)| {
            let (axis, flipped) = nearest[patient_axis];
            (axis, flipped != backwards)
        })
    }

    /// Slices along a plane.
    pub fn slice_count(&self, plane: Plane) -> usize {
        self.size[self.voxel_axes(plane)[2].0]
    }

    /// Columns and rows of a slice.
    pub fn slice_size(&self, plane: Plane) -> [usize; 2] {
        let [right, down, _] = self.voxel_axes(plane);
        [self.size[right.0], self.size[down.0]]
    }

    /// The voxel (i, j, k) shown at column `x`, row `y` of a slice.
    pub fn voxel_at(&self, plane: Plane, index: usize, x: usize, y: usize) -> [usize; 3] {
        self.voxel_along(self.voxel_axes(plane), [x, y, index])
    }

    fn voxel_along(&self, axes: [(usize, bool); 3], at: [usize; 3]) -> [usize; 3] {
        let mut voxel = [0; 3];
        for ((axis, backwards), at) in axes.into_iter().zip(at) {
            let last = self.size[axis].saturating_sub(1);
            let at = at.min(last);
            voxel[axis] = if backwards { last - at } else { at };
        }
        voxel
    }

    /// Position of a voxel in [`Self::voxels`].
    pub fn offset(&self, [i, j, k]: [usize; 3]) -> usize {
        (k * self.size[1] + j) * self.size[0] + i
    }

    /// The rescaled sample of a voxel (HU for CT); not a number where it is padding.
    pub fn sample(&self, voxel: [usize; 3]) -> f32 {
        self.rescaled(self.voxels.get(self.offset(voxel)), voxel[2])
    }

    /// A stored value of slice `k`, rescaled; not a number where it is padding.
    pub(super) fn rescaled(&self, stored: f32, k: usize) -> f32 {
        if self.pads(stored) {
            return f32::NAN;
        }
        let Rescale { slope, intercept } = self.rescale_of(k);
        stored * slope + intercept
    }

    /// Does a stored value stand for no image (PS3.3 C.7.5.1.1.2)?
    pub fn pads(&self, stored: f32) -> bool {
        self.padding
            .is_some_and(|[low, high]| (low..=high).contains(&stored))
    }

    /// Samples lie between whole numbers: real numbers, or integers times a fraction.
    pub fn fractional(&self) -> bool {
        let whole = |rescale: &Rescale| rescale.slope.fract() == 0.0;
        matches!(self.voxels, Voxels::F32(_)) || !self.rescale.iter().all(whole)
    }

    /// The rescale of slice `k`.
    pub fn rescale_of(&self, k: usize) -> Rescale {
        let one = self.rescale.get(k).or(self.rescale.first());
        one.copied().unwrap_or(Rescale::NONE)
    }

    /// Patient position of a voxel, LPS mm.
    pub fn position_mm(&self, voxel: [usize; 3]) -> [f64; 3] {
        self.patient_from_voxel.apply(voxel.map(|v| v as f64))
    }

    /// The window to begin with: the file's first, or the 0.1 to 99.9 percentile of all samples.
    pub fn default_window(&self) -> Window {
        if let Some(first) = self.windows.first() {
            return first.window;
        }
        self.automatic_window()
    }

    /// The window from the 0.1 to the 99.9 percentile of the samples.
    pub fn automatic_window(&self) -> Window {
        let count = self.voxels.len();
        let stride = (count / 100_000).max(1) | 1; // odd, so that it does not walk along one column
        let area = (self.size[0] * self.size[1]).max(1);
        let sample = |index: usize| self.rescaled(self.voxels.get(index), index / area);
        let samples: Vec<f32> = (0..count).step_by(stride).map(sample).collect();
        if self.fractional() {
            Window::automatic_exact(&samples)
        } else {
            Window::automatic(&samples)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::error::ImagingError;

    /// 2 x 3 x 4 voxels with sample = 100 i + 10 j + k, stored in RAS order (as NIfTI files usually are).
    fn ras_volume() -> Volume {
        let mut voxels = Vec::new();
        for k in 0..4_i16 {
            for j in 0..3 {
                for i in 0..2 {
                    voxels.push(100 * i + 10 * j + k);
                }
            }
        }
        let rows = [
            [-1.0, 0.0, 0.0, 0.0],
            [0.0, -2.0, 0.0, 0.0],
            [0.0, 0.0, 3.0, 0.0],
        ];
        Volume::new([2, 3, 4], Voxels::I16(voxels), Affine(rows))
    }

    #[test]
    fn an_axial_slice_of_a_ras_file_has_the_patients_left_on_the_right() {
        let slice = ras_volume().slice(Plane::Axial, 1).unwrap();
        assert_eq!(
            (slice.right.letters(), slice.down.letters()),
            ("L".to_owned(), "P".to_owned())
        );
        assert_eq!(slice.samples, [121.0, 21.0, 111.0, 11.0, 101.0, 1.0]);
        assert_eq!(slice.spacing_mm, [1.0, 2.0]);
    }

    #[test]
    fn coronal_and_sagittal_slices_have_the_head_on_top() {
        let volume = ras_volume();
        let coronal = volume.slice(Plane::Coronal, 0).unwrap();
        assert_eq!(
            (coronal.right.letters(), coronal.down.letters()),
            ("L".to_owned(), "I".to_owned())
        );
        assert_eq!(coronal.samples[..2], [123.0, 23.0]); // j = 2 is the most anterior, k = 3 the highest
        let sagittal = volume.slice(Plane::Sagittal, 0).unwrap();
        assert_eq!(
            (sagittal.right.letters(), sagittal.down.letters()),
            ("P".to_owned(), "I".to_owned())
        );
        assert_eq!(sagittal.samples[..3], [123.0, 113.0, 103.0]);
        assert!(matches!(
            volume.slice(Plane::Sagittal, 2),
            Err(ImagingError::NoSlice { asked: 3, count: 2 })
        ));
    }
}
