//! Tables in the layout of the HealthGPT paper, ours beside its rows, as Markdown, JSON and a picture.
//!
//! Only those numbers of the paper stand here that the project's documents hold (`design/viewer.md`, `design/performance.md`);
//! where they hold none, the row is missing and the note says so. The paper's numbers are of other data (brain and pelvis), so
//! they are a scale and not a competition.

use std::collections::BTreeMap;
use std::fmt::Write;

use image::RgbImage;
use serde::Serialize;

use super::Report;
use super::accuracy::{Accuracy, AnswerSummary, Part};
use super::interval::Interval;
use super::pictures::PictureSummary;
use super::plot::{Bar, Panel, bars};
use super::scores::Means;
use crate::dataset::RecordTask;

/// A number of a table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The number.
    pub value: f64,
    /// Its 95 % interval, where it is known.
    pub interval: Option<[f64; 2]>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Headings of the numbers.
    pub columns: Vec<String>,
    /// A name and its numbers; absent ones are not known.
    pub rows: Vec<(String, Vec<Option<Cell>>)>,
    /// What a reader must know.
    pub note: String,
}

impl Table {
    /// For people.
    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n| |", self.title);
        for column in &self.columns {
            let _ = write!(text, " {column} |");
        }
        let _ = write!(text, "\n|---|{}", "---|".repeat(self.columns.len()));
        for (name, cells) in &self.rows {
            let _ = write!(text, "\n| {name} |");
            for cell in cells {
                let _ = match cell {
                    None => write!(text, " – |"),
                    Some(Cell {
                        value,
                        interval: None,
                    }) => write!(text, " {value:.2} |"),
                    Some(Cell {
                        value,
                        interval: Some([low, high]),
                    }) => {
                        write!(text, " {value:.2} [{low:.2}, {high:.2}] |")
                    }
                };
            }
        }
        let _ = writeln!(text, "\n\n{}", self.note);
        text
    }
}

fn plain(value: f64) -> Option<Cell> {
    Some(Cell {
        value,
        interval: None,
    })
}

fn with_interval(interval: Interval) -> Option<Cell> {
    Some(Cell {
        value: interval.mean,
        interval: Some([interval.low, interval.high]),
    })
}

/// A paper's row of Table 2 or 3: SSIM, PSNR, MSE.
type Published = [f64; 3];

/// Table 2, HealthGPT-M3: brain, then pelvis.
const CT_TO_MRI: [Published; 2] = [[79.38, 33.03, 33.48], [71.81, 31.83, 43.45]];
/// Table 2, HealthGPT-M3: brain, then pelvis.
const MRI_TO_CT: [Published; 2] = [[85.06, 34.40, 25.49], [84.23, 34.29, 27.99]];
/// Table 3, HealthGPT-M3: SSIM, PSNR, MSE, LPIPS. (The paper's text says 12.34 for the last.)
const SUPER_RESOLUTION: [f64; 4] = [78.19, 32.76, 34.47, 12.02];
/// Table 10: training time of MoE-LoRA by the number of experts; H-LoRA is 1.00 at each.
const MOE_LORA_TIME: [(usize, f64); 4] = [(2, 1.22), (4, 1.49), (8, 2.09), (32, 5.81)];

/// The tables of an evaluation: of a model named `model`, on data named `data`.
pub fn tables(report: &Report, task: RecordTask, model: &str, data: &str) -> Vec<Table> {
    match report {
        Report::Pictures { summary, .. } => vec![match task {
            RecordTask::Ct2Mri => conversion("CT to MRI", &CT_TO_MRI, summary, model, data),
            RecordTask::Mri2Ct => conversion("MRI to CT", &MRI_TO_CT, summary, model, data),
            RecordTask::Sr4 => super_resolution(summary, model, data),
            _ => reconstruction(summary, model, data),
        }],
        Report::Answers { summary, .. } => vec![
            comprehension(summary, model, data),
            by(
                &summary.by_modality,
                "Accuracy by modality (Table 11)",
                model,
            ),
            by(&summary.by_topic, "Accuracy by question", model),
        ],
    }
}

