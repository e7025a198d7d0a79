//! Questions and answers about the picture on screen.

use egui::{Button, DragValue, Frame, Key, KeyboardShortcut, Label, Modifiers, RichText};
use egui::{Panel, ScrollArea, Slider, TextEdit, Ui};
use engine::model::AnswerEnd;

use super::bars;
use crate::action::Action;
use crate::state::{Draft, ModelState, PictureRef, Reply, State, Turn};
use crate::strings::{fill, words};
use crate::theme;

/// Share of the context from which the meter warns.
const CONTEXT_WARNING: f32 = 0.75;

/// The chat: history above, question below.
pub fn chat_ui(ui: &mut Ui, state: &mut State) -> Option<Action> {
    let mut draft = std::mem::take(&mut state.chat.draft);
    let action = conversation_ui(ui, state, &mut draft);
    state.chat.draft = draft;
    action
}

fn conversation_ui(ui: &mut Ui, state: &State, draft: &mut Draft) -> Option<Action> {
    let mut action = None;
    ui.horizontal(|ui| {
        ui.label(RichText::new(words().ask_title).strong());
        let right = egui::Layout::right_to_left(egui::Align::Center);
        ui.with_layout(right, |ui| {
            let any = !state.chat.turns.is_empty();
            let new = ui.add_enabled(any, Button::new(words().new_conversation));
            if new.on_disabled_hover_text(words().nothing_asked).clicked() {
                action = Some(Action::NewConversation);
            }
        });
    });
    Panel::bottom("question")
        .frame(Frame::new())
        .show_separator_line(false)
        .show(ui, |ui| {
            ui.add_space(4.0);
            if let Some(wanted) = pictures_ui(ui, state, draft) {
                action = Some(wanted);
            }
            if let Some(wanted) = question_ui(ui, state, draft) {
                action = Some(wanted);
            }
            context_ui(ui, state);
            settings_ui(ui, draft);
        });
    ScrollArea::vertical()
        .auto_shrink(false)
        .stick_to_bottom(true)
        .show(ui, |ui| {
            if state.chat.turns.is_empty() {
                let hint = words().chat_hint;
                ui.add(Label::new(RichText::new(hint).color(theme::now().quiet)).wrap());
            }
            for (i, turn) in state.chat.turns.iter().enumerate() {
                let wanted = ui.push_id(i, |ui| turn_ui(ui, turn)).inner;
                if wanted.is_some() {
                    action = wanted;
                }
            }
        });
    action
}

fn turn_ui(ui: &mut Ui, turn: &Turn) -> Option<Action> {
    let mut action = None;
    let question = Frame::new()
        .fill(theme::now().question)
        .corner_radius(6)
        .inner_margin(8);
    question.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal_wrapped(|ui| {
            for picture in &turn.pictures {
                let response = chip_button(ui, picture);
                if response.on_hover_text(words().show_picture).clicked() {
                    action = Some(Action::ShowPicture(picture.clone()));
                }
            }
            if turn.pictures.is_empty() {
                ui.label(
                    RichText::new(words().without_picture)
                        .color(theme::now().quiet)
                        .size(12.5),
                );
            }
            let edit = ui.small_button(words().edit);
            let edit = edit.on_hover_text(words().edit_hint);
            if edit.clicked() {
                action = Some(Action::EditQuestion(turn.question.clone()));
            }
            if turn.history > 0 {
                let text = match turn.history {
                    1 => words().follows_one.to_owned(),
                    count => fill(words().follows, &[&count]),
                };
                ui.label(RichText::new(text).color(theme::now().quiet).size(12.5));
            }
        });
        ui.add(Label::new(&turn.question).wrap());
    });
    let answer = Frame::new()
        .fill(theme::now().card)
        .corner_radius(6)
        .inner_margin(8);
    answer.show(ui, |ui| {
        ui.set_width(ui.available_width());
        if let Some(wanted) = reply_ui(ui, &turn.reply) {
            action = Some(wanted);
        }
    });
    ui.add_space(6.0);
    action
}

