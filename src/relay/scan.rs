//! Scanning: one pass over a JSON object that finds where the values of the known keys lie.
//!
//! ```text
//!   {"sender":"bob","receiver":"alice","content":{"n":[1,2]}}
//!             |---|            |-----|           |---------|
//!             sender           receiver          content
//! ```
//!
//! Nothing is built, copied or unescaped, and nothing is allocated, however the content is
//! nested: which of the open brackets are objects is one bit each. Strings are skipped in words and
//! blocks. To find the fields of a message with 64 bytes of text takes less than half of the
//! instructions in which `serde_json` passes over it without building a tree, with 16 KiB a third.
//!
//! The scanner takes what clients usually write, and gives up without a reason on everything
//! else: JSON that is not valid, keys with escapes, nesting beyond the limit. `serde_json` then
//! reads the text once more and decides. So the scanner owes one thing only: **what it accepts,
//! `serde_json` accepts, with the same values.** The tests compare the two.
//!
//! This module does not know what the keys mean.

/// Where the values go: the fields of one dialect.
pub(super) trait Collect<'a> {
    /// A key that means something there.
    type Key;

    /// The key that `text` begins with, closing quote and all, and what follows. `None`: some
    /// other key, or one with escapes in it.
    fn read_key(text: &'a str) -> Option<(Self::Key, &'a str)>;

    /// Notes the value of a key.
    fn set(&mut self, key: Self::Key, value: &'a str);

    /// Notes that there is a key that means nothing there.
    fn set_other(&mut self);
}

/// Finds the values in an object with at most `depth_max` objects and arrays inside one another,
/// itself counted. `None`: somebody else has to look, and what was found is worth nothing.
#[inline]
pub(super) fn fields<'a, C: Collect<'a>>(
    text: &'a str,
    depth_max: usize,
    into: &mut C,
) -> Option<()> {
    let depth_max = depth_max.checked_sub(1)?;
    let mut rest = match text.strip_prefix("{\"") {
        Some(rest) => rest,
        None => match first_key(text)? {
            Next::Key(rest) => rest,
            Next::End => return Some(()),
        },
    };
    // From here on `rest` begins behind the opening quote of a key. What most clients write, a
    // known key, a string or a number and no white space, is tried first.
    loop {
        let (key, behind) = match C::read_key(rest) {
            Some((key, behind)) => (Some(key), behind),
            None => (None, other_key(rest)?),
        };
        let value;
        (value, rest) = match behind.strip_prefix(':').map(|value| (value, value.as_bytes())) {
            Some((value, [b'"', text @ ..])) => split(value, string(text)?)?,
            Some((value, text @ [b'0'..=b'9', ..])) => split(value, number(text)?)?,
            _ => member(behind, depth_max)?,
        };
        match key {
            Some(key) => into.set(key, value),
            None => into.set_other(),
        }
        rest = match rest.strip_prefix(",\"") {
            Some(rest) => rest,
            None if rest == "}" => return Some(()),
            None => match next_key(rest)? {
                Next::Key(rest) => rest,
                Next::End => return Some(()),
            },
        };
    }
}

/// What comes after the opening bracket or a member of the object.
enum Next<'a> {
    /// A member, from behind the opening quote of its key.
    Key(&'a str),
    /// The end of the object, and of the text.
    End,
}

#[inline(never)]
fn first_key(text: &str) -> Option<Next<'_>> {
    let inside = text.trim_start_matches(WHITE).strip_prefix('{')?.trim_start_matches(WHITE);
    match inside.strip_prefix('"') {
        Some(rest) => Some(Next::Key(rest)),
        None => end(inside),
    }
}

#[inline(never)]
fn next_key(text: &str) -> Option<Next<'_>> {
    let text = text.trim_start_matches(WHITE);
    match text.strip_prefix(',') {
        Some(rest) => rest.trim_start_matches(WHITE).strip_prefix('"').map(Next::Key),
        None => end(text),
    }
}

fn end(text: &str) -> Option<Next<'_>> {
    let rest = text.strip_prefix('}')?.trim_start_matches(WHITE);
    rest.is_empty().then_some(Next::End)
}

/// What follows a key that is none of ours, from behind its opening quote.
#[inline(never)]
fn other_key(text: &str) -> Option<&str> {
    // A backslash here: keys are compared unescaped, and unescaping is not done here.
    Some(split(text, expect(plain_characters(text.as_bytes()), b'"')?)?.1)
}

