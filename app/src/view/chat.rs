//! Questions and answers about the picture on screen.

use egui::{Button, DragValue, Frame, Key, KeyboardShortcut, Label, Modifiers, RichText};
use egui::{Panel, ScrollArea, Slider, TextEdit, Ui};
use engine::model::AnswerEnd;

use super::bars;
use crate::action::Action;
use crate::state::{Draft, ModelState, PictureRef, Reply, State, Turn};
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
        ui.label(RichText::new("Ask a question").strong());
        let right = egui::Layout::right_to_left(egui::Align::Center);
        ui.with_layout(right, |ui| {
            let any = !state.chat.turns.is_empty();
            let new = ui.add_enabled(any, Button::new("New conversation"));
            if new
                .on_disabled_hover_text("Nothing was asked yet")
                .clicked()
            {
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
                let hint = "Answers appear here. Without a picture, the model answers from its text alone.";
                ui.add(Label::new(RichText::new(hint).color(theme::QUIET)).wrap());
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
        .fill(theme::QUESTION)
        .corner_radius(6)
        .inner_margin(8);
    question.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal_wrapped(|ui| {
            for picture in &turn.pictures {
                let response = chip_button(ui, picture);
                if response.on_hover_text("Show this picture").clicked() {
                    action = Some(Action::ShowPicture(picture.clone()));
                }
            }
            if turn.pictures.is_empty() {
                ui.label(
                    RichText::new("without a picture")
                        .color(theme::QUIET)
                        .size(12.5),
                );
            }
            let edit = ui.small_button("Edit");
            let edit = edit.on_hover_text("Put this question back into the field");
            if edit.clicked() {
                action = Some(Action::EditQuestion(turn.question.clone()));
            }
            if turn.history > 0 {
                let words = match turn.history {
                    1 => "follows 1 earlier question".to_owned(),
                    count => format!("follows {count} earlier questions"),
                };
                ui.label(RichText::new(words).color(theme::QUIET).size(12.5));
            }
        });
        ui.add(Label::new(&turn.question).wrap());
    });
    let answer = Frame::new()
        .fill(theme::CARD)
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
                ui.label(RichText::new("Looking and reading…").color(theme::QUIET));
                bars::busy_ui(ui);
            });
        }
        Reply::Streaming(_) => {
            ui.label(RichText::new("…").color(theme::ACCENT));
        }
        Reply::Done(answer) => {
            if text.is_empty() {
                let words = RichText::new("The answer is empty").color(theme::QUIET);
                ui.label(words.italics());
            }
            let end = match answer.end {
                AnswerEnd::Complete => "",
                AnswerEnd::Limit => " · cut at the token limit",
                AnswerEnd::Stopped => " · stopped",
            };
            numbers = format!(
                "{:.1} tokens/s · first token after {:.2} s · {} tokens of prompt, {} of answer{end}",
                answer.tokens_per_sec,
                answer.first_token_secs,
                answer.prompt_tokens,
                answer.ids.len(),
            );
        }
        Reply::Stopped(_) => numbers.push_str("stopped"),
        Reply::Failed(_, why) => {
            let why = RichText::new(format!("No answer: {why}")).color(theme::ERROR);
            ui.add(Label::new(why).wrap());
        }
    }
    if matches!(reply, Reply::Waiting | Reply::Streaming(_)) {
        return None;
    }
    let mut action = None;
    ui.horizontal_wrapped(|ui| {
        if !text.is_empty() {
            let copy = ui.small_button("Copy").on_hover_text("Copy this answer");
            action = copy.clicked().then(|| Action::Copy(text.to_owned()));
        }
        if !numbers.is_empty() {
            ui.label(RichText::new(numbers).color(theme::QUIET).size(12.5));
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
        ui.checkbox(&mut draft.with_picture, "With picture")
            .on_hover_text("Without it, the model gets only the text");
        if !draft.with_picture {
            return;
        }
        for (i, evidence) in state.chat.tray.iter().enumerate() {
            let text = format!("{}  ×", evidence.picture.words());
            let name = format!("Remove {}", evidence.picture.words());
            let button = Button::new(RichText::new(text).size(12.5)).corner_radius(8);
            let response = ui.add(button).on_hover_text("Take it out");
            if response.accessible_name(name).clicked() {
                action = Some(Action::RemovePicture(i));
            }
        }
        let Some(current) = open.map(|open| open.evidence().picture) else {
            return;
        };
        if state.chat.tray.is_empty() {
            ui.label(
                RichText::new(current.words())
                    .color(theme::ACCENT)
                    .size(12.5),
            );
        }
        let known = state.chat.tray.iter().any(|e| e.picture == current);
        let add = ui.add_enabled(!known, Button::new("Add this slice").small());
        let add = add
            .on_hover_text(
                "Ask about several pictures at once; HealthGPT was trained on single ones",
            )
            .on_disabled_hover_text("This picture is already in");
        if add.clicked() {
            action = Some(Action::AddPicture);
        }
    });
    action
}

