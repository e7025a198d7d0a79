//! `workbench eval`: a model's pictures and answers against true ones, on subjects it has not seen.

use std::ops::ControlFlow;
use std::thread;

use engine::Error;
use engine::dataset::{OnBad, write_atomically};
use engine::device::choose;
use engine::eval::accuracy::{Accuracy, AnswerSummary, Part};
use engine::eval::pictures::{PictureRow, PictureSummary};
use engine::eval::questions::AnswerRow;
use engine::eval::report::{picture, tables};
use engine::eval::scores::Means;
use engine::eval::{Evaluation, Report, Source, evaluate};
use engine::imaging::write_png;
use engine::model::HealthGpt;
use serde_json::{Value, json};

use super::args::{EvalArgs, Global};
use super::console::{Console, NOTICE, UNTRAINED};
use super::failure::Failure;
use super::{assets, worker};

/// Prints a row per item and the summary, and writes the report.
///
/// # Errors
/// The model or the data cannot be read, or the model lacks the task.
pub fn run(args: &EvalArgs, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
    let dir = match &global.model {
        Some(dir) => dir.clone(),
        None => assets::model()?,
    };
    let choice = global.device;
    let mut eval = evaluation(args)?;
    let (device, manifest, report) = worker::run("loading", console, move |reporter| {
        let (device, info) = choose(choice).map_err(Error::NoAdapter)?;
        let mut go_on = |stage: &str, done: usize, of: usize| {
            reporter.report(stage, done, of);
            ControlFlow::Continue(())
        };
        let model = HealthGpt::load(&dir, &device, &mut go_on)?;
        if info.kind == "cpu" {
            eval.workers = thread::available_parallelism().map_or(1, usize::from);
        }
        let report = evaluate(&model, &eval, &mut |done, of| {
            go_on(if of == 0 { "reading" } else { "items" }, done, of)
        })?;
        Ok((info, model.layout.manifest, report))
    })?;
    console.say(&format!("device: {}: {}", device.name, device.reason));
    if !manifest.trained {
        console.print(&format!("[{UNTRAINED}]\n"))?;
    }
    match &report {
        Report::Pictures { rows, summary } => pictures(rows, summary, console)?,
        Report::Answers { rows, summary } => answers(rows, summary, console)?,
    }
    let tables = tables(&report, args.task, &manifest.name, "these data");
    let mut value = json!({
        "model": manifest.name,
        "untrained_test_model": !manifest.trained,
        "notice": NOTICE,
        "device": device,
        "task": args.task,
        "tables": tables,
    });
    merge(&mut value, &report)?;
    if let Some(out) = &args.out {
        let untrained = if manifest.trained {
            ""
        } else {
            " (untrained test model)"
        };
        let heading = format!("{}{untrained}: {}", manifest.name, args.task);
        let mut text = format!("# {heading}\n\nResearch use only, not for diagnosis.\n");
        if !manifest.trained {
            text.push_str("\nThis is an untrained test model: its numbers mean nothing.\n");
        }
        for table in &tables {
            text.push('\n');
            text.push_str(&table.markdown());
        }
        write_atomically(&out.join("report.md"), text.as_bytes()).map_err(Error::from)?;
        let json = format!("{value:#}\n");
        write_atomically(&out.join("report.json"), json.as_bytes()).map_err(Error::from)?;
        write_png(&out.join("report.png"), &picture(&report, &heading), &[])?;
        console.print(&format!("tables, plot and rows in {}\n", out.display()))?;
    }
    console.print_json(&value)
}

fn evaluation(args: &EvalArgs) -> Result<Evaluation, Failure> {
    let source = match (&args.pairs, &args.records) {
        (Some(folder), _) => Source::Pairs(folder.clone()),
        (None, Some(file)) => Source::Records {
            file: file.clone(),
            on_bad: if args.skip_bad {
                OnBad::Skip
            } else {
                OnBad::Refuse
            },
        },
        (None, None) => return Err(Failure::usage("give --pairs FOLDER or --records FILE.json")),
    };
    Ok(Evaluation {
        every: args.every as usize,
        scanners: args.modality.0.clone(),
        seed: args.seed,
        save_images: args.save_images.clone(),
        lpips: args.lpips.clone(),
        rows: args.out.as_ref().map(|out| out.join("rows.jsonl")),
        ..Evaluation::new(source, args.task)
    })
}

