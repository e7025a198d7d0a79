//! A training run: its configuration, its curve, its scores and its last sample.

use egui::epaint::PathShape;
use egui::{Align2, FontId, Grid, Pos2, Rect, RichText, Sense, Stroke, TextEdit, Ui, Vec2};

use crate::action::Action;
use crate::pictures::Pictures;
use crate::state::{End, State, Training};
use crate::strings::{fill, words};
use crate::theme;

/// The panel.
pub fn training_ui(ui: &mut Ui, state: &mut State, pictures: &Pictures) -> Option<Action> {
    let mut action = None;
    let running = state.training.job;
    ui.horizontal(|ui| {
        let field = TextEdit::singleline(&mut state.training.config_draft)
            .hint_text(words().training_config_hint)
            .desired_width((ui.available_width() - 230.0).max(120.0));
        ui.add_enabled(running.is_none(), field)
            .accessible_name(words().training_config);
        let browse = ui.add_enabled(
            running.is_none(),
            egui::Button::new(words().training_choose),
        );
        if browse.clicked() {
            action = Some(Action::ChooseTraining);
        }
        match running {
            Some(job) => {
                if ui.button(words().training_pause).clicked() {
                    action = Some(Action::Stop(job));
                }
            }
            None => {
                let typed = !state.training.config_draft.trim().is_empty();
                let name = match state.training.end {
                    End::Paused(_) => words().training_resume,
                    _ => words().training_start,
                };
                let start = ui.add_enabled(typed, egui::Button::new(name));
                if start.clicked() {
                    action = Some(Action::Train);
                }
            }
        }
    });
    end_ui(ui, &state.training.end);
    ui.separator();
    let room = ui.available_width();
    let (_, area) = ui.allocate_space(Vec2::new(room, 190.0));
    curve_ui(ui, area, &state.training);
    scores_ui(ui, &state.training);
    if let Some(texture) = &pictures.sample() {
        ui.add_space(4.0);
        ui.label(words().training_sample);
        let size = texture.handle.size_vec2();
        let shown = size * (room / size.x).min(240.0 / size.y);
        let image = egui::Image::new(&texture.handle).fit_to_exact_size(shown);
        ui.add(image.alt_text(words().training_sample));
    }
    action
}

fn end_ui(ui: &mut Ui, end: &End) {
    let theme = theme::now();
    let (text, color) = match end {
        End::Open => return,
        End::Paused(out) => (fill(words().training_paused, &[&out.display()]), theme.text),
        End::Finished(out) => (
            fill(words().training_finished, &[&out.display()]),
            theme.text,
        ),
        End::Failed(why) => (why.clone(), theme.error),
    };
    ui.add(egui::Label::new(RichText::new(text).color(color)).wrap());
}

/// Loss over steps; a thin line for every step, a bold one for its running mean.
fn curve_ui(ui: &Ui, area: Rect, training: &Training) {
    let theme = theme::now();
    let painter = ui.painter();
    painter.rect_stroke(
        area,
        2.0,
        Stroke::new(1.0, theme.quiet),
        egui::StrokeKind::Inside,
    );
    let small = FontId::proportional(12.0);
    let told = ui.interact(area, ui.scope_id().with("curve"), Sense::hover());
    let loss = training.losses.last().map(|[_, loss]| *loss);
    told.widget_info(|| {
        let text = match loss {
            Some(loss) => fill(words().training_curve_at, &[&format!("{loss:.4}")]),
            None => words().training_no_steps.to_owned(),
        };
        egui::WidgetInfo::labeled(egui::Role::Label, true, text)
    });
    let (Some([first, _]), Some([last, _])) = (training.losses.first(), training.losses.last())
    else {
        let middle = area.center();
        painter.text(
            middle,
            Align2::CENTER_CENTER,
            words().training_no_steps,
            small,
            theme.quiet,
        );
        return;
    };
    let values = || training.losses.iter().map(|[_, loss]| *loss);
    let (low, high) = (
        values().fold(f64::MAX, f64::min),
        values().fold(f64::MIN, f64::max),
    );
    let (span, height) = ((last - first).max(1.0), (high - low).max(1e-9));
    let inner = area.shrink2(Vec2::new(10.0, 20.0));
    let place = |step: f64, loss: f64| {
        Pos2::new(
            inner.left() + ((step - first) / span) as f32 * inner.width(),
            inner.bottom() - ((loss - low) / height) as f32 * inner.height(),
        )
    };
    let each: Vec<Pos2> = training
        .losses
        .iter()
        .map(|[step, loss]| place(*step, *loss))
        .collect();
    painter.add(PathShape::line(each, Stroke::new(1.0, theme.quiet)));
    let mut mean = training.losses.first().map_or(0.0, |[_, loss]| *loss);
    let smooth = training.losses.iter().map(|[step, loss]| {
        mean = 0.9 * mean + 0.1 * loss;
        place(*step, mean)
    });
    painter.add(PathShape::line(
        smooth.collect(),
        Stroke::new(2.0, theme.accent),
    ));
    for (at, anchor, text) in [
        (
            area.left_top(),
            Align2::LEFT_TOP,
            format!("{} {high:.3}", words().training_loss),
        ),
        (area.left_bottom(), Align2::LEFT_BOTTOM, format!("{low:.3}")),
        (
            area.right_bottom(),
            Align2::RIGHT_BOTTOM,
            fill(words().training_steps, &[last]),
        ),
    ] {
        let inwards = (area.center() - at).normalized() * 4.0;
        painter.text(at + inwards, anchor, text, small.clone(), theme.text);
    }
}

fn scores_ui(ui: &mut Ui, training: &Training) {
    let Some(step) = &training.last else {
        return;
    };
    let minutes = step.elapsed_secs / 60.0;
    let left = minutes * (step.of - step.step.min(step.of)) as f64 / step.step.max(1) as f64;
    let text = fill(
        words().training_progress,
        &[
            &step.step,
            &step.of,
            &format!("{minutes:.0}"),
            &format!("{left:.0}"),
        ],
    );
    ui.label(text);
    Grid::new("training scores").num_columns(2).show(ui, |ui| {
        for (name, score) in &step.scores {
            ui.label(RichText::new(name).color(theme::now().quiet));
            ui.label(format!("{score:.3}"));
            ui.end_row();
        }
    });
}
