//! DICOM series: order, values, splits, frames.

use super::*;

/// Writes slices into a folder, named so that their order by name is the reverse of their order here.
pub fn series(slices: &[Dicom]) -> tempfile::TempDir {
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
    let mut notes = volume.notes.iter();
    notes.any(|note| note.to_string().contains(words))
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
    assert_eq!(windows, [("Soft", 40.0, 400.0), ("", -600.0, 1500.0)]);
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
    let view = ViewDescriptor::new(Plane::Axial, 0, Window::from_range(0.0, 100.0));
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
        assert_eq!(series.notes, [Note::Split(Differs::Orientation)]);
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
    let notes = scan.series.iter().flat_map(|series| series.notes.clone());
    let notes: Vec<Note> = notes.collect();
    assert_eq!(scan.series.len(), 3);
    for differs in [Differs::Spacing, Differs::Size] {
        assert!(notes.contains(&Note::Split(differs)), "{notes:?}");
    }
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
    let note = scan.series[0].notes[0].to_string();
    assert!(note.contains("2 images at each position"), "{note}");
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

#[test]
fn an_opened_dicomdir_shows_the_files_it_lists() {
    let folder = folder();
    fs::create_dir(folder.path().join("images")).unwrap();
    for k in 0..2 {
        Dicom::ct_slice(k, k as f64).write(&folder.path().join(format!("images/a{k}")));
    }
    Dicom::ct_slice(7, 7.0).write(&folder.path().join("unlisted"));
    let record = |name: &str| {
        item_set(|set| {
            set.text(0x0004_1500, "CS", name);
        })
    };
    // Names in capitals, as the standard has them, on a disc mounted in lower case; the third leads out.
    let names = ["IMAGES\\A0", "IMAGES\\A1", "..\\A1"];
    let mut directory = Dicom::ct_slice(0, 0.0);
    directory
        .remove(0x7FE0_0010)
        .sequence(0x0004_1220, &names.map(record));
    let path = folder.path().join("DICOMDIR");
    directory.write(&path);
    let scan = scan_one(&path).unwrap();
    assert_eq!((scan.series.len(), scan.skipped.len()), (1, 0));
    assert_eq!(scan.series[0].size, [4, 3, 2]);
}

#[cfg(unix)]
#[test]
fn linked_files_are_read_and_a_link_in_a_circle_is_skipped() {
    use std::os::unix::fs::symlink;
    let store = folder();
    let folder = folder();
    for k in 0..2 {
        let file = store.path().join(k.to_string());
        Dicom::ct_slice(k, k as f64).write(&file);
        symlink(&file, folder.path().join(format!("{k}.dcm"))).unwrap();
    }
    symlink(folder.path(), folder.path().join("circle")).unwrap();
    let scan = scan_one(folder.path()).unwrap();
    assert_eq!((scan.series.len(), scan.series[0].size[2]), (1, 2));
    assert_eq!((scan.skipped.len(), scan.skipped[0].kind), (1, "io"));
}

#[test]
fn one_path_of_several_that_is_gone_is_named_and_the_others_are_opened() {
    let folder = folder();
    let file = folder.path().join("a.dcm");
    Dicom::ct_slice(0, 0.0).write(&file);
    let gone = folder.path().join("gone");
    let all = |paths: &[PathBuf]| scan(paths, &mut |_, _| ControlFlow::Continue(()));
    let found = all(&[gone.clone(), file]).unwrap();
    assert_eq!(found.series.len(), 1);
    assert_eq!(found.skipped.len(), 1, "{:?}", found.skipped);
    assert_eq!(
        (found.skipped[0].path.clone(), found.skipped[0].kind),
        (gone.clone(), "io")
    );
    // Nothing is left: then why is the answer.
    for paths in [
        vec![gone.clone()],
        vec![gone.clone(), folder.path().join("away")],
    ] {
        let error = all(&paths).unwrap_err();
        assert!(
            matches!(&error, ImagingError::Io { path, .. } if *path == gone),
            "{error}"
        );
    }
}
