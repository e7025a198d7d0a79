//! A DICOM file's bytes, read only as far as they are asked for, inflated where the transfer syntax is deflated.

use std::io::{self, Cursor, Read, SeekFrom};
use std::path::{Path, PathBuf};

use dicom_dictionary_std::uids;
use flate2::read::DeflateDecoder;

use super::dataset::DataSet;
use super::parser::{Broken, Encoding, PixelElement, parse, parse_meta, shown_encoding};
use crate::imaging::archive::{self, Bytes};
use crate::imaging::error::ImagingError;

/// Bytes read at first: enough for the header of nearly every slice.
const FIRST_READ: usize = 32 << 10;

/// Explicit VR Big Endian, retired in 2006 and still on discs.
pub const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// Where the first element is behind preamble and `DICM`.
const PART_10_START: usize = 132;

/// An inflated header is at most this long.
const MAX_INFLATED_HEADER: usize = 64 << 20;

/// A DICOM file.
pub struct Source {
    path: PathBuf,
    /// The file's bytes so far, or the inflated data set's.
    bytes: Vec<u8>,
    rest: Rest,
    complete: bool,
    /// First byte of the data set.
    start: usize,
    encoding: Encoding,
    /// The transfer syntax as declared, or as the first element shows.
    pub transfer_syntax: String,
    /// The file says it.
    pub declared: bool,
    /// The preamble is the head of a program, so that the file can be run as one (CVE-2019-11687).
    pub executable: bool,
}

/// What programs of Windows and of Linux begin with.
const PROGRAM_STARTS: [&[u8]; 2] = [b"MZ", b"\x7fELF"];

/// Bytes that were read already, and those that follow.
type ReadThenRest = io::Chain<Cursor<Vec<u8>>, Box<dyn Bytes>>;

enum Rest {
    Plain(Box<dyn Bytes>, u64),
    Deflated(Box<DeflateDecoder<ReadThenRest>>),
}

/// Where the first element is in a file that begins with `head`, if it is DICOM: behind the preamble and `DICM`
/// (PS3.10 7.1), behind a bare `DICM`, or at once in files older than Part 10.
pub fn dicom_start(head: &[u8]) -> Option<usize> {
    if head.get(128..PART_10_START) == Some(b"DICM") {
        return Some(PART_10_START);
    }
    if head.starts_with(b"DICM") {
        return Some(4);
    }
    let first: [u8; 8] = *head.first_chunk()?;
    let [low, high, element_low, element_high, ..] = first;
    let shown = shown_encoding(head, 0)?;
    let (group, element) = if shown.big_endian {
        (
            u16::from_be_bytes([low, high]),
            u16::from_be_bytes([element_low, element_high]),
        )
    } else {
        (
            u16::from_le_bytes([low, high]),
            u16::from_le_bytes([element_low, element_high]),
        )
    };
    let [.., b4, b5, b6, b7] = first;
    let short = shown.explicit || u32::from_le_bytes([b4, b5, b6, b7]) < 256 || shown.big_endian;
    let known =
        (group == 2 && element <= 0x0102 && !shown.big_endian) || (group == 8 && element <= 0x0018);
    (known && short).then_some(0)
}

