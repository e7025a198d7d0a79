//! Is an answer the true one? Case, punctuation and articles do not count.
//!
//! - closed: the true answer, alone or as the first words of a sentence (`Yes, there is one.`);
//! - multiple choice: the letter of the true choice or its words, and of no other;
//! - open: exact, and the share of the true answer's words that are said (recall), with F1.

use crate::dataset::AnswerType;

/// How good one answer is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// It is right by the rule of its type.
    pub correct: bool,
    /// Share of the true answer's words that were said.
    pub recall: f64,
    /// Harmonic mean of recall and precision of the words.
    pub f1: f64,
}

/// Judges what was said against the true answer.
pub fn judge(said: &str, truth: &str, answer_type: AnswerType, choices: &[String]) -> Verdict {
    let (spoken, wanted) = (words(said), words(truth));
    let correct = match answer_type {
        AnswerType::Closed => !wanted.is_empty() && spoken.starts_with(&wanted),
        AnswerType::Open => spoken == wanted,
        AnswerType::Choice => chosen(said, choices).is_some_and(|choice| words(choice) == wanted),
    };
    let mut left = spoken.clone();
    let mut shared = 0.0;
    for word in &wanted {
        if let Some(at) = left.iter().position(|other| other == word) {
            let _ = left.swap_remove(at);
            shared += 1.0;
        }
    }
    let share = |of: usize| if of == 0 { 0.0 } else { shared / of as f64 };
    let (recall, precision) = (share(wanted.len()), share(spoken.len()));
    let f1 = if shared > 0.0 {
        2.0 * recall * precision / (recall + precision)
    } else {
        0.0
    };
    Verdict {
        correct,
        recall,
        f1,
    }
}

/// Lower-case words without punctuation and articles. Points within numbers stay.
fn words(text: &str) -> Vec<String> {
    let kept: String = text
        .char_indices()
        .map(|(at, c)| {
            let next = text
                .get(at + c.len_utf8()..)
                .and_then(|rest| rest.chars().next());
            let decimal = c == '.' && next.is_some_and(|next| next.is_ascii_digit());
            if c.is_alphanumeric() || decimal {
                c
            } else {
                ' '
            }
        })
        .collect();
    kept.to_lowercase()
        .split_whitespace()
        .filter(|word| !["a", "an", "the"].contains(word))
        .map(str::to_owned)
        .collect()
}

/// The one choice that was named: by its words, by its letter, or as the only one that occurs in a sentence.
fn chosen<'a>(said: &str, choices: &'a [String]) -> Option<&'a String> {
    let spoken = words(said);
    if let Some(choice) = choices.iter().find(|choice| words(choice) == spoken) {
        return Some(choice);
    }
    if let Some(choice) = letter(said).and_then(|index| choices.get(index)) {
        return Some(choice);
    }
    let mut named = choices.iter().filter(|choice| {
        let choice = words(choice);
        !choice.is_empty() && spoken.windows(choice.len()).any(|part| part == choice)
    });
    match (named.next(), named.next()) {
        (Some(choice), None) => Some(choice),
        _ => None,
    }
}

/// `B`, `B.`, `(B)`, `B: text`: the number of the letter.
fn letter(said: &str) -> Option<usize> {
    let said = said.trim().trim_start_matches('(');
    let mut letters = said.chars();
    let first = letters.next().filter(char::is_ascii_uppercase)?;
    let alone = letters
        .next()
        .is_none_or(|next| [')', '.', ':', ','].contains(&next));
    alone.then_some((first as u8 - b'A') as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(said: &str, truth: &str, kind: AnswerType) -> bool {
        judge(said, truth, kind, &[]).correct
    }

    #[test]
    fn a_closed_answer_may_begin_a_sentence_but_must_come_first() {
        assert!(right("Yes.", "yes", AnswerType::Closed));
        assert!(right("Yes, there is a lesion.", "yes", AnswerType::Closed));
        assert!(right("The CT", "CT", AnswerType::Closed));
        assert!(!right("No, not yes", "yes", AnswerType::Closed));
        assert!(!right("yesterday", "yes", AnswerType::Closed));
        assert!(!right("", "yes", AnswerType::Closed));
    }

    #[test]
    fn a_choice_is_named_by_letter_or_words_and_only_once() {
        let choices = ["axial", "coronal", "less than 5 cm"].map(str::to_owned);
        let right = |said: &str| judge(said, "coronal", AnswerType::Choice, &choices).correct;
        for said in [
            "coronal",
            "Coronal.",
            "B",
            "(B)",
            "B. coronal",
            "It is a coronal slice",
        ] {
            assert!(right(said), "{said}");
        }
        for said in ["axial", "A", "axial or coronal", "B-mode", "", "Z"] {
            assert!(!right(said), "{said}");
        }
    }

    #[test]
    fn an_open_answer_counts_the_words_it_shares() {
        let verdict = judge(
            "in the upper left of it",
            "upper left",
            AnswerType::Open,
            &[],
        );
        assert!(!verdict.correct);
        assert_eq!(verdict.recall, 1.0);
        assert!((verdict.f1 - 2.0 * 0.4 / 1.4).abs() < 1e-12); // 2 of 5 words: in, upper, left, of, it
        let verdict = judge("lower left", "upper left", AnswerType::Open, &[]);
        assert_eq!((verdict.recall, verdict.f1), (0.5, 0.5));
        assert!(judge("The upper left!", "upper left", AnswerType::Open, &[]).correct);
        assert_eq!(judge("1.5 cm", "5 cm", AnswerType::Open, &[]).recall, 0.5);
    }
}
