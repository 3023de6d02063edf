//! Questions and hints in switchboard.v1: who is in a group, who is online, who comes and goes.

use super::*;
use switchboard::relay::RelayConfig;
use switchboard::relay::access::Access;
use switchboard::relay::access::policy::Policy;
use world::config;

pub fn with_policy(policy: &str) -> World {
    let policy = Policy::parse(policy).expect("a policy");
    World::with(RelayConfig { access: Access { policy, ..Access::open() }, ..config() })
}

/// The answer to a frame, without what came beside it.
fn answer(peer: &Peer, frame: &str) -> String {
    peer.say(frame);
    let heard = texts(peer);
    assert_eq!(heard.len(), 1, "{heard:?}");
    heard[0].clone()
}

#[test]
fn members_and_presence_are_numbered_questions() {
    let world = World::new();
    let (alice, bob) = (here(&world, "alice", "d001"), world.connect("/", Some("bob")));
    let refused = r#"{"type":"error","id":1,"code":403,"reason":"not_a_member"}"#;
    assert_eq!(answer(&alice, r#"{"type":"members","group":"g","id":1}"#), refused);
    alice.say(r#"{"type":"join","group":"g","id":2}"#);
    bob.say(r#"{"type":"join","group":"g"}"#);
    alice.heard();
    let both = r#"{"type":"ok","id":3,"members":["alice","bob"],"count":2}"#;
    assert_eq!(answer(&alice, r#"{"type":"members","group":"g","id":3}"#), both);
    let online = r#"{"type":"ok","id":4,"online":1}"#;
    assert_eq!(answer(&alice, r#"{"type":"presence","user":"bob","id":4}"#), online);
    let nobody = r#"{"type":"ok","id":5,"online":0}"#;
    assert_eq!(answer(&alice, r#"{"type":"presence","user":"carol","id":5}"#), nobody);
    let again = r#"{"type":"ok","id":5,"dup":true}"#;
    assert_eq!(answer(&alice, r#"{"type":"presence","user":"carol","id":5}"#), again);
    for (frame, reason) in [
        (r#"{"type":"members","group":"g"}"#, "id_missing"),
        (r#"{"type":"presence","user":"bob"}"#, "id_missing"),
        (r#"{"type":"presence","user":"*","id":6}"#, "invalid_user"),
        (r#"{"type":"presence","id":7}"#, "user_missing"),
        (r#"{"type":"join","group":"g","presence":1,"id":8}"#, "presence_not_a_boolean"),
    ] {
        assert!(answer(&alice, frame).contains(reason), "{frame}");
    }
}

#[test]
fn who_joins_with_presence_hears_who_comes_and_goes_in_either_dialect() {
    let world = World::new();
    let (alice, carol) = (here(&world, "alice", "d001"), here(&world, "carol", "k001"));
    let bob = world.connect("/", Some("bob"));
    alice.say(r#"{"type":"join","group":"g","presence":true,"id":1}"#);
    bob.say(r#"{"type":"join","group":"g","presence":true}"#);
    carol.say(r#"{"type":"join","group":"g","id":1}"#);
    world.pass(100);
    let came = r#"{"type":"presence","group":"g","joined":["alice","bob","carol"],"left":[]}"#;
    assert_eq!(texts(&alice)[1..], [came]);
    assert_eq!(bob.heard().pop(), Some(world::text(came)));
    assert_eq!(texts(&carol).len(), 1, "who did not ask does not hear");
    carol.hang_up();
    world.pass(100);
    let left = r#"{"type":"presence","group":"g","joined":[],"left":["carol"]}"#;
    assert_eq!(texts(&alice), [left]);
    // The membership is kept; the wish to hear was the connection's, and is said again.
    alice.hang_up();
    let alice = here(&world, "alice", "d001");
    bob.say(r#"{"type":"leave","group":"g"}"#);
    world.pass(100);
    assert_eq!(alice.heard(), []);
    alice.say(r#"{"type":"join","group":"g","presence":true,"id":2}"#);
    bob.say(r#"{"type":"join","group":"g"}"#);
    world.pass(100);
    let came = r#"{"type":"presence","group":"g","joined":["bob"],"left":[]}"#;
    assert_eq!(texts(&alice), [r#"{"type":"ok","id":2}"#, came]);
    alice.say(r#"{"type":"join","group":"g","presence":false,"id":3}"#);
    bob.hang_up();
    world.pass(100);
    assert_eq!(texts(&alice), [r#"{"type":"ok","id":3}"#]);
    assert_eq!(world.counts().hearing, 0);
}

#[test]
fn what_the_policy_says_of_questions_and_groups_holds_for_sessions() {
    let world = with_policy(
        r#"{"roles":{"*":{"allow":["room:*","join:*","group:*"],"limits":{"groups":2}}}}"#,
    );
    let bob = here(&world, "bob", "c8f3");
    let forbidden = |id, missing| {
        let start = format!(r#"{{"type":"error","id":{id},"code":403,"reason":"forbidden""#);
        format!(r#"{start},"missing":"{missing}"}}"#)
    };
    let asking = r#"{"type":"members","group":"g","id":1}"#;
    assert_eq!(answer(&bob, asking), forbidden(1, "members:g"));
    let asking = r#"{"type":"presence","user":"a","id":2}"#;
    assert_eq!(answer(&bob, asking), forbidden(2, "presence:a"));
    let hearing = r#"{"type":"join","group":"g","presence":true,"id":3}"#;
    assert_eq!(answer(&bob, hearing), forbidden(3, "members:g"));
    for id in [4, 5] {
        let join = format!(r#"{{"type":"join","group":"g{id}","id":{id}}}"#);
        assert_eq!(answer(&bob, &join), format!(r#"{{"type":"ok","id":{id}}}"#));
    }
    let many = r#"{"type":"error","id":6,"code":429,"reason":"too_many_groups"}"#;
    assert_eq!(answer(&bob, r#"{"type":"join","group":"g6","id":6}"#), many);
    assert_eq!(answer(&bob, r#"{"type":"join","group":"g5","id":7}"#), r#"{"type":"ok","id":7}"#);
    assert_eq!(world.counts().hearing, 0);
}

#[test]
fn a_session_that_does_not_read_misses_hints_and_is_told_how_many() {
    let world = World::new();
    let alice = here(&world, "alice", "d001");
    alice.say(r#"{"type":"join","group":"g","presence":true,"id":1}"#);
    world.pass(100);
    alice.heard();
    alice.stop_reading();
    let mut dropped = 0;
    for n in 0..90 {
        let bob = world.connect("/", Some(&format!("bob{n}")));
        bob.say(r#"{"type":"join","group":"g"}"#);
        world.pass(100);
        bob.hang_up();
        world.pass(100);
        dropped += 2;
    }
    alice.read_again();
    let heard = frames(&alice);
    let hints = heard.iter().filter(|frame| frame["type"] == "presence").count() as u64;
    let gap = heard.iter().find(|frame| frame["type"] == "gap").expect("a gap");
    assert!(hints > 0 && hints + gap["dropped"].as_u64().expect("a count") == dropped, "{gap}");
}
