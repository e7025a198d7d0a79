//! The dialog that is open: header fields beside the slice, settings and keys over it.

use egui::{Context, Id, Modal, RichText, ScrollArea, Ui, Window};

use super::{keys_help, settings, tags, training};
use crate::action::Action;
use crate::pictures::Pictures;
use crate::state::{Dialog, State};
use crate::strings::words;
use crate::theme;

/// The dialog, if there is one.
pub fn dialog_ui(ctx: &Context, state: &mut State, pictures: &Pictures) -> Option<Action> {
    match state.dialog? {
        Dialog::Tags => window_ui(ctx, "tags", words().tags_title, |ui| {
            tags::tags_ui(ui, &mut state.tags)
        }),
        Dialog::Training => window_ui(ctx, "training", words().training_title, |ui| {
            let closed = ui.horizontal(|ui| {
                let hint = RichText::new(words().training_hint).color(theme::now().quiet);
                ui.label(hint);
                let right = egui::Layout::right_to_left(egui::Align::Center);
                ui.with_layout(right, |ui| ui.button(words().close).clicked())
                    .inner
            });
            let action = ScrollArea::vertical()
                .auto_shrink(false)
                .show(ui, |ui| training::training_ui(ui, state, pictures))
                .inner;
            action.or(closed.inner.then_some(Action::CloseDialog))
        }),
        Dialog::Settings => modal_ui(ctx, "settings", 620.0, words().settings, |ui| {
            settings::settings_ui(ui, state)
        }),
        Dialog::Keys => modal_ui(ctx, "keys", 560.0, words().key_map, |ui| {
            keys_help::keys_ui(ui, state);
            None
        }),
    }
}

/// A window beside which the slice goes on.
fn window_ui(
    ctx: &Context,
    id: &'static str,
    title: &str,
    content: impl FnOnce(&mut Ui) -> Option<Action>,
) -> Option<Action> {
    let room = ctx.content_rect().size();
    let shown = Window::new(title)
        .id(Id::unique(id))
        .title_bar(false)
        .resizable(false)
        .default_pos([room.x * 0.2, room.y * 0.15])
        .fixed_size([(room.x * 0.5).min(720.0), (room.y * 0.65).min(600.0)])
        .show(ctx, |ui| {
            ui.heading(title);
            content(ui)
        });
    shown.and_then(|shown| shown.inner).flatten()
}

/// A dialog over a darkened window: title and a way out above, the rest scrolls.
fn modal_ui(
    ctx: &Context,
    id: &'static str,
    width: f32,
    title: &str,
    content: impl FnOnce(&mut Ui) -> Option<Action>,
) -> Option<Action> {
    let room = ctx.content_rect().size();
    let shown = Modal::new(Id::unique(id)).show(ctx, |ui| {
        ui.set_width(width.min(room.x - 60.0));
        let mut action = None;
        ui.horizontal(|ui| {
            ui.heading(title);
            let right = egui::Layout::right_to_left(egui::Align::Center);
            ui.with_layout(right, |ui| {
                if ui.button(words().close).clicked() {
                    action = Some(Action::CloseDialog);
                }
            });
        });
        ui.separator();
        ScrollArea::vertical()
            .max_height((room.y - 140.0).max(120.0))
            .show(ui, |ui| {
                ui.set_width(ui.available_width());
                action = content(ui).or(action.take());
            });
        action
    });
    let outside = shown.backdrop_response.clicked();
    shown.inner.or(outside.then_some(Action::CloseDialog))
}
