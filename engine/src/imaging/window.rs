//! Grey levels: a window turns rescaled samples (HU for CT) into 8 bit, by DICOM PS3.3 C.11.2.1.
//!
//! The picture on screen and the picture the model gets both come from [`Window::apply`] and, for a file's own VOI
//! LUT, [`VoiTable::apply`].

use serde::{Deserialize, Serialize};

/// Which samples are shown between black and white.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Window Center (0028,1050), in units of the rescaled samples.
    pub center: f32,
    /// Window Width (0028,1051), at least 1 for [`VoiFunction::Linear`].
    pub width: f32,
    /// How grey levels run from black to white.
    #[serde(default, skip_serializing_if = "VoiFunction::is_linear")]
    pub function: VoiFunction,
}

/// VOI LUT Function (0028,1056), or a VOI LUT of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoiFunction {
    /// C.11.2.1.2.1.
    #[default]
    Linear,
    /// C.11.2.1.3.2.
    LinearExact,
    /// C.11.2.1.3.1.
    Sigmoid,
    /// The item of the VOI LUT Sequence (0028,3010) with this number, from 0. Centre and width span its input.
    Table(usize),
}

impl VoiFunction {
    /// By the code of (0028,1056); LINEAR where there is none.
    pub fn from_code(code: &str) -> Self {
        match code {
            "LINEAR_EXACT" => Self::LinearExact,
            "SIGMOID" => Self::Sigmoid,
            _ => Self::Linear,
        }
    }

    /// True for [`Self::Linear`].
    pub fn is_linear(&self) -> bool {
        *self == Self::Linear
    }
}

/// A VOI LUT (PS3.3 C.11.2.1.1).
#[derive(Clone, Debug, PartialEq)]
pub struct VoiTable {
    /// The rescaled sample of the first entry.
    pub first: f32,
    /// Bits of an entry: white is `2^bits - 1`.
    pub bits: u32,
    /// The entries.
    pub entries: Vec<u16>,
}

impl VoiTable {
    /// The grey level 0..=255 of a sample, by the nearest entry. A sample that is not a number is black.
    pub fn apply(&self, sample: f32) -> u8 {
        let last = self.entries.len().saturating_sub(1) as f32;
        let index = (sample - self.first).round().clamp(0.0, last);
        let entry = self
            .entries
            .get(index as usize)
            .filter(|_| !sample.is_nan());
        let white = ((1_u32 << self.bits.clamp(1, 16)) - 1) as f32;
        let level = f32::from(entry.copied().unwrap_or(0)) / white * 255.0;
        level.round().clamp(0.0, 255.0) as u8
    }
}

/// A window with the name it has in a menu.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedWindow {
    /// `Brain`, or what the file calls it; empty where it has no name for it.
    pub name: String,
    /// The window.
    pub window: Window,
}

/// Name, width and centre in HU of the CT presets on the keys 3 to 8.
pub const CT_PRESETS: [(&str, Window); 6] = [
    ("Brain", Window::linear(35.0, 110.0)),
    ("Abdomen", Window::linear(50.0, 320.0)),
    ("Mediastinum", Window::linear(80.0, 400.0)),
    ("Bone", Window::linear(350.0, 2000.0)),
    ("Lung", Window::linear(-500.0, 1500.0)),
    ("MIP", Window::linear(120.0, 380.0)),
];

impl Window {
    /// A window of the LINEAR function.
    pub const fn linear(center: f32, width: f32) -> Self {
        Self {
            center,
            width,
            function: VoiFunction::Linear,
        }
    }

    /// The window with another centre and width. A table cannot be moved: it gives way to LINEAR.
    pub fn moved(self, center: f32, width: f32) -> Self {
        let function = match self.function {
            VoiFunction::Table(_) => VoiFunction::Linear,
            function => function,
        };
        Self {
            center,
            width,
            function,
        }
    }

    /// A window of the LINEAR function as one of LINEAR_EXACT with the same grey levels; others as they are.
    #[must_use]
    pub fn exact(self) -> Self {
        match self.function {
            VoiFunction::Linear => Self {
                center: self.center - 0.5,
                width: (self.width - 1.0).max(f32::MIN_POSITIVE),
                function: VoiFunction::LinearExact,
            },
            _ => self,
        }
    }

