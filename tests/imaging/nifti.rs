//! NIfTI: data types, byte orders, pairs, gzip, scaling, and headers that lie.

use std::io::Write;

use super::*;

fn write(bytes: &[u8], name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = folder();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn samples(volume: &Volume) -> Vec<f32> {
    (0..volume.voxels.len())
        .map(|index| volume.voxels.get(index))
        .collect()
}

#[test]
fn every_number_type_is_read_in_both_byte_orders_and_versions() {
    // The values -2, 3 and the largest that i8 holds, as each type writes them.
    type Write = fn(f64) -> Vec<u8>;
    let types: [(i16, &str, Write); 10] = [
        (2, "U8", |x| vec![x as u8]),
        (256, "I16", |x| vec![x as i8 as u8]),
        (4, "I16", |x| (x as i16).to_le_bytes().to_vec()),
        (512, "U16", |x| (x as u16).to_le_bytes().to_vec()),
        (8, "I32", |x| (x as i32).to_le_bytes().to_vec()),
        (768, "I32", |x| (x as u32).to_le_bytes().to_vec()),
        (1024, "I32", |x| (x as i64).to_le_bytes().to_vec()),
        (1280, "I32", |x| (x as u64).to_le_bytes().to_vec()),
        (16, "F32", |x| (x as f32).to_le_bytes().to_vec()),
        (64, "F32", |x| x.to_le_bytes().to_vec()),
    ];
    for (datatype, kind, encode) in types {
        let signed = [256, 4, 8, 1024, 16, 64].contains(&datatype);
        let values = [if signed { -2.0 } else { 2.0 }, 3.0, 127.0];
        for (big_endian, two) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut file = Nifti::of_i16([3, 1, 1], &[0; 3]);
            (file.datatype, file.big_endian, file.two) = (datatype, big_endian, two);
            file.voxels = values
                .iter()
                .flat_map(|value| {
                    let mut word = encode(*value);
                    if big_endian {
                        word.reverse();
                    }
                    word
                })
                .collect();
            let (_folder, path) = write(&file.bytes(), "types.nii");
            let volume = only_volume(&path);
            assert_eq!(
                samples(&volume),
                values.map(|x| x as f32),
                "type {datatype}"
            );
            let name = format!("{:?}", volume.voxels);
            assert!(name.starts_with(kind), "type {datatype} is {name}");
        }
    }
}

#[test]
fn integers_too_large_for_32_bits_become_real_numbers() {
    let mut file = Nifti::of_i16([2, 1, 1], &[0; 2]);
    file.datatype = 1024;
    file.voxels = [5_i64, 1 << 40]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let (_folder, path) = write(&file.bytes(), "wide.nii");
    let volume = only_volume(&path);
    assert!(matches!(volume.voxels, Voxels::F32(_)));
    assert_eq!(samples(&volume), [5.0, (1_u64 << 40) as f32]);
}

#[test]
fn a_slope_scales_and_a_slope_of_zero_or_nan_does_not() {
    for (slope, intercept, expected) in [
        (2.0, -1024.0, -824.0),
        (0.0, 5.0, 100.0),
        (f64::NAN, 5.0, 100.0),
    ] {
        let mut file = Nifti::of_i16([1, 1, 1], &[100]);
        file.scaling = (slope, intercept);
        let (_folder, path) = write(&file.bytes(), "scaled.nii");
        assert_eq!(
            only_volume(&path).sample([0, 0, 0]),
            expected,
            "slope {slope}"
        );
    }
}

#[test]
fn lengths_in_metres_and_micrometres_become_mm() {
    for (units, mm) in [(1, 2000.0), (2, 2.0), (3, 0.002), (0, 2.0)] {
        let mut file = Nifti::of_i16([1, 1, 1], &[0]);
        (file.pixdim, file.units) = ([2.0; 3], units);
        let (_folder, path) = write(&file.bytes(), "units.nii");
        let spacing = only_volume(&path).patient_from_voxel.spacing_mm();
        assert!((spacing[0] - mm).abs() < 1e-9, "unit {units}: {spacing:?}");
    }
}

