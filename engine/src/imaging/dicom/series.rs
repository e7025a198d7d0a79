//! Headers to series: one entry for each stack that is a volume, with ids that name nobody.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::header::{Frame, Header};
use super::stack::{FrameOf, geometry, stacks};
use crate::imaging::hash::short_hash;
use crate::imaging::note::Note;
use crate::imaging::series::{Format, SeriesInfo, SkippedFile};
use crate::imaging::volume::Scale;

/// Groups headers by study and series, and splits what is not one volume. Copies of one image are left out and named.
pub fn series_of(files: Vec<(PathBuf, Header)>) -> (Vec<SeriesInfo>, Vec<SkippedFile>) {
    let mut groups: BTreeMap<(String, String), Vec<(PathBuf, Header)>> = BTreeMap::new();
    for (path, header) in files {
        let key = (header.study_uid.clone(), header.series_uid.clone());
        groups.entry(key).or_default().push((path, header));
    }
    let mut found = Vec::new();
    let mut skipped = Vec::new();
    for ((study, series), files) in groups {
        let files = without_copies(files, &mut skipped);
        let (paths, headers): (Vec<PathBuf>, Vec<Header>) = files.into_iter().unzip();
        for (number, stack) in stacks(&headers).into_iter().enumerate() {
            let number = number.to_string();
            let mut parts = vec![study.as_str(), &series, &number];
            // Which pictures they are is not told by where they lie: another set of them is another series.
            parts.extend(pictures_in(&headers, &stack.frames));
            let id = short_hash(&parts);
            let info = info_of(id, &paths, &headers, &stack.frames, stack.notes);
            found.extend(info);
        }
    }
    (found, skipped)
}

/// The SOP Instance UIDs of pictures in colour that came in several files; none of anything else.
fn pictures_in<'a>(headers: &'a [Header], stack: &[FrameOf]) -> Vec<&'a str> {
    let files: Vec<&Header> = stack.iter().filter_map(|at| headers.get(at.file)).collect();
    let several = stack.first().map(|at| at.file) != stack.last().map(|at| at.file);
    if !several || files.iter().any(|file| file.image.grey()) {
        return Vec::new();
    }
    files
        .iter()
        .map(|file| file.instance_uid.as_str())
        .collect()
}

/// One image stored twice has one SOP Instance UID.
fn without_copies(
    files: Vec<(PathBuf, Header)>,
    skipped: &mut Vec<SkippedFile>,
) -> Vec<(PathBuf, Header)> {
    let mut kept: Vec<(PathBuf, Header)> = Vec::new();
    let mut seen: BTreeMap<String, Vec<Option<[f64; 3]>>> = BTreeMap::new();
    for (path, header) in files {
        let position = header.frames.first().and_then(|frame| frame.position);
        let places = seen.entry(header.instance_uid.clone()).or_default();
        if !header.instance_uid.is_empty() && places.contains(&position) {
            skipped.push(SkippedFile {
                kind: "duplicate",
                why: format!(
                    "another file holds the same image (SOP Instance UID): {}",
                    path.display()
                ),
                path,
            });
            continue;
        }
        places.push(position);
        kept.push((path, header));
    }
    kept
}

fn info_of(
    id: String,
    paths: &[PathBuf],
    headers: &[Header],
    stack: &[FrameOf],
    mut notes: Vec<Note>,
) -> Option<SeriesInfo> {
    let header = headers.get(stack.first()?.file)?;
    let frames: Vec<&Frame> = stack
        .iter()
        .filter_map(|at| headers.get(at.file)?.frames.get(at.frame))
        .collect();
    let geometry = geometry(&frames);
    // Frames in colour are shown one by one, wherever they lie.
    if header.image.grey() {
        notes.extend(geometry.notes);
    }
    let several_frames = stack.iter().any(|at| {
        headers
            .get(at.file)
            .is_some_and(|header| header.frames.len() > 1)
    });
    let mut files = stack.iter().filter_map(|at| headers.get(at.file));
    if files.any(|file| file.executable) {
        notes.push(Note::ExecutablePreamble);
    }
    let spacing = geometry.patient_from_voxel.spacing_mm();
    let spaced = geometry.scale != Scale::Unknown;
    Some(SeriesInfo {
        id,
        study: short_hash(&[&header.study_uid]),
        patient: header.patient.clone(),
        study_description: header.study_description.clone(),
        description: header.description.clone(),
        number: header.number,
        modality: header.modality.clone(),
        body_part: header.body_part.clone(),
        format: Format::Dicom,
        size: [header.image.columns, header.image.rows, stack.len()],
        spacing_mm: spaced.then_some(spacing),
        notes,
        files: stack
            .iter()
            .filter_map(|at| paths.get(at.file).cloned())
            .collect(),
        frames: if several_frames {
            stack.iter().map(|at| at.frame).collect()
        } else {
            Vec::new()
        },
        volumes: 1,
        fps: header.fps,
    })
}
