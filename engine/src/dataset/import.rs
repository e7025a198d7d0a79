//! Published collections of questions and reports to records, in the layouts in which they are published.
//!
//! | collection | file | pictures |
//! |---|---|---|
//! | VQA-RAD | `VQA_RAD Dataset Public.json` | `VQA_RAD Image Folder` |
//! | SLAKE | `train.json`, `validate.json`, `test.json` | `imgs` |
//! | PathVQA | `train_qa.pkl`, or the same list as JSON | `images`, with `train`, `val` and `test` in it or not |
//! | OmniMedVQA | a file of `QA_information`, or a folder of them | the folder that holds `Images` |
//! | reports | a list, or an object of lists as R2Gen's `annotation.json` | any folder |

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::error::{BadRecord, DatasetError};
use super::json_list::{JsonList, Shape};
use super::record::{AnswerType, Message, Record, RecordTask, Speaker};
use super::records::{OnBad, settle};
use crate::model::checkpoint::pickled_rows;

/// A layout that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// Lau et al. 2018.
    VqaRad,
    /// Liu et al. 2021.
    Slake,
    /// He et al. 2020.
    PathVqa,
    /// Hu et al. 2024.
    OmniMedVqa,
    /// Reports with their pictures.
    Reports,
}

impl Collection {
    /// All.
    pub const ALL: [Self; 5] = [
        Self::VqaRad,
        Self::Slake,
        Self::PathVqa,
        Self::OmniMedVqa,
        Self::Reports,
    ];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::VqaRad => "vqa-rad",
            Self::Slake => "slake",
            Self::PathVqa => "pathvqa",
            Self::OmniMedVqa => "omnimedvqa",
            Self::Reports => "reports",
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::VqaRad => "VQA-RAD's JSON list (image_name, question, answer, answer_type)",
            Self::Slake => "SLAKE's JSON list (img_name, question, answer, answer_type, q_lang)",
            Self::PathVqa => "PathVQA's list (image, question, answer), as pickle or JSON",
            Self::OmniMedVqa => {
                "OmniMedVQA's JSON list (image_path, question, gt_answer, option_A...)"
            }
            Self::Reports => "a JSON list, or an object of lists, with image_path and report",
        }
    }
}

/// What to import.
#[derive(Clone, Debug)]
pub struct Import {
    /// Its layout.
    pub collection: Collection,
    /// The file, or for OmniMedVQA a folder of them.
    pub file: PathBuf,
    /// Where its pictures are.
    pub images: PathBuf,
    /// The folder that the records will lie in, which is made: their paths are relative to it.
    pub out: PathBuf,
    /// What to do about entries that cannot be used.
    pub on_bad: OnBad,
    /// SLAKE also in Chinese.
    pub all_languages: bool,
}

/// Records by the published split (`all` where there is none), and what was left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// By split.
    pub splits: BTreeMap<String, Vec<Record>>,
    /// What cannot be used.
    pub skipped: Vec<BadRecord>,
    /// Entries in other languages.
    pub other_languages: usize,
}

/// Reads a collection.
///
/// # Errors
/// A file that cannot be read or has another layout, no picture folder, or entries that cannot be used and are not to be
/// skipped.
pub fn import(what: &Import) -> Result<Imported, DatasetError> {
    if !what.images.is_dir() {
        return Err(DatasetError::Nothing {
            what: "the folder of the pictures is not there".to_owned(),
            path: what.images.clone(),
        });
    }
    fs::create_dir_all(&what.out).map_err(|error| DatasetError::Write {
        why: error.to_string(),
        path: what.out.clone(),
    })?;
    let mut imported = Imported::default();
    for file in files(what)? {
        read_file(what, &file, &mut imported)?;
    }
    if imported.splits.is_empty() {
        return Err(DatasetError::Nothing {
            what: "nothing in it can be used".to_owned(),
            path: what.file.clone(),
        });
    }
    Ok(imported)
}

fn files(what: &Import) -> Result<Vec<PathBuf>, DatasetError> {
    if !what.file.is_dir() {
        return Ok(vec![what.file.clone()]);
    }
    let entries = fs::read_dir(&what.file).map_err(|error| DatasetError::Read {
        why: error.to_string(),
        path: what.file.clone(),
    })?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    Ok(files)
}