fn reply_ui(ui: &mut Ui, reply: &Reply) -> Option<Action> {
    let text = reply.text().trim();
    let mut numbers = String::new();
    if !text.is_empty() {
        ui.add(Label::new(text).wrap());
    }
    match reply {
        Reply::Waiting => {
            ui.horizontal(|ui| {
                ui.label(RichText::new(words().looking).color(theme::now().quiet));
                bars::busy_ui(ui);
            });
        }
        Reply::Streaming(_) => {
            ui.label(RichText::new("…").color(theme::now().accent));
        }
        Reply::Done(answer) => {
            if text.is_empty() {
                let text = RichText::new(words().empty_answer).color(theme::now().quiet);
                ui.label(text.italics());
            }
            let end = match answer.end {
                AnswerEnd::Complete => "",
                AnswerEnd::Limit => words().cut_at_limit,
                AnswerEnd::Stopped => words().was_stopped,
            };
            numbers = fill(
                words().answer_numbers,
                &[
                    &format_args!("{:.1}", answer.tokens_per_sec),
                    &format_args!("{:.2}", answer.first_token_secs),
                    &answer.prompt_tokens,
                    &answer.ids.len(),
                    &end,
                ],
            );
        }
        Reply::Stopped(_) => numbers.push_str(words().stopped),
        Reply::Failed(_, why) => {
            let why = RichText::new(fill(words().no_answer, &[why])).color(theme::now().error);
            ui.add(Label::new(why).wrap());
        }
    }
    if matches!(reply, Reply::Waiting | Reply::Streaming(_)) {
        return None;
    }
    let mut action = None;
    ui.horizontal_wrapped(|ui| {
        if !text.is_empty() {
            let copy = ui
                .small_button(words().copy)
                .on_hover_text(words().copy_hint);
            action = copy.clicked().then(|| Action::Copy(text.to_owned()));
        }
        if !numbers.is_empty() {
            ui.label(RichText::new(numbers).color(theme::now().quiet).size(12.5));
        }
    });
    action
}

/// A picture by name, to be pressed.
fn chip_button(ui: &mut Ui, picture: &PictureRef) -> egui::Response {
    let text = RichText::new(picture.words()).size(12.5);
    ui.add(Button::new(text).corner_radius(8).small())
}

/// The pictures the next question is about.
fn pictures_ui(ui: &mut Ui, state: &State, draft: &mut Draft) -> Option<Action> {
    let mut action = None;
    let open = state.viewer.open();
    if open.is_none() && state.chat.tray.is_empty() {
        return None;
    }
    ui.horizontal_wrapped(|ui| {
        ui.checkbox(&mut draft.with_picture, words().with_picture)
            .on_hover_text(words().with_picture_hint);
        if !draft.with_picture {
            return;
        }
        for (i, evidence) in state.chat.tray.iter().enumerate() {
            let text = format!("{}  ×", evidence.picture.words());
            let name = fill(words().remove_picture, &[&evidence.picture.words()]);
            let button = Button::new(RichText::new(text).size(12.5)).corner_radius(8);
            let response = ui.add(button).on_hover_text(words().take_out);
            if response.accessible_name(name).clicked() {
                action = Some(Action::RemovePicture(i));
            }
        }
        let Some(current) = state.viewer.evidence().map(|evidence| evidence.picture) else {
            return;
        };
        if state.chat.tray.is_empty() {
            ui.label(
                RichText::new(current.words())
                    .color(theme::now().accent)
                    .size(12.5),
            );
        }
        let known = state.chat.tray.iter().any(|e| e.picture == current);
        let add = ui.add_enabled(!known, Button::new(words().add_slice).small());
        let add = add
            .on_hover_text(words().add_slice_hint)
            .on_disabled_hover_text(words().already_in);
        if add.clicked() {
            action = Some(Action::AddPicture);
        }
    });
    action
}

