//! The server's opening handshake from outside: every rule of RFC 6455 §4.2.1 and §4.2.2 that a
//! client can break, and every one that a server can.

#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use switchboard::wire::handshake::{Accepted, Upgrade, accept_key, is_upgrade};
use switchboard::wire::http::{Body, HeadScanner, HeaderSlots, RequestHead, Response};

/// The handshake of RFC 6455 §1.3, line by line.
const EXAMPLE: [&str; 8] = [
    "GET /chat HTTP/1.1",
    "Host: server.example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Origin: http://example.com",
    "Sec-WebSocket-Protocol: chat, superchat",
    "Sec-WebSocket-Version: 13",
];

const HEAD_MAX: usize = 16_384;

/// The example, with the line of this name replaced by others: none, one or more.
fn replaced(name: &str, lines: &[&str]) -> Vec<u8> {
    let mut head = Vec::new();
    for line in EXAMPLE {
        if line.split([':', ' ']).next() == Some(name) {
            lines.iter().for_each(|line| head.extend_from_slice(format!("{line}\r\n").as_bytes()));
        } else {
            head.extend_from_slice(format!("{line}\r\n").as_bytes());
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The example with more lines at its end.
fn with(lines: &[&str]) -> Vec<u8> {
    let last = EXAMPLE[7];
    replaced("Sec-WebSocket-Version", &[&[last], lines].concat())
}

/// What a server sends that takes every good handshake and chooses the subprotocol `chat`.
fn answer(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    let mut slots = HeaderSlots::new();
    let upgrade = HeadScanner::default()
        .find_end(bytes, HEAD_MAX)
        .and_then(|end| RequestHead::parse(&bytes[..end.expect("a whole head")], &mut slots))
        .and_then(|head| Upgrade::check(&head));
    match upgrade {
        Ok(upgrade) => {
            let accepted = Accepted { protocol: Some("chat"), extensions: None };
            upgrade.write_response(&mut out, &accepted);
        }
        Err(error) => Response::from(error).write(&mut out, Body::Included),
    }
    String::from_utf8(out).expect("no value of the peer is in an answer")
}

/// The status of the answer, after checking that it is a whole HTTP response that fits the status.
fn status(bytes: &[u8]) -> u16 {
    let answer = answer(bytes);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    if status == 101 {
        assert_eq!(body, "", "frames follow a 101, not a body");
    } else {
        assert!(head.contains("\r\nConnection: close"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    }
    status
}

/// Each line, put in place of the example's line of this name, is answered with this status.
fn assert_replaced(name: &str, expected: u16, lines: &[&str]) {
    for line in lines {
        assert_eq!(status(&replaced(name, &[line])), expected, "{line:?}");
    }
}

#[test]
fn rfc6455_1_3_the_example_is_answered_as_in_the_rfc() {
    let expected = "HTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        Sec-WebSocket-Protocol: chat\r\n\r\n";
    assert_eq!(answer(&replaced("", &[])), expected);
}

#[test]
fn rfc6455_4_2_1_order_and_case_of_header_names_do_not_matter() {
    let mut lines = EXAMPLE[1..].to_vec();
    lines.reverse();
    let reversed = format!("{}\r\n{}\r\n\r\n", EXAMPLE[0], lines.join("\r\n"));
    assert_eq!(status(reversed.as_bytes()), 101);
    for change in [str::to_ascii_uppercase, str::to_ascii_lowercase] {
        let lines = EXAMPLE[1..].iter().map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            format!("{}:{value}\r\n", change(name))
        });
        let head = format!("{}\r\n{}\r\n", EXAMPLE[0], lines.collect::<String>());
        assert_eq!(status(head.as_bytes()), 101, "{head}");
    }
}

#[test]
fn rfc6455_4_2_1_white_space_around_values_does_not_matter() {
    let head = EXAMPLE[1..].iter().map(|line| format!("{}\t \r\n", line.replace(": ", ":\t  ")));
    let head = format!("{}\r\n{}\r\n", EXAMPLE[0], head.collect::<String>());
    assert!(answer(head.as_bytes()).contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

#[test]
fn rfc6455_4_2_1_method_other_than_get_is_405_with_allow() {
    for method in ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "GETS", "BREW"] {
        let head = replaced("GET", &[&format!("{method} /chat HTTP/1.1")]);
        assert_eq!(status(&head), 405, "{method}");
        assert!(answer(&head).contains("\r\nAllow: GET\r\n"), "{method}");
    }
}

#[test]
fn rfc6455_4_2_1_http_version_other_than_1_1_is_refused() {
    assert_replaced("GET", 400, &["GET /chat HTTP/1.0"]);
    let others = ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/9.9"];
    assert_replaced(
        "GET",
        505,
        &others.map(|version| format!("GET /chat {version}")).each_ref().map(String::as_str),
    );
    assert_eq!(status(b"PRI * HTTP/2.0\r\n\r\n"), 505, "the preface of HTTP/2");
}

#[test]
fn rfc6455_4_2_1_malformed_request_line_is_400() {
    assert_replaced(
        "GET",
        400,
        &[
            "GET /chat",
            "GET",
            "GET  /chat HTTP/1.1",
            "GET /chat  HTTP/1.1",
            "GET /chat HTTP/1.1 ",
            " GET /chat HTTP/1.1",
            "GET\t/chat\tHTTP/1.1",
            "GET /ch at HTTP/1.1",
            "GET /chat http/1.1",
            "GET /chat HTTP/1",
            "GET /chat HTTP/11",
            "GET /chat HTTP/1.10",
            "GET /chat HTTP/+1.1",
            "GET /chat HTTPS/1.1",
            "GET /chat ICY",
            "G(T /chat HTTP/1.1",
            "G\u{c9}T /chat HTTP/1.1",
        ],
    );
}

#[test]
fn rfc6455_3_target_with_fragment_or_outside_ascii_is_400() {
    assert_replaced(
        "GET",
        400,
        &[
            "GET /chat#a HTTP/1.1",
            "GET /?a#b HTTP/1.1",
            "GET # HTTP/1.1",
            "GET /caf\u{e9} HTTP/1.1",
        ],
    );
    assert_replaced("GET", 101, &["GET /chat%23a HTTP/1.1", "GET /?a=b HTTP/1.1"]);
}

#[test]
fn rfc6455_4_1_target_may_be_an_absolute_http_uri() {
    for (target, path, expected) in [
        ("http://server.example.com/chat?a", "/chat", 101),
        ("HTTPS://server.example.com:443", "/", 101),
        ("ws://server.example.com/chat", "", 400),
        ("http://user@server.example.com/chat", "", 400),
        ("server.example.com/chat", "", 400),
        ("*", "", 400),
    ] {
        let head = replaced("GET", &[&format!("GET {target} HTTP/1.1")]);
        assert_eq!(status(&head), expected, "{target}");
        let mut slots = HeaderSlots::new();
        let head = RequestHead::parse(&head, &mut slots);
        assert_eq!(head.map_or("", |head| head.path()), path, "{target}");
    }
}

#[test]
fn rfc9112_3_2_2_host_of_an_absolute_target_counts_and_host_is_ignored() {
    let head = "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut slots = HeaderSlots::new();
    let head = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
    assert_eq!(head.authority().unwrap().host, "evil.example");
    assert!(!head.authority().unwrap().is_loopback());
}

#[test]
fn rfc6455_4_2_1_host_missing_repeated_or_malformed_is_400() {
    assert_eq!(status(&replaced("Host", &[])), 400);
    assert_eq!(status(&replaced("Host", &["Host: a", "Host: a"])), 400);
    assert_eq!(status(&replaced("Host", &["Host: a", "host: b"])), 400);
    let bad =
        ["Host:", "Host: ", "Host: a b", "Host: a/b", "Host: a@b", "Host: a:b", "Host: \u{e9}"];
    assert_replaced("Host", 400, &bad);
    assert_replaced("Host", 101, &["Host: a", "Host: A:1", "Host: [::1]:80", "Host:127.0.0.1"]);
}

#[test]
fn rfc6455_4_2_1_upgrade_without_websocket_is_400() {
    assert_eq!(status(&replaced("Upgrade", &[])), 400);
    let bad =
        ["websockets", "web socket", "\"websocket\"", "websocket/13", "h2c", "", ",", "\u{e9}"];
    let bad = bad.map(|value| format!("Upgrade: {value}"));
    assert_replaced("Upgrade", 400, &bad.each_ref().map(String::as_str));
}

#[test]
fn rfc6455_4_2_1_upgrade_is_a_list_in_any_case() {
    let good = [
        "Upgrade: WebSocket",
        "Upgrade: WEBSOCKET",
        "Upgrade: h2c,\twebsocket ,",
        "upgrade:websocket",
    ];
    assert_replaced("Upgrade", 101, &good);
    assert_eq!(status(&replaced("Upgrade", &["Upgrade: h2c", "Upgrade: websocket"])), 101);
}

#[test]
fn rfc6455_4_2_1_connection_without_upgrade_is_400() {
    assert_eq!(status(&replaced("Connection", &[])), 400);
    let bad = ["keep-alive", "close", "upgraded", "up grade", "\"upgrade\"", "", ",,", "\u{e9}"];
    let bad = bad.map(|value| format!("Connection: {value}"));
    assert_replaced("Connection", 400, &bad.each_ref().map(String::as_str));
}

#[test]
fn rfc6455_4_2_1_connection_is_a_list_in_any_case() {
    let good =
        ["Connection: upgrade", "Connection: keep-alive, Upgrade", "Connection:,UPGRADE\t,close"];
    assert_replaced("Connection", 101, &good);
    let lines = ["Connection: keep-alive", "Connection: Upgrade"];
    assert_eq!(status(&replaced("Connection", &lines)), 101);
}

#[test]
fn rfc6455_4_2_1_key_missing_or_not_16_bytes_is_400() {
    assert_eq!(status(&replaced("Sec-WebSocket-Key", &[])), 400);
    let bad = [
        "",
        "AAAAAAAAAAAAAAAAAAAA",         // 15 bytes
        "AAAAAAAAAAAAAAAAAAAAAAA=",     // 17 bytes
        "AAAAAAAAAAAAAAAAAAAAAAAA",     // 18 bytes
        "AAAAAAAAAAAAAAAAAAAAAA",       // no padding
        "AAAAAAAAAAAAAAAAAAAAAA=",      // half of it
        "AAAAAAAAAAAAAAAAAAAAAA===",    // too much
        "AAAAAAAAAAAAAAAAAAAA=A==",     // in the wrong place
        "AAAAAAAAAA AAAAAAAAAAA==",     // a space inside
        "dGhlIHNhbXBsZSBub25j-_==",     // the alphabet for URLs
        "dGhlIHNhbXBsZSBub25jZQ==, ==", // a list
        "dGhlIHNhbXBsZSBub2\u{e9}jZQ==",
        "========================",
    ];
    let bad = bad.map(|value| format!("Sec-WebSocket-Key: {value}"));
    assert_replaced("Sec-WebSocket-Key", 400, &bad.each_ref().map(String::as_str));
}

#[test]
fn rfc6455_4_2_1_key_is_not_required_to_be_canonical_base64() {
    assert_replaced("Sec-WebSocket-Key", 101, &["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAA/=="]);
}

#[test]
fn rfc6455_11_3_1_key_given_twice_is_400() {
    let key = EXAMPLE[4];
    assert_eq!(status(&replaced("Sec-WebSocket-Key", &[key, key])), 400);
}

#[test]
fn rfc6455_4_2_2_accept_is_made_from_the_key_as_sent() {
    // Computed with another program: base64(sha1(key + GUID)).
    let table = [
        ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="),
        ("AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="),
    ];
    for (key, accept) in table {
        assert_eq!(accept_key(key.as_bytes()), accept.as_bytes(), "{key}");
        let head = replaced("Sec-WebSocket-Key", &[&format!("Sec-WebSocket-Key: {key}")]);
        assert!(answer(&head).contains(&format!("\r\nSec-WebSocket-Accept: {accept}\r\n")));
    }
}

#[test]
fn rfc6455_4_2_1_version_missing_is_400_and_names_13() {
    let head = replaced("Sec-WebSocket-Version", &[]);
    assert_eq!(status(&head), 400);
    assert!(answer(&head).contains("\r\nSec-WebSocket-Version: 13\r\n"));
}

#[test]
fn rfc6455_4_2_2_version_other_than_13_is_426_and_names_13() {
    let others = [
        "0",
        "7",
        "8",
        "12",
        "14",
        "25",
        "130",
        "255",
        "256",
        "013",
        "+13",
        "-13",
        "13.0",
        "0x0D",
        "13, 8",
        "13,13",
        "13 13",
        "thirteen",
        "",
        "\u{661}\u{663}",
    ];
    for version in others {
        let line = format!("Sec-WebSocket-Version: {version}");
        let head = replaced("Sec-WebSocket-Version", &[&line]);
        assert_eq!(status(&head), 426, "{version}");
        let answer = answer(&head);
        for line in
            ["Sec-WebSocket-Version: 13", "Upgrade: websocket", "Connection: close, Upgrade"]
        {
            assert!(answer.contains(&format!("\r\n{line}\r\n")), "{answer}");
        }
    }
}

#[test]
fn rfc6455_11_3_5_version_given_twice_is_400() {
    let lines = ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"];
    assert_eq!(status(&replaced("Sec-WebSocket-Version", &lines)), 400);
    assert_eq!(status(&with(&["Sec-WebSocket-Version: 13"])), 400);
}

#[test]
fn rfc6455_4_2_1_origin_is_optional_and_single() {
    assert_eq!(status(&replaced("Origin", &[])), 101);
    assert_replaced(
        "Origin",
        101,
        &["Origin: null", "Origin: file://", "Origin: \u{e9}", "Origin:"],
    );
    assert_eq!(status(&with(&["Origin: http://evil.example"])), 400);
}

#[test]
fn rfc6455_4_2_1_other_header_fields_are_ignored() {
    let lines =
        ["Cookie: a=b", "X-\u{7e}: \u{e9}", "Sec-WebSocket-Accept: x", "Sec-WebSocket-Key1: 4 @1"];
    assert_eq!(status(&with(&lines)), 101);
}

#[test]
fn rfc6455_4_2_2_subprotocol_is_chosen_from_the_offers_or_left_out() {
    let chosen = |lines: &[&str]| {
        let answer = answer(&replaced("Sec-WebSocket-Protocol", lines));
        answer
            .starts_with("HTTP/1.1 101")
            .then(|| answer.contains("Sec-WebSocket-Protocol: chat\r\n"))
    };
    assert_eq!(chosen(&[]), Some(false));
    assert_eq!(chosen(&["Sec-WebSocket-Protocol: superchat"]), Some(false));
    assert_eq!(chosen(&["Sec-WebSocket-Protocol: Chat"]), Some(false), "names have a case");
    assert_eq!(chosen(&["Sec-WebSocket-Protocol: superchat,chat"]), Some(true));
    let lines = ["Sec-WebSocket-Protocol: superchat", "Sec-WebSocket-Protocol: chat"];
    assert_eq!(chosen(&lines), Some(true));
}

#[test]
fn rfc6455_4_1_malformed_subprotocol_list_is_400() {
    let bad = ["", ",", "a b", "a/b", "(a)", "a, a", "\"a\"", "caf\u{e9}", "a;b"];
    let bad = bad.map(|value| format!("Sec-WebSocket-Protocol: {value}"));
    assert_replaced("Sec-WebSocket-Protocol", 400, &bad.each_ref().map(String::as_str));
    let lines = ["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b, a"];
    assert_eq!(status(&replaced("Sec-WebSocket-Protocol", &lines)), 400);
}

#[test]
fn rfc6455_9_1_malformed_extension_list_is_400() {
    for value in
        ["", ",", ";", "a;", "a b", "a; b=", "a; b=\"", "a; b=\"c d\"", "a; b=\"\"", "\u{e9}"]
    {
        let line = format!("Sec-WebSocket-Extensions: {value}");
        assert_eq!(status(&with(&[&line])), 400, "{value:?}");
    }
}

#[test]
fn rfc6455_9_1_unknown_extensions_are_not_accepted() {
    let lines = [
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "Sec-WebSocket-Extensions: x-unknown; a=\"b\", constructor",
    ];
    let answer = answer(&with(&lines));
    assert!(answer.starts_with("HTTP/1.1 101 ") && !answer.contains("Extensions"), "{answer}");
}

#[test]
fn rfc6455_4_1_handshake_with_a_body_is_400() {
    let bad: [&[&str]; 9] = [
        &["Content-Length: 1"],
        &["Content-Length: 18446744073709551616"],
        &["Content-Length: +0"],
        &["Content-Length: x"],
        &["Content-Length:"],
        &["Content-Length: 0", "Content-Length: 5"],
        &["Content-Length: 0, 5"],
        &["Transfer-Encoding: chunked"],
        &["Transfer-Encoding: identity", "Content-Length: 0"],
    ];
    for lines in bad {
        assert_eq!(status(&with(lines)), 400, "{lines:?}");
    }
    assert_eq!(status(&with(&["Content-Length: 0"])), 101);
}

#[test]
fn rfc9112_malformed_head_is_400() {
    let heads: [&[u8]; 23] = [
        b"\r\n\r\n",
        b"GET / HTTP/1.1\n\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\tfolded\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\n: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nH(st: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nH\xC3\xB6st: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7F\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00", // a TLS client
    ];
    for head in heads {
        assert_eq!(status(head), 400, "{}", head.escape_ascii());
    }
}

#[test]
fn rfc9112_2_2_one_empty_line_before_the_request_is_skipped() {
    let head = replaced("", &[]);
    assert_eq!(status(&[b"\r\n", &head[..]].concat()), 101);
    assert_eq!(status(&[b"\r\n\r\n", &head[..]].concat()), 400);
}

#[test]
fn rfc6585_5_head_too_long_or_with_too_many_fields_is_431() {
    let filled = |len: usize| with(&[&format!("X: {}", "a".repeat(len))]);
    let rest = HEAD_MAX - filled(0).len();
    assert_eq!(status(&filled(rest)), 101, "exactly at the limit");
    assert_eq!(status(&filled(rest + 1)), 431);
    assert_eq!(status(&vec![b'a'; HEAD_MAX]), 431, "no end in sight");
    assert_eq!(status(&with(&["X: y"; 93])), 101, "a hundred header lines");
    assert_eq!(status(&with(&["X: y"; 94])), 431);
}

#[test]
fn rfc6455_4_2_1_head_split_at_every_byte_gives_the_same_answer() {
    let head = replaced("", &[]);
    let whole = answer(&head);
    for split in 0..head.len() {
        let mut scanner = HeadScanner::default();
        assert_eq!(scanner.find_end(&head[..split], HEAD_MAX), Ok(None), "split at {split}");
        assert_eq!(scanner.find_end(&head, HEAD_MAX), Ok(Some(head.len())), "split at {split}");
    }
    let mut scanner = HeadScanner::default();
    let end = (0..=head.len()).find_map(|len| scanner.find_end(&head[..len], HEAD_MAX).unwrap());
    assert_eq!(answer(&head[..end.unwrap()]), whole);
}

#[test]
fn rfc6455_4_2_1_no_single_byte_changed_does_harm() {
    let head = replaced("", &[]);
    for at in 0..head.len() {
        for byte in 0..=u8::MAX {
            let mut changed = head.clone();
            changed[at] = byte;
            let mut slots = HeaderSlots::new();
            // The end may have moved or gone; `parse` and `check` must hold anyway.
            let Ok(head) = RequestHead::parse(&changed, &mut slots) else { continue };
            let _ = (is_upgrade(&head), head.query_value("user"));
            if let Ok(upgrade) = Upgrade::check(&head) {
                let mut out = Vec::new();
                upgrade.write_response(&mut out, &Accepted::default());
                assert!(out.ends_with(b"=\r\n\r\n"), "{}", changed.escape_ascii());
            }
        }
    }
}
