//! Scores: the numbers of scikit-image, what an evaluation looks at, and how it goes on after a stop.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use engine::dataset::facts::Scanner;
use engine::dataset::from_pairs::{FromPairs, from_pairs};
use engine::dataset::{OnBad, RecordTask, records};
use engine::eval::accuracy::AnswerSummary;
use engine::eval::lpips::Lpips;
use engine::eval::pictures::{PictureRow, PictureSummary};
use engine::eval::questions::AnswerRow;
use engine::eval::{Evaluation, Report, Source, evaluate};
use engine::imaging::metrics;
use engine::model::HealthGpt;
use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::fixtures::Nifti;
use crate::support::{load, repo, tiny_model};
use crate::training::write_subject;

/// Two legs, the first with a lesion in its two lower slices.
pub fn write_pairs(folder: &Path) {
    write_subject(&folder.join("A"), 0);
    write_subject(&folder.join("B"), 5);
    for (subject, slices) in [("A", 2), ("B", 0)] {
        let mut voxels = vec![0_i16; 40 * 40 * 4];
        for z in 0..slices {
            for y in 10..20 {
                for x in 8..18 {
                    voxels[(z * 40 + y) * 40 + x] = 1;
                }
            }
        }
        let mut nifti = Nifti::of_i16([40, 40, 4], &voxels);
        nifti.sform = Some([
            [-1.0, 0.0, 0.0, 0.0],
            [0.0, -1.0, 0.0, 0.0],
            [0.0, 0.0, 3.0, 0.0],
        ]);
        let file = fs::File::create(folder.join(subject).join("gtv.nii.gz")).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gzip.write_all(&nifti.bytes()).unwrap();
        let _ = gzip.finish().unwrap();
    }
}

fn pictures(model: &HealthGpt, eval: &Evaluation) -> (Vec<PictureRow>, PictureSummary) {
    match evaluate(model, eval, &mut |_, _| ControlFlow::Continue(())).unwrap() {
        Report::Pictures { rows, summary } => (rows, *summary),
        Report::Answers { .. } => panic!("these are answers"),
    }
}

fn answers(model: &HealthGpt, eval: &Evaluation) -> (Vec<AnswerRow>, AnswerSummary) {
    match evaluate(model, eval, &mut |_, _| ControlFlow::Continue(())).unwrap() {
        Report::Answers { rows, summary } => (rows, *summary),
        Report::Pictures { .. } => panic!("these are pictures"),
    }
}

