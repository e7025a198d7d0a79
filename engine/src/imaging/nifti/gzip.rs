//! A gzip file of one or more members (RFC 1952 2.2). What follows the last member (zeros, as tapes leave them) is no part
//! of it.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first bytes of a member.
pub const MAGIC: [u8; 2] = [0x1F, 0x8B];

/// Inflates member after member.
pub struct Members<R: BufRead> {
    /// The member being read, or nothing behind the last.
    current: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    /// Starts at the first member.
    pub fn new(reader: R) -> Self {
        Self {
            current: Some(GzDecoder::new(reader)),
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.current {
            let count = member.read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            let Some(ended) = self.current.take() else {
                break;
            };
            let mut rest = ended.into_inner();
            if rest.fill_buf()?.starts_with(&MAGIC) {
                self.current = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn member(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        Members::new(bytes).read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn members_are_joined_and_zeros_behind_them_ignored() {
        let two = [member(b"left "), member(b"right")].concat();
        assert_eq!(inflate(&two).unwrap(), b"left right");
        let padded = [two.clone(), vec![0; 512]].concat();
        assert_eq!(inflate(&padded).unwrap(), b"left right");
    }

    #[test]
    fn a_member_that_breaks_off_or_has_a_wrong_checksum_is_an_error() {
        let whole = member(b"left");
        assert!(inflate(&whole[..whole.len() - 3]).is_err());
        let mut wrong = whole.clone();
        let checksum = whole.len() - 8;
        wrong[checksum] ^= 1;
        assert!(inflate(&wrong).is_err());
        assert!(inflate(&[whole.clone(), whole[..12].to_vec()].concat()).is_err());
    }
}
