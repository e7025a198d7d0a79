//! Data and evaluation from the command line.

use super::*;
use crate::evaluation::write_pairs;

#[test]
fn pairs_to_records_to_a_card_to_a_report() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    write_pairs(Path::new(&path("pairs")));
    let (pairs, out) = (path("pairs"), path("out"));
    let tasks = "vqa,reconstruct";
    let ran = workbench(&[
        "dataset",
        "pairs",
        &pairs,
        "--out",
        &out,
        "--tasks",
        tasks,
        "--val-share",
        "0.5",
        "--about",
        "A phantom.",
    ]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    for name in [
        "vqa.train.json",
        "vqa.val.json",
        "reconstruct.train.json",
        "reconstruct.val.json",
        "card.json",
    ] {
        assert!(
            root.path().join("out").join(name).is_file(),
            "{name}: {}",
            ran.out
        );
    }
    let card = fs::read_to_string(root.path().join("out/card.md")).unwrap();
    assert!(
        card.contains("A phantom.") && card.contains("| answer: plane |"),
        "{card}"
    );

    let records = path("out/vqa.val.json");
    let counted = workbench(&["dataset", "card", &records, "--json"]).json();
    assert_eq!(counted["card"]["subjects"], 1, "split by subject");

    let report = path("report");
    let ran = workbench(&[
        "eval",
        "--records",
        &records,
        "--task",
        "vqa",
        "--every",
        "30",
        "--out",
        &report,
        "--json",
    ]);
    let value = ran.json();
    assert_eq!(
        (value["untrained_test_model"].clone(), ran.code),
        (Value::Bool(true), 0)
    );
    let rows = value["rows"].as_array().unwrap();
    assert_eq!(value["summary"]["n"], rows.len());
    assert!(
        value["summary"]["all"]["majority"].is_number(),
        "{}",
        value["summary"]
    );
    let text = fs::read_to_string(root.path().join("report/report.md")).unwrap();
    assert!(
        text.contains("untrained test model") && text.contains("Table 11"),
        "{text}"
    );
    assert!(image::open(root.path().join("report/report.png")).is_ok());
    let ran = workbench(&[
        "eval",
        "--records",
        &records,
        "--task",
        "vqa",
        "--every",
        "29",
        "--out",
        &report,
        "--json",
    ]);
    assert_eq!(ran.error().0, "other-evaluation");

    let pictures = path("out/reconstruct.val.json");
    let ran = workbench(&[
        "eval",
        "--records",
        &pictures,
        "--task",
        "reconstruct",
        "--every",
        "4",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains("ceiling of the codes") && ran.out.contains("copying the input"),
        "{}",
        ran.out
    );
    let coded = path("out/coded.json");
    let ran = workbench(&["dataset", "codes", &pictures, "--out", &coded]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        fs::read_to_string(&coded)
            .unwrap()
            .contains("<start_index><idx_")
    );
}

#[test]
fn the_json_of_a_conversion_has_the_promised_numbers_each_with_its_interval() {
    let root = tempfile::tempdir().unwrap();
    write_pairs(root.path());
    let pairs = root.path().to_str().unwrap();
    let value = workbench(&[
        "eval", "--pairs", pairs, "--task", "ct2mri", "--every", "4", "--json",
    ])
    .json();
    let summary = &value["summary"];
    assert_eq!(summary["n"], 2);
    for key in ["ssim", "psnr", "mse", "mae"] {
        let mean = summary[key].as_f64().unwrap();
        let interval = &summary["intervals"][key];
        assert_eq!(interval["mean"].as_f64(), Some(mean));
        assert!(
            interval["low"].as_f64().unwrap() <= mean + 1e-9,
            "{key}: {interval}"
        );
        assert!(summary["copy"][key].is_number() && summary["ceiling"][key].is_number());
        assert!(value["rows"][0][key].is_number());
    }
    assert!(
        summary["lpips"].is_null() && summary["lpips_note"].as_str().unwrap().contains("absent")
    );
    assert_eq!(value["tables"][0]["rows"][0][0], "HealthGPT-M3, the paper");
}

#[test]
fn what_cannot_be_evaluated_or_imported_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().to_str().unwrap();
    assert_eq!(
        workbench(&["eval", "--task", "vqa", "--json"]).error().0,
        "usage"
    );
    let both = [
        "eval",
        "--task",
        "vqa",
        "--pairs",
        folder,
        "--records",
        "x.json",
        "--json",
    ];
    assert_eq!(workbench(&both).error().0, "usage");
    let empty = ["eval", "--task", "vqa", "--pairs", folder, "--json"];
    assert_eq!(workbench(&empty).error().0, "dataset-no-pairs");
    let import = [
        "dataset", "import", "imagenet", "x.json", "--images", folder, "--out", folder, "--json",
    ];
    let (kind, message) = workbench(&import).error();
    assert!(kind == "usage" && message.contains("vqa-rad"), "{message}");
}
