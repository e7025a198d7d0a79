//! Paired volumes to pictures and records, a file of records for each task.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use image::GrayImage;

use super::alignment::{POOR_DICE, Shifts, outline_dice};
use super::error::DatasetError;
use super::facts::Scanner;
use super::pairs::{Levels, Subject, quarter, subject_folders};
use super::record::{AnswerType, Record, RecordTask};
use super::shown::{Shown, shown};
use super::turned::turned;
use super::words::{Question, description, instruction, item_random, questions, reworded};
use crate::imaging::{ImagingError, Plane};

/// What to make of a folder of pairs.
#[derive(Clone, Debug)]
pub struct FromPairs {
    /// Folder with `SUBJECT/ct.nii.gz`, `SUBJECT/mr_t1.nii.gz` and, for lesions, `SUBJECT/gtv.nii.gz`.
    pub pairs: PathBuf,
    /// Folder to write pictures to; the records' paths are relative to it.
    pub out: PathBuf,
    /// Which tasks.
    pub tasks: Vec<RecordTask>,
    /// Side of the pictures.
    pub side: usize,
    /// Shifts of MR for the conversions: for training only, a score must not be helped by them.
    pub shifts: Option<Shifts>,
    /// Chooses wordings.
    pub seed: u64,
    /// Instructions for images in the words of the program's own buttons only, not in half of the records in other words.
    pub own_words: bool,
    /// Half of the questions in more wordings than an evaluation has: for training only.
    pub reworded: bool,
    /// Coronal and sagittal slices of each turned subject, each, that questions are asked about as well: for training only.
    pub turned: usize,
}

/// The records, and what was noticed.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// Of all tasks, by subject.
    pub records: Vec<Record>,
    /// Outline Dice by subject, in the order of their names.
    pub dice: Vec<(String, f64)>,
    /// What a user must know: pairs that do not lie on each other.
    pub warnings: Vec<String>,
    /// How many pictures were written.
    pub pictures: usize,
}

/// Writes the pictures and makes the records. `on_progress` gets subjects done and in all, and may stop it.
///
/// # Errors
/// No pairs, a file that cannot be read or written, or a stop.
pub fn from_pairs(
    what: &FromPairs,
    on_progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Made, DatasetError> {
    let folders = subject_folders(&what.pairs)?;
    let mut made = Made::default();
    for (done, folder) in folders.iter().enumerate() {
        if on_progress(done, folders.len()).is_break() {
            return Err(ImagingError::Stopped.into());
        }
        let subject = Subject::open(folder)?;
        let dice = outline_dice(&subject);
        if dice < POOR_DICE {
            made.warnings.push(format!(
                "{}: CT and MR lie badly on each other (outline Dice {dice:.3}, below {POOR_DICE}); look at the pair, or leave it out",
                subject.name
            ));
        }
        made.dice.push((subject.name.clone(), dice));
        let shift = match &what.shifts {
            Some(shifts) => shifts.in_picture(&subject)?,
            None => [0, 0],
        };
        let comprehends = what.tasks.iter().any(|task| !task.generates());
        let planes: &[Plane] = if comprehends {
            &Plane::ALL
        } else {
            &[Plane::Axial]
        };
        let mut writer = Writer {
            what,
            subject: &subject.name,
            made: &mut made,
            written: BTreeSet::new(),
        };
        for shown in shown(&subject, planes, what.side, 1)? {
            writer.slice(&shown, shift)?;
        }
        for plane in planes.iter().filter(|plane| **plane != Plane::Axial) {
            for shown in turned(&subject, *plane, what.turned, what.side, what.seed)? {
                writer.slice(&shown, shift)?;
            }
        }
    }
    Ok(made)
}

struct Writer<'a> {
    what: &'a FromPairs,
    subject: &'a str,
    made: &'a mut Made,
    written: BTreeSet<PathBuf>,
}

