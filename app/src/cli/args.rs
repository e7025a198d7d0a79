//! The words of the command line. Slices and series are counted from 1, as in the window.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use engine::dataset::RecordTask;
use engine::dataset::facts::Scanner;
use engine::gpu::Format;
use engine::imaging::{CT_PRESETS, Plane, Window};
use engine::model::random_model::Shape;
use engine::model::{Drafting, Sampling};
use engine::{DeviceChoice, Task};

pub use super::dataset::args::DatasetArgs;

/// Medical vision-language models on your own scans, on your own machine.
///
/// Without a command the window opens: on the bundled sample study, or on the files and folders given.
/// Research use only, not for diagnosis.
#[derive(Debug, Parser)]
#[command(name = "workbench", version, max_term_width = 110)]
pub struct Cli {
    /// Files and folders to open in the window
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do without a window.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Where the model runs: auto, cpu, gpu, or the number of an adapter as `devices` lists it
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    pub device: DeviceChoice,
    /// Model folder: one with model.toml, or the raw downloads llm/ clip/ hlora/ vqgan/ [default: the bundled model]
    #[arg(long, global = true, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// One JSON value on standard output, also for errors
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more on standard error (twice: details)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// What can be done without a window.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer a question about slices or pictures
    Ask(AskArgs),
    /// Make an image from a slice or picture, marked as synthetic
    Generate(GenerateArgs),
    /// Write the picture of a slice, exactly as the model gets it
    Render(RenderArgs),
    /// List what is in files and folders
    Inspect(InspectArgs),
    /// Compare a model with the reference numbers beside it
    Verify(VerifyArgs),
    /// Make a model folder (model.toml, safetensors, hashes) from raw downloads
    Convert(ConvertArgs),
    /// Make data for training and evaluation: records in VL-Health's JSON form, and their pictures
    Dataset(DatasetArgs),
    /// Score a model's images and answers on subjects it has not seen
    Eval(EvalArgs),
    /// Say what rounding a model's weights to q8 or q4 costs: tokens that stay the same, and how far logits move
    EvalQuant(EvalQuantArgs),
    /// Write a model with random weights in the size of a released one, to try memory and speed
    RandomModel(RandomModelArgs),
    /// Train a stage of a recipe: VQGAN, new model, vision tower, base, adapters or plug-ins; goes on from the last checkpoint
    Train(TrainArgs),
    /// Train one configuration in variants that differ in one thing: plugins, experts, features or stages
    Experiment(ExperimentArgs),
    /// List the adapters of this computer, for --device
    Devices,
    /// Measure the kernels on this computer's adapter
    Bench(BenchArgs),
    /// Run the sample study through everything: answers, a converted image, a picture of the window
    Demo(DemoArgs),
    /// Write pictures of the window with the sample study, without a display
    Gallery(GalleryArgs),
    /// Open the window, play a plan and write its picture (used by demo)
    #[command(hide = true)]
    Screenshot(ScreenshotArgs),
}

/// Which slices, and how they are shown.
#[derive(Clone, Debug, Default, Args)]
pub struct ViewArgs {
    /// Series: its number or id as `inspect` lists it [default: the first CT, else the first]
    #[arg(long, value_name = "SERIES")]
    pub series: Option<String>,
    /// Slice, from 1; with several, a question is about all of them, and generate makes a picture of each [default: the middle one; of frames in colour the first]
    #[arg(long = "slice", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub slices: Vec<u32>,
    /// axial, coronal or sagittal [default: as acquired]
    #[arg(long, value_name = "PLANE", value_parser = plane)]
    pub plane: Option<Plane>,
    /// Window: CENTER,WIDTH, or a CT preset (brain, abdomen, mediastinum, bone, lung, mip) [default: the file's own]
    #[arg(long, value_name = "C,W", value_parser = window, allow_hyphen_values = true)]
    pub window: Option<Window>,
}

/// How tokens are chosen.
#[derive(Clone, Debug, Args)]
pub struct SamplingArgs {
    /// Randomness of the choice; 0 always takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = not_negative)]
    pub temperature: f32,
    /// Choose among the K likeliest tokens
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub top_k: Option<u32>,
    /// Choose among the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", value_parser = probability)]
    pub top_p: Option<f32>,
    /// Make tokens already used less likely; 1 does nothing [default: the model's own]
    #[arg(long, value_name = "R", value_parser = positive)]
    pub repetition_penalty: Option<f32>,
    /// Seed of the random choice: the same seed gives the same answer
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

impl SamplingArgs {
    /// As the engine takes it.
    pub fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k.map(|k| k as usize),
            top_p: self.top_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        }
    }
}

