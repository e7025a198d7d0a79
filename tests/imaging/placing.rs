//! Where slices lie and how far their pixels are apart, by files that say it in part, oddly or wrongly.

use engine::imaging::measure::{Reading, Shape, measure};
use engine::imaging::{Scale, SliceAt};

use super::dicom::series;
use super::*;

/// Of a line over three columns and no row.
fn length_of(volume: &Volume) -> Option<f64> {
    let shape = Shape::Length([[0.0, 1.0], [3.0, 1.0]]);
    match measure(
        volume,
        SliceAt::acquired(volume.acquired_plane(), 0),
        &shape,
    ) {
        Reading::Length { mm, .. } => mm,
        other => panic!("{other:?}"),
    }
}

#[test]
fn slices_shifted_sideways_make_no_planes_across() {
    let stack = |shift: f64| {
        let slices: Vec<Dicom> = (0..5)
            .map(|k| {
                let mut slice = Dicom::ct_slice(k, 2.0 * k as f64);
                let x = if k == 2 { shift } else { 0.0 };
                slice.position([x - 10.0, 20.0, 2.0 * k as f64]);
                slice
            })
            .collect();
        series(&slices)
    };
    let folder = stack(8.0);
    let volume = only_volume(folder.path());
    let why = volume.check_plane(Plane::Coronal).unwrap_err().to_string();
    assert!(why.contains("shifted sideways by up to 8.00 mm"), "{why}");
    assert!(volume.calibrated && volume.check_plane(Plane::Axial).is_ok());
    // A rounded position is no shift.
    let folder = stack(0.03);
    let volume = only_volume(folder.path());
    assert_eq!(volume.check_plane(Plane::Coronal), Ok(()));
}

#[test]
fn a_pixel_aspect_ratio_shapes_pixels_and_is_no_length() {
    let mut slice = Dicom::ct_slice(1, 0.0);
    slice.remove(0x0028_0030).text(0x0028_0034, "IS", "2\\1");
    let folder = series(&[slice]);
    let scan = scan_one(folder.path()).unwrap();
    assert_eq!(scan.series[0].spacing_mm, None);
    let volume = only_volume(folder.path());
    assert_eq!((volume.calibrated, volume.scale), (false, Scale::Unknown));
    assert_eq!(length_of(&volume), None);
    let view = ViewDescriptor::new(Plane::Axial, 0, Window::linear(0.0, 10.0));
    let picture = render(&volume, &view).unwrap();
    assert_eq!((picture.width(), picture.height()), (4, 6)); // 3 rows, twice as high as wide
}

#[test]
fn a_projection_with_a_spacing_is_measured_in_mm_and_says_where() {
    let projection = |tag: u32| {
        let mut file = Dicom::ct_slice(1, 0.0);
        file.text(0x0008_0060, "CS", "CR")
            .remove(0x0020_0032)
            .remove(0x0020_0037)
            .remove(0x0028_0030)
            .text(tag, "DS", "0.5\\0.25")
            .text(0x0020_0020, "CS", "L\\FA");
        only_volume(series(&[file]).path())
    };
    let volume = projection(0x0028_0030);
    assert_eq!((volume.calibrated, volume.scale), (false, Scale::Patient));
    assert_eq!(length_of(&volume), Some(0.75));
    let sides = volume.sides.unwrap().map(|side| side.letters());
    assert_eq!(sides, ["L", "IA"]);
    let volume = projection(0x0018_1164);
    assert_eq!(volume.scale, Scale::Detector);
    assert_eq!(length_of(&volume), Some(0.75));
}

#[test]
fn a_nifti_file_without_an_orientation_is_measured_by_its_voxel_sizes() {
    let folder = folder();
    let path = folder.path().join("a.nii");
    let mut file = Nifti::of_i16([4, 3, 2], &[0; 24]);
    file.pixdim = [0.5, 2.0, 3.0];
    fs::write(&path, file.bytes()).unwrap();
    let volume = only_volume(&path);
    assert_eq!((volume.calibrated, volume.scale), (false, Scale::Patient));
    assert_eq!(length_of(&volume), Some(1.5));
    file.pixdim = [0.0, 2.0, 3.0];
    fs::write(&path, file.bytes()).unwrap();
    assert_eq!(length_of(&only_volume(&path)), None);
}

/// 3 frames of 2 x 2 dose points, 2.5 mm apart.
fn dose(offsets: &str) -> Arc<Volume> {
    let mut file = Dicom::ct_slice(1, 0.0);
    file.text(0x0008_0060, "CS", "RTDOSE")
        .text(0x0028_0008, "IS", "3")
        .text(0x3004_0002, "CS", "GY")
        .text(0x3004_000C, "DS", offsets)
        .text(0x3004_000E, "DS", "0.001")
        .position([0.0, 0.0, 40.0])
        .size(2, 2)
        .bits(16, 16, false)
        .pixels_i16(&[0, 0, 0, 0, 500, 0, 0, 0, 2000, 0, 0, 0]);
    only_volume(series(&[file]).path())
}

#[test]
fn a_dose_grid_has_its_frames_places_and_gray() {
    for offsets in ["0\\2.5\\5", "40\\42.5\\45"] {
        let volume = dose(offsets);
        assert!(volume.calibrated, "{offsets}");
        assert_eq!(volume.check_plane(Plane::Coronal), Ok(()), "{offsets}");
        assert_eq!(volume.position_mm([0, 0, 2]), [0.0, 0.0, 45.0]);
        let doses = [0, 1, 2].map(|k| volume.sample([0, 0, k]));
        assert!((doses[1] - 0.5).abs() < 1e-6 && (doses[2] - 2.0).abs() < 1e-6);
        assert_eq!(volume.unit.as_deref(), Some("Gy"));
    }
    // Offsets that do not fit the frames place nothing.
    assert!(dose("0\\2.5").check_plane(Plane::Coronal).is_err());
    assert!(dose("0\\2.5\\25").planes_off.is_some());
}

#[test]
fn a_header_of_an_image_without_pixels_is_a_damaged_file() {
    let mut cut = Dicom::ct_slice(1, 0.0);
    cut.remove(0x7FE0_0010);
    let folder = series(&[cut, Dicom::ct_slice(2, 0.0)]);
    let scan = scan_one(folder.path()).unwrap();
    assert_eq!((scan.series.len(), scan.skipped[0].kind), (1, "damaged"));
    assert!(scan.skipped[0].why.contains("ends before its pixel data"));
}
