//! The command line in process, with the bundled model: each command once, and every way it can be refused.

use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;
use workbench::cli::{Outcome, Streams, run};

use crate::support::{copy_of, repo, tiny_model};

/// What a command left behind.
struct Ran {
    code: u8,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    /// The error of a failed command with `--json`: kind and message.
    fn error(&self) -> (String, String) {
        let value = self.json();
        let text = |key: &str| value["error"][key].as_str().unwrap().to_owned();
        assert_ne!(self.code, 0, "{}", self.out);
        (text("kind"), text("message"))
    }
}

fn workbench(words: &[&str]) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let words: Vec<_> = ["workbench", "--device", "cpu"]
        .iter()
        .chain(words)
        .map(|word| (*word).into())
        .collect();
    let streams = Streams {
        out: &mut out,
        err: &mut err,
        terminal: false,
    };
    let outcome = run(&words, streams);
    let Outcome::Exit(code) = outcome else {
        panic!("{words:?} opens the window");
    };
    Ran {
        code,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

/// A folder with two different pictures.
struct Pictures {
    _folder: TempDir,
    first: String,
    second: String,
    out: String,
}

fn pictures() -> Pictures {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (first, second, out) = (path("a.png"), path("b.png"), path("out.png"));
    let picture = |shift: u32| {
        RgbImage::from_fn(40, 30, |x, y| {
            Rgb([(x * 6) as u8, (y * 8) as u8, ((x + y + shift) % 256) as u8])
        })
    };
    picture(0).save(&first).unwrap();
    picture(90).save(&second).unwrap();
    Pictures {
        _folder: folder,
        first,
        second,
        out,
    }
}

/// A copy of the bundled model that may be damaged. Without the manifest's hashes, the readers themselves have to
/// notice what is wrong.
fn model_copy(hashes: bool) -> (TempDir, String) {
    let folder = copy_of(&tiny_model());
    if !hashes {
        edit_manifest(folder.path(), |manifest| {
            let _ = manifest.remove("sha256");
        });
    }
    let dir = folder.path().to_str().unwrap().to_owned();
    (folder, dir)
}

fn edit_manifest(dir: &Path, edit: impl FnOnce(&mut toml::Table)) {
    let path = dir.join("model.toml");
    let mut manifest: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    edit(&mut manifest);
    fs::write(path, manifest.to_string()).unwrap();
}

/// The weight files of a part, largest first.
fn weights(dir: &str, part: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(dir).join(part))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ext| ext == "safetensors" || ext == "bin")
        })
        .collect();
    files.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
    assert!(!files.is_empty(), "no weights in {part}");
    files
}

#[test]
fn a_text_only_question_is_answered_without_a_study() {
    let ran = workbench(&["ask", "--text-only", "What is a CT?", "--json"]);
    let value = ran.json();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        value["answers"][0]["ids"]
            .as_array()
            .is_some_and(|ids| !ids.is_empty())
    );
    assert_eq!(value["images"], Value::Array(Vec::new()));
    assert_eq!(value["notice"], "research use only, not for diagnosis");
    assert_eq!(value["untrained_test_model"], true);
}

