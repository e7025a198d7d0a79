//! Every way a command can be refused: exit code, kind and message.

use super::*;

#[test]
fn an_empty_question_is_refused_and_later_questions_are_answered() {
    for question in ["", "  "] {
        let ran = workbench(&["ask", "--text-only", question, "--json"]);
        let (kind, message) = ran.error();
        assert_eq!((ran.code, kind.as_str()), (1, "empty-question"));
        assert_eq!(message, "the question is empty; type what you want to know");
    }
}

#[test]
fn a_question_longer_than_the_context_says_by_how_much() {
    let limit = workbench(&[
        "ask",
        "--text-only",
        "Hi",
        "--json",
        "--max-new-tokens",
        "1",
    ])
    .json()["model"]["context_tokens"]
        .as_u64()
        .unwrap();
    let question = "radiology ".repeat(limit as usize);
    let ran = workbench(&["ask", "--text-only", &question, "--json"]);
    let (kind, message) = ran.error();
    assert_eq!((ran.code, kind.as_str()), (1, "prompt-too-long"));
    assert!(
        message.contains(&format!("the model takes {limit}")),
        "{message}"
    );
    assert!(
        message.contains("shorten the question by about"),
        "{message}"
    );
}

#[test]
fn a_corrupt_weight_file_is_named() {
    let (_folder, dir) = model_copy(false);
    let file = weights(&dir, "llm").remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[..64].fill(0xff);
    fs::write(&file, bytes).unwrap();
    let ran = workbench(&["ask", "--text-only", "Hi", "--model", &dir, "--json"]);
    let (kind, message) = ran.error();
    assert_eq!((ran.code, kind.as_str()), (1, "model-damaged"));
    assert!(message.ends_with(file.to_str().unwrap()), "{message}");
}

#[test]
fn a_weight_file_that_changed_since_it_was_converted_is_named() {
    let (_folder, dir) = model_copy(true);
    let file = weights(&dir, "llm").remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.last_mut().unwrap();
    *last ^= 1;
    fs::write(&file, bytes).unwrap();
    let ran = workbench(&["ask", "--text-only", "Hi", "--model", &dir, "--json"]);
    let (kind, message) = ran.error();
    assert_eq!((ran.code, kind.as_str()), (1, "model-changed"));
    assert!(message.ends_with(file.to_str().unwrap()), "{message}");
}

#[test]
fn a_weight_file_that_was_cut_short_is_named() {
    let (_folder, dir) = model_copy(false);
    let file = weights(&dir, "llm").remove(0);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let ran = workbench(&["ask", "--text-only", "Hi", "--model", &dir, "--json"]);
    let (kind, message) = ran.error();
    assert_eq!((ran.code, kind.as_str()), (1, "model-damaged"));
    assert!(message.ends_with(file.to_str().unwrap()), "{message}");
}

#[test]
fn a_missing_shard_is_named() {
    let (_folder, dir) = model_copy(false);
    let shard = "model-00002-of-00002.safetensors";
    fs::remove_file(Path::new(&dir).join("llm").join(shard)).unwrap();
    let ran = workbench(&["ask", "--text-only", "Hi", "--model", &dir, "--json"]);
    let (kind, message) = ran.error();
    assert_eq!((ran.code, kind.as_str()), (1, "model-incomplete"));
    assert!(message.contains(shard), "{message}");
}

#[test]
fn a_folder_that_is_no_model_says_what_a_model_holds() {
    let folder = tempfile::tempdir().unwrap();
    let ran = workbench(&[
        "ask",
        "--text-only",
        "Hi",
        "--model",
        folder.path().to_str().unwrap(),
        "--json",
    ]);
    let (kind, message) = ran.error();
    assert_eq!((ran.code, kind.as_str()), (1, "model-incomplete"));
    assert!(message.contains("a model folder holds model.toml, or llm/ clip/ hlora/ vqgan/"));
}

#[test]
fn a_folder_with_no_images_says_how_many_files_were_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "no image").unwrap();
    fs::write(folder.path().join("more.txt"), "no image").unwrap();
    for command in [
        vec!["inspect"],
        vec!["ask"],
        vec!["render", "--out", "x.png"],
    ] {
        let mut words = command.clone();
        words.extend([folder.path().to_str().unwrap(), "--json"]);
        if command[0] == "ask" {
            words.insert(2, "What is this?");
        }
        let ran = workbench(&words);
        let (kind, message) = ran.error();
        assert_eq!((ran.code, kind.as_str()), (1, "no-images"), "{command:?}");
        assert!(message.contains("2 files looked at"), "{message}");
    }
}

