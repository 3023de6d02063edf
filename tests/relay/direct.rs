//! "What a frame is": what cannot be read safely, and rule 1.

use super::*;
use crate::world::World;

// What a frame is: 0, repeated keys and nesting

#[test]
fn plain_known_key_twice_is_refused() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    for said in [
        r#"{"receiver":"eve","receiver":"alice","content":1}"#,
        r#"{"receiver":"alice","content":1,"content":2}"#,
        r#"{"receiver":"alice","\u0072eceiver":"alice","content":1}"#,
        r#"{"type":"a","type":"b"}"#,
    ] {
        bob.say(said);
        assert_eq!(bob.heard(), [error(Refusal::RepeatedKey)], "{said}");
    }
    silent(&[&alice]);
}

#[test]
fn plain_nesting_over_128_is_refused() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    bob.say(&to("alice", &nested(127)));
    assert_eq!(alice.heard(), [from("bob", &nested(127))], "128 with the envelope");
    for said in [to("alice", &nested(128)), nested(129), to("alice", &nested(200_000))] {
        bob.say(&said);
        assert_eq!(bob.heard(), [error(Refusal::NestingTooDeep)]);
    }
    silent(&[&alice]);
}

// 1, direct

#[test]
fn plain_direct_reaches_every_device_of_the_receiver_and_nobody_else() {
    let world = World::new();
    let phone = world.connect("/", Some("alice"));
    let laptop = world.connect("/other", Some("alice"));
    let (bob, eve) = (world.connect("/", Some("bob")), world.connect("/", Some("eve")));
    let guest = world.connect("/", None);
    bob.say(r#"{"sender":"bob","receiver":"alice","content":"hi"}"#);
    for device in [&phone, &laptop] {
        assert_eq!(device.heard(), [text(r#"{"sender":"bob","content":"hi"}"#)]);
    }
    silent(&[&bob, &eve, &guest]);
}

#[test]
fn plain_direct_has_exactly_sender_and_content() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    bob.say(r#"{"id":7,"content":[1],"extra":{"sender":"eve"},"type":"chat","receiver":"alice"}"#);
    assert_eq!(alice.heard(), [text(r#"{"sender":"bob","content":[1]}"#)]);
}

#[test]
fn plain_direct_content_passes_byte_for_byte() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    for content in [
        "123456789012345678901234567890.10",
        "1e99999",
        "-0.0",
        r#""\u00e9\u0000\/\b 😀 用户 \ud83d\ude00""#,
        r#""\ud800""#,
        r#"{"z":1,"a":2,"z":{"receiver":"eve","sender":"eve","sender":1}}"#,
        "{ \"a\" :\t[ 1 ,\r\n 2 ] }",
        "null",
        "true",
        "[]",
        "\"\"",
        "\"\u{2028}\u{feff}\"",
    ] {
        bob.say(&to("alice", content));
        assert_eq!(alice.heard(), [from("bob", content)]);
    }
}

#[test]
fn plain_direct_names_are_written_as_json() {
    let world = World::new();
    let alice = world.connect("/", Some("a%22%5C"));
    let bob = world.connect("/", Some("b%22%5C%E2%80%A8x"));
    bob.say(r#"{"receiver":"a\u0022\\","content":1}"#);
    assert_eq!(alice.heard(), [text("{\"sender\":\"b\\\"\\\\\u{2028}x\",\"content\":1}")]);
    bob.say(r#"{"receiver":"\"","content":1}"#);
    assert_eq!(bob.heard(), [error_for(Refusal::ReceiverOffline, "receiver", "\\\"")]);
}

#[test]
fn plain_direct_number_and_string_are_one_user() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("1001")), world.connect("/", Some("1002")));
    bob.say(r#"{"sender":1002,"receiver":1001,"content":1}"#);
    bob.say(r#"{"sender":"1002","receiver":"1001","content":2}"#);
    assert_eq!(alice.heard(), [from("1002", "1"), from("1002", "2")]);
    for receiver in ["1001.0", "1e3", "-0", "12345678901234567"] {
        bob.say(&format!(r#"{{"receiver":{receiver},"content":1}}"#));
        assert_eq!(bob.heard(), [error(Refusal::InvalidReceiver)], "{receiver}");
    }
}

#[test]
fn plain_direct_with_group_or_without_content_is_refused() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    bob.say(r#"{"receiver":"alice","group":"g","content":1}"#);
    assert_eq!(bob.heard(), [error(Refusal::ReceiverAndGroup)]);
    bob.say(r#"{"receiver":"alice","message":"hi"}"#);
    assert_eq!(bob.heard(), [error(Refusal::ContentMissing)]);
    silent(&[&alice]);
}

#[test]
fn plain_direct_to_nobody_is_answered_404() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    alice.hang_up();
    for receiver in ["alice", "carol", "Bob"] {
        bob.say(&to(receiver, "1"));
        let wanted = error_for(Refusal::ReceiverOffline, "receiver", receiver);
        assert_eq!(bob.heard(), [wanted]);
    }
    bob.say(&to("alice", "1"));
    assert_eq!(
        bob.heard(),
        [text(r#"{"type":"error","code":404,"reason":"receiver_offline","receiver":"alice"}"#)]
    );
}

#[test]
fn plain_direct_to_oneself_reaches_the_other_devices_or_is_answered_404() {
    let world = World::new();
    let phone = world.connect("/", Some("alice"));
    phone.say(&to("alice", "1"));
    assert_eq!(phone.heard(), [error_for(Refusal::ReceiverOffline, "receiver", "alice")]);
    let laptop = world.connect("/", Some("alice"));
    phone.say(&to("alice", "2"));
    assert_eq!(laptop.heard(), [from("alice", "2")]);
    silent(&[&phone]);
}

#[test]
fn plain_direct_with_an_invalid_name_is_refused() {
    let world = World::new();
    let bob = world.connect("/", Some("bob"));
    for name in
        ["\"\"", "\"*\"", "\" a\"", "\"a\\u202eb\"", "\"\\ud800\"", "null", "[\"a\"]", "true"]
    {
        bob.say(&format!(r#"{{"receiver":{name},"content":1}}"#));
        assert_eq!(bob.heard(), [error(Refusal::InvalidReceiver)], "{name}");
        bob.say(&format!(r#"{{"sender":{name},"receiver":"alice","content":1}}"#));
        assert_eq!(bob.heard(), [error(Refusal::InvalidSender)], "{name}");
        bob.say(&format!(r#"{{"group":{name},"content":1}}"#));
        assert_eq!(bob.heard(), [error(Refusal::InvalidGroup)], "{name}");
    }
}
