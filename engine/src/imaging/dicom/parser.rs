//! Bytes to data sets (PS3.5 section 7).
//!
//! Lengths are checked against the bytes there are before anything is allocated, and sequences nest to a limit, so
//! that no file can exhaust memory or the stack. Pixel Data of the root data set is not read here, only found.

use std::ops::Range;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use super::dataset::{DataSet, Element, Value};

/// Sequences in sequences, at most. The deepest in the standard have about ten.
const MAX_DEPTH: usize = 32;

/// The length that says "until the delimiter".
const UNDEFINED: u32 = 0xFFFF_FFFF;

const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// How elements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Each element names its VR.
    pub explicit: bool,
    /// Most significant byte first.
    pub big_endian: bool,
}

impl Encoding {
    /// Implicit VR little endian.
    pub const IMPLICIT: Self = Self {
        explicit: false,
        big_endian: false,
    };
    /// Explicit VR little endian.
    pub const EXPLICIT: Self = Self {
        explicit: true,
        big_endian: false,
    };
}

/// Why a data set could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The bytes end inside this element. More bytes may help.
    Cut(Tag),
    /// No more bytes will help.
    Bad(String),
}

/// Where the root data set's pixel data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelElement {
    /// Pixel Data, Float Pixel Data or Double Float Pixel Data.
    pub tag: Tag,
    /// Its VR.
    pub vr: VR,
    /// First byte of the value.
    pub offset: usize,
    /// Bytes of the value, or nothing for fragments.
    pub length: Option<usize>,
}

/// Reads a root data set from `bytes[at..]`, up to the pixel data or the end. `complete` says that the file has no
/// bytes beyond these.
///
/// # Errors
/// [`Broken`].
pub fn parse(
    bytes: &[u8],
    at: usize,
    encoding: Encoding,
    complete: bool,
) -> Result<(DataSet<'_>, Option<PixelElement>), Broken> {
    let mut reader = Reader { bytes, at };
    let mut elements = Vec::new();
    loop {
        let rest = bytes.len().saturating_sub(reader.at);
        if rest < 8 {
            let padding = bytes.iter().skip(reader.at).all(|byte| *byte == 0);
            return if complete && padding {
                Ok((DataSet { elements }, None))
            } else {
                Err(Broken::Cut(Tag(0, 0)))
            };
        }
        let head = reader.head(encoding)?;
        if head.tag.0 == 0x7FE0 && head.tag >= tags::FLOAT_PIXEL_DATA {
            let pixels = PixelElement {
                tag: head.tag,
                vr: head.vr,
                offset: reader.at,
                length: head.length.map(|length| length as usize),
            };
            return Ok((DataSet { elements }, Some(pixels)));
        }
        if head.tag.0 == 0xFFFE {
            continue; // a stray delimiter between elements
        }
        elements.push(reader.element(head, encoding, 0)?);
    }
}

/// The offset table of encapsulated pixel data at `bytes[at..]`, and where its fragments are.
///
/// # Errors
/// [`Broken`]: an item is cut short, or something else stands between the items.
pub fn fragments(bytes: &[u8], at: usize) -> Result<(Vec<u32>, Vec<Range<usize>>), Broken> {
    let mut reader = Reader { bytes, at };
    let mut found = Vec::new();
    loop {
        if bytes.len().saturating_sub(reader.at) < 8 && !found.is_empty() {
            break; // many writers leave the delimiter out
        }
        let head = reader.head(Encoding::IMPLICIT)?;
        match head.tag {
            ITEM => {
                let length = head.length.ok_or_else(|| {
                    Broken::Bad("a fragment of the pixel data has no length".to_owned())
                })?;
                let start = reader.at;
                let _ = reader.take(length as usize, tags::PIXEL_DATA)?;
                found.push(start..reader.at);
            }
            SEQUENCE_END => break,
            other => {
                return Err(Broken::Bad(format!(
                    "{other} stands between the fragments of the pixel data"
                )));
            }
        }
    }
    if found.is_empty() {
        return Err(Broken::Bad("the pixel data has no offset table".to_owned()));
    }
    let table = bytes.get(found.remove(0)).unwrap_or_default();
    let offsets = table
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes))
        .collect();
    Ok((offsets, found))
}

