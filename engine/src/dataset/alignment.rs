//! Do CT and MR of a subject lie on each other? The Dice coefficient of their outlines says it, and a table of shifts mends
//! what a shift can mend, in training data only.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::error::DatasetError;
use super::pairs::{BODY_HU, Subject, all_samples, percentile};
use crate::imaging::Plane;

/// Outlines that agree less are warned of.
pub const POOR_DICE: f64 = 0.85;

/// `2 |A and B| / (|A| + |B|)` of the body in CT (over -300 HU) and in MR (over 12 % of its 99th percentile).
pub fn outline_dice(subject: &Subject) -> f64 {
    let mr = all_samples(&subject.mr);
    let limit = 0.12 * percentile(mr.clone(), 0.99);
    let (mut both, mut sum) = (0_usize, 0_usize);
    for (hu, sample) in all_samples(&subject.ct).into_iter().zip(mr) {
        let (in_ct, in_mr) = (hu > BODY_HU, f64::from(sample) > limit);
        both += usize::from(in_ct && in_mr);
        sum += usize::from(in_ct) + usize::from(in_mr);
    }
    2.0 * both as f64 / sum.max(1) as f64
}

/// Shifts by subject, in voxels: `CT[x, y, z]` matches `MR[x + dx, y + dy, z]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shifts(BTreeMap<String, [i64; 2]>);

impl Shifts {
    /// Reads a table with the columns `subject` and `recommended_shift` (`dx,dy`), parted by tabs.
    ///
    /// # Errors
    /// It cannot be read, lacks a column, or has a line that says no shift.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let text = fs::read_to_string(path).map_err(|error| DatasetError::Read {
            why: error.to_string(),
            path: path.to_owned(),
        })?;
        let wrong = |line: usize, what: &str| DatasetError::Layout {
            line,
            what: what.to_owned(),
            expected: "a table with the columns subject and recommended_shift, parted by tabs",
            path: path.to_owned(),
        };
        let mut lines = text.lines().enumerate();
        let header: Vec<&str> = lines
            .next()
            .map_or("", |(_, line)| line)
            .split('\t')
            .collect();
        let column = |name: &str| header.iter().position(|column| *column == name);
        let (Some(subject), Some(shift)) = (column("subject"), column("recommended_shift")) else {
            return Err(wrong(1, "a column is missing"));
        };
        let mut shifts = BTreeMap::new();
        for (i, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let cells: Vec<&str> = line.split('\t').collect();
            let number = |text: &str| text.trim().parse::<i64>().ok();
            let parsed = cells.get(shift).and_then(|cell| cell.split_once(','));
            let parsed = parsed.and_then(|(dx, dy)| Some([number(dx)?, number(dy)?]));
            let (Some(name), Some(parsed)) = (cells.get(subject), parsed) else {
                return Err(wrong(i + 1, "it has no shift such as 3,-2"));
            };
            let _ = shifts.insert((*name).to_owned(), parsed);
        }
        Ok(Self(shifts))
    }

    /// What to add to a column and a row of an axial CT slice to get to the same place in MR; nothing for a subject that the
    /// table does not name.
    ///
    /// # Errors
    /// The subject's slices are not stored in rows, so that the table's voxels are not theirs.
    pub fn in_picture(&self, subject: &Subject) -> Result<[i64; 2], DatasetError> {
        let Some([dx, dy]) = self.0.get(&subject.name) else {
            return Ok([0, 0]);
        };
        let at = |x, y| subject.ct.voxel_at(Plane::Axial, 0, x, y).map(|v| v as i64);
        let [origin, right, down] = [at(0, 0), at(1, 0), at(0, 1)];
        let step = |to: [i64; 3]| [0, 1, 2].map(|axis: usize| to[axis] - origin[axis]);
        match (step(right), step(down)) {
            ([sx, 0, 0], [0, sy, 0]) => Ok([dx * sx, dy * sy]),
            _ => Err(DatasetError::Pair {
                what: "its slices are not axial, so the shifts do not apply".to_owned(),
                path: subject.name.clone().into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_shifts_is_read_and_a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alignment.tsv");
        fs::write(&path, "subject\ttier\trecommended_shift\nA\tB\t5,-3\n").unwrap();
        let shifts = Shifts::open(&path).unwrap();
        assert_eq!(shifts.0.get("A"), Some(&[5, -3]));
        fs::write(&path, "subject\trecommended_shift\nA\t5,-3\nB\tnone\n").unwrap();
        let error = Shifts::open(&path).unwrap_err();
        assert!(
            matches!(error, DatasetError::Layout { line: 3, .. }),
            "{error}"
        );
    }
}
