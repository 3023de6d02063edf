//! What messages may contain (RFC 6455 §8.1), how large they may be (§7.4.1, §10.4), when a verdict
//! must be there, and what a connection keeps in memory meanwhile. Vectors are run as in
//! `rfc6455_connection.rs`.

#[path = "common/naive.rs"]
mod naive;
#[path = "common/subject.rs"]
#[allow(dead_code)]
mod subject;
#[path = "common/utf8.rs"]
mod utf8;

use naive::{End, Event, Limits, Role, could_become_text};
use subject::{
    KEY, LIMITS, ROLES, Subject, binary, close, frame, frame_with, frames, header_with, ping, run,
    run_every_way, text, verdict_at,
};
use switchboard::outbox::Outbox;
use switchboard::protocol::{Connection, Endpoint, Input, Message, Step};
use switchboard::wire::ProtocolError;
use utf8::{INVALID, VALID};

/// Bytes in front of the payload of a frame of at most 125 bytes that the peer of `role` sends.
fn header_len(role: Role) -> usize {
    if role == Role::Server { 6 } else { 2 }
}

/// The number of octets after which these can no longer be the beginning of a text.
fn first_impossible(octets: &[u8]) -> Option<usize> {
    (1..=octets.len()).find(|len| !could_become_text(&octets[..*len]))
}

fn fails(role: Role, limits: &Limits, stream: &[u8], error: ProtocolError) {
    let outcome = run_every_way(role, limits, stream);
    assert_eq!(
        outcome.end,
        End::Failed(error),
        "{role:?}: {:02x?}",
        &stream[..stream.len().min(40)]
    );
    assert_eq!(outcome.answers, [close(error.close_code().as_u16(), error.text())]);
    assert_eq!(outcome.events, []);
}

// §8.1: text is UTF-8.

#[test]
fn rfc6455_8_1_valid_text_arrives_whole_or_cut_at_any_octet() {
    for role in ROLES {
        for octets in VALID {
            let whole = text(std::str::from_utf8(octets).unwrap());
            let outcome = run_every_way(role, &LIMITS, &frame(role, 0x81, octets));
            assert_eq!((outcome.events, outcome.end), (vec![whole.clone()], End::Open));
            for cut in 0..=octets.len() {
                let (head, tail) = octets.split_at(cut);
                let stream = frames(role, &[(0x01, head), (0x00, b""), (0x80, tail)]);
                let outcome = run_every_way(role, &LIMITS, &stream);
                assert_eq!((outcome.events, outcome.end), (vec![whole.clone()], End::Open));
            }
        }
    }
}

#[test]
fn rfc6455_8_1_invalid_text_fails_with_1007_whole_or_cut_at_any_octet() {
    assert_eq!(ProtocolError::TextNotUtf8.close_code().as_u16(), 1007);
    for role in ROLES {
        for octets in INVALID {
            fails(role, &LIMITS, &frame(role, 0x81, octets), ProtocolError::TextNotUtf8);
            for cut in 0..=octets.len() {
                let (head, tail) = octets.split_at(cut);
                let stream = frames(role, &[(0x01, head), (0x80, tail)]);
                fails(role, &LIMITS, &stream, ProtocolError::TextNotUtf8);
            }
        }
    }
}

#[test]
fn rfc6455_8_1_invalid_text_fails_at_its_first_impossible_octet_inside_an_incomplete_frame() {
    for role in ROLES {
        for octets in INVALID {
            let more = [*octets, b" and more of it"].concat();
            let stream = frame(role, 0x81, &more);
            // The space behind it ends a code point that is incomplete, if nothing did before.
            let octet = first_impossible(&more).unwrap();
            let at = header_len(role) + octet;
            assert_eq!(verdict_at(role, &LIMITS, &stream), Some(at), "{role:?}: {more:02x?}");
            // Nor is it later when all comes in one read that ends there.
            let outcome = run(role, &LIMITS, [&stream[..at]]);
            assert_eq!(outcome.end, End::Failed(ProtocolError::TextNotUtf8));
            assert_eq!(run(role, &LIMITS, [&stream[..at - 1]]).end, End::Open);
        }
    }
}

