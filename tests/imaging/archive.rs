//! ZIP archives: read like folders, and what is hostile in them is refused.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (number, (name, bytes)) in files.iter().enumerate() {
        let method = [CompressionMethod::Deflated, CompressionMethod::Stored][number % 2];
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn slices() -> Vec<(String, Vec<u8>)> {
    (0..5)
        .map(|k| (format!("disc/IM{k}"), Dicom::ct_slice(k, k as f64).bytes()))
        .collect()
}

#[test]
fn an_archive_is_read_like_a_folder() {
    let slices = slices();
    let nifti = Nifti::of_i16([2, 1, 1], &[7, 8]).bytes();
    let mut png = Cursor::new(Vec::new());
    image::RgbImage::from_pixel(3, 2, image::Rgb([9, 8, 7]))
        .write_to(&mut png, image::ImageFormat::Png)
        .unwrap();
    let mut files: Vec<(&str, &[u8])> = vec![
        ("notes.txt", b"no image"),
        ("brain.nii", &nifti),
        ("photo.png", png.get_ref()),
    ];
    files.extend(
        slices
            .iter()
            .map(|(name, bytes)| (name.as_str(), &bytes[..])),
    );
    let folder = folder();
    let path = folder.path().join("study.ZIP");
    fs::write(&path, zip_of(&files)).unwrap();
    // Opened itself, or found in a folder.
    for opened in [path.as_path(), folder.path()] {
        let scan = scan_one(opened).unwrap();
        let mut sizes: Vec<_> = scan.series.iter().map(|series| series.size).collect();
        sizes.sort();
        assert_eq!(sizes, [[2, 1, 1], [3, 2, 1], [4, 3, 5]]);
        assert_eq!(scan.skipped.len(), 1, "{:?}", scan.skipped);
        for series in &scan.series {
            match load(series).unwrap() {
                Loaded::Volume(volume) if volume.size == [2, 1, 1] => {
                    assert_eq!(volume.sample([1, 0, 0]), 8.0);
                }
                Loaded::Volume(volume) => assert_eq!(volume.position_mm([0, 0, 4])[2], 4.0),
                Loaded::Frames(frames) => assert_eq!(frames.at(0).get_pixel(2, 1).0, [9, 8, 7]),
            }
        }
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "something was written"
    );
}

#[test]
fn a_name_that_leads_out_of_the_archive_is_not_read() {
    let slices = slices();
    let inside = &slices[0].1;
    let outside = Dicom::ct_slice(9, 9.0).bytes();
    let folder = folder();
    let path = folder.path().join("study.zip");
    let bytes = zip_of(&[
        ("../../IM9", &outside),
        ("a/../IM9", &outside),
        ("c:\\IM9", &outside),
        ("IM0", inside),
    ]);
    fs::write(&path, bytes).unwrap();
    let scan = scan_one(&path).unwrap();
    assert_eq!(scan.series.len(), 1);
    assert_eq!(scan.series[0].size, [4, 3, 1]);
    let why = &scan.skipped[0].why;
    assert!(why.contains("3 files of this archive"), "{why}");
}

#[test]
fn a_bomb_is_refused_by_what_it_says_of_itself() {
    let folder = folder();
    let path = folder.path().join("bomb.zip");
    let mut bytes = zip_of(&[("IM0", &slices()[0].1)]);
    // The central directory says that IM0 inflates to nearly 4 GiB.
    let central = bytes
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    bytes[central + 24..central + 28].copy_from_slice(&0xFFFF_FFF0_u32.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let error = scan_one(&path).unwrap_err();
    assert_eq!(error.kind(), "unsupported");
    assert!(error.to_string().contains("inflate to 3 GiB"), "{error}");
}

#[test]
fn a_lie_about_a_length_and_every_cut_are_refused() {
    let folder = folder();
    let path = folder.path().join("study.zip");
    let whole = zip_of(&[("IM0", &slices()[0].1)]);
    let central = whole
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    let mut longer = whole.clone();
    longer[central + 24] ^= 1;
    fs::write(&path, &longer).unwrap();
    let error = scan_one(&path).unwrap_err();
    assert!(["damaged", "no-images"].contains(&error.kind()), "{error}");
    for length in (4..whole.len()).step_by(7) {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(scan_one(&path).is_err(), "{length} bytes opened");
    }
    let mut flipped = whole.clone();
    flipped[60] ^= 0x55;
    fs::write(&path, &flipped).unwrap();
    assert!(scan_one(&path).is_err());
}
