//! Errors of models, training and data in the language of the window.

use engine::dataset::DatasetError;
use engine::gpu::{GpuError, Offer, Shortage};
use engine::model::first_names;
use engine::training::TrainError;
use engine::{ImagingError, ModelError};

use crate::errors::imaging_error_words;
use crate::strings::{fill, words};

/// What loading or running a model ends in. Paths come last.
pub fn model_error_words(error: &ModelError) -> String {
    let words = words();
    match error {
        ModelError::Io { source, path } => fill(words.error_model_io, &[source, &path.display()]),
        ModelError::Damaged { what, path } => {
            fill(words.error_model_damaged, &[what, &path.display()])
        }
        ModelError::MissingParts { missing, path } => fill(
            words.error_model_parts,
            &[&missing.join(", "), &path.display()],
        ),
        ModelError::Tensors {
            missing,
            misshaped,
            path,
        } => {
            let part = |names: &[String], text: &str| {
                let (mut shown, more) = first_names(names);
                if more > 0 {
                    shown = format!("{shown} {}", fill(words.and_more, &[&more]));
                }
                (!names.is_empty()).then(|| fill(text, &[&shown]))
            };
            let parts = [
                part(missing, words.error_missing),
                part(misshaped, words.error_misshaped),
            ];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            fill(
                words.error_model_tensors,
                &[&parts.join("; "), &path.display()],
            )
        }
        ModelError::Invalid { what } => fill(words.error_model_invalid, &[what]),
        ModelError::OutputExists { path } => fill(words.error_output_exists, &[&path.display()]),
        ModelError::Changed { path } => fill(words.error_model_changed, &[&path.display()]),
        ModelError::EmptyQuestion => words.error_empty_question.to_owned(),
        ModelError::PromptTooLong { tokens, limit } => {
            let over = (tokens + 1).saturating_sub(*limit);
            fill(words.error_prompt_too_long, &[tokens, limit, &over])
        }
        ModelError::NoCapability { model, task } => fill(words.error_no_capability, &[model, task]),
        ModelError::WrongCodeCount { found, expected } => {
            fill(words.error_code_count, &[found, expected])
        }
        ModelError::Gpu(error) => gpu_error_words(error),
        ModelError::Stopped => words.error_stopped.to_owned(),
    }
}

fn gpu_error_words(error: &GpuError) -> String {
    let words = words();
    match error {
        GpuError::NoRoom { what, needed_mib } => fill(words.error_gpu_room, &[what, needed_mib]),
        GpuError::TooLarge(shortage) => shortage_words(words.error_gpu_too_large, shortage),
        GpuError::NoMemory(shortage) => shortage_words(words.error_no_memory, shortage),
        GpuError::Unsupported { what } => fill(words.error_gpu_unsupported, &[what]),
        GpuError::Lost { reason } => fill(words.error_gpu_stopped, &[reason]),
    }
}

fn shortage_words(text: &str, shortage: &Shortage) -> String {
    fill(
        text,
        &[
            &shortage.needed_mib,
            &shortage.format,
            &shortage.weights_mib,
            &shortage.cache_mib,
            &shortage.activations_mib,
            &shortage.available_mib,
            &offer_words(shortage.offer),
        ],
    )
}

fn offer_words(offer: Offer) -> String {
    let words = words();
    match offer {
        Offer::Smaller { format, needed_mib } => fill(words.offer_smaller, &[&format, &needed_mib]),
        Offer::Cpu => words.offer_cpu.to_owned(),
        Offer::Close => words.offer_close.to_owned(),
        Offer::CloseOrConvert => words.offer_close_or_convert.to_owned(),
    }
}

/// What training ends in. Paths come last.
pub fn train_error_words(error: &TrainError) -> String {
    let words = words();
    match error {
        TrainError::Imaging(error) => imaging_error_words(error),
        TrainError::Model(error) => model_error_words(error),
        TrainError::Dataset(error) => dataset_error_words(error),
        TrainError::Config { what, path } => {
            fill(words.error_train_config, &[what, &path.display()])
        }
        TrainError::Record { what, path } => {
            fill(words.error_train_record, &[what, &path.display()])
        }
        TrainError::TooLong { tokens, limit } => fill(words.error_train_too_long, &[tokens, limit]),
        TrainError::NoPlugIn { name, known } => {
            fill(words.error_no_plug_in, &[name, &known.join(", ")])
        }
        TrainError::TooLarge { plan, free } => {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            fill(
                words.error_train_too_large,
                &[
                    &mib(plan.total()),
                    &mib(plan.frozen),
                    &mib(plan.trained),
                    &mib(plan.optimizer),
                    &mib(plan.activations),
                    &mib(*free),
                ],
            )
        }
        TrainError::NoThread { why } => fill(words.error_no_thread, &[why]),
        TrainError::NotANumber { step } => fill(words.error_not_a_number, &[step]),
        TrainError::OtherConfig { path } => fill(words.error_other_config, &[&path.display()]),
        TrainError::Checkpoint { why, path } => {
            fill(words.error_checkpoint, &[why, &path.display()])
        }
    }
}

