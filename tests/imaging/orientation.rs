//! An asymmetric phantom: each voxel's value is its place in the patient, so that any flip or swap shows.

use super::*;

/// Voxels towards the patient's left, back and head, and their sizes in mm.
const SIZE: [usize; 3] = [5, 4, 3];
const MM: [f64; 3] = [1.0, 2.0, 3.0];

/// The value at a place: hundreds to the left, tens to the back, ones to the head.
fn value(place: [usize; 3]) -> i16 {
    (100 * place[0] + 10 * place[1] + place[2]) as i16
}

/// Voxel axes as (patient axis, runs backwards).
type Axes = [(usize, bool); 3];

/// All 48 ways to lay voxel axes along patient axes.
fn all_axes() -> Vec<Axes> {
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    let flips = |bits: usize| [0, 1, 2].map(|axis| bits >> axis & 1 == 1);
    orders
        .iter()
        .flat_map(|order| (0..8).map(move |bits| [0, 1, 2].map(|i| (order[i], flips(bits)[i]))))
        .collect()
}

/// The place in the patient of a voxel.
fn place(axes: Axes, voxel: [usize; 3]) -> [usize; 3] {
    let mut place = [0; 3];
    for ((axis, backwards), at) in axes.into_iter().zip(voxel) {
        place[axis] = if backwards { SIZE[axis] - 1 - at } else { at };
    }
    place
}

/// Unit vector of a voxel axis, in LPS.
fn direction((axis, backwards): (usize, bool)) -> [f64; 3] {
    let mut direction = [0.0; 3];
    direction[axis] = if backwards { -1.0 } else { 1.0 };
    direction
}

/// LPS mm of a voxel's centre.
fn position(axes: Axes, voxel: [usize; 3]) -> [f64; 3] {
    let place = place(axes, voxel);
    [0, 1, 2].map(|axis| place[axis] as f64 * MM[axis])
}

/// Every plane shows every value where a radiologist expects it, with the letters.
fn assert_right_way_round(volume: &Volume, what: &str) {
    let shown = |plane, x: usize, y: usize, slice: usize| match plane {
        Plane::Axial => [x, y, slice],
        Plane::Coronal => [x, slice, SIZE[2] - 1 - y],
        Plane::Sagittal => [slice, x, SIZE[2] - 1 - y],
    };
    let edges = [("L", "P"), ("L", "I"), ("P", "I")];
    let through = [2, 1, 0];
    for ((plane, edges), through) in Plane::ALL.into_iter().zip(edges).zip(through) {
        assert_eq!(volume.slice_count(plane), SIZE[through], "{what}");
        for index in 0..SIZE[through] {
            let slice = volume.slice(plane, index).unwrap();
            let letters = (slice.right.letters(), slice.down.letters());
            assert_eq!(letters, (edges.0.to_owned(), edges.1.to_owned()), "{what}");
            for (at, sample) in slice.samples.iter().enumerate() {
                let (x, y) = (at % slice.width, at / slice.width);
                let place = shown(plane, x, y, index);
                assert_eq!(
                    *sample,
                    f32::from(value(place)),
                    "{what}, {plane:?} {index} at {x}, {y}"
                );
                let mm = volume.position_mm(volume.voxel_at(plane, index, x, y));
                for axis in 0..3 {
                    assert!(
                        (mm[axis] - place[axis] as f64 * MM[axis]).abs() < 1e-4,
                        "{what}: {mm:?}"
                    );
                }
            }
        }
    }
}

/// 24 orientations (those of HFS, FFS, HFP, FFP, HFDR and FFDL in every plane among them), with 6 orders of file names.
#[test]
fn dicom_is_the_right_way_round_in_every_orientation_and_order_of_files() {
    let orders = [
        [0, 1, 2, 3, 4],
        [4, 3, 2, 1, 0],
        [2, 0, 3, 1, 4],
        [1, 4, 0, 3, 2],
        [3, 2, 4, 0, 1],
        [0, 2, 4, 1, 3],
    ];
    let mut cases = 0;
    for (number, axes) in all_axes().into_iter().enumerate() {
        // Slices are stacked along rows x columns, so only every second case exists in DICOM.
        let [columns, rows, slices] = axes.map(direction);
        let normal = [
            columns[1] * rows[2] - columns[2] * rows[1],
            columns[2] * rows[0] - columns[0] * rows[2],
            columns[0] * rows[1] - columns[1] * rows[0],
        ];
        let order = orders[number % 6];
        let folder = folder();
        let [width, height, depth] = axes.map(|(axis, _)| SIZE[axis]);
        for (k, name) in order.into_iter().enumerate().take(depth) {
            let mut file = Dicom::ct_slice(k, 0.0);
            let pixels: Vec<i16> = (0..width * height)
                .map(|at| value(place(axes, [at % width, at / width, k])))
                .collect();
            file.orientation(columns, rows)
                .position(position(axes, [0, 0, k]))
                .size(width as u16, height as u16)
                .text(
                    0x0028_0030,
                    "DS",
                    &format!("{}\\{}", MM[axes[1].0], MM[axes[0].0]),
                )
                .pixels_i16(&pixels)
                .write(&folder.path().join(format!("{name}.dcm")));
        }
        let volume = only_volume(folder.path());
        assert_eq!(volume.size, [width, height, depth]);
        assert_right_way_round(&volume, &format!("columns {columns:?}, rows {rows:?}"));
        // Along the normal: k = 0 is the slice with the smallest distance.
        let along = if slices == normal { 0 } else { depth - 1 };
        assert_eq!(volume.instance_uids[0], format!("1.2.3.{along}"));
        cases += 1;
    }
    assert_eq!(cases, 48); // 24 orientations, each stacked in both directions
}

