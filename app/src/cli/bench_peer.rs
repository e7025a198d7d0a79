//! pydicom on the files of `workbench bench viewer`, where this machine has it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The measurement, which can also be run by hand.
const SCRIPT: &str = include_str!("../../../tests/peers/pydicom_load.py");

/// What pydicom needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// `pydicom 3.0.2`.
    pub name: String,
    /// To read all headers.
    pub scan_secs: f64,
    /// To read all pixels.
    pub load_secs: f64,
}

/// Runs it on a folder.
///
/// # Errors
/// In words: there is no python3 with pydicom and numpy, or it failed.
pub fn pydicom(folder: &Path) -> Result<Peer, String> {
    let mut child = Command::new("python3")
        .arg("-")
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("there is no python3 ({error})"))?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(SCRIPT.as_bytes())
            .map_err(|error| error.to_string())?;
    }
    let ran = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        let last = said.trim().lines().last().unwrap_or("it said nothing");
        return Err(last.to_owned());
    }
    let text = String::from_utf8_lossy(&ran.stdout);
    parse(&text).ok_or_else(|| "its answer was not understood".to_owned())
}

fn parse(text: &str) -> Option<Peer> {
    let secs = |name: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix('s')?.trim().parse().ok()
    };
    Some(Peer {
        name: text.lines().next()?.split(',').next()?.to_owned(),
        scan_secs: secs("header scan")?,
        load_secs: secs("full load")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_the_script_is_understood() {
        let text = "pydicom 3.0.2, 1000 files\nheader scan  2.15 s\nfull load    2.76 s\nmemory  646 MiB, 1.29 x the voxels\n";
        let peer = parse(text).unwrap();
        assert_eq!(peer.name, "pydicom 3.0.2");
        assert_eq!((peer.scan_secs, peer.load_secs), (2.15, 2.76));
        assert_eq!(parse("pydicom 3.0.2\nheader scan"), None);
    }
}
