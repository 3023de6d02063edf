//! The ways in which a peer can break RFC 6455 and RFC 7692, and what each of them costs.
//!
//! RFC 6455 mostly says "_Fail the WebSocket Connection_" and leaves the rest to a chain of
//! references: which rule was broken (§5, §8), and which close code tells the peer so (§7.4.1). The
//! table below is that chain in one place. A line of it is everything Switchboard knows about an
//! error.
//!
//! Worked example: a browser never sends an unmasked frame, but a broken client may:
//!
//! ```text
//! 81 05 48 65 6c 6c 6f     FIN Text, no mask, 5 bytes: "Hello"
//!    ^^ MASK = 0           §5.1: the server fails the connection with ...
//! 88 02 03 ea              FIN Close, no mask, 2 bytes: 0x03ea = 1002 (protocol error)
//! ```
//!
//! What this module does *not* know: who the peer is, and what the application thinks of it. A
//! normal close is not an error, and neither is an incomplete frame ([`Parsed::Partial`]).
//!
//! [`Parsed::Partial`]: super::Parsed::Partial

use std::error::Error;
use std::fmt;

use super::CloseCode;

/// Writes the enum and its three questions from one table, so that they cannot disagree.
macro_rules! protocol_errors {
    ($(
        $(#[$doc:meta])+
        $variant:ident, $rfc:literal $section:literal, $close_code:ident, $text:literal;
    )+) => {
        /// The peer broke a rule of RFC 6455 or RFC 7692. The connection is failed (§7.1.7) with
        /// [`close_code`](ProtocolError::close_code).
        ///
        /// Variants stand in the order of the RFCs. One byte, and no text is built when one occurs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ProtocolError {
            $($(#[$doc])+ $variant,)+
        }

        impl ProtocolError {
            /// Every variant, in the order of the RFCs.
            pub const ALL: &[ProtocolError] = &[$(ProtocolError::$variant),+];

            /// The close code that tells the peer what it did (RFC 6455 §7.4.1).
            pub const fn close_code(self) -> CloseCode {
                match self {
                    $(ProtocolError::$variant => CloseCode::$close_code,)+
                }
            }

            /// The number of the RFC that has the broken rule.
            pub const fn rfc(self) -> u16 {
                match self {
                    $(ProtocolError::$variant => $rfc,)+
                }
            }

            /// The section of that RFC, for example `"5.1"`.
            pub const fn section(self) -> &'static str {
                match self {
                    $(ProtocolError::$variant => $section,)+
                }
            }

            /// What is wrong, in the words of the RFC: lower case, short enough for a close reason.
            pub const fn text(self) -> &'static str {
                match self {
                    $(ProtocolError::$variant => $text,)+
                }
            }
        }
    };
}

protocol_errors! {
    /// A client sent a frame that is not masked.
    MaskRequired, 6455 "5.1", PROTOCOL_ERROR, "client frame is not masked";
    /// A server sent a frame that is masked.
    MaskForbidden, 6455 "5.1", PROTOCOL_ERROR, "server frame is masked";
    /// RSV1, RSV2 or RSV3 is set and no extension was negotiated that gives it a meaning.
    ReservedBits, 6455 "5.2", PROTOCOL_ERROR, "reserved bit is set without an extension";
    /// The opcode is one of 0x3-7 and 0xB-F.
    ReservedOpcode, 6455 "5.2", PROTOCOL_ERROR, "reserved opcode";
    /// The payload length takes more bytes than it needs.
    LengthNotMinimal, 6455 "5.2", PROTOCOL_ERROR, "payload length not minimal";
    /// The most significant bit of a 64-bit payload length is set.
    LengthTooLarge, 6455 "5.2", PROTOCOL_ERROR, "payload length has its most significant bit set";
    /// A continuation frame came while no message was being sent in fragments.
    UnexpectedContinuation, 6455 "5.4", PROTOCOL_ERROR, "continuation frame without a message";
    /// A new message began before the last fragment of the one before it.
    ExpectedContinuation, 6455 "5.4", PROTOCOL_ERROR, "data frame inside a fragmented message";
    /// A control frame has a payload of more than 125 bytes.
    ControlTooLong, 6455 "5.5", PROTOCOL_ERROR, "control frame payload longer than 125 bytes";
    /// A control frame has FIN = 0.
    ControlFragmented, 6455 "5.5", PROTOCOL_ERROR, "control frame is fragmented";
    /// A Close frame has a payload of one byte: half a close code.
    ClosePayloadTooShort, 6455 "5.5.1", PROTOCOL_ERROR, "close payload of one byte";
    /// The close reason is not UTF-8.
    CloseReasonNotUtf8, 6455 "5.5.1", INVALID_PAYLOAD, "close reason is not utf-8";
    /// The close code is one that must not be sent, or one that nobody has defined.
    CloseCodeInvalid, 6455 "7.4", PROTOCOL_ERROR, "close code invalid";
    /// The message is longer than the limit of this endpoint.
    MessageTooBig, 6455 "7.4.1", MESSAGE_TOO_BIG, "message too big";
    /// A text message is not UTF-8.
    TextNotUtf8, 6455 "8.1", INVALID_PAYLOAD, "text message is not utf-8";
    /// The message has more frames than the limit of this endpoint.
    TooManyFrames, 6455 "10.4", POLICY_VIOLATION, "message has too many frames";
    /// The compressed bit (RSV1) of permessage-deflate is set on a control frame or a continuation.
    CompressedBitMisplaced, 7692 "6", PROTOCOL_ERROR, "compressed bit not on a first data frame";
    /// A compressed message cannot be decompressed, or ends in the middle.
    CompressedDataInvalid, 7692 "7.2.2", INVALID_PAYLOAD, "compressed message is corrupt";
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.text())
    }
}

impl Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_byte_and_so_is_an_optional_one() {
        assert_eq!(size_of::<ProtocolError>(), 1);
        assert_eq!(size_of::<Option<ProtocolError>>(), 1);
    }

    #[test]
    fn every_error_can_be_told_to_the_peer() {
        for &error in ProtocolError::ALL {
            assert!(error.close_code().is_sendable(), "{error:?}");
            assert!(error.text().len() <= 123, "{error:?}: does not fit a close reason");
        }
    }

    #[test]
    fn texts_are_lower_case_without_trailing_stop_and_differ() {
        for (index, error) in ProtocolError::ALL.iter().enumerate() {
            let text = error.to_string();
            assert_eq!(text, text.to_lowercase());
            assert!(!text.ends_with('.'), "{text}");
            assert!(ProtocolError::ALL[..index].iter().all(|other| other.text() != text));
        }
    }

    #[test]
    fn variants_stand_in_the_order_of_the_rfcs() {
        let section = |error: &ProtocolError| -> Vec<u32> {
            let parts = error.section().split('.').map(|part| part.parse().unwrap());
            [u32::from(error.rfc())].into_iter().chain(parts).collect()
        };
        assert!(ProtocolError::ALL.is_sorted_by_key(section));
    }
}