impl Writer<'_> {
    fn slice(&mut self, shown: &Shown, shift: [i64; 2]) -> Result<(), DatasetError> {
        for task in &self.what.tasks {
            for scanner in Scanner::ALL {
                match task {
                    RecordTask::Vqa => self.questions(shown, scanner)?,
                    RecordTask::Describe => self.description(shown, scanner)?,
                    _ if shown.plane == Plane::Axial => {
                        self.conversion(*task, shown, scanner, shift)?
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn questions(&mut self, shown: &Shown, scanner: Scanner) -> Result<(), DatasetError> {
        let image = self.picture(shown, scanner.code(), shown.levels(scanner))?;
        let mask = shown.lesion_mask(self.what.side);
        let mask = mask.map(|mask| self.write(shown, "lesion", &mask));
        let mask = mask.transpose()?.map(|(path, _)| path);
        for mut question in picture_questions(self.what.seed, self.subject, shown, scanner) {
            let id = self.id(shown, scanner, question.topic.name());
            if self.what.reworded {
                let mut random = item_random(self.what.seed, &[&id, "reworded"]);
                let again = random.below(2) == 0;
                if let Some(text) = again.then(|| reworded(&question, &mut random)).flatten() {
                    text.clone_into(&mut question.text);
                }
            }
            let mut record = vqa_record(&question, &image);
            record.id = Some(id);
            record.lesion_mask = mask.clone();
            self.push(record, RecordTask::Vqa, shown, scanner);
        }
        Ok(())
    }

    fn description(&mut self, shown: &Shown, scanner: Scanner) -> Result<(), DatasetError> {
        let image = self.picture(shown, scanner.code(), shown.levels(scanner))?;
        let id = self.id(shown, scanner, "describe");
        let mut random = item_random(self.what.seed, &[&id]);
        let (question, answer) = description(&shown.facts(scanner), &mut random);
        let record = Record {
            id: Some(id),
            answer_type: Some(AnswerType::Open),
            ..Record::about(image, question, answer)
        };
        self.push(record, RecordTask::Describe, shown, scanner);
        Ok(())
    }

    /// A task that makes a picture; `scanner` made the input.
    fn conversion(
        &mut self,
        task: RecordTask,
        shown: &Shown,
        scanner: Scanner,
        shift: [i64; 2],
    ) -> Result<(), DatasetError> {
        let plain = |writer: &mut Self, scanner: Scanner| {
            writer.picture(shown, scanner.code(), shown.levels(scanner))
        };
        let (image, target) = match (task, scanner) {
            (RecordTask::Ct2Mri, Scanner::Ct) => {
                (plain(self, Scanner::Ct)?, self.moved(shown, shift)?)
            }
            (RecordTask::Mri2Ct, Scanner::Mr) => {
                (self.moved(shown, shift)?, plain(self, Scanner::Ct)?)
            }
            (RecordTask::Reconstruct, _) => {
                let image = plain(self, scanner)?;
                (image.clone(), image)
            }
            (RecordTask::Sr4, _) => {
                let low = quarter(shown.levels(scanner), self.what.side);
                let kind = format!("{}-quarter", scanner.code());
                (self.picture(shown, &kind, &low)?, plain(self, scanner)?)
            }
            _ => return Ok(()),
        };
        let id = self.id(shown, scanner, task.name());
        let words = match task.model_task().filter(|_| self.what.own_words) {
            Some(task) => task.instruction(),
            None => instruction(task, &mut item_random(self.what.seed, &[&id])),
        };
        let record = Record {
            id: Some(id),
            target_image: Some(target),
            ..Record::about(image, words, "")
        };
        self.push(record, task, shown, scanner);
        Ok(())
    }

    /// MR moved onto CT.
    fn moved(&mut self, shown: &Shown, shift: [i64; 2]) -> Result<PathBuf, DatasetError> {
        if shift == [0, 0] {
            return self.picture(shown, Scanner::Mr.code(), &shown.mr);
        }
        let moved: Levels = shown.slice.mr.moved(shift);
        self.picture(shown, "MR-moved", &moved.picture(self.what.side))
    }

    fn push(&mut self, record: Record, task: RecordTask, shown: &Shown, scanner: Scanner) {
        self.made.records.push(Record {
            sided: shown.plane == Plane::Sagittal && !task.generates(),
            subject: Some(self.subject.to_owned()),
            task: Some(task),
            modality: Some(scanner.code().to_owned()),
            ..record
        });
    }

    fn id(&self, shown: &Shown, scanner: Scanner, what: &str) -> String {
        item_id(self.subject, shown, scanner, what)
    }

    /// Writes a picture once and counts it; the path is relative to the output folder.
    fn picture(
        &mut self,
        shown: &Shown,
        kind: &str,
        levels: &[u8],
    ) -> Result<PathBuf, DatasetError> {
        let (path, new) = self.write(shown, kind, levels)?;
        self.made.pictures += usize::from(new);
        Ok(path)
    }

    /// The path of a picture, and whether it is new.
    fn write(
        &mut self,
        shown: &Shown,
        kind: &str,
        levels: &[u8],
    ) -> Result<(PathBuf, bool), DatasetError> {
        let folder = Path::new("images").join(self.subject);
        let name = format!("{}_{:03}_{kind}.png", shown.kind(), shown.index + 1);
        let path = folder.join(name);
        let new = self.written.insert(path.clone());
        if new {
            save_grey(&self.what.out.join(&path), levels, self.what.side)?;
        }
        Ok((path, new))
    }
}

/// Names an item for people and for its random numbers: slices from 1.
fn item_id(subject: &str, shown: &Shown, scanner: Scanner, what: &str) -> String {
    let (plane, slice) = (shown.kind(), shown.index + 1);
    format!("{subject}/{plane}/{slice}/{}/{what}", scanner.code())
}

/// The questions about one picture: the same in a file of records and in an evaluation made on the fly.
pub fn picture_questions(
    seed: u64,
    subject: &str,
    shown: &Shown,
    scanner: Scanner,
) -> Vec<Question> {
    let mut random = item_random(seed, &[&item_id(subject, shown, scanner, "vqa")]);
    questions(&shown.facts(scanner), &mut random)
}

/// A question as a record.
pub fn vqa_record(question: &Question, image: &Path) -> Record {
    Record {
        topic: Some(question.topic.name().to_owned()),
        answer_type: Some(question.answer_type),
        choices: question
            .choices
            .iter()
            .map(|choice| (*choice).to_owned())
            .collect(),
        ..Record::about(image, &question.text, question.answer.clone())
    }
}

/// Writes grey levels as an 8-bit PNG.
///
/// # Errors
/// [`DatasetError::Write`].
pub(super) fn save_grey(path: &Path, levels: &[u8], side: usize) -> Result<(), DatasetError> {
    let failed = |why: String| DatasetError::Write {
        why,
        path: path.to_owned(),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
    }
    let image = GrayImage::from_raw(side as u32, side as u32, levels.to_vec())
        .ok_or_else(|| failed("a picture has the wrong size".to_owned()))?;
    image.save(path).map_err(|error| failed(error.to_string()))
}