#[test]
fn rfc6455_8_1_invalid_text_fails_at_its_first_impossible_octet_across_fragments() {
    for role in ROLES {
        for octets in INVALID {
            let more = [*octets, b" and more of it"].concat();
            let octet = first_impossible(&more).unwrap();
            // A frame for each octet: the bad one is the last of its frame.
            let mut stream = frame(role, 0x01, b"");
            for octet in &more {
                stream.extend(frame(role, 0x00, &[*octet]));
            }
            let limits = Limits { message_frames_max: 1000, ..LIMITS };
            let at = header_len(role) + octet * (header_len(role) + 1);
            assert_eq!(verdict_at(role, &limits, &stream), Some(at), "{role:?}: {more:02x?}");
            // Two frames, cut at every octet.
            for cut in 0..=more.len() {
                let (head, tail) = more.split_at(cut);
                let stream = frames(role, &[(0x01, head), (0x00, tail)]);
                let headers = header_len(role) * if octet <= cut { 1 } else { 2 };
                assert_eq!(verdict_at(role, &LIMITS, &stream), Some(headers + octet));
            }
        }
    }
}

#[test]
fn rfc6455_8_1_text_that_ends_inside_a_code_point_fails_with_its_last_octet() {
    for role in ROLES {
        for octets in [&b"\xc2"[..], b"ab\xe0\xa0", b"\xf4\x8f\xbf", b"\xed\x9f"] {
            let stream = frame(role, 0x81, octets);
            assert_eq!(verdict_at(role, &LIMITS, &stream), Some(stream.len()));
            // It is the message that must not end there; a frame may.
            let stream = frames(role, &[(0x01, octets), (0x00, b"")]);
            assert_eq!(run_every_way(role, &LIMITS, &stream).end, End::Open);
            let stream = frames(role, &[(0x01, octets), (0x00, b""), (0x80, b"")]);
            assert_eq!(verdict_at(role, &LIMITS, &stream), Some(stream.len()));
            fails(role, &LIMITS, &stream, ProtocolError::TextNotUtf8);
        }
    }
}

#[test]
fn rfc6455_8_1_each_message_is_judged_by_itself() {
    for role in ROLES {
        // The first message is not UTF-8, but binary; the second does not complete it.
        let stream = frames(role, &[(0x82, b"\xe2\x82"), (0x01, b"a"), (0x80, b"b")]);
        let outcome = run_every_way(role, &LIMITS, &stream);
        assert_eq!(outcome.events, [binary(b"\xe2\x82"), text("ab")]);
        let stream = frames(role, &[(0x02, b"\xe2\x82"), (0x80, b""), (0x81, b"\xac")]);
        let outcome = run_every_way(role, &LIMITS, &stream);
        assert_eq!(outcome.events, [binary(b"\xe2\x82")]);
        assert_eq!(outcome.end, End::Failed(ProtocolError::TextNotUtf8));
    }
}

// §7.4.1 and §10.4: limits.

#[test]
fn rfc6455_7_4_1_message_of_exactly_the_limit_is_accepted() {
    let payload = vec![b'm'; 1000];
    for role in ROLES {
        let stream = frame(role, 0x82, &payload);
        assert_eq!(run_every_way(role, &LIMITS, &stream).events, [binary(&payload)]);
        for cut in [0, 1, 500, 999, 1000] {
            let (head, tail) = payload.split_at(cut);
            let stream = frames(role, &[(0x02, head), (0x00, b""), (0x80, tail), (0x82, &payload)]);
            let outcome = run_every_way(role, &LIMITS, &stream);
            assert_eq!(outcome.events, [binary(&payload), binary(&payload)], "each by itself");
        }
    }
}

#[test]
fn rfc6455_7_4_1_message_over_the_limit_fails_with_1009_before_its_payload() {
    assert_eq!(ProtocolError::MessageTooBig.close_code().as_u16(), 1009);
    for role in ROLES {
        let key = (role == Role::Server).then_some(KEY);
        for payload_len in [1001, 65_535, 65_536, 1 << 32, (1 << 63) - 1] {
            for first in [0x81, 0x82, 0x01, 0x02] {
                let stream = header_with(first, key, payload_len);
                fails(role, &LIMITS, &stream, ProtocolError::MessageTooBig);
                assert_eq!(verdict_at(role, &LIMITS, &stream), Some(stream.len()));
            }
        }
    }
}

#[test]
fn rfc6455_7_4_1_fragments_over_the_limit_together_fail_with_1009_before_the_one_too_many() {
    for role in ROLES {
        let key = (role == Role::Server).then_some(KEY);
        for first_len in [0_u64, 1, 500, 999, 1000] {
            for over in [1, 2, 70_000, (1 << 63) - 1] {
                let next_len = (1000 - first_len + over).min((1 << 63) - 1);
                let begun = frame(role, 0x02, &vec![0; first_len as usize]);
                for first in [0x00, 0x80] {
                    let stream = [&begun[..], &header_with(first, key, next_len)].concat();
                    fails(role, &LIMITS, &stream, ProtocolError::MessageTooBig);
                    assert_eq!(verdict_at(role, &LIMITS, &stream), Some(stream.len()));
                }
            }
        }
    }
}

