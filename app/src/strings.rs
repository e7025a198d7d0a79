//! Every word of the window, in every language it speaks. Views have no text of their own.
//!
//! The language is a property of the thread that draws: [`speak`] sets it once a frame from the settings, [`words`]
//! reads it. `{0}`, `{1}` stand for what [`fill`] puts in. Details of damaged files stay English.

use std::cell::Cell;
use std::fmt::Display;

use serde::{Deserialize, Serialize};

pub use crate::strings_table::{ALL, ENGLISH, GERMAN, Strings};

/// A language of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Deutsch.
    German,
}

impl Language {
    /// In menu order.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// Its name in itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    /// Its words.
    pub fn words(self) -> &'static Strings {
        match self {
            Self::English => &ENGLISH,
            Self::German => &GERMAN,
        }
    }
}

thread_local! {
    static SPOKEN: Cell<Language> = const { Cell::new(Language::English) };
}

/// The window of this thread speaks this language from now on.
pub fn speak(language: Language) {
    SPOKEN.set(language);
}

/// The words of the language spoken.
pub fn words() -> &'static Strings {
    SPOKEN.get().words()
}

/// A text with `{0}`, `{1}`… replaced.
pub fn fill(text: &str, values: &[&dyn Display]) -> String {
    let mut filled = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let digits = from.get(1..).unwrap_or_default();
        let end = digits.find('}').unwrap_or(digits.len());
        let number: Option<usize> = digits.get(..end).and_then(|digits| digits.parse().ok());
        if let Some(value) = number.and_then(|number| values.get(number)) {
            filled.push_str(&value.to_string());
        }
        rest = digits.get(end + 1..).unwrap_or_default();
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `{0}`, `{1}` of a text, in order of number.
    fn places(text: &str) -> Vec<String> {
        let parts = text.split('{').skip(1);
        let mut places: Vec<String> = parts
            .filter_map(|part| part.split_once('}'))
            .map(|(number, _)| number.to_owned())
            .collect();
        places.sort();
        places.dedup();
        places
    }

    #[test]
    fn both_languages_have_every_text_with_the_same_places() {
        for (name, english, german) in ALL {
            for text in [english, german] {
                assert!(!text.trim().is_empty(), "{name} is empty");
                assert_eq!(
                    text.matches('{').count(),
                    text.matches('}').count(),
                    "{name}"
                );
            }
            assert_eq!(places(english), places(german), "{name}");
            let ends = |text: &str| (text.starts_with([' ', ',']), text.ends_with('…'));
            assert_eq!(
                ends(english),
                ends(german),
                "{name} begins or ends in another way"
            );
            assert_eq!(english.lines().count(), german.lines().count(), "{name}");
        }
        assert!(ALL.len() > 250, "{}", ALL.len());
    }

    #[test]
    fn most_texts_differ_between_the_languages() {
        let same = ALL.iter().filter(|(_, english, german)| english == german);
        assert!(same.count() * 8 < ALL.len(), "German is not translated");
    }

    #[test]
    fn places_are_filled_in_the_order_of_the_language() {
        assert_eq!(fill("{1} before {0}", &[&"a", &7]), "7 before a");
        assert_eq!(fill("{0} {0}", &[&1]), "1 1");
        assert_eq!(fill("{9}x{", &[&1]), "x");
        assert_eq!(fill("a {b} in braces", &[&"{0}"]), "a  in braces");
        assert_eq!(fill("{0}", &[&"{0} stays"]), "{0} stays");
    }

    #[test]
    fn the_language_belongs_to_the_thread_that_draws() {
        speak(Language::German);
        assert_eq!(words().close, "Schließen");
        let other = std::thread::spawn(|| words().close).join();
        assert_eq!(other.unwrap(), "Close");
        speak(Language::English);
    }
}
