//! Everything malformed gets its documented answer, and the connection beside it does not notice.
//!
//! One table, [`rows`] and what follows it: what is sent, and what comes back. Whoever finds
//! another way to be wrong adds a row.
#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

mod common;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::client::{
    Client, Event, WAIT, connect, fragment, frame, handshake, header, read_to_end, status,
};
use common::process::{BINARY, Process, clean, command};
use switchboard::wire::Opcode;

/// Something malformed.
struct Row {
    what: String,
    sent: Sent,
}

enum Sent {
    /// A request that is answered with this status, and nothing behind it.
    Request(Vec<u8>, u16),
    /// Frames on an open connection that is then closed with this code.
    Frames(Vec<u8>, u16),
    /// A text message that the relay answers with this reply; the connection stays open.
    Text(String, String),
}

fn request(what: &str, head: &[u8], wanted: u16) -> Row {
    Row { what: what.to_owned(), sent: Sent::Request(head.to_vec(), wanted) }
}

/// A good handshake but for the line of this name, which others take the place of.
fn upgrade(what: &str, name: &str, lines: &[&str], wanted: u16) -> Row {
    let good = handshake(([127, 0, 0, 1], 1).into(), "/");
    let mut head = Vec::new();
    let mut replaced = false;
    for line in String::from_utf8(good).unwrap().trim_end().lines() {
        if line.split([':', ' ']).next() == Some(name) {
            replaced = true;
            lines.iter().for_each(|line| head.extend_from_slice(format!("{line}\r\n").as_bytes()));
        } else {
            head.extend_from_slice(format!("{line}\r\n").as_bytes());
        }
    }
    assert!(replaced, "{what}: no line {name}");
    head.extend_from_slice(b"\r\n");
    request(what, &head, wanted)
}

/// A good handshake with one line more.
fn upgrade_with(what: &str, line: &str, wanted: u16) -> Row {
    upgrade(what, "Upgrade", &["Upgrade: websocket", line], wanted)
}

fn frames(what: &str, bytes: impl Into<Vec<u8>>, wanted: u16) -> Row {
    Row { what: what.to_owned(), sent: Sent::Frames(bytes.into(), wanted) }
}

/// The part of the table that every Switchboard server answers alike.
fn rows() -> Vec<Row> {
    let parts = [heads(), upgrades(), frame_headers(), fragments(), closes(), texts()];
    parts.into_iter().flatten().collect()
}

