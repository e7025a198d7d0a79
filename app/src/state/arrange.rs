//! Viewports: how many, which one is active, what links them, and how their slices are cut and coloured.

use super::State;
use super::results::CompareMode;
use super::viewer::Viewer;
use crate::action::Action;

impl State {
    /// Changes how viewports are laid out and what they show of their volumes.
    pub(super) fn arrange(&mut self, action: Action) {
        let viewer = &mut self.viewer;
        match action {
            Action::Activate(number) if number < viewer.viewports.len() => viewer.active = number,
            Action::StepViewport(step) => step_viewport(viewer, step),
            Action::SetViewports(count) => viewer.set_count(count),
            Action::ShowPlanes => viewer.show_planes(),
            Action::ToggleMaximised => {
                viewer.maximised = !viewer.maximised && viewer.viewports.len() > 1;
            }
            Action::SetCrosshair(place) => viewer.set_crosshair(place),
            Action::ToggleCrosshair => viewer.crosshair_visible = !viewer.crosshair_visible,
            Action::ToggleCorners => viewer.corners_visible = !viewer.corners_visible,
            Action::ToggleLink(link) => viewer.links = viewer.links.toggled(link),
            Action::SetAxes(axes) => viewer.set_axes(axes),
            Action::SetSlab(slab) => {
                if let Some(view) = viewer.scene_volume_mut() {
                    view.slab = slab;
                }
            }
            Action::SetColours(colours) => {
                if let Some(view) = viewer.volume_mut() {
                    view.colours = colours;
                }
            }
            Action::CompareSeries(mode)
                if mode == CompareMode::SideBySide || viewer.check_overlay().is_ok() =>
            {
                viewer.compare = mode;
                viewer.maximised = false;
            }
            _ => {}
        }
    }
}

/// The next viewport on screen, or of an overlaid pair the other one; after the last comes the first.
fn step_viewport(viewer: &mut Viewer, step: isize) {
    let count = if viewer.overlaid() {
        2
    } else {
        viewer.viewports.len()
    };
    let next = viewer.active as isize + step;
    viewer.active = next.rem_euclid(count.max(1) as isize) as usize;
}
