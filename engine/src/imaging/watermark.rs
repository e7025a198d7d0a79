//! The mark in the pixels of a generated picture: words on a solid band at the top and at the bottom.
//!
//! The bands cover picture: a mark that leaves every pixel visible can be removed again. The letters are a 5 x 7
//! bitmap font, so that the mark needs no font file and looks the same everywhere.

use image::{Rgb, RgbImage};

/// Columns of a letter, its gap included.
const ADVANCE: usize = 6;
/// Rows of a letter.
const HEIGHT: usize = 7;

/// Writes `top` on a band along the top edge and `bottom` on one along the bottom edge. Letters are at least 3 % of the
/// height (and 7 pixels); a line that is too long for the width is broken between words.
pub fn burn_in(image: &RgbImage, top: &str, bottom: &str) -> RgbImage {
    let mut marked = image.clone();
    let scale = (image.height() as usize * 3).div_ceil(100 * HEIGHT).max(1);
    let columns = (image.width() as usize / (ADVANCE * scale)).max(1);
    let line_height = (HEIGHT + 2) * scale;
    let top = wrap(top, columns);
    for (i, line) in top.iter().enumerate() {
        write_line(&mut marked, line, i * line_height, scale);
    }
    let bottom = wrap(bottom, columns);
    let start = (image.height() as usize).saturating_sub(bottom.len() * line_height);
    for (i, line) in bottom.iter().enumerate() {
        write_line(&mut marked, line, start + i * line_height, scale);
    }
    marked
}

/// Lines of at most `columns` characters, broken between words where possible.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let mut letters: Vec<char> = word.chars().collect();
        if let Some(line) = lines.last_mut()
            && line.chars().count() + 1 + letters.len() <= columns
        {
            line.push(' ');
            line.extend(letters);
            continue;
        }
        while letters.len() > columns {
            let rest = letters.split_off(columns);
            lines.push(letters.into_iter().collect());
            letters = rest;
        }
        lines.push(letters.into_iter().collect());
    }
    lines
}

/// One line, white on its black band, so that it is read on any picture.
fn write_line(image: &mut RgbImage, line: &str, y: usize, scale: usize) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let used = line.chars().count() * ADVANCE * scale;
    let left = width.saturating_sub(used) / 2;
    for row in y..(y + (HEIGHT + 2) * scale).min(height) {
        for column in 0..width {
            image.put_pixel(column as u32, row as u32, Rgb([0; 3]));
        }
    }
    for (i, letter) in line.chars().enumerate() {
        for (row, bits) in glyph(letter).iter().enumerate() {
            for column in (0..5).filter(|column| (bits >> (4 - column)) & 1 == 1) {
                for (dy, dx) in (0..scale).flat_map(|dy| (0..scale).map(move |dx| (dy, dx))) {
                    let at_x = left + (i * ADVANCE + column) * scale + dx;
                    let at_y = y + (row + 1) * scale + dy;
                    if at_x < width && at_y < height {
                        image.put_pixel(at_x as u32, at_y as u32, Rgb([255; 3]));
                    }
                }
            }
        }
    }
}

/// Rows of a letter, five bits each; unknown characters are blank.
fn glyph(letter: char) -> [u8; HEIGHT] {
    let letter = letter.to_ascii_uppercase();
    GLYPHS
        .iter()
        .find(|(known, _)| *known == letter)
        .map_or([0; HEIGHT], |(_, rows)| *rows)
}

#[rustfmt::skip]
const GLYPHS: [(char, [u8; HEIGHT]); 43] = [
    ('A', [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001]),
    ('B', [0b11110, 0b10001, 0b10001, 0b11110, 0b10001, 0b10001, 0b11110]),
    ('C', [0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110]),
    ('D', [0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110]),
    ('E', [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111]),
    ('F', [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000]),
    ('G', [0b01110, 0b10001, 0b10000, 0b10111, 0b10001, 0b10001, 0b01111]),
    ('H', [0b10001, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001]),
    ('I', [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110]),
    ('J', [0b00111, 0b00010, 0b00010, 0b00010, 0b00010, 0b10010, 0b01100]),
    ('K', [0b10001, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b10001]),
    ('L', [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111]),
    ('M', [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001]),
    ('N', [0b10001, 0b11001, 0b10101, 0b10011, 0b10001, 0b10001, 0b10001]),
    ('O', [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110]),
    ('P', [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000]),
    ('Q', [0b01110, 0b10001, 0b10001, 0b10001, 0b10101, 0b10010, 0b01101]),
    ('R', [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001]),
    ('S', [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110]),
    ('T', [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100]),
    ('U', [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110]),
    ('V', [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01010, 0b00100]),
    ('W', [0b10001, 0b10001, 0b10001, 0b10101, 0b10101, 0b11011, 0b10001]),
    ('X', [0b10001, 0b10001, 0b01010, 0b00100, 0b01010, 0b10001, 0b10001]),
    ('Y', [0b10001, 0b10001, 0b01010, 0b00100, 0b00100, 0b00100, 0b00100]),
    ('Z', [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b10000, 0b11111]),
    ('0', [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110]),
    ('1', [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110]),
    ('2', [0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b11111]),
    ('3', [0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110]),
    ('4', [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010]),
    ('5', [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110]),
    ('6', [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110]),
    ('7', [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000]),
    ('8', [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110]),
    ('9', [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100]),
    ('-', [0b00000, 0b00000, 0b00000, 0b11111, 0b00000, 0b00000, 0b00000]),
    ('.', [0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b01100, 0b01100]),
    ('/', [0b00001, 0b00010, 0b00010, 0b00100, 0b01000, 0b01000, 0b10000]),
    ('_', [0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b11111]),
    (':', [0b00000, 0b01100, 0b01100, 0b00000, 0b01100, 0b01100, 0b00000]),
    ('(', [0b00010, 0b00100, 0b01000, 0b01000, 0b01000, 0b00100, 0b00010]),
    (')', [0b01000, 0b00100, 0b00010, 0b00010, 0b00010, 0b00100, 0b01000]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_legible_on_black_grey_and_white() {
        for level in [0, 128, 255] {
            let plain = RgbImage::from_pixel(256, 256, Rgb([level; 3]));
            let marked = burn_in(&plain, crate::imaging::generated::MARK, "tiny");
            let count = |level: u8| {
                (0..36)
                    .flat_map(|y| (0..256).map(move |x| (x, y)))
                    .filter(|(x, y)| marked.get_pixel(*x, *y).0 == [level; 3])
                    .count()
            };
            assert!(count(255) > 300 && count(0) > 3000, "level {level}");
            assert_eq!(
                marked.get_pixel(128, 255).0,
                [0; 3],
                "a band at the bottom too"
            );
            assert_eq!(
                marked.get_pixel(128, 128).0,
                [level; 3],
                "the middle stays as it was"
            );
        }
    }

    #[test]
    fn a_long_line_is_broken_between_words_and_a_long_word_anywhere() {
        assert_eq!(wrap("AI GENERATED IMAGE", 12), ["AI GENERATED", "IMAGE"]);
        assert_eq!(wrap("ABCDEFG", 3), ["ABC", "DEF", "G"]);
    }
}
