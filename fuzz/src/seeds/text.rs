//! Handshakes, requests with bodies, lists in header lines, and envelopes.

use super::{Seed, table};

/// The seeds of `handshake`, `http_request`, `extension_header` and `envelope`.
pub fn seeds() -> Vec<Seed> {
    [
        table("handshake", &requests()),
        table("handshake", &answers()),
        table("handshake", CLIENTS),
        table("http_request", &bodies()),
        table("extension_header", LISTS),
        table("envelope", ENVELOPES),
        table("envelope", &[("nested-129-deep", "[".repeat(129) + &"]".repeat(129))]),
    ]
    .concat()
}

/// One body in both forms, and one doubt about its end in each of the others.
fn bodies() -> Vec<(&'static str, String)> {
    let post = |lines: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}");
    let length = "Content-Length: 5\r\n";
    let coding = "Transfer-Encoding: chunked\r\n";
    let chunked = |body: &str| post(coding, body);
    vec![
        ("length-of-5", post(length, "HelloGET")),
        ("length-of-none", post("", "GET")),
        ("length-twice", post(&length.repeat(2), "Hello")),
        ("length-and-coding", post(&format!("{length}{coding}"), "0\r\n\r\n")),
        ("length-with-sign", post("Content-Length: +5\r\n", "Hello")),
        ("length-beyond-64-bits", post("Content-Length: 18446744073709551621\r\n", "Hello")),
        ("coding-unknown", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        ("coding-in-http-1-0", chunked("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0")),
        ("chunks-with-all", chunked("3;n=\"v\"\r\nHel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\nGET")),
        ("chunk-of-none", chunked("0\r\n\r\n")),
        ("chunk-without-end", chunked("5\r\nHel")),
        ("chunk-with-bare-line-feed", chunked("5;\nHello\r\n0\r\n\r\n")),
        ("extension-with-a-line-feed", chunked("5;\n\r\nHello\r\n0\r\n\r\n")),
        ("trailer-with-a-line-feed", chunked("0\r\nA: b\nC: d\r\n\r\n")),
        ("chunk-size-of-17-digits", chunked("00000000000000005\r\nHello\r\n0\r\n\r\n")),
        ("chunk-size-wrong", chunked("4\r\nHello\r\n0\r\n\r\n")),
        ("chunk-too-large", chunked("3e9\r\n")),
        ("trailer-without-colon", chunked("0\r\nGET / HTTP/1.1\r\n\r\n")),
        ("extension-too-long", chunked(&format!("1{}\r\nx\r\n0\r\n\r\n", ";".repeat(16_385)))),
    ]
}

