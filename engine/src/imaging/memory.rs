//! Whether a volume fits into memory, asked before it is loaded.

use std::cell::Cell;
use std::path::Path;

use super::error::ImagingError;

/// Refuses what needs more than the memory that is free. Where the system does not tell (it does on Linux), nothing is refused.
///
/// # Errors
/// [`ImagingError::TooLarge`].
pub fn check_fits(needed: u64, path: &Path) -> Result<(), ImagingError> {
    match available() {
        Some(free) if needed > free => Err(ImagingError::TooLarge {
            needed_mib: needed >> 20,
            free_mib: free >> 20,
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

thread_local! {
    static PRETENDED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Does `work` as if so many bytes were free, on this thread: how tests see that a load is refused before it asks for
/// memory.
pub fn with_available<T>(bytes: u64, work: impl FnOnce() -> T) -> T {
    let before = PRETENDED.replace(Some(bytes));
    let result = work();
    PRETENDED.set(before);
    result
}

/// Bytes that are free, where the system tells (Linux).
pub fn available() -> Option<u64> {
    if let Some(pretended) = PRETENDED.get() {
        return Some(pretended);
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    available_bytes(&text)
}

/// `MemAvailable` of `/proc/meminfo`.
fn available_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_what_the_system_calls_available() {
        let text =
            "MemTotal:       24500000 kB\nMemFree:          1000 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(available_bytes(text), Some(2 << 20));
        assert_eq!(available_bytes("MemTotal: 5 kB"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_exbibyte_does_not_fit_and_a_byte_does() {
        let error = check_fits(1 << 60, Path::new("scan")).unwrap_err();
        assert_eq!(error.kind(), "too-large");
        assert!(check_fits(1, Path::new("scan")).is_ok());
    }
}