/// True for two letters that name a VR of the standard.
fn names_vr(bytes: [u8; 2]) -> bool {
    VR::from_binary(bytes).is_some()
}

/// The transfer syntax of a file meta group at `bytes[at..]`, and where the group ends. Always little endian
/// (PS3.10 7.1).
///
/// # Errors
/// [`Broken`].
pub fn parse_meta(bytes: &[u8], at: usize) -> Result<(Option<String>, usize), Broken> {
    let mut reader = Reader { bytes, at };
    let mut elements = Vec::new();
    while bytes
        .get(reader.at..)
        .is_some_and(|rest| rest.starts_with(&[2, 0]))
    {
        let head = reader.head(Encoding::EXPLICIT)?;
        elements.push(reader.element(head, Encoding::EXPLICIT, 0)?);
    }
    let syntax = DataSet { elements }.text(tags::TRANSFER_SYNTAX_UID);
    Ok(((!syntax.is_empty()).then_some(syntax), reader.at))
}

/// The encoding that the first element of a data set shows: its group is a small number, and a VR is two letters.
pub fn shown_encoding(bytes: &[u8], at: usize) -> Option<Encoding> {
    let [group_low, group_high, _, _, first, second] = *bytes.get(at..)?.first_chunk::<6>()?;
    Some(Encoding {
        explicit: names_vr([first, second]),
        big_endian: group_low == 0 && group_high != 0,
    })
}

