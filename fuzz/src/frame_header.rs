//! The frame header: what is read is what is written.
//!
//! ```text
//! input     any bytes
//! 81 05     FIN Text, no mask, 5 bytes
//! ```
//!
//! * A header that parses encodes to the very bytes it was read from, so it was minimal.
//! * Every shorter beginning is `Partial`, and whatever follows changes nothing.
//! * An error comes at one byte and stays, whatever follows.
//! * A header made from the input's bytes is read back as it was.

use switchboard::wire::{FrameHeader, MaskingKey, Opcode, Parsed, Rsv};

/// Holds the rules above for one input.
pub fn check(input: &[u8]) {
    match FrameHeader::parse(input) {
        Ok(Parsed::Complete { value, len }) => check_complete(input, value, len),
        Ok(Parsed::Partial) => {
            assert!(input.len() < FrameHeader::LEN_MAX, "{} bytes suffice", FrameHeader::LEN_MAX);
            check_partial_before(input, input.len());
        }
        Err(error) => {
            let first = (0..=input.len()).find(|len| FrameHeader::parse(&input[..*len]).is_err());
            let first = first.expect("the whole input is an error");
            assert!(first <= 10, "judged with the last octet of the length, not at {first}");
            check_partial_before(input, first);
            for len in first..=input.len().min(20) {
                assert_eq!(FrameHeader::parse(&input[..len]), Err(error), "the first {len} bytes");
            }
        }
    }
    if let Some(header) = header_from(input) {
        let encoded = header.encode();
        check_complete(&encoded, header, encoded.len());
    }
}

fn check_complete(input: &[u8], header: FrameHeader, len: usize) {
    assert_eq!(len, header.len());
    assert_eq!(&*header.encode(), &input[..len], "written as it was read: {header}");
    for room in [0, len - 1, len, 40] {
        let mut written = Vec::with_capacity(room);
        header.write(&mut written);
        assert_eq!(written, &input[..len], "with room for {room} bytes");
    }
    // RFC 6455 §5.2: as few bytes as possible, and the top bit is zero.
    let extended = match header.payload_len {
        0..126 => 0,
        126..65_536 => 2,
        _ => 8,
    };
    assert_eq!(len, 2 + extended + header.masking_key.map_or(0, |_| 4));
    assert!(header.payload_len <= FrameHeader::PAYLOAD_LEN_MAX);
    // RFC 6455 §5.5: control frames are short and whole.
    if header.opcode.is_control() {
        assert!(header.fin && header.payload_len <= 125);
    }
    // RFC 6455 §5.2, bit by bit.
    assert_eq!(header.fin, input[0] >> 7 == 1);
    assert_eq!(header.rsv.bits(), input[0] >> 4 & 7);
    assert_eq!(header.opcode.bits(), input[0] & 0xF);
    assert_eq!(header.masking_key.is_some(), input[1] >> 7 == 1);
    if let Some(MaskingKey(key)) = header.masking_key {
        assert_eq!(key, input[len - 4..len]);
    }
    check_partial_before(input, len);
    let whole = Ok(Parsed::Complete { value: header, len });
    assert_eq!(FrameHeader::parse(&input[..len]), whole, "without what follows");
    let shown = header.to_string();
    assert!(shown.is_ascii() && !shown.contains(|c: char| c.is_ascii_control()), "{shown:?}");
}

/// The first `end` bytes, and any fewer, are a good beginning.
fn check_partial_before(input: &[u8], end: usize) {
    for len in 0..end {
        assert_eq!(FrameHeader::parse(&input[..len]), Ok(Parsed::Partial), "the first {len} bytes");
    }
}

/// A header of which every field is chosen by the input; `None` if there is no such frame.
fn header_from(input: &[u8]) -> Option<FrameHeader> {
    let (&[flags, opcode, shift], rest) = input.split_first_chunk()?;
    let (&len, rest) = rest.split_first_chunk()?;
    let key = rest.first_chunk().copied().map(MaskingKey);
    let opcode = Opcode::from_bits(opcode & 0xF)?;
    // Lengths of every order of magnitude.
    let payload_len = u64::from_be_bytes(len) >> 1 >> (shift % 64);
    let fin = flags & 1 == 1;
    if opcode.is_control() && (!fin || payload_len > FrameHeader::CONTROL_PAYLOAD_LEN_MAX) {
        return None;
    }
    let rsv = Rsv::from_bits(flags >> 1);
    let masking_key = key.filter(|_| flags & 0x80 != 0);
    Some(FrameHeader { fin, rsv, opcode, masking_key, payload_len })
}
