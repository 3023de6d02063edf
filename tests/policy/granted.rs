//! Memberships by the will of the backend.

use super::*;
use switchboard::relay::MembershipError;

fn add(world: &World, user: &str, group: &str) -> Result<(), MembershipError> {
    world.with_relay(|relay, cx| relay.add_member(cx, user, group))
}

fn remove(world: &World, user: &str, group: &str) -> bool {
    world.with_relay(|relay, cx| relay.remove_member(cx, user, group).unwrap())
}

/// Whether the user of this connection is a member.
fn is_member(peer: &Peer, group: &str) -> bool {
    peer.heard();
    peer.say(&format!(r#"{{"group":"{group}","content":1}}"#));
    peer.heard().is_empty()
}

#[test]
fn a_granted_membership_is_there_whenever_the_user_is() {
    let world = World::new();
    let online = world.connect("/", Some("bob"));
    add(&world, "bob", "g").unwrap();
    add(&world, "bob", "g").unwrap();
    add(&world, "alice", "g").unwrap();
    assert_eq!(world.counts().kept, 2);
    assert!(is_member(&online, "g"));
    online.hang_up();
    let (again, alice) = (world.connect("/", Some("bob")), world.connect("/", Some("alice")));
    assert!(is_member(&again, "g") && is_member(&alice, "g"));
    let guest = world.connect("/", None);
    guest.say(r#"{"sender":"carol","group":"g","content":1}"#);
    guest.heard();
    add(&world, "dave", "g").unwrap();
    let guest = world.connect("/", None);
    guest.say(r#"{"sender":"dave","receiver":"nobody","content":1}"#);
    guest.heard();
    assert!(is_member(&guest, "g"), "who claims a name has what was granted to it");
}

#[test]
fn what_is_taken_back_or_left_is_gone_whoever_wanted_it() {
    let world = World::new();
    let bob = world.connect("/", Some("bob"));
    joined(&bob, "own");
    add(&world, "bob", "own").unwrap();
    add(&world, "bob", "granted").unwrap();
    assert!(remove(&world, "bob", "own") && !remove(&world, "bob", "own"));
    assert!(!is_member(&bob, "own"));
    joined(&bob, "mine");
    assert!(remove(&world, "bob", "mine"), "also one that was not granted");
    bob.say(r#"{"type":"leave","group":"granted"}"#);
    assert_eq!(bob.heard(), [ok("granted")]);
    assert_eq!(world.counts().kept, 0);
    bob.hang_up();
    let bob = world.connect("/", Some("bob"));
    assert!(!is_member(&bob, "granted"));
    assert!(!remove(&world, "nobody", "g"));
}

#[test]
fn max_memberships_are_granted_and_not_one_more() {
    let mut config = config();
    config.limits.memberships_max = 3;
    config.limits.groups_per_user_max = 2;
    let world = World::with(config);
    let bob = world.connect("/", Some("bob"));
    add(&world, "bob", "a").unwrap();
    add(&world, "bob", "b").unwrap();
    assert_eq!(add(&world, "bob", "c"), Err(MembershipError::TooManyGroups));
    add(&world, "eve", "a").unwrap();
    assert_eq!(add(&world, "eve", "b"), Err(MembershipError::Full));
    assert_eq!(add(&world, "eve", "a"), Ok(()), "that is no other");
    assert!(remove(&world, "bob", "b"));
    add(&world, "eve", "b").unwrap();
    assert!(is_member(&bob, "a") && !is_member(&bob, "b"));
}

#[test]
fn a_grant_is_heard_like_a_join_and_a_refusal_does_not_concern_it() {
    let world = world(r#"{"roles":{"*":{"allow":["room:*","members:*"]}}}"#);
    add(&world, "alice", "g").unwrap();
    let alice = world.connect("/", Some("alice"));
    alice.say(r#"{"type":"join","group":"g","presence":true}"#);
    assert_eq!(alice.heard(), [forbidden("join:g", "group", "g")]);
    // Nobody may join, and bob is a member all the same.
    add(&world, "bob", "g").unwrap();
    world.connect("/", Some("bob"));
    alice.say(r#"{"type":"members","group":"g"}"#);
    let both = r#"{"type":"members","group":"g","members":["alice","bob"],"count":2}"#;
    assert_eq!(alice.heard(), [text(both)]);
    let open = World::new();
    let eve = open.connect("/", Some("eve"));
    hearing(&eve, "g");
    open.pass(100);
    eve.heard();
    open.connect("/", Some("bob"));
    add(&open, "bob", "g").unwrap();
    open.pass(100);
    assert_eq!(eve.heard(), [came_and_went("g", r#"["bob"]"#, "[]")]);
    remove(&open, "bob", "g");
    open.pass(100);
    assert_eq!(eve.heard(), [came_and_went("g", "[]", r#"["bob"]"#)]);
}
