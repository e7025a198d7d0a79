//! DICOM series: order, values, splits, frames, transfer syntaxes and colours.

use std::io::Write;

use super::*;

/// Writes slices into a folder, named so that their order by name is the reverse of their order here.
fn series(slices: &[Dicom]) -> tempfile::TempDir {
    let folder = folder();
    for (number, slice) in slices.iter().enumerate() {
        slice.write(&folder.path().join(format!("{}.dcm", 1000 - number)));
    }
    folder
}

/// Axial slices 2 mm apart, every pixel of slice k being k.
fn stack(count: usize) -> Vec<Dicom> {
    (0..count)
        .map(|k| {
            let mut slice = Dicom::ct_slice(k, 2.0 * k as f64);
            slice.pixels_i16(&[k as i16; 12]);
            slice
        })
        .collect()
}

fn first_of_slices(volume: &Volume) -> Vec<f32> {
    (0..volume.size[2])
        .map(|k| volume.sample([0, 0, k]))
        .collect()
}

fn note_with(volume: &Volume, words: &str) -> bool {
    volume.notes.iter().any(|note| note.contains(words))
}

#[test]
fn slices_are_in_order_of_position_and_not_of_name_or_number() {
    let mut slices = stack(5);
    for (k, slice) in slices.iter_mut().enumerate() {
        slice.text(0x0020_0013, "IS", &((k * 7) % 5).to_string());
    }
    let folder = series(&slices);
    let volume = only_volume(folder.path());
    assert_eq!(first_of_slices(&volume), [0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(volume.instance_uids[4], "1.2.3.4");
    assert_eq!(volume.position_mm([1, 1, 2]), [-8.0, 21.5, 4.0]); // 2 mm columns, 1.5 mm rows
    assert!(volume.calibrated && volume.notes.is_empty());
    assert_eq!(volume.body_part.as_deref(), Some("HEAD"));
    assert!(matches!(volume.voxels, Voxels::I16(_)));
}

#[test]
fn samples_are_hounsfield_units_by_each_slices_own_rescale() {
    let mut slices = stack(3);
    for (k, slice) in slices.iter_mut().enumerate() {
        slice
            .pixels_i16(&[100; 12])
            .rescale(k as f64 + 1.0, -1024.0);
    }
    let folder = series(&slices);
    let volume = only_volume(folder.path());
    assert_eq!(first_of_slices(&volume), [-924.0, -824.0, -724.0]);
    assert_eq!(volume.slice(Plane::Coronal, 0).unwrap().samples[0], -724.0);
}

#[test]
fn windows_have_their_names_and_a_width_of_zero_is_none() {
    let mut slices = stack(1);
    slices[0]
        .text(0x0028_1050, "DS", "40\\-600\\0")
        .text(0x0028_1051, "DS", "400\\1500\\0")
        .text(0x0028_1055, "LO", "Soft\\");
    let folder = series(&slices);
    let volume = only_volume(folder.path());
    let windows: Vec<_> = volume
        .windows
        .iter()
        .map(|named| (named.name.as_str(), named.window.center, named.window.width))
        .collect();
    assert_eq!(windows, [("Soft", 40.0, 400.0), ("File 2", -600.0, 1500.0)]);
}

#[test]
fn monochrome1_shows_low_samples_white() {
    let mut slice = Dicom::ct_slice(0, 0.0);
    slice
        .text(0x0028_0004, "CS", "MONOCHROME1")
        .pixels_i16(&[0, 0, 0, 0, 0, 0, 0, 0, 100, 100, 100, 100]);
    let folder = series(&[slice]);
    let volume = only_volume(folder.path());
    assert!(volume.inverted);
    let view = ViewDescriptor {
        plane: Plane::Axial,
        index: 0,
        window: Window::from_range(0.0, 100.0),
        invert: false,
    };
    let picture = render(&volume, &view).unwrap();
    let (first, last) = (
        picture.get_pixel(0, 0),
        picture.get_pixel(0, picture.height() - 1),
    );
    assert_eq!((first.0, last.0), ([255; 3], [0; 3]));
}

#[test]
fn only_stored_bits_count_and_signs_are_extended() {
    let mut slice = Dicom::ct_slice(0, 0.0);
    // 12 of 16 bits, an overlay in the upper four.
    let words = [0x0FFF, 0xF001_u16 as i16, 0x7800, 0x0800];
    slice.bits(16, 12, true).size(4, 1).pixels_i16(&words);
    let folder = series(&[slice.clone()]);
    let volume = only_volume(folder.path());
    assert_eq!(
        (0..4).map(|i| volume.voxels.get(i)).collect::<Vec<_>>(),
        [-1.0, 1.0, -2048.0, -2048.0]
    );
    slice.bits(16, 12, false);
    let folder = series(&[slice]);
    let volume = only_volume(folder.path());
    assert!(matches!(volume.voxels, Voxels::U16(_)));
    assert_eq!(
        (0..4).map(|i| volume.voxels.get(i)).collect::<Vec<_>>(),
        [4095.0, 1.0, 2048.0, 2048.0]
    );
}

#[test]
fn a_localiser_in_the_series_is_split_off_and_the_reason_said() {
    let mut slices = stack(3);
    let mut localiser = Dicom::ct_slice(9, 0.0);
    localiser.orientation([1.0, 0.0, 0.0], [0.0, 0.0, -1.0]);
    slices.push(localiser);
    let folder = series(&slices);
    let scan = scan_one(folder.path()).unwrap();
    let mut depths: Vec<_> = scan.series.iter().map(|series| series.size[2]).collect();
    depths.sort_unstable();
    assert_eq!(depths, [1, 3]);
    for series in &scan.series {
        assert_eq!(series.notes, ["split from its series: orientation differs"]);
    }
    assert_ne!(scan.series[0].id, scan.series[1].id);
    assert_eq!(scan.series[0].study, scan.series[1].study);
}

#[test]
fn images_of_other_sizes_and_spacings_are_other_volumes() {
    let mut slices = stack(4);
    slices[1].size(3, 4);
    slices[2].text(0x0028_0030, "DS", "1\\1");
    let folder = series(&slices);
    let scan = scan_one(folder.path()).unwrap();
    let mut notes: Vec<_> = scan
        .series
        .iter()
        .flat_map(|series| series.notes.clone())
        .collect();
    notes.sort();
    notes.retain(|note| note.starts_with("split"));
    assert_eq!(scan.series.len(), 3);
    assert_eq!(
        notes[notes.len() - 1],
        "split from its series: pixel spacing differs"
    );
    assert!(notes.contains(&"split from its series: image size differs".to_owned()));
}

#[test]
fn two_phases_at_each_position_are_two_volumes() {
    let mut slices = Vec::new();
    for phase in 0..2 {
        for k in 0..3 {
            let mut slice = Dicom::ct_slice(10 * phase + k, 2.0 * k as f64);
            slice
                .text(0x0020_0012, "IS", &(phase + 1).to_string())
                .pixels_i16(&[(10 * phase + k) as i16; 12]);
            slices.push(slice);
        }
    }
    let folder = series(&slices);
    let scan = scan_one(folder.path()).unwrap();
    assert_eq!(scan.series.len(), 2);
    assert!(scan.series[0].notes[0].contains("2 images at each position"));
    let mut values: Vec<Vec<f32>> = Vec::new();
    for series in &scan.series {
        let Loaded::Volume(volume) = load(series).unwrap() else {
            panic!("not a volume");
        };
        values.push(first_of_slices(&volume));
    }
    values.sort_by(|a, b| a[0].total_cmp(&b[0]));
    assert_eq!(values, [[0.0, 1.0, 2.0], [10.0, 11.0, 12.0]]);
}

#[test]
fn one_image_in_two_files_is_shown_once() {
    let mut slices = stack(2);
    slices.push(slices[0].clone());
    let folder = series(&slices);
    let scan = scan_one(folder.path()).unwrap();
    assert_eq!((scan.series.len(), scan.series[0].size[2]), (1, 2));
    assert_eq!(scan.skipped[0].kind, "duplicate");
}

#[test]
fn missing_slices_uneven_steps_and_a_tilted_gantry_are_said() {
    let mut slices = stack(6);
    slices.remove(3);
    let folder = series(&slices);
    assert!(note_with(
        &only_volume(folder.path()),
        "slices are missing at 1 places"
    ));

    let mut slices = stack(4);
    slices[1].position([-10.0, 20.0, 2.7]);
    let folder = series(&slices);
    assert!(note_with(
        &only_volume(folder.path()),
        "1.30 to 2.70 mm apart"
    ));

    let mut slices = stack(4);
    for (k, slice) in slices.iter_mut().enumerate() {
        // 10 degrees: 2 mm along z, 2 tan 10 along y.
        slice.position([-10.0, 20.0 + 0.352_653_961 * k as f64, 2.0 * k as f64]);
    }
    let folder = series(&slices);
    let volume = only_volume(folder.path());
    assert!(
        note_with(&volume, "tilted by 10.0 degrees"),
        "{:?}",
        volume.notes
    );
    let [_, y, z] = volume.position_mm([0, 0, 3]);
    assert!((y - 21.057_961_883).abs() < 1e-6 && (z - 6.0).abs() < 1e-6);
}

#[test]
fn without_positions_there_is_order_but_no_geometry() {
    let mut slices = stack(3);
    for slice in &mut slices {
        slice.remove(0x0020_0032).remove(0x0020_0037);
    }
    let folder = series(&slices);
    let volume = only_volume(folder.path());
    assert_eq!(first_of_slices(&volume), [0.0, 1.0, 2.0]);
    assert!(!volume.calibrated && note_with(&volume, "do not say where the slices lie"));
}

/// An enhanced CT: geometry shared, position and rescale by frame, the frames stored out of order.
#[test]
fn frames_of_an_enhanced_image_are_placed_by_their_functional_groups() {
    let heights = [4.0, 0.0, 2.0];
    let mut file = Dicom::ct_slice(1, 0.0);
    file.remove(0x0020_0032)
        .remove(0x0020_0037)
        .remove(0x0028_0030)
        .text(0x0028_0008, "IS", "3");
    let pixels: Vec<i16> = (0..3).flat_map(|frame| [frame * 10; 12]).collect();
    file.pixels_i16(&pixels);
    let within = |tag: u32, fill: fn(&mut Dicom)| {
        move |set: &mut Dicom| {
            set.sequence(tag, &[item_set(fill)]);
        }
    };
    let orientation = within(0x0020_9116, |set| {
        set.orientation([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
    });
    let measures = within(0x0028_9110, |set| {
        set.text(0x0028_0030, "DS", "1.5\\2")
            .text(0x0018_0050, "DS", "2");
    });
    file.sequence(
        0x5200_9229,
        &[item_set(|set| {
            orientation(set);
            measures(set);
        })],
    );
    let frames: Vec<Vec<u8>> = heights
        .iter()
        .enumerate()
        .map(|(number, z)| {
            item_set(|set| {
                let position = item_set(|set| {
                    set.position([-10.0, 20.0, *z]);
                });
                let rescale = item_set(|set| {
                    set.rescale(1.0, 1000.0 * (number as f64 + 1.0));
                });
                set.sequence(0x0020_9113, &[position])
                    .sequence(0x0028_9145, &[rescale]);
            })
        })
        .collect();
    file.sequence(0x5200_9230, &frames);
    let folder = series(&[file]);
    let volume = only_volume(folder.path());
    assert_eq!(volume.size, [4, 3, 3]);
    assert_eq!(first_of_slices(&volume), [2010.0, 3020.0, 1000.0]);
    assert_eq!(volume.position_mm([0, 0, 1]), [-10.0, 20.0, 2.0]);
    assert!(volume.calibrated);
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes of a 16-bit frame as RLE: a header of 16 words and a segment for each byte, all literal runs.
fn rle(values: &[i16]) -> Vec<u8> {
    let segment = |byte: usize| {
        let bytes: Vec<u8> = values
            .iter()
            .map(|value| value.to_be_bytes()[byte])
            .collect();
        let runs = bytes
            .chunks(128)
            .flat_map(|run| [&[run.len() as u8 - 1], run].concat());
        runs.collect::<Vec<u8>>()
    };
    let (high, low) = (segment(0), segment(1));
    let mut header = vec![2, 64, 64 + high.len() as u32];
    header.resize(16, 0);
    let header: Vec<u8> = header
        .iter()
        .flat_map(|word: &u32| word.to_le_bytes())
        .collect();
    [header, high, low].concat()
}

#[test]
fn one_slice_is_the_same_in_every_uncompressed_rle_and_deflated_syntax() {
    let values: Vec<i16> = (0..12).map(|i| i * 300 - 1000).collect();
    let plain = {
        let mut slice = Dicom::ct_slice(1, 5.0);
        slice.pixels_i16(&values).rescale(2.0, -7.0);
        slice
    };
    let mut files: Vec<(&str, Vec<u8>)> = vec![("explicit", plain.bytes())];
    let mut implicit = plain.clone();
    (implicit.transfer_syntax, implicit.explicit) = ("1.2.840.10008.1.2".to_owned(), false);
    files.push(("implicit", implicit.bytes()));
    files.push(("no preamble and no meta group", implicit.data_set()));
    let mut declared_wrongly = implicit.clone();
    declared_wrongly.transfer_syntax = crate::fixtures::EXPLICIT.to_owned();
    files.push(("implicit, declared explicit", declared_wrongly.bytes()));
    let mut big = Dicom::ct_slice(1, 5.0);
    (big.transfer_syntax, big.big_endian) = ("1.2.840.10008.1.2.2".to_owned(), true);
    big.shorts(0x0028_0002, &[1])
        .size(4, 3)
        .bits(16, 16, true)
        .pixels_i16(&values)
        .rescale(2.0, -7.0);
    files.push(("big endian", big.bytes()));
    let mut run_length = plain.clone();
    run_length.fragments("1.2.840.10008.1.2.5", &[&rle(&values)]);
    files.push(("RLE", run_length.bytes()));
    let mut deflated = plain.clone();
    deflated.transfer_syntax = "1.2.840.10008.1.2.1.99".to_owned();
    let (all, set) = (deflated.bytes(), deflated.data_set());
    files.push((
        "deflated",
        [&all[..all.len() - set.len()], &deflate(&set)].concat(),
    ));
    for (name, bytes) in files {
        let folder = folder();
        fs::write(folder.path().join("slice"), bytes).unwrap();
        let volume = only_volume(folder.path());
        let read: Vec<i16> = (0..12)
            .map(|index| volume.voxels.get(index) as i16)
            .collect();
        assert_eq!(read, values, "{name}");
        assert_eq!(volume.sample([0, 0, 0]), -2007.0, "{name}");
        assert_eq!(volume.position_mm([0, 0, 0])[2], 5.0, "{name}");
    }
}

#[test]
fn jpeg_fragments_without_an_offset_table_divide_into_frames() {
    let picture = |level: u8| {
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 100)
            .encode(&[level; 128], 16, 8, image::ExtendedColorType::L8)
            .unwrap();
        bytes
    };
    let (dark, light) = (picture(40), picture(200));
    let mut file = Dicom::ct_slice(1, 0.0);
    let (first, second) = dark.split_at(100);
    file.text(0x0028_0008, "IS", "2")
        .remove(0x0020_0032)
        .size(16, 8)
        .bits(8, 8, false)
        .fragments("1.2.840.10008.1.2.4.50", &[first, second, &light]);
    let folder = series(&[file]);
    let volume = only_volume(folder.path());
    assert!(volume.lossy);
    let means: Vec<f32> = (0..2).map(|k| volume.sample([3, 3, k])).collect();
    assert!(
        (means[0] - 40.0).abs() <= 1.0 && (means[1] - 200.0).abs() <= 1.0,
        "{means:?}"
    );
}

#[test]
fn what_cannot_be_decoded_is_refused_by_name() {
    let refused = |file: &Dicom| {
        let folder = series(std::slice::from_ref(file));
        let scan = scan_one(folder.path()).unwrap();
        load(&scan.series[0]).unwrap_err()
    };
    for (uid, name) in [
        ("1.2.840.10008.1.2.4.90", "JPEG 2000"),
        ("1.2.840.10008.1.2.4.80", "JPEG-LS"),
        ("1.2.840.10008.1.2.4.102", "MPEG"),
        ("1.2.840.10008.1.2.4.201", "High-Throughput"),
        ("1.2.3.4", "unknown transfer syntax"),
    ] {
        let mut file = Dicom::ct_slice(1, 0.0);
        let error = refused(file.fragments(uid, &[&[0; 40]]));
        assert_eq!(error.kind(), "unsupported");
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(uid), "{text}");
    }
    let mut twelve_bits = Dicom::ct_slice(1, 0.0);
    // SOI and an SOF1 segment: 12 bits, 3 rows, 4 columns, 1 component.
    let frame = [0xFF, 0xD8, 0xFF, 0xC1, 0, 11, 12, 0, 3, 0, 4, 1, 1, 0x11, 0];
    let error = refused(twelve_bits.fragments("1.2.840.10008.1.2.4.51", &[&frame]));
    assert!(
        error.to_string().contains("JPEG Extended with 12 bits"),
        "{error}"
    );
    let mut pink = Dicom::ct_slice(1, 0.0);
    let error = refused(pink.text(0x0028_0004, "CS", "PINK"));
    assert!(
        error
            .to_string()
            .contains("photometric interpretation PINK"),
        "{error}"
    );
    let mut odd_bits = Dicom::ct_slice(1, 0.0);
    let error = refused(odd_bits.bits(24, 24, false).size(2, 2));
    assert!(error.to_string().contains("24 bits allocated"), "{error}");
}

#[test]
fn a_dicom_file_without_pixels_holds_no_image() {
    let mut plan = Dicom::ct_slice(1, 0.0);
    plan.text(0x0008_0060, "CS", "RTSTRUCT").remove(0x7FE0_0010);
    let folder = series(&[plan, Dicom::ct_slice(2, 0.0)]);
    let scan = scan_one(folder.path()).unwrap();
    assert_eq!(
        (scan.series.len(), scan.skipped[0].kind),
        (1, "not-an-image")
    );
    assert!(scan.skipped[0].why.contains("RTSTRUCT"));
}

fn colour_file(photometric: &str, planar: u16, bytes: &[u8]) -> Dicom {
    let mut file = Dicom::ct_slice(1, 0.0);
    file.text(0x0028_0004, "CS", photometric)
        .shorts(0x0028_0002, &[3])
        .shorts(0x0028_0006, &[planar])
        .size(2, 1)
        .bits(8, 8, false)
        .set(0x7FE0_0010, "OB", bytes.to_vec());
    file
}

fn picture_of(file: &Dicom) -> Vec<u8> {
    let folder = series(std::slice::from_ref(file));
    let scan = scan_one(folder.path()).unwrap();
    match load(&scan.series[0]).unwrap() {
        Loaded::Picture(picture) => picture.as_raw().clone(),
        Loaded::Volume(_) => panic!("a volume where colours were written"),
    }
}

#[test]
fn colours_come_out_of_pixels_planes_ybr_and_palettes() {
    let red_blue = [255, 0, 0, 0, 0, 255];
    assert_eq!(picture_of(&colour_file("RGB", 0, &red_blue)), red_blue);
    assert_eq!(
        picture_of(&colour_file("RGB", 1, &[255, 0, 0, 0, 0, 255])),
        [255, 0, 0, 0, 0, 255]
    );
    assert_eq!(
        picture_of(&colour_file("RGB", 1, &[1, 2, 3, 4, 5, 6])),
        [1, 3, 5, 2, 4, 6]
    );
    assert_eq!(
        picture_of(&colour_file("YBR_FULL", 0, &[128, 128, 128, 76, 85, 255])),
        [128, 128, 128, 254, 0, 0]
    );
    assert_eq!(
        picture_of(&colour_file("YBR_FULL_422", 0, &[10, 20, 128, 128])),
        [10, 10, 10, 20, 20, 20]
    );
    let mut palette = Dicom::ct_slice(1, 0.0);
    palette
        .text(0x0028_0004, "CS", "PALETTE COLOR")
        .size(2, 1)
        .bits(8, 8, false)
        .set(0x7FE0_0010, "OB", vec![1, 0]);
    for (number, levels) in [[0x0000, 0xFF00], [0x8000, 0x1000], [0x0000, 0x2000]]
        .iter()
        .enumerate()
    {
        let number = number as u32;
        palette.shorts(0x0028_1101 + number, &[2, 0, 16]).set(
            0x0028_1201 + number,
            "OW",
            levels.iter().flat_map(|x: &u16| x.to_le_bytes()).collect(),
        );
    }
    assert_eq!(picture_of(&palette), [0xFF, 0x10, 0x20, 0x00, 0x80, 0x00]);
}

#[test]
fn a_modality_table_takes_the_place_of_the_rescale() {
    let mut slice = Dicom::ct_slice(1, 0.0);
    let table = item_set(|set| {
        set.shorts(0x0028_3002, &[3, 1, 16]).set(
            0x0028_3006,
            "OW",
            [500_u16, 600, 700]
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect(),
        );
    });
    slice
        .sequence(0x0028_3000, &[table])
        .size(4, 1)
        .pixels_i16(&[0, 1, 2, 9]);
    let folder = series(&[slice]);
    let volume = only_volume(folder.path());
    let samples: Vec<f32> = (0..4).map(|i| volume.sample([i, 0, 0])).collect();
    assert_eq!(samples, [500.0, 500.0, 600.0, 700.0]); // values outside take the nearest entry
}