/// RFC 9112, RFC 9110 and RFC 6585: what is no good HTTP request.
fn heads() -> Vec<Row> {
    let long = [b"GET /", &[b'x'; 20_000][..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(100));
    vec![
        request("a TLS client", b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03", 400),
        request("a frame without a handshake", b"\x81\x84\x37\xFA\x21\x3D\x7F\x9F\r\n\r\n", 400),
        request("line end LF", b"GET / HTTP/1.1\nHost: a\n\n", 400),
        request("line end CR", b"GET / HTTP/1.1\rHost: a\r\r", 400),
        request("an empty line first", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        request("a folded line", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400),
        request("NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n", 400),
        request("NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        request("a control character", b"GET / HTTP/1.1\r\nHost: a\r\nA: \x7F\r\n\r\n", 400),
        request("space before colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        request("no colon", b"GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n", 400),
        request("no name", b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        request("no version", b"GET /\r\nHost: a\r\n\r\n", 400),
        request("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        request("two spaces", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        request("a bad method", b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        request("no version at all", b"GET / HTTP/x.y\r\nHost: a\r\n\r\n", 400),
        request("HTTP/2", b"PRI * HTTP/2.0\r\n\r\n", 505),
        request("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        request("a target without slash", b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        request("a fragment", b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        request("another scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        request("a target not in ASCII", b"GET /\xC3\xBC HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        request("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
        request("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        request("a bad Host", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        request("a bad port", b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400),
        request("too long", &long, 431),
        request("too many lines", many.as_bytes(), 431),
    ]
}

/// RFC 6455 §4.2.1: a good HTTP request that is no good opening handshake.
fn upgrades() -> Vec<Row> {
    let (key, version) = ("Sec-WebSocket-Key", "Sec-WebSocket-Version");
    let key_line = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let version_line = "Sec-WebSocket-Version: 13";
    vec![
        upgrade("POST", "GET", &["POST / HTTP/1.1"], 405),
        upgrade("HEAD", "GET", &["HEAD / HTTP/1.1"], 405),
        upgrade("HTTP/1.0", "GET", &["GET / HTTP/1.0"], 400),
        upgrade("no Host", "Host", &[], 400),
        upgrade("no Upgrade", "Upgrade", &[], 400),
        upgrade("Upgrade to another", "Upgrade", &["Upgrade: websockets"], 400),
        upgrade("no Connection", "Connection", &[], 400),
        upgrade("Connection: close", "Connection", &["Connection: close"], 400),
        upgrade("no key", key, &[], 400),
        upgrade("two keys", key, &[key_line, key_line], 400),
        upgrade("an empty key", key, &["Sec-WebSocket-Key:"], 400),
        upgrade("a short key", key, &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub24="], 400),
        upgrade("a long key", key, &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE="], 400),
        upgrade("no base64", key, &["Sec-WebSocket-Key: ????????????????????????"], 400),
        upgrade("no version", version, &[], 400),
        upgrade("two versions", version, &[version_line, version_line], 400),
        upgrade(
            "the keys of a draft",
            key,
            &["Sec-WebSocket-Key1: 4 @1  46546xW", "Sec-WebSocket-Key2: 1"],
            400,
        ),
        upgrade("version 8", version, &["Sec-WebSocket-Version: 8"], 426),
        upgrade("version 13.0", version, &["Sec-WebSocket-Version: 13.0"], 426),
        upgrade("version 013", version, &["Sec-WebSocket-Version: 013"], 426),
        upgrade_with("a body", "Content-Length: 6", 400),
        upgrade_with("a length that is none", "Content-Length: -0", 400),
        upgrade_with("a chunked body", "Transfer-Encoding: chunked", 400),
        upgrade_with("two origins", "Origin: http://a\r\nOrigin: http://a", 400),
        upgrade_with("no subprotocol", "Sec-WebSocket-Protocol: ,", 400),
        upgrade_with("no token", "Sec-WebSocket-Protocol: a b", 400),
        upgrade_with("twice the same", "Sec-WebSocket-Protocol: a, a", 400),
        upgrade_with("a bad extension", "Sec-WebSocket-Extensions: a;=b", 400),
        upgrade_with("an open quote", "Sec-WebSocket-Extensions: a; b=\"c", 400),
    ]
}

/// RFC 6455 §5.1, §5.2 and §5.5: frame headers.
fn frame_headers() -> Vec<Row> {
    let mut rows = vec![
        frames("no mask", [0x81, 0x05, b'H', b'e', b'l', b'l', b'o'], 1002),
        frames("a Ping without mask", [0x89, 0x00], 1002),
        frames("125 in two bytes", [0x82, 0xFE, 0, 125], 1002),
        frames("65,535 in eight bytes", [0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], 1002),
        frames("the top bit of a length", [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002),
        frames("a Ping of 126 bytes", frame(Opcode::Ping, &[0; 126]), 1002),
        frames("a Pong of 126 bytes", frame(Opcode::Pong, &[0; 126]), 1002),
        frames("a Close of 126 bytes", frame(Opcode::Close, &[3; 126]), 1002),
        frames("a fragmented Ping", fragment(Opcode::Ping, false, b""), 1002),
        frames("a fragmented Close", fragment(Opcode::Close, false, &[0x03, 0xE8]), 1002),
    ];
    for bit in [0x40, 0x20, 0x10] {
        for opcode in [0x81, 0x82, 0x88, 0x89, 0x8A] {
            let what = format!("reserved bit {bit:#x} with {opcode:#x}");
            rows.push(frames(&what, [opcode | bit, 0x80, 0, 0, 0, 0], 1002));
        }
    }
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        let what = format!("reserved opcode {opcode:#x}");
        // The first byte is enough.
        rows.push(frames(&what, [0x80 | opcode], 1002));
    }
    rows
}

/// RFC 6455 §5.4: fragments.
fn fragments() -> Vec<Row> {
    let begun = fragment(Opcode::Text, false, b"begun");
    let again = |opcode| [begun.clone(), frame(opcode, b"again")].concat();
    vec![
        frames("nothing to continue", fragment(Opcode::Continuation, true, b"x"), 1002),
        frames("nothing to begin", fragment(Opcode::Continuation, false, b"x"), 1002),
        frames("text inside a message", again(Opcode::Text), 1002),
        frames("binary inside a message", again(Opcode::Binary), 1002),
    ]
}

/// RFC 6455 §5.5.1 and §7.4: Close frames.
fn closes() -> Vec<Row> {
    let mut rows = vec![
        frames("half a close code", frame(Opcode::Close, &[3]), 1002),
        frames("a reason not in UTF-8", frame(Opcode::Close, b"\x03\xE8\xC0\xAF"), 1007),
        frames("a reason that is cut", frame(Opcode::Close, b"\x03\xE8\xE2\x82"), 1007),
    ];
    let codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX];
    for code in codes {
        let close = frame(Opcode::Close, &code.to_be_bytes());
        rows.push(frames(&format!("close code {code}"), close, 1002));
    }
    rows
}

/// RFC 6455 §8.1: text that is not UTF-8.
fn texts() -> Vec<Row> {
    let vectors: [(&str, &[u8]); 9] = [
        ("a lonely continuation byte", b"\x80"),
        ("an overlong slash", b"\xC0\xAF"),
        ("an overlong NUL", b"\xE0\x80\x80"),
        ("a surrogate", b"\xED\xA0\x80"),
        ("beyond U+10FFFF", b"\xF4\x90\x80\x80"),
        ("five bytes", b"\xF8\x88\x80\x80\x80"),
        ("a byte that is nowhere", b"\xFF"),
        ("Latin-1", b"Gr\xFC\xDFe"),
        ("cut at its end", b"\xE4\xBD"),
    ];
    let mut rows: Vec<Row> = vectors
        .into_iter()
        .map(|(what, text)| frames(what, frame(Opcode::Text, text), 1007))
        .collect();
    // The second byte is wrong; neither the frame nor the message is complete.
    let whole = fragment(Opcode::Text, false, b"good, \xF4\x90 and then this");
    rows.push(frames("inside a frame that is cut", &whole[..14], 1007));
    let parts =
        [fragment(Opcode::Text, false, b"\xF4"), fragment(Opcode::Continuation, false, b"\x90")];
    rows.push(frames("inside a message that goes on", parts.concat(), 1007));
    rows
}

/// What `switchboard echo` has no place for: HTTP that is no handshake, and RFC 6455 §10.4.
fn echo_rows() -> Vec<Row> {
    let mut rows = too_much(16 << 20, 131_072);
    rows.extend([
        request("no upgrade", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426),
        request("another upgrade", b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n", 426),
        request("a form", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b", 426),
    ]);
    rows
}

/// RFC 6455 §10.4: one byte and one frame more than a message may have.
fn too_much(bytes_max: u64, frames_max: usize) -> Vec<Row> {
    let begun = fragment(Opcode::Binary, false, b"");
    let many = [begun.clone(), fragment(Opcode::Continuation, false, b"").repeat(frames_max)];
    let rest = header(Opcode::Continuation, true, bytes_max + 1);
    vec![
        frames("a long frame", header(Opcode::Binary, true, bytes_max + 1), 1009),
        frames("the longest frame", header(Opcode::Text, true, u64::MAX >> 1), 1009),
        frames("a long rest", [begun, rest].concat(), 1009),
        frames("many empty fragments", many.concat(), 1008),
    ]
}

fn text(sent: impl Into<String>, reason: &str) -> Row {
    let sent = sent.into();
    let what = sent.chars().take(80).collect();
    let reply = format!(r#"{{"type":"error","code":400,"reason":"{reason}"}}"#);
    Row { what, sent: Sent::Text(sent, reply) }
}

/// What only the relay judges: `src/relay/PROTOCOL.md`.
fn relay_rows() -> Vec<Row> {
    let parts = [too_much(1 << 20, 16_384), relay_requests(), documented(), json(), names()];
    parts.into_iter().flatten().collect()
}

/// "Who a connection is" and "HTTP on the same port".
fn relay_requests() -> Vec<Row> {
    let target = |what, target: &str, wanted| {
        upgrade(what, "GET", &[&format!("GET {target} HTTP/1.1")], wanted)
    };
    vec![
        target("an empty user", "/?user=", 400),
        target("two users", "/?user=a&user=a", 400),
        target("half an escape", "/?user=a%2", 400),
        target("an escape that is none", "/?user=%zz", 400),
        target("a user not in UTF-8", "/?user=%FF", 400),
        target("a NUL as user", "/?user=%00", 400),
        target("a space before a user", "/?user=+a", 400),
        target("everybody as user", "/?user=*", 400),
        target("a long user", &format!("/?user={}", "x".repeat(129)), 400),
        upgrade_with("an unknown subprotocol", "Sec-WebSocket-Protocol: chat", 400),
        upgrade_with("a credential alone", "Sec-WebSocket-Protocol: bearer.x", 400),
        upgrade_with("a page from elsewhere", "Origin: http://example.org", 403),
        upgrade_with("an origin that is none", "Origin: localhost", 403),
        upgrade("another name for us", "Host", &["Host: example.org"], 403),
        request("no such page", b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        request("a form", b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ]
}

/// The replies with code 400 of the table in the protocol's own text, as they stand there.
fn documented() -> Vec<Row> {
    let table = include_str!("../src/relay/PROTOCOL.md").lines();
    let rows: Vec<Row> = table
        .filter(|line| line.starts_with("| 400 | "))
        .filter_map(|line| {
            let cells: Vec<&str> = line.split(" | ").collect();
            let code = |cell: &str| Some(cell.strip_prefix('`')?.split('`').next()?.to_owned());
            // One example is described in words.
            let (sent, reply) = (code(cells.get(2)?)?, code(cells.get(3)?)?);
            sent.starts_with('{').then(|| Row { what: sent.clone(), sent: Sent::Text(sent, reply) })
        })
        .collect();
    assert!(rows.len() >= 10, "the table has another form now");
    rows
}

/// Text that is not valid JSON but was meant for one, or that two readers would read differently.
fn json() -> Vec<Row> {
    let direct = |content: &str| format!(r#"{{"receiver":"bob","content":{content}}}"#);
    let nested = |depth: usize| direct(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    let mut rows = vec![
        text(r#"{"receiver":"bob","content":1"#, "invalid_json"),
        text(r#"{"receiver":"bob","content":1}}"#, "invalid_json"),
        text(r#"{"receiver":"bob","content":1} {}"#, "invalid_json"),
        text(r#"{"receiver":"bob","content":1,}"#, "invalid_json"),
        text(r#"{"receiver":"bob" "content":1}"#, "invalid_json"),
        text(r#"{"receiver":"bob",content:1}"#, "invalid_json"),
        text(r#"{"receiver":bob,"content":1}"#, "invalid_json"),
        text(r#"{"\u0072eceiver":"bob","content":"#, "invalid_json"),
        text(r#"{"group":"g","content":}"#, "invalid_json"),
        text(r#"["receiver","bob""#, "invalid_json"),
        text(r#"to "receiver": bob"#, "invalid_json"),
        text("\u{FEFF}{\"receiver\":\"bob\",\"content\":1}", "invalid_json"),
        text(direct(&"[".repeat(100_000)), "invalid_json"),
        text(nested(128), "nesting_too_deep"),
        text(nested(100_000), "nesting_too_deep"),
        text("[".repeat(129) + &"]".repeat(129), "nesting_too_deep"),
        text(r#"{"receiver":"eve","rec\u0065iver":"bob","content":1}"#, "repeated_key"),
        text(r#"{"content":1,"receiver":"bob","content":2}"#, "repeated_key"),
        text(r#"{"sender":"a","sender":"a","receiver":"bob","content":1}"#, "repeated_key"),
        text(r#"{"type":"ping","type":"ping"}"#, "repeated_key"),
        text(r#"{"type":"leave","group":null}"#, "group_not_a_string"),
        text(r#"{"receiver":"bob","group":"g"}"#, "receiver_and_group"),
    ];
    let values =
        ["01", "1.", ".5", "+1", "NaN", "0x1", "tru", "'a'", "\"a\nb\"", "\"\\x\"", "/**/1"];
    rows.extend(values.map(|value| text(direct(value), "invalid_json")));
    rows
}

/// "Names": what is no user id and no group name.
fn names() -> Vec<Row> {
    let long = format!("\"{}\"", "é".repeat(64) + "x");
    let bad = [
        "\"\"",
        "\"*\"",
        "\" bob\"",
        "\"bob\\u0020\"",
        "\"\\u00a0bob\"",
        "\"b\\u0000b\"",
        "\"b\\tb\"",
        "\"\\u202ebob\"",
        "\"\u{202E}bob\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        &long,
        "1.0",
        "1e3",
        "-0",
        "-1",
        "12345678901234567",
        "null",
        "true",
        "[]",
        "{}",
        "[\"bob\"]",
    ];
    let mut rows = Vec::new();
    for name in bad {
        let direct = format!(r#"{{"receiver":{name},"content":1}}"#);
        rows.push(text(direct, "invalid_receiver"));
        let from = format!(r#"{{"sender":{name},"receiver":"bob","content":1}}"#);
        rows.push(text(from, "invalid_sender"));
        rows.push(text(format!(r#"{{"group":{name},"content":1}}"#), "invalid_group"));
    }
    rows
}

#[test]
fn what_is_malformed_gets_its_answer_from_echo_and_the_neighbour_its_echo() {
    let server = Process::echo(&[]);
    let before = server.descriptors();
    let mut neighbour = Client::connect(server.addr);
    for row in rows().into_iter().chain(echo_rows()) {
        expect_answer(&server, &row, ["good", "good"]);
        neighbour.round_trip(&row.what);
    }
    drop(neighbour);
    server.expect_descriptors(before);
    server.expect_idle();
}

/// The neighbours are in the room of whoever misbehaves, and one of them is named in the messages:
/// the next thing that comes to them is what they say to each other.
#[test]
fn what_is_malformed_gets_its_answer_from_the_relay_and_reaches_nobody() {
    let server = Process::start(command(&["serve"]));
    let before = server.descriptors();
    let mut alice = Client::try_connect(server.addr, "/?user=alice").unwrap();
    let mut bob = Client::try_connect(server.addr, "/?user=bob").unwrap();
    for (number, row) in rows().into_iter().chain(relay_rows()).enumerate() {
        expect_answer(&server, &row, [r#"{"type":"ping"}"#, r#"{"type":"pong"}"#]);
        alice.send_text(&format!(r#"{{"receiver":"bob","content":{number}}}"#));
        let wanted = format!(r#"{{"sender":"alice","content":{number}}}"#);
        assert_eq!(bob.receive(), Event::Text(wanted), "{}", row.what);
        bob.send_text(&format!(r#"{{"receiver":"alice","content":{number}}}"#));
        let wanted = format!(r#"{{"sender":"bob","content":{number}}}"#);
        assert_eq!(alice.receive(), Event::Text(wanted), "{}", row.what);
    }
    drop((alice, bob));
    server.expect_descriptors(before);
    server.expect_idle();
}

/// `good` is a text that the server answers, and its answer.
fn expect_answer(server: &Process, row: &Row, good: [&str; 2]) {
    let what = &row.what;
    match &row.sent {
        Sent::Request(head, wanted) => expect_status(server, what, head, *wanted),
        Sent::Frames(bytes, wanted) => expect_close(server, what, bytes, *wanted, good),
        Sent::Text(text, reply) => {
            let mut client = Client::connect(server.addr);
            client.send_text(text);
            assert_eq!(client.receive(), Event::Text(reply.clone()), "{what}");
            client.send_text(good[0]);
            assert_eq!(client.receive(), Event::Text(good[1].into()), "{what}");
        }
    }
}

fn expect_status(server: &Process, what: &str, head: &[u8], wanted: u16) {
    let mut stream = connect(server.addr);
    // Frames behind it, as a client sends that does not wait: they are nobody's.
    let _ = stream.write_all(&[head, &frame(Opcode::Text, b"smuggled")].concat());
    let answer = read_to_end(&mut stream);
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(status(&answer), Some(wanted), "{what}: {text}");
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{what}: {text}");
    assert!(text.contains("\r\nConnection: close"), "{what}: {text}");
    assert!(!text.contains("smuggled"), "{what}: {text}");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let is_head = what == "HEAD";
    assert!(is_head || length == Some(&body.len().to_string()), "{what}: {text}");
}

/// What is good before it is answered, what comes behind it is not.
fn expect_close(server: &Process, what: &str, bytes: &[u8], wanted: u16, good: [&str; 2]) {
    let mut client = Client::connect(server.addr);
    let question = frame(Opcode::Text, good[0].as_bytes());
    client.send_raw(&[&question, bytes].concat());
    assert_eq!(client.receive(), Event::Text(good[1].into()), "{what}");
    match client.receive() {
        Event::Close(code, _) => assert_eq!(code, wanted, "{what}"),
        event => panic!("{what}: {event:?}"),
    }
    let _ = client.stream.write_all(&question);
    client.expect_end();
}

#[test]
fn a_malformed_flag_or_variable_exits_2_and_says_so() {
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let text = |text: &str| OsString::from(text);
    // Flag, or else variable; its value; what the text has to contain. The rest of what may be
    // wrong with them is in `cli.rs`, without a process.
    let table = [
        ("--max-message", text("99999999999999999999999"), "out of range"),
        ("--max-message", text("1e3"), "not a number of bytes"),
        ("--max-message", text("0x10"), "not a number of bytes"),
        ("--max-message", text("１０"), "not a number of bytes"),
        ("--max-message", text("1 k"), "not a number of bytes"),
        ("--max-message", text("18446744073709551615g"), "out of range"),
        ("--close-timeout", text("5w"), "not a time"),
        ("--max-frames", text("-1"), "not a plain number"),
        ("--listen", text("[::1"), "not an address"),
        ("--listen", text("127.0.0.1:0:0"), "not an address"),
        ("--listen", bytes(b"127.0.0.1:\xFF"), "not UTF-8"),
        ("--log", text("info,,"), "not a filter"),
        ("SWITCHBOARD_CLOSE_TIMEOUT", text("never"), "not a time"),
        ("SWITCHBOARD_MAX_CONNECTIONS", text("many"), "not a plain number"),
        ("SWITCHBOARD_LISTEN", bytes(b"\xFF"), "not UTF-8"),
        ("SWITCHBOARD_OPEN", text(" 1"), "allowed: 1, true"),
        ("SWITCHBOARD_LOG", text("loud"), "not a level"),
    ];
    for (name, value, fragment) in &table {
        for mode in ["serve", "echo"] {
            let output = finish(start(mode, name, value));
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{name}: {said}");
            assert!(said.starts_with("error: ") && said.contains(name), "{name}: {said}");
            assert!(said.contains(fragment), "{name} {value:?}: {said}");
        }
    }
}

/// What it says until it ends, which it must do by itself and soon.
fn finish(mut command: Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > WAIT {
            child.kill().unwrap();
            panic!("it runs: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn start(mode: &str, name: &str, value: &OsStr) -> Command {
    let mut command = clean(Command::new(BINARY));
    command.arg(mode);
    if name.starts_with("--") {
        command.arg(name).arg(value);
    } else {
        command.env(name, value);
    }
    // Should it start after all, not on a port that somebody uses.
    if !name.ends_with("listen") && !name.ends_with("LISTEN") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command
}
