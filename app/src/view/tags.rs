//! The header fields of the file on screen, with a search.

use egui::{Grid, Label, RichText, ScrollArea, TextEdit, Ui};
use engine::imaging::tags::Field;

use crate::action::Action;
use crate::state::{Header, Tags};
use crate::strings::{fill, words};
use crate::theme;

/// Height of a row, in points: all are as high, so that only those on screen are drawn.
const ROW: f32 = 20.0;

/// The list and its search field.
pub fn tags_ui(ui: &mut Ui, tags: &mut Tags) -> Option<Action> {
    let mut action = None;
    ui.horizontal(|ui| {
        let field = TextEdit::singleline(&mut tags.search)
            .hint_text(words().tags_search_hint)
            .desired_width(240.0);
        ui.add(field).accessible_name(words().tags_search);
        let (found, all) = tags.found();
        let count = fill(words().tags_count, &[&found.len(), &all]);
        ui.label(RichText::new(count).color(theme::now().quiet));
        let right = egui::Layout::right_to_left(egui::Align::Center);
        ui.with_layout(right, |ui| {
            if ui.button(words().close).clicked() {
                action = Some(Action::CloseDialog);
            }
        });
    });
    ui.separator();
    match &tags.header {
        Header::Empty => say(ui, words().tags_none, theme::now().quiet),
        Header::Loading => say(ui, words().tags_loading, theme::now().quiet),
        Header::Failed(why) => say(ui, why, theme::now().error),
        Header::Read(_) => fields_ui(ui, &tags.found().0),
    }
    ui.take_available_space();
    action
}

fn say(ui: &mut Ui, text: &str, color: egui::Color32) {
    ui.add(Label::new(RichText::new(text).color(color)).wrap());
}

fn fields_ui(ui: &mut Ui, fields: &[&Field]) {
    let quiet = theme::now().quiet;
    let width = ui.available_width();
    let columns = [100.0, 36.0, 0.36 * (width - 160.0)];
    ScrollArea::vertical()
        .auto_shrink(false)
        .show_rows(ui, ROW, fields.len(), |ui, rows| {
            let grid = Grid::new("header fields").num_columns(4).striped(true);
            grid.min_row_height(ROW).show(ui, |ui| {
                for field in fields.get(rows).unwrap_or_default() {
                    let indent = "    ".repeat(field.depth);
                    let name = format!("{indent}{}", field.name);
                    for (text, width) in [(&*field.tag, columns[0]), (field.vr, columns[1])] {
                        let text = RichText::new(text).color(quiet).monospace();
                        cell(ui, width, text);
                    }
                    cell(ui, columns[2], RichText::new(name));
                    let value = field.value.replace(['\r', '\n'], " ");
                    cell(ui, ui.available_width(), RichText::new(value));
                    ui.end_row();
                }
            });
        });
}

fn cell(ui: &mut Ui, width: f32, text: RichText) {
    ui.scope(|ui| {
        ui.set_width(width.max(10.0));
        ui.add(Label::new(text.size(13.0)).truncate());
    });
}
