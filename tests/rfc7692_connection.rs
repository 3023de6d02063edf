//! Compressed messages on a connection, from outside: RFC 7692 §6 and §7.2, in both roles.

#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

#[path = "common/inflate.rs"]
mod inflate;

use inflate::inflate_message;
use switchboard::Message;
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Input, Role, State, Step};
use switchboard::wire::{DeflateAgreement, FrameHeader, Opcode, Parsed, ProtocolError, Rsv};

const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// "Hello" as RFC 7692 §7.2.3.1 compresses it.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

/// What a server without windows answers to any offer.
const SHARED: DeflateAgreement = DeflateAgreement {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: None,
    client_max_window_bits: None,
};

/// One end of a connection, and what it has heard.
struct End {
    endpoint: Endpoint,
    connection: Connection,
    out: Outbox,
    heard: Vec<String>,
    failed: Option<ProtocolError>,
}

impl End {
    fn new(role: Role, agreed: Option<DeflateAgreement>) -> End {
        let mut endpoint = match role {
            Role::Server => Endpoint::server(),
            Role::Client => Endpoint::client(),
        };
        endpoint.deflate_min_bytes = 0;
        endpoint.message_max_bytes = 10_000;
        endpoint.message_frames_max = 20;
        let mut connection = Connection::new();
        if let Some(agreed) = agreed {
            connection.agree(&endpoint, &agreed);
        }
        End { endpoint, connection, out: Outbox::new(), heard: Vec::new(), failed: None }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let mut input = Input::new(&mut bytes);
        loop {
            match self.connection.advance(&self.endpoint, &mut input, &mut self.out) {
                Step::NeedInput => return,
                Step::Message(message) => self.note(message),
                Step::Assembled(message) => self.note(message.message()),
                Step::Ping(payload) => self.heard.push(format!("ping {}", payload.escape_ascii())),
                Step::Pong(payload) => self.heard.push(format!("pong {}", payload.escape_ascii())),
                Step::Closed { code, .. } => self.heard.push(format!("close {code}")),
                Step::Failed(error) => self.failed = Some(error),
            }
        }
    }

    fn note(&mut self, message: Message<'_>) {
        self.heard.push(match message {
            Message::Text(text) => format!("text {text}"),
            Message::Binary(bytes) => format!("binary {}", bytes.escape_ascii()),
        });
    }

    fn send(&mut self, message: Message<'_>) {
        assert!(self.connection.send(&self.endpoint, message, &mut self.out));
    }

    /// Everything that it has queued.
    fn sent(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while !self.out.is_empty() {
            let front = self.out.front().to_vec();
            self.out.advance(front.len());
            all.extend(front);
        }
        all
    }
}

/// A frame as the peer of `role` sends it, masked with zeros if it is a client.
fn frame(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let (mask, key): (u8, &[u8]) = match role {
        Role::Server => (0x80, &[0; 4]),
        Role::Client => (0, &[]),
    };
    let len = match payload.len() {
        len @ 0..=125 => vec![mask | len as u8],
        len => [&[mask | 126][..], &(len as u16).to_be_bytes()].concat(),
    };
    [&[first][..], &len, key, payload].concat()
}

fn frames(role: Role, frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| frame(role, *first, payload)).collect()
}

/// The header and the unmasked payload of the only frame there is.
fn only_frame(bytes: &[u8]) -> (FrameHeader, Vec<u8>) {
    let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(bytes) else {
        panic!("{bytes:02x?}");
    };
    let mut payload = bytes[len..].to_vec();
    assert_eq!(payload.len() as u64, value.payload_len);
    if let Some(key) = value.masking_key {
        key.apply(&mut payload);
    }
    (value, payload)
}

/// What is heard of a stream, however it is read: whole, byte by byte, cut in two at every place.
fn heard(role: Role, agreed: DeflateAgreement, stream: &[u8]) -> Vec<String> {
    let hear = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut end = End::new(role, Some(agreed));
        pieces.for_each(|piece| end.receive(piece));
        assert_eq!(end.failed, None, "{stream:02x?}");
        assert_eq!(end.connection.collected(), 0);
        end.heard
    };
    let whole = hear(&mut [stream].into_iter());
    assert_eq!(hear(&mut stream.chunks(1)), whole, "byte by byte");
    for cut in 1..stream.len() {
        let (head, tail) = stream.split_at(cut);
        assert_eq!(hear(&mut [head, tail].into_iter()), whole, "cut at {cut}");
    }
    whole
}

