//! The limits of logs and sessions, from both sides.

use super::*;
use crate::push::{ask, kept_with};
use crate::shelf::Shelf;
use switchboard::config::Limits;
use switchboard::relay::RelayConfig;
use switchboard::relay::log::{Draft, Echo, Entry, Receipt, Stamp, To};
use world::{config, text};

fn limited(change: impl FnOnce(&mut Limits)) -> (World, Shelf) {
    let mut limits = config().limits;
    change(&mut limits);
    kept_with(RelayConfig { limits, ..config() })
}

/// What a log holds: messages and bytes; `None` if there is no log.
fn log_of(world: &World, user: &str) -> Option<(u64, u64)> {
    let about = ask(world, "GET", &format!("/v1/users/{user}")).body;
    let about: Value = serde_json::from_str(&about).expect("JSON");
    let log = about["record"].as_bool().expect("whether there is one").then(|| &about["log"]);
    log.map(|log| {
        (log["entries"].as_u64().expect("a count"), log["bytes"].as_u64().expect("bytes"))
    })
}

/// Users who have a log, and are away.
fn away(world: &World, users: &[&str]) {
    for user in users {
        here(world, user, "d001").hang_up();
    }
}

/// The status with which a message is answered: 200, or the code of its refusal.
fn outcome(peer: &Peer, frame: &str) -> u64 {
    peer.say(frame);
    let answer = frames(peer).pop().expect("an answer");
    if answer["type"] == "ok" { 200 } else { answer["code"].as_u64().expect("a code") }
}

/// What one message of a frame `to(id, "alice", "1")` takes in a log, with an id of one digit.
fn cost() -> u64 {
    let (world, _) = limited(|_| {});
    away(&world, &["alice"]);
    assert_eq!(outcome(&here(&world, "bob", "c8f3"), &to(1, "alice", "1")), 200);
    log_of(&world, "alice").expect("a log").1
}

#[test]
fn log_messages_are_kept_and_not_one_more() {
    let (world, _) = limited(|limits| limits.log_messages_max = 3);
    away(&world, &["alice"]);
    let bob = here(&world, "bob", "c8f3");
    let statuses: Vec<_> = (1..=4).map(|id| outcome(&bob, &to(id, "alice", "1"))).collect();
    assert_eq!(statuses, [200, 200, 200, 507]);
    assert_eq!(log_of(&world, "alice").map(|log| log.0), Some(3));
}

#[test]
fn log_bytes_are_kept_and_not_one_more() {
    let cost = cost();
    for (bytes, kept) in [(3 * cost, 3), (3 * cost - 1, 2), (1, 1)] {
        let (world, _) = limited(|limits| limits.log_max_bytes = bytes);
        away(&world, &["alice"]);
        let bob = here(&world, "bob", "c8f3");
        let statuses = (1..=4).map(|id| outcome(&bob, &to(id, "alice", "1")));
        let taken = statuses.filter(|status| *status == 200).count();
        assert_eq!(
            (taken, log_of(&world, "alice")),
            (kept, Some((kept as u64, kept as u64 * cost)))
        );
    }
}

#[test]
fn log_total_counts_all_logs_and_its_last_eighth_is_for_those_who_are_here() {
    let cost = cost();
    let (world, _) = limited(|limits| limits.log_total_bytes = 8 * cost);
    away(&world, &["alice", "carol"]);
    let (bob, eve) = (here(&world, "bob", "c8f3"), here(&world, "eve", "e777"));
    let users = ["alice", "carol"].iter().cycle();
    let statuses: Vec<_> =
        users.take(8).zip(1..).map(|(user, id)| outcome(&bob, &to(id, user, "1"))).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 507]);
    for id in [9, 10] {
        // The second pushes out the first, which eve has by now.
        assert_eq!(outcome(&bob, &to(id, "eve", "1")), 200);
    }
    assert_eq!(contents(&eve), [1, 1]);
    assert_eq!(log_of(&world, "eve").map(|log| log.0), Some(1));
}

#[test]
fn log_age_is_over_at_its_end_and_not_before() {
    let (world, _) = limited(|limits| limits.log_age_ms = 10_000);
    away(&world, &["alice"]);
    assert_eq!(outcome(&here(&world, "bob", "c8f3"), &to(1, "alice", "1")), 200);
    for _ in 0..10 {
        world.pass(1_000);
    }
    assert_eq!(log_of(&world, "alice").map(|log| log.0), Some(1));
    for _ in 0..2 {
        world.pass(1_000);
    }
    assert_eq!(log_of(&world, "alice"), None, "the user has not come for as long");
    assert!(log_of(&world, "bob").is_some(), "who is here");
}

