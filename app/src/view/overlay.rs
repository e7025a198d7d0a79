//! Words on the picture: orientation letters and corners; and what is under the pointer.

use egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Ui};
use engine::imaging::{Direction, Modality};

use crate::state::{Content, OpenSeries, Orientation, VolumeView, window_words};
use crate::theme;

/// Below this width, in points, there is no room for words in both lower corners.
const BOTH_CORNERS_WIDTH: f32 = 430.0;

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

/// Draws the words over the picture that lies at `place` in `area`.
pub fn overlay_ui(ui: &Ui, open: &OpenSeries, area: Rect, place: Rect, size: [u32; 2]) {
    let painter = ui.painter_at(area);
    let inner = area.shrink(12.0);
    let series = &open.series;
    let scale = pixel_scale(open, place, size) * ui.pixels_per_point();
    let zoom = format!("Zoom {:.0} %", scale * 100.0);
    let title = if series.description.is_empty() {
        series.modality.code().to_owned()
    } else {
        format!(
            "{}  {}",
            series.modality.code().replace('?', ""),
            series.description
        )
    };
    let title = format!("{}\n{}", title.trim(), open.orientation.words());
    corner(&painter, inner.left_top(), Align2::LEFT_TOP, title.trim());
    match &open.content {
        Content::Volume(view) => {
            let levels = format!(
                "Slice {} / {}  {}\n{}{}",
                view.index() + 1,
                view.count(),
                view.plane.name(),
                window_words(view.window),
                if view.invert != view.volume.inverted {
                    "  inverted"
                } else {
                    ""
                },
            );
            corner(&painter, inner.left_bottom(), Align2::LEFT_BOTTOM, &levels);
            if inner.width() >= BOTH_CORNERS_WIDTH {
                let right = format!("{zoom}\n{}", spacing_words(view));
                corner(&painter, inner.right_bottom(), Align2::RIGHT_BOTTOM, &right);
            }
            notes(&painter, view, inner);
            if view.volume.calibrated {
                letters(&painter, view, open.orientation, area);
            }
        }
        Content::Picture(image) => {
            let words = format!("{zoom}\n{} × {} pixels", image.width(), image.height());
            corner(&painter, inner.right_bottom(), Align2::RIGHT_BOTTOM, &words);
        }
    }
}

fn corner(painter: &Painter, at: Pos2, align: Align2, text: &str) {
    legible(painter, at, align, text, 13.5, theme::TEXT);
}

/// Text that is legible on black and on white: it has a dark ground of its own.
fn legible(painter: &Painter, at: Pos2, align: Align2, text: &str, size: f32, color: Color32) {
    if text.is_empty() {
        return;
    }
    let font = FontId::proportional(size);
    let galley = painter.layout_no_wrap(text.to_owned(), font, color);
    let place = align.anchor_size(at, galley.size());
    let ground = Color32::from_black_alpha(150);
    painter.rect_filled(place.expand2(egui::vec2(4.0, 1.0)), 3.0, ground);
    painter.galley(place.min, galley, color);
}

fn notes(painter: &Painter, view: &VolumeView, inner: Rect) {
    let mut lines: Vec<&str> = Vec::new();
    if view.volume.lossy {
        lines.push("Lossy source");
    }
    if !view.volume.calibrated {
        lines.push("No geometry: sides and lengths are unknown");
    }
    lines.extend(view.volume.notes.iter().map(String::as_str));
    let at = inner.right_top();
    legible(
        painter,
        at,
        Align2::RIGHT_TOP,
        &lines.join("\n"),
        13.0,
        theme::WARNING,
    );
}

fn spacing_words(view: &VolumeView) -> String {
    let [columns, rows] = view.volume.slice_size(view.plane);
    if view.volume.calibrated {
        let [right, down] = steps(view);
        let mm = engine::imaging::geometry::length;
        format!(
            "{columns} × {rows}  {:.2} × {:.2} mm",
            mm(right.0),
            mm(down.0)
        )
    } else {
        format!("{columns} × {rows}")
    }
}

/// Where one column to the right and one row down lead in the patient, in mm.
fn steps(view: &VolumeView) -> [Direction; 2] {
    let at = |x: usize, y: usize| {
        let voxel = view.volume.voxel_at(view.plane, view.index(), x, y);
        view.volume.position_mm(voxel)
    };
    let [origin, right, down] = [at(0, 0), at(1, 0), at(0, 1)];
    let towards =
        |to: [f64; 3]| Direction([to[0] - origin[0], to[1] - origin[1], to[2] - origin[2]]);
    [towards(right), towards(down)]
}

/// Orientation letters on the four edges.
fn letters(painter: &Painter, view: &VolumeView, orientation: Orientation, area: Rect) {
    let [right, down] = steps(view);
    let [right, down] = orientation.on_screen(right.0, down.0).map(Direction);
    let inner = area.shrink(12.0);
    for (direction, at, align) in [
        (right.opposite(), inner.left_center(), Align2::LEFT_CENTER),
        (right, inner.right_center(), Align2::RIGHT_CENTER),
        (down.opposite(), inner.center_top(), Align2::CENTER_TOP),
        (down, inner.center_bottom(), Align2::CENTER_BOTTOM),
    ] {
        legible(
            painter,
            at,
            align,
            &direction.letters(),
            20.0,
            theme::WARNING,
        );
    }
}

/// `R 17.6  P 35.3  S 12.1 mm   voxel 120, 88, 11   43 HU`.
pub fn under_pointer(
    view: &VolumeView,
    orientation: Orientation,
    place: Rect,
    at: Pos2,
) -> Option<String> {
    if !place.contains(at) {
        return None;
    }
    let [columns, rows] = view.volume.slice_size(view.plane);
    let [across, along] = orientation.to_picture(((at - place.min) / place.size()).into());
    let x = ((across * columns as f32) as usize).min(columns.checked_sub(1)?);
    let y = ((along * rows as f32) as usize).min(rows.checked_sub(1)?);
    let voxel @ [i, j, k] = view.volume.voxel_at(view.plane, view.index(), x, y);
    let sample = view.volume.sample(voxel);
    let value = match view.volume.modality {
        Modality::Ct => format!("{sample:.0} HU"),
        _ if sample.fract() == 0.0 => format!("value {sample:.0}"),
        _ => format!("value {sample:.3}"),
    };
    let position = if view.volume.calibrated {
        let [x, y, z] = view.volume.position_mm(voxel);
        let part = |mm: f64, plus: char, minus: char| {
            format!("{} {:.1}", if mm < 0.0 { minus } else { plus }, mm.abs())
        };
        format!(
            "{}  {}  {} mm   ",
            part(x, 'L', 'R'),
            part(y, 'P', 'A'),
            part(z, 'S', 'I')
        )
    } else {
        String::new()
    };
    Some(format!("{position}voxel {i}, {j}, {k}   {value}"))
}
