//! The frame header: the two to fourteen bytes in front of every payload.
//!
//! RFC 6455 §5.2:
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! |F|R|R|R| opcode|M| Payload len |    Extended payload length    |
//! |I|S|S|S|  (4)  |A|     (7)     |             (16/64)           |
//! |N|V|V|V|       |S|             |   (if payload len==126/127)   |
//! | |1|2|3|       |K|             |                               |
//! +-+-+-+-+-------+-+-------------+ - - - - - - - - - - - - - - - +
//! |     Extended payload length continued, if payload len == 127  |
//! + - - - - - - - - - - - - - - - +-------------------------------+
//! |                               |Masking-key, if MASK set to 1  |
//! +-------------------------------+-------------------------------+
//! | Masking-key (continued)       |          Payload Data         |
//! +-------------------------------- - - - - - - - - - - - - - - - +
//! :                     Payload Data continued ...                :
//! + - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - +
//! |                     Payload Data continued ...                |
//! +---------------------------------------------------------------+
//! ```
//!
//! The bits are numbered from the most significant one, so FIN is 0x80 of the first byte. Three
//! frames of §5.7, of which the header is the part before the bar:
//!
//! ```text
//! 81 05 | 48 65 6c 6c 6f                 FIN Text, no mask, 5 bytes: "Hello"
//! 81 85 37 fa 21 3d | 7f 9f 4d 51 58     FIN Text, mask 37fa213d, 5 bytes: "Hello" again
//! 82 7e 01 00 | ...                      FIN Binary, no mask, 256 bytes
//!    ^^ 126: the length is in the two bytes that follow
//! ```
//!
//! What this module does *not* know: whose frame it is (so not whether it had to be masked, §5.1),
//! what was negotiated (so not whether a reserved bit is allowed), and what came before (so not
//! whether a continuation was due). It judges what a header says by itself.

use std::fmt;
use std::ops::Deref;

use super::{MaskingKey, Parsed, ProtocolError};

/// What a frame is (RFC 6455 §5.2, §11.8). The reserved opcodes cannot be constructed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// 0x0: the next fragment of a message that an earlier frame began.
    Continuation = 0x0,
    /// 0x1: a text message, or the first fragment of one.
    Text = 0x1,
    /// 0x2: a binary message, or the first fragment of one.
    Binary = 0x2,
    /// 0x8: the closing handshake.
    Close = 0x8,
    /// 0x9: is anybody there?
    Ping = 0x9,
    /// 0xA: the answer to a ping, or a sign of life that nobody asked for.
    Pong = 0xA,
}

impl Opcode {
    /// The opcode with the given number, or `None` if it is reserved (0x3-7, 0xB-F) or no four
    /// bits.
    #[inline]
    pub const fn from_bits(bits: u8) -> Option<Opcode> {
        match bits {
            0x0 => Some(Opcode::Continuation),
            0x1 => Some(Opcode::Text),
            0x2 => Some(Opcode::Binary),
            0x8 => Some(Opcode::Close),
            0x9 => Some(Opcode::Ping),
            0xA => Some(Opcode::Pong),
            _ => None,
        }
    }

    /// The number, in the low four bits.
    #[inline]
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// Whether the frame is a control frame: opcodes with the highest bit set (RFC 6455 §5.5).
    #[inline]
    pub const fn is_control(self) -> bool {
        self.bits() & 0b1000 != 0
    }
}

/// The reserved bits RSV1, RSV2 and RSV3: zero, unless an extension gives them a meaning (§5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rsv(u8);

impl Rsv {
    /// No bit is set.
    pub const NONE: Rsv = Rsv(0b000);
    /// The bit that permessage-deflate uses (RFC 7692 §6).
    pub const RSV1: Rsv = Rsv(0b100);
    /// Nobody's bit yet.
    pub const RSV2: Rsv = Rsv(0b010);
    /// Nobody's bit yet.
    pub const RSV3: Rsv = Rsv(0b001);

    /// The low three bits of `bits`: RSV1 is 0b100, RSV3 is 0b001.
    #[inline]
    pub const fn from_bits(bits: u8) -> Rsv {
        Rsv(bits & 0b111)
    }

