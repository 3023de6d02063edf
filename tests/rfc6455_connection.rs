//! What RFC 6455 §5 demands of an endpoint that receives frames: one test for each rule that a peer
//! can break, in both roles, and the rules for what we send. The closing handshake (§5.5.1, §7) and
//! the contents of messages (§8.1, §10.4) have files of their own beside this one.
//!
//! A vector is a list of frames, each by its first byte and its payload:
//!
//! ```text
//!   0x01 "Hel"     Text, no FIN
//!   0x80 "lo"      Continuation, FIN      -> the message "Hello"
//! ```
//!
//! [`subject::run_every_way`] says in how many ways each of them is run.

#[path = "common/naive.rs"]
mod naive;
#[path = "common/subject.rs"]
#[allow(dead_code)]
mod subject;

use std::collections::HashSet;

use naive::{End, Event, Limits, Role};
use subject::{
    KEY, LIMITS, ROLES, Subject, binary, frame, frame_with, frames, header_with, ping, pong,
    run_every_way, text, verdict_at,
};
use switchboard::protocol::{Connection, Endpoint, Message, MessageKind};
use switchboard::wire::{FrameHeader, Parsed, ProtocolError};

/// Limits that are not what the test is about.
const WIDE: Limits = Limits { message_bytes_max: 1 << 20, message_frames_max: 100 };

const RESERVED: [u8; 10] = [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF];
const CONTROL: [u8; 3] = [0x8, 0x9, 0xA];

/// The frames are accepted, and mean these events, in both roles.
fn accepts(list: &[(u8, &[u8])], events: &[Event]) {
    for role in ROLES {
        let outcome = run_every_way(role, &WIDE, &frames(role, list));
        assert_eq!(outcome.events, events, "{role:?}: {list:02x?}");
        assert_eq!(outcome.end, End::Open, "{role:?}: {list:02x?}");
    }
}

/// The last of the frames fails the connection in both roles, after these events.
fn refuses(list: &[(u8, &[u8])], events: &[Event], error: ProtocolError) {
    for role in ROLES {
        refuses_bytes(role, &frames(role, list), events, error);
    }
}

/// The bytes fail the connection, after these events; the last answer is a Close that says why.
fn refuses_bytes(role: Role, stream: &[u8], events: &[Event], error: ProtocolError) {
    let outcome = run_every_way(role, &WIDE, stream);
    assert_eq!(outcome.events, events, "{role:?}: {stream:02x?}");
    assert_eq!(outcome.end, End::Failed(error), "{role:?}: {stream:02x?}");
    let told = Event::Close(Some((error.close_code().as_u16(), error.to_string())));
    assert_eq!(outcome.answers.last(), Some(&told));
}

/// The key that the peer of `role` masks with, if it does.
fn key(role: Role) -> Option<[u8; 4]> {
    (role == Role::Server).then_some(KEY)
}

// §5.1: who masks.

#[test]
fn rfc6455_5_1_unmasked_frame_to_a_server_fails_with_1002() {
    for first in [0x81, 0x82, 0x01, 0x80, 0x88, 0x89, 0x8A] {
        for payload in [&b""[..], b"ab"] {
            let stream = frame_with(first, None, payload);
            refuses_bytes(Role::Server, &stream, &[], ProtocolError::MaskRequired);
            assert_eq!(verdict_at(Role::Server, &LIMITS, &stream), Some(2), "by its header");
        }
    }
    assert_eq!(ProtocolError::MaskRequired.close_code().as_u16(), 1002);
}

#[test]
fn rfc6455_5_1_masked_frame_to_a_client_fails_with_1002() {
    for first in [0x81, 0x82, 0x01, 0x80, 0x88, 0x89, 0x8A] {
        for key in [KEY, [0; 4]] {
            let stream = frame_with(first, Some(key), b"ab");
            refuses_bytes(Role::Client, &stream, &[], ProtocolError::MaskForbidden);
            assert_eq!(verdict_at(Role::Client, &LIMITS, &stream), Some(6), "by its header");
        }
    }
    assert_eq!(ProtocolError::MaskForbidden.close_code().as_u16(), 1002);
}

#[test]
fn rfc6455_5_1_every_frame_of_a_message_is_to_be_masked() {
    let masked = frame(Role::Server, 0x01, b"Hel");
    let stream = [masked, frame_with(0x80, None, b"lo")].concat();
    refuses_bytes(Role::Server, &stream, &[], ProtocolError::MaskRequired);
}

