//! The keyboard: what keys do, which can be changed, and which of them were pressed.
//!
//! A key never does two things. Keys never fire while a text is being typed, but for the one that cancels.

use std::collections::BTreeMap;

use egui::{Context, Event, Key, Modifiers};
use engine::imaging::Plane;

use crate::action::Action;
use crate::state::{Dialog, Measure, Stage, State, Tool, ViewTurn};
use crate::strings::{Strings, words};

/// A key with its modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chord {
    /// The key.
    pub key: Key,
    /// Ctrl (or Cmd) is down.
    pub ctrl: bool,
    /// Shift is down. A key that needs Shift to be typed (`+`) goes without.
    pub shift: bool,
    /// Alt is down.
    pub alt: bool,
}

/// Something that a key does.
pub struct KeyCommand {
    /// Its name in the settings file.
    pub name: &'static str,
    /// Its name for people.
    pub words: fn(&Strings) -> &'static str,
    /// The keys it has unless the user says otherwise.
    pub default: &'static [&'static str],
    /// What it does.
    pub action: Action,
    /// It works wherever the window is, not only on the slice.
    pub anywhere: bool,
}

const fn on_slice(
    name: &'static str,
    default: &'static [&'static str],
    words: fn(&Strings) -> &'static str,
    action: Action,
) -> KeyCommand {
    KeyCommand {
        name,
        words,
        default,
        action,
        anywhere: false,
    }
}

const fn anywhere(
    name: &'static str,
    default: &'static [&'static str],
    words: fn(&Strings) -> &'static str,
    action: Action,
) -> KeyCommand {
    KeyCommand {
        name,
        words,
        default,
        action,
        anywhere: true,
    }
}

const fn hold(tool: Tool) -> Action {
    Action::Measure(Measure::Hold(tool))
}

const fn zoom(factor: f32) -> Action {
    Action::Zoom {
        factor,
        about: [0.0; 2],
    }
}