/// The error of a stream, however it is read.
fn failure(role: Role, agreed: Option<DeflateAgreement>, stream: &[u8]) -> Option<ProtocolError> {
    let fail = |size: usize| {
        let mut end = End::new(role, agreed);
        stream.chunks(size).for_each(|piece| end.receive(piece));
        let ended = end.connection.state() == State::Ended;
        assert_eq!(ended, end.failed.is_some());
        if let Some(error) = end.failed {
            let (header, payload) = only_frame(&end.sent());
            assert_eq!((header.opcode, header.rsv), (Opcode::Close, Rsv::NONE));
            assert_eq!(payload[..2], error.close_code().as_u16().to_be_bytes());
        }
        end.failed
    };
    let whole = fail(usize::MAX);
    for size in [1, 2, 5] {
        assert_eq!(fail(size), whole, "in reads of {size}: {stream:02x?}");
    }
    whole
}

/// Compressed by an end that keeps nothing.
fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut end = End::new(Role::Server, Some(SHARED));
    end.send(Message::Binary(payload));
    let (header, payload) = only_frame(&end.sent());
    assert_eq!(header.rsv, Rsv::RSV1);
    payload
}

fn agreements() -> impl Iterator<Item = DeflateAgreement> {
    [(true, true), (true, false), (false, true), (false, false)].into_iter().map(
        |(server_no_context_takeover, client_no_context_takeover)| DeflateAgreement {
            server_no_context_takeover,
            client_no_context_takeover,
            ..SHARED
        },
    )
}

#[test]
fn rfc7692_6_2_a_compressed_message_is_read_in_one_frame_and_in_many() {
    for role in ROLES {
        for agreed in agreements() {
            assert_eq!(heard(role, agreed, &frame(role, 0xC1, HELLO)), ["text Hello"]);
            assert_eq!(heard(role, agreed, &frame(role, 0xC2, HELLO)), ["binary Hello"]);
            for cut in 0..=HELLO.len() {
                let (head, tail) = HELLO.split_at(cut);
                let two = frames(role, &[(0x41, head), (0x80, tail)]);
                assert_eq!(heard(role, agreed, &two), ["text Hello"], "cut at {cut}");
            }
            let mut many = frame(role, 0x42, b"");
            for byte in HELLO {
                many.extend(frame(role, 0x00, &[*byte]));
            }
            many.extend(frame(role, 0x80, b""));
            assert_eq!(heard(role, agreed, &many), ["binary Hello"]);
        }
    }
}

#[test]
fn rfc7692_6_messages_that_are_not_compressed_may_stand_between_them() {
    for role in ROLES {
        for agreed in agreements() {
            let mixed = frames(
                role,
                &[(0x81, b"plain"), (0xC1, HELLO), (0x02, b"pl"), (0x80, b"ain"), (0xC1, HELLO)],
            );
            let wanted = ["text plain", "text Hello", "binary plain", "text Hello"];
            assert_eq!(heard(role, agreed, &mixed), wanted);
        }
    }
}

#[test]
fn rfc6455_5_4_control_frames_may_stand_between_compressed_fragments() {
    for role in ROLES {
        let stream = frames(
            role,
            &[
                (0x41, &HELLO[..3]),
                (0x89, b"?"),
                (0x00, &HELLO[3..4]),
                (0x8A, b"!"),
                (0x80, &HELLO[4..]),
            ],
        );
        assert_eq!(heard(role, SHARED, &stream), ["ping ?", "pong !", "text Hello"]);
        let closed = frames(role, &[(0x41, &HELLO[..3]), (0x88, b"\x03\xe8")]);
        assert_eq!(heard(role, SHARED, &closed).len(), 1);
    }
}

#[test]
fn rfc7692_7_2_3_2_and_6_takeover_goes_over_what_is_not_compressed() {
    let agreed = DeflateAgreement::default();
    for role in ROLES {
        let stream = frames(
            role,
            &[(0xC1, HELLO), (0x81, b"plain"), (0x8A, b""), (0xC1, b"\xf2\x00\x11\x00\x00")],
        );
        assert_eq!(
            heard(role, agreed, &stream),
            ["text Hello", "text plain", "pong ", "text Hello"]
        );
        let without = failure(role, Some(SHARED), &stream);
        assert_eq!(without, Some(ProtocolError::CompressedDataInvalid));
    }
}

