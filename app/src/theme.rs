//! The reading room: dark, quiet, and pure black around the image.

use egui::{
    Color32, CornerRadius, FontDefinitions, FontFamily, FontId, Stroke, TextStyle, Theme, Visuals,
};

/// Panels.
pub const PANEL: Color32 = Color32::from_rgb(0x16, 0x19, 0x1d);
/// Cards and fields on panels.
pub const CARD: Color32 = Color32::from_rgb(0x20, 0x25, 0x2b);
/// Text: 13:1 on panels.
pub const TEXT: Color32 = Color32::from_rgb(0xe2, 0xe6, 0xea);
/// Text of less weight: still 7:1 on panels.
pub const QUIET: Color32 = Color32::from_rgb(0xac, 0xb4, 0xbd);
/// What can be pressed or is chosen.
pub const ACCENT: Color32 = Color32::from_rgb(0x5a, 0xb0, 0xe8);
/// Chosen, as a surface.
pub const ACCENT_DIM: Color32 = Color32::from_rgb(0x1f, 0x4a, 0x69);
/// What the user said.
pub const QUESTION: Color32 = Color32::from_rgb(0x1b, 0x30, 0x40);
/// Warnings and everything synthetic.
pub const WARNING: Color32 = Color32::from_rgb(0xff, 0xbe, 0x4d);
/// Warnings, as a surface.
pub const WARNING_DIM: Color32 = Color32::from_rgb(0x45, 0x33, 0x12);
/// Errors.
pub const ERROR: Color32 = Color32::from_rgb(0xff, 0x8f, 0x85);
/// Errors, as a surface.
pub const ERROR_DIM: Color32 = Color32::from_rgb(0x46, 0x1f, 0x1d);

/// Dresses a context.
pub fn install(ctx: &egui::Context) {
    ctx.set_theme(Theme::Dark);
    ctx.set_fonts(fonts());
    ctx.all_styles_mut(|style| {
        style.visuals = visuals();
        style.spacing.item_spacing = egui::vec2(8.0, 6.0);
        style.spacing.button_padding = egui::vec2(9.0, 4.0);
        style.spacing.interact_size.y = 24.0;
        style.text_styles = [
            (TextStyle::Small, FontId::proportional(12.0)),
            (TextStyle::Body, FontId::proportional(14.0)),
            (TextStyle::Button, FontId::proportional(14.0)),
            (TextStyle::Heading, FontId::proportional(18.0)),
            (TextStyle::Monospace, FontId::monospace(12.5)),
        ]
        .into();
    });
}

/// The arrows of `CT → MRI` are in the monospace font only, so it comes last in the proportional family too.
fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let mono = fonts.families.get(&FontFamily::Monospace).cloned();
    let text = fonts.families.entry(FontFamily::Proportional).or_default();
    for name in mono.unwrap_or_default() {
        if !text.contains(&name) {
            text.push(name);
        }
    }
    fonts
}

fn visuals() -> Visuals {
    let mut visuals = Visuals::dark();
    visuals.panel_fill = PANEL;
    visuals.window_fill = PANEL;
    visuals.extreme_bg_color = Color32::from_rgb(0x0c, 0x0e, 0x10);
    visuals.faint_bg_color = CARD;
    visuals.weak_text_color = Some(QUIET);
    visuals.warn_fg_color = WARNING;
    visuals.error_fg_color = ERROR;
    visuals.hyperlink_color = ACCENT;
    visuals.selection.bg_fill = ACCENT_DIM;
    visuals.selection.stroke = Stroke::new(1.0, Color32::WHITE);
    // A blinking cursor would draw the window twice a second for ever.
    visuals.text_cursor.blink = false;
    let radius = CornerRadius::same(4);
    let widgets = &mut visuals.widgets;
    for (look, fill, edge) in [
        (&mut widgets.noninteractive, PANEL, 0x2e),
        (
            &mut widgets.inactive,
            Color32::from_rgb(0x2b, 0x31, 0x38),
            0x48,
        ),
        (
            &mut widgets.hovered,
            Color32::from_rgb(0x37, 0x40, 0x49),
            0x70,
        ),
        (&mut widgets.active, ACCENT_DIM, 0x90),
        (&mut widgets.open, Color32::from_rgb(0x2b, 0x31, 0x38), 0x60),
    ] {
        look.bg_fill = fill;
        look.weak_bg_fill = fill;
        look.bg_stroke = Stroke::new(1.0, Color32::from_gray(edge));
        look.fg_stroke.color = TEXT;
        look.corner_radius = radius;
        look.expansion = 0.0;
    }
    visuals.widgets.hovered.fg_stroke.color = Color32::WHITE;
    visuals
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.1 relative luminance.
    fn luminance(color: Color32) -> f64 {
        let [r, g, b, _] = color.to_array().map(|level| {
            let level = f64::from(level) / 255.0;
            if level <= 0.04045 {
                level / 12.92
            } else {
                ((level + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    fn contrast(text: Color32, ground: Color32) -> f64 {
        (luminance(text) + 0.05) / (luminance(ground) + 0.05)
    }

    #[test]
    fn text_has_at_least_seven_to_one_contrast() {
        assert!((contrast(Color32::WHITE, Color32::BLACK) - 21.0).abs() < 1e-9);
        for (text, ground) in [
            (TEXT, PANEL),
            (TEXT, CARD),
            (TEXT, ACCENT_DIM),
            (QUIET, PANEL),
            (QUIET, CARD),
            (TEXT, QUESTION),
            (WARNING, WARNING_DIM),
            (WARNING, PANEL),
            (ERROR, PANEL),
        ] {
            let contrast = contrast(text, ground);
            assert!(contrast >= 7.0, "{text:?} on {ground:?}: {contrast:.1}");
        }
    }
}