// §5.2: the base framing protocol.

#[test]
fn rfc6455_5_2_reserved_bit_without_an_extension_fails_with_1002() {
    for rsv in 1..8 {
        for first in [0x81, 0x82, 0x01, 0x88, 0x89, 0x8A] {
            let bad: (u8, &[u8]) = (first | rsv << 4, b"?");
            refuses(&[bad], &[], ProtocolError::ReservedBits);
            let good = [text("good"), ping(b"!")];
            refuses(&[(0x81, b"good"), (0x89, b"!"), bad], &good, ProtocolError::ReservedBits);
        }
        refuses(&[(0x01, b"a"), (0x80 | rsv << 4, b"b")], &[], ProtocolError::ReservedBits);
    }
    assert_eq!(ProtocolError::ReservedBits.close_code().as_u16(), 1002);
}

#[test]
fn rfc6455_5_2_reserved_opcode_fails_with_1002_at_the_first_byte() {
    for opcode in RESERVED {
        for first in [opcode, 0x80 | opcode] {
            refuses(&[(first, b"")], &[], ProtocolError::ReservedOpcode);
            refuses(
                &[(0x81, b"good"), (first, b"?")],
                &[text("good")],
                ProtocolError::ReservedOpcode,
            );
            refuses(&[(0x01, b"a"), (first, b"b")], &[], ProtocolError::ReservedOpcode);
            assert_eq!(verdict_at(Role::Server, &LIMITS, &[first]), Some(1));
        }
    }
    assert_eq!(ProtocolError::ReservedOpcode.close_code().as_u16(), 1002);
}

#[test]
fn rfc6455_5_2_payload_of_every_length_form_is_accepted() {
    for payload_len in [0, 1, 2, 125, 126, 127, 128, 300, 65_535, 65_536, 65_537] {
        let payload: Vec<u8> = (0..payload_len).map(|i| (i % 251) as u8).collect();
        accepts(&[(0x82, &payload)], &[binary(&payload)]);
        let letters = "l".repeat(payload_len);
        accepts(&[(0x81, letters.as_bytes())], &[text(&letters)]);
    }
}

#[test]
fn rfc6455_5_2_length_not_minimal_fails_with_1002_before_the_payload() {
    for role in ROLES {
        let mask = if role == Role::Server { 0x80 } else { 0 };
        for payload_len in [0_u16, 1, 125] {
            let bytes = [&[0x82, mask | 126][..], &payload_len.to_be_bytes(), &[0; 130]].concat();
            refuses_bytes(role, &bytes, &[], ProtocolError::LengthNotMinimal);
            assert_eq!(verdict_at(role, &WIDE, &bytes), Some(4));
        }
        for payload_len in [0_u64, 125, 126, 65_535] {
            let bytes = [&[0x82, mask | 127][..], &payload_len.to_be_bytes(), &[0; 130]].concat();
            refuses_bytes(role, &bytes, &[], ProtocolError::LengthNotMinimal);
            assert_eq!(verdict_at(role, &WIDE, &bytes), Some(10));
        }
    }
    assert_eq!(ProtocolError::LengthNotMinimal.close_code().as_u16(), 1002);
}

#[test]
fn rfc6455_5_2_length_with_its_top_bit_set_fails_with_1002() {
    for role in ROLES {
        for payload_len in [1_u64 << 63, u64::MAX] {
            let bytes = header_with(0x82, key(role), payload_len);
            refuses_bytes(role, &bytes, &[], ProtocolError::LengthTooLarge);
            assert_eq!(verdict_at(role, &WIDE, &bytes), Some(10));
        }
    }
    assert_eq!(ProtocolError::LengthTooLarge.close_code().as_u16(), 1002);
}

// §5.3: masking.

#[test]
fn rfc6455_5_3_payload_is_unmasked_with_the_key_of_its_frame() {
    let keys = [[0; 4], [0xFF; 4], [1, 2, 3, 4], *b"keys", [0x80, 0, 0, 1]];
    let payload: Vec<u8> = (0..23).collect();
    let mut stream = Vec::new();
    let mut events = Vec::new();
    for key in keys {
        stream.extend(frame_with(0x82, Some(key), &payload));
        events.push(binary(&payload));
    }
    // The second frame of a message has a key of its own, which begins at its own first octet.
    stream.extend(frame_with(0x02, Some(keys[3]), &payload));
    stream.extend(frame_with(0x80, Some(keys[2]), &payload));
    events.push(binary(&payload.repeat(2)));
    let outcome = run_every_way(Role::Server, &WIDE, &stream);
    assert_eq!((outcome.events, outcome.end), (events, End::Open));
}