/// The pictures are made as `tests/golden/metrics/make.py` makes them.
#[test]
fn ssim_psnr_mse_and_mae_are_those_of_scikit_image() {
    let golden = fs::read_to_string(repo("tests/golden/metrics/metrics.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let int = |key: &str| case[key].as_i64().unwrap();
        let (width, height, noise) = (int("width"), int("height"), int("noise"));
        let mut state = int("seed");
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for y in 0..height {
            for x in 0..width {
                state = (state * 1_103_515_245 + 12_345) % (1 << 31);
                let level = (3 * x + 2 * y) % 256;
                a.push(level as f64);
                b.push((level + (state >> 16) % (2 * noise + 1) - noise).clamp(0, 255) as f64);
            }
        }
        for (key, value) in [
            ("ssim", metrics::ssim(&a, &b, width as usize)),
            ("psnr", metrics::psnr(&a, &b)),
            ("mse", metrics::mse(&a, &b)),
            ("mae", metrics::mae(&a, &b)),
        ] {
            let expected = case[key].as_f64().unwrap();
            // scikit-image adds in another order: some 1e-15 of the sums of 65536 products.
            assert!(
                (value - expected).abs() <= 1e-9 * expected.abs(),
                "{key}: {value}, {expected}"
            );
        }
    }
}

/// The pictures and the network are those of `tests/golden/metrics/make_lpips.py`.
#[test]
fn lpips_is_that_of_the_published_formula_and_needs_the_users_network() {
    let golden = fs::read_to_string(repo("tests/golden/metrics/lpips.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let picture = |levels: fn(u32, u32) -> [u32; 3]| {
        RgbImage::from_fn(64, 64, |x, y| {
            Rgb(levels(x, y).map(|level| (level % 256) as u8))
        })
    };
    let a = picture(|x, y| [3 * x + 2 * y, 5 * x + y, x * y]);
    let b = picture(|x, y| [3 * x + 2 * y + 40, 5 * x + 3 * y, x * y + x]);
    let network = Lpips::open(&repo("tests/golden/metrics/lpips"), &Device::flex()).unwrap();
    let (distance, expected) = (
        network.distance(&a, &b),
        golden["distance_x100"].as_f64().unwrap(),
    );
    // 32-bit sums through five convolutions.
    assert!(
        (distance - expected).abs() < 1e-3 * expected,
        "{distance}, {expected}"
    );
    assert_eq!(network.distance(&a, &a), 0.0);
    let error = Lpips::open(&repo("tests/golden/phi4"), &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("lin0.model.1.weight"), "{error}");
}

#[test]
fn an_evaluation_scores_every_nth_slice_of_each_subject_beside_copy_and_ceiling() {
    let root = tempfile::tempdir().unwrap();
    write_pairs(root.path());
    let model = load(&tiny_model()).unwrap();
    let pairs = Source::Pairs(root.path().to_owned());
    let eval = Evaluation {
        every: 3,
        save_images: Some(root.path().join("images")),
        ..Evaluation::new(pairs, RecordTask::Ct2Mri)
    };
    let (rows, summary) = pictures(&model, &eval);
    let slices: Vec<(&str, Option<usize>)> = rows
        .iter()
        .map(|row| (row.subject.as_str(), row.slice))
        .collect();
    assert_eq!(
        slices,
        [
            ("A", Some(1)),
            ("A", Some(4)),
            ("B", Some(1)),
            ("B", Some(4))
        ]
    );
    assert_eq!((summary.n, summary.subjects), (4, 2));
    let noise = summary.model.mean.ssim;
    assert!(
        noise < 60.0,
        "random weights make noise, not an MRI: {noise}"
    );
    assert!(
        summary
            .ceiling
            .is_some_and(|ceiling| ceiling.mean.ssim < 90.0)
    );
    let difference = summary.model.mean.mae - summary.copy.mean.mae;
    assert!((summary.above_copy.mean.mae - difference).abs() < 1e-9);
    assert_eq!(fs::read_dir(root.path().join("images")).unwrap().count(), 4);

    // A super-resolution input is the target made small: copying it scores high, and never perfectly.
    let eval = Evaluation {
        task: RecordTask::Sr4,
        every: 4,
        scanners: Scanner::ALL.to_vec(),
        save_images: None,
        ..eval
    };
    let (rows, summary) = pictures(&model, &eval);
    assert_eq!(rows.len(), 4, "both modalities");
    let copy = summary.bicubic.unwrap().mean.ssim;
    assert!(copy > 80.0 && copy < 100.0, "{copy}");
}

#[test]
fn a_stopped_evaluation_goes_on_where_it_was_and_gives_the_rows_of_an_uninterrupted_one() {
    let root = tempfile::tempdir().unwrap();
    write_pairs(&root.path().join("pairs"));
    let model = load(&tiny_model()).unwrap();
    let eval = Evaluation {
        every: 2,
        rows: Some(root.path().join("rows.jsonl")),
        ..Evaluation::new(Source::Pairs(root.path().join("pairs")), RecordTask::Ct2Mri)
    };
    let mut asked = 0;
    let stopped = evaluate(&model, &eval, &mut |done, _| {
        asked += 1;
        if done >= 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(stopped, Err(engine::Error::Stopped)) && asked > 2);
    let mut generated = 0;
    let report = evaluate(&model, &eval, &mut |done, of| {
        if of > 0 {
            assert!(done >= 2, "the first two are not made again");
            generated += 1;
        }
        ControlFlow::Continue(())
    });
    let Ok(Report::Pictures { rows, .. }) = report else {
        panic!("{report:?}")
    };
    assert!(generated > 0);
    // As many at once as there are: neither threads nor a stop change a result.
    let (whole, _) = pictures(
        &model,
        &Evaluation {
            rows: None,
            workers: 3,
            ..eval.clone()
        },
    );
    let numbers = |rows: &[PictureRow]| -> Vec<_> {
        rows.iter()
            .map(|row| (row.id.clone(), row.scores))
            .collect()
    };
    for ((id, scores), (other, expected)) in numbers(&rows).iter().zip(&numbers(&whole)) {
        // The last digit of a number may change on its way through a text file.
        assert_eq!(id, other);
        assert!(
            (scores.ssim - expected.ssim).abs() < 1e-9,
            "{scores:?}, {expected:?}"
        );
        assert!(
            (scores.mae - expected.mae).abs() < 1e-9,
            "{scores:?}, {expected:?}"
        );
    }
    assert_eq!(rows.len(), whole.len());

    let other = Evaluation { every: 1, ..eval };
    let error = evaluate(&model, &other, &mut |_, _| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.kind(), "other-evaluation");
}

#[test]
fn questions_made_of_volumes_are_those_of_the_records_and_are_scored_by_topic() {
    let root = tempfile::tempdir().unwrap();
    let (pairs, out) = (root.path().join("pairs"), root.path().join("out"));
    write_pairs(&pairs);
    let model = load(&tiny_model()).unwrap();
    let eval = Evaluation::new(Source::Pairs(pairs.clone()), RecordTask::Vqa);
    let (rows, summary) = answers(
        &model,
        &Evaluation {
            every: 2,
            ..eval.clone()
        },
    );
    assert!(summary.n == rows.len() && summary.subjects == 2);
    for topic in [
        "modality",
        "plane",
        "body part",
        "lesion",
        "lesion place",
        "lesion size",
    ] {
        assert!(
            summary.by_topic.contains_key(topic),
            "{topic}: {:?}",
            summary.by_topic.keys()
        );
    }
    assert!(
        rows.iter().all(|row| !row.correct),
        "random weights know nothing"
    );

    let what = FromPairs {
        pairs,
        out: out.clone(),
        tasks: vec![RecordTask::Vqa],
        side: 256,
        shifts: None,
        seed: eval.seed,
        own_words: false,
        reworded: false,
        turned: 0,
    };
    let made = from_pairs(&what, &mut |_, _| ControlFlow::Continue(())).unwrap();
    // The outline goes with the picture: 10 of 40 voxels wide in the two lower slices of the first leg.
    let outlined = |slice: &str| -> usize {
        let mut of = made.records.iter();
        let of = of.find(|record| record.id.as_ref().unwrap().starts_with(slice));
        let mask = of.unwrap().lesion_mask.as_ref().unwrap();
        let mask = image::open(out.join(mask)).unwrap().to_luma8();
        mask.pixels().filter(|pixel| pixel.0[0] > 127).count()
    };
    // 64 x 64 pixels, whose corners bicubic enlargement rounds.
    for picture in ["A/axial/1/CT", "A/axial/1/MR"] {
        let pixels = outlined(picture);
        assert!((4060..=4096).contains(&pixels), "{pixels}");
    }
    assert_eq!(outlined("A/axial/3/CT"), 0);
    let coronal = made.records.iter().filter_map(|record| record.id.as_ref());
    let mut coronal = coronal.filter(|id| id.starts_with("A/coronal/"));
    assert!(coronal.any(|id| outlined(id) > 0), "rows 10 to 19 cross it");
    let file = out.join("vqa.json");
    records::write(&file, &made.records).unwrap();
    let from_records = Source::Records {
        file,
        on_bad: OnBad::Refuse,
    };
    let every = Evaluation {
        every: 25,
        source: from_records,
        ..eval
    };
    let (read, _) = answers(&model, &every);
    for row in read {
        let Some(same) = rows.iter().find(|other| other.id == row.id) else {
            continue;
        };
        assert_eq!(
            (&same.question, &same.truth, &same.said),
            (&row.question, &row.truth, &row.said)
        );
    }
}
