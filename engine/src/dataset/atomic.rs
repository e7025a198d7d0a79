//! A file that is there whole or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::error::DatasetError;

/// Writes beside the target and puts the file in its place when it is complete; its folder is made if it is not there. A
/// crash or a full disk leaves the former file.
///
/// # Errors
/// [`DatasetError::Write`].
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DatasetError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let written = (|| {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    })();
    written.map_err(|error| {
        let _ = fs::remove_file(&part);
        DatasetError::Write {
            why: error.to_string(),
            path: path.to_owned(),
        }
    })
}