/// `workbench bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Tiny shapes and few rounds: under a minute on two cores
    #[arg(long)]
    pub quick: bool,
    /// Only this part: products, hlora, decode or stock (with --device cpu products or decode); may be given several times
    #[arg(long = "part", value_name = "PART", value_parser = clap::builder::PossibleValuesParser::new(engine::bench::PARTS))]
    pub parts: Vec<String>,
    /// Something else than the kernels
    #[command(subcommand)]
    pub what: Option<BenchCommand>,
}

/// `workbench ask`.
#[derive(Debug, Args)]
#[command(
    override_usage = "workbench ask STUDY... [OPTIONS] QUESTION\n       workbench ask --text-only QUESTION"
)]
pub struct AskArgs {
    /// Files or folders of the study, then the question (the last word)
    #[arg(value_name = "STUDY... QUESTION", required = true)]
    pub words: Vec<OsString>,
    /// Ask without any picture: there is no study then
    #[arg(long, conflicts_with_all = ["series", "slices", "plane", "window"])]
    pub text_only: bool,
    /// Ask this next, in the same conversation; may be given several times
    #[arg(
        long = "follow-up",
        value_name = "QUESTION",
        allow_hyphen_values = true
    )]
    pub follow_ups: Vec<String>,
    /// Cut an answer after so many tokens
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_new_tokens: u32,
    /// Slices and window.
    #[command(flatten)]
    pub view: ViewArgs,
    /// How tokens are chosen.
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// `workbench generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Files or folders of the study
    #[arg(value_name = "STUDY", required = true)]
    pub studies: Vec<PathBuf>,
    /// reconstruct, ct2mri, mri2ct or sr4
    #[arg(long, value_parser = generating_task)]
    pub task: Task,
    /// File to write, with its history beside it in FILE.png.json; of several slices FILE-012.png for slice 12
    #[arg(long, value_name = "FILE.png", value_parser = png_file)]
    pub out: PathBuf,
    /// Decode as the reference program does, without holding the model to the grammar of an image
    #[arg(long)]
    pub faithful: bool,
    /// Guess image codes and check several at once: auto (where that saves time), always or never; the picture is the same
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = drafting)]
    pub drafts: Drafting,
    /// What to tell the model [default: the task's own words]
    #[arg(long, value_name = "TEXT")]
    pub instruction: Option<String>,
    /// Slice and window.
    #[command(flatten)]
    pub view: ViewArgs,
    /// How tokens are chosen.
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// `workbench render`.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// Files or folders of the study
    #[arg(value_name = "STUDY", required = true)]
    pub studies: Vec<PathBuf>,
    /// File to write
    #[arg(long, value_name = "FILE.png", value_parser = png_file)]
    pub out: PathBuf,
    /// Slice and window.
    #[command(flatten)]
    pub view: ViewArgs,
}

/// `workbench inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Every file by itself: what its header says, and checksums of its values
    #[arg(long)]
    pub per_file: bool,
    /// Files or folders
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
}

/// `workbench verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Model folder with expected.json beside its parts
    pub model_dir: PathBuf,
}

/// `workbench convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Folder of the raw downloads, with llm/ clip/ hlora/ and, for images, vqgan/
    pub raw_dir: PathBuf,
    /// Folder to make
    pub out_dir: PathBuf,
    /// Name of the model [default: the raw folder's]
    #[arg(long)]
    pub name: Option<String>,
    /// M3, L14, XL32...
    #[arg(long)]
    pub variant: Option<String>,
    /// Licence of the weights
    #[arg(long)]
    pub licence: Option<String>,
    /// The weights are random: every surface will say so
    #[arg(long)]
    pub untrained: bool,
    /// Pack the language model: f16, q8 or q4 (the head is q8 where the rest is q4); an interrupted conversion goes on when
    /// it is started again [default: as it is stored]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Pack the low-rank layers of plug-ins: f16 or q8 (routers stay as they are) [default: f16 with f16, else q8]
    #[arg(long, value_name = "FORMAT", value_parser = plugin_format)]
    pub plugin_format: Option<Format>,
}

