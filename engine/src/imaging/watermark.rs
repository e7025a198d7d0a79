//! The mark in the pixels of a generated picture: words on solid boxes in two opposite corners.
//!
//! The boxes cover picture: a mark that leaves every pixel visible can be removed again. They keep 6 % away from the
//! edges, so that a crop of a few percent does not cut them off.

use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};

use super::letters::{self, ADVANCE, HEIGHT};

/// A picture smaller than this is enlarged before it is marked, or the words would hide it.
const SMALLEST: u32 = 256;

/// Writes `top` into the upper left corner and `bottom` into the lower right one. Letters are at least 3 % of the height;
/// lines are broken between words at two thirds of the width. A small picture is first enlarged by a whole factor.
pub fn burn_in(image: &RgbImage, top: &str, bottom: &str) -> RgbImage {
    let (width, height) = image.dimensions();
    let factor = SMALLEST.div_ceil(width.max(height).max(1));
    let mut marked = if factor > 1 {
        resize(
            image,
            width * factor,
            height * factor,
            FilterType::CatmullRom,
        )
    } else {
        image.clone()
    };
    let (width, height) = (marked.width() as usize, marked.height() as usize);
    let scale = (height * 3).div_ceil(100 * HEIGHT).max(1);
    let columns = (width * 2 / 3 / (ADVANCE * scale)).max(1);
    let (margin_x, margin_y) = (width * 6 / 100, height * 6 / 100);
    let line_height = (HEIGHT + 2) * scale;
    for (i, line) in wrap(top, columns).iter().enumerate() {
        write_line(
            &mut marked,
            line,
            margin_x,
            margin_y + i * line_height,
            scale,
        );
    }
    let lines = wrap(bottom, columns);
    for (i, line) in lines.iter().enumerate() {
        let left = width.saturating_sub(margin_x + (line.chars().count() * ADVANCE + 1) * scale);
        let y = height.saturating_sub(margin_y + (lines.len() - i) * line_height);
        write_line(&mut marked, line, left, y, scale);
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

/// One line, white on its black box, so that it is read on any picture.
fn write_line(image: &mut RgbImage, line: &str, left: usize, y: usize, scale: usize) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let right = left + (line.chars().count() * ADVANCE + 1) * scale;
    for row in y..(y + (HEIGHT + 2) * scale).min(height) {
        for column in left..right.min(width) {
            image.put_pixel(column as u32, row as u32, Rgb([0; 3]));
        }
    }
    letters::write(image, line, [left + scale, y + scale], scale, Rgb([255; 3]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(image: &RgbImage, level: u8) -> usize {
        image.pixels().filter(|pixel| pixel.0 == [level; 3]).count()
    }

    #[test]
    fn the_mark_is_legible_on_any_grey_and_survives_a_crop_of_five_percent_on_every_side() {
        let mark = crate::imaging::generated::MARK;
        for level in [3, 128, 252] {
            let marked = burn_in(
                &RgbImage::from_pixel(256, 256, Rgb([level; 3])),
                mark,
                "tiny",
            );
            let cut = image::imageops::crop_imm(&marked, 13, 13, 230, 230).to_image();
            assert!(
                count(&marked, 255) > 300 && count(&marked, 0) > 1500,
                "level {level}"
            );
            assert_eq!(
                count(&cut, 255),
                count(&marked, 255),
                "nothing of the mark was cut"
            );
            assert_eq!(
                marked.get_pixel(128, 128).0,
                [level; 3],
                "the middle stays as it was"
            );
        }
    }

    #[test]
    fn a_small_picture_is_enlarged_so_that_the_words_hide_less_than_a_fifth_of_it() {
        let marked = burn_in(
            &RgbImage::from_pixel(128, 96, Rgb([99; 3])),
            crate::imaging::generated::MARK,
            "tiny",
        );
        assert_eq!(marked.dimensions(), (256, 192));
        let hidden = count(&marked, 0) + count(&marked, 255);
        assert!(hidden * 5 < 256 * 192, "{hidden}");
    }

    #[test]
    fn a_long_line_is_broken_between_words_and_a_long_word_anywhere() {
        assert_eq!(wrap("AI GENERATED IMAGE", 12), ["AI GENERATED", "IMAGE"]);
        assert_eq!(wrap("ABCDEFG", 3), ["ABC", "DEF", "G"]);
    }
}
