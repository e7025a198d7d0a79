//! DICOM pixels: transfer syntaxes, colours, tables, and refusals by name.

use std::io::Write;

use super::dicom::series;
use super::*;

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

/// Values that pydicom, dcmtk and GDCM find, whose roundings differ by 1.
#[test]
fn twelve_bits_of_jpeg_extended_are_what_other_decoders_find() {
    let name = "imaging/fixtures/dicom/pydicom/JPGExtended.dcm";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let volume = only_volume(&file);
    assert!(volume.lossy);
    let [columns, rows] = [256, 1024];
    let expected = [1, 1, 49, 61, 8, 21, 56, 22, 1, 30, 25, 1, 1, 1, 1, 1];
    for (k, expected) in expected.into_iter().enumerate() {
        let at = k * (columns * rows - 1) / 15;
        let value = volume.sample([at % columns, at / columns, 0]);
        let difference = (value - expected as f32).abs();
        assert!(difference <= 1.0, "sample {at}: {value}, not {expected}");
    }
}

#[test]
fn what_cannot_be_decoded_is_refused_by_name() {
    let refused = |file: &Dicom| {
        let folder = series(std::slice::from_ref(file));
        let scan = scan_one(folder.path()).unwrap();
        load(&scan.series[0]).unwrap_err()
    };
    for (uid, name) in [
        ("1.2.840.10008.1.2.4.93", "JPEG 2000 part 2"),
        ("1.2.840.10008.1.2.4.110", "JPEG XL"),
        ("1.2.840.10008.1.2.4.102", "MPEG"),
        ("1.2.840.10008.1.2.8.1", "deflated image frames"),
        ("1.2.3.4", "unknown transfer syntax"),
    ] {
        let mut file = Dicom::ct_slice(1, 0.0);
        let error = refused(file.fragments(uid, &[&[0; 40]]));
        assert_eq!(error.kind(), "unsupported");
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(uid), "{text}");
    }
    let mut twelve_bits = Dicom::ct_slice(1, 0.0);
    // SOI and a segment of a progressive frame: 12 bits, 3 rows, 4 columns, 1 component.
    let frame = [0xFF, 0xD8, 0xFF, 0xC2, 0, 11, 12, 0, 3, 0, 4, 1, 1, 0x11, 0];
    let error = refused(twelve_bits.fragments("1.2.840.10008.1.2.4.51", &[&frame]));
    assert!(error.to_string().contains("SOF2 with 12 bits"), "{error}");
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

/// Two pixels in colour, in one row.
pub fn colour_file(photometric: &str, planar: u16, bytes: &[u8]) -> Dicom {
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
        Loaded::Frames(frames) => frames.at(0).as_raw().clone(),
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

/// An ultrasound clip: three frames of two pixels in one file, at 40 ms each.
#[test]
fn colour_frames_come_in_their_order_and_with_their_rate() {
    let bytes: Vec<u8> = (0..18).collect();
    let mut file = colour_file("RGB", 0, &bytes);
    file.text(0x0028_0008, "IS", "3")
        .text(0x0018_1063, "DS", "40")
        .remove(0x0020_0032);
    let folder = series(&[file]);
    let scan = scan_one(folder.path()).unwrap();
    let [series] = scan.series.as_slice() else {
        panic!("{} series", scan.series.len());
    };
    assert_eq!((series.size, series.fps), ([2, 1, 3], Some(25.0)));
    let mut reports = Vec::new();
    let mut seen = |done, all| {
        reports.push((done, all));
        ControlFlow::Continue(())
    };
    let Loaded::Frames(frames) = load_series(series, &mut seen).unwrap() else {
        panic!("a volume where colours were written");
    };
    let all: Vec<u8> = frames.iter().flat_map(|f| f.as_raw().clone()).collect();
    assert_eq!(all, bytes);
    assert_eq!(reports.last(), Some(&(3, 3)));
    let mut stop = |done, _| match done {
        2 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let stopped = load_series(series, &mut stop).unwrap_err();
    assert_eq!(stopped.kind(), "stopped");
    // A file that ends before its last frame shows the others, and says so.
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg)
        .encode(&[90; 3 * 64], 8, 8, image::ExtendedColorType::Rgb8)
        .unwrap();
    let mut cut = colour_file("YBR_FULL_422", 0, &[]);
    cut.text(0x0028_0008, "IS", "3")
        .remove(0x0020_0032)
        .size(8, 8)
        .fragments("1.2.840.10008.1.2.4.50", &[&jpeg, &jpeg]);
    let cut = self::series(&[cut]);
    let scan = scan_one(cut.path()).unwrap();
    let Loaded::Frames(frames) = load(&scan.series[0]).unwrap() else {
        panic!("a volume where colours were written");
    };
    let (there, promised) = (2, 3);
    assert_eq!(frames.count(), there);
    let cut_short = Note::CutShort { there, promised };
    assert_eq!(frames.notes, [Note::Lossy, cut_short]);
    let refused = engine::imaging::memory::with_available(17, || load(series).unwrap_err());
    assert_eq!(refused.kind(), "too-large");
}

#[test]
fn a_colour_jpeg_has_the_colours_that_went_in() {
    let mut bytes = Vec::new();
    let pixels: Vec<u8> = [[200, 40, 40], [40, 60, 200]]
        .iter()
        .flat_map(|rgb| rgb.repeat(8))
        .collect();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95)
        .encode(&pixels.repeat(16), 16, 16, image::ExtendedColorType::Rgb8)
        .unwrap();
    let mut file = colour_file("YBR_FULL_422", 0, &[]);
    file.size(16, 16)
        .fragments("1.2.840.10008.1.2.4.50", &[&bytes]);
    let picture = picture_of(&file);
    for (at, expected) in [(0, [200, 40, 40]), (15, [40, 60, 200])] {
        for (level, expected) in picture[at * 3..at * 3 + 3].iter().zip(expected) {
            assert!(level.abs_diff(expected) <= 6, "{:?}", &picture[..48]);
        }
    }
}

