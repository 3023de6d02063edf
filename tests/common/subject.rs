//! A connection under test. It is fed a stream in pieces, and what comes of it is written down in
//! the words of the reference decoder, so that the two can be compared.

use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Input, Message, State, Step};
use switchboard::wire::{CloseCode, FrameHeader, Parsed};

use crate::naive::{End, Event, Limits, Role, decode};

pub const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// Small, so that a test can step over them.
pub const LIMITS: Limits = Limits { message_bytes_max: 1000, message_frames_max: 10 };

/// What came of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the peer said, in its order.
    pub events: Vec<Event>,
    /// How things stand.
    pub end: End,
    /// What the connection answered by itself, in the same words: Pongs, and a Close.
    pub answers: Vec<Event>,
}

/// What must come of a stream, if it is new.
pub fn expected(role: Role, limits: &Limits, stream: &[u8]) -> Outcome {
    let (events, end) = decode(stream, role, limits);
    let answers = answers_to(&events, end);
    Outcome { events, end, answers }
}

/// What an endpoint that sends nothing of its own sends.
pub fn answers_to(events: &[Event], end: End) -> Vec<Event> {
    let mut answers = Vec::new();
    for event in events {
        match event {
            Event::Ping(payload) => answers.push(Event::Pong(payload.clone())),
            Event::Close(None) => answers.push(Event::Close(None)),
            // RFC 6455 §5.5.1: it typically echoes the close code; there is no use in the reason.
            Event::Close(Some((code, _))) => {
                answers.push(Event::Close(Some((*code, String::new()))));
            }
            Event::Text(_) | Event::Binary(_) | Event::Pong(_) => {}
        }
    }
    if let End::Failed(error) = end {
        let code = error.close_code().as_u16();
        answers.push(Event::Close(Some((code, error.to_string()))));
    }
    answers
}

/// The role of whoever is at the other end.
pub fn other(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}

/// A connection, and what came of it so far.
pub struct Subject {
    pub endpoint: Endpoint,
    pub connection: Connection,
    pub outbox: Outbox,
    role: Role,
    events: Vec<Event>,
    end: End,
    sent: Vec<u8>,
}

impl Subject {
    pub fn new(role: Role, limits: &Limits) -> Subject {
        let mut endpoint = match role {
            Role::Server => Endpoint::server(),
            Role::Client => Endpoint::client(),
        };
        endpoint.message_max_bytes = limits.message_bytes_max;
        endpoint.message_frames_max = limits.message_frames_max;
        Subject {
            endpoint,
            connection: Connection::new(),
            outbox: Outbox::new(),
            role,
            events: Vec::new(),
            end: End::Open,
            sent: Vec::new(),
        }
    }

    /// One read.
    pub fn receive(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let mut input = Input::new(&mut bytes);
        loop {
            let step = self.connection.advance(&self.endpoint, &mut input, &mut self.outbox);
            if matches!(step, Step::NeedInput) {
                break;
            }
            assert_eq!(self.end, End::Open, "{step:?} after the end");
            self.note(step);
        }
        assert!(input.is_empty(), "NeedInput means that all is consumed");
        let ended = self.connection.state() == State::Ended;
        assert_eq!(ended, self.end != End::Open, "the state says what the steps said");
    }

    pub fn note(&mut self, step: Step<'_>) {
        let event = match step {
            Step::NeedInput => return,
            Step::Message(message) => self.message(message),
            Step::Assembled(message) => self.message(message.message()),
            Step::Ping(payload) => Event::Ping(payload.into_owned()),
            Step::Pong(payload) => Event::Pong(payload.into_owned()),
            Step::Closed { code, reason } => {
                self.end = End::Closed;
                let coded = code != CloseCode::NO_STATUS;
                assert!(coded || reason.is_empty(), "no code, no reason");
                Event::Close(coded.then(|| (code.as_u16(), reason.into_owned())))
            }
            Step::Failed(error) => {
                self.end = End::Failed(error);
                return;
            }
        };
        self.events.push(event);
    }

    fn message(&self, message: Message<'_>) -> Event {
        assert_eq!(self.connection.collected(), 0, "nothing is kept after a whole message");
        match message {
            Message::Text(text) => Event::Text(text.to_owned()),
            Message::Binary(bytes) => Event::Binary(bytes.to_vec()),
        }
    }

    pub fn end(&self) -> End {
        self.end
    }

    /// What the peer said since the last time.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// All bytes that were queued so far.
    pub fn sent(&mut self) -> &[u8] {
        while !self.outbox.is_empty() {
            let len = self.outbox.front().len();
            self.sent.extend_from_slice(self.outbox.front());
            self.outbox.advance(len);
        }
        &self.sent
    }

    /// All that was queued so far, as the peer understands it. Each frame is read by itself: a peer
    /// would not look at what follows a Close, but we do. (What we send is never fragmented.)
    pub fn said(&mut self) -> Vec<Event> {
        let peer = other(self.role);
        let no_limits = Limits { message_bytes_max: u64::MAX, message_frames_max: u64::MAX };
        let (mut said, mut rest) = (Vec::new(), self.sent());
        while let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(rest) {
            let (frame, behind) = rest.split_at(len + value.payload_len as usize);
            let (events, end) = decode(frame, peer, &no_limits);
            assert!(!matches!(end, End::Failed(_)), "{end:?}: we broke a rule: {frame:02x?}");
            assert_eq!(events.len(), 1, "{frame:02x?}");
            said.extend(events);
            rest = behind;
        }
        assert!(rest.is_empty(), "whole frames only");
        said
    }