/// Everything keys can do, in the order of the settings.
#[rustfmt::skip] // a table is read by its lines
pub static COMMANDS: [KeyCommand; 56] = [
    on_slice("slice-back", &["Up"], |w| w.do_slice_back, Action::StepSlices(-1)),
    on_slice("slice-forward", &["Down"], |w| w.do_slice_forward, Action::StepSlices(1)),
    on_slice("first-slice", &["Home"], |w| w.do_first_slice, Action::SetSlice(0)),
    on_slice("last-slice", &["End"], |w| w.do_last_slice, Action::LastSlice),
    on_slice("previous-viewport", &["Left"], |w| w.do_previous_viewport, Action::StepViewport(-1)),
    on_slice("next-viewport", &["Right"], |w| w.do_next_viewport, Action::StepViewport(1)),
    on_slice("planes", &["M"], |w| w.do_planes, Action::ShowPlanes),
    on_slice("maximise", &["F"], |w| w.do_maximise, Action::ToggleMaximised),
    on_slice("crosshair", &["X"], |w| w.crosshair, Action::ToggleCrosshair),
    on_slice("corner-text", &["O"], |w| w.corner_text, Action::ToggleCorners),
    on_slice("previous-series", &["PageUp"], |w| w.do_previous_series, Action::StepSeries(-1)),
    on_slice("next-series", &["PageDown"], |w| w.do_next_series, Action::StepSeries(1)),
    on_slice("window-automatic", &["0"], |w| w.do_window_automatic, Action::Preset(0)),
    on_slice("window-file-1", &["1"], |w| w.do_window_file_1, Action::Preset(1)),
    on_slice("window-file-2", &["2"], |w| w.do_window_file_2, Action::Preset(2)),
    on_slice("window-brain", &["3"], |w| w.do_window_brain, Action::Preset(3)),
    on_slice("window-abdomen", &["4"], |w| w.do_window_abdomen, Action::Preset(4)),
    on_slice("window-mediastinum", &["5"], |w| w.do_window_mediastinum, Action::Preset(5)),
    on_slice("window-bone", &["6"], |w| w.do_window_bone, Action::Preset(6)),
    on_slice("window-lung", &["7"], |w| w.do_window_lung, Action::Preset(7)),
    on_slice("window-mip", &["8"], |w| w.do_window_mip, Action::Preset(8)),
    on_slice("axial", &[], |w| w.axial, Action::SetPlane(Plane::Axial)),
    on_slice("coronal", &[], |w| w.coronal, Action::SetPlane(Plane::Coronal)),
    on_slice("sagittal", &[], |w| w.sagittal, Action::SetPlane(Plane::Sagittal)),
    on_slice("invert", &["I"], |w| w.invert, Action::ToggleInvert),
    on_slice("flip-horizontally", &["H"], |w| w.flip_h, Action::Turn(ViewTurn::FlipHorizontally)),
    on_slice("flip-vertically", &["V"], |w| w.flip_v, Action::Turn(ViewTurn::FlipVertically)),
    on_slice("rotate-right", &["R"], |w| w.rotate_r, Action::Turn(ViewTurn::RotateRight)),
    on_slice("rotate-left", &["L"], |w| w.rotate_l, Action::Turn(ViewTurn::RotateLeft)),
    on_slice("cine", &["C"], |w| w.cine, Action::ToggleCine),
    on_slice("zoom-in", &["Plus"], |w| w.do_zoom_in, zoom(1.25)),
    on_slice("zoom-out", &["Minus"], |w| w.do_zoom_out, zoom(0.8)),
    on_slice("fit", &["Equals"], |w| w.fit, Action::FitView),
    on_slice("reset-view", &["Space"], |w| w.reset, Action::ResetView),
    on_slice("tool-window", &["W"], |w| w.tool_window, hold(Tool::Window)),
    on_slice("tool-pan", &["P"], |w| w.tool_pan, hold(Tool::Pan)),
    on_slice("tool-zoom", &["Z"], |w| w.tool_zoom, hold(Tool::Zoom)),
    on_slice("tool-length", &["D"], |w| w.tool_length, hold(Tool::Length)),
    on_slice("tool-angle", &["A"], |w| w.tool_angle, hold(Tool::Angle)),
    on_slice("tool-rectangle", &["B"], |w| w.tool_rectangle, hold(Tool::Rectangle)),
    on_slice("tool-ellipse", &["E"], |w| w.tool_ellipse, hold(Tool::Ellipse)),
    on_slice("delete", &["Backspace", "Delete"], |w| w.delete, Action::Measure(Measure::DeleteSelected)),
    on_slice("undo", &["Ctrl+Z"], |w| w.undo, Action::Measure(Measure::Undo)),
    on_slice("redo", &["Ctrl+Y", "Ctrl+Shift+Z"], |w| w.redo, Action::Measure(Measure::Redo)),
    anywhere("measurements", &["N"], |w| w.measurements, Action::Measure(Measure::ToggleList)),
    anywhere("tags", &["T"], |w| w.tags_title, Action::Toggle(Dialog::Tags)),
    anywhere("settings", &["Ctrl+Comma"], |w| w.settings, Action::Toggle(Dialog::Settings)),
    anywhere("training", &[], |w| w.training_title, Action::Toggle(Dialog::Training)),
    anywhere("help", &["F1"], |w| w.do_help, Action::Toggle(Dialog::Keys)),
    anywhere("question", &["Q"], |w| w.do_focus_question, Action::FocusQuestion),
    anywhere("open-folder", &["Ctrl+O"], |w| w.open_folder, Action::ChooseFolder),
    anywhere("open-file", &["Ctrl+Shift+O"], |w| w.open_file, Action::ChooseFiles),
    anywhere("load-model", &[], |w| w.load_model, Action::ChooseModel),
    anywhere("new-conversation", &[], |w| w.new_conversation, Action::NewConversation),
    anywhere("quit", &["Ctrl+Q"], |w| w.do_quit, Action::Quit),
    anywhere(CANCEL, &["Escape"], |w| w.do_cancel, Action::Cancel),
];

/// The name of the command that cancels.
const CANCEL: &str = "cancel";

/// Why a key cannot be given to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another command has it: its name.
    Taken(&'static str),
    /// The window itself needs it.
    Fixed,
}

/// Which keys do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keymap {
    /// In the order of [`COMMANDS`].
    chords: Vec<Vec<Chord>>,
}

impl Default for Keymap {
    fn default() -> Self {
        let chords = |command: &KeyCommand| {
            let parsed = command.default.iter().filter_map(|name| Chord::parse(name));
            parsed.collect()
        };
        Self {
            chords: COMMANDS.iter().map(chords).collect(),
        }
    }
}

/// A command by its name.
pub fn command(name: &str) -> Option<&'static KeyCommand> {
    COMMANDS.iter().find(|command| command.name == name)
}

