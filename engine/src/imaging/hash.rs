//! Short names for things that must not be named.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::hex::hex;

/// The first 16 hexadecimal digits of the SHA-256 of these parts.
pub fn short_hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize()[..8])
}

/// The short name of a file, however its path is written.
pub fn path_hash(kind: &str, path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    short_hash(&[kind, &whole.to_string_lossy()])
}
