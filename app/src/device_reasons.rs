//! Why models run on a device, in the language of the window. What drivers say stays as they say it.

use engine::DeviceReason;

use crate::strings::{fill, words};

/// A reason in words.
pub fn device_reason_words(reason: &DeviceReason) -> String {
    let words = words();
    match reason {
        DeviceReason::Chosen => words.device_chosen.to_owned(),
        DeviceReason::Best => words.device_best.to_owned(),
        DeviceReason::NoGpu => words.device_no_gpu.to_owned(),
        DeviceReason::SoftwareOnly { name } => fill(words.device_software, &[name]),
        DeviceReason::NotStarted { why } => fill(words.device_not_started, &[why]),
        DeviceReason::StartedAgain { why } => fill(words.device_again, &[why]),
        DeviceReason::LostAgain { why } => fill(words.device_lost_again, &[why]),
        DeviceReason::Lost { why, failed } => fill(words.device_lost, &[why, failed]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translated::german;

    /// The window says what the command line prints; in German no reason is left in English, and no detail is lost.
    #[test]
    fn english_is_the_engines_and_german_has_the_same_details() {
        let why = || "E79".to_owned();
        for reason in [
            DeviceReason::Chosen,
            DeviceReason::Best,
            DeviceReason::NoGpu,
            DeviceReason::SoftwareOnly { name: why() },
            DeviceReason::NotStarted { why: why() },
            DeviceReason::StartedAgain { why: why() },
            DeviceReason::LostAgain { why: why() },
            DeviceReason::Lost {
                why: why(),
                failed: "E80".to_owned(),
            },
        ] {
            let _ = german(|| device_reason_words(&reason), &reason.to_string());
        }
    }
}