fn read_file(what: &Import, file: &Path, imported: &mut Imported) -> Result<(), DatasetError> {
    let mut bad = Vec::new();
    let mut of = 0;
    let mut take = |line: usize, split: Option<&str>, entry: Result<Value, BadRecord>| {
        of += 1;
        let made = entry.and_then(|entry| {
            convert(what, split, entry).map_err(|reason| BadRecord { line, reason })
        });
        match made {
            Ok(Some((split, record))) => match record.fault(&what.out) {
                None => imported.splits.entry(split).or_default().push(record),
                Some(reason) => bad.push(BadRecord { line, reason }),
            },
            Ok(None) => imported.other_languages += 1,
            Err(fault) => bad.push(fault),
        }
    };
    if file.extension().is_some_and(|extension| extension == "pkl") {
        let bytes = fs::read(file).map_err(|error| DatasetError::Read {
            why: error.to_string(),
            path: file.to_owned(),
        })?;
        let rows = pickled_rows(&bytes).map_err(|why| DatasetError::Layout {
            line: 1,
            what: why,
            expected: what.collection.expected(),
            path: file.to_owned(),
        })?;
        for (i, row) in rows.into_iter().enumerate() {
            let row = row
                .into_iter()
                .map(|(key, value)| (key, Value::String(value)));
            take(i + 1, None, Ok(Value::Object(row.collect()))); // a pickle has no lines: the entry's number
        }
    } else {
        let list = JsonList::read(file, Shape::ListOrSplits, what.collection.expected())?;
        for element in list.elements() {
            take(element.line, element.split, element.parse());
        }
    }
    imported.skipped.extend(settle(bad, what.on_bad, of, file)?);
    Ok(())
}

/// The split and the record of an entry; `None` for one in another language.
fn convert(
    what: &Import,
    split: Option<&str>,
    entry: Value,
) -> Result<Option<(String, Record)>, String> {
    match what.collection {
        Collection::VqaRad => vqa_rad(what, parse(entry)?).map(Some),
        Collection::Slake => slake(what, split, parse(entry)?),
        Collection::PathVqa => path_vqa(what, parse(entry)?).map(Some),
        Collection::OmniMedVqa => omni_med_vqa(what, parse(entry)?).map(Some),
        Collection::Reports => report(what, split, parse(entry)?).map(Some),
    }
}

