//! How a connection ends: what RFC 6455 §5.5.1, §7 and §7.4 demand of an endpoint that closes, that
//! is closed, and that fails the connection. Vectors are run as in `rfc6455_connection.rs`.

#[path = "common/naive.rs"]
mod naive;
#[path = "common/subject.rs"]
#[allow(dead_code)]
mod subject;
#[path = "common/utf8.rs"]
mod utf8;

use naive::{End, Event, Role};
use subject::{
    LIMITS, Outcome, ROLES, Subject, binary, close, frame, frames, other, ping, pong, run,
    run_every_way, text,
};
use switchboard::protocol::{Message, MessageKind, State};
use switchboard::wire::{CloseCode, ClosePayload, ProtocolError};
use utf8::{INVALID, VALID};

/// The payload of a Close frame.
fn payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// A connection that has sent Close 1001 "bye", and the answers that say so.
fn closing(role: Role) -> (Subject, Event) {
    let mut subject = Subject::new(role, &LIMITS);
    let (endpoint, outbox) = (&subject.endpoint, &mut subject.outbox);
    subject.connection.close(endpoint, CloseCode::GOING_AWAY, "bye", outbox);
    assert_eq!(subject.connection.state(), State::Closing);
    (subject, close(1001, "bye"))
}

/// Says all that can be said; nothing of it may be sent.
fn assert_silent(subject: &mut Subject) {
    let before = subject.said();
    let (connection, endpoint) = (&mut subject.connection, &subject.endpoint);
    let outbox = &mut subject.outbox;
    assert!(!connection.send(endpoint, Message::Text("late"), outbox));
    assert!(!connection.send(endpoint, Message::Binary(b""), outbox));
    assert!(!connection.send_parts(endpoint, MessageKind::Text, &[b"late"], outbox));
    connection.ping(endpoint, b"late", outbox);
    connection.close(endpoint, CloseCode::NORMAL, "again", outbox);
    assert_eq!(subject.said(), before);
}

// §5.5.1: Close frames.

#[test]
fn rfc6455_5_5_1_close_without_payload_is_answered_without_payload() {
    for role in ROLES {
        let outcome = run_every_way(role, &LIMITS, &frame(role, 0x88, b""));
        assert_eq!(outcome.events, [Event::Close(None)]);
        assert_eq!((outcome.answers, outcome.end), (vec![Event::Close(None)], End::Closed));
    }
}

#[test]
fn rfc6455_5_5_1_close_is_answered_with_its_code() {
    let longest = "r".repeat(ClosePayload::REASON_LEN_MAX);
    for role in ROLES {
        for reason in ["", "bye", "\u{3ba}\u{1f980}", &longest] {
            let stream = frame(role, 0x88, &payload(1001, reason.as_bytes()));
            let outcome = run_every_way(role, &LIMITS, &stream);
            assert_eq!(outcome.events, [close(1001, reason)]);
            assert_eq!((outcome.answers, outcome.end), (vec![close(1001, "")], End::Closed));
        }
    }
}

#[test]
fn rfc6455_5_5_1_close_payload_of_one_byte_fails_with_1002() {
    for role in ROLES {
        for byte in [0x00, 0x03, 0xFF] {
            fails(role, &[byte], ProtocolError::ClosePayloadTooShort, 1002);
        }
    }
}

#[test]
fn rfc6455_5_5_1_close_reason_not_utf8_fails_with_1007() {
    for role in ROLES {
        for reason in INVALID {
            fails(role, &payload(1000, reason), ProtocolError::CloseReasonNotUtf8, 1007);
        }
        for reason in VALID {
            let outcome = run_every_way(role, &LIMITS, &frame(role, 0x88, &payload(1000, reason)));
            assert_eq!(outcome.events, [close(1000, std::str::from_utf8(reason).unwrap())]);
        }
    }
}

