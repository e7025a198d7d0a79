//! Published collections in their own layouts, by hand-made entries: nothing is copied from them.

use std::fs;
use std::path::PathBuf;

use engine::DatasetError;
use engine::dataset::import::{Collection, Import, Imported, import};
use engine::dataset::{AnswerType, OnBad, Record, RecordTask, Speaker};
use tempfile::TempDir;

/// A folder with these pictures in `images`, and a file.
fn collection(kind: Collection, name: &str, content: &[u8], images: &[&str]) -> (TempDir, Import) {
    let root = tempfile::tempdir().unwrap();
    for image in images {
        let path = root.path().join("images").join(image);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, []).unwrap();
    }
    let file = root.path().join(name);
    fs::write(&file, content).unwrap();
    fs::create_dir_all(root.path().join("out")).unwrap();
    let what = Import {
        collection: kind,
        file,
        images: root.path().join("images"),
        out: root.path().join("out"),
        on_bad: OnBad::Refuse,
        all_languages: false,
    };
    (root, what)
}

fn imported(kind: Collection, name: &str, content: &str, images: &[&str]) -> Imported {
    let (_root, what) = collection(kind, name, content.as_bytes(), images);
    import(&what).unwrap()
}

fn said(record: &Record) -> (String, &str) {
    record.exchanges().pop().unwrap()
}

#[test]
fn vqa_rad_goes_by_its_phrase_types_and_every_picture_is_a_subject() {
    let content = r#"[
      {"qid": 7, "phrase_type": "freeform", "qid_linked_id": "x", "image_case_url": "u", "image_name": "one.jpg",
       "image_organ": "HEAD", "evaluation": "evaluated", "question": "Is it midline? ", "question_rephrase": "NULL",
       "question_relation": "NULL", "question_frame": "NULL", "question_type": "POS", "answer": "Yes", "answer_type": "CLOSED "},
      {"qid": "8", "phrase_type": "test_para", "image_name": "two.jpg", "question": "How many?", "question_type": "COUNT",
       "answer": 5, "answer_type": "OPEN"}]"#;
    let read = imported(
        Collection::VqaRad,
        "VQA_RAD Dataset Public.json",
        content,
        &["one.jpg", "two.jpg"],
    );
    let (train, test) = (&read.splits["train"][0], &read.splits["test"][0]);
    assert_eq!(said(train), ("Is it midline?".to_owned(), "Yes"));
    assert_eq!(train.image, Some(PathBuf::from("../images/one.jpg")));
    assert_eq!(
        (train.answer_type, train.subject.as_deref()),
        (Some(AnswerType::Closed), Some("one.jpg"))
    );
    assert_eq!(
        (said(test).1, test.answer_type, test.topic.as_deref()),
        ("5", Some(AnswerType::Open), Some("count"))
    );
}

#[test]
fn slake_is_taken_in_english_and_its_file_names_the_split() {
    let content = r#"[
      {"img_id": 1, "img_name": "lab1/source.jpg", "question": "What is shown?", "answer": "Liver", "q_lang": "en",
       "location": "Abdomen", "modality": "CT", "answer_type": "OPEN", "base_type": "vqa", "content_type": "Organ",
       "triple": ["vhead", "_", "_"], "qid": 11},
      {"img_id": 1, "img_name": "lab1/source.jpg", "question": "?", "answer": "?", "q_lang": "zh", "location": "Abdomen",
       "modality": "CT", "answer_type": "OPEN", "base_type": "vqa", "content_type": "Organ", "triple": [], "qid": 12}]"#;
    let read = imported(
        Collection::Slake,
        "validate.json",
        content,
        &["lab1/source.jpg"],
    );
    let record = &read.splits["validate"][0];
    assert_eq!(
        (record.modality.as_deref(), record.subject.as_deref()),
        (Some("CT"), Some("1"))
    );
    assert_eq!(said(record).1, "Liver");
    assert_eq!(
        (read.splits["validate"].len(), read.other_languages),
        (1, 1)
    );
}

#[test]
fn pathvqa_is_read_from_its_pickle_and_from_json() {
    let pickle: &[u8] = b"\x80\x03]q\x00(}q\x01(X\x05\x00\x00\x00imageq\x02X\n\x00\x00\x00train_0001q\x03X\x08\x00\x00\x00question\
        q\x04X\t\x00\x00\x00Is it so?q\x05X\x06\x00\x00\x00answerq\x06X\x03\x00\x00\x00yesq\x07u}q\x08(h\x02X\x08\x00\x00\x00val_0002\
        q\th\x04X\x0b\x00\x00\x00What is it?q\nh\x06X\x06\x00\x00\x00a leafq\x0bue.";
    let images = ["train/train_0001.jpg", "val_0002.jpg"];
    let (_root, what) = collection(Collection::PathVqa, "train_qa.pkl", pickle, &images);
    let pickled = import(&what).unwrap();
    let json = r#"[{"image": "train_0001", "question": "Is it so?", "answer": "yes"},
                   {"image": "val_0002", "question": "What is it?", "answer": "a leaf"}]"#;
    let read = imported(Collection::PathVqa, "qa.json", json, &images);
    assert_eq!(pickled, read);
    let (train, val) = (&read.splits["train"][0], &read.splits["val"][0]);
    assert_eq!(
        (train.answer_type, val.answer_type),
        (Some(AnswerType::Closed), Some(AnswerType::Open))
    );
    assert_eq!(
        train.image,
        Some(PathBuf::from("../images/train/train_0001.jpg"))
    );
    let (_root, what) = collection(Collection::PathVqa, "train_qa.pkl", &pickle[..40], &images);
    assert_eq!(import(&what).unwrap_err().kind(), "dataset-layout");
}