#[test]
fn rfc6455_7_4_1_control_frames_do_not_count_for_the_message_around_them() {
    let limits = Limits { message_bytes_max: 2, message_frames_max: 2 };
    for role in ROLES {
        let list: [(u8, &[u8]); 5] =
            [(0x89, b"one"), (0x01, b"a"), (0x89, b"two"), (0x89, b"three"), (0x80, b"b")];
        let outcome = run_every_way_without_others(role, &limits, &frames(role, &list));
        assert_eq!(outcome, [ping(b"one"), ping(b"two"), ping(b"three"), text("ab")]);
    }
}

/// For limits so small that the frames which [`run_every_way`] puts in front would exceed them.
fn run_every_way_without_others(role: Role, limits: &Limits, stream: &[u8]) -> Vec<Event> {
    let outcome = run(role, limits, [stream]);
    for cut in 1..stream.len() {
        assert_eq!(run(role, limits, [&stream[..cut], &stream[cut..]]), outcome);
    }
    assert_eq!(run(role, limits, stream.chunks(1)), outcome);
    outcome.events
}

#[test]
fn rfc6455_7_4_1_limit_of_nothing_lets_empty_messages_through() {
    let limits = Limits { message_bytes_max: 0, message_frames_max: 1 };
    for role in ROLES {
        let stream = frames(role, &[(0x81, b""), (0x82, b"")]);
        let events = run_every_way_without_others(role, &limits, &stream);
        assert_eq!(events, [text(""), binary(b"")]);
        let end = run(role, &limits, [&*frame(role, 0x81, b"a")]).end;
        assert_eq!(end, End::Failed(ProtocolError::MessageTooBig));
    }
}

#[test]
fn rfc6455_10_4_frames_of_a_message_are_counted_the_empty_ones_too() {
    assert_eq!(ProtocolError::TooManyFrames.close_code().as_u16(), 1008);
    for role in ROLES {
        for payload in [&b""[..], b"ab"] {
            let nine = [frame(role, 0x02, payload), frame(role, 0x00, payload).repeat(8)].concat();
            let ten = [nine.clone(), frame(role, 0x80, payload)].concat();
            // Whole messages and Pings are no frames of it.
            let others = frames(role, &[(0x82, b"a"), (0x89, b"")]);
            let stream = [&ten[..], &others.repeat(3), &ten].concat();
            let outcome = run_every_way(role, &LIMITS, &stream);
            assert_eq!(outcome.end, End::Open);
            assert_eq!(outcome.events.last(), Some(&binary(&payload.repeat(10))));

            let eleven = [nine, frame(role, 0x00, payload), frame(role, 0x80, payload)].concat();
            fails(role, &LIMITS, &eleven, ProtocolError::TooManyFrames);
            let before_its_payload = eleven.len() - payload.len();
            assert_eq!(verdict_at(role, &LIMITS, &eleven), Some(before_its_payload));
        }
    }
}

// Memory: what the RFC leaves to us (§10.4).

#[test]
fn rfc6455_10_4_huge_announced_length_takes_no_memory_for_what_has_not_come() {
    let no_limits = Limits { message_bytes_max: u64::MAX, message_frames_max: u64::MAX };
    for role in ROLES {
        let key = (role == Role::Server).then_some(KEY);
        for first in [0x80, 0x00] {
            let mut subject = Subject::new(role, &no_limits);
            // The sum of the two lengths does not fit 63 bits.
            subject.receive(&frame(role, 0x02, b"begun"));
            let header = header_with(first, key, (1 << 63) - 1);
            subject.receive(&header);
            assert_eq!(subject.connection.collected(), 5);
            subject.receive(&[0; 10_000]);
            assert_eq!((subject.connection.collected(), subject.end()), (10_005, End::Open));
        }
    }
}

#[test]
fn rfc6455_5_4_only_what_has_come_of_an_unfinished_message_is_kept() {
    for role in ROLES {
        let mut subject = Subject::new(role, &LIMITS);
        let steps: [(u8, &[u8], usize); 7] = [
            (0x81, b"whole", 0),
            (0x01, b"be", 2),
            (0x89, b"a Ping is not kept", 2),
            (0x00, b"gun", 5),
            (0x00, b"", 5),
            (0x80, b"!", 0),
            (0x88, b"", 0),
        ];
        for (first, payload, kept) in steps {
            for byte in frame(role, first, payload) {
                subject.receive(&[byte]);
                // However it is cut, never more than the payload that has come.
                assert!(subject.connection.collected() <= 6);
            }
            assert_eq!(subject.connection.collected(), kept, "after {first:02x} {payload:?}");
        }
    }
}