struct Head {
    tag: Tag,
    vr: VR,
    length: Option<u32>,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, tag: Tag) -> Result<&'a [u8], Broken> {
        let end = self.at.checked_add(count).ok_or(Broken::Cut(tag))?;
        let taken = self.bytes.get(self.at..end).ok_or(Broken::Cut(tag))?;
        self.at = end;
        Ok(taken)
    }

    fn u16(&mut self, big_endian: bool, tag: Tag) -> Result<u16, Broken> {
        let bytes = self.take(2, tag)?.first_chunk().copied();
        let bytes = bytes.ok_or(Broken::Cut(tag))?;
        Ok(if big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    }

    fn u32(&mut self, big_endian: bool, tag: Tag) -> Result<u32, Broken> {
        let bytes = self.take(4, tag)?.first_chunk().copied();
        let bytes = bytes.ok_or(Broken::Cut(tag))?;
        Ok(if big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    /// Tag, VR and length of the next element (PS3.5 7.1).
    fn head(&mut self, encoding: Encoding) -> Result<Head, Broken> {
        let big = encoding.big_endian;
        let unknown = Tag(0, 0);
        let tag = Tag(self.u16(big, unknown)?, self.u16(big, unknown)?);
        if encoding.explicit && tag.0 != 0xFFFE {
            let letters: [u8; 2] = self
                .take(2, tag)?
                .first_chunk()
                .copied()
                .ok_or(Broken::Cut(tag))?;
            if letters.iter().all(u8::is_ascii_uppercase) {
                // PS3.5 6.2: a VR of later editions is written with the long form.
                let vr = VR::from_binary(letters);
                let long = vr.is_none_or(has_long_length);
                let length = if long {
                    self.take(2, tag)?;
                    self.u32(big, tag)?
                } else {
                    u32::from(self.u16(big, tag)?)
                };
                return Ok(Head {
                    tag,
                    vr: vr.unwrap_or(VR::UN),
                    length: (length != UNDEFINED).then_some(length),
                });
            }
            self.at -= 2; // some writers drop into implicit VR for single elements
        }
        let length = self.u32(big, tag)?;
        Ok(Head {
            tag,
            vr: dictionary_vr(tag),
            length: (length != UNDEFINED).then_some(length),
        })
    }

    fn element(
        &mut self,
        head: Head,
        encoding: Encoding,
        depth: usize,
    ) -> Result<Element<'a>, Broken> {
        let Head { tag, vr, .. } = head;
        let known = if vr == VR::UN { dictionary_vr(tag) } else { vr };
        // PS3.5 6.2.2: what is inside UN is implicit VR little endian.
        let inner = if encoding.explicit && vr == VR::UN {
            Encoding::IMPLICIT
        } else {
            encoding
        };
        let value = match head.length {
            None if matches!(vr, VR::OB | VR::OW) => {
                // Encapsulated pixel data inside a sequence (an icon): stepped over.
                self.skip_fragments(tag)?;
                Value::Bytes(&[])
            }
            None => Value::Items(self.items(inner, None, depth, tag)?),
            Some(length) => {
                let bytes = self.take(length as usize, tag)?;
                if known == VR::SQ {
                    let mut inside = Reader { bytes, at: 0 };
                    match inside.items(inner, Some(bytes.len()), depth, tag) {
                        Ok(items) => Value::Items(items),
                        Err(_) if vr == VR::UN => Value::Bytes(bytes),
                        Err(Broken::Cut(_)) => {
                            return Err(Broken::Bad(format!(
                                "{tag} is longer than the sequence it is in"
                            )));
                        }
                        Err(error) => return Err(error),
                    }
                } else {
                    Value::Bytes(bytes)
                }
            }
        };
        Ok(Element {
            tag,
            vr: known,
            big_endian: inner.big_endian,
            value,
        })
    }

    fn items(
        &mut self,
        encoding: Encoding,
        end: Option<usize>,
        depth: usize,
        tag: Tag,
    ) -> Result<Vec<DataSet<'a>>, Broken> {
        if depth >= MAX_DEPTH {
            return Err(Broken::Bad(format!(
                "sequences are nested more than {MAX_DEPTH} deep in {tag}"
            )));
        }
        let mut items = Vec::new();
        while end.is_none_or(|end| self.at < end) {
            let head = self.head(encoding)?;
            match (head.tag, head.length) {
                (ITEM, Some(length)) => {
                    let bytes = self.take(length as usize, tag)?;
                    let mut inside = Reader { bytes, at: 0 };
                    let item = inside.item(encoding, true, depth);
                    items.push(item.map_err(|broken| match broken {
                        Broken::Cut(tag) => {
                            Broken::Bad(format!("{tag} is longer than the item it is in"))
                        }
                        bad @ Broken::Bad(_) => bad,
                    })?);
                }
                (ITEM, None) => items.push(self.item(encoding, false, depth)?),
                (SEQUENCE_END, _) => break,
                (other, _) => {
                    return Err(Broken::Bad(format!(
                        "{other} stands where an item of {tag} should begin"
                    )));
                }
            }
        }
        Ok(items)
    }

    fn item(
        &mut self,
        encoding: Encoding,
        bounded: bool,
        depth: usize,
    ) -> Result<DataSet<'a>, Broken> {
        let mut elements = Vec::new();
        while !bounded || self.at < self.bytes.len() {
            let head = self.head(encoding)?;
            match head.tag {
                ITEM_END => break,
                SEQUENCE_END | ITEM => {
                    return Err(Broken::Bad(format!("{} ends an item", head.tag)));
                }
                _ => elements.push(self.element(head, encoding, depth + 1)?),
            }
        }
        Ok(DataSet { elements })
    }

    fn skip_fragments(&mut self, tag: Tag) -> Result<(), Broken> {
        loop {
            let head = self.head(Encoding::IMPLICIT)?;
            match (head.tag, head.length) {
                (ITEM, Some(length)) => {
                    self.take(length as usize, tag)?;
                }
                (SEQUENCE_END, _) => return Ok(()),
                (other, _) => {
                    return Err(Broken::Bad(format!(
                        "{other} stands between the fragments of {tag}"
                    )));
                }
            }
        }
    }
}

/// The VRs with two reserved bytes and a 32-bit length (PS3.5 7.1.2).
fn has_long_length(vr: VR) -> bool {
    matches!(
        vr,
        VR::OB
            | VR::OD
            | VR::OF
            | VR::OL
            | VR::OV
            | VR::OW
            | VR::SQ
            | VR::SV
            | VR::UC
            | VR::UN
            | VR::UR
            | VR::UT
            | VR::UV
    )
}

fn dictionary_vr(tag: Tag) -> VR {
    match StandardDataDictionary.by_tag(tag).map(|entry| entry.vr()) {
        Some(VirtualVr::Exact(vr)) => vr,
        Some(VirtualVr::Xs) => VR::US,
        Some(VirtualVr::Ox | VirtualVr::Px | VirtualVr::Lt) => VR::OW,
        _ => VR::UN,
    }
}
