//! The engine without a window: a command is sent, its events become progress and text, its last one the result.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::imaging::{Generated, Loaded, Scan, SeriesInfo};
use engine::model::Answer;
use engine::session::{AskRequest, Command, Event, EventKind, GenerateRequest, JobId, ModelInfo};
use engine::{DeviceChoice, DeviceInfo, Engine};
use tracing::{debug, info};

use super::console::Console;
use super::failure::Failure;

/// A running engine and what it said that nobody has waited for yet.
pub struct Headless {
    engine: Engine,
    device: Option<DeviceInfo>,
    waiting: Vec<Event>,
}

/// A command on its way.
#[derive(Clone, Copy, Debug)]
pub struct Job(JobId);

impl Headless {
    /// Starts an engine for work with a model.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn start(choice: DeviceChoice) -> Result<Self, Failure> {
        Ok(Self {
            engine: Engine::start(choice, || {})?,
            device: None,
            waiting: Vec::new(),
        })
    }

    /// Starts an engine that only reads files: no GPU is looked for.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_for_files() -> Result<Self, Failure> {
        Self::start(DeviceChoice::Cpu)
    }

    /// Begins to load a model; meanwhile files can be read.
    pub fn begin_model(&self, dir: PathBuf) -> Job {
        Job(self.engine.send(Command::LoadModel { dir }))
    }

    /// The model, once it is loaded. Says which device it is on and why.
    ///
    /// # Errors
    /// The device or the model cannot be used.
    pub fn model(
        &mut self,
        job: Job,
        console: &mut Console<'_>,
    ) -> Result<Arc<ModelInfo>, Failure> {
        match self.wait(job.0, console)? {
            EventKind::ModelLoaded(info) => {
                if let Some(device) = &self.device {
                    console.say(&format!("device: {}: {}", device.name, device.reason));
                }
                console.say(&format!(
                    "model: {} ({}), loaded in {:.1} s",
                    info.name, info.variant, info.load_secs
                ));
                Ok(info)
            }
            _ => Err(unexpected()),
        }
    }

    /// The device, known once a model is loaded.
    pub fn device(&self) -> Option<&DeviceInfo> {
        self.device.as_ref()
    }

    /// What is in these files and folders.
    ///
    /// # Errors
    /// They cannot be read, or hold no image.
    pub fn scan(&mut self, paths: &[PathBuf], console: &mut Console<'_>) -> Result<Scan, Failure> {
        let job = self.engine.scan(paths.to_vec());
        match self.wait(job, console)? {
            EventKind::ScanDone { series, skipped } => Ok(Scan { series, skipped }),
            _ => Err(unexpected()),
        }
    }

    /// The voxels or pixels of a series.
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn load(
        &mut self,
        series: &SeriesInfo,
        console: &mut Console<'_>,
    ) -> Result<Loaded, Failure> {
        let job = self.engine.send(Command::LoadSeries {
            series: Box::new(series.clone()),
        });
        match self.wait(job, console)? {
            EventKind::SeriesLoaded { loaded, .. } => Ok(loaded),
            _ => Err(unexpected()),
        }
    }

    /// An answer, whose text is printed as it comes.
    ///
    /// # Errors
    /// The question cannot be answered.
    pub fn ask(
        &mut self,
        request: AskRequest,
        console: &mut Console<'_>,
    ) -> Result<Answer, Failure> {
        let job = self.engine.send(Command::Ask(Box::new(request)));
        match self.wait(job, console)? {
            EventKind::Answered(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }

    /// A generated picture.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn generate(
        &mut self,
        request: GenerateRequest,
        console: &mut Console<'_>,
    ) -> Result<Arc<Generated>, Failure> {
        let job = self.engine.send(Command::Generate(Box::new(request)));
        match self.wait(job, console)? {
            EventKind::Generated(generated) => Ok(generated),
            _ => Err(unexpected()),
        }
    }

    /// A picture for each request, in their order.
    ///
    /// # Errors
    /// One of them cannot be made.
    pub fn generate_several(
        &mut self,
        requests: Vec<GenerateRequest>,
        console: &mut Console<'_>,
    ) -> Result<Vec<Arc<Generated>>, Failure> {
        let job = self.engine.send(Command::GenerateSeveral(requests));
        match self.wait(job, console)? {
            EventKind::GeneratedSeveral(generated) => Ok(generated),
            _ => Err(unexpected()),
        }
    }

    /// Waits for the last event of a job.
    fn wait(&mut self, job: JobId, console: &mut Console<'_>) -> Result<EventKind, Failure> {
        let started = Instant::now();
        let outcome = self.wait_for_last(job, console);
        let secs = started.elapsed().as_secs_f64();
        match &outcome {
            Ok(_) => info!("job {} ended after {secs:.3} s", job.0),
            Err(failure) => info!("job {} failed after {secs:.3} s: {}", job.0, failure.kind),
        }
        outcome
    }

    fn wait_for_last(
        &mut self,
        job: JobId,
        console: &mut Console<'_>,
    ) -> Result<EventKind, Failure> {
        loop {
            let mine = self.waiting.iter().position(|event| event.job == job);
            let event = match mine {
                Some(at) => self.waiting.remove(at),
                None => match self.engine.wait_event(Duration::from_secs(1)) {
                    Some(event) => event,
                    None => continue,
                },
            };
            match event.kind {
                EventKind::Device(info) => self.device = Some(info),
                EventKind::GpuLost { reason, .. } => console.say(&format!(
                    "the GPU stopped answering ({reason}); another device takes its place"
                )),
                EventKind::FirstFound { .. } | EventKind::FirstSlice { .. } => {}
                EventKind::Failed(error) if event.job == job || event.job == JobId(0) => {
                    console.end_progress();
                    return Err(error.into());
                }
                _ if event.job != job => {
                    if event.kind.ends_job() {
                        self.waiting.push(event);
                    }
                }
                EventKind::Progress(progress) => {
                    debug!(
                        "job {}: {} {}/{}",
                        job.0, progress.stage, progress.done, progress.of
                    );
                    console.progress(&progress);
                }
                EventKind::Text(text) => {
                    if let Err(failure) = console.print(&text) {
                        self.engine.stop(job);
                        return Err(failure);
                    }
                }
                last => {
                    console.end_progress();
                    return Ok(last);
                }
            }
        }
    }
}

fn unexpected() -> Failure {
    engine::Error::Internal("a job ended with the result of another".to_owned()).into()
}
