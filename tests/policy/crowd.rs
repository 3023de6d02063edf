//! Ten thousand members, coming and vanishing.

use super::*;

const CROWD: usize = 10_000;

fn joining(world: &World, hear: &str) -> Vec<Peer> {
    let join = |index| {
        let peer = world.connect("/", Some(&format!("user{index}")));
        peer.say(&format!(r#"{{"type":"join","group":"g"{hear}}}"#));
        peer
    };
    (0..CROWD).map(join).collect()
}

#[test]
fn ten_thousand_come_and_vanish_and_those_who_hear_it_are_told_in_a_line() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    hearing(&alice, "g");
    hearing(&bob, "g");
    world.pass(100);
    let crowd = joining(&world, "");
    world.pass(100);
    let told = |members| {
        text(format!(
            r#"{{"type":"presence","group":"g","joined":[],"left":[],"members":{members}}}"#
        ))
    };
    for peer in [&alice, &bob] {
        assert_eq!(peer.heard()[1..], [told(CROWD + 2)]);
    }
    alice.say(r#"{"type":"members","group":"g"}"#);
    let [Heard::Text(members)] = &alice.heard()[..] else { panic!("not one answer") };
    assert!(members.ends_with(r#""],"count":10002}"#), "{members}");
    assert_eq!(members.matches("user").count(), 998, "a thousand are named, and two are others");
    world.lose(crowd);
    assert_eq!(world.counts().users, 2);
    world.pass(100);
    for peer in [&alice, &bob] {
        assert_eq!(peer.heard(), [told(2)]);
    }
}

#[test]
fn ten_thousand_who_all_hear_one_another_vanish_in_one_tick_and_leave_nothing() {
    let world = World::new();
    let alice = world.connect("/", Some("alice"));
    let crowd = joining(&world, r#","presence":true"#);
    world.pass(100);
    let last = crowd[CROWD - 1].heard();
    let told = r#"{"type":"presence","group":"g","joined":[],"left":[],"members":10000}"#;
    assert_eq!(last, [ok("g"), text(told)]);
    assert_eq!(world.counts().hearing, CROWD);
    world.lose(crowd);
    world.pass(100);
    let counts = world.counts();
    assert_eq!((counts.users, counts.groups, counts.rooms, counts.hearing), (1, 0, 1, 0));
    hearing(&alice, "g");
    world.pass(100);
    assert_eq!(alice.heard(), [came_and_went("g", r#"["alice"]"#, "[]")]);
}