#[test]
fn rfc6455_5_3_client_masks_every_frame_with_a_fresh_key() {
    let mut client = Subject::new(Role::Client, &WIDE);
    let mut messages = Vec::new();
    for len in 0..40 {
        let payload = vec![0; len];
        let (connection, endpoint) = (&mut client.connection, &client.endpoint);
        assert!(connection.send(endpoint, Message::Binary(&payload), &mut client.outbox));
        connection.ping(endpoint, &payload, &mut client.outbox);
        messages.extend([binary(&payload), ping(&payload)]);
    }
    let sent = client.sent().to_vec();
    let keys = keys(&sent);
    assert_eq!(keys.len(), messages.len());
    // Of 80 keys, two are the same by chance once in a million runs; four are not.
    let different: HashSet<[u8; 4]> = keys.iter().flatten().copied().collect();
    assert!(different.len() >= messages.len() - 2, "{keys:02x?}");
    assert!(keys.iter().all(Option::is_some));

    // The server, which has seen no key before, reads it all.
    let outcome = run_every_way(Role::Server, &WIDE, &sent);
    assert_eq!((outcome.events, outcome.end), (messages, End::Open));
}

#[test]
fn rfc6455_5_3_another_client_has_other_keys() {
    let sent = |endpoint: &Endpoint| {
        let mut outbox = switchboard::outbox::Outbox::new();
        for _ in 0..4 {
            Connection::new().send(endpoint, Message::Text("same"), &mut outbox);
        }
        outbox.front().to_vec()
    };
    assert_ne!(keys(&sent(&Endpoint::client())), keys(&sent(&Endpoint::client())));
    assert_eq!(keys(&sent(&Endpoint::server())), [None; 4]);
}

/// The masking keys of frames in a row.
fn keys(mut stream: &[u8]) -> Vec<Option<[u8; 4]>> {
    let mut keys = Vec::new();
    while let Ok(Parsed::Complete { value, len }) = FrameHeader::parse(stream) {
        keys.push(value.masking_key.map(|key| key.0));
        stream = &stream[len + value.payload_len as usize..];
    }
    keys
}

#[test]
fn rfc6455_5_1_server_masks_nothing() {
    let mut server = Subject::new(Role::Server, &WIDE);
    let parts: [&[u8]; 3] = [b"one ", b"", b"message"];
    let (connection, endpoint) = (&mut server.connection, &server.endpoint);
    assert!(connection.send_parts(endpoint, MessageKind::Text, &parts, &mut server.outbox));
    connection.ping(endpoint, b"?", &mut server.outbox);
    let sent = server.sent().to_vec();
    assert_eq!(sent, b"\x81\x0bone message\x89\x01?");
    let outcome = run_every_way(Role::Client, &WIDE, &sent);
    assert_eq!(outcome.events, [text("one message"), ping(b"?")]);
}

// §5.4: fragmentation.

#[test]
fn rfc6455_5_4_fragments_are_one_message_of_the_first_ones_kind() {
    accepts(&[(0x01, b"Hel"), (0x80, b"lo")], &[text("Hello")]);
    accepts(&[(0x02, b"Hel"), (0x80, b"lo")], &[binary(b"Hello")]);
    accepts(&[(0x01, b"H"), (0x00, b"ell"), (0x00, b"o"), (0x80, b"!")], &[text("Hello!")]);
    accepts(&[(0x02, b"\xff"), (0x00, b"\xc3"), (0x80, b"\x28")], &[binary(b"\xff\xc3\x28")]);
}

#[test]
fn rfc6455_5_4_empty_fragments_are_fragments() {
    accepts(&[(0x01, b""), (0x80, b"")], &[text("")]);
    accepts(&[(0x01, b""), (0x00, b"a"), (0x00, b""), (0x80, b"")], &[text("a")]);
    accepts(&[(0x02, b""), (0x00, b""), (0x80, b"a")], &[binary(b"a")]);
}

