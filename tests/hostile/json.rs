//! Text that is meant to hurt whoever reads it: the relay, and its clients behind it.

use crate::common::client::{Client, Event, read_to_end, status};
use crate::victim::{Victim, next_text, sent, upgrade};

const PING: &str = r#"{"type":"ping"}"#;
const PONG: &str = r#"{"type":"pong"}"#;

/// Says something that concerns nobody else, and hears the answer to it; `None` if there is none.
fn answer(client: &mut Client, text: &str) -> Option<String> {
    client.send_text(text);
    client.send_text(PING);
    let first = next_text(client);
    if first == PONG {
        return None;
    }
    assert_eq!(next_text(client), PONG);
    Some(first)
}

fn error(code: u16, reason: &str) -> Option<String> {
    Some(format!(r#"{{"type":"error","code":{code},"reason":"{reason}"}}"#))
}

fn direct(content: &str) -> String {
    format!(r#"{{"receiver":"bob","content":{content}}}"#)
}

/// A mallory without company, and a bob to whom he writes.
fn pair(victim: &Victim) -> [Client; 2] {
    ["/alone?user=mallory", "/bob?user=bob"]
        .map(|target| Client::try_connect(victim.server.addr, target).unwrap())
}

#[test]
fn json_a_hundred_thousand_deep_is_refused_wherever_it_is() {
    let mut victim = Victim::relay(&[]);
    let [mut mallory, mut bob] = pair(&victim);
    let deep = 100_000;
    let arrays = "[".repeat(deep) + &"]".repeat(deep);
    let objects = r#"{"a":"#.repeat(deep) + "1" + &"}".repeat(deep);
    let mixed = r#"[{"a":"#.repeat(deep / 2) + "1" + &"}]".repeat(deep / 2);
    for nested in [&arrays, &objects, &mixed] {
        for text in [
            nested.clone(),
            direct(nested),
            format!(r#"{{"receiver":{nested},"content":1}}"#),
            format!(r#"{{"sender":{nested},"receiver":"bob","content":1}}"#),
            format!(r#"{{"group":{nested},"content":1}}"#),
            format!(r#"{{"type":{nested},"receiver":"bob","content":1}}"#),
            format!(r#"{{"ignored":{nested},"receiver":"bob","content":1}}"#),
            format!(r#"{{"receiver":"bob","content":1,"ignored":{nested}}}"#),
        ] {
            let wanted = error(400, "nesting_too_deep");
            assert_eq!(answer(&mut mallory, &text), wanted, "{:.60}", text);
        }
        // Never closed.
        let open = &nested[..nested.len() / 2 - 1];
        let text = format!(r#"{{"receiver":"bob","content":{open}"#);
        let wanted = error(400, "invalid_json");
        assert_eq!(answer(&mut mallory, &text), wanted, "{:.60}", text);
    }
    // Brackets in a string are letters.
    let text = direct(&format!(r#""{}""#, "[{".repeat(deep)));
    assert_eq!(answer(&mut mallory, &text), None);
    let heard = next_text(&mut bob);
    assert!(heard.ends_with(&format!(r#","content":"{}"}}"#, "[{".repeat(deep))));
    victim.disturbs_nobody();
    drop((mallory, bob));
    victim.after();
}

/// What no reader can hold exactly is not rounded: the bytes arrive as they were sent.
#[test]
fn content_that_readers_disagree_on_arrives_byte_for_byte() {
    let victim = Victim::relay(&[]);
    let [mut mallory, mut bob] = pair(&victim);
    let digits = "9".repeat(100_000);
    for content in [
        &*digits,
        &*format!("-{digits}.{digits}e-{digits}"),
        "1e999999999999",
        "-0",
        "1E+2",
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\u0000\u0000""#,
        r#""\u202e\u2066""#,
        r#"{"a":1,"a":2,"\u0061":3}"#,
        r#"{"receiver":"eve","sender":"root","type":"join"}"#,
        r#"{"__proto__":{"admin":true},"constructor":null}"#,
        "[ 1 ,\t2\r\n]",
        "null",
    ] {
        assert_eq!(answer(&mut mallory, &direct(content)), None, "{content:.60}");
        let wanted = format!(r#"{{"sender":"mallory","content":{content}}}"#);
        assert!(next_text(&mut bob) == wanted, "{content:.60}");
    }
    drop((mallory, bob));
    victim.after();
}

#[test]
fn names_that_no_reader_agrees_on_are_refused() {
    let victim = Victim::relay(&[]);
    let [mut mallory, bob] = pair(&victim);
    let digits = "1".repeat(100_000);
    for name in [
        &*digits,
        "1e999999999999",
        "18446744073709551616",
        "1.0",
        "-1",
        r#""\ud800""#,
        r#""bob\udfff""#,
        r#""bob\u0000""#,
        r#""\u0000""#,
        r#""bob\r\nX: y""#,
        r#""bob\u202e""#,
        r#"["bob"]"#,
        r#"{"bob":1}"#,
        "null",
    ] {
        for (text, reason) in [
            (format!(r#"{{"receiver":{name},"content":1}}"#), "invalid_receiver"),
            (format!(r#"{{"group":{name},"content":1}}"#), "invalid_group"),
            (format!(r#"{{"sender":{name},"receiver":"bob","content":1}}"#), "invalid_sender"),
        ] {
            assert_eq!(answer(&mut mallory, &text), error(400, reason), "{text:.60}");
        }
    }
    for keys in [
        r#""receiver":"eve","receiver":"bob""#,
        r#""receiver":"eve","\u0072eceiver":"bob""#,
        r#""receiver":"bob","sender":"mallory","sender":"root""#,
        r#""receiver":"bob","content":0"#,
    ] {
        let text = format!(r#"{{{keys},"content":1}}"#);
        assert_eq!(answer(&mut mallory, &text), error(400, "repeated_key"), "{text}");
    }
    drop((mallory, bob));
    victim.after();
}

/// No object of any language is a map of these, and nothing folds them: each is a user of its own.
#[test]
fn names_that_mean_something_elsewhere_are_names_like_any_other() {
    let victim = Victim::relay(&[]);
    let names = [
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "null",
        "undefined",
        "true",
        "NaN",
        "0",
        "../../etc/passwd",
        "'; DROP TABLE users; --",
        "${jndi:ldap://x}",
        "<script>alert(1)</script>",
        "%s%s%n",
        "bob",
        "Bob",
        "BOB",
        "b\u{f6}b",
        "bo\u{308}b",
        "\u{ff42}\u{ff4f}\u{ff42}",
        "\u{130}",
        "i\u{307}",
        "\u{17f}",
        "s",
    ];
    let open = |name: &&str| {
        let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        Client::try_connect(victim.server.addr, &format!("/names?user={escaped}")).unwrap()
    };
    let mut clients: Vec<Client> = names.iter().map(open).collect();
    let mut sender = Client::try_connect(victim.server.addr, "/sender?user=sender").unwrap();
    for (number, name) in names.iter().enumerate() {
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!(r#"{{"receiver":"{name}","content":{number}}}"#);
        assert_eq!(answer(&mut sender, &text), None, "{name}");
        let group = format!(r#"{{"type":"join","group":"{name}"}}"#);
        let joined = Some(format!(r#"{{"type":"ok","group":"{name}"}}"#));
        assert_eq!(answer(&mut sender, &group), joined);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.send_text(PING);
        let wanted = format!(r#"{{"sender":"sender","content":{number}}}"#);
        assert_eq!(next_text(client), wanted, "{}", names[number]);
        assert_eq!(next_text(client), PONG, "and nothing that was for another");
    }
    drop((clients, sender));
    victim.after();
}

/// From nothing to a megabyte, in the URL as far as a request line may be long.
#[test]
fn user_ids_of_every_length_are_taken_up_to_the_limit_and_refused_beyond() {
    let victim = Victim::relay(&[]);
    let [mut mallory, bob] = pair(&victim);
    for len in (0..=300).chain([1_000, 10_000, 16_000]) {
        let name = "n".repeat(len);
        let request = upgrade(&format!("/?user={name}"), "");
        let wanted = if (1..=128).contains(&len) { 101 } else { 400 };
        let mut stream = sent(&victim.server, request.as_bytes());
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(status(&read_to_end(&mut stream)), Some(wanted), "{len} bytes");
    }
    for len in (0..=300).chain([1_000, 65_536, 1_000_000]) {
        let name = "n".repeat(len);
        let text = format!(r#"{{"receiver":"{name}","content":1}}"#);
        let wanted = match len {
            1..=128 => Some(format!(
                r#"{{"type":"error","code":404,"reason":"receiver_offline","receiver":"{name}"}}"#
            )),
            _ => error(400, "invalid_receiver"),
        };
        assert_eq!(answer(&mut mallory, &text), wanted, "{len} bytes");
        // Counted after unescaping.
        let text = format!(r#"{{"receiver":"{}","content":1}}"#, r"\u006e".repeat(len));
        if len < 100_000 {
            assert_eq!(answer(&mut mallory, &text), wanted, "{len} bytes, escaped");
        }
    }
    drop((mallory, bob));
    victim.after();
}

/// NUL, in every way that an id can be written.
#[test]
fn a_nul_in_a_user_id_opens_nothing() {
    let victim = Victim::relay(&[]);
    for target in ["/?user=%00", "/?user=bob%00", "/?user=%00bob", "/?user=bo%00b", "/?user=a\0"] {
        let mut stream = sent(&victim.server, upgrade(target, "").as_bytes());
        assert_eq!(status(&read_to_end(&mut stream)), Some(400), "{target:?}");
    }
    let [mut mallory, mut bob] = pair(&victim);
    let text = "{\"receiver\":\"bob\0\",\"content\":1}";
    assert_eq!(answer(&mut mallory, text), error(400, "invalid_json"));
    // NUL in a path is no room either, and as content it is what was sent.
    assert_eq!(answer(&mut mallory, &direct("\"\\u0000\"")), None);
    let heard = bob.receive();
    assert_eq!(heard, Event::Text(r#"{"sender":"mallory","content":"\u0000"}"#.into()));
    drop((mallory, bob));
    victim.after();
}