#[test]
fn rfc7692_7_2_3_6_empty_messages() {
    for role in ROLES {
        for agreed in agreements() {
            let stream = frames(role, &[(0xC1, b"\0"), (0xC2, b"\0"), (0x41, b""), (0x80, b"\0")]);
            assert_eq!(heard(role, agreed, &stream), ["text ", "binary ", "text "]);
            let mut end = End::new(role, Some(agreed));
            end.send(Message::Text(""));
            let (header, payload) = only_frame(&end.sent());
            assert!(header.rsv.is_none() && payload.is_empty(), "nothing to win");
        }
    }
}

#[test]
fn rfc6455_5_2_rsv1_without_an_agreement_is_1002() {
    for role in ROLES {
        for first in [0xC1, 0xC2, 0x41, 0x42, 0xC0, 0x40, 0xC8, 0xC9, 0xCA] {
            let stream = frame(role, first, HELLO);
            assert_eq!(
                failure(role, None, &stream),
                Some(ProtocolError::ReservedBits),
                "{first:x}"
            );
        }
    }
}

#[test]
fn rfc6455_5_2_rsv2_and_rsv3_are_1002_also_beside_rsv1() {
    for role in ROLES {
        for rsv in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
            for opcode in [0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0x01] {
                let stream = frame(role, rsv | opcode, HELLO);
                let error = failure(role, Some(SHARED), &stream);
                assert_eq!(error, Some(ProtocolError::ReservedBits), "{rsv:x} {opcode:x}");
            }
        }
    }
}

#[test]
fn rfc7692_6_rsv1_on_a_control_frame_or_a_continuation_is_1002() {
    let misplaced = Some(ProtocolError::CompressedBitMisplaced);
    for role in ROLES {
        for agreed in agreements() {
            for first in [0xC8, 0xC9, 0xCA] {
                assert_eq!(failure(role, Some(agreed), &frame(role, first, b"")), misplaced);
                let inside = frames(role, &[(0x41, &HELLO[..2]), (first, b"")]);
                assert_eq!(failure(role, Some(agreed), &inside), misplaced);
            }
            for first in [0x42, 0x02] {
                for continuation in [0x40, 0xC0] {
                    let stream = frames(role, &[(first, &HELLO[..2]), (continuation, b"")]);
                    assert_eq!(failure(role, Some(agreed), &stream), misplaced);
                }
            }
            // With nothing to continue it is wrong in two ways: the bit is seen first.
            assert_eq!(failure(role, Some(agreed), &frame(role, 0xC0, b"")), misplaced);
        }
    }
}

#[test]
fn rfc6455_5_1_a_compressed_frame_is_masked_as_any_other() {
    for role in ROLES {
        let other = if role == Role::Server { Role::Client } else { Role::Server };
        let error = match role {
            Role::Server => ProtocolError::MaskRequired,
            Role::Client => ProtocolError::MaskForbidden,
        };
        assert_eq!(failure(role, Some(SHARED), &frame(other, 0xC1, HELLO)), Some(error));
    }
}

#[test]
fn rfc6455_5_4_a_compressed_message_may_not_begin_inside_another() {
    for role in ROLES {
        for first in [0x01, 0x41] {
            let stream = frames(role, &[(first, b"\0"), (0xC1, HELLO)]);
            let error = failure(role, Some(SHARED), &stream);
            assert_eq!(error, Some(ProtocolError::ExpectedContinuation));
        }
        let stream = frame(role, 0x80, HELLO);
        let error = failure(role, Some(SHARED), &stream);
        assert_eq!(error, Some(ProtocolError::UnexpectedContinuation));
    }
}

#[test]
fn rfc7692_7_2_2_corrupt_and_cut_messages_are_1007() {
    let corrupt = Some(ProtocolError::CompressedDataInvalid);
    for role in ROLES {
        for agreed in agreements() {
            for payload in [
                &b""[..],
                b"\xff\xff\xff",
                b"Hello",
                &HELLO[..HELLO.len() - 1],
                &HELLO[..HELLO.len() - 2],
                b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff",
                b"\x00\x05\x00\xfa\xff\x48\x65",
                b"\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00",
            ] {
                let whole = frame(role, 0xC1, payload);
                assert_eq!(failure(role, Some(agreed), &whole), corrupt, "{payload:02x?}");
                let (head, tail) = payload.split_at(payload.len() / 2);
                let two = frames(role, &[(0x42, head), (0x80, tail)]);
                assert_eq!(failure(role, Some(agreed), &two), corrupt, "{payload:02x?}");
            }
        }
    }
    assert_eq!(ProtocolError::CompressedDataInvalid.close_code().as_u16(), 1007);
}

