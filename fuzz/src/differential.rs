//! The same frames through Switchboard and through tungstenite.
//!
//! ```text
//! input
//! 00                 bit 0: who reads: 0 the server, 1 the client; bits 1-2: which limits
//! 81 85 37 fa ...    the stream, handed to both frame by frame
//! ```
//!
//! After each frame both must have said the same, and stand the same: open, closed, or failed with
//! the same code. Where they do not, one line of `DIFFERENCES` must allow it. A line says in which
//! cases it applies and why the two may differ there; after such a frame they are in different
//! states, and the comparison ends.
//!
//! What is not compared: what they send by themselves on an error, because tungstenite leaves that
//! to its caller; and the reason in the answer to a Close, which Switchboard leaves out.

mod other;

use crate::naive::{End, Event, Limits, Role};
use crate::subject::Subject;
use other::Other;
use switchboard::wire::ProtocolError;

/// How one side stands after a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It waits for more.
    Open,
    /// The peer's Close came.
    Closed,
    /// It fails the connection, with this close code.
    Failed(u16),
}

/// One frame, and what both made of it.
#[derive(Debug)]
struct Case<'c> {
    frame: &'c Frame,
    limits: &'c Limits,
    role: Role,
    /// What Switchboard found wrong, if it did.
    error: Option<ProtocolError>,
    ours: (&'c [Event], &'c Verdict),
    theirs: (&'c [Event], &'c Verdict),
}

/// A way in which the two may differ.
struct Difference {
    /// Why neither is wrong, or why tungstenite is.
    reason: &'static str,
    /// Whether it explains a case.
    explains: fn(&Case<'_>) -> bool,
}

/// Everything in which tungstenite 0.30 may differ from Switchboard.
const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: "Switchboard judges a frame by its header, and text by each octet that has come; \
                 tungstenite when all of the payload is there. RFC 6455 §7.1.7 does not say when, \
                 and §8.1 not either. Early is less to hold.",
        explains: |case| {
            let waits = case.theirs == (&[], &Verdict::Open) && !case.frame.is_complete;
            waits && case.error.is_some()
        },
    },
    Difference {
        reason: "RFC 6455 §5.2: the minimal number of bytes MUST be used for the length. \
                 tungstenite takes any.",
        explains: |case| {
            let refused = [ProtocolError::LengthNotMinimal, ProtocolError::ControlTooLong];
            !case.frame.is_minimal && case.error.is_some_and(|error| refused.contains(&error))
        },
    },
    Difference {
        reason: "RFC 6455 §5.2: the most significant bit of the length MUST be 0, which is a \
                 protocol error (1002). For tungstenite it is a message that is too big (1009).",
        explains: |case| {
            let top_bit = case.frame.payload_len >> 63 == 1;
            top_bit && case.ours.1 == &Verdict::Failed(1002) && case.fails_with(1009)
        },
    },
    Difference {
        reason: "A frame with several faults: which one is named first is left open. tungstenite \
                 looks at the length before anything else.",
        explains: |case| {
            let is_long = case.frame.payload_len > case.limits.message_bytes_max;
            is_long && case.has_fault() && case.fails_with(1009)
        },
    },
    Difference {
        reason: "A close code that may not be sent (RFC 6455 §7.4): Switchboard fails the \
                 connection with 1002; tungstenite reports a Close that came with 1002.",
        explains: |case| {
            let violation = Event::Close(Some((1002, "Protocol violation".to_owned())));
            case.error == Some(ProtocolError::CloseCodeInvalid) && case.theirs.0 == [violation]
        },
    },
    Difference {
        reason: "A close code that may not be sent, with a reason that is no UTF-8: Switchboard \
                 judges the code first (1002), tungstenite the reason (1007).",
        explains: |case| {
            case.error == Some(ProtocolError::CloseCodeInvalid) && case.fails_with(1007)
        },
    },
    Difference {
        reason: "1014 (bad gateway) is in IANA's registry of close codes; tungstenite does not \
                 know it, and reports 1002.",
        explains: |case| {
            let violation = Event::Close(Some((1002, "Protocol violation".to_owned())));
            let code = |event: &Event| matches!(event, Event::Close(Some((1014, _))));
            case.ours.0.iter().all(code) && case.theirs.0 == [violation]
        },
    },
    Difference {
        reason: "tungstenite does not count the frames of a message: fragments of no length are \
                 free. Switchboard has a limit (RFC 6455 §10.4), with the code 1008.",
        explains: |case| case.error == Some(ProtocolError::TooManyFrames),
    },
];

