//! What HUP changes for those who are there.

use crate::common::client::Event;
use crate::common::process::eventually;
use crate::world::*;

#[test]
fn who_is_in_the_file_stays_and_who_is_not_leaves() {
    let world = World::tokens(&[]);
    let mut alice = world.bearer("/", ALICE);
    let mut bob = world.bearer("/", BOB);
    let mut stranger = world.open("/", &[]).unwrap_or_else(|_| panic!("refused"));
    world.change("tokens.json", &tokens_of(&[(ALICE, "alice"), ("s3cret-new", "dave")], ""));
    assert_eq!(bob.receive(), Event::Close(4401, "token_refused".to_owned()));
    expect_nothing(&mut alice);
    assert_eq!(world.status("/", &[&bearer(BOB)]), 401);
    // Carol's token has no end any more, and dave is new.
    assert!(world.open("/", &[&bearer(GONE)]).is_ok());
    stranger.send_text(&auth("s3cret-new"));
    assert_eq!(stranger.receive(), Event::Text(r#"{"type":"ok"}"#.to_owned()));
    alice.send_text(r#"{"receiver":"dave","content":1}"#);
    let heard = r#"{"sender":"alice","content":1}"#;
    assert_eq!(stranger.receive(), Event::Text(heard.to_owned()));
}

#[test]
fn a_token_that_is_another_users_now_is_not_his_any_more() {
    let world = World::tokens(&[]);
    let mut alice = world.bearer("/", ALICE);
    world.change("tokens.json", &tokens_of(&[(ALICE, "alicia")], ""));
    assert_eq!(alice.receive(), Event::Close(4401, "token_refused".to_owned()));
}

#[test]
fn an_end_that_is_moved_is_moved_for_those_who_are_there() {
    let tokens = |end: u64| tokens_of(&[], &format!(r#","expires":{end}"#));
    let far = tokens(now() + 3600);
    let world = World::start(&[("tokens.json", &far)], "tokens:FOLDER/tokens.json", &[]);
    let (end, mut carol) = in_time(|seconds| {
        world.change("tokens.json", &far);
        let carol = world.bearer("/", GONE);
        let end = now() + seconds;
        world.change("tokens.json", &tokens(end));
        (now() < end).then_some((end, carol))
    });
    assert_eq!(carol.receive(), Event::Close(4401, "token_expired".to_owned()));
    assert!(now() >= end);
}

#[test]
fn groups_follow_the_file() {
    let tokens = |groups: &str| tokens_of(&[], &format!(r#","groups":[{groups}]"#));
    let before = tokens(r#""a","b""#);
    let world = World::start(&[("tokens.json", &before)], "tokens:FOLDER/tokens.json", &[]);
    let mut carol = world.bearer("/", GONE);
    let mut device = world.bearer("/", GONE);
    world.change("tokens.json", &tokens(r#""b","c""#));
    for (group, member) in [("a", false), ("b", true), ("c", true)] {
        carol.send_text(&format!(r#"{{"group":"{group}","content":1}}"#));
        let (at, wanted) = match member {
            true => (&mut device, format!(r#"{{"sender":"carol","group":"{group}","content":1}}"#)),
            false => (
                &mut carol,
                format!(
                    r#"{{"type":"error","code":403,"reason":"not_a_member","group":"{group}"}}"#
                ),
            ),
        };
        assert_eq!(at.receive(), Event::Text(wanted));
    }
}

#[test]
fn a_file_that_is_broken_changes_nothing() {
    let world = World::tokens(&[]);
    let mut alice = world.bearer("/", ALICE);
    let broken = r#"{"tokens":[{"token":"s3cret-broken""#;
    std::fs::write(world.file("tokens.json"), broken).unwrap();
    world.process.signal("HUP");
    eventually("it is said", || world.process.log().contains("not reloaded: "));
    expect_nothing(&mut alice);
    assert!(world.open("/", &[&bearer(BOB)]).is_ok());
}
