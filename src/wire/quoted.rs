//! A peer's bytes, made safe to show.
//!
//! A path, an `Origin` or a close reason is written by whoever is on the other side. Put into a
//! log as it came, a line feed forges a second log line and an escape sequence repaints the
//! terminal of the person reading it. So nothing of a peer is shown but through [`Quoted`].
//!
//! ```text
//! 2F 61 0A 62 22 1B     the bytes          / a LF b " ESC
//! "/a\nb\"\x1B"         what is shown
//!
//! E7 8E 8B E2 80 AE FF  the bytes          王, RIGHT-TO-LEFT OVERRIDE, and no UTF-8
//! "王\xE2\x80\xAE\xFF"  what is shown
//! ```
//!
//! This module does not know where the text goes, nor what it means: a secret stays readable, so
//! whoever logs a target must leave its query out.

use std::fmt::{self, Display, Formatter, Write};

/// Shows bytes in double quotes, escaped and cut.
///
/// What a reader sees stays as it is: printable ASCII, and the letters, digits, punctuation and
/// symbols of all scripts, except that `"` and `\` get a backslash. Line feed, carriage return and
/// tab become `\n`, `\r`, `\t`. Of all else, every byte becomes `\x` and two hexadecimal digits:
/// controls, what has no glyph or no width of its own, what turns the direction of writing,
/// separators, what Unicode has not assigned, and what is not UTF-8. After [`LOG_VALUE_MAX`] bytes
/// of the source, or before a character that does not fit into them, `...` follows the closing
/// quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a>(pub &'a [u8]);

impl Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_char('"')?;
        let shown = show(self.0, formatter)?;
        formatter.write_char('"')?;
        if shown < self.0.len() {
            formatter.write_str("...")?;
        }
        Ok(())
    }
}

/// Shows as much as may be shown, and says how many bytes that are.
fn show(bytes: &[u8], formatter: &mut Formatter<'_>) -> Result<usize, fmt::Error> {
    let mut shown = 0;
    for chunk in bytes.utf8_chunks() {
        let mut base = Base::None;
        for c in chunk.valid().chars() {
            if shown + c.len_utf8() > LOG_VALUE_MAX {
                return Ok(shown);
            }
            shown += c.len_utf8();
            let visible = c.is_ascii() || is_visible(c, base);
            match c {
                '"' | '\\' => write!(formatter, "\\{c}")?,
                '\n' => formatter.write_str("\\n")?,
                '\r' => formatter.write_str("\\r")?,
                '\t' => formatter.write_str("\\t")?,
                ' '..='~' => formatter.write_char(c)?,
                _ if visible && !c.is_ascii() => formatter.write_char(c)?,
                _ => escape(c.encode_utf8(&mut [0; 4]).as_bytes(), formatter)?,
            }
            let bears = visible && (!c.is_ascii() || c.is_ascii_alphanumeric());
            base = if bears { Base::Letter } else { Base::None };
        }
        let room = LOG_VALUE_MAX - shown;
        let invalid = &chunk.invalid()[..chunk.invalid().len().min(room)];
        escape(invalid, formatter)?;
        shown += invalid.len();
        if shown == LOG_VALUE_MAX {
            return Ok(shown);
        }
    }
    Ok(shown)
}

fn escape(bytes: &[u8], formatter: &mut Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(formatter, "\\x{byte:02X}"))
}

/// What an accent or a vowel sign would sit on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    /// A character of the peer's, shown as it is.
    Letter,
    /// Our own quote or an escape: it must not.
    None,
}

/// Whether a reader sees this character, which is not ASCII, and sees it where it stands.
fn is_visible(c: char, base: Base) -> bool {
    // `escape_debug` knows the categories of Unicode. It leaves alone what is printable, and of
    // marks those that are not the first of their text.
    let mut text = [b'a'; 5];
    let len = c.encode_utf8(&mut text[1..]).len();
    let text = std::str::from_utf8(&text[..=len]).unwrap_or_default();
    let shown = match base {
        Base::Letter => text.escape_debug().nth(1),
        Base::None => c.escape_debug().next(),
    };
    shown == Some(c) && !is_blank(c)
}

