//! Words and lines on the picture: orientation letters, corners, scale bar and crosshair.

use std::sync::Arc;

use egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Stroke, Ui, Vec2};
use engine::imaging::{Axes, ColourMap, Direction, Plane, Projection, Scale, SeriesInfo, Slab};

use super::pair::pair_overlay_ui;
use super::probe::side_words;
use crate::notes::note_words;
use crate::state::{
    Content, OpenSeries, Orientation, Viewer, VolumeView, plane_words, window_words,
};
use crate::strings::{fill, words};
use crate::theme;

/// Below this width, in points, there is no room for words in both lower corners.
const BOTH_CORNERS_WIDTH: f32 = 430.0;

/// Below this width and height the words are small.
const SMALL: f32 = 520.0;

/// The lines of the crosshair leave so much free about the place they show, in points.
const CROSSHAIR_GAP: f32 = 10.0;

/// Points on screen for one pixel of a picture of this size that lies at `place`.
pub fn pixel_scale(open: &OpenSeries, place: Rect, size: [u32; 2]) -> f32 {
    let [columns, rows] = size;
    let across = if open.orientation.swaps_sides() {
        rows
    } else {
        columns
    };
    place.width() / across.max(1) as f32
}

/// The colour that stands for a plane: of its name, and of the lines that show where it lies in the others.
pub fn plane_colour(plane: Plane) -> Color32 {
    match plane {
        Plane::Axial => Color32::from_rgb(0xf2, 0xc5, 0x5c),
        Plane::Coronal => Color32::from_rgb(0x7e, 0xd3, 0x9b),
        Plane::Sagittal => Color32::from_rgb(0x7c, 0xb8, 0xff),
    }
}

/// Draws the words over the picture of viewport `number` that lies at `place` in `area`.
pub fn overlay_ui(
    ui: &Ui,
    viewer: &Viewer,
    open: &OpenSeries,
    [area, place]: [Rect; 2],
    size: [u32; 2],
) {
    let painter = ui.painter_at(area);
    let words = Words {
        painter: &painter,
        inner: area.shrink(if area.width() < SMALL { 7.0 } else { 12.0 }),
        size: if area.width().min(area.height()) < SMALL {
            12.0
        } else {
            13.5
        },
    };
    // Lines first: words stay legible over them.
    if let Content::Volume(view) = &open.content
        && viewer.crosshair_visible
        && viewer.viewports.len() > 1
        && !viewer.overlaid()
    {
        crosshair(&painter, viewer, view, open.orientation, place);
    }
    let series = &open.series;
    let corners = viewer.corners_visible;
    let scale = pixel_scale(open, place, size) * ui.pixels_per_point();
    let zoom = fill(
        crate::strings::words().zoom_percent,
        &[&format_args!("{:.0}", scale * 100.0)],
    );
    let mut below = words.inner.top();
    if viewer.overlaid() {
        below = pair_overlay_ui(ui, &words, viewer);
    } else if corners {
        let lines = [&who(series), &title(series), open.orientation.words()];
        words.put_top(Align2::LEFT_TOP, &lined(&lines));
    }
    // The right column of a pair begins with a name.
    let noted = Words {
        inner: words.inner.with_min_y(below),
        ..words
    };
    match &open.content {
        Content::Volume(view) => {
            let wide = words.inner.width() >= BOTH_CORNERS_WIDTH;
            let mut bar_bottom = words.inner.bottom() - 6.0;
            if corners {
                let levels = levels_words(viewer, view);
                let place_words = words.put(Align2::LEFT_BOTTOM, &levels, theme::TEXT);
                if viewer.viewports.len() > 1 {
                    plane_mark(&painter, view.plane, place_words);
                }
            }
            if corners && wide {
                let mut right = format!("{zoom}\n{}", spacing_words(view));
                let date = &series.patient.study_date;
                if !date.is_empty() {
                    let date = fill(crate::strings::words().study_date, &[date]);
                    right = format!("{date}\n{right}");
                }
                let corner = words.put(Align2::RIGHT_BOTTOM, &right, theme::TEXT);
                bar_bottom = corner.top() - 10.0;
            }
            notes(&noted, &notes_on_screen(viewer, view));
            letters(&words, edge_directions(view, open.orientation));
            if view.volume.scale != Scale::Unknown {
                scale_bar(&words, view, open.orientation, place, bar_bottom);
            }
            if view.colours != ColourMap::Grey {
                colour_bar(&painter, view, words.inner);
            }
        }
        Content::Frames(frames) => {
            let lines: Vec<String> = frames.frames().notes.iter().map(note_words).collect();
            notes(&words, &lines);
            let sides = frames.frames().sides;
            letters(
                &words,
                sides.map(|sides| on_screen(sides, open.orientation)),
            );
            let image = frames.picture();
            let size = fill(
                crate::strings::words().picture_size,
                &[&image.width(), &image.height()],
            );
            if corners && frames.count() > 1 {
                let frame = fill(
                    crate::strings::words().frame_of,
                    &[&(frames.index() + 1), &frames.count()],
                );
                words.put(Align2::LEFT_BOTTOM, &frame, theme::TEXT);
            }
            if corners {
                let text = format!("{zoom}\n{size}");
                words.put(Align2::RIGHT_BOTTOM, &text, theme::TEXT);
            }
        }
    }
}

