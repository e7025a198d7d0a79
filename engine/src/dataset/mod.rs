//! Data for training and evaluation: scans and published collections to records in one JSON form.
//!
//! A [`record`] is a conversation about a picture, in VL-Health's JSON form; [`records`] reads and writes a file of them and
//! names every record that cannot be used. They come from paired volumes ([`pairs`], [`facts`], [`words`], [`from_pairs`]),
//! from single ones ([`from_volumes`]) and from published collections ([`import`](mod@import)); [`split`] goes by
//! subject, [`codes`] computes the VQ codes of targets once, and a [`card`] counts what is there.

pub mod alignment;
mod atomic;
pub mod card;
pub mod codes;
mod error;
pub mod facts;
pub mod from_pairs;
pub mod from_volumes;
pub mod import;
mod json_list;
pub mod pairs;
pub mod record;
pub mod records;
pub mod shown;
pub mod split;
mod turned;
pub mod words;

pub use atomic::write_atomically;
pub use card::Card;
pub use error::{BadRecord, DatasetError};
pub use record::{AnswerType, Message, Record, RecordTask, Speaker};
pub use records::{OnBad, Records};
