//! A volume and how it is looked at: which slice of which plane, in which grey levels and colours.

use std::sync::Arc;

use engine::imaging::{
    Axes, CT_PRESETS, ColourMap, Grid, Modality, Plane, Slab, ViewDescriptor, VoiFunction, Volume,
    Window,
};

use crate::notes::note_words;
use crate::section::Section;
use crate::strings::{fill, words};

/// A volume and the slice of it that is shown.
#[derive(Clone, Debug)]
pub struct VolumeView {
    /// The voxels.
    pub volume: Arc<Volume>,
    /// The plane looked at.
    pub plane: Plane,
    /// The slice shown in each plane, as in [`Plane::ALL`].
    indices: [usize; 3],
    /// Grey levels.
    pub window: Window,
    /// Black and white exchanged.
    pub invert: bool,
    /// Along the voxels, or along the patient's axes.
    pub axes: Axes,
    /// Several slices seen as one.
    pub slab: Option<Slab>,
    /// Colours of the grey levels, on screen only.
    pub colours: ColourMap,
    /// From the percentiles of all samples.
    automatic: Window,
}

impl VolumeView {
    /// The middle slice of the plane it was acquired in, with the file's window or the automatic one.
    pub fn new(volume: Arc<Volume>) -> Self {
        let automatic = volume.automatic_window();
        let first = volume.windows.first();
        Self {
            plane: volume.acquired_plane(),
            indices: Plane::ALL.map(|plane| volume.slice_count(plane) / 2),
            window: first.map_or(automatic, |named| named.window),
            invert: false,
            axes: Axes::default(),
            slab: None,
            colours: ColourMap::default(),
            automatic,
            volume,
        }
    }

    /// The slice shown, from 0.
    pub fn index(&self) -> usize {
        let [axial, coronal, sagittal] = self.indices;
        match self.plane {
            Plane::Axial => axial,
            Plane::Coronal => coronal,
            Plane::Sagittal => sagittal,
        }
    }

    /// Where the pixels of the plane looked at lie.
    pub fn grid(&self) -> Grid {
        self.volume.grid(self.plane, self.axes)
    }

    /// What of it is on screen: a slice, or a slab.
    pub fn section(&self) -> Section {
        Section {
            grid: self.grid(),
            index: self.index(),
            slab: self.slab,
        }
    }

    /// Slices along the plane looked at.
    pub fn count(&self) -> usize {
        match self.axes {
            Axes::Acquired => self.volume.slice_count(self.plane),
            Axes::Patient => self.grid().size[2],
        }
    }

    /// Shows a slice; past the ends it stays at the end.
    pub fn set_index(&mut self, index: usize) {
        let index = index.min(self.count().saturating_sub(1));
        let [axial, coronal, sagittal] = &mut self.indices;
        *match self.plane {
            Plane::Axial => axial,
            Plane::Coronal => coronal,
            Plane::Sagittal => sagittal,
        } = index;
    }

    /// The place in the patient at the middle of the slice shown, LPS mm.
    pub fn middle_mm(&self) -> [f64; 3] {
        let grid = self.grid();
        let [columns, rows, _] = grid
            .size
            .map(|length| length.saturating_sub(1) as f64 / 2.0);
        grid.patient_from_grid
            .apply([columns, rows, self.index() as f64])
    }

    /// Shows in every plane the slice nearest to a place in the patient.
    pub fn go_to(&mut self, patient_mm: [f64; 3]) {
        let at = |plane| {
            self.volume
                .grid(plane, self.axes)
                .slice_at(patient_mm)
                .unwrap_or(0)
        };
        self.indices = Plane::ALL.map(at);
    }

    /// Cuts along other axes, through the same place.
    pub fn set_axes(&mut self, axes: Axes) {
        let middle = self.middle_mm();
        self.axes = axes;
        self.go_to(middle);
    }

    /// What is looked at: enough to draw it again.
    pub fn descriptor(&self) -> ViewDescriptor {
        ViewDescriptor {
            invert: self.invert,
            axes: self.axes,
            slab: self.slab,
            ..ViewDescriptor::new(self.plane, self.index(), self.window)
        }
    }

    /// Shows exactly this.
    pub fn show(&mut self, view: ViewDescriptor) {
        self.plane = view.plane;
        self.axes = view.axes;
        self.slab = view.slab;
        self.set_index(view.index);
        self.window = view.window;
        self.invert = view.invert;
    }

    /// The narrowest window that makes sense: one step of whole numbers, or a millionth of the range of real ones.
    pub fn finest(&self) -> Finest {
        let fractional = self.volume.fractional();
        let range = self.automatic.width.max(1e-30);
        Finest {
            width: if fractional {
                (range * 1e-6).min(1.0)
            } else {
                1.0
            },
            fractional,
        }
    }

    /// Goes back to the first window.
    pub fn reset_window(&mut self) {
        let first = self.volume.windows.first();
        self.window = first.map_or(self.automatic, |named| named.window);
        self.invert = false;
    }

    /// Why a plane cannot be looked at.
    ///
    /// # Errors
    /// The reason, for a disabled button.
    pub fn check_plane(&self, plane: Plane) -> Result<(), String> {
        self.volume
            .check_plane(plane)
            .map_err(|why| note_words(&why))
    }

