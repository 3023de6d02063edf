//! The stamp at the start of every content: which stream, and the how-manieth of it.
//!
//! ```text
//! 0 0 0 0 2 a 0 0 0 0 0 0 0 3 e 8
//! '-stream--' '-----sequence----'      message 1000 (3e8) of stream 42 (2a), in hex digits
//! ```
//!
//! Digits, because they stand in a JSON string as well as in a binary message. If the content is
//! shorter than sixteen bytes, only the last digits of the stamp fit: then the stream is not told,
//! and sequence numbers come round again.
//!
//! Each message costs one stamp to send and one to compare, so they are made without a loop.

/// How many bytes a whole stamp has.
pub const STAMP_LEN: usize = 16;

/// Sequence numbers are below this.
pub const SEQUENCE_MAX: u64 = 1 << 40;

/// Streams are below this.
pub const STREAM_MAX: u32 = 1 << 24;

/// The stamp of message `sequence` of `stream`, both of which come round at their maximum.
#[inline]
pub fn stamp(stream: u32, sequence: u64) -> [u8; STAMP_LEN] {
    let high = stream << 8 | (sequence >> 32) as u32 & 0xFF;
    let digits = u128::from(digits(high)) << 64 | u128::from(digits(sequence as u32));
    digits.to_be_bytes()
}

/// The last six hex digits of a number, as they stand in the name of a user.
#[inline]
pub fn name_digits(number: u32) -> [u8; NAME_DIGITS] {
    let [_, _, rest @ ..] = digits(number).to_be_bytes();
    rest
}

/// How many digits tell users apart.
pub const NAME_DIGITS: usize = 6;

/// Stream and sequence number of a whole stamp.
pub fn parse(stamp: &[u8]) -> Option<(u32, u64)> {
    let (stream, sequence) = stamp.split_at_checked(NAME_DIGITS)?;
    let (stream, sequence) = (number(stream)?, number(sequence)?);
    (stamp.len() == STAMP_LEN).then_some((stream as u32, sequence))
}

/// What up to sixteen lower-case hex digits say.
pub fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number: u64, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

/// Eight hex digits, the first of them in the highest byte.
#[inline]
fn digits(number: u32) -> u64 {
    // One nibble per byte: 0x1234_abcd becomes 0x01_02_03_04_0a_0b_0c_0d.
    let mut nibbles = u64::from(number);
    nibbles = (nibbles << 16 | nibbles) & 0x0000_FFFF_0000_FFFF;
    nibbles = (nibbles << 8 | nibbles) & 0x00FF_00FF_00FF_00FF;
    nibbles = (nibbles << 4 | nibbles) & 0x0F0F_0F0F_0F0F_0F0F;
    // 1 in each byte that holds ten or more: adding 6 carries these into bit 4.
    let letters = (nibbles + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    nibbles + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_of_the_module_doc() {
        assert_eq!(&stamp(42, 1000), b"00002a00000003e8");
        assert_eq!(parse(b"00002a00000003e8"), Some((42, 1000)));
        assert_eq!(&name_digits(0xab_cdef), b"abcdef");
    }

    #[test]
    fn stamps_are_what_the_formatter_writes() {
        let mut sequence = 1_u64;
        for stream in (0..STREAM_MAX).step_by(99_991) {
            sequence = sequence.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let sequence = sequence % SEQUENCE_MAX;
            let wanted = format!("{stream:06x}{sequence:010x}");
            assert_eq!(stamp(stream, sequence), wanted.as_bytes());
            assert_eq!(parse(wanted.as_bytes()), Some((stream, sequence)));
        }
    }

    #[test]
    fn what_is_no_stamp_is_not_read() {
        for bad in [&b"00002A00000003e8"[..], b"00002a00000003e", b"00002a00000003e80", b"+"] {
            assert_eq!(parse(bad), None);
        }
    }
}
