//! The connection against the reference decoder of `common/naive.rs`, on random streams: valid,
//! nearly valid and hostile ones, cut anywhere. Both must say the same after every byte.
//!
//! A run is a number of seeds; each seed is some streams. A failure prints how to repeat it alone:
//!
//! ```text
//!   SEED=17 cargo test --test differential
//!   SWITCHBOARD_SEEDS=100000 cargo test --release --test differential     more of them
//! ```

#[path = "common/naive.rs"]
mod naive;
#[path = "common/random.rs"]
mod random;
#[path = "common/subject.rs"]
#[allow(dead_code)]
mod subject;
#[path = "common/utf8.rs"]
mod utf8;

use naive::{End, Event, Limits, Role, decode};
use random::Random;
use subject::{ROLES, Subject, answers_to, close, expected, frame_with, header_with, other, run};
use switchboard::protocol::{Message, State};
use switchboard::wire::CloseCode;
use switchboard::wire::ProtocolError;

/// Says which seed it was, if the test panics while this is alive.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\nSEED={} cargo test --test differential", self.0);
        }
    }
}

/// Runs a test for the seed in SEED, or else for SWITCHBOARD_SEEDS of them.
fn for_each_seed(test: impl Fn(&mut Random)) {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let seeds = match number("SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("SWITCHBOARD_SEEDS").unwrap_or(200),
    };
    for seed in seeds {
        let _named = Named(seed);
        test(&mut Random::new(seed));
    }
}

// ---- the tests ---------------------------------------------------------------------------------

#[test]
fn connection_and_reference_agree_after_every_byte() {
    for_each_seed(|random| {
        for _ in 0..STREAMS_PER_SEED {
            let (role, limits, stream) = random_stream(random);
            let mut subject = Subject::new(role, &limits);
            for (index, byte) in stream.iter().enumerate() {
                subject.receive(&[*byte]);
                let so_far = &stream[..=index];
                let outcome = subject.outcome();
                assert_eq!(outcome, expected(role, &limits, so_far), "{role:?}: {so_far:02x?}");
            }
        }
    });
}

#[test]
fn chunking_changes_nothing() {
    for_each_seed(|random| {
        for _ in 0..STREAMS_PER_SEED {
            let (role, limits, stream) = random_stream(random);
            let outcome = expected(role, &limits, &stream);
            assert_eq!(run(role, &limits, [&stream[..]]), outcome, "{role:?}: {stream:02x?}");
            for _ in 0..8 {
                let pieces = random_pieces(random, &stream);
                let cut = run(role, &limits, pieces.iter().copied());
                assert_eq!(cut, outcome, "{role:?}: {pieces:02x?}");
            }
        }
    });
}

/// We begin the closing handshake anywhere in the stream: all that follows is still read, nothing
/// but Pongs is said any more.
#[test]
fn closing_in_the_middle_changes_only_what_we_say() {
    for_each_seed(|random| {
        for _ in 0..STREAMS_PER_SEED {
            let (role, limits, stream) = random_stream(random);
            let (head, tail) = stream.split_at(random.below(stream.len() + 1));
            let mut subject = Subject::new(role, &limits);
            random_pieces(random, head).into_iter().for_each(|piece| subject.receive(piece));
            let before = subject.outcome();
            let (endpoint, outbox) = (&subject.endpoint, &mut subject.outbox);
            subject.connection.close(endpoint, CloseCode::GOING_AWAY, "", outbox);
            random_pieces(random, tail).into_iter().for_each(|piece| subject.receive(piece));

            let outcome = subject.outcome();
            let (events, end) = decode(&stream, role, &limits);
            assert_eq!((&outcome.events, outcome.end), (&events, end), "{role:?}: {stream:02x?}");
            let mut answers = before.answers;
            if before.end == End::Open {
                answers.push(close(1001, ""));
                let later = answers_to(&events[before.events.len()..], End::Open);
                answers.extend(later.into_iter().filter(|said| matches!(said, Event::Pong(_))));
            }
            assert_eq!(outcome.answers, answers, "{role:?}: {stream:02x?} after {}", head.len());
        }
    });
}