#[test]
fn an_answer_about_a_picture_streams_to_standard_output_and_says_what_it_is_worth() {
    let pictures = pictures();
    let json = workbench(&["ask", &pictures.first, "What is this?", "--json"]).json();
    let ran = workbench(&["ask", &pictures.first, "What is this?"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("untrained test model"), "{}", ran.out);
    let answer = json["answer"].as_str().unwrap();
    assert!(
        !answer.is_empty() && ran.out.contains(answer),
        "{}",
        ran.out
    );
    assert!(
        ran.err.contains("research use only, not for diagnosis"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("device: CPU (burn-flex): chosen by you"),
        "{}",
        ran.err
    );
    let hash = json["images"][0]["sha256"].as_str().unwrap();
    assert_eq!(hash.len(), 64);
}

#[test]
fn a_follow_up_has_the_first_exchange_in_its_prompt() {
    let pictures = pictures();
    let value = workbench(&[
        "ask",
        &pictures.first,
        "What is this?",
        "--follow-up",
        "And why?",
        "--json",
        "--max-new-tokens",
        "8",
    ])
    .json();
    let tokens = |i: usize| value["answers"][i]["prompt_tokens"].as_u64().unwrap();
    let answered = value["answers"][0]["ids"].as_array().unwrap().len() as u64;
    assert!(
        tokens(1) >= tokens(0) + answered,
        "{} after {}",
        tokens(1),
        tokens(0)
    );
    assert_eq!(value["answers"][1]["question"], "And why?");
    assert_eq!(value["answer"], value["answers"][1]["text"]);
}

#[test]
fn two_pictures_make_a_prompt_with_two_images() {
    let pictures = pictures();
    let one = workbench(&["ask", &pictures.first, "Compare", "--json"]).json();
    let ran = workbench(&[
        "ask",
        &pictures.first,
        &pictures.second,
        "Compare",
        "--json",
    ]);
    let two = ran.json();
    assert_eq!(two["images"].as_array().unwrap().len(), 2);
    assert_ne!(two["images"][0]["sha256"], two["images"][1]["sha256"]);
    let tokens = |value: &Value| value["answers"][0]["prompt_tokens"].as_u64().unwrap();
    let image = one["model"]["image_tokens"].as_u64().unwrap();
    assert!(tokens(&two) >= tokens(&one) + image);
    assert!(
        ran.err.contains("not trained on several images"),
        "{}",
        ran.err
    );
}

#[test]
fn the_same_seed_gives_the_same_answer_and_another_seed_another() {
    let ids = |seed: &str| {
        let value = workbench(&[
            "ask",
            "--text-only",
            "Hello",
            "--json",
            "--temperature",
            "1000",
            "--seed",
            seed,
            "--max-new-tokens",
            "24",
        ])
        .json();
        value["answers"][0]["ids"].clone()
    };
    assert_eq!(ids("7"), ids("7"));
    assert_ne!(ids("7"), ids("8"));
}

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

/// The CT of the sample study: a folder of DICOM files.
fn sample_ct() -> PathBuf {
    let mut folders = vec![repo("assets/samples/limb")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "dcm")
                && folder
                    .file_name()
                    .is_some_and(|name| name.eq_ignore_ascii_case("ct"))
            {
                return folder;
            }
        }
    }
    panic!("the sample study has no ct folder");
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
fn the_sample_study_renders_in_every_plane_and_slices_count_from_one() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("slice.png");
    let (study, out) = (sample_ct(), out.to_str().unwrap());
    let render = |more: &[&str]| {
        let mut words = vec!["render", study.to_str().unwrap(), "--out", out, "--json"];
        words.extend(more);
        workbench(&words)
    };
    let first = render(&["--slice", "1", "--window", "40,400"]).json();
    assert_eq!(first["slice"], 1);
    assert_eq!(first["modality"], "CT");
    assert_eq!(first["window"], serde_json::json!([40.0, 400.0]));
    let bone = render(&["--slice", "1", "--window", "bone"]).json();
    assert_eq!(bone["window"], serde_json::json!([350.0, 2000.0]));
    assert_ne!(first["sha256"], bone["sha256"]);
    for plane in ["axial", "coronal", "sagittal"] {
        let value = render(&["--plane", plane]).json();
        assert_eq!(value["plane"], plane);
    }
    let (kind, message) = render(&["--slice", "9999"]).error();
    assert_eq!(kind, "no-slice");
    assert!(
        message.starts_with("there is no slice 9999; the series has slices 1 to "),
        "{message}"
    );
}