impl Source {
    /// Opens a file that [`dicom_start`] recognises.
    ///
    /// # Errors
    /// [`ImagingError::Io`], [`ImagingError::Damaged`] or [`ImagingError::Unsupported`].
    pub fn open(path: &Path) -> Result<Self, ImagingError> {
        let (mut file, length) = archive::open(path)?;
        let mut bytes = Vec::with_capacity(FIRST_READ.min(length as usize));
        read_up_to(&mut file, &mut bytes, FIRST_READ).map_err(ImagingError::io(path))?;
        let Some(at) = dicom_start(&bytes) else {
            return Err(ImagingError::damaged(path, "it does not begin as DICOM"));
        };
        let (declared, start) = loop {
            let complete = bytes.len() as u64 >= length;
            match parse_meta(&bytes, at) {
                Ok(meta) => break meta,
                Err(Broken::Cut(_)) if !complete => {
                    let more = bytes.len() * 3;
                    read_up_to(&mut file, &mut bytes, more).map_err(ImagingError::io(path))?;
                }
                Err(broken) => return Err(damaged(path, broken)),
            }
        };
        let complete = bytes.len() as u64 >= length;
        let begins_as = |program: &&[u8]| bytes.starts_with(program);
        let executable = at == PART_10_START && PROGRAM_STARTS.iter().any(begins_as);
        let mut source = Self {
            path: path.to_owned(),
            bytes,
            rest: Rest::Plain(file, length),
            complete,
            start,
            encoding: Encoding::EXPLICIT,
            declared: declared.is_some(),
            transfer_syntax: declared.clone().unwrap_or_default(),
            executable,
        };
        let deflated = [
            uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
            uids::JPIP_REFERENCED_DEFLATE,
            uids::JPIPHTJ2K_REFERENCED_DEFLATE,
        ];
        if deflated.contains(&source.transfer_syntax.as_str()) {
            source.inflate()?;
            return Ok(source);
        }
        // Some files declare implicit VR and write explicit VR, or the other way round: the first element shows which.
        // A declared byte order must hold.
        let declared_encoding = match source.transfer_syntax.as_str() {
            uids::IMPLICIT_VR_LITTLE_ENDIAN => Encoding::IMPLICIT,
            BIG_ENDIAN => Encoding {
                explicit: true,
                big_endian: true,
            },
            _ => Encoding::EXPLICIT,
        };
        source.encoding = shown_encoding(&source.bytes, start).unwrap_or(declared_encoding);
        if declared.is_some() && source.encoding.big_endian != declared_encoding.big_endian {
            let what = "its byte order is not that of its transfer syntax";
            return Err(ImagingError::damaged(path, what));
        }
        if declared.is_none() {
            source.transfer_syntax = match (source.encoding.explicit, source.encoding.big_endian) {
                (false, _) => uids::IMPLICIT_VR_LITTLE_ENDIAN,
                (true, false) => uids::EXPLICIT_VR_LITTLE_ENDIAN,
                (true, true) => BIG_ENDIAN,
            }
            .to_owned();
        }
        Ok(source)
    }

    /// Replaces the file's bytes by a stream that inflates what follows the meta group.
    fn inflate(&mut self) -> Result<(), ImagingError> {
        let (mut file, _) = archive::open(&self.path)?;
        file.seek(SeekFrom::Start(self.bytes.len() as u64))
            .map_err(ImagingError::io(&self.path))?;
        let deflated = self.bytes.split_off(self.start);
        self.bytes.clear();
        self.start = 0;
        self.rest = Rest::Deflated(Box::new(DeflateDecoder::new(
            Cursor::new(deflated).chain(file),
        )));
        self.complete = false;
        self.encoding = Encoding::EXPLICIT;
        self.grow(FIRST_READ)
    }

    /// Reads on until there are `target` bytes or no more.
    fn grow(&mut self, target: usize) -> Result<(), ImagingError> {
        let missing = target.saturating_sub(self.bytes.len());
        if self.complete || missing == 0 {
            return Ok(());
        }
        let read = match &mut self.rest {
            Rest::Plain(file, length) => {
                let read = file
                    .seek(SeekFrom::Start(self.bytes.len() as u64))
                    .and_then(|_| read_up_to(file, &mut self.bytes, missing));
                self.complete = self.bytes.len() as u64 >= *length;
                read
            }
            Rest::Deflated(stream) => read_up_to(stream, &mut self.bytes, missing),
        };
        match read {
            Ok(count) if count < missing => self.complete = true,
            Ok(_) => {}
            Err(error) if matches!(self.rest, Rest::Deflated(_)) => {
                return Err(ImagingError::damaged(
                    &self.path,
                    format!("its deflated data set is broken: {error}"),
                ));
            }
            Err(error) => return Err(ImagingError::io(&self.path)(error)),
        }
        Ok(())
    }