fn parse<T: serde::de::DeserializeOwned>(entry: Value) -> Result<T, String> {
    serde_json::from_value(entry).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct VqaRad {
    qid: Option<Value>,
    image_name: String,
    question: String,
    answer: Value,
    answer_type: String,
    phrase_type: Option<String>,
    question_type: Option<String>,
}

/// Every picture is of another patient (Lau et al. 2018), so its name stands for the subject.
fn vqa_rad(what: &Import, entry: VqaRad) -> Result<(String, Record), String> {
    let test = entry
        .phrase_type
        .is_some_and(|kind| kind.starts_with("test"));
    let image = image(what, &entry.image_name)?;
    let record = Record {
        id: entry.qid.map(|id| text(&id)),
        subject: Some(entry.image_name),
        topic: entry.question_type.map(|topic| topic.trim().to_lowercase()),
        answer_type: Some(answer_type(&entry.answer_type)?),
        task: Some(RecordTask::Vqa),
        ..Record::about(image, entry.question.trim(), text(&entry.answer))
    };
    Ok((if test { "test" } else { "train" }.to_owned(), record))
}

#[derive(Deserialize)]
struct Slake {
    qid: Option<Value>,
    img_id: Option<Value>,
    img_name: String,
    question: String,
    answer: Value,
    answer_type: String,
    q_lang: Option<String>,
    modality: Option<String>,
    content_type: Option<String>,
}

fn slake(
    what: &Import,
    split: Option<&str>,
    entry: Slake,
) -> Result<Option<(String, Record)>, String> {
    let english = entry
        .q_lang
        .as_deref()
        .is_none_or(|language| language == "en");
    if !english && !what.all_languages {
        return Ok(None);
    }
    let image = image(what, &entry.img_name)?;
    let record = Record {
        id: entry.qid.map(|id| text(&id)),
        subject: entry.img_id.map(|id| text(&id)),
        modality: entry.modality,
        topic: entry.content_type.map(|topic| topic.to_lowercase()),
        answer_type: Some(answer_type(&entry.answer_type)?),
        task: Some(RecordTask::Vqa),
        ..Record::about(image, entry.question.trim(), text(&entry.answer))
    };
    let stem = what.file.file_stem().map(|stem| stem.to_string_lossy());
    let split = split
        .map(str::to_owned)
        .or(stem.map(|stem| stem.into_owned()));
    Ok(Some((split.unwrap_or_else(|| "all".to_owned()), record)))
}

#[derive(Deserialize)]
struct PathVqa {
    image: String,
    question: String,
    answer: Value,
}

/// The split is the first word of the picture's name: `train_0422`.
fn path_vqa(what: &Import, entry: PathVqa) -> Result<(String, Record), String> {
    let split = entry.image.split('_').next().unwrap_or_default().to_owned();
    let name = match Path::new(&entry.image).extension() {
        Some(_) => entry.image.clone(),
        None => format!("{}.jpg", entry.image),
    };
    let image = image(what, &format!("{split}/{name}")).or_else(|_| image(what, &name))?;
    let answer = text(&entry.answer);
    let closed = ["yes", "no"].contains(&answer.to_lowercase().as_str());
    let record = Record {
        subject: Some(entry.image),
        modality: Some("pathology".to_owned()),
        answer_type: Some(if closed {
            AnswerType::Closed
        } else {
            AnswerType::Open
        }),
        task: Some(RecordTask::Vqa),
        ..Record::about(image, entry.question.trim(), answer)
    };
    let known = ["train", "val", "test"].contains(&split.as_str());
    Ok((if known { split } else { "all".to_owned() }, record))
}

#[derive(Deserialize)]
struct OmniMedVqa {
    question_id: Option<Value>,
    question_type: Option<String>,
    image_path: String,
    question: String,
    gt_answer: Value,
    #[serde(alias = "modality")]
    modality_type: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

fn omni_med_vqa(what: &Import, entry: OmniMedVqa) -> Result<(String, Record), String> {
    let image = image(what, &entry.image_path)?;
    let options: Vec<(String, String)> = entry
        .rest
        .iter()
        .filter_map(|(key, value)| {
            let letter = key.strip_prefix("option_")?;
            (!value.is_null()).then(|| (letter.to_owned(), text(value)))
        })
        .collect();
    let mut question = entry.question.trim().to_owned();
    for (letter, option) in &options {
        question.push_str(&format!("\n{letter}. {option}"));
    }
    let record = Record {
        id: entry.question_id.map(|id| text(&id)),
        modality: entry.modality_type,
        topic: entry.question_type.map(|topic| topic.to_lowercase()),
        answer_type: Some(AnswerType::Choice),
        choices: options.into_iter().map(|(_, option)| option).collect(),
        task: Some(RecordTask::Vqa),
        ..Record::about(image, &question, text(&entry.gt_answer))
    };
    Ok(("all".to_owned(), record))
}

#[derive(Deserialize)]
struct Report {
    id: Option<Value>,
    #[serde(alias = "subject")]
    subject_id: Option<Value>,
    #[serde(alias = "image")]
    image_path: Value,
    report: Option<String>,
    findings: Option<String>,
    impression: Option<String>,
    modality: Option<String>,
    split: Option<String>,
}

/// The report is the question and the picture the answer; of several pictures the first.
fn report(what: &Import, split: Option<&str>, entry: Report) -> Result<(String, Record), String> {
    let name = match &entry.image_path {
        Value::Array(paths) => paths.first().map(text),
        one => Some(text(one)),
    };
    let image = image(what, &name.ok_or("it names no picture")?)?;
    let parts = [entry.report, entry.findings, entry.impression];
    let words: Vec<String> = parts
        .into_iter()
        .flatten()
        .map(|part| part.trim().to_owned())
        .collect();
    let words = words.join("\n");
    if words.trim().is_empty() {
        return Err("it has neither report nor findings nor impression".to_owned());
    }
    let message = |from, value| Message { from, value };
    let record = Record {
        id: entry.id.map(|id| text(&id)),
        subject: entry.subject_id.map(|id| text(&id)),
        modality: entry.modality,
        task: Some(RecordTask::Report2Image),
        conversations: vec![
            message(
                Speaker::Human,
                format!("Make the image that this report describes.\n{words}"),
            ),
            message(Speaker::Gpt, String::new()),
        ],
        target_image: Some(image),
        ..Record::default()
    };
    let split = split.map(str::to_owned).or(entry.split);
    Ok((split.unwrap_or_else(|| "all".to_owned()), record))
}

fn answer_type(word: &str) -> Result<AnswerType, String> {
    match word.trim().to_uppercase().as_str() {
        "CLOSED" => Ok(AnswerType::Closed),
        "OPEN" => Ok(AnswerType::Open),
        other => Err(format!(
            "answer_type is '{other}' and neither OPEN nor CLOSED"
        )),
    }
}

/// Text as it stands; numbers in digits.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

/// The path of a picture from the folder of the records.
fn image(what: &Import, name: &str) -> Result<PathBuf, String> {
    let path = what.images.join(name);
    if !path.is_file() {
        return Err(format!("the picture is not there: {name}"));
    }
    Ok(relative(&what.out, &path))
}

/// `path` as seen from `folder`.
fn relative(folder: &Path, path: &Path) -> PathBuf {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (folder, path) = (whole(folder), whole(path));
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) =
        (folder.components().collect(), path.components().collect());
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if same == 0 {
        return path;
    }
    let up = from.iter().skip(same).map(|_| Component::ParentDir);
    up.chain(to.iter().skip(same).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_another_folder() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["a/b", "c"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let file = root.path().join("c/x.png");
        fs::write(&file, []).unwrap();
        assert_eq!(
            relative(&root.path().join("a/b"), &file),
            Path::new("../../c/x.png")
        );
        assert_eq!(relative(&root.path().join("c"), &file), Path::new("x.png"));
    }
}