/// What one connection sends, another one of the other role receives, and nothing else.
#[test]
fn what_one_side_sends_the_other_receives() {
    for_each_seed(|random| {
        for sender in ROLES {
            let limits = Limits { message_bytes_max: 1 << 20, message_frames_max: 1 };
            let mut here = Subject::new(sender, &limits);
            let mut events = Vec::new();
            for _ in 0..10 {
                let payload = random_text(random);
                let (connection, endpoint) = (&mut here.connection, &here.endpoint);
                let outbox = &mut here.outbox;
                events.push(match random.below(3) {
                    0 => {
                        assert!(connection.send(endpoint, Message::Text(&payload), outbox));
                        Event::Text(payload)
                    }
                    1 => {
                        let bytes = payload.into_bytes();
                        assert!(connection.send(endpoint, Message::Binary(&bytes), outbox));
                        Event::Binary(bytes)
                    }
                    _ => {
                        let short = &payload.as_bytes()[..payload.len().min(125)];
                        connection.ping(endpoint, short, outbox);
                        Event::Ping(short.to_vec())
                    }
                });
            }
            let sent = here.sent().to_vec();
            let receiver = other(sender);
            let outcome = run(receiver, &limits, random_pieces(random, &sent));
            assert_eq!((&outcome.events, outcome.end), (&events, End::Open));
            // And the answers get back.
            let mut there = Subject::new(receiver, &limits);
            there.receive(&sent);
            let answers = there.sent().to_vec();
            here.receive(&answers);
            assert_eq!(here.outcome().events, answers_to(&events, End::Open));
            assert_eq!(here.connection.state(), State::Open);
        }
    });
}

/// The streams are worth the name: in some hundred of them everything happens.
#[test]
fn random_streams_reach_every_event_and_every_error() {
    let mut random = Random::new(6455);
    let (mut errors, mut ends) = (std::collections::HashSet::new(), [0; 3]);
    let mut kinds = [0; 5];
    for _ in 0..20_000 {
        let (role, limits, stream) = random_stream(&mut random);
        let (events, end) = decode(&stream, role, &limits);
        for event in events {
            kinds[match event {
                Event::Text(_) => 0,
                Event::Binary(_) => 1,
                Event::Ping(_) => 2,
                Event::Pong(_) => 3,
                Event::Close(_) => 4,
            }] += 1;
        }
        match end {
            End::Open => ends[0] += 1,
            End::Closed => ends[1] += 1,
            End::Failed(error) => {
                ends[2] += 1;
                errors.insert(error);
            }
        }
    }
    assert!(kinds.iter().all(|count| *count > 500), "text, binary, ping, pong, close: {kinds:?}");
    assert!(ends.iter().all(|count| *count > 500), "open, closed, failed: {ends:?}");
    // The reference decoder knows no extension.
    for error in ProtocolError::ALL.iter().filter(|error| error.rfc() == 6455) {
        assert!(errors.contains(error), "{error:?} never happened");
    }
}

// ---- the streams -------------------------------------------------------------------------------

/// A role, limits, and what a peer may send: frames that follow the rules, most of the time; then,
/// in some streams, bytes that were changed afterwards.
fn random_stream(random: &mut Random) -> (Role, Limits, Vec<u8>) {
    let role = ROLES[random.below(2)];
    let limits = match random.below(4) {
        0 => Limits { message_bytes_max: random.below(40) as u64, message_frames_max: 4 },
        1 => Limits { message_bytes_max: 200, message_frames_max: 1 + random.below(5) as u64 },
        _ => Limits { message_bytes_max: 1 << 20, message_frames_max: 1000 },
    };
    // A peer that makes one mistake in so many frames: never, seldom, often.
    let mistake_in = [usize::MAX, 20, 3][random.below(3)];
    let mut stream = Vec::new();
    let mut peer = Peer { role, mistake_in, unsent: None };
    for _ in 0..1 + random.below(12) {
        stream.extend(peer.frame(random));
    }
    if random.below(4) == 0 {
        for _ in 0..1 + random.below(3) {
            mutate(random, &mut stream);
        }
    }
    (role, limits, stream)
}

/// Somebody who sends messages in frames.
struct Peer {
    /// Of the one who reads.
    role: Role,
    mistake_in: usize,
    /// What is left of the message that was begun.
    unsent: Option<Vec<u8>>,
}

impl Peer {
    /// The next frame, or something that looks like one.
    fn frame(&mut self, random: &mut Random) -> Vec<u8> {
        let (mut first, payload) = match random.below(10) {
            0 => (0x89, random_control(random)),
            1 => (0x8A, random_control(random)),
            2 if random.below(3) == 0 => (0x88, random_close(random)),
            _ => self.data(random),
        };
        let mut key = match random.below(4) {
            0 => [0; 4],
            _ => (random.next() as u32).to_le_bytes(),
        };
        let mut masked = self.role == Role::Server;
        if !self.mistakes(random) {
            return frame_with(first, masked.then_some(key), &payload);
        }
        match random.below(7) {
            0 => first ^= 0x10 << random.below(3), // a reserved bit
            1 => first ^= 1 << random.below(4),    // another opcode
            2 => first ^= 0x80,                    // FIN
            3 => masked = !masked,
            4 => key = [0xFF; 4],
            5 => return random_length(random, first, masked.then_some(key), payload.len() as u64),
            _ => {
                let huge = [126, 65_536, 1 << 32, (1 << 63) - 1, 1 << 63][random.below(5)];
                return header_with(first, masked.then_some(key), huge);
            }
        }
        frame_with(first, masked.then_some(key), &payload)
    }

