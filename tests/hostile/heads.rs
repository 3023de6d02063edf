//! Requests that are none, that never end, or that are two in one.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use crate::common::client::{
    Client, Event, connect, frame, handshake, header, read_to_end, status,
};
use crate::victim::{Victim, sent, upgrade};
use switchboard::wire::Opcode;

const REFUSED: [(&str, &[u8], u16); 11] = [
    ("bare LF", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("one bare LF", b"GET / HTTP/1.1\r\nHost: a\nUpgrade: websocket\r\n\r\n", 400),
    ("bare CR", b"GET / HTTP/1.1\rHost: a\r\r", 400),
    ("obs-fold", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400),
    ("obs-fold by a tab", b"GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n", 400),
    ("NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n", 400),
    ("NUL in a name", b"GET / HTTP/1.1\r\nHost: a\r\nA\0: b\r\n\r\n", 400),
    ("NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("nothing but NUL", &[0; 64], 400),
    ("a preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("a proxy's greeting", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n\r\n", 400),
];

#[test]
fn malformed_heads_by_the_thousand_are_refused_however_they_are_cut() {
    let mut victim = Victim::echo(&["--head-timeout", "500ms"]);
    for round in 0..100 {
        for (what, head, wanted) in REFUSED {
            let mut stream = connect(victim.server.addr);
            let (begin, end) = head.split_at(round % (head.len() + 1));
            stream.write_all(begin).unwrap();
            // It may be refused before it is whole.
            let _ = stream.write_all(end).and_then(|()| stream.shutdown(Shutdown::Write));
            assert_eq!(status(&read_to_end(&mut stream)), Some(wanted), "{what}: cut at {round}");
        }
        victim.disturbs_nobody();
    }
    victim.after();
}

/// Nothing of it has an end: the request line, a header, the headers.
#[test]
fn heads_without_an_end_are_refused_at_their_limit_and_not_kept() {
    let mut victim = Victim::echo(&["--close-timeout", "300ms", "--max-head", "1m"]);
    let begin: [&[u8]; 3] = [b"GET /", b"GET / HTTP/1.1\r\nA: ", b"GET / HTTP/1.1\r\n"];
    let more: [&[u8]; 3] = [&[b'x'; 1 << 16], &[b'y'; 1 << 16], &b"Header: 1\r\n".repeat(6_000)];
    let addr = victim.server.addr;
    let attackers: Vec<_> = (0..12)
        .map(|i| {
            let (begin, more) = (begin[i % 3], more[i % 3].to_vec());
            thread::spawn(move || {
                let mut stream = connect(addr);
                stream.write_all(begin).unwrap();
                while stream.write_all(&more).is_ok() {}
                status(&read_to_end(&mut stream))
            })
        })
        .collect();
    victim.disturbs_nobody();
    for attacker in attackers {
        assert_eq!(attacker.join().unwrap(), Some(431));
    }
    victim.after();
}

/// A head within the limit of bytes, of thousands of lines.
#[test]
fn thousands_of_header_lines_are_refused() {
    let mut victim = Victim::echo(&["--max-head", "1m"]);
    for count in [101, 5_000, 200_000] {
        let head = upgrade("/", &"A:\r\n".repeat(count));
        let mut stream = sent(&victim.server, head.as_bytes());
        assert_eq!(status(&read_to_end(&mut stream)), Some(431), "{count} lines");
    }
    victim.disturbs_nobody();
    victim.after();
}

/// Lists of half a megabyte: whoever compares each item with each other, or looks for a pattern in
/// them, is busy for minutes.
#[test]
fn long_lists_in_headers_are_read_once() {
    let mut victim = Victim::relay(&["--max-head", "1m"]);
    let before = victim.server.cpu();
    let list = |item: &str| item.repeat(500_000 / item.len());
    let numbered: String = (0..80_000).map(|number| format!("{number},")).collect();
    let blank = format!("a{}", " ".repeat(500_000));
    for (request, wanted) in [
        (upgrade("/", &format!("Sec-WebSocket-Protocol: {numbered}\r\n")), 400),
        (upgrade("/", &format!("Sec-WebSocket-Protocol: {}\r\n", list("a,"))), 400),
        (upgrade("/", &format!("Sec-WebSocket-Protocol: {blank}b\r\n")), 400),
        (upgrade("/", &format!("Sec-WebSocket-Extensions: {numbered}\r\n")), 400),
        (upgrade("/", &format!("Sec-WebSocket-Extensions: a{}\r\n", list(";b"))), 400),
        (upgrade("/", &format!("Sec-WebSocket-Extensions: a;b=\"{}\r\n", list("\\x"))), 400),
        (upgrade("/", &format!("Connection: {}\r\n", list("x,"))), 101),
        (upgrade("/", &format!("Upgrade: {}\r\n", list(", "))), 101),
        (upgrade(&format!("/?{}", list("a=b&")), ""), 101),
        (upgrade(&format!("/?{}user=a", list("%41=%42&")), ""), 101),
        (upgrade(&format!("/?{}", list("user=a&")), ""), 400),
    ] {
        for _ in 0..5 {
            let mut stream = sent(&victim.server, request.as_bytes());
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(status(&read_to_end(&mut stream)), Some(wanted), "{request:.200}");
        }
    }
    if let (Some(before), Some(after)) = (before, victim.server.cpu()) {
        assert!(after - before <= Duration::from_secs(20), "{:?}", after - before);
        println!("{:?}", after - before);
    }
    victim.disturbs_nobody();
    victim.after();
}

/// No object of any language is a map of what a client offers.
#[test]
fn extensions_that_mean_something_elsewhere_are_extensions_that_nobody_knows() {
    let victim = Victim::echo(&[]);
    for name in ["constructor", "__proto__", "toString", "hasOwnProperty", "null", "0"] {
        let offer = format!("Sec-WebSocket-Extensions: {name}; {name}=1, x; {name}; {name}\r\n");
        let mut stream = sent(&victim.server, upgrade("/", &offer).as_bytes());
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{name}: {answer}");
        assert!(!answer.contains("Sec-WebSocket-Extensions"), "{name}: {answer}");
    }
    victim.after();
}

/// What stands in the body of a request must not be run as frames, by nobody.
#[test]
fn frames_in_the_body_of_a_handshake_are_nobodys() {
    let victim = Victim::relay(&[]);
    let smuggled = frame(Opcode::Text, br#"{"receiver":"norbert","content":"smuggled"}"#);
    let length = format!("Content-Length: {}\r\n", smuggled.len());
    let size = format!("{:x}\r\n", smuggled.len());
    let chunk = [size.as_bytes(), &smuggled, b"\r\n0\r\n\r\n"];
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (lines, body) in [
        (&*length, smuggled.clone()),
        (chunked, chunk.concat()),
        (&*format!("{length}{chunked}"), smuggled.clone()),
        (&*format!("{length}{length}"), smuggled.clone()),
        ("Content-Length: 0, 9\r\n", smuggled.clone()),
        ("Content-Length: -1\r\n", smuggled.clone()),
        ("Content-Length: +0\r\n", smuggled.clone()),
        ("Content-Length: 18446744073709551616\r\n", smuggled.clone()),
        ("Transfer-Encoding: gzip, identity\r\n", smuggled.clone()),
    ] {
        let head = upgrade("/street?user=mallory", lines);
        let mut stream = sent(&victim.server, &[head.as_bytes(), &body].concat());
        let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{lines}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{lines}: {answer}");
    }
    // The next that the neighbour hears is what is meant for him.
    victim.after();
}

/// Behind a request that is refused, or a page that is served, there is nothing more.
#[test]
fn requests_and_frames_behind_an_answered_request_are_nobodys() {
    let victim = Victim::relay(&[]);
    let smuggled = frame(Opcode::Text, br#"{"receiver":"norbert","content":"smuggled"}"#);
    let good = upgrade("/street?user=mallory", "");
    let bad = good.replace("13", "12");
    let elsewhere = good.replace("/street?", "/street?user=a&");
    for (first, wanted) in [
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n", 200),
        (&*bad, 426),
        (&*elsewhere, 400),
    ] {
        let bytes = [first.as_bytes(), good.as_bytes(), &smuggled].concat();
        let mut stream = sent(&victim.server, &bytes);
        let answer = String::from_utf8_lossy(&read_to_end(&mut stream)).into_owned();
        assert_eq!(status(answer.as_bytes()), Some(wanted), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    victim.after();
}

/// A thousand frames, and half of another, in the segments of the handshake; and what is broken in
/// the same segment gets its close, behind the answers to what was good.
#[test]
fn frames_in_the_segment_of_the_handshake_are_answered_in_order() {
    let victim = Victim::echo(&[]);
    let addr = victim.server.addr;
    let mut bytes = handshake(addr, "/");
    for number in 0..1_000 {
        bytes.extend_from_slice(&frame(Opcode::Text, format!("number {number}").as_bytes()));
    }
    let broken = [&bytes[..], &header(Opcode::Ping, false, 0)].concat();
    let half = [&bytes[..], &frame(Opcode::Text, b"half")[..7]].concat();
    let open = |bytes: &[u8]| {
        let stream: TcpStream = sent(&victim.server, bytes);
        let mut client = Client::after_handshake(stream, addr).unwrap();
        for number in 0..1_000 {
            assert_eq!(client.receive(), Event::Text(format!("number {number}")));
        }
        client
    };
    open(&broken).expect_close(1002);
    let mut client = open(&half);
    thread::sleep(Duration::from_millis(50));
    client.send_raw(&frame(Opcode::Text, b"half")[7..]);
    assert_eq!(client.receive(), Event::Text("half".into()));
    drop(client);
    victim.after();
}