#[test]
fn rfc6455_5_4_messages_follow_each_other_whole_or_fragmented() {
    accepts(
        &[(0x81, b"a"), (0x01, b"b"), (0x80, b"c"), (0x82, b""), (0x02, b"d"), (0x80, b"e")],
        &[text("a"), text("bc"), binary(b""), binary(b"de")],
    );
}

#[test]
fn rfc6455_5_4_control_frames_between_fragments_come_first() {
    accepts(
        &[(0x01, b"a"), (0x89, b"1"), (0x00, b"b"), (0x8A, b"2"), (0x89, b""), (0x80, b"c")],
        &[ping(b"1"), pong(b"2"), ping(b""), text("abc")],
    );
    // Nothing has been collected before the first of them, and nothing is afterwards.
    accepts(&[(0x02, b""), (0x89, b"1"), (0x80, b"")], &[ping(b"1"), binary(b"")]);
    // A code point that the fragments cut is whole again after a Ping that would not fit into it.
    accepts(
        &[(0x01, b"\xe2\x82"), (0x89, b"\xff\x28"), (0x80, b"\xac")],
        &[ping(b"\xff\x28"), text("\u{20ac}")],
    );
}

#[test]
fn rfc6455_5_4_continuation_of_nothing_fails_with_1002() {
    let error = ProtocolError::UnexpectedContinuation;
    for first in [0x80, 0x00] {
        for payload in [&b""[..], b"a"] {
            refuses(&[(first, payload)], &[], error);
            // A message that is complete cannot be continued.
            refuses(&[(0x81, b"a"), (first, payload)], &[text("a")], error);
            refuses(&[(0x01, b"a"), (0x80, b"b"), (first, payload)], &[text("ab")], error);
            refuses(&[(0x89, b"a"), (first, payload)], &[ping(b"a")], error);
            // What stands behind it is not delivered.
            refuses(&[(first, payload), (0x81, b"good")], &[], error);
        }
    }
    assert_eq!(error.close_code().as_u16(), 1002);
}

#[test]
fn rfc6455_5_4_new_message_inside_a_fragmented_one_fails_with_1002() {
    let error = ProtocolError::ExpectedContinuation;
    for begun in [0x01, 0x02] {
        for first in [0x81, 0x82, 0x01, 0x02] {
            refuses(&[(begun, b"a"), (first, b"b")], &[], error);
            refuses(&[(begun, b""), (first, b"")], &[], error);
            refuses(&[(begun, b"a"), (0x00, b"b"), (first, b"c")], &[], error);
            refuses(&[(begun, b"a"), (0x89, b"!"), (first, b"c")], &[ping(b"!")], error);
        }
    }
    assert_eq!(error.close_code().as_u16(), 1002);
}

// §5.5: control frames.

#[test]
fn rfc6455_5_5_control_payload_of_125_is_accepted() {
    for payload in [vec![b'p'; 124], (0..125).collect()] {
        accepts(&[(0x89, &payload)], &[ping(&payload)]);
        accepts(&[(0x8A, &payload)], &[pong(&payload)]);
        accepts(&[(0x02, b"a"), (0x89, &payload), (0x80, b"b")], &[ping(&payload), binary(b"ab")]);
    }
}

#[test]
fn rfc6455_5_5_control_payload_over_125_fails_with_1002_at_the_second_byte() {
    for opcode in CONTROL {
        for payload_len in [126, 127, 65_536] {
            let payload = vec![b'p'; payload_len];
            refuses(&[(0x80 | opcode, &payload)], &[], ProtocolError::ControlTooLong);
        }
        for role in ROLES {
            let header = header_with(0x80 | opcode, key(role), 126);
            assert_eq!(verdict_at(role, &LIMITS, &header), Some(2));
        }
    }
    assert_eq!(ProtocolError::ControlTooLong.close_code().as_u16(), 1002);
}

#[test]
fn rfc6455_5_5_fragmented_control_frame_fails_with_1002_at_the_first_byte() {
    for opcode in CONTROL {
        refuses(&[(opcode, b"")], &[], ProtocolError::ControlFragmented);
        refuses(&[(opcode, b"a"), (0x80, b"b")], &[], ProtocolError::ControlFragmented);
        refuses(&[(0x01, b"a"), (opcode, b"")], &[], ProtocolError::ControlFragmented);
        assert_eq!(verdict_at(Role::Server, &LIMITS, &[opcode]), Some(1));
    }
    assert_eq!(ProtocolError::ControlFragmented.close_code().as_u16(), 1002);
}

