//! The client's opening handshake from outside: every rule of RFC 6455 §4.1.

#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use switchboard::wire::Parsed;
use switchboard::wire::handshake::{
    AnswerError, ClientHandshake, InvalidRequest, ServerAnswer, Upgrade, is_upgrade,
};
use switchboard::wire::http::{HeaderSlots, RequestHead};

/// A client that offers what the example offers.
fn client() -> ClientHandshake<'static> {
    const PROTOCOLS: &[&str] = &["chat", "superchat"];
    ClientHandshake::new("server.example.com", "/chat", *b"the sample nonce", PROTOCOLS).unwrap()
}

fn request(client: &ClientHandshake<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    client.write(&mut out);
    out
}

/// A server must be content with what our client sends.
fn assert_taken(request: &[u8]) {
    let mut slots = HeaderSlots::new();
    let head = RequestHead::parse(request, &mut slots).unwrap();
    assert!(is_upgrade(&head));
    Upgrade::check(&head).unwrap();
}

#[test]
fn rfc6455_4_1_request_is_the_one_of_the_rfc_and_a_server_takes_it() {
    let request = request(&client().with_origin("http://example.com").unwrap());
    let expected = "GET /chat HTTP/1.1\r\n\
        Host: server.example.com\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Origin: http://example.com\r\n\
        Sec-WebSocket-Protocol: chat, superchat\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";
    assert_eq!(String::from_utf8(request.clone()).unwrap(), expected);
    assert_taken(&request);
}

#[test]
fn rfc6455_4_1_request_without_offers_has_no_lines_for_them() {
    let client = ClientHandshake::new("a:8080", "/?x=y", [0xFF; 16], &[]).unwrap();
    let request = String::from_utf8(request(&client)).unwrap();
    assert!(!request.contains("Origin") && !request.contains("Protocol"), "{request}");
    assert!(request.starts_with("GET /?x=y HTTP/1.1\r\nHost: a:8080\r\n"), "{request}");
    assert_taken(request.as_bytes());
}

#[test]
fn rfc6455_4_1_request_that_must_not_be_sent_cannot_be_made() {
    let make = |host, target, protocols: &[&str]| {
        ClientHandshake::new(host, target, [0; 16], protocols).map(|_| ()).err()
    };
    for host in ["", "a b", "a\r\nX: y", "a/b", "u@a", "caf\u{e9}"] {
        assert_eq!(make(host, "/", &[]), Some(InvalidRequest::Host), "{host:?}");
    }
    for target in ["", "chat", "/a b", "/a#b", "/\r\nX: y", "/caf\u{e9}", "http://a/"] {
        assert_eq!(make("a", target, &[]), Some(InvalidRequest::Target), "{target:?}");
    }
    for protocols in [&[""][..], &["a b"], &["a,b"], &["a\r\nX: y"], &["a", "b", "a"], &["\u{e9}"]]
    {
        assert_eq!(make("a", "/", protocols), Some(InvalidRequest::Protocol), "{protocols:?}");
    }
    for origin in ["", "a\r\nX: y", "a b", "\u{e9}"] {
        assert_eq!(client().with_origin(origin).err(), Some(InvalidRequest::Origin), "{origin:?}");
    }
}

/// What the client makes of an answer with these lines.
fn checked(lines: &[&str]) -> Result<Parsed<ServerAnswer<'static>>, AnswerError> {
    client().check_response(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())
}

const STATUS: &str = "HTTP/1.1 101 Switching Protocols";
const UPGRADE: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: Upgrade";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const PROTOCOL: &str = "Sec-WebSocket-Protocol: superchat";

#[test]
fn rfc6455_4_1_right_answers_are_accepted() {
    let good: [(&[&str], Option<&str>); 5] = [
        (&[STATUS, UPGRADE, CONNECTION, ACCEPT], None),
        (&[STATUS, ACCEPT, CONNECTION, UPGRADE, PROTOCOL, "X: \u{e9}"], Some("superchat")),
        (&["HTTP/1.1 101 ", "upgrade: WebSocket", "CONNECTION: upgrade", ACCEPT], None),
        (&["HTTP/1.1 101 Fine", UPGRADE, "Connection: keep-alive, UPGRADE", ACCEPT], None),
        (&[STATUS, UPGRADE, "Connection: x", CONNECTION, ACCEPT], None),
    ];
    for (lines, protocol) in good {
        let answer = checked(lines);
        let value = ServerAnswer { protocol, deflate: None };
        let len = lines.iter().map(|line| line.len() + 2).sum::<usize>() + 2;
        assert_eq!(answer, Ok(Parsed::Complete { value, len }), "{lines:?}");
    }
}