#[test]
fn rfc6455_8_1_text_is_judged_when_it_is_decompressed() {
    let invalid = compressed(&[&b"a".repeat(50)[..], b"\xc3\x28", &b"b".repeat(50)].concat());
    let cut = compressed(&[&b"a".repeat(50)[..], b"\xe2\x82"].concat());
    for role in ROLES {
        for agreed in agreements() {
            for payload in [&invalid, &cut] {
                let text = frame(role, 0xC1, payload);
                let error = failure(role, Some(agreed), &text);
                assert_eq!(error, Some(ProtocolError::TextNotUtf8));
                assert_eq!(failure(role, Some(agreed), &frame(role, 0xC2, payload)), None);
            }
        }
    }
}

#[test]
fn rfc6455_10_4_the_limit_is_for_what_comes_out() {
    for role in ROLES {
        for agreed in agreements() {
            for (len, error) in [
                (9_999, None),
                (10_000, None),
                (10_001, Some(ProtocolError::MessageTooBig)),
                (10_002, Some(ProtocolError::MessageTooBig)),
                (200_000, Some(ProtocolError::MessageTooBig)),
            ] {
                let payload = vec![0x55; len];
                let mut sender = End::new(role, Some(SHARED));
                sender.endpoint.message_max_bytes = u64::MAX;
                sender.send(Message::Binary(&payload));
                let (_, payload) = only_frame(&sender.sent());
                assert!(payload.len() < 12_000);
                let whole = frame(role, 0xC2, &payload);
                assert_eq!(failure(role, Some(agreed), &whole), error, "{len} bytes");
                let (head, tail) = payload.split_at(payload.len() / 2);
                let two = frames(role, &[(0x42, head), (0x80, tail)]);
                assert_eq!(failure(role, Some(agreed), &two), error, "{len} bytes in two frames");
            }
        }
    }
}

#[test]
fn rfc6455_10_4_what_comes_in_has_a_limit_too() {
    for role in ROLES {
        // What nobody can compress is a little longer than the limit, and still let in.
        let mut stored = vec![0x00];
        stored.extend(10_000_u16.to_le_bytes());
        stored.extend((!10_000_u16).to_le_bytes());
        stored.extend((0..10_000_u32).map(|number| ((number * number) >> 3) as u8));
        stored.push(0x00);
        assert_eq!(failure(role, Some(SHARED), &frame(role, 0xC2, &stored)), None);
        // Empty blocks make no output; they end where no compressor comes.
        let empty = b"\x00\x00\x00\xff\xff".repeat(3_000);
        let error = failure(role, Some(SHARED), &frame(role, 0xC2, &empty));
        assert_eq!(error, Some(ProtocolError::MessageTooBig));
        let (head, tail) = empty.split_at(8_000);
        let two = frames(role, &[(0x42, head), (0x80, tail)]);
        let error = failure(role, Some(SHARED), &two);
        assert_eq!(error, Some(ProtocolError::MessageTooBig));
        // ... nor has it more frames than any other message.
        let mut many = frame(role, 0x42, b"");
        (0..20).for_each(|_| many.extend(frame(role, 0x00, b"")));
        assert_eq!(failure(role, Some(SHARED), &many), Some(ProtocolError::TooManyFrames));
    }
}

#[test]
fn rfc7692_6_1_short_and_incompressible_messages_are_sent_as_they_are() {
    let noise: Vec<u8> =
        (0..2_000_u64).map(|n| (n.wrapping_mul(n * 977 + 31) >> 5) as u8).collect();
    for role in ROLES {
        for agreed in agreements() {
            let mut end = End::new(role, Some(agreed));
            end.endpoint.deflate_min_bytes = 100;
            for (len, rsv) in [(99, Rsv::NONE), (100, Rsv::RSV1), (5_000, Rsv::RSV1)] {
                end.send(Message::Binary(&vec![7; len]));
                let (header, payload) = only_frame(&end.sent());
                assert_eq!(header.rsv, rsv, "{len} bytes");
                assert_eq!(payload.len() == len, rsv.is_none());
            }
            end.send(Message::Binary(&noise));
            let (header, payload) = only_frame(&end.sent());
            assert!(header.rsv.is_none() || payload.len() < noise.len());
        }
    }
}

