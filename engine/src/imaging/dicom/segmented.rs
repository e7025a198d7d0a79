//! Palettes in segments: runs of entries, straight lines, and segments that occur again (PS3.3 C.7.9.2).

/// Segments of one table, at most, those that are used again counted again.
const MAX_SEGMENTS: usize = 1 << 18;

/// The `count` entries that segments stand for; nothing where they break their format or end too early. `wide` says
/// that entries have 16 bits: a place in the table is then two of `values`, and else four.
pub fn expanded(values: &[u16], wide: bool, count: usize) -> Option<Vec<u16>> {
    let mut table = Table {
        values,
        wide,
        count,
        entries: Vec::new(),
        segments: 0,
    };
    let mut at = 0;
    while table.entries.len() < count {
        at = table.segment(at, true)?;
    }
    Some(table.entries)
}

struct Table<'a> {
    values: &'a [u16],
    wide: bool,
    count: usize,
    entries: Vec<u16>,
    segments: usize,
}

impl Table<'_> {
    /// Appends the entries of the segment at `at`; the result is where the next one begins. Only a segment of the
    /// table itself may be indirect.
    fn segment(&mut self, at: usize, indirect: bool) -> Option<usize> {
        self.segments += 1;
        let [kind, length] = *self.values.get(at..)?.first_chunk()?;
        let (length, at) = (usize::from(length), at + 2);
        let room = self.count.checked_sub(self.entries.len())?;
        if self.segments > MAX_SEGMENTS || (kind < 2 && length > room) {
            return None;
        }
        match kind {
            0 => {
                self.entries.extend(self.values.get(at..at + length)?);
                Some(at + length)
            }
            1 => {
                // From the last entry, which is not repeated, to this one.
                let from = f64::from(*self.entries.last()?);
                let to = f64::from(*self.values.get(at)?);
                let step = (to - from) / length.max(1) as f64;
                let line = (1..=length).map(|n| (from + step * n as f64).round() as u16);
                self.entries.extend(line);
                Some(at + 1)
            }
            2 if indirect => {
                let (mut from, words) = self.place(at)?;
                for _ in 0..length {
                    from = self.segment(from, false)?;
                }
                Some(at + words)
            }
            _ => None,
        }
    }

    /// The place that an indirect segment names in bytes, and how many values name it.
    fn place(&self, at: usize) -> Option<(usize, usize)> {
        let values = self.values.get(at..)?;
        Some(if self.wide {
            let [low, high] = values.first_chunk()?.map(usize::from);
            ((low | high << 16) / 2, 2)
        } else {
            let bytes: [usize; 4] = values.first_chunk::<4>()?.map(usize::from);
            let place = bytes.iter().rev().fold(0, |place, byte| place << 8 | byte);
            (place, 4)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_lines_follow_each_other() {
        // 10 and 20 as they are, then three steps from 20 to 26.
        let segments = [0, 2, 10, 20, 1, 3, 26];
        assert_eq!(expanded(&segments, true, 5), Some(vec![10, 20, 22, 24, 26]));
        // The last value of a line is met exactly, also downwards.
        let down = [0, 1, 65_535, 1, 2, 0];
        assert_eq!(expanded(&down, true, 3), Some(vec![65_535, 32_768, 0]));
    }

    #[test]
    fn an_indirect_segment_repeats_those_at_a_byte() {
        // Two segments from byte 6, which is value 3.
        let wide = [0, 1, 7, 0, 1, 3, 1, 2, 5, 2, 2, 6, 0];
        assert_eq!(expanded(&wide, true, 7), Some(vec![7, 3, 4, 5, 3, 4, 5]));
        let narrow = [0, 1, 7, 0, 1, 3, 1, 2, 5, 2, 2, 3, 0, 0, 0];
        assert_eq!(expanded(&narrow, false, 7), Some(vec![7, 3, 4, 5, 3, 4, 5]));
    }

    #[test]
    fn segments_that_lie_are_refused() {
        for broken in [
            &[][..],
            &[0, 9, 1],                         // cut short
            &[1, 2, 9],                         // a line from nowhere
            &[3, 1, 0],                         // no such segment
            &[0, 1, 5],                         // fewer than was said
            &[0, 1, 5, 2, 9, 6, 0],             // points at itself
            &[0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9], // more than was said
        ] {
            assert_eq!(expanded(broken, true, 4), None, "{broken:?}");
        }
        // An endless repetition of nothing comes to an end.
        let idle = [[0, 0].repeat(65_535), [2, 65_535, 0, 0].repeat(9)].concat();
        assert_eq!(expanded(&idle, true, 4), None);
    }
}
