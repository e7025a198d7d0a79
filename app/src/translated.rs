//! How tests hold the window's sentences to the engine's.

use crate::strings::{Language, speak};

/// The English is exactly the engine's, the German is another sentence with the same numbers in the same order; it is the result.
pub fn german(sentence: impl Fn() -> String, engine: &str) -> String {
    speak(Language::English);
    assert_eq!(sentence(), engine);
    speak(Language::German);
    let german = sentence();
    speak(Language::English);
    assert_ne!(german, engine);
    assert_eq!(numbers(&german), numbers(engine), "{german}");
    german
}

fn numbers(text: &str) -> Vec<&str> {
    let parts = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    let numbers = parts.map(|part| part.trim_matches('.'));
    numbers.filter(|part| !part.is_empty()).collect()
}
