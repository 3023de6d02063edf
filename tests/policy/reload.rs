//! Another policy while everybody is connected.

use super::*;

fn reload(world: &World, policy: &str) {
    let access = access(policy);
    world.with_relay(|relay, cx| relay.reconfigure(cx, access));
}

const ALL: &str = r#"{"roles":{"*":{"allow":["room:*","send:*","group:*","join:*","broadcast"]}}}"#;
const NONE: &str = r#"{"roles":{}}"#;

#[test]
fn the_next_message_is_judged_by_the_new_policy_and_nobody_is_dropped() {
    let world = world(ALL);
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    bob.say(&to("alice"));
    assert_eq!(alice.heard(), [from("bob")]);
    joined(&bob, "g");
    joined(&alice, "g");
    reload(&world, NONE);
    bob.say(&to("alice"));
    assert_eq!(bob.heard(), [forbidden("send:alice", "receiver", "alice")]);
    bob.say(r#"{"group":"g","content":1}"#);
    assert_eq!(bob.heard(), [forbidden("group:g", "group", "g")]);
    assert_eq!(world.upgrade("/", &[]).err().unwrap().status, 403);
    assert_eq!(alice.heard(), []);
    reload(&world, ALL);
    bob.say(&to("alice"));
    bob.say(r#"{"group":"g","content":1}"#);
    assert_eq!(alice.heard().len(), 2, "and still a member");
}

#[test]
fn a_server_without_a_policy_may_get_one_and_lose_it_again() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", None));
    reload(&world, &limited(r#""messages-per-second": 1, "connections-per-address": 3"#));
    bob.say(&to("alice"));
    assert_eq!(alice.heard(), [from("2")]);
    bob.say(&to("alice"));
    let refusal = r#"{"type":"error","code":429,"reason":"rate","after":1000,"receiver":"alice"}"#;
    assert_eq!(bob.heard(), [text(refusal)]);
    // Those who came before count.
    world.connect("/", None);
    assert_eq!(world.upgrade("/", &[]).err().unwrap().status, 429);
    world.with_relay(|relay, cx| relay.reconfigure(cx, Access::open()));
    for _ in 0..10 {
        bob.say(&to("alice"));
    }
    assert_eq!((alice.heard().len(), bob.heard()), (10, vec![]));
    world.connect("/", None);
}

#[test]
fn limits_change_as_well_and_what_was_used_up_is_not_given_back() {
    let world = world(&limited(r#""messages-per-second": 1, "message": 100"#));
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    bob.say(&to("alice"));
    reload(&world, &limited(r#""messages-per-second": 10, "message": 10"#));
    bob.say(&to("alice"));
    let refusal = r#"{"type":"error","code":429,"reason":"rate","after":100,"receiver":"alice"}"#;
    assert_eq!((alice.heard().len(), bob.heard()), (1, vec![text(refusal)]));
    world.pass(100);
    bob.say(&to("alice"));
    let refusal = r#"{"type":"error","code":413,"reason":"message_too_large","max":10}"#;
    assert_eq!(bob.heard(), [text(refusal)]);
}

#[test]
fn who_leaves_after_a_reload_is_counted_out_once() {
    let policy = limited(r#""connections-per-address": 2"#);
    let world = world(&policy);
    let (first, second) = (world.connect("/", None), world.connect("/", None));
    for _ in 0..3 {
        reload(&world, &policy);
    }
    assert_eq!(world.upgrade("/", &[]).err().unwrap().status, 429);
    first.hang_up();
    let third = world.connect("/", None);
    assert_eq!(world.upgrade("/", &[]).err().unwrap().status, 429);
    second.hang_up();
    third.hang_up();
    world.connect("/", None);
    world.connect("/", None);
}
