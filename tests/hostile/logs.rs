//! What peers write into logs and headers: nothing.

use crate::common::client::{Client, fragment, frame, read_to_end, status};
use crate::common::process::eventually;
use crate::victim::{Victim, sent, upgrade};
use switchboard::wire::Opcode;

/// What would begin a line of its own, colour a terminal, or turn the text around.
const FORGED: [&str; 6] = [
    "\n2026-01-01T00:00:00.000Z info opened conn=666 peer=forged",
    "\r\n2026-01-01T00:00:00.000Z info opened conn=666 peer=forged",
    "\u{1b}[2J\u{1b}]0;forged\u{7}",
    "\u{202e}degrof\u{2066}",
    "\u{85}\u{2028}\u{2029}forged",
    "\" user=\"root\" forged=\"",
];

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Each line is one that the server wrote: its time, its level, nothing but printable letters.
fn assert_clean(log: &str) {
    for line in log.lines() {
        assert!(line.starts_with("20") && line.find('Z') == Some(23), "{line:?}");
        let level = line[24..].split(' ').nth(1).unwrap_or_default();
        assert!(["error", "warn", "info", "debug", "trace"].contains(&level), "{line:?}");
        let turns =
            |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c) || c == '\u{2066}';
        assert!(!line.contains(turns), "{line:?}");
        assert!(line.len() <= 2_000, "a line of {} bytes", line.len());
        assert!(!line[24..].starts_with(" info opened conn=666"), "{line:?}");
    }
    assert!(!log.contains(r#"" user="root""#), "a value ended before its end: {log}");
}

#[test]
fn nobody_writes_lines_into_the_log() {
    let victim = Victim::talkative_relay();
    let addr = victim.server.addr;
    let mut asked = 0;
    for forged in FORGED {
        let code = escaped(forged);
        let raw = forged.replace(['\r', '\n'], "\t");
        for request in [
            upgrade(&format!("/{code}"), ""),
            upgrade(&format!("/?user={code}"), ""),
            upgrade(&format!("/?user=a&x={code}"), ""),
            upgrade("/", &format!("Origin: http://{raw}\r\n")),
            upgrade("/", &format!("Origin: http://localhost{raw}\r\n")),
            upgrade("/", &format!("Sec-WebSocket-Protocol: {raw}\r\n")),
            upgrade("/", &format!("Sec-WebSocket-Protocol: \"{raw}\"\r\n")),
            upgrade("/", &format!("Sec-WebSocket-Extensions: {raw}\r\n")),
            upgrade("/", &format!("User-Agent: {raw}\r\n")),
            upgrade("/", "").replace("localhost", &raw),
            upgrade("/", "").replace("GET", &raw),
            upgrade("/", "").replace("HTTP/1.1", &raw),
            // As it is, with its line ends: two lines of the request, and a bad one among them.
            upgrade(&format!("/{forged}"), ""),
            upgrade("/", &format!("Origin: {forged}\r\n")),
            upgrade("/", &format!("X-{forged}: y\r\n")),
        ] {
            asked += 1;
            let mut stream = sent(&victim.server, request.as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let answer = read_to_end(&mut stream);
            assert!(status(&answer).is_some(), "{request:?}");
        }
        // A reason of a Close is logged as well, and so is a name that was claimed.
        let mut client = Client::connect(addr);
        let reason = format!("\u{3}\u{0}{}", &forged[..forged.floor_char_boundary(100)]);
        let mut close = reason.into_bytes();
        close[1] = 0xE8;
        client.send_raw(&frame(Opcode::Close, &close));
        client.expect_close(1000);
        let mut client = Client::connect(addr);
        let json: String = forged.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        client.send_text(&format!(r#"{{"sender":"{json}","receiver":"x","content":1}}"#));
        client.send_raw(&fragment(Opcode::Close, true, b""));
    }
    eventually("all of them are logged", || {
        let log = victim.server.log();
        log.matches(" debug accepted conn=").count() >= asked + 2 * FORGED.len()
    });
    assert_clean(&victim.server.log());
    assert!(victim.server.log().contains("forged"), "the paths are logged, in quotes");
    victim.after();
}

/// Not even where the answer repeats what was asked for.
#[test]
fn nobody_writes_headers_into_an_answer() {
    let victim = Victim::relay(&[]);
    let injected = "x%0d%0aX-Injected: yes%0d%0a%0d%0a<script>";
    for request in [
        upgrade(&format!("/{}", injected.replace(' ', "%20")), ""),
        upgrade(&format!("/?user={}", injected.replace(' ', "+")), ""),
        upgrade("/", "Sec-WebSocket-Protocol: switchboard.plain\tX-Injected: yes\r\n"),
        upgrade("/", "Sec-WebSocket-Protocol: switchboard.plain, X-Injected%0d%0a\r\n"),
        upgrade("/", "Sec-WebSocket-Protocol: \"switchboard.plain\"\r\n"),
        upgrade("/", "Sec-WebSocket-Protocol: switchboard.plain, \u{e9}\r\n"),
        upgrade("/", "Origin: http://x%0d%0aX-Injected: yes\r\n"),
        upgrade("/", "Sec-WebSocket-Extensions: x; X-Injected=\"yes\r\n"),
        upgrade("/", "").replace("localhost", "x%0d%0aX-Injected: yes"),
        upgrade("/", "").replace("dGhlIHNhbXBsZSBub25jZQ==", "X-Injected: yes"),
        upgrade("/X-Injected", "").replace("websocket", "X-Injected"),
        upgrade("/", "").replace("GET", "X-INJECTED"),
    ] {
        let mut stream = sent(&victim.server, request.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert!(status(answer.as_bytes()).is_some(), "{request}: {answer}");
        assert!(!answer.to_lowercase().contains("injected"), "{request}: {answer}");
        assert!(!answer.contains("<script>"), "{request}: {answer}");
    }
    victim.after();
}

/// Credentials come in queries and subprotocols; neither is logged, at any level, nor is a message.
#[test]
fn no_secret_is_logged() {
    let victim = Victim::talkative_relay();
    let addr = victim.server.addr;
    for request in [
        upgrade("/room?user=ann&token=hunter2", ""),
        upgrade("/room?token=hunter2&user=", ""),
        upgrade("/?token=hunter2&token=hunter2&user=x&user=y", ""),
        upgrade("/", "Sec-WebSocket-Protocol: bearer.hunter2, switchboard.plain\r\n"),
        upgrade("/", "Sec-WebSocket-Protocol: bearer.hunter2\r\n"),
        upgrade("/", "Authorization: Bearer hunter2\r\nCookie: session=hunter2\r\n"),
        upgrade("/", "Authorization: Bearer hunter2\r\n").replace("13", "12"),
        "GET /x?token=hunter2 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
    ] {
        let mut stream = sent(&victim.server, request.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = String::from_utf8(read_to_end(&mut stream)).unwrap();
        assert!(!answer.contains("hunter2"), "{answer}");
    }
    let mut client = Client::connect(addr);
    client.send_text(r#"{"type":"auth","token":"hunter2"}"#);
    client.send_text(r#"{"receiver":"norbert","token":"hunter2"}"#);
    client.send_text(r#"{"receiver":"bob","content":"hunter2"#);
    client.send_text("hunter2");
    client.send_raw(&frame(Opcode::Ping, b"hunter2"));
    client.send_raw(&fragment(Opcode::Text, true, b"hunter2\xFF"));
    eventually("its end is logged", || victim.server.log().contains("code=1007"));
    assert!(!victim.server.log().contains("hunter2"), "{}", victim.server.log());
    drop(client);
    victim.after();
}
