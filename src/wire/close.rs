//! The payload of a Close frame: why a connection ends.
//!
//! RFC 6455 §5.5.1: nothing at all, or a close code in two bytes, network byte order, and then a
//! close reason in UTF-8. A control frame holds at most 125 bytes, so the reason has at most 123.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |          close code           |   close reason (UTF-8) ...    |
//! +-------------------------------+-------------------------------+
//! ```
//!
//! Worked example, a server that is about to stop says so:
//!
//! ```text
//! 88            FIN = 1, opcode 8 (Close)
//! 05            MASK = 0, payload length 5
//! 03 e9         close code 0x03e9 = 1001 (going away)
//! 62 79 65      close reason "bye"
//! ```
//!
//! Which codes may be on the wire (§7.4.1, §7.4.2, and the registry of IANA that §11.7 set up):
//!
//! ```text
//!    0- 999   never                    1007-1011   yes, defined by the RFC
//! 1000-1003   yes, defined by the RFC  1012-1014   yes, registered later
//! 1004        never: reserved          1015-2999   never: 1015 means a failed TLS handshake,
//! 1005        never: "no code came"                the others are undefined
//! 1006        never: "no Close came"   3000-4999   yes, for libraries and applications
//!                                      5000-       never
//! ```
//!
//! What this module does *not* know: the closing handshake (who answers whom and who drops TCP).

use std::fmt;

use super::{ProtocolError, utf8};

/// A close code: one that may be on the wire, or one of the two that stand for its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose for which the connection was opened is fulfilled.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: a server goes down, or a browser leaves the page.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// 1003: a kind of data this endpoint cannot accept, such as binary where text is spoken.
    pub const UNSUPPORTED_DATA: CloseCode = CloseCode(1003);
    /// 1005: the peer's Close frame had no code. Never on the wire.
    pub const NO_STATUS: CloseCode = CloseCode(1005);
    /// 1006: the connection ended without a Close frame. Never on the wire.
    pub const ABNORMAL: CloseCode = CloseCode(1006);
    /// 1007: a message is not what its type says, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// 1008: the peer broke a rule of this endpoint that has no code of its own.
    pub const POLICY_VIOLATION: CloseCode = CloseCode(1008);
    /// 1009: a message is longer than this endpoint takes.
    pub const MESSAGE_TOO_BIG: CloseCode = CloseCode(1009);
    /// 1010: the client needs an extension that the server did not negotiate. Sent by clients only.
    pub const MANDATORY_EXTENSION: CloseCode = CloseCode(1010);
    /// 1011: the server met a condition that keeps it from fulfilling the request.
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);
    /// 1012: the server restarts; come back after a while (registered with IANA).
    pub const SERVICE_RESTART: CloseCode = CloseCode(1012);
    /// 1013: the server is overloaded; come back later (registered with IANA).
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);
    /// 1014: a gateway got an invalid answer from the server behind it (registered with IANA).
    pub const BAD_GATEWAY: CloseCode = CloseCode(1014);

    /// The code that a Close frame carries, or `None` if no frame may carry it.
    pub const fn from_wire(code: u16) -> Option<CloseCode> {
        match code {
            // RFC 6455 §7.4.1: 1004, 1005, 1006 and 1015 MUST NOT be set in a Close frame.
            1000..=1003 | 1007..=1014 => Some(CloseCode(code)),
            // RFC 6455 §7.4.2: registered by libraries, and private agreement.
            3000..=4999 => Some(CloseCode(code)),
            _ => None,
        }
    }

    /// A code with a meaning of the application's own: 3000 to 4999 (RFC 6455 §7.4.2).
    pub const fn application(code: u16) -> Option<CloseCode> {
        match code {
            3000..=4999 => Some(CloseCode(code)),
            _ => None,
        }
    }

    /// The number.
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Whether a Close frame may carry the code; false for 1005 and 1006 only.
    pub const fn is_sendable(self) -> bool {
        CloseCode::from_wire(self.0).is_some()
    }

    const fn name(self) -> &'static str {
        match self {
            CloseCode::NORMAL => "normal closure",
            CloseCode::GOING_AWAY => "going away",
            CloseCode::PROTOCOL_ERROR => "protocol error",
            CloseCode::UNSUPPORTED_DATA => "unsupported data",
            CloseCode::NO_STATUS => "no status received",
            CloseCode::ABNORMAL => "abnormal closure",
            CloseCode::INVALID_PAYLOAD => "invalid payload",
            CloseCode::POLICY_VIOLATION => "policy violation",
            CloseCode::MESSAGE_TOO_BIG => "message too big",
            CloseCode::MANDATORY_EXTENSION => "mandatory extension",
            CloseCode::INTERNAL_ERROR => "internal error",
            CloseCode::SERVICE_RESTART => "service restart",
            CloseCode::TRY_AGAIN_LATER => "try again later",
            CloseCode::BAD_GATEWAY => "bad gateway",
            CloseCode(3000..=3999) => "registered",
            _ => "private use",
        }
    }
}

/// The number and its name: `1002 (protocol error)`.
impl fmt::Display for CloseCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.0, self.name())
    }
}

/// What a Close frame says. The reason is meant for the people who debug; programs go by the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosePayload<'a> {
    /// Why the connection ends.
    pub code: CloseCode,
    /// The same in words, or empty. It comes from the peer: escape it before you show it.
    pub reason: &'a str,
}

impl<'a> ClosePayload<'a> {
    /// The longest reason, in bytes: 125 for a control frame (RFC 6455 §5.5), less two for the
    /// code.
    pub const REASON_LEN_MAX: usize = 123;

