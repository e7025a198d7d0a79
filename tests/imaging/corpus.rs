//! Files of other projects, whose values other programs have written down.

use engine::imaging::inspect_files;
use serde_json::Value;

use super::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("imaging/fixtures")
}

/// Whether a reported value is what a cell says.
fn agrees(column: &str, cell: &str, value: &Value, tolerance: f64) -> bool {
    let near = |cell: &str, value: &Value, tolerance: f64| {
        let (cell, value) = (cell.parse::<f64>().unwrap(), value.as_f64());
        value.is_some_and(|value| (cell - value).abs() <= tolerance.max(1e-6 * cell.abs()))
    };
    match column {
        "min" | "max" | "mean" => near(cell, value, tolerance.max(5e-7)),
        "rescale_slope" | "rescale_intercept" | "scl_slope" | "scl_inter" => near(cell, value, 0.0),
        "affine" => {
            let numbers = value.as_array().unwrap();
            let cells = cell.split(' ').zip(numbers);
            numbers.len() == 16
                && cells
                    .into_iter()
                    .all(|(cell, value)| near(cell, value, 1e-4))
        }
        _ => match value {
            Value::String(text) => text == cell,
            other => {
                let written = other.to_string();
                written == cell
            }
        },
    }
}

#[test]
fn every_value_is_what_other_decoders_find() {
    let table = fs::read_to_string(fixtures().join("expected.tsv")).unwrap();
    let mut lines = table.lines();
    let columns: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let reports = inspect_files(&[fixtures()], &mut |_, _| {}).unwrap();
    let (mut compared, mut wrong) = (0, Vec::new());
    for line in lines {
        let row: std::collections::HashMap<&str, &str> =
            columns.iter().copied().zip(line.split('\t')).collect();
        let path = row["path"];
        let report = reports.iter().find(|report| report.path == path).unwrap();
        let report = serde_json::to_value(report).unwrap();
        let tolerance = row["tolerance"].parse().unwrap_or(0.0);
        let refused = report["opens"] == "typed-error";
        assert_eq!(refused, report["error"]["message"].is_string(), "{path}");
        if refused && row["opens"] == "either" {
            continue;
        }
        for (column, cell) in &row {
            let skipped = match *column {
                "path" | "tolerance" | "affine_note" => true,
                // Without an orientation every grid is a convention.
                "affine" => row["affine_note"] == "AMBIGUOUS",
                "sha256_first_frame" => tolerance > 0.0,
                "opens" => *cell == "either",
                _ => false,
            };
            if skipped || cell.is_empty() {
                continue;
            }
            compared += 1;
            if !agrees(column, cell, &report[*column], tolerance) {
                wrong.push(format!("{path} {column}: {cell}, not {}", report[*column]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared > 1000, "only {compared} values were compared");
}

#[test]
fn lossless_syntaxes_of_one_image_give_one_checksum() {
    let folder = fixtures().join("dicom/pydicom");
    let names = ["jpeg_ls_lossless", "jp2klossless", "RLE"];
    let paths = names.map(|name| folder.join(format!("MR_small_{name}.dcm")));
    let reports = inspect_files(&paths, &mut |_, _| {}).unwrap();
    let checksums: Vec<_> = reports
        .iter()
        .map(|report| report.sha256_first_frame.as_deref())
        .collect();
    assert!(checksums[0].is_some());
    assert_eq!(checksums[0], checksums[1]);
    assert_eq!(checksums[1], checksums[2]);
}

/// JPEG 2000 and JPEG-LS headers that lie about their size are caught before the decoder sizes anything by them.
#[test]
fn a_compressed_header_must_agree_with_the_file() {
    let folder = folder();
    for (name, marker, at) in [
        ("jp2klossless", [0xFF, 0x4F, 0xFF, 0x51], 8),
        ("jpeg_ls_lossless", [0xFF, 0xD8, 0xFF, 0xF7], 7),
    ] {
        let file = fixtures().join(format!("dicom/pydicom/MR_small_{name}.dcm"));
        let mut bytes = fs::read(file).unwrap();
        let start = bytes.windows(4).position(|four| four == marker).unwrap();
        let last = *bytes.get(start + at).unwrap();
        bytes[start + at] = last ^ 0x40;
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        let report = engine::imaging::inspect_file(&path);
        let error = report.error.unwrap();
        assert_eq!(error.kind, "damaged");
        assert!(
            error.message.contains("where the header says 64 x 64"),
            "{}",
            error.message
        );
        // A stream that is cut is refused too, and at once.
        bytes[start + at] = last;
        for byte in &mut bytes[start + 2000..] {
            *byte = 0;
        }
        fs::write(&path, &bytes).unwrap();
        let cut = engine::imaging::inspect_file(&path);
        assert!(
            cut.error.is_none_or(|error| error.kind == "damaged"),
            "{name}"
        );
    }
}

/// The codestream of the JPEG 2000 fixture.
fn codestream() -> Vec<u8> {
    let file = fs::read(fixtures().join("dicom/pydicom/MR_small_jp2klossless.dcm")).unwrap();
    let soc = [0xFF, 0x4F, 0xFF, 0x51];
    let start = file.windows(4).position(|four| four == soc).unwrap();
    let length = u32::from_le_bytes(*file[start - 4..].first_chunk().unwrap());
    file[start..start + length as usize].to_vec()
}

fn report_of_frame(frame: &[u8]) -> engine::imaging::FileReport {
    let folder = folder();
    let path = folder.path().join("frame.dcm");
    let mut file = Dicom::ct_slice(1, 0.0);
    file.size(64, 64)
        .bits(16, 16, true)
        .fragments("1.2.840.10008.1.2.4.90", &[frame]);
    file.write(&path);
    engine::imaging::inspect_file(&path)
}

#[test]
fn a_codestream_in_the_boxes_of_a_jp2_file_is_found() {
    let plain = codestream();
    let mut boxed = b"\0\0\0\x0CjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 ".to_vec();
    boxed.extend((plain.len() as u32 + 8).to_be_bytes());
    boxed.extend(b"jp2c");
    boxed.extend(&plain);
    let (plain, boxed) = (report_of_frame(&plain), report_of_frame(&boxed));
    assert_eq!(plain.error, None);
    assert!(plain.sha256_first_frame.is_some());
    assert_eq!(plain.sha256_first_frame, boxed.sha256_first_frame);
}

#[test]
fn more_tiles_than_the_bytes_can_hold_are_refused() {
    let mut frame = codestream();
    for tile in [24, 28] {
        frame[tile..tile + 4].copy_from_slice(&1_u32.to_be_bytes()); // 64 x 64 tiles of one pixel
    }
    let error = report_of_frame(&frame).error.unwrap();
    assert_eq!(error.kind, "damaged");
    assert!(
        error.message.contains("has 4096 tiles"),
        "{}",
        error.message
    );
}

/// Stored from the patient's left to the right and from back to front, it is seen as a grey volume would be.
#[test]
fn a_colour_volume_is_shown_slice_by_slice_with_the_patients_left_on_the_right() {
    for name in ["rgb", "rgba"] {
        let path = fixtures().join(format!("nifti/nifti-rs/{name}/4D.nii"));
        let bytes = fs::read(&path).unwrap();
        let scan = scan_one(&path).unwrap();
        let Loaded::Frames(frames) = load(&scan.series[0]).unwrap() else {
            panic!("a volume where colours were written");
        };
        let each = if name == "rgb" { 3 } else { 4 };
        assert_eq!(frames.count(), 3);
        for (slice, picture) in frames.iter().enumerate() {
            let first = &bytes[352 + slice * 9 * each..][..3];
            assert_eq!(picture.dimensions(), (3, 3));
            assert_eq!(picture.get_pixel(2, 2).0, *first);
        }
        let letters = frames.sides.unwrap().map(|side| side.letters());
        assert_eq!(letters, ["L", "P"]);
        // Two volumes behind each other: what the header says is said of pictures too.
        let note = Note::OneOf {
            count: 2,
            number: 1,
        };
        assert_eq!(frames.notes, [note]);
    }
}

#[test]
fn inspect_per_file_prints_one_array_with_paths_inside_the_folder() {
    let folder = fixtures().join("nifti/nifti-rs");
    let folder = folder.to_str().unwrap();
    let words = ["workbench", "inspect", "--per-file", "--json", folder].map(Into::into);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let streams = workbench::cli::Streams {
        out: &mut out,
        err: &mut err,
        terminal: false,
    };
    let outcome = workbench::cli::run(&words, streams);
    assert!(matches!(outcome, workbench::cli::Outcome::Exit(0)));
    let reports: Value = serde_json::from_slice(&out).unwrap();
    let of = |path: &str| {
        let mut all = reports.as_array().unwrap().iter();
        all.find(|report| report["path"] == path).unwrap()
    };
    let whole = of("27/uint64.nii");
    assert_eq!(
        (&whole["opens"], &whole["kind"]),
        (&"yes".into(), &"nifti".into())
    );
    assert_eq!(whole["nifti_shape"], "3x3x3");
    assert_eq!(whole["affine"].as_array().unwrap().len(), 16);
    assert!(whole.get("error").is_none() && whole.get("rows").is_none());
    let refused = of("avg152T1_LR_nifti.hdr.gz");
    assert_eq!(refused["opens"], "typed-error");
    assert_eq!(refused["error"]["kind"], "damaged");
}
