//! Compressed messages: the examples of RFC 7692 §7.2.3, and what is wrong with others.

use super::{Seed, table};

/// The seeds of `inflate`.
pub fn seeds() -> Vec<Seed> {
    let rows: Vec<(&str, Vec<u8>)> = MESSAGES
        .iter()
        .map(|(name, flags, first, second)| {
            (*name, [&[*flags, first.len() as u8], *first, *second].concat())
        })
        .collect();
    table("inflate", &rows)
}

const KEEPS: u8 = 1;
const TEXT: u8 = 2;
const LIMIT_300: u8 = 1 << 2;
const LIMIT_10: u8 = 2 << 2;
const WINDOW_15: u8 = 7 << 4;

/// "Hello" as RFC 7692 §7.2.3.1 compresses it.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

/// Of zeros there are a hundred times as many as of these.
pub(super) const ZEROS: &[u8] = b"\x62\x60\x18\x05\xa3\x60\x14\x8c\x82\x51\x30\x0a\x46\x01\x00";

/// The header of a block, which the four octets that a receiver puts back complete, as they do its
/// end: two bits of them are left.
const TWO_BITS_LEFT: &[u8] = b"\x04\xd9\x01\x05\x00\x00\x00\xc0\xb0\xbd\x7f\xe9\x03";

/// The same: one bit is left.
const ONE_BIT_LEFT: &[u8] = b"\x04\xd5\x01\x04\x00\x00\x00\xc2\xb0\x3d\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10";

/// A name, the setting, and two messages.
const MESSAGES: &[(&str, u8, &[u8], &[u8])] = &[
    ("rfc-one-block", TEXT | WINDOW_15, HELLO, HELLO),
    ("rfc-shared-window", KEEPS | TEXT, HELLO, b"\xf2\x00\x11\x00\x00"),
    ("rfc-window-that-was-not-kept", TEXT, HELLO, b"\xf2\x00\x11\x00\x00"),
    ("rfc-block-without-compression", TEXT, b"\x00\x05\x00\xfa\xffHello\x00", b"\x00"),
    ("rfc-block-with-bfinal", TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", HELLO),
    ("bfinal-and-nothing-behind-it", 0, b"\x03\x00", b"\x00\x00"),
    ("rfc-bfinal-and-a-kept-window", KEEPS, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", HELLO),
    (
        "refers-back-over-a-stream",
        KEEPS,
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        b"\xf2\x00\x11\x00\x00",
    ),
    ("found-cut-inside-a-header", KEEPS, b"\x5d\x21", b"\x21\x21\x3d\x21\x21\x3d"),
    ("cut-inside-a-header-two-bits-left", KEEPS, TWO_BITS_LEFT, HELLO),
    ("cut-inside-a-header-one-bit-left", KEEPS, ONE_BIT_LEFT, HELLO),
    ("rfc-two-blocks", TEXT, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b""),
    ("rfc-empty-message", TEXT, b"\x00", b"\x00"),
    ("nothing-at-all", 0, b"", b""),
    ("limit-reached-and-passed", LIMIT_10, b"\x4a\x84\x03\x00", b"\x4a\x84\x43\x00"),
    ("bomb-of-zeros", LIMIT_300, ZEROS, b"\x00"),
    ("text-not-utf8", TEXT, b"\x00\x02\x00\xfd\xff\xc3\x28\x00", b"\x00"),
    ("text-cut-inside-a-code-point", TEXT, b"\x00\x02\x00\xfd\xff\xe2\x82\x00", b"\x00"),
    ("block-type-3-reserved", 0, b"\x06", b"\x00"),
    ("stored-length-wrong", 0, b"\x00\x05\x00\xfa\xfeHello\x00", b"\x00"),
    ("stored-block-cut", 0, b"\x00\x05\x00\xfa\xffHel", b"\x00"),
    ("distance-before-the-beginning", 0, b"\x02\x00\x00", b"\x00"),
    ("dynamic-block", 0, b"\x04\xc1\x81\x00\x00\x00\x00\x80\x20\xd6\xfc\x25\x5e\x04", b"\x00"),
];
