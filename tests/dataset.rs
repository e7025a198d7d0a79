//! Records: what is read, what is refused and why, and what is made of scans.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use engine::dataset::alignment::Shifts;
use engine::dataset::codes::with_codes;
use engine::dataset::from_pairs::{FromPairs, from_pairs};
use engine::dataset::from_volumes::{FromVolumes, from_volumes};
use engine::dataset::pairs::load_pairs;
use engine::dataset::{AnswerType, DatasetError, OnBad, Record, RecordTask, Records, records};

use crate::evaluation::write_pairs;
use crate::support::{load, tiny_model};
use crate::training::write_subject;

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

fn go_on(_: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn pairs(root: &Path, tasks: &[RecordTask]) -> FromPairs {
    write_pairs(&root.join("pairs"));
    FromPairs {
        pairs: root.join("pairs"),
        out: root.join("out"),
        tasks: tasks.to_vec(),
        side: 256,
        shifts: None,
        seed: 1,
        own_words: false,
        reworded: false,
        turned: 0,
    }
}

#[test]
fn pairs_become_pictures_of_the_models_own_input_and_records_of_every_task() {
    let root = tempfile::tempdir().unwrap();
    let what = pairs(root.path(), &RecordTask::ALL[..6]);
    let made = from_pairs(&what, &mut go_on).unwrap();
    assert!(
        made.warnings.is_empty() && made.dice.len() == 2,
        "{:?}",
        made.warnings
    );
    let of = |task| {
        made.records
            .iter()
            .filter(move |record| record.task == Some(task))
    };
    // Four slices of two subjects; reconstruction and super-resolution start from both modalities.
    assert_eq!(
        (
            of(RecordTask::Ct2Mri).count(),
            of(RecordTask::Mri2Ct).count()
        ),
        (8, 8)
    );
    assert_eq!(
        (
            of(RecordTask::Sr4).count(),
            of(RecordTask::Reconstruct).count()
        ),
        (16, 16)
    );
    assert!(
        made.records
            .iter()
            .all(|record| record.fault(&what.out).is_none())
    );

    let shown = load_pairs(&what.pairs, &mut go_on).unwrap();
    let first = of(RecordTask::Ct2Mri).next().unwrap();
    let open = |path: &Path| image::open(what.out.join(path)).unwrap();
    let input = open(first.image.as_ref().unwrap());
    assert_eq!(input.color(), image::ColorType::L8);
    assert_eq!(input.to_luma8().into_raw(), shown[0].ct);
    let target = open(first.target_image.as_ref().unwrap());
    assert_eq!(target.to_luma8().into_raw(), shown[0].mr);

    // Only A has a lesion, in slices 1 and 2: it lies in the upper left of the limb and is 14 mm across.
    let visible: Vec<&str> = of(RecordTask::Vqa)
        .filter(|record| record.topic.as_deref() == Some("lesion"))
        .filter(|record| record.conversations[1].value == "yes")
        .map(|record| record.id.as_deref().unwrap())
        .collect();
    let expected = [
        "A/axial/1/CT",
        "A/axial/1/MR",
        "A/axial/2/CT",
        "A/axial/2/MR",
    ];
    assert_eq!(visible, expected.map(|id| format!("{id}/lesion")));
    let answers = |topic: &str| -> Vec<&str> {
        of(RecordTask::Vqa)
            .filter(|record| record.topic.as_deref() == Some(topic))
            .map(|record| record.conversations[1].value.as_str())
            .collect()
    };
    assert_eq!(answers("lesion place"), ["upper left"; 4]);
    assert_eq!(answers("lesion size"), ["less than 5 cm"; 4]);
    let planes = answers("plane");
    assert!(
        planes.contains(&"axial") && planes.len() > 16,
        "other planes are asked about too"
    );
    let described = of(RecordTask::Describe).next().unwrap();
    assert!(
        described.conversations[1].value.contains("15 mm"),
        "{described:?}"
    );
}

#[test]
fn the_same_seed_makes_the_same_records() {
    let root = tempfile::tempdir().unwrap();
    let what = pairs(root.path(), &[RecordTask::Vqa, RecordTask::Sr4]);
    let first = from_pairs(&what, &mut go_on).unwrap();
    let one_task = FromPairs {
        tasks: vec![RecordTask::Vqa],
        ..what.clone()
    };
    let again = from_pairs(&one_task, &mut go_on).unwrap();
    let vqa: Vec<&Record> = first
        .records
        .iter()
        .filter(|record| record.task == Some(RecordTask::Vqa))
        .collect();
    assert_eq!(
        vqa,
        again.records.iter().collect::<Vec<_>>(),
        "whatever else is made"
    );
    let other = from_pairs(
        &FromPairs {
            seed: 2,
            ..one_task
        },
        &mut go_on,
    )
    .unwrap();
    assert_ne!(other.records, again.records);
}

#[test]
fn turned_patients_are_asked_about_in_pictures_of_their_own_and_sagittal_ones_keep_their_sides() {
    let root = tempfile::tempdir().unwrap();
    let plain = pairs(root.path(), &[RecordTask::Vqa, RecordTask::Ct2Mri]);
    let before = from_pairs(&plain, &mut go_on).unwrap();
    let what = FromPairs {
        turned: 3,
        ..plain.clone()
    };
    let made = from_pairs(&what, &mut go_on).unwrap();
    let id = |record: &&Record| record.id.clone().unwrap();
    let (turned, rest): (Vec<&Record>, Vec<&Record>) = made
        .records
        .iter()
        .partition(|record| id(record).contains("-turned/"));
    assert_eq!(
        rest,
        before.records.iter().collect::<Vec<_>>(),
        "what was asked before is asked still"
    );
    for (plane, sided) in [("coronal", false), ("sagittal", true)] {
        let of: Vec<&&Record> = turned
            .iter()
            .filter(|record| id(record).contains(&format!("/{plane}-turned/")))
            .collect();
        assert!(
            of.len() > 12,
            "{plane}: {} of 3 slices of two legs",
            of.len()
        );
        for record in &of {
            assert_eq!(record.sided, sided, "{record:?}");
            assert_eq!(record.task, Some(RecordTask::Vqa));
            assert!(record.fault(&what.out).is_none(), "{record:?}");
        }
        let named = of.iter().filter(|record| {
            record.topic.as_deref() == Some("plane")
                && record.answer_type == Some(AnswerType::Choice)
        });
        for record in named {
            assert_eq!(record.conversations[1].value, plane);
        }
        // The leg was turned: none of its pictures was there before.
        let level = |record: &Record| {
            let path = what.out.join(record.image.as_ref().unwrap());
            image::open(path).unwrap().to_luma8().into_raw()
        };
        let old: Vec<Vec<u8>> = rest
            .iter()
            .filter(|record| id(record).contains(&format!("/{plane}/")))
            .map(|record| level(record))
            .collect();
        assert!(!old.is_empty() && of.iter().all(|record| !old.contains(&level(record))));
    }
    let upright = rest.iter().filter(|record| record.sided);
    assert!(
        upright
            .clone()
            .all(|record| id(record).contains("/sagittal/"))
    );
    assert!(upright.count() > 0);
}

#[test]
fn with_own_words_images_are_asked_for_as_the_buttons_do() {
    let root = tempfile::tempdir().unwrap();
    let what = pairs(root.path(), &[RecordTask::Ct2Mri, RecordTask::Sr4]);
    let asks = |own_words: bool| -> Vec<bool> {
        let what = FromPairs {
            own_words,
            ..what.clone()
        };
        let made = from_pairs(&what, &mut go_on).unwrap();
        let own = |record: &Record| {
            let task = record.task.and_then(RecordTask::model_task).unwrap();
            record.conversations[0].value == format!("<image>\n{}", task.instruction())
        };
        made.records.iter().map(own).collect()
    };
    assert!(asks(true).into_iter().all(|own| own));
    let varied = asks(false);
    assert!(varied.contains(&true) && varied.contains(&false));
}

#[test]
fn a_shift_moves_mr_onto_ct_and_a_pair_that_lies_badly_is_warned_of() {
    let root = tempfile::tempdir().unwrap();
    let table = root.path().join("alignment.tsv");
    fs::write(&table, "subject\trecommended_shift\nA\t3,0\nB\t0,0\n").unwrap();
    let what = FromPairs {
        shifts: Some(Shifts::open(&table).unwrap()),
        ..pairs(root.path(), &[RecordTask::Ct2Mri])
    };
    // MR of A is drawn 3 voxels to the right of its CT.
    let folder = what.pairs.join("A");
    write_subject(&what.pairs.join("moved"), 3);
    fs::rename(
        what.pairs.join("moved/mr_t1.nii.gz"),
        folder.join("mr_t1.nii.gz"),
    )
    .unwrap();
    fs::remove_dir_all(what.pairs.join("moved")).unwrap();
    let made = from_pairs(&what, &mut go_on).unwrap();
    let record = &made.records[0];
    let level = |path: &Path, x, y| {
        image::open(what.out.join(path))
            .unwrap()
            .to_luma8()
            .get_pixel(x, y)
            .0[0]
    };
    let target = record.target_image.as_ref().unwrap();
    assert!(
        target.to_str().unwrap().contains("moved"),
        "{}",
        target.display()
    );
    // The bone, bright in CT and dark in MR, is at the same place again.
    assert_eq!(level(record.image.as_ref().unwrap(), 128, 128), 255);
    assert!(level(target, 128, 128) < 30);

    write_subject(&what.pairs.join("moved"), -16);
    fs::rename(
        what.pairs.join("moved/mr_t1.nii.gz"),
        folder.join("mr_t1.nii.gz"),
    )
    .unwrap();
    fs::remove_dir_all(what.pairs.join("moved")).unwrap();
    let made = from_pairs(&what, &mut go_on).unwrap();
    let [warning] = &made.warnings[..] else {
        panic!("{:?}", made.warnings)
    };
    assert!(
        warning.starts_with("A: ") && warning.contains("outline Dice 0."),
        "{warning}"
    );
}

#[test]
fn single_volumes_give_pictures_for_reconstruction_and_super_resolution_and_name_nobody() {
    let root = tempfile::tempdir().unwrap();
    write_pairs(&root.path().join("Doe^Jane"));
    let what = FromVolumes {
        paths: vec![
            root.path().join("Doe^Jane/A/ct.nii.gz"),
            root.path().join("Doe^Jane/B/mr_t1.nii.gz"),
        ],
        out: root.path().join("out"),
        tasks: vec![RecordTask::Sr4, RecordTask::Reconstruct],
        side: 64,
        seed: 1,
    };
    let made = from_volumes(&what, &mut go_on).unwrap();
    assert_eq!(made.records.len(), 2 * 2 * 4);
    assert!(
        made.records
            .iter()
            .all(|record| record.fault(&what.out).is_none())
    );
    let text = serde_json::to_string(&made.records).unwrap();
    assert!(!text.contains("Doe"), "{text}");
    let modalities: Vec<&str> = made
        .records
        .iter()
        .filter_map(|record| record.modality.as_deref())
        .collect();
    assert!(
        modalities.contains(&"CT") && modalities.contains(&"MR"),
        "{modalities:?}"
    );
    let sr4 = made
        .records
        .iter()
        .find(|record| record.task == Some(RecordTask::Sr4))
        .unwrap();
    let open = |path: &Option<PathBuf>| {
        image::open(what.out.join(path.as_ref().unwrap()))
            .unwrap()
            .to_luma8()
    };
    let (low, high) = (open(&sr4.image), open(&sr4.target_image));
    assert_eq!(low.dimensions(), (64, 64));
    assert!(low != high, "the input has lost its detail");
}

#[test]
fn codes_are_written_into_the_answers_once() {
    let root = tempfile::tempdir().unwrap();
    let what = pairs(root.path(), &[RecordTask::Reconstruct]);
    let made = from_pairs(&what, &mut go_on).unwrap();
    let file = what.out.join("reconstruct.json");
    records::write(&file, &made.records[..4]).unwrap();
    let model = load(&tiny_model()).unwrap();
    let read = || Records::read(&file, OnBad::Refuse).unwrap();
    let coded = with_codes(&model, read(), false, &mut go_on).unwrap();
    let side = model.vqgan.as_ref().unwrap().0.side;
    for record in &coded {
        assert_eq!(record.target_codes().unwrap().len(), side * side);
        assert!(record.target_image.is_none() && record.fault(&what.out).is_none());
    }
    assert_eq!(
        with_codes(&model, read(), true, &mut go_on).unwrap()[0].target_image,
        made.records[0].target_image
    );
}
