//! A DICOM data set: elements that borrow from the file's bytes, and their values as text, numbers and items.
//! Reading bytes is `parser`.

use dicom_core::{Tag, VR};

/// One attribute.
#[derive(Clone, Debug)]
pub struct Element<'a> {
    /// Its tag.
    pub tag: Tag,
    /// As written, or by the dictionary where the file does not say.
    pub vr: VR,
    /// Binary numbers have the most significant byte first.
    pub big_endian: bool,
    /// Its value.
    pub value: Value<'a>,
}

/// What an element holds.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Everything that is no sequence.
    Bytes(&'a [u8]),
    /// A sequence.
    Items(Vec<DataSet<'a>>),
}

/// Attributes in file order.
#[derive(Clone, Debug, Default)]
pub struct DataSet<'a> {
    /// The attributes.
    pub elements: Vec<Element<'a>>,
}

impl<'a> DataSet<'a> {
    /// The element with this tag.
    pub fn get(&self, tag: Tag) -> Option<&Element<'a>> {
        self.elements.iter().find(|element| element.tag == tag)
    }

    /// The bytes of a value that is no sequence; nothing when it is absent or empty.
    pub fn bytes(&self, tag: Tag) -> Option<&'a [u8]> {
        match &self.get(tag)?.value {
            Value::Bytes(bytes) if !bytes.is_empty() => Some(bytes),
            _ => None,
        }
    }

    /// The items of a sequence; none when it is absent.
    pub fn items(&self, tag: Tag) -> &[Self] {
        match self.get(tag).map(|element| &element.value) {
            Some(Value::Items(items)) => items,
            _ => &[],
        }
    }

    /// The first item of a sequence.
    pub fn item(&self, tag: Tag) -> Option<&Self> {
        self.items(tag).first()
    }

    /// A value in plain ASCII (codes, UIDs, dates), without padding; empty when it is absent.
    pub fn text(&self, tag: Tag) -> String {
        let bytes = self.bytes(tag).unwrap_or_default();
        String::from_utf8_lossy(bytes)
            .trim_matches([' ', '\0', '\n', '\r', '\t'])
            .to_owned()
    }

    /// All numbers of a value, written in text or in binary. A value that is not a number ends the list.
    pub fn numbers(&self, tag: Tag) -> Vec<f64> {
        let Some(element) = self.get(tag) else {
            return Vec::new();
        };
        let Some(bytes) = self.bytes(tag) else {
            return Vec::new();
        };
        let big = element.big_endian;
        match element.vr {
            VR::US => words(bytes, big, u16::from_be_bytes, u16::from_le_bytes),
            VR::SS => words(bytes, big, i16::from_be_bytes, i16::from_le_bytes),
            VR::UL => words(bytes, big, u32::from_be_bytes, u32::from_le_bytes),
            VR::SL => words(bytes, big, i32::from_be_bytes, i32::from_le_bytes),
            VR::FL => words(bytes, big, f32::from_be_bytes, f32::from_le_bytes),
            VR::FD => words(bytes, big, f64::from_be_bytes, f64::from_le_bytes),
            VR::OW => words(bytes, big, u16::from_be_bytes, u16::from_le_bytes),
            VR::OB => bytes.iter().map(|byte| f64::from(*byte)).collect(),
            _ => self
                .text(tag)
                .split('\\')
                .map_while(|part| part.trim_matches([' ', '\0']).parse().ok())
                .collect(),
        }
    }

    /// The first number, if it is finite.
    pub fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag)
            .first()
            .copied()
            .filter(|number| number.is_finite())
    }

    /// The first number, if it is a whole one.
    pub fn integer(&self, tag: Tag) -> Option<i64> {
        self.number(tag)
            .filter(|number| number.fract() == 0.0 && number.abs() < 1e15)
            .map(|number| number as i64)
    }
}

fn words<const N: usize, T: Into<f64>>(
    bytes: &[u8],
    big_endian: bool,
    from_be: fn([u8; N]) -> T,
    from_le: fn([u8; N]) -> T,
) -> Vec<f64> {
    let convert = if big_endian { from_be } else { from_le };
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|word| convert(*word).into())
        .collect()
}
