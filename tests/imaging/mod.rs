//! Scans from files: which series there are, where they lie in the patient, and what broken files end in.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::ImagingError;
use engine::imaging::{
    Differs, Loaded, Modality, Note, Plane, Scan, SeriesInfo, ViewDescriptor, Volume, Voxels,
    Window, load_series, render, scan,
};

use crate::fixtures::{Dicom, Nifti, item_set};

mod archive;
mod colour;
mod corpus;
mod damage;
mod dicom;
mod encodings;
mod fuzz;
mod nifti;
mod orientation;
mod padding;
mod placing;
mod second_reader;
mod voi;

/// Scans one path without progress.
fn scan_one(path: &Path) -> Result<Scan, ImagingError> {
    scan(&[path.to_owned()], &mut |_, _| ControlFlow::Continue(()))
}

/// Loads without progress.
fn load(series: &SeriesInfo) -> Result<Loaded, ImagingError> {
    load_series(series, &mut |_, _| ControlFlow::Continue(()))
}

/// The one series of a path, as a volume.
fn only_volume(path: &Path) -> Arc<Volume> {
    let scan = scan_one(path).unwrap();
    assert_eq!(scan.series.len(), 1, "{:?} {:?}", scan.series, scan.skipped);
    match load(&scan.series[0]).unwrap() {
        Loaded::Volume(volume) => volume,
        Loaded::Frames(_) => panic!("a picture where a volume was written"),
    }
}

/// A folder for a test's files, gone when it is dropped.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The sample study in the repository.
fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/samples/limb")
}

#[test]
fn the_sample_study_is_a_ct_and_an_mr_series_of_one_patient() {
    let scan = scan_one(&sample()).unwrap();
    let found: Vec<_> = scan
        .series
        .iter()
        .map(|series| (series.modality.code().to_owned(), series.size))
        .collect();
    assert_eq!(
        found,
        [
            ("CT".to_owned(), [191, 174, 20]),
            ("MR".to_owned(), [154, 162, 20])
        ]
    );
    assert_eq!(scan.series[0].study, scan.series[1].study);
    assert!(scan.series.iter().all(|series| series.notes.is_empty()));
    // The README, the licence and the list of checksums are named, not silently passed over.
    assert_eq!(scan.skipped.len(), 3);
    let volumes: Vec<_> = scan
        .series
        .iter()
        .map(|series| load(series).unwrap())
        .collect();
    let [Loaded::Volume(ct), Loaded::Volume(mr)] = &volumes[..] else {
        panic!("not two volumes");
    };
    // CT and MR lie at the same table positions within 0.005 mm.
    let (ct_first, mr_first) = (ct.position_mm([0, 0, 0]), mr.position_mm([0, 0, 0]));
    assert!((ct_first[2] - -814.23).abs() < 1e-6 && (ct_first[2] - mr_first[2]).abs() < 0.005);
    assert_eq!(ct.acquired_plane(), Plane::Axial);
    let hu = (0..ct.voxels.len()).map(|index| ct.voxels.get(index));
    assert_eq!(hu.clone().fold(f32::MAX, f32::min), -1000.0);
    assert_eq!(hu.fold(f32::MIN, f32::max), 1514.0);
    assert_eq!(ct.instance_uids.len(), 20);
}

#[test]
fn a_patients_name_is_in_no_debug_text_json_or_message() {
    let folder = folder();
    for number in 0..2 {
        let path = folder.path().join(format!("{number}.dcm"));
        Dicom::ct_slice(number, number as f64).write(&path);
    }
    let scan = scan_one(folder.path()).unwrap();
    let series = &scan.series[0];
    assert_eq!(series.patient.name, "Phantom, Test");
    assert_eq!(series.patient.study_date, "2024-02-29");
    let json = serde_json::to_string(&scan).unwrap();
    let debug = format!("{scan:?}");
    for text in [json, debug] {
        for secret in ["Phantom, Test", "Phantom^Test", "T-1", "2024", "1.2.3."] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn a_folder_without_images_and_a_path_that_is_not_there_are_told_apart() {
    let folder = folder();
    fs::write(folder.path().join("letter.txt"), "no image").unwrap();
    let none = scan_one(folder.path()).unwrap_err();
    assert!(
        matches!(none, ImagingError::NoImages { files: 1, .. }),
        "{none}"
    );
    let mut cut = Dicom::ct_slice(1, 0.0).bytes();
    cut.truncate(cut.len() - 9);
    fs::write(folder.path().join("cut.dcm"), cut).unwrap();
    let damaged = scan_one(folder.path()).unwrap_err().to_string();
    assert!(
        damaged.contains("2 files looked at, 1 damaged"),
        "{damaged}"
    );
    let missing = scan_one(&folder.path().join("nothing")).unwrap_err();
    assert_eq!(missing.kind(), "io");
    // A single file is told what is wrong with it, not that a folder is empty.
    let single = scan_one(&folder.path().join("letter.txt")).unwrap_err();
    assert_eq!(single.kind(), "unsupported");
}

#[test]
fn scanning_and_loading_stop_when_they_are_told_to() {
    let folder = folder();
    for number in 0..9 {
        let path = folder.path().join(format!("{number}.dcm"));
        Dicom::ct_slice(number, number as f64).write(&path);
    }
    let paths = [folder.path().to_owned()];
    let mut calls = 0;
    let stopped = scan(&paths, &mut |done, all| {
        calls += 1;
        assert_eq!(all, 9);
        if done == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(stopped, Err(ImagingError::Stopped)));
    assert_eq!(calls, 4);
    let series = &scan_one(folder.path()).unwrap().series[0];
    let mut seen = Vec::new();
    let stopped = load_series(series, &mut |done, _| {
        seen.push(done);
        if done == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(stopped, Err(ImagingError::Stopped)));
    assert_eq!(seen, [0, 1, 2]);
}

#[test]
fn content_decides_and_not_the_files_name() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    Dicom::ct_slice(1, 0.0).write(&at("scan.png"));
    fs::write(at("scan.dcm"), Nifti::of_i16([2, 2, 2], &[0; 8]).bytes()).unwrap();
    image::RgbImage::new(5, 3)
        .save_with_format(at("scan.nii"), image::ImageFormat::Png)
        .unwrap();
    let scan = scan_one(folder.path()).unwrap();
    let mut sizes: Vec<_> = scan
        .series
        .iter()
        .map(|series| (format!("{:?}", series.format), series.size))
        .collect();
    sizes.sort();
    assert_eq!(
        sizes,
        [
            ("Dicom".to_owned(), [4, 3, 1]),
            ("Nifti".to_owned(), [2, 2, 2]),
            ("Picture".to_owned(), [5, 3, 1])
        ]
    );
}
