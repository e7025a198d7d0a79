//! Bars with their intervals, as a picture: drawn by ourselves, because a plotting crate would weigh more than all of it.

use image::{Rgb, RgbImage};

use crate::imaging::letters;

/// A bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is.
    pub label: String,
    /// How long.
    pub value: f64,
    /// The ends of its interval.
    pub interval: Option<[f64; 2]>,
    /// A value to compare it with, as a mark across it.
    pub mark: Option<f64>,
    /// The model's own bar, and not one beside it.
    pub own: bool,
}

/// Bars on one scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Above the bars: the number and its unit.
    pub title: String,
    /// The end of the scale; `None` is the longest bar.
    pub end: Option<f64>,
    /// The bars, from above.
    pub bars: Vec<Bar>,
}

const WIDTH: usize = 960;
const MARGIN: usize = 24;
const LABELS: usize = 300;
const VALUES: usize = 210;
const BAR: usize = 18;
const STEP: usize = 30;
const SCALE: usize = 2;
const PAPER: Rgb<u8> = Rgb([255; 3]);
const INK: Rgb<u8> = Rgb([30, 34, 40]);
const FAINT: Rgb<u8> = Rgb([214, 218, 224]);
const OWN: Rgb<u8> = Rgb([31, 119, 180]);
const OTHER: Rgb<u8> = Rgb([158, 166, 176]);
const NOTE: Rgb<u8> = Rgb([96, 104, 114]);
const MARKED: Rgb<u8> = Rgb([214, 39, 40]);

/// Draws panels below each other.
pub fn bars(title: &str, note: &str, panels: &[Panel]) -> RgbImage {
    let notes = wrapped(note, (WIDTH - 2 * MARGIN) / (letters::ADVANCE * SCALE));
    let line = (letters::HEIGHT + 4) * SCALE;
    let body: usize = panels
        .iter()
        .map(|panel| line + panel.bars.len() * STEP + MARGIN)
        .sum();
    let height = 2 * MARGIN + 2 * line + body + notes.len() * line;
    let mut image = RgbImage::from_pixel(WIDTH as u32, height as u32, PAPER);
    letters::write(&mut image, title, [MARGIN, MARGIN], SCALE, INK);
    let mut y = MARGIN + 2 * line;
    for panel in panels {
        letters::write(&mut image, &panel.title, [MARGIN, y], SCALE, INK);
        y += line;
        draw(&mut image, panel, y);
        y += panel.bars.len() * STEP + MARGIN;
    }
    for text in notes {
        letters::write(&mut image, &text, [MARGIN, y], SCALE, NOTE);
        y += line;
    }
    image
}

fn draw(image: &mut RgbImage, panel: &Panel, top: usize) {
    let ends = panel.bars.iter().flat_map(|bar| {
        let [low, high] = bar.interval.unwrap_or([bar.value; 2]);
        [bar.value, low, high, bar.mark.unwrap_or(bar.value)]
    });
    let longest = ends
        .fold(panel.end.unwrap_or(0.0), f64::max)
        .max(f64::MIN_POSITIVE);
    let space = (WIDTH - 2 * MARGIN - LABELS - VALUES) as f64;
    let start = MARGIN + LABELS;
    let at = |value: f64| start + (value.max(0.0) / longest * space).round() as usize;
    fill(
        image,
        [start, top],
        [start + space as usize, top + panel.bars.len() * STEP],
        None,
    );
    for (i, bar) in panel.bars.iter().enumerate() {
        let y = top + i * STEP + (STEP - BAR) / 2;
        let text_y = y + (BAR - letters::HEIGHT * SCALE) / 2;
        let fits = LABELS / (letters::ADVANCE * SCALE) - 1;
        let label: String = bar.label.chars().take(fits).collect();
        letters::write(image, &label, [MARGIN, text_y], SCALE, INK);
        let colour = if bar.own { OWN } else { OTHER };
        fill(image, [start, y], [at(bar.value), y + BAR], Some(colour));
        if let Some([low, high]) = bar.interval {
            let middle = y + BAR / 2;
            fill(
                image,
                [at(low), middle - 1],
                [at(high) + 1, middle + 1],
                Some(INK),
            );
            for end in [low, high] {
                fill(
                    image,
                    [at(end), middle - 5],
                    [at(end) + 2, middle + 5],
                    Some(INK),
                );
            }
        }
        if let Some(mark) = bar.mark {
            fill(
                image,
                [at(mark), y - 3],
                [at(mark) + 3, y + BAR + 3],
                Some(MARKED),
            );
        }
        let text = match bar.interval {
            Some([low, high]) => format!("{:.1} [{low:.1}, {high:.1}]", bar.value),
            None => format!("{:.1}", bar.value),
        };
        let left = start + space as usize + 12;
        letters::write(image, &text, [left, text_y], SCALE, INK);
    }
}

/// Fills a box; without a colour, only its left and right edges are drawn, faintly.
fn fill(image: &mut RgbImage, from: [usize; 2], to: [usize; 2], colour: Option<Rgb<u8>>) {
    for y in from[1]..to[1].min(image.height() as usize) {
        for x in from[0]..to[0].min(image.width() as usize) {
            match colour {
                Some(colour) => image.put_pixel(x as u32, y as u32, colour),
                None if x == from[0] || x + 1 == to[0] => {
                    image.put_pixel(x as u32, y as u32, FAINT)
                }
                None => {}
            }
        }
    }
}

fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_twice_as_long_covers_twice_the_pixels() {
        let bar = |value, own| Bar {
            label: "x".to_owned(),
            value,
            interval: None,
            mark: None,
            own,
        };
        let panel = Panel {
            title: "SSIM".to_owned(),
            end: None,
            bars: vec![bar(80.0, true), bar(40.0, false)],
        };
        let image = bars("TITLE", "note", &[panel]);
        let count = |colour: Rgb<u8>, rows: std::ops::Range<u32>| {
            rows.flat_map(|y| (0..image.width()).map(move |x| (x, y)))
                .filter(|(x, y)| *image.get_pixel(*x, *y) == colour)
                .count()
        };
        let (own, other) = (
            count(OWN, 0..image.height()),
            count(OTHER, 0..image.height()),
        );
        assert_eq!(own, 402 * BAR);
        assert_eq!(other * 2, own);
    }
}