/// `rows` and `summary` beside the other keys.
fn merge(value: &mut Value, report: &Report) -> Result<(), Failure> {
    let report = serde_json::to_value(report)
        .map_err(|error| Error::Internal(format!("a report cannot be written: {error}")))?;
    if let (Value::Object(into), Value::Object(from)) = (value, report) {
        into.extend(from);
    }
    Ok(())
}

fn pictures(
    rows: &[PictureRow],
    summary: &PictureSummary,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    console.print("item                         SSIM    PSNR       MSE     MAE\n")?;
    for row in rows {
        let s = &row.scores;
        console.print(&format!(
            "{:<25} {:>7.2} {:>7.2} {:>9.1} {:>7.2}\n",
            row.id, s.ssim, s.psnr, s.mse, s.mae
        ))?;
    }
    console.print(&format!(
        "\n{} pictures of {} subjects: means and 95 % intervals\n{:<22} {:>22} {:>22} {:>28} {:>22}\n",
        summary.n, summary.subjects, "", "SSIM", "PSNR", "MSE", "MAE"
    ))?;
    let copy = if summary.bicubic.is_some() {
        "bicubic enlargement"
    } else {
        "copying the input"
    };
    let mut lines = vec![("the model", summary.model), (copy, summary.copy)];
    lines.extend(
        summary
            .ceiling
            .map(|ceiling| ("ceiling of the codes", ceiling)),
    );
    for (name, Means { intervals, .. }) in lines {
        let cell = |interval: &engine::eval::interval::Interval, digits: usize| {
            format!(
                "{:.digits$} [{:.digits$}, {:.digits$}]",
                interval.mean, interval.low, interval.high
            )
        };
        console.print(&format!(
            "{name:<22} {:>22} {:>22} {:>28} {:>22}\n",
            cell(&intervals.ssim, 2),
            cell(&intervals.psnr, 2),
            cell(&intervals.mse, 1),
            cell(&intervals.mae, 2),
        ))?;
    }
    console.print(&format!(
        "{}\nLPIPS {}\n",
        summary.definition, summary.lpips_note
    ))
}

fn answers(
    rows: &[AnswerRow],
    summary: &AnswerSummary,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    for row in rows {
        let mark = if row.correct { "right" } else { "wrong" };
        console.print(&format!(
            "{mark}  {:<36} {} | {} | {}\n",
            row.id, row.question, row.truth, row.said
        ))?;
    }
    console.print(&format!(
        "\n{} questions about {} subjects: right answers in % [95 % interval], beside the most frequent answer\n",
        summary.n, summary.subjects
    ))?;
    let mut lines = vec![("all".to_owned(), &summary.total)];
    lines.extend(
        summary
            .by_topic
            .iter()
            .map(|(name, part)| (name.clone(), part)),
    );
    lines.extend(
        summary
            .by_modality
            .iter()
            .map(|(name, part)| (name.clone(), part)),
    );
    for (name, part) in lines {
        console.print(&part_line(&name, part))?;
    }
    console.print(&format!("{}\n", summary.definition))
}

fn part_line(name: &str, part: &Part) -> String {
    let cell = |kind: &str, accuracy: &Accuracy| {
        let interval = accuracy.accuracy;
        format!(
            "  {kind} {:.1} [{:.1}, {:.1}] of {} (majority {:.1})",
            interval.mean, interval.low, interval.high, accuracy.n, accuracy.majority
        )
    };
    let mut line = format!("{name:<14}");
    for (kind, accuracy) in [("closed", &part.closed), ("choice", &part.choice)] {
        if let Some(accuracy) = accuracy {
            line.push_str(&cell(kind, accuracy));
        }
    }
    if let Some(open) = &part.open {
        line.push_str(&cell("open", &open.exact));
        line.push_str(&format!(
            ", recall {:.1}, F1 {:.1}",
            open.recall.mean, open.f1.mean
        ));
    }
    line + "\n"
}
