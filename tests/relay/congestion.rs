//! "Connections that do not read".

use super::*;
use crate::world::World;

/// Says `line` to `peer` until the outbox of whoever gets it refuses more.
fn fill(world: &World, slow: &Peer) {
    let user = slow.user().expect("connected");
    let filler = world.connect("/filler", None);
    for _ in 0..1_000 {
        filler.say(&to(&user, &format!("\"{}\"", "x".repeat(500))));
        if !filler.heard().is_empty() {
            filler.hang_up();
            return;
        }
    }
    panic!("the outbox takes anything");
}

#[test]
fn plain_direct_to_who_does_not_read_is_refused_to_the_sender() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    alice.stop_reading();
    fill(&world, &alice);
    bob.say(&to("alice", "1"));
    assert_eq!(bob.heard(), [error_for(Refusal::ReceiverCongested, "receiver", "alice")]);
    alice.read_again();
    let heard = alice.heard();
    assert!(!heard.contains(&from("bob", "1")), "refused is not delivered");
    assert!(!heard.contains(&text(r#"{"type":"gap","dropped":1}"#)), "the sender was told");
    bob.say(&to("alice", "2"));
    assert_eq!(alice.heard(), [from("bob", "2")]);
    silent(&[&bob]);
}

#[test]
fn plain_direct_is_delivered_if_one_device_takes_it_and_the_other_is_told() {
    let world = World::new();
    let (slow, quick) = (world.connect("/", Some("alice")), world.connect("/", Some("alice")));
    let bob = world.connect("/", Some("bob"));
    slow.stop_reading();
    for count in 0..100 {
        bob.say(&to("alice", &format!("\"{}\"", "x".repeat(500))));
        assert_eq!(quick.heard().len(), 1, "{count}");
    }
    silent(&[&bob]);
    slow.read_again();
    let heard = slow.heard();
    let got = heard.len() as u64 - 1;
    assert_eq!(heard.last(), Some(&text(format!(r#"{{"type":"gap","dropped":{}}}"#, 100 - got))));
    bob.say(&to("alice", "1"));
    assert_eq!(slow.heard(), [from("bob", "1")]);
}

#[test]
fn plain_broadcast_and_group_skip_who_does_not_read_and_announce_the_gap() {
    let world = World::new();
    let (alice, bob, carol) = (
        world.connect("/", Some("alice")),
        world.connect("/", Some("bob")),
        world.connect("/", Some("carol")),
    );
    for peer in [&alice, &bob, &carol] {
        joined(peer, "g");
    }
    alice.stop_reading();
    fill(&world, &alice);
    bob.say("hello, room");
    bob.say_binary(b"\x00");
    bob.say(r#"{"group":"g","content":1}"#);
    silent(&[&bob]);
    assert_eq!(carol.heard().len(), 3, "the others do not notice");
    alice.read_again();
    assert_eq!(alice.heard().last(), Some(&text(r#"{"type":"gap","dropped":3}"#)));
    bob.say("again");
    assert_eq!(alice.heard(), [text("again")], "announced once");
}

#[test]
fn plain_a_gap_is_forgotten_with_its_connection() {
    let world = World::new();
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    alice.stop_reading();
    fill(&world, &alice);
    bob.say("missed");
    alice.hang_up();
    let again = world.connect("/", Some("alice"));
    bob.say("heard");
    assert_eq!(again.heard(), [text("heard")]);
}

#[test]
fn plain_a_server_that_may_hold_no_more_says_so() {
    let limits = Limits { outbox_total_bytes: 4_096, ..config().limits };
    let world = World::with(RelayConfig { limits, ..config() });
    let (alice, bob) = (world.connect("/", Some("alice")), world.connect("/", Some("bob")));
    bob.say(&to("alice", &format!("\"{}\"", "x".repeat(4_096))));
    assert_eq!(bob.heard(), [error_for(Refusal::ServerCongested, "receiver", "alice")]);
    bob.say(&"x".repeat(4_200));
    bob.say(&to("alice", "1"));
    assert_eq!(alice.heard(), [text(r#"{"type":"gap","dropped":1}"#), from("bob", "1")]);
}
