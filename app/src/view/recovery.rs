//! What the last run left, above everything else: its session, and the report of a crash.

use egui::{Frame, Label, Margin, Panel, RichText, Ui};

use crate::action::Action;
use crate::state::Left;
use crate::strings::{fill, words};
use crate::theme;

/// Offers the session, and says where the report is.
pub fn recovery_ui(ui: &mut Ui, left: &Left) -> Option<Action> {
    let mut action = None;
    let frame = Frame::new()
        .fill(theme::now().accent_dim)
        .inner_margin(Margin::symmetric(10, 7));
    Panel::top("recovery").frame(frame).show(ui, |ui| {
        ui.take_available_width();
        if left.session.is_some() {
            ui.add(Label::new(RichText::new(words().session_left).strong()).wrap());
        }
        if let Some(path) = &left.report {
            ui.add(
                Label::new(RichText::new(fill(words().crash_report, &[path])).size(12.5)).wrap(),
            );
        }
        ui.add_space(3.0);
        ui.horizontal(|ui| {
            let choices: &[(&str, Action)] = match &left.session {
                Some(_) => &[
                    (words().restore, Action::RestoreSession),
                    (words().discard, Action::DiscardSession),
                ],
                None => &[(words().close, Action::DiscardSession)],
            };
            for (name, wanted) in choices {
                if ui.button(*name).clicked() {
                    action = Some(wanted.clone());
                }
            }
        });
    });
    action
}
