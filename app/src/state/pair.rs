//! Two volumes of different series in the first two viewports: whether they can be drawn as one picture, and what of the
//! second follows the first then.

use engine::imaging::Axes;

use super::chat::Evidence;
use super::results::CompareMode;
use super::viewer::Viewer;
use super::viewport::Viewport;
use super::volume_view::VolumeView;
use crate::strings::words;

impl Viewer {
    /// The first two viewports, when they show two volumes of different series.
    pub fn pair(&self) -> Option<[&VolumeView; 2]> {
        let (first, second) = (self.viewports.first()?, self.viewports.get(1)?);
        let differ = first.series_id() != second.series_id();
        differ.then_some([first.volume()?, second.volume()?])
    }

    /// Can a pair be drawn as one picture?
    ///
    /// # Errors
    /// The reason why not, for a disabled button.
    pub fn check_overlay(&self) -> Result<(), &'static str> {
        let [first, second] = self.pair().ok_or(words().why_no_volume)?;
        if !first.volume.calibrated || !second.volume.calibrated {
            return Err(words().why_no_place);
        }
        if !first.volume.shares_space_with(&second.volume) {
            return Err(words().why_other_frame);
        }
        Ok(())
    }

    /// Do both of a pair name a frame of reference? Where one does not, its place is believed.
    pub fn frames_named(&self) -> bool {
        let named = |view: &VolumeView| view.volume.frame_of_reference.is_some();
        self.pair().is_some_and(|pair| pair.into_iter().all(named))
    }

    /// Are the first two volumes drawn as one picture?
    pub fn overlaid(&self) -> bool {
        self.mode() != CompareMode::SideBySide
    }

    /// How the first two volumes are compared now: as was wished, if that can be.
    pub fn mode(&self) -> CompareMode {
        match self.compare {
            CompareMode::SideBySide => CompareMode::SideBySide,
            wished if self.check_overlay().is_ok() => wished,
            _ => CompareMode::SideBySide,
        }
    }

    /// The scene shows another plane: so does the other one of a pair while their slices are linked, at the same place.
    pub fn plane_set(&mut self) {
        let scene = self.scene();
        let linked = self.links.scroll || self.overlaid();
        if self.pair().is_none() || scene > 1 || !linked {
            return;
        }
        let Some(plane) = self.viewports.get(scene).and_then(Viewport::volume) else {
            return;
        };
        let plane = plane.plane;
        let other = self.viewports.get_mut(1 - scene);
        if let Some(other) = other.and_then(Viewport::volume_mut)
            && other.check_plane(plane).is_ok()
        {
            other.plane = plane;
        }
        self.scrolled(0);
    }

    /// While two volumes are drawn as one picture, the second looks at what is on screen: its plane, axes, slab and slice
    /// are those of the first, as far as it has them.
    pub fn align_second(&mut self) {
        if !self.overlaid() {
            return;
        }
        let first = self.viewports.first().and_then(Viewport::volume).cloned();
        let second = self.viewports.get_mut(1).and_then(Viewport::volume_mut);
        let (Some(first), Some(second)) = (first, second) else {
            return;
        };
        if second.check_plane(first.plane).is_ok() {
            second.plane = first.plane;
        }
        if first.axes == Axes::Acquired || second.check_patient_axes().is_ok() {
            second.axes = first.axes;
        }
        second.slab = first.slab;
        if let Some(index) = second.grid().slice_at(first.middle_mm()) {
            second.set_index(index);
        }
    }

    /// The picture on screen, as evidence for a question: of two drawn as one the one whose window is in hand.
    pub fn evidence(&self) -> Option<Evidence> {
        let seen = match self.pair() {
            // Of a second volume that cannot be cut in this plane, no picture is like the one on screen.
            Some([first, second]) if self.overlaid() => first.plane == second.plane,
            _ => true,
        };
        let scene = self.viewports.get(self.scene()).and_then(Viewport::open);
        let open = if seen { self.open() } else { scene };
        open.map(|open| open.evidence())
    }
}
