//! Windows that are no straight line: VOI LUT Function and VOI LUT Sequence.

use engine::imaging::VoiFunction;

use super::dicom::series;
use super::*;

fn levels(volume: &Volume, window: Window) -> Vec<u8> {
    let view = ViewDescriptor::new(Plane::Axial, 0, window);
    let picture = render(volume, &view).unwrap();
    picture.pixels().map(|pixel| pixel.0[0]).collect()
}

fn slice(values: [i16; 4]) -> Dicom {
    let mut slice = Dicom::ct_slice(1, 0.0);
    slice
        .size(4, 1)
        .text(0x0028_0030, "DS", "1\\1")
        .pixels_i16(&values);
    slice
}

#[test]
fn the_files_own_function_shapes_its_window() {
    for (code, function, expected) in [
        ("SIGMOID", VoiFunction::Sigmoid, [30, 128, 225, 255]),
        ("LINEAR_EXACT", VoiFunction::LinearExact, [0, 128, 255, 255]),
        ("LINEAR", VoiFunction::Linear, [0, 128, 255, 255]),
    ] {
        let mut file = slice([-160, 40, 240, 3000]);
        file.text(0x0028_1050, "DS", "40")
            .text(0x0028_1051, "DS", "400")
            .text(0x0028_1056, "CS", code);
        let folder = series(&[file]);
        let volume = only_volume(folder.path());
        let window = volume.default_window();
        assert_eq!((window.center, window.width), (40.0, 400.0));
        assert_eq!(window.function, function);
        assert_eq!(levels(&volume, window), expected, "{code}");
    }
}

#[test]
fn a_files_table_is_a_window_of_its_own() {
    let mut file = slice([-5, -1, 0, 9]);
    let table = item_set(|set| {
        let entries = [100_u16, 4095, 0].iter().flat_map(|x| x.to_le_bytes());
        // The first value is -1, written without a sign.
        set.shorts(0x0028_3002, &[3, 65_535, 12])
            .text(0x0028_3003, "LO", "Soft parts")
            .set(0x0028_3006, "OW", entries.collect());
    });
    file.remove(0x0028_1050)
        .remove(0x0028_1051)
        .sequence(0x0028_3010, &[table]);
    let folder = series(&[file]);
    let volume = only_volume(folder.path());
    assert_eq!(volume.windows.len(), 1);
    assert_eq!(volume.windows[0].name, "Soft parts");
    let window = volume.default_window();
    assert_eq!(levels(&volume, window), [6, 6, 255, 0]);
    // Moved by hand it is a plain window.
    let moved = window.moved(0.0, 2.0);
    assert_eq!(levels(&volume, moved), [0, 0, 255, 255]);
    // What was looked at can be written down and drawn again.
    let text = serde_json::to_string(&window).unwrap();
    assert_eq!(serde_json::from_str::<Window>(&text).unwrap(), window);
    let plain: Window = serde_json::from_str(r#"{"center": 40.0, "width": 400.0}"#).unwrap();
    assert_eq!(plain, Window::linear(40.0, 400.0));
}
