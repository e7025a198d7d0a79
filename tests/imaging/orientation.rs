//! An asymmetric phantom: each voxel's value is its place in the patient, so that any flip or swap shows.

use workbench::state::{Orientation, VolumeView};
use workbench::view::{edge_directions, probe};

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

/// The same through the viewport: its letters, its read-out, and the pixels of the picture on screen, which is the one
/// the model gets.
fn assert_shown_right_way_round(volume: &Arc<Volume>, what: &str) {
    let edges = [["L", "P"], ["L", "I"], ["P", "I"]];
    let window = Window::from_range(0.0, 450.0);
    for (plane, edges) in Plane::ALL.into_iter().zip(edges) {
        let mut view = VolumeView::new(Arc::clone(volume));
        view.plane = plane;
        view.window = window;
        let letters = edge_directions(&view, Orientation::default())
            .unwrap()
            .map(|edge| edge.letters());
        assert_eq!(letters, edges, "{what}, {plane:?}");
        for index in 0..view.count() {
            view.set_index(index);
            let picture = render(volume, &view.descriptor()).unwrap();
            let [columns, rows] = volume.slice_size(plane);
            for at in 0..columns * rows {
                let [x, y] = [at % columns, at / columns];
                let [left, back, up] = match plane {
                    Plane::Axial => [x, y, index],
                    Plane::Coronal => [x, index, SIZE[2] - 1 - y],
                    Plane::Sagittal => [index, x, SIZE[2] - 1 - y],
                };
                let words = probe::words_at(&view, probe::place_of(&view, [x, y])).unwrap();
                let [l, p, s] =
                    [(left, 0), (back, 1), (up, 2)].map(|(n, axis)| n as f64 * MM[axis]);
                let value = value([left, back, up]);
                let place = format!("L {l:.1}  P {p:.1}  S {s:.1} mm   ");
                assert!(words.starts_with(&place), "{what}: {words} for {place}");
                let read = words.ends_with(&format!("{value} HU"))
                    || words.ends_with(&format!("value {value}"));
                assert!(read, "{what}: {words} for {value}");
                // The picture's pixels are square: the middle of what the sample became.
                let across = |at: usize, len: usize, out: u32| {
                    ((at as f64 + 0.5) * f64::from(out) / len as f64) as u32
                };
                let (across, down) = (
                    across(x, columns, picture.width()),
                    across(y, rows, picture.height()),
                );
                let level = i32::from(picture.get_pixel(across, down).0[0]);
                let wanted = i32::from(window.apply(f32::from(value)));
                // Stretched samples are mixed with their neighbours by up to a quarter of a step.
                let slack =
                    if [picture.width() as usize, picture.height() as usize] == [columns, rows] {
                        0
                    } else {
                        16
                    };
                assert!(
                    (level - wanted).abs() <= slack,
                    "{what}, {plane:?}: {level} for {wanted}"
                );
            }
        }
    }
}

/// What the right, the depth and the far end of the table are in the patient, seen from its foot end
/// (PS3.3 C.7.3.1.1.2): (patient axis, runs backwards).
const POSITIONS: [(&str, Axes); 5] = [
    ("HFS", [(0, false), (1, false), (2, false)]),
    ("FFS", [(0, true), (1, false), (2, true)]),
    ("HFP", [(0, true), (1, true), (2, false)]),
    ("FFP", [(0, false), (1, true), (2, true)]),
    ("HFDR", [(1, false), (0, true), (2, false)]),
];

/// Orders of file names and instance numbers.
const ORDERS: [[usize; 5]; 6] = [
    [0, 1, 2, 3, 4],
    [4, 3, 2, 1, 0],
    [2, 0, 3, 1, 4],
    [1, 4, 0, 3, 2],
    [3, 2, 4, 0, 1],
    [0, 2, 4, 1, 3],
];

/// The phantom as DICOM files whose columns, rows and slices run along these axes.
fn write_series(folder: &Path, axes: Axes, order: [usize; 5]) {
    let [columns, rows, _] = axes.map(direction);
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
            .write(&folder.join(format!("{name}.dcm")));
    }
}

/// 6 orders of slices, 3 planes of the gantry, 5 positions of the patient.
#[test]
fn dicom_is_shown_the_right_way_round_in_every_order_plane_and_patient_position() {
    let opposite = |(axis, backwards): (usize, bool)| (axis, !backwards);
    let mut cases = 0;
    for (name, [right, down, far]) in POSITIONS {
        let planes = [
            [right, down, far],
            [right, opposite(far), down],
            [down, opposite(far), right],
        ];
        for (plane, axes) in planes.into_iter().enumerate() {
            for (number, order) in ORDERS.into_iter().enumerate() {
                let folder = folder();
                write_series(folder.path(), axes, order);
                let volume = only_volume(folder.path());
                let what = format!("{name}, plane {plane}, order {number}");
                assert_right_way_round(&volume, &what);
                assert_shown_right_way_round(&volume, &what);
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 90);
}

/// 24 orientations (those of HFS, FFS, HFP, FFP, HFDR and FFDL in every plane among them), with 6 orders of file names.
#[test]
fn dicom_is_the_right_way_round_in_every_orientation_and_order_of_files() {
    let mut cases = 0;
    for (number, axes) in all_axes().into_iter().enumerate() {
        // Slices are stacked along rows x columns, so only every second case exists in DICOM.
        let [columns, rows, slices] = axes.map(direction);
        let normal = [
            columns[1] * rows[2] - columns[2] * rows[1],
            columns[2] * rows[0] - columns[0] * rows[2],
            columns[0] * rows[1] - columns[1] * rows[0],
        ];
        let folder = folder();
        let [width, height, depth] = axes.map(|(axis, _)| SIZE[axis]);
        write_series(folder.path(), axes, ORDERS[number % 6]);
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
            assert_shown_right_way_round(&volume, &format!("{axes:?}, case {number}"));
        }
        (file.sform, file.qform) = (None, None);
        let folder = folder();
        let path = folder.path().join("phantom.nii");
        fs::write(&path, file.bytes()).unwrap();
        let volume = only_volume(&path);
        assert!(!volume.calibrated);
        assert_eq!(volume.patient_from_voxel.spacing_mm(), sizes);
        assert!(volume.notes.contains(&Note::NoSides));
    }
}