/// A Close frame with this payload fails the connection, and is answered by another one.
fn fails(role: Role, payload: &[u8], error: ProtocolError, code: u16) {
    let outcome = run_every_way(role, &LIMITS, &frame(role, 0x88, payload));
    let answers = vec![close(code, error.text())];
    assert_eq!(outcome, Outcome { events: vec![], end: End::Failed(error), answers });
}

#[test]
fn rfc6455_5_5_1_nothing_is_sent_after_a_close() {
    for role in ROLES {
        let (mut subject, _) = closing(role);
        assert_silent(&mut subject);
        subject.receive(&frame(role, 0x88, &payload(1001, b"")));
        assert_silent(&mut subject);

        let mut answered = Subject::new(role, &LIMITS);
        answered.receive(&frame(role, 0x88, &payload(1000, b"")));
        assert_silent(&mut answered);

        let mut failed = Subject::new(role, &LIMITS);
        failed.receive(&frame(role, 0x83, b""));
        assert_silent(&mut failed);
    }
}

#[test]
fn rfc6455_5_5_1_what_follows_a_close_is_ignored() {
    for role in ROLES {
        let stream = frames(role, &[(0x81, b"last"), (0x88, b"\x03\xe8"), (0x81, b"late")]);
        let ignored = frames(role, &[(0x89, b"?"), (0x88, b"\x03\xe9"), (0x83, b"")]);
        let outcome = run_every_way(role, &LIMITS, &[stream, ignored].concat());
        assert_eq!(outcome.events, [text("last"), close(1000, "")]);
        assert_eq!((outcome.answers, outcome.end), (vec![close(1000, "")], End::Closed));
    }
}

#[test]
fn rfc6455_5_5_1_close_inside_a_fragmented_message_is_a_normal_close() {
    let begun: [&[(u8, &[u8])]; 4] = [
        &[(0x01, b"never ends")],
        &[(0x02, b"")],
        &[(0x01, b"a"), (0x00, b"b"), (0x89, b"?")],
        &[(0x01, b"\xe2\x82")], // not even the code point ends
    ];
    for role in ROLES {
        for list in begun {
            let end = frame(role, 0x88, &payload(1000, b"enough"));
            let outcome = run_every_way(role, &LIMITS, &[frames(role, list), end].concat());
            assert_eq!(outcome.end, End::Closed);
            assert_eq!(outcome.events.last(), Some(&close(1000, "enough")));
            assert_eq!(outcome.answers.last(), Some(&close(1000, "")));
        }
    }
}

// §7.1: the closing handshake from our side.

#[test]
fn rfc6455_7_1_2_closing_handshake_of_ours_is_complete_with_the_peers_close() {
    for role in ROLES {
        for (answer, event) in [
            (payload(1001, b""), close(1001, "")),
            (payload(1000, b"ok"), close(1000, "ok")),
            (vec![], Event::Close(None)),
        ] {
            let answer = frame(role, 0x88, &answer);
            for cut in 0..answer.len() {
                let (mut subject, sent) = closing(role);
                subject.receive(&answer[..cut]);
                assert_eq!(subject.connection.state(), State::Closing);
                subject.receive(&answer[cut..]);
                let outcome = subject.outcome();
                assert_eq!((outcome.events, outcome.end), (vec![event.clone()], End::Closed));
                assert_eq!(outcome.answers, [sent], "one Close, not two");
            }
        }
    }
}

#[test]
fn rfc6455_7_1_2_messages_that_were_under_way_still_arrive() {
    for role in ROLES {
        let late: [(u8, &[u8]); 4] =
            [(0x81, b"one"), (0x01, b"t"), (0x80, b"wo"), (0x88, b"\x03\xe9")];
        let stream = frames(role, &late);
        for size in 1..=stream.len() {
            let (mut subject, sent) = closing(role);
            stream.chunks(size).for_each(|piece| subject.receive(piece));
            let outcome = subject.outcome();
            assert_eq!(outcome.events, [text("one"), text("two"), close(1001, "")]);
            assert_eq!((outcome.answers, outcome.end), (vec![sent], End::Closed));
        }
    }
}

