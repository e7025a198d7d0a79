//! Text in the character sets of PS3.3 C.12.1.1.2, with the code extensions of PS3.5 6.1.2.5 (ISO 2022).

use dicom_encoding::text::{SpecificCharacterSet, TextCodec};

/// The codec behind an escape sequence, by its bytes after ESC (PS3.3 tables C.12-3 and C.12-4).
const ESCAPES: [(&[u8], &str); 18] = [
    (b"(B", "ISO_IR 6"),
    (b"(J", "ISO_IR 13"),
    (b")I", "ISO_IR 13"),
    (b"$B", "ISO_IR 87"),
    (b"$@", "ISO_IR 87"),
    (b"$)C", "ISO_IR 149"),
    (b"$)A", "GBK"),
    (b"-A", "ISO_IR 100"),
    (b"-B", "ISO_IR 101"),
    (b"-C", "ISO_IR 109"),
    (b"-D", "ISO_IR 110"),
    (b"-F", "ISO_IR 126"),
    (b"-G", "ISO_IR 127"),
    (b"-H", "ISO_IR 138"),
    (b"-L", "ISO_IR 144"),
    (b"-T", "ISO_IR 166"),
    (b"$(D", "ISO_IR 159"),
    (b"-M", "ISO_IR 148"),
];

/// Decodes a value written in the character sets of Specific Character Set (0008,0005): the first is in force at the
/// start and again after each delimiter. What no codec knows becomes U+FFFD.
pub fn decode(bytes: &[u8], character_sets: &str) -> String {
    let initial = character_sets.split('\\').next().unwrap_or("").trim();
    let mut text = String::new();
    for (number, part) in bytes.split(|byte| *byte == 0x1B).enumerate() {
        let escape = ESCAPES.iter().find(|(escape, _)| part.starts_with(escape));
        match escape {
            _ if number == 0 => text.push_str(&decode_with(part, initial)),
            Some((_, "ISO_IR 87")) => {
                // This codec wants the escape itself: all its bytes are 7 bit.
                let with_escape: Vec<u8> = [0x1B].iter().chain(part).copied().collect();
                text.push_str(&decode_with(&with_escape, "ISO_IR 87"));
            }
            Some((escape, set)) => {
                let part = part.get(escape.len()..).unwrap_or_default();
                let end = part.iter().position(|byte| b"^=\\\r\n".contains(byte));
                let (inside, after) = part.split_at(end.unwrap_or(part.len()));
                text.push_str(&decode_with(inside, set));
                text.push_str(&decode_with(after, initial));
            }
            None => text.push('\u{FFFD}'),
        }
    }
    // Control characters could drive a terminal.
    text.retain(|c| !c.is_control() || c == '\n');
    text.trim().to_owned()
}

fn decode_with(bytes: &[u8], set: &str) -> String {
    if bytes.is_ascii() && !bytes.contains(&0x1B) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let set = match set {
        // Undeclared, but not ASCII: UTF-8 where it is valid, and Latin 1 otherwise, which never fails.
        "" | "ISO_IR 6" | "ISO 2022 IR 6" => match std::str::from_utf8(bytes) {
            Ok(text) => return text.to_owned(),
            Err(_) => "ISO_IR 100",
        },
        set => set,
    };
    SpecificCharacterSet::from_code(set)
        .and_then(|codec| codec.decode(bytes).ok())
        .unwrap_or_else(|| "\u{FFFD}".to_owned())
}

/// A person's name (PS3.5 6.2.1) as lists show it: `Family, Given Middle`. The alphabetic form, or the first there is.
pub fn person_name(text: &str) -> String {
    let group = text
        .split('=')
        .map(str::trim)
        .find(|group| !group.trim_matches('^').is_empty())
        .unwrap_or("");
    let mut parts = group.split('^').map(str::trim);
    let family = parts.next().unwrap_or("");
    let (given, middle) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let (prefix, suffix) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let first_names: Vec<&str> = [prefix, given, middle, suffix]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    match (family, first_names.join(" ").as_str()) {
        (family, "") => family.to_owned(),
        ("", first) => first.to_owned(),
        (family, first) => format!("{family}, {first}"),
    }
}

/// `20241103` as `2024-11-03`; anything else as it is.
pub fn date(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    match (
        digits.len(),
        digits.get(..4),
        digits.get(4..6),
        digits.get(6..8),
    ) {
        (8, Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_in_their_character_set() {
        assert_eq!(
            decode(b"Buc^J\xe9r\xf4me ", "ISO_IR 100"),
            "Buc^J\u{e9}r\u{f4}me"
        );
        // The Korean example of PS3.5 annex I.
        let korean = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf";
        assert_eq!(
            decode(korean, "\\ISO 2022 IR 149"),
            "Hong^Gildong=\u{6d2a}^\u{5409}\u{6d1e}=\u{d64d}^\u{ae38}\u{b3d9}"
        );
        // The first Japanese example of PS3.5 annex H.
        let japanese = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B";
        assert_eq!(
            decode(japanese, "\\ISO 2022 IR 87"),
            "Yamada^Tarou=\u{5c71}\u{7530}^\u{592a}\u{90ce}"
        );
        assert_eq!(decode(b"\xff\xfe", ""), "\u{ff}\u{fe}");
    }

    #[test]
    fn a_person_reads_family_first() {
        assert_eq!(
            person_name("Adams^John Robert Quincy^^Rev.^B.A."),
            "Adams, Rev. John Robert Quincy B.A."
        );
        assert_eq!(person_name("=\u{5c71}^\u{592a}"), "\u{5c71}, \u{592a}");
        assert_eq!(person_name("Smith"), "Smith");
        assert_eq!(
            (date("20241103"), date("unknown")),
            ("2024-11-03".to_owned(), "unknown".to_owned())
        );
    }
}
