//! A generated image beside its input. Only the marked picture is shown, in a border that says what it is.

use egui::{Button, Color32, Frame, Image, Label, Margin, Panel, Rect, RichText, ScrollArea};
use egui::{Sense, Slider, Stroke, Ui, Vec2};
use engine::imaging::Generated;

use super::pair::{difference_bar_ui, modes_ui, second_turn};
use crate::action::Action;
use crate::pictures::{Pictures, Texture};
use crate::state::{CompareMode, Comparison, Results, Stage, State, task_words};
use crate::strings::{fill, words};
use crate::theme;

/// The results of this session in a strip below, if there are any.
pub fn strip_ui(ui: &mut Ui, state: &State, pictures: &Pictures, frame: Frame) -> Option<Action> {
    if state.results.items.is_empty() {
        return None;
    }
    let mut action = None;
    Panel::bottom("results").frame(frame).show(ui, |ui| {
        ScrollArea::horizontal().show(ui, |ui| {
            ui.horizontal(|ui| {
                let back = Button::selectable(state.stage == Stage::Slice, words().slice_view);
                let back = back.min_size(egui::vec2(80.0, 64.0));
                if ui.add(back).on_hover_text(words().back_to_series).clicked() {
                    action = Some(Action::ShowSlice);
                }
                for (i, item) in state.results.items.iter().enumerate() {
                    let shown = state.stage == Stage::Compare(i);
                    if result_button(ui, item, shown, pictures) {
                        action = Some(Action::ShowResult(i));
                    }
                }
            });
        });
    });
    action
}

fn result_button(ui: &mut Ui, item: &Comparison, shown: bool, pictures: &Pictures) -> bool {
    let text = fill(
        words().result_title,
        &[
            &item.number,
            &task_words(item.task),
            &words().synthetic,
            &item.picture.words(),
        ],
    );
    let small = pictures.result(item.number).map(|[_, output]| {
        Image::from_texture((output.handle.id(), Vec2::splat(56.0)))
            .fit_to_exact_size(Vec2::splat(56.0))
            .alt_text("")
    });
    let text = RichText::new(&text).size(12.5);
    let button = Button::opt_image_and_text(small, Some(text.into()))
        .selected(shown)
        .stroke(Stroke::new(1.0, theme::WARNING));
    let name = fill(words().result_name, &[&item.number, &task_words(item.task)]);
    ui.add(button).accessible_name(name).clicked()
}

/// One result and what it was made of.
pub fn compare_ui(
    ui: &mut Ui,
    results: &Results,
    index: usize,
    pictures: &Pictures,
) -> Option<Action> {
    let item = results.items.get(index)?;
    let bar = Frame::new().inner_margin(Margin::symmetric(10, 6));
    let mut action = None;
    Panel::top("comparison").frame(bar).show(ui, |ui| {
        action = head_ui(ui, results.mode, item, index);
    });
    Panel::bottom("provenance")
        .frame(bar)
        .show(ui, |ui| provenance_ui(ui, &item.generated));
    let Some([input, output]) = pictures.result(item.number) else {
        return action;
    };
    let ground = ui.available_rect_before_wrap();
    ui.painter().rect_filled(ground, 0.0, Color32::BLACK);
    match results.mode {
        CompareMode::SideBySide => side_by_side_ui(ui, input, output),
        CompareMode::Swipe(share) => {
            let wanted = swipe_ui(ui, input, output, share);
            action = wanted
                .map(CompareMode::Swipe)
                .map(Action::SetCompareMode)
                .or(action);
        }
        CompareMode::Blend(share) => {
            let wanted = blend_ui(ui, input, output, share);
            action = wanted
                .map(CompareMode::Blend)
                .map(Action::SetCompareMode)
                .or(action);
        }
        CompareMode::Flicker => {
            let area = ui.available_rect_before_wrap().shrink(12.0);
            if second_turn(ui) {
                synthetic_ui(ui, area, output);
            } else {
                let border = Stroke::new(1.0, Color32::from_gray(90));
                picture_ui(ui, area, input, words().input, border);
            }
        }
        CompareMode::Difference => {
            if let Some(difference) = pictures.difference(item.number) {
                let area = ui.available_rect_before_wrap().shrink(12.0);
                let title = words().input_less_output;
                picture_ui(
                    ui,
                    area,
                    difference,
                    title,
                    Stroke::new(3.0, theme::WARNING),
                );
                difference_bar_ui(ui.painter(), area.left_bottom() - egui::vec2(-6.0, 34.0));
            }
        }
    }
    action
}