/// §5.5.2 excuses only who has *received* a Close.
#[test]
fn rfc6455_5_5_2_ping_after_our_close_is_still_answered() {
    for role in ROLES {
        let stream =
            frames(role, &[(0x89, b"still"), (0x89, b"there?"), (0x88, b""), (0x89, b"no")]);
        for size in 1..=stream.len() {
            let (mut subject, sent) = closing(role);
            stream.chunks(size).for_each(|piece| subject.receive(piece));
            let outcome = subject.outcome();
            assert_eq!(outcome.events, [ping(b"still"), ping(b"there?"), Event::Close(None)]);
            assert_eq!(outcome.end, End::Closed);
            assert_eq!(outcome.answers, [sent, pong(b"still"), pong(b"there?")]);
        }
    }
}

#[test]
fn rfc6455_7_1_2_long_reason_is_cut_at_a_character() {
    for role in ROLES {
        let mut subject = Subject::new(role, &LIMITS);
        let reason = "\u{20ac}".repeat(50);
        let (endpoint, outbox) = (&subject.endpoint, &mut subject.outbox);
        subject.connection.close(endpoint, CloseCode::NORMAL, &reason, outbox);
        assert_eq!(subject.said(), [close(1000, &reason[..123])]);
    }
}

#[test]
fn rfc6455_7_1_4_two_closes_that_cross_end_the_connection_on_both_sides() {
    let (mut client, from_client) = closing(Role::Client);
    let (mut server, from_server) = closing(Role::Server);
    let (to_server, to_client) = (client.sent().to_vec(), server.sent().to_vec());
    server.receive(&to_server);
    client.receive(&to_client);
    for (mut subject, own, its) in
        [(client, from_client.clone(), from_server.clone()), (server, from_server, from_client)]
    {
        let outcome = subject.outcome();
        assert_eq!(outcome, Outcome { events: vec![its], end: End::Closed, answers: vec![own] });
    }
}

#[test]
fn rfc6455_7_1_4_either_side_of_two_connections_can_close() {
    for closer in ROLES {
        let (mut here, own) = closing(closer);
        let mut there = Subject::new(other(closer), &LIMITS);
        let said = here.sent().to_vec();
        there.receive(&said);
        let answer = there.sent().to_vec();
        here.receive(&answer);
        assert_eq!(there.outcome().events, [own]);
        assert_eq!(here.outcome().events, [close(1001, "")]);
        assert_eq!((here.end(), there.end()), (End::Closed, End::Closed));
    }
}

#[test]
fn rfc6455_7_1_5_close_code_and_reason_are_those_of_the_first_close_received() {
    for role in ROLES {
        let first = frame(role, 0x88, &payload(4000, b"first"));
        let stream = [first, frame(role, 0x88, &payload(4001, b"second"))].concat();
        let outcome = run_every_way(role, &LIMITS, &stream);
        assert_eq!(outcome.events, [close(4000, "first")]);
    }
}

// §7.1.7: failing the connection.

#[test]
fn rfc6455_7_1_7_good_messages_before_a_bad_frame_are_delivered_and_answered_first() {
    let good: [(u8, &[u8]); 4] = [(0x81, b"one"), (0x89, b"?"), (0x02, b"tw"), (0x80, b"o")];
    let bad: [(u8, &[u8]); 6] = [
        (0x83, b""),
        (0xC1, b"rsv"),
        (0x80, b"nothing to continue"),
        (0x09, b"fragmented"),
        (0x81, b"\xff"),
        (0x88, b"\x03"),
    ];
    for role in ROLES {
        for bad in bad {
            let stream = [frames(role, &good), frames(role, &[bad, (0x89, b"late")])].concat();
            let outcome = run_every_way(role, &LIMITS, &stream);
            assert_eq!(outcome.events, [text("one"), ping(b"?"), binary(b"two")]);
            let End::Failed(error) = outcome.end else { panic!("{bad:02x?} passed") };
            let told = close(error.close_code().as_u16(), error.text());
            assert_eq!(outcome.answers, [pong(b"?"), told]);
        }
    }
}