#[test]
fn rfc6455_4_1_wrong_answers_fail_the_connection() {
    use AnswerError::*;
    let other = "Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=";
    let lower = "Sec-WebSocket-Accept: s3pplmbitxaq9kygzzhzrbk+xoo=";
    let bad: [(&[&str], AnswerError); 24] = [
        (&["HTTP/1.1 200 OK", UPGRADE, CONNECTION, ACCEPT], Refused(200)),
        (&["HTTP/1.1 401 Unauthorized"], Refused(401)),
        (&["HTTP/1.1 302 Found", "Location: /"], Refused(302)),
        (&["HTTP/1.1 100 Continue"], Refused(100)),
        (&["HTTP/1.0 101 Fine", UPGRADE, CONNECTION, ACCEPT], Malformed),
        (&["HTTP/2 101", UPGRADE, CONNECTION, ACCEPT], Malformed),
        (&["SSH-2.0-OpenSSH"], Malformed),
        (&[STATUS, UPGRADE, CONNECTION, ACCEPT, " folded"], Malformed),
        (&[STATUS, "Upgrade : websocket", CONNECTION, ACCEPT], Malformed),
        (&[STATUS, CONNECTION, ACCEPT], UpgradeMissing),
        (&[STATUS, "Upgrade: h2c", CONNECTION, ACCEPT], UpgradeMissing),
        (&[STATUS, "Upgrade: websocket, h2c", CONNECTION, ACCEPT], UpgradeMissing),
        (&[STATUS, UPGRADE, UPGRADE, CONNECTION, ACCEPT], HeaderRepeated),
        (&[STATUS, UPGRADE, ACCEPT], ConnectionMissing),
        (&[STATUS, UPGRADE, "Connection: close", ACCEPT], ConnectionMissing),
        (&[STATUS, UPGRADE, CONNECTION], AcceptWrong),
        (&[STATUS, UPGRADE, CONNECTION, other], AcceptWrong),
        (&[STATUS, UPGRADE, CONNECTION, lower], AcceptWrong),
        (&[STATUS, UPGRADE, CONNECTION, "Sec-WebSocket-Accept:"], AcceptWrong),
        (&[STATUS, UPGRADE, CONNECTION, ACCEPT, ACCEPT], HeaderRepeated),
        (
            &[STATUS, UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Extensions: x"],
            ExtensionNotRequested,
        ),
        (&[STATUS, UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Protocol: x"], ProtocolNotRequested),
        (
            &[STATUS, UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Protocol: Chat"],
            ProtocolNotRequested,
        ),
        (&[STATUS, UPGRADE, CONNECTION, ACCEPT, PROTOCOL, PROTOCOL], HeaderRepeated),
    ];
    for (lines, error) in bad {
        assert_eq!(checked(lines), Err(error), "{lines:?}");
    }
}

#[test]
fn rfc6455_4_1_answer_split_at_every_byte_is_partial_and_then_the_same() {
    let lines = [STATUS, UPGRADE, CONNECTION, ACCEPT, PROTOCOL];
    let mut bytes = format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes();
    let len = bytes.len();
    bytes.extend_from_slice(&[0x81, 0x05]); // a frame in the same segment is not touched
    let complete = Ok(Parsed::Complete {
        value: ServerAnswer { protocol: Some("superchat"), deflate: None },
        len,
    });
    let mut byte_by_byte = client();
    for split in 0..len {
        assert_eq!(byte_by_byte.check_response(&bytes[..split]), Ok(Parsed::Partial));
        let mut at_once = client();
        assert_eq!(at_once.check_response(&bytes[..split]), Ok(Parsed::Partial));
        assert_eq!(at_once.check_response(&bytes), complete, "split at {split}");
    }
    assert_eq!(byte_by_byte.check_response(&bytes), complete);
}

#[test]
fn rfc6455_4_1_answer_without_an_end_fails_the_connection() {
    assert_eq!(client().check_response(&[b'H'; 16_384]), Err(AnswerError::Malformed));
}
