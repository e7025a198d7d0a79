//! The files of a user: settings and measurements. A file is written whole or not at all; a damaged one is set aside,
//! never overwritten.
//!
//! Settings are `settings.toml` in the XDG configuration folder; measurements are a JSON file for each series in the
//! XDG data folder, named by the series' id, which is a hash and names nobody.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::settings::Settings;
use crate::state::{Kept, Layout};

/// The folder of this program in each of the system's folders.
const FOLDER: &str = "healthgpt-workbench";

/// A measurements file is larger than this only if it is not ours.
const MAX_BYTES: u64 = 16 << 20;

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Store {
    config: PathBuf,
    data: PathBuf,
    cache: PathBuf,
}

/// Something read: the value (a default if there was no sound file) and where a damaged file was put.
#[derive(Debug)]
pub struct Read<T> {
    /// The value.
    pub value: T,
    /// The damaged file's new name.
    pub set_aside: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct MeasurementFile {
    version: u32,
    measurements: Vec<Kept>,
}

impl Store {
    /// The folders of this user (XDG Base Directory Specification); nothing where there is no home.
    pub fn of_user() -> Option<Self> {
        let absolute = |name: &str| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.filter(|path| path.is_absolute())
        };
        let home = absolute("HOME");
        let of = |name: &str, below: &str| {
            absolute(name).or_else(|| home.as_ref().map(|home| home.join(below)))
        };
        Some(Self {
            config: of("XDG_CONFIG_HOME", ".config")?.join(FOLDER),
            data: of("XDG_DATA_HOME", ".local/share")?.join(FOLDER),
            cache: of("XDG_CACHE_HOME", ".cache")?.join(FOLDER),
        })
    }

    /// Everything in this folder.
    pub fn at(folder: &Path) -> Self {
        Self {
            config: folder.join("config"),
            data: folder.join("data"),
            cache: folder.join("cache"),
        }
    }

    /// The settings file.
    pub fn settings_path(&self) -> PathBuf {
        self.config.join("settings.toml")
    }

    /// The settings, or the defaults.
    pub fn settings(&self) -> Read<Settings> {
        let read = read(&self.settings_path(), |text| toml::from_str(text).ok());
        Read {
            value: read.value.map(Settings::sound).unwrap_or_default(),
            set_aside: read.set_aside,
        }
    }

    /// Writes the settings.
    ///
    /// # Errors
    /// The system's.
    pub fn keep_settings(&self, settings: &Settings) -> io::Result<()> {
        let text = toml::to_string_pretty(settings).map_err(io::Error::other)?;
        replace(&self.settings_path(), text.as_bytes())
    }

    /// Where the viewports were at the end of the last run; series are named by their ids, which are hashes.
    pub fn layout(&self) -> Read<Option<Layout>> {
        read(&self.layout_path(), |text| serde_json::from_str(text).ok())
    }

    /// Writes where the viewports are.
    ///
    /// # Errors
    /// The system's.
    pub fn keep_layout(&self, layout: &Layout) -> io::Result<()> {
        let text = serde_json::to_vec(layout).map_err(io::Error::other)?;
        replace(&self.layout_path(), &text)
    }

    fn layout_path(&self) -> PathBuf {
        self.data.join("layout.json")
    }

    /// Where sessions are kept while they run.
    pub fn sessions(&self) -> PathBuf {
        self.data.join("sessions")
    }

    /// The folder of compiled pipelines, which only this user can enter: what is in it is run by the graphics driver.
    ///
    /// # Errors
    /// The system's.
    pub fn pipelines(&self) -> io::Result<PathBuf> {
        let folder = self.cache.join("pipelines");
        own_folder(&folder)?;
        Ok(folder)
    }

    /// Where reports of crashes are.
    pub fn crashes(&self) -> PathBuf {
        self.data.join("crashes")
    }

    /// The measurements of a series; none where none were kept.
    pub fn measurements(&self, series: &str) -> Read<Vec<Kept>> {
        let Some(path) = self.measurements_path(series) else {
            return Read {
                value: Vec::new(),
                set_aside: None,
            };
        };
        let read = read(&path, |text| {
            let file: MeasurementFile = serde_json::from_str(text).ok()?;
            (file.version == 1).then_some(file.measurements)
        });
        Read {
            value: read.value.unwrap_or_default(),
            set_aside: read.set_aside,
        }
    }

    /// Writes the measurements of a series; without any, its file goes.
    ///
    /// # Errors
    /// The system's, or the id is none of ours.
    pub fn keep_measurements(&self, series: &str, measurements: &[Kept]) -> io::Result<()> {
        let Some(path) = self.measurements_path(series) else {
            return Err(io::Error::other("the series has no id of ours"));
        };
        if measurements.is_empty() {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let file = MeasurementFile {
            version: 1,
            measurements: measurements.to_vec(),
        };
        let text = serde_json::to_vec_pretty(&file).map_err(io::Error::other)?;
        replace(&path, &text)
    }

    /// Ids are hexadecimal digits, with a number for a later volume of one file. Nothing else becomes a file name.
    fn measurements_path(&self, series: &str) -> Option<PathBuf> {
        let ours = |c: char| c.is_ascii_hexdigit() || c == '-';
        let named = !series.is_empty() && series.len() <= 64 && series.chars().all(ours);
        let folder = self.data.join("measurements");
        named.then(|| folder.join(format!("{series}.json")))
    }
}

/// What a file holds, if it holds that; one that does not is given another name.
pub(crate) fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Option<T>) -> Read<Option<T>> {
    let text = match fs::metadata(path) {
        Ok(meta) if meta.len() <= MAX_BYTES => fs::read_to_string(path),
        Ok(_) => Err(io::Error::other("too large")),
        Err(error) => Err(error),
    };
    let value = match &text {
        Ok(text) => parse(text),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Read {
                value: None,
                set_aside: None,
            };
        }
        Err(_) => None,
    };
    let set_aside = if value.is_none() {
        set_aside(path)
    } else {
        None
    };
    Read { value, set_aside }
}

/// Gives a file the first free name with `.damaged`; the new name without its folder.
fn set_aside(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let names = (1..1000).map(|number| match number {
        1 => format!("{name}.damaged"),
        number => format!("{name}.damaged-{number}"),
    });
    let mut free = names.filter(|name| !path.with_file_name(name).exists());
    let new = free.next()?;
    fs::rename(path, path.with_file_name(&new)).ok()?;
    Some(new)
}

/// Writes a file whole: beside it first, then in its place, readable by this user only.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    own_folder(path.parent().unwrap_or(Path::new(".")))?;
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let written = write(&new, bytes).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // The error that counts is the first one.
        let _ = fs::remove_file(&new);
    }
    written
}

/// Makes a folder that only this user can enter, unless it is there.
pub(crate) fn own_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    let builder = builder.recursive(true);
    #[cfg(unix)]
    let builder = {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700)
    };
    builder.create(folder)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    let options = {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600)
    };
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