impl Keymap {
    /// The defaults with these changes, and the names of those that mean nothing or take another command's key.
    pub fn with_changes(changes: &BTreeMap<String, Vec<String>>) -> (Self, Vec<String>) {
        let mut map = Self::default();
        let mut bad = Vec::new();
        let known = |name: &String| COMMANDS.iter().position(|command| command.name == name);
        // All changed commands let go of their keys first, so that two can exchange theirs.
        for at in changes.keys().filter_map(known) {
            if let Some(chords) = map.chords.get_mut(at) {
                chords.clear();
            }
        }
        for (name, keys) in changes {
            let Some(command) = command(name) else {
                bad.push(name.clone());
                continue;
            };
            for key in keys {
                let added = Chord::parse(key).map(|chord| map.add(command.name, chord));
                if !matches!(added, Some(Ok(()))) {
                    bad.push(format!("{name} = {key}"));
                }
            }
        }
        (map, bad)
    }

    /// What differs from the defaults, for the settings.
    pub fn changes(&self) -> BTreeMap<String, Vec<String>> {
        let default = Self::default();
        let all = COMMANDS.iter().zip(self.chords.iter().zip(&default.chords));
        all.filter(|(_, (now, before))| now != before)
            .map(|(command, (now, _))| {
                let names = now.iter().map(|chord| chord.name()).collect();
                (command.name.to_owned(), names)
            })
            .collect()
    }

    /// The keys of a command.
    pub fn of(&self, name: &str) -> &[Chord] {
        let at = COMMANDS.iter().position(|command| command.name == name);
        at.and_then(|at| self.chords.get(at))
            .map_or(&[], Vec::as_slice)
    }

    /// The keys of a command in words; empty without any.
    pub fn words(&self, name: &str) -> String {
        let words: Vec<String> = self.of(name).iter().map(|chord| chord.words()).collect();
        words.join(", ")
    }

    /// `Cine (C)`: a text with the keys of a command behind it.
    pub fn hint(&self, text: &str, name: &str) -> String {
        match self.words(name) {
            keys if keys.is_empty() => text.to_owned(),
            keys => format!("{text} ({keys})"),
        }
    }

    /// Gives a command this key instead of those it has.
    ///
    /// # Errors
    /// [`Refused`]; nothing is changed then.
    pub fn assign(&mut self, name: &str, chord: Chord) -> Result<(), Refused> {
        let mut changed = self.clone();
        let at = COMMANDS.iter().position(|command| command.name == name);
        if let Some(chords) = at.and_then(|at| changed.chords.get_mut(at)) {
            chords.clear();
        }
        changed.add(name, chord)?;
        *self = changed;
        Ok(())
    }

    fn add(&mut self, name: &str, chord: Chord) -> Result<(), Refused> {
        let stops = chord.key == Key::Escape && name != CANCEL;
        if stops || matches!(chord.key, Key::Tab | Key::Enter) {
            return Err(Refused::Fixed);
        }
        for (command, chords) in COMMANDS.iter().zip(&mut self.chords) {
            if command.name == name {
                if !chords.contains(&chord) {
                    chords.push(chord);
                }
            } else if chords.contains(&chord) {
                return Err(Refused::Taken(command.name));
            }
        }
        Ok(())
    }

    /// The command of a key press: the one with exactly these modifiers, else one for which Shift does not matter.
    fn command_of(&self, pressed: Chord) -> Option<&'static KeyCommand> {
        let find = |wanted: Chord| {
            let mut all = COMMANDS.iter().zip(&self.chords);
            all.find(|(_, chords)| chords.contains(&wanted))
                .map(|(command, _)| command)
        };
        let unshifted = Chord {
            shift: false,
            ..pressed
        };
        find(pressed).or_else(|| find(unshifted))
    }
}

impl Chord {
    /// A key press as it comes.
    pub fn pressed(key: Key, modifiers: Modifiers) -> Self {
        Self {
            key,
            ctrl: modifiers.ctrl || modifiers.command || modifiers.mac_cmd,
            shift: modifiers.shift,
            alt: modifiers.alt,
        }
    }