/// The rest of a member, from behind its key: its value, and what follows.
#[inline(never)]
fn member(text: &str, depth_max: usize) -> Option<(&str, &str)> {
    let behind = white_space(expect(white_space(text.as_bytes()), b':')?);
    let (_, value_on) = split(text, behind)?;
    split(value_on, value(behind, depth_max)?)
}

/// What of `text` is before its end `rest`, and that end.
#[inline]
fn split<'a>(text: &'a str, rest: &[u8]) -> Option<(&'a str, &'a str)> {
    text.split_at_checked(text.len() - rest.len())
}

// Each of the following takes what begins with something and returns what follows it.

/// A value of any kind in which at most `depth_max` brackets are open, and no more than 128.
fn value(text: &[u8], depth_max: usize) -> Option<&[u8]> {
    match text.first()? {
        b'"' => string(&text[1..]),
        b'{' | b'[' => nested(text, depth_max.min(u128::BITS as usize)),
        _ => scalar(text),
    }
}

/// An object or an array.
fn nested(mut text: &[u8], depth_max: usize) -> Option<&[u8]> {
    // Bit 0 is the innermost open bracket: 1 for an object, 0 for an array.
    let (mut open, mut depth) = (0_u128, 0);
    loop {
        let (&first, rest) = text.split_first()?;
        let mut is_complete = true;
        match first {
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return None;
                }
                open = (open << 1) | u128::from(first == b'{');
                text = white_space(rest);
                // `]` is two above `[`, and `}` two above `{`.
                is_complete = *text.first()? == first + 2;
            }
            b'"' => text = string(rest)?,
            _ => text = scalar(text)?,
        }
        while is_complete {
            let (&next, rest) = white_space(text).split_first()?;
            match (next, open & 1) {
                (b',', _) => is_complete = false,
                (b'}', 1) | (b']', 0) if depth == 1 => return Some(rest),
                (b'}', 1) | (b']', 0) => {
                    depth -= 1;
                    open >>= 1;
                }
                _ => return None,
            }
            text = rest;
        }
        text = white_space(text);
        if open & 1 == 1 {
            text = string(expect(text, b'"')?)?;
            text = white_space(expect(white_space(text), b':')?);
        }
    }
}

/// A number or a literal.
fn scalar(text: &[u8]) -> Option<&[u8]> {
    match text.first()? {
        b'-' | b'0'..=b'9' => number(text),
        b't' => text.strip_prefix(b"true"),
        b'f' => text.strip_prefix(b"false"),
        b'n' => text.strip_prefix(b"null"),
        _ => None,
    }
}

/// RFC 8259 §6: `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
fn number(text: &[u8]) -> Option<&[u8]> {
    let mut text = text.strip_prefix(b"-").unwrap_or(text);
    text = match text {
        [b'0', rest @ ..] => rest,
        _ => digits(text)?,
    };
    if let [b'.', rest @ ..] = text {
        text = digits(rest)?;
    }
    if let [b'e' | b'E', rest @ ..] = text {
        text = match rest {
            [b'+' | b'-', rest @ ..] => digits(rest)?,
            _ => digits(rest)?,
        };
    }
    Some(text)
}

/// At least one.
fn digits(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    while let [b'0'..=b'9', behind @ ..] = rest {
        rest = behind;
    }
    (rest.len() < text.len()).then_some(rest)
}

/// A string, from behind its opening quote.
#[inline]
fn string(text: &[u8]) -> Option<&[u8]> {
    match plain_characters(text) {
        [b'"', rest @ ..] => Some(rest),
        other => escaped(other),
    }
}

/// The same, from where a backslash may be.
#[inline(never)]
fn escaped(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', rest @ ..] => plain_characters(escape(rest)?),
            _ => return None,
        }
    }
}

/// RFC 8259 §7, from behind the backslash. Half of a surrogate pair may be escaped, as for
/// `serde_json`: the text passes through as it was written.
fn escape(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => Some(rest),
        [b'u', rest @ ..] => {
            let (digits, rest) = rest.split_first_chunk::<4>()?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(rest)
        }
        _ => None,
    }
}

/// To the next quote, backslash or control character, or to the end: the first eight bytes at
/// once, because most strings are short, and the rest in blocks.
#[inline]
fn plain_characters(text: &[u8]) -> &[u8] {
    let Some((word, rest)) = text.split_first_chunk::<8>() else { return plain_end(text, text) };
    match special_bits(u64::from_le_bytes(*word)) {
        0 => plain_blocks(rest, text),
        found => text.get(found.trailing_zeros() as usize / 8..).unwrap_or_default(),
    }
}

