//! The client's rules, one by one.

use serde_json::Value;

use super::{Event, Identity, Session, Snapshot, Start, Wish};
use crate::timer::Millis;

const NOW: Millis = Millis(1_000);

fn bob() -> Session {
    let identity = Identity { client: "c8f3".to_owned(), user: Some("bob".to_owned()) };
    Session::new(identity, Start::Live)
}

fn want(session: &mut Session, content: u64) {
    let text = format!(r#"{{"receiver":"alice","content":{content},"tag":{content}}}"#);
    session.want(Wish::read(&text).unwrap());
}

/// Everything that may be sent, in short.
fn sent(session: &mut Session) -> Vec<String> {
    let mut sent = Vec::new();
    while let Some(text) = session.next_text() {
        let frame: Value = serde_json::from_str(&text).unwrap();
        sent.push(match frame["type"].as_str() {
            Some(kind) => {
                kind.to_owned() + &frame.get("seq").map_or(String::new(), Value::to_string)
            }
            None => format!("{}={}", frame["id"], frame["content"]),
        });
    }
    sent
}

fn hear(session: &mut Session, text: &str) {
    session.hear(text, NOW).unwrap_or_else(|violation| panic!("{violation:?}"));
}

fn welcome(session: &mut Session, more: &str) {
    session.opened();
    assert!(sent(session)[0].starts_with("hello"));
    hear(session, &format!(r#"{{"type":"welcome","user":"bob","refused":[],{more}}}"#));
}

/// What it was told, in short; all of it is processed.
fn told(session: &mut Session) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = session.next_event() {
        told.push(match event {
            Event::Answer { accepted, given, .. } => format!("{accepted} {given}"),
            Event::Gap(text) => text,
            Event::Message { epoch, text } => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                format!("{}:{}", epoch.unwrap_or_default(), frame["seq"])
            }
            Event::Notice(_) => "notice".to_owned(),
            Event::Welcome { uncertain, .. } => format!("welcome {uncertain}"),
        });
    }
    session.processed(told.len(), NOW);
    told
}

fn delivery(seq: u64) -> String {
    format!(r#"{{"seq":{seq},"sender":"alice","receiver":"bob","content":{seq}}}"#)
}

#[test]
fn r1_numbers_go_on_above_what_the_server_has_decided() {
    let mut bob = bob();
    want(&mut bob, 100);
    bob.opened();
    assert_eq!(sent(&mut bob), ["hello"]);
    hear(&mut bob, r#"{"type":"welcome","user":"bob","epoch":"e","seq":4,"last":16}"#);
    want(&mut bob, 101);
    assert_eq!(sent(&mut bob), ["17=100", "18=101"]);
}

#[test]
fn r3_the_welcome_settles_what_was_sent_before_anything_is_sent_again() {
    let mut bob = bob();
    welcome(&mut bob, r#""epoch":"e","seq":4,"last":0"#);
    (1..=4).for_each(|content| want(&mut bob, content));
    assert_eq!(sent(&mut bob), ["1=1", "2=2", "3=3", "4=4"]);
    assert_eq!(told(&mut bob), ["welcome 0"]);
    bob.opened();
    assert_eq!(
        bob.next_text().unwrap(),
        concat!(
            r#"{"type":"hello","client":"c8f3","attempt":2,"next":1,"user":"bob","#,
            r#""epoch":"e","seq":4}"#
        )
    );
    assert_eq!(sent(&mut bob), NOTHING);
    let text = r#"{"type":"welcome","user":"bob","epoch":"e","seq":4,"last":3,"refused":[2]}"#;
    hear(&mut bob, text);
    let wanted = ["welcome 0", r#"true "tag":1"#, r#"false "tag":2"#, r#"true "tag":3"#];
    assert_eq!(told(&mut bob), wanted);
    assert_eq!(sent(&mut bob), ["4=4"]);
}

#[test]
fn r3_where_nothing_is_known_everything_is_sent_again_and_that_is_said() {
    let mut bob = bob();
    welcome(&mut bob, r#""epoch":"e","seq":4,"last":7"#);
    (1..=2).for_each(|content| want(&mut bob, content));
    assert_eq!(sent(&mut bob), ["8=1", "9=2"]);
    want(&mut bob, 3);
    told(&mut bob);
    welcome(&mut bob, r#""epoch":"f","seq":1,"last":null"#);
    assert_eq!(told(&mut bob), ["welcome 2"]);
    assert_eq!(sent(&mut bob), ["8=1", "9=2", "10=3"]);
}

#[test]
fn r4_a_refusal_for_now_is_waited_for_and_gone_back_from_once() {
    let mut bob = bob();
    welcome(&mut bob, r#""epoch":"e","seq":4,"last":0"#);
    (1..=3).for_each(|content| want(&mut bob, content));
    assert_eq!(sent(&mut bob), ["1=1", "2=2", "3=3"]);
    hear(&mut bob, r#"{"type":"ok","id":1}"#);
    let retry = r#"{"type":"error","id":2,"code":429,"reason":"rate","retry":true,"expect":2,
                    "after":500}"#;
    hear(&mut bob, retry);
    assert_eq!(sent(&mut bob), NOTHING);
    assert_eq!(bob.deadline(), Some(NOW.after(500)));
    bob.tick(NOW.after(499));
    assert_eq!(sent(&mut bob), NOTHING);
    bob.tick(NOW.after(500));
    assert_eq!(sent(&mut bob), ["2=2", "3=3"]);
    assert_eq!(told(&mut bob), ["welcome 0", r#"true "tag":1"#, "notice"]);
}

#[test]
fn r5_what_is_not_above_the_position_is_dropped_and_a_welcome_replaces_it() {
    let mut bob = bob();
    welcome(&mut bob, r#""epoch":"e","seq":4,"last":0"#);
    for seq in [4, 5, 5, 9, 7] {
        hear(&mut bob, &delivery(seq));
    }
    assert_eq!(told(&mut bob), ["welcome 0", "e:5", "e:9"]);
    hear(&mut bob, r#"{"type":"gap","after":9,"until":20,"reason":"overflow"}"#);
    hear(&mut bob, &delivery(20));
    hear(&mut bob, &delivery(21));
    assert_eq!(told(&mut bob).last().map(String::as_str), Some("e:21"));
    let gap = r#""gap":{"after":21,"until":2,"reason":"epoch"}"#;
    welcome(&mut bob, &format!(r#""epoch":"f","seq":2,"last":0,{gap}"#));
    hear(&mut bob, &delivery(3));
    let gap = r#"{"type":"gap","after":21,"until":2,"reason":"epoch"}"#;
    assert_eq!(told(&mut bob), ["welcome 0", gap, "f:3"]);
}

#[test]
fn acks_go_after_32_messages_or_250_ms_and_at_once_on_ping() {
    let mut bob = bob();
    welcome(&mut bob, r#""epoch":"e","seq":0,"last":0"#);
    (1..=32).for_each(|seq| hear(&mut bob, &delivery(seq)));
    hear(&mut bob, r#"{"type":"ping","seq":32}"#);
    assert_eq!(sent(&mut bob), ["ack0"]);
    told(&mut bob);
    assert_eq!(sent(&mut bob), ["ack32"]);
    hear(&mut bob, &delivery(33));
    told(&mut bob);
    bob.tick(NOW.after(249));
    assert_eq!((sent(&mut bob), bob.deadline()), (vec![], Some(NOW.after(250))));
    hear(&mut bob, r#"{"type":"ping","seq":33}"#);
    assert_eq!(sent(&mut bob), ["ack33"]);
    hear(&mut bob, &delivery(34));
    told(&mut bob);
    bob.tick(NOW.after(250));
    assert_eq!(sent(&mut bob), ["ack34"]);
}

#[test]
fn what_is_not_processed_is_neither_acknowledged_nor_stored_nor_asked_for_again() {
    let mut bob = bob();
    welcome(&mut bob, r#""epoch":"e","seq":0,"last":0"#);
    (1..=3).for_each(|seq| hear(&mut bob, &delivery(seq)));
    bob.processed(2, NOW);
    let stored: Value = serde_json::from_str(&bob.snapshot().to_json()).unwrap();
    assert_eq!(stored["seq"], 1);
    bob.settle_acks();
    assert_eq!(sent(&mut bob), ["ack1"]);
    bob.opened();
    assert!(bob.next_text().unwrap().ends_with(r#""epoch":"e","seq":3}"#));
    // Another epoch: nothing of it is processed, whatever was of the last one.
    hear(&mut bob, r#"{"type":"welcome","user":"bob","epoch":"f","seq":2,"last":0}"#);
    bob.processed(2, NOW);
    hear(&mut bob, r#"{"type":"ping","seq":2}"#);
    assert_eq!(sent(&mut bob), ["ack0"]);
}

#[test]
fn a_killed_client_goes_on_where_it_was() {
    let mut bob = bob();
    welcome(&mut bob, r#""epoch":"e","seq":4,"last":0"#);
    (1..=3).for_each(|content| want(&mut bob, content));
    assert_eq!(sent(&mut bob), ["1=1", "2=2", "3=3"]);
    hear(&mut bob, r#"{"type":"ok","id":1}"#);
    let json = bob.snapshot().to_json();
    let mut bob = Session::restored(Snapshot::from_json(&json).unwrap(), Start::Live);
    // Nobody was told of the answer.
    assert_eq!(told(&mut bob), [r#"true "tag":1"#]);
    bob.opened();
    let hello: Value = serde_json::from_str(&bob.next_text().unwrap()).unwrap();
    assert_eq!((&hello["attempt"], &hello["next"]), (&Value::from(2), &Value::from(2)));
    hear(&mut bob, r#"{"type":"welcome","user":"bob","epoch":"e","seq":4,"last":2}"#);
    assert_eq!(told(&mut bob), ["welcome 0", r#"true "tag":2"#]);
    assert_eq!(sent(&mut bob), ["3=3"]);
}

#[test]
fn where_a_client_went_on_from_is_known_before_anybody_sees_the_welcome() {
    let mut bob = bob();
    let position = |bob: &Session| -> Value {
        let stored: Value = serde_json::from_str(&bob.snapshot().to_json()).unwrap();
        stored["seq"].clone()
    };
    welcome(&mut bob, r#""epoch":"e","seq":4,"last":0"#);
    assert_eq!(position(&bob), 4);
    // But a gap that nobody has seen is announced again.
    let gap = r#""gap":{"after":4,"until":9,"reason":"overflow"}"#;
    welcome(&mut bob, &format!(r#""epoch":"e","seq":9,"last":0,{gap}"#));
    assert_eq!(position(&bob), 4);
    told(&mut bob);
    assert_eq!(position(&bob), 9);
}

#[test]
fn groups_are_joined_again_where_the_server_may_have_forgotten() {
    let mut bob = bob();
    let join = |group| Wish::read(&format!(r#"{{"type":"join","group":"{group}"}}"#)).unwrap();
    let leave = |group| Wish::read(&format!(r#"{{"type":"leave","group":"{group}"}}"#)).unwrap();
    welcome(&mut bob, r#""epoch":"e","seq":4,"last":0"#);
    ["a", "b", "c"].into_iter().for_each(|group| bob.want(join(group)));
    assert_eq!(sent(&mut bob), ["join", "join", "join"]);
    (1..=3).for_each(|id| hear(&mut bob, &format!(r#"{{"type":"ok","id":{id}}}"#)));
    bob.want(leave("b"));
    assert_eq!(sent(&mut bob), ["leave"]);
    want(&mut bob, 9);
    welcome(&mut bob, r#""epoch":"e","seq":4,"resumed":true,"last":3"#);
    assert_eq!(sent(&mut bob), ["leave", "5=9"]);
    want(&mut bob, 10);
    welcome(&mut bob, r#""epoch":"f","seq":4,"resumed":false,"last":null"#);
    let mut frames = Vec::new();
    while let Some(text) = bob.next_text() {
        frames.push(text);
    }
    assert!(frames[0].contains("leave") && frames[1].contains(r#""id":5"#), "{frames:?}");
    assert!(frames[2].contains(r#""group":"a""#) && frames[3].contains(r#""group":"c""#));
    assert!(frames[4].contains(r#""content":10"#) && frames.len() == 5);
}

#[test]
fn nothing_new_is_sent_to_a_server_that_is_about_to_stop() {
    let mut bob = bob();
    welcome(&mut bob, r#""epoch":"e","seq":4,"last":0"#);
    hear(&mut bob, r#"{"type":"drain","after":4200}"#);
    want(&mut bob, 1);
    assert_eq!(sent(&mut bob), NOTHING);
    bob.lost();
    assert_eq!((bob.take_drain_ms(), bob.take_drain_ms()), (Some(4200), None));
    welcome(&mut bob, r#""epoch":"e","seq":4,"last":0"#);
    assert_eq!(sent(&mut bob), ["1=1"]);
}

#[test]
fn a_server_that_breaks_the_rules_is_left() {
    for text in [
        "[]",
        "hello",
        r#"{"type":"ok","id":1}"#,
        r#"{"type":"error","id":9,"code":403,"reason":"forbidden"}"#,
        r#"{"type":"welcome","user":"bob","last":null}"#,
    ] {
        let mut bob = bob();
        assert!(bob.hear(text, NOW).is_err(), "{text}");
        welcome(&mut bob, r#""epoch":"e","seq":4,"last":0"#);
        assert!(bob.hear(text, NOW).is_err(), "{text}");
    }
}

const NOTHING: [String; 0] = [];