/// `workbench random-model`.
#[derive(Debug, Args)]
pub struct RandomModelArgs {
    /// Folder to make
    pub out_dir: PathBuf,
    /// m3 (8 GB) or l14 (28 GB)
    #[arg(long, value_name = "SHAPE", default_value = "m3")]
    pub shape: Shape,
}

/// `workbench eval-quant`.
#[derive(Debug, Args)]
pub struct EvalQuantArgs {
    /// q8, q4 or f16
    #[arg(long, value_name = "FORMAT", default_value = "q8")]
    pub format: Format,
    /// Tokens compared for each question
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: u32,
}

/// `workbench eval`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub struct EvalArgs {
    /// Folder with SUBJECT/ct.nii.gz, SUBJECT/mr_t1.nii.gz and, for questions about lesions, SUBJECT/gtv.nii.gz
    #[arg(long, value_name = "FOLDER", group = "source")]
    pub pairs: Option<PathBuf>,
    /// File of records, as workbench dataset writes it
    #[arg(long, value_name = "FILE.json", group = "source")]
    pub records: Option<PathBuf>,
    /// ct2mri, mri2ct, sr4, reconstruct, vqa or describe (what a description states of modality, plane and lesion is judged by itself)
    #[arg(long, value_parser = evaluated_task)]
    pub task: RecordTask,
    /// Only every N-th usable slice of a subject, or every N-th record
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub every: u32,
    /// What reconstruction and super-resolution of pairs start from: ct, mr or both
    #[arg(long, value_name = "MODALITY", default_value = "mr", value_parser = scanners)]
    pub modality: Scanners,
    /// Write input, result (marked) and target of every picture side by side
    #[arg(long, value_name = "DIR")]
    pub save_images: Option<PathBuf>,
    /// Write tables (report.md, report.json), a plot (report.png) and the rows (rows.jsonl); a stopped run goes on from them
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Folder with the network of LPIPS: torchvision's AlexNet and the linear layers (lin0.model.1.weight...); not part of the program
    #[arg(long, value_name = "DIR")]
    pub lpips: Option<PathBuf>,
    /// Leave out records that cannot be used, and list them
    #[arg(long)]
    pub skip_bad: bool,
    /// Seed of the wordings of questions about pairs
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub seed: u64,
}

/// Which modalities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanners(pub Vec<Scanner>);

/// `workbench train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Configuration; its paths are relative to it
    #[arg(value_name = "CONFIG.toml")]
    pub config: PathBuf,
    /// Save a checkpoint and end after so many steps
    #[arg(long, value_name = "STEPS")]
    pub stop_after: Option<u64>,
}