/// The same for what is not short, of which `rest` is left; the compiler makes vectors of the
/// blocks.
#[inline(never)]
fn plain_blocks<'a>(mut rest: &'a [u8], text: &'a [u8]) -> &'a [u8] {
    let mut blocks = 0;
    while let Some((block, behind)) = rest.split_first_chunk::<16>()
        && is_plain(block)
    {
        rest = behind;
        blocks += 1;
        if blocks == SHORT_BLOCKS {
            while let Some((block, behind)) = rest.split_first_chunk::<64>()
                && is_plain(block)
            {
                rest = behind;
            }
        }
    }
    plain_end(rest, text)
}

/// The same where the end is less than sixteen bytes away, or that of `text` is. On its own,
/// because what wants the place of a byte keeps the loops above from being vectors.
#[inline(never)]
fn plain_end<'a>(rest: &'a [u8], text: &'a [u8]) -> &'a [u8] {
    let found = match (rest.first_chunk(), text.last_chunk()) {
        (Some(block), _) => specials(block),
        // The last sixteen bytes, and those before the rest are shifted out.
        (None, Some(last)) => specials(last).checked_shr(128 - 8 * rest.len() as u32).unwrap_or(0),
        (None, None) => {
            let plain = rest.iter().position(|&byte| is_special(byte));
            return &rest[plain.unwrap_or(rest.len())..];
        }
    };
    rest.get(found.trailing_zeros() as usize / 8..).unwrap_or_default()
}

#[inline]
fn is_plain<const LEN: usize>(block: &[u8; LEN]) -> bool {
    !block.iter().fold(false, |found, &byte| found | is_special(byte))
}

/// Which of sixteen bytes are special: all bits of those, the first byte in the lowest.
#[inline]
fn specials(block: &[u8; 16]) -> u128 {
    u128::from_le_bytes(block.map(|byte| if is_special(byte) { 0xFF } else { 0 }))
}

/// RFC 8259 §2.
#[inline]
fn white_space(text: &[u8]) -> &[u8] {
    // One comparison where there is none, which is nearly everywhere.
    if text.first().is_none_or(|&byte| byte > b' ') { text } else { skip_white_space(text) }
}

#[inline(never)]
fn skip_white_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = text {
        text = rest;
    }
    text
}

#[inline]
fn expect(text: &[u8], byte: u8) -> Option<&[u8]> {
    match text {
        [first, rest @ ..] if *first == byte => Some(rest),
        _ => None,
    }
}

/// What ends a run of plain characters. No branches, so that a block of these is a vector.
#[inline]
fn is_special(byte: u8) -> bool {
    // `"` is 0x22 and all below 0x20 is control: with one bit turned they lie side by side.
    ((byte ^ 0x02) < 0x21) | (byte == b'\\')
}

/// Which of eight bytes are special: the lowest set bit is the top bit of the first such byte.
/// (A byte behind it may be marked wrongly, by the borrow of the subtraction.)
#[inline]
fn special_bits(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    let quote_or_control = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    // The top bit says "was less" of bytes below 0x80; those above are never special.
    (quote_or_control | backslash) & !word & (ONES << 7)
}

/// RFC 8259 §2: white space.
pub(super) const WHITE: [char; 4] = [' ', '\t', '\n', '\r'];

