//! DICOMDIR: the list of files on a disc (PS3.10 section 8, PS3.3 annex F).

use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;

use super::source::Source;
use crate::imaging::error::ImagingError;

/// The files that a DICOMDIR names, or nothing if the file is no DICOMDIR. Only files in its own folder and below: a
/// name that leads out of it is left out.
///
/// # Errors
/// [`ImagingError::Damaged`] or [`ImagingError::Io`].
pub fn directory_files(path: &Path) -> Result<Option<Vec<PathBuf>>, ImagingError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    Source::open(path)?.data_set(|_, set, _| {
        if set.get(tags::DIRECTORY_RECORD_SEQUENCE).is_none() {
            return Ok(None);
        }
        let records = set.items(tags::DIRECTORY_RECORD_SEQUENCE).iter();
        let names = records.map(|record| record.text(tags::REFERENCED_FILE_ID));
        Ok(Some(
            names.filter_map(|name| inside(folder, &name)).collect(),
        ))
    })
}

/// `folder` and the components of a File ID. Discs are often mounted with names in lower case.
fn inside(folder: &Path, file_id: &str) -> Option<PathBuf> {
    let plain = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && !part.contains(['/', ':', '\0'])
    };
    let parts: Vec<&str> = file_id.split('\\').map(str::trim).collect();
    if !parts.iter().all(|part| plain(part)) {
        return None;
    }
    let upper: PathBuf = folder.join(parts.iter().collect::<PathBuf>());
    let lower = parts.iter().map(|part| part.to_lowercase());
    let lower = folder.join(lower.collect::<PathBuf>());
    Some(if !upper.exists() && lower.exists() {
        lower
    } else {
        upper
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_of_the_folder_are_left_out() {
        let folder = Path::new("/disc");
        assert_eq!(
            inside(folder, "IMAGES\\A1 "),
            Some("/disc/IMAGES/A1".into())
        );
        for name in [
            "..\\A1",
            "IMAGES\\..\\..\\A1",
            "",
            "\\ETC\\PASSWD",
            "A/../../B",
            "C:\\A",
        ] {
            assert_eq!(inside(folder, name), None, "{name}");
        }
    }
}