    /// `Ctrl+Shift+Z`.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts: Vec<&str> = name.split('+').collect();
        let key = Key::from_name(parts.pop()?.trim())?;
        let mut chord = Self::pressed(key, Modifiers::NONE);
        for part in parts {
            match part.trim() {
                "Ctrl" => chord.ctrl = true,
                "Shift" => chord.shift = true,
                "Alt" => chord.alt = true,
                _ => return None,
            }
        }
        Some(chord)
    }

    /// The name in the settings file.
    pub fn name(self) -> String {
        self.joined(["Ctrl+", "Shift+", "Alt+"], self.key.name())
    }

    /// The name for people.
    pub fn words(self) -> String {
        let words = words();
        let key = match self.key {
            Key::ArrowUp => words.key_up,
            Key::ArrowDown => words.key_down,
            Key::ArrowLeft => words.key_left,
            Key::ArrowRight => words.key_right,
            Key::PageUp => words.key_page_up,
            Key::PageDown => words.key_page_down,
            Key::Home => words.key_home,
            Key::End => words.key_end,
            Key::Space => words.key_space,
            Key::Backspace => words.key_backspace,
            Key::Delete => words.key_delete,
            Key::Insert => words.key_insert,
            Key::Escape => words.key_esc,
            Key::Plus => "+",
            Key::Minus => "-",
            Key::Equals => "=",
            Key::Comma => ",",
            other => other.name(),
        };
        let modifiers = [words.key_ctrl, words.key_shift, words.key_alt];
        let [ctrl, shift, alt] = modifiers.map(|name| format!("{name}+"));
        self.joined([&ctrl, &shift, &alt], key)
    }

    fn joined(self, modifiers: [&str; 3], key: &str) -> String {
        let down = [self.ctrl, self.shift, self.alt];
        let mut name = String::new();
        for (modifier, down) in modifiers.into_iter().zip(down) {
            name.push_str(if down { modifier } else { "" });
        }
        name + key
    }

    /// May it do something while a text is being typed?
    fn types_nothing(self) -> bool {
        self.ctrl || self.key == Key::Escape || self.key.name().len() > 1 && self.function_key()
    }

    fn function_key(self) -> bool {
        let name = self.key.name().strip_prefix('F');
        name.is_some_and(|number| number.parse::<u8>().is_ok())
    }

    /// A focused button or slider has its own use for it.
    fn moves_controls(self) -> bool {
        let used = [
            Key::Space,
            Key::ArrowUp,
            Key::ArrowDown,
            Key::ArrowLeft,
            Key::ArrowRight,
            Key::Home,
            Key::End,
            Key::PageUp,
            Key::PageDown,
            Key::Plus,
            Key::Minus,
        ];
        !self.ctrl && used.contains(&self.key)
    }
}

/// What the keys pressed in this frame ask for. One of `viewports` may have the focus: they leave the keys to the slice.
pub fn pressed(ctx: &Context, state: &State, viewports: &[egui::Id]) -> Vec<Action> {
    if let Some(name) = &state.listening {
        return heard(ctx, name).into_iter().collect();
    }
    let focused = ctx.memory(|memory| memory.focused());
    let typing = ctx.text_edit_focused();
    let free = focused.is_none_or(|id| viewports.contains(&id));
    // A menu that is open has the keys, the one that closes it too. (`Context::any_popup_open` knows only menus that were
    // drawn in this frame.)
    let popup = egui::Popup::is_any_open(ctx);
    let mut actions = Vec::new();
    let released = ctx.input(|input| {
        for event in &input.events {
            let Event::Key {
                key,
                pressed: true,
                repeat,
                modifiers,
                ..
            } = event
            else {
                continue;
            };
            let chord = Chord::pressed(*key, *modifiers);
            let Some(command) = state.keymap.command_of(chord) else {
                continue;
            };
            if popup {
                continue;
            }
            if command.name == CANCEL {
                if !typing || chord.types_nothing() {
                    actions.push(Action::Cancel);
                }
                continue;
            }
            let on_slice = state.stage == Stage::Slice && state.dialog.is_none_or(Dialog::aside);
            let here = on_slice || command.anywhere;
            let held = matches!(command.action, Action::Measure(Measure::Hold(_)));
            if typing || !here || (!free && chord.moves_controls()) || (held && *repeat) {
                continue;
            }
            actions.push(command.action.clone());
        }
        let down = |chord: &Chord| input.keys_down.contains(&chord.key);
        let holds = |tool: Tool| {
            COMMANDS
                .iter()
                .filter(move |command| command.action == hold(tool))
                .any(|command| state.keymap.of(command.name).iter().any(down))
        };
        state.measurements.held.is_some() && !holds(state.measurements.tool)
    });
    if released {
        actions.push(Action::Measure(Measure::Release));
    }
    actions
}

/// A key that only changes what others mean.
fn modifier(key: Key) -> bool {
    matches!(
        key,
        Key::ShiftLeft
            | Key::ShiftRight
            | Key::ControlLeft
            | Key::ControlRight
            | Key::AltLeft
            | Key::AltRight
            | Key::SuperLeft
            | Key::SuperRight
    )
}