    /// The bits, in the low three.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether no bit is set.
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// Everything a frame says in front of its payload (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// FIN: this is the last frame of its message. True for every control frame.
    pub fin: bool,
    /// RSV1, RSV2, RSV3. Not judged here: what they may be was negotiated.
    pub rsv: Rsv,
    /// What the frame is.
    pub opcode: Opcode,
    /// The key if MASK is set: always in frames of a client, never in those of a server (§5.1).
    pub masking_key: Option<MaskingKey>,
    /// How many bytes of payload follow: at most [`PAYLOAD_LEN_MAX`](FrameHeader::PAYLOAD_LEN_MAX).
    pub payload_len: u64,
}

impl FrameHeader {
    /// The longest header in bytes: 2, 8 of extended payload length, 4 of masking key.
    pub const LEN_MAX: usize = 14;

    /// The longest payload that a header can announce: 2^63 - 1 bytes, the top bit being zero
    /// (§5.2).
    pub const PAYLOAD_LEN_MAX: u64 = u64::MAX >> 1;

    /// The longest payload of a control frame, in bytes (§5.5).
    pub const CONTROL_PAYLOAD_LEN_MAX: u64 = 125;

    /// Reads the header at the start of `bytes`; what follows it is not looked at.
    ///
    /// # Errors
    ///
    /// As early as the bytes allow. From the first byte on:
    /// [`ReservedOpcode`](ProtocolError::ReservedOpcode) and
    /// [`ControlFragmented`](ProtocolError::ControlFragmented). From the second on:
    /// [`ControlTooLong`](ProtocolError::ControlTooLong). With the last byte of an extended payload
    /// length: [`LengthTooLarge`](ProtocolError::LengthTooLarge) and
    /// [`LengthNotMinimal`](ProtocolError::LengthNotMinimal). If several apply, the first in this
    /// order is reported, however many bytes there are.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Parsed<FrameHeader>, ProtocolError> {
        let Some(&first) = bytes.first() else {
            return Ok(Parsed::Partial);
        };
        // RFC 6455 §5.2: if an unknown opcode is received, the connection MUST be failed.
        let Some(opcode) = Opcode::from_bits(first & OPCODE) else {
            return Err(ProtocolError::ReservedOpcode);
        };
        let fin = first & FIN != 0;
        // RFC 6455 §5.5: control frames MUST NOT be fragmented.
        if opcode.is_control() && !fin {
            return Err(ProtocolError::ControlFragmented);
        }
        let Some(&second) = bytes.get(1) else {
            return Ok(Parsed::Partial);
        };
        // RFC 6455 §5.5: control frames MUST have a payload length of 125 bytes or less.
        if opcode.is_control() && second & PAYLOAD_LEN > LEN_7_BITS_MAX {
            return Err(ProtocolError::ControlTooLong);
        }
        let (payload_len, key_start) = match second & PAYLOAD_LEN {
            LEN_IN_16_BITS => match bytes[2..].first_chunk() {
                Some(&octets) => (minimal_16_bits(octets)?, 4),
                None => return Ok(Parsed::Partial),
            },
            LEN_IN_64_BITS => match bytes[2..].first_chunk() {
                Some(&octets) => (minimal_64_bits(octets)?, 10),
                None => return Ok(Parsed::Partial),
            },
            len => (u64::from(len), 2),
        };
        let (masking_key, len) = if second & MASK == 0 {
            (None, key_start)
        } else {
            match bytes[key_start..].first_chunk() {
                Some(&key) => (Some(MaskingKey(key)), key_start + 4),
                None => return Ok(Parsed::Partial),
            }
        };
        let rsv = Rsv::from_bits(first >> RSV_SHIFT);
        let value = FrameHeader { fin, rsv, opcode, masking_key, payload_len };
        Ok(Parsed::Complete { value, len })
    }

    /// The length of the header itself in bytes: 2 to 14.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "no header is empty")]
    pub fn len(&self) -> usize {
        let extended = match self.payload_len {
            0..=125 => 0,
            126..=0xFFFF => 2,
            _ => 8,
        };
        2 + extended + if self.masking_key.is_some() { 4 } else { 0 }
    }

    /// Appends the header to `out`, with the payload length in as few bytes as possible (§5.2).
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        self.put(|octets| out.extend_from_slice(octets));
    }

    /// The header as bytes on the stack, with the payload length in as few bytes as possible
    /// (§5.2).
    ///
    /// It writes what it is told: a fragmented control frame is the caller's mistake.
    pub fn encode(&self) -> EncodedHeader {
        let mut encoded = EncodedHeader { bytes: [0; Self::LEN_MAX], len: 0 };
        self.put(|octets| {
            let start = usize::from(encoded.len);
            encoded.bytes[start..start + octets.len()].copy_from_slice(octets);
            encoded.len += octets.len() as u8;
        });
        encoded
    }

    /// Hands out the header's octets in a row, in arrays: one whose length is known is one store,
    /// where a slice would be a call.
    #[inline(always)]
    pub(crate) fn put(&self, mut out: impl FnMut(&[u8])) {
        debug_assert!(self.payload_len <= Self::PAYLOAD_LEN_MAX, "invariant: the top bit is zero");
        let fin = if self.fin { FIN } else { 0 };
        let first = fin | self.rsv.bits() << RSV_SHIFT | self.opcode.bits();
        let mask = if self.masking_key.is_some() { MASK } else { 0 };
        match self.payload_len {
            len @ 0..=125 => out(&[first, mask | len as u8]),
            len @ 126..=0xFFFF => {
                let [high, low] = (len as u16).to_be_bytes();
                out(&[first, mask | LEN_IN_16_BITS, high, low]);
            }
            len => {
                out(&[first, mask | LEN_IN_64_BITS]);
                out(&len.to_be_bytes());
            }
        }
        if let Some(MaskingKey(key)) = self.masking_key {
            out(&key);
        }
    }
}