#[test]
fn a_pair_is_one_series_whether_its_folder_header_or_voxels_are_opened() {
    for zipped in [false, true] {
        let folder = folder();
        let mut file = Nifti::of_i16([2, 1, 1], &[7, 8]);
        file.pair = true;
        let (mut header, mut voxels, mut end) = (file.header(), file.voxels.clone(), "");
        if zipped {
            (header, voxels, end) = (gzip(&header), gzip(&voxels), ".gz");
        }
        let (hdr, img) = (
            folder.path().join(format!("brain.hdr{end}")),
            folder.path().join(format!("brain.img{end}")),
        );
        fs::write(&hdr, header).unwrap();
        fs::write(&img, voxels).unwrap();
        for path in [folder.path(), &hdr, &img] {
            let scan = scan_one(path).unwrap();
            assert_eq!((scan.series.len(), scan.skipped.len()), (1, 0), "{path:?}");
            assert_eq!(samples(&only_volume(path)), [7.0, 8.0]);
        }
        fs::remove_file(&img).unwrap();
        let alone = scan_one(&hdr).unwrap_err();
        assert!(
            alone.to_string().contains(".img file is missing"),
            "{alone}"
        );
    }
}

#[test]
fn of_several_volumes_the_first_is_shown_with_a_note() {
    let mut file = Nifti::of_i16([2, 1, 1], &[1, 2, 3, 4, 5, 6]);
    file.dim = vec![2, 1, 1, 3];
    let (_folder, path) = write(&gzip(&file.bytes()), "time.nii.gz");
    let volume = only_volume(&path);
    assert_eq!(samples(&volume), [1.0, 2.0]);
    assert_eq!(
        volume.notes[0],
        Note::OneOf {
            count: 3,
            number: 1
        }
    );
}

#[test]
fn every_volume_along_the_time_axis_can_be_chosen() {
    let mut file = Nifti::of_i16([2, 1, 1], &[1, 2, 3, 4, 5, 6]);
    file.dim = vec![2, 1, 1, 3];
    for (bytes, name) in [
        (file.bytes(), "time.nii"),
        (gzip(&file.bytes()), "time.nii.gz"),
    ] {
        let (_folder, path) = write(&bytes, name);
        let series = scan_one(&path).unwrap().series.remove(0);
        assert_eq!(series.volumes, 3);
        for (number, expected) in [
            (0, [1.0, 2.0]),
            (1, [3.0, 4.0]),
            (2, [5.0, 6.0]),
            (9, [5.0, 6.0]),
        ] {
            let one = series.volume(number);
            let Loaded::Volume(volume) = load(&one).unwrap() else {
                panic!("a picture where a volume was written");
            };
            assert_eq!(samples(&volume), expected, "{name} {number}");
            assert_eq!(one.id == series.id, number == 0);
            assert_eq!(one.volume(0).id, series.id);
            let shown = format!("number {} is shown", number.min(2) + 1);
            let note = volume.notes[0].to_string();
            assert!(note.ends_with(&shown), "{note}");
        }
    }
    // A file that ends before its last volume is damaged.
    let bytes = file.bytes();
    let (_folder, path) = write(&bytes[..bytes.len() - 2], "cut.nii");
    assert_eq!(scan_one(&path).unwrap_err().kind(), "damaged");
}

#[test]
fn a_name_that_says_ct_does_not_make_it_one() {
    let (_folder, path) = write(&Nifti::of_i16([1, 1, 1], &[0]).bytes(), "head_ct.nii");
    assert_eq!(only_volume(&path).modality, Modality::Unknown);
}

#[test]
fn every_cut_of_a_file_is_refused_and_none_opens_half() {
    let mut file = Nifti::of_i16([4, 3, 2], &(0..24).collect::<Vec<i16>>());
    file.sform = Some([
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
    ]);
    for (whole, name) in [
        (file.bytes(), "cut.nii"),
        (gzip(&file.bytes()), "cut.nii.gz"),
    ] {
        for length in 0..whole.len() {
            let (_folder, path) = write(&whole[..length], name);
            let loaded = scan_one(&path).and_then(|scan| load(&scan.series[0]));
            let error = loaded.expect_err(&format!("{name} opened with {length} bytes"));
            assert!(
                ["damaged", "unsupported"].contains(&error.kind()),
                "{error}"
            );
        }
    }
}