/// `Phantom  P-1`: whose picture it is.
pub fn who(series: &SeriesInfo) -> String {
    let patient = &series.patient;
    let named = [patient.name.as_str(), patient.id.as_str()];
    let named = named.into_iter().filter(|part| !part.is_empty());
    named.collect::<Vec<_>>().join("  ")
}

/// `CT  Knee thin`: what it is.
pub fn title(series: &SeriesInfo) -> String {
    if series.description.is_empty() {
        series.modality.code().to_owned()
    } else {
        let code = series.modality.code().replace('?', "");
        format!("{code}  {}", series.description).trim().to_owned()
    }
}

/// Lines, without empty ones.
pub fn lined(lines: &[&str]) -> String {
    let lines = lines.iter().filter(|line| !line.is_empty());
    lines.copied().collect::<Vec<_>>().join("\n")
}

/// Text over a picture.
pub struct Words<'a> {
    /// Where it is drawn.
    pub painter: &'a Painter,
    /// Where corners are.
    pub inner: Rect,
    /// Height of the text, in points.
    pub size: f32,
}

impl Words<'_> {
    /// Text at a corner or edge, legible on black and on white: it has a dark ground of its own. The result is where
    /// it lies.
    pub fn put(&self, align: Align2, text: &str, color: Color32) -> Rect {
        self.put_sized(align, text, color, self.size)
    }

    /// Text in an upper corner that leaves the letter at the middle of the edge free. The result is where it lies.
    pub fn put_top(&self, corner: Align2, text: &str) -> Rect {
        if text.is_empty() {
            return Rect::from_min_size(corner.pos_in_rect(&self.inner), Vec2::ZERO);
        }
        let font = FontId::proportional(self.size);
        let width = self.inner.width() * 0.5 - 18.0;
        let mut job = egui::text::LayoutJob::simple(text.to_owned(), font, theme::TEXT, width);
        job.wrap.max_rows = 5;
        job.wrap.break_anywhere = true;
        let galley = self.painter.layout_job(job);
        let place = corner.anchor_size(corner.pos_in_rect(&self.inner), galley.size());
        self.ground(place);
        self.painter.galley(place.min, galley, theme::TEXT);
        place
    }

    fn ground(&self, place: Rect) {
        let ground = Color32::from_black_alpha(theme::IMAGE_TEXT_GROUND);
        self.painter
            .rect_filled(place.expand2(egui::vec2(4.0, 1.0)), 3.0, ground);
    }

    fn put_sized(&self, align: Align2, text: &str, color: Color32, size: f32) -> Rect {
        let at = align.pos_in_rect(&self.inner);
        if text.is_empty() {
            return Rect::from_min_size(at, Vec2::ZERO);
        }
        let font = FontId::proportional(size);
        let galley = self.painter.layout_no_wrap(text.to_owned(), font, color);
        let place = align.anchor_size(at, galley.size());
        self.ground(place);
        self.painter.galley(place.min, galley, color);
        place
    }
}