#[test]
fn several_slices_of_a_study_make_one_prompt_and_the_ct_is_taken_first() {
    let study = repo("assets/samples/limb");
    let ran = workbench(&[
        "ask",
        study.to_str().unwrap(),
        "--slice",
        "2",
        "--slice",
        "4",
        "Compare",
        "--json",
        "--max-new-tokens",
        "4",
    ]);
    let value = ran.json();
    let images = value["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    assert_eq!(
        (&images[0]["slice"], &images[1]["slice"]),
        (&2.into(), &4.into())
    );
    assert_eq!(images[0]["modality"], "CT");
    assert!(ran.err.contains(": CT, "), "{}", ran.err);
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
fn a_generated_image_is_marked_and_has_its_history_beside_it() {
    let pictures = pictures();
    let ran = workbench(&[
        "generate",
        &pictures.first,
        "--task",
        "reconstruct",
        "--out",
        &pictures.out,
        "--json",
    ]);
    let value = ran.json();
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert_eq!(value["untrained_test_model"], true);
    let side_car: Value =
        serde_json::from_str(&fs::read_to_string(format!("{}.json", pictures.out)).unwrap())
            .unwrap();
    assert_eq!(side_car["synthetic"], true);
    assert_eq!(side_car["task"], "reconstruct");
    assert_eq!(side_car["input_sha256"], value["input"]["sha256"]);
    let image = image::open(&pictures.out).unwrap().to_rgb8();
    assert_eq!(value["width"], image.width());
    // The picture's own pixels differ from those written: the mark is burnt in.
    let marked = engine::imaging::picture_hash(&image);
    assert_ne!(side_car["output_sha256"].as_str(), Some(marked.as_str()));
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
fn a_rendered_picture_has_the_pixels_that_the_model_gets() {
    let pictures = pictures();
    let rendered = workbench(&["render", &pictures.first, "--out", &pictures.out, "--json"]).json();
    let asked = workbench(&[
        "ask",
        &pictures.first,
        "Hi",
        "--json",
        "--max-new-tokens",
        "1",
    ])
    .json();
    assert_eq!(rendered["sha256"], asked["images"][0]["sha256"]);
    let written = image::open(&pictures.out).unwrap().to_rgb8();
    let hash = engine::imaging::picture_hash(&written);
    assert_eq!(rendered["sha256"].as_str(), Some(hash.as_str()));
}

#[test]
fn inspect_lists_every_series_and_why_a_file_is_left_out() {
    let pictures = pictures();
    let folder = Path::new(&pictures.first).parent().unwrap();
    fs::write(folder.join("notes.txt"), "no image").unwrap();
    let value = workbench(&["inspect", folder.to_str().unwrap(), "--json"]).json();
    assert_eq!(value["series"].as_array().unwrap().len(), 2);
    assert_eq!(value["series"][0]["size"], serde_json::json!([40, 30, 1]));
    assert_eq!(value["skipped"].as_array().unwrap().len(), 1);
    let text = workbench(&["inspect", folder.to_str().unwrap()]).out;
    assert!(
        text.contains("series 2") && text.contains("40 x 30 x 1"),
        "{text}"
    );
}

#[test]
fn the_demo_writes_answers_and_images() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let ran = workbench(&["demo", "--out", out.to_str().unwrap(), "--no-screenshot"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report: Value =
        serde_json::from_str(&fs::read_to_string(out.join("answers.json")).unwrap()).unwrap();
    assert_eq!(report["answers"].as_array().unwrap().len(), 3);
    assert!(
        report["first_token_secs"].as_f64().unwrap() < 3.0,
        "{}",
        report["first_token_secs"]
    );
    assert!(
        report["image_secs"].as_f64().unwrap() < 60.0,
        "{}",
        report["image_secs"]
    );
    let text = fs::read_to_string(out.join("answers.md")).unwrap();
    assert!(text.contains("untrained test model"), "{text}");
    for name in ["input.png", "generated.png", "generated.png.json"] {
        assert!(out.join(name).is_file(), "{name}");
    }
}

#[test]
fn a_model_converts_and_answers_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("converted");
    let (model, out) = (tiny_model(), out.to_str().unwrap());
    let ran = workbench(&[
        "convert",
        model.to_str().unwrap(),
        out,
        "--name",
        "copy",
        "--untrained",
        "--json",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    let ask = |model: &str| {
        let value = workbench(&["ask", "--text-only", "Hi", "--model", model, "--json"]).json();
        (
            value["model"]["name"].clone(),
            value["answers"][0]["ids"].clone(),
        )
    };
    let (name, ids) = ask(out);
    assert_eq!(name, "copy");
    assert_eq!(ids, ask(model.to_str().unwrap()).1);
    let again = workbench(&["convert", model.to_str().unwrap(), out, "--json"]);
    assert!(again.error().1.contains("exists already"));
}

#[test]
fn verify_passes_on_the_bundled_model_and_fails_past_tolerance() {
    let model = tiny_model();
    let ran = workbench(&["verify", model.to_str().unwrap(), "--json"]);
    let value = ran.json();
    assert_eq!(
        (ran.code, &value["passed"]),
        (0, &Value::Bool(true)),
        "{}",
        ran.out
    );
    assert!(value["stages"].as_array().unwrap().len() > 50);

    // One wrong id in the reference: the table names the stage, and the exit code says it.
    let (_folder, dir) = model_copy(true);
    let path = Path::new(&dir).join("expected.json");
    let mut expected: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    expected["com"]["prompt_ids"][0] = serde_json::json!(7);
    fs::write(&path, expected.to_string()).unwrap();
    let ran = workbench(&["verify", &dir]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    let row = ran
        .out
        .lines()
        .find(|line| line.ends_with("past tolerance"))
        .unwrap();
    assert!(
        row.starts_with("com") && row.contains("prompt_ids"),
        "{row}"
    );
    assert!(
        ran.out.ends_with("stages are past tolerance\n"),
        "{}",
        ran.out
    );
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

#[test]
fn help_and_version_end_well() {
    let help = workbench(&["--help"]);
    assert_eq!(help.code, 0);
    for command in [
        "ask", "generate", "render", "inspect", "verify", "convert", "demo",
    ] {
        assert!(help.out.contains(&format!("\n  {command}")), "{command}");
    }
    assert_eq!(
        workbench(&["--version"]).out,
        concat!("workbench ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn without_a_command_the_window_opens_on_the_sample_study_with_the_tiny_model() {
    let start = |words: &[&str]| {
        let streams = Streams {
            out: &mut Vec::new(),
            err: &mut Vec::new(),
            terminal: false,
        };
        let words: Vec<_> = words.iter().map(|word| (*word).into()).collect();
        match run(&words, streams) {
            Outcome::Window(start) => start,
            Outcome::Exit(code) => panic!("exit {code}"),
        }
    };
    let sample = start(&["workbench"]);
    assert!(sample.studies.len() == 1 && sample.studies[0].ends_with("samples/limb"));
    assert!(
        sample
            .model
            .is_some_and(|model| model.join("model.toml").is_file())
    );
    assert!(sample.plan.is_none());
    let chosen = start(&["workbench", "a", "b", "--model", "m"]);
    assert_eq!(chosen.studies, [PathBuf::from("a"), PathBuf::from("b")]);
    assert_eq!(chosen.model, Some("m".into()));
    let shot = start(&[
        "workbench",
        "screenshot",
        "a",
        "--out",
        "w.png",
        "--question",
        "Q",
        "--task",
        "ct2mri",
    ]);
    let plan = shot.plan.unwrap();
    assert_eq!(
        (plan.questions, plan.task),
        (vec!["Q".to_owned()], Some(engine::Task::Ct2Mri))
    );
}