/// What reading or writing data ends in. Paths come last.
pub fn dataset_error_words(error: &DatasetError) -> String {
    let words = words();
    match error {
        DatasetError::Imaging(ImagingError::Stopped) => words.error_stopped.to_owned(),
        DatasetError::Imaging(error) => imaging_error_words(error),
        DatasetError::Pair { what, path } => fill(words.error_pair, &[what, &path.display()]),
        DatasetError::NoPairs { path } => fill(words.error_no_pairs, &[&path.display()]),
        DatasetError::Read { why, path } => fill(words.error_data_read, &[why, &path.display()]),
        DatasetError::Write { why, path } => fill(words.error_data_write, &[why, &path.display()]),
        DatasetError::Layout {
            line,
            what,
            expected,
            path,
        } => fill(
            words.error_data_layout,
            &[line, what, expected, &path.display()],
        ),
        DatasetError::BadRecords { bad, of, path } => {
            let mut list = String::new();
            for record in bad.iter().take(20) {
                list += "\n  ";
                list += &fill(words.error_bad_line, &[&record.line, &record.reason]);
            }
            if bad.len() > 20 {
                list += "\n  ";
                list += &fill(words.and_more, &[&(bad.len() - 20)]);
            }
            fill(
                words.error_bad_records,
                &[&bad.len(), of, &list, &path.display()],
            )
        }
        DatasetError::OtherEvaluation { path } => {
            fill(words.error_other_evaluation, &[&path.display()])
        }
        // What is missing is the whole message.
        DatasetError::Nothing { what, path } => format!("{what}: {}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use engine::dataset::BadRecord;
    use engine::training::plan::MemoryPlan;

    use super::*;
    use crate::translated::german;

    fn path() -> PathBuf {
        PathBuf::from("folder/file.bin")
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("E{i}")).collect()
    }

    #[test]
    fn errors_of_models_are_the_engines_and_german_has_the_same_numbers() {
        let tensors = |missing, misshaped| ModelError::Tensors {
            missing: names(missing),
            misshaped: names(misshaped),
            path: path(),
        };
        let sizes = |offer| Shortage {
            format: "q8",
            needed_mib: 900,
            weights_mib: 700,
            cache_mib: 150,
            activations_mib: 50,
            available_mib: 100,
            offer,
        };
        let errors = [
            ModelError::Io {
                source: std::io::Error::other("E13"),
                path: path(),
            },
            ModelError::damaged(&path(), "E1"),
            ModelError::MissingParts {
                missing: names(2),
                path: path(),
            },
            tensors(1, 0),
            tensors(0, 2),
            tensors(9, 1),
            ModelError::Invalid {
                what: "E2".to_owned(),
            },
            ModelError::OutputExists { path: path() },
            ModelError::Changed { path: path() },
            ModelError::EmptyQuestion,
            ModelError::PromptTooLong {
                tokens: 5000,
                limit: 4096,
            },
            ModelError::NoCapability {
                model: "E3".to_owned(),
                task: "E4".to_owned(),
            },
            ModelError::WrongCodeCount {
                found: 1,
                expected: 2,
            },
            ModelError::Gpu(GpuError::NoRoom {
                what: "E5".to_owned(),
                needed_mib: 7,
            }),
            ModelError::Gpu(GpuError::TooLarge(sizes(Offer::Cpu))),
            ModelError::Gpu(GpuError::TooLarge(sizes(Offer::Smaller {
                format: "q4",
                needed_mib: 60,
            }))),
            ModelError::Gpu(GpuError::NoMemory(sizes(Offer::CloseOrConvert))),
            ModelError::Gpu(GpuError::NoMemory(sizes(Offer::Close))),
            ModelError::Gpu(GpuError::Unsupported {
                what: "E6".to_owned(),
            }),
            ModelError::Gpu(GpuError::Lost {
                reason: "E7".to_owned(),
            }),
            ModelError::Stopped,
        ];
        for error in errors {
            let english = error.to_string();
            let german = german(|| model_error_words(&error), &english);
            let path = english.contains("folder/file.bin");
            assert_eq!(german.ends_with(": folder/file.bin"), path, "{german}");
        }
    }

    #[test]
    fn errors_of_training_are_the_engines_and_german_has_the_same_numbers() {
        let record = |line| BadRecord {
            line,
            reason: "E8".to_owned(),
        };
        let errors = [
            TrainError::Config {
                what: "E1".to_owned(),
                path: path(),
            },
            TrainError::Record {
                what: "E2".to_owned(),
                path: path(),
            },
            TrainError::TooLong {
                tokens: 3000,
                limit: 2000,
            },
            TrainError::NoPlugIn {
                name: "E3".to_owned(),
                known: names(2),
            },
            TrainError::TooLarge {
                plan: MemoryPlan {
                    frozen: 1 << 20,
                    trained: 2 << 20,
                    optimizer: 3 << 20,
                    activations: 4 << 20,
                },
                free: 5 << 20,
            },
            TrainError::NoThread {
                why: "E4".to_owned(),
            },
            TrainError::NotANumber { step: 7 },
            TrainError::OtherConfig { path: path() },
            TrainError::Checkpoint {
                why: "E5".to_owned(),
                path: path(),
            },
            TrainError::Dataset(DatasetError::Pair {
                what: "E6".to_owned(),
                path: path(),
            }),
            TrainError::Dataset(DatasetError::NoPairs { path: path() }),
            TrainError::Dataset(DatasetError::Read {
                why: "E7".to_owned(),
                path: path(),
            }),
            TrainError::Dataset(DatasetError::Write {
                why: "E7".to_owned(),
                path: path(),
            }),
            TrainError::Dataset(DatasetError::Layout {
                line: 3,
                what: "E9".to_owned(),
                expected: "E10",
                path: path(),
            }),
            TrainError::Dataset(DatasetError::BadRecords {
                bad: (0..23).map(record).collect(),
                of: 90,
                path: path(),
            }),
            TrainError::Dataset(DatasetError::OtherEvaluation { path: path() }),
        ];
        for error in errors {
            let english = error.to_string();
            let german = german(|| train_error_words(&error), &english);
            let path = english.contains("folder/file.bin");
            assert_eq!(german.ends_with(": folder/file.bin"), path, "{german}");
        }
    }
}
