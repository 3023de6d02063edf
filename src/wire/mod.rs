//! Ring 1: bytes in, values out. No state, no I/O, no clock.
//!
//! Everything that RFC 6455 says about *bytes* is here, as functions that can be read, tested and
//! fuzzed one at a time. Everything that it says about *what happens when* (who must mask, which
//! frame may follow which, who closes first) is in the ring around this one, which calls these
//! functions.
//!
//! One frame, whole. A browser's `socket.send("Hello")` becomes eleven bytes (the second example of
//! RFC 6455 §5.7):
//!
//! ```text
//! byte    0     1     2     3     4     5     6     7     8     9    10
//!        81    85    37    fa    21    3d    7f    9f    4d    51    58
//!        |     |     '-- masking key --'    '-- "Hello", masked ---'
//!        |     '- MASK, payload length 5
//!        '- FIN, opcode 1 (Text)
//! ```
//!
//! | byte | hex  | what it is                                                    | module     |
//! |------|------|---------------------------------------------------------------|------------|
//! | 0    | `81` | `1000 0001`: FIN = 1, RSV1-3 = 0, opcode 1 (Text)             | [`header`] |
//! | 1    | `85` | `1000 0101`: MASK = 1, payload length 5                       | [`header`] |
//! | 2    | `37` | masking key, octet 0                                          | [`header`] |
//! | 3    | `fa` | masking key, octet 1                                          | [`header`] |
//! | 4    | `21` | masking key, octet 2                                          | [`header`] |
//! | 5    | `3d` | masking key, octet 3                                          | [`header`] |
//! | 6    | `7f` | payload octet 0: `7f` XOR `37` = `48`, "H"                    | [`mask`]   |
//! | 7    | `9f` | payload octet 1: `9f` XOR `fa` = `65`, "e"                    | [`mask`]   |
//! | 8    | `4d` | payload octet 2: `4d` XOR `21` = `6c`, "l"                    | [`mask`]   |
//! | 9    | `51` | payload octet 3: `51` XOR `3d` = `6c`, "l"                    | [`mask`]   |
//! | 10   | `58` | payload octet 4: `58` XOR `37` = `6f`, "o" (key begins again) | [`mask`]   |
//!
//! The five bytes are UTF-8 ([`utf8`]), as a text message must be. Were the opcode 8, they would be
//! a close code and a reason ([`close`]). Were anything wrong, the answer would be a
//! [`ProtocolError`], which knows its section of the RFC and its close code.

pub mod close;
pub mod deflate;
pub mod error;
pub mod extension;
pub mod handshake;
pub mod header;
pub mod http;
pub mod mask;
pub mod quoted;
pub mod utf8;

pub use close::{CloseCode, ClosePayload};
pub use deflate::{ContextTakeover, DeflateAgreement, DeflateOffer, WindowBits};
pub use error::ProtocolError;
pub use handshake::{Accepted, ClientHandshake, HandshakeError, Upgrade, is_upgrade};
pub use header::{EncodedHeader, FrameHeader, Opcode, Rsv};
pub use http::{
    Body, BodyDecoder, BodyError, BodyLength, HeadScanner, HeaderSlots, Persistence, RequestHead,
    Response,
};
pub use mask::MaskingKey;
pub use quoted::Quoted;
pub use utf8::{InvalidUtf8, Utf8Validator};

/// What a parser says when it is asked for a value at the start of some bytes.
///
/// Incompleteness is not an error: a network hands out bytes as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The value, and how many bytes of the input it took.
    Complete {
        /// The value.
        value: T,
        /// How many bytes of the input the value occupies.
        len: usize,
    },
    /// The bytes are a good beginning; more are needed.
    Partial,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table at the top of this module, byte by byte.
    #[test]
    fn the_frame_of_the_module_doc_is_read_and_written() {
        let mut frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let original = frame;

        let Ok(Parsed::Complete { value: header, len: 6 }) = FrameHeader::parse(&frame) else {
            panic!("the header has six bytes");
        };
        assert!(header.fin);
        assert!(header.rsv.is_none());
        assert_eq!(header.opcode, Opcode::Text);
        assert_eq!(header.masking_key, Some(MaskingKey([0x37, 0xfa, 0x21, 0x3d])));
        assert_eq!(header.payload_len, 5);

        let payload = &mut frame[6..];
        header.masking_key.unwrap().apply(payload);
        assert_eq!(payload, [0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(utf8::validate(payload), Ok("Hello"));

        let mut written = Vec::new();
        header.write(&mut written);
        written.extend_from_slice(payload);
        header.masking_key.unwrap().apply(&mut written[6..]);
        assert_eq!(written, original);
    }
}
