//! Broken DICOM files: each ends in a typed error, none in a panic or a flood of memory.

use super::*;

fn kind_of(bytes: &[u8]) -> Result<(), ImagingError> {
    let folder = folder();
    let path = folder.path().join("file.dcm");
    fs::write(&path, bytes).unwrap();
    let scan = scan_one(&path)?;
    scan.series
        .iter()
        .try_for_each(|series| load(series).map(drop))
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = Dicom::ct_slice(1, 0.0).bytes();
    assert!(kind_of(&whole).is_ok());
    for length in 0..whole.len() {
        let error = kind_of(&whole[..length]).expect_err(&format!("{length} bytes opened"));
        let kinds = ["damaged", "unsupported", "not-an-image"];
        assert!(kinds.contains(&error.kind()), "{length} bytes: {error}");
    }
    let half = kind_of(&whole[..whole.len() - 10]).unwrap_err();
    assert!(
        half.to_string().contains("14 of 24 bytes")
            || half.to_string().contains("ends inside its pixel data"),
        "{half}"
    );
}

#[test]
fn every_byte_may_be_wrong_without_a_panic() {
    let whole = Dicom::ct_slice(1, 0.0).rescale(1.0, -1024.0).bytes();
    for at in 128..whole.len() {
        for value in [0x00, 0x7F, 0xFF] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            let _ = kind_of(&bytes); // opened or refused: it returned
        }
    }
}

#[test]
fn sizes_that_the_file_cannot_hold_are_refused_before_memory_is_asked_for() {
    type Lie = fn(&mut Dicom) -> &mut Dicom;
    let lies: [(&str, Lie); 6] = [
        ("rows", |file| file.size(4, 65_535)),
        ("columns and rows", |file| file.size(65_535, 65_535)),
        ("frames", |file| file.text(0x0028_0008, "IS", "60000")),
        ("more frames", |file| {
            file.text(0x0028_0008, "IS", "2147483647")
        }),
        ("no size", |file| file.size(0, 3)),
        ("no bits", |file| file.remove(0x0028_0100)),
    ];
    for (name, lie) in lies {
        let error = kind_of(&lie(&mut Dicom::ct_slice(1, 0.0)).bytes()).expect_err(name);
        assert!(
            ["damaged", "unsupported"].contains(&error.kind()),
            "{name}: {error}"
        );
    }
    // Compressed: a few bytes cannot be 65535 x 65535 pixels.
    let mut file = Dicom::ct_slice(1, 0.0);
    file.size(65_535, 65_535)
        .fragments("1.2.840.10008.1.2.5", &[&[0; 100]]);
    let error = kind_of(&file.bytes()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("compressed bytes cannot hold 65535 x 65535 pixels"),
        "{error}"
    );
}

#[test]
fn a_hundred_thousand_nested_sequences_do_not_exhaust_the_stack() {
    let mut bytes = Dicom::ct_slice(1, 0.0).bytes();
    bytes.truncate(128 + 4 + 8 + 20); // preamble, DICM, meta group
    for _ in 0..100_000 {
        bytes.extend([
            0x08, 0x00, 0x40, 0x11, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF,
        ]);
        bytes.extend([0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
    }
    let error = kind_of(&bytes).unwrap_err();
    assert!(
        error.to_string().contains("nested more than 32 deep"),
        "{error}"
    );
}

#[test]
fn lengths_beyond_their_parents_are_refused() {
    let mut file = Dicom::ct_slice(1, 0.0);
    // An item that claims more than its sequence.
    let item = [0xFE, 0xFF, 0x00, 0xE0, 0x00, 0xFF, 0xFF, 0xFF];
    file.set(0x0008_1140, "SQ", item.to_vec());
    assert_eq!(kind_of(&file.bytes()).unwrap_err().kind(), "damaged");
}

#[test]
fn rle_that_lies_about_its_segments_is_damaged() {
    let header = |words: &[u32]| -> Vec<u8> {
        let mut words = words.to_vec();
        words.resize(16, 0);
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    };
    let frames = [
        header(&[3, 64, 64]),
        header(&[2, 64, 9999]),
        header(&[2, 0, 4]),
        [header(&[2, 64, 66]), vec![0x7F, 1, 0x7F, 2]].concat(),
        [header(&[2, 64, 72]), vec![0x80; 16]].concat(),
        vec![0; 30],
    ];
    for frame in frames {
        let mut file = Dicom::ct_slice(1, 0.0);
        file.fragments("1.2.840.10008.1.2.5", &[&frame]);
        let error = kind_of(&file.bytes()).unwrap_err();
        assert_eq!(error.kind(), "damaged", "{error}");
    }
}

#[test]
fn one_bad_file_does_not_keep_the_good_ones_from_opening() {
    let folder = folder();
    for k in 0..3 {
        Dicom::ct_slice(k, k as f64).write(&folder.path().join(format!("{k}.dcm")));
    }
    let whole = Dicom::ct_slice(3, 3.0).bytes();
    fs::write(folder.path().join("3.dcm"), &whole[..whole.len() - 5]).unwrap();
    let scan = scan_one(folder.path()).unwrap();
    assert_eq!((scan.series.len(), scan.series[0].size[2]), (1, 3));
    assert_eq!((scan.skipped.len(), scan.skipped[0].kind), (1, "damaged"));
    assert!(
        scan.skipped[0].why.contains("copy it again"),
        "{}",
        scan.skipped[0].why
    );
}