#[test]
fn a_path_that_is_not_there_is_an_error_in_words_and_on_standard_error() {
    let ran = workbench(&["inspect", "/nowhere/at/all"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.starts_with("error: cannot read"), "{}", ran.err);
    assert!(
        ran.err.trim_end().ends_with("/nowhere/at/all"),
        "{}",
        ran.err
    );
}

#[test]
fn a_truncated_dicom_file_is_named_and_the_rest_of_its_series_is_still_read() {
    let folder = copy_of(&sample_ct());
    let mut files: Vec<PathBuf> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let file = files[files.len() / 2].clone();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();

    // Alone it is an error that names it.
    let alone = tempfile::tempdir().unwrap();
    let lone = alone.path().join("cut.dcm");
    let _ = fs::copy(&file, &lone).unwrap();
    let ran = workbench(&["ask", lone.to_str().unwrap(), "What is this?", "--json"]);
    let (kind, message) = ran.error();
    assert_eq!((ran.code, kind.as_str()), (1, "damaged"), "{message}");
    assert!(message.trim_end().ends_with("cut.dcm"), "{message}");

    // Among others it is left out, with its reason.
    let value = workbench(&["inspect", folder.path().to_str().unwrap(), "--json"]).json();
    let skipped = value["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert_eq!(skipped[0]["kind"], "damaged");
    let series = value["series"].as_array().unwrap();
    assert!(!series.is_empty());
}

#[test]
fn an_mr_series_is_no_source_for_ct_to_mri_and_the_error_says_what_is() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("mri.png");
    let study = repo("assets/samples/limb");
    let study = study.to_str().unwrap();
    let series = workbench(&["inspect", study, "--json"]).json()["series"].clone();
    let mr = series
        .as_array()
        .unwrap()
        .iter()
        .find(|series| series["modality"] == "MR")
        .unwrap();
    let words = [
        "generate",
        study,
        "--task",
        "ct2mri",
        "--json",
        "--out",
        out.to_str().unwrap(),
    ];
    let ran = workbench(&[&words[..], &["--series", mr["id"].as_str().unwrap()]].concat());
    let (kind, message) = ran.error();
    assert_eq!((ran.code, kind.as_str()), (1, "wrong-modality"));
    assert!(message.contains("choose another series"), "{message}");
    let ran = workbench(&words);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert_eq!(ran.json()["provenance"]["task"], "ct2mri");
}

#[test]
fn a_slice_that_is_not_there_names_the_last_one() {
    let pictures = pictures();
    let ran = workbench(&[
        "render",
        &pictures.first,
        "--slice",
        "2",
        "--out",
        &pictures.out,
        "--json",
    ]);
    let (kind, message) = ran.error();
    assert_eq!((ran.code, kind.as_str()), (1, "no-slice"));
    assert_eq!(message, "there is no slice 2; the series has slices 1 to 1");
}

#[test]
fn a_task_that_the_model_lacks_is_refused_with_the_reason() {
    let pictures = pictures();
    let (_folder, dir) = model_copy(true);
    edit_manifest(Path::new(&dir), |manifest| {
        for plugin in manifest["plugin"].as_array_mut().unwrap() {
            let capabilities = plugin["capabilities"].as_array_mut().unwrap();
            capabilities.retain(|capability| capability.as_str() != Some("sr4"));
        }
    });
    let ran = workbench(&[
        "generate",
        &pictures.first,
        "--task",
        "sr4",
        "--out",
        &pictures.out,
        "--model",
        &dir,
        "--json",
    ]);
    let (kind, message) = ran.error();
    assert_eq!((ran.code, kind.as_str()), (1, "no-capability"));
    assert!(message.contains("has no plug-in for sr4"), "{message}");
    assert!(!Path::new(&pictures.out).exists());
}

#[test]
fn verify_of_a_model_without_reference_numbers_says_so() {
    let (_folder, dir) = model_copy(false);
    let _ = fs::remove_file(Path::new(&dir).join("expected.json"));
    let (kind, message) = workbench(&["verify", &dir, "--json"]).error();
    assert_eq!(kind, "model-incomplete");
    assert!(message.contains("nothing to compare with"), "{message}");
}

#[test]
fn misuse_ends_with_two_and_says_what_is_right() {
    for (words, right) in [
        (
            vec!["ask", "just-a-study"],
            "give a study and then a question",
        ),
        (
            vec!["ask", "--text-only", "a", "b"],
            "takes a question and no study",
        ),
        (
            vec!["generate", "s", "--task", "comprehend", "--out", "x.png"],
            "use workbench ask",
        ),
        (vec!["render", "s", "--out", "x.jpg"], "must end in .png"),
        (
            vec!["render", "s", "--out", "x.png", "--slice", "0"],
            "0 is not in 1..",
        ),
        (
            vec!["render", "s", "--out", "x.png", "--window", "liver"],
            "give CENTER,WIDTH",
        ),
        (vec!["ask"], "required"),
    ] {
        let plain = workbench(&words);
        assert_eq!((plain.code, plain.out.as_str()), (2, ""), "{words:?}");
        assert!(plain.err.contains(right), "{words:?}: {}", plain.err);
        let mut with_json = words.clone();
        with_json.push("--json");
        let (kind, message) = workbench(&with_json).error();
        assert_eq!(kind, "usage");
        assert!(message.contains(right), "{words:?}: {message}");
    }
}
