//! UTF-8: what the payload of a text message, and a close reason, must be.
//!
//! RFC 6455 §8.1 refers to RFC 3629, whose §4 has the whole of UTF-8 in eight lines:
//!
//! ```text
//! code points            1st octet  2nd      3rd      4th
//! U+0000   ..= U+007F    00-7F
//! U+0080   ..= U+07FF    C2-DF      80-BF
//! U+0800   ..= U+0FFF    E0         A0-BF    80-BF             below A0: overlong
//! U+1000   ..= U+CFFF    E1-EC      80-BF    80-BF
//! U+D000   ..= U+D7FF    ED         80-9F    80-BF             above 9F: surrogates
//! U+E000   ..= U+FFFF    EE-EF      80-BF    80-BF
//! U+10000  ..= U+3FFFF   F0         90-BF    80-BF    80-BF    below 90: overlong
//! U+40000  ..= U+FFFFF   F1-F3      80-BF    80-BF    80-BF
//! U+100000 ..= U+10FFFF  F4         80-8F    80-BF    80-BF    above 8F: no such code point
//! ```
//!
//! After the first octet, only the second one has a range of its own; no octet after it can make a
//! sequence wrong in a new way. So a validator knows at the *first impossible octet* that no
//! continuation can make the text valid:
//!
//! ```text
//! ce ba e1 bd b9 cf 83 ce bc ce b5      U+03BA U+1F79 U+03C3 U+03BC U+03B5, "κόσμε"
//! f4                                    a good beginning: f4 8f bf bf is U+10FFFF
//!    90                                 impossible after f4; 80 80 need not be awaited
//! ```
//!
//! A message may be cut anywhere, also inside a code point: by its fragments (§5.4) and by the
//! network. [`Utf8Validator`] takes the pieces as they come; [`validate`] takes a message that is
//! all there.
//!
//! What this module does *not* know: messages, frames and masking. Noncharacters such as U+FFFE are
//! valid UTF-8, and a byte order mark is a character like any other.

use std::error::Error;
use std::fmt;

/// The bytes are not UTF-8, and no bytes after them can change that (RFC 6455 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUtf8;

/// Checks a whole message.
///
/// # Errors
///
/// [`InvalidUtf8`], also if the last code point is incomplete.
#[inline]
pub fn validate(bytes: &[u8]) -> Result<&str, InvalidUtf8> {
    #[cfg(feature = "simdutf8")]
    if bytes.len() >= SIMD_LEN_MIN {
        return simdutf8::basic::from_utf8(bytes).map_err(|_| InvalidUtf8);
    }
    std::str::from_utf8(bytes).map_err(|_| InvalidUtf8)
}

/// Checks a message that comes in pieces, and fails at the first octet that cannot be part of it.
///
/// Between two pieces it carries the beginning of a code point that the first of them cut: at most
/// three bytes. After an error its state has no meaning; the connection is failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8Validator {
    /// The octets of an incomplete code point, in `carry[..carry_len]`.
    carry: [u8; 3],
    // Invariant: carry[..carry_len] is the beginning of a valid code point, and carry_len <= 3.
    carry_len: u8,
}

impl Utf8Validator {
    /// Checks the next piece of the message.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] if no text whatever begins with the bytes pushed so far.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), InvalidUtf8> {
        let bytes = if self.carry_len == 0 { bytes } else { self.complete_carry(bytes)? };
        match first_fault(bytes) {
            None => Ok(()),
            Some(Fault::Invalid) => Err(InvalidUtf8),
            Some(Fault::Incomplete { valid_up_to }) => {
                let tail = &bytes[valid_up_to..];
                self.carry[..tail.len()].copy_from_slice(tail);
                self.carry_len = tail.len() as u8;
                Ok(())
            }
        }
    }

    /// Says whether the message may end here.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] if the last code point is incomplete.
    #[inline]
    pub fn finish(self) -> Result<(), InvalidUtf8> {
        if self.carry_len == 0 { Ok(()) } else { Err(InvalidUtf8) }
    }

    /// Adds octets to the carried ones until they are a code point, and returns the bytes after it.
    /// At most three octets are looked at, one by one, so that the first impossible one is seen.
    #[cold]
    fn complete_carry<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], InvalidUtf8> {
        let mut code_point = [0; 4];
        let mut len = usize::from(self.carry_len);
        code_point[..len].copy_from_slice(&self.carry[..len]);
        for (index, &octet) in bytes.iter().enumerate() {
            // In bounds: four octets that begin well are a code point, and then the loop is left.
            code_point[len] = octet;
            len += 1;
            match first_fault(&code_point[..len]) {
                None => {
                    self.carry_len = 0;
                    return Ok(&bytes[index + 1..]);
                }
                Some(Fault::Invalid) => return Err(InvalidUtf8),
                Some(Fault::Incomplete { .. }) => {
                    self.carry[len - 1] = octet;
                    self.carry_len = len as u8;
                }
            }
        }
        Ok(&[])
    }
}

impl fmt::Display for InvalidUtf8 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not utf-8")
    }
}

impl Error for InvalidUtf8 {}

/// Why some bytes are not UTF-8.
enum Fault {
    /// An octet that cannot stand where it stands.
    Invalid,
    /// The bytes end inside a code point that began well, at `valid_up_to`: one to three bytes.
    Incomplete { valid_up_to: usize },
}

#[inline]
fn first_fault(bytes: &[u8]) -> Option<Fault> {
    #[cfg(feature = "simdutf8")]
    if bytes.len() >= SIMD_LEN_MIN {
        let error = simdutf8::compat::from_utf8(bytes).err()?;
        return Some(fault(error.valid_up_to(), error.error_len()));
    }
    let error = std::str::from_utf8(bytes).err()?;
    Some(fault(error.valid_up_to(), error.error_len()))
}