/// One line as a dissector has it: `FIN Text, mask 37fa213d, 5 bytes`.
impl fmt::Display for FrameHeader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fin {
            out.write_str("FIN ")?;
        }
        for (bit, name) in [(Rsv::RSV1, "RSV1 "), (Rsv::RSV2, "RSV2 "), (Rsv::RSV3, "RSV3 ")] {
            if self.rsv.bits() & bit.bits() != 0 {
                out.write_str(name)?;
            }
        }
        write!(out, "{:?}, ", self.opcode)?;
        match self.masking_key {
            Some(key) => write!(out, "mask {key}, ")?,
            None => out.write_str("no mask, ")?,
        }
        let unit = if self.payload_len == 1 { "byte" } else { "bytes" };
        write!(out, "{} {unit}", self.payload_len)
    }
}

/// A header as it stands on the wire, without an allocation. Dereferences to its bytes.
#[derive(Clone, Copy, Debug)]
pub struct EncodedHeader {
    bytes: [u8; FrameHeader::LEN_MAX],
    // Invariant: 2 <= len <= 14.
    len: u8,
}

impl Deref for EncodedHeader {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for EncodedHeader {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[inline]
fn minimal_16_bits(octets: [u8; 2]) -> Result<u64, ProtocolError> {
    let payload_len = u16::from_be_bytes(octets);
    // RFC 6455 §5.2: the minimal number of bytes MUST be used to encode the length.
    if payload_len <= u16::from(LEN_7_BITS_MAX) {
        return Err(ProtocolError::LengthNotMinimal);
    }
    Ok(u64::from(payload_len))
}

#[inline]
fn minimal_64_bits(octets: [u8; 8]) -> Result<u64, ProtocolError> {
    let payload_len = u64::from_be_bytes(octets);
    // RFC 6455 §5.2: the most significant bit MUST be 0.
    if payload_len > FrameHeader::PAYLOAD_LEN_MAX {
        return Err(ProtocolError::LengthTooLarge);
    }
    // RFC 6455 §5.2: the minimal number of bytes MUST be used to encode the length.
    if payload_len <= u64::from(u16::MAX) {
        return Err(ProtocolError::LengthNotMinimal);
    }
    Ok(payload_len)
}

/// First byte.
const FIN: u8 = 0b1000_0000;
/// RSV1, RSV2 and RSV3 are the bits 0b0111_0000 of the first byte.
const RSV_SHIFT: u32 = 4;
/// First byte.
const OPCODE: u8 = 0b0000_1111;
/// Second byte.
const MASK: u8 = 0b1000_0000;
/// Second byte.
const PAYLOAD_LEN: u8 = 0b0111_1111;
/// The longest payload length that the second byte itself can hold.
const LEN_7_BITS_MAX: u8 = 125;
/// The payload length is in the next two bytes.
const LEN_IN_16_BITS: u8 = 126;
/// The payload length is in the next eight bytes.
const LEN_IN_64_BITS: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> (FrameHeader, usize) {
        match FrameHeader::parse(bytes).unwrap() {
            Parsed::Complete { value, len } => (value, len),
            Parsed::Partial => panic!("partial: {bytes:02x?}"),
        }
    }

