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
            other => other.to_string() == cell,
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
        let refused = report["opens"] == "typed-error";
        assert_eq!(refused, report["error"]["message"].is_string(), "{path}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared > 270, "only {compared} values were compared");
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

#[test]
fn a_colour_volume_is_shown_by_its_middle_slice() {
    for name in ["rgb", "rgba"] {
        let path = fixtures().join(format!("nifti/nifti-rs/{name}/4D.nii"));
        let bytes = fs::read(&path).unwrap();
        let scan = scan_one(&path).unwrap();
        let notes = &scan.series[0].notes;
        assert!(
            notes
                .iter()
                .any(|note| note.contains("the middle one of 3")),
            "{notes:?}"
        );
        let Loaded::Picture(picture) = load(&scan.series[0]).unwrap() else {
            panic!("a volume where colours were written");
        };
        let each = if name == "rgb" { 3 } else { 4 };
        let first = &bytes[352 + 9 * each..][..3];
        assert_eq!(picture.dimensions(), (3, 3));
        assert_eq!(picture.get_pixel(0, 0).0, *first);
    }
}
