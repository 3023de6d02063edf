//! What is read of frames, and what is said about those that cannot be.

use super::*;

fn read(text: &str) -> Result<Frame<'_>, Unreadable> {
    Frame::read(text, &EnvelopeLimits::default())
}

fn refusal(text: &str) -> (Option<u64>, &'static str) {
    match read(text) {
        Err(Unreadable::Refuse { id, refused }) => (id, refused.reason),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn content_makes_a_message_and_is_kept_byte_for_byte() {
    let text = r#"{"id":17,"rec\u0065iver":"alice","content": {"n": 1.0,"n":2} ,"x":1}"#;
    let Ok(Frame::Message(message)) = read(text) else { panic!("no message") };
    assert_eq!((message.id, message.content), (Some(17), r#"{"n": 1.0,"n":2}"#));
    assert_eq!(message.to, Destination::User(Name::new("alice", 128).unwrap()));
    assert_eq!((message.echo, message.life), (Echo::No, Life::Logged));
    let text = r#"{"group":"*","content":1,"echo":true,"ttl":0,"receipt":true,"type":"join"}"#;
    let Ok(Frame::Message(message)) = read(text) else { panic!("no message") };
    assert_eq!((message.id, &message.to), (None, &Destination::Everyone));
    assert_eq!((message.echo, message.life), (Echo::Yes, Life::Live));
    assert_eq!(message.receipt, Receipt::Wanted);
}

#[test]
fn a_hello_says_from_where_to_go_on() {
    let hello = |text| match read(text) {
        Ok(Frame::Hello(hello)) => hello,
        other => panic!("{text}: {other:?}"),
    };
    let read =
        hello(r#"{"type":"hello","client":"c8f3","next":17,"epoch":"e","seq":41,"attempt":3}"#);
    assert_eq!((read.client, read.next, read.attempt), ("c8f3", Some(17), 3));
    assert_eq!(read.position, Position::At("e", Seq(41)));
    let read = hello(r#"{"type":"hello","client":"c","seq":0,"user":"bob","token":"t"}"#);
    assert_eq!((read.position, read.token), (Position::Kept, Some("\"t\"")));
    assert_eq!(hello(r#"{"type":"hello","client":"c"}"#).position, Position::Live);
    for bad in [
        r#"{"type":"hello"}"#,
        r#"{"type":"hello","client":""}"#,
        r#"{"type":"hello","client":"a b"}"#,
        r#"{"type":"hello","client":7}"#,
        r#"{"type":"hello","client":"c","seq":41}"#,
        r#"{"type":"hello","client":"c","epoch":"e"}"#,
        r#"{"type":"hello","client":"c","next":0}"#,
        r#"{"type":"hello","client":"c","next":9007199254740992}"#,
        r#"{"type":"hello","client":"c","attempt":-1}"#,
        r#"{"type":"hello","client":"c","user":""}"#,
        r#"{"type":"hello","client":"c","token":7}"#,
    ] {
        assert_eq!(
            super::Frame::read(bad, &EnvelopeLimits::default()),
            Err(Unreadable::Close(Closing::MALFORMED)),
            "{bad}"
        );
    }
}

#[test]
fn what_can_be_answered_is_refused_under_its_id() {
    for (text, id, reason) in [
        (r#"{"id":3,"content":1}"#, Some(3), "receiver_missing"),
        (r#"{"content":1,"receiver":"a","group":"b","id":3}"#, Some(3), "receiver_and_group"),
        (r#"{"id":3,"receiver":"","content":1}"#, Some(3), "invalid_receiver"),
        (r#"{"receiver":"a","receiver":"b","content":1,"id":4}"#, Some(4), "repeated_key"),
        (r#"{"receiver":"a","content":1,"ttl":5}"#, None, "invalid_ttl"),
        (r#"{"receiver":"a","content":1,"echo":1}"#, None, "invalid_option"),
        (r#"{"type":"join","id":5}"#, Some(5), "group_missing"),
        (r#"{"type":"dance","id":5}"#, Some(5), "unknown_type"),
        (r#"{"type":7}"#, None, "unknown_type"),
        (r#"{"id":5}"#, Some(5), "type_missing"),
        (r#"{"type":"ack"}"#, None, "seq_missing"),
        (r#"{"type":"ack","seq":-1}"#, None, "invalid_seq"),
    ] {
        assert_eq!(refusal(text), (id, reason), "{text}");
    }
    let deep =
        format!(r#"{{"id":1,"receiver":"a","content":{}{}}}"#, "[".repeat(128), "]".repeat(128));
    assert_eq!(refusal(&deep), (Some(1), "nesting_too_deep"));
    let brackets = format!(r#"{{"receiver":"a","content":"\"{}"}}"#, "[".repeat(200));
    assert!(read(&brackets).is_ok(), "brackets in a string are no nesting");
}

#[test]
fn scanner_and_parser_read_the_same_whatever_the_damage() {
    let whole = [
        r#"{"id":17,"receiver":"alice","content":{"n":[1.0,"x"]},"echo":true,"receipt":true}"#,
        r#"{"content":"hi","group":"*","ttl":0,"id":1,"sender":"bob","user":"u","unknown":1}"#,
        r#"{"type":"hello","client":"c8f3","next":17,"epoch":"e","seq":41,"attempt":3}"#,
        r#"{"token":"t","id":1,"id":2,"seq":1,"seq":2}"#,
        r#"{"type":"join","group":"g","presence":true,"id":3}"#,
    ];
    let (mut scanned, mut left) = (0, 0);
    for text in whole {
        for at in 0..text.len() {
            for with in ["", "\"", "\\", "{", "]", ",", "7", " ", "é"] {
                let text = format!("{}{with}{}", &text[..at], &text[at + 1..]);
                let mut fields = Fields::default();
                if scan::fields(&text, 128, &mut fields).is_none() {
                    left += 1;
                    continue;
                }
                scanned += 1;
                assert_eq!(Some(fields), parse_fields(&text), "{text}");
            }
        }
    }
    assert!(scanned > 500 && left > 500, "{scanned} scanned, {left} left");
}

#[test]
fn what_cannot_be_answered_closes() {
    for text in [
        "",
        "[]",
        "7",
        "{",
        "{}x",
        r#"{"id":0,"type":"ping"}"#,
        r#"{"id":1.0,"type":"ping"}"#,
        r#"{"id":"1","type":"ping"}"#,
        r#"{"id":9007199254740992,"type":"ping"}"#,
        r#"{"id":10000000000000000,"type":"ping"}"#,
        r#"{"id":18446744073709551617,"type":"ping"}"#,
        r#"{"id":1,"id":1,"type":"ping"}"#,
    ] {
        assert_eq!(read(text), Err(Unreadable::Close(Closing::MALFORMED)), "{text}");
    }
    assert_eq!(
        read(r#"{"type":"ping","id":9007199254740991}"#),
        Ok(Frame::Ping { id: Some((1 << 53) - 1) })
    );
}