    /// Reads the whole, unmasked payload of a Close frame. `None` is an empty payload, which means
    /// [`CloseCode::NO_STATUS`].
    ///
    /// # Errors
    ///
    /// [`ClosePayloadTooShort`](ProtocolError::ClosePayloadTooShort) for a payload of one byte,
    /// [`CloseCodeInvalid`](ProtocolError::CloseCodeInvalid), and then
    /// [`CloseReasonNotUtf8`](ProtocolError::CloseReasonNotUtf8): the code is judged before the
    /// reason.
    pub fn parse(payload: &'a [u8]) -> Result<Option<ClosePayload<'a>>, ProtocolError> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            // RFC 6455 §5.5.1: if there is a body, its first two bytes MUST be a close code.
            return if payload.is_empty() {
                Ok(None)
            } else {
                Err(ProtocolError::ClosePayloadTooShort)
            };
        };
        let code = CloseCode::from_wire(u16::from_be_bytes(*code))
            .ok_or(ProtocolError::CloseCodeInvalid)?;
        // RFC 6455 §5.5.1, §8.1: the reason is UTF-8; if it is not, the connection MUST be failed.
        let reason = utf8::validate(reason).map_err(|_| ProtocolError::CloseReasonNotUtf8)?;
        Ok(Some(ClosePayload { code, reason }))
    }

    /// Appends the payload to `out`: at most 125 bytes. A longer reason is cut at a character.
    ///
    /// A code that may not be on the wire (1005, 1006) is written as what it stands for: nothing.
    pub fn write(&self, out: &mut Vec<u8>) {
        // RFC 6455 §7.4.1: 1005 and 1006 MUST NOT be set as a close code by an endpoint.
        if !self.code.is_sendable() {
            return;
        }
        let mut reason_len = self.reason.len().min(Self::REASON_LEN_MAX);
        // At most three steps; 0 is always a boundary.
        while !self.reason.is_char_boundary(reason_len) {
            reason_len -= 1;
        }
        out.extend_from_slice(&self.code.as_u16().to_be_bytes());
        out.extend_from_slice(&self.reason.as_bytes()[..reason_len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(code: CloseCode, reason: &str) -> Vec<u8> {
        let mut out = Vec::new();
        ClosePayload { code, reason }.write(&mut out);
        out
    }

    #[test]
    fn the_worked_example_parses_and_is_written_back() {
        let payload = [0x03, 0xe9, 0x62, 0x79, 0x65];
        let close = ClosePayload::parse(&payload).unwrap().unwrap();
        assert_eq!(close, ClosePayload { code: CloseCode::GOING_AWAY, reason: "bye" });
        assert_eq!(written(close.code, close.reason), payload);
    }

    #[test]
    fn the_table_of_codes_holds_for_all_65536() {
        // Miri takes too long for all of them: the beginning, in which every row is.
        for code in 0..=if cfg!(miri) { 5_010 } else { u16::MAX } {
            let allowed = match code {
                0..=999 => false,
                1000..=1003 => true,
                1004..=1006 => false,
                1007..=1014 => true,
                1015..=2999 => false,
                3000..=4999 => true,
                5000.. => false,
            };
            let from_wire = CloseCode::from_wire(code);
            assert_eq!(from_wire.map(CloseCode::as_u16), allowed.then_some(code), "{code}");
            assert!(from_wire.is_none_or(CloseCode::is_sendable), "{code}");
            assert_eq!(CloseCode::application(code).is_some(), (3000..=4999).contains(&code));
        }
    }

    #[test]
    fn the_codes_that_stand_for_absence_are_not_written() {
        for code in [CloseCode::NO_STATUS, CloseCode::ABNORMAL] {
            assert!(!code.is_sendable());
            assert_eq!(written(code, "ignored"), b"");
        }
        assert_eq!(ClosePayload::parse(b""), Ok(None));
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let reason = "\u{20ac}".repeat(42); // 126 bytes in threes: 123 is a boundary
        assert_eq!(written(CloseCode::NORMAL, &reason).len(), 125);
        for (shift, len) in [("a", 2 + 121), ("ab", 2 + 122), ("abc", 2 + 123)] {
            let payload = written(CloseCode::NORMAL, &format!("{shift}{reason}"));
            assert_eq!(payload.len(), len, "shifted by {shift}");
            assert!(ClosePayload::parse(&payload).unwrap().is_some());
        }
        let crabs = "\u{1f980}".repeat(31); // 124 bytes in fours
        assert_eq!(written(CloseCode::NORMAL, &crabs).len(), 2 + 120);
    }

    #[test]
    fn a_code_is_judged_before_its_reason() {
        assert_eq!(ClosePayload::parse(b"\x03"), Err(ProtocolError::ClosePayloadTooShort));
        assert_eq!(
            ClosePayload::parse(b"\x03\xe7\xff"), // 999
            Err(ProtocolError::CloseCodeInvalid)
        );
        assert_eq!(
            ClosePayload::parse(b"\x03\xe8\xff"), // 1000
            Err(ProtocolError::CloseReasonNotUtf8)
        );
    }

    #[test]
    fn a_code_is_shown_with_its_name() {
        assert_eq!(CloseCode::PROTOCOL_ERROR.to_string(), "1002 (protocol error)");
        assert_eq!(CloseCode::application(3000).unwrap().to_string(), "3000 (registered)");
        assert_eq!(CloseCode::application(4503).unwrap().to_string(), "4503 (private use)");
    }
}
