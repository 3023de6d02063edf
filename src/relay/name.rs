//! Names: what a user id or a group name may be.
//!
//! A name is 1 to 128 bytes of UTF-8 and is compared byte by byte: nothing is trimmed, folded or
//! normalised, because two layers that fold differently see two users where there is one, or
//! one where there are two. What is refused is what a reader cannot see: control characters,
//! characters that turn the direction of writing, white space at either end. `*` is kept free
//! to mean everyone.
//!
//! ```text
//!   "alice"    "Алиса"    "用户 7"    "a b"       good
//!   ""  " bob"  "bob\n"  "*"  "\u202Ebob"         refused
//!   1001                                          the same user as "1001"
//!   1.0   1e3   -0   007   12345678901234567      refused: not a spelling of an id
//! ```
//!
//! This module does not know who bears a name.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// A user id or a group name that keeps the rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name<'a>(Cow<'a, str>);

impl<'a> Name<'a> {
    /// Checks a name of at most `len_max` bytes.
    ///
    /// # Errors
    ///
    /// The first rule the name breaks.
    pub fn new(name: impl Into<Cow<'a, str>>, len_max: usize) -> Result<Name<'a>, NameError> {
        let name = name.into();
        check(&name, len_max)?;
        Ok(Name(name))
    }

    /// Reads a JSON value, as it was written, as a name: a string, or a number that is spelled
    /// `0|[1-9][0-9]{0,15}`. At 16 digits every JavaScript client still holds the exact number.
    ///
    /// # Errors
    ///
    /// [`NameError::NotAnId`] for any other value, otherwise the first rule the name breaks.
    pub fn from_json(value: &'a str, len_max: usize) -> Result<Name<'a>, NameError> {
        if is_number_id(value) {
            return Name::new(value, len_max);
        }
        Name::new(unescape(value).ok_or(NameError::NotAnId)?, len_max)
    }

    /// The same for what is a good name at a glance: a JSON string of two characters or more, all
    /// visible ASCII, and no escapes. `None`: somebody else has to look.
    #[inline]
    pub(crate) fn usual(value: &'a str, len_max: usize) -> Option<Name<'a>> {
        let bytes = value.as_bytes();
        // The quotes are visible too, and looking at a byte twice does no harm.
        let is_visible = if let Some(last) = bytes.last_chunk::<8>() {
            let (words, _) = bytes.as_chunks::<8>();
            words.iter().chain([last]).all(|word| is_visible_word(u64::from_le_bytes(*word)))
        } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
            is_visible_word(first << 32 | last)
        } else {
            false
        };
        if !is_visible || bytes.len() > len_max.saturating_add(2) {
            return None;
        }
        let name = value.strip_prefix('"')?.strip_suffix('"')?;
        Some(Name(Cow::Borrowed(name)))
    }
}

impl Deref for Name<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Why something is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It has no bytes.
    Empty,
    /// It has a character that is not to be seen: a control, or a change of direction.
    Invisible,
    /// It is a JSON value that is neither a string nor a number spelled as an id.
    NotAnId,
    /// It is `*`, which means everyone.
    Star,
    /// It has more bytes than are allowed.
    TooLong,
    /// It begins or ends with white space.
    WhiteSpace,
}

impl fmt::Display for NameError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            NameError::Empty => "name is empty",
            NameError::Invisible => "name has a control or direction character",
            NameError::NotAnId => "name is neither a string nor a plain decimal number",
            NameError::Star => "name is `*`, which means everyone",
            NameError::TooLong => "name too long",
            NameError::WhiteSpace => "name begins or ends with white space",
        })
    }
}

impl std::error::Error for NameError {}

/// What a JSON string means; the value as written is borrowed when nothing in it is escaped.
/// `None` if the value is no string, or escapes half of a surrogate pair.
pub(crate) fn unescape(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.bytes().all(|byte| byte != b'\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(value).ok().map(Cow::Owned)
}

/// Whether each of eight bytes is visible ASCII and no backslash.
#[inline]
fn is_visible_word(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xFF;
    let below = word.wrapping_sub(ONES * 0x21);
    let above = word.wrapping_add(ONES);
    let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    (word | below | above | backslash) & (ONES << 7) == 0
}

fn check(name: &str, len_max: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > len_max {
        return Err(NameError::TooLong);
    }
    // The usual name is visible ASCII, which cannot break any rule but one.
    if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        if name.starts_with(char::is_whitespace) || name.ends_with(char::is_whitespace) {
            return Err(NameError::WhiteSpace);
        }
        if name.chars().any(|c| c.is_control() || is_bidi_control(c)) {
            return Err(NameError::Invisible);
        }
    }
    if name == "*" { Err(NameError::Star) } else { Ok(()) }
}