    /// The grey level 0..=255 of a sample, rounded to the nearest level. A sample that is not a number is black.
    ///
    /// - LINEAR: `((x - (c - 0.5)) / (w - 1) + 0.5) * 255` between `c - 0.5 - (w - 1) / 2` and `c - 0.5 + (w - 1) / 2`
    /// - LINEAR_EXACT: `((x - c) / w + 0.5) * 255` between `c - w / 2` and `c + w / 2`
    /// - SIGMOID: `255 / (1 + exp(-4 (x - c) / w))`
    ///
    /// A table that is not at hand is LINEAR over its input.
    pub fn apply(&self, sample: f32) -> u8 {
        let (center, width) = match self.function {
            VoiFunction::Linear | VoiFunction::Table(_) => {
                (self.center - 0.5, (self.width - 1.0).max(0.0))
            }
            VoiFunction::LinearExact => (self.center, self.width.max(0.0)),
            VoiFunction::Sigmoid => {
                let width = self.width.max(f32::MIN_POSITIVE);
                let level = 255.0 / (1.0 + (-4.0 * (sample - self.center) / width).exp());
                return level.round().clamp(0.0, 255.0) as u8;
            }
        };
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

    /// The sample up to which everything is black, and the one above which everything is white; for SIGMOID, which has no
    /// ends, and for a table, those of the ramp with the same centre and width.
    pub fn edges(self) -> [f32; 2] {
        let (center, width) = match self.function {
            VoiFunction::Linear | VoiFunction::Table(_) => {
                (self.center - 0.5, (self.width - 1.0).max(0.0))
            }
            VoiFunction::LinearExact | VoiFunction::Sigmoid => (self.center, self.width.max(0.0)),
        };
        [center - width / 2.0, center + width / 2.0]
    }

    /// The window from `low` to `high`: black at and below `low`, white above `high`.
    pub fn from_range(low: f32, high: f32) -> Self {
        Self::linear((low + high) / 2.0 + 0.5, (high - low).max(0.0) + 1.0)
    }

    /// The window from the 0.1 to the 99.9 percentile of the samples: the default when a file names none.
    pub fn automatic(samples: &[f32]) -> Self {
        percentiles(samples).map_or(Self::linear(0.5, 1.0), |[low, high]| {
            Self::from_range(low, high)
        })
    }

    /// The same for real numbers, as a window of the LINEAR_EXACT function: a range far below 1 keeps its digits.
    pub fn automatic_exact(samples: &[f32]) -> Self {
        let [low, high] = percentiles(samples).unwrap_or([0.0, 1.0]);
        Self {
            center: low + (high - low) / 2.0,
            width: (high - low).max(f32::MIN_POSITIVE),
            function: VoiFunction::LinearExact,
        }
    }
}

/// The 0.1 and the 99.9 percentile of the finite samples; nothing without any.
fn percentiles(samples: &[f32]) -> Option<[f32; 2]> {
    // Every n-th of a large volume: the percentiles of 100 000 samples are the same for the eye.
    let stride = (samples.len() / 100_000).max(1);
    let mut sorted: Vec<f32> = samples
        .iter()
        .step_by(stride)
        .copied()
        .filter(|x| x.is_finite())
        .collect();
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = |q: f32| sorted.get((last as f32 * q).round() as usize).copied();
    Some([at(0.001)?, at(0.999)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The note under C.11.2.1.2.1: centre 2048, width 4096 is the full range of 12-bit samples.
    #[test]
    fn the_standards_own_example_maps_0_to_4095_onto_0_to_255() {
        let window = Window::linear(2048.0, 4096.0);
        assert_eq!((window.apply(0.0), window.apply(4095.0)), (0, 255));
        assert_eq!(window.apply(2047.5), 128);
        assert_eq!((window.apply(-1.0), window.apply(5000.0)), (0, 255));
    }

    /// Centre 100, width 1 is a threshold: black at and below 99.5, white above.
    #[test]
    fn width_one_is_a_threshold() {
        let window = Window::linear(100.0, 1.0);
        assert_eq!(
            (window.apply(99.0), window.apply(99.5), window.apply(100.0)),
            (0, 0, 255)
        );
        assert_eq!(window.apply(f32::NAN), 0);
    }

    #[test]
    fn an_exact_window_has_its_edges_at_half_its_width() {
        let window = Window {
            function: VoiFunction::LinearExact,
            ..Window::linear(0.5, 1.0)
        };
        let levels = [0.0, 0.25, 0.5, 1.0, 1.1].map(|sample| window.apply(sample));
        assert_eq!(levels, [0, 64, 128, 255, 255]);
        assert_eq!(window.apply(f32::NAN), 0);
    }

    /// C.11.2.1.3.1: at the centre half of the output, at half a width from it 1 / (1 + exp(2)) = 0.1192 of it.
    #[test]
    fn a_sigmoid_window_is_an_s_about_its_centre() {
        let window = Window {
            function: VoiFunction::Sigmoid,
            ..Window::linear(40.0, 400.0)
        };
        let levels = [-1e6, -160.0, 40.0, 240.0, 1e6].map(|sample| window.apply(sample));
        assert_eq!(levels, [0, 30, 128, 225, 255]);
        assert_eq!(window.apply(f32::NAN), 0);
        assert_eq!(window.moved(0.0, 10.0).function, VoiFunction::Sigmoid);
    }

    #[test]
    fn a_table_gives_its_entries_and_repeats_the_outer_ones() {
        let table = VoiTable {
            first: -1.0,
            bits: 12,
            entries: vec![0, 4095, 2048],
        };
        let levels = [-9.0, -1.0, 0.2, 1.0, 50.0].map(|sample| table.apply(sample));
        assert_eq!(levels, [0, 0, 255, 128, 128]);
        assert_eq!(table.apply(f32::NAN), 0);
        let window = Window {
            function: VoiFunction::Table(0),
            ..Window::linear(0.0, 3.0)
        };
        assert!(window.moved(1.0, 2.0).function.is_linear());
    }

    #[test]
    fn real_numbers_of_any_size_run_from_black_to_white() {
        for unit in [1e-12_f32, 1e-3, 1.0, 1e9] {
            let samples: Vec<f32> = (0..=100).map(|i| i as f32 * unit).collect();
            let window = Window::automatic_exact(&samples);
            let levels = [0.0, 50.0, 100.0].map(|x| window.apply(x * unit));
            assert_eq!(levels, [0, 128, 255], "{unit}");
        }
        let linear = Window::from_range(3.0, 7.0);
        for sample in [2.0, 3.0, 3.7, 5.0, 6.99, 8.0] {
            assert_eq!(linear.apply(sample), linear.exact().apply(sample));
        }
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