#[test]
fn log_users_have_a_log_and_not_one_more() {
    let (world, _) = limited(|limits| limits.log_users_max = 2);
    let (_bob, _eve) = (here(&world, "bob", "c8f3"), here(&world, "eve", "e777"));
    let more = silent(&world, "/?user=carol");
    more.say(r#"{"type":"hello","client":"k001"}"#);
    assert_eq!(more.heard(), [Heard::Closed(4429)]);
    let answer = ask(&world, "PUT", "/v1/groups/g/members/carol");
    assert_eq!((answer.status, answer.body.contains("too_many_users")), (507, true));
    assert_eq!(ask(&world, "PUT", "/v1/groups/g/members/bob").status, 200);
    let guest = silent(&world, "/");
    guest.say(r#"{"type":"hello","client":"k001"}"#);
    assert_eq!(frames(&guest)[0]["type"], "welcome", "a guest has none");
}

#[test]
fn log_clients_are_known_again_and_not_one_more() {
    let (world, _) = limited(|limits| limits.log_clients_max = 2);
    for client in ["one", "two"] {
        let bob = here(&world, "bob", client);
        bob.say(r#"{"type":"ping","id":1}"#);
        world.pass(10);
        bob.hang_up();
    }
    let last = |client| greeted(&world, "bob", client, "").1["last"].clone();
    assert_eq!([last("two"), last("one")], [1.into(), 1.into()] as [Value; 2]);
    let (world, _) = limited(|limits| limits.log_clients_max = 2);
    for client in ["one", "two", "three"] {
        let bob = here(&world, "bob", client);
        bob.say(r#"{"type":"ping","id":1}"#);
        world.pass(10);
        bob.hang_up();
    }
    let last = |client| greeted(&world, "bob", client, "").1["last"].clone();
    assert_eq!([last("two"), last("three"), last("one")], [1.into(), 1.into(), Value::Null]);
}

#[test]
fn session_ping_is_due_at_its_end_and_not_before() {
    let (world, _) = limited(|limits| limits.session_ping_ms = 7_000);
    let (bob, welcome) = greeted(&world, "bob", "c8f3", "");
    assert_eq!(welcome["ping"], 7);
    for _ in 0..69 {
        world.pass(100);
    }
    assert_eq!(bob.heard(), []);
    // It is looked once a second.
    for _ in 0..12 {
        world.pass(100);
    }
    assert_eq!(frames(&bob)[0]["type"], "ping");
}

#[test]
fn session_silence_is_over_at_its_end_and_not_before() {
    let (world, _) = limited(|limits| {
        limits.session_silence_ms = 7_000;
        limits.session_ping_ms = 60_000;
        // The connection's own are not what is seen here.
        limits.ping_interval_ms = 0;
    });
    let bob = here(&world, "bob", "c8f3");
    for _ in 0..69 {
        world.pass(100);
    }
    assert_eq!(bob.heard(), []);
    for _ in 0..12 {
        world.pass(100);
    }
    assert_eq!(bob.heard(), [Heard::Closed(4408)]);
}

#[test]
fn session_retry_is_what_a_client_is_told_to_wait() {
    for retry_ms in [500, 1_234] {
        let (world, _) = limited(|limits| limits.session_retry_ms = retry_ms);
        let bob = here(&world, "bob", "c8f3");
        bob.say(r#"{"type":"ping","id":2}"#);
        let told = frames(&bob).remove(0);
        assert_eq!((&told["reason"], &told["after"]), (&"expected".into(), &retry_ms.into()));
    }
}

#[test]
fn session_ring_takes_as_many_bytes_and_not_one_more() {
    let draft = Draft {
        seq: None,
        at: Stamp(0),
        sender: "bob",
        client: "c8f3",
        id: 1,
        to: To::User("alice"),
        content: "0",
        echo: Echo::No,
        receipt: Receipt::Unasked,
    };
    let cost = Entry::new(&draft).cost();
    for (bytes, waiting) in [(3 * cost, 3), (3 * cost - 1, 2), (0, 1)] {
        let (world, _) = limited(|limits| limits.session_ring_bytes = bytes);
        let (alice, bob) = (here(&world, "alice", "d001"), here(&world, "bob", "c8f3"));
        alice.stop_reading();
        let long = format!("\"{}\"", "x".repeat(30_000));
        for id in 1..=9 {
            // More than is queued for one connection: what comes next waits behind it.
            let frame = match id {
                1..=4 => to(id, "alice", &long),
                _ => format!(r#"{{"id":{id},"receiver":"alice","content":0,"ttl":0}}"#),
            };
            assert_eq!(outcome(&bob, &frame), 200);
        }
        alice.read_again();
        let heard = frames(&alice);
        let live = heard.iter().filter(|frame| frame["content"] == 0).count();
        assert_eq!((heard.len(), live), (4 + waiting + 1, waiting), "{bytes} bytes");
        assert_eq!(heard.last().map(|gap| &gap["dropped"]), Some(&(5 - waiting).into()));
    }
}

#[test]
fn session_held_wait_for_commits_and_not_one_more() {
    let (world, shelf) = limited(|limits| limits.session_held_max = 2);
    away(&world, &["alice"]);
    let eve = world.connect("/", Some("eve"));
    shelf.hold();
    let frame = r#"{"receiver":"alice","content":1}"#;
    for _ in 0..2 {
        eve.say(frame);
        assert_eq!(eve.heard(), []);
    }
    eve.say(frame);
    let refused = r#"{"type":"error","code":503,"reason":"store","receiver":"alice"}"#;
    assert_eq!(eve.heard(), [text(refused)]);
    shelf.go_on();
    world.turn();
    eve.say(frame);
    assert_eq!((eve.heard(), log_of(&world, "alice").map(|log| log.0)), (vec![], Some(3)));
}
