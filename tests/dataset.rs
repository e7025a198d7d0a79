//! Records: what is read, what is refused and why, and what is made of scans.

use std::fs;
use std::path::Path;

use engine::dataset::{AnswerType, DatasetError, OnBad, Record, RecordTask, Records, records};

fn touch(folder: &Path, name: &str) {
    image::RgbImage::new(2, 2).save(folder.join(name)).unwrap();
}

#[test]
fn records_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), "a.png");
    let mut vqa = Record::about("a.png", "Which plane \"is\" this?", "axial");
    vqa.task = Some(RecordTask::Vqa);
    vqa.answer_type = Some(AnswerType::Choice);
    vqa.choices = vec!["axial".to_owned(), "coronal".to_owned()];
    let mut convert = Record::about("a.png", "Make an MRI.", "");
    convert.task = Some(RecordTask::Ct2Mri);
    convert.target_image = Some("a.png".into());
    let list = vec![vqa, convert];
    let path = folder.path().join("records.json");
    records::write(&path, &list).unwrap();
    let read = Records::read(&path, OnBad::Refuse).unwrap();
    assert_eq!(read.records, list);
    assert!(read.path(Path::new("a.png")).is_file());
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "nothing is left over"
    );
}

/// The file that a user of LLaVA has: no key of ours, the picture's place at the end, several turns.
#[test]
fn a_plain_vl_health_file_is_read_and_every_bad_record_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    touch(folder.path(), "a.png");
    let path = folder.path().join("records.json");
    let text = r#"[
  {"image": "a.png", "extra": 1, "conversations": [
    {"from": "human", "value": "What is it?\n<image>"}, {"from": "gpt", "value": "A leg."},
    {"from": "human", "value": "Whose?"}, {"from": "gpt", "value": "Unknown."}]},
  {"image": "b.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "?"}]},
  {"image": "a.png", "conversations": [{"from": "gpt", "value": "<image>"}]},
  {"image": "a.png",
   "conversations": [{"from": "robot", "value": "<image>"}]},
  {"conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "?"}]},
  {"image": "a.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": ""}]},
  {"image": "a.png", "task": "ct2mri", "conversations": [
    {"from": "human", "value": "<image>\nMRI."}, {"from": "gpt", "value": "no codes"}]},
  {"image": "a.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}]}
]"#;
    fs::write(&path, text).unwrap();
    let error = Records::read(&path, OnBad::Refuse).unwrap_err();
    let DatasetError::BadRecords { bad, of, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*of, 8);
    let found: Vec<(usize, &str)> = bad
        .iter()
        .map(|bad| (bad.line, bad.reason.as_str()))
        .collect();
    for ((line, part), (at, reason)) in [
        (5, "image is not there: b.png"),
        (6, "beginning with human"),
        (8, "unknown variant `robot`"),
        (9, "no image"),
        (10, "an answer is empty"),
        (11, "neither target_image nor"),
        (13, "no answer"),
    ]
    .iter()
    .zip(&found)
    {
        assert!(
            line == at && reason.contains(part),
            "{line} {part}: {found:?}"
        );
    }
    assert_eq!(found.len(), 7);
    assert!(
        error
            .to_string()
            .contains("line 13: the last question has no answer"),
        "{error}"
    );

    let read = Records::read(&path, OnBad::Skip).unwrap();
    assert_eq!((read.records.len(), read.skipped.len()), (1, 7));
    let exchanges = read.records[0].exchanges();
    assert_eq!(exchanges[0], ("What is it?".to_owned(), "A leg."));
    assert_eq!(exchanges[1], ("Whose?".to_owned(), "Unknown."));
}

#[test]
fn a_file_that_is_no_list_is_refused_with_what_it_must_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.json");
    fs::write(&path, "{\"a\": 1}").unwrap();
    let error = Records::read(&path, OnBad::Skip).unwrap_err();
    assert_eq!(error.kind(), "dataset-layout");
    assert!(
        error.to_string().contains("a JSON list of records"),
        "{error}"
    );
    let error = Records::read(&folder.path().join("none.json"), OnBad::Skip).unwrap_err();
    assert_eq!(error.kind(), "dataset-read");
}