/// `0|[1-9][0-9]{0,15}`
fn is_number_id(value: &str) -> bool {
    match value.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() <= 15 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// The characters with the Unicode property `Bidi_Control`: they make a name look like another.
fn is_bidi_control(c: char) -> bool {
    matches!(
        c,
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<String, NameError> {
        Name::new(text, 128).map(|name| name.to_string())
    }

    fn json(value: &str) -> Result<String, NameError> {
        Name::from_json(value, 128).map(|name| name.to_string())
    }

    #[test]
    fn names_of_any_script_are_kept_as_they_are() {
        for good in ["alice", "Алиса", "用户 7", "a b", "👩‍👩‍👧", "__proto__", "0", "a*", "\"", "\\"]
        {
            assert_eq!(name(good), Ok(good.to_owned()));
        }
        // Composed and decomposed: two users, because nothing is normalised.
        assert_ne!(name("\u{e9}"), name("e\u{301}"));
    }

    #[test]
    fn a_name_has_1_to_128_bytes_after_unescaping() {
        assert_eq!(name(""), Err(NameError::Empty));
        assert!(name(&"a".repeat(128)).is_ok());
        assert_eq!(name(&"a".repeat(129)), Err(NameError::TooLong));
        assert!(name(&"é".repeat(64)).is_ok());
        assert_eq!(name(&"é".repeat(65)), Err(NameError::TooLong));
        assert_eq!(json(&format!("\"{}\"", r"\u0041".repeat(128))), Ok("A".repeat(128)));
    }

    #[test]
    fn what_a_reader_cannot_see_is_refused() {
        for bad in ["a\0b", "a\nb", "a\u{7f}b", "a\u{85}b", "a\u{202e}b", "a\u{61c}b", "\u{2069}b"]
        {
            assert_eq!(name(bad), Err(NameError::Invisible), "{bad:?}");
        }
        for bad in [" a", "a ", "\ta", "a\n", "\u{a0}a", "a\u{2028}", "\u{3000}", " "] {
            assert_eq!(name(bad), Err(NameError::WhiteSpace), "{bad:?}");
        }
        assert_eq!(name("*"), Err(NameError::Star));
    }

    #[test]
    fn a_name_that_is_good_at_a_glance_is_good_at_a_closer_look() {
        let bits = ["a", "Z", "~", "!", "0", "*", " ", "\\", "\\u0041", "é", "\u{7f}", "\u{202e}"];
        let mut seen = 0;
        for len in 0..20 {
            for place in 0..=len {
                for bit in bits {
                    let (before, after) = ("x".repeat(place), "x".repeat(len - place));
                    let value = format!("\"{before}{bit}{after}\"");
                    if let Some(usual) = Name::usual(&value, 16) {
                        assert_eq!(Ok(usual), Name::from_json(&value, 16), "{value}");
                        seen += 1;
                    } else if value.len() > 3 && bit.len() == 1 && !matches!(bit, " " | "\\") {
                        assert!(value.len() > 18 || bit == "\u{7f}", "{value} is usual");
                    }
                }
            }
        }
        assert!(seen > 500, "{seen}");
        for value in ["12", "1234567890", "true", "[\"a\"]", "\"", "{\"a\":\"b\"}"] {
            assert_eq!(Name::usual(value, 128), None, "{value}");
        }
    }

    #[test]
    fn a_number_is_a_name_if_spelled_plainly() {
        for good in ["0", "7", "1001", "9007199254740993", "1234567890123456"] {
            assert_eq!(json(good), Ok(good.to_owned()));
            assert_eq!(json(&format!("\"{good}\"")), Ok(good.to_owned()));
        }
        for bad in ["-0", "-1", "00", "007", "1.0", "1e3", "1E3", "12345678901234567"] {
            assert_eq!(json(bad), Err(NameError::NotAnId), "{bad}");
        }
        for bad in ["null", "true", "false", "{}", "[]", "[\"a\"]", "{\"a\":1}"] {
            assert_eq!(json(bad), Err(NameError::NotAnId), "{bad}");
        }
    }

    #[test]
    fn a_string_is_compared_unescaped() {
        assert_eq!(json(r#""\u0061lice""#), Ok("alice".to_owned()));
        assert_eq!(json(r#""\ud83d\ude00""#), Ok("😀".to_owned()));
        assert_eq!(json(r#""\"""#), Ok("\"".to_owned()));
        assert_eq!(json(r#""a\u0000b""#), Err(NameError::Invisible));
        assert_eq!(json(r#""\ud800""#), Err(NameError::NotAnId), "half of a surrogate pair");
        assert_eq!(json(r#""\u0020a""#), Err(NameError::WhiteSpace));
    }
}