fn question_ui(ui: &mut Ui, state: &State, draft: &mut Draft) -> Option<Action> {
    let field = TextEdit::multiline(&mut draft.text)
        .hint_text(words().question_hint)
        .desired_rows(3)
        .desired_width(f32::INFINITY)
        .return_key(KeyboardShortcut::new(Modifiers::SHIFT, Key::Enter));
    let scroll = ScrollArea::vertical().id_salt("question").max_height(120.0);
    let field = scroll.show(ui, |ui| ui.add(field)).inner;
    let field = field.accessible_name(words().question);
    if std::mem::take(&mut draft.wants_focus) {
        field.request_focus();
    }
    let entered = field.has_focus()
        && ui.input(|input| input.key_pressed(Key::Enter) && !input.modifiers.shift);
    let ready = state.check_ask(&draft.text);
    let mut action = None;
    ui.horizontal(|ui| {
        let ask = Button::new(RichText::new(words().ask).strong()).min_size(egui::vec2(76.0, 28.0));
        let mut ask = ui.add_enabled(ready.is_ok(), ask);
        if let Err(reason) = &ready {
            ask = ask.on_disabled_hover_text(reason);
        }
        if (ask.clicked() || entered) && ready.is_ok() {
            action = Some(Action::Ask);
        }
        if let Some(job) = state.chat.job {
            let stop = Button::new(words().stop_answer).min_size(egui::vec2(76.0, 28.0));
            if ui
                .add(stop)
                .on_hover_text(words().stop_answer_hint)
                .clicked()
            {
                action = Some(Action::Stop(job));
            }
        } else {
            let text = match &ready {
                Ok(()) => words().enter_sends,
                Err(reason) => reason,
            };
            let text = RichText::new(text).color(theme::now().quiet).size(12.5);
            ui.add(Label::new(text).wrap());
        }
    });
    action
}

/// How much of the context the last exchange used.
fn context_ui(ui: &mut Ui, state: &State) {
    let ModelState::Ready(model) = &state.model else {
        return;
    };
    let used = state.chat.tokens_used();
    let limit = model.context_tokens;
    let share = used as f32 / limit.max(1) as f32;
    let (color, advice) = if share >= CONTEXT_WARNING {
        (theme::now().warning, words().context_advice)
    } else {
        (theme::now().quiet, "")
    };
    ui.horizontal(|ui| {
        let bar = egui::ProgressBar::new(share.min(1.0))
            .desired_width(90.0)
            .desired_height(8.0)
            .fill(if share >= CONTEXT_WARNING {
                theme::now().warning
            } else {
                theme::now().accent
            });
        ui.add(bar);
        let text = fill(words().context_used, &[&used, &limit, &advice]);
        ui.label(RichText::new(text).color(color).size(12.5))
            .on_hover_text(words().context_hint);
    });
}

/// How tokens are chosen.
fn settings_ui(ui: &mut Ui, draft: &mut Draft) {
    ui.collapsing(words().answer_settings, |ui| {
        let sampling = &mut draft.sampling;
        egui::Grid::new("answer settings")
            .num_columns(2)
            .show(ui, |ui| {
                let name = ui.label(words().temperature);
                ui.add(Slider::new(&mut sampling.temperature, 0.0..=2.0).max_decimals(2))
                    .on_hover_text(words().temperature_hint)
                    .labelled_by(name.id);
                ui.end_row();
                let name = ui.label(words().seed);
                ui.add(DragValue::new(&mut sampling.seed))
                    .labelled_by(name.id);
                ui.end_row();
                let name = ui.label(words().longest_answer);
                ui.add(
                    DragValue::new(&mut draft.max_new_tokens)
                        .range(1..=4096)
                        .suffix(words().tokens_suffix),
                )
                .labelled_by(name.id);
                ui.end_row();
            });
    });
}
