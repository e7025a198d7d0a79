//! The colours: a dark reading room, a light room, and high contrast. Around an image it is pure black in all of them.
//!
//! The theme is a property of the thread that draws, as the language is: [`wear`] sets it once a frame from the
//! settings, [`now`] reads it. The constants are for what lies on the black around an image, in every theme.

use std::cell::Cell;

use egui::{
    Color32, CornerRadius, FontDefinitions, FontFamily, FontId, Stroke, TextStyle, Theme, Visuals,
};
use serde::{Deserialize, Serialize};

/// Text over an image.
pub const TEXT: Color32 = DARK.text;
/// Text of less weight over black.
pub const QUIET: Color32 = DARK.quiet;
/// What can be pressed or is chosen, over black.
pub const ACCENT: Color32 = DARK.accent;
/// Warnings and everything synthetic, over black.
pub const WARNING: Color32 = DARK.warning;
/// Errors over black.
pub const ERROR: Color32 = DARK.error;
/// How dark the ground of a text over an image is, of 255: legible even where the image is white.
pub const IMAGE_TEXT_GROUND: u8 = 215;

/// The colours on offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThemeName {
    /// The reading room.
    #[default]
    Dark,
    /// A lit room.
    Light,
    /// White on black.
    HighContrast,
}

impl ThemeName {
    /// In menu order.
    pub const ALL: [Self; 3] = [Self::Dark, Self::Light, Self::HighContrast];

    /// Its colours.
    pub fn palette(self) -> &'static Palette {
        match self {
            Self::Dark => &DARK,
            Self::Light => &LIGHT,
            Self::HighContrast => &HIGH_CONTRAST,
        }
    }
}

/// The colours of a theme. Every text has at least 7:1 on each ground it stands on.
#[derive(Debug)]
pub struct Palette {
    /// Panels.
    pub panel: Color32,
    /// Cards on panels.
    pub card: Color32,
    /// Fields to type in.
    pub field: Color32,
    /// Text.
    pub text: Color32,
    /// Text of less weight.
    pub quiet: Color32,
    /// What can be pressed or is chosen.
    pub accent: Color32,
    /// Chosen, as a surface.
    pub accent_dim: Color32,
    /// What the user said.
    pub question: Color32,
    /// Warnings and everything synthetic.
    pub warning: Color32,
    /// Warnings, as a surface.
    pub warning_dim: Color32,
    /// Errors.
    pub error: Color32,
    /// Errors, as a surface.
    pub error_dim: Color32,
    /// Buttons at rest.
    pub button: Color32,
    /// Buttons under the pointer.
    pub hovered: Color32,
    /// Edges: of panels, of buttons at rest, under the pointer, pressed.
    pub edges: [Color32; 4],
    dark: bool,
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

/// The reading room: dark and quiet.
pub const DARK: Palette = Palette {
    panel: rgb(0x16191d),
    card: rgb(0x20252b),
    field: rgb(0x0c0e10),
    text: rgb(0xe2e6ea),
    quiet: rgb(0xbac2cb),
    accent: rgb(0x70bef2),
    accent_dim: rgb(0x1f4a69),
    question: rgb(0x1b3040),
    warning: rgb(0xffbe4d),
    warning_dim: rgb(0x453312),
    error: rgb(0xffa8a0),
    error_dim: rgb(0x461f1d),
    button: rgb(0x2b3138),
    hovered: rgb(0x374049),
    edges: [rgb(0x2e2e2e), rgb(0x484848), rgb(0x707070), rgb(0x909090)],
    dark: true,
};

/// A lit room.
pub const LIGHT: Palette = Palette {
    panel: rgb(0xf3f5f7),
    card: rgb(0xffffff),
    field: rgb(0xffffff),
    text: rgb(0x14181c),
    quiet: rgb(0x3f4852),
    accent: rgb(0x0b4a78),
    accent_dim: rgb(0xc5e0f5),
    question: rgb(0xdcebf7),
    warning: rgb(0x6b3d00),
    warning_dim: rgb(0xffe9c2),
    error: rgb(0x8c1010),
    error_dim: rgb(0xfde0de),
    button: rgb(0xdfe4e9),
    hovered: rgb(0xcfd7df),
    edges: [rgb(0xd0d5da), rgb(0xa9b1b9), rgb(0x6f7780), rgb(0x4b535b)],
    dark: false,
};

/// White on black, with bright edges.
pub const HIGH_CONTRAST: Palette = Palette {
    panel: rgb(0x000000),
    card: rgb(0x101010),
    field: rgb(0x000000),
    text: rgb(0xffffff),
    quiet: rgb(0xe6e6e6),
    accent: rgb(0x7fd4ff),
    accent_dim: rgb(0x003a66),
    question: rgb(0x00223d),
    warning: rgb(0xffd060),
    warning_dim: rgb(0x332200),
    error: rgb(0xffb3ab),
    error_dim: rgb(0x3d0000),
    button: rgb(0x1c1c1c),
    hovered: rgb(0x333333),
    edges: [rgb(0xa0a0a0), rgb(0xc8c8c8), rgb(0xffffff), rgb(0xffffff)],
    dark: true,
};

thread_local! {
    static WORN: Cell<ThemeName> = const { Cell::new(ThemeName::Dark) };
}

/// The colours of the thread that draws.
pub fn now() -> &'static Palette {
    WORN.get().palette()
}