fn report_of(file: &Dicom) -> engine::imaging::FileReport {
    let folder = series(std::slice::from_ref(file));
    engine::imaging::inspect_file(&folder.path().join("1000.dcm"))
}

/// As pydicom's `SC_rgb_small_odd_big_endian.dcm`: 27 bytes in words of two, most significant byte first.
#[test]
fn an_odd_number_of_bytes_in_big_endian_words_keeps_its_last_one() {
    let swapped = |bytes: &[u8]| {
        let padded = [bytes, &[0][..bytes.len() % 2]].concat();
        let words = padded.chunks(2).flat_map(|word| [word[1], word[0]]);
        words.collect::<Vec<u8>>()
    };
    let big_endian = |samples: u16, frames: u8| {
        let bytes: Vec<u8> = (1..=9 * samples as u8 * frames).collect();
        let mut file = Dicom::ct_slice(1, 0.0);
        (file.transfer_syntax, file.big_endian) = ("1.2.840.10008.1.2.2".to_owned(), true);
        file.shorts(0x0028_0002, &[samples])
            .shorts(0x0028_0006, &[0])
            .text(0x0028_0008, "IS", &frames.to_string())
            .size(3, 3)
            .bits(8, 8, false)
            .set(0x7FE0_0010, "OW", swapped(&bytes));
        (file, bytes)
    };
    let (mut colours, bytes) = big_endian(3, 1);
    assert_eq!(picture_of(colours.text(0x0028_0004, "CS", "RGB")), bytes);
    // The second frame of 9 bytes begins in the middle of a word.
    let (mut grey, bytes) = big_endian(1, 3);
    let folder = series(&[grey.remove(0x0020_0032).clone()]);
    let volume = only_volume(folder.path());
    let read: Vec<u8> = (0..27).map(|i| volume.voxels.get(i) as u8).collect();
    assert_eq!(read, bytes);
}

#[test]
fn a_palette_in_segments_is_put_together_and_indices_need_none() {
    let words = |words: &[u16]| {
        words
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let mut file = Dicom::ct_slice(1, 0.0);
    file.text(0x0028_0004, "CS", "PALETTE COLOR")
        .size(4, 1)
        .bits(8, 8, false)
        .set(0x7FE0_0010, "OB", vec![0, 1, 3, 5]);
    // Without a palette the indices can be checked, but there is nothing to show.
    let indices = report_of(&file);
    assert_eq!(
        (indices.error.clone(), indices.max),
        (None, Some(engine::imaging::Number(5.0)))
    );
    let folder = series(std::slice::from_ref(&file));
    let error = load(&scan_one(folder.path()).unwrap().series[0]).unwrap_err();
    assert!(
        error.to_string().contains("incomplete colour palette"),
        "{error}"
    );
    // Two entries as they are, and four steps from 0x1000 to 0x5000.
    let segments = words(&[0, 2, 0x0000, 0x1000, 1, 4, 0x5000]);
    for colour in 0..3 {
        file.shorts(0x0028_1101 + colour, &[6, 0, 16]).set(
            0x0028_1221 + colour,
            "OW",
            segments.clone(),
        );
    }
    let levels = [0x00, 0x10, 0x30, 0x50].map(|level| [level; 3]).concat();
    assert_eq!(picture_of(&file), levels);
    assert_eq!(
        report_of(&file).sha256_first_frame,
        indices.sha256_first_frame
    );
    let cut = words(&[0, 2, 0x0000, 0x1000, 1, 3, 0x5000]);
    file.set(0x0028_1222, "OW", cut);
    let folder = series(std::slice::from_ref(&file));
    let error = load(&scan_one(folder.path()).unwrap().series[0]).unwrap_err();
    assert!(
        error.to_string().contains("incomplete colour palette"),
        "{error}"
    );
}

#[test]
fn frames_that_are_there_are_shown_where_the_header_promises_more() {
    let frame = |level: i16| rle(&[level; 12]);
    let mut file = Dicom::ct_slice(1, 0.0);
    file.text(0x0028_0008, "IS", "3").remove(0x0020_0032);
    file.fragments("1.2.840.10008.1.2.5", &[&frame(7), &frame(8)]);
    let folder = series(&[file]);
    let volume = only_volume(folder.path());
    assert_eq!(volume.size, [4, 3, 2]);
    assert_eq!([0, 1].map(|k| volume.sample([3, 2, k])), [7.0, 8.0]);
    let cut = Note::CutShort {
        there: 2,
        promised: 3,
    };
    assert_eq!(volume.notes, [Note::NoPositions, cut]);
    let report = engine::imaging::inspect_file(&folder.path().join("1000.dcm"));
    assert_eq!((report.error, report.frames), (None, Some(3)));
}

#[test]
fn frames_without_subsampling_are_read_whole_whatever_they_are_called() {
    let bytes = [128, 128, 128, 76, 85, 255];
    let named = picture_of(&colour_file("YBR_FULL_422", 0, &bytes));
    assert_eq!(named, picture_of(&colour_file("YBR_FULL", 0, &bytes)));
    assert_eq!(named, [128, 128, 128, 254, 0, 0]);
    let planes = [128, 76, 128, 85, 128, 255];
    assert_eq!(picture_of(&colour_file("YBR_FULL_422", 1, &planes)), named);
}
