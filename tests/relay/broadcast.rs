//! "What a frame is": rules 4 and 5.

use super::*;
use crate::world::{World, binary};
use switchboard::config::Broadcast;

// 4, never broadcast what was meant for one

#[test]
fn plain_sender_and_content_without_a_destination_are_refused() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    bob.say(r#"{"sender":"bob","content":"to whom?"}"#);
    assert_eq!(bob.heard(), [error(Refusal::ReceiverMissing)]);
    silent(&[&alice]);
}

#[test]
fn plain_broken_json_with_a_destination_is_refused() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    for said in [
        r#"{"receiver":"alice","content":"secret}"#,
        r#"{"receiver":"alice","content":1}garbage"#,
        r#"{"\u0072eceiver":"alice","content":"#,
        r#"{"group":"g","content":'x'}"#,
        "[{\"receiver\":\"alice\"",
    ] {
        bob.say(said);
        assert_eq!(bob.heard(), [error(Refusal::InvalidJson)], "{said}");
    }
    silent(&[&alice]);
}

// 5, broadcast

#[test]
fn plain_all_else_is_broadcast_unchanged_to_the_others_in_the_room() {
    let world = World::new();
    let room: Vec<Peer> = (0..3).map(|_| world.connect("/chat", None)).collect();
    let outside =
        [world.connect("/", None), world.connect("/chat/", None), world.connect("/Chat", None)];
    for said in [
        "hi",
        "",
        "{ \"msg\" : 1.0 , \"msg\" : 2 }",
        r#"["bob","alice"]"#,
        "null",
        "{not json",
        r#"{"sender":"somebody","message":"hi"}"#,
        "用户 😀",
    ] {
        room[0].say(said);
        assert_eq!(room[1].heard(), [text(said)]);
        assert_eq!(room[2].heard(), [text(said)]);
        silent(&[&room[0]]);
    }
    silent(&outside.iter().collect::<Vec<_>>());
}

#[test]
fn plain_binary_is_broadcast_as_binary_whatever_is_in_it() {
    let world = World::new();
    let (alice, bob, carol) =
        (world.connect("/r", Some("alice")), world.connect("/r", None), world.connect("/r", None));
    for said in [&b"\x00\xff"[..], b"", br#"{"receiver":"alice","content":1}"#] {
        bob.say_binary(said);
        assert_eq!(alice.heard(), [binary(said)]);
        assert_eq!(carol.heard(), [binary(said)]);
    }
    silent(&[&bob]);
}

#[test]
fn plain_the_room_is_the_path_without_the_query() {
    let world = World::new();
    let alice = world.connect("/chat", Some("alice"));
    let guest = world.upgrade("/chat?x=1", &[]).unwrap();
    let encoded = world.connect("/%63hat", None);
    guest.say("hi");
    assert_eq!(alice.heard(), [text("hi")]);
    silent(&[&encoded, &guest]);
}

#[test]
fn plain_broadcast_all_includes_the_sender() {
    let world = World::with(RelayConfig { broadcast: Broadcast::All, ..config() });
    let alice = world.connect("/", None);
    alice.say("anybody?");
    assert_eq!(alice.heard(), [text("anybody?")]);
    let bob = world.connect("/", None);
    bob.say_binary(b"\x01");
    assert_eq!(alice.heard(), [binary(*b"\x01")]);
    assert_eq!(bob.heard(), [binary(*b"\x01")]);
}

#[test]
fn plain_broadcast_off_is_answered_403() {
    let world = World::with(RelayConfig { broadcast: Broadcast::Off, ..config() });
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", None));
    bob.say("hi");
    bob.say_binary(b"hi");
    assert_eq!(bob.heard(), [error(Refusal::BroadcastOff), error(Refusal::BroadcastOff)]);
    silent(&[&alice]);
    bob.say(&to("alice", "1"));
    assert_eq!(alice.heard(), [from("2", "1")], "direct messages are not broadcasts");
}

#[test]
fn plain_what_the_usual_tutorials_send_works() {
    // Chat tutorials send bare text or an object of their own, and echo it to the others; the
    // private-message ones register nothing and name sender and receiver in each message.
    let world = World::new();
    let (one, two) = (world.connect("/", None), world.connect("/", None));
    one.say(r#"{"name":"Ann","message":"hello","color":"red"}"#);
    assert_eq!(two.heard(), [text(r#"{"name":"Ann","message":"hello","color":"red"}"#)]);
    one.say(r#"{"sender":1001,"receiver":1002,"content":"are you there?"}"#);
    assert_eq!(one.heard(), [error_for(Refusal::ReceiverOffline, "receiver", "1002")]);
    two.say(r#"{"sender":1002,"receiver":1001,"content":"now I am"}"#);
    assert_eq!(one.heard(), [from("1002", "\"now I am\"")]);
    one.say(r#"{"sender":1001,"receiver":1002,"content":"fine"}"#);
    assert_eq!(two.heard(), [from("1001", "\"fine\"")]);
}