    /// Why slices cannot be cut along the patient's axes.
    ///
    /// # Errors
    /// The reason, for a disabled button.
    pub fn check_patient_axes(&self) -> Result<(), String> {
        if !self.volume.calibrated {
            return Err(words().why_no_patient.to_owned());
        }
        let all = Plane::ALL.map(|plane| self.check_plane(plane));
        all.into_iter().collect::<Result<(), String>>()?;
        if self.volume.patient_from_voxel.straight() {
            return Err(words().why_straight.to_owned());
        }
        Ok(())
    }

    /// The windows on offer: automatic, the file's own, then those of CT. The first ten have number keys.
    pub fn presets(&self) -> Vec<Preset> {
        let automatic = Preset {
            key: Some(0),
            name: words().automatic.to_owned(),
            window: self.automatic,
        };
        let own = self.volume.windows.iter().enumerate();
        let own = own.map(|(i, named)| Preset {
            key: [Some(1), Some(2)].get(i).copied().flatten(),
            name: match named.window.function {
                _ if !named.name.is_empty() => named.name.clone(),
                VoiFunction::Table(number) => fill(words().file_table, &[&(number + 1)]),
                _ => fill(words().file_window, &[&(i + 1)]),
            },
            window: named.window,
        });
        let ct = CT_PRESETS.iter().zip(3..);
        let ct =
            ct.filter(|_| self.volume.modality == Modality::Ct)
                .map(|((name, window), key)| Preset {
                    key: Some(key),
                    name: preset_words(name).to_owned(),
                    window: *window,
                });
        std::iter::once(automatic).chain(own).chain(ct).collect()
    }
}

/// How narrow a window may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finest {
    /// Its width.
    pub width: f32,
    /// Samples lie between whole numbers.
    pub fractional: bool,
}

impl Finest {
    /// A window whose width may go down to this, with the same grey levels: LINEAR is never narrower than 1.
    pub fn fitting(self, window: Window) -> Window {
        if self.fractional {
            window.exact()
        } else {
            window
        }
    }
}

/// What a CT preset is called.
fn preset_words(name: &str) -> &str {
    match name {
        "Brain" => words().preset_brain,
        "Abdomen" => words().preset_abdomen,
        "Mediastinum" => words().preset_mediastinum,
        "Bone" => words().preset_bone,
        "Lung" => words().preset_lung,
        other => other,
    }
}

/// A window on offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// Its number key.
    pub key: Option<u8>,
    /// Its name in the menu.
    pub name: String,
    /// The window.
    pub window: Window,
}

/// What a plane is called within a sentence.
pub fn plane_words(plane: Plane) -> &'static str {
    match plane {
        Plane::Axial => words().plane_axial,
        Plane::Coronal => words().plane_coronal,
        Plane::Sagittal => words().plane_sagittal,
    }
}

/// Decimals that tell a hundredth of a range.
pub fn decimals(range: f32) -> usize {
    if range.is_finite() && range > 0.0 {
        (2.0 - range.log10().floor()).clamp(0.0, 12.0) as usize
    } else {
        2
    }
}

/// `C 40 W 400`.
pub fn window_words(window: Window) -> String {
    let fine = decimals(window.width);
    let number = |x: f32| {
        if window.width > 0.0 && window.width < 0.5 {
            format!("{x:.fine$}")
        } else if x.abs() >= 10.0 || x.fract() == 0.0 {
            format!("{x:.0}")
        } else {
            format!("{x:.2}")
        }
    };
    format!("C {} W {}", number(window.center), number(window.width))
}

#[cfg(test)]
mod tests {
    use engine::imaging::{Affine, NamedWindow, Voxels};

    use super::*;
    use crate::strings::{Language, speak};

    #[test]
    fn windows_without_a_name_of_the_files_own_have_one_in_the_language_of_the_window() {
        let own = |name: &str, function| NamedWindow {
            name: name.to_owned(),
            window: Window {
                function,
                ..Window::linear(1.0, 9.0)
            },
        };
        let windows = vec![
            own("Soft", VoiFunction::Linear),
            own("", VoiFunction::Linear),
            own("", VoiFunction::Table(0)),
        ];
        let voxels = Voxels::U8(vec![0]);
        let view = VolumeView::new(Arc::new(Volume {
            windows,
            ..Volume::new([1, 1, 1], voxels, Affine::IDENTITY)
        }));
        let names = |language| {
            speak(language);
            let names: Vec<String> = view.presets().into_iter().map(|p| p.name).collect();
            speak(Language::English);
            names
        };
        let english = ["Automatic", "Soft", "File 2", "File table 1"];
        assert_eq!(names(Language::English), english);
        let german = ["Automatisch", "Soft", "Datei 2", "Dateitabelle 1"];
        assert_eq!(names(Language::German), german);
    }

    #[test]
    fn a_window_is_said_in_few_digits() {
        let window = |center, width| window_words(Window::linear(center, width));
        assert_eq!(window(40.0, 400.0), "C 40 W 400");
        assert_eq!(window(-445.5, 1109.0), "C -446 W 1109");
        assert_eq!(window(0.25, 0.5), "C 0.25 W 0.50");
        assert_eq!(window(0.000_5, 0.001), "C 0.00050 W 0.00100");
        assert_eq!([1500.0, 60.0, 0.02].map(decimals), [0, 1, 4]);
    }
}