fn levels_words(viewer: &Viewer, view: &VolumeView) -> String {
    let window = |view: &VolumeView| {
        let inverted = if view.invert == view.volume.inverted {
            ""
        } else {
            words().inverted_corner
        };
        format!("{}{inverted}", window_words(view.window))
    };
    let levels = match viewer.pair() {
        Some(pair) if viewer.overlaid() => {
            let [first, second] = pair.map(window);
            fill(words().of_both, &[&first, &second])
        }
        _ => window(view),
    };
    let slice = fill(
        words().slice_corner,
        &[&(view.index() + 1), &view.count(), &plane_words(view.plane)],
    );
    let axes = match view.axes {
        Axes::Acquired => "",
        Axes::Patient => words().patient_axes_suffix,
    };
    let slab = view
        .slab
        .map_or(String::new(), |slab| format!("  {}", slab_words(slab)));
    let mut lines = vec![format!("{slice}{axes}{slab}"), levels];
    let depth = depth_words(view);
    if !depth.is_empty() {
        lines.insert(1, depth);
    }
    lines.join("\n")
}

/// `MIP 20 mm`.
pub fn slab_words(slab: Slab) -> String {
    let name = match slab.projection {
        Projection::Maximum => words().slab_maximum,
        Projection::Minimum => words().slab_minimum,
        Projection::Mean => words().slab_mean,
    };
    fill(words().slab, &[&name, &format_args!("{:.0}", slab.mm)])
}

/// A stripe beside the words of the plane, in the colour its lines have in the other viewports.
fn plane_mark(painter: &Painter, plane: Plane, words: Rect) {
    let stripe = Rect::from_min_max(
        words.left_top() - egui::vec2(6.0, 0.0),
        words.left_bottom() - egui::vec2(3.0, 0.0),
    );
    painter.rect_filled(stripe, 0.0, plane_colour(plane));
}

/// What is to be known of the volume on screen; of two drawn as one picture with their names, and whether their places
/// are known to be the same.
fn notes_on_screen(viewer: &Viewer, view: &VolumeView) -> Vec<String> {
    let Some(pair) = viewer.pair().filter(|_| viewer.overlaid()) else {
        return volume_notes(view);
    };
    let mut lines = Vec::new();
    if !viewer.frames_named() {
        lines.push(words().no_common_frame.to_owned());
    }
    for (view, viewport) in pair.into_iter().zip(&viewer.viewports) {
        let name = viewport.series().map(title).unwrap_or_default();
        let notes = volume_notes(view).into_iter();
        lines.extend(notes.map(|note| format!("{name}: {note}")));
    }
    lines
}

fn volume_notes(view: &VolumeView) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    if view.volume.lossy {
        lines.push(words().lossy.to_owned());
    }
    let sides = view.volume.calibrated || view.volume.sides.is_some();
    match view.volume.scale {
        Scale::Unknown if !view.volume.calibrated => {
            lines.push(words().no_geometry.to_owned());
        }
        _ if !sides => lines.push(words().no_sides.to_owned()),
        _ => {}
    }
    if view.volume.scale == Scale::Detector {
        lines.push(words().at_detector.to_owned());
    }
    lines.extend(view.volume.notes.iter().map(note_words));
    lines
}

fn notes(words: &Words<'_>, lines: &[String]) {
    // Wrapped, so that a long sentence leaves the picture free.
    let width = (words.inner.width() * 0.5 - 18.0).max(120.0);
    let font = FontId::proportional(words.size - 0.5);
    let text = lines.join("\n");
    if text.is_empty() {
        return;
    }
    let galley = words.painter.layout(text, font, theme::WARNING, width);
    let place = Align2::RIGHT_TOP.anchor_size(words.inner.right_top(), galley.size());
    words.ground(place);
    words.painter.galley(place.min, galley, theme::WARNING);
}

fn spacing_words(view: &VolumeView) -> String {
    let grid = view.grid();
    let [columns, rows, _] = grid.size;
    if view.volume.scale != Scale::Unknown {
        let [dx, dy, _] = grid.patient_from_grid.spacing_mm();
        fill(
            words().slice_spacing,
            &[
                &columns,
                &rows,
                &format_args!("{dx:.2}"),
                &format_args!("{dy:.2}"),
            ],
        )
    } else {
        format!("{columns} × {rows}")
    }
}

