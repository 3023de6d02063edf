//! One test per rule of "What a frame is", and the traps of JSON parsers.

use super::*;

fn read(text: &str) -> Result<Envelope<'_>, Refusal> {
    Envelope::read(text, &EnvelopeLimits::default())
}

fn name(text: &str) -> Name<'_> {
    Name::new(text, 128).unwrap()
}

#[track_caller]
fn refused(text: &str, refusal: Refusal) {
    assert_eq!(read(text), Err(refusal), "{text}");
}

#[track_caller]
fn broadcast(text: &str) {
    let read = read(text);
    assert!(matches!(read, Ok(Envelope::Broadcast { .. })), "{text}: {read:?}");
}

#[track_caller]
fn direct(text: &str, wanted: &str) {
    match read(text) {
        Ok(Envelope::Direct { content, .. }) => assert_eq!(content, wanted, "{text}"),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn an_object_with_receiver_is_direct() {
    assert_eq!(
        read(r#"{"sender":"bob","receiver":"alice","content":"hi"}"#),
        Ok(Envelope::Direct {
            sender: Some(name("bob")),
            receiver: name("alice"),
            content: "\"hi\""
        })
    );
    assert_eq!(
        read(" \t\r\n{ \"content\" : 1 , \"receiver\" : 1001 } \n"),
        Ok(Envelope::Direct { sender: None, receiver: name("1001"), content: "1" })
    );
    // Rule 1 comes first: `type` says nothing about an object with a receiver.
    direct(r#"{"type":"ping","receiver":"alice","content":1}"#, "1");
    direct(r#"{"type":"auth","token":"t","receiver":"alice","content":1}"#, "1");
}

#[test]
fn a_receiver_with_a_group_or_without_content_is_refused() {
    refused(r#"{"receiver":"a","group":"b","content":1}"#, Refusal::ReceiverAndGroup);
    refused(r#"{"receiver":"a","group":"b"}"#, Refusal::ReceiverAndGroup);
    refused(r#"{"receiver":"a"}"#, Refusal::ContentMissing);
    refused(r#"{"receiver":"a","type":"ping"}"#, Refusal::ContentMissing);
    refused(r#"{"receiver":"a","Content":1}"#, Refusal::ContentMissing);
}

#[test]
fn what_is_no_name_is_refused_and_never_broadcast() {
    for bad in
        ["\"\"", "null", "true", "[]", "{}", "1.0", "1e3", "-0", "\"*\"", "\" a\"", "\"a\\n\""]
    {
        refused(&format!(r#"{{"receiver":{bad},"content":1}}"#), Refusal::InvalidReceiver);
        refused(&format!(r#"{{"group":{bad},"content":1}}"#), Refusal::InvalidGroup);
        let text = format!(r#"{{"sender":{bad},"receiver":"a","content":1}}"#);
        refused(&text, Refusal::InvalidSender);
        let text = format!(r#"{{"sender":{bad},"group":"a","content":1}}"#);
        refused(&text, Refusal::InvalidSender);
    }
}

/// Found by the fuzz target `envelope`: `serde_json` takes such a key for no string, and then all
/// of the object was taken for no JSON.
#[test]
fn a_key_with_half_of_a_surrogate_pair_is_a_key_that_no_rule_names() {
    direct(r#"{"\ud800":0,"receiver":"alice","content":1}"#, "1");
    direct(r#"{"re\ud800ceiver":"bob","receiver":"eve","content":1}"#, "1");
    refused(r#"{"\ud800":0,"sender":"eve","content":1}"#, Refusal::ReceiverMissing);
    refused(r#"{"\udc00":0,"group":"a","group":"b"}"#, Refusal::RepeatedKey);
    assert_eq!(read(r#"{"\ud800":0,"type":"ping"}"#), Ok(Envelope::Ping));
    broadcast(r#"{"\ud800":0}"#);
    refused("{\"\\ud800\n\":0,\"receiver\":1}", Refusal::InvalidJson);
}

#[test]
fn content_is_kept_as_it_was_written() {
    for content in [
        "null",
        "1.0",
        "123456789012345678901234567890",
        "1e99999",
        "-0",
        r#""\u00e9\n\/ \ud83d\ude00""#,
        r#""\ud800""#,
        "\"é 😀 用户\"",
        r#"{"b":1,"a":2,"b":3}"#,
        "[ 1 ,\t2 , { \"x\" : [ ] } ]",
        r#"{"receiver":"eve","receiver":"mallory"}"#,
        "\"\"",
        "{}",
    ] {
        direct(&format!(r#"{{"receiver":"alice","content":{content}}}"#), content);
        direct(&format!("{{\"content\": {content} ,\"receiver\":\"alice\"}}"), content);
    }
}

#[test]
fn a_control_message_is_known_by_its_type() {
    assert_eq!(read(r#"{"type":"ping"}"#), Ok(Envelope::Ping));
    assert_eq!(read(r#"{"type":"ping","group":"g","content":1,"x":[]}"#), Ok(Envelope::Ping));
    assert_eq!(read(r#"{"type":"pi\u006eg"}"#), Ok(Envelope::Ping));
    assert_eq!(read(r#"{"type":"auth","token":"t"}"#), Ok(Envelope::Auth { token: "\"t\"" }));
    assert_eq!(
        read(r#"{"type":"join","group":"g"}"#),
        Ok(Envelope::Join { sender: None, group: name("g"), events: Events::Unchanged })
    );
    assert_eq!(
        read(r#"{"type":"leave","group":"g","sender":"bob"}"#),
        Ok(Envelope::Leave { sender: Some(name("bob")), group: name("g") })
    );
}

#[test]
fn a_join_may_say_whether_it_wants_to_hear_the_others() {
    for (written, events) in [("true", Events::On), ("false", Events::Off)] {
        assert_eq!(
            read(&format!(r#"{{"presence":{written},"type":"join","group":"g"}}"#)),
            Ok(Envelope::Join { sender: None, group: name("g"), events })
        );
    }
    for written in ["null", "1", "\"true\"", "[]", "{}"] {
        let text = format!(r#"{{"type":"join","group":"g","presence":{written}}}"#);
        refused(&text, Refusal::PresenceNotABoolean);
    }
    // It means nothing elsewhere.
    let text = r#"{"type":"leave","group":"g","presence":7}"#;
    assert_eq!(read(text), Ok(Envelope::Leave { sender: None, group: name("g") }));
    direct(r#"{"receiver":"a","content":1,"presence":[]}"#, "1");
}

#[test]
fn members_are_asked_for_by_the_name_of_the_group() {
    assert_eq!(
        read(r#"{"type":"members","group":"g","sender":"bob"}"#),
        Ok(Envelope::Members { sender: Some(name("bob")), group: name("g") })
    );
    refused(r#"{"type":"members","group":7}"#, Refusal::GroupNotAString);
    refused(r#"{"type":"members","group":""}"#, Refusal::InvalidGroup);
    broadcast(r#"{"type":"members"}"#);
    let text = r#"{"type":"members","group":"g","content":1}"#;
    assert_eq!(read(text), Ok(Envelope::Group { sender: None, group: name("g"), content: "1" }));
}

#[test]
fn whether_somebody_is_online_is_asked_in_two_keys_and_no_more() {
    let asked = |user| Ok(Envelope::Presence { sender: None, user: name(user) });
    assert_eq!(read(r#"{"type":"presence","user":"bob"}"#), asked("bob"));
    assert_eq!(read(r#"{"us\u0065r":1001,"type":"presence"}"#), asked("1001"));
    assert_eq!(
        read(r#"{"type":"presence","user":"bob","sender":"eve"}"#),
        Ok(Envelope::Presence { sender: Some(name("eve")), user: name("bob") })
    );
    for bad in ["\"\"", "\"*\"", "1.5", "-1", "007"] {
        let text = format!(r#"{{"type":"presence","user":{bad}}}"#);
        // What is no number at all is no JSON either.
        if bad == "007" { broadcast(&text) } else { refused(&text, Refusal::InvalidUser) }
    }
    refused(r#"{"type":"presence","user":"bob","sender":""}"#, Refusal::InvalidSender);
    // What applications say in words of their own.
    for text in [
        r#"{"type":"presence","user":"bob","state":"away"}"#,
        r#"{"type":"presence","user":"bob","\u0073tate":"away"}"#,
        r#"{"type":"presence","user":"bob","content":1}"#,
        r#"{"type":"presence","user":"bob","token":1}"#,
        r#"{"type":"presence","user":"bob","presence":true}"#,
        r#"{"type":"presence","user":{"id":1}}"#,
        r#"{"type":"presence","user":null}"#,
        r#"{"type":"presence","user":true}"#,
        r#"{"type":"presence"}"#,
        r#"{"user":"bob"}"#,
    ] {
        broadcast(text);
    }
    refused(r#"{"type":"presence","user":"bob","group":"g"}"#, Refusal::ContentMissing);
}

#[test]
fn a_broadcast_object_keeps_what_it_says_it_is_from() {
    for (text, sender) in [
        (r#"{"sender":"bob","text":"hi"}"#, Some("\"bob\"")),
        (r#"{"text":"hi","sender":{"id":1}}"#, Some(r#"{"id":1}"#)),
        (r#"{"s\u0065nder":7}"#, Some("7")),
        (r#"{"text":"hi"}"#, None),
        (r#"[{"sender":"bob"}]"#, None),
        (r#"{"sender":"bob""#, None),
    ] {
        assert_eq!(read(text), Ok(Envelope::Broadcast { sender }), "{text}");
    }
}

#[test]
fn a_type_that_is_not_exactly_a_control_makes_none() {
    for text in [
        r#"{"type":"Ping"}"#,
        r#"{"type":"ping "}"#,
        r#"{"type":["ping"]}"#,
        r#"{"type":null}"#,
        r#"{"type":1}"#,
        r#"{"type":"\ud800"}"#,
        r#"{"Type":"ping"}"#,
        r#"{"type":"auth"}"#,
        r#"{"type":"auth","token":1}"#,
        r#"{"type":"join"}"#,
        r#"{"type":"leave","user":"bob"}"#,
        r#"{"type":"chat","text":"hi"}"#,
    ] {
        broadcast(text);
    }
}

#[test]
fn a_join_with_content_is_a_group_message() {
    for kind in ["join", "leave", "chat"] {
        assert_eq!(
            read(&format!(r#"{{"type":"{kind}","group":"g","content":null}}"#)),
            Ok(Envelope::Group { sender: None, group: name("g"), content: "null" })
        );
    }
}

#[test]
fn a_join_names_its_group_by_a_string() {
    refused(r#"{"type":"join","group":7}"#, Refusal::GroupNotAString);
    refused(r#"{"type":"leave","group":null}"#, Refusal::GroupNotAString);
    refused(r#"{"type":"join","group":"*"}"#, Refusal::InvalidGroup);
    refused(r#"{"type":"join","group":"g","sender":0.5}"#, Refusal::InvalidSender);
}

#[test]
fn an_object_with_group_is_for_the_group() {
    assert_eq!(
        read(r#"{"sender":7,"group":"g","content":[1]}"#),
        Ok(Envelope::Group { sender: Some(name("7")), group: name("g"), content: "[1]" })
    );
    refused(r#"{"group":"g"}"#, Refusal::ContentMissing);
    refused(r#"{"group":"g","type":"chat"}"#, Refusal::ContentMissing);
}

#[test]
fn sender_and_content_without_a_destination_are_refused() {
    refused(r#"{"sender":"a","content":1}"#, Refusal::ReceiverMissing);
    refused(r#"{"sender":null,"content":null}"#, Refusal::ReceiverMissing);
    broadcast(r#"{"sender":"a"}"#);
    broadcast(r#"{"content":"a"}"#);
    broadcast(r#"{"sender":"a","Content":"a"}"#);
}

#[test]
fn a_known_key_twice_is_refused() {
    for key in KEYS {
        refused(&format!(r#"{{"{key}":1,"{key}":1}}"#), Refusal::RepeatedKey);
    }
    // Keys are compared unescaped, however they are written.
    refused(r#"{"receiver":"a","rec\u0065iver":"b","content":1}"#, Refusal::RepeatedKey);
    broadcast(r#"{"x":1,"x":2}"#);
    direct(r#"{"x":1,"x":2,"receiver":"a","content":3}"#, "3");
}

#[test]
fn keys_are_compared_unescaped() {
    direct(r#"{"\u0072eceiver":"a","c\u006fntent":3}"#, "3");
    direct(r#"{"receiver\u0000":"b","receiver":"a","content":3}"#, "3");
    broadcast(r#"{"Receiver":"a"}"#);
    broadcast(r#"{"receiver ":"a"}"#);
}

#[test]
fn text_that_is_no_json_is_broadcast_unless_it_names_a_destination() {
    for text in
        ["hi", "", " ", "{", "{hi}", "[1,", "nul", "receiver", "{'receiver':'a'}", "\u{feff}{}"]
    {
        broadcast(text);
    }
    for text in [
        r#"{"receiver":"a","content":"hi""#,
        r#"{"receiver":"a","content":hi}"#,
        r#"{"receiver":"a","content":1}}"#,
        r#"{"receiver":"a","content":1}{"receiver":"b","content":2}"#,
        r#"{"receiver":"a","content":1,}"#,
        "{\"receiver\":\"a\",\"content\":\"line\nbreak\"}",
        r#"{"group":"a",content:1}"#,
        r#"say "receiver""#,
        "\u{feff}{\"receiver\":\"a\",\"content\":1}",
        r#"{"\u0072eceiver":"a","content":"#,
        r#"{"g\u0072\u006Fup":"a""#,
        r#"{"receiver":"a","content":1,"content":}"#,
    ] {
        refused(text, Refusal::InvalidJson);
    }
    // Not a key of that name.
    broadcast(r#"{"receivers":"a""#);
    broadcast(r#"{"receiver"#);
}

#[test]
fn other_json_values_are_broadcast() {
    for text in [
        r#"["bob","alice","hi"]"#,
        r#"["receiver","group"]"#,
        r#""receiver""#,
        "null",
        "17",
        r#" [{"receiver":"a","content":1}] "#,
        "{}",
        r#"{"a":{"receiver":"b"}}"#,
    ] {
        broadcast(text);
    }
}

#[test]
fn nesting_is_counted_with_the_envelope() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    direct(&format!(r#"{{"receiver":"a","content":{}}}"#, nested(127)), &nested(127));
    refused(&format!(r#"{{"receiver":"a","content":{}}}"#, nested(128)), Refusal::NestingTooDeep);
    broadcast(&nested(128));
    refused(&nested(129), Refusal::NestingTooDeep);
    refused(&format!(r#"{{"x":{}}}"#, nested(128)), Refusal::NestingTooDeep);
    refused(&nested(500_000), Refusal::NestingTooDeep);
    // Not JSON, so it has no nesting.
    broadcast(&"[".repeat(1_000));
    broadcast(&format!("{}x", nested(1_000)));
}

#[test]
fn brackets_in_strings_and_beside_one_another_are_no_nesting() {
    let wide = format!("[{}]", vec!["[]"; 1_000].join(","));
    direct(&format!(r#"{{"receiver":"a","content":{wide}}}"#), &wide);
    let quoted = format!(r#""{}\"{}\\""#, "[".repeat(1_000), "{".repeat(1_000));
    direct(&format!(r#"{{"receiver":"a","content":{quoted}}}"#), &quoted);
}

#[test]
fn the_quick_count_agrees_with_the_plain_one() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for len in 0..600 {
        let text: String = (0..len)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                char::from(b"[{]}\"\\a;[{K\x5a\x7b"[(seed % 13) as usize])
            })
            .collect();
        let plain = text.chars().filter(|c| matches!(c, '[' | '{')).count();
        assert_eq!(opening_brackets(&text), plain, "{text}");
        assert!(depth(&text) <= plain);
    }
    assert_eq!(opening_brackets(&"{".repeat(100_000)), 100_000);
}

#[test]
fn what_is_usual_is_what_the_rules_make_of_it() {
    let keys: Vec<&str> = KEYS.into_iter().chain(["x"]).collect();
    let values =
        ["\"bob\"", "\"alice\"", "\"a\"", "7", "\"*\"", "\" a\"", "\"\\u0061b\"", "null", "[1]"];
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let (mut usual, mut other) = (0, 0);
    for _ in 0..20_000 {
        let mut members = Vec::new();
        for key in keys.iter().chain(&keys) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let value = values[(seed >> 40) as usize % values.len()];
            match seed >> 32 & 7 {
                0 => members.push(format!("\"{key}\":{value}")),
                1 if members.len() < 3 => members.insert(0, format!("\"{key}\":\"alice\"")),
                _ => {}
            }
        }
        let text = format!("{{{}}}", members.join(","));
        let fields = parse_fields(&text).unwrap();
        let rules = fields.rules(128);
        match fields.usual(128) {
            Some(envelope) => {
                assert_eq!(Ok(envelope), rules, "{text}");
                usual += 1;
            }
            None => other += 1,
        }
        assert_eq!(read(&text), rules, "{text}");
    }
    assert!(usual > 100 && other > 100, "{usual} usual, {other} others");
}

const KEYS: [&str; 8] =
    ["sender", "receiver", "group", "content", "type", "token", "user", "presence"];