#[test]
fn rfc6455_7_1_7_every_error_is_told_with_its_code_and_words() {
    // Each of them has a vector in one of the three files; here, that none exceeds a Close frame.
    for &error in ProtocolError::ALL {
        let mut bytes = Vec::new();
        ClosePayload { code: error.close_code(), reason: error.text() }.write(&mut bytes);
        assert_eq!(bytes, payload(error.close_code().as_u16(), error.text().as_bytes()));
    }
}

#[test]
fn rfc6455_7_1_7_failing_after_our_close_sends_no_second_one() {
    for role in ROLES {
        let bad = frames(role, &[(0x81, b"good"), (0x83, b"bad"), (0x81, b"late")]);
        for size in 1..=bad.len() {
            let (mut subject, sent) = closing(role);
            bad.chunks(size).for_each(|piece| subject.receive(piece));
            let outcome = subject.outcome();
            assert_eq!(outcome.events, [text("good")]);
            assert_eq!(outcome.end, End::Failed(ProtocolError::ReservedOpcode));
            assert_eq!(outcome.answers, [sent]);
        }
    }
}

#[test]
fn rfc6455_7_1_7_abort_says_why_and_looks_at_nothing_more() {
    for role in ROLES {
        let mut subject = Subject::new(role, &LIMITS);
        subject.receive(&frame(role, 0x01, b"unfinished"));
        assert_eq!(subject.connection.collected(), 10);
        for reason in ["first", "second"] {
            let (endpoint, outbox) = (&subject.endpoint, &mut subject.outbox);
            subject.connection.abort(endpoint, CloseCode::POLICY_VIOLATION, reason, outbox);
        }
        assert_eq!(subject.said(), [close(1008, "first")]);
        assert_eq!(subject.connection.state(), State::Ended);
        assert_eq!(subject.connection.collected(), 0);
        assert_silent(&mut subject);
    }
}

// §7.4: close codes.

#[test]
fn rfc6455_7_4_codes_are_accepted_or_refused_by_range_for_all_65536() {
    for role in ROLES {
        for code in 0..=u16::MAX {
            let stream = frame(role, 0x88, &payload(code, b""));
            let outcome = run(role, &LIMITS, [&*stream]);
            assert_eq!(outcome, verdict(code), "{role:?}: {code}");
        }
    }
}

#[test]
fn rfc6455_7_4_codes_at_the_ends_of_ranges_are_judged_however_they_are_cut() {
    let ends = [
        0, 1, 999, 1000, 1003, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 1016, 1100, 2000, 2999,
        3000, 3999, 4000, 4999, 5000, 65_535,
    ];
    for role in ROLES {
        for code in ends {
            let stream = frame(role, 0x88, &payload(code, b""));
            assert_eq!(run_every_way(role, &LIMITS, &stream), verdict(code), "{role:?}: {code}");
        }
    }
}

/// What comes of a Close with this code.
fn verdict(code: u16) -> Outcome {
    match code {
        // 1012 to 1014 are registered with IANA (§11.7) since the RFC was written.
        1000..=1003 | 1007..=1014 | 3000..=4999 => Outcome {
            events: vec![close(code, "")],
            end: End::Closed,
            answers: vec![close(code, "")],
        },
        _ => {
            let error = ProtocolError::CloseCodeInvalid;
            let answers = vec![close(1002, error.text())];
            Outcome { events: vec![], end: End::Failed(error), answers }
        }
    }
}

#[test]
fn rfc6455_7_4_1_codes_that_stand_for_absence_are_never_sent() {
    for role in ROLES {
        for code in [CloseCode::NO_STATUS, CloseCode::ABNORMAL] {
            let mut subject = Subject::new(role, &LIMITS);
            let (endpoint, outbox) = (&subject.endpoint, &mut subject.outbox);
            subject.connection.close(endpoint, code, "unsaid", outbox);
            assert_eq!(subject.said(), [Event::Close(None)]);
        }
    }
}
