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
//! blocks. A message of 64 bytes takes about half of the time that `serde_json` needs for the same
//! without building a tree, one of 16 KiB about a third.
//!
//! The scanner takes what clients usually write, and gives up without a reason on everything
//! else: JSON that is not valid, keys with escapes, nesting beyond the limit. `serde_json` then
//! reads the text once more and decides. So the scanner owes one thing only: **what it accepts,
//! `serde_json` accepts, with the same values.** The tests compare the two.
//!
//! This module does not know what the keys mean.

use super::envelope::Fields;

/// Finds the values in an object with at most `depth_max` objects and arrays inside one another,
/// itself counted. `None`: somebody else has to look, and what was found is worth nothing.
pub(super) fn fields<'a>(text: &'a str, depth_max: usize, into: &mut Fields<'a>) -> Option<()> {
    let bytes = text.as_bytes();
    let depth_max = depth_max.checked_sub(1)?;
    let mut at = expect(bytes, white_space(bytes, 0), b'{')?;
    at = white_space(bytes, at);
    if bytes.get(at) == Some(&b'}') {
        return is_end(bytes, at + 1).then_some(());
    }
    loop {
        let key = expect(bytes, at, b'"')?;
        at = plain_characters(bytes, key);
        let key = text.get(key..at)?;
        // A backslash here: keys are compared unescaped, and unescaping is not done here.
        at = white_space(bytes, expect(bytes, at, b'"')?);
        let start = white_space(bytes, expect(bytes, at, b':')?);
        at = value(bytes, start, depth_max)?;
        into.set(key, text.get(start..at)?);
        at = white_space(bytes, at);
        match bytes.get(at)? {
            b',' => at = white_space(bytes, at + 1),
            b'}' => return is_end(bytes, at + 1).then_some(()),
            _ => return None,
        }
    }
}

// Each of the following takes where something begins and says where it ends.

/// A value of any kind in which at most `depth_max` brackets are open, and no more than 128.
#[inline]
fn value(bytes: &[u8], at: usize, depth_max: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string(bytes, at + 1),
        b'{' | b'[' => nested(bytes, at, depth_max.min(u128::BITS as usize)),
        _ => scalar(bytes, at),
    }
}

/// An object or an array.
fn nested(bytes: &[u8], mut at: usize, depth_max: usize) -> Option<usize> {
    // Bit 0 is the innermost open bracket: 1 for an object, 0 for an array.
    let (mut open, mut depth) = (0_u128, 0);
    loop {
        let first = *bytes.get(at)?;
        let mut is_complete = true;
        match first {
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return None;
                }
                open = (open << 1) | u128::from(first == b'{');
                at = white_space(bytes, at + 1);
                // `]` is two above `[`, and `}` two above `{`.
                is_complete = *bytes.get(at)? == first + 2;
            }
            b'"' => at = string(bytes, at + 1)?,
            _ => at = scalar(bytes, at)?,
        }
        while is_complete {
            at = white_space(bytes, at);
            match (bytes.get(at)?, open & 1) {
                (b',', _) => is_complete = false,
                (b'}', 1) | (b']', 0) if depth == 1 => return Some(at + 1),
                (b'}', 1) | (b']', 0) => {
                    depth -= 1;
                    open >>= 1;
                }
                _ => return None,
            }
            at += 1;
        }
        at = white_space(bytes, at);
        if open & 1 == 1 {
            at = string(bytes, expect(bytes, at, b'"')?)?;
            at = expect(bytes, white_space(bytes, at), b':')?;
            at = white_space(bytes, at);
        }
    }
}

/// A number or a literal.
fn scalar(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    match rest.first()? {
        b'-' | b'0'..=b'9' => number(bytes, at),
        b't' => rest.starts_with(b"true").then_some(at + 4),
        b'f' => rest.starts_with(b"false").then_some(at + 5),
        b'n' => rest.starts_with(b"null").then_some(at + 4),
        _ => None,
    }
}

/// RFC 8259 §6: `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
fn number(bytes: &[u8], mut at: usize) -> Option<usize> {
    at += usize::from(bytes.get(at) == Some(&b'-'));
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits(bytes, at)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = digits(bytes, at)?;
    }
    Some(at)
}

/// At least one.
fn digits(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    (at > start).then_some(at)
}

/// From behind the opening quote to behind the closing one.
#[inline]
fn string(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = plain_characters(bytes, at);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at = escape(bytes, at + 1)?,
            _ => return None,
        }
    }
}

/// RFC 8259 §7, from behind the backslash. Half of a surrogate pair may be escaped, as for
/// `serde_json`: the text passes through as it was written.
fn escape(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let digits = bytes.get(at + 1..at + 5)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 5)
        }
        _ => None,
    }
}

/// To the next quote, backslash or control character, or to the end: eight bytes at a time, and
/// what is not short in blocks.
#[inline]
fn plain_characters(bytes: &[u8], mut at: usize) -> usize {
    let mut words = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = special_bits(u64::from_le_bytes(*word));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
        words += 1;
        if words == SHORT_WORDS {
            at = plain_blocks(bytes, at);
        }
    }
    while bytes.get(at).is_some_and(|&byte| !is_special(byte)) {
        at += 1;
    }
    at
}

/// Over whole blocks without anything special; the compiler makes vectors of this.
fn plain_blocks(bytes: &[u8], at: usize) -> usize {
    let (blocks, _) = bytes.get(at..).unwrap_or_default().as_chunks::<64>();
    let is_plain =
        |block: &&[u8; 64]| !block.iter().fold(false, |found, &byte| found | is_special(byte));
    at + 64 * blocks.iter().take_while(is_plain).count()
}

/// RFC 8259 §2.
#[inline]
fn white_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

#[inline]
fn expect(bytes: &[u8], at: usize, byte: u8) -> Option<usize> {
    (bytes.get(at) == Some(&byte)).then_some(at + 1)
}

fn is_end(bytes: &[u8], at: usize) -> bool {
    white_space(bytes, at) == bytes.len()
}

/// What ends a run of plain characters. No branches, so that a block of these is a vector.
fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// Which of eight bytes are special: the lowest set bit is the top bit of the first such byte.
/// (A byte behind it may be marked wrongly, by the borrow of the subtraction.)
fn special_bits(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    let quote = word ^ (ONES * u64::from(b'"'));
    let backslash = word ^ (ONES * u64::from(b'\\'));
    let found = word.wrapping_sub(ONES * 0x20) & !word
        | quote.wrapping_sub(ONES) & !quote
        | backslash.wrapping_sub(ONES) & !backslash;
    found & (ONES << 7)
}

/// After this many words a string is not a short one (see the `envelope` bench).
const SHORT_WORDS: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::envelope::parse_fields;
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
            for byte in 0..=0xFF_u8 {
                let mut bytes = [b'x'; 200];
                bytes[(place + 7) % 200] = 0xC3;
                bytes[(place + 8) % 200] = b'"';
                bytes[place] = byte;
                for start in [0, 1, 40] {
                    let rest = &bytes[start..];
                    let plain = rest.iter().position(|&byte| is_special(byte));
                    let wanted = start + plain.unwrap_or(rest.len());
                    assert_eq!(plain_characters(&bytes, start), wanted, "{byte:#x} at {place}");
                }
            }
        }
    }
}
