//! Data for training and evaluation: scans and published collections to records in one JSON form.
//!
//! A [`record`] is a conversation about a picture, in VL-Health's JSON form; [`records`] reads and writes a file of them and
//! names every record that cannot be used.

mod atomic;
mod error;
pub mod record;
pub mod records;

pub use atomic::write_atomically;
pub use error::{BadRecord, DatasetError};
pub use record::{AnswerType, Message, Record, RecordTask, Speaker};
pub use records::{OnBad, Records};
