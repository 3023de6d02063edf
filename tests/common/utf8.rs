//! Texts and non-texts (RFC 6455 §8.1, RFC 3629), in kind those of the Autobahn suite's section 6.

/// UTF-8, all of it.
pub const VALID: &[&[u8]] = &[
    b"",
    b"plain ASCII",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
    // The first and the last code point of each length.
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xef\xbf\xbf",
    b"\xf0\x90\x80\x80",
    b"\xf4\x8f\xbf\xbf",
    // Around the surrogates, and the replacement character.
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    // Noncharacters are characters enough: U+FFFE, U+FDD0, U+1FFFE, U+10FFFE.
    b"\xef\xbf\xbe",
    b"\xef\xb7\x90",
    b"\xf0\x9f\xbf\xbe",
    b"\xf4\x8f\xbf\xbe",
    // A byte order mark at the start and in the middle.
    b"\xef\xbb\xbfx\xef\xbb\xbf",
];

/// Not UTF-8, for one reason each.
pub const INVALID: &[&[u8]] = &[
    // Stray continuations.
    b"\x80",
    b"\xbf",
    b"\x80\xbf\x80\xbf",
    // Lonely start octets, and sequences that end too early.
    b"\xc2",
    b"\xc2 ",
    b"\xe0\xa0",
    b"\xe0\xa0 ",
    b"\xed\x9f",
    b"\xf0\x90\x80",
    b"\xf4\x8f\xbf ",
    b"\xf0\x90\xe0\xa0\x80",
    b"\xce\xba\xe1\xbd\xb9\xcf",
    // Octets that never occur.
    b"\xfe",
    b"\xff",
    b"\xfe\xfe\xff\xff",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    // Overlong forms of "/", NUL, U+007F, U+07FF, U+FFFF.
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xc0\x80",
    b"\xe0\x80\x80",
    b"\xf0\x80\x80\x80",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    // Surrogates, alone and in pairs.
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    // U+110000 and above.
    b"\xf4\x90\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    // The one that has given the section its name.
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
];