impl Case<'_> {
    fn fails_with(&self, code: u16) -> bool {
        self.theirs == (&[], &Verdict::Failed(code))
    }

    /// Whether something but its length is wrong with the frame, by its first two bytes; or it
    /// does not fit what came before, as Switchboard found.
    fn has_fault(&self) -> bool {
        let Frame { first, second, .. } = *self.frame;
        let opcode = first & 0xF;
        let unknown = (0x3..=0x7).contains(&opcode) || opcode >= 0xB;
        let must_be_masked = self.role == Role::Server;
        first & 0x70 != 0
            || unknown
            || (opcode >= 0x8 && (first & 0x80 == 0 || self.frame.payload_len > 125))
            || (second & 0x80 != 0) != must_be_masked
            || self.error == Some(ProtocolError::UnexpectedContinuation)
            || self.error == Some(ProtocolError::ExpectedContinuation)
    }
}

/// Holds the rule above for one input.
pub fn check(input: &[u8]) {
    let Some((flags, stream)) = input.split_first() else { return };
    let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
    // A control frame must fit: tungstenite has one limit for all frames.
    let limits = match flags >> 1 & 3 {
        0 => Limits { message_bytes_max: 1 << 20, message_frames_max: 10_000 },
        1 => Limits { message_bytes_max: 300, message_frames_max: 10_000 },
        2 => Limits { message_bytes_max: 125, message_frames_max: 3 },
        _ => Limits { message_bytes_max: 70_000, message_frames_max: 3 },
    };
    let mut ours = Subject::new(role, &limits);
    let mut theirs = Other::new(role, &limits);
    let mut rest = stream;
    while !rest.is_empty() {
        let frame = Frame::first_of(rest);
        let (bytes, behind) = rest.split_at(frame.len.min(rest.len()));
        rest = behind;
        ours.receive(bytes);
        theirs.receive(bytes);
        let events = ours.take_events();
        let (verdict, error) = match ours.end() {
            End::Open => (Verdict::Open, None),
            End::Closed => (Verdict::Closed, None),
            End::Failed(error) => (Verdict::Failed(error.close_code().as_u16()), Some(error)),
        };
        let (their_events, their_verdict) = theirs.take();
        let ours = (&events[..], &verdict);
        let theirs = (&their_events[..], &their_verdict);
        if ours != theirs {
            let case = Case { frame: &frame, limits: &limits, role, error, ours, theirs };
            let known = DIFFERENCES.iter().any(|difference| (difference.explains)(&case));
            assert!(known, "a difference without a reason: {case:?}");
            return;
        }
        if verdict != Verdict::Open {
            break;
        }
    }
    let pongs = |said: Vec<Event>| -> Vec<Event> {
        said.into_iter().filter(|event| matches!(event, Event::Pong(_))).collect()
    };
    assert_eq!(pongs(ours.said()), theirs.pongs(), "what was answered to pings");
}

/// Every reason, for the documentation.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    DIFFERENCES.iter().map(|difference| difference.reason)
}

/// Where a frame ends, and what is said in front of its payload: no rule is applied.
#[derive(Debug)]
struct Frame {
    first: u8,
    second: u8,
    payload_len: u64,
    is_minimal: bool,
    /// Header and payload.
    len: usize,
    is_complete: bool,
}

impl Frame {
    fn first_of(bytes: &[u8]) -> Frame {
        let second = bytes.get(1).copied().unwrap_or(0);
        let octets = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let extended = bytes.get(2..2 + octets).unwrap_or(&[]);
        let number = extended.iter().fold(0, |sum: u64, octet| sum << 8 | u64::from(*octet));
        let payload_len = if octets == 0 { u64::from(second & 0x7F) } else { number };
        let smallest = match octets {
            0 => 0,
            2 => 126,
            _ => 65_536,
        };
        let key = if second & 0x80 == 0 { 0 } else { 4 };
        let payload = usize::try_from(payload_len).unwrap_or(usize::MAX);
        let len = payload.saturating_add(2 + octets + key);
        let is_complete = bytes.len() >= 2 && extended.len() == octets && bytes.len() >= len;
        let is_minimal = extended.len() < octets || payload_len >= smallest;
        let len = if extended.len() < octets { usize::MAX } else { len };
        Frame { first: bytes[0], second, payload_len, is_minimal, len, is_complete }
    }
}