#[test]
fn rfc6455_5_4_failing_and_closing_forget_an_unfinished_message() {
    for role in ROLES {
        for (first, payload) in [(0x88, &b"\x03\xe8"[..]), (0x83, b""), (0x80, b"\xff")] {
            let mut subject = Subject::new(role, &LIMITS);
            subject.receive(&frame(role, 0x01, &[b'm'; 100]));
            assert_eq!(subject.connection.collected(), 100);
            subject.receive(&frame(role, first, payload));
            assert_ne!(subject.end(), End::Open);
            assert_eq!(subject.connection.collected(), 0);
        }
    }
}

/// Ten thousand idle connections are ten thousand of these. 16 bytes of it are for a header that a
/// read has cut, and what was agreed about compression; all else is boxed while it is there.
#[cfg(target_pointer_width = "64")]
#[test]
fn an_idle_connection_is_32_bytes() {
    assert_eq!(size_of::<Connection>(), 24);
}

// Zero copy: a message that lies whole in one read is not moved.

#[test]
fn message_whole_in_one_read_is_borrowed_from_it() {
    for (endpoint, role) in [(Endpoint::server(), Role::Server), (Endpoint::client(), Role::Client)]
    {
        for payload in ["", "Hello", "\u{3ba}\u{1f980}", &"long ".repeat(1000)] {
            // Two in one read, after the second half of one that the read before has cut.
            let cut = frame(role, 0x81, b"cut");
            let (head, tail) = cut.split_at(cut.len() - 1);
            let whole = frames(role, &[(0x81, payload.as_bytes()), (0x82, payload.as_bytes())]);
            let mut bytes = [tail, &whole].concat();
            let (mut connection, mut outbox) = (Connection::new(), Outbox::new());
            let mut first_read = head.to_vec();
            let step = connection.advance(&endpoint, &mut Input::new(&mut first_read), &mut outbox);
            assert!(matches!(step, Step::NeedInput));

            let read = bytes.as_ptr_range();
            let mut input = Input::new(&mut bytes);
            let mut step = || connection.advance(&endpoint, &mut input, &mut outbox);
            let Step::Assembled(message) = step() else { panic!("it was cut") };
            assert_eq!(message.message(), Message::Text("cut"));
            for whole in [Message::Text(payload), Message::Binary(payload.as_bytes())] {
                let Step::Message(message) = step() else { panic!("it was not cut") };
                assert_eq!(message, whole);
                let place = message.as_bytes().as_ptr_range();
                assert!(read.start <= place.start && place.end <= read.end, "it was moved");
            }
            assert!(matches!(step(), Step::NeedInput));
        }
    }
}

#[test]
fn message_that_is_cut_or_fragmented_is_collected() {
    let endpoint = Endpoint::server();
    let whole = frame(Role::Server, 0x82, b"ab");
    let fragments = frames(Role::Server, &[(0x02, b"a"), (0x80, b"b")]);
    for (bytes, cut) in [(&whole, whole.len() - 1), (&whole, 6), (&fragments, 0)] {
        let (mut connection, mut outbox) = (Connection::new(), Outbox::new());
        let (mut head, mut tail) = (bytes[..cut].to_vec(), bytes[cut..].to_vec());
        let step = connection.advance(&endpoint, &mut Input::new(&mut head), &mut outbox);
        assert!(matches!(step, Step::NeedInput));
        let step = connection.advance(&endpoint, &mut Input::new(&mut tail), &mut outbox);
        let Step::Assembled(message) = step else { panic!("{step:?}") };
        assert_eq!(message.message(), Message::Binary(b"ab"));
    }
}

#[test]
fn message_whose_header_alone_is_cut_is_still_borrowed() {
    let endpoint = Endpoint::server();
    let bytes = frame_with(0x82, Some(KEY), b"ab");
    for cut in 1..6 {
        let (mut connection, mut outbox) = (Connection::new(), Outbox::new());
        let (mut head, mut tail) = (bytes[..cut].to_vec(), bytes[cut..].to_vec());
        let step = connection.advance(&endpoint, &mut Input::new(&mut head), &mut outbox);
        assert!(matches!(step, Step::NeedInput));
        let step = connection.advance(&endpoint, &mut Input::new(&mut tail), &mut outbox);
        assert!(matches!(step, Step::Message(Message::Binary(b"ab"))), "cut at {cut}");
    }
}