    pub fn outcome(&mut self) -> Outcome {
        Outcome { events: self.events.clone(), end: self.end, answers: self.said() }
    }
}

/// What comes of a stream that is read in these pieces.
pub fn run<'p>(role: Role, limits: &Limits, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let mut subject = Subject::new(role, limits);
    pieces.into_iter().for_each(|piece| subject.receive(piece));
    subject.outcome()
}

/// What comes of a stream, however it is read: whole, byte by byte, cut in two at every place. And:
///
/// * the reference decoder says the same;
/// * what stands before it is delivered and answered first, however it ends;
/// * what stands behind it is not looked at, once it has ended;
/// * what was accepted is written back as it came.
pub fn run_every_way(role: Role, limits: &Limits, stream: &[u8]) -> Outcome {
    let outcome = run(role, limits, [stream]);
    let same = |other: Outcome, how: &str| {
        assert_eq!(other, outcome, "{role:?}, {how}: {:02x?}", &stream[..stream.len().min(300)]);
    };
    same(expected(role, limits, stream), "by the reference decoder");
    same(run(role, limits, stream.chunks(1)), "byte by byte");
    for cut in cuts(stream.len()) {
        let (head, tail) = stream.split_at(cut);
        same(run(role, limits, [head, tail]), &format!("cut at {cut}"));
    }

    let before = [frame(role, 0x82, b"before"), frame(role, 0x89, b"?")].concat();
    let mut after_others = run(role, limits, [&*[&before, stream].concat()]);
    let first = [Event::Binary(b"before".to_vec()), Event::Ping(b"?".to_vec())];
    assert_eq!(after_others.events.drain(..2).collect::<Vec<_>>(), first);
    assert_eq!(after_others.answers.remove(0), Event::Pong(b"?".to_vec()));
    same(after_others, "after others");

    if outcome.end != End::Open {
        for behind in [frame(role, 0x81, b"behind"), frame(role, 0x89, b"?"), vec![0xFF; 40]] {
            same(run(role, limits, [stream, &behind]), "with more behind, later");
            same(run(role, limits, [&*[stream, &behind].concat()]), "with more behind");
        }
    }
    if !matches!(outcome.end, End::Failed(_)) {
        assert_written_back(stream);
    }
    outcome
}

/// Every place in a short stream; in a long one those near its ends, where the headers are.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    (1..len).filter(move |cut| len <= 300 || *cut < 20 || len - cut < 20)
}

/// The headers of accepted frames are what a writer makes of them.
fn assert_written_back(stream: &[u8]) {
    let (mut rest, mut written) = (stream, Vec::new());
    while let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(rest) {
        value.write(&mut written);
        let end = rest.len().min(len + value.payload_len as usize);
        written.extend_from_slice(&rest[len..end]);
        rest = &rest[end..];
    }
    written.extend_from_slice(rest);
    assert_eq!(written, stream);
}

/// After how many bytes the verdict is there, when they come one by one; `None` if it never is.
pub fn verdict_at(role: Role, limits: &Limits, stream: &[u8]) -> Option<usize> {
    let mut subject = Subject::new(role, limits);
    for (index, byte) in stream.iter().enumerate() {
        subject.receive(&[*byte]);
        if subject.end != End::Open {
            return Some(index + 1);
        }
    }
    None
}

/// A frame as the peer of `role` sends it: masked if we are the server.
pub fn frame(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    frame_with(first, (role == Role::Server).then_some(KEY), payload)
}

/// Several frames in a row, each given by its first byte and its payload.
pub fn frames(role: Role, frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| frame(role, *first, payload)).collect()
}

/// A frame with this masking key, or none; by hand, so that no writer of ours is trusted.
pub fn frame_with(first: u8, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut frame = header_with(first, key, payload.len() as u64);
    let key = key.unwrap_or([0; 4]);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(octet, key)| octet ^ key));
    frame
}

/// A header that announces `payload_len` bytes.
pub fn header_with(first: u8, key: Option<[u8; 4]>, payload_len: u64) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut header = match payload_len {
        0..=125 => vec![first, mask | payload_len as u8],
        126..=0xFFFF => [&[first, mask | 126][..], &(payload_len as u16).to_be_bytes()].concat(),
        _ => [&[first, mask | 127][..], &payload_len.to_be_bytes()].concat(),
    };
    header.extend(key.into_iter().flatten());
    header
}

/// The key of the example in RFC 6455 §5.7.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

pub fn binary(bytes: &[u8]) -> Event {
    Event::Binary(bytes.to_vec())
}

pub fn ping(payload: &[u8]) -> Event {
    Event::Ping(payload.to_vec())
}

pub fn pong(payload: &[u8]) -> Event {
    Event::Pong(payload.to_vec())
}

pub fn close(code: u16, reason: &str) -> Event {
    Event::Close(Some((code, reason.to_owned())))
}