/// SSIM, PSNR, MSE and, where asked for, MAE.
fn cells(means: &Means, mae: bool) -> Vec<Option<Cell>> {
    let numbers = &means.intervals;
    let mut cells = vec![
        with_interval(numbers.ssim),
        with_interval(numbers.psnr),
        with_interval(numbers.mse),
    ];
    if mae {
        cells.push(with_interval(numbers.mae));
    }
    cells
}

/// The rows that stand below the model's: copy, bicubic, ceiling.
fn beside(summary: &PictureSummary) -> Vec<(&'static str, Means)> {
    let copy = match summary.bicubic {
        Some(bicubic) => ("bicubic enlargement of the input", bicubic),
        None => ("copying the input", summary.copy),
    };
    let ceiling = summary
        .ceiling
        .map(|ceiling| ("the target's own codes (ceiling)", ceiling));
    [Some(copy), ceiling].into_iter().flatten().collect()
}

/// Table 2: a group of three columns for each region.
fn conversion(
    direction: &str,
    published: &[Published; 2],
    summary: &PictureSummary,
    model: &str,
    data: &str,
) -> Table {
    let regions = ["brain", "pelvis", data];
    let mut columns: Vec<String> = regions
        .iter()
        .flat_map(|region| ["SSIM ↑", "PSNR ↑", "MSE ↓"].map(|name| format!("{region} {name}")))
        .collect();
    columns.push(format!("{data} MAE ↓"));
    let unknown = |count: usize| std::iter::repeat_n(None, count);
    let paper = published.iter().flatten().map(|value| plain(*value));
    let mut rows = vec![(
        "HealthGPT-M3, the paper".to_owned(),
        paper.chain(unknown(4)).collect(),
    )];
    let ours = std::iter::once((model, summary.model)).chain(beside(summary));
    rows.extend(ours.map(|(name, means)| {
        (
            name.to_owned(),
            unknown(6).chain(cells(&means, true)).collect(),
        )
    }));
    Table {
        title: format!("{direction} (Table 2)"),
        columns,
        rows,
        note: format!(
            "The paper's numbers are of SynthRAD2023 and as it prints them. {}",
            summary.definition
        ),
    }
}

/// Table 3.
fn super_resolution(summary: &PictureSummary, model: &str, data: &str) -> Table {
    let mut rows = vec![(
        "HealthGPT-M3, the paper (IXI, brain)".to_owned(),
        SUPER_RESOLUTION
            .iter()
            .map(|value| plain(*value))
            .chain([None])
            .collect(),
    )];
    let ours = std::iter::once((model, summary.model)).chain(beside(summary));
    rows.extend(ours.enumerate().map(|(i, (name, means))| {
        let mut cells = cells(&means, true);
        cells.insert(3, summary.lpips.filter(|_| i == 0).and_then(with_interval));
        (format!("{name} ({data})"), cells)
    }));
    Table {
        title: "Super-resolution 4x (Table 3)".to_owned(),
        columns: ["SSIM ↑", "PSNR ↑", "MSE ↓", "LPIPS ↓", "MAE ↓"]
            .map(str::to_owned)
            .to_vec(),
        rows,
        note: format!("LPIPS: {}. {}", summary.lpips_note, summary.definition),
    }
}

fn reconstruction(summary: &PictureSummary, model: &str, data: &str) -> Table {
    let ours = std::iter::once((model, summary.model)).chain(beside(summary));
    Table {
        title: format!("Reconstruction of {data}"),
        columns: ["SSIM ↑", "PSNR ↑", "MSE ↓", "MAE ↓"]
            .map(str::to_owned)
            .to_vec(),
        rows: ours
            .map(|(name, means)| (name.to_owned(), cells(&means, true)))
            .collect(),
        note: format!("No row of the paper is at hand. {}", summary.definition),
    }
}

const PART_COLUMNS: [&str; 8] = [
    "close", "majority", "choice", "majority", "open", "open F1", "all", "majority",
];

