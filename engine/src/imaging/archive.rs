//! Files inside ZIP archives. A member has the path of its archive with its own name behind it, and is read like a file.
//!
//! Nothing is written to disk. What an archive says of its sizes is checked before anything is inflated: members may not
//! overlap, and together not inflate to more than [`MAX_RATIO`] times the archive beyond [`FREE_BYTES`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zip::ZipArchive;
use zip::result::ZipError;

use super::error::ImagingError;
use super::memory::check_fits;

/// What a ZIP archive with members begins with.
const MAGIC: &[u8; 4] = b"PK\x03\x04";

/// Members of one archive, at most.
const MAX_MEMBERS: usize = 200_000;

/// How much longer than the archive its members may be together, once they have more than [`FREE_BYTES`].
const MAX_RATIO: u64 = 100;

/// Bytes that may be inflated whatever the ratio.
const FREE_BYTES: u64 = 1 << 30;

/// A member of this length or less is kept for the next reader of it.
const MAX_KEPT: usize = 64 << 20;

/// Bytes of a file or of a member.
pub trait Bytes: Read + Seek + Send {}

impl<T: Read + Seek + Send> Bytes for T {}

/// Opens a file or a member, and says how long it is.
///
/// # Errors
/// [`ImagingError::Io`], or what is wrong with the archive.
pub fn open(path: &Path) -> Result<(Box<dyn Bytes>, u64), ImagingError> {
    match archive_of(path) {
        Some(archive) => {
            let bytes = member(&archive, path)?;
            let length = bytes.len() as u64;
            Ok((Box::new(Cursor::new(bytes)), length))
        }
        None => {
            let file = File::open(path).map_err(ImagingError::io(path))?;
            let length = file.metadata().map_err(ImagingError::io(path))?.len();
            Ok((Box::new(file), length))
        }
    }
}

/// True for a file or a member that is there.
pub fn is_there(path: &Path) -> bool {
    path.is_file()
        || archive_of(path).is_some_and(|archive| {
            with_archive(&archive, |opened| Ok(opened.members.contains_key(path))).unwrap_or(false)
        })
}

/// True when a file begins as a ZIP archive.
pub fn is_archive(path: &Path) -> bool {
    let mut first = [0; 4];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut first).is_ok() && first == *MAGIC)
}

/// What is in an archive.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Paths of the members, in the order of names.
    pub members: Vec<PathBuf>,
    /// Members that are not read, because their names lead out of the archive.
    pub outside: usize,
}

/// Lists an archive.
///
/// # Errors
/// [`ImagingError::Damaged`] when it is no archive or says what cannot be; [`ImagingError::Unsupported`] when it inflates
/// to too much.
pub fn list(archive: &Path) -> Result<Listing, ImagingError> {
    with_archive(archive, |opened| {
        Ok(Listing {
            members: opened.members.keys().cloned().collect(),
            outside: opened.outside,
        })
    })
}

/// The archive that a path leads into.
fn archive_of(path: &Path) -> Option<PathBuf> {
    if path.exists() {
        return None;
    }
    let inside = path.ancestors().skip(1).find(|above| above.exists())?;
    (inside.is_file() && is_archive(inside)).then(|| inside.to_owned())
}

/// An archive that was opened, so that it is not listed again for each member.
struct Opened {
    path: PathBuf,
    length: u64,
    zip: ZipArchive<BufReader<File>>,
    /// Number of each member, by its path.
    members: BTreeMap<PathBuf, usize>,
    outside: usize,
    /// The member read last.
    last: Option<(PathBuf, Arc<[u8]>)>,
}

static LAST_OPENED: Mutex<Option<Opened>> = Mutex::new(None);

/// Gives `use_it` the archive, opening it unless it is the last one.
fn with_archive<T>(
    path: &Path,
    use_it: impl FnOnce(&mut Opened) -> Result<T, ImagingError>,
) -> Result<T, ImagingError> {
    let length = path.metadata().map_err(ImagingError::io(path))?.len();
    let mut last = LAST_OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let opened = match last.take() {
        Some(opened) if opened.path == path && opened.length == length => opened,
        _ => open_archive(path, length)?,
    };
    use_it(last.insert(opened))
}

fn open_archive(path: &Path, length: u64) -> Result<Opened, ImagingError> {
    let failed = |error: ZipError| failure(error, path);
    let file = File::open(path).map_err(ImagingError::io(path))?;
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(failed)?;
    if zip.len() > MAX_MEMBERS {
        return Err(ImagingError::unsupported(
            path,
            format!("archives of {} files", zip.len()),
        ));
    }
    let mut members = BTreeMap::new();
    let (mut outside, mut compressed, mut inflated) = (0, 0_u64, 0_u64);
    for number in 0..zip.len() {
        let member = zip.by_index_raw(number).map_err(failed)?;
        if member.is_dir() {
            continue;
        }
        compressed = compressed.saturating_add(member.compressed_size());
        inflated = inflated.saturating_add(member.size());
        match member.enclosed_name() {
            Some(name) if stays_inside(member.name()) => {
                members.insert(path.join(name), number);
            }
            _ => outside += 1,
        }
    }
    if compressed > length {
        return Err(ImagingError::damaged(
            path,
            "the files in the archive overlap",
        ));
    }
    if inflated > FREE_BYTES && inflated / MAX_RATIO > length {
        return Err(ImagingError::unsupported(
            path,
            format!("archives that inflate to {} GiB", inflated >> 30),
        ));
    }
    Ok(Opened {
        path: path.to_owned(),
        length,
        zip,
        members,
        outside,
        last: None,
    })
}

/// Stricter than the crate, which lets `a/../b` pass.
fn stays_inside(name: &str) -> bool {
    !name.split(['/', '\\']).any(|part| part == "..") && !name.contains(['\0', ':'])
}

fn member(archive: &Path, path: &Path) -> Result<Arc<[u8]>, ImagingError> {
    with_archive(archive, |opened| {
        if let Some((_, bytes)) = opened.last.as_ref().filter(|(last, _)| last == path) {
            return Ok(Arc::clone(bytes));
        }
        let number = opened
            .members
            .get(path)
            .copied()
            .ok_or_else(|| ImagingError::damaged(path, "it is not in its archive any more"))?;
        let file = opened
            .zip
            .by_index(number)
            .map_err(|error| failure(error, path))?;
        let size = file.size();
        check_fits(size.saturating_mul(2), path)?;
        let mut bytes = Vec::new();
        // One byte more than it says tells a lie.
        let read = file.take(size.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| {
            ImagingError::damaged(path, format!("it cannot be inflated: {error}"))
        })?;
        if bytes.len() as u64 != size {
            return Err(ImagingError::damaged(
                path,
                format!("it inflates to {} bytes, not to {size}", bytes.len()),
            ));
        }
        let bytes: Arc<[u8]> = bytes.into();
        opened.last = (bytes.len() <= MAX_KEPT).then(|| (path.to_owned(), Arc::clone(&bytes)));
        Ok(bytes)
    })
}

fn failure(error: ZipError, path: &Path) -> ImagingError {
    match error {
        ZipError::Io(error) => {
            ImagingError::damaged(path, format!("its archive is cut short: {error}"))
        }
        ZipError::UnsupportedArchive(what) => {
            ImagingError::unsupported(path, format!("such an archive ({what})"))
        }
        error => ImagingError::damaged(path, format!("its archive is broken: {error}")),
    }
}
