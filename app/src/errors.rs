//! What went wrong, in the language of the window. Details in brackets (what is wrong with a damaged file, what the system says) stay
//! as the engine says them, in English.

use engine::Error;
use engine::imaging::ImagingError;

use crate::engine_errors::{dataset_error_words, model_error_words, train_error_words};
use crate::state::task_words;
use crate::strings::{fill, words};

/// An error as a sentence that says what to do.
pub fn error_words(error: &Error) -> String {
    let words = words();
    match error {
        Error::Imaging(error) => imaging_error_words(error),
        Error::Model(error) => model_error_words(error),
        Error::Train(error) => train_error_words(error),
        Error::Dataset(error) => dataset_error_words(error),
        Error::NoAdapter(error) => fill(words.error_no_adapter, &[&error.0]),
        Error::WrongModality { task, needs, found } => {
            fill(words.why_modality, &[&task_words(*task), needs, found])
        }
        Error::GpuLost { reason } => fill(words.error_gpu_lost, &[reason]),
        Error::Internal(what) => fill(words.error_internal, &[what]),
        Error::Stopped => words.error_stopped.to_owned(),
        Error::NoModel => words.why_no_model.to_owned(),
        Error::EngineGone => words.error_engine_gone.to_owned(),
    }
}

/// The same of a scan or a picture. Paths come last.
pub fn imaging_error_words(error: &ImagingError) -> String {
    let words = words();
    match error {
        ImagingError::Io { why, path } => fill(words.error_io, &[why, &path.display()]),
        ImagingError::NoImages {
            files,
            damaged,
            unsupported,
            path,
        } => {
            let part = |count: &usize, text: &str| match count {
                0 => String::new(),
                count => fill(text, &[count]),
            };
            let reasons = part(damaged, words.error_some_damaged)
                + &part(unsupported, words.error_some_unsupported);
            fill(words.error_no_images, &[files, &reasons, &path.display()])
        }
        ImagingError::Damaged { what, path } => fill(words.error_damaged, &[what, &path.display()]),
        ImagingError::Unsupported { what, path } => {
            fill(words.error_unsupported, &[what, &path.display()])
        }
        ImagingError::NotAnImage { what, path } => {
            fill(words.error_not_an_image, &[what, &path.display()])
        }
        ImagingError::TooLarge {
            needed_mib,
            free_mib,
            path,
        } => fill(
            words.error_too_large,
            &[needed_mib, free_mib, &path.display()],
        ),
        ImagingError::NoSlice { asked, count } => fill(words.error_no_slice, &[asked, count]),
        ImagingError::Write { why, path } => fill(words.error_write, &[why, &path.display()]),
        ImagingError::Stopped => words.error_stopped.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use engine::Task;
    use engine::device::NoAdapter;

    use super::*;
    use crate::translated::german;

    fn every_error() -> Vec<Error> {
        let path = || PathBuf::from("folder/file.dcm");
        let none = |damaged, unsupported| ImagingError::NoImages {
            files: 12,
            damaged,
            unsupported,
            path: path(),
        };
        let imaging = [
            ImagingError::Io {
                why: "E13".to_owned(),
                path: path(),
            },
            none(0, 0),
            none(3, 0),
            none(3, 4),
            ImagingError::damaged(&path(), "E1"),
            ImagingError::unsupported(&path(), "E2"),
            ImagingError::NotAnImage {
                what: "E3".to_owned(),
                path: path(),
            },
            ImagingError::TooLarge {
                needed_mib: 900,
                free_mib: 100,
                path: path(),
            },
            ImagingError::NoSlice { asked: 7, count: 5 },
            ImagingError::Write {
                why: "E28".to_owned(),
                path: path(),
            },
        ];
        let mut errors: Vec<Error> = imaging.into_iter().map(Error::Imaging).collect();
        errors.extend([
            Error::NoAdapter(NoAdapter("E7".to_owned())),
            Error::WrongModality {
                task: Task::Ct2Mri,
                needs: "CT".to_owned(),
                found: "MR".to_owned(),
            },
            Error::GpuLost {
                reason: "E9".to_owned(),
            },
            Error::Internal("E8".to_owned()),
            Error::Stopped,
            Error::NoModel,
            Error::EngineGone,
        ]);
        errors
    }

    /// The window says what the command line prints; in German nothing is left in English and no number and no path is lost.
    #[test]
    fn english_is_the_engines_and_german_has_the_same_numbers_and_paths() {
        for error in every_error() {
            let english = error.to_string();
            let german = german(|| error_words(&error), &english);
            let path = english.contains("folder/file.dcm");
            assert_eq!(german.ends_with(": folder/file.dcm"), path, "{german}");
        }
    }
}