fn synthetic_ui(ui: &mut Ui, area: Rect, output: &Texture) {
    let border = Stroke::new(3.0, theme::WARNING);
    picture_ui(ui, area, output, words().synthetic, border);
}

fn head_ui(ui: &mut Ui, mode: CompareMode, item: &Comparison, index: usize) -> Option<Action> {
    let mut action = None;
    let right = egui::Layout::right_to_left(egui::Align::Center);
    let line = egui::vec2(ui.available_width(), ui.spacing().interact_size.y);
    ui.allocate_ui_with_layout(line, right, |ui| {
        let close = ui
            .button(words().close)
            .on_hover_text(words().back_to_series);
        if close.clicked() {
            action = Some(Action::ShowSlice);
        }
        let remove = ui.button(words().remove).on_hover_text(words().remove_hint);
        if remove.clicked() {
            action = Some(Action::RemoveResult(index));
        }
        let save = ui.button(words().save_png);
        let save = save.on_hover_text(words().save_png_hint);
        if save.clicked() {
            action = Some(Action::SavePng(index));
        }
        ui.separator();
        let left = egui::Layout::left_to_right(egui::Align::Center);
        ui.with_layout(left, |ui| {
            action = modes_ui(ui, mode, None)
                .map(Action::SetCompareMode)
                .or(action.take());
            ui.separator();
            let title = fill(
                words().result_of,
                &[&task_words(item.task), &item.picture.words()],
            );
            ui.add(Label::new(RichText::new(title).strong()).truncate());
        });
    });
    if item.generated.looks_like_a_copy() {
        let similarity = item.generated.provenance.similarity_to_input;
        let text = fill(words().looks_like_copy, &[&format_args!("{similarity:.2}")]);
        ui.add(Label::new(RichText::new(text).color(theme::now().warning).strong()).wrap());
    }
    action
}

fn side_by_side_ui(ui: &mut Ui, input: &Texture, output: &Texture) {
    let area = ui.available_rect_before_wrap().shrink(12.0);
    let (left, right) = area.split_left_right_at_fraction(0.5);
    let left = left.with_max_x(left.right() - 6.0);
    let right = right.with_min_x(right.left() + 6.0);
    picture_ui(
        ui,
        left,
        input,
        words().input,
        Stroke::new(1.0, Color32::from_gray(90)),
    );
    synthetic_ui(ui, right, output);
}

/// A picture with its title above and its border around it.
fn picture_ui(ui: &mut Ui, area: Rect, texture: &Texture, title: &str, border: Stroke) {
    const TITLE: f32 = 26.0;
    let color = if border.width > 1.0 {
        theme::WARNING
    } else {
        theme::TEXT
    };
    let head = area.with_max_y(area.top() + TITLE);
    let text = RichText::new(title).color(color).strong().size(16.0);
    ui.put(head, Label::new(text));
    let place = fitted(area.with_min_y(head.bottom() + 4.0).shrink(4.0), texture);
    let picture = Image::from_texture((texture.handle.id(), place.size()))
        .fit_to_exact_size(place.size())
        .alt_text(title);
    ui.put(place, picture);
    let outside = egui::StrokeKind::Outside;
    ui.painter().rect_stroke(place, 0.0, border, outside);
}

fn fitted(area: Rect, texture: &Texture) -> Rect {
    let size = Vec2::new(texture.size[0].max(1) as f32, texture.size[1].max(1) as f32);
    let scale = (area.width() / size.x).min(area.height() / size.y).max(0.0);
    Rect::from_center_size(area.center(), size * scale)
}

