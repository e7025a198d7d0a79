//! Pictures in colour: which of them are looked at together, where their sides are, and what is said of them.

use engine::imaging::Frames;
use engine::imaging::memory::with_available;

use super::dicom::series;
use super::encodings::colour_file;
use super::*;

/// A picture of one frame whose two pixels have this level, as instance `number`.
fn still(number: usize, level: u8) -> Dicom {
    let mut file = colour_file("RGB", 0, &[level; 6]);
    file.text(0x0008_0018, "UI", &format!("1.2.3.{number}"))
        .text(0x0020_0013, "IS", &number.to_string())
        .remove(0x0020_0032)
        .remove(0x0020_0037);
    file
}

fn frames_of(series: &SeriesInfo) -> Arc<Frames> {
    match load(series).unwrap() {
        Loaded::Frames(frames) => frames,
        Loaded::Volume(_) => panic!("a volume where colours were written"),
    }
}

fn levels(frames: &Frames) -> Vec<u8> {
    let levels = frames.iter().map(|frame| frame.get_pixel(0, 0).0[0]);
    levels.collect()
}

#[test]
fn single_pictures_in_colour_make_one_series_in_the_order_of_their_numbers() {
    let folder = series(&[still(10, 3), still(2, 1), still(9, 2)]);
    let scan = scan_one(folder.path()).unwrap();
    let [all] = scan.series.as_slice() else {
        panic!("{} series", scan.series.len());
    };
    assert_eq!((all.size, all.files.len()), ([2, 1, 3], 3));
    assert!(all.notes.is_empty(), "{:?}", all.notes);
    assert_eq!(levels(&frames_of(all)), [1, 2, 3]);
    // Another set of them is another series: what is measured on the second picture is not found on another one.
    let fewer = series(&[still(9, 2), still(10, 3)]);
    assert_ne!(scan_one(fewer.path()).unwrap().series[0].id, all.id);
    // 3 pictures of 2 pixels are 18 bytes.
    let refused = with_available(17, || load(all).unwrap_err());
    assert_eq!(refused.kind(), "too-large");
}

#[test]
fn pictures_that_all_say_where_they_lie_are_in_that_order_and_have_letters() {
    let placed = |number: usize, z: f64| {
        let mut file = still(number, number as u8);
        file.orientation([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
            .position([0.0, 0.0, z]);
        file
    };
    let files = [placed(1, 20.0), placed(2, 0.0), placed(3, 10.0)];
    let folder = series(&files);
    let scan = scan_one(folder.path()).unwrap();
    let frames = frames_of(&scan.series[0]);
    assert_eq!(levels(&frames), [2, 3, 1]);
    // Columns 2 mm apart, rows 1.5 mm.
    assert_eq!(frames.spacing_mm, Some([2.0, 1.5]));
    let letters = frames.sides.unwrap().map(|side| side.letters());
    assert_eq!(letters, ["L", "P"]);
    // One that lies otherwise: by number again, and no letters for any of them.
    let mut turned = placed(4, 5.0);
    turned.orientation([0.0, 1.0, 0.0], [0.0, 0.0, -1.0]);
    let folder = series(&[&files[..], &[turned]].concat());
    let scan = scan_one(folder.path()).unwrap();
    assert_eq!(scan.series.len(), 1);
    let frames = frames_of(&scan.series[0]);
    assert_eq!((levels(&frames), frames.sides), (vec![1, 2, 3, 4], None));
}

#[test]
fn clips_and_pictures_of_another_size_stay_by_themselves() {
    let clip = |number: usize| {
        let mut file = still(number, 0);
        file.text(0x0028_0008, "IS", "2")
            .set(0x7FE0_0010, "OB", vec![number as u8; 12]);
        file
    };
    let mut wide = still(5, 5);
    wide.size(1, 2);
    let folder = series(&[still(1, 1), clip(2), clip(3), still(4, 4), wide]);
    let scan = scan_one(folder.path()).unwrap();
    let mut sizes: Vec<_> = scan.series.iter().map(|series| series.size).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [[1, 2, 1], [2, 1, 2], [2, 1, 2], [2, 1, 2]]);
    let mut all: Vec<_> = scan.series.iter().map(|s| levels(&frames_of(s))).collect();
    all.sort();
    assert_eq!(all, [vec![1, 4], vec![2, 2], vec![3, 3], vec![5]]);
}

#[test]
fn a_lossy_picture_among_others_is_said() {
    let mut lossy = still(2, 2);
    lossy.text(0x0028_2110, "CS", "01");
    let folder = series(&[still(1, 1), lossy]);
    let scan = scan_one(folder.path()).unwrap();
    assert_eq!(frames_of(&scan.series[0]).notes, [Note::Lossy]);
    let folder = series(&[still(1, 1)]);
    let scan = scan_one(folder.path()).unwrap();
    assert!(frames_of(&scan.series[0]).notes.is_empty());
}

#[test]
fn a_picture_that_cannot_be_read_is_black_and_the_others_keep_their_places() {
    let folder = series(&[still(1, 1), still(2, 2), still(3, 3)]);
    let scan = scan_one(folder.path()).unwrap();
    let all = &scan.series[0];
    fs::write(&all.files[1], b"no picture any more").unwrap();
    let frames = frames_of(all);
    assert_eq!(levels(&frames), [1, 0, 3]);
    assert_eq!(frames.notes, [Note::Unreadable { count: 1, of: 3 }]);
    for file in &all.files {
        fs::write(file, b"none of them").unwrap();
    }
    assert!(load(all).is_err());
}

#[test]
fn a_file_that_begins_as_a_program_is_shown_and_named() {
    for (start, named) in [(&b"MZ"[..], true), (b"\x7fELF", true), (b"II*\0", false)] {
        let with_start = |file: &Dicom| {
            let mut bytes = file.bytes();
            bytes[..start.len()].copy_from_slice(start);
            let folder = folder();
            fs::write(folder.path().join("slice"), bytes).unwrap();
            folder
        };
        let notes = vec![Note::ExecutablePreamble; usize::from(named)];
        let grey = with_start(&Dicom::ct_slice(1, 0.0));
        assert_eq!(scan_one(grey.path()).unwrap().series[0].notes, notes);
        assert_eq!(only_volume(grey.path()).notes, notes);
        let colour = with_start(&still(1, 1));
        let scan = scan_one(colour.path()).unwrap();
        assert_eq!(frames_of(&scan.series[0]).notes, notes);
    }
}
