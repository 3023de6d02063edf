//! "What a frame is": rules 2 and 3.

use super::*;
use crate::world::World;

// 2, control

#[test]
fn plain_ping_is_answered_to_its_sender_alone() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    for said in [r#"{"type":"ping"}"#, r#"{"type":"p\u0069ng","content":1,"group":"g"}"#] {
        bob.say(said);
        assert_eq!(bob.heard(), [text(r#"{"type":"pong"}"#)]);
    }
    silent(&[&alice]);
}

#[test]
fn plain_auth_is_answered_400_auth_not_configured() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    bob.say(r#"{"type":"auth","token":"secret"}"#);
    assert_eq!(bob.heard(), [error(Refusal::AuthNotConfigured)]);
    silent(&[&alice]);
}

#[test]
fn plain_join_and_leave_are_answered_and_may_be_repeated() {
    let world = World::new();
    let bob = world.connect("/", Some("bob"));
    for _ in 0..2 {
        bob.say(r#"{"type":"join","group":"room\"1"}"#);
        assert_eq!(bob.heard(), [ok(r#"room\"1"#)]);
        assert_eq!(world.counts().groups, 1);
    }
    for _ in 0..2 {
        bob.say(r#"{"type":"leave","group":"room\"1"}"#);
        assert_eq!(bob.heard(), [ok(r#"room\"1"#)]);
        assert_eq!(world.counts().groups, 0);
    }
}

#[test]
fn plain_join_of_more_groups_than_allowed_is_refused() {
    let world = World::with(with_groups(2));
    let bob = world.connect("/", Some("bob"));
    joined(&bob, "a");
    joined(&bob, "b");
    bob.say(r#"{"type":"join","group":"c"}"#);
    assert_eq!(bob.heard(), [error_for(Refusal::TooManyGroups, "group", "c")]);
    joined(&bob, "a");
    bob.say(r#"{"type":"leave","group":"a"}"#);
    assert_eq!(bob.heard(), [ok("a")]);
    joined(&bob, "c");
}

#[test]
fn plain_join_needs_a_string() {
    let world = World::new();
    let bob = world.connect("/", Some("bob"));
    bob.say(r#"{"type":"join","group":7}"#);
    assert_eq!(bob.heard(), [error(Refusal::GroupNotAString)]);
    bob.say(r#"{"type":"leave","group":"*"}"#);
    assert_eq!(bob.heard(), [error(Refusal::InvalidGroup)]);
}

#[test]
fn plain_a_join_without_a_group_is_broadcast_like_any_object() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    bob.say(r#"{"type":"join","name":"Bob"}"#);
    assert_eq!(alice.heard(), [text(r#"{"type":"join","name":"Bob"}"#)]);
    silent(&[&bob]);
}

// 3, groups

#[test]
fn plain_group_reaches_every_device_of_every_member_and_nobody_else() {
    let world = World::new();
    let phone = world.connect("/", Some("alice"));
    let laptop = world.connect("/x", Some("alice"));
    let (bob, second) = (world.connect("/", Some("bob")), world.connect("/", Some("bob")));
    let eve = world.connect("/", Some("eve"));
    joined(&phone, "g");
    joined(&bob, "g");
    joined(&eve, "h");
    bob.say(r#"{"sender":"bob","group":"g","content":{"n":1.0}}"#);
    for device in [&phone, &laptop, &second] {
        assert_eq!(device.heard(), [text(r#"{"sender":"bob","group":"g","content":{"n":1.0}}"#)]);
    }
    silent(&[&bob, &eve]);
}

#[test]
fn plain_group_names_are_written_as_json() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("b%5C")));
    joined(&alice, r#"\"g\\"#);
    joined(&bob, r#"\"g\\"#);
    bob.say(r#"{"group":"\u0022g\u005c","content":1}"#);
    assert_eq!(alice.heard(), [from_group(r"b\\", r#"\"g\\"#, "1")]);
    bob.say(r#"{"group":7,"content":1}"#);
    assert_eq!(bob.heard(), [error_for(Refusal::NotAMember, "group", "7")]);
}

#[test]
fn plain_group_needs_membership_whether_or_not_it_exists() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    joined(&alice, "g");
    for group in ["g", "nowhere"] {
        bob.say(&format!(r#"{{"group":"{group}","content":1}}"#));
        assert_eq!(bob.heard(), [error_for(Refusal::NotAMember, "group", group)]);
    }
    joined(&bob, "g");
    bob.say(r#"{"type":"leave","group":"g"}"#);
    bob.say(r#"{"group":"g","content":1}"#);
    assert_eq!(bob.heard(), [ok("g"), error_for(Refusal::NotAMember, "group", "g")]);
    silent(&[&alice]);
}

#[test]
fn plain_group_without_content_is_refused() {
    let world = World::new();
    let bob = world.connect("/", Some("bob"));
    joined(&bob, "g");
    bob.say(r#"{"group":"g","message":"hi"}"#);
    assert_eq!(bob.heard(), [error(Refusal::ContentMissing)]);
}

#[test]
fn plain_group_alone_is_heard_by_nobody_and_is_no_error() {
    let world = World::new();
    let bob = world.connect("/", Some("bob"));
    joined(&bob, "g");
    bob.say(r#"{"group":"g","content":1}"#);
    silent(&[&bob]);
}

#[test]
fn plain_membership_ends_with_the_last_connection_of_the_user() {
    let world = World::new();
    let (phone, laptop) = (world.connect("/", Some("alice")), world.connect("/", Some("alice")));
    let bob = world.connect("/", Some("bob"));
    joined(&phone, "g");
    joined(&bob, "g");
    phone.hang_up();
    bob.say(r#"{"group":"g","content":1}"#);
    assert_eq!(laptop.heard(), [from_group("bob", "g", "1")]);
    laptop.hang_up();
    let again = world.connect("/", Some("alice"));
    bob.say(r#"{"group":"g","content":2}"#);
    silent(&[&again, &bob]);
    bob.hang_up();
    assert_eq!(world.counts().groups, 0);
}
