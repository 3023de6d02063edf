//! A peer's bytes, made safe to show.
//!
//! A path, an `Origin` or a close reason is written by whoever is on the other side. Put into a
//! log as it came, a line feed forges a second log line and an escape sequence repaints the
//! terminal of the person reading it. So nothing of a peer is shown but through [`Quoted`].
//!
//! ```text
//! 2F 61 0A 62 22 1B     the bytes          / a LF b " ESC
//! "/a\nb\"\x1B"         what is shown
//! ```
//!
//! This module does not know where the text goes, nor what it means: a secret stays readable, so
//! whoever logs a target must leave its query out.

use std::fmt::{self, Display, Formatter, Write};

/// Shows bytes in double quotes, escaped and cut.
///
/// Printable ASCII stays as it is, except that `"` and `\` get a backslash. Line feed, carriage
/// return and tab become `\n`, `\r`, `\t`; every other byte becomes `\x` and two hexadecimal
/// digits. After [`LOG_VALUE_MAX`] bytes of the source, `...` follows the closing quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a>(pub &'a [u8]);

impl Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(LOG_VALUE_MAX)];
        formatter.write_char('"')?;
        for &byte in shown {
            match byte {
                b'"' | b'\\' => write!(formatter, "\\{}", char::from(byte))?,
                b'\n' => formatter.write_str("\\n")?,
                b'\r' => formatter.write_str("\\r")?,
                b'\t' => formatter.write_str("\\t")?,
                b' '..=b'~' => formatter.write_char(char::from(byte))?,
                _ => write!(formatter, "\\x{byte:02X}")?,
            }
        }
        formatter.write_char('"')?;
        if shown.len() < self.0.len() {
            formatter.write_str("...")?;
        }
        Ok(())
    }
}

/// How many bytes of a peer's text are shown.
pub const LOG_VALUE_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_module_documentation() {
        assert_eq!(Quoted(b"/a\nb\"\x1B").to_string(), r#""/a\nb\"\x1B""#);
    }

    #[test]
    fn every_byte_becomes_printable_ascii() {
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
    fn a_cut_inside_a_code_point_does_no_harm() {
        let mut text = "a".repeat(LOG_VALUE_MAX - 1);
        text.push('é');
        assert!(Quoted(text.as_bytes()).to_string().ends_with("\\xC3\"..."));
    }
}