fn part_cells(part: &Part) -> Vec<Option<Cell>> {
    let of = |accuracy: Option<&Accuracy>| -> [Option<Cell>; 2] {
        match accuracy {
            None => [None, None],
            Some(accuracy) => [with_interval(accuracy.accuracy), plain(accuracy.majority)],
        }
    };
    let open = part.open.as_ref();
    let mut cells = Vec::new();
    cells.extend(of(part.closed.as_ref()));
    cells.extend(of(part.choice.as_ref()));
    cells.push(open.and_then(|open| with_interval(open.exact.accuracy)));
    cells.push(open.and_then(|open| with_interval(open.f1)));
    cells.extend(of(Some(&part.all)));
    cells
}

/// Table 1: a data set's closed questions and all of them.
fn comprehension(summary: &AnswerSummary, model: &str, data: &str) -> Table {
    Table {
        title: format!("Comprehension of {data} (Table 1)"),
        columns: PART_COLUMNS.map(str::to_owned).to_vec(),
        rows: vec![(model.to_owned(), part_cells(&summary.total))],
        note: format!(
            "No row of the paper is at hand, and none is of these data. {}",
            summary.definition
        ),
    }
}

fn by(parts: &BTreeMap<String, Part>, title: &str, model: &str) -> Table {
    let row =
        |(name, part): (&String, &Part)| (format!("{name} ({})", part.all.n), part_cells(part));
    Table {
        title: title.to_owned(),
        columns: PART_COLUMNS.map(str::to_owned).to_vec(),
        rows: parts.iter().map(row).collect(),
        note: format!("Answers of {model} in percent, with the number of questions in brackets."),
    }
}