/// Dresses a context for the first time.
pub fn install(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    // The size is a setting; keys that change it are the user's own.
    ctx.options_mut(|options| options.zoom_with_keyboard = false);
    dress(ctx, ThemeName::Dark);
}

/// Draws in these colours from now on.
pub fn wear(ctx: &egui::Context, theme: ThemeName) {
    let worn_id = egui::Id::unique("theme");
    let known = ctx.data(|data| data.get_temp::<u8>(worn_id));
    if known.unwrap_or(ThemeName::Dark as u8) != theme as u8 {
        dress(ctx, theme);
        ctx.data_mut(|data| data.insert_temp(worn_id, theme as u8));
    }
    WORN.set(theme);
}

fn dress(ctx: &egui::Context, theme: ThemeName) {
    let palette = theme.palette();
    ctx.set_theme(if palette.dark {
        Theme::Dark
    } else {
        Theme::Light
    });
    ctx.all_styles_mut(|style| {
        style.visuals = visuals(palette);
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

fn visuals(palette: &Palette) -> Visuals {
    let mut visuals = if palette.dark {
        Visuals::dark()
    } else {
        Visuals::light()
    };
    visuals.panel_fill = palette.panel;
    visuals.window_fill = palette.panel;
    visuals.extreme_bg_color = palette.field;
    visuals.faint_bg_color = palette.card;
    visuals.weak_text_color = Some(palette.quiet);
    visuals.warn_fg_color = palette.warning;
    visuals.error_fg_color = palette.error;
    visuals.hyperlink_color = palette.accent;
    visuals.selection.bg_fill = palette.accent_dim;
    let [panel_edge, button_edge, hovered_edge, active_edge] = palette.edges;
    let strongest = if palette.dark {
        Color32::WHITE
    } else {
        Color32::BLACK
    };
    visuals.selection.stroke = Stroke::new(1.0, strongest);
    visuals.window_stroke = Stroke::new(1.0, button_edge);
    // A blinking cursor would draw the window twice a second for ever.
    visuals.text_cursor.blink = false;
    let radius = CornerRadius::same(4);
    let widgets = &mut visuals.widgets;
    for (look, fill, edge) in [
        (&mut widgets.noninteractive, palette.panel, panel_edge),
        (&mut widgets.inactive, palette.button, button_edge),
        (&mut widgets.hovered, palette.hovered, hovered_edge),
        (&mut widgets.active, palette.accent_dim, active_edge),
        (&mut widgets.open, palette.button, button_edge),
    ] {
        look.bg_fill = fill;
        look.weak_bg_fill = fill;
        look.bg_stroke = Stroke::new(1.0, edge);
        look.fg_stroke.color = palette.text;
        look.corner_radius = radius;
        look.expansion = 0.0;
    }
    visuals.widgets.hovered.fg_stroke.color = strongest;
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
        let (text, ground) = (luminance(text) + 0.05, luminance(ground) + 0.05);
        text.max(ground) / text.min(ground)
    }

    /// Each text with each ground it stands on, by name.
    fn pairs(theme: ThemeName) -> Vec<(String, Color32, Color32)> {
        let p = theme.palette();
        let grounds = [
            ("panel", p.panel),
            ("card", p.card),
            ("field", p.field),
            ("question", p.question),
            ("button", p.button),
        ];
        let chosen = [("hovered", p.hovered), ("chosen", p.accent_dim)];
        let mut pairs = Vec::new();
        let mut add = |text: (&str, Color32), grounds: &[(&str, Color32)]| {
            for (ground, color) in grounds {
                let name = format!("{theme:?}: {} on {ground}", text.0);
                pairs.push((name, text.1, *color));
            }
        };
        add(("text", p.text), &grounds);
        add(("text", p.text), &chosen);
        add(("quiet", p.quiet), &grounds);
        let [panel, card, ..] = grounds;
        add(("accent", p.accent), &[panel, card]);
        let warning = ("warning surface", p.warning_dim);
        add(("warning", p.warning), &[panel, card, warning]);
        add(
            ("error", p.error),
            &[panel, card, ("error surface", p.error_dim)],
        );
        // What egui itself draws: the label of every widget in every state, selected text, links, hints.
        let visuals = visuals(p);
        let widgets = &visuals.widgets;
        for (name, look) in [
            ("noninteractive", widgets.noninteractive),
            ("inactive", widgets.inactive),
            ("hovered", widgets.hovered),
            ("active", widgets.active),
            ("open", widgets.open),
        ] {
            add(
                (name, look.fg_stroke.color),
                &[("its fill", look.weak_bg_fill)],
            );
        }
        let selected = ("selection", visuals.selection.bg_fill);
        add(("selected", visuals.selection.stroke.color), &[selected]);
        add(("link", visuals.hyperlink_color), &[panel, card]);
        pairs
    }

    #[test]
    fn every_text_has_at_least_seven_to_one_contrast_in_every_theme() {
        assert!((contrast(Color32::WHITE, Color32::BLACK) - 21.0).abs() < 1e-9);
        let mut count = 0;
        let mut weak = Vec::new();
        for theme in ThemeName::ALL {
            for (name, text, ground) in pairs(theme) {
                count += 1;
                let contrast = contrast(text, ground);
                if contrast < 7.0 {
                    weak.push(format!("{name}: {contrast:.2}"));
                }
            }
        }
        assert!(weak.is_empty(), "{weak:?}");
        assert_eq!(
            count,
            3 * 28,
            "a pair that is no longer looked at hides nothing"
        );
    }

    #[test]
    fn text_over_an_image_is_legible_on_black_and_on_white() {
        let under = 255 - IMAGE_TEXT_GROUND;
        for text in [TEXT, QUIET, WARNING, ERROR, ACCENT] {
            for image in [Color32::BLACK, Color32::from_gray(under)] {
                let contrast = contrast(text, image);
                assert!(contrast >= 7.0, "{text:?} on {image:?}: {contrast:.2}");
            }
        }
    }

    #[test]
    fn the_theme_worn_is_the_one_that_is_read() {
        let ctx = egui::Context::default();
        install(&ctx);
        for theme in ThemeName::ALL {
            wear(&ctx, theme);
            assert_eq!(now().panel, theme.palette().panel);
            let fill = ctx.global_style().visuals.panel_fill;
            assert_eq!(fill, theme.palette().panel);
        }
    }
}