/// The key that the settings wait for.
fn heard(ctx: &Context, name: &str) -> Option<Action> {
    ctx.input_mut(|input| {
        let mut heard = None;
        input.events.retain(|event| {
            if let Event::Key {
                key,
                pressed: true,
                modifiers,
                ..
            } = event
            {
                if !modifier(*key) {
                    heard = heard.or(Some(Chord::pressed(*key, *modifiers)));
                }
                return false;
            }
            !matches!(event, Event::Text(_))
        });
        match heard? {
            chord if chord.key == Key::Escape && name != CANCEL => Some(Action::Listen(None)),
            chord => Some(Action::BindKey(name.to_owned(), chord)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_key_is_a_key_and_no_two_commands_share_one() {
        let map = Keymap::default();
        for command in &COMMANDS {
            assert_eq!(
                map.of(command.name).len(),
                command.default.len(),
                "{}",
                command.name
            );
            for chord in map.of(command.name) {
                let owners = COMMANDS.iter().filter(|c| map.of(c.name).contains(chord));
                assert_eq!(owners.count(), 1, "{}", chord.name());
                assert_eq!(Chord::parse(&chord.name()), Some(*chord));
            }
        }
        assert_eq!(map.changes(), BTreeMap::new());
    }

    /// viewer.md section 3.
    #[test]
    fn the_defaults_are_the_keys_of_practice() {
        let map = Keymap::default();
        for (name, keys) in [
            ("slice-back", "Up"),
            ("slice-forward", "Down"),
            ("first-slice", "Home"),
            ("last-slice", "End"),
            ("previous-viewport", "Left"),
            ("next-viewport", "Right"),
            ("previous-series", "Page up"),
            ("next-series", "Page down"),
            ("window-automatic", "0"),
            ("window-file-1", "1"),
            ("window-file-2", "2"),
            ("window-brain", "3"),
            ("window-mip", "8"),
            ("undo", "Ctrl+Z"),
            ("delete", "Backspace, Delete"),
            ("invert", "I"),
            ("flip-horizontally", "H"),
            ("flip-vertically", "V"),
            ("rotate-right", "R"),
            ("rotate-left", "L"),
            ("cine", "C"),
            ("tool-zoom", "Z"),
            ("zoom-in", "+"),
            ("zoom-out", "-"),
            ("fit", "="),
            ("reset-view", "Space"),
            ("cancel", "Esc"),
        ] {
            assert_eq!(map.words(name), keys, "{name}");
        }
        assert!(map.words("redo").starts_with("Ctrl+Y"));
    }

    #[test]
    fn a_taken_key_is_refused_and_changes_nothing() {
        let mut map = Keymap::default();
        let before = map.clone();
        let chord = |name: &str| Chord::parse(name).unwrap();
        assert_eq!(
            map.assign("cine", chord("I")),
            Err(Refused::Taken("invert"))
        );
        assert_eq!(map.assign("cine", chord("Tab")), Err(Refused::Fixed));
        assert_eq!(map.assign("cine", chord("Escape")), Err(Refused::Fixed));
        assert_eq!(map, before);
        assert_eq!(map.assign("cine", chord("Ctrl+I")), Ok(()));
        assert_eq!(map.words("cine"), "Ctrl+I");
        assert_eq!(map.assign("invert", chord("C")), Ok(()), "C is free again");
    }

    #[test]
    fn changed_keys_are_kept_and_read_back_even_if_two_exchange_theirs() {
        let changes = [("cine", "I"), ("invert", "C")]
            .map(|(name, key)| (name.to_owned(), vec![key.to_owned()]));
        let changes = BTreeMap::from(changes);
        let (map, bad) = Keymap::with_changes(&changes);
        assert_eq!(
            (map.words("cine"), map.words("invert")),
            ("I".to_owned(), "C".to_owned())
        );
        assert!(bad.is_empty(), "{bad:?}");
        assert_eq!(map.changes(), changes);
    }

    #[test]
    fn keys_of_a_file_that_mean_nothing_or_are_taken_are_named() {
        let changes = [("cine", "H"), ("fly", "F"), ("invert", "Hyper+X")]
            .map(|(name, key)| (name.to_owned(), vec![key.to_owned()]));
        let (_, bad) = Keymap::with_changes(&BTreeMap::from(changes));
        assert_eq!(bad, ["cine = H", "fly", "invert = Hyper+X"]);
    }
}