/// `workbench experiment`.
#[derive(Debug, Args)]
pub struct ExperimentArgs {
    /// plugins, experts, features or stages
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Configuration of a training stage, which every variant follows
    #[arg(long, value_name = "CONFIG.toml")]
    pub config: PathBuf,
    /// Folder for the variants and the result
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `workbench demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder to write to; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Leave out the picture of the window
    #[arg(long)]
    pub no_screenshot: bool,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// A generated CT: scan, load, memory, cancel, and frames on the software rasteriser
    Viewer(BenchViewerArgs),
}

/// `workbench bench viewer`.
#[derive(Debug, Args)]
pub struct BenchViewerArgs {
    /// Slices of 512 x 512 pixels
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=4000))]
    pub slices: u32,
    /// Frames drawn for each number
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub frames: u32,
    /// Write the CT to this folder and leave it there
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// `workbench gallery`.
#[derive(Debug, Args)]
pub struct GalleryArgs {
    /// Files and folders to open [default: the sample study]
    #[arg(value_name = "PATH")]
    pub studies: Vec<PathBuf>,
    /// Folder to write to; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `workbench screenshot`.
#[derive(Debug, Args)]
pub struct ScreenshotArgs {
    /// Files and folders to open
    #[arg(value_name = "PATH")]
    pub studies: Vec<PathBuf>,
    /// File to write
    #[arg(long, value_name = "FILE.png", value_parser = png_file)]
    pub out: PathBuf,
    /// Ask this first; may be given several times
    #[arg(long = "question", value_name = "QUESTION", allow_hyphen_values = true)]
    pub questions: Vec<String>,
    /// Then make this image
    #[arg(long, value_parser = generating_task)]
    pub task: Option<Task>,
    /// Lose the GPU that draws the window after the first answer, and go on
    #[arg(long)]
    pub lose_gpu: bool,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECS", default_value_t = 120)]
    pub timeout_secs: u64,
}

fn device(text: &str) -> Result<DeviceChoice, String> {
    match text {
        "auto" => Ok(DeviceChoice::Auto),
        "cpu" => Ok(DeviceChoice::Cpu),
        "gpu" => Ok(DeviceChoice::Gpu),
        _ => match text.parse::<u8>().ok().and_then(|n| n.checked_sub(1)) {
            Some(place) => Ok(DeviceChoice::Adapter(place)),
            None => Err("choose auto, cpu, gpu or a number from `workbench devices`".to_owned()),
        },
    }
}

fn drafting(text: &str) -> Result<Drafting, String> {
    match text {
        "auto" => Ok(Drafting::Auto),
        "always" => Ok(Drafting::Always),
        "never" => Ok(Drafting::Never),
        _ => Err("choose auto, always or never".to_owned()),
    }
}

fn plane(text: &str) -> Result<Plane, String> {
    Plane::ALL
        .into_iter()
        .find(|plane| plane.name() == text)
        .ok_or_else(|| "choose axial, coronal or sagittal".to_owned())
}

fn window(text: &str) -> Result<Window, String> {
    if let Some((_, preset)) = CT_PRESETS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
    {
        return Ok(*preset);
    }
    let numbers = text.split_once(',').and_then(|(center, width)| {
        let number = |text: &str| text.trim().parse().ok().filter(|x: &f32| x.is_finite());
        Some((number(center)?, number(width)?))
    });
    match numbers {
        Some((center, width)) if width >= 1.0 => Ok(Window::linear(center, width)),
        Some(_) => Err("the width is at least 1".to_owned()),
        None => Err("give CENTER,WIDTH such as 40,400, or the name of a CT preset".to_owned()),
    }
}

fn generating_task(text: &str) -> Result<Task, String> {
    match text.parse::<Task>() {
        Ok(task) if task.generates() => Ok(task),
        Ok(_) => Err("comprehend answers with text; use workbench ask".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn evaluated_task(text: &str) -> Result<RecordTask, String> {
    match text.parse::<RecordTask>()? {
        RecordTask::Report2Image => {
            Err("no model of this program makes pictures of reports".to_owned())
        }
        task => Ok(task),
    }
}

fn scanners(text: &str) -> Result<Scanners, String> {
    match text {
        "ct" => Ok(Scanners(vec![Scanner::Ct])),
        "mr" => Ok(Scanners(vec![Scanner::Mr])),
        "both" => Ok(Scanners(Scanner::ALL.to_vec())),
        _ => Err("choose ct, mr or both".to_owned()),
    }
}

fn png_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("png") => Ok(path),
        _ => Err("the file name must end in .png".to_owned()),
    }
}

fn number(text: &str, fits: impl Fn(f32) -> bool, what: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|x: &f32| x.is_finite() && fits(*x))
        .ok_or_else(|| format!("give a number {what}"))
}

fn not_negative(text: &str) -> Result<f32, String> {
    number(text, |x| x >= 0.0, "from 0 up")
}

fn positive(text: &str) -> Result<f32, String> {
    number(text, |x| x > 0.0, "above 0")
}

pub(super) fn probability(text: &str) -> Result<f32, String> {
    number(text, |x| x > 0.0 && x <= 1.0, "above 0 and up to 1")
}

fn plugin_format(text: &str) -> Result<Format, String> {
    match text.parse()? {
        Format::Q4 => Err("plug-ins are f16 or q8".to_owned()),
        format => Ok(format),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_window_is_two_numbers_or_a_preset() {
        assert_eq!(window("-500,1500"), window("lung"));
        assert_eq!(window("40, 400"), Ok(Window::linear(40.0, 400.0)));
        for wrong in ["40", "40,0", "40,nan", "liver", "1,2,3"] {
            assert!(window(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_of_every_command_may_stand_before_or_after_it() {
        for line in [
            "workbench --json ask --device cpu study q --model m",
            "workbench --model m --device cpu --json ask study q",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.global.json && cli.global.device == DeviceChoice::Cpu);
            assert_eq!(cli.global.model, Some("m".into()));
        }
    }
}
