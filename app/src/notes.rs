//! What readers note of a series, in the language of the window.

use engine::imaging::{Differs, Note};

use crate::strings::{fill, words};

/// A note as a sentence.
pub fn note_words(note: &Note) -> String {
    let words = words();
    let mm = |mm: &f64| format!("{mm:.2}");
    match note {
        Note::Split(differs) => fill(words.note_split, &[&differs_words(*differs)]),
        Note::Layer { most, each, number } if *each => fill(words.note_layer, &[most, number]),
        Note::Layer { most, number, .. } => fill(words.note_layer_up_to, &[most, number]),
        Note::NoSpacing => words.note_no_spacing.to_owned(),
        Note::NoPositions => words.note_no_positions.to_owned(),
        Note::Tilted { degrees } => fill(words.note_tilted, &[&format!("{degrees:.1}")]),
        Note::Shifted { mm: off } => fill(words.note_shifted, &[&mm(off)]),
        Note::Missing {
            places,
            apart_mm,
            most_mm,
        } => fill(words.note_missing, &[places, &mm(apart_mm), &mm(most_mm)]),
        Note::Uneven { low_mm, high_mm } => fill(words.note_uneven, &[&mm(low_mm), &mm(high_mm)]),
        Note::Lossy => words.lossy.to_owned(),
        Note::ExecutablePreamble => words.note_executable.to_owned(),
        Note::Unreadable { count, of } => fill(words.note_unreadable, &[count, of]),
        Note::CutShort { there, promised } => fill(words.note_cut_short, &[there, promised]),
        Note::OneOf { count, number } => fill(words.note_one_of, &[count, number]),
        Note::BadSform => words.note_bad_sform.to_owned(),
        Note::BadQform => words.note_bad_qform.to_owned(),
        Note::NoSides => words.note_no_sides.to_owned(),
        Note::SingleSlice => words.note_single_slice.to_owned(),
    }
}

fn differs_words(differs: Differs) -> &'static str {
    match differs {
        Differs::Size => words().differs_size,
        Differs::Photometric => words().differs_photometric,
        Differs::Orientation => words().differs_orientation,
        Differs::Spacing => words().differs_spacing,
        Differs::Stack => words().differs_stack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translated::german;

    fn every_note() -> Vec<Note> {
        let kinds = [
            Differs::Size,
            Differs::Photometric,
            Differs::Orientation,
            Differs::Spacing,
            Differs::Stack,
        ];
        let layer = |each| Note::Layer {
            most: 3,
            each,
            number: 2,
        };
        let mut notes: Vec<Note> = kinds.map(Note::Split).to_vec();
        notes.extend([
            layer(true),
            layer(false),
            Note::NoSpacing,
            Note::NoPositions,
            Note::Tilted { degrees: 9.96 },
            Note::Shifted { mm: 1.0 },
            Note::Missing {
                places: 4,
                apart_mm: 1.5,
                most_mm: 3.006,
            },
            Note::Uneven {
                low_mm: 1.0,
                high_mm: 2.345,
            },
            Note::Lossy,
            Note::ExecutablePreamble,
            Note::Unreadable { count: 2, of: 8 },
            Note::CutShort {
                there: 7,
                promised: 9,
            },
            Note::OneOf {
                count: 5,
                number: 1,
            },
            Note::BadSform,
            Note::BadQform,
            Note::NoSides,
            Note::SingleSlice,
        ]);
        notes
    }

    /// The window says what the command line prints; in German no note is left in English, and no number is lost.
    #[test]
    fn english_is_the_engines_and_german_has_the_same_numbers() {
        for note in every_note() {
            let _ = german(|| note_words(&note), &note.to_string());
        }
    }
}
