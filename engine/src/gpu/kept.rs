//! Compiled pipelines on disk, so that the next start does not compile them again. Vulkan only: other systems keep their own.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

/// Bytes of the checksum in front.
const SUM: usize = 32;

/// More is not ours.
const MAX_BYTES: u64 = 256 << 20;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Names the folder for devices that are started after this, once. Without one nothing is kept.
pub fn keep_pipelines_in(folder: PathBuf) {
    // Two programs in one process would name the same.
    let _ = FOLDER.set(folder);
}

/// The folder that was named.
pub(super) fn folder() -> Option<&'static Path> {
    FOLDER.get().map(PathBuf::as_path)
}

/// The pipelines of one adapter with one driver.
#[derive(Debug)]
pub struct KeptPipelines {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    /// Compiled since the file was written.
    new: AtomicUsize,
}

impl KeptPipelines {
    /// Those in the folder that was named.
    pub fn of(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> Option<Self> {
        Self::in_folder(device, info, folder()?)
    }

    /// Those in a folder. Nothing where the device does not give its pipelines out. A file that is damaged counts as
    /// none and is written anew.
    pub fn in_folder(
        device: &wgpu::Device,
        info: &wgpu::AdapterInfo,
        folder: &Path,
    ) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let path = folder.join(wgpu::util::pipeline_cache_key(info)?);
        let data = read(&path);
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("engine"),
            data: data.as_deref(),
            fallback: true,
        };
        #[expect(unsafe_code, reason = "wgpu cannot know where the bytes come from")]
        // SAFETY: the bytes are what `get_data` gave this program, by their checksum; wgpu compares adapter and driver.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(Self {
            cache,
            path,
            new: AtomicUsize::new(0),
        })
    }

    /// For a pipeline that is compiled now.
    pub fn for_new(&self) -> &wgpu::PipelineCache {
        let _ = self.new.fetch_add(1, Ordering::Relaxed);
        &self.cache
    }

    /// Writes the file, if pipelines were compiled since. The result is its size, 0 where nothing was to be written.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self) -> io::Result<usize> {
        if self.new.swap(0, Ordering::Relaxed) == 0 {
            return Ok(0);
        }
        let Some(data) = self.cache.get_data() else {
            return Ok(0);
        };
        if read(&self.path).is_some_and(|kept| kept == data) {
            return Ok(0);
        }
        let mut whole = Sha256::digest(&data).to_vec();
        whole.extend_from_slice(&data);
        let mut begun = self.path.clone().into_os_string();
        begun.push(format!(".{}", std::process::id()));
        let mut file = File::create(&begun)?;
        file.write_all(&whole)?;
        fs::rename(&begun, &self.path)?;
        Ok(whole.len())
    }
}

/// The bytes behind a checksum that is theirs.
fn read(path: &Path) -> Option<Vec<u8>> {
    if fs::metadata(path).ok()?.len() > MAX_BYTES {
        return None;
    }
    let mut data = fs::read(path).ok()?;
    let sum: Vec<u8> = data.get(..SUM)?.to_vec();
    let _ = data.drain(..SUM);
    (Sha256::digest(&data).as_slice() == sum).then_some(data)
}
