//! A stream of frames, in whatever pieces the network hands it over.
//!
//! ```text
//! input
//! 00                 bit 0: who reads: 0 the server, 1 the client; bits 1-2: which limits;
//!                    bit 3: large payloads are read to where they belong, without the detour
//! 02 03 05           two pieces' lengths, used in turn: 3, 5, 3, 5 ...
//! 81 85 37 fa ...    the stream
//! ```
//!
//! The connection says the same about the stream in these pieces, whole, and byte by byte; it is
//! what the reference decoder (`tests/common/naive.rs`) says; and so are the answers that it sends
//! by itself.

use switchboard::outbox::Outbox;
use switchboard::protocol::{State, Step};
use switchboard::wire::CloseCode;

use crate::naive::{End, Event, Limits, Role};
use crate::subject::{Outcome, Subject, answers_to, close, expected};

/// A stream and how it is read.
#[derive(Debug)]
pub struct Stream<'i> {
    /// Who reads.
    pub role: Role,
    /// What it takes.
    pub limits: Limits,
    /// Whether large payloads are read into [`Connection::space`].
    ///
    /// [`Connection::space`]: switchboard::protocol::Connection::space
    pub direct: bool,
    /// The pieces' lengths, to be used in turn.
    pub lengths: &'i [u8],
    /// What the peer sent.
    pub bytes: &'i [u8],
}

impl<'i> Stream<'i> {
    /// Reads the input as the module's documentation has it; `None` if it is too short.
    pub fn parse(input: &'i [u8]) -> Option<Stream<'i>> {
        let (&[flags, count], rest) = input.split_first_chunk()?;
        let (lengths, bytes) = rest.split_at_checked(usize::from(count % 16))?;
        let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
        let limits = match flags >> 1 & 3 {
            0 => Limits { message_bytes_max: 1 << 20, message_frames_max: 1000 },
            1 => Limits { message_bytes_max: 200, message_frames_max: 4 },
            2 => Limits { message_bytes_max: 10, message_frames_max: 1 },
            _ => Limits { message_bytes_max: 0, message_frames_max: 2 },
        };
        Some(Stream { role, limits, direct: flags & 8 != 0, lengths, bytes })
    }

    /// The stream in pieces; some of them may be empty.
    pub fn pieces(&self) -> Vec<&'i [u8]> {
        let (mut pieces, mut rest) = (Vec::new(), self.bytes);
        // Without a length that moves on, it is one piece.
        let moves = self.lengths.iter().any(|len| *len > 0);
        let mut lengths = self.lengths.iter().cycle();
        while let Some(len) = lengths.next().filter(|_| moves && !rest.is_empty()) {
            let (piece, behind) = rest.split_at(rest.len().min(usize::from(*len)));
            pieces.push(piece);
            rest = behind;
        }
        pieces.push(rest);
        pieces
    }
}

/// Holds the rules above for one input.
pub fn check(input: &[u8]) {
    let Some(stream) = Stream::parse(input) else { return };
    let outcome = expected(stream.role, &stream.limits, stream.bytes);
    let run = |pieces: &mut dyn Iterator<Item = &[u8]>| -> Outcome {
        let mut subject = Subject::new(stream.role, &stream.limits);
        for piece in pieces {
            if stream.direct {
                receive_directly(&mut subject, piece);
            } else {
                subject.receive(piece);
            }
            let held = subject.connection.collected() as u64;
            assert!(held <= stream.limits.message_bytes_max, "{held} bytes are held");
        }
        subject.outcome()
    };
    assert_eq!(run(&mut [stream.bytes].into_iter()), outcome, "whole");
    assert_eq!(run(&mut stream.pieces().into_iter()), outcome, "in pieces");
    assert_eq!(run(&mut stream.bytes.chunks(1)), outcome, "byte by byte");
    check_closing(&stream, &outcome);
}

/// One read by a loop that puts the payload of a large message where it belongs.
fn receive_directly(subject: &mut Subject, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let Some(space) = subject.connection.space(&subject.endpoint) else {
            // As far as a payload that is worth it might begin.
            let (piece, rest) = bytes.split_at(bytes.len().min(14));
            subject.receive(piece);
            bytes = rest;
            continue;
        };
        let len = space.len().min(bytes.len());
        space[..len].copy_from_slice(&bytes[..len]);
        bytes = &bytes[len..];
        let step = subject.connection.filled(&subject.endpoint, len, &mut subject.outbox);
        subject.note(step);
    }
}

/// We begin the closing handshake in the middle of the stream: all that follows is still read, and
/// nothing but Pongs is said any more.
fn check_closing(stream: &Stream<'_>, outcome: &Outcome) {
    let (head, tail) = stream.bytes.split_at(stream.bytes.len() / 2);
    let mut subject = Subject::new(stream.role, &stream.limits);
    subject.receive(head);
    let before = subject.outcome();
    let (endpoint, outbox) = (&subject.endpoint, &mut subject.outbox);
    subject.connection.close(endpoint, CloseCode::GOING_AWAY, "", outbox);
    subject.receive(tail);
    let after = subject.outcome();
    assert_eq!((&after.events, after.end), (&outcome.events, outcome.end), "while closing");
    let mut answers = before.answers;
    if before.end == End::Open {
        answers.push(close(1001, ""));
        let later = answers_to(&outcome.events[before.events.len()..], End::Open);
        answers.extend(later.into_iter().filter(|said| matches!(said, Event::Pong(_))));
    }
    assert_eq!(after.answers, answers, "while closing");

    // And from now on nobody looks at anything.
    let mut out = Outbox::new();
    subject.connection.abort(&subject.endpoint, CloseCode::NORMAL, "", &mut out);
    assert_eq!(subject.connection.state(), State::Ended);
    let mut bytes = stream.bytes.to_vec();
    let mut input = switchboard::protocol::Input::new(&mut bytes);
    let step = subject.connection.advance(&subject.endpoint, &mut input, &mut out);
    assert!(matches!(step, Step::NeedInput) && input.is_empty(), "{step:?} after the end");
}