    /// Reads the data set up to the pixel data, and gives it to `look`.
    ///
    /// # Errors
    /// What `look` returns, [`ImagingError::Io`] or [`ImagingError::Damaged`].
    pub fn data_set<T>(
        &mut self,
        look: impl FnOnce(&Self, &DataSet<'_>, Option<PixelElement>) -> Result<T, ImagingError>,
    ) -> Result<T, ImagingError> {
        loop {
            match parse(&self.bytes, self.start, self.encoding, self.complete) {
                Ok((set, pixels)) => return look(self, &set, pixels),
                Err(Broken::Cut(_)) if !self.complete => {}
                Err(broken) => return Err(damaged(&self.path, broken)),
            }
            let target = self.bytes.len().saturating_mul(4);
            if matches!(self.rest, Rest::Deflated(_)) && target > MAX_INFLATED_HEADER {
                return Err(ImagingError::damaged(
                    &self.path,
                    "its header inflates to more than 64 MiB",
                ));
            }
            self.grow(target)?;
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True when samples of the pixel data have the most significant byte first.
    pub fn big_endian(&self) -> bool {
        self.encoding.big_endian
    }

    /// Bytes there are from `offset` on, where that is known without reading (not for a deflated file).
    pub fn known_length_from(&self, offset: usize) -> Option<u64> {
        match &self.rest {
            Rest::Plain(_, length) => Some(length.saturating_sub(offset as u64)),
            Rest::Deflated(_) => None,
        }
    }

    /// `length` bytes from `offset`, without keeping them.
    ///
    /// # Errors
    /// [`ImagingError::Damaged`] when the file ends before that.
    pub fn range(&mut self, offset: usize, length: usize) -> Result<Vec<u8>, ImagingError> {
        let cut = |there: u64| {
            ImagingError::damaged(
                &self.path,
                format!("its pixel data is cut short: {there} of {length} bytes"),
            )
        };
        match &mut self.rest {
            Rest::Plain(file, all) => {
                let there = all.saturating_sub(offset as u64);
                if there < length as u64 {
                    return Err(cut(there));
                }
                let mut bytes = vec![0; length];
                file.seek(SeekFrom::Start(offset as u64))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(ImagingError::io(&self.path))?;
                Ok(bytes)
            }
            Rest::Deflated(_) => {
                let end = offset.saturating_add(length);
                self.grow(end)?;
                match self.bytes.get(offset..end) {
                    Some(bytes) => Ok(bytes.to_vec()),
                    None => Err(ImagingError::damaged(
                        &self.path,
                        format!(
                            "its pixel data is cut short: {} of {length} bytes",
                            self.bytes.len().saturating_sub(offset)
                        ),
                    )),
                }
            }
        }
    }

    /// All bytes of a plain file.
    ///
    /// # Errors
    /// [`ImagingError::Io`].
    pub fn all(&mut self) -> Result<&[u8], ImagingError> {
        if let Rest::Plain(_, length) = &self.rest {
            let length = *length as usize;
            self.grow(length)?;
        }
        Ok(&self.bytes)
    }
}

/// Appends up to `count` bytes. Memory grows with what was read, not with what was asked.
fn read_up_to(from: &mut impl Read, into: &mut Vec<u8>, count: usize) -> io::Result<usize> {
    from.take(count as u64).read_to_end(into)
}

/// What is broken, as an error of this file.
pub fn damaged(path: &Path, broken: Broken) -> ImagingError {
    match broken {
        Broken::Cut(tag) if tag.0 == 0 => ImagingError::damaged(path, "it ends too early"),
        Broken::Cut(tag) => ImagingError::damaged(path, format!("it ends inside element {tag}")),
        Broken::Bad(what) => ImagingError::damaged(path, what),
    }
}