/// Orientation letters on the four edges, by where the right and the lower one point.
fn letters(words: &Words<'_>, directions: Option<[Direction; 2]>) {
    let Some([right, down]) = directions else {
        return;
    };
    for (direction, align) in [
        (right.opposite(), Align2::LEFT_CENTER),
        (right, Align2::RIGHT_CENTER),
        (down.opposite(), Align2::CENTER_TOP),
        (down, Align2::CENTER_BOTTOM),
    ] {
        words.put_sized(
            align,
            &direction.letters(),
            theme::WARNING,
            words.size * 1.45,
        );
    }
}

/// Where the right and the lower edge of the screen point in the patient, where the files say so.
pub fn edge_directions(view: &VolumeView, orientation: Orientation) -> Option<[Direction; 2]> {
    let volume = &view.volume;
    let sides = if volume.calibrated {
        let grid = view.grid();
        [grid.right(), grid.down()]
    } else {
        volume
            .sides
            .filter(|_| view.plane == volume.acquired_plane())?
    };
    Some(on_screen(sides, orientation))
}

/// Where the edges of the screen point, for a picture whose right and lower edge point there.
fn on_screen([right, down]: [Direction; 2], orientation: Orientation) -> [Direction; 2] {
    orientation.on_screen(right.0, down.0).map(Direction)
}

/// `S 12.1 mm  thickness 5.0 mm`: where the slice lies along its normal, and how thick it was acquired.
fn depth_words(view: &VolumeView) -> String {
    let volume = &view.volume;
    let mut parts = Vec::new();
    if volume.calibrated {
        let middle = view.middle_mm();
        let [.., (axis, _)] = view.plane.axes();
        parts.push(fill(words().mm, &[&side_words(axis, middle[axis])]));
    }
    if view.plane == volume.acquired_plane()
        && view.axes == Axes::Acquired
        && let Some(mm) = volume.thickness_mm
    {
        parts.push(fill(words().slice_thickness, &[&format_args!("{mm:.1}")]));
    }
    parts.join("  ")
}

/// A length to measure by, at the lower right.
fn scale_bar(
    words: &Words<'_>,
    view: &VolumeView,
    orientation: Orientation,
    place: Rect,
    bottom: f32,
) {
    let grid = view.grid();
    let [dx, dy, _] = grid.patient_from_grid.spacing_mm();
    let across_mm = if orientation.swaps_sides() {
        grid.size[1] as f64 * dy
    } else {
        grid.size[0] as f64 * dx
    };
    let points_per_mm = f64::from(place.width()) / across_mm.max(1e-6);
    let longest_mm = f64::from((words.inner.width() * 0.25).min(130.0)) / points_per_mm;
    let Some((mm, text)) = round_length(longest_mm) else {
        return;
    };
    let length = (mm * points_per_mm) as f32;
    let right = egui::pos2(words.inner.right() - 4.0, bottom);
    let left = right - egui::vec2(length, 0.0);
    // Dark under light: legible on black and on white.
    for (width, color) in [(4.0, Color32::from_black_alpha(180)), (1.5, theme::TEXT)] {
        let stroke = Stroke::new(width, color);
        words.painter.line_segment([left, right], stroke);
        for end in [left, right] {
            let tick = egui::vec2(0.0, 4.0);
            words.painter.line_segment([end - tick, end + tick], stroke);
        }
    }
    let above = Words {
        inner: words.inner.with_max_y(bottom - 7.0),
        ..*words
    };
    let text = match view.volume.scale {
        Scale::Detector => fill(crate::strings::words().detector_suffix, &[&text]),
        _ => text,
    };
    above.put_sized(Align2::RIGHT_BOTTOM, &text, theme::TEXT, words.size - 1.5);
}

