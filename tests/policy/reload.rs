//! Another policy while everybody is connected.

use switchboard::relay::access::Authentication;
use switchboard::relay::access::tokens::Tokens;

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

#[test]
fn who_may_not_ask_any_more_who_is_there_does_not_hear_who_comes_and_goes() {
    let world = world(&limited(""));
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    hearing(&alice, "g");
    joined(&bob, "g");
    world.pass(100);
    assert_eq!(alice.heard().last(), Some(&came_and_went("g", r#"["alice","bob"]"#, "[]")));
    reload(&world, ALL);
    bob.hang_up();
    world.pass(200);
    assert_eq!(alice.heard(), []);
    assert_eq!(world.counts().hearing, 0);
}

#[test]
fn a_group_that_a_credential_loses_is_kept_if_a_backend_granted_it() {
    let tokens = |groups: &str| {
        let token = r#""token":"the-token-of-alice-is-long-enough","user":"alice""#;
        let file = format!(r#"{{"tokens":[{{{token},"groups":{groups}}}]}}"#);
        let tokens = Tokens::parse(&file, 128).expect("a good file");
        Access { authentication: Authentication::Tokens(tokens), ..Access::open() }
    };
    let access = tokens(r#"["a","b"]"#);
    let world = World::with(RelayConfig { access, ..config() });
    world.with_relay(|relay, cx| relay.add_member(cx, "alice", "a")).unwrap();
    let alice = world.upgrade("/?token=the-token-of-alice-is-long-enough", &[]).unwrap();
    world.with_relay(|relay, cx| relay.reconfigure(cx, tokens("[]")));
    alice.say(r#"{"group":"b","content":1}"#);
    let refusal = r#"{"type":"error","code":403,"reason":"not_a_member","group":"b"}"#;
    assert_eq!(alice.heard(), [text(refusal)]);
    alice.say(r#"{"group":"a","content":1}"#);
    assert_eq!(alice.heard(), [], "still a member");
    assert_eq!(world.counts().kept, 1);
}
