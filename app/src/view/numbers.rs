//! Readings in words: on the image, in the list, and for a screen reader.

use engine::imaging::measure::{Reading, Region, Shape};

use crate::state::Measurement;
use crate::strings::{fill, words};

/// What a shape is called.
pub fn kind_words(shape: &Shape) -> &'static str {
    match shape {
        Shape::Length(_) => words().tool_length,
        Shape::Angle(_) => words().tool_angle,
        Shape::Rectangle(_) => words().tool_rectangle,
        Shape::Ellipse(_) => words().tool_ellipse,
    }
}

/// Two decimals for small numbers, one for larger ones, none for very large ones; very small ones keep three digits.
fn number(x: f64) -> String {
    let decimals = match x.abs() {
        size if size > 0.0 && size < 0.1 => (2.0 - size.log10().floor()).min(12.0) as usize,
        size if size < 10.0 => 2,
        size if size < 1000.0 => 1,
        _ => 0,
    };
    format!("{x:.decimals$}")
}

fn area_words(region: &Region) -> String {
    match region.area_mm2 {
        Some(mm2) => fill(words().mm2, &[&number(mm2)]),
        None => fill(words().pixels2, &[&number(region.area_pixels)]),
    }
}

fn length_words(pixels: f64, mm: Option<f64>) -> String {
    match mm {
        Some(mm) => fill(words().mm, &[&number(mm)]),
        None => fill(words().pixels, &[&number(pixels)]),
    }
}

/// The numbers beside a shape on the image. `unit` is that of the samples.
pub fn label_words(reading: &Reading, unit: &str) -> String {
    match reading {
        Reading::Length { pixels, mm } => length_words(*pixels, *mm),
        Reading::Angle { degrees } => fill(words().degrees, &[&number(*degrees)]),
        Reading::Region(region) => match &region.statistics {
            Some(found) => {
                let text = fill(
                    words().region_label,
                    &[
                        &number(found.mean),
                        &number(found.sd),
                        &number(found.min),
                        &number(found.max),
                        &area_words(region),
                    ],
                );
                format!("{unit}\n{text}").trim_start().to_owned()
            }
            None => fill(words().region_empty, &[&area_words(region)]),
        },
    }
}

/// All numbers of a reading in one line.
pub fn reading_words(reading: &Reading) -> String {
    match reading {
        Reading::Length { .. } | Reading::Angle { .. } => label_words(reading, ""),
        Reading::Region(region) => match &region.statistics {
            Some(found) => fill(
                words().region_full,
                &[
                    &number(found.mean),
                    &number(found.sd),
                    &number(found.min),
                    &number(found.max),
                    &area_words(region),
                    &found.count,
                ],
            ),
            None => fill(words().region_empty, &[&area_words(region)]),
        },
    }
}

/// `Length 2: 12.3 mm`.
pub fn measurement_words(item: &Measurement) -> String {
    fill(
        words().measurement_name,
        &[
            &kind_words(&item.shape),
            &item.number,
            &reading_words(&item.reading),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::imaging::measure::Statistics;

    #[test]
    fn numbers_have_as_many_digits_as_they_are_worth() {
        let words = [0.123_4, 12.345, -999.96, 1234.5].map(number);
        assert_eq!(words, ["0.12", "12.3", "-1000.0", "1234"]);
        assert_eq!([0.0, 0.000_123].map(number), ["0.00", "0.000123"]);
    }

    #[test]
    fn a_region_says_mm2_only_where_the_spacing_is_known() {
        let statistics = Statistics {
            count: 4,
            mean: 6.5,
            sd: 5.0,
            min: 1.0,
            max: 12.0,
        };
        let region = |area_mm2| {
            Reading::Region(Region {
                statistics: Some(statistics),
                area_pixels: 4.0,
                area_mm2,
            })
        };
        assert_eq!(
            reading_words(&region(Some(2.0))),
            "mean 6.50, SD 5.00, min 1.00, max 12.0, area 2.00 mm², 4 pixels"
        );
        assert!(reading_words(&region(None)).contains("area 4.00 px²"));
    }
}
