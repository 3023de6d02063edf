//! Whose name is on what is said.

use crate::common::client::Event;
use crate::world::*;

#[test]
fn a_spoofed_sender_is_never_delivered() {
    let world = World::tokens(&[]);
    let mut bob = world.bearer("/", BOB);
    let mut alice = world.bearer("/", ALICE);
    alice.send_text(r#"{"type":"join","group":"g"}"#);
    bob.send_text(r#"{"type":"join","group":"g"}"#);
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.receive(), Event::Text(r#"{"type":"ok","group":"g"}"#.to_owned()));
    }
    for (said, target) in [
        (r#"{"sender":"bob","receiver":"bob","content":1}"#, r#","receiver":"bob""#),
        (r#"{"sender":"eve","receiver":"bob","content":1}"#, r#","receiver":"bob""#),
        (r#"{"s\u0065nder":"eve","receiver":"bob","content":1}"#, r#","receiver":"bob""#),
        (r#"{"sender":"Alice","receiver":"bob","content":1}"#, r#","receiver":"bob""#),
        (r#"{"sender":"eve","group":"g","content":1}"#, r#","group":"g""#),
        (r#"{"sender":"eve","text":"to the room"}"#, ""),
        (r#"{"text":"to the room","sender":"eve"}"#, ""),
        (r#"{"s\u0065nder":"eve","text":"to the room"}"#, ""),
        (r#"{"sender":null,"text":"to the room"}"#, ""),
        (r#"{"sender":["alice"],"text":"to the room"}"#, ""),
    ] {
        alice.send_text(said);
        let error = r#"{"type":"error","code":403,"reason":"sender_mismatch""#;
        assert_eq!(alice.receive(), Event::Text(format!("{error}{target}}}")), "{said}");
    }
    expect_nothing(&mut bob);
    // Her own name she may say, in any spelling of JSON.
    alice.send_text(r#"{"sender":"\u0061lice","receiver":"bob","content":1}"#);
    alice.send_text(r#"{"sender":"alice","text":"to the room"}"#);
    for heard in [r#"{"sender":"alice","content":1}"#, r#"{"sender":"alice","text":"to the room"}"#]
    {
        assert_eq!(bob.receive(), Event::Text(heard.to_owned()));
    }
}

#[test]
fn groups_of_a_credential_are_joined() {
    let carol = r#","groups":["staff","night shift"]"#;
    let tokens = tokens_of(&[(ALICE, "alice"), (BOB, "bob")], carol);
    let world = World::start(&[("tokens.json", &tokens)], "tokens:FOLDER/tokens.json", &[]);
    let mut carol = world.bearer("/", GONE);
    let mut other = world.bearer("/elsewhere", GONE);
    carol.send_text(r#"{"group":"night shift","content":"hi"}"#);
    let heard = r#"{"sender":"carol","group":"night shift","content":"hi"}"#;
    assert_eq!(other.receive(), Event::Text(heard.to_owned()));
    let mut bob = world.bearer("/", BOB);
    bob.send_text(r#"{"group":"staff","content":"hi"}"#);
    assert!(matches!(bob.receive(), Event::Text(text) if text.contains("not_a_member")));
}
