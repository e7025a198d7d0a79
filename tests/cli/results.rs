//! What each command gives.

use super::*;

/// Small, so that it takes no time: what is measured means nothing here.
#[test]
fn bench_viewer_measures_a_ct_that_it_makes() {
    let folder = tempfile::tempdir().unwrap();
    let keep = folder.path().join("ct");
    let kept = keep.to_str().unwrap();
    let words = [
        "bench", "viewer", "--slices", "4", "--frames", "1", "--json", "--keep", kept,
    ];
    let report = workbench(&words).json();
    for name in [
        "header scan",
        "load",
        "first slice",
        "window drag, 512 x 512, p99",
    ] {
        assert!(report[name]["value"].is_number(), "{name}: {report}");
    }
    let files = fs::read_dir(&keep).unwrap().count();
    assert_eq!(files, 4, "the CT is kept for other programs");
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
fn each_of_several_slices_gets_a_picture_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("made.png");
    let study = repo("assets/samples/limb");
    let value = workbench(&[
        "generate",
        study.to_str().unwrap(),
        "--task",
        "reconstruct",
        "--slice",
        "2",
        "--slice",
        "4",
        "--out",
        out.to_str().unwrap(),
        "--json",
    ])
    .json();
    let made = value["pictures"].as_array().unwrap();
    assert_eq!(made.len(), 2);
    for (picture, slice) in made.iter().zip([2, 4]) {
        assert_eq!(picture["input"]["slice"], slice);
        let path = folder.path().join(format!("made-00{slice}.png"));
        assert_eq!(picture["out"].as_str(), path.to_str());
        assert!(path.is_file() && path.with_extension("png.json").is_file());
    }
    assert_ne!(
        made[0]["provenance"]["output_sha256"],
        made[1]["provenance"]["output_sha256"]
    );
    assert_eq!(value["untrained_test_model"], true);
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

/// The first start: the model that comes with the program converts the scan that comes with it, and offers nothing else.
#[test]
fn the_bundled_model_turns_bright_fat_on_dark_ct_into_bright_fat_on_mr() {
    let study = sample_ct();
    let study = study.to_str().unwrap();
    let pictures = pictures();
    let made = [
        "generate",
        study,
        "--slice",
        "11",
        "--out",
        &pictures.out,
        "--json",
    ];
    let ran = workbench_as_installed(&[&made[..], &["--task", "ct2mri"]].concat());
    let value = ran.json();
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert_eq!(value["untrained_test_model"], false);
    for (scanner, answer) in [("ct", "CT"), ("mr", "MRI")] {
        let series = repo("assets/samples/limb").join(scanner);
        let series = series.to_str().unwrap();
        let asked = workbench_as_installed(&["ask", series, "--slice", "11", "Is this CT or MRI?"]);
        assert!(
            asked.out.contains("a quarter of the slices"),
            "{}",
            asked.out
        );
        assert_eq!(asked.out.trim().lines().last(), Some(answer));
    }
    // Below the mark: fat is bright, muscle is not, and neither fills the picture.
    let image = image::open(&pictures.out).unwrap().to_luma8();
    let rows = image.height() / 2..image.height();
    let levels: Vec<u8> = rows
        .flat_map(|y| (0..image.width()).map(move |x| (x, y)))
        .map(|(x, y)| image.get_pixel(x, y).0[0])
        .collect();
    let share = |of: std::ops::Range<u8>| {
        let count = levels.iter().filter(|level| of.contains(level)).count();
        count as f64 / levels.len() as f64
    };
    let (fat, muscle) = (share(180..255), share(40..140));
    assert!((0.1..0.8).contains(&fat) && muscle > 0.2, "{fat} {muscle}");

    // Four times the resolution is another task: the scan itself, bone and all.
    let ran = workbench_as_installed(&[&made[..], &["--task", "sr4"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.out);
    let sharp = image::open(&pictures.out).unwrap().to_luma8();
    let rows = sharp.height() / 2..sharp.height();
    let bright = |image: &image::GrayImage| {
        let at = rows
            .clone()
            .flat_map(|y| (0..image.width()).map(move |x| (x, y)));
        at.filter(|(x, y)| image.get_pixel(*x, *y).0[0] > 180)
            .count()
    };
    assert!(
        bright(&sharp) * 3 < bright(&image),
        "bone alone is bright on CT"
    );
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
    assert!(sample.studies.is_empty() && sample.shared);
    assert!(sample.sample.len() == 1 && sample.sample[0].ends_with("samples/limb"));
    assert!(
        sample
            .model
            .is_some_and(|model| model.join("model.toml").is_file())
    );
    assert!(sample.plan.is_none());
    let chosen = start(&["workbench", "a", "b", "--model", "m"]);
    assert_eq!(chosen.studies, [PathBuf::from("a"), PathBuf::from("b")]);
    assert_eq!(chosen.model, Some("m".into()));
    assert!(chosen.sample.is_empty() && !chosen.shared);
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

#[test]
fn the_adapters_are_listed_and_a_number_that_is_none_of_theirs_is_refused() {
    let value = workbench(&["devices", "--json"]).json();
    let adapters = value["adapters"].as_array().unwrap();
    assert!(!adapters.is_empty(), "setup.sh installs a software adapter");
    for adapter in adapters {
        assert!(
            adapter["name"]
                .as_str()
                .is_some_and(|name| name.contains('('))
        );
        assert!(
            adapter["kind"]
                .as_str()
                .is_some_and(|kind| !kind.is_empty())
        );
    }
    let (_, message) = program(&["ask", "--device", "200", "--text-only", "x", "--json"]).error();
    assert!(message.contains("no adapter 200"), "{message}");
    assert!(message.contains("workbench devices"), "{message}");
    let (kind, _) = program(&["ask", "--device", "0", "--text-only", "x", "--json"]).error();
    assert_eq!(kind, "usage");
}