// §5.5.2 and §5.5.3: Ping and Pong.

#[test]
fn rfc6455_5_5_2_ping_is_answered_by_a_pong_with_the_same_payload() {
    let payloads: [&[u8]; 4] = [b"", b"Hello", b"\x00\xff\xc3\x28", &[0xFE; 125]];
    for role in ROLES {
        for payload in payloads {
            let outcome = run_every_way(role, &LIMITS, &frame(role, 0x89, payload));
            assert_eq!(outcome.events, [ping(payload)]);
            assert_eq!(outcome.answers, [pong(payload)]);
        }
    }
}

#[test]
fn rfc6455_5_5_2_ten_pings_are_answered_in_order() {
    let payloads: Vec<[u8; 1]> = (b'0'..=b'9').map(|digit| [digit]).collect();
    let pings: Vec<(u8, &[u8])> = payloads.iter().map(|payload| (0x89, &payload[..])).collect();
    let pongs: Vec<Event> = payloads.iter().map(|payload| pong(payload)).collect();
    for role in ROLES {
        assert_eq!(run_every_way(role, &LIMITS, &frames(role, &pings)).answers, pongs);
    }
}

#[test]
fn rfc6455_5_5_2_ping_is_answered_while_a_message_is_incomplete() {
    for role in ROLES {
        let stream = frames(role, &[(0x01, b"Hel"), (0x00, b""), (0x89, b"now")]);
        let outcome = run_every_way(role, &LIMITS, &stream);
        assert_eq!(outcome.events, [ping(b"now")], "the message is not complete");
        assert_eq!(outcome.answers, [pong(b"now")], "the Pong does not wait for it");
    }
}

#[test]
fn rfc6455_5_5_2_ping_of_ours_has_at_most_125_bytes_and_its_pong_is_told() {
    for role in ROLES {
        for (len, sent_len) in [(0, 0), (125, 125), (126, 125), (70_000, 125)] {
            let mut subject = Subject::new(role, &LIMITS);
            let payload = vec![b'p'; len];
            subject.connection.ping(&subject.endpoint, &payload, &mut subject.outbox);
            assert_eq!(subject.said(), [ping(&payload[..sent_len])]);
            subject.receive(&frame(role, 0x8A, &payload[..sent_len]));
            assert_eq!(subject.outcome().events, [pong(&payload[..sent_len])]);
        }
    }
}

#[test]
fn rfc6455_5_5_3_pong_that_nobody_asked_for_is_not_answered() {
    for role in ROLES {
        let stream = frames(role, &[(0x8A, b""), (0x01, b"a"), (0x8A, b"\xff"), (0x80, b"b")]);
        let outcome = run_every_way(role, &LIMITS, &stream);
        assert_eq!(outcome.events, [pong(b""), pong(b"\xff"), text("ab")]);
        assert_eq!((outcome.answers, outcome.end), (vec![], End::Open));
    }
}

// §5.6 and §5.7: data frames.

#[test]
fn rfc6455_5_6_text_is_utf8_and_binary_is_anything() {
    let all: Vec<u8> = (0..=255).collect();
    accepts(&[(0x82, &all), (0x81, b"\xce\xba")], &[binary(&all), text("\u{3ba}")]);
    refuses(&[(0x81, &all)], &[], ProtocolError::TextNotUtf8);
}

#[test]
fn rfc6455_5_7_examples_are_understood() {
    let unmasked = b"\x81\x05Hello\x01\x03Hel\x80\x02lo\x89\x05Hello";
    let outcome = run_every_way(Role::Client, &WIDE, unmasked);
    assert_eq!(outcome.events, [text("Hello"), text("Hello"), ping(b"Hello")]);
    assert_eq!(outcome.answers, [pong(b"Hello")]);

    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\
                   \x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let outcome = run_every_way(Role::Server, &WIDE, masked);
    assert_eq!(outcome.events, [text("Hello"), pong(b"Hello")]);

    for payload in [vec![7; 256], vec![7; 65_536]] {
        accepts(&[(0x82, &payload)], &[binary(&payload)]);
    }
}