/// The longest of 1, 2, 5, 10... mm that is not longer, with its name.
fn round_length(longest_mm: f64) -> Option<(f64, String)> {
    if !longest_mm.is_finite() || longest_mm <= 1e-6 {
        return None;
    }
    let power = 10_f64.powf(longest_mm.log10().floor());
    let step = [5.0, 2.0, 1.0]
        .into_iter()
        .find(|step| step * power <= longest_mm)?;
    let mm = step * power;
    let text = if mm >= 10.0 {
        fill(words().cm, &[&format_args!("{:.0}", mm / 10.0)])
    } else if mm >= 1.0 {
        fill(words().mm, &[&format_args!("{mm:.0}")])
    } else {
        fill(words().mm, &[&mm])
    };
    Some((mm, text))
}

/// Lines through the place that all viewports show, open about the place itself.
fn crosshair(
    painter: &Painter,
    viewer: &Viewer,
    view: &VolumeView,
    orientation: Orientation,
    place: Rect,
) {
    let Some(center) = crosshair_on_screen(viewer, view, orientation, place) else {
        return;
    };
    let [vertical, horizontal] = match view.plane {
        Plane::Axial => [Plane::Sagittal, Plane::Coronal],
        Plane::Coronal => [Plane::Sagittal, Plane::Axial],
        Plane::Sagittal => [Plane::Coronal, Plane::Axial],
    };
    let [vertical, horizontal] = if orientation.swaps_sides() {
        [horizontal, vertical]
    } else {
        [vertical, horizontal]
    };
    let area = painter.clip_rect();
    let stroke = |plane: Plane| Stroke::new(1.0, plane_colour(plane).gamma_multiply(0.85));
    let gap = CROSSHAIR_GAP;
    painter.vline(center.x, area.top()..=center.y - gap, stroke(vertical));
    painter.vline(center.x, center.y + gap..=area.bottom(), stroke(vertical));
    painter.hline(area.left()..=center.x - gap, center.y, stroke(horizontal));
    painter.hline(center.x + gap..=area.right(), center.y, stroke(horizontal));
}

/// Where the crosshair is on screen, if this volume lies in its space.
pub fn crosshair_on_screen(
    viewer: &Viewer,
    view: &VolumeView,
    orientation: Orientation,
    place: Rect,
) -> Option<Pos2> {
    let active = viewer.viewport().volume()?;
    let same = Arc::ptr_eq(&active.volume, &view.volume);
    if !same && !active.volume.shares_space_with(&view.volume) {
        return None;
    }
    let grid = view.grid();
    let [x, y, _] = grid.at(viewer.crosshair?)?;
    let share = |at: f64, count: usize| ((at + 0.5) / count.max(1) as f64) as f32;
    let picture = [share(x, grid.size[0]), share(y, grid.size[1])];
    let screen = orientation.to_screen(picture);
    Some(place.lerp_inside(Vec2::from(screen)))
}

/// The colours of the window, from its lower to its upper edge.
fn colour_bar(painter: &Painter, view: &VolumeView, inner: Rect) {
    let bar = Rect::from_center_size(
        egui::pos2(
            inner.right() - 8.0,
            inner.center().y + inner.height() * 0.18,
        ),
        egui::vec2(10.0, inner.height() * 0.25),
    );
    let table = view.colours.table();
    let steps = 64;
    for step in 0..steps {
        let share = |step: usize| bar.bottom() - bar.height() * step as f32 / steps as f32;
        let level = if view.invert {
            255 - step * 4
        } else {
            step * 4
        };
        let [r, g, b] = table[level.min(255)];
        let part = Rect::from_x_y_ranges(bar.x_range(), share(step + 1)..=share(step) + 0.5);
        painter.rect_filled(part, 0.0, Color32::from_rgb(r, g, b));
    }
    painter.rect_stroke(
        bar,
        0.0,
        Stroke::new(1.0, theme::QUIET),
        egui::StrokeKind::Outside,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_bar_has_a_round_length() {
        let length = |longest: f64| round_length(longest).map(|(_, text)| text);
        assert_eq!(length(137.0).as_deref(), Some("10 cm"));
        assert_eq!(length(10.0).as_deref(), Some("1 cm"));
        assert_eq!(length(9.9).as_deref(), Some("5 mm"));
        assert_eq!(length(0.3).as_deref(), Some("0.2 mm"));
        assert_eq!(length(f64::NAN), None);
        assert_eq!(length(0.0), None);
    }
}