/// Both libraries report an `error_len` of `None` if, and only if, the end of the input came first.
fn fault(valid_up_to: usize, error_len: Option<usize>) -> Fault {
    match error_len {
        Some(_) => Fault::Invalid,
        None => Fault::Incomplete { valid_up_to },
    }
}

/// From how many bytes on simdutf8 is asked, whose blocks have 64 bytes. Measured by
/// `benches/wire.rs`: at 125 bytes it costs 2 ns more than the standard library if the text is
/// ASCII and saves 50 ns if it is not; from 256 bytes on it is faster for both, up to tenfold.
#[cfg(feature = "simdutf8")]
const SIMD_LEN_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_example_fails_at_the_first_impossible_octet() {
        let kosme = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
        assert_eq!(validate(kosme), Ok("\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}"));
        let mut validator = Utf8Validator::default();
        assert_eq!(validator.push(kosme), Ok(()));
        assert_eq!(validator.push(b"\xf4"), Ok(()));
        assert_eq!(validator.finish(), Err(InvalidUtf8), "not the end of a text");
        assert_eq!(validator.push(b"\x90"), Err(InvalidUtf8));
        assert_eq!(validate(b"\xf4\x8f\xbf\xbf"), Ok("\u{10ffff}"));
    }

    #[test]
    fn the_validator_is_small() {
        assert!(size_of::<Utf8Validator>() <= 8);
    }

    /// Row by row the table of RFC 3629 §4, as the module doc has it: the ranges of the octets.
    const TABLE: [&[(u8, u8)]; 9] = [
        &[(0x00, 0x7F)],
        &[(0xC2, 0xDF), (0x80, 0xBF)],
        &[(0xE0, 0xE0), (0xA0, 0xBF), (0x80, 0xBF)],
        &[(0xE1, 0xEC), (0x80, 0xBF), (0x80, 0xBF)],
        &[(0xED, 0xED), (0x80, 0x9F), (0x80, 0xBF)],
        &[(0xEE, 0xEF), (0x80, 0xBF), (0x80, 0xBF)],
        &[(0xF0, 0xF0), (0x90, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
        &[(0xF1, 0xF3), (0x80, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
        &[(0xF4, 0xF4), (0x80, 0x8F), (0x80, 0xBF), (0x80, 0xBF)],
    ];

    /// Whether some row of the table begins with these octets.
    fn begins_a_code_point(octets: &[u8]) -> bool {
        TABLE.iter().any(|row| {
            octets.len() <= row.len()
                && octets.iter().zip(*row).all(|(octet, &(low, high))| (low..=high).contains(octet))
        })
    }

    /// Every octet at or beside the edge of a range, in every place: the validator, fed octet by
    /// octet, goes exactly as far as the table does.
    #[test]
    fn octet_by_octet_the_table_of_rfc_3629_is_the_judge() {
        let interesting: Vec<u8> = (0..=255)
            .filter(|octet| {
                let edges = TABLE.iter().copied().flatten();
                edges.flat_map(|&(low, high)| [low, high]).any(|edge| edge.abs_diff(*octet) <= 1)
            })
            .collect();
        for &first in &interesting {
            for &second in &interesting {
                for &third in &interesting {
                    for &fourth in &[0x7F, 0x80, 0xBF, 0xC0] {
                        judge(&[first, second, third, fourth]);
                    }
                }
            }
        }
    }

    fn judge(octets: &[u8; 4]) {
        let mut validator = Utf8Validator::default();
        let mut begun = 0;
        for (index, octet) in octets.iter().enumerate() {
            let possible = begins_a_code_point(&octets[begun..=index]);
            assert_eq!(validator.push(&[*octet]).is_ok(), possible, "{octets:02x?} at {index}");
            if !possible {
                return;
            }
            let complete = std::str::from_utf8(&octets[begun..=index]).is_ok();
            assert_eq!(validator.finish().is_ok(), complete, "{octets:02x?} at {index}");
            if complete {
                begun = index + 1;
            }
        }
    }

    /// Long enough that simdutf8 takes part, cut everywhere, with an octet spoilt everywhere.
    #[test]
    fn long_pieces_are_judged_like_short_ones() {
        let text = "Grüße, κόσμε, 世界, 🦀. ".repeat(if cfg!(miri) { 4 } else { 12 });
        for split in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(split);
            let mut validator = Utf8Validator::default();
            assert_eq!(validator.push(head), Ok(()), "{split}");
            assert_eq!(validator.finish().is_ok(), text.is_char_boundary(split), "{split}");
            assert_eq!(validator.push(tail), Ok(()), "{split}");
            assert_eq!(validator.finish(), Ok(()), "{split}");

            let mut spoilt = text.as_bytes().to_vec();
            spoilt.insert(split, 0xFF);
            assert_eq!(validate(&spoilt), Err(InvalidUtf8));
            let mut validator = Utf8Validator::default();
            assert_eq!(validator.push(&spoilt[..split]), Ok(()), "{split}");
            assert_eq!(validator.push(&spoilt[split..=split]), Err(InvalidUtf8), "{split}");
        }
    }

    #[test]
    fn empty_pieces_change_nothing() {
        let mut validator = Utf8Validator::default();
        for octet in "κ🦀".as_bytes() {
            validator.push(b"").unwrap();
            validator.push(&[*octet]).unwrap();
            validator.push(b"").unwrap();
        }
        assert_eq!(validator.finish(), Ok(()));
        assert_eq!(validate(b""), Ok(""));
    }
}
