//! Studies and series, and the ways to open more.

use std::path::PathBuf;

use egui::{Button, Image, Label, RichText, ScrollArea, TextEdit, Ui};
use engine::imaging::{Format, SeriesInfo, SkippedFile};

use crate::action::Action;
use crate::notes::note_words;
use crate::pictures::Pictures;
use crate::settings::recent_words;
use crate::state::{State, Viewport};
use crate::strings::{fill, words};
use crate::theme;

/// Files left out are named up to this number.
const SKIPPED_SHOWN: usize = 200;

/// The left panel.
pub fn library_ui(ui: &mut Ui, state: &mut State, pictures: &Pictures) -> Option<Action> {
    let recent = &state.settings.recent;
    let mut action = open_ui(ui, &mut state.library.path_draft, recent);
    ui.separator();
    if state.library.series.is_empty() {
        ui.label(RichText::new(words().no_scans).color(theme::now().quiet));
    }
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        let mut study = None;
        for series in &state.library.series {
            if study != Some(&series.study) {
                study = Some(&series.study);
                if study_ui(ui, series) {
                    action = Some(Action::CloseStudy(series.study.clone()));
                }
            }
            // A later volume of a file has the file's id and its number.
            let id = state.viewer.series_id().and_then(|id| id.split('-').next());
            let shown = id == Some(series.id.as_str());
            if series_ui(ui, series, shown, pictures) {
                action = Some(Action::ShowSeries(series.id.clone()));
            }
            let on_screen = |viewport: &Viewport| viewport.series_id() == Some(&series.id);
            let open = state.viewer.open().is_some();
            if open && !state.viewer.viewports.iter().any(on_screen) && beside_ui(ui, series) {
                action = Some(Action::ShowBeside(series.id.clone()));
            }
        }
        skipped_ui(ui, &state.library.skipped);
    });
    action
}

fn open_ui(ui: &mut Ui, path_draft: &mut String, recent: &[Vec<PathBuf>]) -> Option<Action> {
    let mut action = None;
    ui.columns_const(|[left, right]| {
        let full = |ui: &Ui| egui::vec2(ui.available_width(), 28.0);
        let size = full(left);
        if left
            .add_sized(size, Button::new(words().open_folder))
            .clicked()
        {
            action = Some(Action::ChooseFolder);
        }
        if right
            .add_sized(size, Button::new(words().open_file))
            .clicked()
        {
            action = Some(Action::ChooseFiles);
        }
    });
    let field = TextEdit::singleline(path_draft)
        .hint_text(words().path_hint)
        .desired_width(f32::INFINITY);
    let field = ui.add(field).accessible_name(words().path);
    if field.lost_focus()
        && ui.input(|input| input.key_pressed(egui::Key::Enter))
        && !path_draft.trim().is_empty()
    {
        let path = std::mem::take(path_draft);
        action = Some(Action::OpenPaths(vec![path.trim().into()]));
    }
    if !recent.is_empty() {
        ui.menu_button(words().recent, |ui| {
            for paths in recent {
                let first = paths.first().map(|path| path.display().to_string());
                let entry = ui.button(recent_words(paths));
                if entry.on_hover_text(first.unwrap_or_default()).clicked() {
                    action = Some(Action::OpenPaths(paths.clone()));
                }
            }
        });
    }
    action
}

/// Who and what the study is; true when it is to be closed.
fn study_ui(ui: &mut Ui, series: &SeriesInfo) -> bool {
    ui.add_space(6.0);
    let patient = &series.patient;
    let name = if patient.name.is_empty() && patient.id.is_empty() {
        match series.format {
            Format::Dicom => series.study_description.clone(),
            // Files that name no study stand together under their kind.
            Format::Nifti => words().nifti_study.to_owned(),
            Format::Picture => words().picture_study.to_owned(),
        }
    } else {
        patient.name.clone()
    };
    let title = if name.is_empty() {
        words().unnamed_study.to_owned()
    } else {
        name
    };
    let close = ui.horizontal_top(|ui| {
        let name = fill(words().close_study, &[&title]);
        let cross = ui.small_button("×").on_hover_text(&name);
        ui.add(Label::new(RichText::new(title).strong()).wrap());
        cross.accessible_name(name).clicked()
    });
    let details: Vec<&str> = [
        patient.id.as_str(),
        patient.study_date.as_str(),
        if patient.name.is_empty() && patient.id.is_empty() {
            ""
        } else {
            series.study_description.as_str()
        },
    ]
    .into_iter()
    .filter(|detail| !detail.is_empty())
    .collect();
    if !details.is_empty() {
        ui.label(
            RichText::new(details.join(" · "))
                .color(theme::now().quiet)
                .size(12.5),
        );
    }
    close.inner
}

