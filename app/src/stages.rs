//! What the engine calls a stage of its work, in the language of the window.

use crate::strings::{fill, words};

/// A stage in words; one that is not known as the engine says it.
pub fn stage_words(stage: &str) -> String {
    let stage = match stage {
        "reading headers" => words().stage_headers,
        "reading slices" => words().stage_slices,
        "thumbnails" => words().stage_thumbnails,
        "image tokens" => words().stage_tokens,
        "training" => words().stage_steps,
        "preparing the kernels" => words().stage_kernels,
        other => match other.strip_prefix("loading the ") {
            Some(part) => return fill(words().stage_loading, &[&part_words(part)]),
            None => other,
        },
    };
    stage.to_owned()
}

/// A part of a model.
fn part_words(part: &str) -> String {
    match part {
        "vision tower" => words().part_vision_tower.to_owned(),
        "language model" => words().part_language_model.to_owned(),
        "image decoder" => words().part_image_decoder.to_owned(),
        other => match other.strip_prefix("plug-in ") {
            Some(name) => fill(words().part_plugin, &[&name]),
            None => other.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translated::german;

    #[test]
    fn every_stage_of_loading_is_said_in_both_languages() {
        for stage in [
            "reading headers",
            "reading slices",
            "thumbnails",
            "image tokens",
            "training",
            "preparing the kernels",
            "loading the vision tower",
            "loading the language model",
            "loading the image decoder",
            "loading the plug-in E7",
        ] {
            let _ = german(|| stage_words(stage), stage);
        }
    }
}
