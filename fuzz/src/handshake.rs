//! The opening handshake, both halves.
//!
//! ```text
//! input
//! GET /chat HTTP/1.1 ...                what a server receives
//! HTTP/1.1 101 Switching Protocols ...  what a client receives, which sent "the sample nonce"
//! new                                   what a client is told to ask for, one line each:
//! server.example.com                    Host, target, Origin, and the subprotocols
//! /chat
//! http://example.com
//! chat
//! ```
//!
//! * Whatever is accepted as a handshake fulfils RFC 6455 §4.2.1, and whatever is accepted as an
//!   answer §4.1, by a check that splits lines and knows no more of HTTP ([`plain`]).
//! * However the bytes are cut, the end of the head is found at the same place.
//! * No answer has a line or a body of the peer's making.
//! * What a client may ask for, a server understands as it was meant.

pub(crate) mod plain;

use switchboard::wire::handshake::{AnswerError, ServerAnswer};
use switchboard::wire::http::{Plus, percent_decode};
use switchboard::wire::{
    Accepted, Body, ClientHandshake, HandshakeError, HeadScanner, HeaderSlots, Parsed, Quoted,
    RequestHead, Response, Upgrade, is_upgrade,
};

/// Holds the rules above for one input.
pub fn check(input: &[u8]) {
    if input.starts_with(b"HTTP/") {
        check_answer(input);
    } else if let Some(rest) = input.strip_prefix(b"new\n") {
        check_client(rest);
    } else {
        check_request(input);
    }
}

// ---- the server's half -------------------------------------------------------------------------

fn check_request(input: &[u8]) {
    let end = check_end(input);
    // Nobody parses what is too large, and whether it is complete was not looked for.
    if let Err(error) = end {
        return check_refusal(error, input);
    }
    let parsed_len = end.ok().flatten().unwrap_or(input.len());
    let head = &input[..parsed_len];
    let mut slots = HeaderSlots::new();
    match RequestHead::parse(head, &mut slots) {
        Ok(request) => {
            assert_eq!(end, Ok(Some(head.len())), "only a complete head is parsed");
            check_head(&request);
            let wanted = is_upgrade(&request);
            match Upgrade::check(&request) {
                Ok(upgrade) => {
                    assert!(wanted, "a handshake asks for WebSocket");
                    if let Err(rule) = plain::check_request(head) {
                        panic!("accepted, though {rule}");
                    }
                    check_response(head, &request, &upgrade);
                }
                Err(error) => check_refusal(error, head),
            }
        }
        Err(error) => check_refusal(error, head),
    }
    // Fewer header lines may be allowed, and no line is one too many for nothing.
    let mut few = HeaderSlots::at_most(2);
    if RequestHead::parse(head, &mut few).is_ok() {
        assert!(plain::Head::split(head).is_some_and(|head| head.fields.len() <= 2));
    }
}

/// Where the head ends, if it does: the same however the network cuts it.
fn check_end(input: &[u8]) -> Result<Option<usize>, HandshakeError> {
    const MAX: usize = 2048;
    let end = HeadScanner::default().find_end(input, MAX);
    let mut scanner = HeadScanner::default();
    let mut found = Ok(None);
    for len in 0..=input.len() {
        found = scanner.find_end(&input[..len], MAX);
        if found != Ok(None) {
            break;
        }
    }
    assert_eq!(found, end, "byte by byte");
    if let Ok(Some(end)) = end {
        assert!(input[..end].ends_with(b"\r\n\r\n") && end <= MAX);
        let first = input.windows(4).position(|window| window == b"\r\n\r\n");
        assert_eq!(first, Some(end - 4), "the head ends where it first can");
    }
    end
}

fn check_head(request: &RequestHead<'_, '_>) {
    assert!(request.path().starts_with('/') || request.path() == "*");
    assert!(!request.path().contains('?') && request.target().is_ascii());
    assert!(!format!("{request:?}").contains(char::is_control));
    for name in ["user", "a"] {
        if let Ok(Some(value)) = request.query_value(name) {
            let query = request.query().expect("a value comes from a query");
            assert!(value.len() <= query.len());
        }
    }
    let _ = request.authority().map(|authority| authority.is_loopback());
    for plus in [Plus::Literal, Plus::Space] {
        if let Some(decoded) = percent_decode(request.path(), plus) {
            let escapes = request.path().matches('%').count();
            assert_eq!(decoded.len(), request.path().len() - 2 * escapes);
        }
    }
}

/// The 101 for a handshake, whatever the application would like to accept.
fn check_response(bytes: &[u8], request: &RequestHead<'_, '_>, upgrade: &Upgrade<'_>) {
    let offered: Vec<&str> = upgrade.protocols().collect();
    let lossy = String::from_utf8_lossy(bytes);
    let wishes = [None, offered.last().copied(), Some("not offered"), Some(&*lossy)];
    for protocol in wishes {
        for extensions in [None, Some("x; y=1"), Some(&*lossy)] {
            let mut out = Vec::new();
            upgrade.write_response(&mut out, &Accepted { protocol, extensions });
            let head = plain::Head::split(&out).expect("a response is a head and nothing more");
            assert_eq!(head.first, b"HTTP/1.1 101 Switching Protocols");
            let mut names = vec!["Upgrade", "Connection", "Sec-WebSocket-Accept"];
            if protocol.is_some_and(|protocol| offered.contains(&protocol)) {
                names.push("Sec-WebSocket-Protocol");
            }
            let can_stand = |text: &&str| !text.bytes().any(|b| b.is_ascii_control() && b != b'\t');
            if extensions.filter(can_stand).is_some() && !upgrade.extensions().is_empty() {
                names.push("Sec-WebSocket-Extensions");
            }
            let written: Vec<&[u8]> = head.fields.iter().map(|(name, _)| *name).collect();
            assert_eq!(written, names.iter().map(|name| name.as_bytes()).collect::<Vec<_>>());
            assert_eq!(head.fields[2].1, upgrade.accept_key());
            if extensions.is_none() {
                check_accepted_by_client(request, protocol.filter(|p| offered.contains(p)), &out);
            }
        }
    }
    let key = request.header("Sec-WebSocket-Key").expect("it was checked");
    assert_eq!(plain::accept(key), upgrade.accept_key());
}

