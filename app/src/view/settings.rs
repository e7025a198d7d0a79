//! The settings: language, colours, size, recent files, keys.

use egui::{Button, ComboBox, Grid, Label, RichText, Ui};
use engine::device::AdapterInfo;

use crate::action::Action;
use crate::keys::COMMANDS;
use crate::settings::{Change, RunsOn, Settings};
use crate::state::State;
use crate::strings::{Language, fill, words};
use crate::theme::{self, ThemeName};

/// All settings.
pub fn settings_ui(ui: &mut Ui, state: &State) -> Option<Action> {
    let settings = &state.settings;
    let mut change = look_ui(ui, settings, &state.adapters);
    ui.separator();
    change = files_ui(ui, settings).or(change);
    ui.separator();
    if ui.button(words().reset_all).clicked() {
        change = Some(Change::Reset);
    }
    let place = match &state.settings_place {
        Some(path) => fill(words().settings_kept_in, &[path]),
        None => words().settings_not_kept.to_owned(),
    };
    ui.add(Label::new(RichText::new(place).color(theme::now().quiet).size(12.5)).wrap());
    ui.separator();
    let keys = keys_ui(ui, state);
    change.map(Action::Change).or(keys)
}

fn look_ui(ui: &mut Ui, settings: &Settings, adapters: &[AdapterInfo]) -> Option<Change> {
    let mut change = None;
    Grid::new("look").num_columns(2).show(ui, |ui| {
        let language = settings.language;
        ui.label(words().language);
        let all = Language::ALL.map(|language| (language, language.name().to_owned()));
        change = choice_ui(ui, words().language, language, &all).map(Change::Language);
        ui.end_row();
        ui.label(words().theme);
        let all = ThemeName::ALL.map(|theme| (theme, theme_words(theme).to_owned()));
        let theme = choice_ui(ui, words().theme, settings.theme, &all);
        change = theme.map(Change::Theme).or(change.take());
        ui.end_row();
        ui.label(words().scale);
        let percent = |scale: u16| fill(words().scale_percent, &[&scale]);
        let all = Settings::SCALES.map(|scale| (scale, percent(scale)));
        let scale = choice_ui(ui, words().scale, settings.scale_percent, &all);
        change = scale.map(Change::Scale).or(change.take());
        ui.end_row();
        change = device_ui(ui, settings, adapters).or(change.take());
    });
    change
}

/// A row: where models run, among what is there, and what was chosen though it is not.
fn device_ui(ui: &mut Ui, settings: &Settings, adapters: &[AdapterInfo]) -> Option<Change> {
    let mut all = vec![
        (RunsOn::Auto, words().runs_on_auto.to_owned()),
        (RunsOn::Cpu, words().runs_on_cpu.to_owned()),
    ];
    let names = adapters.iter().map(|adapter| adapter.name.clone());
    all.extend(names.map(|name| (RunsOn::Adapter(name.clone()), name)));
    let now = settings.runs_on.clone();
    if let (RunsOn::Adapter(name), false) = (&now, all.iter().any(|(value, _)| *value == now)) {
        all.push((now.clone(), name.clone()));
    }
    ui.label(words().runs_on);
    let change = ui.vertical(|ui| {
        let change = choice_ui(ui, words().runs_on, now, &all).map(Change::RunsOn);
        let hint = RichText::new(words().runs_on_hint);
        ui.label(hint.color(theme::now().quiet).size(12.5));
        change
    });
    ui.end_row();
    change.inner
}

/// A menu of values; the one that was chosen.
fn choice_ui<T: Clone + PartialEq>(
    ui: &mut Ui,
    name: &str,
    now: T,
    all: &[(T, String)],
) -> Option<T> {
    let mut chosen = None;
    let shown = all.iter().find(|(value, _)| *value == now);
    let shown = shown.map_or("", |(_, words)| words);
    let menu = ComboBox::from_id_salt(name)
        .selected_text(shown)
        .width(200.0)
        .show_ui(ui, |ui| {
            for (value, words) in all {
                if ui.selectable_label(*value == now, words).clicked() {
                    chosen = Some(value.clone());
                }
            }
        });
    menu.response.accessible_name(format!("{name} {shown}"));
    chosen
}

fn theme_words(theme: ThemeName) -> &'static str {
    match theme {
        ThemeName::Dark => words().theme_dark,
        ThemeName::Light => words().theme_light,
        ThemeName::HighContrast => words().theme_contrast,
    }
}

fn files_ui(ui: &mut Ui, settings: &Settings) -> Option<Change> {
    let mut change = None;
    let mut remember = settings.remember_recent;
    let boxed = ui.checkbox(&mut remember, words().remember_recent);
    if boxed.on_hover_text(words().remember_recent_hint).changed() {
        change = Some(Change::RememberRecent(remember));
    }
    let mut reopen = settings.reopen_last;
    let boxed = egui::Checkbox::new(&mut reopen, words().reopen_last);
    if ui.add_enabled(remember, boxed).changed() {
        change = Some(Change::ReopenLast(reopen));
    }
    let mut recover = settings.recover;
    let boxed = ui.checkbox(&mut recover, words().recover_session);
    if boxed.on_hover_text(words().recover_session_hint).changed() {
        change = Some(Change::Recover(recover));
    }
    let clear = Button::new(words().clear_recent);
    if ui.add_enabled(!settings.recent.is_empty(), clear).clicked() {
        change = Some(Change::ClearRecent);
    }
    change
}

fn keys_ui(ui: &mut Ui, state: &State) -> Option<Action> {
    let mut action = None;
    ui.horizontal(|ui| {
        ui.label(RichText::new(words().key_map).strong());
        if ui.button(words().key_reset).clicked() {
            action = Some(Action::ResetKeys);
        }
    });
    if let Some(why) = &state.key_refused {
        ui.label(RichText::new(why).color(theme::now().error));
    }
    Grid::new("keys").num_columns(2).show(ui, |ui| {
        for command in &COMMANDS {
            let does = (command.words)(words());
            ui.label(does);
            if state.listening.as_deref() == Some(command.name) {
                let text = RichText::new(words().key_press_now);
                ui.label(text.color(theme::now().accent));
            } else {
                let keys = state.keymap.words(command.name);
                let keys = if keys.is_empty() {
                    words().key_none.to_owned()
                } else {
                    keys
                };
                let button = ui.add(Button::new(&keys).min_size(egui::vec2(120.0, 0.0)));
                let name = fill(words().key_change, &[&does, &keys]);
                if button.accessible_name(name).clicked() {
                    action = Some(Action::Listen(Some(command.name.to_owned())));
                }
            }
            ui.end_row();
        }
    });
    action
}