fn question_ui(ui: &mut Ui, state: &State, draft: &mut Draft) -> Option<Action> {
    let field = TextEdit::multiline(&mut draft.text)
        .hint_text("Ask about what you see…")
        .desired_rows(3)
        .desired_width(f32::INFINITY)
        .return_key(KeyboardShortcut::new(Modifiers::SHIFT, Key::Enter));
    let scroll = ScrollArea::vertical().id_salt("question").max_height(120.0);
    let field = scroll.show(ui, |ui| ui.add(field)).inner;
    let field = field.accessible_name("Question");
    let entered = field.has_focus()
        && ui.input(|input| input.key_pressed(Key::Enter) && !input.modifiers.shift);
    let ready = state.check_ask(&draft.text);
    let mut action = None;
    ui.horizontal(|ui| {
        let ask = Button::new(RichText::new("Ask").strong()).min_size(egui::vec2(76.0, 28.0));
        let mut ask = ui.add_enabled(ready.is_ok(), ask);
        if let Err(reason) = &ready {
            ask = ask.on_disabled_hover_text(reason);
        }
        if (ask.clicked() || entered) && ready.is_ok() {
            action = Some(Action::Ask);
        }
        if let Some(job) = state.chat.job {
            let stop = Button::new("Stop answer").min_size(egui::vec2(76.0, 28.0));
            if ui
                .add(stop)
                .on_hover_text("Keep the text so far (Esc)")
                .clicked()
            {
                action = Some(Action::Stop(job));
            }
        } else {
            let words = match &ready {
                Ok(()) => "Enter sends, Shift+Enter starts a new line",
                Err(reason) => reason,
            };
            let words = RichText::new(words).color(theme::QUIET).size(12.5);
            ui.add(Label::new(words).wrap());
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
        (theme::WARNING, " – start a new conversation soon")
    } else {
        (theme::QUIET, "")
    };
    ui.horizontal(|ui| {
        let bar = egui::ProgressBar::new(share.min(1.0))
            .desired_width(90.0)
            .desired_height(8.0)
            .fill(if share >= CONTEXT_WARNING {
                theme::WARNING
            } else {
                theme::ACCENT
            });
        ui.add(bar);
        let words = format!("{used} of {limit} tokens{advice}");
        ui.label(RichText::new(words).color(color).size(12.5))
            .on_hover_text(
                "Context: what prompt, picture and answer took of what the model can hold",
            );
    });
}

/// How tokens are chosen.
fn settings_ui(ui: &mut Ui, draft: &mut Draft) {
    ui.collapsing("Settings for answers and images", |ui| {
        let sampling = &mut draft.sampling;
        egui::Grid::new("answer settings")
            .num_columns(2)
            .show(ui, |ui| {
                let name = ui.label("Temperature");
                ui.add(Slider::new(&mut sampling.temperature, 0.0..=2.0).max_decimals(2))
                    .on_hover_text("0 always takes the likeliest token")
                    .labelled_by(name.id);
                ui.end_row();
                let name = ui.label("Seed");
                ui.add(DragValue::new(&mut sampling.seed))
                    .labelled_by(name.id);
                ui.end_row();
                let name = ui.label("Longest answer");
                ui.add(
                    DragValue::new(&mut draft.max_new_tokens)
                        .range(1..=4096)
                        .suffix(" tokens"),
                )
                .labelled_by(name.id);
                ui.end_row();
            });
    });
}