/// Input on the left of the curtain, output on the right.
fn swipe_ui(ui: &mut Ui, input: &Texture, output: &Texture, share: f32) -> Option<f32> {
    let (place, mut share, changed) = share_ui(ui, output, share, words().curtain);
    let curtain = place.left() + place.width() * share;
    let whole = Rect::from_min_max(egui::pos2(0.0, 0.0), egui::pos2(1.0, 1.0));
    let painter = ui.painter();
    let over = painter.with_clip_rect(place.with_max_x(curtain));
    over.image(input.handle.id(), place, whole, Color32::WHITE);
    let under = painter.with_clip_rect(place.with_min_x(curtain));
    under.image(output.handle.id(), place, whole, Color32::WHITE);
    painter.vline(curtain, place.y_range(), Stroke::new(2.0, theme::WARNING));
    let border = Stroke::new(3.0, theme::WARNING);
    painter.rect_stroke(place, 0.0, border, egui::StrokeKind::Outside);
    // By keyboard the slider above does the same, so this takes no focus.
    let drag = ui.interact(place, ui.scope_id().with("curtain"), Sense::DRAG);
    let moved = drag.drag_delta().x / place.width().max(1.0);
    share = (share + moved).clamp(0.0, 1.0);
    (changed || moved != 0.0).then_some(share)
}

/// Titles and a slider over the picture; the result is where the picture lies, the share, and whether it was moved.
fn share_ui(ui: &mut Ui, output: &Texture, share: f32, name: &str) -> (Rect, f32, bool) {
    let area = ui.available_rect_before_wrap().shrink(12.0);
    let head = area.with_max_y(area.top() + 26.0);
    let place = fitted(area.with_min_y(head.bottom() + 34.0).shrink(4.0), output);
    let (left, right) = head.split_left_right_at_fraction(0.5);
    ui.put(
        left,
        Label::new(RichText::new(words().input).strong().size(16.0)),
    );
    let title = RichText::new(words().synthetic).color(theme::WARNING);
    ui.put(right, Label::new(title.strong().size(16.0)));
    let mut share = share;
    let rail = Rect::from_min_size(
        egui::pos2(place.left(), head.bottom() + 4.0),
        egui::vec2(place.width(), 22.0),
    );
    ui.spacing_mut().slider_width = rail.width();
    let slider = Slider::new(&mut share, 0.0..=1.0).show_value(false);
    let slider = ui.put(rail, slider).accessible_name(name);
    (place, share, slider.changed())
}

/// The output over the input, as opaque as its share.
fn blend_ui(ui: &mut Ui, input: &Texture, output: &Texture, share: f32) -> Option<f32> {
    let (place, share, changed) = share_ui(ui, output, share, words().opacity);
    let whole = Rect::from_min_max(egui::pos2(0.0, 0.0), egui::pos2(1.0, 1.0));
    let painter = ui.painter();
    painter.image(input.handle.id(), place, whole, Color32::WHITE);
    let tint = Color32::WHITE.gamma_multiply(share);
    painter.image(output.handle.id(), place, whole, tint);
    let border = Stroke::new(3.0, theme::WARNING);
    painter.rect_stroke(place, 0.0, border, egui::StrokeKind::Outside);
    changed.then_some(share)
}

/// Where it comes from.
fn provenance_ui(ui: &mut Ui, generated: &Generated) {
    let p = &generated.provenance;
    let summary = fill(
        words().made_by,
        &[
            &p.model,
            &if p.model_trained {
                ""
            } else {
                words().untrained_suffix
            },
            &format_args!("{:.1}", p.elapsed_secs),
            &format_args!("{:.3}", p.similarity_to_input),
        ],
    );
    ui.add(Label::new(RichText::new(summary).color(theme::now().quiet)).wrap());
    ui.collapsing(words().provenance, |ui| {
        let rows_height = 130.0;
        let scroll = ScrollArea::vertical().max_height(rows_height);
        scroll.min_scrolled_height(rows_height).show(ui, |ui| {
            let rows = [
                (words().prov_task, &p.task),
                (words().prov_instruction, &p.instruction),
                (words().prov_plugin, &p.plugin),
                (words().prov_model_hash, &p.model_sha256),
                (words().prov_sampling, &p.sampling),
                (words().prov_device, &p.device),
                (words().prov_software, &p.software),
                (words().prov_input_hash, &p.input_sha256),
                (words().prov_output_hash, &p.output_sha256),
            ];
            let grid = egui::Grid::new("provenance").num_columns(2);
            grid.min_row_height(18.0).show(ui, |ui| {
                for (name, value) in rows {
                    ui.label(RichText::new(name).color(theme::now().quiet).size(12.5));
                    ui.add(Label::new(RichText::new(value).size(12.5)).truncate());
                    ui.end_row();
                }
            });
        });
    });
}
