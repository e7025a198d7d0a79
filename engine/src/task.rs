//! What a user can ask of a model, and what a plug-in declares that it can do.
//!
//! The released generation weights only *reconstruct* their input, so no task is taken for granted: a plug-in
//! lists its [`Capability`]s in the model manifest, and a task without one is disabled with the reason.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::imaging::Modality;

/// One thing a HealthGPT model can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Task {
    /// Image and question to text.
    Comprehend,
    /// Image to the same image through VQ codes.
    Reconstruct,
    /// CT slice to an MRI-like slice.
    Ct2Mri,
    /// MRI slice to a CT-like slice.
    Mri2Ct,
    /// Four times the resolution.
    Sr4,
}

impl Task {
    /// Every task, in the order of the interface.
    pub const ALL: [Self; 5] = [
        Self::Comprehend,
        Self::Reconstruct,
        Self::Ct2Mri,
        Self::Mri2Ct,
        Self::Sr4,
    ];

    /// The name in manifests and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Comprehend => "comprehend",
            Self::Reconstruct => "reconstruct",
            Self::Ct2Mri => "ct2mri",
            Self::Mri2Ct => "mri2ct",
            Self::Sr4 => "sr4",
        }
    }

    /// What the interface calls it: `CT → MRI`.
    pub fn label(self) -> &'static str {
        &texts(self).label
    }

    /// What it tells the model, from `assets/tasks.toml`; empty for comprehension, where the user asks.
    pub fn instruction(self) -> &'static str {
        &texts(self).instruction
    }

    /// Is a series of this modality what the task starts from? A series that does not say may be.
    ///
    /// # Errors
    /// [`Error::WrongModality`].
    pub fn check_source(self, modality: &Modality) -> Result<(), Error> {
        let needs = match self {
            Self::Ct2Mri => Modality::Ct,
            Self::Mri2Ct => Modality::Mr,
            Self::Comprehend | Self::Reconstruct | Self::Sr4 => return Ok(()),
        };
        if [&needs, &Modality::Unknown].contains(&modality) {
            return Ok(());
        }
        Err(Error::WrongModality {
            task: self,
            needs: needs.code().to_owned(),
            found: modality.code().to_owned(),
        })
    }

    /// Does this task answer with an image?
    pub fn generates(self) -> bool {
        self != Self::Comprehend
    }
}

#[derive(Deserialize)]
struct Texts {
    label: String,
    instruction: String,
}

fn texts(task: Task) -> &'static Texts {
    static TEXTS: LazyLock<BTreeMap<Task, Texts>> = LazyLock::new(|| {
        let texts: BTreeMap<Task, Texts> = toml::from_str(include_str!("../../assets/tasks.toml"))
            .expect("assets/tasks.toml is part of the program");
        assert!(
            Task::ALL.iter().all(|task| texts.contains_key(task)),
            "assets/tasks.toml lacks a task"
        );
        texts
    });
    &TEXTS[&task]
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is no task of ours.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a task; known tasks are comprehend, reconstruct, ct2mri, mri2ct, sr4")]
pub struct UnknownTask(pub String);

impl FromStr for Task {
    type Err = UnknownTask;

    fn from_str(name: &str) -> Result<Self, UnknownTask> {
        Self::ALL
            .into_iter()
            .find(|task| task.name() == name)
            .ok_or_else(|| UnknownTask(name.to_owned()))
    }
}

impl TryFrom<String> for Task {
    type Error = UnknownTask;

    fn try_from(name: String) -> Result<Self, UnknownTask> {
        name.parse()
    }
}

impl From<Task> for String {
    fn from(task: Task) -> Self {
        task.name().to_owned()
    }
}

/// A task and, where it was trained on one region only, that region: `comprehend`, `ct2mri:limb`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Capability {
    /// What it does.
    pub task: Task,
    /// The body region it was trained on; `None` is any.
    pub region: Option<String>,
}

impl FromStr for Capability {
    type Err = UnknownTask;

    fn from_str(text: &str) -> Result<Self, UnknownTask> {
        let (task, region) = match text.split_once(':') {
            Some((task, region)) => (task, Some(region.to_owned())),
            None => (text, None),
        };
        Ok(Self {
            task: task.parse()?,
            region,
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.region {
            Some(region) => write!(f, "{}:{region}", self.task),
            None => write!(f, "{}", self.task),
        }
    }
}

impl TryFrom<String> for Capability {
    type Error = UnknownTask;

    fn try_from(text: String) -> Result<Self, UnknownTask> {
        text.parse()
    }
}

impl From<Capability> for String {
    fn from(capability: Capability) -> Self {
        capability.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_its_texts() {
        assert_eq!(Task::Ct2Mri.label(), "CT → MRI");
        assert!(
            Task::ALL
                .iter()
                .all(|task| task.generates() != task.instruction().is_empty())
        );
    }

    #[test]
    fn a_capability_reads_as_it_prints() {
        for text in ["comprehend", "ct2mri:limb", "sr4"] {
            assert_eq!(text.parse::<Capability>().unwrap().to_string(), text);
        }
        assert!(
            "ct2pet"
                .parse::<Capability>()
                .unwrap_err()
                .to_string()
                .contains("ct2mri")
        );
    }

    #[test]
    fn an_mr_series_is_no_source_for_ct_to_mri() {
        assert!(Task::Ct2Mri.check_source(&Modality::Ct).is_ok());
        assert!(Task::Sr4.check_source(&Modality::Mr).is_ok());
        let error = Task::Ct2Mri.check_source(&Modality::Mr).unwrap_err();
        assert_eq!(
            error.to_string(),
            "CT → MRI starts from CT, but this series is MR; choose another series"
        );
    }
}