    fn mistakes(&self, random: &mut Random) -> bool {
        self.mistake_in != usize::MAX && random.below(self.mistake_in) == 0
    }

    /// A message, its beginning, or more of the one that was begun.
    fn data(&mut self, random: &mut Random) -> (u8, Vec<u8>) {
        let (opcode, mut payload) = match self.unsent.take() {
            Some(rest) => (0x00, rest),
            None if random.below(3) == 0 => (0x02, random_control(random)),
            None => (0x01, self.text(random)),
        };
        if random.below(2) == 0 {
            return (0x80 | opcode, payload);
        }
        // Cut anywhere, so also inside a code point, and into pieces of no length.
        self.unsent = Some(payload.split_off(random.below(payload.len() + 1)));
        (opcode, payload)
    }

    fn text(&self, random: &mut Random) -> Vec<u8> {
        let mut octets = random_text(random).into_bytes();
        if self.mistakes(random) {
            let at = random.below(octets.len() + 1);
            let bad = utf8::INVALID[random.below(utf8::INVALID.len())];
            octets.splice(at..at, bad.iter().copied());
        }
        octets
    }
}

/// A text of code points of every length.
fn random_text(random: &mut Random) -> String {
    const LETTERS: [&str; 6] =
        ["a", "\u{e4}", "\u{20ac}", "\u{1f980}", "\u{10ffff}", "plain ASCII"];
    let len = match random.below(12) {
        0 => 40,
        few => few / 2,
    };
    (0..len).map(|_| LETTERS[random.below(LETTERS.len())]).collect()
}

fn random_control(random: &mut Random) -> Vec<u8> {
    let len = match random.below(16) {
        0 => 125,
        1 => 126,
        few => few / 2,
    };
    (0..len).map(|_| random.next() as u8).collect()
}

fn random_close(random: &mut Random) -> Vec<u8> {
    let code = match random.below(8) {
        0 => return Vec::new(),
        1 => return vec![0x03],
        2 => random.next() as u16,
        3 => 1004 + random.below(3) as u16,
        4 => 3000 + random.below(2000) as u16,
        _ => 1000 + random.below(16) as u16,
    };
    let mut payload = code.to_be_bytes().to_vec();
    match random.below(4) {
        0 => payload.extend(utf8::INVALID[random.below(utf8::INVALID.len())]),
        1 => payload.extend(utf8::VALID[random.below(utf8::VALID.len())]),
        _ => {}
    }
    payload
}

/// A header with a length in a form that is too long, or that has its top bit set.
fn random_length(random: &mut Random, first: u8, key: Option<[u8; 4]>, len: u64) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut header = match random.below(3) {
        0 => [&[first, mask | 126][..], &(len as u16).to_be_bytes()].concat(),
        1 => [&[first, mask | 127][..], &len.to_be_bytes()].concat(),
        _ => [&[first, mask | 127][..], &(len | 1 << 63).to_be_bytes()].concat(),
    };
    header.extend(key.into_iter().flatten());
    header
}

/// Changes the stream somewhere, as no peer in its right mind would.
fn mutate(random: &mut Random, stream: &mut Vec<u8>) {
    let at = random.below(stream.len());
    match random.below(5) {
        0 => stream[at] ^= 1 << random.below(8),
        1 => stream[at] = random.next() as u8,
        2 => stream.truncate(at + 1),
        3 => stream.insert(at, random.next() as u8),
        _ => {
            let end = (at + 1 + random.below(20)).min(stream.len());
            let again = stream[at..end].to_vec();
            stream.splice(at..at, again);
        }
    }
}

/// The stream in pieces of any size; some of them are empty.
fn random_pieces<'s>(random: &mut Random, mut stream: &'s [u8]) -> Vec<&'s [u8]> {
    let longest = [2, 8, 40, 400][random.below(4)];
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let (piece, rest) = stream.split_at(random.below(longest + 1).min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

const STREAMS_PER_SEED: usize = 5;
