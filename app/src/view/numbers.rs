//! Readings in words: on the image, in the list, and for a screen reader.

use engine::imaging::measure::{Reading, Region, Shape};
use engine::imaging::{Modality, Scale, Volume};

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

/// The unit of a volume's samples; empty where there is none.
fn unit_words(volume: &Volume) -> &str {
    match &volume.unit {
        Some(unit) => unit,
        None if volume.modality == Modality::Ct => words().unit_hu,
        None => "",
    }
}

/// The same, where it is that on the detector, which is not that in the patient.
fn at_detector(text: String, scale: Scale) -> String {
    match scale {
        Scale::Detector => fill(words().detector_suffix, &[&text]),
        Scale::Patient | Scale::Unknown => text,
    }
}

fn area_words(region: &Region, scale: Scale) -> String {
    match region.area_mm2 {
        Some(mm2) => at_detector(fill(words().mm2, &[&number(mm2)]), scale),
        None => fill(words().pixels2, &[&number(region.area_pixels)]),
    }
}

fn length_words(pixels: f64, mm: Option<f64>, scale: Scale) -> String {
    match mm {
        Some(mm) => at_detector(fill(words().mm, &[&number(mm)]), scale),
        None => fill(words().pixels, &[&number(pixels)]),
    }
}

/// The numbers beside a shape on the image of a volume.
pub fn label_words(reading: &Reading, volume: &Volume) -> String {
    match reading {
        Reading::Length { pixels, mm } => length_words(*pixels, *mm, volume.scale),
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
                        &area_words(region, volume.scale),
                    ],
                );
                format!("{}\n{text}", unit_words(volume))
                    .trim_start()
                    .to_owned()
            }
            None => fill(words().region_empty, &[&area_words(region, volume.scale)]),
        },
    }
}

/// All numbers of a reading on a volume in one line.
pub fn reading_words(reading: &Reading, volume: &Volume) -> String {
    let Reading::Region(region) = reading else {
        return label_words(reading, volume);
    };
    let area = area_words(region, volume.scale);
    let Some(found) = &region.statistics else {
        return fill(words().region_empty, &[&area]);
    };
    let unit = unit_words(volume);
    let value = |x: f64| format!("{} {unit}", number(x)).trim_end().to_owned();
    fill(
        words().region_full,
        &[
            &value(found.mean),
            &value(found.sd),
            &value(found.min),
            &value(found.max),
            &area,
            &found.count,
        ],
    )
}

/// `Length 2: 12.3 mm`.
pub fn measurement_words(item: &Measurement, volume: &Volume) -> String {
    fill(
        words().measurement_name,
        &[
            &kind_words(&item.shape),
            &item.number,
            &reading_words(&item.reading, volume),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::imaging::measure::Statistics;
    use engine::imaging::{Affine, Voxels};

    fn volume(modality: Modality, scale: Scale) -> Volume {
        let voxels = Voxels::U8(vec![0]);
        Volume {
            modality,
            scale,
            ..Volume::new([1, 1, 1], voxels, Affine::IDENTITY)
        }
    }

    #[test]
    fn numbers_have_as_many_digits_as_they_are_worth() {
        let words = [0.123_4, 12.345, -999.96, 1234.5].map(number);
        assert_eq!(words, ["0.12", "12.3", "-1000.0", "1234"]);
        assert_eq!([0.0, 0.000_123].map(number), ["0.00", "0.000123"]);
    }

    #[test]
    fn a_region_says_mm2_only_where_the_spacing_is_known_and_the_unit_where_there_is_one() {
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
        let mr = volume(Modality::Mr, Scale::Patient);
        assert_eq!(
            reading_words(&region(Some(2.0)), &mr),
            "mean 6.50, SD 5.00, min 1.00, max 12.0, area 2.00 mm², 4 pixels"
        );
        assert!(reading_words(&region(None), &mr).contains("area 4.00 px²"));
        let ct = volume(Modality::Ct, Scale::Patient);
        assert_eq!(
            reading_words(&region(Some(2.0)), &ct),
            "mean 6.50 HU, SD 5.00 HU, min 1.00 HU, max 12.0 HU, area 2.00 mm², 4 pixels"
        );
        let dose = Volume {
            unit: Some("Gy".to_owned()),
            ..ct
        };
        assert!(reading_words(&region(None), &dose).starts_with("mean 6.50 Gy, SD"));
    }

    #[test]
    fn a_length_at_the_detector_is_called_that() {
        let length = Reading::Length {
            pixels: 10.0,
            mm: Some(2.0),
        };
        let words = |scale| reading_words(&length, &volume(Modality::Ct, scale));
        assert_eq!(words(Scale::Patient), "2.00 mm");
        assert_eq!(words(Scale::Detector), "2.00 mm at the detector");
    }
}