/// The client that sent this key takes the answer.
fn check_accepted_by_client(request: &RequestHead<'_, '_>, chosen: Option<&str>, answer: &[u8]) {
    let key = request.header("Sec-WebSocket-Key").expect("it was checked");
    let Some(nonce) = plain::nonce(key) else { return };
    let protocols: Vec<&str> = chosen.into_iter().collect();
    let mut client = ClientHandshake::new("a", "/", nonce, &protocols).expect("a good request");
    // Four bits of the last character say nothing; a client of ours writes zeros.
    let mut written = Vec::new();
    client.write(&mut written);
    if written.windows(key.len()).any(|window| window == key) {
        let value = ServerAnswer { protocol: chosen, deflate: None };
        let complete = Ok(Parsed::Complete { value, len: answer.len() });
        assert_eq!(client.check_response(answer), complete);
    }
}

/// A refusal, and any other answer with text of the peer in it.
fn check_refusal(error: HandshakeError, input: &[u8]) {
    let needed = error.headers().len();
    let refusal = Response::from(error);
    assert_eq!(refusal.status(), error.status());
    check_no_injection(&refusal, 4 + needed);
    let shown = Quoted(input).to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");

    let response = Response::text(400, String::from_utf8_lossy(input).into_owned())
        .with_header("X-Peer", input.to_vec())
        .with_header("X-Shown", shown.into_bytes());
    let can_stand = !input.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
    check_no_injection(&response, 5 + usize::from(can_stand));
}

/// Head and body of a response are where they should be, and there are as many lines as we wrote.
fn check_no_injection(response: &Response, fields: usize) {
    let (mut whole, mut head) = (Vec::new(), Vec::new());
    response.write(&mut whole, Body::Included);
    response.write(&mut head, Body::HeadOnly);
    assert_eq!(whole, [&head, response.body()].concat());
    let split = plain::Head::split(&head).expect("the head of a response is a head");
    assert_eq!(split.fields.len(), fields, "{}", head.escape_ascii());
    let len = split.only("Content-Length").expect("one length");
    assert_eq!(len, response.body().len().to_string().as_bytes());
    assert!(split.first.starts_with(format!("HTTP/1.1 {} ", response.status()).as_bytes()));
}

// ---- the client's half -------------------------------------------------------------------------

fn check_answer(input: &[u8]) {
    let protocols = ["chat", "superchat"];
    let new = || {
        let client = ClientHandshake::new("a", "/", *b"the sample nonce", &protocols);
        client.expect("a good request")
    };
    let answer = new().check_response(input);
    let mut client = new();
    let mut in_pieces = Ok(Parsed::Partial);
    for len in 0..=input.len() {
        in_pieces = client.check_response(&input[..len]);
        if in_pieces != Ok(Parsed::Partial) {
            break;
        }
    }
    assert_eq!(in_pieces, answer, "byte by byte");
    match answer {
        Ok(Parsed::Complete { value, len }) => {
            let checked = plain::check_answer(&input[..len], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            match checked {
                Ok(protocol) => assert_eq!(protocol, value.protocol.map(str::as_bytes)),
                Err(rule) => panic!("accepted, though {rule}"),
            }
        }
        Ok(Parsed::Partial) => assert!(!input.windows(4).any(|window| window == b"\r\n\r\n")),
        Err(AnswerError::Refused(status)) => assert_ne!(status, 101),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn check_client(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let (host, target) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let origin = lines.next().unwrap_or_default();
    let protocols: Vec<&str> = lines.collect();
    let client = ClientHandshake::new(host, target, *b"the sample nonce", &protocols);
    let Ok(client) = client else { return };
    let with_origin = client.clone().with_origin(origin);
    let origin = with_origin.is_ok().then_some(origin.as_bytes());
    let client = with_origin.unwrap_or(client);
    let mut request = Vec::new();
    client.write(&mut request);

    let mut slots = HeaderSlots::new();
    let head = RequestHead::parse(&request, &mut slots);
    let head = head.unwrap_or_else(|error| panic!("{error}: {}", request.escape_ascii()));
    let upgrade = Upgrade::check(&head).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(head.header("Host"), Some(host.as_bytes()));
    assert_eq!(head.target(), target);
    assert_eq!(upgrade.origin, origin);
    assert!(upgrade.protocols().eq(protocols.iter().copied()));
    assert!(plain::check_request(&request).is_ok());
    let fields = plain::Head::split(&request).map(|head| head.fields.len());
    let optional = usize::from(origin.is_some()) + usize::from(!protocols.is_empty());
    assert_eq!(fields, Some(5 + optional), "{}", request.escape_ascii());
}