#[test]
fn omnimedvqa_gives_multiple_choice_whatever_its_modality_key_is() {
    let content = r#"[
      {"dataset": "D", "question_id": "D_1", "question_type": "Modality Recognition", "question": "What is it?",
       "gt_answer": "CT", "image_path": "Images/D/a.png", "option_A": "MR", "option_B": "CT", "option_C": "X-ray",
       "modality_type": "CT(Computed Tomography)"},
      {"question_id": "D_2", "question_type": "Disease Diagnosis", "question": "Which?", "gt_answer": "No",
       "image_path": "Images/D/a.png", "option_A": "Yes", "option_B": "No", "option_C": null, "modality": "MR"}]"#;
    let read = imported(
        Collection::OmniMedVqa,
        "D.json",
        content,
        &["Images/D/a.png"],
    );
    let [first, second] = &read.splits["all"][..] else {
        panic!("two records")
    };
    assert_eq!(
        said(first),
        ("What is it?\nA. MR\nB. CT\nC. X-ray".to_owned(), "CT")
    );
    assert_eq!(first.choices, ["MR", "CT", "X-ray"]);
    assert_eq!(
        (second.choices.len(), second.modality.as_deref()),
        (2, Some("MR"))
    );
    assert_eq!(first.answer_type, Some(AnswerType::Choice));

    let wrong = content.replace("\"gt_answer\": \"No\"", "\"gt_answer\": \"Perhaps\"");
    let (_root, what) = collection(
        Collection::OmniMedVqa,
        "D.json",
        wrong.as_bytes(),
        &["Images/D/a.png"],
    );
    let error = import(&what).unwrap_err().to_string();
    assert!(
        error.contains("line 5: the answer is none of the choices"),
        "{error}"
    );
}

#[test]
fn reports_become_questions_whose_answer_is_the_picture() {
    let content = r#"{"train": [{"id": "a", "study_id": 1, "subject_id": 10, "report": "Clear lungs.", "image_path": ["p/a.jpg", "p/b.jpg"],
                    "split": "train"}],
        "test": [{"id": "c", "subject_id": 11, "findings": "Effusion.", "impression": "Failure.", "image_path": "p/a.jpg"}]}"#;
    let read = imported(
        Collection::Reports,
        "annotation.json",
        content,
        &["p/a.jpg"],
    );
    let record = &read.splits["train"][0];
    assert_eq!(
        (record.task, record.subject.as_deref()),
        (Some(RecordTask::Report2Image), Some("10"))
    );
    assert_eq!(record.conversations[0].from, Speaker::Human);
    assert!(record.conversations[0].value.ends_with("\nClear lungs.") && record.image.is_none());
    assert_eq!(
        record.target_image,
        Some(PathBuf::from("../images/p/a.jpg"))
    );
    assert!(
        said(&read.splits["test"][0])
            .0
            .ends_with("Effusion.\nFailure.")
    );
}

#[test]
fn entries_that_cannot_be_used_are_named_by_their_line_and_left_out_only_when_asked() {
    let content = r#"[
      {"image": "train_1", "question": "Is it?", "answer": "no"},
      {"image": "train_2", "question": "Is it?", "answer": "no"},
      {"image": "train_1", "answer": "no"},
      {"image": "train_1", "question": "", "answer": "no"}
    ]"#;
    let (_root, what) = collection(
        Collection::PathVqa,
        "qa.json",
        content.as_bytes(),
        &["train_1.jpg"],
    );
    let error = import(&what).unwrap_err();
    let DatasetError::BadRecords { bad, of: 4, .. } = &error else {
        panic!("{error}")
    };
    let lines: Vec<usize> = bad.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [3, 4, 5]);
    let text = error.to_string();
    assert!(
        text.contains("line 3: the picture is not there: train_2.jpg"),
        "{text}"
    );
    assert!(text.contains("line 4: missing field `question`"), "{text}");
    let skipping = Import {
        on_bad: OnBad::Skip,
        ..what
    };
    let read = import(&skipping).unwrap();
    assert_eq!((read.splits["train"].len(), read.skipped.len()), (1, 3));

    let nowhere = Import {
        images: PathBuf::from("/nowhere"),
        ..skipping
    };
    assert_eq!(import(&nowhere).unwrap_err().kind(), "dataset-nothing");
}