    /// The examples of RFC 6455 §5.7: the frame, the length of its header, and its line.
    const EXAMPLES: [(&[u8], usize, &str); 8] = [
        (b"\x81\x05Hello", 2, "FIN Text, no mask, 5 bytes"),
        (b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 6, "FIN Text, mask 37fa213d, 5 bytes"),
        (b"\x01\x03Hel", 2, "Text, no mask, 3 bytes"),
        (b"\x80\x02lo", 2, "FIN Continuation, no mask, 2 bytes"),
        (b"\x89\x05Hello", 2, "FIN Ping, no mask, 5 bytes"),
        (b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 6, "FIN Pong, mask 37fa213d, 5 bytes"),
        (b"\x82\x7e\x01\x00", 4, "FIN Binary, no mask, 256 bytes"),
        (b"\x82\x7f\0\0\0\0\0\x01\0\0", 10, "FIN Binary, no mask, 65536 bytes"),
    ];

    #[test]
    fn the_examples_of_section_5_7_parse_and_are_written_back() {
        for (frame, len, line) in EXAMPLES {
            let (header, header_len) = parsed(frame);
            assert_eq!(header.to_string(), line);
            assert_eq!((header_len, header.len()), (len, len), "{line}");
            assert_eq!(&*header.encode(), &frame[..len], "{line}");
            for capacity in [1, 1 + len, 100] {
                let mut out = Vec::with_capacity(capacity);
                out.push(0xEE);
                header.write(&mut out);
                assert_eq!(out[0], 0xEE);
                assert_eq!(out[1..], frame[..len], "{line}: write appends");
                assert!(capacity == 1 || out.capacity() == capacity, "{line}: room enough");
            }
        }
    }

    #[test]
    fn all_first_two_bytes_are_judged_as_the_table_of_the_rfc_says() {
        // Miri takes too long for all of them: each first byte, and the second ones that differ.
        let seconds: Vec<u8> = match cfg!(miri) {
            true => vec![0x00, 0x7D, 0x7E, 0xFF],
            false => (0..=255).collect(),
        };
        for first in 0..=255 {
            for &second in &seconds {
                // Enough for any header; 0x0101.. is minimal as 16 and as 64 bits.
                let bytes = [&[first, second][..], &[1; 12]].concat();
                let (opcode, payload_len) = (first & 0x0F, second & 0x7F);
                let expected = match opcode {
                    0x3..=0x7 | 0xB..=0xF => Err(ProtocolError::ReservedOpcode),
                    0x8..=0xA if first < 0x80 => Err(ProtocolError::ControlFragmented),
                    0x8..=0xA if payload_len > 125 => Err(ProtocolError::ControlTooLong),
                    _ => Ok(()),
                };
                let actual = FrameHeader::parse(&bytes);
                assert_eq!(actual.map(|_| ()), expected, "{first:02x} {second:02x}");
                if actual.is_ok() {
                    let (header, len) = parsed(&bytes);
                    assert_eq!(*header.encode(), bytes[..len], "{first:02x} {second:02x}");
                }
            }
        }
    }

    #[test]
    fn reserved_bits_are_kept_and_shown() {
        let (header, _) = parsed(&[0xC1, 0x01]);
        assert_eq!(header.rsv, Rsv::RSV1);
        assert_eq!(header.to_string(), "FIN RSV1 Text, no mask, 1 byte");
        let (header, _) = parsed(&[0x32, 0x00]);
        assert_eq!(header.rsv.bits(), Rsv::RSV2.bits() | Rsv::RSV3.bits());
        assert_eq!(header.to_string(), "RSV2 RSV3 Binary, no mask, 0 bytes");
        assert!(!header.rsv.is_none());
        assert_eq!(Rsv::from_bits(0xF8), Rsv::NONE);
    }

    #[test]
    fn a_header_fits_two_words() {
        assert_eq!(size_of::<FrameHeader>(), 16);
    }

    #[test]
    fn opcodes_are_four_bits_and_control_has_the_highest() {
        let known: Vec<u8> = (0..=255).filter(|&bits| Opcode::from_bits(bits).is_some()).collect();
        assert_eq!(known, [0x0, 0x1, 0x2, 0x8, 0x9, 0xA]);
        for bits in known {
            let opcode = Opcode::from_bits(bits).unwrap();
            assert_eq!(opcode.bits(), bits);
            assert_eq!(opcode.is_control(), bits >= 8);
        }
    }
}