/// Table 5: what each way to learn scores. `columns` name the tasks.
pub fn strategies(columns: &[&str], measured: &[(&str, Vec<Option<f64>>)]) -> Table {
    let row = |(name, values): &(&str, Vec<Option<f64>>)| {
        let cells = values.iter().map(|value| value.and_then(plain)).collect();
        ((*name).to_owned(), cells)
    };
    Table {
        title: "Ways to learn (Table 5)".to_owned(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        rows: measured.iter().map(row).collect(),
        note: "No row of the paper is at hand.".to_owned(),
    }
}

/// Table 10: training time by the number of experts, as a multiple of LoRA's, beside the paper's.
pub fn plug_in_times(measured: &[(&str, BTreeMap<usize, f64>)]) -> Table {
    let mut experts: Vec<usize> = MOE_LORA_TIME.iter().map(|(n, _)| *n).collect();
    experts.extend(measured.iter().flat_map(|(_, times)| times.keys().copied()));
    experts.sort_unstable();
    experts.dedup();
    let published = |time: &dyn Fn(f64) -> f64| -> Vec<Option<Cell>> {
        let of = |n: &usize| MOE_LORA_TIME.iter().find(|(known, _)| known == n);
        experts
            .iter()
            .map(|n| of(n).and_then(|(_, ratio)| plain(time(*ratio))))
            .collect()
    };
    let mut rows = vec![
        ("H-LoRA, the paper".to_owned(), published(&|_| 1.0)),
        ("MoE-LoRA, the paper".to_owned(), published(&|ratio| ratio)),
    ];
    rows.extend(measured.iter().map(|(name, times)| {
        let cells = experts
            .iter()
            .map(|n| times.get(n).and_then(|time| plain(*time)));
        ((*name).to_owned(), cells.collect())
    }));
    Table {
        title: "Training time by the number of experts (Table 10)".to_owned(),
        columns: experts.iter().map(|n| format!("n = {n}")).collect(),
        rows,
        note: "Multiples of the time without experts.".to_owned(),
    }
}

/// The evaluation as bars.
pub fn picture(report: &Report, title: &str) -> RgbImage {
    match report {
        Report::Pictures { summary, .. } => {
            let panel = |title: &str, of: fn(&Means) -> Interval| {
                let bar = |(label, means, own): (&str, &Means, bool)| {
                    let interval = of(means);
                    Bar {
                        label: label.to_owned(),
                        value: interval.mean,
                        interval: Some([interval.low, interval.high]),
                        mark: None,
                        own,
                    }
                };
                let beside = beside(summary);
                let mut rows = vec![("model", &summary.model, true)];
                rows.extend(beside.iter().map(|(name, means)| {
                    let short = name.split([' ']).next().unwrap_or_default();
                    let label = match short {
                        "copying" => "copy of the input",
                        "bicubic" => "bicubic",
                        _ => "ceiling of the codes",
                    };
                    (label, means, false)
                }));
                Panel {
                    title: title.to_owned(),
                    end: None,
                    bars: rows.into_iter().map(bar).collect(),
                }
            };
            let panels = [
                panel("SSIM, higher is better", |means| means.intervals.ssim),
                panel("PSNR in dB, higher is better", |means| means.intervals.psnr),
                panel("MAE in grey levels, lower is better", |means| {
                    means.intervals.mae
                }),
            ];
            let note = format!(
                "{} pictures of {} subjects. Whiskers: 95 % interval over subjects.",
                summary.n, summary.subjects
            );
            bars(title, &note, &panels)
        }
        Report::Answers { summary, .. } => {
            let panel = |title: &str, parts: &BTreeMap<String, Part>| Panel {
                title: title.to_owned(),
                end: Some(100.0),
                bars: parts
                    .iter()
                    .map(|(name, part)| Bar {
                        label: format!("{name} ({})", part.all.n),
                        value: part.all.accuracy.mean,
                        interval: Some([part.all.accuracy.low, part.all.accuracy.high]),
                        mark: Some(part.all.majority),
                        own: true,
                    })
                    .collect(),
            };
            let panels = [
                panel("Right answers in %, by question", &summary.by_topic),
                panel("Right answers in %, by modality", &summary.by_modality),
            ];
            let note = format!(
                "{} questions about {} subjects. Whiskers: 95 % interval over subjects. Red: the most frequent answer.",
                summary.n, summary.subjects
            );
            bars(title, &note, &panels)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_beside_the_papers_and_unknown_ones_are_dashes() {
        let measured = BTreeMap::from([(4, 1.07), (16, 1.1)]);
        let text = plug_in_times(&[("H-LoRA, here", measured)]).markdown();
        assert!(
            text.contains("| | n = 2 | n = 4 | n = 8 | n = 16 | n = 32 |"),
            "{text}"
        );
        assert!(
            text.contains("| MoE-LoRA, the paper | 1.22 | 1.49 | 2.09 | – | 5.81 |"),
            "{text}"
        );
        assert!(
            text.contains("| H-LoRA, here | – | 1.07 | – | 1.10 | – |"),
            "{text}"
        );
    }

    #[test]
    fn a_conversion_has_a_group_of_columns_for_each_region() {
        let means = Means::of(&[(
            "A",
            super::super::scores::Scores {
                ssim: 50.0,
                psnr: 14.0,
                mse: 9.0,
                mae: 3.0,
            },
        )]);
        let means = means.unwrap();
        let summary = PictureSummary {
            model: means,
            n: 1,
            subjects: 1,
            copy: means,
            bicubic: None,
            ceiling: None,
            above_copy: means,
            lpips: None,
            lpips_note: "absent",
            definition: "",
        };
        let report = Report::Pictures {
            rows: Vec::new(),
            summary: Box::new(summary),
        };
        let [table] = &tables(&report, RecordTask::Ct2Mri, "nano", "limb")[..] else {
            panic!("one table");
        };
        assert_eq!(table.columns.len(), 10);
        assert!(table.rows.iter().all(|(_, cells)| cells.len() == 10));
        assert_eq!(table.rows[0].1[0].map(|cell| cell.value), Some(79.38));
        assert_eq!(table.rows[1].1[6].map(|cell| cell.value), Some(50.0));
        let image = picture(&report, "nano");
        assert!(image.width() > 600 && image.height() > 200);
    }
}
