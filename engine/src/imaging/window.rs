//! Grey levels: a window turns rescaled samples (HU for CT) into 8 bit, by DICOM PS3.3 C.11.2.1.2.1.
//!
//! The picture on screen and the picture the model gets both come from [`Window::apply`].

use serde::{Deserialize, Serialize};

/// Which samples are shown between black and white.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Window Center (0028,1050), in units of the rescaled samples.
    pub center: f32,
    /// Window Width (0028,1051), at least 1.
    pub width: f32,
}

/// A window with the name it has in a menu.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedWindow {
    /// `Brain`, or what the file calls it.
    pub name: String,
    /// The window.
    pub window: Window,
}

/// Name, width and centre in HU of the CT presets on the keys 3 to 8.
pub const CT_PRESETS: [(&str, Window); 6] = [
    (
        "Brain",
        Window {
            center: 35.0,
            width: 110.0,
        },
    ),
    (
        "Abdomen",
        Window {
            center: 50.0,
            width: 320.0,
        },
    ),
    (
        "Mediastinum",
        Window {
            center: 80.0,
            width: 400.0,
        },
    ),
    (
        "Bone",
        Window {
            center: 350.0,
            width: 2000.0,
        },
    ),
    (
        "Lung",
        Window {
            center: -500.0,
            width: 1500.0,
        },
    ),
    (
        "MIP",
        Window {
            center: 120.0,
            width: 380.0,
        },
    ),
];

impl Window {
    /// The grey level 0..=255 of a sample, by the LINEAR function of C.11.2.1.2.1:
    /// `((x - (c - 0.5)) / (w - 1) + 0.5) * 255` between `c - 0.5 - (w - 1) / 2` and `c - 0.5 + (w - 1) / 2`,
    /// rounded to the nearest level. A sample that is not a number is black.
    pub fn apply(&self, sample: f32) -> u8 {
        let (center, width) = (self.center - 0.5, (self.width - 1.0).max(0.0));
        if sample.is_nan() || sample <= center - width / 2.0 {
            0
        } else if sample > center + width / 2.0 {
            255
        } else {
            (((sample - center) / width + 0.5) * 255.0)
                .round()
                .clamp(0.0, 255.0) as u8
        }
    }

    /// The window from `low` to `high`: black at and below `low`, white above `high`.
    pub fn from_range(low: f32, high: f32) -> Self {
        Self {
            center: (low + high) / 2.0 + 0.5,
            width: (high - low).max(0.0) + 1.0,
        }
    }

    /// The window from the 0.1 to the 99.9 percentile of the samples: the default when a file names none.
    pub fn automatic(samples: &[f32]) -> Self {
        // Every n-th of a large volume: the percentiles of 100 000 samples are the same for the eye.
        let stride = (samples.len() / 100_000).max(1);
        let mut sorted: Vec<f32> = samples
            .iter()
            .step_by(stride)
            .copied()
            .filter(|x| x.is_finite())
            .collect();
        if sorted.is_empty() {
            return Self {
                center: 0.5,
                width: 1.0,
            };
        }
        sorted.sort_by(f32::total_cmp);
        let at = |q: f32| sorted[((sorted.len() - 1) as f32 * q).round() as usize];
        Self::from_range(at(0.001), at(0.999))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The note under C.11.2.1.2.1: centre 2048, width 4096 is the full range of 12-bit samples.
    #[test]
    fn the_standards_own_example_maps_0_to_4095_onto_0_to_255() {
        let window = Window {
            center: 2048.0,
            width: 4096.0,
        };
        assert_eq!((window.apply(0.0), window.apply(4095.0)), (0, 255));
        assert_eq!(window.apply(2047.5), 128);
        assert_eq!((window.apply(-1.0), window.apply(5000.0)), (0, 255));
    }

    /// Centre 100, width 1 is a threshold: black at and below 99.5, white above.
    #[test]
    fn width_one_is_a_threshold() {
        let window = Window {
            center: 100.0,
            width: 1.0,
        };
        assert_eq!(
            (window.apply(99.0), window.apply(99.5), window.apply(100.0)),
            (0, 0, 255)
        );
        assert_eq!(window.apply(f32::NAN), 0);
    }

    #[test]
    fn the_automatic_window_ignores_one_bright_pixel() {
        let mut samples: Vec<f32> = (0..10_000).map(|i| (i % 100) as f32).collect();
        samples[5] = 1e9;
        let window = Window::automatic(&samples);
        assert!(window.width <= 101.0, "{window:?}");
        assert_eq!((window.apply(0.0), window.apply(99.0)), (0, 255));
    }
}