/// Quaternion b, c, d and handedness of voxel axes given as RAS columns.
fn quaternion(columns: [[f64; 3]; 3]) -> ([f64; 3], f64) {
    let [i, j, k] = columns;
    let determinant = i[0] * (j[1] * k[2] - j[2] * k[1]) - j[0] * (i[1] * k[2] - i[2] * k[1])
        + k[0] * (i[1] * j[2] - i[2] * j[1]);
    let k = if determinant < 0.0 { k.map(|x| -x) } else { k };
    let r = |row: usize, column: usize| [i, j, k][column][row];
    let trace = r(0, 0) + r(1, 1) + r(2, 2);
    if trace > -0.9 {
        let a = (1.0 + trace).sqrt() / 2.0;
        let numbers = [r(2, 1) - r(1, 2), r(0, 2) - r(2, 0), r(1, 0) - r(0, 1)];
        return (numbers.map(|x| x / (4.0 * a)), determinant);
    }
    // A half turn: the axis is the column of R + 1 that is not zero.
    let axis = (0..3)
        .map(|column| [0, 1, 2].map(|row| r(row, column) + if row == column { 1.0 } else { 0.0 }))
        .find(|axis| axis.iter().any(|x| x.abs() > 0.5))
        .unwrap();
    let length = axis.iter().map(|x| x * x).sum::<f64>().sqrt();
    (axis.map(|x| x / length), determinant)
}

#[test]
fn nifti_is_the_right_way_round_in_all_48_layouts_by_sform_qform_or_both() {
    for axes in all_axes() {
        let size = axes.map(|(axis, _)| SIZE[axis]);
        let mut voxels = Vec::new();
        for k in 0..size[2] {
            for j in 0..size[1] {
                voxels.extend((0..size[0]).map(|i| value(place(axes, [i, j, k]))));
            }
        }
        // RAS: left and back are negative.
        let ras = |v: [f64; 3]| [-v[0], -v[1], v[2]];
        let columns = axes.map(|axis| ras(direction(axis)));
        let sizes = axes.map(|(axis, _)| MM[axis]);
        let origin = ras(position(axes, [0, 0, 0]));
        let sform = [0, 1, 2].map(|row| {
            [
                columns[0][row] * sizes[0],
                columns[1][row] * sizes[1],
                columns[2][row] * sizes[2],
                origin[row],
            ]
        });
        let (bcd, handedness) = quaternion(columns);
        let wrong = ([0.5, 0.5, 0.5], [7.0, 8.0, 9.0], 1.0);
        let mut file = Nifti::of_i16(size, &voxels);
        file.pixdim = sizes;
        let cases = [
            (Some(sform), None),
            (None, Some((bcd, origin, handedness))),
            (Some(sform), Some(wrong)), // sform wins
        ];
        for (number, (sform, qform)) in cases.into_iter().enumerate() {
            (file.sform, file.qform) = (sform, qform);
            file.two = number == 2;
            let folder = folder();
            let path = folder.path().join("phantom.nii");
            fs::write(&path, file.bytes()).unwrap();
            let volume = only_volume(&path);
            assert!(volume.calibrated);
            assert_right_way_round(&volume, &format!("{axes:?}, case {number}"));
        }
        (file.sform, file.qform) = (None, None);
        let folder = folder();
        let path = folder.path().join("phantom.nii");
        fs::write(&path, file.bytes()).unwrap();
        let volume = only_volume(&path);
        assert!(!volume.calibrated);
        assert_eq!(volume.patient_from_voxel.spacing_mm(), sizes);
        assert!(
            volume
                .notes
                .iter()
                .any(|note| note.contains("left and right"))
        );
    }
}