/// RFC 6455 §1.3, with one line more, less or different.
fn requests() -> Vec<(&'static str, String)> {
    let whole = |first: &str, host: &str, key: &str, rest: &str| {
        format!(
            "{first}\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\n{rest}\r\n"
        )
    };
    let get = "GET /chat HTTP/1.1";
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let plain = |rest: &str| whole(get, "server.example.com", key, rest);
    let v13 = "Sec-WebSocket-Version: 13\r\n";
    let example = "Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n";
    let target = |first: &str| whole(first, "a", key, v13);
    vec![
        ("rfc-example", plain(&format!("{example}{v13}"))),
        ("fewest-lines", plain(v13)),
        ("version-8", plain("Sec-WebSocket-Version: 8\r\n")),
        ("version-missing", plain("")),
        ("version-twice", plain(&format!("{v13}{v13}"))),
        ("extension-offers", plain(&format!("{v13}{DEFLATE}"))),
        ("extension-grammar-broken", plain(&format!("{v13}Sec-WebSocket-Extensions: a=\"\r\n"))),
        ("protocol-twice", plain(&format!("{v13}Sec-WebSocket-Protocol: chat, chat\r\n"))),
        ("body-announced", plain(&format!("{v13}Content-Length: 4\r\n"))),
        ("body-of-no-length", plain(&format!("{v13}Content-Length: 0\r\n"))),
        ("body-chunked", plain(&format!("{v13}Transfer-Encoding: chunked\r\n"))),
        ("folded-line", plain(&format!("{v13}X: a\r\n b\r\n"))),
        ("bare-line-feed", plain(&format!("{v13}X: a\nY: b\r\n"))),
        ("control-character-in-a-value", plain(&format!("{v13}X: a\0b\r\n"))),
        ("frames-in-the-same-segment", plain(v13) + "\u{1}\u{2}"),
        ("empty-line-first", "\r\n".to_owned() + &plain(v13)),
        ("key-of-15-bytes", whole(get, "a", "dGhlIHNhbXBsZSBub25j", v13)),
        ("key-with-trailing-bits", whole(get, "a", "dGhlIHNhbXBsZSBub25jZR==", v13)),
        ("host-with-port", whole(get, "[::1]:8080", key, v13)),
        ("host-malformed", whole(get, "a:b:c", key, v13)),
        ("query-with-escapes", target("GET /?user=%61+b&a=%2B HTTP/1.1")),
        ("query-repeated", target("GET /?user=a&user=b HTTP/1.1")),
        ("target-absolute", target("GET http://a:80/x HTTP/1.1")),
        ("target-with-fragment", target("GET /#x HTTP/1.1")),
        ("method-post", target("POST / HTTP/1.1")),
        ("http-1-0", target("GET / HTTP/1.0")),
        ("http-2-preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("ordinary-request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("upgrade-to-h2c", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n".to_owned()),
    ]
}

/// RFC 6455 §1.3, the server's half.
fn answers() -> Vec<(&'static str, String)> {
    let answer = |lines: &str| {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             {lines}\r\n"
        )
    };
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    vec![
        ("answer-rfc-example", answer(&format!("{accept}Sec-WebSocket-Protocol: chat\r\n"))),
        ("answer-with-a-frame-behind", answer(accept) + "\u{1}\u{0}"),
        ("answer-accept-wrong", answer("Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n")),
        ("answer-accept-missing", answer("")),
        (
            "answer-protocol-not-requested",
            answer(&format!("{accept}Sec-WebSocket-Protocol: x\r\n")),
        ),
        ("answer-extension-not-requested", answer(&format!("{accept}{DEFLATE}"))),
        ("answer-refused-404", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()),
        ("answer-cut", "HTTP/1.1 101 Switching".to_owned()),
    ]
}

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

const CLIENTS: &[(&str, &str)] = &[
    ("new-rfc-example", "new\nserver.example.com\n/chat\nhttp://example.com\nchat\nsuperchat"),
    ("new-without-origin", "new\n[::1]:8080\n/?user=a\n"),
    ("new-header-injection", "new\na\r\nX: y\n/ HTTP/1.1\r\nX: y\na\r\nb"),
    ("new-protocol-twice", "new\na\n/\n\nchat\nchat"),
];

/// RFC 6455 §9.1, RFC 7692 §7, and what breaks them.
const LISTS: &[(&str, &str)] = &[
    ("rfc-9-1-deflate-stream", "deflate-stream"),
    ("rfc-9-1-parameters", "mux; max-channels=4; flow-control, deflate-stream"),
    ("rfc-9-1-unknown", "private-extension"),
    (
        "deflate-every-parameter",
        "permessage-deflate; server_no_context_takeover; \
      client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=\"15\"",
    ),
    ("deflate-two-offers", "permessage-deflate; client_max_window_bits, permessage-deflate"),
    ("deflate-bits-with-zero", "permessage-deflate; server_max_window_bits=08"),
    (
        "deflate-bits-missing-then-8",
        "permessage-deflate; server_max_window_bits, \
      permessage-deflate; server_max_window_bits=8",
    ),
    (
        "deflate-parameter-twice",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
    ),
    ("quoted-value", "foo, bar; baz=\"2\"; x"),
    ("quoted-value-with-escapes", "foo; a=\"\\b\\c\""),
    ("quoted-value-without-end", "foo; a=\"b"),
    ("quoted-value-empty", "foo; a=\"\""),
    ("quoted-comma-is-no-token", "foo; a=\"b,c\""),
    ("elements-empty", ",, foo ,\t, bar ,"),
    ("lines-two", "foo\nbar; baz=2"),
    ("lines-one-is-empty", "foo\n\nbar"),
    ("nothing-but-commas", ",,,"),
    ("parameter-without-name", "foo; =1"),
    ("parameter-repeated", "foo; a; a=1"),
    ("prototype-names", "constructor; __proto__=toString"),
    ("not-ascii", "f\u{f6}o"),
    ("protocols-in-order", "chat, superchat"),
    ("connection-tokens", "keep-alive, Upgrade"),
    ("upgrade-token", "WebSocket"),
    ("extensions-16", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"),
    ("extensions-17-too-many", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"),
    ("parameters-17-too-many", "a;b;b;b;b;b;b;b;b;b;b;b;b;b;b;b;b;b"),
];

/// One for each rule of `PROTOCOL.md`, and the traps of JSON parsers.
const ENVELOPES: &[(&str, &str)] = &[
    ("direct-three-keys", r#"{"sender":"bob","receiver":"alice","content":"hi"}"#),
    ("direct-number-as-name", r#"{"receiver":1001,"content":{"n":1.0,"n":[1,2]}}"#),
    ("direct-white-space", " {\t\"content\" :\r\n1 , \"receiver\" : \"a\" } "),
    ("direct-without-content", r#"{"receiver":"alice"}"#),
    ("direct-and-group", r#"{"receiver":"a","group":"b","content":1}"#),
    ("direct-escaped-key", r#"{"rec\u0065iver":"a","content":null}"#),
    ("direct-escaped-name", r#"{"receiver":"\u0061\ud83d\ude00\"","content":"\ud800"}"#),
    (
        "direct-content-looks-like-an-envelope",
        r#"{"content":{"receiver":"eve","receiver":"mallory"},"receiver":"a"}"#,
    ),
    ("name-star", r#"{"receiver":"*","content":1}"#),
    ("name-lone-surrogate", r#"{"receiver":"\ud800","content":1}"#),
    ("name-with-nul", r#"{"receiver":"a\u0000b","content":1}"#),
    ("name-direction-override", r#"{"receiver":"\u202ebob","content":1}"#),
    ("name-white-space", r#"{"receiver":" a","content":1}"#),
    ("name-minus-zero", r#"{"receiver":-0,"content":1}"#),
    ("name-17-digits", r#"{"receiver":12345678901234567,"content":1}"#),
    ("group-message", r#"{"sender":"bob","group":"team","content":[true,false,null]}"#),
    ("group-without-content", r#"{"group":"team"}"#),
    ("found-key-with-lone-surrogate", r#"{"re\ud800ceiver":"bob","receiver":"eve","content":1}"#),
    ("control-ping", r#"{"type":"ping"}"#),
    ("control-join", r#"{"type":"join","group":"team","sender":"bob"}"#),
    ("control-leave-escaped", r#"{"type":"le\u0061ve","group":"team"}"#),
    ("control-join-group-not-a-string", r#"{"type":"join","group":7}"#),
    ("control-join-with-content", r#"{"type":"join","group":"team","content":1}"#),
    ("control-auth", r#"{"type":"auth","token":"abc"}"#),
    ("control-join-hearing", r#"{"type":"join","group":"team","presence":true}"#),
    ("control-join-deaf", r#"{"presence":false,"type":"join","group":"team"}"#),
    ("control-join-presence-not-a-boolean", r#"{"type":"join","group":"team","presence":1}"#),
    ("control-members", r#"{"type":"members","group":"team","sender":"bob"}"#),
    ("control-members-without-group", r#"{"type":"members"}"#),
    ("control-presence", r#"{"type":"presence","user":"bob"}"#),
    ("control-presence-number", r#"{"us\u0065r":1001,"sender":"eve","type":"presence"}"#),
    ("control-presence-name-star", r#"{"type":"presence","user":"*"}"#),
    ("broadcast-presence-of-an-application", r#"{"type":"presence","user":"bob","is":"away"}"#),
    ("broadcast-presence-user-is-an-object", r#"{"type":"presence","user":{"id":7}}"#),
    ("broadcast-with-sender", r#"{"sender":"bob","text":"hi"}"#),
    ("repeated-key", r#"{"receiver":"bob","receiver":"eve","content":1}"#),
    ("sender-and-content-only", r#"{"sender":"eve","content":1}"#),
    ("broken-with-receiver", r#"{"receiver":"bob","content":hi}"#),
    ("broken-with-escaped-receiver", r#"{"\u0072eceiver":"bob""#),
    ("broken-without-receiver", r#"{"a":"#),
    ("broadcast-text", "hello, room"),
    ("broadcast-object", r#"{"a":[{}],"b":-1.5e+10}"#),
    ("broadcast-array", r#"["receiver"]"#),
    ("broadcast-nothing", ""),
    ("nested-3-deep", r#"{"receiver":"a","content":[[]]}"#),
    ("numbers-of-every-form", r#"{"a":[0,-0,10,0.5,1e5,1E-5,-1.25e+10]}"#),
    ("number-with-leading-zero", r#"{"receiver":"a","content":01}"#),
    ("byte-order-mark", "\u{feff}{\"receiver\":\"a\",\"content\":1}"),
    (
        "long-strings-plain-and-escaped",
        r#"{"receiver":"a","content":"0123456789abcdefghijklmnopqrstuvwxyz012345678\n\u0041 end"}"#,
    ),
];