#[test]
fn sizes_that_the_file_cannot_hold_are_refused_before_memory_is_asked_for() {
    let mut file = Nifti::of_i16([1, 1, 1], &[0]);
    file.dim = vec![30_000, 30_000, 30_000];
    for (bytes, name) in [
        (file.bytes(), "lie.nii"),
        (gzip(&file.bytes()), "lie.nii.gz"),
    ] {
        let (_folder, path) = write(&bytes, name);
        let error = scan_one(&path).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("30000 x 30000 x 30000 voxels do not fit"),
            "{error}"
        );
    }
    file.two = true;
    file.dim = vec![i64::MAX, i64::MAX, i64::MAX];
    let (_folder, path) = write(&file.bytes(), "overflow.nii");
    assert_eq!(scan_one(&path).unwrap_err().kind(), "damaged");
}

#[test]
fn zeros_that_a_gzip_bomb_puts_behind_a_small_volume_do_no_harm() {
    let mut bytes = Nifti::of_i16([2, 1, 1], &[1, 2]).bytes();
    bytes.resize(bytes.len() + (96 << 20), 0);
    let (_folder, path) = write(&gzip(&bytes), "bomb.nii.gz");
    assert_eq!(samples(&only_volume(&path)), [1.0, 2.0]);
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    for (datatype, name) in [(32, "complex"), (1536, "128-bit"), (7, "unknown data type")] {
        let mut file = Nifti::of_i16([1, 1, 1], &[0]);
        file.datatype = datatype;
        file.voxels = vec![0; 32];
        let (_folder, path) = write(&file.bytes(), "type.nii");
        let error = scan_one(&path).unwrap_err();
        assert!(
            error.kind() == "unsupported" && error.to_string().contains(name),
            "{error}"
        );
    }
}

#[test]
fn a_flat_rgb_file_is_a_picture() {
    let mut file = Nifti::of_i16([2, 1, 1], &[]);
    file.datatype = 128;
    file.voxels = vec![255, 0, 0, 0, 0, 255];
    let (_folder, path) = write(&file.bytes(), "rgb.nii");
    let scan = scan_one(&path).unwrap();
    let Loaded::Frames(frames) = load(&scan.series[0]).unwrap() else {
        panic!("not a picture");
    };
    // Without an orientation it is mirrored as grey volumes are, and has no letters.
    assert_eq!(frames.at(0).as_raw(), &[0, 0, 255, 255, 0, 0]);
    assert_eq!((frames.sides, frames.spacing_mm), (None, Some([1.0; 2])));
    assert_eq!(frames.notes, [Note::NoSides]);
}

/// The refusal comes before memory is asked for: what a load needs is known from its header.
#[test]
fn a_load_that_does_not_fit_into_memory_is_refused_with_the_numbers() {
    use engine::imaging::memory::with_available;
    let folder = folder();
    let nifti = folder.path().join("a.nii");
    // 1.5 MiB of voxels.
    fs::write(
        &nifti,
        Nifti::of_i16([64, 64, 192], &vec![1; 64 * 64 * 192]).bytes(),
    )
    .unwrap();
    let slices = folder.path().join("slices");
    fs::create_dir(&slices).unwrap();
    for k in 0..3 {
        let mut slice = Dicom::ct_slice(k, k as f64);
        slice.size(512, 512).pixels_i16(&vec![2; 512 * 512]);
        slice.write(&slices.join(k.to_string()));
    }
    for path in [nifti, slices] {
        let series = &scan_one(&path).unwrap().series[0];
        let free = |mib: u64| with_available(mib << 20, || load(series));
        match free(1).unwrap_err() {
            ImagingError::TooLarge {
                needed_mib,
                free_mib,
                ..
            } => {
                assert_eq!((needed_mib, free_mib), (1, 1));
            }
            other => panic!("{other}"),
        }
        assert!(free(8).is_ok());
    }
}
