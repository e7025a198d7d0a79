//! Where pixels lie by what only some files say: the offsets of a dose grid, and the sides of a projection.

use dicom_dictionary_std::tags;

use super::dataset::DataSet;
use super::header::Frame;
use crate::imaging::geometry::{Direction, cross, length, normalised};

/// Places the frames of a dose grid by Grid Frame Offset Vector (3004,000C): distances from the first frame along the
/// normal, or, where the first is not 0, patient coordinates (PS3.3 C.8.8.3.2).
pub fn place_in_grid(set: &DataSet<'_>, frames: &mut [Frame]) {
    let offsets = set.numbers(tags::GRID_FRAME_OFFSET_VECTOR);
    let position: Option<[f64; 3]> = set
        .numbers(tags::IMAGE_POSITION_PATIENT)
        .first_chunk()
        .copied();
    let finite = offsets
        .iter()
        .chain(position.iter().flatten())
        .all(|x| x.is_finite());
    let (Some(position @ [x, y, _]), Some(first)) = (position, offsets.first()) else {
        return;
    };
    if offsets.len() != frames.len() || !finite {
        return;
    }
    for (frame, offset) in frames.iter_mut().zip(&offsets) {
        let Some([columns, rows]) = frame.orientation else {
            return;
        };
        let normal = cross(columns, rows);
        frame.position = Some(if *first == 0.0 {
            [0, 1, 2].map(|axis| position[axis] + normal[axis] * offset)
        } else {
            [x, y, *offset]
        });
    }
}

/// The two directions of Patient Orientation, each of up to three letters, the strongest first (PS3.3 C.7.6.1.1.1).
pub fn sides_of(set: &DataSet<'_>) -> Option<[Direction; 2]> {
    let text = set.text(tags::PATIENT_ORIENTATION);
    let (right, down) = text.split_once('\\')?;
    let direction = |letters: &str| {
        let mut sum = [0.0; 3];
        let mut weight = 1.0;
        for letter in letters.trim().chars() {
            let (axis, sign) = match letter {
                'L' => (0, 1.0),
                'R' => (0, -1.0),
                'P' => (1, 1.0),
                'A' => (1, -1.0),
                'H' => (2, 1.0),
                'F' => (2, -1.0),
                _ => return None,
            };
            sum[axis] += sign * weight;
            weight /= 2.0;
        }
        (length(sum) > 0.0).then(|| Direction(normalised(sum)))
    };
    Some([direction(right)?, direction(down)?])
}
