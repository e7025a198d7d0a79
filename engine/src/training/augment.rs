//! Moving pictures: the same mirror, turn, zoom and shift for an input and its target.

use image::{Rgb, RgbImage};

use crate::model::random::Random;

/// A motion of a picture in its plane, about its centre. What comes from outside is black.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Motion {
    mirrored: bool,
    /// Radians.
    angle: f64,
    /// Above 1 enlarges.
    zoom: f64,
    /// In shares of the side.
    shift: [f64; 2],
}

impl Motion {
    /// Nothing moves.
    pub const NONE: Self = Self {
        mirrored: false,
        angle: 0.0,
        zoom: 1.0,
        shift: [0.0, 0.0],
    };

    /// Mirrored left to right half of the time, turned by up to 15 degrees, zoomed by 0.85 to 1.15, shifted by up to 6 %.
    pub fn any(random: &mut Random) -> Self {
        let mut between = |low: f64, high: f64| low + (high - low) * random.uniform();
        let degrees = between(-15.0, 15.0);
        Self {
            mirrored: between(0.0, 1.0) < 0.5,
            angle: degrees.to_radians(),
            zoom: between(0.85, 1.15),
            shift: [between(-0.06, 0.06), between(-0.06, 0.06)],
        }
    }

    /// Shifted by up to 3 %: answers about places and sizes stay true.
    pub fn small(random: &mut Random) -> Self {
        let mut share = || 0.06 * random.uniform() - 0.03;
        Self {
            shift: [share(), share()],
            ..Self::NONE
        }
    }

    /// The same, its sides kept.
    pub fn unmirrored(self) -> Self {
        Self {
            mirrored: false,
            ..self
        }
    }

    /// The moved picture, bilinear between pixels.
    pub fn apply(&self, image: &RgbImage) -> RgbImage {
        if *self == Self::NONE {
            return image.clone();
        }
        let (width, height) = (f64::from(image.width()), f64::from(image.height()));
        let (sin, cos) = self.angle.sin_cos();
        let at = |x: i64, y: i64, channel: usize| -> f64 {
            let inside = (0..i64::from(image.width())).contains(&x)
                && (0..i64::from(image.height())).contains(&y);
            if inside {
                image
                    .get_pixel(x as u32, y as u32)
                    .0
                    .get(channel)
                    .map_or(0.0, |level| f64::from(*level))
            } else {
                0.0
            }
        };
        RgbImage::from_fn(image.width(), image.height(), |x, y| {
            // From the place in the result to the place in the source.
            let dx = (f64::from(x) + 0.5) / width - 0.5 - self.shift[0];
            let dy = (f64::from(y) + 0.5) / height - 0.5 - self.shift[1];
            let (dx, dy) = (
                (cos * dx + sin * dy) / self.zoom,
                (cos * dy - sin * dx) / self.zoom,
            );
            let dx = if self.mirrored { -dx } else { dx };
            let (sx, sy) = ((dx + 0.5) * width - 0.5, (dy + 0.5) * height - 0.5);
            let (x0, y0) = (sx.floor(), sy.floor());
            let (fx, fy) = (sx - x0, sy - y0);
            let (x0, y0) = (x0 as i64, y0 as i64);
            let level = |channel: usize| {
                let top = at(x0, y0, channel) * (1.0 - fx) + at(x0 + 1, y0, channel) * fx;
                let bottom =
                    at(x0, y0 + 1, channel) * (1.0 - fx) + at(x0 + 1, y0 + 1, channel) * fx;
                (top * (1.0 - fy) + bottom * fy).round() as u8
            };
            Rgb([level(0), level(1), level(2)])
        })
    }
}

/// A picture brighter or darker: its levels, from 0 to 1, to a power from `exp(-jitter)` to `exp(jitter)`. Black and white stay.
pub fn toned(image: &RgbImage, jitter: f64, random: &mut Random) -> RgbImage {
    let gamma = (jitter * (2.0 * random.uniform() - 1.0)).exp();
    let table: Vec<u8> = (0..=255_u8)
        .map(|level| (255.0 * (f64::from(level) / 255.0).powf(gamma)).round() as u8)
        .collect();
    let of = |level: u8| table.get(usize::from(level)).copied().unwrap_or(level);
    let mut made = image.clone();
    for Rgb(levels) in made.pixels_mut() {
        *levels = levels.map(of);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_keeps_black_white_and_the_order_of_grey_levels() {
        let image = RgbImage::from_fn(256, 1, |x, _| Rgb([x as u8; 3]));
        let mut random = Random(5);
        let made: Vec<RgbImage> = (0..20).map(|_| toned(&image, 0.4, &mut random)).collect();
        for picture in &made {
            let levels: Vec<u8> = picture.pixels().map(|pixel| pixel.0[0]).collect();
            assert_eq!((levels[0], levels[255]), (0, 255));
            assert!(levels.is_sorted());
            // 0.5 to the power of exp(0.4), and of exp(-0.4).
            assert!((90..=160).contains(&levels[128]), "{}", levels[128]);
        }
        let darkest = made.iter().map(|picture| picture.get_pixel(128, 0).0[0]);
        assert!(darkest.clone().min() < Some(115) && darkest.max() > Some(140));
        assert_eq!(toned(&image, 0.0, &mut random), image);
    }

    #[test]
    fn a_mirror_swaps_left_and_right_and_keeps_grey_levels() {
        let image = RgbImage::from_fn(4, 2, |x, y| Rgb([(x * 10 + y) as u8; 3]));
        let mirrored = Motion {
            mirrored: true,
            ..Motion::NONE
        };
        let moved = mirrored.apply(&image);
        assert_eq!(moved.get_pixel(0, 1), image.get_pixel(3, 1));
        assert_eq!(moved.get_pixel(2, 0), image.get_pixel(1, 0));
        assert_eq!(mirrored.unmirrored().apply(&image), image);
    }

    #[test]
    fn a_shift_by_a_quarter_moves_one_of_four_pixels_and_lets_black_in() {
        let image = RgbImage::from_fn(4, 4, |x, _| Rgb([x as u8 * 50 + 50; 3]));
        let shifted = Motion {
            shift: [0.25, 0.0],
            ..Motion::NONE
        };
        let moved = shifted.apply(&image);
        let row: Vec<u8> = (0..4).map(|x| moved.get_pixel(x, 2).0[0]).collect();
        assert_eq!(row, [0, 50, 100, 150]);
    }
}