#[test]
fn rfc7692_6_1_control_frames_are_never_compressed() {
    for role in ROLES {
        let mut end = End::new(role, Some(SHARED));
        end.connection.ping(&end.endpoint, &[7; 125], &mut end.out);
        let (header, payload) = only_frame(&end.sent());
        assert_eq!((header.rsv, payload), (Rsv::NONE, vec![7; 125]));
    }
}

#[test]
fn rfc7692_7_1_2_1_no_window_is_exceeded_also_not_the_smallest() {
    // Rich in repetitions, near and far.
    let mut text = Vec::new();
    for round in 0..500_usize {
        let word = format!("{{\"n\":{},\"to\":\"{}\"}}", round * 7919 % 241, round * 31 % 97);
        text.extend_from_slice(word.as_bytes());
        let from = text.len().saturating_sub(round * 37 % 40_000);
        let again = text[from..].iter().take(round % 90).copied().collect::<Vec<_>>();
        text.extend(again);
    }
    for role in ROLES {
        for bits in [8, 9, 10, 15_u8] {
            let window = switchboard::wire::WindowBits::new(bits);
            for takeover in [false, true] {
                let agreed = DeflateAgreement {
                    server_no_context_takeover: !takeover,
                    client_no_context_takeover: !takeover,
                    server_max_window_bits: window.filter(|_| role == Role::Server),
                    client_max_window_bits: window.filter(|_| role == Role::Client),
                };
                let mut end = End::new(role, Some(agreed));
                let (mut history, mut distance_max) = (Vec::new(), 0);
                for piece in text.chunks(4_000) {
                    end.send(Message::Binary(piece));
                    let (header, payload) = only_frame(&end.sent());
                    assert_eq!(header.rsv, Rsv::RSV1);
                    let read =
                        inflate_message(&history, &payload).expect("DEFLATE as RFC 1951 has it");
                    assert!(read.bytes == piece);
                    distance_max = read.distance_max.max(distance_max);
                    if takeover {
                        history.extend_from_slice(piece);
                    }
                }
                assert!(distance_max <= 1 << bits, "{distance_max} bytes back, {bits} bits");
                // The check can fail: much of the window is used.
                assert!(distance_max > (1 << bits.min(12)) / 3, "{distance_max}, {bits} bits");
            }
        }
    }
}

#[test]
fn what_one_end_sends_the_other_hears_and_what_breaks_one_leaves_its_neighbour_alone() {
    for agreed in agreements() {
        let mut server = End::new(Role::Server, Some(agreed));
        let mut client = End::new(Role::Client, Some(agreed));
        let mut neighbour = Connection::new();
        for round in 0..20_usize {
            let text = format!("{{\"round\":{round},\"text\":\"hello hello hello\"}}").repeat(5);
            server.send(Message::Text(&text));
            client.receive(&server.sent());
            client.send(Message::Text(&text));
            server.receive(&client.sent());
            assert_eq!(client.heard.pop().unwrap(), format!("text {text}"));
            assert_eq!(server.heard.pop().unwrap(), format!("text {text}"));
            // A connection beside it, of the same endpoint, breaks in the middle of a block.
            if neighbour.state() != State::Open {
                neighbour = Connection::new();
            }
            neighbour.agree(&server.endpoint, &agreed);
            let mut bytes = frame(Role::Server, 0xC1, &HELLO[..round % HELLO.len()]);
            let (mut input, mut out) = (Input::new(&mut bytes), Outbox::new());
            let step = neighbour.advance(&server.endpoint, &mut input, &mut out);
            assert!(matches!(step, Step::Failed(_)), "{step:?}");
        }
    }
}

#[test]
fn a_connection_that_has_ended_keeps_no_windows() {
    let mut end = End::new(Role::Server, Some(DeflateAgreement::default()));
    assert_eq!(end.endpoint.deflate_contexts(), 1);
    end.receive(&frame(Role::Server, 0xC1, HELLO));
    end.receive(&frame(Role::Server, 0x88, b""));
    assert_eq!(end.connection.state(), State::Ended);
    assert_eq!(end.endpoint.deflate_contexts(), 0);
}