/// The way to compare a series with the open one; true when it was pressed.
fn beside_ui(ui: &mut Ui, series: &SeriesInfo) -> bool {
    let button = Button::new(RichText::new(words().compare).size(12.5)).small();
    let button = ui.add(button).on_hover_text(words().compare_hint);
    let name = fill(words().compare_with, &[&series.description]);
    button.accessible_name(name).clicked()
}

/// One row; true when it was pressed.
fn series_ui(ui: &mut Ui, series: &SeriesInfo, shown: bool, pictures: &Pictures) -> bool {
    let title = if series.description.is_empty() {
        words().no_description.to_owned()
    } else {
        series.description.clone()
    };
    let kind = match series.format {
        Format::Picture => words().picture_kind.to_owned(),
        Format::Dicom | Format::Nifti => {
            let modality = series.modality.code().replace('?', words().volume_kind);
            let number = series
                .number
                .map(|number| fill(words().series_number, &[&number]));
            let parts = [Some(modality), series.body_part.clone(), number];
            parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
        }
    };
    let [columns, rows, slices] = series.size;
    let size = if slices > 1 {
        format!("{columns} × {rows} × {slices}")
    } else {
        format!("{columns} × {rows}")
    };
    let name = format!("{title}, {kind}, {size}");
    let mut text = egui::text::LayoutJob::default();
    let body = egui::TextFormat::simple(egui::FontId::proportional(14.0), theme::now().text);
    let small = egui::TextFormat::simple(egui::FontId::proportional(12.5), theme::now().quiet);
    text.append(&title, 0.0, body);
    text.append(&format!("\n{kind}\n{size}"), 0.0, small);
    let thumbnail = pictures.thumbnail(&series.id).map(|texture| {
        let fitted = egui::load::SizedTexture::new(
            texture.handle.id(),
            egui::vec2(texture.size[0] as f32, texture.size[1] as f32),
        );
        Image::from_texture(fitted)
            .max_size(egui::vec2(52.0, 52.0))
            .fit_to_exact_size(egui::vec2(52.0, 52.0))
            .alt_text("")
    });
    let button = Button::opt_image_and_text(thumbnail, Some(text.into()))
        .selected(shown)
        .wrap()
        .min_size(egui::vec2(ui.available_width(), 60.0));
    let mut response = ui.add(button).accessible_name(name);
    if !series.notes.is_empty() {
        let notes: Vec<String> = series.notes.iter().map(note_words).collect();
        response = response.on_hover_text(notes.join("\n"));
        ui.add(
            Label::new(
                RichText::new(fill(words().note, &[&notes.join("; ")]))
                    .color(theme::now().warning)
                    .size(12.5),
            )
            .wrap(),
        );
    }
    response.clicked()
}

fn skipped_ui(ui: &mut Ui, skipped: &[SkippedFile]) {
    if skipped.is_empty() {
        return;
    }
    ui.add_space(8.0);
    let title = match skipped.len() {
        1 => words().one_file_hidden.to_owned(),
        count => fill(words().files_hidden, &[&count]),
    };
    ui.collapsing(title, |ui| {
        for file in skipped.iter().take(SKIPPED_SHOWN) {
            let _ = ui.add(
                Label::new(
                    RichText::new(&file.why)
                        .color(theme::now().quiet)
                        .size(12.5),
                )
                .wrap(),
            );
        }
        if let Some(more) = skipped.len().checked_sub(SKIPPED_SHOWN + 1) {
            ui.label(fill(words().and_more, &[&(more + 1)]));
        }
    });
}