/// After this many blocks a string is a long one (see the `envelope` bench).
const SHORT_BLOCKS: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::envelope::{Fields, parse_fields};
    use super::*;

    /// What the scanner accepts is what `serde_json` accepts.
    #[track_caller]
    fn agree(text: &str) -> bool {
        let mut scanned = Fields::default();
        let is_read = fields(text, 128, &mut scanned).is_some();
        if is_read {
            assert_eq!(Some(scanned), parse_fields(text), "{text:?}");
        }
        is_read
    }

    fn is_read(text: &str, depth_max: usize) -> bool {
        fields(text, depth_max, &mut Fields::default()).is_some()
    }

    const USUAL: &[&str] = &[
        r#"{"sender":"bob","receiver":"alice","content":"hi"}"#,
        r#"{"content":{"a":[1,-2.5e+10,{"b":null,"c":[[],{}]}]},"receiver":1001}"#,
        " {\t\"type\" :\r\n\"join\" , \"group\": \"用户 😀\" } ",
        r#"{"content":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud800 and over eight","token":true}"#,
        r#"{"content":[0,-0,0.5,10,1e5,1E-5,0e0,true,false,null,"",[[[]]],{"":{}}]}"#,
        "{}",
        " { } ",
        r#"{"receiver":1,"receiver":2,"x":{},"x":[]}"#,
        r#"{"type":"join","group":"g","presence":true}"#,
        r#"{"type":"presence","user":"bob","username":"x","presences":0}"#,
    ];

    #[test]
    fn what_clients_usually_write_is_read_without_help() {
        for text in USUAL {
            assert!(agree(text), "{text}");
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_the_parser() {
        for text in [
            "",
            "{",
            "{]",
            "[]",
            "{}x",
            "{} {}",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":01}"#,
            r#"{"a":-}"#,
            r#"{"a":1.}"#,
            r#"{"a":.5}"#,
            r#"{"a":1e}"#,
            r#"{"a":+1}"#,
            r#"{"a":tru}"#,
            r#"{"a":nulll}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12g4"}"#,
            r#"{"a":"\u12"#,
            "{\"a\":\"\n\"}",
            "{\"a\n\":1}",
            r#"{"a":[1,]}"#,
            r#"{"a":[1}}"#,
            r#"{"a":{"b":1]}"#,
            r#"{"a":{"b"}}"#,
            r#"{"a":{1:2}}"#,
            r#"{"a":[,]}"#,
            r#"{a:1}"#,
            r#"{"a":"b}"#,
            r#"{"a":[}"#,
            r#"{"a":{]}"#,
            r#"{"\u0061":1}"#,
            "\u{feff}{}",
        ] {
            assert!(!agree(text), "{text}");
        }
    }

    #[test]
    fn nesting_beyond_the_limit_is_left_to_the_parser() {
        for (depth_max, levels, wanted) in [
            (128, 127, true),
            (128, 128, false),
            (2, 1, true),
            (2, 2, false),
            (1, 0, true),
            (0, 0, false),
        ] {
            let text = format!(r#"{{"a":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
            assert_eq!(is_read(&text, depth_max), wanted, "{depth_max} {levels}");
        }
        // However high the limit is, there is one bit for each of 128.
        let text = format!(r#"{{"a":{}{}}}"#, "[".repeat(129), "]".repeat(129));
        assert!(!is_read(&text, usize::MAX));
        // Objects and arrays in turn, and each closed by its own bracket.
        let text = format!(r#"{{"a":{}1{}}}"#, r#"[{"b":"#.repeat(60), "}]".repeat(60));
        assert!(agree(&text));
        let text = format!(r#"{{"a":{}1{}}}"#, r#"[{"b":"#.repeat(60), "]}".repeat(60));
        assert!(!agree(&text));
    }

    #[test]
    fn no_damage_to_a_message_makes_scanner_and_parser_disagree() {
        let mut seed = 0xD1B5_4A32_D192_ED03_u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 11) as usize % below
        };
        let bits = b"{}[]\",:\\ \n0123456789-+.eEtrufalsn\x00\x1f\x7fx";
        let (mut read, mut left) = (0, 0);
        for round in 0..200_000 {
            let mut bytes = USUAL[round % USUAL.len()].as_bytes().to_vec();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                match random(4) {
                    0 => drop(bytes.remove(at)),
                    1 => bytes.insert(at, bits[random(bits.len())]),
                    2 => bytes[at] = bits[random(bits.len())],
                    _ => bytes.truncate(at + 1),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            if let Ok(text) = str::from_utf8(&bytes) {
                if agree(text) { read += 1 } else { left += 1 }
            }
        }
        assert!(read > 1_000 && left > 1_000, "{read} read, {left} left");
    }

    #[test]
    fn eight_bytes_at_a_time_find_what_one_at_a_time_finds() {
        for place in 0..200 {
            for byte in (0..0x30).chain(0x50..0x60).chain(0x7E..0x82).chain([0xA1, 0xDC, 0xFF]) {
                let mut bytes = [b'x'; 200];
                bytes[(place + 7) % 200] = 0xC3;
                bytes[(place + 8) % 200] = b'"';
                bytes[place] = byte;
                for start in [0, 1, 40, 183, 184, 185, 191, 192, 193, 199] {
                    let rest = &bytes[start..];
                    let plain = rest.iter().position(|&byte| is_special(byte));
                    let wanted = &rest[plain.unwrap_or(rest.len())..];
                    assert_eq!(plain_characters(rest), wanted, "{byte:#x} at {place}");
                }
            }
        }
    }
}