/// Letters and marks by category that are shown as nothing at all (`Default_Ignorable_Code_Point`),
/// and the empty pattern of braille.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{034F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{2800}' | '\u{3164}' | '\u{FFA0}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// How many bytes of a peer's text are shown.
pub const LOG_VALUE_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_module_documentation() {
        assert_eq!(Quoted(b"/a\nb\"\x1B").to_string(), r#""/a\nb\"\x1B""#);
        let bytes = b"\xE7\x8E\x8B\xE2\x80\xAE\xFF";
        assert_eq!(Quoted(bytes).to_string(), r#""王\xE2\x80\xAE\xFF""#);
    }

    #[test]
    fn every_byte_alone_becomes_printable_ascii() {
        for byte in 0..=u8::MAX {
            let shown = Quoted(&[byte]).to_string();
            assert!(shown.bytes().all(|shown| (b' '..=b'~').contains(&shown)), "{byte:#04X}");
            assert!(shown.len() >= 3 && shown.starts_with('"') && shown.ends_with('"'));
        }
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        let exact = Quoted(&[b'a'; LOG_VALUE_MAX]).to_string();
        assert_eq!(exact, format!("\"{}\"", "a".repeat(LOG_VALUE_MAX)));
        let cut = Quoted(&[b'a'; LOG_VALUE_MAX + 1]).to_string();
        assert_eq!(cut, format!("{exact}..."));
    }

    #[test]
    fn what_a_reader_sees_is_shown() {
        for text in
            ["王小明", "Алиса", "Grüße", "علي", "हिन्दी", "ภาษาไทย", "한국어", "¡olé!", "🌍", "€"]
        {
            assert_eq!(Quoted(text.as_bytes()).to_string(), format!("\"{text}\""));
        }
    }

    #[test]
    fn what_a_reader_does_not_see_is_escaped() {
        let bidi = ['\u{061C}', '\u{200E}', '\u{200F}'].into_iter();
        let bidi = bidi.chain('\u{202A}'..='\u{202E}').chain('\u{2066}'..='\u{2069}');
        let controls = ('\0'..='\u{1F}').chain('\u{7F}'..='\u{9F}');
        // No-break and ideographic space, line and paragraph separator.
        let separators = ['\u{A0}', '\u{3000}', '\u{2028}', '\u{2029}'];
        // Soft hyphen, zero width space, joiners, word joiner, byte order mark, a tag.
        let format = ['\u{AD}', '\u{200B}', '\u{200C}', '\u{200D}', '\u{2060}', '\u{FEFF}'];
        let blank = ['\u{3164}', '\u{FFA0}', '\u{115F}', '\u{034F}', '\u{FE0F}', '\u{E0041}'];
        // Private use, not assigned, no character.
        let unknown = ['\u{E000}', '\u{0378}', '\u{FFFF}'];
        let all = bidi.chain(controls).chain(separators).chain(format).chain(blank).chain(unknown);
        for c in all {
            for text in [format!("{c}"), format!("a{c}"), format!("王{c}")] {
                let shown = Quoted(text.as_bytes()).to_string();
                assert!(!shown.contains(c) && shown.contains('\\'), "{:04X}: {shown}", c as u32);
            }
        }
    }

    #[test]
    fn an_accent_sits_on_a_letter_and_never_on_the_quote() {
        assert_eq!(Quoted("\u{301}".as_bytes()).to_string(), r#""\xCC\x81""#);
        assert_eq!(Quoted("\u{200D}\u{301}".as_bytes()).to_string().find('\u{301}'), None);
        assert_eq!(Quoted("é\u{301}".as_bytes()).to_string(), "\"é\u{301}\"");
        assert_eq!(Quoted("e\u{301}".as_bytes()).to_string(), "\"e\u{301}\"");
        assert_eq!(Quoted("\"\u{301}".as_bytes()).to_string(), r#""\"\xCC\x81""#);
    }

    #[test]
    fn what_is_not_utf_8_is_escaped_and_the_rest_of_it_shown() {
        let bytes =
            [b"\xFF", "é".as_bytes(), b"\xE2\x80", "王".as_bytes(), b"\xED\xA0\x80"].concat();
        let wanted = r#""\xFFé\xE2\x80王\xED\xA0\x80""#;
        assert_eq!(Quoted(&bytes).to_string(), wanted);
    }

    #[test]
    fn a_cut_is_made_between_characters() {
        for text in ["é", "王", "🌍"] {
            for space in 0..=4 {
                let begin = "a".repeat(LOG_VALUE_MAX - space);
                let shown = Quoted(format!("{begin}{text}").as_bytes()).to_string();
                let fits = text.len() <= space;
                let wanted =
                    if fits { format!("\"{begin}{text}\"") } else { format!("\"{begin}\"...") };
                assert_eq!(shown, wanted);
            }
        }
        let invalid = Quoted(&[0xFF; LOG_VALUE_MAX + 1]).to_string();
        assert_eq!(invalid, format!("\"{}\"...", "\\xFF".repeat(LOG_VALUE_MAX)));
    }
}
