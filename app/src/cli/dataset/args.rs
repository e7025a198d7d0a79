//! The words of `workbench dataset`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use engine::dataset::RecordTask;
use engine::dataset::import::Collection;

use crate::cli::args::probability;

/// `workbench dataset`.
#[derive(Debug, Args)]
pub struct DatasetArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DatasetCommand,
}

/// Where data come from.
#[derive(Debug, Subcommand)]
pub enum DatasetCommand {
    /// Paired CT and MR volumes: SUBJECT/ct.nii.gz, SUBJECT/mr_t1.nii.gz and, for lesions, SUBJECT/gtv.nii.gz
    Pairs(DatasetPairsArgs),
    /// Single volumes and pictures, for reconstruction and 4x super-resolution
    Volumes(DatasetVolumesArgs),
    /// A published collection in its own layout: vqa-rad, slake, pathvqa, omnimedvqa or reports
    Import(DatasetImportArgs),
    /// Write the VQ codes of the target pictures into the answers, once, with the image encoder of --model
    Codes(DatasetCodesArgs),
    /// Check files of records and count what is in them
    Card(DatasetCardArgs),
}

/// How records are divided and described.
#[derive(Clone, Debug, Args)]
pub struct SplitArgs {
    /// Also divide by subject: this share of the subjects goes to FILE.val.json, the others to FILE.train.json
    #[arg(long, value_name = "SHARE", value_parser = probability)]
    pub val_share: Option<f32>,
    /// Seed of the division and of the wordings
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub seed: u64,
    /// Where the data come from and their licence, for the card; may be given several times
    #[arg(long = "about", value_name = "TEXT")]
    pub about: Vec<String>,
}

/// `workbench dataset pairs`.
#[derive(Debug, Args)]
pub struct DatasetPairsArgs {
    /// Folder of the subjects
    pub folder: PathBuf,
    /// Folder to write to: TASK.json, card.md, card.json and images/
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Which tasks, parted by commas
    #[arg(long, value_name = "TASKS", value_delimiter = ',', default_value = "describe,vqa,ct2mri,mri2ct,sr4,reconstruct", value_parser = pair_task)]
    pub tasks: Vec<RecordTask>,
    /// Side of the pictures
    #[arg(long, value_name = "PIXELS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(8..=2048))]
    pub size: u32,
    /// Table of shifts (subject, recommended_shift) that move MR onto CT: for training only
    #[arg(long, value_name = "FILE.tsv")]
    pub alignment: Option<PathBuf>,
    /// Ask for images in the words of the program's buttons only; without it half of the records use other words
    #[arg(long)]
    pub own_words: bool,
    /// Ask half of the questions in more wordings than an evaluation does: for training only
    #[arg(long)]
    pub reworded: bool,
    /// Ask also about so many coronal and sagittal slices, each, of every subject turned at random: for training only
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=500))]
    pub turned: u32,
    /// Division and card.
    #[command(flatten)]
    pub split: SplitArgs,
}

/// `workbench dataset volumes`.
#[derive(Debug, Args)]
pub struct DatasetVolumesArgs {
    /// Files or folders: DICOM, NIfTI, PNG, JPEG, ZIP
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Folder to write to: TASK.json, card.md, card.json and images/
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// sr4, reconstruct or both, parted by a comma
    #[arg(long, value_name = "TASKS", value_delimiter = ',', default_value = "sr4,reconstruct", value_parser = volume_task)]
    pub tasks: Vec<RecordTask>,
    /// Side of the pictures
    #[arg(long, value_name = "PIXELS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(8..=2048))]
    pub size: u32,
    /// Division and card.
    #[command(flatten)]
    pub split: SplitArgs,
}

/// `workbench dataset import`.
#[derive(Debug, Args)]
pub struct DatasetImportArgs {
    /// vqa-rad, slake, pathvqa, omnimedvqa or reports
    #[arg(value_parser = collection)]
    pub collection: Collection,
    /// Its file, or for OmniMedVQA a folder of them
    pub file: PathBuf,
    /// Where its pictures are
    #[arg(long, value_name = "DIR")]
    pub images: PathBuf,
    /// Folder to write to: SPLIT.json, card.md and card.json; pictures stay where they are
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Leave out entries that cannot be used, and list them
    #[arg(long)]
    pub skip_bad: bool,
    /// SLAKE in Chinese too
    #[arg(long)]
    pub all_languages: bool,
    /// Division and card.
    #[command(flatten)]
    pub split: SplitArgs,
}

/// `workbench dataset codes`.
#[derive(Debug, Args)]
pub struct DatasetCodesArgs {
    /// File of records
    #[arg(value_name = "FILE.json")]
    pub file: PathBuf,
    /// File to write, in the same folder
    #[arg(long, value_name = "FILE.json")]
    pub out: PathBuf,
    /// Keep the target pictures beside their codes: for evaluation
    #[arg(long)]
    pub keep_targets: bool,
    /// Leave out records that cannot be used, and list them
    #[arg(long)]
    pub skip_bad: bool,
}

/// `workbench dataset card`.
#[derive(Debug, Args)]
pub struct DatasetCardArgs {
    /// Files of records
    #[arg(value_name = "FILE.json", required = true)]
    pub files: Vec<PathBuf>,
    /// Leave out records that cannot be used, and list them
    #[arg(long)]
    pub skip_bad: bool,
}

fn pair_task(text: &str) -> Result<RecordTask, String> {
    let task = text.parse::<RecordTask>()?;
    match task {
        RecordTask::Report2Image => {
            Err("pairs have no reports; use workbench dataset import reports".to_owned())
        }
        task => Ok(task),
    }
}

fn volume_task(text: &str) -> Result<RecordTask, String> {
    match text.parse::<RecordTask>()? {
        task @ (RecordTask::Sr4 | RecordTask::Reconstruct) => Ok(task),
        task => Err(format!(
            "{task} needs more than single volumes; choose sr4 or reconstruct"
        )),
    }
}

fn collection(text: &str) -> Result<Collection, String> {
    let known = Collection::ALL.map(Collection::name).join(", ");
    Collection::ALL
        .into_iter()
        .find(|collection| collection.name() == text)
        .ok_or_else(|| format!("choose one of {known}"))
}
