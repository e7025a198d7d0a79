//! Our DICOM reader against dicom-object and dicom-pixeldata, which share no line with it.

use dicom_dictionary_std::tags;
use dicom_object::open_file;
use dicom_pixeldata::PixelDecoder;

use super::*;

#[test]
fn every_slice_of_the_sample_study_has_the_values_and_the_place_that_dicom_rs_finds() {
    let scan = scan_one(&sample()).unwrap();
    let mut slices = 0;
    for series in &scan.series {
        let Loaded::Volume(volume) = load(series).unwrap() else {
            panic!("a picture where a volume was expected");
        };
        for (k, file) in series.files.iter().enumerate() {
            let object = open_file(file).unwrap();
            let [columns, rows, _] = volume.size;
            let text = |tag| object.element(tag).unwrap().to_str().unwrap().into_owned();
            assert_eq!(text(tags::COLUMNS), columns.to_string());
            assert_eq!(text(tags::ROWS), rows.to_string());
            assert_eq!(
                text(tags::SOP_INSTANCE_UID).trim_end_matches('\0'),
                volume.instance_uids[k]
            );
            let theirs = object
                .element(tags::IMAGE_POSITION_PATIENT)
                .unwrap()
                .to_multi_float64()
                .unwrap();
            for (ours, theirs) in volume.position_mm([0, 0, k]).iter().zip(&theirs) {
                assert!((ours - theirs).abs() < 1e-3, "{ours} mm against {theirs}");
            }
            // Rescaled by dicom-pixeldata's own modality LUT: HU for CT.
            let theirs: Vec<f32> = object.decode_pixel_data().unwrap().to_vec().unwrap();
            assert_eq!(theirs.len(), columns * rows);
            for (i, value) in theirs.iter().enumerate() {
                let ours = volume.sample([i % columns, i / columns, k]);
                assert!(
                    (ours - value).abs() <= 1e-3,
                    "slice {k}, sample {i}: {ours} against {value}"
                );
            }
            slices += 1;
        }
    }
    assert_eq!(slices, 40);
}
